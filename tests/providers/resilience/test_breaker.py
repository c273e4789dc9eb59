"""When a provider is left alone, and when it is asked again: whatever is under way meanwhile."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from antiphon.providers.resilience.breaker import PROBE_LOST_S, Begun, Breaker
from antiphon.providers.resilience.limits import BreakerRules
from antiphon.providers.resilience.treatment import LONG_REST_S, Treatment

PASSING = Treatment(again=True)
BAD_KEY = Treatment(rest_s=LONG_REST_S)
COME_LATER = Treatment(again=True, rest_s=30.0)
NOT_ITS_FAULT = Treatment(counts=False)


def fails(breaker: Breaker, now: float, treatment: Treatment = PASSING) -> bool:
    """A request that goes out and fails at once."""
    return breaker.failed(now, breaker.begin(now), treatment)


def broken(now: float = 0.0) -> Breaker:
    """One that has just opened."""
    breaker = Breaker(BreakerRules())
    while not fails(breaker, now):
        pass
    return breaker


def test_a_breaker_opens_within_five_failures_and_probes_after_its_rest() -> None:
    breaker = Breaker(BreakerRules())
    assert [fails(breaker, 10.0) for _ in range(5)].index(True) <= 4
    assert breaker.state(10.1) == "open"
    assert not breaker.admits(13.9)
    assert breaker.state(14.0) == "half_open"
    assert breaker.admits(14.0)


def test_one_probe_at_a_time() -> None:
    breaker = broken()
    probe = breaker.begin(5.0)
    assert not breaker.admits(5.1)
    breaker.given_up(probe)
    assert breaker.admits(5.2)
    breaker.begin(5.2)
    assert breaker.admits(5.2 + PROBE_LOST_S)


def test_a_probe_decides() -> None:
    breaker = broken()
    probe = breaker.begin(5.0)
    assert breaker.failed(5.5, probe, PASSING)
    assert not breaker.admits(6.0)
    breaker.succeeded(breaker.begin(10.0))
    assert breaker.state(10.0) == "closed"
    assert not fails(breaker, 11.0), "it counts from none again"


def test_successes_between_keep_it_closed() -> None:
    breaker = Breaker(BreakerRules(failures=2))
    for at in range(10):
        assert not fails(breaker, at)
        breaker.succeeded(breaker.begin(at))


def test_a_wrong_key_opens_it_at_once_and_for_longer() -> None:
    breaker = Breaker(BreakerRules())
    assert fails(breaker, 0.0, BAD_KEY)
    assert breaker.state(59.0) == "open"
    assert not fails(breaker, 1.0), "what failed after it changes nothing"
    assert breaker.state(59.0) == "open"


@pytest.mark.parametrize("rest", [BAD_KEY, COME_LATER], ids=["bad key", "retry after"])
def test_an_answer_that_was_on_its_way_does_not_cancel_a_rest(rest: Treatment) -> None:
    breaker = Breaker(BreakerRules())
    long_reply = breaker.begin(0.0)
    fails(breaker, 1.0, rest)
    breaker.succeeded(long_reply)
    assert breaker.open_until == 1.0 + rest.rest_s
    assert not breaker.admits(30.9)


def test_what_was_on_its_way_is_not_the_probe() -> None:
    breaker = Breaker(BreakerRules())
    answered, stalled, left = (breaker.begin(0.0) for _ in range(3))
    while not fails(breaker, 1.0):
        pass
    probe = breaker.begin(5.0)
    breaker.succeeded(answered)
    breaker.given_up(left)
    assert not breaker.failed(5.1, stalled, PASSING)
    assert breaker.state(5.2) == "half_open"
    assert not breaker.admits(5.2), "the probe is under way"
    breaker.succeeded(probe)
    assert breaker.state(5.3) == "closed"


def test_a_wish_is_followed_whenever_the_request_began() -> None:
    breaker = Breaker(BreakerRules())
    before = [breaker.begin(0.0) for _ in range(2)]
    fails(breaker, 1.0, BAD_KEY)
    assert not breaker.failed(50.0, before[0], COME_LATER)
    assert breaker.open_until == 80.0
    assert not breaker.failed(50.0, before[1], PASSING)
    assert breaker.open_until == 80.0


def test_the_latest_wish_counts() -> None:
    breaker = broken()
    before, wishing = breaker.begin(1.0), breaker.begin(1.0)
    breaker.failed(1.5, wishing, COME_LATER)
    breaker.succeeded(before)
    assert breaker.open_until == 31.5


def test_one_that_is_asked_while_it_rests_and_answers_is_back() -> None:
    """When all of a chain rest somebody is asked all the same."""
    breaker = broken()
    breaker.succeeded(breaker.begin(1.0))
    assert breaker.state(1.0) == "closed"


class Breaking(RuleBasedStateMachine):
    """Requests that begin and end in any order, some of them asked though the breaker would not have it."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = BreakerRules(failures=3, rest_s=4.0)
        self.breaker = Breaker(self.limits)
        self.now = 0.0
        self.probes: dict[Begun, float] = {}
        """Under way: those that were admitted in half_open, and since when."""
        self.current: set[Begun] = set()
        """Under way: those that began since the provider was last left alone."""
        self.in_a_row = 0

    under_way = Bundle("under_way")

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 4.0, PROBE_LOST_S, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=under_way)
    def one_is_asked(self) -> Begun:
        probe = self.breaker.state(self.now) == "half_open" and self.breaker.admits(self.now)
        begun = self.breaker.begin(self.now)
        if probe:
            self.probes[begun] = self.now
        self.current.add(begun)
        return begun

    @rule(begun=consumes(under_way))
    def one_is_answered(self, begun: Begun) -> None:
        before = self.seen()
        self.breaker.succeeded(begun)
        if begun in self.current:
            assert self.breaker.state(self.now) == "closed"
            self.in_a_row = 0
        else:
            assert self.seen() == before
        self.over(begun)

    @rule(begun=consumes(under_way))
    def one_is_given_up(self, begun: Begun) -> None:
        before = self.seen()
        self.breaker.given_up(begun)
        assert self.seen() == before
        self.over(begun)

    @rule(begun=consumes(under_way))
    def one_is_refused(self, begun: Begun) -> None:
        before = self.seen()
        assert not self.breaker.failed(self.now, begun, NOT_ITS_FAULT)
        assert self.seen() == before
        self.over(begun)

    @rule(begun=consumes(under_way))
    def one_fails(self, begun: Begun) -> None:
        before, was = self.seen(), self.breaker.state(self.now)
        counts = was == "closed" and begun in self.current
        self.in_a_row += counts
        if self.breaker.failed(self.now, begun, PASSING):
            assert begun in self.current
            assert self.in_a_row >= self.limits.failures if was == "closed" else not self.probing(but=begun)
            assert self.breaker.open_until == self.now + self.limits.rest_s
            self.current.clear()
        else:
            assert self.seen() == before
            assert not counts or self.in_a_row < self.limits.failures
        self.over(begun)

    @rule(begun=consumes(under_way), treatment=st.sampled_from([BAD_KEY, COME_LATER]))
    def one_asks_to_be_left_alone(self, begun: Begun, treatment: Treatment) -> None:
        before, was = self.breaker.open_until or 0.0, self.breaker.state(self.now)
        assert self.breaker.failed(self.now, begun, treatment) == (was != "open")
        assert self.breaker.open_until == max(before, self.now + treatment.rest_s)
        self.current.clear()
        self.over(begun)

    @invariant()
    def one_probe_at_a_time(self) -> None:
        assert self.probing() <= 1

    @invariant()
    def nobody_is_admitted_while_it_rests(self) -> None:
        if self.breaker.state(self.now) == "open":
            assert not self.breaker.admits(self.now)

    @precondition(lambda self: self.breaker.state(self.now) == "half_open")
    @invariant()
    def somebody_may_find_out(self) -> None:
        assert self.breaker.admits(self.now) != self.probing()

    def probing(self, *, but: Begun | None = None) -> int:
        """Probes that are under way and not taken for lost."""
        return sum(
            self.now - since < PROBE_LOST_S for probe, since in self.probes.items() if probe is not but
        )

    def seen(self) -> tuple[str, float | None]:
        """All that can be told from outside but for whether a probe is under way."""
        return self.breaker.state(self.now), self.breaker.open_until

    def over(self, begun: Begun) -> None:
        self.probes.pop(begun, None)
        self.current.discard(begun)


TestBreaking = Breaking.TestCase
