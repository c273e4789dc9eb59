"""Names that may become metric labels: few, short, and none of them a caller's."""

from __future__ import annotations

from dataclasses import dataclass, field

MOST_NAMES = 64
"""Values one label may take. Ours are about ten; a vendor that invents a new error name for every request must not
grow the process, nor the database behind it."""

OTHER = "other"

LONGEST = 100
"""Characters of a value; model paths are the longest."""


@dataclass(slots=True)
class Names:
    """The values one label has taken so far; past the limit, everything new is ``other``."""

    limit: int = MOST_NAMES
    _known: set[str] = field(default_factory=set)

    def __call__(self, name: str) -> str:
        """The name, or ``other``."""
        if name in self._known:
            return name
        if len(self._known) >= self.limit:
            return OTHER
        short = name[:LONGEST] or "none"
        self._known.add(short)
        return short
