"""A server over a real socket in the test's own loop, with scripted providers, and a caller that speaks to
it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from antiphon.audio.coded_speech import silence, speech_sound
from antiphon.conversation.config import Providers
from antiphon.providers.base import VoiceDetector
from antiphon.providers.scripted import (
    ScriptedLanguageModel,
    ScriptedRecognizer,
    ScriptedSynthesizer,
    ScriptedTurnModel,
    ScriptedVoiceDetector,
)
from antiphon.server.application import Application, FrontDoor
from antiphon.server.entrance import EntranceStores
from antiphon.server.serving import Server, listen
from antiphon.server.voice import VoiceLimits
from antiphon.sessions.offer import Assistant, Offer, Voice
from antiphon.sessions.readiness import Readiness
from antiphon.sessions.registry import Backing
from antiphon.store.board import Board
from antiphon.telemetry.observability import Observability

Message = dict[str, Any]

FRAME = 1024
"""Bytes of 32 ms at 16 000 Hz."""


def scripted_assistant(
    *,
    reply: str = "It is Paris.",
    voice_detector: VoiceDetector | None = None,
    letter_s: float = 0.01,
) -> Assistant:
    """Providers that answer at once, with short sounds: what is tested here is the way to them."""
    return Assistant(
        providers=Providers(
            recognizer=ScriptedRecognizer(latency_s=0.0),
            language_model=ScriptedLanguageModel([reply], first_token_s=0.0, tokens_per_s=10_000),
            synthesizer=ScriptedSynthesizer(first_chunk_s=0.0, letter_s=letter_s),
            voice_detector=voice_detector or ScriptedVoiceDetector(),
            turn_model=ScriptedTurnModel(latency_s=0.0),
        ),
        offer=Offer(
            voices=(Voice(id="scripted", name="Scripted", language="en"),),
            default_voice="scripted",
            languages=("en", "fr"),
            any_language=False,
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """A server that is up."""

    application: Application
    server: Server
    port: int

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def get(self, path: str, **headers: str) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.http) as client:
            return await client.get(
                path, headers={name.replace("_", "-"): value for name, value in headers.items()}
            )

    @asynccontextmanager
    async def connect(
        self,
        *,
        origin: str | None = None,
        subprotocols: Collection[str] = ("antiphon.v1",),
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> AsyncIterator[Caller]:
        async with connect(
            f"ws://127.0.0.1:{self.port}/ws/voice",
            subprotocols=[Subprotocol(name) for name in subprotocols] or None,
            additional_headers={**(headers or {}), **({} if origin is None else {"Origin": origin})},
            compression=None,
            **more,
        ) as socket:
            yield Caller(socket)

    @asynccontextmanager
    async def call(self, **start: Any) -> AsyncIterator[Caller]:
        """A caller whose conversation is open."""
        async with self.connect() as caller:
            await caller.says(type="start", **start)
            await caller.until("session")
            yield caller


class Caller:
    """The client's side of one connection."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.messages: list[Message] = []
        """JSON messages received, in order."""
        self.sound = bytearray()
        """Binary messages received, joined."""

    async def says(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def sends(self, raw: str | bytes) -> None:
        await self.socket.send(raw)

    async def speaks(self, text: str, *, then_s: float = 1.0) -> None:
        """Coded speech and silence, as after a network that held them back: all at once."""
        pcm = speech_sound(text) + silence(then_s)
        pcm += bytes(-len(pcm) % FRAME)
        for at in range(0, len(pcm), FRAME):
            await self.socket.send(pcm[at : at + FRAME])

    async def receives(self) -> Message:
        """The next JSON message; sound on the way is kept. Raises ConnectionClosed."""
        while True:
            raw = await self.socket.recv()
            if isinstance(raw, str):
                message: Message = json.loads(raw)
                self.messages.append(message)
                return message
            self.sound += raw

    async def until(self, kind: str) -> Message:
        """The next message of that type."""
        while True:
            message = await self.receives()
            if message["type"] == kind:
                return message

    async def until_closed(self) -> tuple[int | None, str]:
        """Everything to the end; close code and reason."""
        try:
            while True:
                await self.receives()
        except ConnectionClosed:
            return self.socket.close_code, self.socket.close_reason or ""

    def kinds(self) -> list[str]:
        return [str(message["type"]) for message in self.messages]


@asynccontextmanager
async def open_house(
    *,
    assistant: Assistant | None = None,
    loading: Callable[[Readiness], Awaitable[None]] | None = None,
    max_sessions: int = 10,
    allowed_origins: Collection[str] = (),
    limits: VoiceLimits | None = None,
    send_buffer: int | None = None,
    backing: Backing | None = None,
    stores: EntranceStores | None = None,
    observability: Observability | None = None,
    board: Board | None = None,
    **door: Any,
) -> AsyncIterator[House]:
    """A server on a free loopback port, ready unless ``loading`` says otherwise. ``send_buffer``: bytes
    that the kernel holds for a client that does not read. ``door``: more of ``FrontDoor``."""
    opened = assistant or scripted_assistant()

    async def load(readiness: Readiness) -> None:
        readiness.open(opened)

    limits = limits or VoiceLimits()
    application = Application(
        FrontDoor(max_sessions=max_sessions, allowed_origins=allowed_origins, limits=limits, **door),
        loading or load,
        observability=observability,
        backing=backing,
        stores=stores,
        board=board,
    )
    server = Server(application, max_message_bytes=limits.max_message_bytes)
    listening = listen("127.0.0.1", 0)
    if send_buffer is not None:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
    port = listening.getsockname()[1]
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(server.serve([listening]))
        house = House(application=application, server=server, port=port)
        # The socket listens already: the first request waits in its backlog until the server accepts.
        await house.get("/health")
        try:
            yield house
        finally:
            server.should_exit = True
            await serving


def with_defaults(assistant: Assistant, **defaults: Any) -> Assistant:
    """The assistant with other operator's choices."""
    return replace(assistant, defaults=replace(assistant.defaults, **defaults))
