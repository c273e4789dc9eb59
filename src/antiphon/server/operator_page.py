"""``/operator`` and what its page asks every few seconds. The page itself holds nothing secret; the figures are for
operators only (``operator_access``)."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from antiphon import __version__
from antiphon.server.page import Page
from antiphon.telemetry.latency_budget import BUDGET_MS, FIRST_SOUND_MS
from antiphon.telemetry.observability import Observability
from antiphon.telemetry.pricing import MICRO
from antiphon.telemetry.recent import KEEP_TURNS
from antiphon.telemetry.replicas import MOST_TURNS, NOW_MINUTES, STEP_MINUTES, Moment, Replicas
from antiphon.telemetry.report import KIND_ORDER, Report, stage_row
from antiphon.telemetry.tally import Tally, whole

NO_STORE = {"Cache-Control": "no-store"}


class OperatorPage:
    """The routes. Each of the ``/api/operator/…`` is to be guarded with ``OperatorAccess.require``."""

    def __init__(self, observability: Observability, page: Page, replicas: Replicas | None = None) -> None:
        self._observability = observability
        self._page = page
        self._replicas = replicas or Replicas(observability)

    async def start(self, request: Request) -> Response:
        """``GET /operator``: the page, for everybody; it asks for the token itself."""
        return self._page.answer(request, "operator/index.html")

    async def now(self) -> JSONResponse:
        """``GET /api/operator/now``: is it well? Asked every two seconds."""
        watched = self._observability
        moment = await self._replicas.moment()
        today = await self._replicas.since(watched.midnight())
        of_late = moment.of_late
        body = {
            "at": watched.recent.now,
            "version": __version__,
            "ready": moment.ready,
            "replicas": moment.replicas,
            "whole": moment.whole,
            "transcripts": watched.recent.transcripts,
            "sessions": {"now": moment.sessions, "max": moment.max_sessions},
            "minutes": NOW_MINUTES,
            "first_sound": _first_sound(of_late),
            "turns": of_late.turns,
            "provider_calls": sum(found.calls for found in of_late.providers.values()),
            "failed_calls": of_late.provider_errors,
            "failed_turns": of_late.failed,
            "cost": self._cost(today),
            "ledger": moment.ledger,
            "budget_ms": FIRST_SOUND_MS,
            "providers": _health(moment, today),
            "lag_ms": moment.lag_ms,
            "last_errors": moment.errors,
            "last_turn_s": moment.last_turn_s,
        }
        return JSONResponse(body, headers=NO_STORE)

    async def day(self) -> JSONResponse:
        """``GET /api/operator/day``: the last 24 hours. Asked every minute."""
        steps = await self._replicas.steps()
        points = [{"at": minute * 60, **_point(tally)} for minute, tally in steps.items()]
        body = {
            "at": self._observability.recent.now,
            "step_s": STEP_MINUTES * 60,
            "points": points,
            "budget_ms": dict(BUDGET_MS),
            "report": Report.of(whole(steps.values())).to_json(),
        }
        return JSONResponse(body, headers=NO_STORE)

    async def turns(
        self,
        after: float = 0.0,
        only: Literal["", "slow", "interrupted", "failed"] = "",
        most: Annotated[int, Query(ge=1, le=KEEP_TURNS)] = MOST_TURNS,
    ) -> JSONResponse:
        """``GET /api/operator/turns?after=1795435200.5&only=slow&most=50``: the turns that ended since, newest
        first."""
        found, more = await self._replicas.turns(after, only=only, most=most)
        told = {"turns": found, "more": more, "transcripts": self._observability.recent.transcripts}
        return JSONResponse(told, headers=NO_STORE)

    async def report(self, day: str = "") -> JSONResponse:
        """``GET /api/operator/report``: today so far, as ``antiphon report --url`` shows it."""
        watched = self._observability
        found: date = watched.today()
        if day and day != found.isoformat():
            problem = {"error": {"code": "bad_request", "message": "a running server tells of today only"}}
            return JSONResponse(problem, status_code=404, headers=NO_STORE)
        tally = await self._replicas.since(watched.midnight())
        return JSONResponse({"day": found.isoformat(), "tally": tally.to_json()}, headers=NO_STORE)

    def _cost(self, today: Tally) -> dict[str, Any]:
        sources = self._observability.sources
        budgets = sources.budgets() if sources.budgets is not None else ()
        # The ledger's own figure where there is one: it knows the other replicas.
        day = next((budget for budget in budgets if budget.name == "day"), None)
        report = Report.of(today)
        return {
            "today_usd": report.cost_usd if day is None else day.spent_usd,
            "budget_usd": None if day is None else day.limit_usd,
            "degraded": day is not None and day.degraded,
            "wasted_usd": report.wasted_usd,
            "unpriced": report.unpriced,
        }


def _health(moment: Moment, today: Tally) -> list[dict[str, Any]]:
    """Today's figures of each provider, beside the state of its breaker."""
    rows = {(row.kind, row.provider): asdict(row) for row in Report.of(today).providers}
    keys = [*moment.breakers, *(key for key in rows if key not in moment.breakers)]
    found = []
    for key in sorted(keys, key=lambda key: KIND_ORDER.get(key[0], 9)):
        breaker, last_error = moment.breakers.get(key, ("", ""))
        row = rows.get(key) or asdict(Report.of(_asked_nothing(*key)).providers[0])
        found.append(
            {"kind": key[0], "provider": key[1], "breaker": breaker, "last_error": last_error, **row}
        )
    return found


def _asked_nothing(kind: str, provider: str) -> Tally:
    tally = Tally()
    tally.provider(kind, provider)
    return tally


def _first_sound(tally: Tally) -> dict[str, float | int | None]:
    row = stage_row(tally, "first_sound")
    return {"p50_ms": row.typical_ms, "p95_ms": row.p95_ms, "within": row.within, "turns": row.turns}


def _point(tally: Tally) -> dict[str, float | int | None]:
    return {
        **_first_sound(tally),
        "sessions": tally.most_sessions,
        "failed_calls": tally.provider_errors,
        "failed_turns": tally.failed,
        "cost_usd": tally.cost_micro / MICRO,
    }
