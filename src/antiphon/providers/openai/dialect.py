"""Which fields a server takes: those that speak OpenAI's formats do not all know all of them. Pure.

Reasoning models refuse a temperature and the old name of the token limit; strict servers refuse every field they do
not know. What a server refuses is left out and the request is sent again at once: it was not worked on. Whether it is
left out from then on depends on whether the server refuses the field, or what one caller had in it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection

from antiphon.errors import ProviderRejected

ENOUGH = 2
"""Requests that a guess must have helped, with none in between that was taken with the field: one may be chance."""

_UNKNOWN = re.compile(
    r"(unknown|unsupported|unrecognized|unrecognised|unexpected|extra|additional)[\w ]* ?"
    r"\b(parameter|field|argument|property|inputs?)\b"
    r"|\b(parameter|field|argument|property|inputs?)\b.* (not (supported|permitted|allowed)|unsupported|unknown)",
    re.IGNORECASE,
)
"""The field is what is refused, not what is in it."""


class Dialect:
    """One server's and model's."""

    def __init__(self, *optional: str, callers: Collection[str] = (), needed: Collection[str] = ()) -> None:
        """``optional``: the fields that may be left out. Of them, what is in ``callers`` differs from caller to caller,
        and ``needed`` are left out only when they are named."""
        self.optional = optional
        self.callers = callers
        self.needed = needed
        self._refused: set[str] = set()
        self._helped: Counter[str] = Counter()
        """Requests that were taken once the field was left out, though nobody had named it."""

    def takes(self, field: str) -> bool:
        """Whether the server does, as far as is known."""
        return field not in self._refused and self._helped[field] < ENOUGH

    def refuses(self, field: str) -> None:
        """It said so."""
        self._refused.add(field)

    def took(self, sent: Collection[str], without: Collection[str]) -> None:
        """A request with these fields was taken, once those were left out on a guess."""
        for field in sent:
            self._helped.pop(field, None)
        self._helped.update(without)

    def request(self) -> Wording:
        """The next request's."""
        return Wording(self)


class Wording:
    """Of one request: what it leaves out, until it is taken."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._left_out = {field for field in dialect.optional if not dialect.takes(field)}
        self._guessed: frozenset[str] = frozenset()

    def takes(self, field: str) -> bool:
        """Whether to send it."""
        return field not in self._left_out

    def refused(self, error: ProviderRejected, sent: Collection[str]) -> bool:
        """Whether to ask again, with at least one field less. ``sent``: the fields of the refused request."""
        if error.cause != "invalid_request":
            return False
        in_question = [field for field in self._dialect.optional if field in sent and self.takes(field)]
        if found_out := {field for field in in_question if not self._dialect.takes(field)}:
            self._left_out |= found_out  # by another request, meanwhile
            return True
        places = {field: named.start() for field in in_question if (named := _named(field, error.message))}
        if places:
            self._without(min(places, key=lambda field: places[field]), error.message)
            return True
        guess = frozenset(in_question).difference(self._dialect.needed)
        if self._guessed or not guess:
            return False
        self._guessed = guess
        self._left_out |= guess
        return True

    def taken(self, sent: Collection[str]) -> None:
        """The request with these fields is being answered."""
        self._dialect.took(sent, self._guessed)

    def _without(self, field: str, words: str) -> None:
        self._left_out.add(field)
        if field not in self._dialect.callers or _UNKNOWN.search(words):
            self._dialect.refuses(field)


def _named(field: str, words: str) -> re.Match[str] | None:
    return re.search(rf"\b{field}\b", words)
