"""What may be deleted for its age, where the clock may be wrong. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

SETTLED = 7
"""Days that have something are counted back, and the seventh is sure to have been: a clock that is ahead by years makes
one such day in a day, and somebody sees that within a week. Things are kept some days longer for it."""


def first_kept(days: Iterable[date], today: date, keep: int) -> date | None:
    """The first of ``days``, those that have something, to be kept for ``keep`` days; all before it may go. None when
    nothing may: too few days, up to ``today``, say that the clock is right."""
    past = sorted({day for day in days if day <= today})
    return past[-SETTLED] - timedelta(days=keep) if len(past) >= SETTLED else None
