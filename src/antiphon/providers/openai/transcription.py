"""Speech to text by upload: one request with all of the sound, one transcript.

OpenAI can stream a transcript's text; the whole of it comes with the same last byte, and nothing is done with the
pieces before it, so it is not asked for.
"""

from __future__ import annotations

import io
import math
import wave
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from antiphon.errors import ProviderRejected
from antiphon.providers.base import SPEECH_RATE, ProviderInfo, Transcript, Usage
from antiphon.providers.http import HttpPool
from antiphon.providers.openai.dialect import Dialect, Wording
from antiphon.providers.openai.endpoint import Endpoint
from antiphon.providers.openai.languages import iso_code
from antiphon.providers.vendor_errors import Names, malformed
from antiphon.providers.vendor_json import count_of, is_number

SHORTEST_S = 0.15
"""OpenAI refuses less than 0.1 s of sound; shorter sound is filled up with silence."""

NO_SPEECH = 0.6
NO_TRUST = -1.0
"""Whisper's own rule: a segment that is probably no speech, and in whose words it has little trust, is silence."""


class OpenAIRecognizer:
    """``POST /audio/transcriptions``."""

    def __init__(self, pool: HttpPool, endpoint: Endpoint, model: str) -> None:
        self._vendor = endpoint.vendor(pool, model)
        self._model = model
        self._dialect = Dialect("response_format", "prompt", "language", callers=("prompt", "language"))
        self._detailed = "whisper" in model.lower()
        """Whisper's own answers name the language and how sure it is; the newer models' have the text only."""
        self.info = ProviderInfo(provider=endpoint.provider, model=model, streaming=False)

    async def warm(self) -> None:
        """Open connections before the first turn. Raises ProviderError."""
        await self._vendor.warm()

    @asynccontextmanager
    async def open(self, *, language: str | None = None, prompt: str = "") -> AsyncIterator[_Upload]:
        """Nothing is sent before ``finish``."""
        async with AsyncExitStack() as stack:
            yield _Upload(self, stack, language, prompt)

    async def transcribe(
        self, stack: AsyncExitStack, pcm: bytes, language: str | None, prompt: str
    ) -> Transcript:
        """Ask, again when a field was refused."""
        wav = wav_file(pcm)
        wording = self._dialect.request()
        while True:
            fields = self._fields(language, prompt, wording)
            try:
                answer = await stack.enter_async_context(
                    self._vendor.ask(
                        "POST",
                        "/audio/transcriptions",
                        data=fields,
                        files={"file": ("speech.wav", wav, "audio/wav")},
                    )
                )
            except ProviderRejected as error:
                if not wording.refused(error, fields):
                    raise
            else:
                wording.taken(fields)
                break
        return read_transcription(self._vendor.names, await answer.json(), len(pcm) / 2 / SPEECH_RATE)

    def _fields(self, language: str | None, prompt: str, wording: Wording) -> dict[str, str]:
        fields = {"model": self._model}
        if wording.takes("response_format"):
            fields["response_format"] = "verbose_json" if self._detailed else "json"
        if language and wording.takes("language"):
            fields["language"] = language
        if prompt and wording.takes("prompt"):
            fields["prompt"] = prompt
        return fields


class _Upload:
    """One stretch of sound, kept until it is whole."""

    def __init__(
        self, recognizer: OpenAIRecognizer, stack: AsyncExitStack, language: str | None, prompt: str
    ) -> None:
        self._recognizer = recognizer
        self._stack = stack
        self._language = language
        self._prompt = prompt
        self._pcm = bytearray()

    async def send(self, pcm: bytes) -> None:
        self._pcm += pcm

    async def finish(self) -> None:
        """The request goes out when the transcript is asked for."""

    async def __aiter__(self) -> AsyncIterator[Transcript]:
        if not self._pcm:
            yield Transcript(text="", final=True)
            return
        yield await self._recognizer.transcribe(self._stack, bytes(self._pcm), self._language, self._prompt)


def wav_file(pcm: bytes) -> bytes:
    """PCM s16le mono at ``SPEECH_RATE`` as a WAV file of at least ``SHORTEST_S``."""
    shortest = 2 * round(SHORTEST_S * SPEECH_RATE)
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SPEECH_RATE)
        file.writeframes(pcm.ljust(shortest, b"\0"))
    return out.getvalue()


def read_transcription(names: Names, answer: Mapping[str, Any], sent_s: float) -> Transcript:
    """What came back for ``sent_s`` seconds of sound. Raises ProviderError."""
    text = answer.get("text")
    if not isinstance(text, str):
        raise malformed(names, "a transcription without a text")
    told = answer.get("segments")
    segments = [s for s in told if isinstance(s, dict)] if isinstance(told, list) else []
    if segments and all(_is_silence(segment) for segment in segments):
        text = ""
    return Transcript(
        text=text.strip(),
        final=True,
        language=iso_code(str(answer.get("language") or "")),
        confidence=_confidence(segments),
        usage=_usage(answer.get("usage"), sent_s),
    )


def _is_silence(segment: dict[str, Any]) -> bool:
    return (
        _number(segment.get("no_speech_prob"), 0.0) > NO_SPEECH
        and _number(segment.get("avg_logprob"), 0.0) < NO_TRUST
    )


def _confidence(segments: list[dict[str, Any]]) -> float | None:
    """The mean probability of a token over all segments."""
    trusts = [_number(s["avg_logprob"], 0.0) for s in segments if "avg_logprob" in s]
    return math.exp(min(0.0, sum(trusts) / len(trusts))) if trusts else None


def _usage(usage: object, sent_s: float) -> Usage:
    """Whisper is billed by the second and says how many; the newer models by the token."""
    if not isinstance(usage, dict):
        return Usage(audio_s=sent_s)
    return Usage(
        audio_s=max(0.0, _number(usage.get("seconds"), sent_s)),
        input_tokens=count_of(usage.get("input_tokens")),
        output_tokens=count_of(usage.get("output_tokens")),
    )


def _number(value: object, otherwise: float) -> float:
    return float(value) if is_number(value) else otherwise
