"""Everyone who listens to the sessions: metrics, traces, the ledger, logs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from antiphon.conversation.events import Event
from antiphon.conversation.listening import KEPT_FROM_LISTENERS, Listener, SessionFacts
from antiphon.telemetry.logs import logger

log = logger(__name__)


class Audience:
    """Passes on what it is told to each listener. One that fails harms neither the session nor the others."""

    def __init__(self) -> None:
        self._listeners: tuple[Listener, ...] = ()

    @contextmanager
    def joined(self, *listeners: Listener) -> Iterator[None]:
        """They listen until the context is left."""
        self._listeners += listeners
        try:
            yield
        finally:
            self._listeners = tuple(one for one in self._listeners if one not in listeners)

    def opened(self, session: SessionFacts) -> None:
        """A conversation begins."""
        self._each(lambda listener: listener.opened(session))

    def told(self, session_id: str, event: Event) -> None:
        """Something happened in it."""
        if type(event) in KEPT_FROM_LISTENERS:
            return
        self._each(lambda listener: listener.told(session_id, event))

    def closed(self, session_id: str, reason: str) -> None:
        """It is over."""
        self._each(lambda listener: listener.closed(session_id, reason))

    def refused(self, reason: str) -> None:
        """A caller was not let in."""
        self._each(lambda listener: listener.refused(reason))

    def _each(self, tell: Callable[[Listener], None]) -> None:
        for listener in self._listeners:
            try:
                tell(listener)
            except Exception:
                # The edge: what watches a conversation must not be able to end it.
                log.exception("listener failed", listener=type(listener).__name__)
