"""What the words of a running transcript say about whether the turn is over.

Recognisers put a full stop after anything, so a stop alone says nothing; a whole question, a short answer or
a command says it is over; a trailing conjunction, article or filler, half an address, or a number being
dictated say it is not. When the words do not tell, the sound has to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from antiphon.turns.vocabulary import Vocabulary, vocabulary_of

Verdict = Literal["complete", "likely", "open", "unfinished"]

NUMBER_LENGTHS: dict[str, frozenset[int]] = {
    "phone": frozenset({7, 10, 11}),
    "telephone": frozenset({7, 10, 11}),
    "cell": frozenset({10, 11}),
    "mobile": frozenset({10, 11}),
    "zip": frozenset({5, 9}),
    "pin": frozenset({4, 6}),
    "code": frozenset({4, 5, 6}),
    "card": frozenset({15, 16}),
}
"""Digits after which a number of that kind may be whole; people pause after three or four."""
LONG_NUMBER = 10
"""Digits after which any number may be whole."""
QUESTION_WORDS = 4
"""Words from which a question mark is believed: recognisers also put it after "Can you" and "Do you"."""

FEW_WORDS = 3
"""Words too few to tell their language by."""

SHORT_ANSWER = 6
"""Words of an answer that explains itself ("No, not that one."); a longer one has room for more."""

_LETTER = r"(?:[^\W_]|[\u0300-\u036f\u064b-\u065f\u0900-\u0963\u0966-\u0dff\u0e31-\u0e4e])"
"""Letters, digits, and the vowel signs of Arabic, Indic and Thai scripts, which Python does not count as
letters."""
WORD = re.compile(rf"{_LETTER}+(?:['’.]{_LETTER}+)*")
"""One word: "don't", "3.5", "e.g", "ठीक"."""
_DIGIT_COMMA = re.compile(r"(?<=\d),(?=\d{3}\b)")
_ENDS_OPEN = re.compile(r"(?:…|[-–—,:;،、，])[\"'”’]*$")
_ENDS_ASKING = re.compile(r"[?？؟][\"'”’]*$")
_ENDS_DOTS = re.compile(r"\.{2,}[\"'”’]*$")
_HALF_ADDRESS = re.compile(r"\b(?:www|https?)\b\W*\w*\.?$|@[\w-]+\.?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What the words say."""

    verdict: Verdict
    """``complete``: over, whatever the sound says. ``likely``: a whole question or request, which may still
    go on ("What is the capital? … of France"): the sound decides with the benefit of the doubt.
    ``unfinished``: more is coming. ``open``: they do not tell."""
    reason: str
    """A short phrase for the flight recorder; names the kind of ending, never the words."""


def completeness(text: str, language: str = "en") -> Words:
    """Whether ``text``, a transcript so far, is a whole turn. ``language`` is ISO 639-1, empty when
    unknown."""
    ending = _Ending(text, vocabulary_of(language))
    if not ending.words:
        return Words(verdict="open", reason="no words")
    # The language of a word or two is often mistaken, and "stop" and "okay" are said in all of them.
    if ending.is_whole or (len(ending.words) <= FEW_WORDS and _Ending(text, vocabulary_of("en")).is_whole):
        return Words(verdict="complete", reason="a short answer or command")
    unfinished = ending.grammar() or ending.address() or ending.number() or ending.letters()
    if unfinished:
        return Words(verdict="unfinished", reason=unfinished)
    if ending.is_closing:
        return Words(verdict="complete", reason="a closing")
    if likely := ending.rounded():
        return Words(verdict="likely", reason=likely)
    return Words(verdict="open", reason="the words may be all or may go on")


def words_in(text: str) -> list[str]:
    """The words of a transcript, lower case, without punctuation; "225,000" is one."""
    return [word.lower().replace("’", "'") for word in WORD.findall(_DIGIT_COMMA.sub("", text))]


def same_words(a: str, b: str, language: str = "en") -> bool:
    """Whether two transcripts say the same: case, punctuation, spacing of digits and fillers aside."""
    return _substance(a, language) == _substance(b, language)


def made_of(words: list[str], allowed: frozenset[str], longest: int = 5) -> bool:
    """Whether the words are a row of allowed words and phrases (of at most ``longest`` words)."""
    at = 0
    while at < len(words):
        for size in range(min(longest, len(words) - at), 0, -1):
            if " ".join(words[at : at + size]) in allowed:
                at += size
                break
        else:
            return False
    return bool(words)


def _substance(text: str, language: str) -> str:
    fillers = vocabulary_of(language).fillers
    words = [re.sub(r"['.]", "", word) for word in words_in(text) if word not in fillers]
    return re.sub(r"(?<=\d) (?=\d)", "", " ".join(words))


class _Ending:
    """A transcript, seen from its end. Each rule gives the reason that applies, or an empty string."""

    def __init__(self, text: str, vocabulary: Vocabulary) -> None:
        self.text = text.strip()
        self.words = words_in(text)
        self.vocabulary = vocabulary
        self.asked = _ENDS_ASKING.search(self.text) is not None

    @property
    def is_whole(self) -> bool:
        """A short answer or command: "Yes.", "Stop.", "No thanks."."""
        if _ENDS_OPEN.search(self.text) or _ENDS_DOTS.search(self.text):
            return False
        return made_of(self.words, self.vocabulary.whole_turns)

    def grammar(self) -> str:
        """The last words want others after them."""
        v, last = self.vocabulary, self.words[-1]
        if _ENDS_OPEN.search(self.text):
            return "trails off"
        if last in v.fillers:
            return "ends in a filler"
        if self._ends_with(v.open_phrases) or (not self.asked and self._ends_with(v.asked_phrases)):
            return "announces what is to come"
        if last in v.determiners:
            return "ends in an article or the like"
        if last in v.conjunctions:
            return "ends in a conjunction"
        if self.asked:
            return ""
        if last in v.prepositions:
            return "ends in a preposition"
        return "says what is to come" if last in v.copulas and self._copula_is_open() else ""

    def address(self) -> str:
        """Half of an e-mail, web or street address."""
        v, last = self.vocabulary, self.words[-1]
        if last in v.dots and len(self.words) > 1:
            return "half an address"
        if _HALF_ADDRESS.search(self.text):
            return "half an address"
        signs = [i for i, word in enumerate(self.words) if word in v.at_signs]
        if signs and v.mail_words & set(self.words):
            domain = self.words[signs[-1] + 1 :]
            if not any(word in v.dots or "." in word for word in domain):
                return "half an e-mail address"
        if not signs and "@" not in self.text and self._after_copula(v.mail_words) in (1, 2):
            return "half an e-mail address"
        if v.address_words & set(self.words) and self._digits(last):
            return "half a street address"
        return ""

    def number(self) -> str:
        """Digits read out one after the other, or a number that was announced."""
        run = self.words[self._run_start() :]
        if not run:
            return ""
        count = sum(self._digits(word) for word in run)
        announced = self.vocabulary.number_words & set(self.words)
        whole = frozenset[int]().union(*(NUMBER_LENGTHS.get(word, frozenset()) for word in announced))
        if count in whole or count >= LONG_NUMBER:
            return ""
        before = self.words[-len(run) - 1] if len(run) < len(self.words) else ""
        if announced and (len(run) >= 2 or count >= 2 or before in self.vocabulary.copulas):
            return "a number is being dictated"
        singles = sum(word in self.vocabulary.digits or len(word) == 1 for word in run)
        groups = sum(word.isdigit() and 2 <= len(word) <= 4 for word in run)
        if singles >= 3 or (groups >= 2 and count >= 5):
            return "digits are being dictated"
        return ""

    def letters(self) -> str:
        """Letters being spelled: "s m i"."""
        count = 0
        for word in reversed(self.words):
            letters = word.replace(".", "")
            if not letters.isalpha() or (len(letters) > 1 and "." not in word):
                break
            count += len(letters)
        announced = self.vocabulary.spelling_words & set(self.words)
        if count >= 2 or (count == 1 and announced):
            # "the U.S." is a name; two letters and more read out are only taken for spelling when nothing
            # dots them
            dotted = "." in self.words[-1] and not announced
            return "" if dotted or self.asked else "letters are being spelled"
        return ""

    @property
    def is_closing(self) -> bool:
        """A farewell or thanks: "Okay, thank you"."""
        return bool(self.vocabulary.thanks & set(self.words[-2:])) and len(self.words) <= 6

    def rounded(self) -> str:
        """A question or request that is whole by itself."""
        if self.words[-1] in self.vocabulary.prepositions:
            return ""  # "What time is it in?" is half of one, "Where are you from?" a whole one
        if self.asked and (len(self.words) >= QUESTION_WORDS or self._begins_as_question()):
            return "a question"
        if len(self.words) >= 3 and self.words[-1] == "please":
            return "a request, rounded off"
        short = len(self.words) <= SHORT_ANSWER and self.text.endswith((".", "!", "。"))
        return "a short answer" if short and self.words[0] in self.vocabulary.whole_turns else ""

    # ---- pieces ---------------------------------------------------------------------------------------

    def _ends_with(self, phrases: tuple[tuple[str, ...], ...]) -> bool:
        tail = tuple(self.words)
        return any(tail[-len(phrase) :] == phrase for phrase in phrases)

    def _copula_is_open(self) -> bool:
        """ "My order number is": yes. "I know what it is", "I know where the museum is": no."""
        if len(self.words) < 2 or self.words[-2] in self.vocabulary.pronouns:
            return False
        return not self.vocabulary.question_words & set(self.words[:-1])

    def _after_copula(self, subjects: frozenset[str]) -> int:
        """Words after the copula that follows one of ``subjects`` ("my email is john": 1); 0 without one."""
        subject = next((i for i, word in enumerate(self.words) if word in subjects), len(self.words))
        copulas = [i for i in range(subject, len(self.words)) if self.words[i] in self.vocabulary.copulas]
        return len(self.words) - 1 - copulas[0] if copulas else 0

    def _begins_as_question(self) -> bool:
        return self.words[0] in self.vocabulary.question_words and len(self.words) >= QUESTION_WORDS - 1

    def _digits(self, word: str) -> int:
        """How many digits a word stands for; 0 for a word that is no number."""
        if word in self.vocabulary.digits:
            return 1
        if word in self.vocabulary.tens:
            return 2
        return len(word) if word.isdigit() else 0

    def _run_start(self) -> int:
        start = len(self.words)
        while start and self._digits(self.words[start - 1]):
            start -= 1
        return start
