"""Text to speech: PCM, streamed as it is made."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any

from antiphon.errors import ProviderRejected
from antiphon.providers.base import ProviderInfo, SpeechChunk, SpeechOptions
from antiphon.providers.http import Answer, HttpPool
from antiphon.providers.openai.dialect import Dialect, Wording
from antiphon.providers.openai.endpoint import Endpoint
from antiphon.providers.openai.languages import english_name
from antiphon.providers.refused_voices import RefusedVoices
from antiphon.providers.sound_reader import SoundReader
from antiphon.providers.vendor_errors import empty, malformed

RATE = 24_000
"""Hz: what OpenAI speaks in. Servers that speak in another rate are resampled to it."""

DEFAULT_VOICE = "alloy"
TTS_1_VOICES = (DEFAULT_VOICE, "ash", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer")
"""Of tts-1 and tts-1-hd."""
VOICES = (*TTS_1_VOICES, "ballad", "cedar", "marin", "verse")
"""Of gpt-4o-mini-tts. OpenAI names no others, and refuses what is not among them."""

LONGEST_S = 600.0
"""Of one text: a clause has a few seconds. More is a server that does not end."""


class OpenAISynthesizer:
    """``POST /audio/speech``."""

    def __init__(self, pool: HttpPool, endpoint: Endpoint, model: str, *, voice: str = "") -> None:
        """``voice`` is the operator's: the default where the model has it."""
        self._vendor = endpoint.vendor(pool, model)
        self._model = model
        self._pcm_rate = endpoint.pcm_rate
        self._directed = model.startswith("gpt-4o") and "tts" in model
        """Whether it is told in words how to speak; then it has no speed."""
        self._dialect = Dialect("response_format", "instructions", "speed", callers=("instructions", "speed"))
        self._refused = RefusedVoices()
        self.info = ProviderInfo(
            provider=endpoint.provider,
            model=model,
            sample_rate=RATE,
            voices=_voices(model, voice.lower()) if endpoint.official else (),
        )

    async def warm(self) -> None:
        """Open connections before the first turn. Raises ProviderError."""
        await self._vendor.warm()

    @asynccontextmanager
    async def speak(self, text: str, options: SpeechOptions) -> AsyncIterator[AsyncIterator[SpeechChunk]]:
        """Leaving it early ends the request."""
        voice = self._refused.first_else(options.voice, next(iter(self.info.voices), DEFAULT_VOICE))
        async with AsyncExitStack() as stack:
            stack.enter_context(self._refused.noticing(voice))
            answer = await self._ask(stack, text, replace(options, voice=voice))
            async with aclosing(self._chunks(answer)) as chunks:
                yield chunks

    async def _ask(self, stack: AsyncExitStack, text: str, options: SpeechOptions) -> Answer:
        wording = self._dialect.request()
        while True:
            body = self._body(text, options, wording)
            try:
                answer = await stack.enter_async_context(self._vendor.ask("POST", "/audio/speech", json=body))
            except ProviderRejected as error:
                if not wording.refused(error, body):
                    raise
            else:
                wording.taken(body)
                return answer

    def _body(self, text: str, options: SpeechOptions, wording: Wording) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._model,
            "voice": options.voice,
            "input": text,
            # Groq has WAV only.
            "response_format": "pcm" if wording.takes("response_format") else "wav",
        }
        if self._directed and wording.takes("instructions") and (words := _direction(options)):
            body["instructions"] = words
        elif not self._directed and options.speed != 1.0 and wording.takes("speed"):
            body["speed"] = options.speed
        return body

    async def _chunks(self, answer: Answer) -> AsyncGenerator[SpeechChunk, None]:
        names = self._vendor.names
        answer.refuse_page()
        reader = SoundReader(
            names, rate=RATE, content_type=answer.headers.get("content-type", ""), sent_rate=self._pcm_rate
        )
        async with aclosing(answer.pieces()) as pieces:
            async for piece in pieces:
                if pcm := reader.push(piece):
                    yield SpeechChunk(pcm=pcm)
                if reader.samples > LONGEST_S * RATE:
                    raise malformed(names, f"more than {LONGEST_S:g} s of sound for one text")
        if rest := reader.end():
            yield SpeechChunk(pcm=rest)
        if not reader.samples:
            raise empty(names, "sent no sound")


def _voices(model: str, first: str) -> tuple[str, ...]:
    """A model's voices, ``first`` first where it has that; empty when they are not known."""
    known: tuple[str, ...] = ()
    if model in ("tts-1", "tts-1-hd"):
        known = TTS_1_VOICES
    elif model.startswith("gpt-4o-mini-tts"):
        known = VOICES
    return (first, *(name for name in known if name != first)) if first in known else known


def _direction(options: SpeechOptions) -> str:
    words = []
    if name := english_name(options.language):
        words.append(f"Speak {name}.")
    if options.speed != 1.0:
        pace = "much " if abs(options.speed - 1.0) > 0.3 else "a little "
        words.append(f"Speak {pace}{'faster' if options.speed > 1.0 else 'slower'} than usual.")
    return " ".join(words)
