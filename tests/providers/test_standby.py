"""Sockets for whoever may be about to speak: there when they are needed, and no vendor is pestered for them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from antiphon.errors import ProviderError, ProviderRejected, ProviderUnavailable
from antiphon.providers.standby import LATELY_S, LONGEST_WAIT_S, Pause, Standby

AWAY = ProviderUnavailable("cannot be reached", provider="v:m", cause="unreachable")
BAD_KEY = ProviderRejected("the key was refused", provider="v:m", cause="bad_key")


class Vendor:
    """Its sockets last so long, and then end; ``refusals`` are for the next ones."""

    def __init__(self, *, lasts_s: float) -> None:
        self.lasts_s = lasts_s
        self.refusals: deque[ProviderError] = deque()
        self.tried_s: list[float] = []
        self.there: set[str] = set()
        self.standby: Standby[str]
        self._group: asyncio.TaskGroup

    async def open(self, key: str) -> None:
        loop = asyncio.get_running_loop()
        self.tried_s.append(loop.time())
        if self.refusals:
            raise self.refusals.popleft()
        self.there.add(key)
        loop.call_later(self.lasts_s, self._end, key)

    def _end(self, key: str) -> None:
        self.there.discard(key)
        self.standby.ended(key, lasted_s=self.lasts_s)


@asynccontextmanager
async def vendor(*, lasts_s: float = 180.0) -> AsyncIterator[Vendor]:
    asked = Vendor(lasts_s=lasts_s)
    tasks: list[asyncio.Task[None]] = []
    async with asyncio.TaskGroup() as group:
        asked.standby = Standby(
            usual="en", open=asked.open, spawn=lambda work: tasks.append(group.create_task(work))
        )
        yield asked
        for task in tasks:
            task.cancel()


async def test_the_usual_one_is_there_all_night() -> None:
    async with vendor() as asked:
        await asked.standby.warm()
        for _ in range(50):
            await asyncio.sleep(60.5)
            assert asked.there == {"en"}
        assert len(asked.tried_s) == 50 * 60.5 // 180.0 + 1


async def test_another_is_there_for_as_long_as_somebody_may_ask_again() -> None:
    async with vendor() as asked:
        asked.standby.asked("fr")
        await asked.open("fr")
        await asyncio.sleep(LATELY_S - 1.0)
        assert asked.there == {"fr"}
        await asyncio.sleep(2 * LATELY_S)
        assert asked.there == set()


@pytest.mark.parametrize("lasts_s", [0.0, 1.0])
async def test_a_vendor_that_ends_them_at_once_is_asked_once_a_minute(lasts_s: float) -> None:
    async with vendor(lasts_s=lasts_s) as asked:
        await asked.standby.warm()
        await asyncio.sleep(1_800.0)
        assert len(asked.tried_s) < 1_800.0 / LONGEST_WAIT_S + 10


async def test_one_that_is_away_is_asked_until_it_is_back() -> None:
    async with vendor() as asked:
        asked.refusals.extend([AWAY] * 4)
        with pytest.raises(ProviderUnavailable):
            await asked.standby.warm()
        await asyncio.sleep(10.0)
        assert asked.there == {"en"}
        assert asked.tried_s == [0.0, 0.5, 1.5, 3.5, 7.5]


async def test_one_that_refuses_the_key_is_not_asked_again() -> None:
    async with vendor() as asked:
        asked.refusals.append(BAD_KEY)
        with pytest.raises(ProviderRejected):
            await asked.standby.warm()
        await asyncio.sleep(600.0)
        assert len(asked.tried_s) == 1


def test_after_one_that_lasted_the_next_is_opened_at_once() -> None:
    pause = Pause()
    assert [pause.after(seconds) for seconds in (180.0, 0.0, 0.0, 0.0, 180.0, 0.0)] == [0, 0.5, 1, 2, 0, 0.5]
