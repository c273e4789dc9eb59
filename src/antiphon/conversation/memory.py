"""What a conversation takes along when it is held elsewhere: plain values that can be stored and sent."""

from __future__ import annotations

from dataclasses import dataclass, replace

from antiphon.conversation.history import Entry
from antiphon.turns.speech import FRAME_S

SKIPPED = 100
"""Names of turns and replies passed over after a sudden end: those given out since the memory was kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """A reply that was under way."""

    reply_id: str
    turn_id: str
    user_text: str
    """What it answers."""
    text: str
    """As far as it was written."""
    complete: bool
    """Whether all of it was."""
    heard_ms: float
    heard_upto: int
    """Offset in ``text`` just past the last word heard."""
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """All that is needed to go on."""

    entries: tuple[Entry, ...] = ()
    dropped: bool = False
    """Whether the oldest entries were forgotten."""
    turns: int = 0
    replies: int = 0
    """How many names of turns and replies were given out."""
    position_s: float = 0.0
    """Seconds of microphone sound so far."""
    language: str = ""
    """ISO 639-1 of what was said last, empty when not known."""
    unfinished: Unfinished | None = None

    @property
    def begun_at(self) -> float:
        """``position_s`` on the ear's grid."""
        return round(self.position_s / FRAME_S) * FRAME_S

    def after_sudden_end(self) -> Memory:
        """This memory, kept some time before its conversation ended without a word: the reply under way counts as cut
        short where it was last known to be heard, and no name is given out twice."""
        entries, cut = self.entries, self.unfinished
        if cut is not None and (heard := cut.text[: cut.heard_upto].strip()):
            entry = Entry(role="assistant", text=heard, turn_id=cut.turn_id, interrupted=True)
            entries = (*entries, entry)
        return replace(
            self,
            entries=entries,
            unfinished=None,
            turns=self.turns + SKIPPED,
            replies=self.replies + SKIPPED,
        )
