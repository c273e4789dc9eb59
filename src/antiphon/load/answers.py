"""What one caller makes of the server's words: which of the things it said were heard, and which reply answers
which of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from antiphon.load.tally import SpokenTurn, Tally, TurnKey

RECENT = 8
"""Turns whose words are still looked out for: one that is said twice comes within seconds."""

LONGEST_MEMORY = 64
"""Answered turns that are remembered, to notice a second answer."""


@dataclass(slots=True)
class Reply:
    """One reply under way."""

    key: TurnKey
    touched: list[SpokenTurn]
    """Turns of which it answers any part."""
    completed: list[SpokenTurn]
    """Turns whose end it answers."""
    awaited: bool = False
    """``audio_started`` came, and no sound yet."""
    sounded: bool = False


class Answers:
    """Of one caller, over all its conversations."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._session: tuple[str, int] = ("", 0)
        self._recent: deque[SpokenTurn] = deque(maxlen=RECENT)
        self._replies: dict[str, Reply] = {}
        self._answered: deque[TurnKey] = deque(maxlen=LONGEST_MEMORY)

    def conversation(self, session_id: str, epoch: int, *, resumed: bool) -> None:
        """Whose turns are named from now on."""
        self._session = (session_id, epoch)
        if not resumed:
            self._replies.clear()

    def said(self, turn: SpokenTurn) -> None:
        """The caller says something."""
        self._recent.append(turn)

    def sounding(self, turn: SpokenTurn) -> bool:
        """Whether a reply to the end of it sounds, or did."""
        return any(turn in reply.completed and reply.sounded for reply in self._replies.values())

    def transcribed(self, turn_id: str, text: str) -> None:
        """The final words of a turn, or none when it is taken back."""
        key, words = TurnKey(*self._session, turn_id), text.lower()
        for said in self._recent:
            for name in said.markers:
                keys = said.heard_as.setdefault(name, set())
                (keys.add if name in words else keys.discard)(key)
        last = self._recent[-1] if self._recent else None
        if last is not None and not last.markers:
            keys = last.heard_as.setdefault("", set())
            (keys.add if words else keys.discard)(key)

    def reply_started(self, turn_id: str, reply_id: str) -> None:
        """A reply to one of the server's turns begins."""
        key = TurnKey(*self._session, turn_id)
        touched = [said for said in self._recent if any(key in keys for keys in said.heard_as.values())]
        completed = [said for said in touched if key in said.heard_as.get((said.markers or ("",))[-1], ())]
        self._replies[reply_id] = Reply(key, touched, completed)

    def audio_started(self, reply_id: str) -> None:
        """Its sound follows."""
        reply = self._replies.get(reply_id)
        if reply is not None:
            reply.awaited = True

    def sound(self, reply_id: str, *, now: float) -> bool:
        """Some of it came; whether it was the first."""
        reply = self._replies.get(reply_id)
        if reply is None or not reply.awaited:
            return False
        reply.awaited = False
        if reply.sounded:
            return False  # sent again after a reconnection
        reply.sounded = True
        self._tally.replies += 1
        self._tally.early += any(turn.speech_end_s is None for turn in reply.touched)
        for turn in reply.completed:
            if turn.speech_end_s is not None and turn.first_sound_ms is None and not turn.broken:
                turn.first_sound_ms = (now - turn.speech_end_s) * 1000
        return True

    def reply_done(
        self, message: Mapping[str, Any], *, speaking: bool, turn: SpokenTurn | None
    ) -> Reply | None:
        """It is over; ``speaking``: the caller is; ``turn``: what it wants an answer to. None when it is not known."""
        reply = self._replies.pop(message["reply_id"], None)
        error = str(message.get("error") or "")
        if error:
            self._tally.errors[error] += 1
        if reply is None:
            return None
        if message["interrupted"]:
            spoken_over = speaking or turn is None or turn not in reply.completed  # what it said came after
            self._tally.cut_short += not spoken_over
        elif reply.sounded:
            self._tally.doubled_replies += reply.key in self._answered
            self._answered.append(reply.key)
        return reply
