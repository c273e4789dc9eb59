"""What is done about which failure, how long a provider is waited for, who is next."""

from __future__ import annotations

import pytest

from antiphon.errors import AntiphonError, ModelError, ProviderEmpty, ProviderRejected, ProviderUnavailable
from antiphon.providers.resilience.limits import Limits, Usual, late_after
from antiphon.providers.resilience.link import Chain
from antiphon.providers.resilience.plan import Plan
from antiphon.providers.resilience.treatment import TREATMENTS, cause_of, treatment_of
from antiphon.providers.scripted import ScriptedLanguageModel


def failure(cause: str, retry_after_s: float | None = None) -> AntiphonError:
    if TREATMENTS[cause].again or retry_after_s is not None:
        return ProviderUnavailable("it failed", provider="x:y", cause=cause, retry_after_s=retry_after_s)
    return ProviderRejected("it said no", provider="x:y", cause=cause)


# ---- treatment --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cause", "again", "counts", "rests", "elsewhere"),
    [
        ("bad_key", False, True, True, True),
        ("quota", False, True, True, True),
        ("rate_limit", True, True, True, True),
        ("invalid_request", False, False, False, True),
        ("unknown_model", False, True, True, True),
        ("unknown_voice", False, False, False, True),
        ("filtered", False, False, False, False),
        ("overloaded", True, True, False, True),
        ("timeout", True, True, False, True),
        ("unreachable", True, True, False, True),
        ("tls", False, True, False, True),
        ("cut", True, True, False, True),
        ("malformed", True, True, False, True),
        ("empty", True, True, False, True),
        ("not_an_api", False, True, True, True),
        ("wrong_rate", False, True, True, True),
    ],
)
def test_every_cause_has_its_treatment(
    cause: str, again: bool, counts: bool, rests: bool, elsewhere: bool
) -> None:
    treatment = treatment_of(failure(cause))
    assert (treatment.again, treatment.counts, treatment.rest_s > 0, treatment.elsewhere) == (
        again,
        counts,
        rests,
        elsewhere,
    )


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ProviderUnavailable("", provider="p"), "unavailable"),
        (ProviderRejected("", provider="p"), "rejected"),
        (ProviderEmpty("", provider="p"), "empty"),
        (ModelError("", model_id="m"), "model"),
        (ProviderUnavailable("", provider="p", cause="cut"), "cut"),
        (ProviderUnavailable("", provider="p", cause="new_to_us"), "new_to_us"),
    ],
)
def test_errors_without_a_cause_go_by_their_kind(error: AntiphonError, cause: str) -> None:
    assert cause_of(error) == cause
    assert treatment_of(error).again == (error.retryable and cause != "model")


def test_a_providers_wish_to_be_left_alone_is_followed_within_reason() -> None:
    assert treatment_of(failure("rate_limit", 7.0)).rest_s == 7.0
    assert treatment_of(failure("rate_limit", 3600.0)).rest_s == 60.0
    assert treatment_of(failure("rate_limit")).rest_s == 2.0
    assert treatment_of(failure("overloaded", 1.5)).rest_s == 1.5
    soon = treatment_of(failure("rate_limit", 0.3))
    assert (soon.rest_s, soon.wait_s) == (0.0, 0.3)


# ---- patience ---------------------------------------------------------------------------------------------


def usually(seconds: float, times: int = 20) -> Usual:
    usual = Usual()
    for _ in range(times):
        usual.add(seconds)
    return usual


def test_what_is_late_goes_by_what_is_usual_within_limits() -> None:
    limits = Limits(late_s=1.5, soonest_late_s=0.6, alone_s=2.5)
    assert late_after(limits, Usual(), alone=False) == 1.5
    assert late_after(limits, usually(0.3), alone=False) == pytest.approx(0.9)
    assert late_after(limits, usually(0.05), alone=False) == 0.6
    assert late_after(limits, usually(2.0), alone=False) == 1.5
    assert late_after(limits, Usual(), alone=True) == 2.5
    assert late_after(limits, usually(0.1), alone=True) == 1.5
    assert late_after(limits, usually(0.4), alone=True) == pytest.approx(2.0)
    assert late_after(limits, usually(1.0), alone=True) == 2.5
    assert late_after(limits, usually(4.0), alone=True) == 6.0


def test_what_is_late_is_less_when_little_is_left_of_the_turn() -> None:
    limits = Limits(late_s=1.5, soonest_late_s=0.6, alone_s=2.5)
    assert late_after(limits, Usual(), alone=False, left=0.5) == 0.75
    assert late_after(limits, Usual(), alone=False, left=0.0) == 0.6
    assert late_after(limits, Usual(), alone=True, left=0.8) == 2.0
    assert late_after(limits, Usual(), alone=True, left=0.0) == 1.5


def test_a_server_that_loads_models_is_given_time_where_there_is_nobody_else() -> None:
    limits = Limits(loading_s=8.0)
    assert late_after(limits, Usual(), alone=True, loads=True, left=0.1) == 8.0
    assert late_after(limits, usually(0.3), alone=True, loads=True) == 2.5
    assert late_after(limits, usually(1.0), alone=True, loads=True) == 5.0
    assert late_after(limits, Usual(), alone=False, loads=True) == 1.5


def test_an_embedded_last_resort_is_never_late() -> None:
    vendor, embedded = ScriptedLanguageModel(), ScriptedLanguageModel(provider="local")
    chain = Chain([vendor, embedded], kind="llm")
    assert chain.late_after(chain.links[0], 0.0, left=1.0) == chain.limits.late_s
    assert chain.late_after(chain.links[1], 0.0, left=1.0) is None
    only = Chain([embedded], kind="llm")
    assert only.late_after(only.links[0], 0.0, left=1.0) is None


# ---- who is next ------------------------------------------------------------------------------------------


def plan(size: int) -> Plan[ScriptedLanguageModel]:
    return Plan(Chain([ScriptedLanguageModel() for _ in range(size)], kind="llm"))


def test_what_may_pass_is_tried_again_and_then_elsewhere() -> None:
    it = plan(2)
    first, second = it.chain.links
    assert it.first(0.0).link is first
    again = it.after(first, failure("cut"), 0.0)
    assert again is not None
    assert (again.link, again.retry, again.wait_s) == (first, True, it.chain.limits.retry_wait_s)
    for expected in (second, second, None):
        step = it.after(again.link, failure("cut"), 0.0)
        assert (None if step is None else step.link) is expected
        again = step or again


def test_with_nobody_else_it_is_asked_four_times_at_growing_intervals() -> None:
    it = plan(1)
    it.first(0.0)
    steps = [it.after(it.chain.preferred, failure("cut"), 0.0) for _ in range(4)]
    waits = [None if step is None else step.wait_s for step in steps]
    wait_s = it.chain.limits.retry_wait_s
    assert waits == [wait_s, 4 * wait_s, 16 * wait_s, None]


@pytest.mark.parametrize(("cause", "asked"), [("empty", True), ("overloaded", True), ("timeout", False)])
def test_a_lone_provider_that_rests_is_tried_unless_it_stalls(cause: str, asked: bool) -> None:
    it = plan(1)
    only = it.chain.preferred
    for _ in range(4):
        only.failed(0.0, only.begin(0.0), failure(cause))
    assert it.first(1.0).link is only
    assert (it.after(only, failure(cause), 1.0) is not None) is asked


@pytest.mark.parametrize("cause", ["bad_key", "quota", "invalid_request", "unknown_model", "timeout"])
def test_what_does_not_pass_quickly_goes_elsewhere_at_once(cause: str) -> None:
    it = plan(2)
    first, second = it.chain.links
    it.first(0.0)
    step = it.after(first, failure(cause), 0.0)
    assert step is not None
    assert step.link is second


def test_a_refusal_is_not_repeated_and_a_filter_not_evaded() -> None:
    alone = plan(1)
    alone.first(0.0)
    assert alone.after(alone.chain.preferred, failure("bad_key"), 0.0) is None
    two = plan(2)
    two.first(0.0)
    assert two.after(two.chain.preferred, failure("filtered"), 0.0) is None


def test_a_short_wish_is_waited_for_and_a_long_one_is_not() -> None:
    it = plan(2)
    first, second = it.chain.links
    it.first(0.0)
    soon = it.after(first, failure("overloaded", 0.3), 0.0)
    assert soon is not None
    assert (soon.link, soon.wait_s) == (first, 0.3)
    it = plan(2)
    first, second = it.chain.links
    it.first(0.0)
    later = it.after(first, failure("overloaded", 5.0), 0.0)
    assert later is not None
    assert later.link is second


@pytest.mark.parametrize(("wish", "waits"), [(1.0, 1.0), (None, 2.0), (5.0, None)])
def test_with_nobody_else_a_short_rest_is_waited_out(wish: float | None, waits: float | None) -> None:
    it = plan(1)
    only = it.chain.preferred
    it.first(0.0)
    error = failure("rate_limit", wish)
    only.failed(0.0, only.begin(0.0), error)
    step = it.after(only, error, 0.0)
    assert (None if step is None else step.wait_s) == waits


def test_a_provider_that_rests_is_passed_over_and_when_all_rest_one_is_asked_once() -> None:
    it = plan(2)
    first, second = it.chain.links
    first.failed(0.0, first.begin(0.0), failure("bad_key"))
    assert it.first(1.0).link is second
    second.failed(1.0, second.begin(1.0), failure("rate_limit", 5.0))
    it = Plan(it.chain)
    assert it.first(2.0).link is second, "its rest is over soonest"
    assert it.after(second, failure("cut"), 2.0) is None


def test_beside_a_late_one_the_next_is_asked_and_alone_the_same() -> None:
    it = plan(2)
    it.first(0.0)
    step = it.late(it.chain.links[0], 1.0)
    assert step is not None
    assert step.link is it.chain.links[1]
    alone = plan(1)
    alone.first(0.0)
    step = alone.late(alone.chain.preferred, 1.0)
    assert step is not None
    assert step.retry
