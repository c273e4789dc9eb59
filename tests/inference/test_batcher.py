"""The micro-batcher: what runs together, in which order, and what is refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from antiphon.errors import ProviderUnavailable
from antiphon.inference.batcher import Batcher


class Doubler:
    """A network that doubles numbers, remembers its batches, and can be held."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.may_run = threading.Event()
        self.may_run.set()

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        assert self.may_run.wait(10)
        self.batches.append(list(numbers))
        if 13 in numbers:
            raise ArithmeticError("unlucky")
        return [2 * number for number in numbers]


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as thread:
        yield thread


def batcher(
    network: Doubler, thread: ThreadPoolExecutor, *, expected: int, gather_s: float = 60.0, limit: int = 100
) -> Batcher[int, int]:
    return Batcher(
        network, name="test", cap=4, limit=limit, gather_s=gather_s, expected=lambda: expected, thread=thread
    )


def test_requests_of_a_moment_run_together_up_to_the_cap_in_order(thread: ThreadPoolExecutor) -> None:
    network = Doubler()

    async def conversation() -> None:
        together = batcher(network, thread, expected=4)
        results = await asyncio.gather(*(together.submit(number) for number in range(8)))
        assert results == [0, 2, 4, 6, 8, 10, 12, 14]

    asyncio.run(conversation())
    assert network.batches == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_a_lone_requester_does_not_wait_for_company(thread: ThreadPoolExecutor) -> None:
    """The gathering time here is a minute: waiting for it would hit the test's time limit."""
    network = Doubler()

    async def conversation() -> None:
        assert await asyncio.wait_for(batcher(network, thread, expected=1).submit(21), 10) == 42

    asyncio.run(conversation())


def test_when_company_stays_away_a_request_goes_alone_after_the_gathering_time(
    thread: ThreadPoolExecutor,
) -> None:
    network = Doubler()

    async def conversation() -> None:
        assert await batcher(network, thread, expected=3, gather_s=0.001).submit(1) == 2

    asyncio.run(conversation())
    assert network.batches == [[1]]


def test_what_comes_while_a_batch_runs_makes_the_next_one(thread: ThreadPoolExecutor) -> None:
    network = Doubler()

    async def conversation() -> None:
        alone = batcher(network, thread, expected=1)
        network.may_run.clear()
        async with asyncio.TaskGroup() as group:
            for number in (1, 2, 3):
                group.create_task(alone.submit(number))
                await asyncio.sleep(0)
            network.may_run.set()

    asyncio.run(conversation())
    assert network.batches == [[1], [2, 3]]


def test_a_cancelled_request_is_not_run(thread: ThreadPoolExecutor) -> None:
    network = Doubler()

    async def conversation() -> None:
        alone = batcher(network, thread, expected=1)
        network.may_run.clear()
        tasks = [asyncio.ensure_future(alone.submit(number)) for number in (1, 2, 3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        await asyncio.sleep(0)
        network.may_run.set()
        assert [await tasks[0], await tasks[2]] == [2, 6]

    asyncio.run(conversation())
    assert network.batches == [[1], [3]]


def test_a_failing_batch_fails_its_own_requests_only(thread: ThreadPoolExecutor) -> None:
    async def conversation() -> None:
        alone = batcher(Doubler(), thread, expected=1)
        with pytest.raises(ArithmeticError):
            await alone.submit(13)
        assert await alone.submit(4) == 8

    asyncio.run(conversation())


def test_too_many_waiting_are_refused(thread: ThreadPoolExecutor) -> None:
    async def conversation() -> None:
        never = batcher(Doubler(), thread, expected=4, limit=2)
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(never.submit(number)) for number in (1, 2)]
            await asyncio.sleep(0)
            assert never.depth == 2
            with pytest.raises(ProviderUnavailable, match="overloaded"):
                await never.submit(3)
            for task in waiting:
                task.cancel()

    asyncio.run(conversation())
