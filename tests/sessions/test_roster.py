"""Who is on, as replicas tell each other, whatever stands on their board."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict

import pytest
from structlog.testing import capture_logs
from tests.sessions.test_sessions import open_registry

from antiphon.sessions.roster import ENDED, ENDS, SESSIONS, Line, Roster

THEIRS = Line(
    id="elsewhere001", since=1.0, away=False, turns=2, replies=2, interrupted=0, failures=0, audio_in_s=1.5,
    audio_out_s=2.5, cost_usd=None, address="192.0.2.1", key="", replica="two",
)  # fmt: skip


class Posts:
    """A board of this process."""

    name = "one"

    def __init__(self) -> None:
        self.notes: dict[str, dict[str, bytes]] = {SESSIONS: {}, ENDS: {}}

    async def post(self, topic: str, note: bytes, *, keep_s: float) -> None:
        self.notes[topic][self.name] = note

    async def read(self, topic: str) -> Mapping[str, bytes]:
        return self.notes[topic]


UNREADABLE = [
    b"",
    b"not json",
    b"\xff\xfe",
    b"[]",
    b"{}",
    b"7",
    b"null",
    b'{"lines": 7, "limit": "many"}',
    b'{"lines": [null, 7, {"id": 7}], "limit": 0}',
    b"[" * 5000,
    b"[null, {}]",
]


@pytest.mark.parametrize("note", UNREADABLE)
async def test_a_note_that_cannot_be_read_hides_no_other_one(note: bytes) -> None:
    board = Posts()
    newer = asdict(THEIRS) | {"mood": "of a later version"}
    board.notes[SESSIONS] = {"bad": note, "two": json.dumps({"limit": 5, "lines": [newer]}).encode()}
    attendance = await Roster(open_registry(max_sessions=2), board).attendance()
    assert attendance.lines == (THEIRS,)
    assert attendance.limit == 7


@pytest.mark.parametrize("note", UNREADABLE)
async def test_nor_does_it_keep_an_operator_from_ending_a_conversation(note: bytes) -> None:
    board, registry = Posts(), open_registry()
    with registry.session() as session, capture_logs() as lines:
        board.notes[ENDS] = {"bad": note, "two": json.dumps([session.id]).encode()}
        running = asyncio.create_task(Roster(registry, board).run())
        await session.told_to_end()
        await asyncio.sleep(60)
        assert not running.done()
        assert session.end_message == ENDED
        warned = [line for line in lines if line["log_level"] == "warning"]
        assert len(warned) <= 1, "once, and not every second"
        running.cancel()
