"""Who listens to conversations from outside: metrics, traces, the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from antiphon.conversation.events import Event, ReplyAudio, ReplyText

KEPT_FROM_LISTENERS: frozenset[type] = frozenset({ReplyAudio, ReplyText})
"""Sound and pieces of text are nine in ten of all events, and nobody counts them: ``ReplyDone`` has what they came
to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFacts:
    """What listeners are told of a session when it opens."""

    session_id: str
    caller_key: str = ""
    """Name of the API key or user the session is billed to; empty when anybody may talk. Never a secret."""
    resumed: bool = False
    """It came over from another replica."""


class Listener(Protocol):
    """Told in the order of events, from the event loop; must neither block nor raise."""

    def opened(self, session: SessionFacts) -> None:
        """A conversation begins (or came over)."""

    def told(self, session_id: str, event: Event) -> None:
        """Every event that is not of ``KEPT_FROM_LISTENERS``, as the client is told it."""

    def closed(self, session_id: str, reason: str) -> None:
        """It is over; ``reason`` is a short code: ``client_left``, ``idle``, ``drained``, ``moved``, ``failed``, …"""

    def refused(self, reason: str) -> None:
        """A caller was not let in: an error code (``busy``, ``rate_limited``, ``bad_ticket``, ``budget``, …)."""
