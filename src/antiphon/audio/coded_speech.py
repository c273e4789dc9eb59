"""Sound that carries its own words, for tests, benchmarks and the scripted providers.

Every word is a run of samples that repeats a short cycle: a sync value, the word's number, its length, the
position of this cycle inside the word, and the letters. Whoever receives any stretch of such sound, over a
socket or out of a ring buffer, can say exactly which words are inside it and where; a word counts as heard
when half of it is there. The code is loud (about -24 dBFS) so that energy-based detectors take it for speech.
It does not survive resampling.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SYNC = 12_000
"""Sample value that begins a cycle. No other field reaches it."""
BASE = 1_000
"""Added to every other field, so that all of the word is loud."""
FIELD = 4_096
"""Fields count modulo this."""
HEAD = 6
"""Samples of a cycle before the letters."""
LONGEST_WORD_MS = 9_000
"""The length field must stay below ``SYNC``."""
HEARD_SHARE = 0.5
"""Part of a word that must be in the sound for it to be understood."""
NOISE_LEVEL = 4_000
"""Peak of ``noise_sound``: as loud as speech, but it says nothing."""

Samples = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True, kw_only=True)
class CodedWord:
    """A word found in coded sound. Times in seconds from the start of that sound."""

    word: str
    start_s: float
    end_s: float
    share: float
    """How much of the word is in the sound, 0-1."""


def silence(duration_s: float, *, rate: int = 16_000) -> bytes:
    """Digital silence: PCM s16le mono."""
    return bytes(2 * round(duration_s * rate))


def noise_sound(duration_s: float, *, rate: int = 16_000, level: int = NOISE_LEVEL) -> bytes:
    """Loud sound without words (a cough, a door): PCM s16le mono, a square wave of ``level`` at an eighth of
    the rate."""
    signs = np.where(np.arange(round(duration_s * rate)) // 4 % 2 == 0, 1, -1)
    return (signs * level).astype("<i2").tobytes()


def word_sound(word: str, samples: int, *, number: int = 0, rate: int = 16_000) -> bytes:
    """One coded word of exactly ``samples`` samples. ``number`` tells equal neighbours ("no no") apart."""
    letters = word.encode()
    ms = round(samples * 1000 / rate)
    if not letters or ms > LONGEST_WORD_MS or samples < HEAD + len(letters):
        raise ValueError(
            f"a coded word needs letters, {HEAD}+letters samples and at most {LONGEST_WORD_MS} ms"
        )
    head = [SYNC, BASE + number % FIELD, BASE + ms, BASE, BASE, BASE + len(letters)]
    cycle = np.array(head + [BASE + letter for letter in letters], dtype="<i2")
    cycles = -(-samples // len(cycle))
    sound = np.tile(cycle, (cycles, 1))
    at = np.arange(cycles) * len(cycle)
    sound[:, 3] += (at // FIELD).astype(np.int16)
    sound[:, 4] += (at % FIELD).astype(np.int16)
    return sound.reshape(-1)[:samples].tobytes()


def speech_sound(text: str, duration_s: float | None = None, *, rate: int = 16_000, number: int = 0) -> bytes:
    """``text`` as coded speech without gaps, each word as long as its letters' share of ``duration_s``
    (by default 60 ms a letter, about how people talk)."""
    words = text.split()
    letters = [len(word) + 1 for word in words]
    total = round((duration_s if duration_s is not None else 0.06 * sum(letters)) * rate)
    ends = [round(total * sum(letters[: i + 1]) / sum(letters)) for i in range(len(words))]
    starts = [0, *ends[:-1]]
    return b"".join(
        word_sound(word, end - start, number=number + i, rate=rate)
        for i, (word, start, end) in enumerate(zip(words, starts, ends, strict=True))
    )


def coded_words(pcm: bytes, *, rate: int = 16_000) -> list[CodedWord]:
    """Every coded word of which any whole cycle is in ``pcm``, in order, with the share that is there."""
    samples = np.frombuffer(pcm[: len(pcm) & ~1], dtype="<i2")
    syncs = np.flatnonzero(samples == SYNC)
    words: list[CodedWord] = []
    last = -1
    at = 0
    while (index := int(np.searchsorted(syncs, at))) < len(syncs):
        at = int(syncs[index])
        cycle = _read_cycle(samples, at, rate)
        if cycle is None:
            at += 1
            continue
        begin, end = at, max(min(at + cycle.length - cycle.position, len(samples)), at + 1)
        share = (end - begin) / cycle.length
        if words and cycle.number == last and words[-1].word == cycle.word and cycle.position > 0:
            earlier = words.pop()  # the same word, torn by missing sound
            begin, share = round(earlier.start_s * rate), share + earlier.share
        words.append(
            CodedWord(word=cycle.word, start_s=begin / rate, end_s=end / rate, share=min(share, 1.0))
        )
        last = cycle.number
        at = end
    return words


def coded_text(pcm: bytes, *, rate: int = 16_000, heard_share: float = HEARD_SHARE) -> str:
    """What a perfect recogniser hears in ``pcm``."""
    return " ".join(word.word for word in coded_words(pcm, rate=rate) if word.share >= heard_share)


@dataclass(frozen=True, slots=True)
class _Cycle:
    number: int
    length: int
    """Samples of the whole word."""
    position: int
    """Samples of the word before this cycle."""
    word: str


def _read_cycle(samples: Samples, at: int, rate: int) -> _Cycle | None:
    """The cycle that begins at ``at``, or None when it is cut off or not a cycle."""
    if at + HEAD > len(samples):
        return None
    number, ms, high, low, count = (int(value) - BASE for value in samples[at + 1 : at + HEAD])
    if min(number, ms, high, low, count - 1) < 0 or at + HEAD + count > len(samples):
        return None
    letters = samples[at + HEAD : at + HEAD + count].astype(np.int32) - BASE
    if letters.min() < 0 or letters.max() > 255:
        return None
    word = letters.astype(np.uint8).tobytes().decode(errors="replace")
    return _Cycle(number, max(round(ms * rate / 1000), 1), high * FIELD + low, word)


class SpeechTrack:
    """What one person's microphone picks up, laid out on the session's clock.

    ``track.says("stop", from_=5.0, to=6.0)``; later calls replace what they overlap. ``pcm(a, b)`` is the
    sound between two times, silence where nothing was said.
    """

    def __init__(self, *, rate: int = 16_000) -> None:
        self.rate = rate
        self._parts: list[tuple[int, bytes]] = []
        self._words = 0

    def says(self, text: str, *, from_: float, to: float | None = None) -> float:
        """Coded speech from ``from_`` to ``to`` (60 ms a letter when not given); gives the time it ends."""
        sound = speech_sound(text, None if to is None else to - from_, rate=self.rate, number=self._words)
        self._words += len(text.split())
        return self._lay(sound, from_)

    def noise(self, *, from_: float, to: float, level: int = NOISE_LEVEL) -> float:
        """Wordless loud sound; gives the time it ends."""
        return self._lay(noise_sound(to - from_, rate=self.rate, level=level), from_)

    def plays(self, pcm: bytes, *, from_: float) -> float:
        """Any sound at the track's rate (an echo of the assistant, a recording); gives the time it ends."""
        return self._lay(pcm, from_)

    @property
    def end_s(self) -> float:
        """When the last sound ends."""
        return max((start + len(part) // 2 for start, part in self._parts), default=0) / self.rate

    def pcm(self, from_: float, to: float) -> bytes:
        """The sound between two times: PCM s16le mono."""
        begin, end = round(from_ * self.rate), round(to * self.rate)
        sound = np.zeros(max(end - begin, 0), dtype="<i2")
        for start, part in self._parts:
            samples = np.frombuffer(part, dtype="<i2")
            first, last = max(start, begin), min(start + len(samples), end)
            if first < last:
                sound[first - begin : last - begin] = samples[first - start : last - start]
        return sound.tobytes()

    def _lay(self, sound: bytes, from_: float) -> float:
        start = round(from_ * self.rate)
        self._parts.append((start, sound))
        return (start + len(sound) // 2) / self.rate
