"""``/ws/voice``: one caller's WebSocket. A thin shell: what comes in goes to the conversation, what the
conversation tells goes out, and whatever goes wrong here ends this caller's session and no other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from antiphon.conversation import events
from antiphon.conversation.config import ConversationConfig
from antiphon.conversation.conversation import Conversation
from antiphon.errors import ClientError, EndedError
from antiphon.protocol import client_messages as client
from antiphon.protocol import server_messages as wire
from antiphon.protocol.connection import Closing, ServerConnection
from antiphon.server.outgoing import Outgoing, Overflow
from antiphon.server.wire_errors import (
    BROKEN,
    ENDED,
    IDLE,
    INTERNAL,
    NO_START,
    NORMAL,
    RESTARTING,
    SPENT,
    TOO_SLOW,
    wire_error,
)
from antiphon.server.wire_events import wire_message
from antiphon.server.wishes import conversation_config
from antiphon.sessions.audience import Audience
from antiphon.sessions.offer import Assistant
from antiphon.sessions.recordings import save_flight
from antiphon.sessions.session import Session
from antiphon.telemetry.logs import logger

FAREWELL_S = 2.0
"""Seconds that the last messages may take; after that the connection is dropped."""

LAST_CALL_S = 60.0
"""How long before its end a conversation is told that it will be."""

RECONNECT_MS = 1_000
"""When to come back after ``going_away``: another replica is there at once, a restart takes a few seconds."""

log = logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceLimits:
    """What a connection is held to."""

    max_message_bytes: int = 65_536
    start_timeout_s: float = 10.0
    idle_timeout_s: float = 600.0
    drain_grace_s: float = 15.0
    messages_per_s: float = 200.0
    bytes_per_s: float = 250_000.0
    session_max_s: float = 0.0
    """0: any length."""
    recordings: Path | None = None
    """Where flight recordings are saved; None: nowhere."""

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
    """One accepted connection, until it is over."""

    def __init__(
        self,
        websocket: WebSocket,
        session: Session,
        assistant: Assistant,
        *,
        limits: VoiceLimits,
        draining: asyncio.Event,
        audience: Audience | None = None,
        trace_id: str = "",
    ) -> None:
        self._websocket = websocket
        self._session = session
        self._assistant = assistant
        self._limits = limits
        self._draining = draining
        self._audience = audience or Audience()
        self._trace_id = trace_id
        self._connection = ServerConnection(
            max_message_bytes=limits.max_message_bytes,
            messages_per_s=limits.messages_per_s,
            bytes_per_s=limits.bytes_per_s,
        )
        self._outgoing = Outgoing()
        self._now: Callable[[], float] = asyncio.get_running_loop().time
        self._heard_at = self._now()
        self._conversation: Conversation | None = None

    async def run(self) -> None:
        """Hold the call to its end and close the socket. Safe to cancel: the conversation ends with it."""
        structlog.contextvars.bind_contextvars(session_id=self._session.id)
        if self._trace_id:
            structlog.contextvars.bind_contextvars(trace_id=self._trace_id)
        begun = self._now()
        closing: Closing | None = NORMAL
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._outgoing.run(self._send))
                tasks.create_task(self._hang_up_when_idle())
                tasks.create_task(self._leave_when_draining())
                tasks.create_task(self._end_when_told())
                tasks.create_task(self._end_when_long())
                tasks.create_task(self._talk(tasks))
        except ExceptionGroup as group:
            closing = self._ending(group)
        self._session.ended = _reason(closing)
        await self._say_goodbye(closing)
        self._log_end(closing, self._now() - begun)
        await self._save_flight()

    # ---- in

    async def _talk(self, tasks: asyncio.TaskGroup) -> None:
        try:
            async with asyncio.timeout(self._limits.start_timeout_s):
                config = await self._await_start()
        except TimeoutError:
            message = f"no `start` came within {self._limits.start_timeout_s:g} s; send it first"
            self._put(wire_error(ClientError(message)))
            raise Hangup(NO_START) from None
        conversation = Conversation(
            session_id=self._session.id,
            providers=self._assistant.providers,
            config=config,
            emit=self._tell,
            observe=self._observe,
            allowance=self._assistant.allowance,
        )
        self._conversation = conversation
        tasks.create_task(self._converse(conversation))
        while True:
            try:
                self._take(await self._receive(), conversation)
            except ClientError as error:
                self._complain(error)

    def _observe(self, event: events.Event) -> None:
        if isinstance(event, events.ProviderCall):
            self._session.counts.charge(self._assistant.price(event))
        self._audience.told(self._session.id, event)

    async def _converse(self, conversation: Conversation) -> None:
        await conversation.run()
        if conversation.ending:
            raise Hangup(SPENT)
        raise Hangup(TOO_SLOW if conversation.overrun else NORMAL)

    async def _await_start(self) -> ConversationConfig:
        """Answers ``session`` once a ``start`` came that can be met."""
        while True:
            try:
                message = self._read(await self._receive())
                if isinstance(message, client.Start):
                    return self._open(message)
            except ClientError as error:
                self._complain(error)

    def _open(self, start: client.Start) -> ConversationConfig:
        try:
            config = conversation_config(start, self._assistant)
        except ClientError:
            self._connection.refuse_start()
            raise
        self._connection.accept_start(start, now=self._now())
        self._put(
            wire.Session(
                session_id=self._session.id,
                epoch=time.time_ns() // 1_000_000,
                resume_token=None,
                input_rate=start.input_rate,
                output_rate=start.output_rate,
                resumed=False,
                limits=self._limits.told(),
            )
        )
        if start.resume is not None:
            self._put(
                wire.Notice(kind="history", message="The earlier conversation is gone; this is a new one.")
            )
        return config

    async def _receive(self) -> str | bytes:
        """The next message. Raises WebSocketDisconnect when the client is gone."""
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(code=message.get("code", 1005))
        self._heard_at = self._now()
        text: str | None = message.get("text")
        return message["bytes"] if text is None else text

    def _read(self, frame: str | bytes) -> client.ClientMessage | bytes | None:
        """What a frame says. Raises ClientError; Hangup at ``bye``."""
        self._connection.check_pace(frame, now=self._now())
        if isinstance(frame, bytes):
            return self._connection.receive_sound(frame, now=self._now())
        message = self._connection.receive_text(frame)
        if isinstance(message, client.Bye):
            raise Hangup(NORMAL)
        return message

    def _take(self, frame: str | bytes, conversation: Conversation) -> None:
        message = self._read(frame)
        match message:
            case bytes():
                self._session.counts.audio_in_s += len(message) / 2 / conversation.config.input_rate
                conversation.hear(message)
            case client.Text():
                conversation.type_text(message.text)
            case client.Commit():
                conversation.commit()
            case client.Interrupt():
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

    async def _tell(self, event: events.Event) -> None:
        """What the conversation emits. Never blocks; raises Overflow when the client does not read."""
        self._session.observe(event)
        started = self._connection.started
        if isinstance(event, events.Decision) and not (started is not None and started.timeline):
            return
        if isinstance(event, events.Interrupted):
            self._outgoing.drop_sound()
        message = wire_message(event, self._assistant.price, trace_id=self._trace_id)
        if isinstance(message, bytes):
            self._outgoing.put(message)
        elif message is not None:
            self._put(message)

    def _put(self, message: wire.ServerMessage) -> None:
        self._outgoing.put(self._connection.send(message))

    async def _send(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            await self._websocket.send_bytes(message)
        else:
            await self._websocket.send_text(message)

    # ---- the end

    async def _hang_up_when_idle(self) -> None:
        idle = self._limits.idle_timeout_s
        while True:
            left = self._heard_at + idle - self._now()
            if left <= 0:
                break
            await asyncio.sleep(left)
        self._put(wire_error(ClientError(f"nothing was sent for {idle:g} s; connect again to go on")))
        raise Hangup(IDLE)

    async def _end_when_told(self) -> None:
        """At an operator's word: now."""
        await self._session.told_to_end()
        self._put(wire_error(EndedError(self._session.end_message)))
        raise Hangup(ENDED)

    async def _end_when_long(self) -> None:
        """At the longest that a conversation may take: told a minute before, and its reply may be heard to its end."""
        longest = self._limits.session_max_s
        if not longest:
            return
        left = self._session.since + longest - time.time()
        if left > LAST_CALL_S:
            await asyncio.sleep(left - LAST_CALL_S)
            self._put(wire.Notice(kind="ending", message=f"This conversation ends in {LAST_CALL_S:.0f} seconds."))
            left = LAST_CALL_S
        await asyncio.sleep(left)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.drain_grace_s):
                await self._session.idle()
        self._session.end(f"a conversation may take {longest:g} s here; start another one to go on")

    async def _leave_when_draining(self) -> None:
        """Say so, let the reply be heard to its end, within the grace time, and go."""
        await self._draining.wait()
        self._put(wire.GoingAway(reconnect_in_ms=RECONNECT_MS))
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.drain_grace_s):
                await self._session.idle()
        raise Hangup(RESTARTING)

    def _ending(self, group: ExceptionGroup[Exception]) -> Closing | None:
        """How to close: None when the client is gone already."""
        expected, unexpected = group.split((Hangup, Overflow, WebSocketDisconnect))
        if unexpected is not None:
            log.error("session failed", exc_info=unexpected)
            with suppress(Overflow):
                self._put(INTERNAL)
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

    async def _save_flight(self) -> None:
        folder, conversation = self._limits.recordings, self._conversation
        if folder is None or conversation is None:
            return
        streaming = self._assistant.providers.recognizer.info.streaming
        flight = conversation.recorder.to_json(
            session_id=self._session.id, policy=conversation.config.turn_policy(streaming=streaming)
        )
        try:
            path = await asyncio.to_thread(save_flight, folder, self._session.id, flight)
        except OSError as error:
            log.warning("recording not saved", folder=str(folder), problem=error.strerror or str(error))
        else:
            log.info("recording saved", path=str(path))

    def _log_end(self, closing: Closing | None, seconds: float) -> None:
        counts = self._session.counts
        log.info(
            "session closed",
            reason="client left" if closing is None else closing.reason,
            seconds=round(seconds, 1),
            turns=counts.turns,
            replies=counts.replies,
            interrupted=counts.interrupted,
            failures=counts.failures,
            audio_in_s=round(counts.audio_in_s, 1),
            audio_out_s=round(counts.audio_out_s, 1),
        )


def _reason(closing: Closing | None) -> str:
    """How a session ended, as listeners are told it."""
    if closing is None or closing is NORMAL:
        return "client_left"
    reasons = {
        IDLE: "idle",
        RESTARTING: "drained",
        NO_START: "no_start",
        TOO_SLOW: "too_slow",
        BROKEN: "failed",
        SPENT: "budget",
        ENDED: "ended",
    }
    return reasons.get(closing, "client_error")
