"""Something that one caller says, until it is answered: what is to happen meanwhile, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

from antiphon.load.tally import SpokenTurn

HEARD_PATIENCE_S = 8.0
"""After its speech ended, how long a turn may wait for its words; then it is lost."""

ANSWER_PATIENCE_S = 30.0
"""And how long for its answer to end, since anything was last heard of it."""

AGAIN_S = 4.0
"""After a resumed connection, how long a caller waits for words that it sent before the break, until it says them
again."""

Due = Literal["", "vanish", "speak over", "say again", "give up"]
"""Lose the connection; interrupt the answer; say it once more; wait no longer."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to happen during a turn."""

    drop: Literal["", "speaking", "waiting", "reply"] = ""
    drop_after: float = 0.0
    """Packets sent, seconds after the speech, or milliseconds heard, as ``drop`` says."""
    talk_over_ms: float = 0.0
    """How much of the reply is to be heard before it is interrupted; 0: it is not."""


class TurnUnderWay:
    """One turn, from its first packet on. Time is an argument."""

    def __init__(self, said: SpokenTurn, packets: tuple[bytes, ...], plan: Plan) -> None:
        self.said = said
        self._packets = packets
        self._plan = plan
        self._at = 0
        """Packet to be sent next."""
        self._news_s = 0.0
        """When something was last heard of it."""
        self._say_again_at: float | None = None
        """When to take words as gone that were sent before a connection broke."""

    @property
    def speaking(self) -> bool:
        """Whether it is not said to its end."""
        return self._at < len(self._packets)

    def next_packet(self, now: float) -> bytes:
        """Of its sound, while ``speaking``."""
        packet = self._packets[self._at]
        self._at += 1
        if not self.speaking:
            self.said.speech_end_s = self._news_s = now
        return packet

    def news(self, now: float) -> None:
        """Something was heard of it."""
        self._news_s = now

    def transcribed(self, now: float) -> None:
        """Words were."""
        self._news_s = now
        if self.said.heard:
            self._say_again_at = None

    def go_on(self, *, resumed: bool, now: float) -> None:
        """On a new connection: what was half said is said again, and what was said is waited for."""
        self._news_s = now
        if not resumed:
            self.said.heard_as.clear()  # whoever heard it has forgotten it
        if self.speaking or not resumed:
            self.say_again()
        elif not self.said.heard:
            self._say_again_at = now + AGAIN_S

    def say_again(self) -> None:
        """From the beginning, and nothing else is to happen any more."""
        self.said.sayings += 1
        self.said.speech_end_s = None
        self._at, self._say_again_at, self._plan = 0, None, Plan()

    def due(self, now: float, *, heard_ms: float) -> Due:
        """What is to be done now. ``heard_ms`` of its answer; below 0: none sounds, or it is not said to its end."""
        if self._breaks(now, heard_ms):
            self._plan = Plan()
            return "vanish"
        end_s, talk_over_ms = self.said.speech_end_s, self._plan.talk_over_ms
        if end_s is None:
            return ""
        if talk_over_ms and heard_ms >= talk_over_ms:
            return "speak over"
        if self._say_again_at is not None and now >= self._say_again_at:
            return "say again"
        patience_s = ANSWER_PATIENCE_S if self.said.heard else HEARD_PATIENCE_S
        return "give up" if now - max(end_s, self._news_s) >= patience_s else ""

    def _breaks(self, now: float, heard_ms: float) -> bool:
        end_s, after = self.said.speech_end_s, self._plan.drop_after
        match self._plan.drop:
            case "":
                return False
            case "speaking":
                return self.speaking and self._at >= after
            case "waiting":
                return end_s is not None and now - end_s >= after
            case "reply":
                return heard_ms >= after
            case _:
                assert_never(self._plan.drop)
