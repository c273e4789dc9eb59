"""``POST /api/tickets``: leave to open one conversation."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse

from antiphon.errors import AccessError, ClientError, OriginError, RateLimitedError
from antiphon.server.credentials import Gate, Identity, Shown
from antiphon.sessions.address_limits import LimitStore, address_group
from antiphon.sessions.rates import Rate
from antiphon.sessions.telling import Telling
from antiphon.sessions.tickets import ANY, TICKET_S, Ticket, TicketOffice

ISSUING = Rate(count=120, per_s=60.0)
"""Tickets to one address, or for one API key ten times that: a page takes one for each connection."""

BACKEND_ISSUING = Rate(count=1200, per_s=60.0)

SUBPROTOCOL_PREFIX = "ticket."


class TicketRequest(BaseModel):
    """What is asked for."""

    model_config = ConfigDict(extra="forbid", strict=True)

    password: Annotated[str, Field(max_length=1000, description="With the access mode `password`.")] = ""
    origin: Annotated[
        str | None,
        Field(
            max_length=300,
            description="A backend only: the origin of the page it is for; left out: any that may connect.",
        ),
    ] = None
    address: Annotated[
        str | None,
        Field(
            max_length=100,
            description="A backend only: the IP address it is for, or `any`; left out: the backend's own.",
        ),
    ] = None


class TicketAnswer(BaseModel):
    """A ticket."""

    ticket: str
    subprotocol: str
    """To be offered beside ``antiphon.v1`` when connecting."""
    expires_in_ms: int


class TicketDesk:
    """Checks who asks, and gives out."""

    def __init__(
        self,
        gate: Gate,
        office: TicketOffice,
        limits: LimitStore,
        *,
        page_allowed: Callable[[HTTPConnection], bool],
        refused: Callable[[str], None],
        telling: Telling,
    ) -> None:
        """``page_allowed`` tells whether the page that a request comes from may use this server."""
        self._gate = gate
        self._office = office
        self._limits = limits
        self._page_allowed = page_allowed
        self._refused = refused
        self._telling = telling

    async def give(self, request: Request, wanted: TicketRequest, authorization: str) -> JSONResponse:
        """A ticket, as it is told. Raises ClientError."""
        address = request.client.host if request.client is not None else ""
        try:
            ticket = await self._ticket_for(request, wanted, authorization, address)
            value = await self._office.give(ticket)
        except ClientError as error:
            self._telling.warning("ticket refused", code=error.code, address=address, problem=error.message)
            self._refused("bad_credentials" if type(error) is AccessError else error.code)
            raise
        answer = TicketAnswer(
            ticket=value, subprotocol=SUBPROTOCOL_PREFIX + value, expires_in_ms=round(TICKET_S * 1000)
        )
        return JSONResponse(answer.model_dump(), headers={"Cache-Control": "no-store"})

    async def _ticket_for(
        self, request: Request, wanted: TicketRequest, authorization: str, address: str
    ) -> Ticket:
        origin = request.headers.get("origin")
        if not self._page_allowed(request):
            raise OriginError(
                "pages from there may not use this server; the operator adds their origin to ANTIPHON_ALLOWED_ORIGINS"
            )
        scheme, _, bearer = authorization.partition(" ")
        shown = Shown(password=wanted.password, bearer=bearer.strip() if scheme.lower() == "bearer" else "")
        identity = await self._gate.identify(shown, address=address)
        await self._count(identity, address)
        if identity.backend:
            return Ticket(
                origin=wanted.origin or ANY,
                address=address if wanted.address is None else _address(wanted.address),
                key=identity.key,
            )
        if wanted.origin is not None or wanted.address is not None:
            raise ClientError(
                "`origin` and `address` are for backends that ask with an API key; leave them out"
            )
        return Ticket(origin=origin or "", address=address, key=identity.key)

    async def _count(self, identity: Identity, address: str) -> None:
        name, rate = f"tickets:{address_group(address)}", ISSUING
        if identity.backend:
            name, rate = f"tickets:key:{identity.key}", BACKEND_ISSUING
        wait_s = await self._limits.spend(name, rate)
        if wait_s:
            raise RateLimitedError("too many tickets; wait a little", retry_after_s=wait_s)


def offered_ticket(subprotocols: list[str]) -> str:
    """The ticket among the sub-protocols that a client offers; empty when there is none."""
    return next(
        (
            name.removeprefix(SUBPROTOCOL_PREFIX)
            for name in subprotocols
            if name.startswith(SUBPROTOCOL_PREFIX)
        ),
        "",
    )


def _address(text: str) -> str:
    if text == ANY:
        return ANY
    try:
        parsed = ip_address(text)
    except ValueError:
        raise ClientError("`address` must be an IP address, or `any`") from None
    mapped = getattr(parsed, "ipv4_mapped", None)
    return str(mapped or parsed)
