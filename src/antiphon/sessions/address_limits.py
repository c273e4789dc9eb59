"""How much one address may have: conversations at once, new connections a minute, messages and bytes a second."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Protocol

from antiphon.errors import RateLimitedError
from antiphon.sessions.rates import Rate, Rates

AUTO_SESSIONS = 10
AUTO_CONNECTS_PER_MINUTE = 60
"""Enough for a household or a small office behind one address, and for a phone that keeps losing its network."""

PACE_S = 10.0
"""How many seconds' worth of messages may come at once, as on one connection: what a phone sends after a tunnel."""

SEAT_RETRY_S = 10.0
"""When to try again if all places of an address are taken: somebody there has to hang up first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressLimits:
    """What one address may have."""

    sessions: int = 0
    """At once; 0: any number."""
    connects: Rate | None = None
    """How often new connections; None: any number."""
    messages: Rate | None = None
    bytes: Rate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitPolicy:
    """The operator's choice."""

    sessions: int | None = None
    """None: ``AUTO_SESSIONS`` for public addresses, any number for this machine and private networks, where proxies
    and bridges stand for many callers."""
    connects_per_minute: int | None = None
    messages_per_s: int | None = None
    """None: half of what as many connections may send as it may have, but one's at least. Each needs less than that."""
    bytes_per_s: int | None = None
    each_messages_per_s: float = 200.0
    """What one connection may send."""
    each_bytes_per_s: float = 250_000.0

    def of(self, address: str) -> AddressLimits:
        """What this address may have."""
        public = is_public(address)
        sessions = (AUTO_SESSIONS if public else 0) if self.sessions is None else self.sessions
        connects = self.connects_per_minute
        if connects is None:
            connects = AUTO_CONNECTS_PER_MINUTE if public else 0
        return AddressLimits(
            sessions=sessions,
            connects=Rate(count=connects, per_s=60.0) if connects else None,
            messages=_pace(
                self.messages_per_s, each=self.each_messages_per_s, many=sessions if public else 0
            ),
            bytes=_pace(self.bytes_per_s, each=self.each_bytes_per_s, many=sessions if public else 0),
        )


def _pace(chosen: int | None, *, each: float, many: int) -> Rate | None:
    """``each``: a second, of one connection; ``many``: connections, 0: any number."""
    per_s = each * max(1.0, many / 2) if chosen is None and many else chosen
    return Rate(count=round(per_s * PACE_S), per_s=PACE_S) if per_s else None


def is_public(address: str) -> bool:
    """Whether it is one of the internet's. What is no address is treated as one: the stricter way."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return True
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return not (mapped or parsed).is_private and not (mapped or parsed).is_loopback


def address_group(address: str) -> str:
    """Whom an address stands for: itself, or of IPv6 its /64, all of which is one line's."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"
    return str(parsed)


def too_many_sessions(limit: int) -> RateLimitedError:
    """Said to whoever is one too many."""
    return RateLimitedError(
        f"there are {limit} conversations from your address already; end one, or try again in a while",
        retry_after_s=SEAT_RETRY_S,
    )


def too_many_connections(wait_s: float) -> RateLimitedError:
    """Said to whoever connects too often."""
    return RateLimitedError("too many new connections from your address; wait a little", retry_after_s=wait_s)


class LimitStore(Protocol):
    """Who holds how much. Names are address groups and the like; a seat (see ``seat.py``) has a name of its own."""

    async def enter(self, name: str, seat: str, limits: AddressLimits) -> None:
        """Take a seat; when there is none, that which was lent for longest. Raises RateLimitedError when none can be
        had. Safe to cancel: then ``leave`` it."""

    async def lend(self, name: str, seat: str, lost: Callable[[], object]) -> None:
        """Whoever holds it is away: the next one at that name may have it, and then ``lost`` is called, soon."""

    async def leave(self, name: str, seat: str) -> None:
        """Give a seat back; one that was not taken is no error."""

    async def spend(self, name: str, rate: Rate) -> float:
        """One more of what ``rate`` limits: seconds to wait, 0: go ahead."""

    async def wait(self, name: str, rate: Rate) -> float:
        """What ``spend`` would say; nothing is spent."""

    async def run(self) -> None:
        """Keep the seats that are held here, until cancelled; returns where nothing needs to be done."""


class MemoryLimits:
    """For a single server."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._seats: defaultdict[str, set[str]] = defaultdict(set)
        self._lent: defaultdict[str, dict[str, Callable[[], object]]] = defaultdict(dict)
        """Name → its seats that are lent, longest first → whom to tell when they are taken."""
        self._rates = Rates()

    async def enter(self, name: str, seat: str, limits: AddressLimits) -> None:
        """See LimitStore."""
        full = limits.sessions and len(self._seats.get(name, ())) >= limits.sessions
        if full and name not in self._lent:
            raise too_many_sessions(limits.sessions)
        if limits.connects is not None and (wait_s := await self.spend(f"connects:{name}", limits.connects)):
            raise too_many_connections(wait_s)
        if full:
            self.take(name, next(iter(self._lent[name])))
        self._seats[name].add(seat)

    async def lend(self, name: str, seat: str, lost: Callable[[], object]) -> None:
        """See LimitStore."""
        if seat in self._seats.get(name, ()):
            self._lent[name][seat] = lost
        else:
            lost()

    def take(self, name: str, seat: str) -> None:
        """One that is lent, from whoever lent it."""
        lost = self._lent.get(name, {}).get(seat)
        self._drop(name, seat)
        if lost is not None:
            lost()

    async def leave(self, name: str, seat: str) -> None:
        """See LimitStore."""
        self._drop(name, seat)

    def _drop(self, name: str, seat: str) -> None:
        if name in self._seats:
            self._seats[name].discard(seat)
            if not self._seats[name]:
                del self._seats[name]
        if name in self._lent:
            self._lent[name].pop(seat, None)
            if not self._lent[name]:
                del self._lent[name]

    async def spend(self, name: str, rate: Rate) -> float:
        """See LimitStore."""
        return self._rates.spend(name, rate, now=self._now())

    async def wait(self, name: str, rate: Rate) -> float:
        """See LimitStore."""
        return self._rates.wait(name, rate, now=self._now())

    async def run(self) -> None:
        """See LimitStore. They are kept as long as this process."""
