"""Word errors, counted fairly: case, punctuation and the way numbers are written do not count.

"42", "forty-two" and "four two" are the same spoken words or not depending on how they were said, so a number in
digits is read in every usual way (cardinal, digit by digit, as a year) and the reading closest to the reference
counts. This is done for every contender alike.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

_SMALL = tuple(
    re.findall(
        r"\w+",
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen",
    )
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_READINGS_TRIED = 256
"""Of one text, all its numbers combined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WordErrors:
    """Errors in so many words; adds up."""

    errors: int = 0
    """Words to change, leave out or put in."""
    words: int = 0
    """Of the reference."""

    def __add__(self, other: WordErrors) -> WordErrors:
        return WordErrors(errors=self.errors + other.errors, words=self.words + other.words)

    @property
    def percent(self) -> float:
        return 100 * self.errors / max(1, self.words)


def word_errors(reference: str, heard: str) -> WordErrors:
    """What a recogniser got wrong. Without errors when its words differ only in how they are written."""
    said = spoken_words(reference)
    choices = [_readings(word) if word.isascii() and word.isdigit() else [[word]] for word in _split(heard)]
    combined = itertools.islice(itertools.product(*choices), _READINGS_TRIED)
    errors = min(_distance(said, list(itertools.chain.from_iterable(words))) for words in combined)
    return WordErrors(errors=errors, words=len(said))


def spoken_words(text: str) -> list[str]:
    """The words of a text, numbers as cardinals."""
    return [
        spoken
        for word in _split(text)
        for spoken in (_cardinal(int(word)) if word.isascii() and word.isdigit() else [word])
    ]


def _split(text: str) -> list[str]:
    text = text.lower().replace("’", "'").replace("%", " percent ")
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    text = re.sub(r"[^\w' ]+", " ", text)
    return text.replace("'", "").split()


def _readings(digits: str) -> list[list[str]]:
    number = int(digits)
    readings = [_cardinal(number)] if number < 10**9 else []
    readings.append([_SMALL[int(digit)] for digit in digits])
    if len(digits) == 4 and number % 100:
        readings.append([*_cardinal(number // 100), *_cardinal(number % 100)])
    return readings


def _cardinal(number: int) -> list[str]:
    if number < 20:
        return [_SMALL[number]]
    if number < 100:
        return [_TENS[number // 10], *([_SMALL[number % 10]] if number % 10 else [])]
    for size, name in ((10**9, "billion"), (10**6, "million"), (1000, "thousand"), (100, "hundred")):
        if number >= size:
            rest = _cardinal(number % size) if number % size else []
            return [*_cardinal(number // size), name, *rest]
    raise AssertionError("every number above 99 has a size")


def _distance(one: Sequence[str], other: Sequence[str]) -> int:
    """Levenshtein's, in words."""
    row = list(range(len(other) + 1))
    for at, word in enumerate(one, 1):
        diagonal, row[0] = row[0], at
        for column, candidate in enumerate(other, 1):
            diagonal, row[column] = (
                row[column],
                min(row[column] + 1, row[column - 1] + 1, diagonal + (word != candidate)),
            )
    return row[-1]
