"""Since when somebody waits for what providers are asked: a later step of a turn has only what the steps before it left
of the turn's time.

Whoever holds the conversation says so with ``awaited_since``; chains of providers look. It travels in a context
variable, as the sink of ``metering`` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_since: ContextVar[float | None] = ContextVar("antiphon_awaited_since", default=None)


@contextmanager
def awaited_since(since: float | None) -> Iterator[None]:
    """What is asked inside has been waited for since then, loop time; None: only from when it is asked."""
    token = _since.set(since)
    try:
        yield
    finally:
        _since.reset(token)


def waiting_since() -> float | None:
    """Loop time; None when nobody said."""
    return _since.get()
