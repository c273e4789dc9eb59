"""What becomes of a server of which a part fails: it goes on without it, or it ends and says so."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tests.server.house import House, open_house

from antiphon.errors import AntiphonError
from antiphon.server import opening
from antiphon.server.voice import VoiceLimits

pytestmark = pytest.mark.real_time


async def test_a_recording_that_fails_harms_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(folder: Path, session_id: str, flight: Mapping[str, object]) -> Path:
        raise RuntimeError("not thought of")

    monkeypatch.setattr(opening, "save_flight", broken)
    async with open_house(limits=VoiceLimits(recordings=tmp_path)) as house, house.call() as well:
        with capture_logs() as lines:
            async with house.call() as caller:
                await caller.says(type="bye")
                await caller.until_closed()
            await well.says(type="text", text="Still there?")
            assert (await well.until("response_done"))["text"] == "It is Paris."
            async with house.call():
                pass
        assert "error" in {line["log_level"] for line in lines}


class BrokenBoard:
    """Fails in a way that nobody thought of."""

    name = "one"

    def __init__(self) -> None:
        self.breaks = asyncio.Event()

    async def post(self, topic: str, note: bytes, *, keep_s: float) -> None: ...

    async def read(self, topic: str) -> Mapping[str, bytes]:
        await self.breaks.wait()
        raise RuntimeError("not thought of")


async def test_a_server_that_lost_a_part_of_it_is_not_ready_and_ends_with_an_error() -> None:
    board = BrokenBoard()

    async def lives() -> None:
        async with open_house(board=board) as house, house.call() as caller:
            assert await answers(house) == (200, 200)
            board.breaks.set()
            assert await caller.until_closed() == (1012, "the server is restarting")
            assert await answers(house) == (503, 503)
            await asyncio.Event().wait()

    with capture_logs() as lines, pytest.raises(ExceptionGroup) as ended:
        await lives()
    (error,) = set(ended.value.exceptions)
    assert isinstance(error, AntiphonError), "one line for people, and status 1"
    assert "a part of the server has failed; the server ends" in [line["event"] for line in lines]


async def answers(house: House) -> tuple[int, int]:
    """Of /ready and /health, whether or not it still takes connections."""
    ready, health = await house.application.ready(), await house.application.health()
    return ready.status_code, health.status_code
