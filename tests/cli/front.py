"""What stands in front of a server on the internet, and can be wrong in every way that ``antiphon verify`` looks at."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.authority import Pair

HSTS = {"Strict-Transport-Security": "max-age=31536000"}
"""What a proxy that speaks TLS sends along; the rest is the server's."""

HEAD_LIMIT = 65_536

Answer = tuple[int, Mapping[str, str], str]
"""Status, headers, body."""


@dataclass
class Front:
    """A proxy of one request a connection, or of a WebSocket. What it does wrong can be changed at any time."""

    upstream: int
    """Port of the server behind it, on this machine."""
    port: int = 0
    scheme: str = "https"
    answers: dict[str, Answer] = field(default_factory=dict)
    """Path → what is answered here, without asking the server."""
    headers: dict[str, str] = field(default_factory=lambda: dict(HSTS))
    """On every answer, in the place of the server's own; an empty one takes it off."""
    request_headers: dict[str, str] = field(default_factory=dict)
    """The same for what the server is asked."""
    calls: int = 1_000
    """So many WebSockets are let through; then 502."""

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with suppress(OSError, asyncio.IncompleteReadError):
            first, asked = _parsed(await reader.readuntil(b"\r\n\r\n"))
            path = first.split()[1]
            is_call = path == "/ws/voice"
            self.calls -= is_call
            if path in self.answers or self.calls < 0:
                status, headers, body = self.answers.get(path, (502, {}, "no server"))
                writer.write(_head(f"HTTP/1.1 {status} Said", {**headers, **_length(body)}) + body.encode())
            else:
                await self._pass_on(first, asked, reader, writer)
        with suppress(OSError):
            writer.close()
            await writer.wait_closed()

    async def _pass_on(
        self, first: str, asked: dict[str, str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        there, here = await asyncio.open_connection("127.0.0.1", self.upstream)
        try:
            once = {} if "upgrade" in asked else {"connection": "close"}
            here.write(_head(first, _changed(asked | once, self.request_headers)))
            answer, headers = _parsed(await there.readuntil(b"\r\n\r\n"))
            writer.write(_head(answer, _changed(headers, self.headers)))
            async with asyncio.TaskGroup() as both:
                upwards = both.create_task(_pipe(reader, here))
                await _pipe(there, writer)
                upwards.cancel()
        finally:
            here.close()


@asynccontextmanager
async def open_front(
    upstream: int, pair: Pair | None, folder: Path, *, http2: bool = True
) -> AsyncIterator[Front]:
    """One on a free port of loopback; without a certificate it speaks plain HTTP. ``http2`` is offered only."""
    front = Front(upstream=upstream, scheme="http" if pair is None else "https")
    context = None
    if pair is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(pair.write(folder), folder / "privkey.pem")
        context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
    async with asyncio.TaskGroup() as tasks:
        serving: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = tasks.create_task(front.serve(reader, writer))
            serving.add(task)
            task.add_done_callback(serving.discard)

        server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context, limit=HEAD_LIMIT)
        front.port = server.sockets[0].getsockname()[1]
        try:
            yield front
        finally:
            server.close()
            for task in serving:
                task.cancel()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()


def _parsed(head: bytes) -> tuple[str, dict[str, str]]:
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    return first, {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _changed(headers: dict[str, str], changes: Mapping[str, str]) -> dict[str, str]:
    merged = headers | {name.lower(): value for name, value in changes.items()}
    return {name: value for name, value in merged.items() if value}


def _head(first: str, headers: Mapping[str, str]) -> bytes:
    lines = [first, *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _length(body: str) -> dict[str, str]:
    return {"content-length": str(len(body.encode())), "connection": "close"}
