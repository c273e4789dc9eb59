"""The sessions of this process: let in, held while their callers come and go, counted, and handed over when the server
stops."""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass

import structlog

from antiphon.conversation.listening import SessionFacts
from antiphon.errors import RefusedError, StoreAwayError, StoreUnavailable
from antiphon.sessions.admission import refusal, refusal_of_new
from antiphon.sessions.audience import Audience
from antiphon.sessions.caller import Caller
from antiphon.sessions.keeping import Keeping
from antiphon.sessions.live import LiveSession
from antiphon.sessions.readiness import Readiness
from antiphon.sessions.session import Counts, Session
from antiphon.sessions.snapshot import Snapshot, unpack
from antiphon.sessions.store import (
    Claim,
    HeldElsewhere,
    MemoryStore,
    SessionStore,
    WrongToken,
    token_hash,
)
from antiphon.telemetry.logs import logger

ID_BYTES = 9
"""72 bits: 12 letters that nobody guesses and a log line can hold."""

TOKEN_BYTES = 32
"""256 bits: who has it is the caller."""

RENEWALS = 5
"""Renewals within a lease: a busy loop may miss some, and a caller who went elsewhere waits for the next."""

CLAIM_EVERY_S = 0.03
"""How often a session is asked for that another replica still holds."""

LETTING_GO_S = 3.0
"""How long a replica that lives may take to hand a session over."""

STORE_AWAY_RETRY_S = 1.0

_NAME = re.compile(r"[A-Za-z0-9_-]{12}")

log = logger(__name__)


def new_session_id() -> str:
    """A short random name."""
    return secrets.token_urlsafe(ID_BYTES)


def new_token() -> str:
    """A resume token."""
    return secrets.token_urlsafe(TOKEN_BYTES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backing:
    """What sessions are kept with."""

    store: SessionStore
    lease_s: float = 1.5
    """How long the store keeps one that this process does not renew."""
    admit_without: bool = True
    """Whether new callers are let in while the store is away."""
    watched: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    """Entered while sessions are held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Regained:
    """A session that nobody held, ours now."""

    session: Session
    keeping: Keeping
    snapshot: Snapshot
    token: bytes


class Registry:
    """Who is in a conversation now."""

    def __init__(
        self,
        *,
        readiness: Readiness,
        max_sessions: int,
        audience: Audience | None = None,
        backing: Backing | None = None,
        keep_s: float = 60.0,
        new_id: Callable[[], str] = new_session_id,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """``keep_s``: how long a session without its caller is kept, where ``backing`` does not say."""
        self.readiness = readiness
        self.audience = audience or Audience()
        self.draining = asyncio.Event()
        """Set when the server is to stop: every session says goodbye and ends."""
        self.backing = backing or Backing(store=MemoryStore(keep_s=keep_s))
        self.late: Callable[[], bool] = lambda: False
        """Whether the event loop is too late to take on more."""
        self.arrivals = 0
        """Places taken so far."""
        self._limit = max_sessions
        self._new_id = new_id
        self._wall_clock = wall_clock
        self._live: dict[str, Session] = {}
        self._opened: set[str] = set()
        self._held: dict[str, LiveSession] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def live(self) -> tuple[Session, ...]:
        """Oldest first."""
        return tuple(self._live.values())

    @property
    def limit(self) -> int:
        """Conversations at once: as set, or as measured at start."""
        return self.readiness.capacity or self._limit

    @property
    def full(self) -> bool:
        """Whether one more caller would be too many."""
        return self._here >= self.limit

    @property
    def _here(self) -> int:
        # Whoever is away may be put aside for someone who is here, and may be who is here.
        return sum(not session.away for session in self._live.values())

    # ---- coming and going ---------------------------------------------------------------------------------

    @contextmanager
    def arrival(self, caller: Caller | None = None) -> Iterator[Session]:
        """A place for someone who has not said yet what they want, given back on leaving if they have not begun a
        session with it. Raises RefusedError when there is none."""
        session = self._enter(caller or Caller())
        try:
            yield session
        finally:
            if session.id not in self._held:
                self._leave(session)

    @contextmanager
    def session(self, caller: Caller | None = None) -> Iterator[Session]:
        """A place for one caller, and a session in it, over on leaving. Raises RefusedError when there is none."""
        session = self._enter(caller or Caller())
        self._open(session, resumed=False)
        try:
            yield session
        finally:
            self._leave(session)

    def give_back(self, place: Session) -> None:
        """A place that is not needed after all, before its context is left."""
        if place.id not in self._held:
            self._leave(place)

    def _enter(self, caller: Caller) -> Session:
        refused = refusal(
            live=self._here,
            limit=self.limit,
            ready=self.readiness.assistant is not None,
            draining=self.draining.is_set(),
        )
        if refused is None and self.readiness.assistant is not None:
            refused = self.readiness.assistant.unaffordable(caller.key)
        if refused is not None:
            self.audience.refused(refused.code)
            raise refused
        session = Session(id=self._new_id(), caller=caller, since=self._wall_clock())
        self._take_in(session)
        return session

    def _take_in(self, session: Session) -> None:
        self._live[session.id] = session
        self.arrivals += 1
        self._empty.clear()

    def _open(self, session: Session, *, resumed: bool) -> None:
        self._opened.add(session.id)
        facts = SessionFacts(session_id=session.id, caller_key=session.caller.key, resumed=resumed)
        self.audience.opened(facts)

    def _leave(self, session: Session) -> None:
        self._live.pop(session.id, None)
        if session.id in self._opened:
            self._opened.discard(session.id)
            self.audience.closed(session.id, session.ended or "failed")
        if not self._live:
            self._empty.set()

    # ---- sessions that are held ---------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sessions can be held within it. On leaving, those that are left end."""
        async with self.backing.watched(), asyncio.TaskGroup() as self._tasks:
            renewing = self._tasks.create_task(self._renew())
            try:
                yield
            finally:
                renewing.cancel()
                for live in self._held.values():
                    live.end("drained")

    def hold(self, live: LiveSession, *, resumed: bool = False) -> None:
        """A session begins here, or goes on here."""
        assert self._tasks is not None, "the registry is not running"
        self._held[live.session.id] = live
        self._take_in(live.session)
        self._make_room()
        self._open(live.session, resumed=resumed)
        log.info("session opened", session_id=live.session.id, resumed=resumed, live=len(self._live))
        self._tasks.create_task(self._hold(live))

    def keeping(self, session: Session, token: bytes) -> Keeping:
        """A new session's way to the store. Raises RefusedError when it is away, and new ones are to wait; or when the
        event loop is late."""
        refused = refusal_of_new(late=self.late())
        if refused is not None:
            raise self._refused(refused)
        store = self.backing.store
        if not self.backing.admit_without and not store.available:
            raise self._refused(StoreAwayError(_AWAY, retry_after_s=STORE_AWAY_RETRY_S))
        return Keeping(store, session.id, token=token, fence=1, known=False)

    async def _hold(self, live: LiveSession) -> None:
        session = live.session
        structlog.contextvars.bind_contextvars(session_id=session.id)
        try:
            await live.run()
        except Exception:
            # The edge: a session that errs ends alone, with its reason in the log.
            log.exception("session failed")
        finally:
            self._held.pop(session.id, None)
            self._leave(session)
            _log_end(session, self._wall_clock() - session.since)
        await live.afterwards()

    def _make_room(self) -> None:
        """More are here than may be: put aside who has been away for longest."""
        over = len(self._live) - self.limit
        for live in list(self._held.values()):
            if over > 0 and live.session.away and live.park():
                over -= 1

    # ---- going on with a session --------------------------------------------------------------------------

    async def find(self, session_id: str, token: str, caller: Caller) -> LiveSession | Regained | None:
        """The session of that name and token: held here, or ours from now on. None when there is none, whatever the
        reason. Raises RefusedError when it cannot be known now. Safe to cancel."""
        hashed = token_hash(token, key=caller.key)
        live = self._held.get(session_id)
        if live is not None and not live.over:
            if hmac.compare_digest(live.token, hashed):
                return live
            self._refuse_token(session_id)
            return None
        if not _NAME.fullmatch(session_id):
            return None
        try:
            claim = await self._claim(session_id, hashed)
        except WrongToken:
            self._refuse_token(session_id)
            return None
        except StoreUnavailable as error:
            raise self._refused(StoreAwayError(_AWAY, retry_after_s=STORE_AWAY_RETRY_S)) from error
        if claim is None:
            log.info("resume refused", code="session_gone", session_id=session_id)
            self.audience.refused("session_gone")
            return None
        return self._regain(session_id, hashed, claim, caller)

    async def _claim(self, session_id: str, hashed: bytes) -> Claim | None:
        """Wait for whoever holds it to let go, or to be found dead."""
        now = asyncio.get_running_loop().time
        give_up = now() + self.backing.lease_s + LETTING_GO_S
        while True:
            try:
                return await self.backing.store.claim(session_id, token=hashed)
            except HeldElsewhere:
                if now() > give_up:
                    raise StoreUnavailable(f"session {session_id[:6]} is not let go of") from None
                await asyncio.sleep(CLAIM_EVERY_S)

    def _regain(self, session_id: str, hashed: bytes, claim: Claim, caller: Caller) -> Regained | None:
        snapshot = unpack(claim.record)
        if snapshot is None:
            log.warning("session of another version", session_id=session_id)
            return None
        counts = Counts(
            turns=snapshot.turns,
            replies=snapshot.replies,
            interrupted=snapshot.interrupted,
            failures=snapshot.failures,
            audio_in_s=snapshot.audio_in_s,
            audio_out_s=snapshot.audio_out_s,
            cost_usd=snapshot.cost_usd,
        )
        session = Session(id=session_id, caller=caller, since=snapshot.epoch / 1000, counts=counts)
        store = self.backing.store
        keeping = Keeping(store, session_id, token=hashed, fence=claim.fence, known=True)
        return Regained(session=session, keeping=keeping, snapshot=snapshot, token=hashed)

    def _refuse_token(self, session_id: str) -> None:
        log.warning("resume refused", code="bad_resume_token", session_id=session_id[:6])
        self.audience.refused("bad_resume_token")

    def _refused(self, error: RefusedError) -> RefusedError:
        log.warning("caller refused", code=error.code, reason=error.reason, problem=error.message)
        self.audience.refused(error.reason or error.code)
        return error

    # ---- leases -------------------------------------------------------------------------------------------

    async def _renew(self) -> None:
        """Hold on to what we hold, and let go of what is another's."""
        backing = self.backing
        if not backing.store.shared:
            return
        while True:
            await asyncio.sleep(backing.lease_s / RENEWALS)
            holdings = {name: live.keeping.holding for name, live in self._held.items() if not live.over}
            try:
                standings = await backing.store.renew(holdings)
            except StoreUnavailable:
                continue  # it lets go of what is another's when it is back
            for name, standing in standings.items():
                live = self._held.get(name)
                if live is None or live.over or live.keeping.holding.fence != holdings[name].fence:
                    continue
                if standing == "wanted":
                    live.want()
                elif standing == "lost":
                    live.lose()
                elif standing == "missing":
                    live.keep_again()

    # ---- the end ------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Let nobody in any more, and ask everybody to leave."""
        self.readiness.draining = True
        self.draining.set()

    async def emptied(self) -> None:
        """Returns when the last session is over. Safe to cancel."""
        await self._empty.wait()


_AWAY = "conversations cannot be looked up at the moment; connect again in a second"


def _log_end(session: Session, seconds: float) -> None:
    counts = session.counts
    log.info(
        "session closed",
        reason=session.ended or "failed",
        seconds=round(seconds, 1),
        turns=counts.turns,
        replies=counts.replies,
        interrupted=counts.interrupted,
        failures=counts.failures,
        audio_in_s=round(counts.audio_in_s, 1),
        audio_out_s=round(counts.audio_out_s, 1),
    )
