"""An orderly end: what is being said is finished, then everybody goes home."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress

import httpx
import pytest
from structlog.testing import capture_logs
from tests.server.house import House, open_house, scripted_assistant

from antiphon.audio.coded_speech import coded_text
from antiphon.server.serving import Server, listen
from antiphon.server.voice import VoiceLimits

pytestmark = pytest.mark.real_time

REPLY = "This takes a while to say."


async def test_the_reply_being_spoken_is_finished_and_nobody_new_let_in() -> None:
    async with open_house(assistant=scripted_assistant(reply=REPLY, letter_s=0.02)) as house:
        async with house.call() as talking, house.call() as silent:
            await talking.says(type="text", text="Talk to me")
            await talking.until("audio_started")
            house.server.stop()
            assert (await silent.until("going_away"))["reconnect_in_ms"] > 0
            assert await silent.until_closed() == (1012, "the server is restarting")
            ready = await house.get("/ready")
            assert (ready.status_code, ready.json()["draining"]) == (503, True)
            assert (await house.get("/health")).status_code == 200
            async with house.connect() as late:
                assert await late.until_closed() == (1013, "draining")
            assert await talking.until_closed() == (1012, "the server is restarting")
            assert coded_text(bytes(talking.sound), rate=24_000) == REPLY
            assert talking.kinds()[-1] == "response_done"


async def test_a_reply_that_takes_too_long_is_cut_after_the_grace_time() -> None:
    limits = VoiceLimits(drain_grace_s=0.2)
    assistant = scripted_assistant(reply="On and on it goes. " * 50, letter_s=0.06)
    async with open_house(assistant=assistant, limits=limits) as house, house.call() as talking:
        await talking.says(type="text", text="Talk to me")
        await talking.until("audio_started")
        house.server.stop()
        assert (await talking.until_closed())[0] == 1012
        assert "response_done" not in talking.kinds()


async def stopped(house: House) -> None:
    """Returns when the web server is told to end."""
    while not house.server.should_exit:  # noqa: ASYNC110 (nobody is told of it)
        await asyncio.sleep(0.01)


async def test_a_session_that_does_not_end_does_not_keep_the_server_up() -> None:
    async with open_house() as house:
        with house.application.registry.session() as stuck:
            house.server.drain_s = 0.05
            with capture_logs() as logs:
                house.server.stop()
                await stopped(house)
            assert [line["sessions"] for line in logs if line["log_level"] == "error"] == [[stuck.id]]


async def test_the_last_ones_are_cut_off_when_they_do_not_end() -> None:
    """Nobody may keep a process from ending."""

    async def held() -> None:
        await asyncio.Event().wait()

    async with open_house() as house:
        registry = house.application.registry
        assert registry._tasks is not None
        stuck = registry._tasks.create_task(held())
        registry._holding[stuck] = "stuck"
        with capture_logs() as logs:
            house.server.should_exit = True
            await asyncio.wait([stuck])
        assert stuck.cancelled()
        assert "stuck" in [line.get("session_id") for line in logs]


@contextmanager
def process(**environ: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``antiphon serve`` as people start it, on an open socket; its address."""
    listening = listen("127.0.0.1", 0)
    scripted = {f"ANTIPHON_{name}": "scripted" for name in ("ASR", "LLM", "TTS")}
    scripted["ANTIPHON_MAX_LOOP_LAG_MS"] = "0"  # whether this machine is busy is not what is tested
    running = subprocess.Popen(
        [sys.executable, "-m", "antiphon", "serve", "--fd", str(listening.fileno()), "--log-format", "json"],
        pass_fds=[listening.fileno()],
        stderr=subprocess.PIPE,
        text=True,
        env={k: v for k, v in os.environ.items() if not k.startswith("ANTIPHON_")} | scripted | environ,
    )
    try:
        yield running, f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.close()
        if running.poll() is None:
            running.kill()
        running.communicate()


def wait_until_ready(url: str) -> None:
    """The socket's backlog holds the request until the process accepts, so there is nothing to poll before
    that."""
    deadline = time.monotonic() + 30
    while httpx.get(url + "/ready", timeout=30).status_code != 200:
        assert time.monotonic() < deadline


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_with_status_0(how: signal.Signals) -> None:
    with process() as (running, url):
        wait_until_ready(url)
        running.send_signal(how)
        _, log = running.communicate(timeout=20)
        assert running.returncode == 0, log
        assert '"event": "stopping"' in log


def half_a_body(raw: socket.socket) -> None:
    raw.sendall(
        b"POST /api/tickets HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: 100\r\nExpect: 100-continue\r\n\r\n"
    )
    assert b"100 Continue" in raw.recv(100), "it is being read"
    raw.sendall(b"{")


def answers_unread(raw: socket.socket) -> None:
    raw.settimeout(0.5)  # by then nothing has moved for a while: neither side reads
    with suppress(TimeoutError):
        while True:
            raw.sendall(b"GET /assets/app.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")


@pytest.mark.parametrize("holds_on", [half_a_body, answers_unread])
def test_a_request_that_does_not_end_is_not_waited_for_and_makes_no_noise(
    holds_on: Callable[[socket.socket], None],
) -> None:
    """Or anybody could write errors into the log at each restart."""
    with process() as (running, url):
        wait_until_ready(url)
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as raw:
            holds_on(raw)
            running.send_signal(signal.SIGTERM)
            _, log = running.communicate(timeout=20)
        assert running.returncode == 0, log
        assert "did not end in time" in log
        assert "Traceback" not in log
        assert '"level": "error"' not in log


def test_two_signals_at_once_are_one() -> None:
    """As supervisors send them: to the process, and to its group."""
    with process() as (running, url):
        wait_until_ready(url)
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as raw:
            raw.sendall(
                b"GET /ws/voice HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            assert b"101" in raw.recv(100)
            running.send_signal(signal.SIGTERM)
            running.send_signal(signal.SIGTERM)
            _, log = running.communicate(timeout=20)
            assert running.returncode == 0, log


async def test_a_signal_again_half_a_second_later_ends_it_at_once() -> None:
    now, ended = [100.0], list[int]()
    async with open_house() as house:
        server = Server(house.application, max_message_bytes=65_536, clock=lambda: now[0], end=ended.append)
        server.stop()
        for now[0] in (100.01, 100.1):
            server.handle_exit(signal.SIGTERM, None)
        assert ended == []
        now[0] = 100.5
        server.handle_exit(signal.SIGTERM, None)
        assert ended == [128 + signal.SIGTERM]


async def test_stopping_an_empty_house_takes_no_time() -> None:
    async with open_house() as house:
        house.server.stop()
        async with asyncio.timeout(10):
            await stopped(house)


async def test_everybody_is_told_why_it_ends() -> None:
    """Also who is told last: the web server waits until all goodbyes are said."""
    async with open_house(max_sessions=60) as house, AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(house.call()) for _ in range(60)]
        house.server.stop()
        ends = [await caller.until_closed() for caller in callers]
        assert set(ends) == {(1012, "the server is restarting")}
