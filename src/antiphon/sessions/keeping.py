"""One session's way to the store: writes how it is, behind the conversation where it can, before the client where it
must, and later where the store is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from antiphon.errors import StoreUnavailable
from antiphon.sessions.snapshot import Snapshot, pack
from antiphon.sessions.store import Holding, SessionStore
from antiphon.telemetry.logs import logger

PATIENCE_S = 0.25
"""How long a client waits for its turn to be kept before it is told that it is over: a write takes about a millisecond;
when the store has just gone, one turn of each session waits this long, once."""

RETRY_S = 0.25
"""How often a write that failed is tried again: the store's own health check decides when that is worth it."""

log = logger(__name__)


class Keeping:
    """Keeps the newest snapshot only: each holds all of the one before it."""

    def __init__(
        self, store: SessionStore, session_id: str, *, token: bytes, fence: int, known: bool
    ) -> None:
        """``known``: whether the store has the session already."""
        self._store = store
        self._session_id = session_id
        self._token = token
        self.holding = Holding(fence=fence)
        """As of the last write that the store confirmed."""
        self._version = 0
        """Of the last write that was begun: the store may have it though it could not say so."""
        self._known = known
        self._newest: Callable[[], Snapshot] | None = None
        """What is still to be written."""
        self._due = asyncio.Event()
        self._written = asyncio.Event()
        self._released = False
        self.lost = asyncio.Event()
        """Another replica holds the session: nothing is written any more."""

    @property
    def shared(self) -> bool:
        """Whether others can go on with the session."""
        return self._store.shared

    def keep_soon(self, snapshot: Callable[[], Snapshot]) -> None:
        """Write how the session is, without anyone waiting. Never blocks."""
        if self._store.shared and not self._released:
            self._newest = snapshot
            self._due.set()

    async def keep(self, snapshot: Snapshot) -> None:
        """Returns when it is written; after ``PATIENCE_S`` in any case, and then it is written later."""
        if not self._store.shared or self._released:
            return
        self._written.clear()
        self.keep_soon(lambda: snapshot)
        if not self._store.available:
            return  # nobody is to wait while it is known to be away
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._written.wait()
        except TimeoutError:
            log.warning("turn not kept yet", session_id=self._session_id)

    async def run(self) -> None:
        """Write what is due, until cancelled or overtaken."""
        while not self.lost.is_set():
            await self._due.wait()
            self._due.clear()
            if self._released:
                return
            newest, self._newest = self._newest, None
            if newest is None:
                continue
            try:
                await self._write(pack(newest()))
            except StoreUnavailable:
                if not self._due.is_set():  # nothing newer came meanwhile
                    self._newest = newest
                    self._due.set()
                self._written.set()
                await asyncio.sleep(RETRY_S)
            else:
                self._written.set()

    async def _write(self, record: bytes) -> None:
        holding = self._next()
        if self._known:
            standing = await self._store.write(self._session_id, holding, record)
            if standing == "lost":
                self.lost.set()
            if standing != "missing":
                self.holding = holding
                return
        await self._store.create(self._session_id, holding, token=self._token, record=record)
        self.holding, self._known = holding, True

    def _next(self) -> Holding:
        self._version += 1
        return replace(self.holding, version=self._version)

    async def release(self, snapshot: Snapshot) -> None:
        """The last write: whoever comes next may have the session at once. One that is still on its way may reach the
        store after this; it is refused there for its version."""
        if self._released or self.lost.is_set():
            return
        self._released = True
        record, holding = pack(snapshot), self._next()
        try:
            if not self._known:
                await self._store.create(self._session_id, holding, token=self._token, record=record)
            if await self._store.release(self._session_id, holding, record) == "missing":
                await self._store.create(self._session_id, holding, token=self._token, record=record)
                await self._store.release(self._session_id, holding, record)
        except StoreUnavailable as error:
            log.error("session not handed over", session_id=self._session_id, problem=error.message)

    async def end(self, *, forget: bool) -> None:
        """The session is over. ``forget``: nobody will go on with it."""
        written = self._known or self._version
        if forget and written and not self._released and not self.lost.is_set():
            await self._store.forget(self._session_id, fence=self.holding.fence)
