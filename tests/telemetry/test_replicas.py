"""The turns of several replicas as one list, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.telemetry.listened import NOON, Clock, Told

from antiphon.conversation.events import ReplyDone
from antiphon.telemetry.observability import Observability
from antiphon.telemetry.replicas import DAY_EVERY_S, MOST_TURNS, Replicas

Notes = dict[str, dict[str, bytes]]


@dataclass
class Slate:
    """A board in memory."""

    name: str
    notes: Notes = field(default_factory=dict)

    async def post(self, topic: str, note: bytes, *, keep_s: float) -> None:
        self.notes.setdefault(topic, {})[self.name] = note

    async def read(self, topic: str) -> Mapping[str, bytes]:
        return self.notes.get(topic, {})


def ended(clock: Clock, turn: str, *, error: str = "") -> ReplyDone:
    clock.at += 1
    return ReplyDone(turn_id=turn, reply_id="r", text="", latency_ms={"first_sound": 400.0}, error=error)


async def test_those_that_another_replica_keeps_are_told_when_they_are_asked_for() -> None:
    clock, notes = Clock(), Notes()
    one = Observability(now=clock)
    other = Observability(now=clock)
    told = Told([other.recent], clock)
    told.tell(ended(clock, "the first", error="provider_unavailable"))
    for number in range(2 * MOST_TURNS):
        told.tell(ended(clock, f"t{number}"))
    asked = Replicas(one, Slate("one", notes))
    posting = asyncio.create_task(Replicas(other, Slate("other", notes)).run())
    await asyncio.sleep(DAY_EVERY_S)
    newest, rest = await asked.turns()
    assert [turn["turn_id"] for turn in newest] == [f"t{2 * MOST_TURNS - 1 - n}" for n in range(MOST_TURNS)]
    assert rest
    failed, rest = await asked.turns(only="failed")
    assert ([turn["turn_id"] for turn in failed], rest) == (["the first"], False)
    everything, rest = await asked.turns(most=200)
    assert (len(everything), rest) == (2 * MOST_TURNS + 1, False)
    posting.cancel()


async def test_a_clock_that_was_set_back_puts_no_new_turn_behind() -> None:
    clock = Clock()
    watched = Observability(now=clock)
    told = Told([watched.recent], clock)
    for number in range(MOST_TURNS):
        told.tell(ended(clock, f"t{number}"))
    clock.at = NOON - 3600
    told.tell(ended(clock, "new"))
    found, more = await Replicas(watched).turns(NOON - 3600)
    assert [turn["turn_id"] for turn in found][:2] == ["new", f"t{MOST_TURNS - 1}"]
    assert more
