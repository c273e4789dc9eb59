"""The circuit breaker of one provider: after some failures in a row it is not asked for a while, then once, to see.

Pure: time is an argument, in seconds of any clock that does not go back.
"""

from __future__ import annotations

from antiphon.providers.health import Breaker as BreakerState
from antiphon.providers.resilience.limits import BreakerRules
from antiphon.providers.resilience.treatment import Treatment

PROBE_LOST_S = 15.0
"""A probe that was neither answered nor given up by then is forgotten, and another may go."""


class Breaker:
    """``admits`` says whether to ask; whoever asks says so with ``begin``, and then how it went, once."""

    def __init__(self, rules: BreakerRules) -> None:
        self._rules = rules
        self._in_a_row = 0
        self._open_until: float | None = None
        """None while closed."""
        self._probe_since: float | None = None

    def state(self, now: float) -> BreakerState:
        """``half_open``: its rest is over, and one request may find out."""
        if self._open_until is None:
            return "closed"
        return "open" if now < self._open_until else "half_open"

    def admits(self, now: float) -> bool:
        """Whether a request may go now."""
        state = self.state(now)
        return state == "closed" or (state == "half_open" and not self._probing(now))

    @property
    def open_until(self) -> float | None:
        """When the rest is over; None while closed."""
        return self._open_until

    def begin(self, now: float) -> None:
        """A request goes out; in ``half_open`` it is the probe."""
        if self.state(now) == "half_open" and not self._probing(now):
            self._probe_since = now

    def succeeded(self) -> None:
        """A request was answered to its end."""
        self._in_a_row = 0
        self._open_until = None
        self._probe_since = None

    def given_up(self) -> None:
        """A request was cancelled by whoever asked: nothing was learnt."""
        self._probe_since = None

    def failed(self, now: float, treatment: Treatment) -> bool:
        """A request failed. True when this opened (or opened again) the breaker."""
        was = self.state(now)
        self._probe_since = None
        if not treatment.counts:
            return False
        self._in_a_row += 1
        if treatment.rest_s:
            return self._open(now + treatment.rest_s, was)
        if was == "half_open" or (was == "closed" and self._in_a_row >= self._rules.failures):
            return self._open(now + self._rules.rest_s, was)
        return False  # still closed; or open already, and this request had gone out before

    def _open(self, until: float, was: BreakerState) -> bool:
        self._open_until = max(until, self._open_until or 0.0) if was == "open" else until
        return was != "open"

    def _probing(self, now: float) -> bool:
        return self._probe_since is not None and now - self._probe_since < PROBE_LOST_S
