"""Days in the operator's time zone, from a clock that may jump.

A budget is for a day, so what day it is must not be a way to spend twice: once a day has begun, no earlier one comes
back. A clock that is set back (a wrong clock corrected) leaves the day as it is,
until it catches up or a whole day has really passed. A clock that was ahead by more than a day was wrong, and the next
start does not go by what was booked then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from antiphon.errors import SettingsError

WallClock = Callable[[], float]
"""Seconds since 1970, as ``time.time``."""
SteadyClock = Callable[[], float]
"""Seconds that never go back, as ``time.monotonic``."""

HELD_S = 86_400.0
"""How long a day is kept after the clock went back behind it: by then a day has passed whatever the clock says, and a
clock that was once years ahead does not hold the day for years."""


def time_zone(name: str) -> ZoneInfo:
    """The time zone of ANTIPHON_TIME_ZONE. Raises SettingsError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SettingsError(
            f"ANTIPHON_TIME_ZONE={name!r} is no time zone; write one as Europe/Berlin, America/New_York or UTC."
        ) from error


class Calendar:
    """What day it is."""

    def __init__(self, zone: ZoneInfo, *, wall: WallClock, steady: SteadyClock) -> None:
        self.zone = zone
        self._wall = wall
        self._steady = steady
        self._day = self.day_of(wall())
        self._behind_since: float | None = None
        self._span = (0.0, 0.0)
        """From when to when, in seconds since 1970, it is ``_day``: asked for with every call, and worked out once."""

    def now_ms(self) -> int:
        """Milliseconds since 1970, as the clock says."""
        return round(self._wall() * 1_000)

    def day_of(self, seconds: float) -> date:
        """The day of a moment."""
        return datetime.fromtimestamp(seconds, UTC).astimezone(self.zone).date()

    def today(self) -> date:
        """The day to book on."""
        now = self._wall()
        if self._span[0] <= now < self._span[1]:
            self._behind_since = None
            return self._day
        day = self.day_of(now)
        if day >= self._day:
            self._behind_since = None
            self._day = day
            self._span = self._begin_of(day), self._begin_of(day + timedelta(days=1))
            return day
        if self._behind_since is None:
            self._behind_since = self._steady()
        elif self._steady() - self._behind_since >= HELD_S:
            self._behind_since = None
            self._day = day
            self._span = (0.0, 0.0)
        return self._day

    def not_before(self, days: Iterable[date]) -> None:
        """The ledger has these days already: as if the last had been seen, unless it is more than a day ahead. A clock
        set back by hours brings no day back; one that had been ahead for longer holds none."""
        tomorrow = self.day_of(self._wall()) + timedelta(days=1)
        self._day = max([self._day, *(day for day in days if day <= tomorrow)])
        self._span = (0.0, 0.0)

    def until_tomorrow_s(self) -> float:
        """Seconds until the next day begins, at least 1. A day may have 23 or 25 hours."""
        return max(self._begin_of(self.today() + timedelta(days=1)) - self._wall(), 1.0)

    def _begin_of(self, day: date) -> float:
        """Seconds since 1970."""
        return datetime.combine(day, time(), self.zone).timestamp()
