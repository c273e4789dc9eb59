"""The ASGI application: routes, and the lifetime of what they serve."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket

from antiphon.errors import AntiphonError, RefusedError
from antiphon.protocol import SUBPROTOCOL
from antiphon.protocol.client_messages import MAX_INSTRUCTIONS
from antiphon.protocol.connection import ServerConnection
from antiphon.server.http_edge import HttpEdge
from antiphon.server.origins import origin_allowed
from antiphon.server.page import Page, read_page
from antiphon.server.voice import Call, VoiceLimits
from antiphon.server.wire_errors import refusal_closing, wire_error
from antiphon.sessions.audience import Audience
from antiphon.sessions.offer import Offer
from antiphon.sessions.readiness import Readiness
from antiphon.sessions.registry import Registry
from antiphon.telemetry.logs import logger

Loading = Callable[[Readiness], Awaitable[None]]
"""Makes the server ready, keeps what it loaded until it is cancelled, and then lets go of it."""

log = logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontDoor:
    """How the server meets the world."""

    max_sessions: int = 50
    allowed_origins: Collection[str] = ()
    loopback_only: bool = True
    """Whether it listens on loopback, so that only loopback names can be its own."""
    limits: VoiceLimits = field(default_factory=VoiceLimits)


class Application:
    """What the routes serve. ``asgi`` is the application for the web server."""

    def __init__(self, door: FrontDoor, loading: Loading, audience: Audience | None = None) -> None:
        self.readiness = Readiness()
        self.audience = audience or Audience()
        self.registry = Registry(
            readiness=self.readiness, max_sessions=door.max_sessions, audience=self.audience
        )
        self._door = door
        self._loading = loading
        self.asgi = HttpEdge(self._routes())

    def _routes(self) -> FastAPI:
        app = FastAPI(title="Antiphon", openapi_url=None, lifespan=self._lifespan)
        page = Page(read_page())
        app.add_route("/", page.start, methods=["GET", "HEAD"])
        app.add_route("/assets/{path:path}", page.asset, methods=["GET", "HEAD"])
        app.add_api_route("/health", self.health, methods=["GET"], response_model=None)
        app.add_api_route("/ready", self.ready, methods=["GET"], response_model=None)
        app.add_api_route("/api/options", self.options, methods=["GET"], response_model=None)
        app.add_api_websocket_route("/ws/voice", self.voice)
        return app

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """The server answers at once; models load beside it."""
        async with asyncio.TaskGroup() as tasks:
            loading = tasks.create_task(self._load())
            yield
            loading.cancel()

    async def _load(self) -> None:
        try:
            await self._loading(self.readiness)
        except Exception:
            # The edge: the server stays up to say that it is not ready, and why is in its log.
            log.exception("loading failed")
            self.readiness.fail(AntiphonError("the models could not be loaded; the server's log says why"))

    async def health(self) -> JSONResponse:
        """Alive: the loop turns."""
        return JSONResponse({"status": "ok"})

    async def ready(self) -> JSONResponse:
        """Whether calls are taken, and how far the models are."""
        readiness = self.readiness
        failure = readiness.failure
        body = {
            "ready": readiness.ready,
            "draining": readiness.draining,
            "models": [asdict(model) for model in readiness.models],
            "error": None if failure is None else {"code": failure.code, "message": failure.message},
            "sessions": len(self.registry.live),
            "max_sessions": self._door.max_sessions,
        }
        return JSONResponse(
            body, status_code=200 if readiness.ready else 503, headers={"Cache-Control": "no-store"}
        )

    async def options(self) -> JSONResponse:
        """What a caller can choose from; voices and languages are known once the models are."""
        assistant = self.readiness.assistant
        offer = Offer() if assistant is None else assistant.offer
        body = {
            "voices": [asdict(voice) for voice in offer.voices],
            "default_voice": offer.default_voice,
            "languages": ["auto", *offer.languages],
            "default_language": "auto" if assistant is None else assistant.defaults.language,
            "default_speed": 1.0 if assistant is None else assistant.defaults.speed,
            "modes": ["open_mic", "push_to_talk"],
            "ticket_required": False,
            "instructions_max": MAX_INSTRUCTIONS,
            "limits": asdict(self._door.limits.told()),
        }
        return JSONResponse(body, headers={"Cache-Control": "no-store"})

    async def voice(self, websocket: WebSocket) -> None:
        """``/ws/voice``: whom it lets in, and the call."""
        problem = self._handshake_problem(websocket)
        if problem:
            log.warning("connection refused", problem=problem)
            await websocket.send_denial_response(PlainTextResponse(problem + "\n", status_code=403))
            return
        offered = websocket.scope.get("subprotocols", [])
        await websocket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
        try:
            with self.registry.session() as session:
                assistant = self.readiness.assistant
                assert assistant is not None
                log.info("session opened", session_id=session.id, live=len(self.registry.live))
                await Call(
                    websocket,
                    session,
                    assistant,
                    limits=self._door.limits,
                    draining=self.registry.draining,
                    audience=self.audience,
                ).run()
        except RefusedError as refused:
            await self._turn_away(websocket, refused)

    def _handshake_problem(self, websocket: WebSocket) -> str:
        """Why the connection cannot be served, for people; empty when it can."""
        origin = websocket.headers.get("origin")
        host = websocket.headers.get("host", "")
        if not origin_allowed(
            origin,
            host=host,
            allowed=self._door.allowed_origins,
            loopback_only=self._door.loopback_only,
        ):
            return (
                f"Pages from {origin} may not connect to this server. If they should, the operator adds "
                "that origin"
                " to ANTIPHON_ALLOWED_ORIGINS."
            )
        offered = websocket.scope.get("subprotocols", [])
        if offered and SUBPROTOCOL not in offered:
            return (
                f"This server speaks the WebSocket sub-protocol {SUBPROTOCOL}; none of those offered is it."
            )
        return ""

    async def _turn_away(self, websocket: WebSocket, refused: RefusedError) -> None:
        log.info("caller refused", code=refused.code)
        closing = refusal_closing(refused)
        numbering = ServerConnection(max_message_bytes=self._door.limits.max_message_bytes)
        await websocket.send_text(numbering.send(wire_error(refused)))
        await websocket.close(closing.code, closing.reason)
