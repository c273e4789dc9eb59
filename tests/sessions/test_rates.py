"""Rates: so many at once, then one for each interval, and no more however they are spread."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.sessions.rates import Rate, Rates, spend

THREE_A_MINUTE = Rate(count=3, per_s=60.0)


def test_a_burst_passes_then_one_at_a_time() -> None:
    rates = Rates()
    assert [rates.spend("a", THREE_A_MINUTE, now=100.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert rates.spend("a", THREE_A_MINUTE, now=100.0) == pytest.approx(20.0)
    assert rates.spend("a", THREE_A_MINUTE, now=119.9) == pytest.approx(0.1)
    assert rates.spend("a", THREE_A_MINUTE, now=120.0) == 0.0
    assert rates.spend("b", THREE_A_MINUTE, now=120.0) == 0.0


def test_waiting_in_vain_costs_nothing() -> None:
    full_at, _ = spend(0.0, now=0.0, rate=Rate(count=1, per_s=10.0))
    for _ in range(5):
        full_at, wait_s = spend(full_at, now=4.0, rate=Rate(count=1, per_s=10.0))
        assert wait_s == pytest.approx(6.0)


def test_asking_costs_nothing() -> None:
    rates = Rates()
    for _ in range(50):
        assert rates.wait("a", THREE_A_MINUTE, now=5.0) == 0.0
    assert [rates.spend("a", THREE_A_MINUTE, now=5.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert rates.wait("a", THREE_A_MINUTE, now=5.0) == pytest.approx(20.0)


@given(st.lists(st.floats(0, 30), max_size=200))
def test_no_window_holds_more_than_two_bursts(gaps: list[float]) -> None:
    """A bucket of three a minute lets three through at once and three more within the minute, never a seventh."""
    full_at, now = 0.0, 1000.0
    admitted: list[float] = []
    for gap in gaps:
        now += gap
        full_at, wait_s = spend(full_at, now=now, rate=THREE_A_MINUTE)
        if not wait_s:
            admitted.append(now)
    for first in admitted:
        assert len([at for at in admitted if first <= at < first + 60.0 - 1e-6]) <= 6


def test_names_are_forgotten_before_they_fill_memory() -> None:
    rates = Rates()
    for number in range(Rates.MOST * 2):
        rates.spend(f"address {number}", THREE_A_MINUTE, now=float(number))
    assert len(rates._full_at) <= Rates.MOST
