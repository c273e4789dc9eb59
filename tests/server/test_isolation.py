"""One session's misfortune is its own."""

from __future__ import annotations

import asyncio
import io
import json
import socket

import pytest
from tests.server.house import open_house, scripted_assistant

from antiphon.providers.base import VoiceStream
from antiphon.providers.scripted import ScriptedVoiceDetector
from antiphon.server.back_pressure import MOST_UNSENT, TCP_NOTSENT_LOWAT
from antiphon.server.voice import VoiceLimits
from antiphon.telemetry.logs import configure_logs

pytestmark = pytest.mark.real_time

CURSE = b"\xff\x7f" * 512
"""Sound that our broken detector cannot bear."""


class CursedStream:
    """A detector's stream with a bug."""

    def __init__(self, stream: VoiceStream) -> None:
        self._stream = stream

    async def detect(self, pcm: bytes) -> tuple[float, ...]:
        if pcm.startswith(CURSE[:64]):
            raise ZeroDivisionError("a bug of ours")
        return await self._stream.detect(pcm)

    def reset(self) -> None:
        self._stream.reset()


class CursedDetector(ScriptedVoiceDetector):
    def open(self) -> CursedStream:  # type: ignore[override]
        return CursedStream(super().open())


async def test_a_session_that_errs_closes_alone() -> None:
    log = io.StringIO()
    configure_logs(form="json", stream=log)
    async with open_house(assistant=scripted_assistant(voice_detector=CursedDetector())) as house:
        async with house.call() as well, house.call() as cursed:
            await cursed.sends(CURSE)
            assert await cursed.until_closed() == (1011, "internal error")
            error = cursed.messages[-1]
            assert (error["code"], error["retryable"]) == ("internal", True)
            assert "bug" not in error["message"]
            await well.says(type="text", text="Are you still there?")
            assert (await well.until("response_done"))["text"] == "It is Paris."
            assert [session.id for session in house.application.registry.live] == [
                well.messages[0]["session_id"]
            ]
    failed = [
        entry for entry in map(json.loads, log.getvalue().splitlines()) if entry["event"] == "session failed"
    ]
    assert [entry["session_id"] for entry in failed] == [cursed.messages[0]["session_id"]]
    assert "ZeroDivisionError" in failed[0]["exception"]


async def test_what_is_said_is_not_in_the_log() -> None:
    log = io.StringIO()
    configure_logs(level="debug", form="json", stream=log)
    async with (
        open_house(assistant=scripted_assistant(reply="Osiris knows.")) as house,
        house.call() as caller,
    ):
        await caller.says(type="text", text="Anubis waits")
        await caller.speaks("Horus flies")
        await caller.until("response_done")
        await caller.sends('{"type":"text","text":["Anubis"]}')
        await caller.until("error")
        await house.get("/ready?token=Thoth")
    written = log.getvalue()
    assert "session closed" in written
    assert not [name for name in ("Osiris", "Anubis", "Horus", "Thoth") if name in written]


async def test_a_client_that_vanishes_leaves_nothing_behind() -> None:
    async with open_house(limits=VoiceLimits(resume_grace_s=0.2)) as house:
        async with house.call() as caller:
            await caller.says(type="text", text="Hello")
            await caller.until("response_started")
            caller.socket.transport.abort()
        await asyncio.wait_for(house.application.registry.emptied(), 5)


async def test_a_client_that_does_not_read_is_dropped() -> None:
    """It asks and asks and reads no answer: its socket fills, then its queue, and then its call ends."""
    log = io.StringIO()
    configure_logs(form="json", stream=log)
    limits = VoiceLimits(messages_per_s=100_000)
    async with open_house(send_buffer=4096, limits=limits) as house:
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.connect(("127.0.0.1", house.port))
        narrow.setblocking(False)
        async with house.connect(sock=narrow, close_timeout=0.1) as caller:
            await caller.says(type="start")
            await caller.until("session")
            caller.socket.transport.pause_reading()
            for _ in range(20_000):
                await caller.says(type="ping")
                if not house.application.registry.live:
                    break
            await asyncio.wait_for(house.application.registry.emptied(), 10)
        async with house.call() as another:
            await another.says(type="ping")
            await another.until("pong")
    reasons = [entry["reason"] for entry in map(json.loads, log.getvalue().splitlines()) if "reason" in entry]
    assert set(reasons[:2]) == {"the client reads too slowly", "too_slow"}


async def test_little_is_hidden_below_the_queue_of_a_client_that_does_not_read() -> None:
    """The kernel alone would take megabytes for it; the queue, which is counted, is what must fill."""
    async with open_house(limits=VoiceLimits(messages_per_s=100_000)) as house:
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        deaf.setblocking(False)
        await asyncio.get_running_loop().sock_connect(deaf, ("127.0.0.1", house.port))
        async with house.connect(sock=deaf, close_timeout=0.1) as caller, house.call() as well:
            await caller.says(type="start")
            await caller.until("session")
            (stuck,) = [
                link for link in house.server.server_state.connections
                if getattr(link, "transport", None) is not None
                and link.transport.get_extra_info("peername")[1] == deaf.getsockname()[1]
            ]  # fmt: skip
            sending = stuck.transport.get_extra_info("socket")
            assert sending.getsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT) == MOST_UNSENT
            assert stuck.transport.get_write_buffer_limits()[1] == MOST_UNSENT
            caller.socket.transport.pause_reading()
            pongs = 0
            while len(house.application.registry.live) == 2:
                await caller.says(type="ping")
                pongs += 1
                assert pongs < 20_000, "it was never noticed"
                assert stuck.transport.get_write_buffer_size() <= 2 * MOST_UNSENT
                if not pongs % 100:
                    # The others are served meanwhile.
                    await well.says(type="ping")
                    await well.until("pong")
            assert pongs > 100
            assert [one.id for one in house.application.registry.live] == [well.messages[0]["session_id"]]
