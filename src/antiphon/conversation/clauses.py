"""Cuts a reply, as it is being written, into clauses that can be spoken one by one.

The first clause leaves as early as it can be spoken well, because the user is waiting for it: at any sentence
end, at a comma after three words, or after an opener ("Sure,"). Later ones are whole sentences, because
earlier sound is playing and a voice speaks a sentence better than its pieces. There is no look-ahead: where
the last character decides, the clause leaves with it; only where it does not (``3.``, ``p.m.``, ``www.``) is
the next one waited for.

Clauses are consecutive slices of the reply, so that what was heard can be mapped back to what was written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from antiphon.conversation import phrases
from antiphon.turns.words import WORD

EARLY_WORDS = 4
"""Until this many words have left, clauses are cut early: with fewer, their sound (about 0.3 s a word) ends
before a whole sentence can be written and synthesised."""
COMMA_WORDS = 3
"""Words before a comma that make an early clause; fewer sound chopped, unless they are an opener ("Of
course,")."""
PHRASE_WORDS = 3
"""Words an early clause must have to be cut before a preposition or conjunction."""
PATIENCE_S = 0.25
"""Seconds after its first token that an early clause may wait for its punctuation. At 50 tokens a second a
usual first sentence of 12 tokens is complete by then; at 15 it would take 0.8 s, of which the user would hear
nothing."""
NUMBER_PATIENCE_S = 0.4
"""Seconds after which an early clause of four words may be cut before a number: a model writes "384,400" in seven
tokens, half a second at 15 a second."""
LONG_CLAUSE = 200
"""Characters, about 12 s of speech: a longer sentence is cut at its best comma, so that sound keeps
coming."""
SHORT_PART = 60
"""Characters that each cut of a long sentence should have at least."""

SENTENCE_END = frozenset(".!?。！？｡．।॥؟۔።။។")  # Latin, CJK, Devanagari, Arabic, Ethiopic, Burmese, Khmer
PLAIN_END = SENTENCE_END - frozenset(".")
"""Ends that are never part of a number, a name or an address."""
PAUSE = frozenset(",;:—–、，；：،؛")
ELLIPSIS = "…"
CLOSERS = frozenset("\"'”’»)]}」』】）*_~`")
OPENING_BRACKETS, CLOSING_BRACKETS = "([{（【「『", ")]}）】」』"
FENCE = "```"

_UNSPACED = re.compile(r"[぀-ヿ㐀-鿿가-힯]")
_DOTTED = re.compile(r"(?:[^\W\d_]\.){2,}")
_ADDRESS = re.compile(r"://|^www\b|@|^https?$|^[\w-]+/", re.IGNORECASE)
_LIST_MARKER = re.compile(r"(?:^|\n)\s*(?:[-*•]\s*)?\d{1,3}$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """A slice of the reply that can be spoken by itself."""

    text: str
    """As written, leading space and markup included; equals ``reply[start:end]``."""
    start: int
    end: int
    """Offsets in the reply. A clause starts where the one before it ended."""


class _Verdict(Enum):
    PASS = "no cut here"
    WAIT = "the next character decides"
    CUT = "cut after this character"


class ClauseCutter:
    """Takes the reply as it is written and gives each clause as soon as it can be spoken."""

    def __init__(self, *, language: str = "en") -> None:
        """``language`` (ISO 639-1) chooses abbreviations, openers and phrase boundaries; unknown ones have
        none."""
        self._words = phrases.words_of(language)
        self._text = ""
        self._start = 0
        self._scanned = 0
        self._in_code = False
        self._words_out = 0.0
        self._waiting_since: float | None = None
        self._asked = False

    @property
    def text(self) -> str:
        """All that was written so far."""
        return self._text

    @property
    def due_s(self) -> float | None:
        """When ``poll`` may have something to give, in the clock of ``push``; None when only more text
        will."""
        if self._waiting_since is None or self._asked or not self._early:
            return None
        return self._waiting_since + PATIENCE_S

    def push(self, text: str, at_s: float | None = None) -> list[Clause]:
        """More of the reply, and when it came (any clock; None: never cut for impatience)."""
        self._text += text
        clauses = self._scan()
        if at_s is not None:
            if self._waiting_since is None or clauses:
                self._waiting_since = at_s if self._speakable(self._start, len(self._text)) else None
            clauses += self._hurry(at_s, urgent=False)
        return clauses

    def poll(self, now_s: float, *, urgent: bool = False) -> list[Clause]:
        """What patience has run out for. ``urgent``: sound is about to run dry, so a later clause may be cut
        too."""
        return self._hurry(now_s, urgent=urgent)

    def flush(self) -> list[Clause]:
        """The reply is complete: what is left."""
        self._scanned = len(self._text)
        return self._cut(len(self._text))

    # ---- scanning -------------------------------------------------------------------------------------

    @property
    def _early(self) -> bool:
        return self._words_out < EARLY_WORDS

    def _scan(self) -> list[Clause]:
        clauses: list[Clause] = []
        while self._scanned < len(self._text):
            at = self._scanned
            if self._text.startswith(FENCE, at):
                self._scanned += len(FENCE)
                if self._in_code:
                    clauses += self._cut(self._scanned)
                else:
                    clauses += self._cut(at)
                self._in_code = not self._in_code
                continue
            if self._text[at] == "`" and len(self._text) - at < len(FENCE) and set(self._text[at:]) == {"`"}:
                break  # may become a fence
            verdict = _Verdict.PASS if self._in_code else self._judge(at)
            if verdict is _Verdict.WAIT:
                break
            self._scanned = at + 1
            if verdict is _Verdict.CUT:
                self._scanned = self._with_closers(at + 1)
                clauses += self._cut(self._scanned)
            elif not self._in_code and at - self._start >= LONG_CLAUSE:
                clauses += self._cut(self._best_cut(at + 1))
        return clauses

    def _judge(self, at: int) -> _Verdict:
        """Whether a clause ends after the character at ``at``."""
        char = self._text[at]
        if char == "\n":
            return _Verdict.CUT if self._speakable(self._start, at) else _Verdict.PASS
        if char not in SENTENCE_END and char not in PAUSE and char != "-":
            return _Verdict.PASS
        if self._text.count("`", self._start, at) % 2:
            return _Verdict.PASS
        if char == ".":
            return self._judge_full_stop(at)
        if char in PLAIN_END:
            return self._judge_plain_end(at)
        return self._judge_pause(at) if self._early else _Verdict.PASS

    def _judge_plain_end(self, at: int) -> _Verdict:
        """``!``, ``?`` and other scripts' ends: they cut, but for those inside an address or a name
        (``?q=``)."""
        if not self._speakable(self._start, at):
            return _Verdict.PASS
        if self._text[at] in "!?" and _ADDRESS.search(self._token(at)):
            following = self._next(at)
            if following is None:
                return _Verdict.WAIT
            return _Verdict.CUT if following.isspace() else _Verdict.PASS
        return _Verdict.CUT

    def _judge_full_stop(self, at: int) -> _Verdict:
        """A full stop ends a sentence unless it belongs to a number, abbreviation, initial, address or
        ellipsis."""
        token, following = self._token(at), self._next(at)
        if following == "." or self._text[at - 1 : at] in (".", ELLIPSIS) or not token:
            return _Verdict.PASS
        if following is not None and not following.isspace() and following not in CLOSERS:
            sloppy = len(token) > 1 and token.isalpha() and token[-1].islower() and following.isupper()
            return _Verdict.CUT if sloppy else _Verdict.PASS
        bare = token.strip("\"'“‘(*_[").lower()
        if bare in self._words.abbreviations:
            return _Verdict.PASS
        if bare in self._words.ending_abbreviations or _DOTTED.fullmatch(f"{bare}."):
            return self._capital_follows(at)
        if len(bare) == 1 and bare.isalpha():
            return _Verdict.CUT if bare == "i" and at - self._start > 2 else _Verdict.PASS
        if token[-1].isdigit():
            if _LIST_MARKER.search(self._text[:at]) or (self._words.ordinal_dot and len(bare) <= 2):
                return _Verdict.PASS
            return _Verdict.WAIT if following is None else _Verdict.CUT
        if following is None and _ADDRESS.search(token):
            return _Verdict.WAIT
        return _Verdict.CUT if self._speakable(self._start, at) else _Verdict.PASS

    def _capital_follows(self, at: int) -> _Verdict:
        """After ``p.m.`` or ``U.S.`` the sentence has ended when the next one begins with a capital."""
        rest = self._text[at + 1 :].lstrip(" \t\"'”’)*_")
        if not rest:
            return _Verdict.WAIT
        return _Verdict.CUT if rest[0].isupper() or rest[0] == "\n" else _Verdict.PASS

    def _judge_pause(self, at: int) -> _Verdict:
        """A comma, semicolon, colon or dash in an early clause."""
        char, following = self._text[at], self._next(at)
        if self._inside_brackets(at) or not self._long_enough(at):
            return _Verdict.PASS
        if char == "-" or self._text[at - 1].isdigit() or _ADDRESS.search(self._token(at)):
            if char == "-" and not self._text[at - 1].isspace():
                return _Verdict.PASS
            if following is None:
                return _Verdict.WAIT
            if not following.isspace():
                return _Verdict.PASS
            if char == ",":  # "July 20, 1969"
                rest = self._text[at + 1 :].lstrip()
                if not rest:
                    return _Verdict.WAIT
                return _Verdict.PASS if rest[0].isdigit() else _Verdict.CUT
            return _Verdict.CUT
        if following is None or following.isspace() or ord(char) > 0x500 or following in CLOSERS:
            return _Verdict.CUT
        return _Verdict.PASS

    def _long_enough(self, at: int) -> bool:
        before = self._text[self._start : at]
        if count_words(before) >= COMMA_WORDS:
            return True
        return " ".join(WORD.findall(before.lower().replace("’", "'"))) in self._words.openers

    # ---- impatience -----------------------------------------------------------------------------------

    def _hurry(self, now_s: float, *, urgent: bool) -> list[Clause]:
        if self._waiting_since is None or self._in_code or not (self._early or urgent):
            return []
        if now_s - self._waiting_since < PATIENCE_S - 1e-9:
            return []
        self._asked = True
        end = self._phrase_end()
        if end is None and now_s - self._waiting_since >= NUMBER_PATIENCE_S:
            end = self._number_start()
        if end is None:
            return []
        clauses = self._cut(end)
        self._waiting_since = now_s
        return clauses

    def _phrase_end(self) -> int | None:
        """The last place before a boundary word where what is pending can be cut and still sound whole."""
        pending = self._text[self._start :]
        if "`" in pending or "](" in pending:
            return None
        words = list(WORD.finditer(pending))
        for index in range(len(words) - 1, PHRASE_WORDS - 1, -1):
            word, before = words[index], words[index - 1]
            gap = pending[before.end() : word.start()]
            if word.group().lower() not in self._words.boundaries or not gap.isspace():
                continue
            if before.group().lower() in self._words.dangling or before.group()[-1].isdigit():
                continue
            if not self._inside_brackets(self._start + before.end()):
                return self._start + before.end()
        return None

    def _number_start(self) -> int | None:
        """Just before a long-winded number: people hesitate there too."""
        pending = self._text[self._start :]
        words = list(WORD.finditer(pending))
        for index in range(len(words) - 1, PHRASE_WORDS, -1):
            before, number = words[index - 1].group(), words[index].group()
            if number[0].isdigit() and not before[-1].isdigit() and pending[words[index].start() - 1] == " ":
                return self._start + words[index - 1].end()
        return None

    # ---- cutting --------------------------------------------------------------------------------------

    def _cut(self, end: int) -> list[Clause]:
        """The clause from the last cut to ``end``; none when there is nothing to speak in it."""
        if end <= self._start or not self._speakable(self._start, end):
            return []
        clause = Clause(text=self._text[self._start : end], start=self._start, end=end)
        self._start = end
        self._words_out += count_words(clause.text)
        self._waiting_since = None
        self._asked = False
        return [clause]

    def _best_cut(self, end: int) -> int:
        """Where to cut a sentence that has grown too long: its last comma, else phrase, else space."""
        pending = self._text[self._start : end]
        commas = [
            m.end() for m in re.finditer(r"[,;:—–](?=\s)|[、，；：،؛]", pending) if m.end() >= SHORT_PART
        ]
        if commas:
            return self._start + commas[-1]
        space = pending.rfind(" ", SHORT_PART)
        return self._phrase_end() or (self._start + space if space > 0 else end)

    def _with_closers(self, end: int) -> int:
        """``end`` moved past quotes, brackets and further marks that belong to the sentence and are already
        here."""
        while end < len(self._text) and (self._text[end] in CLOSERS or self._text[end] in PLAIN_END):
            if self._text.startswith(FENCE, end):
                break
            end += 1
        return end

    # ---- looking around -------------------------------------------------------------------------------

    def _next(self, at: int) -> str | None:
        return self._text[at + 1] if at + 1 < len(self._text) else None

    def _token(self, at: int) -> str:
        """The characters before ``at`` back to the last space, inside the pending clause."""
        before = self._text[self._start : at]
        return before[max(before.rfind(" "), before.rfind("\n")) + 1 :]

    def _inside_brackets(self, at: int) -> bool:
        before = self._text[self._start : at]
        return sum(before.count(b) for b in OPENING_BRACKETS) > sum(before.count(b) for b in CLOSING_BRACKETS)

    def _speakable(self, start: int, end: int) -> bool:
        """Whether a voice has something to say there."""
        return any(char.isalnum() for char in self._text[start:end])


def count_words(text: str) -> float:
    """Words as they take time to say: in scripts without spaces three characters count as two."""
    unspaced = len(_UNSPACED.findall(text))
    return len(WORD.findall(_UNSPACED.sub(" ", text))) + unspaced / 1.5
