"""Who is let in: a decision on plain numbers."""

from __future__ import annotations

from antiphon.errors import DrainingError, LagError, LoadingError, RefusedError

BUSY_RETRY_S = 5.0
"""Conversations end every few seconds on a full server; sooner is only noise."""
LOADING_RETRY_S = 2.0
DRAINING_RETRY_S = 3.0


def refusal(*, live: int, limit: int, ready: bool, draining: bool) -> RefusedError | None:
    """Why a new caller cannot be let in, None when it can. Those who are in are never put out for a new
    one."""
    if draining:
        return DrainingError(
            "the server is restarting; connect again in a moment", retry_after_s=DRAINING_RETRY_S
        )
    if not ready:
        return LoadingError(
            "the models are being loaded; connect again in a moment", retry_after_s=LOADING_RETRY_S
        )
    if live >= limit:
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
