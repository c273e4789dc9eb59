"""What watches the server, as the settings want it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from antiphon.app.observing import budgets_of, has_opentelemetry, ledger_of, observability_of
from antiphon.errors import SettingsError
from antiphon.settings import Settings
from antiphon.usage.totals import Totals


def test_as_the_settings_say(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, report_days=7, transcripts=True, time_zone="Asia/Tokyo")
    watching = observability_of(settings).watching
    assert (watching.data, watching.report_days, watching.transcripts) == (tmp_path, 7, True)
    assert watching.traces == "", "traces are off"
    assert datetime(2026, 11, 23, 16, tzinfo=UTC).astimezone(watching.zone).date() == date(2026, 11, 24)


def test_traces_without_their_library_stop_the_start() -> None:
    settings = Settings(traces="http://127.0.0.1:4318")
    with pytest.raises(SettingsError, match=r"ANTIPHON_TRACES is set.*antiphon\[traces\]"):
        observability_of(settings, can_trace=lambda: False)
    assert observability_of(settings, can_trace=has_opentelemetry).watching.traces
    observability_of(Settings(), can_trace=lambda: False)


@pytest.mark.parametrize("address", ["127.0.0.1:4318", "ftp://here", "http:///nowhere"])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(ValueError, match="traces"):
        Settings(traces=address)


def test_budgets_in_dollars() -> None:
    [day] = budgets_of(Totals(day="2026-11-23", spent=1_250_000, limit=5_000_000))
    assert (day.name, day.spent_usd, day.limit_usd) == ("day", 1.25, 5.0)
    ledger = ledger_of(
        Totals(
            day="2026-11-23",
            held=20_000,
            unwritten=3,
            lost=2,
            alerts_waiting=5,
            alerts_failed=1,
            stale_prices=4,
        )
    )
    assert (ledger.held_usd, ledger.waiting, ledger.lost) == (0.02, 3, 2)
    assert (ledger.alerts_waiting, ledger.alerts_failed, ledger.stale_prices) == (5, 1, 4)
    [free] = budgets_of(Totals(day="2026-11-23"))
    assert free.limit_usd is None
