"""The circuit breaker of one provider: after some failures in a row it is not asked for a while, then once, to see.

Pure: time is an argument, in seconds of any clock that does not go back.
"""

from __future__ import annotations

from dataclasses import dataclass

from antiphon.providers.health import Breaker as BreakerState
from antiphon.providers.resilience.limits import BreakerRules
from antiphon.providers.resilience.treatment import Treatment

PROBE_LOST_S = 15.0
"""A probe that was neither answered nor given up by then is forgotten, and another may go."""


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """A request that went out, as the breaker knows it."""

    at: float
    rests: int
    """How often the provider had been left alone by then."""


class Breaker:
    """``admits`` says whether to ask; whoever asks says so with ``begin``, and tells once how what that gave went.

    With many sessions something is always under way. What began before the breaker opened tells how the provider was,
    not how it is: it changes nothing, unless it brings a wish to be left alone of its own.
    """

    def __init__(self, rules: BreakerRules) -> None:
        self._rules = rules
        self._in_a_row = 0
        self._rests = 0
        self._open_until: float | None = None
        """None while closed."""
        self._probe: Begun | None = None

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

    def begin(self, now: float) -> Begun:
        """A request goes out, admitted or not; in ``half_open`` it is the probe, unless there is one."""
        begun = Begun(now, self._rests)
        if self.state(now) == "half_open" and not self._probing(now):
            self._probe = begun
        return begun

    def succeeded(self, begun: Begun) -> None:
        """A request was answered to its end."""
        self.given_up(begun)
        if begun.rests == self._rests:
            self._in_a_row = 0
            self._open_until = None

    def given_up(self, begun: Begun) -> None:
        """A request was cancelled by whoever asked: nothing was learnt."""
        if begun is self._probe:
            self._probe = None

    def failed(self, now: float, begun: Begun, treatment: Treatment) -> bool:
        """A request failed. True when this opened (or opened again) the breaker."""
        self.given_up(begun)
        if not treatment.counts:
            return False
        if treatment.rest_s:
            return self._open(now, treatment.rest_s)
        return begun.rests == self._rests and self._too_many(now) and self._open(now, self._rules.rest_s)

    def _too_many(self, now: float) -> bool:
        """One more failure: whether it is one too many. While a probe is under way that decides."""
        if self.state(now) != "closed":
            return self.state(now) == "half_open" and not self._probing(now)
        self._in_a_row += 1
        return self._in_a_row >= self._rules.failures

    def _open(self, now: float, rest_s: float) -> bool:
        opens = self.state(now) != "open"
        self._rests += 1
        self._open_until = max(now + rest_s, self._open_until or 0.0)
        return opens

    def _probing(self, now: float) -> bool:
        return self._probe is not None and now - self._probe.at < PROBE_LOST_S
