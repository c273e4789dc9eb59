"""A flight recording, replayed with other settings."""

from __future__ import annotations

import json

import pytest
from tests.conversations.scenario import Talk, talk

from antiphon.turns.policy import TurnPolicy
from antiphon.turns.replay import NotAFlight, compare, flight_from, replay


async def a_turn_with_a_pause() -> str:
    async with talk({"pizza": "One pizza."}) as conversation:
        conversation.user.says("I would like a pizza with", from_=0.5, to=1.7)
        conversation.user.says("mushrooms", from_=2.4, to=3.0)
        await conversation.until(7.0)
        return recorded(conversation)


def recorded(conversation: Talk) -> str:
    flight = conversation.conversation.recorder.to_json(session_id="s1", policy=TurnPolicy())
    return json.dumps(flight)


async def test_with_the_same_settings_nothing_changes() -> None:
    flight = flight_from(json.loads(await a_turn_with_a_pause()))
    after = replay(flight, flight.policy)
    for pair in compare(flight.decisions, after):
        assert pair.before is not None
        assert pair.after is not None
        assert pair.after.at == pytest.approx(pair.before.at, abs=0.06)


async def test_plain_silence_would_have_cut_the_user_off() -> None:
    flight = flight_from(json.loads(await a_turn_with_a_pause()))
    before = [note.at for note in flight.decisions if note.kind == "turn"]
    after = [
        note.at for note in replay(flight, TurnPolicy.of("silence", silence_s=0.5)) if note.kind == "turn"
    ]
    assert len(before) == 1
    assert after[0] == pytest.approx(2.2, abs=0.1)


def test_a_file_that_is_no_recording_is_refused() -> None:
    broken: list[object] = [None, [], {"format": "wav"}, {"format": "antiphon-flight-1"}]
    for data in broken:
        with pytest.raises(NotAFlight, match="flight recording"):
            flight_from(data)
