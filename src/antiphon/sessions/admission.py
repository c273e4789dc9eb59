"""Who is let in: a decision on plain numbers."""

from __future__ import annotations

from antiphon.errors import DrainingError, LagError, LoadingError, RefusedError

RETURNING_SHARE = 0.1
"""Of the conversations at once: how many more there may be, at least one, with those who come back after their place
went to someone else. More would harm all who talk; they come back when somebody has left."""

BUSY_RETRY_S = 5.0
"""Conversations end every few seconds on a full server; sooner is only noise."""
LOADING_RETRY_S = 2.0
DRAINING_RETRY_S = 3.0


def most(limit: int, *, returning: bool) -> int:
    """Conversations at once, when one is begun, or come back to."""
    return limit + max(1, int(limit * RETURNING_SHARE)) if returning else limit


def refusal(
    *, live: int, limit: int, ready: bool, draining: bool, returning: bool = False
) -> RefusedError | None:
    """Why a caller cannot be let in, None when it can; ``returning``: to a conversation whose place was given to
    another. Those who are in are never put out for a new one."""
    if draining:
        return DrainingError(
            "the server is restarting; connect again in a moment", retry_after_s=DRAINING_RETRY_S
        )
    if not ready:
        return LoadingError(
            "the models are being loaded; connect again in a moment", retry_after_s=LOADING_RETRY_S
        )
    if live >= most(limit, returning=returning):
        return RefusedError(
            f"all {limit} conversations are taken; try again in a few seconds", retry_after_s=BUSY_RETRY_S
        )
    return None


def refusal_of_new(*, late: bool) -> RefusedError | None:
    """Why a conversation cannot begin, for someone who was let in; None when it can. ``late``: the event loop is, by
    more than the operator allows. Who comes back to a conversation is not asked this: it is one of those that a new
    one would harm."""
    if late:
        return LagError(
            "the server has as much to do as it can do well; try again in a few seconds",
            retry_after_s=BUSY_RETRY_S,
        )
    return None
