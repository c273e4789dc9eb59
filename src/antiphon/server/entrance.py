"""The entrance: whom the server lets into a conversation, and what it gives out for that."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Header
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse
from starlette.websockets import WebSocket

from antiphon.errors import RefusedError, TicketError
from antiphon.protocol import SUBPROTOCOL
from antiphon.server.credentials import Gate, Way
from antiphon.server.origins import Names, is_secure, origin_allowed
from antiphon.server.ticket_desk import TicketDesk, TicketRequest, offered_ticket
from antiphon.sessions.address_limits import LimitPolicy, LimitStore, MemoryLimits, address_group
from antiphon.sessions.audience import Audience
from antiphon.sessions.caller import Caller
from antiphon.sessions.seat import Seat
from antiphon.sessions.telling import Telling, cut
from antiphon.sessions.tickets import MemoryTickets, TicketOffice, TicketStore
from antiphon.sessions.traffic import Traffic
from antiphon.telemetry.logs import logger


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The operator's choices about who may come in."""

    ways: Sequence[Way] = ()
    """None: anybody."""
    addresses: LimitPolicy = field(default_factory=LimitPolicy)
    allowed_origins: Collection[str] = ()
    loopback_only: bool = True
    """Whether it listens on loopback, so that only loopback names can be its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EntranceStores:
    """Where tickets and limits are kept."""

    tickets: TicketStore = field(default_factory=MemoryTickets)
    limits: LimitStore = field(default_factory=MemoryLimits)


class Entrance:
    """Decides about each connection; counts and logs whom it refuses."""

    def __init__(self, access: Access, audience: Audience, stores: EntranceStores | None = None) -> None:
        self._access = access
        self._audience = audience
        self._here = socket.gethostname()
        self.traffic = Traffic(access.addresses)
        self.telling = Telling(logger(__name__))
        """Of whom is refused."""
        self.keep_in(stores or EntranceStores())

    def keep_in(self, stores: EntranceStores) -> None:
        """From now on tickets and limits are kept there."""
        self.gate = Gate(self._access.ways, stores.limits)
        self._tickets = stores.tickets
        self._limits = stores.limits
        self._office = TicketOffice(stores.tickets)
        self._desk = TicketDesk(
            self.gate,
            self._office,
            stores.limits,
            page_allowed=self.page_allowed,
            refused=self._audience.refused,
            telling=self.telling,
        )

    async def run(self) -> None:
        """Keep the places that are taken, where they are leases, until cancelled."""
        await self._limits.run()

    def forget_old(self) -> None:
        """Let go of tickets past their time."""
        self._tickets.forget_old()

    async def give_ticket(
        self,
        request: Request,
        wanted: TicketRequest | None = None,
        authorization: Annotated[str, Header(max_length=20_000)] = "",
    ) -> JSONResponse:
        """A single-use ticket for one conversation, good for 30 seconds."""
        return await self._desk.give(request, wanted or TicketRequest(), authorization)

    def page_allowed(self, request: HTTPConnection) -> bool:
        """Whether the page that a request or connection comes from may use this server."""
        names: Names = "loopback" if self._access.loopback_only else "local" if self.gate.open else "any"
        return origin_allowed(
            request.headers.get("origin"),
            host=request.headers.get("host", ""),
            secure=is_secure(request),
            allowed=self._access.allowed_origins,
            names=names,
            here=self._here,
        )

    def handshake_problem(self, websocket: WebSocket) -> str:
        """Why the connection cannot even be accepted, for people; empty when it can."""
        origin = websocket.headers.get("origin")
        offered = websocket.scope.get("subprotocols", [])
        if not self.page_allowed(websocket):
            code, problem = (
                "bad_origin",
                (
                    f"Pages from {cut(origin)} may not connect to this server. If they should, the operator adds that"
                    " origin to ANTIPHON_ALLOWED_ORIGINS."
                ),
            )
        elif offered and SUBPROTOCOL not in offered:
            code, problem = (
                "bad_subprotocol",
                (
                    f"This server speaks the WebSocket sub-protocol {SUBPROTOCOL}; none of those offered is it."
                ),
            )
        else:
            return ""
        self.telling.warning("connection refused", code=code, address=_address(websocket), origin=origin)
        self._audience.refused(code)
        return problem

    @asynccontextmanager
    async def caller(self, websocket: WebSocket) -> AsyncIterator[tuple[Caller, Seat]]:
        """Who it is, and a seat among those of its address, which a conversation may keep after leaving. Raises
        RateLimitedError or TicketError."""
        address = _address(websocket)
        seat = Seat(self._limits, address_group(address))
        try:
            try:
                await seat.take(self._access.addresses.of(address))
                caller = await self._identified(websocket, address)
            except (RefusedError, TicketError) as error:
                self._audience.refused(error.code)
                raise
            yield caller, seat
        finally:
            await seat.disconnect()

    async def _identified(self, websocket: WebSocket, address: str) -> Caller:
        """By its ticket. One that is offered has to hold even where none is asked for."""
        origin = websocket.headers.get("origin") or ""
        value = offered_ticket(websocket.scope.get("subprotocols", []))
        if value:
            ticket = await self._office.redeem(value, origin=origin, address=address)
            return Caller(address=address, origin=origin, key=ticket.key)
        if not self.gate.open:
            raise TicketError(
                "this server wants a ticket: POST /api/tickets, then offer `ticket.<value>` as a sub-protocol beside "
                f"{SUBPROTOCOL}"
            )
        return Caller(address=address, origin=origin)


def _address(websocket: WebSocket) -> str:
    return websocket.client.host if websocket.client is not None else ""
