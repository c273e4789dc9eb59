"""The vendors themselves, where a key is set: a few cents' tenths a run. Skipped otherwise.

OPENAI_API_KEY=… DEEPGRAM_API_KEY=… pytest tests/providers/conformance/test_live.py
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.providers.conformance.behaviour import hear, speak, words, write

from antiphon.app.vendors import Vendors, open_vendors
from antiphon.audio.resample import resample
from antiphon.audio.wav import read_wav
from antiphon.errors import ProviderRejected
from antiphon.providers.base import SPEECH_RATE, Finished, LanguageOptions
from antiphon.settings import load_settings
from antiphon.settings.providers import parse_chain

pytestmark = pytest.mark.real_time

QUESTION = Path(__file__).parents[2] / "speech" / "callers" / "q00.wav"

KEYS = {
    "openai": "OPENAI_API_KEY",
    "groq": "GROQ_API_KEY",
    "elevenlabs": "ELEVENLABS_API_KEY",
    "deepgram": "DEEPGRAM_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "ollama": "ANTIPHON_OLLAMA_BASE_URL",
}
"""What must be set to ask each."""

RECOGNIZERS = ("openai:gpt-4o-mini-transcribe", "openai:whisper-1", "groq", "deepgram")
MODELS = ("openai", "groq", "anthropic", "ollama:llama3.2")
VOICES = ("openai", "elevenlabs", "deepgram")


def asked(*names: str) -> pytest.MarkDecorator:
    """Each, or a skip that says what to set."""
    parameters = []
    for name in names:
        variable = KEYS[name.partition(":")[0]]
        skip = pytest.mark.skipif(
            not os.environ.get(variable), reason=f"{variable} is not set: {name} is not asked"
        )
        parameters.append(pytest.param(name, marks=skip, id=name))
    return pytest.mark.parametrize("name", parameters)


@asynccontextmanager
async def vendors(**instead: str) -> AsyncIterator[Vendors]:
    settings = load_settings({**os.environ, **instead}, folder=Path("/nonexistent")).settings
    async with open_vendors(settings) as opened:
        yield opened


@asked(*RECOGNIZERS)
async def test_it_hears_a_question(name: str) -> None:
    sound = read_wav(QUESTION)
    async with vendors() as opened:
        recognizer = await opened.recognizer(parse_chain(name)[0])
        pcm = resample(sound.pcm, sound.rate, SPEECH_RATE)
        final = (await hear(recognizer, pcm))[-1]
        assert "capital of france" in final.text.lower()
        assert final.usage.audio_s > 1.0


@asked(*MODELS)
async def test_it_writes_an_answer(name: str) -> None:
    async with vendors() as opened:
        model = await opened.language_model(parse_chain(name)[0])
        assert await opened.warm() == []
        deltas = await write(model, LanguageOptions(max_tokens=60))
        assert "Paris" in words(deltas)
        assert isinstance(deltas[-1], Finished)
        assert deltas[-1].usage.output_tokens > 0
        assert deltas[-1].model


@asked(*VOICES)
async def test_it_speaks(name: str) -> None:
    async with vendors() as opened:
        voice = await opened.synthesizer(parse_chain(name)[0])
        sound = b"".join(chunk.pcm for chunk in await speak(voice, "The capital of France is Paris."))
        assert 1.0 < len(sound) / 2 / voice.info.sample_rate < 6.0


@asked(*MODELS[:3])
async def test_a_wrong_key_is_named(name: str) -> None:
    variable = KEYS[name.partition(":")[0]]
    wrong = os.environ[variable][:6] + "0" * 40
    async with vendors(**{variable: wrong}) as opened:
        model = await opened.language_model(parse_chain(name)[0])
        with pytest.raises(ProviderRejected) as caught:
            await write(model)
        assert caught.value.cause == "bad_key"
        assert wrong not in caught.value.message
        assert "_API_KEY" in caught.value.message


@asked(*MODELS[:3])
async def test_a_wrong_model_is_named(name: str) -> None:
    async with vendors() as opened:
        model = await opened.language_model(parse_chain(f"{name.partition(':')[0]}:no-such-model")[0])
        with pytest.raises(ProviderRejected) as caught:
            await write(model)
        assert caught.value.cause == "unknown_model"
        assert "ANTIPHON_LLM" in caught.value.message
