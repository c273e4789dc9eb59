"""The virtual-time loop itself."""

import asyncio
import time

import pytest
from tests.virtual_time import LONGEST_TEST_S, Standstill, run_virtual


async def test_an_hour_of_waiting_takes_no_time() -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    await asyncio.sleep(LONGEST_TEST_S - 1)
    assert loop.time() - begun == pytest.approx(LONGEST_TEST_S - 1)


async def test_timers_fire_in_order_and_at_their_times() -> None:
    loop = asyncio.get_running_loop()
    seen: list[tuple[str, float]] = []

    async def wake(name: str, after: float) -> None:
        await asyncio.sleep(after)
        seen.append((name, round(loop.time(), 6)))

    async with asyncio.TaskGroup() as group:
        for name, after in (("late", 0.3), ("early", 0.1), ("middle", 0.2)):
            group.create_task(wake(name, after))
    assert seen == [("early", 0.1), ("middle", 0.2), ("late", 0.3)]


async def test_a_timeout_fires() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await asyncio.Event().wait()


def test_waiting_for_what_never_comes_fails_loudly() -> None:
    async def stuck() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Standstill, match="nothing is scheduled"):
        run_virtual(stuck())


def test_a_timer_that_rearms_itself_forever_ends() -> None:
    async def endless() -> None:
        loop = asyncio.get_running_loop()

        def again() -> None:
            loop.call_later(1, again)

        again()
        await asyncio.Event().wait()

    with pytest.raises(Standstill, match="still running"):
        run_virtual(endless())


async def test_work_in_a_thread_is_waited_for_while_the_clock_stands() -> None:
    loop = asyncio.get_running_loop()

    def work() -> str:
        time.sleep(0.01)
        return "done"

    assert await asyncio.to_thread(work) == "done"
    assert loop.time() == 0.0


@pytest.mark.real_time
async def test_marked_tests_have_a_real_clock() -> None:
    assert not isinstance(asyncio.get_running_loop().time(), int)
    assert asyncio.get_running_loop().time() > 0
