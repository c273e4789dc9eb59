"""Metrics, traces and the day's figures, as the settings want them."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from antiphon.app.usage import Costs
from antiphon.errors import SettingsError
from antiphon.settings import Settings
from antiphon.telemetry.observability import Observability, Watching
from antiphon.telemetry.pricing import MICRO, BudgetState, LedgerState
from antiphon.usage.calendar import time_zone
from antiphon.usage.totals import Totals


def has_opentelemetry() -> bool:
    """Whether the extra ``traces`` is installed."""
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:  # not even a part of it
        return False


def observability_of(
    settings: Settings, *, can_trace: Callable[[], bool] = has_opentelemetry
) -> Observability:
    """What watches the server. Raises SettingsError when traces are wanted and cannot be made."""
    if settings.traces and not can_trace():
        raise SettingsError(
            "ANTIPHON_TRACES is set, but OpenTelemetry is not installed. Install it with "
            "`pip install 'antiphon[traces]'`, or unset ANTIPHON_TRACES."
        )
    return Observability(
        Watching(
            data=settings.data,
            report_days=settings.report_days,
            restore=settings.store == "memory",
            zone=time_zone(settings.time_zone),
            traces=settings.traces,
            trace_sample=settings.trace_sample,
            transcripts=settings.transcripts,
            certificate=settings.certificate,
            domain=settings.domain,
        )
    )


def watch_costs(watching: Observability, costs: Costs) -> None:
    """What watches goes by these prices, this ledger and these budgets."""
    watching.price = costs.keeper.cost
    watching.sources.budgets = lambda: budgets_of(costs.totals())
    watching.sources.ledger = lambda: ledger_of(costs.totals())


def ledger_of(totals: Totals) -> LedgerState:
    """How the ledger does."""
    return LedgerState(
        held_usd=totals.held / MICRO,
        waiting=totals.unwritten,
        lost=totals.lost,
        alerts_waiting=totals.alerts_waiting,
        alerts_failed=totals.alerts_failed,
        stale_prices=totals.stale_prices,
    )


def budgets_of(totals: Totals) -> tuple[BudgetState, ...]:
    """The day's budget as the ledger knows it, other replicas' spending included."""
    limit = totals.limit / MICRO if totals.limit else None
    spent = totals.spent / MICRO
    return (BudgetState(name="day", spent_usd=spent, limit_usd=limit, degraded=totals.degraded),)
