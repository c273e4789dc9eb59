"""Two servers and one Valkey: whichever an operator asks, it tells of both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import httpx
import pytest
from tests.server.house import Caller, House, open_house
from tests.server.returning import counting_assistant
from tests.valkey_server import ValkeyServer

from antiphon.sessions.registry import Backing
from antiphon.sessions.valkey_store import ValkeyStore
from antiphon.store.board import ValkeyBoard
from antiphon.store.valkey import connect_valkey

pytestmark = pytest.mark.real_time

TOKEN = "a token of operators"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


@asynccontextmanager
async def open_replica(server: ValkeyServer, name: str) -> AsyncIterator[House]:
    valkey = connect_valkey(server.url)
    backing = Backing(
        store=ValkeyStore(valkey, replica=name, lease_s=1.5, keep_s=60.0), watched=valkey.watched
    )
    async with open_house(
        assistant=counting_assistant(), backing=backing, board=ValkeyBoard(valkey, name=name), operator_token=TOKEN
    ) as house:  # fmt: skip
        yield house


@asynccontextmanager
async def two_replicas(server: ValkeyServer) -> AsyncIterator[tuple[House, House]]:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(open_replica(server, "one"))
        yield one, await stack.enter_async_context(open_replica(server, "two"))


async def told(house: House, path: str) -> dict[str, Any]:
    answer: dict[str, Any] = (await house.get(path, **AUTHORIZED)).json()
    return answer


async def until(ask: Callable[[], Awaitable[Any]], holds: Callable[[Any], bool]) -> Any:
    """Ask until it is so: replicas hear of each other within some seconds."""
    while not holds(answer := await ask()):
        pass
    return answer


async def turn(caller: Caller) -> None:
    await caller.speaks("what is the capital of France")
    await caller.until("response_done")


async def test_who_is_on_is_told_of_both_by_either(valkey: ValkeyServer) -> None:
    async with two_replicas(valkey) as (one, two), one.call() as first, two.call():
        await turn(first)
        for asked in (one, two):
            listed = await until(
                partial(told, asked, "/api/sessions"),
                lambda found: found["live"] == 2 and found["sessions"][0]["turns"] == 1,
            )
            assert [row["replica"] for row in listed["sessions"]] == ["one", "two"]
            assert (listed["max_sessions"], listed["replicas"], listed["whole"]) == (20, 2, True)


async def test_either_ends_a_conversation_of_the_other(valkey: ValkeyServer) -> None:
    async with two_replicas(valkey) as (one, two), one.call() as caller:
        listed = await until(lambda: told(two, "/api/sessions"), lambda found: found["live"] == 1)
        async with httpx.AsyncClient(base_url=two.http, headers=AUTHORIZED) as operator:
            ended = await operator.delete(f"/api/sessions/{listed['sessions'][0]['id']}")
            unknown = await operator.delete("/api/sessions/nobodyhere")
        assert (ended.status_code, unknown.status_code) == (204, 404)
        assert await caller.until_closed() == (1000, "ended")
        assert "operator" in caller.messages[-1]["message"]


async def test_figures_are_the_sum_and_outlive_the_replicas(valkey: ValkeyServer) -> None:
    async with two_replicas(valkey) as (one, two), one.call() as here, two.call() as there:
        await turn(here)
        await turn(there)
        for asked in (one, two):
            now = await until(
                partial(told, asked, "/api/operator/now"),
                lambda now: now["turns"] == 2,
            )
            assert now["sessions"] == {"now": 2, "max": 20}
            assert now["first_sound"]["turns"] == 2
            assert (now["replicas"], now["whole"]) == (2, True)
            turns = await told(asked, "/api/operator/turns")
            assert len(turns["turns"]) == 2
    async with open_replica(valkey, "three") as three:
        day = await told(three, "/api/operator/day")
        report = await told(three, "/api/operator/report")
    assert day["report"]["turns"] == 2, (
        "what those have done that have stopped is told by who comes after them"
    )
    assert sum(point["turns"] for point in day["points"]) == 2
    assert report["tally"]["turns"] == 2


async def test_without_the_store_it_is_the_part_of_the_one_that_is_asked(valkey: ValkeyServer) -> None:
    async with two_replicas(valkey) as (one, two), one.call(), two.call():
        await until(lambda: told(one, "/api/sessions"), lambda found: found["live"] == 2)
        valkey.kill()
        listed = await told(one, "/api/sessions")
        now = await told(one, "/api/operator/now")
    assert (listed["live"], listed["whole"]) == (1, False)
    assert (now["sessions"]["now"], now["whole"]) == (1, False)
