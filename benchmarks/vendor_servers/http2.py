"""HTTP/2 over TLS for an ASGI application, on h2: uvicorn speaks none, and no other server can be told to close a
connection, to reset a stream or to fall silent at a given moment."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame
from starlette.types import ASGIApp

LARGEST_STREAM_ID = 2**31 - 1

DISCONNECT: MutableMapping[str, Any] = {"type": "http.disconnect"}


@dataclass(slots=True, kw_only=True)
class Http2House:
    """What all connections share, and may be changed while the server runs."""

    app: ASGIApp
    most_streams: int = 100
    """At once, on a connection that opens from now on."""
    body_of_heads: bytes = b""
    """Sent in answer to HEAD, which no server should."""
    links: list[Http2Link] = field(default_factory=list)
    """Connections, in the order in which they were opened."""
    answering: set[asyncio.Task[None]] = field(default_factory=set)


class Http2Link(asyncio.Protocol):
    """One connection."""

    def __init__(self, house: Http2House, group: asyncio.TaskGroup) -> None:
        self.asked: list[int] = []
        """Stream ids of the requests that were looked at."""
        self.deaf = False
        """Takes nothing and says nothing any more, as a connection that is dead and does not know it."""
        self.takes_bodies = True
        """Makes room for more of a request's body than the first 64 KiB."""
        self._house = house
        self._group = group
        self._last_stream_id = LARGEST_STREAM_ID
        self._streams: dict[int, _Stream] = {}
        self._writable = asyncio.Event()
        self._writable.set()
        self._h2 = H2Connection(H2Configuration(client_side=False))

    # ---- what a test does with it

    def go_away(self, last_stream_id: int, error: ErrorCodes = ErrorCodes.NO_ERROR) -> None:
        """Answer what came up to that stream, then close."""
        self._last_stream_id = last_stream_id
        # By hand: h2 takes it for the end of everything.
        self._transport.write(GoAwayFrame(0, last_stream_id=last_stream_id, error_code=error).serialize())
        for stream_id in [number for number in self._streams if number > last_stream_id]:
            self._streams.pop(stream_id).leave()

    def reset(self, stream_id: int, error: ErrorCodes = ErrorCodes.INTERNAL_ERROR) -> None:
        with contextlib.suppress(ProtocolError):
            self._h2.reset_stream(stream_id, error)
        self._ended(stream_id)
        self.flush()

    def cut(self) -> None:
        """Without a good-bye."""
        self._transport.abort()

    def babble(self) -> None:
        """Say what is no HTTP/2."""
        self._transport.write(b"\x00\x00\x04\x08" + bytes(64))

    # ---- the protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._house.links.append(self)
        streams = {SettingCodes.MAX_CONCURRENT_STREAMS: self._house.most_streams}
        self._h2.local_settings = Settings(client=False, initial_values=streams)
        self._h2.initiate_connection()
        self.flush()

    def connection_lost(self, error: Exception | None) -> None:
        self._writable.set()
        for stream_id in list(self._streams):
            self._ended(stream_id)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        if self.deaf:
            return
        try:
            for event in self._h2.receive_data(data):
                self._heard(event)
        except ProtocolError:
            self.flush()
            self._transport.close()
        self.flush()

    def _heard(self, event: Event) -> None:
        match event:
            case RequestReceived() if event.stream_id <= self._last_stream_id:
                self.asked.append(event.stream_id)
                stream = self._streams[event.stream_id] = _Stream(event)
                answering = self._group.create_task(self._answer(stream))
                self._house.answering.add(answering)
                answering.add_done_callback(self._house.answering.discard)
            case DataReceived():
                if self.takes_bodies:
                    self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
                if stream_ := self._streams.get(event.stream_id):
                    stream_.push(event.data or b"", more=True)
            case StreamEnded():
                if stream_ := self._streams.get(event.stream_id):
                    stream_.push(b"", more=False)
            case StreamReset():
                self._ended(event.stream_id)
            case WindowUpdated() | RemoteSettingsChanged():
                for stream_ in self._streams.values():
                    stream_.room.set()
            case ConnectionTerminated():
                self._transport.close()

    def flush(self) -> None:
        if not self.deaf and not self._transport.is_closing():
            self._transport.write(self._h2.data_to_send())

    def _ended(self, stream_id: int) -> None:
        if stream := self._streams.pop(stream_id, None):
            stream.leave()
        if not self._streams and self._last_stream_id < LARGEST_STREAM_ID:
            self._transport.close()

    # ---- the application

    async def _answer(self, stream: _Stream) -> None:
        async def send(message: MutableMapping[str, Any]) -> None:
            await self._send(stream, message)

        client = self._transport.get_extra_info("peername")
        try:
            await self._house.app(stream.scope(client), stream.receive, send)
        except Exception:  # noqa: BLE001 -- what it meant to say is cut
            self.reset(stream.id)

    async def _send(self, stream: _Stream, message: MutableMapping[str, Any]) -> None:
        if stream.gone:
            return
        if message["type"] == "http.response.start":
            status = (b":status", str(message["status"]).encode())
            self._h2.send_headers(stream.id, [status, *message["headers"]])
            self.flush()
        elif message["type"] == "http.response.body":
            body = self._house.body_of_heads if stream.method == "HEAD" else message.get("body", b"")
            await self._send_data(stream, body)
            if not message.get("more_body") and not stream.gone:
                self._h2.end_stream(stream.id)
                self.flush()
                self._ended(stream.id)

    async def _send_data(self, stream: _Stream, data: bytes) -> None:
        at = 0
        while at < len(data) and not stream.gone:
            room = min(self._h2.local_flow_control_window(stream.id), self._h2.max_outbound_frame_size)
            if room <= 0:
                stream.room.clear()
                await stream.room.wait()
                continue
            self._h2.send_data(stream.id, data[at : at + room])
            at += room
            self.flush()
            await self._writable.wait()
            await asyncio.sleep(0)  # the client may share this loop


class _Stream:
    """One request."""

    def __init__(self, event: RequestReceived) -> None:
        self.id = event.stream_id
        self.messages: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self.gone = False
        self.room = asyncio.Event()
        self._headers = [(bytes(name), bytes(value)) for name, value in event.headers or ()]
        self._named = dict(self._headers)
        self.method = self._named[b":method"].decode()

    def scope(self, client: tuple[str, int]) -> MutableMapping[str, Any]:
        """ASGI's."""
        path, _, query = self._named[b":path"].partition(b"?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "2",
            "method": self.method,
            "scheme": "https",
            "path": unquote(path.decode()),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": [
                (b"host", self._named[b":authority"]),
                *((name, value) for name, value in self._headers if not name.startswith(b":")),
            ],
            "client": client,
            "server": None,
        }

    async def receive(self) -> MutableMapping[str, Any]:
        """The body, then the end of the client's patience."""
        return DISCONNECT if self.gone and self.messages.empty() else await self.messages.get()

    def push(self, body: bytes, *, more: bool) -> None:
        self.messages.put_nowait({"type": "http.request", "body": body, "more_body": more})

    def leave(self) -> None:
        """The client wants no more of it, or has been told all."""
        self.gone = True
        self.messages.put_nowait(DISCONNECT)
        self.room.set()


async def serve_http2(
    house: Http2House, listening: socket.socket, certificate: Path, stop: asyncio.Event
) -> None:
    """Until ``stop``; then what is under way is cut."""
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(certificate)
    secure.set_alpn_protocols(["h2"])
    async with asyncio.TaskGroup() as group:
        server = await asyncio.get_running_loop().create_server(
            lambda: Http2Link(house, group), sock=listening, ssl=secure
        )
        await stop.wait()
        server.close()
        for link in house.links:
            link.cut()
        for answering in list(house.answering):
            answering.cancel()
