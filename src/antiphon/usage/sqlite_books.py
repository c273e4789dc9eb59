"""The ledger of one server: an SQLite file, written by one thread, and what it lacks in a journal beside it.

What was noted survives a kill -9 of the server at once; what ``append`` has returned from, a power cut after
``SYNC_S``.
Several servers on one machine may write to the same file; what each has set aside for turns under way only it knows.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import structlog

from antiphon.errors import StoreUnavailable
from antiphon.usage.books import (
    GROUPS,
    SOON,
    TAKEN_S,
    THRESHOLDS,
    UNTOLD,
    Ask,
    Batch,
    Crossed,
    Gather,
    Line,
    Written,
)
from antiphon.usage.entry import COLUMNS, Entry, of_row
from antiphon.usage.journal import Journal, left_behind

FILE = "ledger.sqlite3"

VERSION = 2
"""``user_version`` of the file's layout."""

BUSY_S = 5.0
"""How long another process's commit is waited for; one takes milliseconds, a backup of a large file a second."""

SYNC_S = 1.0
"""How long after a call has ended the disk has it, in the journal or in the ledger. A sync for each would cost more
than all the rest; the store that replicas share does the same (``appendfsync everysec``)."""

GATHER = Gather(2.0, 250)
"""A commit costs some 0.3 ms and 20 µs an entry, so fewer and larger ones are cheaper; a batch of 250 takes the
writer's thread some 5 ms. Thresholds of budgets are told of that much later. Nothing is lost
meanwhile: it is in the journal."""

PAGE = 2_000
"""Entries read at a time: about a megabyte."""

TYPES = {"id": "TEXT PRIMARY KEY", "micros": "INTEGER"}
TEXTS = frozenset(
    {"day", "session", "turn", "reply", "caller", "kind", "provider", "model", "transport", "outcome"}
)

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS calls ({
    ", ".join(
        f"{name} {TYPES.get(name) or ('TEXT' if name in TEXTS else 'INTEGER') + ' NOT NULL'}"
        for name in COLUMNS
    )
});
CREATE INDEX IF NOT EXISTS calls_day ON calls (day);
CREATE TABLE IF NOT EXISTS spent (account TEXT PRIMARY KEY, micros INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS thresholds (
    name TEXT PRIMARY KEY, account TEXT NOT NULL, teller TEXT NOT NULL, until REAL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS thresholds_untold ON thresholds (until) WHERE until IS NOT NULL;
PRAGMA user_version = {VERSION};
"""
"""A threshold is there once it was reached; ``teller`` is the batch that reached it, or who took over from it;
``until``, seconds since 1970: how long it is the teller's to tell; NULL: the operator was told."""

INSERT = f"INSERT OR IGNORE INTO calls ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
ADD = "INSERT INTO spent VALUES (?, ?) ON CONFLICT DO UPDATE SET micros = micros + excluded.micros RETURNING micros"
CROSS = "INSERT OR IGNORE INTO thresholds VALUES (?, ?, ?, ?)"
MINE = "SELECT 1 FROM thresholds WHERE name = ? AND teller = ? AND until IS NOT NULL"
TAKE = "UPDATE thresholds SET until = ?, teller = ? WHERE name = ?"
TAKEN = "UPDATE thresholds SET until = ? WHERE name = ? AND until IS NOT NULL"
TOLD = "UPDATE thresholds SET until = NULL WHERE name = ?"
UNTOLD_ONES = """
SELECT name, micros FROM thresholds JOIN spent USING (account)
WHERE until IS NOT NULL AND until NOT BETWEEN ? AND ? ORDER BY until LIMIT ?
"""
"""Until after the latest that anybody takes them for: the clock was set back since."""

LINES = """
SELECT kind, provider, model, COUNT(*), SUM(outcome NOT IN ('ok', 'cancelled')), SUM(audio_ms), SUM(input_tokens),
       SUM(cached_tokens), SUM(output_tokens), SUM(characters), SUM(COALESCE(micros, 0)), SUM(micros IS NULL),
       SUM(CASE WHEN speculative THEN COALESCE(micros, 0) ELSE 0 END),
       SUM(CASE WHEN cancelled THEN COALESCE(micros, 0) ELSE 0 END)
FROM calls WHERE day BETWEEN ? AND ? GROUP BY kind, provider, model ORDER BY kind, provider, model
"""

UNBINDABLE = (
    OverflowError,
    UnicodeEncodeError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)
"""What SQLite's module raises for a value that a column cannot hold."""

T = TypeVar("T")

log = structlog.stdlib.get_logger(__name__)


class SqliteBooks:
    """The file is opened when it is first needed, and again after an error: a disk that was full may have room."""

    shared = False

    def __init__(self, folder: Path, *, max_pages: int = 0, wall: Callable[[], float] = time.time) -> None:
        """``max_pages`` limits the file's size, 0: not at all. ``wall``: seconds since 1970."""
        self.path = folder / FILE
        self._wall = wall
        self._max_pages = max_pages
        self._connection: sqlite3.Connection | None = None
        self._syncing: asyncio.TimerHandle | None = None
        self._journal = Journal(folder)
        # One thread: SQLite writes one at a time anyway, and in order.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")

    @property
    def gather(self) -> Gather:
        return GATHER if self._journal.works else SOON

    def note(self, entry: Entry) -> None:
        self._journal.note(entry)
        self._sync_later()

    async def append(self, batch: Batch) -> Written:
        full = self._journal.full  # its lines go when this is written: the disk has to have it first

        def work(connection: sqlite3.Connection) -> Written:
            written = _append(connection, batch, self._wall())
            if full:
                self._sync_ledger()
            return written

        written = await self._run(work)
        self._journal.has(batch.entries, synced=full)
        self._sync_later()
        return written

    async def reserve(self, ask: Ask) -> str:
        """Set aside in memory: nothing to do here."""
        return ""

    async def renew(self, ids: Sequence[str]) -> None:
        """Nothing to do here either."""

    async def spent(self, day: date) -> Mapping[str, int]:
        names = f"day {day}", f"key {day} ", f"key {day} \U0010ffff"
        query = "SELECT account, micros FROM spent WHERE account = ? OR account BETWEEN ? AND ?"
        return dict(await self._run(lambda connection: connection.execute(query, names).fetchall()))

    async def held(self, day: date) -> int:
        return 0

    async def untold(self, telling: Sequence[str], teller: str) -> Sequence[Crossed]:
        now = self._wall()
        return await self._run(lambda connection: _untold(connection, telling, teller, now))

    async def days(self) -> Sequence[date]:
        query = (
            "SELECT substr(account, 5) FROM spent WHERE account BETWEEN 'day ' AND 'day :' ORDER BY account"
        )
        found = await self._run(lambda connection: connection.execute(query).fetchall())
        return [date.fromisoformat(day) for (day,) in found]

    async def lines(self, first: date, last: date) -> tuple[Line, ...]:
        days = first.isoformat(), last.isoformat()
        rows = await self._run(lambda connection: connection.execute(LINES, days).fetchall())
        return tuple(_line(row) for row in rows)

    async def by(self, group: str, first: date, last: date) -> Mapping[str, int]:
        if group not in GROUPS:
            raise ValueError(f"there is no group {group!r}")
        days = first.isoformat(), last.isoformat()
        query = f"SELECT {group}, SUM(COALESCE(micros, 0)) FROM calls WHERE day BETWEEN ? AND ? GROUP BY 1 ORDER BY 1"
        return dict(await self._run(lambda connection: connection.execute(query, days).fetchall()))

    async def entries(self, first: date, last: date) -> AsyncIterator[Entry]:
        query = f"""SELECT rowid, {", ".join(COLUMNS)} FROM calls
                    WHERE day BETWEEN ? AND ? AND (day, rowid) > (?, ?) ORDER BY day, rowid LIMIT ?"""
        after: tuple[str, int] = ("", 0)
        while True:
            wanted = first.isoformat(), last.isoformat(), *after, PAGE
            rows = await self._run(partial(_fetch, query, wanted))
            for row in rows:
                entry = of_row(row[1:])
                after = entry.day, row[0]
                yield entry
            if len(rows) < PAGE:
                return

    async def prune(self, before: date) -> int:
        return await self._run(lambda connection: _prune(connection, before.isoformat()))

    async def backup(self, path: Path) -> None:
        """A copy in one file, whole, while the server runs; an error where there is a file already."""
        await self._run(partial(_backup, path))

    def allow(self, max_pages: int) -> None:
        """Another limit of the file's size, from the next time it is opened; 0: none."""
        self._max_pages = max_pages

    def close(self) -> None:
        """Waits for what is being written. Closing the file syncs it."""
        if self._syncing is not None:
            self._syncing.cancel()
        self._thread.submit(self._disconnect).result()
        self._thread.shutdown()
        self._journal.close()

    async def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """In the writer's thread. A cancel does not stop what has begun."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._work, work)

    def _work(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = self._open()
            return work(self._connection)
        except (sqlite3.Error, OSError) as error:
            if not isinstance(error, sqlite3.IntegrityError):
                self._disconnect()
            raise StoreUnavailable(_describe(error, self.path)) from error

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        connection = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            if self._max_pages:
                connection.execute(f"PRAGMA max_page_count = {self._max_pages}")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise sqlite3.DatabaseError("a newer version of Antiphon wrote it")
            if version < VERSION:
                connection.executescript(f"BEGIN; {SCHEMA} COMMIT;")
            _take_over(connection, self.path.parent)
        except BaseException:
            connection.close()
            raise
        return connection

    def _sync_later(self) -> None:
        if self._syncing is None:
            self._syncing = asyncio.get_running_loop().call_later(SYNC_S, self._sync_soon)

    def _sync_soon(self) -> None:
        self._syncing = None
        self._thread.submit(self._sync, self._journal.unsynced())

    def _sync(self, journal: Callable[[], None]) -> None:
        """All that was noted and committed so far, to the disk."""
        try:
            journal()
        except OSError as error:
            log.error("the ledger's journal was not synced", problem=error.strerror)
        self._sync_ledger()

    def _sync_ledger(self) -> None:
        try:
            file = os.open(self.path.with_name(FILE + "-wal"), os.O_RDONLY)
        except OSError:
            return  # moved into the main file, which was synced then
        try:
            os.fsync(file)
        except OSError as error:
            log.error("ledger not synced", problem=error.strerror)
        finally:
            os.close(file)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _fetch(query: str, values: Sequence[object], connection: sqlite3.Connection) -> list[tuple[Any, ...]]:
    return connection.execute(query, values).fetchall()


def _backup(path: Path, connection: sqlite3.Connection) -> None:
    """Which of the two files it is that cannot be used, SQLite does not say."""
    try:
        connection.execute("VACUUM INTO ?", (str(path),))
    except sqlite3.Error as error:
        folder = path.absolute().parent
        why = str(error) if folder.is_dir() else f"there is no folder {folder}"
        raise StoreUnavailable(f"The ledger cannot be copied to {path}: {why}.") from error


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _take_over(connection: sqlite3.Connection, folder: Path) -> None:
    """What a server that was killed had noted and not written."""
    count = 0
    try:
        with closing(left_behind(folder)) as found:
            for entries in found:
                _rescue(connection, entries)
                count += len(entries)
    except sqlite3.OperationalError as error:  # a full disk: what is there can be read all the same
        log.error("what a killed server left is not in the ledger yet", problem=str(error))
    if count:
        log.info("took over what a killed server left", entries=count)


def _rescue(connection: sqlite3.Connection, entries: Sequence[Entry]) -> None:
    for first in range(0, len(entries), PAGE):
        _append(connection, Batch(id="", entries=tuple(entries[first : first + PAGE])), 0.0)


def _append(connection: sqlite3.Connection, batch: Batch, now: float) -> Written:
    with _transaction(connection):
        touched: dict[str, int] = {}
        left_out = 0
        for entry in batch.entries:
            try:
                new = connection.execute(INSERT, entry).rowcount == 1
            except UNBINDABLE as error:
                left_out += 1
                log.error(
                    "an entry that the ledger cannot hold is left out", entry=entry.id, problem=repr(error)
                )
                continue
            for account in entry.accounts:
                touched[account] = touched.get(account, 0) + ((entry.micros or 0) if new else 0)
        spent = {
            account: int(connection.execute(ADD, (account, micros)).fetchone()[0])
            for account, micros in touched.items()
        }
        crossed = tuple(_crossed(connection, batch, spent, now))
        connection.executemany(TOLD, [(name,) for name in batch.told])
        return Written(spent=spent, crossed=crossed, left_out=left_out)


def _crossed(
    connection: sqlite3.Connection, batch: Batch, spent: Mapping[str, int], now: float
) -> Iterator[Crossed]:
    """Thresholds reached for the first time. A batch that is written again is told again what it had crossed."""
    for account, total in spent.items():
        limit = batch.limits.get(account, 0)
        for threshold in THRESHOLDS:
            if not limit or total * 100 < limit * threshold:
                continue
            crossed = Crossed(account=account, threshold=threshold, spent=total, limit=limit)
            connection.execute(CROSS, (crossed.name, account, batch.id, now + TAKEN_S))
            if connection.execute(MINE, (crossed.name, batch.id)).fetchone():
                yield crossed


def _untold(
    connection: sqlite3.Connection, telling: Sequence[str], teller: str, now: float
) -> Sequence[Crossed]:
    if connection.execute("SELECT 1 FROM thresholds WHERE until IS NOT NULL LIMIT 1").fetchone() is None:
        return []
    until = now + TAKEN_S
    with _transaction(connection):
        connection.executemany(TAKEN, [(until, name) for name in telling])
        rows = connection.execute(UNTOLD_ONES, (now, until, UNTOLD)).fetchall()
        connection.executemany(TAKE, [(until, teller, name) for name, _ in rows])
    return [Crossed.of(name, int(micros)) for name, micros in rows]


def _prune(connection: sqlite3.Connection, before: str) -> int:
    """Entries, the counts of those days, and of sessions that have no entry left; and their thresholds."""
    with _transaction(connection):
        deleted = connection.execute("DELETE FROM calls WHERE day < ?", (before,)).rowcount
        old = "(account LIKE 'day %' OR account LIKE 'key %') AND substr(account, 5, 10) < ?"
        connection.execute(f"DELETE FROM spent WHERE {old}", (before,))
        connection.execute(
            "DELETE FROM spent WHERE account LIKE 'session %' "
            "AND substr(account, 9) NOT IN (SELECT DISTINCT session FROM calls)"
        )
        connection.execute("DELETE FROM thresholds WHERE account NOT IN (SELECT account FROM spent)")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return int(deleted)


def _line(row: Sequence[Any]) -> Line:
    names = ("kind", "provider", "model", "calls", "failed", "audio_ms", "input_tokens", "cached_tokens",
             "output_tokens", "characters", "micros", "unpriced", "speculative_micros", "cancelled_micros")  # fmt: skip
    return Line(**dict(zip(names, row, strict=True)))


def _describe(error: Exception, path: Path) -> str:
    """What is wrong with the file, and what to do."""
    why, hint = _cause(path, getattr(error, "strerror", None) or str(error))
    return f"The ledger {path} cannot be used: {why}; {hint}"


def _cause(path: Path, said: str) -> tuple[str, str]:
    """What is wrong, and what to do. SQLite says only that a file cannot be opened, so the folder is looked at."""
    folder = path.parent
    if "full" in said.lower() or "space" in said.lower():
        return said, f"free some room in {folder}, or set ANTIPHON_DATA to a folder on another disk"
    if folder.exists() and not folder.is_dir():
        return f"{folder} is a file", "set ANTIPHON_DATA to a folder"
    if "unable to open" in said or "readonly" in said or "ermission denied" in said:
        there = next(above for above in (folder, *folder.parents) if above.exists())
        if os.statvfs(there).f_flag & os.ST_RDONLY:
            return (
                f"{there} is on a file system that is read-only",
                "mount it for writing, or set ANTIPHON_DATA to a folder that can be written",
            )
        if not _may_write(there) or (path.exists() and not _may_write(path)):
            return (
                f"permission denied: user {os.geteuid()}, as whom the server runs, may not write there "
                f"({there} belongs to user {there.stat().st_uid})",
                f"give it to that user (chown -R {os.geteuid()} {there}), or set ANTIPHON_DATA to a folder of its own",
            )
    return said, f"check the folder in ANTIPHON_DATA, {folder}"


def _may_write(path: Path) -> bool:
    needed = os.W_OK | os.X_OK if path.is_dir() else os.W_OK
    return os.access(path, needed, effective_ids=os.access in os.supports_effective_ids)
