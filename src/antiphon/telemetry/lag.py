"""How late the event loop runs what is due. Every session of this process lives on one loop: when it is late, all
of them are, so this is what tells that a server has enough to do."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

EVERY_S = 0.05
"""How often it is measured: 20 short wake-ups a second cost nothing, and a tenth of a second's delay is seen."""

WINDOW_S = 5.0
"""What is judged: long enough that one slow moment is no overload, short enough to turn away the next caller."""

SHARE = 0.9
"""Of the window that must be on time: beyond the limit for half a second in five, conversations suffer."""

RELEASE = 0.5
"""Callers are let in again below this share of the limit: at the limit itself it would flicker."""


EDGES_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)
"""Of the distribution since the start. 20 ms is what a server in good health stays within, 250 ms what callers hear."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """How late the loop was since the start, as a cumulative histogram has it."""

    counts: tuple[int, ...]
    """Measurements up to each of ``EDGES_S`` and beyond the one before; the last: beyond them all."""
    sum_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """Of the last few seconds, in seconds."""

    p50_s: float = 0.0
    p90_s: float = 0.0
    p99_s: float = 0.0
    max_s: float = 0.0


class LagWindow:
    """The last ``WINDOW_S`` of measurements. Time is an argument."""

    def __init__(self) -> None:
        self._times: deque[tuple[float, float]] = deque()
        """(when, how late), oldest first; at most ``WINDOW_S / EVERY_S``."""
        self._ranked: list[float] = []
        self._counts = [0] * (len(EDGES_S) + 1)
        self._sum_s = 0.0

    def add(self, late_s: float, *, now: float) -> None:
        """A measurement that was due every ``EVERY_S`` came ``late_s`` late. Those that would have come meanwhile
        count too: a loop that stood still for a second was late twenty times, not once."""
        late_s = min(max(late_s, 0.0), WINDOW_S)
        while late_s >= 0.0:
            self._times.append((now, late_s))
            insort(self._ranked, late_s)
            self._counts[bisect_left(EDGES_S, late_s)] += 1
            self._sum_s += late_s
            late_s -= EVERY_S
        while self._times and (
            self._times[0][0] < now - WINDOW_S or len(self._times) > round(WINDOW_S / EVERY_S) + 1
        ):
            self._ranked.remove(self._times.popleft()[1])

    @property
    def delays(self) -> Delays:
        """All of them since the start, those that are forgotten for ``lag`` too."""
        return Delays(counts=tuple(self._counts), sum_s=self._sum_s)

    @property
    def lag(self) -> Lag:
        """Now."""
        if not self._ranked:
            return Lag()
        return Lag(
            p50_s=self._rank(0.50), p90_s=self._rank(0.90), p99_s=self._rank(0.99), max_s=self._ranked[-1]
        )

    def late_for(self, share: float) -> float:
        """What this share (0-1) of the window was not later than."""
        return self._rank(share) if self._ranked else 0.0

    def _rank(self, share: float) -> float:
        return self._ranked[min(int(share * len(self._ranked)), len(self._ranked) - 1)]


class LagLimit:
    """Whether the loop is too late to take on more: beyond the limit, until it is well below."""

    def __init__(self, limit_s: float) -> None:
        """0: there is no limit."""
        self.limit_s = limit_s
        self._over = False

    def exceeded(self, window: LagWindow) -> bool:
        """Judge the window."""
        if not self.limit_s:
            return False
        late_s = window.late_for(SHARE)
        self._over = late_s > (self.limit_s * RELEASE if self._over else self.limit_s)
        return self._over


class LoopLag:
    """Measures the loop it runs on."""

    def __init__(
        self,
        *,
        limit_s: float = 0.0,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``clock`` in seconds; the loop's own by default."""
        self.window = LagWindow()
        self._limit = LagLimit(limit_s)
        self._clock = clock
        self._sleep = sleep

    @property
    def lag(self) -> Lag:
        """Of the last few seconds."""
        return self.window.lag

    @property
    def worst_s(self) -> float:
        """The worst of the last few seconds."""
        return self.window.lag.max_s

    @property
    def too_late(self) -> bool:
        """Whether nobody more should be let in."""
        return self._limit.exceeded(self.window)

    async def watch(self) -> None:
        """Measure until cancelled."""
        clock = self._clock or asyncio.get_running_loop().time
        while True:
            due = clock() + EVERY_S
            await self._sleep(EVERY_S)
            now = clock()
            self.window.add(now - due, now=now)
