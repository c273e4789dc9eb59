"""uvicorn's two protocols, with what they leave open closed: heads that never end or come drop by drop, messages in
endless fragments, floods of pings, requests that keep a server from stopping."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

from antiphon.server.back_pressure import MOST_UNSENT
from antiphon.sessions.rates import Rate, spend
from antiphon.telemetry.logs import logger

HEAD_S = 5.0
"""How long a request's head may take: it is one packet, and a phone in a lift sends that again after a second."""

MOST_HEAD = 64 * 1024
"""Bytes of a request's head. The parser has no limit of its own; a token of an identity provider has 16 KiB at most."""

LAST_REQUESTS_S = 2.0
"""How long a request may still take once the server stops: to send the rest of its body, to read its answer. Then its
caller counts as gone. Less than uvicorn's own patience (``serving.web_server_config``), after which it would cancel the
request and write a stack trace for it, at a stranger's pleasure."""

MOST_CRUMBS = 1024
CRUMB = 16
"""Frames of fewer bytes than this in one message. An empty one adds nothing to the size that the WebSocket library
limits, but something to its list."""

CONTROL = Rate(count=100, per_s=10.0)
"""Pings and pongs: ten times what the busiest client sends."""

log = logger(__name__)


class PatientHttp(HttpToolsProtocol):
    """HTTP/1.1, to a point."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_bytes = 0
        self._head_due: asyncio.TimerHandle | None = None
        self._answering: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        if self._answering is not None:
            # uvicorn (0.54) tells the request that came last. The one being answered, where several came at once, would
            # write to nobody, and a stack trace into the log.
            self._answering.disconnected = True
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        cycle: RequestResponseCycle | None = self.cycle
        if self._head_due is None and (cycle is None or cycle.response_complete):
            self._await_head()
        super().data_received(data)
        if self._head_due is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD:
                self._give_up("the head of a request is too large")

    def on_headers_complete(self) -> None:
        self._head_came()
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def shutdown(self) -> None:
        super().shutdown()
        self.loop.call_later(LAST_REQUESTS_S, self._leave)

    def _leave(self) -> None:
        if self in self.connections:
            self._give_up("the server stops, and a request did not end in time")

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._head_due = self.loop.call_later(
            HEAD_S, self._give_up, "the head of a request did not come in time"
        )

    def _head_came(self) -> None:
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None

    def _give_up(self, problem: str) -> None:
        self._head_came()
        log.info("connection dropped", problem=problem, peer=self.client[0] if self.client else "")
        self.transport.abort()


class GuardedWebSocket(WebSocketsSansIOProtocol):
    """RFC 6455, to a point. ``antiphon.abort`` in the scope lets go of a client that does not read: closing politely
    would wait for it."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._control_full_at = 0.0
        self._crumbs = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=MOST_UNSENT)
        application = self.app

        async def answered(scope: Any, receive: Any, send: Any) -> None:
            await application(scope, receive, send)
            # A handshake refused with a status is answered too. uvicorn (0.54) takes it for unfinished, and logs an
            # error for every stranger.
            self.handshake_complete = self.handshake_complete or self.close_sent

        self.app = answered

    async def run_asgi(self) -> None:
        self.scope["antiphon.abort"] = self.transport.abort  # type: ignore[typeddict-unknown-key]
        await super().run_asgi()

    def handle_cont(self, event: Frame) -> None:
        self._crumbs += len(event.data) < CRUMB
        if self._crumbs > MOST_CRUMBS:
            self._fail("a message in too many fragments")
            return
        super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        self._crumbs = 0
        if self.curr_msg_data_type == "text" and not _is_text(self.frames):
            # uvicorn closes with 1007 too, but writes a stack trace for each, at a stranger's pleasure.
            self._fail("text that is no UTF-8", CloseCode.INVALID_DATA)
            return
        super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        if self._may_control():
            super().handle_ping()

    def handle_pong(self, event: Frame) -> None:
        if self._may_control():
            super().handle_pong(event)

    def _may_control(self) -> bool:
        self._control_full_at, wait_s = spend(self._control_full_at, now=self.loop.time(), rate=CONTROL)
        if wait_s:
            self._fail("too many pings or pongs")
        return not wait_s

    def _fail(self, reason: str, code: CloseCode = CloseCode.POLICY_VIOLATION) -> None:
        """As uvicorn does when a ping is not answered."""
        if self.close_sent or self.transport.is_closing():
            return
        log.info("connection closed", problem=reason, peer=self.client[0] if self.client else "")
        self.frames = []
        self.conn.fail(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.transport.close()


def _is_text(pieces: list[bytes]) -> bool:
    try:
        b"".join(pieces).decode()
    except UnicodeDecodeError:
        return False
    return True
