"""What outlives a kill -9: the journal beside a ledger in a file."""

from __future__ import annotations

import os
import signal
import sys
from asyncio import create_subprocess_exec, subprocess
from pathlib import Path

import pytest
from tests.usage.test_ledger import EVER, UNHOLDABLE, batch, entry

from antiphon.errors import StoreUnavailable
from antiphon.usage.books import SOON
from antiphon.usage.journal import ENOUGH_BYTES, REST_S, SLOW_S, Journal
from antiphon.usage.sqlite_books import GATHER, SqliteBooks

KILLED = """
import asyncio
import sys
from pathlib import Path
from tests.usage.test_ledger import entry
from antiphon.usage.sqlite_books import SqliteBooks
async def note():
    books = SqliteBooks(Path(sys.argv[1]))
    for number in range(1, 101):
        books.note(entry(number))
    print("noted", flush=True)
    sys.stdin.read()
asyncio.run(note())
"""


class Stopwatch:
    """A clock that each look at moves on by ``step`` seconds."""

    def __init__(self, step: float = 0.0) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def journals(folder: Path) -> list[Path]:
    return sorted(folder.glob("ledger-*"))


def protected(folder: Path) -> Path:
    """A folder that may be read only."""
    folder.mkdir(mode=0o500)
    return folder


async def ids(books: SqliteBooks) -> list[str]:
    return [one.id async for one in books.entries(*EVER)]


@pytest.mark.real_time
async def test_a_killed_process_leaves_every_call_that_had_ended(tmp_path: Path) -> None:
    child = await create_subprocess_exec(
        sys.executable, "-c", KILLED, str(tmp_path), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert await child.stdout.readline() == b"noted\n"
    meanwhile = SqliteBooks(tmp_path)
    assert await ids(meanwhile) == []
    meanwhile.close()
    child.send_signal(signal.SIGKILL)
    await child.wait()
    for _ in range(2):  # the second start finds nothing more
        books = SqliteBooks(tmp_path)
        assert await ids(books) == [f"e{n}" for n in range(1, 101)]
        assert await books.by("day", *EVER) == {"2026-11-23": 1_000}
        books.close()
        assert journals(tmp_path) == []


async def test_what_is_written_leaves_the_journal_and_nothing_is_left_at_the_end(tmp_path: Path) -> None:
    books = SqliteBooks(tmp_path)
    one, other = entry(1), entry(2)
    books.note(one)
    books.note(other)
    await books.append(batch(one))
    (file,) = journals(tmp_path)
    await books.append(batch(other, id="b2"))
    books.close()
    assert not file.exists()


async def test_a_server_that_stops_without_a_ledger_leaves_its_journal_to_the_next(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite3").mkdir()
    books = SqliteBooks(tmp_path)
    books.note(entry(1))
    with pytest.raises(StoreUnavailable):
        await books.append(batch(entry(1)))
    books.close()
    (tmp_path / "ledger.sqlite3").rmdir()
    again = SqliteBooks(tmp_path)
    assert await ids(again) == ["e1"]
    again.close()
    assert journals(tmp_path) == []


async def test_a_line_that_a_full_disk_cut_off_spoils_no_other(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.note(entry(1))
    (file,) = journals(tmp_path)
    with file.open("ab") as cut:
        cut.write(b'\n["e2",17,"2026-')
    journal.note(entry(3))
    journal.close()
    books = SqliteBooks(tmp_path)
    assert await ids(books) == ["e1", "e3"]
    books.close()


async def test_what_the_ledger_cannot_hold_is_no_reason_not_to_start(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for one in (*UNHOLDABLE, entry(3)):
        journal.note(one)
    journal.close()
    books = SqliteBooks(tmp_path)
    assert await ids(books) == ["e3"]
    books.close()
    assert journals(tmp_path) == []


async def test_a_journal_of_another_version_is_left_as_it_is(tmp_path: Path) -> None:
    strange = tmp_path / "ledger-strange.journal"
    strange.write_text('["id","name"]\n["e1","ann"]')
    books = SqliteBooks(tmp_path)
    assert await ids(books) == []
    books.close()
    assert strange.exists()


def test_a_journal_does_not_grow_for_ever(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for number in range(2_000):
        journal.note(entry(number))
        if number % 50 == 49:
            written = [entry(one) for one in range(number - 49, number + 1)]
            journal.has(written, synced=journal.full)
    (file,) = journals(tmp_path)
    assert file.stat().st_size < ENOUGH_BYTES + 50 * 400
    journal.close()
    assert journals(tmp_path) == []


def test_no_line_goes_before_the_disk_has_the_ledger(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    noted = [entry(number) for number in range(ENOUGH_BYTES // 100)]
    for one in noted:
        journal.note(one)
    assert journal.full
    (file,) = journals(tmp_path)
    journal.has(noted, synced=False)
    assert file.exists()
    journal.has([], synced=True)
    assert not file.exists()
    journal.close()


def test_lines_are_synced_where_they_were_written_though_the_journal_was_renewed(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.note(entry(1))
    sync = journal.unsynced()
    journal.close()
    with (tmp_path / "another").open("w"):  # takes the number that the journal's file had
        sync()
    with pytest.raises(OSError):
        sync()  # once: what it had open is closed
    assert journal.unsynced()() is None


def test_a_disk_that_is_slow_is_left_alone_and_entries_are_written_sooner(tmp_path: Path) -> None:
    clock = Stopwatch(step=2 * SLOW_S)
    journal = Journal(tmp_path, clock=clock)
    journal.note(entry(0))
    clock.step = 0.0
    assert journal.works, "once may be a busy processor"
    clock.now += REST_S
    clock.step = 2 * SLOW_S
    journal.note(entry(1))
    journal.note(entry(1))
    clock.step = 0.0
    worked = [journal.works]
    size = journals(tmp_path)[0].stat().st_size
    journal.note(entry(2))
    assert journals(tmp_path)[0].stat().st_size == size
    clock.now += REST_S
    assert [*worked, journal.works] == [False, True]
    journal.note(entry(3))
    assert journals(tmp_path)[0].stat().st_size > size
    journal.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_who_may_not_write_is_told_which_folder_and_why(tmp_path: Path) -> None:
    books = SqliteBooks(protected(tmp_path / "data"))
    books.note(entry(1))
    assert books.gather == SOON
    with pytest.raises(StoreUnavailable, match=r"permission denied.*chown.*/data.*ANTIPHON_DATA"):
        await books.append(batch(entry(1)))
    books.close()


async def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    books = SqliteBooks(tmp_path / "data")
    books.note(entry(1))
    assert (books.gather, SqliteBooks(tmp_path).gather) == (SOON, GATHER)
    with pytest.raises(StoreUnavailable, match="data is a file; set ANTIPHON_DATA to a folder"):
        await books.append(batch(entry(1)))
    books.close()
