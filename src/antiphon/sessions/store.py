"""Where sessions are kept that nobody holds, and who holds which: the promise, and the store of a single server.

A session is held under a lease with a fencing token: a number that grows with every new holder. Writes carry it, and
those of a holder that was overtaken are refused, so that two replicas never serve one session.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

Standing = Literal["held", "wanted", "lost", "missing"]
"""Of a session that we hold: ours; ours, but its caller has come to another replica; another's; not kept as we last
wrote it, since the store lost it, fell back behind it, or never had it."""


WANTED_S = 0.3
"""How long a claim that has to wait asks the holder to let go: ten times as long as until it is repeated, so that this
lapses soon after whoever claimed has gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """As what we hold a session."""

    fence: int = 1
    version: int = 0
    """Counts our writes: of two the later one holds, whichever comes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A session that is ours now."""

    fence: int
    record: bytes


class HeldElsewhere(Exception):
    """Another replica holds the session. It was asked to let go."""


class WrongToken(Exception):
    """There is such a session, and this is not its token."""


class SessionStore(Protocol):
    """Every method may raise StoreUnavailable, and is safe to cancel: it may have been done or not. ``token`` is the
    hash of the session's resume token."""

    shared: bool
    """Whether other processes see it: then sessions are written as they go."""

    @property
    def available(self) -> bool:
        """Whether it can be reached, as far as is known."""

    async def create(self, session_id: str, holding: Holding, *, token: bytes, record: bytes) -> None:
        """Keep a session that is ours, new to the store."""

    async def claim(self, session_id: str, *, token: bytes) -> Claim | None:
        """Take a session over. None when there is none of that name. Raises HeldElsewhere, WrongToken."""

    async def write(self, session_id: str, holding: Holding, record: bytes) -> Standing:
        """Keep how a session is that we hold."""

    async def release(self, session_id: str, holding: Holding, record: bytes) -> Standing:
        """Keep it, and let go of it: whoever claims it next has it at once."""

    async def forget(self, session_id: str, *, fence: int) -> None:
        """It is over, if it is ours. Never raises StoreUnavailable: what cannot be done now is done when the store is
        back."""

    async def renew(self, holdings: Mapping[str, Holding]) -> Mapping[str, Standing]:
        """Hold on to sessions: how each stands."""

    def forget_old(self) -> None:
        """Let go of what this process keeps past its time."""


def token_hash(token: str, *, key: str) -> bytes:
    """What is kept of a resume token, which is 256 random bits: one round of hashing is enough. ``key`` names its
    caller: a token in other hands is a wrong one."""
    return hashlib.sha256(f"{token}\0{key}".encode()).hexdigest().encode()


@dataclass(slots=True)
class _Kept:
    token: bytes
    fence: int
    record: bytes
    until: float | None
    """When it is forgotten; None while it is held."""


class MemoryStore:
    """One process's: sessions that were put aside to make room."""

    shared = False
    available = True

    MOST = 10_000
    """Sessions kept, some 10 KB each; beyond that the oldest are forgotten."""

    def __init__(self, *, keep_s: float, now: Callable[[], float] | None = None) -> None:
        """``keep_s``: how long one that nobody holds is kept, seconds."""
        self._keep_s = keep_s
        self._now = now or (lambda: asyncio.get_running_loop().time())
        self._kept: dict[str, _Kept] = {}

    async def create(self, session_id: str, holding: Holding, *, token: bytes, record: bytes) -> None:
        self.forget_old()
        self._kept[session_id] = _Kept(token, holding.fence, record, None)

    async def claim(self, session_id: str, *, token: bytes) -> Claim | None:
        self.forget_old()
        kept = self._kept.get(session_id)
        if kept is None:
            return None
        if kept.token != token:
            raise WrongToken
        if kept.until is None:
            raise HeldElsewhere
        kept.fence += 1
        kept.until = None
        return Claim(fence=kept.fence, record=kept.record)

    async def write(self, session_id: str, holding: Holding, record: bytes) -> Standing:
        kept = self._kept.get(session_id)
        if kept is None:
            return "missing"
        if kept.fence > holding.fence:
            return "lost"
        kept.record = record
        return "held"

    async def release(self, session_id: str, holding: Holding, record: bytes) -> Standing:
        standing = await self.write(session_id, holding, record)
        if standing == "held":
            self._kept[session_id].until = self._now() + self._keep_s
        return standing

    async def forget(self, session_id: str, *, fence: int) -> None:
        kept = self._kept.get(session_id)
        if kept is not None and kept.fence <= fence:
            del self._kept[session_id]

    async def renew(self, holdings: Mapping[str, Holding]) -> Mapping[str, Standing]:
        return dict.fromkeys(holdings, "held")

    def forget_old(self) -> None:
        now = self._now()
        free = [name for name, kept in self._kept.items() if kept.until is not None]
        old = [name for name in free if (self._kept[name].until or now) <= now]
        crowded = free[: max(0, len(self._kept) - self.MOST)]
        for name in {*old, *crowded}:
            del self._kept[name]
