"""How long a provider may take before somebody else is asked. Pure."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

ENOUGH = 8
"""First results that must have been seen before what is usual says anything."""

ENOUGH_TO_HEDGE = 20
"""The same for a request that costs money: fewer know no 95th percentile."""

KEPT = 64
"""First results remembered: some minutes of one conversation, seconds of a busy server."""


SOONEST_LATE_S = 0.6
"""However quick a provider usually is, it is not called late before this."""

LEAST_S = 1.5
"""Whatever the steps of a turn before it took, a step has so long: enough to ask once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRules:
    """When a provider is left alone."""

    failures: int = 4
    """In a row."""
    rest_s: float = 4.0
    """Then it is not asked for so long. With the probe after it, a provider that is back is used within 10 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Patience with the providers of one kind, in seconds."""

    late_s: float = 1.5
    """A first result later than this is late: the next in the chain is asked as well."""
    soonest_late_s: float = SOONEST_LATE_S
    gap_s: float = 1.5
    """Silence inside an answer of anybody but an embedded model."""
    alone_s: float = 2.5
    """Instead of ``late_s`` where there is nobody else to ask: the same is asked a second time, and billed for it."""
    loading_s: float = 8.0
    """The same for a server that loads models when it is asked: it may be loading, and asking twice makes it slower."""
    budget_s: float = 6.0
    """From when the caller began to wait: no further request is begun after it."""
    retry_wait_s: float = 0.08
    """Before the same provider is asked again."""
    hedge: bool = False
    """Ask the same provider a second time when its first result is later than its usual 95th percentile."""


class Usual:
    """A provider's late first results, in seconds."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=KEPT)

    def add(self, seconds: float) -> None:
        self._seconds.append(seconds)

    def median(self) -> float | None:
        """None while there is nothing to go by."""
        ordered = sorted(self._seconds)
        return ordered[len(ordered) // 2] if ordered else None

    def p95(self, *, of_at_least: int) -> float | None:
        """None while fewer than ``of_at_least`` are known."""
        if len(self._seconds) < of_at_least:
            return None
        return sorted(self._seconds)[math.ceil(0.95 * len(self._seconds)) - 1]


def late_after(limits: Limits, usual: Usual, *, alone: bool, loads: bool = False, left: float = 1.0) -> float:
    """Seconds after which a provider's first result is late: three times its usual 95th percentile, within limits, and
    less when only a share of the budget is ``left``, 0-1: the caller waits already. Alone it is given more time; most
    where it ``loads`` models."""
    p95 = usual.p95(of_at_least=ENOUGH)
    if alone and loads:
        return limits.loading_s if p95 is None else min(max(5.0 * p95, 2.5), limits.loading_s)
    if alone:
        # One that usually takes long is not asked twice every time.
        longest_s = limits.alone_s if p95 is None else max(limits.alone_s, 1.5 * p95)
        late_s = longest_s if p95 is None else min(max(5.0 * p95, limits.late_s), longest_s)
        return max(left * late_s, limits.late_s)
    late_s = limits.late_s if p95 is None else min(max(3.0 * p95, limits.soonest_late_s), limits.late_s)
    return max(left * late_s, limits.soonest_late_s)


def due(limits: Limits, *, since: float, now: float) -> float:
    """When the budget of somebody who waits ``since`` then is used up; every step has a little of it."""
    return max(since + limits.budget_s, now + LEAST_S)
