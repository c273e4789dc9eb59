"""A server that speaks ElevenLabs' ``multi-stream-input``: text in, base64 sound and the time of each character out.

It speaks coded speech, so that a test can tell what was said; it has the limits of the real one (five contexts a
socket) and its manners: nothing says that a flushed clause is over, white space comes and goes, ``isFinal`` comes when
a context is closed.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from benchmarks.vendor_servers.elevenlabs import LETTER_S, sound_of
from benchmarks.vendor_servers.handshakes import denied, refusal_at_handshake
from benchmarks.vendor_servers.world import Fault, VendorWorld
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

KEY = "xi-right-key"
VOICE = "EXAVITQu4vr4xnSDxMaL"
MODELS = ("eleven_flash_v2_5", "eleven_turbo_v2_5", "eleven_flash_v2")
CHUNK_S = 0.2
CONTEXTS = 5


@dataclass(slots=True, kw_only=True)
class Manners:
    """What the server does instead of its best; set them before the clause they are for."""

    first_s: float = 0.0
    """To the first sound of a clause."""
    gap_s: float = 0.0
    """Between two messages."""
    chunk_s: float = CHUNK_S
    """Sound in one message."""
    alignment: bool = True
    drift: bool = False
    """White space comes back where there was none, and is lost where there was some."""
    straddle: bool = False
    """One message holds the end of a clause and the beginning of the next."""
    flush_done: bool = False
    """A kind of message that is new."""
    rate: int | None = None
    """Hz of the sound, whatever was asked for."""
    inactivity_s: float | None = None
    """A socket on which nothing is said for so long is closed; None: never. The vendor takes the client's wish, 20 to
    180 s."""


@dataclass(slots=True)
class Spoken:
    """A clause that came."""

    context: str
    text: str
    settings: dict[str, Any]


@dataclass(slots=True)
class Socket:
    """One connection."""

    connection: ServerConnection
    query: dict[str, str]
    contexts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Open ones, and what each was opened with."""
    ended: set[str] = field(default_factory=set)
    """Those that ended by themselves; the client may learn of it after its next text."""


class _Gone(Exception):
    """The client has left."""


class ElevenLabsSockets:
    """The server. ``faults`` are for the next clauses, in order; None lets one succeed."""

    def __init__(self, world: VendorWorld | None = None) -> None:
        """A ``world`` decides how fast it is and what goes wrong, beside ``manners`` and ``faults``."""
        self.world = world or VendorWorld(key=KEY)
        self.manners = Manners()
        self.faults: deque[str | None] = deque()
        """``cut``, ``stall``, ``stop`` (mid-clause, silent but connected), ``empty``, ``huge``, ``malformed``,
        ``not_base64``, ``half_sample``, or an error's word, as ``quota_exceeded``."""
        self.refusals: deque[tuple[int, dict[str, Any]]] = deque()
        """Status and body for the next handshakes."""
        self.accepted = 0
        self.refused = 0
        self.spoken: list[Spoken] = []
        self.closed: list[str] = []
        """Contexts that the client closed."""
        self.most_contexts = 0
        self.sockets: list[Socket] = []
        self.changed = asyncio.Condition()
        self.port = 0
        self._server: Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def open_contexts(self) -> int:
        return sum(len(socket.contexts) for socket in self.sockets)

    async def until(self, condition: Any) -> None:
        """Wait until something that a client did makes it true."""
        async with self.changed, asyncio.timeout(10):
            await self.changed.wait_for(condition)

    async def drop(self) -> None:
        """Close every connection, as the vendor does with idle ones."""
        for socket in list(self.sockets):
            await socket.connection.close(1000, "")

    # ---- the wire -----------------------------------------------------------------------------------------

    def handshake(self, connection: ServerConnection, request: Request) -> Response | None:
        self.world.connections.add(connection.remote_address[:2])
        if self.refusals:
            return denied(*self.refusals.popleft())
        if not self.world.knows_key(request.headers.get("xi-api-key", "")):
            return denied(401, {"detail": {"status": "invalid_api_key", "message": "Invalid API key"}})
        return refusal_at_handshake(self.world, "tts", connection, {})

    async def serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        parts = urlsplit(connection.request.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        socket = Socket(connection, query)
        self.accepted += 1
        self.sockets.append(socket)
        voice = parts.path.split("/")[3]
        try:
            if voice != VOICE:
                await self._say_no(
                    connection, "voice_id_does_not_exist", f"A voice with voice_id {voice} does not exist."
                )
            elif query["model_id"] not in MODELS:
                await self._say_no(connection, "model_not_found", "A model with that ID does not exist.")
            else:
                await self._tell()
                async with asyncio.TaskGroup() as group:
                    while (message := await self._next(connection)) is not None:
                        await self._take(socket, json.loads(message), group)
                    raise _Gone  # whatever is still being spoken
        except* (ConnectionClosed, _Gone):
            pass
        finally:
            self.sockets.remove(socket)
            await self._tell()

    async def _next(self, connection: ServerConnection) -> str | bytes | None:
        """What the client says next; None when it has said nothing for too long."""
        try:
            async with asyncio.timeout(self.manners.inactivity_s):
                return await connection.recv()
        except TimeoutError:
            words = "Have not received a new text input within the timeout. Streaming input terminated."
            await self._say_no(connection, "input_timeout_exceeded", words)
            return None

    async def _say_no(self, connection: ServerConnection, code: str, message: str) -> None:
        await connection.send(json.dumps({"message": message, "error": code, "code": 1008}))
        await connection.close(1008, message)

    async def _take(self, socket: Socket, message: dict[str, Any], group: asyncio.TaskGroup) -> None:
        context = message["context_id"]
        if context in socket.ended:
            return
        if message.get("close_context"):
            self.closed.append(context)
            held = socket.contexts[context]
            self.world.left_early += held["speaking"]
            self.world.under_way -= held["speaking"]
            held["speaking"] = 0
            lock = socket.contexts[context]["lock"]
            group.create_task(self._finish(socket, context, lock))
        elif context not in socket.contexts:
            assert message["text"] == " ", "the first text of a context must be a space"
            if len(socket.contexts) >= CONTEXTS:
                await self._say_no(
                    socket.connection,
                    "max_active_conversations",
                    "Maximum simultaneous contexts exceeded (5).",
                )
                return
            settings = message.get("voice_settings", {})
            socket.contexts[context] = {"lock": asyncio.Lock(), "settings": settings, "speaking": 0}
            self.most_contexts = max(self.most_contexts, len(socket.contexts))
        elif message["text"].strip():
            assert message["text"].endswith(" "), "text must end with a space"
            held = socket.contexts[context]
            self.spoken.append(Spoken(context, message["text"], held["settings"]))
            fault = self.faults.popleft() if self.faults else _as_sockets_have_it(self.world.draw("tts"))
            held["speaking"] += 1
            self.world.under_way += 1
            group.create_task(self._counted(socket, context, message["text"], fault))
        await self._tell()

    async def _tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def _finish(self, socket: Socket, context: str, lock: asyncio.Lock) -> None:
        async with lock:
            held = socket.contexts.pop(context, {})
            if tail := held.get("tail"):
                await socket.connection.send(json.dumps(tail))
            await socket.connection.send(json.dumps({"isFinal": True, "contextId": context}))
        await self._tell()

    async def _counted(self, socket: Socket, context: str, text: str, fault: str | None) -> None:
        """A clause, counted until it is spoken."""
        held = socket.contexts[context]
        try:
            await self._speak(socket, context, text, fault, held["lock"])
        finally:
            if held["speaking"]:  # else the client did not want it to the end
                held["speaking"] -= 1
                self.world.under_way -= 1
            self.world.settled.set()

    async def _speak(
        self, socket: Socket, context: str, text: str, fault: str | None, lock: asyncio.Lock
    ) -> None:
        async with lock:
            connection = socket.connection
            await asyncio.sleep(self.manners.first_s + self.world.tts_ms / 1000)
            match fault:
                case "stall":
                    await asyncio.sleep(self.world.stall_s)
                    return
                case "malformed":
                    await connection.send('{"audio": "AAAA')
                    return
                case "not_base64":
                    await connection.send(json.dumps({"audio": "!!!", "contextId": context}))
                    return
                case "half_sample":
                    audio = base64.b64encode(b"abc").decode()
                    await connection.send(json.dumps({"audio": audio, "contextId": context}))
                    return
                case "empty":
                    socket.contexts.pop(context, None)
                    socket.ended.add(context)
                    await connection.send(json.dumps({"audio": "", "isFinal": True, "contextId": context}))
                    return
                case "huge":
                    for _ in range(40):
                        audio = base64.b64encode(bytes(48_000 * 20)).decode()
                        await connection.send(json.dumps({"audio": audio, "contextId": context}))
                case "wrong_format":
                    audio = base64.b64encode(b"ID3\x04" + bytes(3_000)).decode()
                    await connection.send(json.dumps({"audio": audio, "contextId": context}))
                    return
                case None | "cut" | "stop" | "stall_later" | "odd":
                    pass
                case word:
                    await self._say_no(connection, word, f"refused: {word}")
                    return
            messages = self._messages(
                text, socket.query, context, 0.005 if fault == "odd" else self.manners.chunk_s
            )
            held = socket.contexts.get(context, {})
            if tail := held.pop("tail", None):
                messages[0] = _joined(tail, messages[0])
            if self.manners.straddle:
                held["tail"] = messages.pop()
            for number, message in enumerate(messages):
                await connection.send(json.dumps(message))
                if context not in self.closed:  # one that was closed is not waited for
                    await asyncio.sleep(
                        self.manners.gap_s + self.world.real_time_factor * self.manners.chunk_s
                    )
                if number == 1 and fault == "cut":
                    connection.transport.abort()
                if number == 1 and fault == "stop":
                    return
                if fault == "stall_later":
                    await asyncio.sleep(self.world.stall_s)
                    return
            if self.manners.flush_done:
                await connection.send(json.dumps({"type": "flush_done", "contextId": context}))

    def _messages(
        self, text: str, query: dict[str, str], context: str, chunk_s: float
    ) -> list[dict[str, Any]]:
        rate = self.manners.rate or int(query["output_format"].removeprefix("pcm_"))
        pcm, chars, starts = sound_of(text, rate)
        messages: list[dict[str, Any]] = []
        size = round(chunk_s * rate) * 2
        for at in range(0, len(pcm), size):
            begin_s, end_s = at / 2 / rate, (at + size) / 2 / rate
            inside = [n for n, start in enumerate(starts) if begin_s <= start + LETTER_S / 2 < end_s]
            message: dict[str, Any] = {
                "audio": base64.b64encode(pcm[at : at + size]).decode(),
                "isFinal": None,
                "contextId": context,
                "normalizedAlignment": None,
            }
            if self.manners.alignment:
                message["alignment"] = self._alignment(chars, starts, inside, begin_s)
            messages.append(message)
        return messages

    def _alignment(
        self, chars: str, starts: Sequence[float], inside: Sequence[int], begin_s: float
    ) -> dict[str, Any]:
        told = [(chars[n], round((starts[n] - begin_s) * 1000)) for n in inside]
        if self.manners.drift:
            told = [(char, ms) for char, ms in told if not char.isspace()]
            told.append((" ", told[-1][1] if told else 0))
        return {
            "chars": [char for char, _ in told],
            "charStartTimesMs": [ms for _, ms in told],
            "charDurationsMs": [round(LETTER_S * 1000)] * len(told),
        }


def _joined(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """One message of two."""
    pcm = [base64.b64decode(message["audio"]) for message in (first, second)]
    begun_ms = round(len(pcm[0]) / 2 / 24_000 * 1000)
    one, two = first["alignment"], second["alignment"]
    later = [ms + begun_ms for ms in two["charStartTimesMs"]]
    return {
        **first,
        "audio": base64.b64encode(b"".join(pcm)).decode(),
        "alignment": {
            "chars": one["chars"] + two["chars"],
            "charStartTimesMs": one["charStartTimesMs"] + later,
            "charDurationsMs": one["charDurationsMs"] + two["charDurationsMs"],
        },
    }


_WORDS: dict[Fault, str] = {
    "fail": "internal_server_error",
    "overloaded": "system_busy",
    "rate_limit": "too_many_concurrent_requests",
    "quota": "quota_exceeded",
    "bad_key": "invalid_api_key",
    "unknown_model": "model_not_found",
    "unknown_voice": "voice_id_does_not_exist",
    "invalid_request": "invalid_text",
    "filtered": "content_against_policy",
}


def _as_sockets_have_it(fault: Fault | None) -> str | None:
    return None if fault is None else _WORDS.get(fault, fault)


@asynccontextmanager
async def elevenlabs_sockets(world: VendorWorld | None = None) -> AsyncIterator[ElevenLabsSockets]:
    """The server, on a free port of this machine."""
    vendor = ElevenLabsSockets(world)
    async with serve(
        vendor.serve, "127.0.0.1", 0, process_request=vendor.handshake, close_timeout=0.5
    ) as server:
        vendor.port = server.sockets[0].getsockname()[1]
        yield vendor
        for socket in list(vendor.sockets):
            socket.connection.transport.abort()
