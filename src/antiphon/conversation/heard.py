"""What the user heard of a reply, to the word, in the reply's own text.

The voice was given rewritten text ("five dollars" for "$5"), so the words it said are aligned with the words
as written. Where the voice tells the time of each word that decides; otherwise the share of the clause's
sound that was played does, weighed by how long its words take to say.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from antiphon.providers.base import WordTime
from antiphon.turns.words import WORD

LETTER_MS = 65.0
"""A letter's time at a usual pace (about 15 characters a second), until earlier clauses have shown this
voice's."""
GRAIN_MS = 20.0
"""A word whose last 20 ms are missing was heard: players report whole packets."""
DIGIT_LETTERS = 4.0
"""A digit is said as a word of about four letters."""
PAUSES = ".,;:!?—。，、！？।"
PAUSES = ".,;:!?—。，、！？।"
PAUSE_LETTERS = 3.0
"""A comma or full stop inside a clause is as long as three letters."""

_UNSPACED = re.compile(r"[぀-ヿ㐀-鿿]")


@dataclass(slots=True, kw_only=True)
class SpokenClause:
    """One clause that is being played."""

    text: str
    """What the voice was given."""
    start: int
    end: int
    """The clause's offsets in the reply."""
    start_ms: float
    """Where in the reply's sound it begins."""
    end_ms: float
    """Where what was sent of it ends so far."""
    total_ms: float | None = None
    """Length of all of its sound, once the voice has made it."""
    words: list[WordTime] = field(default_factory=list)
    """Times of its words, as far as the voice gave them; times from the clause's beginning."""


def heard_text(reply: str, spoken: Sequence[SpokenClause], played_ms: float) -> str:
    """The beginning of ``reply`` that was heard when ``played_ms`` of its sound were; it ends with a whole
    word."""
    return reply[: heard_offset(reply, spoken, played_ms)].rstrip()


def heard_offset(reply: str, spoken: Sequence[SpokenClause], played_ms: float) -> int:
    """Offset in ``reply`` just past the last word heard. Clauses are in the order they are played."""
    offset = 0
    for number, clause in enumerate(spoken):
        if played_ms <= clause.start_ms:
            break
        last = number + 1 == len(spoken)
        total = clause.end_ms - clause.start_ms if not last else clause.total_ms
        if total is not None and played_ms >= clause.start_ms + total - GRAIN_MS:
            offset = clause.end
            continue
        words = _Words(clause.text)
        said = _words_said(clause, words, played_ms - clause.start_ms, total, _pace(spoken[:number]))
        if said == len(words.spans):
            offset = clause.end
        elif said:
            offset = clause.start + _source_end(reply[clause.start : clause.end], words, said)
        break
    return offset


class _Words:
    """The words of a text with their places; characters of scripts without spaces count as words."""

    def __init__(self, text: str) -> None:
        self.text = text
        spans = [
            span
            for match in WORD.finditer(text)
            for span in (
                [(match.start() + i, match.start() + i + 1) for i in range(len(match.group()))]
                if _UNSPACED.search(match.group())
                else [match.span()]
            )
        ]
        self.spans = spans
        self.words = [text[start:end].lower() for start, end in spans]

    def weights(self) -> list[float]:
        """How long each word takes with what follows it, in letters."""
        following = [*(start for start, _ in self.spans[1:]), len(self.text)]
        return [
            sum(DIGIT_LETTERS if char.isdigit() else 1.0 for char in self.text[start:end])
            + max((PAUSE_LETTERS if char in PAUSES else 1.0 for char in self.text[end:to]), default=0.0)
            for (start, end), to in zip(self.spans, following, strict=True)
        ]


def _words_said(
    clause: SpokenClause, words: _Words, played_ms: float, total_ms: float | None, letter_ms: float
) -> int:
    """How many words of the clause were said in its first ``played_ms``."""
    if clause.words:
        ended = [word.end_char for word in clause.words if word.end_s * 1_000.0 <= played_ms + GRAIN_MS]
        return sum(end <= max(ended, default=0) for _, end in words.spans)
    weights = words.weights()
    expected = sum(weights) * letter_ms
    total = total_ms if total_ms is not None else max(expected, clause.end_ms - clause.start_ms)
    said, sofar = 0, 0.0
    for weight in weights:
        sofar += weight
        if sofar / sum(weights) * total > played_ms + GRAIN_MS:
            break
        said += 1
    return said


def _pace(earlier: Sequence[SpokenClause]) -> float:
    """Milliseconds a letter takes in this voice, by the clauses before."""
    letters = sum(sum(_Words(clause.text).weights()) for clause in earlier)
    return sum(clause.end_ms - clause.start_ms for clause in earlier) / letters if letters else LETTER_MS


def _source_end(source: str, spoken: _Words, said: int) -> int:
    """Offset in ``source``, as written, just past what the first ``said`` words of ``spoken`` stand for."""
    written = _Words(source)
    matcher = SequenceMatcher(None, written.words, spoken.words, autojunk=False)
    end = 0
    for tag, written_from, written_to, said_from, said_to in matcher.get_opcodes():
        # What is written but not said (a link's address) is past once something after it is said.
        past = said >= said_to if said_to > said_from else said > said_to
        if past and written_to > written_from:
            end = written.spans[written_to - 1][1]
        if not past:
            if tag == "equal" and said > said_from:
                end = written.spans[written_from + said - said_from - 1][1]
            break
    return end
