"""``/operator`` and what its page asks every few seconds. The page itself holds nothing secret; the figures are for
operators only (``operator_access``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from itertools import islice
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from antiphon import __version__
from antiphon.providers.health import ProviderState
from antiphon.server.page import Page
from antiphon.telemetry.latency_budget import BUDGET_MS, FIRST_SOUND_MS
from antiphon.telemetry.observability import Observability
from antiphon.telemetry.pricing import MICRO, BudgetState
from antiphon.telemetry.report import Report, rounded
from antiphon.telemetry.tally import Tally

STEP_MINUTES = 5
"""A day has 288 such steps: as many points as a chart on a wide screen can show."""

NOW_MINUTES = 15
"""What "now" is: long enough for a percentile, short enough to see a change."""

MOST_TURNS = 25
"""In one answer: what the page shows; more would hold up the loop."""

DAY_S = 86_400.0
NO_STORE = {"Cache-Control": "no-store"}


class OperatorPage:
    """The routes. Each of the ``/api/operator/…`` is to be guarded with ``OperatorAccess.require``."""

    def __init__(self, observability: Observability, page: Page) -> None:
        self._observability = observability
        self._page = page

    async def start(self, request: Request) -> Response:
        """``GET /operator``: the page, for everybody; it asks for the token itself."""
        return self._page.answer(request, "operator/index.html")

    async def now(self) -> JSONResponse:
        """``GET /api/operator/now``: is it well? Asked every two seconds."""
        watched = self._observability
        recent, sources = watched.recent, watched.sources
        of_late = recent.minutes.total(recent.now - NOW_MINUTES * 60, recent.now)
        today = recent.minutes.total(watched.midnight(), recent.now)
        body = {
            "at": recent.now,
            "version": __version__,
            "ready": sources.ready() if sources.ready is not None else True,
            "transcripts": recent.transcripts,
            "sessions": {
                "now": sources.sessions() if sources.sessions is not None else 0,
                "max": sources.max_sessions(),
            },
            "minutes": NOW_MINUTES,
            "first_sound": _percentiles(of_late),
            "turns": of_late.turns,
            "provider_calls": sum(found.calls for found in of_late.providers.values()),
            "errors": of_late.provider_errors + of_late.failed,
            "cost": self._cost(today),
            "budget_ms": FIRST_SOUND_MS,
            "providers": self._health(today),
            "lag_ms": None if sources.behind_s is None else round(sources.behind_s() * 1000, 1),
            "last_errors": [asdict(error) for error in reversed(recent.errors)],
            "last_turn": recent.turns[-1].number if recent.turns else 0,
        }
        return JSONResponse(body, headers=NO_STORE)

    async def day(self) -> JSONResponse:
        """``GET /api/operator/day``: the last 24 hours. Asked every minute."""
        recent = self._observability.recent
        end = recent.now
        steps = recent.minutes.steps(end - DAY_S, end, STEP_MINUTES)
        points = [{"at": minute * 60, **_point(tally)} for minute, tally in steps.items()]
        body = {
            "at": end,
            "step_s": STEP_MINUTES * 60,
            "points": points,
            "budget_ms": dict(BUDGET_MS),
            "report": Report.of(recent.minutes.total(end - DAY_S, end)).to_json(),
        }
        return JSONResponse(body, headers=NO_STORE)

    async def turns(self, after: int = 0) -> JSONResponse:
        """``GET /api/operator/turns?after=12``: the turns since, newest first."""
        recent = self._observability.recent
        newest = islice(reversed(recent.turns), MOST_TURNS)
        found = [asdict(turn) for turn in newest if turn.number > after]
        return JSONResponse({"turns": found, "transcripts": recent.transcripts}, headers=NO_STORE)

    async def report(self, day: str = "") -> JSONResponse:
        """``GET /api/operator/report``: today so far, as ``antiphon report --url`` shows it."""
        watched = self._observability
        found: date = watched.today()
        if day and day != found.isoformat():
            problem = {"error": {"code": "bad_request", "message": "a running server tells of today only"}}
            return JSONResponse(problem, status_code=404, headers=NO_STORE)
        tally = watched.recent.minutes.total(watched.midnight(), watched.recent.now)
        return JSONResponse({"day": found.isoformat(), "tally": tally.to_json()}, headers=NO_STORE)

    def _cost(self, today: Tally) -> dict[str, Any]:
        budgets: Sequence[BudgetState] = ()
        if self._observability.sources.budgets is not None:
            budgets = self._observability.sources.budgets()
        # The ledger's own figure where there is one: it knows the other replicas.
        day = next((budget for budget in budgets if budget.name == "day"), None)
        report = Report.of(today)
        return {
            "today_usd": report.cost_usd if day is None else day.spent_usd,
            "budget_usd": None if day is None else day.limit_usd,
            "wasted_usd": report.wasted_usd,
            "unpriced": report.unpriced,
        }

    def _health(self, today: Tally) -> list[dict[str, Any]]:
        """Today's figures of each provider, beside the state of its breaker."""
        states: Sequence[ProviderState] = ()
        if self._observability.sources.health is not None:
            states = self._observability.sources.health()
        known: dict[tuple[str, str], ProviderState] = {
            (state.kind, state.provider): state for state in states
        }
        rows = {(row.kind, row.provider): asdict(row) for row in Report.of(today).providers}
        keys = [*known, *(key for key in rows if key not in known)]
        return [
            {
                "kind": key[0],
                "provider": key[1],
                "breaker": known[key].breaker if key in known else "",
                "last_error": known[key].last_error if key in known else "",
                **rows.get(key, asdict(Report.of(_asked_nothing(*key)).providers[0])),
            }
            for key in sorted(keys, key=lambda key: ("asr", "llm", "tts").index(key[0]))
        ]


def _asked_nothing(kind: str, provider: str) -> Tally:
    tally = Tally()
    tally.provider(kind, provider)
    return tally


def _percentiles(tally: Tally) -> dict[str, float | int | None]:
    return {
        "p50_ms": rounded(tally.first_sound.quantile(0.5)),
        "p95_ms": rounded(tally.first_sound.quantile(0.95)),
        "turns": tally.first_sound.total,
    }


def _point(tally: Tally) -> dict[str, float | int | None]:
    return {
        **_percentiles(tally),
        "sessions": tally.most_sessions,
        "errors": tally.provider_errors + tally.failed,
        "cost_usd": tally.cost_micro / MICRO,
    }
