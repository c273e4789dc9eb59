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

from antiphon.errors import NoSuchSessionError, OriginError
from antiphon.server.operator_access import OperatorAccess
from antiphon.server.origins import is_own_page
from antiphon.sessions.registry import Registry
from antiphon.sessions.session import Session
from antiphon.telemetry.logs import logger

SHOWN = 6
"""Letters of a session's id that are shown: enough to point at one, too few to be of use elsewhere."""

NO_STORE = {"Cache-Control": "no-store"}

log = logger(__name__)


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


class SessionList(BaseModel):
    """Who is on, oldest first."""

    sessions: list[SessionRow]
    live: int
    max_sessions: int


class OperatorApi:
    """The endpoints."""

    def __init__(
        self, access: OperatorAccess, registry: Registry, *, now: Callable[[], float] = time.time
    ) -> None:
        self._access = access
        self._registry = registry
        self._now = now

    async def sessions(self) -> JSONResponse:
        """Who is on, oldest first, and what each conversation came to so far."""
        rows = [self._row(session) for session in self._registry.live]
        answer = SessionList(sessions=rows, live=len(rows), max_sessions=self._registry.limit)
        return JSONResponse(answer.model_dump(), headers=NO_STORE)

    async def end(self, id: Annotated[str, Path(min_length=SHOWN, max_length=64)]) -> Response:
        """End one conversation, named by its id or its first letters. It is told so, and cannot be resumed."""
        found = [session for session in self._registry.live if session.id.startswith(id)]
        if len(found) != 1:
            raise NoSuchSessionError(
                "there is no such session (any more)"
                if not found
                else f"{len(found)} sessions begin so; give more"
            )
        log.info("session ended by an operator", session_id=found[0].id)
        found[0].end("the operator ended this conversation")
        return Response(status_code=204, headers=NO_STORE)

    async def log_in(self, request: Request, wanted: LogIn) -> Response:
        """Let this browser be an operator's for twelve hours, by a cookie that scripts cannot read."""
        # A stranger's page must not be able to log anybody in, nor to try tokens from a visitor's address.
        origin = request.headers.get("origin")
        if origin is not None and not is_own_page(origin, host=request.headers.get("host", "")):
            raise OriginError("operators log in on this server's own page only")
        address = request.client.host if request.client is not None else ""
        await self._access.check_token(wanted.token, address=address)
        response = Response(status_code=204, headers=NO_STORE)
        self._access.log_in(response, secure=request.url.scheme == "https")
        return response

    async def log_out(self) -> Response:
        """Forget it again."""
        response = Response(status_code=204, headers=NO_STORE)
        self._access.log_out(response)
        return response

    def _row(self, session: Session) -> SessionRow:
        counts = session.counts
        return SessionRow(
            id=session.id[:SHOWN],
            since=datetime.fromtimestamp(session.since, UTC).isoformat(timespec="seconds"),
            seconds=round(max(0.0, self._now() - session.since), 1),
            turns=counts.turns,
            replies=counts.replies,
            interrupted=counts.interrupted,
            failures=counts.failures,
            audio_in_s=round(counts.audio_in_s, 1),
            audio_out_s=round(counts.audio_out_s, 1),
            cost_usd=counts.cost_usd,
            address=session.caller.address,
            key=session.caller.key,
        )
