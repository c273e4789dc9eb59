"""A distribution in a few bytes that adds up: minutes into hours, hours into days, replicas into a fleet. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

GROWTH = 1.04
"""Each bucket is 4 % wider than the one before, so that a quantile is within 2 % of the true value."""

LEAST = 0.1
"""ms. Everything below is counted as this: nobody hears a tenth of a millisecond."""

_SCALE = 1.0 / math.log(GROWTH)


class Spread:
    """How values (ms, or any unit) are spread: counts in logarithmic buckets."""

    __slots__ = ("counts", "total")

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts: dict[int, int] = dict(counts or {})
        """Bucket → how many; bucket n holds values around ``LEAST * GROWTH ** n``."""
        self.total = sum(self.counts.values())

    def add(self, value: float) -> None:
        """One more value; what is below ``LEAST`` counts as that."""
        bucket = round(math.log(value / LEAST) * _SCALE) if value > LEAST else 0
        self.counts[bucket] = self.counts.get(bucket, 0) + 1
        self.total += 1

    def merge(self, other: Spread) -> None:
        """All of the other's values too."""
        for bucket, count in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + count
        self.total += other.total

    def quantile(self, share: float) -> float | None:
        """The value that ``share`` (0-1) of all are not above; None when there are none."""
        wanted = max(1, math.ceil(share * self.total))
        seen = 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= wanted:
                return float(LEAST * GROWTH**bucket)
        return None

    def share_within(self, limit: float) -> float | None:
        """Which share (0-1) is at most ``limit``; None when there are none."""
        if not self.total:
            return None
        within = sum(count for bucket, count in self.counts.items() if LEAST * GROWTH**bucket <= limit)
        return within / self.total

    def to_json(self) -> dict[str, int]:
        """As a file keeps it."""
        return {str(bucket): count for bucket, count in sorted(self.counts.items())}

    @classmethod
    def from_json(cls, counts: Mapping[str, int]) -> Spread:
        """Raises ValueError when it is not what ``to_json`` gives."""
        return cls({int(bucket): int(count) for bucket, count in counts.items()})


def merged(spreads: Iterable[Spread]) -> Spread:
    """All of them as one."""
    whole = Spread()
    for spread in spreads:
        whole.merge(spread)
    return whole
