"""What happened to the callers of one run: every turn, every gap, every reconnection."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from antiphon.load.link import Traffic

Outcome = Literal["open", "answered", "cut", "unheard", "unanswered"]
"""``cut``: answered, and the caller spoke over the answer on purpose. ``unheard`` and ``unanswered`` are lost."""


class TurnKey(NamedTuple):
    """A turn as the server names it; names begin anew with every conversation."""

    session_id: str
    epoch: int
    turn_id: str


@dataclass(slots=True, kw_only=True)
class SpokenTurn:
    """One thing that a caller said, and what became of it. Times on the run's clock, in seconds."""

    caller: int
    number: int
    manner: str
    markers: tuple[str, ...]
    began_s: float
    speech_end_s: float | None = None
    """When the last packet of speech was sent; None while speaking."""
    first_sound_ms: float | None = None
    """From then to the first sound of the answer."""
    heard_as: dict[str, set[TurnKey]] = field(default_factory=dict)
    """Marker (or empty, for recordings) → the server's turns it was found in."""
    outcome: Outcome = "open"
    sayings: int = 1
    """How often it was said: again after a broken connection took it away."""
    broken: bool = False
    """Whether the connection broke meanwhile."""

    @property
    def heard(self) -> bool:
        """Whether all of it was."""
        return all(self.heard_as.get(name) for name in (self.markers or ("",)))

    @property
    def doubled(self) -> bool:
        """Whether the server took it for more turns than it was said."""
        return bool(self.markers) and any(len(keys) > self.sayings for keys in self.heard_as.values())

    @property
    def lost(self) -> bool:
        return self.outcome in ("unheard", "unanswered")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnection:
    """A connection that was lost, and had again."""

    at_s: float
    """When it was lost."""
    gap_s: float
    """Until the next one was open."""
    away_s: float
    """Of that, the time for which the caller stayed away on purpose."""
    cause: str
    """``dropped`` by the caller, ``moved`` because the server was going away, or ``closed 1012`` and the like."""
    resumed: bool
    """Whether the conversation went on; else it began anew."""
    asked: bool
    """Whether that was asked for: the server had given a token to resume with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """A time for which a caller wanted to talk and had no conversation, without what it stayed away on purpose."""

    caller: int
    since_s: float
    until_s: float
    """When it was let in, or gave up."""
    ended: bool
    """Whether it was let in."""
    begun: bool
    """Whether it had a conversation to go on with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Silence inside a reply, because its sound came late."""

    at_s: float
    gap_s: float


@dataclass(slots=True)
class Tally:
    """All callers' together."""

    turns: list[SpokenTurn] = field(default_factory=list)
    reconnections: list[Reconnection] = field(default_factory=list)
    absences: list[Absence] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    interruptions_ms: list[tuple[float, float]] = field(default_factory=list)
    """(when, how long): from the caller's first word over a reply to ``interrupted``."""
    replies: int = 0
    """That sounded."""
    doubled_replies: int = 0
    """Second full replies to one turn."""
    cut_short: int = 0
    """Replies that the server broke off although nobody spoke over them."""
    early: int = 0
    """Replies that began to sound before the caller had ended: a pause was taken for the end."""
    sound_in_s: float = 0.0
    """Seconds of microphone sound sent."""
    sound_out_s: float = 0.0
    """Seconds of replies received."""
    missing: int = 0
    """Messages whose number (``seq``) never came."""
    repeated: int = 0
    """Messages that came again after a resume, and were left out."""
    calls: int = 0
    """Conversations begun."""
    refused: Counter[str] = field(default_factory=Counter)
    """Code (``busy``, ``HTTP 403``, …) → how often a caller was not let in."""
    errors: Counter[str] = field(default_factory=Counter)
    """Code → ``error`` messages and failed replies in conversations."""
    closes: Counter[str] = field(default_factory=Counter)
    """Close code → connections that the server closed, or that broke, unasked."""
    notices: Counter[str] = field(default_factory=Counter)
    traffic: Traffic = field(default_factory=Traffic)
    live: int = 0
    """Callers in a conversation now."""
    most_live: int = 0
    late_ms: list[float] = field(default_factory=list)
    """How late our own timer was, sampled: figures are no better than this."""
