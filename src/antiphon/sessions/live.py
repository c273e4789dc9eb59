"""A session that lives on while its caller's connections come and go.

It holds the conversation, waits for a caller who was lost, keeps the store told, and lets go of everything when it is
over or goes on at another replica. Connections attach to it; what it tells them goes through an ``Outlet``, which
numbers it and keeps the last of it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from antiphon.conversation import events
from antiphon.conversation.conversation import Conversation
from antiphon.conversation.memory import Memory
from antiphon.sessions.keeping import Keeping
from antiphon.sessions.seat import Seat
from antiphon.sessions.session import Session
from antiphon.sessions.snapshot import Snapshot
from antiphon.telemetry.logs import logger

QUIET_GRAIN_S = 0.02
"""How often a session that is to move is looked at for a quiet moment: too many small things make one to be told of."""

WRITE_OUT_S = 0.7
"""How long a reply still being written may take before it is handed over as far as it is: the caller waits."""

LAST_CALL_S = 60.0
"""How long before its end a conversation is told that it will be."""

SIGNS_OF_LIFE = (
    events.SpeechStarted,
    events.SpeechStopped,
    events.TranscriptChanged,
    events.ReplyStarted,
    events.ReplyDone,
)
"""What is told when somebody says something. An open microphone and pings come from a forgotten page, too."""

HANDED_OVER = frozenset({"moved", "drained", "parked"})
"""Ends after which others may go on with a session."""

log = logger(__name__)


class Outlet(Protocol):
    """The way to the client: numbers what it is told, keeps the last of it, and sends it if someone is there."""

    @property
    def seq(self) -> int:
        """Of the last message."""

    def tail(self) -> tuple[tuple[int, str], ...]:
        """The last messages, for someone who has to tell them again."""

    def tell(self, event: events.Event) -> None:
        """Never blocks."""

    def say_leaving(self, *, elsewhere: bool) -> None:
        """This server is about to stop; ``elsewhere``: others go on with the session."""

    def say_ended(self, message: str) -> None:
        """Somebody ended the session, for this reason."""


class Attachment:
    """A connection's hold on a session."""

    def __init__(self) -> None:
        self.over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Why the connection is to be closed: the session's ``ended``, or ``taken_over``."""

    def release(self, reason: str) -> None:
        """Tell it to close."""
        if not self.over.done():
            self.over.set_result(reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetime:
    """How long a session is waited for."""

    grace_s: float = 60.0
    """After its connection was lost."""
    drain_s: float = 15.0
    """For its turn to end, when the server is about to stop."""
    longest_s: float = 0.0
    """From its beginning; 0: any length."""
    idle_s: float = 0.0
    """Without a word, spoken or typed, by anyone; 0: any time."""


class LiveSession:
    """One session, from its first ``start`` to its end. ``run`` holds it; everything else may be called at any time."""

    def __init__(
        self,
        session: Session,
        *,
        outlet: Outlet,
        keeping: Keeping,
        lifetime: Lifetime,
        epoch: int,
        token: bytes,
        draining: asyncio.Event,
        afterwards: Callable[[], Awaitable[None]],
    ) -> None:
        """``token`` is the hash of its resume token; ``afterwards`` is done when it is over. ``conversation`` is to be
        set before ``run``."""
        self.afterwards = afterwards
        self.session = session
        self.outlet = outlet
        self.keeping = keeping
        self.epoch = epoch
        self.token = token
        self.conversation: Conversation
        self.seat: Seat | None = None
        """Among those of its caller's address."""
        self.attached_at = -math.inf
        """When its caller's connection came, on the loop's clock."""
        self.released = asyncio.Event()
        """Set by whoever holds it, when it is not held any more."""
        self._lifetime = lifetime
        self._draining = draining
        self._attachment: Attachment | None = None
        self._attached = asyncio.Event()
        self._detached = asyncio.Event()
        """Whether somebody is connected, both ways round: both are waited for."""
        self._over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._letting_go: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._stirred = asyncio.Event()
        """Whether somebody said something since it was last looked."""
        self._changed = asyncio.Event()
        """Whether the conversation at hand is to be gone on with by another one, under other wishes."""

    # ---- connections --------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether it is over, or about to be."""
        return self._over.done() or self._letting_go.done()

    def attach(self) -> Attachment:
        """A connection is there. One that was there before is let go of: it is stale, or the caller's other one."""
        if self._attachment is not None:
            self._attachment.release("taken_over")
            self.conversation.pause()
        self._attachment = attachment = Attachment()
        self.session.away_since = math.inf
        self.attached_at = asyncio.get_running_loop().time()
        self._detached.clear()
        self._attached.set()
        if self._over.done():
            attachment.release(self._over.result())
        return attachment

    def detach(self, attachment: Attachment, reason: str) -> None:
        """A connection is gone, for ``reason``. A conversation without a word in it goes with it."""
        if self._attachment is not attachment:
            return
        self._attachment = None
        self.session.away_since = asyncio.get_running_loop().time()
        self.conversation.pause()
        if self.conversation.untouched or not self._lifetime.grace_s:
            self.end(reason)
        self._attached.clear()
        self._detached.set()

    def end(self, reason: str) -> None:
        """It is over."""
        if not self._over.done():
            self._over.set_result(reason)

    async def sit(self, seat: Seat | None) -> None:
        """On that of the connection by which its caller came, in place of another one's; None: on none any more."""
        before, self.seat = self.seat, seat
        if seat is not None:
            seat.keep(self.park)
        if before is not None and before is not seat:
            await before.give_up()

    def stir(self) -> None:
        """Somebody said something, or did what only people do."""
        self._stirred.set()

    def want(self) -> None:
        """Its caller has come to another replica: let go of it."""
        self._let_go("moved")

    def park(self) -> bool:
        """Its place is needed: put it aside. Whether it was not going anyway."""
        going = self.over
        self._let_go("parked")
        return not going

    def lose(self) -> None:
        """Another replica holds it: end, and write nothing more."""
        self.keeping.lost.set()

    def keep_again(self) -> None:
        """The store does not know it (any more)."""
        self.keeping.keep_soon(lambda: self._snapshot(seq=self.outlet.seq))

    def _let_go(self, reason: str) -> None:
        if not self._letting_go.done():
            self._letting_go.set_result(reason)

    # ---- its life -----------------------------------------------------------------------------------------

    async def run(self) -> str:
        """Hold it to its end; gives the reason. Safe to cancel. What goes wrong in it is raised."""
        try:
            async with asyncio.TaskGroup() as tasks:
                others = [
                    tasks.create_task(watch())
                    for watch in (
                        self._expire,
                        self._leave,
                        self._move,
                        self._obey,
                        self._last_call,
                        self._hush,
                        self._be_overtaken,
                        self.keeping.run,
                    )
                ]
                tasks.create_task(self._converse())
                await asyncio.shield(self._over)
                for other in others:
                    other.cancel()
                self._changed.clear()
                self.conversation.close()
        finally:
            self.end("failed")
            self.session.ended = self._over.result()
            if self._attachment is not None:
                self._attachment.release(self.session.ended)
        await self.keeping.end(forget=self.session.ended not in HANDED_OVER)
        return self.session.ended

    def change(self, open_conversation: Callable[[Memory], Conversation]) -> None:
        """Go on under other wishes: with a conversation that remembers this one."""
        old, self.conversation = self.conversation, open_conversation(self.conversation.memory)
        self.conversation.pause()
        self._changed.set()
        old.close()

    async def _converse(self) -> None:
        while True:
            conversation = self.conversation
            await conversation.run()
            if not self._changed.is_set():
                break
            self._changed.clear()
        self.end(conversation.ending or ("too_slow" if conversation.overrun else "client_left"))

    async def emit(self, event: events.Event) -> None:
        """The conversation's way out. A turn that the client is told is over has been kept before."""
        self.session.observe(event)
        if isinstance(event, SIGNS_OF_LIFE):
            self.stir()
        match event:
            case events.ReplyDone():
                await self.keeping.keep(self._snapshot(seq=self.outlet.seq + 1))
            case events.TranscriptChanged(final=True) | events.AudioStarted() | events.AudioDone():
                self.keeping.keep_soon(lambda: self._snapshot(seq=self.outlet.seq))
            case _:
                pass
        self.outlet.tell(event)

    def _snapshot(self, *, seq: int, tail: bool = False) -> Snapshot:
        counts = self.session.counts
        return Snapshot(
            epoch=self.epoch,
            caller_key=self.session.caller.key,
            memory=self.conversation.memory,
            seq=seq,
            tail=self.outlet.tail() if tail else (),
            handed_over=tail,
            turns=counts.turns,
            replies=counts.replies,
            interrupted=counts.interrupted,
            failures=counts.failures,
            audio_in_s=counts.audio_in_s,
            audio_out_s=counts.audio_out_s,
            cost_usd=counts.cost_usd,
        )

    async def _expire(self) -> None:
        """Wait for a caller who was lost, and give up in the end."""
        while True:
            await self._detached.wait()
            try:
                async with asyncio.timeout(self._lifetime.grace_s):
                    await self._attached.wait()
            except TimeoutError:
                self.end("expired")

    async def _obey(self) -> None:
        await self.session.told_to_end()
        self.outlet.say_ended(self.session.end_message)
        self.end("ended")

    async def _last_call(self) -> None:
        """The longest that a conversation may take: told a minute before, and its reply may be heard to its end."""
        longest = self._lifetime.longest_s
        if not longest:
            return
        left = self.session.since + longest - time.time()
        if left > LAST_CALL_S:
            await asyncio.sleep(left - LAST_CALL_S)
            message = f"This conversation ends in {LAST_CALL_S:.0f} seconds."
            self.outlet.tell(events.Notice(kind="ending", message=message))
            left = LAST_CALL_S
        await asyncio.sleep(left)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._lifetime.drain_s):
                await self.session.idle()
        self.session.end(f"a conversation may take {longest:g} s here; start another one to go on")

    async def _hush(self) -> None:
        """One in which nobody says anything any more: told a little before its end, then over."""
        idle_s = self._lifetime.idle_s
        if not idle_s:
            return
        notice_s = min(LAST_CALL_S, idle_s / 2)
        while True:
            if await self._stirs(within_s=idle_s - notice_s):
                continue
            message = f"Nobody says anything. This conversation ends in {notice_s:.0f} seconds."
            self.outlet.tell(events.Notice(kind="idle", message=message))
            if not await self._stirs(within_s=notice_s):
                break
        self.outlet.say_ended(f"nobody said anything for {idle_s:g} s; start another conversation to go on")
        self.end("idle")

    async def _stirs(self, *, within_s: float) -> bool:
        """Whether anybody says anything, or cannot since nobody is there."""
        self._stirred.clear()
        try:
            async with asyncio.timeout(within_s):
                await self._stirred.wait()
        except TimeoutError:
            return self.session.replying or self.session.away
        return True

    async def _be_overtaken(self) -> None:
        await self.keeping.lost.wait()
        self.end("moved")

    async def _leave(self) -> None:
        """The server is about to stop: say so, let the turn end, and hand over."""
        await self._draining.wait()
        self.outlet.say_leaving(elsewhere=self.keeping.shared)
        try:
            async with asyncio.timeout(self._lifetime.drain_s):
                while self._attachment is not None and not self.conversation.between_turns:  # noqa: ASYNC110
                    await asyncio.sleep(QUIET_GRAIN_S)
        except TimeoutError:
            log.info("turn cut short: the grace time is over")
        self._let_go("drained")

    async def _move(self) -> None:
        """Let go of it, with all that is needed to go on elsewhere at once."""
        reason = await asyncio.shield(self._letting_go)
        self.conversation.pause()
        await self._written_out()
        await self.conversation.delivered()
        if not self._over.done():
            await self.keeping.release(self._snapshot(seq=self.outlet.seq, tail=True))
            self.end(reason)

    async def _written_out(self) -> None:
        """Give a reply that is still being written a moment."""
        try:
            async with asyncio.timeout(WRITE_OUT_S):
                while (begun := self.conversation.memory.unfinished) and not begun.complete:  # noqa: ASYNC110
                    await asyncio.sleep(QUIET_GRAIN_S)
        except TimeoutError:
            log.info("reply handed over half written")
