"""Days: in the operator's time zone, with clock changes, and with clocks that jump."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from tests.usage.till import NOON, Clock

from antiphon.errors import SettingsError

HOUR = 3_600.0
DAY = 24 * HOUR


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_the_day_is_that_of_the_time_zone() -> None:
    clock = Clock(wall=at("2026-11-23 23:30"))
    assert clock.calendar("UTC").today() == date(2026, 11, 23)
    assert clock.calendar("Europe/Berlin").today() == date(2026, 11, 24)
    assert clock.calendar("America/New_York").today() == date(2026, 11, 23)


@pytest.mark.parametrize(
    ("midnight", "hours"),
    [("2026-03-29 00:00", 23), ("2026-10-25 00:00", 25), ("2026-11-23 00:00", 24)],
)
def test_a_day_with_a_clock_change_is_one_day(midnight: str, hours: int) -> None:
    start = at(midnight) - (
        HOUR if "11" in midnight or "03" in midnight else 2 * HOUR
    )  # Berlin's midnight in UTC
    clock = Clock(wall=start)
    calendar = clock.calendar("Europe/Berlin")
    day = calendar.today()
    assert day.isoformat() == midnight[:10]
    assert calendar.until_tomorrow_s() == hours * HOUR
    clock.passes(hours * HOUR - 1)
    assert calendar.today() == day
    clock.passes(1)
    assert calendar.today() > day


def test_a_clock_set_back_leaves_the_day_as_it_is() -> None:
    clock = Clock(wall=at("2026-11-24 00:10"))
    calendar = clock.calendar()
    clock.wall -= HOUR
    assert calendar.today() == date(2026, 11, 24)
    clock.passes(2 * HOUR)
    assert calendar.today() == date(2026, 11, 24)
    clock.passes(DAY)
    assert calendar.today() == date(2026, 11, 25)


def test_a_clock_that_was_years_ahead_holds_the_day_for_a_day() -> None:
    clock = Clock()
    calendar = clock.calendar()
    clock.wall += 4 * 365 * DAY
    ahead = calendar.today()
    clock.wall = NOON
    assert calendar.today() == ahead
    clock.passes(DAY - 1)
    assert calendar.today() == ahead
    clock.passes(1)
    assert calendar.today() == date(2026, 11, 24)


def test_a_day_that_the_ledger_has_does_not_come_again_after_a_restart() -> None:
    calendar = Clock().calendar()
    calendar.not_before([date(2026, 11, 20), date(2026, 11, 24)])
    assert calendar.today() == date(2026, 11, 24)


def test_a_day_of_a_clock_that_was_years_ahead_does_not_come_again_after_a_restart() -> None:
    calendar = Clock().calendar()
    calendar.not_before([date(2026, 11, 22), date(2026, 11, 24), date(2029, 1, 31)])
    assert calendar.today() == date(2026, 11, 24)
    calendar = Clock().calendar()
    calendar.not_before([date(2026, 11, 25), date(2029, 1, 31)])
    assert calendar.today() == date(2026, 11, 23)


@pytest.mark.parametrize("name", ["Europe/Atlantis", "", "../etc/passwd", "CEST+1"])
def test_a_time_zone_that_there_is_not(name: str) -> None:
    with pytest.raises(SettingsError, match="write one as Europe/Berlin"):
        Clock().calendar(name)
