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
from antiphon.sessions.leases import keep_leases
from antiphon.sessions.live import LiveSession
from antiphon.sessions.place import Place, Right
from antiphon.sessions.readiness import Readiness
from antiphon.sessions.seat import Seat
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
from antiphon.sessions.telling import Telling
from antiphon.telemetry.logs import logger

ID_BYTES = 9
"""72 bits: 12 letters that nobody guesses and a log line can hold."""

TOKEN_BYTES = 32
"""256 bits: who has it is the caller."""

CLAIM_EVERY_S = 0.03
"""How often a session is asked for that another replica still holds."""

LETTING_GO_S = 3.0
"""How long a replica that lives may take to hand a session over."""

PLACE_KEPT_S = 20.0
"""How long the place of a caller whose line dropped is kept from newcomers: a lift, a tunnel, Wi-Fi to mobile."""

MOST_PARKED = 1_000
"""Sessions put aside whose callers would be let in again though all places are taken: 100 bytes each."""

ENDING_S = 5.0
"""How long the last sessions may take to end when the process is to."""

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
        self._telling = Telling(log)
        self.draining = asyncio.Event()
        """Set when the server is to stop: every session says goodbye and ends."""
        self.backing = backing or Backing(store=MemoryStore(keep_s=keep_s))
        self.late: Callable[[], bool] = lambda: False
        """Whether the event loop is too late to take on more."""
        self.arrivals = 0
        """Places taken so far."""
        self.place_kept_s = PLACE_KEPT_S
        """How long a caller whose line dropped counts as one who is here."""
        self._limit = max_sessions
        self._new_id = new_id
        self._wall_clock = wall_clock
        self._live: dict[str, Session] = {}
        self._places: set[Place] = set()
        """Of callers who have said nothing yet."""
        self._held: dict[str, LiveSession] = {}
        self._holding: dict[asyncio.Task[None], str] = {}
        """The tasks that hold sessions → which."""
        self._parked: dict[str, bytes] = {}
        """Sessions that we put aside → their tokens, hashed."""
        self._tasks: asyncio.TaskGroup | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def live(self) -> tuple[Session, ...]:
        """The conversations, oldest first."""
        return tuple(self._live.values())

    @property
    def empty(self) -> bool:
        """Whether nobody is in a conversation, or has a place to begin one."""
        return not self._live and all(place.right == "standing" for place in self._places)

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
        """Places that are taken."""
        talking = sum(not self._yields(session) for session in self._live.values())
        return talking + sum(place.right != "standing" for place in self._places)

    def _yields(self, session: Session) -> bool:
        """Whether its caller has been away for so long that it may be put aside for someone who is here."""
        return session.away and asyncio.get_running_loop().time() - session.away_since >= self.place_kept_s

    # ---- coming and going ---------------------------------------------------------------------------------

    @contextmanager
    def arrival(self, caller: Caller | None = None, seat: Seat | None = None) -> Iterator[Place]:
        """A place for someone who has not said yet what they want. When all are taken they may stand, as many as there
        are places, until they have said so; see ``admit``. Raises RefusedError when they cannot be let in."""
        caller = caller or Caller()
        standing = sum(place.right == "standing" for place in self._places)
        stands = self.full and standing < self.limit
        refused = self._refusal(caller, live=0 if stands else self._here)
        if refused is not None:
            self.audience.refused(refused.code)
            raise refused
        place = Place(caller=caller, right="standing" if stands else "new", seat=seat)
        self._places.add(place)
        self._note_arrival(place)
        try:
            yield place
        finally:
            self.give_back(place)

    @contextmanager
    def session(self, caller: Caller | None = None) -> Iterator[Session]:
        """A place for one caller, and a session in it, over on leaving. Raises RefusedError when there is none."""
        with self.arrival(caller) as place:
            self.admit(place)
            session = self.begin(place)
            self.give_back(place)
            self._open(session, resumed=False)
            try:
                yield session
            finally:
                self._leave(session)

    def give_back(self, place: Place) -> None:
        """It is not needed any more: whoever had it left, or has a session now. To be done before that is held."""
        self._places.discard(place)
        self._note_empty()

    def admit(self, place: Place) -> None:
        """Whoever has it begins a conversation. Raises RefusedError when there is no room for one."""
        self._let(place, "new")

    def readmit(self, place: Place, session_id: str, token: str) -> None:
        """Whoever has it comes back to that session: if it is ours, held or put aside, and that is its token, though
        all places are taken, within reason. Raises RefusedError; the session then waits on."""
        live = self._held.get(session_id)
        ours = self._parked.get(session_id) if live is None else live.token
        if ours is None or not hmac.compare_digest(ours, token_hash(token, key=place.caller.key)):
            self.admit(place)
        elif live is None or self._yields(live.session):
            self._let(place, "returning")

    def begin(self, place: Place) -> Session:
        """A new session for whoever has it."""
        return Session(id=self._new_id(), caller=place.caller, since=self._wall_clock())

    def _let(self, place: Place, right: Right) -> None:
        if place.right in ("new", right):
            return
        others = self._here - (place.right != "standing")
        refused = self._refusal(place.caller, live=others, returning=right == "returning")
        if refused is not None:
            raise self._refused(refused, place.caller)
        place.right = right
        self._note_arrival(place)

    def _note_arrival(self, place: Place) -> None:
        if place.right != "standing":
            self.arrivals += 1
            self._empty.clear()

    def _note_empty(self) -> None:
        if self.empty:
            self._empty.set()

    def _refusal(self, caller: Caller, *, live: int, returning: bool = False) -> RefusedError | None:
        assistant = self.readiness.assistant
        refused = refusal(
            live=live,
            limit=self.limit,
            ready=assistant is not None,
            draining=self.draining.is_set(),
            returning=returning,
        )
        if refused is None and assistant is not None:
            refused = assistant.unaffordable(caller.key)
        return refused

    def _open(self, session: Session, *, resumed: bool) -> None:
        self._live[session.id] = session
        self.arrivals += 1
        self._empty.clear()
        facts = SessionFacts(session_id=session.id, caller_key=session.caller.key, resumed=resumed)
        self.audience.opened(facts)

    def _leave(self, session: Session) -> None:
        if self._live.get(session.id) is session:
            del self._live[session.id]
        self.audience.closed(session.id, session.ended or "failed")
        self._note_empty()

    # ---- sessions that are held ---------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sessions can be held within it. On leaving, those that are left end, or are cut off after ``ENDING_S``."""
        async with self.backing.watched(), asyncio.TaskGroup() as self._tasks:
            renewing = self._tasks.create_task(
                keep_leases(self._held, self.backing.store, lease_s=self.backing.lease_s)
            )
            try:
                yield
            finally:
                renewing.cancel()
                for live in self._held.values():
                    live.end("drained")
                await self._last_ones()

    async def _last_ones(self) -> None:
        left: set[asyncio.Task[None]] = set()
        if self._holding:
            _, left = await asyncio.wait(self._holding, timeout=ENDING_S)
        for task in left:
            log.error("session cut off: it does not end", session_id=self._holding[task])
            task.cancel()

    def hold(self, live: LiveSession, *, resumed: bool = False) -> None:
        """A session begins here, or goes on here."""
        assert self._tasks is not None, "the registry is not running"
        self._held[live.session.id] = live
        self._open(live.session, resumed=resumed)
        self._make_room()
        log.info("session opened", session_id=live.session.id, resumed=resumed, live=len(self._live))
        holding = self._tasks.create_task(self._hold(live))
        self._holding[holding] = live.session.id
        holding.add_done_callback(self._holding.pop)

    def keeping(self, session: Session, token: bytes) -> Keeping:
        """A new session's way to the store. Raises RefusedError when it is away, and new ones are to wait; or when the
        event loop is late."""
        refused = refusal_of_new(late=self.late())
        if refused is not None:
            raise self._refused(refused, session.caller)
        store = self.backing.store
        if not self.backing.admit_without and not store.available:
            away = StoreAwayError(_AWAY, retry_after_s=STORE_AWAY_RETRY_S)
            raise self._refused(away, session.caller)
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
            if self._held.get(session.id) is live:
                del self._held[session.id]
            if session.ended == "parked":
                self._remember(live)
            self._leave(session)
            live.released.set()
            _log_end(session, self._wall_clock() - session.since)
        try:
            await live.sit(None)
            await live.afterwards()
        except Exception:
            # The edge, again: nobody else's conversation may depend on what is left to do of this one.
            log.exception("what was left to do of a session failed")

    def _make_room(self) -> None:
        """More are here than may be: put aside who has been away for longest."""
        over = len(self._live) - self.limit
        waiting = [live for live in self._held.values() if self._yields(live.session)]
        for live in sorted(waiting, key=lambda live: live.session.away_since):
            if over > 0 and live.park():
                over -= 1

    def _remember(self, parked: LiveSession) -> None:
        self._parked[parked.session.id] = parked.token
        if len(self._parked) > MOST_PARKED:
            del self._parked[next(iter(self._parked))]

    # ---- going on with a session --------------------------------------------------------------------------

    async def find(self, session_id: str, token: str, caller: Caller) -> LiveSession | Regained | None:
        """The session of that name and token: held here, or ours from now on. None when there is none, whatever the
        reason. Raises RefusedError when it cannot be known now. Safe to cancel: what was claimed meanwhile is free
        again when its lease has run out."""
        hashed = token_hash(token, key=caller.key)
        if session_id not in self._held and not _NAME.fullmatch(session_id):
            return None
        try:
            async with asyncio.timeout(self.backing.lease_s + LETTING_GO_S):
                found = await self._held_or_claimed(session_id, hashed)
        except WrongToken:
            self._refuse_token(session_id, caller)
            return None
        except (StoreUnavailable, TimeoutError) as error:
            away = StoreAwayError(_AWAY, retry_after_s=STORE_AWAY_RETRY_S)
            raise self._refused(away, caller) from error
        if isinstance(found, LiveSession):
            return found
        self._parked.pop(session_id, None)
        if found is None:
            self._telling.info(
                "resume refused", code="session_gone", address=caller.address, session_id=session_id
            )
            self.audience.refused("session_gone")
            return None
        return self._regain(session_id, hashed, found, caller)

    async def _held_or_claimed(self, session_id: str, hashed: bytes) -> LiveSession | Claim | None:
        """Wait for whoever holds it to let go, ourselves included, or to be found dead. What is claimed is to be held
        before anything else is awaited, or two would hold it here."""
        while True:
            live = self._held.get(session_id)
            if live is None:
                try:
                    return await self.backing.store.claim(session_id, token=hashed)
                except HeldElsewhere:
                    await asyncio.sleep(CLAIM_EVERY_S)
            elif not hmac.compare_digest(live.token, hashed):
                raise WrongToken
            elif not live.over:
                return live
            else:
                await live.released.wait()

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

    def _refuse_token(self, session_id: str, caller: Caller) -> None:
        self._telling.warning(
            "resume refused", code="bad_resume_token", address=caller.address, session_id=session_id[:6]
        )
        self.audience.refused("bad_resume_token")

    def _refused(self, error: RefusedError, caller: Caller) -> RefusedError:
        self._telling.warning(
            "caller refused",
            code=error.code,
            address=caller.address,
            reason=error.reason,
            problem=error.message,
        )
        self.audience.refused(error.reason or error.code)
        return error

    # ---- the end ------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Let nobody in any more, and ask everybody to leave."""
        self.readiness.draining = True
        self.draining.set()

    async def emptied(self) -> None:
        """Returns when the last session is over. Safe to cancel."""
        while not self.empty:  # or not any more: a place was given back, and its session begun
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
