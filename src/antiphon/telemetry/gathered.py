"""Listeners that are told together: what happened in the last moment, at once.

Counting an event takes the processor a few microseconds, and three times as many to fetch code and sums that a server's
other work has driven from its caches. Told of a hundred events in a row, listeners pay for that once.
"""

from __future__ import annotations

import asyncio

from antiphon.conversation.events import Event
from antiphon.conversation.listening import Listener, SessionFacts
from antiphon.telemetry.logs import logger

EVERY_S = 0.25
"""For how long they may not know: nobody looks at figures more often, and whoever does has them told first."""

MOST = 1_000
"""Events that wait at the most, some 100 KB: 50 sessions come to a tenth of that."""

log = logger(__name__)


class Gathered:
    """A ``Listener`` that passes on what it is told, in order, before anything else is asked (``pass_on``) and soon."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners
        self._waiting: list[tuple[str, Event]] = []
        self._timer: asyncio.TimerHandle | None = None

    def opened(self, session: SessionFacts) -> None:
        """Passed on at once."""
        self.pass_on()
        for listener in self._listeners:
            listener.opened(session)

    def told(self, session_id: str, event: Event) -> None:
        """Waits for more."""
        self._waiting.append((session_id, event))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(EVERY_S, self.pass_on)
        elif len(self._waiting) >= MOST:
            self.pass_on()

    def closed(self, session_id: str, reason: str) -> None:
        """Passed on at once, after what happened in it."""
        self.pass_on()
        for listener in self._listeners:
            listener.closed(session_id, reason)

    def refused(self, reason: str) -> None:
        """Passed on at once."""
        for listener in self._listeners:
            listener.refused(reason)

    def pass_on(self) -> None:
        """Now. One that fails over an event misses that one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        for listener in self._listeners:
            for session_id, event in waiting:
                try:
                    listener.told(session_id, event)
                except Exception:
                    # The edge: what watches a conversation must not be able to end it.
                    log.exception("listener failed", listener=type(listener).__name__)
