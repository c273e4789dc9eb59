"""What the turn machine remembers between events."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

PREROLL_S = 0.25
"""Sound before the detector's onset that is recognised too: it misses soft first consonants."""


class State(Enum):
    """Who speaks, and what is being waited for."""

    QUIET = "quiet"
    HEARING = "hearing"
    PAUSED = "paused"
    ENDED = "ended"
    THINKING = "thinking"
    SPEAKING = "speaking"
    OVERLAP = "overlap"
    OVERLAP_PAUSED = "overlap paused"


@dataclass(slots=True, kw_only=True)
class Turn:
    """The user's turn under way."""

    id: str
    start: float
    """Where the sound still to be recognised begins (settled words come before it)."""
    began: float
    """Where its first speech began."""
    settled: str = ""
    """Words that will not be recognised again: before a long pause, or before the turn was reopened."""
    text: str = ""
    """All words as known now, the settled ones included."""
    text_upto: float = -1.0
    """The sound that ``text`` covers ends here."""
    language: str = ""
    speech_end: float | None = None
    """Where the last speech ended; None while speaking."""
    probability: float | None = None
    """The turn model's answer for the last pause."""
    provisional: bool = False
    """Whether ``text`` is what a streaming recogniser believes so far in a pause."""
    interim_text: str = ""
    prefilled: str = ""

    @property
    def has_words(self) -> bool:
        """Whether ``text`` covers all that was said so far."""
        return self.speech_end is not None and self.text_upto >= self.speech_end


@dataclass(slots=True, kw_only=True)
class Reply:
    """The one reply under way."""

    id: str
    turn: str
    text: str
    """The user's words that it answers."""
    released: bool
    audible: bool = False
    ducked: bool = False
    held: bool = False


@dataclass(slots=True, kw_only=True)
class Overlap:
    """Speech over a reply, undecided."""

    turn: Turn
    held_at: float
    """When the reply is to be paused if the speech goes on."""
    look_at: float
    """When the words are to be looked at (again)."""
    looks: int = 0
    """Answers had."""


@dataclass(slots=True, kw_only=True)
class Request:
    """The newest transcription asked for."""

    id: int
    end: float
    interim: bool


@dataclass(slots=True, kw_only=True)
class Context:
    """All of it."""

    now: float = 0.0
    turn: Turn | None = None
    reply: Reply | None = None
    overlap: Overlap | None = None
    request: Request | None = None
    answered: bool = False
    """Whether the newest request was answered."""
    failed: bool = False
    """Whether it failed."""
    said: str = ""
    """What the assistant is saying around now, or said last."""
    said_until: float = -1.0e9
    """Until when ``said`` may come back as an echo."""
    echo_until: float = -1.0e9
    """While the room is known to echo, overlaps are looked at before the reply is ducked."""
    ended_at: float = 0.0
    """When the state ENDED was entered."""
    interim_at: float = 0.0
    """When the next interim transcript is due."""
    turns: int = 0
    replies: int = 0
    requests: int = 0
    wait: float | None = field(default=None)
    """The tick asked for last."""
