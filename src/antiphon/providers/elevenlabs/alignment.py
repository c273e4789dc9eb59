"""From the time of each character, as ElevenLabs tells it, to the time of each word. Pure.

The characters that come back are those that were sent, but for white space, which the vendor adds and drops
("first- time"). So only the others are counted: the n-th that is told of is the n-th of the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from antiphon.providers.base import WordTime
from antiphon.providers.vendor_json import is_number

_UNSPACED = re.compile(r"[぀-ヿ㐀-鿿]")
"""Scripts written without spaces: each character counts as a word."""


@dataclass(frozen=True, slots=True)
class CharTimes:
    """Characters and when each begins and ends, in seconds from the start of the sound they came with."""

    chars: Sequence[str] = ()
    starts_s: Sequence[float] = ()
    ends_s: Sequence[float] = ()

    @property
    def spoken(self) -> int:
        """How many are not white space."""
        return sum(not char.isspace() for char in self.chars)

    def split(self, spoken: int) -> tuple[CharTimes, CharTimes]:
        """The first ``spoken`` characters that are not white space, with what white space follows them; the rest."""
        seen = 0
        for at, char in enumerate(self.chars):
            if not char.isspace():
                if seen == spoken:
                    return self._part(0, at), self._part(at, len(self.chars))
                seen += 1
        return self, CharTimes()

    def later(self, by_s: float) -> CharTimes:
        """The same, ``by_s`` later."""
        return CharTimes(
            self.chars, [start + by_s for start in self.starts_s], [end + by_s for end in self.ends_s]
        )

    def _part(self, start: int, end: int) -> CharTimes:
        return CharTimes(self.chars[start:end], self.starts_s[start:end], self.ends_s[start:end])


def socket_times(alignment: object) -> CharTimes:
    """``alignment`` of a WebSocket message: ``chars``, ``charStartTimesMs``, ``charDurationsMs``. What is not well
    formed counts as none."""
    if not isinstance(alignment, Mapping):
        return CharTimes()
    starts = _numbers(alignment.get("charStartTimesMs") or alignment.get("charsStartTimesMs"))
    lasts = _numbers(alignment.get("charDurationsMs") or alignment.get("charsDurationsMs"))
    ends = [start + last for start, last in zip(starts, lasts, strict=False)]
    return _times(alignment.get("chars"), starts, ends, 1_000.0)


def http_times(alignment: object) -> CharTimes:
    """``alignment`` of a line of ``stream/with-timestamps``, in seconds from the start of the whole answer."""
    if not isinstance(alignment, Mapping):
        return CharTimes()
    starts = _numbers(alignment.get("character_start_times_seconds"))
    ends = _numbers(alignment.get("character_end_times_seconds"))
    return _times(alignment.get("characters"), starts, ends, 1.0)


def _times(chars: Any, starts: list[float], ends: list[float], unit: float) -> CharTimes:
    if not isinstance(chars, list) or not len(chars) == len(starts) == len(ends):
        return CharTimes()
    singles = [
        (single, start / unit, end / unit)
        for char, start, end in zip(chars, starts, ends, strict=True)
        for single in str(char)
    ]
    return CharTimes(
        [char for char, _, _ in singles],
        [start for _, start, _ in singles],
        [end for _, _, end in singles],
    )


def _numbers(value: object) -> list[float]:
    if not isinstance(value, list) or not all(map(is_number, value)):
        return []
    return [float(number) for number in value]


class TimedText:
    """Follows one text through the times of its characters."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._places = [at for at, char in enumerate(text) if not char.isspace()]
        self._told = 0
        self._word_start_s = 0.0
        self.ends_s = 0.0
        """When the last character told of ends."""

    @property
    def left(self) -> int:
        """Characters, white space not counted, whose times have not come yet."""
        return len(self._places) - self._told

    @property
    def told(self) -> int:
        """Characters, white space not counted, whose times have come."""
        return self._told

    def take(self, times: CharTimes) -> tuple[WordTime, ...]:
        """The words that these characters end. At most ``left`` of them may be spoken ones."""
        words = []
        for char, start_s, end_s in zip(times.chars, times.starts_s, times.ends_s, strict=True):
            if char.isspace():
                continue
            at = self._places[self._told]
            if at == 0 or self._text[at - 1].isspace() or self._ends_word(at - 1):
                self._word_start_s = start_s
            self._told += 1
            self.ends_s = max(self.ends_s, end_s)
            if self._ends_word(at):
                words.append(WordTime(end_char=at + 1, start_s=self._word_start_s, end_s=end_s))
        return tuple(words)

    def _ends_word(self, at: int) -> bool:
        following = self._text[at + 1 : at + 2]
        return not following or following.isspace() or bool(_UNSPACED.match(self._text[at]))
