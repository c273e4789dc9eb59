"""Replicas as people start them: stopped, and killed."""

from __future__ import annotations

import signal
import subprocess
from contextlib import ExitStack

import pytest
from tests.server.house import Caller
from tests.server.returning import asks, resume_of
from tests.server.test_drain import process, wait_until_ready
from tests.valkey_server import ValkeyServer
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

pytestmark = pytest.mark.real_time


def voice(url: str) -> connect:
    return connect(
        url.replace("http", "ws") + "/ws/voice", subprotocols=[Subprotocol("antiphon.v1")], compression=None
    )


async def back_at(url: str, before: Caller) -> Caller:
    async with voice(url) as socket:
        caller = Caller(socket)
        await caller.says(type="start", resume=resume_of(before))
        session = await caller.until("session")
        assert session["resumed"] is True
        assert session["session_id"] == before.messages[0]["session_id"]
        assert await asks(caller, "Are you there") == "You said: Are you there"
        numbers = [message["seq"] for message in caller.messages[1:]]
        assert numbers == sorted(set(numbers))
        await caller.says(type="bye")
        await caller.until_closed()
        return caller


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_a_conversation_survives_its_process(valkey: ValkeyServer, how: signal.Signals) -> None:
    with ExitStack() as stack:
        one, first_url = stack.enter_context(process(ANTIPHON_STORE=valkey.url, ANTIPHON_LEASE_S="0.5"))
        _, second_url = stack.enter_context(process(ANTIPHON_STORE=valkey.url, ANTIPHON_LEASE_S="0.5"))
        wait_until_ready(first_url)
        wait_until_ready(second_url)
        async with voice(first_url) as socket:
            caller = Caller(socket)
            await caller.says(type="start")
            await caller.until("session")
            assert await asks(caller, "Hello") == "You said: Hello"
            one.send_signal(how)
            code, _ = await caller.until_closed()
        assert code == (1012 if how is signal.SIGTERM else 1006)
        after = await back_at(second_url, caller)
        # Nothing was under way, so nothing is lost, whichever way it went.
        assert "turn_lost" not in [message.get("kind") for message in after.messages]
        assert ended(one) == (0 if how is signal.SIGTERM else -signal.SIGKILL)


def ended(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=20)
    return process.returncode
