"""The ASGI application: routes, and the lifetime of what they serve."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket

from antiphon.errors import AntiphonError, ClientError, RefusedError, TicketError
from antiphon.protocol import SUBPROTOCOL
from antiphon.protocol.client_messages import MAX_INSTRUCTIONS
from antiphon.protocol.connection import ServerConnection
from antiphon.providers.health import ProviderState
from antiphon.server.callers import Network
from antiphon.server.credentials import Way
from antiphon.server.entrance import Access, Entrance, EntranceStores
from antiphon.server.http_edge import HttpEdge
from antiphon.server.metrics_page import MetricsPage
from antiphon.server.operator_access import OperatorAccess
from antiphon.server.operator_api import OperatorApi, SessionList
from antiphon.server.operator_page import OperatorPage
from antiphon.server.page import Page, read_page
from antiphon.server.ticket_desk import TicketAnswer
from antiphon.server.voice import Call, VoiceLimits
from antiphon.server.wire_errors import (
    framework_problem,
    http_error,
    problems,
    refusal_closing,
    unreadable_request,
    wire_error,
)
from antiphon.sessions.address_limits import LimitPolicy
from antiphon.sessions.audience import Audience
from antiphon.sessions.offer import Offer
from antiphon.sessions.readiness import Readiness
from antiphon.sessions.registry import Backing, Registry
from antiphon.sessions.roster import Roster
from antiphon.store.board import Board
from antiphon.telemetry.lag import LoopLag
from antiphon.telemetry.logs import logger
from antiphon.telemetry.observability import Observability
from antiphon.telemetry.replicas import Replicas
from antiphon.telemetry.sources import Sources

Loading = Callable[[Readiness], Awaitable[None]]
"""Makes the server ready, keeps what it loaded until it is cancelled, and then lets go of it."""

REFUSE_BY = "x-antiphon-refuse"
"""Header in which a proxy says how it wants to be refused."""

REFUSALS = {"status": 503, "404": 404}
"""What it may say, and with which status. nginx takes 503 for a failure, and leaves a replica that gave it alone for a
while; 404 it only passes over."""

log = logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontDoor:
    """How the server meets the world."""

    max_sessions: int = 50
    allowed_origins: Collection[str] = ()
    loopback_only: bool = True
    """Whether it listens on loopback, so that only loopback names can be its own."""
    limits: VoiceLimits = field(default_factory=VoiceLimits)
    ways: Sequence[Way] = ()
    """How callers show that they may talk; none: anybody may."""
    addresses: LimitPolicy = field(default_factory=LimitPolicy)
    trusted_proxies: Sequence[Network] = ()
    operator_token: str = field(default="", repr=False)
    max_loop_lag_s: float = 0.0
    """How late the event loop may be before new conversations wait; 0: however late."""
    metrics_networks: Sequence[Network] = ()
    """From where ``/metrics`` may be read without the operator token."""
    page: Path | None = None
    """Files that take the place of the page's."""


class Application:
    """What the routes serve. ``asgi`` is the application for the web server."""

    def __init__(
        self,
        door: FrontDoor,
        loading: Loading,
        audience: Audience | None = None,
        observability: Observability | None = None,
        backing: Backing | None = None,
        stores: EntranceStores | None = None,
        board: Board | None = None,
    ) -> None:
        """``backing``: what sessions are kept with, ``stores``: tickets and limits; None: this process's memory.
        ``board``: where replicas tell each other who is on, and how they do; None: there is one server."""
        self.readiness = Readiness()
        self.failed = False
        """Whether something has failed that the server cannot go on without."""
        self._calls = 0
        self._hung_up = asyncio.Event()
        self._hung_up.set()
        self.audience = audience or Audience()
        self.registry = Registry(
            readiness=self.readiness,
            max_sessions=door.max_sessions,
            audience=self.audience,
            backing=backing,
            keep_s=door.limits.resume_grace_s,
        )
        self.lag = LoopLag(limit_s=door.max_loop_lag_s)
        self.registry.late = lambda: self.lag.too_late
        self.observability = observability or Observability()
        self._fill_in(self.observability.sources)
        self.roster = Roster(self.registry, board)
        self.replicas = Replicas(self.observability, board)
        self._door = door
        self._loading = loading
        stores = stores or EntranceStores()
        self.operators = OperatorAccess(
            door.operator_token, limits=stores.limits, refused=self.audience.refused
        )
        """``Depends(application.operators.require)`` keeps a route for operators."""
        access = Access(
            ways=door.ways,
            addresses=door.addresses,
            allowed_origins=door.allowed_origins,
            loopback_only=door.loopback_only,
        )
        self.entrance = Entrance(access, self.audience, stores)
        self.routes = self._routes()
        self.asgi = HttpEdge(self.routes, trusted_proxies=door.trusted_proxies, refused=self.audience.refused)

    @property
    def drain_grace_s(self) -> float:
        """How long replies may go on when it is to stop."""
        return self._door.limits.drain_grace_s

    def forget_old(self) -> None:
        """Let go of what this process keeps past its time."""
        self.registry.backing.store.forget_old()
        self.entrance.forget_old()

    def _fill_in(self, sources: Sources) -> None:
        """Whom a scrape asks."""

        def health() -> Sequence[ProviderState]:
            assistant = self.readiness.assistant
            return () if assistant is None else assistant.health()

        def depths() -> Mapping[str, int]:
            assistant = self.readiness.assistant
            return {} if assistant is None else assistant.depths()

        sources.sessions = lambda: len(self.registry.live)
        sources.max_sessions = lambda: self.registry.limit
        sources.ready = lambda: self.readiness.ready
        sources.lag_s = lambda: self.lag.worst_s
        sources.delays = lambda: self.lag.window.delays
        sources.behind_s = lambda: self.lag.lag.p90_s
        sources.health = sources.health or health
        sources.depths = depths

    def _routes(self) -> FastAPI:
        app = FastAPI(title="Antiphon", openapi_url=None, lifespan=self._lifespan)
        page = Page(read_page(self._door.page))
        app.add_route("/", page.start, methods=["GET", "HEAD"])
        app.add_route("/assets/{path:path}", page.asset, methods=["GET", "HEAD"])
        app.add_api_route("/health", self.health, methods=["GET"], response_model=None)
        not_yet: dict[int | str, dict[str, Any]] = {
            503: {"description": "Not ready; the body says how far it is."}
        }
        app.add_api_route("/ready", self.ready, methods=["GET"], response_model=None, responses=not_yet)
        app.add_api_route("/api/options", self.options, methods=["GET"], response_model=None)
        app.add_api_route(
            "/api/tickets",
            self.entrance.give_ticket,
            methods=["POST"],
            response_model=TicketAnswer,
            responses=problems(400, 401, 403, 413, 429, 503),
        )
        app.add_api_websocket_route("/ws/voice", self.voice)
        self._add_operator_routes(app)
        self._add_observing_routes(app, page)
        app.add_exception_handler(ClientError, http_error)
        app.add_exception_handler(RequestValidationError, unreadable_request)
        app.add_exception_handler(HTTPException, framework_problem)
        if self._door.allowed_origins:
            # Their pages ask for tickets and options from here; cookies are never theirs to use.
            app.add_middleware(
                CORSMiddleware,
                allow_origins=list(self._door.allowed_origins),
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", "Content-Type"],
                max_age=600,
            )
        return app

    def _add_operator_routes(self, app: FastAPI) -> None:
        api = OperatorApi(self.operators, self.roster)
        only_operators = [Depends(self.operators.require)]
        app.add_api_route(
            "/api/sessions",
            api.sessions,
            methods=["GET"],
            response_model=SessionList,
            dependencies=only_operators,
            responses=problems(401, 403, 429),
        )
        app.add_api_route(
            "/api/sessions/{id}",
            api.end,
            methods=["DELETE"],
            status_code=204,
            dependencies=only_operators,
            responses=problems(400, 401, 403, 404, 429),
        )
        app.add_api_route(
            "/api/operator",
            api.log_in,
            methods=["POST"],
            status_code=204,
            responses=problems(400, 401, 403, 413, 429),
        )
        app.add_api_route("/api/operator", api.log_out, methods=["DELETE"], status_code=204)

    def _add_observing_routes(self, app: FastAPI, page: Page) -> None:
        metrics = MetricsPage(self.observability, self.operators, networks=self._door.metrics_networks)
        app.add_route("/metrics", metrics.show, methods=["GET"])
        operator = OperatorPage(self.observability, page, self.replicas)
        app.add_route("/operator", operator.start, methods=["GET", "HEAD"])
        for path, answer in (
            ("now", operator.now),
            ("day", operator.day),
            ("turns", operator.turns),
            ("report", operator.report),
        ):
            app.add_api_route(
                f"/api/operator/{path}",
                answer,
                methods=["GET"],
                response_model=None,
                dependencies=[Depends(self.operators.require)],
                responses=problems(400, 401, 403, 404, 429, 503),
            )

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """The server answers at once; models load beside it."""
        async with self.observability.watch() as listeners:
            with self.audience.joined(*listeners):
                async with asyncio.TaskGroup() as tasks:
                    loading = tasks.create_task(self._load())
                    measuring = tasks.create_task(self.lag.watch())
                    renewing = tasks.create_task(self.entrance.run())
                    async with self.registry.running(), self._telling_replicas():
                        with self._failing():
                            yield
                    renewing.cancel()
                    measuring.cancel()
                    loading.cancel()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Whatever runs beside it runs to its end, or the server ends too: without a part of it, it would take callers
        and cut them off. Then whoever supervises it starts it again."""
        try:
            yield
        except asyncio.CancelledError:  # by the group of what failed, which then says why
            self.failed = True
            self.readiness.fail(AntiphonError("the server has failed and ends; its log says why"))
            self.registry.drain()
            log.error("a part of the server has failed; the server ends")
            raise

    @asynccontextmanager
    async def _telling_replicas(self) -> AsyncIterator[None]:
        """What they know of each other is kept up to date."""
        async with asyncio.TaskGroup() as tasks:
            telling = [tasks.create_task(self.roster.run()), tasks.create_task(self.replicas.run())]
            try:
                yield
            finally:
                for task in telling:
                    task.cancel()
        await self.replicas.last_words()

    async def _load(self) -> None:
        try:
            await self._loading(self.readiness)
        except Exception:
            # The edge: the server stays up to say that it is not ready, and why is in its log.
            log.exception("loading failed")
            self.readiness.fail(AntiphonError("the server could not be made ready; its log says why"))

    async def health(self) -> JSONResponse:
        """Alive: the loop turns, and all that runs beside it."""
        if self.failed:
            return JSONResponse({"status": "failed"}, status_code=503)
        return JSONResponse({"status": "ok"})

    async def ready(self) -> JSONResponse:
        """Whether calls are taken, and how far the models are."""
        readiness = self.readiness
        failure = readiness.failure
        body = {
            "ready": readiness.ready,
            "draining": readiness.draining,
            "models": [asdict(model) for model in readiness.models],
            "degraded": [
                {"kind": state.kind, "provider": state.provider, "breaker": state.breaker}
                for state in (readiness.assistant.health() if readiness.assistant is not None else ())
                if state.breaker != "closed"
            ],
            "error": None if failure is None else {"code": failure.code, "message": failure.message},
            "sessions": len(self.registry.live),
            "max_sessions": self.registry.limit,
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
            "ticket_required": not self.entrance.gate.open,
            "password": self.entrance.gate.takes_password,
            "instructions_max": MAX_INSTRUCTIONS,
            "limits": asdict(self._door.limits.told()),
        }
        return JSONResponse(body, headers={"Cache-Control": "no-store"})

    async def voice(self, websocket: WebSocket) -> None:
        """``/ws/voice``: whom it lets in, and the call."""
        problem = self.entrance.handshake_problem(websocket)
        if problem:
            await websocket.send_denial_response(PlainTextResponse(problem + "\n", status_code=403))
            return
        if self._for_another(websocket):
            # A proxy in front takes this to another replica before the client learns of it.
            status = REFUSALS.get(websocket.headers.get(REFUSE_BY, ""), 503)
            await websocket.send_denial_response(
                PlainTextResponse("not here\n", status_code=status, headers={"Retry-After": "1"})
            )
            return
        offered = websocket.scope.get("subprotocols", [])
        # Only after this can a browser be told why it is turned away.
        await websocket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
        with self._call():
            await self._hold(websocket)

    @contextmanager
    def _call(self) -> Iterator[None]:
        """A connection, until its goodbye is said."""
        self._calls += 1
        self._hung_up.clear()
        try:
            yield
        finally:
            self._calls -= 1
            if not self._calls:
                self._hung_up.set()

    async def hung_up(self) -> None:
        """Returns when every connection has been told why it ends. Safe to cancel."""
        await self._hung_up.wait()

    async def _hold(self, websocket: WebSocket) -> None:
        try:
            async with self.entrance.caller(websocket) as (caller, seat):
                with self.registry.arrival(caller, seat) as place:
                    assistant = self.readiness.assistant
                    assert assistant is not None
                    await Call(
                        websocket,
                        place,
                        assistant,
                        limits=self._door.limits,
                        registry=self.registry,
                        trace_id=self.observability.trace_id,
                        # Where anybody may talk, it is the operator who does: on this machine, or at home.
                        frank=self.entrance.gate.open,
                        shared=self.entrance.traffic.of(caller.address),
                    ).run()
        except (RefusedError, TicketError) as refused:
            await self._turn_away(websocket, refused)

    def _for_another(self, websocket: WebSocket) -> bool:
        """Whether another replica should be asked. Of a full server only proxies are told so that ask for it (ours
        does, until all have refused): a browser's page cannot read a status, and would not know why."""
        if self.registry.backing.store.shared and not self.readiness.ready:
            return True
        asks = websocket.headers.get(REFUSE_BY) in REFUSALS
        return asks and (self.registry.full or not self.readiness.ready)

    async def _turn_away(self, websocket: WebSocket, refused: RefusedError | TicketError) -> None:
        address = websocket.client.host if websocket.client is not None else ""
        self.entrance.telling.warning(
            "caller refused", code=refused.code, address=address, problem=refused.message
        )
        closing = refusal_closing(refused)
        numbering = ServerConnection(max_message_bytes=self._door.limits.max_message_bytes)
        await websocket.send_text(numbering.send(wire_error(refused)))
        await websocket.close(closing.code, closing.reason)
