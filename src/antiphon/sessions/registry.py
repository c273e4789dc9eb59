"""The live sessions: let in, counted, and sent home when the server stops."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from antiphon.conversation.listening import SessionFacts
from antiphon.sessions.admission import refusal
from antiphon.sessions.audience import Audience
from antiphon.sessions.caller import Caller
from antiphon.sessions.readiness import Readiness
from antiphon.sessions.session import Session

ID_BYTES = 9
"""72 bits: 12 letters that nobody guesses and a log line can hold."""


def new_session_id() -> str:
    """A short random name."""
    return secrets.token_urlsafe(ID_BYTES)


class Registry:
    """Who is in a conversation now."""

    def __init__(
        self,
        *,
        readiness: Readiness,
        max_sessions: int,
        audience: Audience | None = None,
        new_id: Callable[[], str] = new_session_id,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.readiness = readiness
        self.audience = audience or Audience()
        self.draining = asyncio.Event()
        """Set when the server is to stop: every session says goodbye and ends."""
        self._limit = max_sessions
        self._new_id = new_id
        self._wall_clock = wall_clock
        self._live: dict[str, Session] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def live(self) -> tuple[Session, ...]:
        """Oldest first."""
        return tuple(self._live.values())

    @property
    def limit(self) -> int:
        """Conversations at once: as set, or as measured at start."""
        return self.readiness.capacity or self._limit

    @contextmanager
    def session(self, caller: Caller | None = None) -> Iterator[Session]:
        """A place for one caller, given back on leaving. Raises RefusedError when there is none."""
        caller = caller or Caller()
        refused = refusal(
            live=len(self._live),
            limit=self.limit,
            ready=self.readiness.assistant is not None,
            draining=self.draining.is_set(),
        )
        if refused is None and self.readiness.assistant is not None:
            refused = self.readiness.assistant.unaffordable(caller.key)
        if refused is not None:
            self.audience.refused(refused.code)
            raise refused
        session = Session(id=self._new_id(), caller=caller, since=self._wall_clock())
        self._live[session.id] = session
        self._empty.clear()
        self.audience.opened(SessionFacts(session_id=session.id, caller_key=caller.key))
        try:
            yield session
        finally:
            del self._live[session.id]
            self.audience.closed(session.id, session.ended or "failed")
            if not self._live:
                self._empty.set()

    def drain(self) -> None:
        """Let nobody in any more, and ask everybody to leave."""
        self.readiness.draining = True
        self.draining.set()

    async def emptied(self) -> None:
        """Returns when the last session is over. Safe to cancel."""
        await self._empty.wait()
