"""Budgets' alerts are told once: not twice by replicas, and not never because a server died or stopped in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.usage.test_ledger import batch, entry
from tests.usage.till import NOON, Clock, open_till, words
from tests.valkey_server import ValkeyServer

from antiphon.store.valkey import open_valkey
from antiphon.usage.alerts import Alert, Alerts
from antiphon.usage.books import TAKEN_S, Batch, Books
from antiphon.usage.budgets import Limits
from antiphon.usage.sqlite_books import SqliteBooks
from antiphon.usage.valkey_books import ValkeyBooks
from antiphon.usage.webhook import open_webhook

LIMITS = {"day 2026-11-23": 20, "session s1": 15}
NAMES = ["day 2026-11-23 50 20", "day 2026-11-23 80 20", "session s1 50 15", "session s1 80 15"]


class Pager:
    """A sink whose alerts arrive when the test says."""

    def __init__(self) -> None:
        self.given: list[Alert] = []

    def give(self, alert: Alert) -> None:
        self.given.append(alert)

    @property
    def names(self) -> list[str]:
        return sorted(alert.name for alert in self.given)


async def names(books: Books, *, teller: str, telling: tuple[str, ...] = ()) -> list[str]:
    return sorted(crossed.name for crossed in await books.untold(telling, teller))


async def told_once(books: Books, pass_time: Callable[[], object]) -> None:
    """What the two kinds of books have in common. ``pass_time``: longer than a threshold is somebody's."""
    written = await books.append(batch(entry(1, 16), limits=LIMITS))
    assert sorted(crossed.name for crossed in written.crossed) == [
        *NAMES[:2],
        "session s1 100 15",
        *NAMES[2:],
    ]
    await books.append(Batch(id="b2", entries=(), told=("session s1 100 15",)))
    assert await names(books, teller="a") == []
    await asyncio.to_thread(pass_time)
    assert await names(books, teller="a", telling=(NAMES[0],)) == NAMES[1:]
    assert await names(books, teller="b") == []
    again = await books.append(batch(entry(1, 16), limits=LIMITS))
    assert [crossed.name for crossed in again.crossed] == [NAMES[0]], "the others are somebody else's now"
    await books.append(Batch(id="b3", entries=(), told=tuple(NAMES)))
    await asyncio.to_thread(pass_time)
    assert await names(books, teller="c") == []
    assert (await books.append(batch(entry(3, 0), id="b4", limits=LIMITS))).crossed == ()


@pytest.mark.real_time
async def test_a_threshold_is_told_of_once_in_a_file(tmp_path: Path) -> None:
    clock = Clock()
    books = SqliteBooks(tmp_path, wall=lambda: clock.wall)
    await told_once(books, lambda: clock.passes(TAKEN_S + 1))
    books.close()


@pytest.mark.real_time
async def test_a_threshold_is_told_of_once_in_the_store(valkey: ValkeyServer) -> None:
    async with open_valkey(valkey.url) as connection:
        books = ValkeyBooks(connection, reserved_ms=500)
        await told_once(books, lambda: valkey.ask("BLPOP", "antiphon:nothing", "0.7"))


async def test_what_a_killed_server_had_not_told_the_next_one_tells(tmp_path: Path) -> None:
    clock = Clock()
    books = SqliteBooks(tmp_path, wall=lambda: clock.wall)
    await books.append(batch(entry(1, 10_000), limits={"day 2026-11-23": 20_000}))
    for expected in ([50], []):
        async with open_till(books, clock=clock, limits=Limits(day=20_000)) as till:
            for _ in range(10):
                clock.passes(5)
                await asyncio.sleep(5)
            assert till.thresholds() == expected
    books.close()


async def test_what_could_not_be_delivered_is_told_by_the_next_start_and_only_then(tmp_path: Path) -> None:
    clock, pagers = Clock(), [Pager(), Pager(), Pager()]
    books = SqliteBooks(tmp_path, wall=lambda: clock.wall)
    for n, pager in enumerate(pagers):
        async with open_till(books, clock=clock, limits=Limits(day=20_000), past="warn") as till:
            till.keeper.alert = Alerts(pager, steady=lambda: clock.steady)
            if pager is pagers[0]:
                till.calls("s1", words(700))
                await till.keeper.written()
            for _ in range(10):
                clock.passes(5)
                await asyncio.sleep(5)
            if n == 1:
                pager.given[0].delivered()
    assert [pager.names for pager in pagers] == [["day 2026-11-23 50 20000"]] * 2 + [[]]
    books.close()


@pytest.mark.real_time
async def test_three_replicas_tell_of_what_a_dead_one_had_not_once(valkey: ValkeyServer) -> None:
    async with open_valkey(valkey.url) as connection:
        dead = ValkeyBooks(connection, reserved_ms=1)
        await dead.append(batch(entry(1, 16), limits=LIMITS))
    async with AsyncExitStack() as stack:
        replicas = [ValkeyBooks(await stack.enter_async_context(open_valkey(valkey.url))) for _ in range(3)]
        asked = (names(books, teller=f"{n}") for n, books in enumerate(replicas * 3))
        found = await asyncio.gather(*asked)
        assert sorted(name for each in found for name in each) == sorted([*NAMES, "session s1 100 15"])


@pytest.mark.real_time
async def test_what_was_told_just_before_the_end_still_arrives() -> None:
    arrived: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length")
        )
        arrived.append(await reader.readexactly(length))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    told: list[str] = []
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        async with open_webhook(url, wall=lambda: NOON) as hook:
            for name in ("first", "second"):
                hook.give(
                    Alert(
                        kind="budget",
                        severity="warning",
                        message=name,
                        name=name,
                        delivered=lambda name=name: told.append(name),  # type: ignore[misc]
                    )
                )
    assert (len(arrived), told) == (2, ["first", "second"])


async def test_a_webhook_that_is_down_does_not_hold_up_the_end_for_long() -> None:
    clock = asyncio.get_running_loop().time
    async with open_webhook("http://127.0.0.1:9/", wall=lambda: NOON) as hook:
        hook.give(Alert(kind="budget", severity="warning", message="x", name="x"))
        began = clock()
    assert clock() - began <= 3.0
