"""What operators may ask and do: who is on, end one, log in and out. Behind the operator token, all of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from antiphon.server.operator_access import OperatorAccess
from antiphon.sessions.roster import Line, Roster
from antiphon.telemetry.metrics import SHORT_ID, short_id

NO_STORE = {"Cache-Control": "no-store"}


class LogIn(BaseModel):
    """The operator's token."""

    model_config = ConfigDict(extra="forbid", strict=True)

    token: Annotated[str, Field(min_length=1, max_length=1000)]


class SessionRow(BaseModel):
    """One conversation."""

    id: str
    """Its first letters."""
    since: str
    """ISO 8601, UTC."""
    seconds: float
    away: bool
    """Its caller's connection was lost, and is waited for."""
    turns: int
    replies: int
    interrupted: int
    failures: int
    audio_in_s: float
    audio_out_s: float
    cost_usd: float | None
    """Null when a price is not known."""
    address: str
    key: str
    """Of whom it is billed to."""
    replica: str
    """Which one holds it; empty where there is one server."""


class SessionList(BaseModel):
    """Who is on, oldest first."""

    sessions: list[SessionRow]
    """Of all replicas."""
    live: int
    max_sessions: int
    replicas: int
    whole: bool
    """False: the store that the replicas share is away, and this is the answering one's part."""


class OperatorApi:
    """The endpoints."""

    def __init__(
        self, access: OperatorAccess, roster: Roster, *, now: Callable[[], float] = time.time
    ) -> None:
        self._access = access
        self._roster = roster
        self._now = now

    async def sessions(self) -> JSONResponse:
        """Who is on, oldest first, and what each conversation came to so far."""
        found = await self._roster.attendance()
        answer = SessionList(
            sessions=[self._row(line) for line in found.lines],
            live=len(found.lines),
            max_sessions=found.limit,
            replicas=found.replicas,
            whole=found.whole,
        )
        return JSONResponse(answer.model_dump(), headers=NO_STORE)

    async def end(self, id: Annotated[str, Path(min_length=SHORT_ID, max_length=64)]) -> Response:
        """End one conversation, named by its id or its first letters, at whichever replica. It is told so, and cannot
        be resumed."""
        await self._roster.end(id)
        return Response(status_code=204, headers=NO_STORE)

    async def log_in(self, request: Request, wanted: LogIn) -> Response:
        """Let this browser be an operator's for twelve hours, by a cookie that scripts cannot read."""
        await self._access.require_token(request, wanted.token)
        response = Response(status_code=204, headers=NO_STORE)
        self._access.log_in(response, secure=request.url.scheme == "https")
        return response

    async def log_out(self) -> Response:
        """Forget it again."""
        response = Response(status_code=204, headers=NO_STORE)
        self._access.log_out(response)
        return response

    def _row(self, line: Line) -> SessionRow:
        return SessionRow(
            id=short_id(line.id),
            since=datetime.fromtimestamp(line.since, UTC).isoformat(timespec="seconds"),
            seconds=round(max(0.0, self._now() - line.since), 1),
            away=line.away,
            turns=line.turns,
            replies=line.replies,
            interrupted=line.interrupted,
            failures=line.failures,
            audio_in_s=line.audio_in_s,
            audio_out_s=line.audio_out_s,
            cost_usd=line.cost_usd,
            address=line.address,
            key=line.key,
            replica=line.replica,
        )
