"""What is not told by events but is so at the moment of a scrape: sessions, breakers, queues, lag, budgets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from antiphon.providers.health import ProviderState
from antiphon.telemetry.lag import EDGES_S, Delays
from antiphon.telemetry.pricing import BudgetState, LedgerState

BREAKERS = ("closed", "half_open", "open")
WHO = ["kind", "provider", "model"]


@dataclass(slots=True, kw_only=True)
class Sources:
    """Whom to ask. Each answers at once, from memory; whoever composes the server fills in what there is."""

    max_sessions: Callable[[], int] = lambda: 0
    sessions: Callable[[], int] | None = None
    """Conversations now; None: those the listener was told of."""
    ready: Callable[[], bool] | None = None
    health: Callable[[], Sequence[ProviderState]] | None = None
    depths: Callable[[], Mapping[str, int]] | None = None
    """Queue → jobs waiting in it, of the embedded models."""
    lag_s: Callable[[], float] | None = None
    """How late the event loop runs what is due, in seconds: the worst of the last few seconds."""
    behind_s: Callable[[], float] | None = None
    """… and how late it is for a tenth of the time: what callers hear, where a single slow moment is not."""
    delays: Callable[[], Delays] | None = None
    """… and how late it was since the start."""
    budgets: Callable[[], Sequence[BudgetState]] | None = None
    ledger: Callable[[], LedgerState] | None = None
    certificate_end: Callable[[], float | None] | None = None
    """When the certificate in front ends, in seconds since 1970; None while there is none that can be read."""


class SourcesCollector(Collector):
    """Asked by the registry at every scrape."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def collect(self) -> Iterator[Metric]:
        """Every gauge, in the order of docs/observability.md."""
        sources = self._sources
        yield _gauge("antiphon_sessions", "Conversations now.", sources.sessions() if sources.sessions else 0)
        yield _gauge("antiphon_sessions_max", "Conversations held at most.", sources.max_sessions())
        if sources.ready is not None:
            yield _gauge("antiphon_ready", "1 when calls are taken.", int(sources.ready()))
        if sources.lag_s is not None:
            yield _gauge("antiphon_event_loop_lag_seconds", "How late the loop is.", sources.lag_s())
        if sources.delays is not None:
            yield _delays(sources.delays())
        if sources.depths is not None:
            yield _depths(sources.depths())
        if sources.health is not None:
            yield from _health(sources.health())
        if sources.budgets is not None:
            yield from _budgets(sources.budgets())
        if sources.ledger is not None:
            yield from _ledger(sources.ledger())
        if sources.certificate_end is not None and (end := sources.certificate_end()) is not None:
            yield _gauge("antiphon_certificate_end_timestamp_seconds", "When the certificate ends.", end)

    def describe(self) -> Iterator[Metric]:
        """Nothing: the registry need not ask the sources before they are there."""
        return iter(())


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _delays(delays: Delays) -> Metric:
    edges = [*(str(edge) for edge in EDGES_S), "+Inf"]
    return HistogramMetricFamily(
        "antiphon_event_loop_delay_seconds",
        "How late the loop ran what was due, since the start.",
        buckets=list(zip(edges, accumulate(delays.counts), strict=True)),
        sum_value=delays.sum_s,
    )


def _depths(depths: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily(
        "antiphon_queue_depth", "Jobs waiting for an embedded model.", labels=["queue"]
    )
    for queue, depth in depths.items():
        family.add_metric([queue], depth)
    return family


def _health(states: Sequence[ProviderState]) -> Iterator[Metric]:
    breaker = GaugeMetricFamily(
        "antiphon_provider_breaker_state", "1 for the state its breaker is in.", labels=[*WHO, "state"]
    )
    retries = CounterMetricFamily("antiphon_provider_retries", "Requests sent again.", labels=WHO)
    hedges = CounterMetricFamily("antiphon_provider_hedges", "Second requests beside a slow one.", labels=WHO)
    fallbacks = CounterMetricFamily(
        "antiphon_provider_fallbacks", "How often the next in the chain was asked instead.", labels=WHO
    )
    for state in states:
        provider, _, model = state.provider.partition(":")
        who = [state.kind, provider, model]
        for name in BREAKERS:
            breaker.add_metric([*who, name], float(state.breaker == name))
        retries.add_metric(who, state.retries)
        hedges.add_metric(who, state.hedges)
        fallbacks.add_metric(who, state.fallbacks)
    yield from (breaker, retries, hedges, fallbacks)


def _ledger(ledger: LedgerState) -> Iterator[Metric]:
    yield _gauge("antiphon_budget_held_usd", "Set aside for turns under way.", ledger.held_usd)
    yield _gauge("antiphon_ledger_waiting", "Entries not written to the ledger yet.", ledger.waiting)
    yield CounterMetricFamily(
        "antiphon_ledger_lost", "Entries given up: the ledger could not be written.", value=ledger.lost
    )
    yield _gauge("antiphon_prices_stale", "Prices in use to be looked up again.", ledger.stale_prices)
    yield _gauge(
        "antiphon_alerts_waiting", "Alerts that the webhook has not taken yet.", ledger.alerts_waiting
    )
    yield CounterMetricFamily(
        "antiphon_alerts_failed", "Alerts that the webhook never took.", value=ledger.alerts_failed
    )


def _budgets(budgets: Sequence[BudgetState]) -> Iterator[Metric]:
    spent = GaugeMetricFamily("antiphon_budget_spent_usd", "Spent of a budget.", labels=["budget"])
    limit = GaugeMetricFamily(
        "antiphon_budget_limit_usd", "Limit of a budget that has one.", labels=["budget"]
    )
    degraded = GaugeMetricFamily(
        "antiphon_budget_degraded", "1 while cheaper models go on, as it is spent.", labels=["budget"]
    )
    for budget in budgets:
        spent.add_metric([budget.name], budget.spent_usd)
        if budget.limit_usd is not None:
            limit.add_metric([budget.name], budget.limit_usd)
            degraded.add_metric([budget.name], int(budget.degraded))
    yield from (spent, limit, degraded)
