"""A server that speaks Deepgram's ``/v1/listen``: sound in, interim and final words out.

It understands coded speech. Like the real one it ends utterances by its own endpointing, flushes on ``Finalize`` (and
says nothing when there is nothing left to flush), sends the rest and ``Metadata`` on ``CloseStream``, and counts time
in seconds of sound since the socket was opened.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from benchmarks.vendor_servers.deepgram import WORDS
from benchmarks.vendor_servers.handshakes import denied, refusal_at_handshake
from benchmarks.vendor_servers.world import Fault, VendorWorld
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from antiphon.audio.coded_speech import coded_text
from antiphon.audio.level import level_dbfs

KEY = "dg-right-key"
MODELS = ("nova-3", "nova-2", "base", "whisper-large")
RATE = 16_000
LOUD_DBFS = -50.0


@dataclass(slots=True)
class Socket:
    """One connection."""

    connection: ServerConnection
    query: dict[str, str]
    sound: bytearray = field(default_factory=bytearray)
    final: int = 0
    """Bytes whose words are final."""
    told: str = ""
    quiet_s: float = 0.0
    spoken: bool = False
    """Whether there is speech after ``final``."""
    fault: str | None = None
    """Of the utterance that it hears."""
    asked: dict[str, int] = field(default_factory=dict)
    """Control messages that came."""


class DeepgramSockets:
    """The server. ``faults`` are for the next utterances' first sound, in order; None lets one succeed: ``cut``,
    ``stall`` (hears, never answers), ``malformed``, ``nonsense`` (results without words), ``error``, ``data``,
    ``net``, ``no_finalize`` (answers everything but ``Finalize``)."""

    def __init__(self, world: VendorWorld | None = None) -> None:
        """A ``world`` decides how fast it is and what goes wrong, beside ``faults``."""
        self.world = world or VendorWorld(key=KEY)
        self.faults: deque[str | None] = deque()
        self.refusals: deque[tuple[int, dict[str, Any]]] = deque()
        self.answer_s = 0.0
        """From sound to words."""
        self.accepted = 0
        self.sockets: list[Socket] = []
        self.heard_s = 0.0
        """Sound received, over all sockets."""
        self.changed = asyncio.Condition()
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something that a client did makes it true."""
        async with self.changed, asyncio.timeout(10):
            await self.changed.wait_for(condition)

    async def drop(self) -> None:
        """End every connection, as the vendor does with those that say nothing."""
        for socket in list(self.sockets):
            await socket.connection.close(1011, "NET-0001")

    # ---- the wire -----------------------------------------------------------------------------------------

    def handshake(self, connection: ServerConnection, request: Request) -> Response | None:
        self.world.connections.add(connection.remote_address[:2])
        query = parse_qs(urlsplit(request.path).query)
        if self.refusals:
            return denied(*self.refusals.popleft())
        if not self.world.knows_key(request.headers.get("Authorization", "").removeprefix("Token ")):
            return denied(
                401, {"err_code": "INVALID_AUTH", "err_msg": "Invalid credentials.", "request_id": "1"}
            )
        if query["model"][0] not in MODELS:
            words = "Bad Request: No such model/language/tier combination found."
            return denied(400, {"err_code": "Bad Request", "err_msg": words, "request_id": "2"})
        refusals = {
            fault: (status, {"err_code": code, "err_msg": words})
            for fault, (status, words, code, _, _) in WORDS.items()
            if fault not in ("fail", "overloaded")
        }
        return refusal_at_handshake(self.world, "asr", connection, refusals)

    async def serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        query = {
            name: ",".join(values)
            for name, values in parse_qs(urlsplit(connection.request.path).query).items()
        }
        socket = Socket(connection, query)
        self.accepted += 1
        self.sockets.append(socket)
        await self._tell()
        try:
            fault: str | None = None
            async for message in connection:
                if isinstance(message, bytes):
                    if not socket.spoken and level_dbfs(message) > LOUD_DBFS:
                        fault = (
                            self.faults.popleft()
                            if self.faults
                            else _as_sockets_have_it(self.world.draw("asr"))
                        )
                        socket.fault = fault
                        if await self._faulty(connection, fault):
                            return
                    await self._hear(socket, message, fault)
                else:
                    await self._control(socket, json.loads(message), fault)
                await self._tell()
        except ConnectionClosed:
            pass
        finally:
            self.sockets.remove(socket)
            await self._tell()

    async def _faulty(self, connection: ServerConnection, fault: str | None) -> bool:
        """Whether that was the end of it."""
        match fault:
            case "cut":
                connection.transport.abort()
            case "malformed":
                await connection.send('{"type": "Results", "chan')
            case "nonsense":
                await connection.send(json.dumps({"type": "Results", "start": 0.0, "duration": 1.0}))
            case "error":
                words = {"type": "Error", "description": "Something went wrong.", "variant": "UNKNOWN"}
                await connection.send(json.dumps(words))
            case "data":
                await connection.close(1008, "DATA-0000")
            case "busy":
                await connection.close(1011, "Internal error")
            case "huge":
                await connection.send(json.dumps({"type": "Results", "words": "word " * 2_000_000}))
            case "net":
                await connection.close(1011, "NET-0000")
            case _:
                return False
        return True

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def _hear(self, socket: Socket, pcm: bytes, fault: str | None) -> None:
        socket.sound += pcm
        self.heard_s += len(pcm) / 2 / RATE
        loud = level_dbfs(pcm) > LOUD_DBFS
        socket.spoken = socket.spoken or loud
        socket.quiet_s = 0.0 if loud else socket.quiet_s + len(pcm) / 2 / RATE
        if fault == "stall" or not socket.spoken:
            return
        if socket.quiet_s * 1000 >= int(socket.query["endpointing"]):
            await self._results(socket, final=True, speech_final=True)
        elif (text := coded_text(bytes(socket.sound[socket.final :]))) != socket.told:
            socket.told = text
            await self._results(socket)

    async def _control(self, socket: Socket, message: dict[str, Any], fault: str | None) -> None:
        kind = message["type"]
        socket.asked[kind] = socket.asked.get(kind, 0) + 1
        if fault == "stall":
            return
        unsaid = len(socket.sound) - socket.final > RATE * 2 * 0.05
        if kind == "Finalize" and unsaid and fault != "no_finalize":
            await self._results(socket, final=True, from_finalize=True)
        elif kind == "CloseStream":
            if unsaid:
                await self._results(socket, final=True)
            duration = len(socket.sound) / 2 / RATE
            await socket.connection.send(
                json.dumps({"type": "Metadata", "duration": duration, "channels": 1, "request_id": "r"})
            )
            await socket.connection.close(1000)

    async def _results(
        self, socket: Socket, *, final: bool = False, speech_final: bool = False, from_finalize: bool = False
    ) -> None:
        wait_s = self.answer_s + self.world.asr_ms / 1000
        if wait_s:
            await asyncio.sleep(wait_s)
        text = "" if socket.fault == "empty" else coded_text(bytes(socket.sound[socket.final :]))
        best: dict[str, Any] = {"transcript": text, "confidence": 0.9 if text else 0.0, "words": []}
        if socket.query.get("language") == "multi":
            best["languages"] = ["en"]
        start_s = socket.final / 2 / RATE
        message = {
            "type": "Results",
            "channel_index": [0, 1],
            "start": start_s,
            "duration": len(socket.sound) / 2 / RATE - start_s,
            "is_final": final,
            "speech_final": speech_final,
            "from_finalize": from_finalize,
            "channel": {"alternatives": [best]},
            "metadata": {"request_id": "r"},
        }
        if final:
            socket.final, socket.told, socket.spoken = len(socket.sound), "", False
        await socket.connection.send(json.dumps(message))


def _as_sockets_have_it(fault: Fault | None) -> str | None:
    return "busy" if fault in ("fail", "overloaded") else fault


@asynccontextmanager
async def deepgram_sockets(world: VendorWorld | None = None) -> AsyncIterator[DeepgramSockets]:
    """The server, on a free port of this machine."""
    vendor = DeepgramSockets(world)
    async with serve(
        vendor.serve, "127.0.0.1", 0, process_request=vendor.handshake, close_timeout=0.5
    ) as server:
        vendor.port = server.sockets[0].getsockname()[1]
        yield vendor
        for socket in list(vendor.sockets):
            socket.connection.transport.abort()
