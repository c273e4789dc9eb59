"""What age alone may delete, when the clock may be wrong."""

from __future__ import annotations

from datetime import date, timedelta

from antiphon.store.retention import SETTLED, first_kept

TODAY = date(2026, 11, 23)
DAILY = [TODAY - timedelta(days=n) for n in range(500)]


def test_with_a_right_clock_days_go_a_week_after_their_time() -> None:
    assert first_kept(DAILY, TODAY, 400) == TODAY - timedelta(days=400 + SETTLED - 1)


def test_a_clock_that_jumps_ahead_deletes_nothing_for_a_week_of_false_days() -> None:
    ahead = TODAY + timedelta(days=800)
    for days in range(SETTLED):
        false = [ahead + timedelta(days=n) for n in range(days)]
        kept = first_kept(DAILY + false, ahead + timedelta(days=days), 400)
        assert kept is not None
        assert TODAY - timedelta(days=410) < kept <= TODAY - timedelta(days=400)


def test_false_days_of_the_past_hold_nothing_back() -> None:
    false = [date(2029, 1, 31) + timedelta(days=n) for n in range(9)]
    assert first_kept(DAILY + false, TODAY, 400) == first_kept(DAILY, TODAY, 400)


def test_a_ledger_of_a_few_days_keeps_them() -> None:
    few = [date(2020, 1, 1), TODAY]
    assert first_kept(few, TODAY, 30) is None
    assert first_kept([], TODAY, 30) is None
    assert first_kept([date(2020, 1, n) for n in range(1, 31)], TODAY, 30) == date(2019, 12, 25)
