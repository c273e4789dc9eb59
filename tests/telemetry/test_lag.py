"""How late the loop is, and when that is too late. Time is an argument."""

from __future__ import annotations

import asyncio

import pytest

from antiphon.telemetry.lag import EDGES_S, EVERY_S, WINDOW_S, LagLimit, LagWindow, LoopLag


def measured(*lates: float, window: LagWindow | None = None, begin: float = 0.0) -> LagWindow:
    window, now = window or LagWindow(), begin
    for late in lates:
        now += EVERY_S + late
        window.add(late, now=now)
    return window


def test_an_idle_loop_is_on_time() -> None:
    assert LagWindow().lag.max_s == 0.0
    assert measured(*[0.001] * 50).lag.p99_s == pytest.approx(0.001)


def test_a_loop_that_stood_still_was_late_for_all_of_that_time() -> None:
    # One measurement of 1 s among 20 on time would be the 95th percentile and vanish in the median.
    lag = measured(*[0.0] * 20, 1.0).lag
    assert lag.max_s == 1.0
    assert lag.p50_s > 0.0
    assert lag.p90_s == pytest.approx(0.8, abs=0.1)


def test_what_is_long_ago_is_forgotten() -> None:
    window = measured(2.0)
    measured(*[0.0] * round(WINDOW_S / EVERY_S + 2), window=window, begin=2.05)
    assert window.lag.max_s == 0.0


def test_all_delays_since_the_start_are_counted() -> None:
    window = measured(*[0.0005] * 1_000, 0.02, 0.021, 0.13)
    delays = window.delays
    counted = {edge: count for edge, count in zip((*EDGES_S, "beyond"), delays.counts, strict=True) if count}
    # 0.13 s of standing still: what was due meanwhile was late, too, by 0.08 and 0.03 s.
    assert counted == {0.001: 1_000, 0.02: 1, 0.05: 2, 0.1: 1, 0.25: 1}
    assert delays.sum_s == pytest.approx(0.5 + 0.02 + 0.021 + 0.13 + 0.08 + 0.03)


def test_the_window_is_bounded_however_late_the_loop_is() -> None:
    window = measured(*[4.0] * 50)
    assert len(window._times) == len(window._ranked) <= WINDOW_S / EVERY_S + 2


def test_one_slow_moment_is_no_overload() -> None:
    assert not LagLimit(0.25).exceeded(measured(*[0.0] * 80, 0.4, *[0.0] * 19))


def test_beyond_the_limit_until_well_below_it() -> None:
    limit = LagLimit(0.2)
    assert limit.exceeded(measured(*[0.3] * 100))
    assert limit.exceeded(measured(*[0.15] * 100)), "below the limit, but not well below"
    assert not limit.exceeded(measured(*[0.05] * 100))
    assert not limit.exceeded(measured(*[0.15] * 100)), "and now it would have to be exceeded again"


def test_no_limit_is_never_exceeded() -> None:
    assert not LagLimit(0.0).exceeded(measured(*[9.0] * 10))


async def test_the_loop_is_measured_by_when_it_wakes() -> None:
    times = iter([0.0, 0.05, 0.05, 0.4, 0.4])
    woken = 0

    async def sleep(seconds: float) -> None:
        nonlocal woken
        assert seconds == EVERY_S
        woken += 1
        if woken == 3:
            raise asyncio.CancelledError

    lag = LoopLag(clock=lambda: next(times), sleep=sleep)
    with pytest.raises(asyncio.CancelledError):
        await lag.watch()
    assert lag.worst_s == pytest.approx(0.3)
