"""Sound of texts that are said again and again: kept, so that it costs nothing and is there at once.

Apologies are voiced ahead, while the voice still works: they are for when it does not.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace

from antiphon.errors import AntiphonError
from antiphon.providers.base import ProviderInfo, SpeechChunk, SpeechOptions, Usage
from antiphon.providers.metering import Attempt, report
from antiphon.providers.resilience.synthesizer import ResilientSynthesizer, Spoken

LONGEST_TEXT = 80
"""Characters. Longer sentences are seldom said twice in the same words."""

SEEN = 1_024
"""Texts remembered by name only, to know a second use: 100 KB."""

WANTED = 32
"""Texts waiting to be voiced ahead: a few for each of some voices and languages."""

IDLE_S = 2.0
"""Nobody asked to speak for so long: texts are voiced ahead without being in anybody's way."""

BUSY_S = 10.0
"""Where somebody always speaks they are voiced after so long: one short text at a time is hardly in anybody's way."""

AGAIN_S = 600.0
"""Stock that made room for another voice's is asked for again after so long at the soonest. What waits is voiced by
then, and where more voices take turns than there is memory for, each costs 300 characters every ten minutes at most."""

Stock = Callable[[str], Sequence[str]]
"""Language → the texts that must be at hand in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """Everything that makes the sound of a text what it is."""

    provider: str
    """``provider:model``"""
    voice: str
    language: str
    speed: float
    text: str


class SpeechCache:
    """The sounds last used, up to a number of bytes: first of the stock, in what it leaves of other texts. Pure."""

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._stock = _Shelf()
        self._others = _Shelf()

    @property
    def size(self) -> int:
        """Bytes of sound kept."""
        return self._stock.size + self._others.size

    def __len__(self) -> int:
        return len(self._stock.sounds) + len(self._others.sounds)

    def get(self, utterance: Utterance) -> tuple[SpeechChunk, ...] | None:
        """Its sound, which is then the last used."""
        return self._stock.get(utterance) or self._others.get(utterance)

    def any_voice(self, utterance: Utterance) -> tuple[SpeechChunk, ...] | None:
        """The same text of the stock in whatever voice there is."""
        sounds = self._stock.sounds
        return next((sounds[kept] for kept in reversed(sounds) if kept.text == utterance.text), None)

    def put(self, utterance: Utterance, chunks: Sequence[SpeechChunk], *, in_stock: bool = False) -> None:
        """Keep it; what was not used for longest makes room, of the stock only for the stock. What is too large is not
        kept."""
        shelf = self._stock if in_stock else self._others
        size = _size(chunks)
        if not 0 < size <= self._max_bytes - (0 if in_stock else self._stock.size):
            return
        shelf.drop(utterance)
        while self.size + size > self._max_bytes:
            (self._others if self._others.sounds else self._stock).drop_oldest()
        shelf.add(utterance, chunks)


class _Shelf:
    """Sounds, the last used at the end."""

    def __init__(self) -> None:
        self.sounds: OrderedDict[Utterance, tuple[SpeechChunk, ...]] = OrderedDict()
        self.size = 0

    def get(self, utterance: Utterance) -> tuple[SpeechChunk, ...] | None:
        chunks = self.sounds.get(utterance)
        if chunks is not None:
            self.sounds.move_to_end(utterance)
        return chunks

    def add(self, utterance: Utterance, chunks: Sequence[SpeechChunk]) -> None:
        self.sounds[utterance] = tuple(chunks)
        self.size += _size(chunks)

    def drop(self, utterance: Utterance) -> None:
        self.size -= _size(self.sounds.pop(utterance, ()))

    def drop_oldest(self) -> None:
        self.drop(next(iter(self.sounds)))


class CachingSynthesizer:
    """A chain of voices with a memory. ``prepare`` runs beside it and voices the stock ahead."""

    def __init__(
        self, voices: ResilientSynthesizer, *, cache: SpeechCache, stock: Stock, remember: bool = True
    ) -> None:
        """``remember`` False keeps the stock only, and no sentence that happens to be said twice."""
        self.voices = voices
        self._cache = cache
        self._stock = stock
        self._remember = remember
        self._seen: OrderedDict[Utterance, None] = OrderedDict()
        self._asked: OrderedDict[tuple[str, str, float], float] = OrderedDict()
        """Voices and languages → loop time at which their stock was asked for."""
        self._wanted: asyncio.Queue[tuple[str, SpeechOptions]] = asyncio.Queue(WANTED)
        self._used_at = -math.inf
        """Loop time at which a caller last asked to speak."""

    @property
    def info(self) -> ProviderInfo:
        return self.voices.info

    @asynccontextmanager
    async def speak(self, text: str, options: SpeechOptions) -> AsyncIterator[AsyncIterator[SpeechChunk]]:
        """Safe to cancel at any point."""
        self._used_at = asyncio.get_running_loop().time()
        self.want(options)
        kept = self._cache.get(self._utterance(text, options))
        if kept is not None:
            self._report_cached()
            yield _again(kept)
            return
        async with aclosing(self._voiced(text, options)) as chunks:
            yield chunks

    def want(self, options: SpeechOptions) -> None:
        """Have what is missing of the stock voiced for this voice and language, when there is time."""
        texts = [text for text in self._stock(options.language) if not self._at_hand(text, options)]
        key, now = _key(options), asyncio.get_running_loop().time()
        if not texts or now < self._asked.get(key, -math.inf) + AGAIN_S:
            return
        if self._wanted.qsize() + len(texts) > WANTED:
            return  # asked for again with the next clause
        self._asked[key] = now
        self._asked.move_to_end(key)
        if len(self._asked) > SEEN:
            self._asked.popitem(last=False)
        by_itself = replace(options, context_id="")  # not as part of the reply that made it wanted
        for text in texts:
            self._wanted.put_nowait((text, by_itself))

    def _at_hand(self, text: str, options: SpeechOptions) -> bool:
        """Then it is in use: the stock of a voice that speaks stays, that of others makes room."""
        return self._cache.get(self._utterance(text, options)) is not None

    async def prepare(self) -> None:
        """Voice what is wanted, one text after the other, until cancelled. What fails is not tried again until it
        is needed: its voice does not work, and the same text in another voice will have to do."""
        while True:
            text, options = await self._wanted.get()
            await self._idle()
            if self._at_hand(text, options):
                continue
            try:
                async with aclosing(self._voiced(text, options)) as chunks:
                    async for _ in chunks:
                        pass
            except AntiphonError:
                self._asked.pop(_key(options), None)

    async def _idle(self) -> None:
        loop = asyncio.get_running_loop()
        latest = loop.time() + BUSY_S
        while (left := min(self._used_at + IDLE_S, latest) - loop.time()) > 0:  # noqa: ASYNC110 -- it moves on
            await asyncio.sleep(left)

    async def _voiced(self, text: str, options: SpeechOptions) -> AsyncGenerator[SpeechChunk, None]:
        utterance = self._utterance(text, options)
        in_stock = text in self._stock(options.language)
        keep = in_stock or self._worth_keeping(utterance)
        chunks: list[SpeechChunk] = []
        given = False
        try:
            async with self.voices.speak(text, options) as spoken:
                async for chunk in spoken:
                    given = True
                    if keep:
                        chunks.append(chunk)
                    yield chunk
        except AntiphonError:
            substitute = self._cache.any_voice(utterance) if in_stock and not given else None
            if substitute is None:
                raise
            self._report_cached()
            for chunk in substitute:
                yield chunk
            return
        if keep and _is_its_voice(spoken, or_any=in_stock):
            self._cache.put(utterance, chunks, in_stock=in_stock)

    def _worth_keeping(self, utterance: Utterance) -> bool:
        """Whether it is said for the second time."""
        if not self._remember or len(utterance.text) > LONGEST_TEXT:
            return False
        known = utterance in self._seen
        self._seen[utterance] = None
        self._seen.move_to_end(utterance)
        if len(self._seen) > SEEN:
            self._seen.popitem(last=False)
        return known

    def _utterance(self, text: str, options: SpeechOptions) -> Utterance:
        return Utterance(
            provider=self.info.name,
            voice=options.voice,
            language=options.language,
            speed=options.speed,
            text=text,
        )

    def _report_cached(self) -> None:
        now = asyncio.get_running_loop().time()
        report(
            Attempt(
                kind="tts",
                provider=self.info.name,
                usage=Usage(),
                cached=True,
                began_s=now,
                first_s=now,
                ended_s=now,
            )
        )


def _key(options: SpeechOptions) -> tuple[str, str, float]:
    return options.voice, options.language, options.speed


def _is_its_voice(spoken: Spoken, *, or_any: bool) -> bool:
    """Whether one voice said all of it. A fallback's sound is kept only for the stock, where any voice is better than
    none."""
    link = spoken.served_by
    return link is not None and spoken.over and (or_any or link.position == 0)


async def _again(chunks: Sequence[SpeechChunk]) -> AsyncGenerator[SpeechChunk, None]:
    for chunk in chunks:
        yield chunk


def _size(chunks: Sequence[SpeechChunk]) -> int:
    return sum(len(chunk.pcm) for chunk in chunks)
