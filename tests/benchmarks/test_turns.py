"""The turn benchmark: its rooms, its world, and how it judges."""

import numpy as np
import pytest
from benchmarks.rooms import LEAD_S, RATE, ROOMS, TAIL_S, Clip, Room, Rooms, clips
from benchmarks.turn_world import Ending, Hearing, plain_silence, turn_machine, turn_model_alone
from benchmarks.turns import OURS, SILENCE, figures, judge, report

from antiphon.audio.coded_speech import SpeechTrack
from antiphon.audio.frames import to_float
from antiphon.audio.level import level_dbfs
from antiphon.providers.scripted import ScriptedRecognizer, ScriptedTurnModel, ScriptedVoiceDetector
from antiphon.turns.policy import TurnPolicy

ALL = clips()


def clip(name: str) -> Clip:
    return next(clip for clip in ALL if clip.name == name)


def test_every_turn_has_words_and_an_end() -> None:
    assert {c.group for c in ALL} == {"callers", "callers with a pause", "human"}
    assert len(ALL) == 34
    for c in ALL:
        assert c.text
        assert len(c.sound) / RATE - 0.2 < c.end_s <= len(c.sound) / RATE


def test_pauses_are_where_the_manifest_says() -> None:
    (start, end), *rest = clip("callers/qpause00").pauses
    assert (start, end) == (1.685, 2.385)
    assert not rest
    assert len(clip("callers/qpause03").pauses) == 2


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_rooms_are_repeatable_and_as_loud_as_they_say(room: Room) -> None:
    quiet, place = clip("callers/q05"), Rooms()
    sound = place.hear(quiet, room, 3)
    assert sound == Rooms().hear(quiet, room, 3)
    assert len(sound) == 2 * (int(LEAD_S * RATE) + len(quiet.sound) + int(TAIL_S * RATE))
    before = level_dbfs(sound[: 2 * int(0.7 * RATE)])
    during = level_dbfs(sound[2 * int(LEAD_S * RATE) : 2 * int((LEAD_S + quiet.end_s) * RATE)])
    if room.snr_db is None:
        assert before < -80
    else:
        assert during - before == pytest.approx(room.snr_db, abs=4)  # noise is louder at times


def test_reverberation_keeps_the_time_of_the_speech() -> None:
    c = clip("callers/q05")
    clean = to_float(Rooms().hear(c, ROOMS[0], 1))
    echo = to_float(Rooms().hear(c, Room(name="echo", echo=True), 1))
    lags = np.correlate(echo[: 2 * RATE], clean[: 2 * RATE], mode="full")
    assert abs(int(np.argmax(lags)) - (2 * RATE - 1)) <= 80  # 5 ms


def hearing(track: SpeechTrack) -> Hearing:
    return Hearing(
        track.pcm(0.0, track.end_s + TAIL_S),
        detector=ScriptedVoiceDetector(),
        turn_model=ScriptedTurnModel(),
        recognizer=ScriptedRecognizer(),
    )


def user(*said: tuple[str, float, float]) -> Hearing:
    track = SpeechTrack()
    for text, start, end in said:
        track.says(text, from_=start, to=end)
    return hearing(track)


async def test_the_machine_ends_a_sure_turn_soon_and_an_unsure_one_late() -> None:
    balanced = turn_machine(TurnPolicy.of("balanced"))
    (sure,) = await balanced(user(("what time is it now", 0.8, 2.0)))
    (unsure,) = await balanced(user(("my order number is…", 0.8, 2.0)))
    assert 0.2 <= sure.at - 2.0 < 0.4
    assert 1.1 < unsure.at - 2.0 < 1.4
    assert sure.sounds_at is not None


async def test_the_machine_waits_through_a_pause_where_silence_cuts() -> None:
    said = user(("my order number is…", 0.8, 2.0), ("four seven two please", 2.8, 4.0))
    assert [round(e.at) for e in await turn_machine(TurnPolicy.of("balanced"))(said)] == [4]
    assert [round(e.at, 1) for e in await plain_silence(0.5)(said)] == [2.5, 4.5]
    assert [round(e.at, 1) for e in await turn_model_alone()(said)] == [4.2]


async def test_the_turn_model_alone_falls_back_to_a_long_silence() -> None:
    (ending,) = await turn_model_alone()(user(("I was thinking…", 0.8, 2.0)))
    assert ending.at == pytest.approx(5.0, abs=0.05)


def test_how_endings_are_judged() -> None:
    c = clip("callers/qpause00")
    end = LEAD_S + c.end_s
    outcome = judge("x", c, "clean", [Ending(at=2.9, sounds_at=3.0), Ending(at=3.5), Ending(at=end + 0.3)])
    assert (outcome.cut_offs, outcome.heard_cut_offs, outcome.wait_ms) == (2, 1, 300)
    assert judge("x", c, "clean", [Ending(at=2.9)]).wait_ms is None


def test_the_figures_compare_with_plain_silence() -> None:
    paused, plain = clip("callers/qpause00"), clip("callers/q00")
    ends = {c.name: LEAD_S + c.end_s for c in (paused, plain)}

    def outcomes(wait: float, silence_wait: float, *, cut: bool) -> list[str]:
        early = [Ending(at=2.7)] if cut else []
        found = [
            judge(OURS, paused, "clean", [*early, Ending(at=ends[paused.name] + wait)]),
            judge(OURS, plain, "clean", [Ending(at=ends[plain.name] + wait)]),
            judge(SILENCE, paused, "clean", [Ending(at=2.7), Ending(at=ends[paused.name] + silence_wait)]),
            judge(SILENCE, plain, "clean", [Ending(at=ends[plain.name] + silence_wait)]),
        ]
        assert "| 500 ms silence     |     2 |       1 |" in report(found)
        return [line.rpartition(": ")[2] for line in figures(found)]

    assert outcomes(0.3, 0.5, cut=False) == ["met", "met", "met"]
    assert outcomes(0.6, 0.5, cut=True) == ["missed", "missed", "missed"]
