"""The way to Valkey, with a real one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from tests.valkey_server import ValkeyServer, free_port

from antiphon.errors import SettingsError, StoreUnavailable
from antiphon.store.valkey import open_valkey, place_of

pytestmark = pytest.mark.real_time

LONG_S = 30.0


async def test_scripts_and_commands_reach_it(valkey: ValkeyServer) -> None:
    async with open_valkey(valkey.url) as store:
        with store.reaching():
            await store.client.set("antiphon:test", "1")
        add = store.script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
        assert await add(keys=["antiphon:test"], args=[2]) == 3


async def test_a_store_that_goes_away_is_told_of_at_once_and_used_again(valkey: ValkeyServer) -> None:
    async with open_valkey(valkey.url) as store, asyncio.timeout(LONG_S):
        valkey.kill()
        with pytest.raises(StoreUnavailable, match="ANTIPHON_STORE"), store.reaching():
            await store.client.get("antiphon:test")
        assert not store.available
        with pytest.raises(StoreUnavailable), store.reaching():
            raise AssertionError("not asked while it is away")
        valkey.start()
        await store.returned()
        with store.reaching():
            assert await store.client.get("antiphon:test") is None


async def test_a_frozen_store_does_not_hold_anyone_up(valkey: ValkeyServer) -> None:
    async with open_valkey(valkey.url, timeout_s=0.2) as store, asyncio.timeout(LONG_S):
        valkey.pause()
        with pytest.raises(StoreUnavailable, match="did not answer"), store.reaching():
            await store.client.get("antiphon:test")
        valkey.unpause()
        await store.returned()


@pytest.mark.parametrize("through", ["client", "script", "check"])
async def test_no_cancellation_is_lost_whenever_it_comes(valkey: ValkeyServer, through: str) -> None:
    """One that comes just as a request has been written, most of all: a loop that missed it would go on for good."""
    async with open_valkey(valkey.url) as store:
        script = store.script("return 1")

        async def reach() -> None:
            if through == "client":
                with store.reaching():
                    await store.client.get("antiphon:x")
            elif through == "script":
                await script(keys=["antiphon:x"])
            else:
                await store.check()

        async def go_on() -> None:
            while True:
                await reach()
                await asyncio.sleep(0)

        for steps in range(40):
            await reach()
            going = asyncio.create_task(go_on())
            for _ in range(steps):
                await asyncio.sleep(0)
            going.cancel()
            ended, _ = await asyncio.wait([going], timeout=5.0)
            assert ended, f"cancelled after {steps} steps, it goes on"
        assert store.available


async def test_a_store_that_is_away_from_the_start_is_no_error() -> None:
    async with open_valkey(f"valkey://127.0.0.1:{free_port()}") as store:
        assert not store.available
        assert "is it running" in store.problem


async def test_a_password_that_is_not_taken_is_said_and_not_shown(valkey: ValkeyServer) -> None:
    valkey.ask("CONFIG", "SET", "requirepass", "swordfish")
    async with open_valkey(valkey.url, password="sardine") as store:
        assert "ANTIPHON_STORE_PASSWORD" in store.problem
        assert "sardine" not in store.problem
    async with open_valkey(valkey.url, password="swordfish") as store:
        assert store.available


async def test_a_request_that_is_refused_is_no_outage(valkey: ValkeyServer) -> None:
    async with open_valkey(valkey.url) as store:
        broken = store.script("return redis.call('NOSUCHCOMMAND')")
        with pytest.raises(StoreUnavailable, match="refused a request"):
            await broken(keys=[])
        assert store.available


UNWRITABLE = {
    "is full": (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
    "is a copy": (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    "misses its copies": (
        ("CONFIG", "SET", "min-replicas-to-write", "1"),
        ("CONFIG", "SET", "min-replicas-to-write", "0"),
    ),
    "allows too little": (("ACL", "SETUSER", "default", "-set"), ("ACL", "SETUSER", "default", "+set")),
}
"""What is wrong with a server that answers → how to bring it about, and how to mend it."""


@pytest.mark.parametrize("server", UNWRITABLE)
async def test_a_store_that_answers_and_takes_nothing_is_away_until_it_does(
    valkey: ValkeyServer, server: str
) -> None:
    spoil, mend = UNWRITABLE[server]
    async with open_valkey(valkey.url) as store, asyncio.timeout(LONG_S):
        valkey.ask(*spoil)
        assert not await store.check()
        with pytest.raises(StoreUnavailable), store.reaching():
            raise AssertionError("not asked while it takes nothing")
        valkey.ask(*mend)
        await store.returned()


async def test_whoever_is_refused_first_tells_the_others(valkey: ValkeyServer) -> None:
    async with open_valkey(valkey.url) as store:
        valkey.ask("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(StoreUnavailable), store.reaching():
            await store.client.append("antiphon:test", "1")
        assert not store.available


REFUSALS: dict[str, tuple[Sequence[tuple[str, ...]], Sequence[str]]] = {
    "needs a password": (
        [("CONFIG", "SET", "requirepass", "swordfish")],
        ["wants a password", "ANTIPHON_STORE_PASSWORD"],
    ),
    "is a copy": ([("REPLICAOF", "127.0.0.1", "1")], ["read-only copy", "name the primary"]),
    "is full": ([("CONFIG", "SET", "maxmemory", "1")], ["memory is full", "maxmemory"]),
    "allows too little": ([("ACL", "SETUSER", "default", "-append")], ["may not do", "ACL SETUSER"]),
    "misses its copies": ([("CONFIG", "SET", "min-replicas-to-write", "1")], ["min-replicas-to-write"]),
    "keeps something else there": (
        [("LPUSH", "antiphon:test", "1")],
        ["begins with antiphon:", "another database"],
    ),
}


@pytest.mark.parametrize("server", REFUSALS)
async def test_a_server_that_refuses_is_told_in_words_with_what_to_do(
    valkey: ValkeyServer, server: str
) -> None:
    commands, words = REFUSALS[server]
    for command in commands:
        assert not valkey.ask(*command).startswith("-")
    async with open_valkey(valkey.url) as store:
        with pytest.raises(StoreUnavailable) as refused, store.reaching():
            await store.client.append("antiphon:test", "1")
    for word in ["ANTIPHON_STORE", f"127.0.0.1:{valkey.port}", *words]:
        assert word in str(refused.value)


SAYS = {
    "-DENIED Redis is running in protected mode because protected mode is enabled": "protected mode",
    "-LOADING Redis is loading the dataset in memory": "loading its data",
    "-MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist": "disk",
    "-ERR max number of clients reached": "maxclients",
    "-ERR AUTH <password> called without any password configured for the default user. Are you sure?": "unset",
    "-BUSY Redis is busy running a script.": "SCRIPT KILL",
    "-MOVED 3999 127.0.0.1:6381": "cluster",
    "-NEWS of another kind": "NEWS",
}
"""What a server says that cannot be brought to it here → what is made of it."""


@pytest.mark.parametrize("says", SAYS)
async def test_what_servers_say_when_they_take_no_connection(says: str) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{says}\r\n".encode())
        await writer.drain()
        writer.write_eof()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with open_valkey(f"valkey://:sardine@127.0.0.1:{port}") as store:
            assert not store.available
    assert SAYS[says] in store.problem
    assert "ANTIPHON_STORE" in store.problem
    assert "sardine" not in store.problem


@pytest.mark.parametrize("url", ["memory", "valkey://", "http://host", "valkey://host:99999"])
async def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(SettingsError, match="ANTIPHON_STORE"):
        place_of(url)
