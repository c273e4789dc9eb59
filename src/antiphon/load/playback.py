"""What one caller hears of the replies, and tells the server of it."""

from __future__ import annotations

from typing import Literal

from antiphon.load.line_watch import Line
from antiphon.load.loudspeaker import Loudspeaker
from antiphon.load.tally import Gap, Tally

OUTPUT_RATE = 24_000
"""Hz of the replies' sound."""

REPORT_S = 0.15
"""How often playback is reported."""


class Playback:
    """Of one caller, over all its conversations."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._speaker = Loudspeaker(OUTPUT_RATE)
        self._reported: tuple[str, int] = ("", 0)
        self._report_at = 0.0
        self._spoken_over_at: float | None = None
        """When the caller began to speak over a reply that has not stopped."""

    @property
    def reply_id(self) -> str:
        """Of the reply whose sound came last."""
        return self._speaker.reply_id

    def opened(self, *, resumed: bool) -> None:
        """A conversation begins, or goes on."""
        if resumed:
            self._speaker.forgive()
        else:
            self._speaker = Loudspeaker(OUTPUT_RATE)

    def begin(self, reply_id: str, *, from_ms: float) -> None:
        """The sound that follows is that reply's."""
        self._speaker.begin(reply_id, from_ms=from_ms)

    def receive(self, pcm: bytes, *, now: float) -> None:
        """Sound came."""
        self._tally.sound_out_s += len(pcm) / 2 / OUTPUT_RATE
        gap_s = self._speaker.receive(len(pcm), now=now)
        if gap_s > 0:
            self._tally.gaps.append(Gap(at_s=now, gap_s=gap_s))

    def control(self, action: Literal["duck", "hold", "resume"], *, now: float) -> None:
        """``playback`` came."""
        self._speaker.control(action, now=now)

    def spoken_over(self, now: float) -> None:
        """The caller begins to."""
        self._spoken_over_at = now

    def interrupted(self, now: float) -> None:
        """The server has stopped the reply."""
        self._speaker.flush(now=now)
        if self._spoken_over_at is not None:
            self._tally.interruptions_ms.append((now, (now - self._spoken_over_at) * 1000))
            self._spoken_over_at = None

    def heard_ms(self, now: float) -> float:
        """How much of the reply has been heard."""
        return self._speaker.played_ms(now=now)

    def tick(self, line: Line, now: float) -> None:
        """Report it, when that is due."""
        if now < self._report_at:
            return
        self._report_at = now + REPORT_S
        played = (self.reply_id, round(self.heard_ms(now)))
        if played != self._reported and played[0]:
            self._reported = played
            line.send_text({"type": "played", "reply_id": played[0], "ms": played[1]})
