"""Voice detection and the turn model on real speech."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.inference.conftest import Models

from antiphon.errors import AudioError, ModelError
from antiphon.inference.smart_turn import WINDOW, SmartTurn, features
from antiphon.inference.vad import SileroDetector, on_onnxruntime

SPEECH = Path(__file__).parent.parent / "speech"
FRAME_BYTES = 1024


def sound(name: str) -> bytes:
    with wave.open(str(SPEECH / name)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        return bytes(file.readframes(file.getnframes()))


def frames(pcm: bytes) -> bytes:
    return pcm[: len(pcm) // FRAME_BYTES * FRAME_BYTES]


@pytest.fixture(scope="module")
def detector(models: Models) -> Iterator[SileroDetector]:
    with SileroDetector(on_onnxruntime(models["vad/silero-6"].main)) as detector:
        yield detector


@pytest.fixture(scope="module")
def smart_turn(models: Models) -> Iterator[SmartTurn]:
    with SmartTurn(models["turn/smart-turn-3.2"].main) as smart_turn:
        yield smart_turn


@pytest.mark.models
@pytest.mark.real_time
async def test_speech_is_told_from_silence_and_noise(detector: SileroDetector) -> None:
    speech = await detector.open().detect(frames(sound("callers/q00.wav")))
    silence = await detector.open().detect(bytes(FRAME_BYTES * 50))
    noise = await detector.open().detect(frames(sound("noise/noise1.wav"))[: FRAME_BYTES * 100])
    assert np.mean(np.array(speech) > 0.5) > 0.8
    assert max(silence) < 0.2
    assert np.mean(np.array(noise) > 0.5) < 0.1


@pytest.mark.models
@pytest.mark.real_time
async def test_the_network_that_the_package_carries_is_the_same(detector: SileroDetector) -> None:
    """On onnxruntime, and in numpy with the weights that were taken out of it."""
    with SileroDetector() as packaged:
        for name in ("callers/q00.wav", "human/LJ001-0003.wav", "noise/noise2.wav"):
            pcm = frames(sound(name))
            told, heard = await detector.open().detect(pcm), await packaged.open().detect(pcm)
            assert heard == pytest.approx(told, abs=1e-4)


@pytest.mark.real_time
async def test_the_packages_own_network_tells_speech_from_silence_and_noise() -> None:
    """Without a model on disk."""
    with SileroDetector() as packaged:
        speech = await packaged.open().detect(frames(sound("callers/q00.wav")))
        silence = await packaged.open().detect(bytes(FRAME_BYTES * 50))
        noise = await packaged.open().detect(frames(sound("noise/noise1.wav"))[: FRAME_BYTES * 100])
    assert np.mean(np.array(speech) > 0.5) > 0.8
    assert max(silence) < 0.2
    assert np.mean(np.array(noise) > 0.5) < 0.1


@pytest.mark.models
@pytest.mark.real_time
async def test_streams_of_one_batch_do_not_hear_each_other(detector: SileroDetector) -> None:
    """Ten streams fed side by side hear what each would hear alone."""
    told = [frames(sound(f"callers/q0{n}.wav"))[: FRAME_BYTES * 20] for n in range(10)]
    alone = [await detector.open().detect(pcm) for pcm in told]
    streams = [detector.open() for _ in told]
    together: list[list[float]] = [[] for _ in told]
    for at in range(0, FRAME_BYTES * 20, FRAME_BYTES):
        heard = await asyncio.gather(
            *(stream.detect(pcm[at : at + FRAME_BYTES]) for stream, pcm in zip(streams, told, strict=True))
        )
        for probabilities, (probability,) in zip(together, heard, strict=True):
            probabilities.append(probability)
    for one, other in zip(alone, together, strict=True):
        assert np.allclose(one, other, atol=1e-4)


@pytest.mark.models
@pytest.mark.real_time
async def test_a_reset_stream_hears_as_a_new_one(detector: SileroDetector) -> None:
    pcm = frames(sound("callers/q01.wav"))[: FRAME_BYTES * 20]
    stream = detector.open()
    first = await stream.detect(pcm)
    stream.reset()
    assert await stream.detect(pcm) == pytest.approx(first, abs=1e-5)


@pytest.mark.models
@pytest.mark.real_time
async def test_half_a_frame_is_refused(detector: SileroDetector) -> None:
    with pytest.raises(AudioError, match="whole frames of 512 samples"):
        await detector.open().detect(bytes(1000))


@pytest.mark.models
@pytest.mark.real_time
async def test_a_finished_question_is_over_and_its_first_half_is_not(smart_turn: SmartTurn) -> None:
    whole = sound("callers/q00.wav")
    assert await smart_turn.end_of_turn(whole) > 0.9
    assert await smart_turn.end_of_turn(whole[: len(whole) // 4 * 2]) < 0.5


@pytest.mark.models
@pytest.mark.real_time
async def test_only_the_last_eight_seconds_count(smart_turn: SmartTurn) -> None:
    whole = sound("callers/q00.wav")
    long = sound("human/LJ001-0001.wav") + bytes(2 * WINDOW) + whole
    last = long[-2 * WINDOW :]
    assert await smart_turn.end_of_turn(long) == await smart_turn.end_of_turn(last)


@pytest.mark.models
@pytest.mark.real_time
async def test_a_question_that_is_cancelled_leaves_no_place_taken(smart_turn: SmartTurn) -> None:
    asked = [asyncio.ensure_future(smart_turn.end_of_turn(bytes(32_000))) for _ in range(3)]
    await asyncio.sleep(0)
    assert smart_turn.depth == 3
    for question in asked[1:]:
        question.cancel()
    await asyncio.wait(asked)
    assert smart_turn.depth == 0


def test_features_are_of_eight_seconds_with_the_sound_at_the_end() -> None:
    tone = np.sin(np.arange(16_000) * 0.3).astype(np.float32)
    heard = features(tone)
    assert heard.shape == (1, 80, 800)
    assert heard.dtype == np.float32
    energy = heard[0].mean(axis=0)
    assert energy[-90:].mean() > energy[:690].mean() + 0.1
    assert features(np.zeros(0, dtype=np.float32)).shape == (1, 80, 800)
    assert np.isfinite(features(np.zeros(10, dtype=np.float32))).all()


def test_loudness_does_not_matter() -> None:
    tone = np.sin(np.arange(128_000) * 0.3).astype(np.float32)
    assert np.allclose(features(tone), features(tone * 0.01), atol=1e-2)


@pytest.mark.models
def test_a_damaged_or_missing_file_says_what_to_do(models: Models, tmp_path: Path) -> None:
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(models["vad/silero-6"].main.read_bytes()[:50_000])
    with pytest.raises(ModelError, match="antiphon models verify vad/silero-6"):
        on_onnxruntime(cut)
    with pytest.raises(ModelError, match="is not there"):
        SmartTurn(tmp_path / "none.onnx")
