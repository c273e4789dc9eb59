"""Whether a transcript is the assistant's own voice, come back through the room."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import SequenceMatcher

from antiphon.turns.vocabulary import word_set
from antiphon.turns.words import words_in

ECHO_RATIO = 0.7
"""Share of the heard words, weighed, that must be in what is being said. Recognisers get two thirds and more
of the words of a room's echo right; people who answer repeat fewer than half."""
DENSITY = 0.6
"""Share of the matching stretch of the reply that must match: "I would like coffee" is no echo of "Would you
like tea or coffee?"."""
SIMILAR = 0.75
"""Likeness from which two words are taken as one and the other misheard."""
SPELLING_RATIO = 0.8
"""Likeness of the letters from which a text is an echo, for words heard as two ("photo synthesis")."""
SPELLING_LETTERS = 12
"""Fewer letters are alike by chance."""
LONE_WORD = 7
"""Letters that a single word must have to be an echo: short ones are said by everyone."""

SMALL_WORDS = word_set(
    """
    a an the i you he she it we they is are was be do does did have has of to in on at for and or but so that
    this my your yes no not what el la los de que y en un una le les des et à der die das und ist il di e è o
    os
    """
)
"""Words that match by chance; they weigh a third."""
INTERRUPTERS = word_set(
    """
    stop wait no hold hey quiet enough para espera basta alto arrête attends stopp warte halt ferma aspetta
    pare espere रुको नहीं
    """
)
"""A transcript with one of these that the assistant is not saying has a person in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoMatch:
    """How a transcript compares with what is being said."""

    ratio: float
    """Share of the heard words that the reply has, in order and close together, 0-1."""
    is_echo: bool


def compare(text: str, said: str) -> EchoMatch:
    """``text`` was recognised while the assistant was saying ``said`` (the last few seconds of it)."""
    heard, spoken = words_in(text), words_in(said)
    if not heard or not spoken:
        return EchoMatch(ratio=0.0, is_echo=False)
    matched = _align(heard, spoken)
    ratio = sum(_weight(heard[i]) for i, _ in matched) / sum(_weight(word) for word in heard)
    if any(word in INTERRUPTERS and word not in spoken for word in heard):
        return EchoMatch(ratio=ratio, is_echo=False)
    if len(heard) == 1:
        return EchoMatch(ratio=ratio, is_echo=len(heard[0]) >= LONE_WORD and heard[0] in spoken)
    content = any(heard[i] not in SMALL_WORDS and len(heard[i]) > 3 for i, _ in matched)
    if ratio >= ECHO_RATIO and content:
        return EchoMatch(ratio=ratio, is_echo=True)
    spelled = _spelling("".join(heard), spoken)
    return EchoMatch(ratio=max(ratio, spelled), is_echo=spelled >= SPELLING_RATIO)


def is_echo(text: str, said: str) -> bool:
    """Whether a transcript repeats what the assistant is saying right now."""
    return compare(text, said).is_echo


def _weight(word: str) -> float:
    return 1 / 3 if word in SMALL_WORDS else 1.0


def _alike(a: str, b: str) -> bool:
    if a == b:
        return True
    return min(len(a), len(b)) >= 4 and SequenceMatcher(None, a, b, autojunk=False).ratio() >= SIMILAR


def _align(heard: list[str], spoken: list[str]) -> list[tuple[int, int]]:
    """The longest row of heard words that come in the same order in a dense stretch of what is spoken."""
    best: list[tuple[int, int]] = []
    for start in range(len(spoken)):
        matched: list[tuple[int, int]] = []
        at = start
        for i, word in enumerate(heard):
            # A heard word may be up to three further on: the ones between were not recognised.
            found = next((j for j in range(at, min(at + 4, len(spoken))) if _alike(word, spoken[j])), None)
            if found is not None:
                matched.append((i, found))
                at = found + 1
        if len(matched) > len(best) and len(matched) / (matched[-1][1] - matched[0][1] + 1) >= DENSITY:
            best = matched
    return best


def _spelling(letters: str, spoken: list[str]) -> float:
    """Likeness of the heard letters to the most similar stretch of the spoken ones, 0-1."""
    if len(letters) < SPELLING_LETTERS:
        return 0.0
    best = 0.0
    for start in range(len(spoken)):
        stretch = "".join(spoken[start:])[: len(letters)]
        if len(stretch) >= SPELLING_RATIO * len(letters):
            best = max(best, SequenceMatcher(None, letters, stretch, autojunk=False).ratio())
    return best
