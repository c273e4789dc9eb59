"""One clause being spoken, and the replies' contexts that clauses follow each other in.

Successive clauses of a reply are spoken in one context, so that the voice keeps its intonation. The vendor says when a
context is over, not when a clause is: the times of the characters tell, for when the last one of a clause has come,
so has all of its sound.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

from antiphon.errors import ProviderError
from antiphon.providers.base import SpeechChunk, WordTime
from antiphon.providers.coded_sound import coded_as
from antiphon.providers.elevenlabs.alignment import CharTimes, TimedText
from antiphon.providers.http import Patience
from antiphon.providers.vendor_errors import Names, empty, malformed, too_slow, wrong_rate

LONGEST_CLAUSE_S = 300.0
"""Sound for one clause: a sentence is 15 s. A vendor that sends more does not know where to end."""

SHORTEST_SHARE, LONGEST_SHARE, SILENCE_S = 0.8, 1.6, 1.0
"""Sound is about as long as its characters say, plus at most a second of silence. Shorter or longer than this: another
sample rate than was asked for (16 000 for 24 000 is 0.67 of it, 48 000 is 2; 22 050 is 0.92 and is not noticed)."""

ENOUGH_S = 0.5
"""Sound shorter than this is not judged by its length."""


class Clause:
    """A text and its sound as it comes."""

    def __init__(self, text: str, *, rate: int, names: Names) -> None:
        self.text = text
        self.timed = TimedText(text)
        self.seconds = 0.0
        """Sound received so far."""
        self.spoken_s = 0.0
        """How long, by its characters, that was."""
        self.asked_s = 0.0
        """Loop time."""
        self.context = ""
        """As the vendor knows it."""
        self.over = False
        self.dropped = False
        """Nobody listens any more."""
        self._rate = rate
        self._names = names
        self._words: tuple[WordTime, ...] = ()
        self._chunks: asyncio.Queue[SpeechChunk | ProviderError | None] = asyncio.Queue()
        """Bounded by ``LONGEST_CLAUSE_S``."""

    def hear(self, pcm: bytes, times: CharTimes) -> SpeechChunk | None:
        """More sound, and the characters spoken in it, at most those that are left. Raises ProviderError for what
        cannot be this clause's."""
        if not self.seconds and (pcm.startswith(b"RIFF") or coded_as(pcm)):
            raise wrong_rate(self._names, "sent sound that is not plain PCM")
        words = self.timed.take(times.later(self.seconds))
        self.seconds += len(pcm) / 2 / self._rate
        if self.seconds > LONGEST_CLAUSE_S:
            raise malformed(self._names, f"more than {LONGEST_CLAUSE_S:g} s of sound for one clause")
        self._words += words
        if not pcm:
            return None  # words that came without sound go with the next
        words, self._words = self._words, ()
        return SpeechChunk(pcm=pcm, words=words)

    def verdict(self) -> ProviderError | None:
        """What was wrong with all of its sound, if anything."""
        spoken_s = self.spoken_s
        if not self.seconds:
            return empty(self._names, "sent no sound")
        if spoken_s > ENOUGH_S and not _fits(self.seconds, spoken_s):
            lengths = f"{self.seconds:.1f} s of sound for {spoken_s:.1f} s of speech"
            return wrong_rate(self._names, f"sent {lengths}: it is not PCM at {self._rate} Hz")
        return None

    def take(self, pcm: bytes, times: CharTimes) -> None:
        """``hear`` for whoever reads ``sound``."""
        chunk = self.hear(pcm, times)
        self.spoken_s += max(times.ends_s, default=0.0)
        if chunk and not self.dropped:
            self._chunks.put_nowait(chunk)

    def end(self) -> None:
        """That was all of it."""
        if not self.over:
            self._over(self.verdict())

    def fail(self, error: ProviderError) -> None:
        """It will not be spoken to its end."""
        if not self.over:
            self._over(error)

    def _over(self, end: ProviderError | None) -> None:
        self.over = True
        self._chunks.put_nowait(end)

    async def sound(self, patience: Patience) -> AsyncGenerator[SpeechChunk, None]:
        """The sound as it comes; raises what ``fail`` was told, or that the vendor fell silent. Safe to cancel."""
        while (chunk := await self._next(patience)) is not None:
            if isinstance(chunk, ProviderError):
                raise chunk
            yield chunk

    async def _next(self, patience: Patience) -> SpeechChunk | ProviderError | None:
        wait_s = patience.gap_s if self.seconds else patience.first_byte_s
        try:
            async with asyncio.timeout(wait_s):
                return await self._chunks.get()
        except TimeoutError:
            return too_slow(self._names, f"fell silent for {wait_s:g} s")


def _fits(seconds: float, spoken_s: float) -> bool:
    return SHORTEST_SHARE * spoken_s <= seconds <= LONGEST_SHARE * spoken_s + SILENCE_S


class Speaking:
    """One context: clauses in the order in which they are spoken."""

    def __init__(self, name: str, *, rate: int) -> None:
        self.name = name
        """As the vendor knows it."""
        self.closing = False
        """The vendor was told that no more text follows."""
        self.misaligned = False
        """It ended although, by its characters, a clause was not over."""
        self._rate = rate
        self._clauses: deque[Clause] = deque()
        """Those that are not over; bounded by the engine, which has two or three voiced at a time."""

    @property
    def waiting(self) -> bool:
        """Whether a clause is not over."""
        return bool(self._clauses)

    @property
    def listened(self) -> bool:
        """Whether somebody listens to one of them."""
        return any(not clause.dropped for clause in self._clauses)

    @property
    def sounding(self) -> bool:
        """Whether the first of them has begun to sound."""
        return bool(self._clauses) and self._clauses[0].seconds > 0.0

    def add(self, clause: Clause) -> None:
        """To be spoken next."""
        self._clauses.append(clause)

    def take(self, pcm: bytes, times: CharTimes) -> None:
        """Sound as it came; it may end one clause and begin the next. Raises ProviderError."""
        while self._clauses and (pcm or times.chars):
            clause = self._clauses[0]
            mine, rest = times.split(clause.timed.left)
            if not rest.chars or len(self._clauses) == 1:
                clause.take(pcm, mine)
                pcm, times = b"", CharTimes()
            else:
                cut_s = rest.starts_s[0]
                at = min(max(2 * round(cut_s * self._rate), 0), len(pcm))
                clause.take(pcm[:at], mine)
                pcm, times = pcm[at:], rest.later(-cut_s)
            if not clause.timed.left:
                self._clauses.popleft().end()

    def end(self) -> None:
        """The vendor says that the context is over."""
        while self._clauses:
            clause = self._clauses.popleft()
            self.misaligned |= clause.seconds > 0.0 and not clause.dropped
            clause.end()

    def fail(self, error: ProviderError) -> None:
        """None of them will be spoken to the end."""
        while self._clauses:
            self._clauses.popleft().fail(error)
