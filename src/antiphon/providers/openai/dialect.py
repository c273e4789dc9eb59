"""Which fields a server takes: those that speak OpenAI's formats do not all know all of them.

Reasoning models refuse a temperature and the old name of the token limit; strict servers refuse every field they do
not know. What a server refuses is left out from then on, and the request is sent again at once: it was not worked on.
"""

from __future__ import annotations

from collections.abc import Collection

from antiphon.errors import ProviderRejected


class Dialect:
    """One server's and model's. ``optional``: the fields that may be left out."""

    def __init__(self, *optional: str) -> None:
        self._optional = optional
        self._refused: set[str] = set()
        self._guessed: frozenset[str] = frozenset()
        """Left out without having been named, until it is known to help."""

    def takes(self, field: str) -> bool:
        """Whether to send it."""
        return field not in self._refused and field not in self._guessed

    def learn(self, error: ProviderRejected, sent: Collection[str]) -> bool:
        """Whether to ask again, without what the server refused. ``sent``: the fields of the refused request."""
        if error.cause != "invalid_request":
            return False
        in_question = [field for field in self._optional if field in sent]
        named = [field for field in in_question if field in error.message]
        if named:
            self._refused.add(min(named, key=error.message.index))
            return True
        if self._guessed or not in_question:
            self._guessed = frozenset()  # it was not that
            return False
        self._guessed = frozenset(in_question)
        return True
