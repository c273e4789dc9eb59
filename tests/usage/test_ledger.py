"""The ledger, in a file and in the store that replicas share: what is written, once, and what it adds up to."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import date, timedelta
from pathlib import Path

import pytest
from tests.usage.till import NOON, Clock, open_till, words
from tests.valkey_server import ValkeyServer

from antiphon.conversation.events import MOST, ProviderCall
from antiphon.errors import StoreUnavailable
from antiphon.providers.base import Usage
from antiphon.store.valkey import open_valkey
from antiphon.usage.books import Batch, Books, Written
from antiphon.usage.budgets import Limits
from antiphon.usage.entry import Entry, entry_of
from antiphon.usage.prices import Priced
from antiphon.usage.sqlite_books import SqliteBooks
from antiphon.usage.valkey_books import ValkeyBooks

Open = Callable[[], AbstractAsyncContextManager[Books]]

TODAY = date(2026, 11, 23)
EVER = date.min, date.max


@pytest.fixture(params=["file", "valkey"])
def opening(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the same ledger each time."""

    @asynccontextmanager
    async def in_file() -> AsyncIterator[Books]:
        books = SqliteBooks(tmp_path)
        try:
            yield books
        finally:
            books.close()

    @asynccontextmanager
    async def in_valkey() -> AsyncIterator[Books]:
        server: ValkeyServer = request.getfixturevalue("valkey")
        async with open_valkey(server.url) as valkey:
            yield ValkeyBooks(valkey)

    if request.param == "valkey":
        request.getfixturevalue("valkey")
        return in_valkey
    return in_file


def entry(
    number: int, micros: int | None = 10, *, day: date = TODAY, session: str = "s1", caller: str = ""
) -> Entry:
    call = ProviderCall(
        kind="llm",
        provider="openai:gpt-4o",
        model="gpt-4o-2024-08-06",
        usage=Usage(input_tokens=100, cached_tokens=40, output_tokens=7),
        turn_id="t1",
        cancelled=number % 2 == 0,
        outcome="cancelled" if number % 2 == 0 else "ok",
        speculative=number % 3 == 0,
    )
    priced = None if micros is None else Priced(micros=micros)
    return entry_of(
        call, priced, id=f"e{number}", at_ms=number, day=day.isoformat(), session=session, caller=caller
    )


def batch(*entries: Entry, id: str = "b1", limits: dict[str, int] | None = None) -> Batch:
    return Batch(id=id, entries=entries, limits=limits or {})


@pytest.mark.real_time
async def test_what_is_written_is_there_and_adds_up(opening: Open) -> None:
    async with opening() as books:
        await books.append(batch(*(entry(n, session=f"s{n % 2}", caller="ann") for n in range(1, 7))))
        await books.append(batch(entry(7, None, session="s9"), id="b2"))
    async with opening() as books:
        found = sorted([one async for one in books.entries(*EVER)], key=lambda one: one.at_ms)
        assert found[0] == entry(1, session="s1", caller="ann")
        assert [one.micros for one in found] == [10] * 6 + [None]
        (line,) = await books.lines(TODAY, TODAY)
        assert (line.provider, line.model, line.calls, line.micros) == ("openai", "gpt-4o-2024-08-06", 7, 60)
        assert (line.input_tokens, line.cached_tokens, line.output_tokens) == (700, 280, 49)
        assert (line.unpriced, line.cancelled_micros, line.speculative_micros) == (1, 30, 20)
        assert await books.by("session", *EVER) == {"s0": 30, "s1": 30, "s9": 0}
        assert await books.by("caller", *EVER) == {"ann": 60, "": 0}
        assert await books.by("day", *EVER) == {"2026-11-23": 60}
        assert await books.by("provider", *EVER) == {"openai": 60}
        assert dict(await books.spent(TODAY)) == {"day 2026-11-23": 60, "key 2026-11-23 ann": 60}
        assert list(await books.days()) == [TODAY]


@pytest.mark.real_time
async def test_writing_again_changes_nothing(opening: Open) -> None:
    async with opening() as books:
        limits = {"day 2026-11-23": 20}
        first = await books.append(batch(entry(1), entry(2), limits=limits))
        again = await books.append(batch(entry(1), entry(2), limits=limits))
        assert first == again
        assert [crossed.threshold for crossed in first.crossed] == [50, 80, 100]
        other = await books.append(batch(entry(2), entry(3), id="b2", limits=limits))
        assert other.spent["day 2026-11-23"] == 30
        assert other.crossed == ()
        assert len([one async for one in books.entries(*EVER)]) == 3


@pytest.mark.real_time
async def test_two_servers_write_to_one_ledger(opening: Open) -> None:
    async with opening() as one, opening() as other:
        limits = {"day 2026-11-23": 100}
        written = [
            await books.append(batch(entry(n), id=f"b{n}", limits=limits))
            for n, books in enumerate([one, other] * 6, 1)
        ]
        assert [written[n].spent["day 2026-11-23"] for n in (0, 5, 11)] == [10, 60, 120]
        told = [crossed.threshold for each in written for crossed in each.crossed]
        assert told == [50, 80, 100]


@pytest.mark.real_time
async def test_old_days_are_deleted_and_nothing_else(opening: Open) -> None:
    async with opening() as books:
        old = TODAY - timedelta(days=2)
        await books.append(batch(entry(1, day=old, session="old", caller="ann"), entry(2, caller="ann")))
        assert await books.prune(TODAY) == 1
        assert [one.id async for one in books.entries(*EVER)] == ["e2"]
        assert dict(await books.spent(old)) == {}
        assert dict(await books.spent(TODAY)) == {"day 2026-11-23": 10, "key 2026-11-23 ann": 10}
        assert await books.by("session", *EVER) == {"s1": 10}


UNHOLDABLE = (entry(1)._replace(model="\ud800x"), entry(2)._replace(input_tokens=10**23))
"""What no ledger can write down, or add up."""


@pytest.mark.real_time
async def test_an_entry_that_cannot_be_held_is_left_out_and_the_others_are_not(opening: Open) -> None:
    async with opening() as books:
        written = await books.append(batch(*UNHOLDABLE, entry(3)))
        assert (written.left_out, written.spent["day 2026-11-23"]) == (2, 10)
        assert [one.id async for one in books.entries(*EVER)] == ["e3"]


@pytest.mark.parametrize(
    ("said", "booked"),
    [
        (Usage(input_tokens=10**4_000, output_tokens=-5), (MOST, 0)),
        (Usage(input_tokens=2**63, output_tokens=5), (MOST, 5)),
        (Usage(audio_s=float("nan"), input_tokens=7), (7, 0)),
    ],
)
async def test_a_vendor_may_count_and_name_what_it_likes(
    tmp_path: Path, said: Usage, booked: tuple[int, int]
) -> None:
    books = SqliteBooks(tmp_path)
    async with open_till(books) as till:
        till.calls(
            "s1", ProviderCall(kind="llm", provider="openai:gpt-4o", model="\ud800\n" * 90, usage=said)
        )
        till.calls("s1", words(100))
        await till.keeper.written()
        found = {one.provider: one async for one in books.entries(*EVER)}
        odd = found["openai"]
        assert (odd.model, odd.input_tokens, odd.output_tokens) == ("\ufffd" * 100, *booked)
        assert found["scripted"].micros == 1_500
        assert till.keeper.totals().lost == 0
    books.close()


@pytest.mark.parametrize("tokens", [10**4_000, 2**53])
async def test_what_cannot_be_has_a_cost_that_can_be_added_up(tmp_path: Path, tokens: int) -> None:
    books = SqliteBooks(tmp_path)
    dear = '[[price]]\nprovider="x"\nmodel="m"\nunit="million_characters"\nprice=1e60'
    async with open_till(books, prices=dear) as till:
        till.calls("s1", *[words(tokens, provider="x:m") for _ in range(1_200)])
        await till.keeper.written()
        (line,) = await books.lines(TODAY, TODAY)
        assert (line.micros, line.characters) == (1_200 * MOST, 1_200 * MOST)
        assert till.keeper.totals().spent == 1_200 * MOST
    books.close()


class Stumbling(SqliteBooks):
    """Books with a mistake of ours in them, the first time that they are written and whenever they are looked at."""

    stumbled = False

    async def append(self, batch: Batch) -> Written:
        if not self.stumbled:
            self.stumbled = True
            raise KeyError("a mistake")
        return await super().append(batch)

    async def spent(self, day: date) -> Mapping[str, int]:
        raise KeyError("another")


async def test_a_mistake_of_ours_loses_one_batch_and_stops_nothing(tmp_path: Path) -> None:
    books = Stumbling(tmp_path)
    async with open_till(books, limits=Limits(day=10**6)) as till:
        await till.allowance.reserve(session_id="s1", turn_id="t1")
        till.calls("s1", words(100))
        till.allowance.settle(session_id="s1", turn_id="t1")
        await till.keeper.written()
        till.calls("s1", words(10))
        await till.keeper.written()
        totals = till.keeper.totals()
        assert (totals.lost, totals.unwritten, totals.held) == (1, 0, 0)
        assert [alert.name for alert in till.alerts] == ["ledger lost"]
        assert await books.by("day", *EVER) == {"2026-11-23": 150}
        till.clock.passes(86_400)
        await asyncio.sleep(11)  # the new day is looked up, in vain
        till.calls("s1", words(1))
        await till.keeper.written()
        assert till.keeper.totals().spent == 15
    books.close()


async def test_budgets_go_on_counting_what_a_mistake_lost(tmp_path: Path) -> None:
    books = Stumbling(tmp_path)
    async with open_till(books) as till:
        for expected in (1_500, 3_000):
            books.stumbled = False
            till.calls("s1", words(100))
            await till.keeper.written()
            assert till.keeper.totals().spent == expected
    books.close()


async def test_calls_are_booked_as_they_end_and_written_soon(tmp_path: Path) -> None:
    books = SqliteBooks(tmp_path)
    async with open_till(books) as till:
        till.opens("s1", "ann")
        till.calls("s1", words(100), words(100, provider="strange:voice"))
        assert till.keeper.totals().spent == 1_500
        assert till.keeper.totals().unwritten == 2
        await till.keeper.written()
        assert till.keeper.totals().unwritten == 0
        assert till.keeper.unpriced == {"strange:voice": 1}
        lines = {line.provider: line for line in await books.lines(TODAY, TODAY)}
        assert (lines["scripted"].calls, lines["scripted"].characters, lines["scripted"].micros) == (
            1,
            100,
            1_500,
        )
        assert (lines["strange"].calls, lines["strange"].unpriced, lines["strange"].micros) == (1, 1, 0)
        assert [alert.name for alert in till.alerts] == ["unpriced strange:voice"]
        assert dict(await books.spent(TODAY)) == {"day 2026-11-23": 1_500, "key 2026-11-23 ann": 1_500}
    books.close()


async def test_what_was_told_last_is_written_when_the_server_stops(tmp_path: Path) -> None:
    books = SqliteBooks(tmp_path)
    async with open_till(books) as till:
        till.calls("s1", *[words(1) for _ in range(1_200)])
    assert (await books.spent(TODAY))["day 2026-11-23"] == 18_000
    books.close()


async def test_a_new_start_knows_what_was_spent(tmp_path: Path) -> None:
    for expected in (15_000, 30_000):
        books = SqliteBooks(tmp_path)
        async with open_till(books) as till:
            till.calls("s1", words(1_000))
            assert till.keeper.totals().spent == expected
        books.close()


async def test_a_full_disk_loses_no_turn_and_no_entry(tmp_path: Path) -> None:
    full = SqliteBooks(tmp_path, max_pages=12)
    async with open_till(full, limits=Limits(day=10**9)) as till:
        for n in range(400):
            await till.allowance.reserve(session_id="s1", turn_id=f"t{n}")
            till.calls("s1", words(10, turn=f"t{n}"))
            till.allowance.settle(session_id="s1", turn_id=f"t{n}")
            await asyncio.sleep(0.05)
        assert till.keeper.totals().unwritten > 100
        assert till.keeper.totals().spent == 60_000
        assert [alert.kind for alert in till.alerts][:1] == ["ledger"]
        assert "full; free some room" in till.alerts[0].message
        full.allow(10_000)
        await till.keeper.written()
        assert till.keeper.totals().lost == 0
    assert (await full.spent(TODAY))["day 2026-11-23"] == 60_000
    full.close()


async def test_a_folder_that_cannot_be_written_does_not_stop_the_server(tmp_path: Path) -> None:
    in_the_way = tmp_path / "data"
    in_the_way.write_text("a file where the folder should be")
    books = SqliteBooks(in_the_way)
    async with open_till(books) as till:
        till.calls("s1", words(10))
        await asyncio.sleep(3.0)
        assert till.keeper.totals().unwritten == 1
        assert "ANTIPHON_DATA" in till.alerts[0].message
        in_the_way.unlink()
        await till.keeper.written()
    books.close()


async def test_a_file_of_something_else_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite3").write_bytes(b"not a database, but somebody's" * 200)
    books = SqliteBooks(tmp_path)
    with pytest.raises(StoreUnavailable, match="not a database"):
        await books.append(batch(entry(1)))
    books.close()
    assert (tmp_path / "ledger.sqlite3").read_bytes().startswith(b"not a database, but")


async def test_a_backup_is_whole_and_overwrites_nothing(tmp_path: Path) -> None:
    books = SqliteBooks(tmp_path)
    await books.append(batch(entry(1)))
    await books.backup(tmp_path / "copy.sqlite3")
    with pytest.raises(StoreUnavailable, match="already exists"):
        await books.backup(tmp_path / "copy.sqlite3")
    books.close()
    with sqlite3.connect(tmp_path / "copy.sqlite3") as copy:
        assert copy.execute("SELECT id, micros FROM calls").fetchall() == [("e1", 10)]
    copy.close()


async def test_midnight_and_a_clock_set_back(tmp_path: Path) -> None:
    books, clock = SqliteBooks(tmp_path), Clock(wall=NOON + 43_190.0)
    async with open_till(books, clock=clock, limits=Limits(day=20_000)) as till:
        till.calls("s1", words(1_000))
        clock.passes(20)
        till.calls("s1", words(100))
        assert (till.keeper.totals().day, till.keeper.totals().spent) == ("2026-11-24", 1_500)
        clock.wall -= 3_600
        till.calls("s1", words(100))
        assert (till.keeper.totals().day, till.keeper.totals().spent) == ("2026-11-24", 3_000)
        await till.keeper.written()
    assert await books.by("day", *EVER) == {"2026-11-23": 15_000, "2026-11-24": 3_000}
    books.close()


async def test_a_clock_that_jumps_ahead_deletes_nothing_and_does_not_stay(tmp_path: Path) -> None:
    books, clock = SqliteBooks(tmp_path), Clock()
    old = [entry(n, day=TODAY - timedelta(days=n)) for n in range(450)]
    await books.append(batch(*old))
    async with open_till(books, clock=clock, limits=Limits(day=20_000), retention_days=400) as till:
        kept = [one.id async for one in books.entries(*EVER)]
        assert len(kept) == 407
        till.calls("s1", words(1_400))
        clock.wall += 800 * 86_400
        await asyncio.sleep(12)
        till.calls("s1", words(10))
        await till.keeper.written()
        assert till.keeper.totals().day == "2029-01-31"
        assert len([one async for one in books.entries(*EVER)]) == 407 + 2
    clock.wall += 20 * 3_600
    async with open_till(books, clock=clock, limits=Limits(day=20_000), retention_days=400) as till:
        assert len([one async for one in books.entries(*EVER)]) == 407 + 1, (
            "a day has passed, as far as is known"
        )
    clock.wall -= 800 * 86_400 + 18 * 3_600
    async with open_till(books, clock=clock, limits=Limits(day=20_000), retention_days=400) as till:
        assert (till.keeper.totals().day, till.keeper.totals().spent) == ("2026-11-23", 21_010)
        assert till.allowance.refusal() is not None, "what was spent on the day before the jump is known"
    books.close()


@pytest.mark.real_time
async def test_a_replica_whose_clock_is_ahead_takes_no_other_along(valkey: ValkeyServer) -> None:
    ahead = Clock(wall=NOON + 800 * 86_400)
    async with open_valkey(valkey.url) as connection:
        async with open_till(ValkeyBooks(connection), clock=ahead) as till:
            till.calls("s1", words(10))
        async with open_till(ValkeyBooks(connection)) as till:
            assert till.keeper.totals().day == "2026-11-23"


@pytest.mark.real_time
async def test_a_store_that_goes_and_comes_back_loses_nothing(valkey: ValkeyServer) -> None:
    async with open_valkey(valkey.url) as connection:
        async with open_till(ValkeyBooks(connection), limits=Limits(day=10**9)) as till:
            till.calls("s1", words(10))
            await till.keeper.written()
            valkey.stop()
            await till.allowance.reserve(session_id="s1", turn_id="t1")
            till.calls("s1", words(10))
            till.allowance.settle(session_id="s1", turn_id="t1")
            await till.alerted.wait()
            assert till.keeper.totals().unwritten == 1
            assert till.keeper.totals().spent == 300
            valkey.start()
            await till.keeper.written()
            assert (await till.books.spent(TODAY))["day 2026-11-23"] == 300
