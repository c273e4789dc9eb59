"""So many conversations from an address and no more, also when their callers come and go."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from tests.server.house import House, open_house
from tests.server.returning import asks, away, back, counting_assistant, resume_of
from tests.server.test_replicas import open_replica
from tests.valkey_server import ValkeyServer

from antiphon.server.entrance import EntranceStores
from antiphon.sessions.address_limits import LimitPolicy
from antiphon.sessions.valkey_limits import ValkeyLimits
from antiphon.store.valkey import open_valkey

pytestmark = pytest.mark.real_time

ELSEWHERE = ("127.0.0.2", 0)


def so_many(sessions: int) -> LimitPolicy:
    return LimitPolicy(sessions=sessions, connects_per_minute=0)


async def refused(house: House, *, source: tuple[str, int] = ("127.0.0.1", 0)) -> bool:
    """Whether a newcomer is one too many from there."""
    async with house.connect(local_addr=source) as caller:
        return await caller.until_closed() == (1013, "rate_limited")


async def until_held(house: House, number: int) -> None:
    """Returns when so many conversations are held."""
    async with asyncio.timeout(30):
        while len(house.application.registry.live) != number:  # noqa: ASYNC110
            await asyncio.sleep(0.005)  # nobody is told of it


async def test_dropping_the_line_gives_nobody_more_conversations() -> None:
    async with open_house(assistant=counting_assistant(), max_sessions=3, addresses=so_many(2)) as house:
        dropped = []
        for number in range(6):
            async with house.call() as caller:
                await asks(caller, f"Number {number}")
                caller.socket.transport.abort()
            dropped.append(caller)
            await away(house)
        await until_held(house, 2)
        async with house.connect(local_addr=ELSEWHERE) as neighbour:
            await neighbour.says(type="start")
            await neighbour.until("session")
        for number in (0, 5):  # put aside, and still held
            async with back(house, dropped[number]) as caller:
                assert await asks(caller, "Two") == "Turn 2, Two."
                await caller.says(type="bye")
                await caller.until_closed()


async def test_a_page_that_is_loaded_again_takes_the_place_of_the_one_before() -> None:
    async with open_house(assistant=counting_assistant(), addresses=so_many(1)) as house:
        async with house.call() as first:
            await asks(first, "One")
            assert await refused(house)
            first.socket.transport.abort()
        await away(house)
        async with house.call() as anew:
            await asks(anew, "Hello")
            await until_held(house, 1)
            await anew.says(type="bye")
            await anew.until_closed()
        async with back(house, first) as second:
            assert await asks(second, "Two") == "Turn 2, Two."


async def test_whoever_comes_back_needs_no_second_seat() -> None:
    async with open_house(assistant=counting_assistant(), addresses=so_many(1)) as house:
        async with house.call() as caller:
            await asks(caller, "Again")
            caller.socket.transport.abort()
        for turn in (2, 3, 4):
            await away(house)
            before = caller
            async with back(house, before) as caller:
                assert await asks(caller, "Again") == f"Turn {turn}, Again."
                caller.messages += before.messages
                caller.socket.transport.abort()


async def test_a_phone_that_changes_networks_takes_its_seat_along() -> None:
    async with open_house(assistant=counting_assistant(), addresses=so_many(1)) as house:
        async with house.call() as first:
            await asks(first, "One")
            first.socket.transport.abort()
        await away(house)
        async with house.connect(local_addr=ELSEWHERE) as second:
            await second.says(type="start", resume=resume_of(first))
            assert (await second.until("session"))["resumed"] is True
            assert await refused(house, source=ELSEWHERE)
            async with house.call() as another:
                assert await asks(another, "Hello") == "Turn 1, Hello."
                assert await asks(second, "Two") == "Turn 2, Two."


async def test_a_seat_is_free_when_its_conversation_is_over() -> None:
    async with open_house(assistant=counting_assistant(), addresses=so_many(1)) as house:
        for _ in range(3):
            async with house.call() as caller:
                await asks(caller, "One")
                await caller.says(type="bye")
                await caller.until_closed()
            await until_held(house, 0)
        async with house.call():
            assert await refused(house)


async def test_at_another_replica_there_is_a_seat_to_come_back_to(valkey: ValkeyServer) -> None:
    async with AsyncExitStack() as stack:
        houses = []
        for name in ("one", "two"):
            limits = ValkeyLimits(await stack.enter_async_context(open_valkey(valkey.url)))
            stores = EntranceStores(limits=limits)
            replica = open_replica(valkey, name, stores=stores, addresses=so_many(1))
            houses.append(await stack.enter_async_context(replica))
        one, two = houses
        async with one.call() as first:
            await asks(first, "One")
            assert await refused(two)
            first.socket.transport.abort()
        async with asyncio.timeout(30):
            while valkey.ask("EXISTS", "antiphon:lent:127.0.0.1") == ":0":  # noqa: ASYNC110
                await asyncio.sleep(0.005)  # until it is known that its caller is away
        async with back(two, first) as second:
            assert await asks(second, "Two") == "Turn 2, Two."
            assert await refused(one)
        assert one.application.registry.empty
