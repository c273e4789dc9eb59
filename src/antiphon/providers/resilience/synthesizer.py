"""A voice that is a chain of voices: a clause that breaks off is finished by another, from the next word on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Literal

from antiphon.audio.resample import Resampler
from antiphon.errors import ProviderError
from antiphon.providers.base import (
    ProviderInfo,
    SpeechChunk,
    SpeechOptions,
    Synthesizer,
    Usage,
    WordTime,
)
from antiphon.providers.resilience.link import Chain, Link
from antiphon.providers.resilience.pursuit import Pursuit, pursue
from antiphon.providers.resilience.request import Asked, Question
from antiphon.providers.resilience.voiced import LETTER_S, pace, rest_of, said_until

PROBE = "Hi."

SLOW_TO_LEARN = 0.2
"""Weight of a new clause in what is known of a voice's pace."""


class ResilientSynthesizer:
    """All sound comes at the preferred voice's rate; a voice name that a fallback does not know becomes its own."""

    def __init__(self, chain: Chain[Synthesizer]) -> None:
        self.chain = chain
        self._letter_s: dict[int, float] = {}
        """Position → seconds a letter takes at speed 1."""

    @property
    def info(self) -> ProviderInfo:
        return replace(self.chain.preferred.adapter.info, resilient=True)

    @asynccontextmanager
    async def speak(self, text: str, options: SpeechOptions) -> AsyncIterator[Spoken]:
        """Safe to cancel at any point."""
        said = _Said(text=text, rate=self.info.sample_rate)

        def left() -> tuple[str, int]:
            letter_s = self._letter_s.get(said.by, LETTER_S) / options.speed
            return rest_of(text, said.until(letter_s)) if said.seconds else (text, 0)

        def ask(link: Link[Synthesizer]) -> Asked[SpeechChunk]:
            rest, start = left()
            said.begin(link.position, _Place(start, said.seconds))
            pieces = _voiced_by(link, rest, said.place, said.rate, options)
            return Asked(pieces=pieces, tally=_Tally(len(rest)))

        question: Question[Synthesizer, SpeechChunk] = Question(
            ask=ask, answers=_any, ends=_never, enough=lambda: False, whole=lambda: not left()[0]
        )
        async with pursue(self.chain, question) as pursuit, aclosing(pursuit.pieces()) as pieces:
            spoken = Spoken(pieces, said, pursuit)
            yield spoken
            if spoken.served_by is not None and spoken.over and said.seconds:
                self._learn(spoken.served_by.position, text, said.seconds * options.speed)

    def probe(self) -> Question[Synthesizer, SpeechChunk]:
        """Something small to ask one of the chain."""
        return Question(
            ask=lambda link: Asked(
                pieces=link.adapter.speak(PROBE, SpeechOptions()), tally=_Tally(len(PROBE))
            ),
            answers=_any,
            ends=_never,
            enough=lambda: True,
        )

    def _learn(self, position: int, text: str, seconds: float) -> None:
        letter_s = pace(text, seconds)
        if letter_s is not None:
            before = self._letter_s.get(position, letter_s)
            self._letter_s[position] = before + SLOW_TO_LEARN * (letter_s - before)


class _Place:
    """Where in a text a voice begins: the offset, and the seconds of sound before it."""

    def __init__(self, char: int, seconds: float) -> None:
        self.char = char
        self.seconds = seconds

    def shift(self, word: WordTime) -> WordTime:
        return WordTime(
            end_char=word.end_char + self.char,
            start_s=word.start_s + self.seconds,
            end_s=word.end_s + self.seconds,
        )


class _Said:
    """How far a text was said."""

    def __init__(self, *, text: str, rate: int) -> None:
        self.text = text
        self.rate = rate
        self.seconds = 0.0
        self.words: list[WordTime] = []
        self.by = 0
        """Position of the voice that is speaking."""
        self.place = _Place(0, 0.0)
        """Where it began."""

    def begin(self, by: int, place: _Place) -> None:
        """Another voice goes on."""
        self.by, self.place = by, place
        self.words.clear()

    def add(self, chunk: SpeechChunk) -> None:
        self.seconds += len(chunk.pcm) / 2 / self.rate
        self.words.extend(chunk.words)

    def until(self, letter_s: float) -> int:
        """Offset past the last word said, by what the voice that is speaking gave."""
        if self.words:
            return said_until(self.text, self.seconds, self.words)
        start, seconds = self.place.char, self.seconds - self.place.seconds
        return start + said_until(self.text[start:], seconds, (), letter_s=letter_s)


class Spoken:
    """The sound of one text. ``served_by`` tells whose voice it is: None when several took part."""

    def __init__(
        self, chunks: AsyncIterator[SpeechChunk], said: _Said, pursuit: Pursuit[Synthesizer, SpeechChunk]
    ) -> None:
        self._chunks = chunks
        self._said = said
        self._pursuit = pursuit
        self._voices: set[Link[Synthesizer]] = set()
        self.over = False

    @property
    def served_by(self) -> Link[Synthesizer] | None:
        return next(iter(self._voices)) if len(self._voices) == 1 else None

    def __aiter__(self) -> Spoken:
        return self

    async def __anext__(self) -> SpeechChunk:
        try:
            chunk = await anext(self._chunks)
        except StopAsyncIteration:
            self.over = True
            raise
        self._said.add(chunk)
        if self._pursuit.served_by is not None:
            self._voices.add(self._pursuit.served_by)
        return chunk


@asynccontextmanager
async def _voiced_by(
    link: Link[Synthesizer], text: str, place: _Place, rate: int, options: SpeechOptions
) -> AsyncIterator[AsyncIterator[SpeechChunk]]:
    """One voice's sound of the text, at ``rate``."""
    options = replace(options, voice=_voice_for(link, options.voice))
    async with aclosing(_spoken(link, text, options)) as chunks:
        async with aclosing(_at_rate(chunks, link.adapter.info.sample_rate, rate, place)) as placed:
            yield placed


async def _spoken(
    link: Link[Synthesizer], text: str, options: SpeechOptions
) -> AsyncGenerator[SpeechChunk, None]:
    """The sound of ``text``; in its own voice when it does not know the one asked for, which may be refused too: the
    operator's. Refusals are not billed, and no attempts of their own."""
    for voice in (options.voice, "", None):
        try:
            async with link.adapter.speak(text, replace(options, voice=voice or "")) as chunks:
                async for chunk in chunks:
                    yield chunk
            return
        except ProviderError as error:
            if error.cause != "unknown_voice" or voice is None:
                raise
            link.erred(error)


def _voice_for(link: Link[Synthesizer], voice: str) -> str:
    """The voice asked for where it is known; callers choose from the preferred provider's."""
    known = link.adapter.info.voices
    return voice if voice in known or (link.position == 0 and not known) else ""


async def _at_rate(
    chunks: AsyncIterator[SpeechChunk], from_rate: int, to_rate: int, place: _Place
) -> AsyncGenerator[SpeechChunk, None]:
    resampler = Resampler(from_rate, to_rate) if from_rate != to_rate else None
    waiting: tuple[WordTime, ...] = ()
    async for chunk in chunks:
        pcm = resampler.push(chunk.pcm) if resampler else chunk.pcm
        waiting += tuple(place.shift(word) for word in chunk.words)
        if pcm:
            yield SpeechChunk(pcm=pcm, words=waiting)
            waiting = ()
    if resampler and (rest := resampler.flush()):
        yield SpeechChunk(pcm=rest, words=waiting)


class _Tally:
    """Characters sent."""

    finish_reason = ""
    transport: Literal["batch", "stream"] = "stream"

    def __init__(self, characters: int) -> None:
        self.model = ""
        self._characters = characters

    def got(self, piece: SpeechChunk) -> None:
        """Sound is not billed; what was sent is."""

    def usage(self) -> Usage:
        return Usage(characters=self._characters)


def _any(_: SpeechChunk) -> bool:
    return True


def _never(_: SpeechChunk) -> bool:
    return False
