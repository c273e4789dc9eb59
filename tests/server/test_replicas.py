"""Two servers and one Valkey: a conversation goes on wherever its caller comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from tests.server.house import Caller, House, open_house
from tests.server.returning import LONG, asks, away, back, counting_assistant, resume_of
from tests.valkey_server import ValkeyServer
from websockets.exceptions import InvalidStatus

from antiphon.audio.coded_speech import coded_text
from antiphon.server.voice import VoiceLimits
from antiphon.sessions.registry import Backing
from antiphon.sessions.valkey_store import ValkeyStore
from antiphon.store.valkey import connect_valkey

pytestmark = pytest.mark.real_time

RATE = 24_000
LEASE_S = 1.5


@asynccontextmanager
async def open_replica(
    server: ValkeyServer, name: str, *, admit: bool = True, letter_s: float = 0.005, **more: Any
) -> AsyncIterator[House]:
    valkey = connect_valkey(server.url)
    backing = Backing(
        store=ValkeyStore(valkey, replica=name, lease_s=LEASE_S, keep_s=60.0),
        lease_s=LEASE_S,
        admit_without=admit,
        watched=valkey.watched,
    )
    assistant = counting_assistant(letter_s=letter_s)
    async with open_house(assistant=assistant, backing=backing, **more) as house:
        yield house


@asynccontextmanager
async def two_replicas(server: ValkeyServer, **more: Any) -> AsyncIterator[tuple[House, House]]:
    async with AsyncExitStack() as stack:
        yield (
            await stack.enter_async_context(open_replica(server, "one", **more)),
            await stack.enter_async_context(open_replica(server, "two", **more)),
        )


def live(house: House) -> int:
    return len(house.application.registry.live)


def deserted(house: House) -> bool:
    """Whether nobody is there, in a conversation or about to be."""
    return house.application.registry.empty


async def goes_on(house: House, before: Caller, *, said: str = "Two", turn: int = 2) -> Caller:
    """Back at ``house``, with its memory and nothing told twice."""
    async with back(house, before) as caller:
        assert caller.messages[0]["resumed"] is True
        assert caller.messages[0]["epoch"] == before.messages[0]["epoch"]
        assert await asks(caller, said) == f"Turn {turn}, {said}."
        numbers = [message["seq"] for message in caller.messages[1:]]
        assert numbers == sorted(set(numbers))
        assert numbers[0] > before.messages[-1]["seq"]
        caller.messages += before.messages
        return caller


async def test_whoever_is_lost_here_may_come_back_there(valkey: ValkeyServer) -> None:
    async with two_replicas(valkey) as (one, two):
        async with one.call() as first:
            assert await asks(first, "One") == "Turn 1, One."
            first.socket.transport.abort()
        await away(one)
        await goes_on(two, first)
        assert not live(one)


async def test_even_when_nobody_there_has_noticed(valkey: ValkeyServer) -> None:
    async with two_replicas(valkey) as (one, two), one.call() as first:
        await asks(first, "One")
        await goes_on(two, first)
        assert await first.until_closed() == (4001, "this session has gone to another replica")


async def test_a_reply_is_finished_at_the_other_one(valkey: ValkeyServer) -> None:
    async with two_replicas(valkey, letter_s=0.02) as (one, two):
        async with one.call() as first:
            await first.says(type="text", text="A long one")
            await first.until("audio_started")
            while len(first.sound) < RATE:
                raw = await first.socket.recv()
                first.sound += raw if isinstance(raw, bytes) else b""
            await first.says(type="played", reply_id="r1", ms=500)
            await first.says(type="ping")
            await first.until("pong")
            first.socket.transport.abort()
        async with back(two, first, played={"reply_id": "r1", "ms": 500}) as second:
            started = await second.until("audio_started")
            assert started["reply_id"] == "r1"
            assert 500 <= started["from_ms"] < 1_500
            done = await second.until("response_done")
            assert (done["text"], done["interrupted"]) == (LONG, False)
            rest = coded_text(bytes(second.sound), rate=RATE)
            assert len(rest.split()) >= 10
            assert LONG.endswith(rest)


async def test_a_drain_moves_everybody_between_their_turns(valkey: ValkeyServer) -> None:
    async with two_replicas(valkey, letter_s=0.02) as (one, two):
        async with one.call() as silent, one.call() as talking:
            await asks(silent, "One")
            await talking.says(type="text", text="A long one")
            await talking.until("audio_started")
            one.server.stop()
            assert (await silent.until("going_away"))["reconnect_in_ms"] < 200
            assert (await silent.until_closed())[0] == 1012
            with pytest.raises(InvalidStatus, match="503"):  # so that a proxy asks the other one
                async with one.connect():
                    pass
            await goes_on(two, silent)
            assert (await talking.until_closed())[0] == 1012
            assert talking.kinds()[-1] == "response_done"
            assert coded_text(bytes(talking.sound), rate=RATE) == LONG
            await goes_on(two, talking)
        await one.application.registry.emptied()


async def test_after_a_sudden_death_all_that_was_told_is_known(valkey: ValkeyServer) -> None:
    """Its process is gone, and with it its renewals: the lease runs out, and the conversation is had."""
    async with AsyncExitStack() as stack:
        two = await stack.enter_async_context(open_replica(valkey, "two"))
        async with asyncio.TaskGroup() as dying:
            dead = Death()
            dying.create_task(dead.serve(valkey))
            one = await dead.house
            first = await stack.enter_async_context(one.call())
            await asks(first, "One")
            # A holder that stops renewing is as good as dead to the others.
            dead.stop_renewing(one)
            async with asyncio.timeout(LEASE_S * 10):
                await goes_on(two, first)
            dead.over.set()


class Death:
    """A replica that falls silent towards the store."""

    def __init__(self) -> None:
        self.house: asyncio.Future[House] = asyncio.get_running_loop().create_future()
        self.over = asyncio.Event()

    async def serve(self, server: ValkeyServer) -> None:
        async with open_replica(server, "one") as house:
            self.house.set_result(house)
            await self.over.wait()

    @staticmethod
    def stop_renewing(house: House) -> None:
        store = house.application.registry.backing.store
        assert isinstance(store, ValkeyStore)
        store._valkey._gone(ConnectionError("cut off"))
        store._valkey.check = _never  # type: ignore[method-assign]


async def _never() -> bool:
    return False


async def test_while_the_store_is_away_live_calls_go_on_and_new_ones_follow_the_setting(
    valkey: ValkeyServer,
) -> None:
    async with AsyncExitStack() as stack:
        open_door = await stack.enter_async_context(open_replica(valkey, "one"))
        shut_door = await stack.enter_async_context(open_replica(valkey, "two", admit=False))
        caller = await stack.enter_async_context(open_door.call())
        await asks(caller, "One")
        valkey.pause()
        assert await asks(caller, "Two") == "Turn 2, Two."
        async with open_door.call() as new:
            assert await asks(new, "Hello") == "Turn 1, Hello."
            await unavailable(shut_door)
            async with shut_door.connect() as refused:
                await refused.says(type="start")
                assert (await refused.until("error"))["code"] == "store_away"
                assert (await refused.until_closed())[0] == 1013
            valkey.unpause()
            await kept(valkey, caller, turn="Two")
            await kept(valkey, new, turn="Hello")
            await unavailable(shut_door, so=False)
            async with shut_door.call() as welcome:
                assert await asks(welcome, "Hello") == "Turn 1, Hello."
            await goes_on(shut_door, caller, said="Three", turn=3)
            await goes_on(shut_door, new)


async def test_a_store_that_answers_and_keeps_nothing_is_away(valkey: ValkeyServer) -> None:
    async with open_replica(valkey, "one", admit=False) as house:
        valkey.ask("CONFIG", "SET", "maxmemory", "1")
        await unavailable(house)
        async with house.connect() as refused:
            await refused.says(type="start")
            assert (await refused.until("error"))["code"] == "store_away"


async def unavailable(house: House, *, so: bool = True) -> None:
    """Returns when the house knows that its store is away, or is there."""
    while house.application.registry.backing.store.available is so:  # noqa: ASYNC110
        await asyncio.sleep(0.02)


async def kept(valkey: ValkeyServer, caller: Caller, *, turn: str) -> None:
    """Returns when the store has a turn of the caller."""
    connection = connect_valkey(valkey.url)
    name = f"antiphon:session:{caller.messages[0]['session_id']}"
    while turn.encode() not in (await connection.client.hget(name, "record") or b""):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    await connection.client.aclose()


async def test_a_session_that_is_just_let_go_of_is_had_again_and_held(valkey: ValkeyServer) -> None:
    """Its caller came to another replica, and back to this one before that had it."""
    async with open_replica(valkey, "one") as one:
        async with one.call() as first:
            await asks(first, "One")
            first.socket.transport.abort()
        await away(one)
        registry, name = one.application.registry, first.messages[0]["session_id"]
        (session,) = registry.live
        async with AsyncExitStack() as stack:
            async with asyncio.TaskGroup() as tasks:
                registry._held[name].want()
                coming = tasks.create_task(stack.enter_async_context(back(one, first)))
            second = coming.result()
            assert second.messages[0]["resumed"] is True
            assert session.ended == "moved"
            assert [live.id for live in registry.live] == [name]
            assert live(one) == 1
            await registry.backing.store.renew({})
            emptied = asyncio.ensure_future(registry.emptied())
            assert await asks(second, "Two") == "Turn 2, Two."
            assert not emptied.done()
            registry.drain()
            assert (await second.until_closed())[0] == 1012
            await emptied


async def test_whoever_is_gone_takes_no_session_away(valkey: ValkeyServer) -> None:
    """A phone behind a proxy: its connection to one replica breaks while that waits for the session, and it comes back
    to the one that has it."""
    async with two_replicas(valkey) as (one, two):
        async with one.call() as first:
            await asks(first, "One")
            first.socket.transport.abort()
        await away(one)
        async with two.connect() as brief:
            await brief.says(type="start", resume=resume_of(first))
            while deserted(two):  # noqa: ASYNC110 (nobody is told of it)
                await asyncio.sleep(0.001)
            brief.socket.transport.abort()
        async with asyncio.timeout(30):
            while not deserted(two) or await wanted(valkey, first):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            async with back(one, first) as caller:
                assert caller.messages[0]["resumed"] is True
                for turn, said in enumerate(("Two", "Three", "Four"), 2):
                    assert await asks(caller, said) == f"Turn {turn}, {said}."
                assert (live(one), live(two)) == (1, 0)


async def wanted(valkey: ValkeyServer, caller: Caller) -> bool:
    """Whether a replica waits for the caller's session."""
    connection = connect_valkey(valkey.url)
    until = await connection.client.hget(f"antiphon:session:{caller.messages[0]['session_id']}", "wanted")
    seconds, micros = await connection.client.time()
    await connection.client.aclose()
    return until is not None and int(until) > seconds * 1_000_000 + micros


async def test_another_callers_session_is_not_to_be_had_anywhere(valkey: ValkeyServer) -> None:
    async with two_replicas(valkey, limits=VoiceLimits()) as (one, two):
        async with one.call() as victim, two.call() as thief:
            await asks(victim, "One")
            stolen = {
                "session_id": victim.messages[0]["session_id"],
                "token": thief.messages[0]["resume_token"],
                "last_seq": 0,
            }
            async with two.call(resume=stolen) as caller:
                assert caller.messages[0]["resumed"] is False
            assert await asks(victim, "Two") == "Turn 2, Two."
