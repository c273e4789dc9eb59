"""Tickets: leave to open one conversation, soon, from one page and one address. Whoever keeps them keeps their hash."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Protocol

from antiphon.errors import RefusedError, StoreAwayError, StoreUnavailable, TicketError
from antiphon.store.valkey import KEYS, Valkey

TICKET_S = 30.0
"""From the press of a button to the handshake, on a slow phone; a ticket seen over a shoulder is worthless."""

TICKET_BYTES = 32
"""256 bits, 43 letters."""

MOST = 20_000
"""Tickets not yet used, about 8 MB in this process: 600 new ones a second."""

AWAY_RETRY_S = 1.0
"""When to come back with a new ticket while the store is away: soon, since one replica in a few takes it."""

ANY = "any"
"""Bound to no address, or no origin: where a trusted backend said so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What a ticket says."""

    origin: str
    """Of the page that may use it; empty: no page, another kind of client. ``any``: whoever."""
    address: str
    """That may use it, or ``any``."""
    key: str = ""
    """Name of who is billed."""


class TicketStore(Protocol):
    """Keeps tickets by the hash of their value. Raises RefusedError when it cannot keep more."""

    async def put(self, ticket: Ticket) -> str:
        """Keep it for ``TICKET_S``, under a new value: the only copy of that."""

    async def take(self, value: str) -> Ticket | None:
        """Hand it out, once: of several who ask at the same time one gets it. None: not there (any more)."""

    def forget_old(self) -> None:
        """Let go of what this process keeps past its time."""


class MemoryTickets:
    """For a single server."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._kept: dict[str, tuple[float, Ticket]] = {}

    async def put(self, ticket: Ticket) -> str:
        """See TicketStore."""
        if len(self._kept) >= MOST:
            self.forget_old()
            if len(self._kept) >= MOST:
                raise RefusedError("too many tickets are out; try again in a moment", retry_after_s=5.0)
        value = _new_value()
        self._kept[_digest(value)] = (self._now() + TICKET_S, ticket)
        return value

    async def take(self, value: str) -> Ticket | None:
        """See TicketStore."""
        until, ticket = self._kept.pop(_digest(value), (0.0, None))
        return ticket if until > self._now() else None

    def forget_old(self) -> None:
        """See TicketStore."""
        self._kept = {name: kept for name, kept in self._kept.items() if kept[0] > self._now()}


class ValkeyTickets:
    """Given out by one replica, taken by another. While the store is away, by the one that gave it out; at another the
    caller is told to try again with a new ticket, which finds the right one sooner or later."""

    def __init__(self, valkey: Valkey, own: MemoryTickets | None = None) -> None:
        self._valkey = valkey
        self._own = own or MemoryTickets()

    async def put(self, ticket: Ticket) -> str:
        """See TicketStore."""
        value = _new_value()
        try:
            with self._valkey.reaching():
                await self._valkey.client.set(
                    _key(value), json.dumps(asdict(ticket)), px=round(TICKET_S * 1000), nx=True
                )
        except StoreUnavailable:
            # The store may have it all the same: kept in both places under one value it would be good twice.
            return await self._own.put(ticket)
        return value

    async def take(self, value: str) -> Ticket | None:
        """See TicketStore. GETDEL is one step: two replicas cannot both get it. Raises StoreAwayError where nobody
        can say whether it is good."""
        own = await self._own.take(value)
        if own is not None:
            return own
        try:
            with self._valkey.reaching():
                found = await self._valkey.client.getdel(_key(value))
        except StoreUnavailable as error:
            raise StoreAwayError(
                "tickets cannot be looked up at the moment; try again with a new one",
                retry_after_s=AWAY_RETRY_S,
            ) from error
        return None if found is None else Ticket(**json.loads(found))

    def forget_old(self) -> None:
        """See TicketStore. Keys expire by themselves."""
        self._own.forget_old()


class TicketOffice:
    """Gives tickets out and takes them back."""

    def __init__(self, store: TicketStore) -> None:
        self._store = store

    async def give(self, ticket: Ticket) -> str:
        """Its value: the only copy."""
        return await self._store.put(ticket)

    async def redeem(self, value: str, *, origin: str, address: str) -> Ticket:
        """What it says. It is used up even when it is refused: a stolen one is worth one attempt. Raises
        TicketError, or StoreAwayError when it is kept where it cannot be looked up now."""
        ticket = await self._store.take(value)
        if ticket is None:
            raise TicketError(
                f"the ticket was used, is older than {TICKET_S:g} s, or never was; get a new one for each connection"
            )
        if ticket.origin not in (ANY, origin):
            raise TicketError("the ticket was given to a page of another origin")
        if ticket.address not in (ANY, address):
            raise TicketError(
                "the ticket was given to another address; when a backend asks for its users, it names their address"
            )
        return ticket


def _new_value() -> str:
    return secrets.token_urlsafe(TICKET_BYTES)


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode(errors="surrogateescape")).hexdigest()


def _key(value: str) -> str:
    return f"{KEYS}ticket:{_digest(value)}"
