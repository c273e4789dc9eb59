"""A server that serves the page and says over the wire just what a test tells it to.

It runs in a thread of its own; the test calls it from outside. By itself it is a place to look at the page:
``python tests/browser/scripted_server.py`` answers whatever is typed or said by push-to-talk with a hum.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import math
import socket
import struct
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from antiphon.server.http_edge import SECURITY_HEADERS
from antiphon.server.page import Page, read_page

PATIENCE_S = 20.0
"""How long a test waits for what must come; a loaded machine is slow, a broken page never does it."""

OUTPUT_RATE = 24_000

READY: Mapping[str, Any] = {"ready": True, "draining": False, "models": [], "error": None}

OPTIONS: Mapping[str, Any] = {
    "voices": [
        {"id": "joe", "name": "Joe", "language": "en"},
        {"id": "af_heart", "name": "Heart", "language": "en"},
        {"id": "ff_siwis", "name": "Siwis", "language": "fr"},
    ],
    "default_voice": "joe",
    "languages": ["auto", "en", "fr", "es"],
    "default_language": "auto",
    "default_speed": 1.0,
    "modes": ["open_mic", "push_to_talk"],
    "ticket_required": False,
    "instructions_max": 2000,
    "limits": {},
}


class Caller:
    """One connection of the page, seen from a test's thread."""

    def __init__(self, websocket: WebSocket, loop: asyncio.AbstractEventLoop) -> None:
        self.protocols: list[str] = list(websocket.scope["subprotocols"])
        self.messages: list[dict[str, Any]] = []
        self.audio_bytes = 0
        self.gone = False
        self.mute = False
        """Leave pings unanswered."""
        self._websocket = websocket
        self._loop = loop
        self._news = threading.Condition()
        self._read = 0
        self._seq = itertools.count(1)

    # ---- what the page says

    def take(self, message: dict[str, Any] | bytes | None) -> None:
        """Called by the server: something came, or None when the page is gone."""
        with self._news:
            if message is None:
                self.gone = True
            elif isinstance(message, bytes):
                self.audio_bytes += len(message)
            else:
                self.messages.append(message)
            self._news.notify_all()

    def expect(self, kind: str, /, **fields: Any) -> dict[str, Any]:
        """The next message of this type (and with these fields); those before it are passed over."""

        def found() -> bool:
            while self._read < len(self.messages):
                message = self.messages[self._read]
                self._read += 1
                if message["type"] == kind and fields.items() <= message.items():
                    return True
            return False

        with self._news:
            if not self._news.wait_for(found, PATIENCE_S):
                kinds = [message["type"] for message in self.messages]
                raise AssertionError(f"no {kind} {fields or ''} came; there came {kinds[-20:]}")
            return self.messages[self._read - 1]

    def next_of(self, *kinds: str) -> dict[str, Any] | None:
        """The next message of one of these types, however long it takes; None when the page is gone."""
        with self._news:
            while True:
                self._news.wait_for(lambda: self.gone or self._read < len(self.messages))
                if self._read == len(self.messages):
                    return None
                self._read += 1
                if self.messages[self._read - 1]["type"] in kinds:
                    return self.messages[self._read - 1]

    def expect_audio(self, more_bytes: int = 1024) -> None:
        """More microphone sound comes."""
        with self._news:
            goal = self.audio_bytes + more_bytes
            assert self._news.wait_for(lambda: self.audio_bytes >= goal, PATIENCE_S), "no sound came"

    def expect_gone(self) -> None:
        """The page hangs up."""
        with self._news:
            assert self._news.wait_for(lambda: self.gone, PATIENCE_S), "the page stayed"

    # ---- what it is told

    def send(self, kind: str, /, **fields: Any) -> None:
        """One JSON message, numbered."""
        text = json.dumps({"type": kind, "seq": next(self._seq), **fields})
        self._do(self._websocket.send_text(text))

    def session(self, **fields: Any) -> None:
        """The answer to ``start``."""
        welcome = {
            "session_id": "s1",
            "epoch": 1,
            "resume_token": "t1",
            "input_rate": 16_000,
            "output_rate": OUTPUT_RATE,
            "resumed": False,
            "limits": {},
        }
        self.send("session", **{**welcome, **fields})

    def sound(self, ms: int, *, hz: float = 220.0) -> None:
        """That much of a hum, as the sound of the reply announced last."""
        for start in range(0, ms, 100):
            self._do(self._websocket.send_bytes(hum(start, min(100, ms - start), hz)))

    def close(self, code: int = 1012) -> None:
        """Hang up."""
        self._do(self._websocket.close(code))

    def _do(self, action: Any) -> None:
        asyncio.run_coroutine_threadsafe(action, self._loop).result(PATIENCE_S)


def hum(start_ms: int, ms: int, hz: float) -> bytes:
    """PCM that swells and falls like syllables."""
    first = start_ms * OUTPUT_RATE // 1000
    times = [(first + i) / OUTPUT_RATE for i in range(ms * OUTPUT_RATE // 1000)]
    samples = [
        int(
            9000
            * abs(math.sin(9 * t))
            * (math.sin(math.tau * hz * t) + 0.5 * math.sin(math.tau * 3 * hz * t))
        )
        for t in times
    ]
    return struct.pack(f"<{len(samples)}h", *samples)


class ScriptedServer:
    """Serves the page; every connection waits to be accepted by the test."""

    def __init__(self) -> None:
        self.readiness: Mapping[str, Any] = READY
        self.options: Mapping[str, Any] = OPTIONS
        self.tickets = ["ticket-1", "ticket-2"]
        self.password = ""
        """Wanted for a ticket; empty: none is."""
        self.ticket_answers: list[tuple[int, dict[str, Any]]] = []
        """Told instead of a ticket, one each time: status and ``error``."""
        self.refuse = False
        """Answer 503 instead of taking the connection."""
        self._callers: list[Caller] = []
        self._accepted = 0
        self._news = threading.Condition()
        self._page = Page(read_page())
        self.port = 0

    def accept(self, *, welcome: bool = True, patience_s: float | None = PATIENCE_S) -> Caller:
        """The next connection; with ``welcome`` its ``start`` is awaited and answered with ``session``."""
        with self._news:
            arrived = self._news.wait_for(lambda: len(self._callers) > self._accepted, patience_s)
            assert arrived, "no connection came"
            caller = self._callers[self._accepted]
            self._accepted += 1
        if welcome:
            caller.expect("start")
            caller.session()
        return caller

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}/"

    @contextlib.contextmanager
    def running(self) -> Iterator[ScriptedServer]:
        """Served on a free loopback port until left."""
        listener = socket.create_server(("127.0.0.1", self.port))
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(self._app(), log_level="error", ws="websockets-sansio", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)

    def _app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/", self._start),
                Route("/assets/{path:path}", self._asset),
                Route("/ready", self._ready),
                Route("/api/options", self._options),
                Route("/api/tickets", self._ticket, methods=["POST"]),
                WebSocketRoute("/ws/voice", self._voice),
            ]
        )

    async def _start(self, request: Request) -> Response:
        return strict(await self._page.start(request))

    async def _asset(self, request: Request) -> Response:
        return strict(await self._page.asset(request))

    async def _ready(self, _: Request) -> Response:
        return JSONResponse(dict(self.readiness), status_code=200 if self.readiness["ready"] else 503)

    async def _options(self, _: Request) -> Response:
        return JSONResponse(dict(self.options))

    async def _ticket(self, request: Request) -> Response:
        asked = await request.json()
        if self.ticket_answers:
            status, error = self.ticket_answers.pop(0)
            return JSONResponse({"error": error}, status_code=status)
        if self.password and asked.get("password") != self.password:
            error = {"code": "unauthorized", "message": "that is not the password", "retry_after_ms": None}
            return JSONResponse({"error": error}, status_code=401)
        if not self.tickets:
            return JSONResponse({"error": {"code": "bad_request"}}, status_code=403)
        return JSONResponse({"ticket": self.tickets.pop(0)})

    async def _voice(self, websocket: WebSocket) -> None:
        if self.refuse:
            await websocket.close()
            return
        await websocket.accept(subprotocol="antiphon.v1")
        caller = Caller(websocket, asyncio.get_running_loop())
        with self._news:
            self._callers.append(caller)
            self._news.notify_all()
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            while True:
                frame = await websocket.receive()
                if frame["type"] == "websocket.disconnect":
                    break
                message = frame.get("bytes") or json.loads(frame["text"])
                if isinstance(message, dict) and message["type"] == "ping" and not caller.mute:
                    await websocket.send_text('{"type": "pong", "seq": 0}')
                else:
                    caller.take(message)
        caller.take(None)


def strict(response: Response) -> Response:
    """With the headers of the real server, so that nothing the content policy forbids slips in."""
    response.headers.update(SECURITY_HEADERS)
    return response


LATENCY: Mapping[str, Any] = {
    "latency_ms": {
        "capture": 201.0,
        "asr": 96.0,
        "llm": 84.0,
        "clause": 22.0,
        "tts": 61.0,
        "first_sound": 404.0,
    },
    "stages": [
        {"name": "asr", "start_ms": 105.0, "end_ms": 201.0},
        {"name": "capture", "start_ms": 0.0, "end_ms": 224.0},
        {"name": "llm", "start_ms": 201.0, "end_ms": 285.0},
        {"name": "clause", "start_ms": 285.0, "end_ms": 307.0},
        {"name": "tts", "start_ms": 307.0, "end_ms": 404.0},
    ],
    "usage": {"cost_usd": 0.0},
}


def answer(caller: Caller, number: int, turn: str) -> None:
    """One reply, as a real server would time it."""
    reply, text = f"r{number}", f"You said: {turn} And that is all I can do, being a script."
    caller.send("response_started", turn_id=f"t{number}", reply_id=reply)
    for word in text.split(" "):
        caller.send("response_text", reply_id=reply, text=word + " ")
    caller.send("audio_started", reply_id=reply)
    caller.sound(3000)
    caller.send("audio_done", reply_id=reply, total_ms=3000)
    done = {"turn_id": f"t{number}", "reply_id": reply, "text": text, "interrupted": False, "error": ""}
    caller.send("response_done", **done, **LATENCY)


def hum_along(caller: Caller) -> None:
    """Answer what is typed and what is committed, until the page goes."""
    for number in itertools.count(1):
        message = caller.next_of("text", "commit")
        if message is None:
            return
        answer(caller, number, message.get("text", "something."))


def main(port: int = 8765) -> None:
    """Hum along with everyone who comes."""
    server = ScriptedServer()
    server.port = port
    with server.running():
        print(f"the page: {server.url}")
        while True:
            threading.Thread(target=hum_along, args=(server.accept(patience_s=None),), daemon=True).start()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
