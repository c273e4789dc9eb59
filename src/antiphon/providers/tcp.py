"""TCP and TLS for the HTTP pool, on the event loop's own transports.

Why not httpcore's: replies are cancelled all the time here (speculation, barge-in), and an HTTP/2 connection is
shared by every session. Bytes must never be taken from the protocol's state and then lost because the task was
cancelled before they were written, or the connection is broken for all. Here a write hands everything to the
transport before it waits, and a read leaves what it did not take. It also counts what is opened.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import Counter
from collections.abc import Iterable
from typing import Any, cast

from httpcore2 import (
    AsyncNetworkBackend,
    AsyncNetworkStream,
    ConnectError,
    ConnectTimeout,
    ReadError,
    ReadTimeout,
    WriteError,
    WriteTimeout,
)

READ_AHEAD = 256 * 1024
"""Bytes received and not yet taken, above which the vendor is made to wait: some 5 s of speech at 24 kHz."""

Option = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


class LoopSockets(AsyncNetworkBackend):
    """Opens connections, and counts them."""

    def __init__(self) -> None:
        self.opened: Counter[str] = Counter()
        """``host:port`` → TCP connections opened since the start."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Option] | None = None,
    ) -> AsyncNetworkStream:
        """Raises ConnectError, ConnectTimeout."""
        loop = asyncio.get_running_loop()
        local = None if local_address is None else (local_address, 0)
        try:
            async with asyncio.timeout(timeout):
                transport, protocol = await loop.create_connection(_Bytes, host, port, local_addr=local)
        except TimeoutError as error:
            raise ConnectTimeout(str(error)) from error
        except (OSError, UnicodeError) as error:  # no DNS name: a label is empty or too long
            raise ConnectError(str(error)) from error
        self.opened[f"{host}:{port}"] += 1
        with contextlib.suppress(OSError):
            raw = transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return LoopStream(transport, protocol)

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Option] | None = None
    ) -> AsyncNetworkStream:
        raise ConnectError("vendors are reached over TCP")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class LoopStream(AsyncNetworkStream):
    """One connection. Cancelling any call but ``start_tls`` leaves it whole."""

    def __init__(self, transport: asyncio.Transport, protocol: _Bytes) -> None:
        self._transport = transport
        self._protocol = protocol

    @property
    def ended(self) -> bool:
        """Whether the other side has closed it."""
        return self._protocol.ended

    @property
    def heard_at(self) -> float:
        """Loop time at which something came last, or at which it was opened."""
        return self._protocol.heard_at

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What is there, or the next that comes; empty at the end. Raises ReadError, ReadTimeout."""
        try:
            async with asyncio.timeout(timeout):
                return await self._protocol.take(max_bytes)
        except TimeoutError as error:
            raise ReadTimeout(str(error)) from error
        except OSError as error:
            raise ReadError(str(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """All of it is on its way before this waits for room. Raises WriteError, WriteTimeout."""
        if not buffer:
            return
        self.post(buffer)
        if self._protocol.room.is_set():
            return
        try:
            async with asyncio.timeout(timeout):
                await self._protocol.room.wait()
        except TimeoutError as error:
            raise WriteTimeout(str(error)) from error
        if self._protocol.lost:
            raise WriteError("the connection was lost")

    def post(self, buffer: bytes) -> None:
        """The same for a few bytes, without waiting for room. Raises WriteError."""
        if self._protocol.lost or self._transport.is_closing():
            raise WriteError("the connection is closed")
        self._transport.write(buffer)

    async def aclose(self) -> None:
        """Let go at once, with what was not sent: nobody reads it any more."""
        self._transport.abort()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> AsyncNetworkStream:
        """Raises ConnectError (a certificate that is not believed among them), ConnectTimeout."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout):
                secure = await loop.start_tls(
                    self._transport, self._protocol, ssl_context, server_hostname=server_hostname
                )
        except TimeoutError as error:
            self._transport.abort()
            raise ConnectTimeout(str(error)) from error
        except OSError as error:  # ssl.SSLError is one
            self._transport.abort()
            raise ConnectError(str(error)) from error
        except BaseException:
            self._transport.abort()
            raise
        assert secure is not None
        self._protocol.transport = secure
        return LoopStream(secure, self._protocol)

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":  # httpcore's way to ask whether an idle connection was closed
            return self._protocol.ended or self._protocol.holds
        names = {"client_addr": "sockname", "server_addr": "peername"}
        return self._transport.get_extra_info(names.get(info, info))


class _Bytes(asyncio.Protocol):
    """What was received and not yet taken, and whether there is room to send."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.room = asyncio.Event()
        self.room.set()
        self.ended = False
        self.lost = False
        self._loop = asyncio.get_running_loop()
        self.heard_at = self._loop.time()
        self._error: Exception | None = None
        self._held = bytearray()
        self._paused = False
        self._news = asyncio.Event()

    @property
    def holds(self) -> bool:
        return bool(self._held)

    async def take(self, most: int) -> bytes:
        while not self._held:
            if self._error is not None:
                raise OSError(str(self._error)) from self._error
            if self.ended:
                return b""
            self._news.clear()
            await self._news.wait()
        taken = bytes(self._held[:most])
        del self._held[:most]
        if self._paused and len(self._held) < READ_AHEAD and self.transport is not None and not self.lost:
            self._paused = False
            self.transport.resume_reading()
        return taken

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._held += data
        self.heard_at = self._loop.time()
        self._news.set()
        if len(self._held) >= READ_AHEAD and not self._paused and self.transport is not None:
            self._paused = True
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        self.ended = True
        self._news.set()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.ended = self.lost = True
        self._error = error
        self._news.set()
        self.room.set()

    def pause_writing(self) -> None:
        self.room.clear()

    def resume_writing(self) -> None:
        self.room.set()
