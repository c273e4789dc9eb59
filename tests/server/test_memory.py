"""What is left of conversations that are over."""

from __future__ import annotations

import asyncio
import gc

import pytest
from tests.server.house import open_house
from tests.server.returning import asks, counting_assistant
from tests.virtual_time import run_virtual

from antiphon.conversation.conversation import Conversation
from antiphon.conversation.reply import Reply
from antiphon.server.housekeeping import LOOK_EVERY_S, keep_house, settle_heap
from antiphon.server.line import Line
from antiphon.server.voice import Call, VoiceLimits
from antiphon.sessions.live import LiveSession
from antiphon.sessions.readiness import Readiness
from antiphon.sessions.registry import Registry

pytestmark = pytest.mark.real_time

OF_A_SESSION = (Call, Conversation, Line, LiveSession, Reply)
"""All but its counts: whatever was begun in a call to a provider, such as a connection of a pool, keeps that call's
context, and with it whom to tell what the call came to."""


def of_sessions() -> set[int]:
    """Everything alive that belongs to a conversation, by its address."""
    gc.collect()
    return {id(thing) for thing in gc.get_objects() if isinstance(thing, OF_A_SESSION)}


@pytest.mark.parametrize("leaves", ["with a goodbye", "without a word", "in the middle of a reply"])
async def test_nothing_is_left_of_a_conversation_that_is_over(leaves: str) -> None:
    limits = VoiceLimits(resume_grace_s=0)
    async with open_house(assistant=counting_assistant(letter_s=0.02), limits=limits) as house:
        before = of_sessions()
        for _ in range(2):
            async with house.call() as caller:
                await asks(caller, "One")
                if leaves == "in the middle of a reply":
                    await caller.says(type="text", text="A long one")
                    await caller.until("audio_started")
                if leaves == "with a goodbye":
                    await caller.says(type="bye")
                    await caller.until_closed()
                else:
                    caller.socket.transport.abort()
                assert of_sessions() - before, "as long as it lasts it is there"
            await asyncio.wait_for(house.application.registry.emptied(), 10)
        del caller
        async with asyncio.timeout(10):
            while of_sessions() - before:  # noqa: ASYNC110 (nobody is told of it)
                await asyncio.sleep(0.01)  # what was cancelled with it ends


def test_what_was_loaded_is_left_out_of_the_collectors_rounds() -> None:
    everything = len(gc.get_objects())
    try:
        settle_heap()
        assert gc.get_freeze_count() > everything / 2
        assert len(gc.get_objects()) < everything / 10
    finally:
        gc.unfreeze()


def test_memory_is_given_back_when_the_last_one_has_left() -> None:
    """Once, and not while anybody is there."""
    done: list[str] = []
    forgotten = asyncio.Event()

    async def days() -> None:
        readiness = Readiness()
        registry = Registry(readiness=readiness, max_sessions=2)
        keeping = asyncio.ensure_future(
            keep_house(
                registry,
                settle=lambda: done.append("settled"),
                tidy=lambda: done.append("tidied"),
                forget=forgotten.set,
            )
        )
        await asyncio.sleep(3 * LOOK_EVERY_S)
        assert done == [], "nothing is loaded yet"
        readiness.open(counting_assistant())
        await asyncio.sleep(3 * LOOK_EVERY_S)
        assert done == ["settled"], "nobody has been here"
        with registry.arrival():
            assert forgotten.is_set(), "what is past its time goes while people are there, too"
            with registry.arrival():
                await asyncio.sleep(3 * LOOK_EVERY_S)
            await asyncio.sleep(3 * LOOK_EVERY_S)
        assert done == ["settled"]
        await asyncio.sleep(3 * LOOK_EVERY_S)
        assert done == ["settled", "tidied"]
        with registry.arrival():
            pass
        await asyncio.sleep(3 * LOOK_EVERY_S)
        assert done == ["settled", "tidied", "tidied"]
        keeping.cancel()

    run_virtual(days())
