"""How often something may happen: the generic cell rate algorithm, a token bucket that keeps one number. Time is an
argument, so the same sum is done here, in a script at the store, and in tests."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """``count`` times in ``per_s`` seconds, all of which may come at once."""

    count: int
    per_s: float

    @property
    def interval_s(self) -> float:
        """Seconds after which one more is free."""
        return self.per_s / self.count


def spend(full_at: float, *, now: float, rate: Rate, cost: int = 1) -> tuple[float, float]:
    """``cost`` more at ``now``: when the bucket will be full again, and how long to wait (0: go ahead).

    ``full_at`` is what the last call gave, 0 at first. One that has to wait changes nothing.
    """
    after = max(full_at, now) + rate.interval_s * cost
    wait_s = after - now - rate.per_s
    if wait_s > 1e-9:  # the sums of floats
        return full_at, wait_s
    return after, 0.0


class Rates:
    """Rates of many, by name, in this process."""

    MOST = 20_000
    """Names remembered, about 3 MB: an attacker with more addresses than that meets the cap on sessions instead."""

    def __init__(self) -> None:
        self._full_at: dict[str, float] = {}

    def spend(self, name: str, rate: Rate, *, now: float, cost: int = 1) -> float:
        """Seconds to wait; 0: go ahead."""
        self._full_at[name], wait_s = spend(self._full_at.pop(name, 0.0), now=now, rate=rate, cost=cost)
        if len(self._full_at) > self.MOST:
            self._forget(now)
        return wait_s

    def wait(self, name: str, rate: Rate, *, now: float) -> float:
        """What ``spend`` would say; nothing is spent."""
        return spend(self._full_at.get(name, 0.0), now=now, rate=rate)[1]

    def _forget(self, now: float) -> None:
        """Those whose bucket is full again, and when that is not enough, who was not seen for longest."""
        self._full_at = {name: at for name, at in self._full_at.items() if at > now}
        for name in list(self._full_at)[: max(0, len(self._full_at) - self.MOST)]:
            del self._full_at[name]
