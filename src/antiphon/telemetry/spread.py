"""A distribution in a few bytes that adds up: minutes into hours, hours into days, replicas into a fleet. Pure."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping

GROWTH = 1.04
"""Each bucket is 4 % wider than the one before, so that a quantile is within 2 % of the true value."""

LEAST = 0.1
"""ms. Everything below is counted as this: nobody hears a tenth of a millisecond."""

MOST_COUNTED = 2**32 - 1
"""In one bucket: 500 a second for a hundred days."""

MOST_BUCKETS = 640
"""The last is at 90 days. More is counted as that, and what a file says of later ones is not believed."""

_SCALE = 1.0 / math.log(GROWTH)


class Spread:
    """How values (ms, or any unit) are spread: counts in logarithmic buckets.

    They are kept side by side, from the first to the last that is not empty: a busy minute has a dozen spreads of some
    forty buckets, and a day of those took 27 to 41 MB in dictionaries; so it takes 8 to 9."""

    __slots__ = ("_counts", "_least", "total")

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        """``counts``: bucket → how many. Raises ValueError when that cannot be."""
        self._least = 0
        """Bucket of the first one."""
        self._counts = array("I")
        self.total = 0
        for bucket, count in (counts or {}).items():
            if not (0 <= bucket < MOST_BUCKETS and 0 <= count <= MOST_COUNTED):
                raise ValueError(f"no spread has {count} values in bucket {bucket}")
            self._put(bucket, count)

    @property
    def counts(self) -> dict[int, int]:
        """Bucket → how many; bucket n holds values around ``LEAST * GROWTH ** n``. In order, without empty ones."""
        return {bucket: count for bucket, count in enumerate(self._counts, self._least) if count}

    def add(self, value: float) -> None:
        """One more value; what is below ``LEAST`` counts as that."""
        bucket = round(math.log(value / LEAST) * _SCALE) if value > LEAST else 0
        self._put(min(bucket, MOST_BUCKETS - 1), 1)

    def merge(self, other: Spread) -> None:
        """All of the other's values too."""
        if not other._counts:
            return
        self._reach(other._least)
        self._reach(other._least + len(other._counts) - 1)
        mine = self._counts
        for at, count in enumerate(other._counts, other._least - self._least):
            if count:
                both = mine[at] + count
                mine[at] = both if both < MOST_COUNTED else MOST_COUNTED
        self.total += other.total

    def quantile(self, share: float) -> float | None:
        """The value that ``share`` (0-1) of all are not above; None when there are none."""
        wanted = max(1, math.ceil(share * self.total))
        seen = 0
        for bucket, count in enumerate(self._counts, self._least):
            seen += count
            if seen >= wanted:
                return float(LEAST * GROWTH**bucket)
        return None

    def within(self, limit: float) -> int:
        """How many are at most ``limit``, by their buckets: those of the one that ``limit`` is in are all in or all
        out."""
        return sum(count for bucket, count in self.counts.items() if LEAST * GROWTH**bucket <= limit)

    def to_json(self) -> dict[str, int]:
        """As a file keeps it."""
        return {str(bucket): count for bucket, count in self.counts.items()}

    @classmethod
    def from_json(cls, counts: Mapping[str, int]) -> Spread:
        """Raises ValueError when it is not what ``to_json`` gives."""
        return cls({int(bucket): int(count) for bucket, count in counts.items()})

    def _put(self, bucket: int, count: int) -> None:
        at = bucket - self._least
        if not 0 <= at < len(self._counts):
            self._reach(bucket)
            at = bucket - self._least
        self._counts[at] = min(self._counts[at] + count, MOST_COUNTED)
        self.total += count

    def _reach(self, bucket: int) -> None:
        """Have a place for it."""
        if not self._counts:
            self._least = bucket
        missing = self._least - bucket
        if missing > 0:
            self._counts = array("I", [0]) * missing + self._counts
            self._least = bucket
        beyond = bucket - self._least + 1 - len(self._counts)
        if beyond > 0:
            self._counts.extend(array("I", [0]) * beyond)


def merged(spreads: Iterable[Spread]) -> Spread:
    """All of them as one."""
    whole = Spread()
    for spread in spreads:
        whole.merge(spread)
    return whole
