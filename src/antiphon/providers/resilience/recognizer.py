"""A recogniser that is a chain of recognisers: the sound is kept, so that the next one hears all of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Literal

from antiphon.audio.resample import resample
from antiphon.providers.base import ProviderInfo, Recognizer, RecognizerStream, Transcript, Usage
from antiphon.providers.resilience.link import Chain, Link
from antiphon.providers.resilience.pursuit import Pursuit, pursue
from antiphon.providers.resilience.request import NOT_YET, Asked, Expected, Question

REPLAY_S = 180
"""Seconds of sound kept for whoever hears it next: three times the longest turn (5.8 MB)."""

PROBE_S = 0.3
"""Silence that a probe sends: enough for every vendor to take it for a recording."""


class ResilientRecognizer:
    """Batch or streaming, as the preferred one is: a batch fallback behind a streaming recogniser gives its final
    only; a streaming one behind a batch recogniser keeps its interim words to itself."""

    def __init__(self, chain: Chain[Recognizer]) -> None:
        self.chain = chain

    @property
    def info(self) -> ProviderInfo:
        return replace(self.chain.preferred.adapter.info, resilient=True)

    @asynccontextmanager
    async def open(self, *, language: str | None = None, prompt: str = "") -> AsyncIterator[RecognizerStream]:
        """Safe to cancel at any point."""
        sound = Sound(rate=self.info.sample_rate)

        def ask(link: Link[Recognizer]) -> Asked[Transcript]:
            return _asked(link.adapter, sound, language, prompt)

        question: Question[Recognizer, Transcript] = Question(
            ask=ask, answers=_final, ends=_final, enough=lambda: False
        )
        async with pursue(self.chain, question, Expected(NOT_YET)) as pursuit:
            stream = _Stream(sound, pursuit, interims=self.info.streaming)
            async with aclosing(stream.transcripts):
                yield stream

    def probe(self) -> Question[Recognizer, Transcript]:
        """Something small to ask one of the chain."""
        silence = Sound(rate=self.info.sample_rate)
        silence.add(bytes(2 * round(PROBE_S * silence.rate)))
        silence.finish()
        return Question(
            ask=lambda link: _asked(link.adapter, silence, None, ""),
            answers=_final,
            ends=_final,
            enough=lambda: False,
        )


class Sound:
    """Sound that grows until it is finished, read from its start by anybody."""

    def __init__(self, *, rate: int) -> None:
        self.rate = rate
        self.finished = False
        self._pcm = bytearray()
        self._dropped = 0
        self._changed = asyncio.Event()

    def add(self, pcm: bytes) -> None:
        self._pcm += pcm
        extra = len(self._pcm) - 2 * REPLAY_S * self.rate
        if extra > 0:
            del self._pcm[:extra]
            self._dropped += extra
        self._pulse()

    def finish(self) -> None:
        self.finished = True
        self._pulse()

    async def read(self) -> AsyncGenerator[bytes, None]:
        """Everything from the start, then what comes, until it is finished."""
        at = self._dropped
        while True:
            changed = self._changed
            at = max(at, self._dropped)
            if piece := bytes(self._pcm[at - self._dropped :]):
                at += len(piece)
                yield piece
            elif self.finished:
                return
            else:
                await changed.wait()

    def _pulse(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class _Stream:
    """What the engine sends sound to."""

    def __init__(self, sound: Sound, pursuit: Pursuit[Recognizer, Transcript], *, interims: bool) -> None:
        self._sound = sound
        self._pursuit = pursuit
        self._interims = interims
        self.transcripts = self._given()

    async def send(self, pcm: bytes) -> None:
        self._sound.add(pcm)

    async def finish(self) -> None:
        self._sound.finish()
        self._pursuit.expect()

    def __aiter__(self) -> AsyncIterator[Transcript]:
        return self.transcripts

    async def _given(self) -> AsyncGenerator[Transcript, None]:
        async with aclosing(self._pursuit.pieces()) as pieces:
            async for transcript in pieces:
                if transcript.final or self._interims:
                    yield transcript


class _Tally:
    """Seconds of sound: what the provider says, else what was sent."""

    finish_reason = ""

    def __init__(self, transport: Literal["batch", "stream"], *, rate: int) -> None:
        self.transport = transport
        self.model = ""
        self.sent = 0
        """Samples. Added up in seconds, some milliseconds of a price would be the rounding's."""
        self._rate = rate
        self._said: Usage | None = None

    def got(self, piece: Transcript) -> None:
        if piece.final and piece.usage != Usage():
            self._said = piece.usage

    def usage(self) -> Usage:
        return self._said or Usage(audio_s=self.sent / self._rate)


def _asked(recognizer: Recognizer, sound: Sound, language: str | None, prompt: str) -> Asked[Transcript]:
    tally = _Tally("stream" if recognizer.info.streaming else "batch", rate=sound.rate)
    return Asked(pieces=_heard_by(recognizer, sound, language, prompt, tally), tally=tally)


@asynccontextmanager
async def _heard_by(
    recognizer: Recognizer, sound: Sound, language: str | None, prompt: str, tally: _Tally
) -> AsyncIterator[AsyncIterator[Transcript]]:
    """One recogniser's transcripts of the sound, which is sent to it meanwhile."""
    rate = recognizer.info.sample_rate
    async with recognizer.open(language=language, prompt=prompt) as stream:
        if not recognizer.info.streaming:
            await _send(stream, sound, rate, tally)
            yield aiter(stream)
            return
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(_send(stream, sound, rate, tally))
            yield aiter(stream)
            sending.cancel()


async def _send(stream: RecognizerStream, sound: Sound, rate: int, tally: _Tally) -> None:
    samples = 0
    async with aclosing(sound.read()) as pieces:
        async for pcm in pieces:
            # Pieces are resampled one by one: recognisers hear no seams, and nearly all of them want 16 kHz.
            await stream.send(resample(pcm, sound.rate, rate))
            samples += len(pcm) // 2
            if tally.transport == "stream":
                tally.sent = samples
    # A recording goes out when it is whole: one that is given up before was not sent, and is not billed.
    tally.sent = samples
    await stream.finish()


def _final(transcript: Transcript) -> bool:
    return transcript.final
