"""How far a voice had come when it broke off, so that another goes on with the next word. Pure.

By the times of the words where the voice gives them, else by its pace.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from antiphon.providers.base import WordTime

LETTER_S = 0.065
"""Seconds a letter takes (about 15 a second), until a voice has shown its own pace."""

PAUSE_LETTERS = 3.0
"""A comma or full stop is as long as three letters."""

SAID = 0.5
"""A word of which half sounded is taken as said: hearing its beginning twice is worse than missing its end."""

_WORD = re.compile(r"\S+")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")


def said_until(text: str, seconds: float, words: Sequence[WordTime], *, letter_s: float = LETTER_S) -> int:
    """Offset in ``text`` just past the last word said in the first ``seconds`` of its sound."""
    if seconds <= 0.0:
        return 0
    if words:
        said = [word.end_char for word in words if _share(word, seconds) >= SAID]
        return max(said, default=0)
    offset, at = 0, 0.0
    for start, end in spans(text):
        word = text[start:end]
        if at + SAID * len(letters_only(word)) * letter_s > seconds:
            break
        offset, at = end, at + weight(word) * letter_s
    return offset


def rest_of(text: str, offset: int) -> tuple[str, int]:
    """What is still to be said, and where in ``text`` it begins; empty when that is nothing but punctuation."""
    rest = text[offset:]
    start = next((index for index, char in enumerate(rest) if char.isalnum()), None)
    if start is None:
        return "", len(text)
    return rest[start:], offset + start


def spans(text: str) -> list[tuple[int, int]]:
    """The words of a text; in scripts without spaces every character is one."""
    found: list[tuple[int, int]] = []
    for match in _WORD.finditer(text):
        if _UNSPACED.search(match.group()):
            found.extend((at, at + 1) for at in range(*match.span()))
        else:
            found.append(match.span())
    return found


def weight(word: str) -> float:
    """How long a word takes with the gap after it, in letters."""
    letters = sum(1.0 for char in word if char.isalnum())
    return letters + (PAUSE_LETTERS if len(letters_only(word)) < len(word) else 1.0)


def letters_only(word: str) -> str:
    return "".join(char for char in word if char.isalnum())


def pace(text: str, seconds: float) -> float | None:
    """Seconds a letter took in a whole text; None for a text too short to tell."""
    letters = sum(weight(text[start:end]) for start, end in spans(text))
    return seconds / letters if letters >= 12 else None


def _share(word: WordTime, seconds: float) -> float:
    """How much of a word sounded, 0-1."""
    length = max(word.end_s - word.start_s, 1e-6)
    return min(max((seconds - word.start_s) / length, 0.0), 1.0)
