"""What one caller does next, and what it says: drawn by chance, the same for the same seed."""

from __future__ import annotations

from random import Random
from typing import Literal

from antiphon.load.mix import Behaviour, Mix
from antiphon.load.speech import Manner, Speech
from antiphon.load.tally import SpokenTurn
from antiphon.load.turn import Plan, TurnUnderWay

REST_S = (0.3, 1.5)
"""Between an answer's end and the next turn: people in a conversation take about half a second."""

TALK_OVER_MS = (300.0, 1200.0)
"""How much of a reply is heard before it is interrupted."""

AWAY_S = (0.1, 2.0)
"""How long a dropped connection stays away: a lift, a change from Wi-Fi to mobile."""

RETRY_SPREAD = (1.0, 1.5)
"""How many times as long as it is told to a caller waits that is not let in: not all come back at once."""


class Script:
    """Of one caller."""

    def __init__(self, number: int, *, speech: Speech, mix: Mix, random: Random) -> None:
        self._number = number
        self._speech = speech
        self._mix = mix
        self._random = random
        self._behaviour: Behaviour = "talk"
        self._turns = 0
        self._next_at = 0.0

    def rest(self, now: float) -> None:
        """For a while, from now on."""
        self._next_at = now + self.rest_s()

    def next(self, now: float) -> Literal["", "leave"] | Manner:
        """What to do: nothing yet, hang up, or say something in that manner."""
        if now < self._next_at:
            return ""
        if self._behaviour == "leave":
            self._behaviour = "talk"
            return "leave"
        self._behaviour = self._mix.choose(self._random)
        return "pause" if self._behaviour == "pause" else "plain"

    def turn(self, manner: Manner, *, now: float, resumable: bool) -> TurnUnderWay:
        """What to say in that manner, and what is to happen meanwhile. ``resumable``: a lost conversation can be gone
        on with."""
        self._turns += 1
        said = self._speech.utterance(
            caller=self._number, number=self._turns, manner=manner, random=self._random
        )
        turn = SpokenTurn(
            caller=self._number, number=self._turns, manner=manner, markers=said.markers, began_s=now
        )
        plan = self._plan(len(said.packets), resumable=resumable) if manner == "plain" else Plan()
        return TurnUnderWay(turn, said.packets, plan)

    def _plan(self, length: int, *, resumable: bool) -> Plan:
        draw = self._random.uniform
        if self._behaviour == "interrupt":
            return Plan(talk_over_ms=draw(*TALK_OVER_MS))
        if self._behaviour != "drop" or not resumable:
            return Plan()
        match self._random.choice(("speaking", "waiting", "reply")):
            case "speaking":
                return Plan(drop="speaking", drop_after=draw(0.2, 0.9) * length)
            case "waiting":
                return Plan(drop="waiting", drop_after=draw(0.0, 0.6))
            case _:
                return Plan(drop="reply", drop_after=draw(*TALK_OVER_MS))

    def rest_s(self) -> float:
        """How long a rest takes."""
        return self._random.uniform(*REST_S)

    def away_s(self) -> float:
        """How long a dropped connection stays away."""
        return self._random.uniform(*AWAY_S)

    def retry_s(self, told_s: float) -> float:
        """How long to stay away when told to come back after so long."""
        return told_s * self._random.uniform(*RETRY_SPREAD)
