"""All models of the fast profile, loaded, used and let go of."""

from __future__ import annotations

import shutil
import threading
import wave
from dataclasses import replace
from pathlib import Path

import pytest
from tests.inference.conftest import Models

from antiphon.errors import ModelError
from antiphon.inference.profiles import PROFILES
from antiphon.inference.runtime import LocalRuntimes, RuntimeConfig, Stage
from antiphon.providers.base import Finished, LanguageOptions, Message, SpeechOptions, Text

pytestmark = [pytest.mark.models, pytest.mark.real_time]

FAST = PROFILES["fast"]
# One core: on a busy machine, two threads that wait for each other at every operation crawl.
CONFIG = RuntimeConfig(cores=1, slots=2, slot_tokens=512, system_prompt="Answer briefly.")
QUESTION = Path(__file__).parent.parent / "speech" / "callers" / "q00.wav"


async def test_from_a_spoken_question_to_a_spoken_answer_and_nothing_left_behind(models: Models) -> None:
    threads = set(threading.enumerate())
    stages: list[tuple[str, Stage]] = []
    files = [models[model] for model in FAST.models]
    async with LocalRuntimes(files, CONFIG, lambda model, stage: stages.append((model, stage))) as runtimes:
        with wave.open(str(QUESTION)) as file:
            pcm = file.readframes(file.getnframes())
        assert await runtimes.turn_model(FAST.turn).end_of_turn(pcm) > 0.5
        assert (
            max(await runtimes.voice_detector(FAST.vad).open().detect(pcm[: len(pcm) // 1024 * 1024])) > 0.9
        )
        async with runtimes.recognizer(FAST.asr).open(language="en") as hearing:
            await hearing.send(pcm)
            await hearing.finish()
            (heard,) = [transcript async for transcript in hearing]
        assert "France" in heard.text
        model = runtimes.language_model(FAST.llm)
        asked = [Message(role="system", content="Answer briefly."), Message(role="user", content=heard.text)]
        async with model.reply(asked, LanguageOptions(max_tokens=30, cache_key="ann")) as deltas:
            written = [delta async for delta in deltas]
        answer = "".join(delta.text for delta in written if isinstance(delta, Text))
        assert "Paris" in answer
        assert isinstance(written[-1], Finished)
        assert written[-1].usage.cached_tokens > 20, "the system prompt was evaluated at the start"
        synthesizer = runtimes.synthesizer(FAST.tts)
        async with synthesizer.speak(answer, SpeechOptions()) as chunks:
            spoken = [chunk async for chunk in chunks]
        seconds = sum(len(chunk.pcm) for chunk in spoken) / 2 / synthesizer.info.sample_rate
        assert 0.5 < seconds < 12
        assert runtimes.depths() == dict.fromkeys(
            ("recognition", "speech", "reply", "voice_detection", "turn_detection"), 0
        )
    for model_id in FAST.models:
        told = [stage for name, stage in stages if name == model_id]
        assert told == ["loading", "warming", "warm"]
    assert set(threading.enumerate()) == threads


async def test_one_bad_model_fails_the_start_by_name_and_frees_the_others(
    models: Models, tmp_path: Path
) -> None:
    threads = set(threading.enumerate())
    good, turn = models[FAST.vad], models[FAST.turn]
    shutil.copy(turn.main, tmp_path / turn.main.name)
    with (tmp_path / turn.main.name).open("r+b") as file:
        file.truncate(1_000_000)
    bad = replace(turn, folder=tmp_path, main=tmp_path / turn.main.name)
    stages: dict[str, Stage] = {}
    with pytest.raises(ModelError, match=r"antiphon models verify turn/smart-turn-3\.2"):
        async with LocalRuntimes([good, bad], CONFIG, stages.__setitem__):
            pytest.fail("entered")
    assert stages[FAST.turn] == "failed"
    assert set(threading.enumerate()) == threads


async def test_asking_for_what_was_not_loaded_says_so(models: Models) -> None:
    async with LocalRuntimes([models[FAST.vad]], CONFIG) as runtimes:
        with pytest.raises(ModelError, match="llm/smollm2-135m is not loaded"):
            runtimes.language_model(FAST.llm)
        with pytest.raises(ModelError, match="vad/silero-6 is not loaded as a SmartTurn"):
            runtimes.turn_model(FAST.vad)


@pytest.mark.parametrize(
    ("cores", "shares"), [(1, (1, 1, 1)), (2, (2, 2, 1)), (4, (2, 3, 2)), (16, (2, 8, 8))]
)
def test_the_machine_is_shared_out(cores: int, shares: tuple[int, int, int]) -> None:
    config = RuntimeConfig(cores=cores)
    assert (config.run_threads, config.reply_threads, config.lanes) == shares
