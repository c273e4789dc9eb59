"""The lane: who goes first, what is refused, what cancelling does."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from functools import partial

import pytest

from antiphon.errors import ProviderUnavailable
from antiphon.inference.lanes import Lane, Priority


class Gate:
    """Work that holds the one worker until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self) -> str:
        self.entered.set()
        assert self.opened.wait(10)
        return "gate"

    async def holding(self, lane: Lane) -> asyncio.Task[str]:
        task = asyncio.ensure_future(lane.run(Priority.SPEECH, self))
        assert await asyncio.to_thread(self.entered.wait, 10)
        return task


@pytest.fixture
def lane() -> Iterator[Lane]:
    with Lane("test", limit=4) as lane:
        yield lane


async def turns(count: int = 5) -> None:
    """Let tasks that were just made reach their first wait."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_result_and_an_error_reach_the_caller(lane: Lane) -> None:
    async def conversation() -> None:
        assert await lane.run(Priority.SPEECH, lambda: threading.current_thread().name) == "test-0"
        with pytest.raises(ZeroDivisionError):
            await lane.run(Priority.SPEECH, lambda: 1 // 0)
        assert await lane.run(Priority.SPEECH, lambda: "alive") == "alive"

    asyncio.run(conversation())


def test_recognition_goes_ahead_of_speech_ahead_of_text_and_first_come_first_served_within(
    lane: Lane,
) -> None:
    order: list[str] = []

    async def conversation() -> None:
        gate = Gate()
        held = await gate.holding(lane)
        async with asyncio.TaskGroup() as group:
            for priority, name in (
                (Priority.TEXT, "text"),
                (Priority.SPEECH, "speech 1"),
                (Priority.SPEECH, "speech 2"),
                (Priority.RECOGNITION, "recognition"),
            ):
                group.create_task(lane.run(priority, partial(order.append, name)))
                await turns()
            gate.opened.set()
        await held

    asyncio.run(conversation())
    assert order == ["recognition", "speech 1", "speech 2", "text"]


def test_a_full_lane_refuses_at_once_and_says_when_to_come_back(lane: Lane) -> None:
    async def conversation() -> None:
        gate = Gate()
        held = await gate.holding(lane)
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(lane.run(Priority.SPEECH, int))
            await turns()
            with pytest.raises(ProviderUnavailable) as refused:
                await lane.run(Priority.RECOGNITION, int)
            assert refused.value.retry_after_s == 5.0
            assert "4 requests are waiting" in refused.value.message
            gate.opened.set()
        await held

    asyncio.run(conversation())


def test_work_whose_waiter_is_cancelled_never_runs_and_frees_its_place(lane: Lane) -> None:
    ran: list[int] = []

    async def conversation() -> None:
        gate = Gate()
        held = await gate.holding(lane)
        waiting = [asyncio.ensure_future(lane.run(Priority.SPEECH, lambda: ran.append(1))) for _ in range(4)]
        await turns()
        assert lane.depth()[Priority.SPEECH] == 5
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        assert lane.depth()[Priority.SPEECH] == 1
        again = asyncio.ensure_future(lane.run(Priority.SPEECH, lambda: ran.append(2)))
        await turns()
        gate.opened.set()
        await asyncio.gather(held, again)

    asyncio.run(conversation())
    assert ran == [2]


def test_running_work_whose_waiter_is_cancelled_ends_by_itself_and_the_lane_goes_on(lane: Lane) -> None:
    async def conversation() -> None:
        gate = Gate()
        held = await gate.holding(lane)
        held.cancel()
        with pytest.raises(asyncio.CancelledError):
            await held
        gate.opened.set()
        assert await lane.run(Priority.TEXT, lambda: "next") == "next"
        assert sum(lane.depth().values()) == 0

    asyncio.run(conversation())


def test_closing_refuses_what_waits_and_waits_for_what_runs() -> None:
    async def conversation() -> None:
        lane = Lane("test")
        gate = Gate()
        held = await gate.holding(lane)
        waiting = asyncio.ensure_future(lane.run(Priority.SPEECH, int))
        await turns()
        closing = asyncio.ensure_future(asyncio.to_thread(lane.close))
        with pytest.raises(ProviderUnavailable, match="shutting down"):
            await waiting
        gate.opened.set()
        await closing
        assert await held == "gate"
        with pytest.raises(ProviderUnavailable, match="shutting down"):
            await lane.run(Priority.SPEECH, int)

    asyncio.run(conversation())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("test-")]


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="niceness is per thread on Linux only")
def test_workers_are_nicer_than_the_event_loop_and_so_are_the_threads_they_start() -> None:
    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def childs_niceness() -> int:
        found: list[int] = []
        child = threading.Thread(target=lambda: found.append(niceness()))
        child.start()
        child.join()
        return found[0]

    async def conversation() -> None:
        with Lane("test", nice=3) as lane:
            assert await lane.run(Priority.TEXT, niceness) == niceness() + 3
            assert await lane.run(Priority.TEXT, childs_niceness) == niceness() + 3

    asyncio.run(conversation())
