"""``/ws/voice``: one caller's WebSocket. A thin shell: what comes in goes to the conversation of a session, what the
session tells goes out, and whatever goes wrong here ends this connection and no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from antiphon.errors import ClientError, RefusedError
from antiphon.protocol import client_messages as client
from antiphon.protocol import server_messages as wire
from antiphon.protocol.codec import encode
from antiphon.protocol.connection import TOO_FAST, Closing, ServerConnection
from antiphon.protocol.pace import Pace
from antiphon.server.incoming import Incoming
from antiphon.server.line import RESTART_MS, Line
from antiphon.server.opening import GAPS, Opened, Opening
from antiphon.server.outgoing import Outgoing, Overflow
from antiphon.server.wire_errors import (
    BROKEN,
    ENDED,
    IDLE,
    INTERNAL,
    MOVED,
    NO_START,
    NORMAL,
    RESTARTING,
    SPENT,
    TAKEN_OVER,
    TOO_SLOW,
    refusal_closing,
    wire_error,
)
from antiphon.server.wishes import conversation_config
from antiphon.sessions.live import Attachment, Lifetime, LiveSession
from antiphon.sessions.offer import Assistant
from antiphon.sessions.place import Place
from antiphon.sessions.registry import Registry
from antiphon.telemetry.logs import logger

FAREWELL_S = 2.0
"""Seconds that the last messages may take; after that the connection is dropped."""

log = logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceLimits:
    """What a connection is held to."""

    max_message_bytes: int = 65_536
    start_timeout_s: float = 10.0
    idle_timeout_s: float = 600.0
    drain_grace_s: float = 15.0
    resume_grace_s: float = 60.0
    """0: nobody is waited for."""
    messages_per_s: float = 200.0
    bytes_per_s: float = 250_000.0
    session_max_s: float = 0.0
    """0: any length."""
    recordings: Path | None = None
    """Where flight recordings are saved; None: nowhere."""

    def lifetime(self) -> Lifetime:
        """As sessions are held to."""
        return Lifetime(
            grace_s=self.resume_grace_s,
            drain_s=self.drain_grace_s,
            longest_s=self.session_max_s,
            idle_s=self.idle_timeout_s,
        )

    def told(self) -> wire.Limits:
        """As the client is told."""
        return wire.Limits(
            max_message_bytes=self.max_message_bytes,
            text_max=client.MAX_TEXT,
            instructions_max=client.MAX_INSTRUCTIONS,
            idle_timeout_ms=round(self.idle_timeout_s * 1000),
        )


class Hangup(Exception):
    """The call is over, for a reason that is no fault of ours."""

    def __init__(self, closing: Closing) -> None:
        super().__init__(closing.reason)
        self.closing = closing


class Call:
    """One accepted connection, until it is over. The session that it opens, or goes on with, may outlive it."""

    def __init__(
        self,
        websocket: WebSocket,
        place: Place,
        assistant: Assistant,
        *,
        limits: VoiceLimits,
        registry: Registry,
        trace_id: Callable[[str], str],
        frank: bool = True,
        shared: Pace | None = None,
    ) -> None:
        """``place`` is its seat until it has said what it wants; ``trace_id`` gives that of a session, empty where
        there is none. ``frank``: callers are told of failures in the operator's words. ``shared``: what the connection
        is held to together with others of its address."""
        self._trace_id = trace_id
        self._websocket = websocket
        self._place = place
        self._assistant = assistant
        self._limits = limits
        self._opening = Opening(
            registry, assistant, lifetime=limits.lifetime(), recordings=limits.recordings, frank=frank
        )
        self._draining = registry.draining
        self._connection = ServerConnection(
            max_message_bytes=limits.max_message_bytes,
            messages_per_s=limits.messages_per_s,
            bytes_per_s=limits.bytes_per_s,
            shared=shared,
        )
        self._incoming = Incoming(websocket)
        self._outgoing = Outgoing()
        self._now: Callable[[], float] = asyncio.get_running_loop().time
        self._opened: Opened | None = None
        self._attachment: Attachment | None = None

    async def run(self) -> None:
        """Hold the connection to its end and close it. Safe to cancel: the session then waits for another one."""
        begun = self._now()
        closing: Closing | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._outgoing.run(self._send))
                tasks.create_task(self._outgoing.overflow())
                tasks.create_task(self._leave_when_draining())
                tasks.create_task(self._talk(tasks))
        except ExceptionGroup as group:
            closing = self._ending(group)
        finally:
            self._part(closing)
        if closing is BROKEN:
            self._apologise()
        await self._say_goodbye(closing)
        log.info(
            "connection closed",
            reason="client left" if closing is None else closing.reason,
            seconds=round(self._now() - begun, 1),
        )

    # ---- in

    async def _talk(self, tasks: asyncio.TaskGroup) -> None:
        try:
            async with asyncio.timeout(self._limits.start_timeout_s):
                start, opened = await self._await_start(tasks)
        except TimeoutError:
            message = f"no `start` came within {self._limits.start_timeout_s:g} s; send it first"
            self._put(wire_error(ClientError(message)))
            raise Hangup(NO_START) from None
        except RefusedError as refused:
            self._put(wire_error(refused))
            raise Hangup(refusal_closing(refused)) from None
        attachment = self._join(start, opened)
        tasks.create_task(self._leave_with(attachment))
        while True:
            try:
                self._take(await self._incoming.next(), opened.live)
            except ClientError as error:
                self._complain(error)

    async def _await_start(self, tasks: asyncio.TaskGroup) -> tuple[client.Start, Opened]:
        """Returns once a ``start`` came that can be met. Raises RefusedError."""
        while True:
            try:
                message = self._read(await self._incoming.next())
                if isinstance(message, client.Start):
                    return message, await self._open(message, tasks)
            except RefusedError:
                raise
            except ClientError as error:
                self._complain(error)

    async def _open(self, start: client.Start, tasks: asyncio.TaskGroup) -> Opened:
        try:
            config = conversation_config(start, self._assistant)
        except ClientError:
            self._connection.refuse_start()
            raise
        # Whoever is gone before the session is had must not take it from where it is: ``watch`` ends this call then.
        watching = tasks.create_task(self._incoming.watch())
        try:
            opened = await self._opening.open(start, config, self._place, seq=self._connection.seq)
        finally:
            watching.cancel()
        self._connection.accept_start(start, now=self._now())
        return opened

    def _join(self, start: client.Start, opened: Opened) -> Attachment:
        """Answer ``session``, tell what was missed, and let the conversation go on."""
        live, line = opened.live, opened.line
        self._opened = opened
        self._attachment = attachment = live.attach()
        line.trace_id = self._trace_id(live.session.id)
        structlog.contextvars.bind_contextvars(session_id=live.session.id)
        if line.trace_id:
            structlog.contextvars.bind_contextvars(trace_id=line.trace_id)
        line.timeline = start.timeline
        line.connect(self._outgoing)
        session = wire.Session(
            session_id=live.session.id,
            epoch=live.epoch,
            resume_token=opened.token,
            input_rate=start.input_rate,
            output_rate=start.output_rate,
            resumed=opened.resumed,
            limits=self._limits.told(),
        )
        if opened.resumed and start.resume is not None:
            missed, complete = line.missed(start.resume.last_seq)
            for text in (encode(session, seq=start.resume.last_seq), *missed):
                self._outgoing.put(text)
            if not complete and not opened.notices:
                line.put(GAPS)
            heard = start.resume.played
            live.conversation.go_on(
                reply_id="" if heard is None else heard.reply_id, heard_ms=None if heard is None else heard.ms
            )
        else:
            line.put(session)
        for notice in opened.notices:
            line.put(notice)
        return attachment

    async def _leave_with(self, attachment: Attachment) -> None:
        """When the session is over, or another connection goes on with it."""
        raise Hangup(CLOSINGS.get(await asyncio.shield(attachment.over), NORMAL))

    def _read(self, frame: str | bytes) -> client.ClientMessage | bytes | None:
        """What a frame says. Raises ClientError; Hangup at ``bye``."""
        self._connection.check_pace(frame, now=self._now())
        if isinstance(frame, bytes):
            return self._connection.receive_sound(frame, now=self._now())
        message = self._connection.receive_text(frame)
        if isinstance(message, client.Bye):
            raise Hangup(NORMAL)
        return message

    def _take(self, frame: str | bytes, live: LiveSession) -> None:
        message, conversation = self._read(frame), live.conversation
        match message:
            case bytes():
                live.session.counts.audio_in_s += len(message) / 2 / conversation.config.input_rate
                conversation.hear(message)
            case client.Text():
                live.stir()
                conversation.type_text(message.text)
            case client.Commit():
                live.stir()
                conversation.commit()
            case client.Interrupt():
                live.stir()
                conversation.interrupt()
            case client.Played():
                conversation.played(message.reply_id, round(message.ms))
            case client.Ping():
                self._put(wire.Pong())
            case None | client.Start() | client.Bye():
                pass
            case _:
                assert_never(message)

    def _complain(self, error: ClientError) -> None:
        """Tell the caller what was wrong; hang up when that happened too often."""
        log.info("client error", code=error.code, problem=error.message)
        self._put(wire_error(error))
        if self._connection.closing is not None:
            raise Hangup(self._connection.closing)

    # ---- out

    def _put(self, message: wire.ServerMessage) -> None:
        if self._opened is not None:
            self._opened.line.put(message)
        else:
            self._outgoing.put(self._connection.send(message))

    async def _send(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            await self._websocket.send_bytes(message)
        else:
            await self._websocket.send_text(message)

    # ---- the end

    async def _leave_when_draining(self) -> None:
        """One that has not begun is told to go; the others leave with their sessions."""
        await self._draining.wait()
        if self._opened is None:
            self._put(wire.GoingAway(reconnect_in_ms=RESTART_MS))
            raise Hangup(RESTARTING)

    def _ending(self, group: ExceptionGroup[Exception]) -> Closing | None:
        """How to close: None when the client is gone already."""
        expected, unexpected = group.split((Hangup, Overflow, WebSocketDisconnect))
        if unexpected is not None:
            log.error("connection failed", exc_info=unexpected)
            return BROKEN
        assert expected is not None
        first: BaseException = expected
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        match first:
            case Hangup():
                return first.closing
            case Overflow():
                self._outgoing.drop_sound()
                return TOO_SLOW
            case _:
                return None

    def _part(self, closing: Closing | None) -> None:
        """From the session: it waits for its caller, unless they are done with it."""
        if self._opened is None or self._attachment is None:
            return
        live, attachment = self._opened.live, self._attachment
        try:
            self._opened.line.disconnect(self._outgoing)
            if not attachment.over.done() and closing not in RESUMABLE:
                live.end(_reason(closing))
        finally:
            live.detach(attachment, _reason(closing))

    def _apologise(self) -> None:
        """Not by way of the session: what broke may have been that."""
        numbered: Line | ServerConnection = self._connection if self._opened is None else self._opened.line
        with suppress(Overflow):
            self._outgoing.put(encode(INTERNAL, seq=numbered.seq + 1))

    async def _say_goodbye(self, closing: Closing | None) -> None:
        if closing is None:
            return
        try:
            async with asyncio.timeout(FAREWELL_S):
                await self._outgoing.flush(self._send)
                await self._websocket.close(closing.code, closing.reason)
        except (TimeoutError, WebSocketDisconnect, RuntimeError):
            # It does not read, or went while we spoke: nothing is left to say. Without the abort, its
            # socket and what waits in it would stay until the client lets go.
            abort: Callable[[], None] | None = self._websocket.scope.get("antiphon.abort")
            if abort is not None:
                abort()


RESUMABLE = (None, TOO_SLOW, TOO_FAST)
"""Ends of a connection after which its session waits for another one: it was lost, or could not keep up."""

CLOSINGS = {
    "client_left": NORMAL,
    "drained": RESTARTING,
    "moved": MOVED,
    "taken_over": TAKEN_OVER,
    "parked": RESTARTING,
    "too_slow": TOO_SLOW,
    "failed": BROKEN,
    "budget": SPENT,
    "ended": ENDED,
    "idle": IDLE,
}
"""How a session ended → how its connection is closed."""


def _reason(closing: Closing | None) -> str:
    """Why a connection ends its session, as listeners are told it."""
    if closing is None or closing is NORMAL:
        return "client_left"
    reasons = {NO_START: "no_start", TOO_SLOW: "too_slow", TOO_FAST: "too_fast", BROKEN: "failed"}
    return reasons.get(closing, "client_error")
