"""What the embedded voices have in common: pieces of sound, silence in front cut off, and when words fall."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from antiphon.providers.base import WordTime

Sound = NDArray[np.float32]

ONSET = 0.01
"""Amplitude (of 1) at which speech is taken to begin: -40 dB, above a voice's own noise."""
LEAD_S = 0.02
"""Seconds of quiet kept in front of the onset, so that the attack of a consonant is not cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """The next stretch of an utterance: float32 mono in ±1 at the voice's rate."""

    sound: Sound
    words: tuple[WordTime, ...] = ()
    """The words that begin in this piece or later and were not told before, in seconds of the utterance."""


class Utterance(Protocol):
    """One text being spoken, a step at a time. Each step is a run for the lane."""

    def step(self) -> Piece | None:
        """The next piece, or None after the last. Raises ``ProviderError``."""


class Voice(Protocol):
    """A loaded voice model."""

    @property
    def sample_rate(self) -> int: ...

    @property
    def voices(self) -> tuple[str, ...]:
        """Names, the default first."""

    @property
    def by_stretches(self) -> bool:
        """Whether a step is a stretch of a sentence: some ten milliseconds of work. Else it is a whole one."""

    def voice_for(self, language: str) -> str:
        """The voice for a language (ISO 639-1, may be empty) when nobody chose one."""

    def speak(self, text: str, *, voice: str, speed: float) -> Utterance:
        """``voice`` is one of ``voices``; ``speed`` 1.0 is its own pace."""

    def warm_up(self) -> None:
        """Run what a first sentence would run for the first time."""


class LeadTrimmer:
    """Cuts the silence in front of an utterance, and moves its word times with it."""

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._cut: int | None = None
        """Samples removed; None until the onset has been seen."""
        self._dropped = 0

    def __call__(self, piece: Piece) -> Piece:
        """The piece as it should be heard; its sound may be empty."""
        if self._cut is None:
            loud = np.flatnonzero(np.abs(piece.sound) > ONSET)
            keep_from = max(0, (int(loud[0]) if len(loud) else len(piece.sound)) - round(LEAD_S * self._rate))
            self._dropped += keep_from
            if len(loud):
                self._cut = self._dropped
            piece = replace(piece, sound=piece.sound[keep_from:])
        shift = (self._cut if self._cut is not None else self._dropped) / self._rate
        words = tuple(
            replace(word, start_s=max(0.0, word.start_s - shift), end_s=max(0.0, word.end_s - shift))
            for word in piece.words
        )
        return replace(piece, words=words)


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text: where it is, and how long it is by itself, in phonemes or characters."""

    start: int
    end: int
    weight: int

    def of(self, text: str) -> str:
        return text[self.start : self.end]


def letters(spoken: str) -> int:
    """Phonemes that are sounds: not stress marks, spaces or punctuation."""
    return sum(phoneme.isalpha() for phoneme in spoken)


def words_of(text: str) -> list[Word]:
    """The words of ``text``, by white space, weighing their letters and digits."""
    words: list[Word] = []
    at = 0
    for token in text.split():
        start = text.index(token, at)
        at = start + len(token)
        words.append(Word(start, at, sum(character.isalnum() for character in token)))
    return words


def share(words: Sequence[Word], lengths: Sequence[int]) -> list[list[Word]]:
    """Give each word to the sentence in which its middle falls, by weight; ``lengths`` are the sentences'."""
    shares: list[list[Word]] = [[] for _ in lengths]
    total = sum(word.weight for word in words)
    ends = list(itertools.accumulate(lengths))
    weight = 0
    for word in words:
        middle = (weight + word.weight / 2) / total * ends[-1] if total and ends else 0.0
        weight += word.weight
        if ends:
            shares[min(bisect.bisect_left(ends, middle), len(ends) - 1)].append(word)
    return shares


def word_times(
    words: Sequence[Word], phonemes: str, ends_s: Sequence[float], *, start_s: float
) -> tuple[WordTime, ...]:
    """Place ``words`` on the phonemes that were spoken for them.

    ``ends_s`` says when each phoneme ends, in seconds; the first begins at ``start_s``. Phonemes and words
    are not matched one to one (a number is one word and is spoken as several; espeak-ng joins "of the"), so
    each boundary is put at its share of the phonemes by weight, and moved to a space between phoneme words
    when one is within two phonemes.
    """
    spoken = [index for index, phoneme in enumerate(phonemes) if phoneme.isalpha()]
    total = sum(word.weight for word in words)
    if not spoken or not total:
        return ()
    gaps = {count for count, index in enumerate(spoken) if count and index - spoken[count - 1] > 1}
    times: list[WordTime] = []
    weight = 0
    begun = start_s if spoken[0] == 0 else ends_s[spoken[0] - 1]
    for word in words:
        weight += word.weight
        count = round(weight / total * len(spoken))
        if count < len(spoken):
            count = min(
                (gap for gap in gaps if abs(gap - count) <= 2), key=lambda g: abs(g - count), default=count
            )
        ended = max(begun, ends_s[spoken[count - 1]] if count else begun)
        times.append(WordTime(end_char=word.end, start_s=begun, end_s=ended))
        begun = max(ended, ends_s[spoken[count] - 1]) if 0 < count < len(spoken) else ended
    return tuple(times)
