"""What keeps the ledger: a file of one server, or the store that replicas share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

from antiphon.usage.entry import Entry

THRESHOLDS = (50, 80, 100)
"""Per cent of a budget at which the operator is told, once each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossed:
    """A budget has reached a threshold, and this is the one who tells."""

    account: str
    threshold: int
    """Per cent."""
    spent: int
    limit: int
    """Micro-dollars."""

    @property
    def name(self) -> str:
        """By which it is remembered: each is told of once."""
        return f"{self.account} {self.threshold} {self.limit}"

    @classmethod
    def of(cls, name: str, spent: int) -> Crossed:
        """The one with this name, when so much is spent."""
        account, threshold, limit = name.rsplit(" ", 2)
        return cls(account=account, threshold=int(threshold), spent=spent, limit=int(limit))


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a batch of entries came to."""

    spent: Mapping[str, int] = field(default_factory=dict)
    """Account → micro-dollars in all, for the accounts that the batch touched."""
    crossed: tuple[Crossed, ...] = ()
    """To be told of by whoever wrote the batch."""
    left_out: int = 0
    """Entries that no ledger can hold: reported, and not tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What is written in one piece. Written again, it changes nothing."""

    id: str
    entries: tuple[Entry, ...]
    released: tuple[str, ...] = ()
    """Reservations that are over."""
    limits: Mapping[str, int] = field(default_factory=dict)
    """Account → micro-dollars, for those that have a budget."""
    told: tuple[str, ...] = ()
    """Names of thresholds that the operator has been told of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A turn asks for leave to spend."""

    id: str
    micros: int
    """The most that the turn is expected to cost."""
    limits: Mapping[str, int]
    """Account → its budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A sum of entries."""

    kind: str
    provider: str
    model: str
    calls: int = 0
    failed: int = 0
    """Ended neither well nor cancelled."""
    audio_ms: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    characters: int = 0
    micros: int = 0
    unpriced: int = 0
    """Calls whose price nobody knows."""
    speculative_micros: int = 0
    cancelled_micros: int = 0


@dataclass(frozen=True, slots=True)
class Gather:
    """How long entries wait for others, to be written together."""

    seconds: float
    many: int
    """So many do not wait any longer."""


SOON = Gather(0.1, 8)
"""Where others wait for it, or where what is not written is lost with the process: 10 commits a second at most, and a
kill -9 takes what ended in that time, fewer calls than are in flight, which last longer."""

TAKEN_S = 30.0
"""For how long what a server has taken on is its own: money set aside, thresholds to tell of. Live ones say every 5 s
that they are still at it; what a dead one had is free again then."""

UNTOLD = 20
"""Thresholds taken over from the dead at a time."""


class Books(Protocol):
    """The ledger and what is counted from it. Everything raises ``StoreUnavailable`` when it cannot be done now, and is
    safe to cancel and to repeat."""

    @property
    def shared(self) -> bool:
        """Whether other servers write to it too."""

    @property
    def gather(self) -> Gather:
        """How long entries may wait to be written together."""

    def note(self, entry: Entry) -> None:
        """A call has ended; its entry will be in a batch. Takes microseconds, and never raises."""

    async def append(self, batch: Batch) -> Written:
        """Write entries, count their cost, let go of reservations. Durable when it returns."""

    async def reserve(self, ask: Ask) -> str:
        """Set money aside, unless an account is full: then that account's name is returned, else nothing. Only a
        shared one is asked: a server alone does it in memory."""

    async def renew(self, ids: Sequence[str]) -> None:
        """These reservations are still meant."""

    async def spent(self, day: date) -> Mapping[str, int]:
        """Account → micro-dollars, of the accounts of a day."""

    async def held(self, day: date) -> int:
        """Micro-dollars set aside on a day, by everyone."""

    async def untold(self, telling: Sequence[str], teller: str) -> Sequence[Crossed]:
        """Thresholds that nobody tells of any more, as whoever was to has died: now this server does. ``telling``:
        names of those that it is telling of already, and goes on to. ``teller``: an id never used before."""

    async def days(self) -> Sequence[date]:
        """Those that have entries, the first one first."""

    async def lines(self, first: date, last: date) -> tuple[Line, ...]:
        """Sums by kind, provider and model over these days, both included."""

    async def by(self, group: str, first: date, last: date) -> Mapping[str, int]:
        """Micro-dollars by ``day``, ``provider``, ``model``, ``session``, ``caller`` or ``kind`` over these days."""

    def entries(self, first: date, last: date) -> AsyncIterator[Entry]:
        """All of these days, oldest day first."""

    async def prune(self, before: date) -> int:
        """Delete entries of days before this one; returns how many."""


GROUPS = ("day", "provider", "model", "session", "caller", "kind")
"""By what costs are added up."""
