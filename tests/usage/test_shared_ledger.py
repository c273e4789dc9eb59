"""The ledger in Valkey: as many sessions as there are callers, and what a killed replica had not written yet."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.usage.test_journal import protected
from tests.usage.test_ledger import EVER, TODAY, UNHOLDABLE, batch, entry
from tests.usage.till import open_till, words
from tests.valkey_server import ValkeyServer

from antiphon.conversation.events import MOST
from antiphon.errors import StoreUnavailable
from antiphon.store.valkey import Valkey, open_valkey
from antiphon.usage import valkey_scripts as scripts
from antiphon.usage.budgets import Limits
from antiphon.usage.sqlite_books import SqliteBooks
from antiphon.usage.valkey_books import PREFIX, SESSION_MS, ValkeyBooks, _packed

SESSIONS = 3_000


@asynccontextmanager
async def shared(
    server: ValkeyServer, folder: Path | None = None
) -> AsyncIterator[tuple[Valkey, ValkeyBooks]]:
    async with open_valkey(server.url) as valkey:
        books = ValkeyBooks(valkey, folder=folder)
        yield valkey, books
        books.close()


def journals(folder: Path) -> list[Path]:
    return sorted(folder.glob("store-*"))


async def keys(valkey: Valkey) -> dict[str, int]:
    """Those of the ledger → ms that they have left, -1: for ever."""
    found = [key.decode() async for key in valkey.client.scan_iter(PREFIX + "*", count=1_000)]
    return {key.removeprefix(PREFIX): await valkey.client.pttl(key) for key in found}


@pytest.mark.real_time
async def test_what_a_day_has_spent_is_as_quick_to_look_up_with_many_sessions(valkey: ValkeyServer) -> None:
    limits = {f"session s{n}": 10 for n in range(SESSIONS)} | {"day 2026-11-23": 10**9}
    async with shared(valkey) as (connection, books):
        for first in range(0, SESSIONS, 500):
            entries = [entry(n, session=f"s{n}", caller="ann") for n in range(first, first + 500)]
            await books.append(batch(*entries, id=f"b{first}", limits=limits))
        assert await connection.client.hlen(PREFIX + "spent:2026-11-23") == 2
        assert await connection.client.config_resetstat()
        assert dict(await books.spent(TODAY)) == {"day 2026-11-23": 30_000, "key 2026-11-23 ann": 30_000}
        stats: dict[str, Any] = await connection.client.info("stats")
        assert stats["total_net_output_bytes"] < 1_000
        assert len(await books.by("session", *EVER)) == SESSIONS
        assert len([one async for one in books.entries(*EVER)]) == SESSIONS


@pytest.mark.real_time
async def test_a_session_and_its_thresholds_end_by_themselves_and_days_are_pruned_whole(
    valkey: ValkeyServer,
) -> None:
    async with shared(valkey) as (connection, books):
        limits = {"day 2026-11-23": 20, "session s1": 10}
        written = await books.append(batch(entry(1), limits=limits))
        told = tuple(crossed.name for crossed in written.crossed)
        left = await keys(connection)
        assert 0 < left["spent:session s1"] <= SESSION_MS
        assert 0 < left["crossings:session s1"] <= SESSION_MS
        await books.append(batch(id="b2"))
        assert await books.prune(TODAY + timedelta(days=1)) == 1
        assert told
        left = await keys(connection)
        assert {key for key, ms in left.items() if ms < 0} == {"untold"}
        assert [crossed.account for crossed in await books.untold((), "x")] == []


@pytest.mark.real_time
async def test_a_session_budget_counts_all_its_days_and_holds_on_every_replica(valkey: ValkeyServer) -> None:
    async with shared(valkey) as (_, one), shared(valkey) as (_, other):
        limits = {"session s1": 30}
        await one.append(batch(entry(1, day=TODAY - timedelta(days=1)), limits=limits))
        written = await other.append(batch(entry(2), id="b2", limits=limits))
        assert written.spent["session s1"] == 20
        assert [crossed.threshold for crossed in written.crossed] == [50]
        assert (await one.append(batch(entry(3), id="b3", limits=limits))).crossed[0].threshold == 80


# ---- what was noted and not written ------------------------------------------------------------------------


@pytest.mark.real_time
async def test_what_a_killed_replica_had_noted_the_next_start_writes(
    valkey: ValkeyServer, tmp_path: Path
) -> None:
    async with open_valkey(valkey.url) as connection:
        killed = ValkeyBooks(connection, folder=tmp_path)
        for number in range(1, 601):
            killed.note(entry(number))
        await killed.append(batch(entry(1)))
        meanwhile = ValkeyBooks(connection, folder=tmp_path)
        assert dict(await meanwhile.spent(TODAY)) == {"day 2026-11-23": 10}, (
            "it lives: its journal is its own"
        )
        killed.close()
        for _ in range(2):
            books = ValkeyBooks(connection, folder=tmp_path)
            assert dict(await books.spent(TODAY)) == {"day 2026-11-23": 6_000}
            assert len([one async for one in books.entries(*EVER)]) == 600
            assert journals(tmp_path) == []
            books.close()


@pytest.mark.real_time
async def test_a_store_that_is_away_at_the_start_gets_it_when_it_is_back(
    valkey: ValkeyServer, tmp_path: Path
) -> None:
    async with open_valkey(valkey.url) as connection:
        killed = ValkeyBooks(connection, folder=tmp_path)
        killed.note(entry(1))
        killed.close()
        valkey.stop()
        books = ValkeyBooks(connection, folder=tmp_path)
        with pytest.raises(StoreUnavailable):
            await books.spent(TODAY)
        assert len(journals(tmp_path)) == 1
        valkey.start()
        await connection.returned()
        await books.append(batch(entry(2), id="b2"))
        assert (await books.spent(TODAY))["day 2026-11-23"] == 20
        assert journals(tmp_path) == []
        books.close()


@pytest.mark.real_time
async def test_what_the_store_cannot_hold_holds_up_nothing(valkey: ValkeyServer, tmp_path: Path) -> None:
    async with open_valkey(valkey.url) as connection:
        killed = ValkeyBooks(connection, folder=tmp_path)
        for one in (*UNHOLDABLE, entry(3)):
            killed.note(one)
        killed.close()
        books = ValkeyBooks(connection, folder=tmp_path)
        assert dict(await books.spent(TODAY)) == {"day 2026-11-23": 10}
        assert journals(tmp_path) == []
        books.close()


@pytest.mark.real_time
async def test_a_batch_that_cannot_be_added_up_is_refused_before_any_of_it_is_written(
    valkey: ValkeyServer,
) -> None:
    """As a replica of another version may send it: what a script has written when it breaks off would stay."""
    async with shared(valkey) as (connection, books):
        entries = [{**_packed(entry(1)), "sums": [1, amount]} for amount in (10, 2**60)]
        document = {"id": "b", "entries": entries, "released": [], "told": [], "limits": {}, "thresholds": [],
                    "sums": ["calls", "micros"]}  # fmt: skip
        names = [PREFIX + name for name in scripts.NAMES]
        with pytest.raises(StoreUnavailable, match="refused a request"):
            await connection.script(scripts.APPEND)(keys=names, args=[PREFIX, json.dumps(document), 1, 1])
        assert await keys(connection) == {}
        dearest = [entry(n, MOST) for n in range(500)]
        assert (await books.append(batch(*dearest))).spent["day 2026-11-23"] == 500 * MOST


@pytest.mark.real_time
async def test_a_ledger_in_a_file_leaves_what_is_for_the_store(valkey: ValkeyServer, tmp_path: Path) -> None:
    async with open_valkey(valkey.url) as connection:
        killed = ValkeyBooks(connection, folder=tmp_path)
        killed.note(entry(1))
        killed.close()
        in_file = SqliteBooks(tmp_path)
        assert [one async for one in in_file.entries(*EVER)] == []
        in_file.close()
        assert len(journals(tmp_path)) == 1


@pytest.mark.real_time
async def test_a_server_that_stops_in_order_leaves_no_journal(valkey: ValkeyServer, tmp_path: Path) -> None:
    async with shared(valkey, tmp_path) as (_, books):
        async with open_till(books, limits=Limits(day=10**6)) as till:
            till.calls("s1", words(10))
            assert len(journals(tmp_path)) == 1
    assert journals(tmp_path) == []


@pytest.mark.real_time
@pytest.mark.parametrize("place", ["file", "protected"])
async def test_a_folder_that_cannot_be_written_is_gone_without(
    valkey: ValkeyServer, tmp_path: Path, place: str
) -> None:
    folder = tmp_path / "data"
    if place == "file":
        folder.write_text("")
    elif os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    else:
        protected(folder)
    async with shared(valkey, folder / "antiphon") as (_, books):
        async with open_till(books) as till:
            till.calls("s1", words(10))
            await till.keeper.written()
            assert till.alerts == []
            assert (await books.spent(TODAY))["day 2026-11-23"] == 150
