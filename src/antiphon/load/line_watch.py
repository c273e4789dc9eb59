"""Whether one caller's line is alive, and whether all that was sent on it came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from antiphon.load.presence import Conversation
from antiphon.load.tally import Tally

PING_S = 5.0
SILENCE_S = 12.0
"""How often a silent server is asked for a sign of life, and after how long without one the line is dead: as the
page does it."""


class Line(Protocol):
    """What a caller does to its connection."""

    def send_text(self, message: Mapping[str, Any]) -> None: ...

    def send_sound(self, pcm: bytes) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


class LineWatch:
    """Of one caller, over all its connections."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._life_s = 0.0
        """When anything last came."""
        self._ping_at = 0.0
        self._pings = 0
        """Sent and not answered; an answer that nobody was there for is not kept, and its number never comes."""

    def opened(self, *, resumed: bool) -> None:
        """A conversation begins, or goes on."""
        if not resumed:
            self._pings = 0

    def alive(self, now: float) -> None:
        """Something came."""
        self._life_s = now

    def answered(self) -> None:
        """A ping was."""
        self._pings = max(self._pings - 1, 0)

    def is_new(self, seq: int, conversation: Conversation) -> bool:
        """Whether a message of that number has not come before; 0: it has none. Those that never came are counted."""
        if not seq:
            return True
        if seq <= conversation.last_seq:
            self._tally.repeated += 1
            return False
        missing = seq - conversation.last_seq - 1
        pongs = min(missing, self._pings)
        self._pings -= pongs
        self._tally.missing += missing - pongs
        conversation.last_seq = seq
        return True

    def tick(self, line: Line, now: float) -> None:
        """Ask for a sign of life, or give the line up."""
        if now >= self._life_s + SILENCE_S:
            line.abort()
        elif now >= self._ping_at:
            self._ping_at = now + PING_S
            self._pings += 1
            line.send_text({"type": "ping"})
