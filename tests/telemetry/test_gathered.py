"""Listeners that are told together."""

from __future__ import annotations

import asyncio
from typing import NoReturn

from antiphon.conversation.events import Event, SpeechStarted, TranscriptChanged
from antiphon.conversation.listening import SessionFacts
from antiphon.telemetry.gathered import EVERY_S, MOST, Gathered
from antiphon.telemetry.observability import Observability

EVENT = SpeechStarted(at_s=0.0)


class Noting:
    """A listener that notes what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def opened(self, session: SessionFacts) -> None:
        self.notes.append(f"{session.session_id} opened")

    def told(self, session_id: str, event: Event) -> None:
        self.notes.append(session_id)

    def closed(self, session_id: str, reason: str) -> None:
        self.notes.append(f"{session_id} closed")

    def refused(self, reason: str) -> None:
        self.notes.append(reason)


class Failing(Noting):
    def told(self, session_id: str, event: Event) -> NoReturn:
        raise ZeroDivisionError("a bug of ours")


async def test_what_happens_is_passed_on_together_and_soon() -> None:
    noting = Noting()
    gathered = Gathered(noting)
    for _ in range(3):
        gathered.told("a", EVENT)
        await asyncio.sleep(EVERY_S / 4)
    assert noting.notes == []
    await asyncio.sleep(EVERY_S / 2)
    assert noting.notes == ["a"] * 3
    gathered.told("a", EVENT)
    await asyncio.sleep(EVERY_S * 1.1)
    assert noting.notes == ["a"] * 4


async def test_the_order_of_a_session_stays() -> None:
    noting = Noting()
    gathered = Gathered(noting)
    gathered.opened(SessionFacts(session_id="a"))
    gathered.told("a", EVENT)
    gathered.opened(SessionFacts(session_id="b"))
    gathered.told("b", EVENT)
    gathered.refused("busy")
    gathered.closed("a", "client_left")
    assert noting.notes == ["a opened", "a", "b opened", "busy", "b", "a closed"]
    await asyncio.sleep(EVERY_S * 2)
    assert len(noting.notes) == 6


async def test_many_do_not_wait() -> None:
    noting = Noting()
    gathered = Gathered(noting)
    for _ in range(MOST):
        gathered.told("a", EVENT)
    assert len(noting.notes) == MOST


async def test_one_that_fails_harms_no_other() -> None:
    failing, noting = Failing(), Noting()
    gathered = Gathered(failing, noting)
    gathered.told("a", EVENT)
    gathered.told("b", EVENT)
    gathered.closed("b", "client_left")
    assert noting.notes == ["a", "b", "b closed"]
    assert failing.notes == ["b closed"]


async def test_whoever_looks_sees_all_that_has_happened() -> None:
    watched = Observability()
    async with watched.watch() as listeners:
        for listener in listeners:
            listener.opened(SessionFacts(session_id="a session"))
        assert watched.metrics.sessions_now()[0].messages == 0
        for listener in listeners:
            listener.told("a session", TranscriptChanged(turn_id="t1", text="What time is it?", final=True))
        assert watched.metrics.sessions_now()[0].messages == 1
