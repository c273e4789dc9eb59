"""What is on its way into the ledger: a queue, written in batches, one after the other.

When a batch cannot be written it is kept, the operator is told, and it is tried again, the very same: it may have been
written. How long entries may wait for others is for the books to say: what a kill -9 would take of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import structlog

from antiphon.errors import StoreUnavailable
from antiphon.usage.books import Batch, Books, Written
from antiphon.usage.budgets import Limits
from antiphon.usage.entry import Entry

BATCH = 500
"""Entries in one commit: some milliseconds."""

KEPT = 20_000
"""Entries and releases kept while the ledger cannot be written: 10 MB, more than half an hour of 50 busy sessions. The
oldest are given up then; budgets go on counting them."""

RETRY_S = (0.25, 0.5, 1.0, 2.0, 5.0)
"""Between attempts to write; the last one again and again."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Released:
    """A turn is over: let go of what was set aside for it, after its entries."""

    id: str


@dataclass(frozen=True, slots=True)
class Told:
    """The operator knows of a threshold: nobody else has to tell."""

    name: str


Item = Entry | Released | Told


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """Whom the writer tells what became of things. None of these waits or raises."""

    written: Callable[[Batch, Written], None]
    given_up: Callable[[Item], None]
    """The oldest, when there are too many."""
    failed: Callable[[str], None]
    """A batch is tried again: why."""


class LedgerWriter:
    """``run`` writes, until ``stop``."""

    def __init__(self, books: Books, limits: Limits, ids: Iterator[str], outcomes: Outcomes) -> None:
        """``ids``: names for batches, each new for ever."""
        self._books = books
        self._limits = limits
        self._ids = ids
        self._outcomes = outcomes
        self._queue: deque[Item] = deque()
        self._writing: Batch | None = None
        self._wake = asyncio.Event()
        self._many = asyncio.Event()
        self._all_written = asyncio.Event()
        self._all_written.set()
        self._stopping = False
        self._waited_for = False
        """Somebody waits until all is written."""

    @property
    def waiting(self) -> int:
        """Entries that the ledger does not have yet."""
        queued = sum(isinstance(item, Entry) for item in self._queue)
        return queued + (len(self._writing.entries) if self._writing else 0)

    def put(self, item: Item) -> None:
        """To be written soon, in the order of coming."""
        self._queue.append(item)
        if len(self._queue) > KEPT:
            self._outcomes.given_up(self._queue.popleft())
        self._all_written.clear()
        self._wake.set()
        if len(self._queue) >= self._books.gather.many:
            self._many.set()

    async def run(self) -> None:
        """Write until ``stop``, then what is left. Safe to cancel: what is left is lost then."""
        attempt = 0
        while not (self._stopping and self._writing is None and not self._queue):
            await self._gather()
            if await self._write():
                attempt = 0
            elif self._stopping and attempt >= len(RETRY_S):
                log.error("ledger not written", entries=self.waiting)
                break
            else:
                await asyncio.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)])
                attempt += 1

    def stop(self) -> None:
        """No more comes: ``run`` writes the rest and returns."""
        self._stopping = True
        self._wake.set()
        self._many.set()

    async def written(self) -> None:
        """Returns when the ledger has all that was put, as soon as can be. Safe to cancel."""
        self._waited_for = True
        self._many.set()
        await self._all_written.wait()

    async def _gather(self) -> None:
        if self._writing is None and not self._queue:
            self._wake.clear()
            await self._wake.wait()
        gather = self._books.gather
        if len(self._queue) >= gather.many or self._waited_for or self._stopping:
            return
        self._many.clear()
        try:
            async with asyncio.timeout(gather.seconds):
                await self._many.wait()
        except TimeoutError:
            pass

    async def _write(self) -> bool:
        """One batch; False when it could not be written."""
        if self._writing is None:
            self._writing = self._next_batch()
        batch = self._writing
        if not (batch.entries or batch.released or batch.told):
            self._writing = None
            return True
        try:
            written = await self._books.append(batch)
        except StoreUnavailable as error:
            self._outcomes.failed(error.message)
            return False
        except Exception:
            # The edge: what raises this would do so again, and others wait behind it.
            log.exception("a batch of the ledger is given up", entries=len(batch.entries))
            written = Written(left_out=len(batch.entries))
        self._writing = None
        self._outcomes.written(batch, written)
        if not self._queue:
            self._all_written.set()
            self._waited_for = False
        return True

    def _next_batch(self) -> Batch:
        taken = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
        entries = tuple(item for item in taken if isinstance(item, Entry))
        limits: dict[str, int] = {}
        whose = {(entry.day, entry.session, entry.caller) for entry in entries} if self._limits else ()
        for day, session, caller in whose:
            limits |= self._limits.of(day=day, session=session, caller=caller)
        released = tuple(item.id for item in taken if isinstance(item, Released))
        told = tuple(item.name for item in taken if isinstance(item, Told))
        return Batch(id=next(self._ids), entries=entries, released=released, limits=limits, told=told)
