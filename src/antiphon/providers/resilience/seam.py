"""Where a second writer takes over from a first one: what both wrote is said once. Pure.

A reply that broke off is finished by another request, which is asked to go on from the last word. Language models
do so loosely: they repeat that word, the last few, the sentence, or the whole reply; or they go on at once. ``Seam``
holds the continuation back until it is clear which, and lets through what is new.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from antiphon.providers.base import Message

GO_ON = (
    "Your reply was cut off. Go on from exactly where it stopped, beginning with its last word, {last!r}. Do not "
    "start again, do not apologise, do not mention the interruption. If it was complete, write nothing."
)
"""Asking for the last word makes the seam visible, also when that word was cut in the middle."""

SEPARATORS = ",.;:!?—。，、！？। \n"

_WORD = re.compile(r"\w+(?:['’]\w+)*")
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
"""Scripts written without spaces between words: Japanese and Chinese."""


def continuing(messages: Sequence[Message], written: str) -> list[Message]:
    """The conversation with the unfinished reply at its end. What came before stays as it was, so that a provider's
    prompt cache still serves it."""
    words = _WORD.findall(written)
    last = words[-1] if words else written.strip()
    return [
        *messages,
        Message(role="assistant", content=written),
        Message(role="user", content=GO_ON.format(last=last)),
    ]


def complete(written: str) -> bool:
    """Whether a reply may end here."""
    return written.rstrip().endswith((".", "!", "?", "。", "！", "？", "।", "”", '"'))


@dataclass(frozen=True, slots=True)
class _Word:
    text: str
    start: int
    end: int


class Seam:
    """The continuation of ``written``: what comes in with ``push`` comes out without what was already written."""

    def __init__(self, written: str) -> None:
        self._written = written
        self._before = [word.group().casefold() for word in _WORD.finditer(written)]
        self._broken = bool(written) and (written[-1].isalnum() or written[-1] in "'’")
        """Whether it broke off in a word, or just after one: nobody knows."""
        self._held = ""
        self._decided = not self._before
        self._joining = False
        """Between a repetition and what is new: its punctuation was written already."""

    def push(self, text: str) -> str:
        """More of the continuation; what of it, and of what was held, is new and certain."""
        if self._joining:
            return self._joined(text)
        if self._decided:
            return text
        self._held += text
        words = [_Word(m.group().casefold(), *m.span()) for m in _WORD.finditer(self._held)]
        # The last word may go on with the next piece, also after an apostrophe.
        whole = [word for word in words if self._held[word.end :] not in ("", "'", "’")]
        if not whole or self._may_go_on(whole):
            return ""
        return self._decide(whole)

    def flush(self) -> str:
        """The continuation is over: what was held of it that is new."""
        if self._decided:
            return ""
        return self._decide([_Word(m.group().casefold(), *m.span()) for m in _WORD.finditer(self._held)])

    def _may_go_on(self, words: list[_Word]) -> bool:
        """Whether all words so far are a repetition that is not over."""
        said = [word.text for word in words]
        return any(
            self._before[at : at + len(said)] == said
            for at in range(len(self._before) - len(said))  # ends before the last word: more must follow
        )

    def _overlap(self, words: list[_Word]) -> int:
        """How many of the first words are the last ones written."""
        said = [word.text for word in words]
        for count in range(min(len(said), len(self._before)), 0, -1):
            if self._before[-count:] == said[:count]:
                return count
        return 0

    def _decide(self, words: list[_Word]) -> str:
        self._decided = True
        held, self._held = self._held, ""
        repeated = self._overlap(words)
        if repeated:
            self._joining = not self._broken
            return self.push(held[words[repeated - 1].end :])
        return self._rest_of_word(held, words) or self._spaced(held)

    def _joined(self, text: str) -> str:
        rest = text.lstrip(SEPARATORS)
        if not rest:
            return ""
        self._joining = False
        return self._spaced(rest)

    def _rest_of_word(self, held: str, words: list[_Word]) -> str:
        """The end of a word that was cut in the middle, and what follows: the words before it may be repeated."""
        if not self._broken:
            return ""
        fragment = self._before[-1]
        for index, word in enumerate(words):
            before = [earlier.text for earlier in words[:index]]
            repeats = not before or self._before[-1 - len(before) : -1] == before
            if repeats and len(fragment) > 1 and word.text.startswith(fragment) and word.text != fragment:
                return held[word.start + len(fragment) :]
        return ""

    def _spaced(self, rest: str) -> str:
        """``rest`` as it follows what was written: with a space where one is missing, without one that is there."""
        if self._written[-1:].isspace():
            return rest.lstrip()
        return f" {rest}" if rest[:1].isalnum() and not _UNSPACED.match(rest) else rest
