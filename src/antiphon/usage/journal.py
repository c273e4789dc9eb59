"""What the ledger does not have yet: a line a call, appended when the call ends, so that a kill -9 takes none.

A commit of SQLite, or a way to the store, costs as much processor time as fifty of these lines, so entries are gathered
and written together; until then they are here. A line is handed to the system: that is what outlives the process, and
takes microseconds. Once a second a thread has the disk take what was handed over (``unsynced``). Each process has a
file of its own, locked while it lives; whoever opens the ledger next takes over the files of those that are dead. An
entry that is written twice counts once (its id), so a line that the ledger has already does no harm.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from antiphon.usage.entry import COLUMNS, Entry, of_row

ENOUGH_BYTES = 64 * 1024
"""A file is emptied once it is larger and the ledger has everything: every half minute of 50 busy sessions, and read in
some milliseconds at the next start."""

TOO_LARGE_BYTES = 1024 * 1024
"""… and written anew, with what the ledger lacks, when there was no moment at which it had everything."""

LINES_KEPT = 21_000
"""Lines that the ledger lacks: a batch more than the entries that the bookkeeper keeps while it cannot be written. The
oldest are given up then, here as there."""

SLOW_S = 0.02
"""A line that takes longer holds up every conversation. Once may be the processor, which had others to serve; twice in
``REST_S`` is a disk that is stalled, and lines are left out for as long."""

REST_S = 30.0

log = structlog.stdlib.get_logger(__name__)

_encoded = json.JSONEncoder(separators=(",", ":")).encode

HEAD = _encoded(COLUMNS).encode()
"""The first line: what stands where in the others."""


class Journal:
    """Of one process. It never raises: a disk that takes no line will not take the ledger either, and that is told."""

    def __init__(
        self, folder: Path, *, ledger: str = "ledger", clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """``ledger``: which one it is for, with which its name begins; ``clock`` in seconds."""
        self._folder = folder
        self._ledger = ledger
        self._clock = clock
        self._path: Path | None = None
        self._file = -1
        self._size = 0
        self._lacking: dict[str, bytes] = {}
        """Id of an entry that the ledger does not have → its line."""
        self._resting_until = 0.0
        self._suspected_until = 0.0
        """A line was slow: the next one tells."""
        self._dirty = False
        """Whether there are lines that the disk may not have."""

    @property
    def full(self) -> bool:
        """Whether it may be emptied next: the disk has to have the ledger then."""
        return self._size > ENOUGH_BYTES

    @property
    def works(self) -> bool:
        """Whether lines get there."""
        return self._clock() >= self._resting_until

    def note(self, entry: Entry) -> None:
        """Append a line: some 5 µs."""
        began = self._clock()
        if began < self._resting_until:
            return
        # The line's end comes first: after a line that a full disk cut off, the next one is whole.
        line = b"\n" + _encoded(entry).encode()
        try:
            if self._file < 0:
                self._open()
            written = os.write(self._file, line)
        except OSError:
            written = 0
        self._size += written
        self._dirty = True
        if written < len(line):
            self._resting_until = began + REST_S
            return
        self._lacking[entry.id] = line
        if len(self._lacking) > LINES_KEPT:
            del self._lacking[next(iter(self._lacking))]
        if self._clock() - began > SLOW_S:
            self._was_slow(began)

    def _was_slow(self, now: float) -> None:
        if now < self._suspected_until:
            self._resting_until = now + REST_S
            log.warning("the disk of the ledger is slow", setting="ANTIPHON_DATA", ms=round(SLOW_S * 1000))
        self._suspected_until = now + REST_S

    def has(self, entries: Sequence[Entry], *, synced: bool) -> None:
        """The ledger has these now, and so has the disk if it is ``synced``: no line goes before."""
        for entry in entries:
            self._lacking.pop(entry.id, None)
        if synced and self._size > (TOO_LARGE_BYTES if self._lacking else ENOUGH_BYTES):
            # A file that cannot be made anew stays as it is: too long, and right.
            with suppress(OSError):
                self._renew()

    def unsynced(self) -> Callable[[], None]:
        """What has the disk take all lines so far: to be called in a thread, once. It may raise OSError."""
        if not self._dirty or self._file < 0:
            return lambda: None
        self._dirty = False
        # A descriptor of its own: this one may be closed meanwhile, and its number be another file's.
        file = os.dup(self._file)
        return partial(_sync, file, self._folder)

    def close(self) -> None:
        """Done: the file goes, unless there is something in it that the ledger lacks."""
        if self._file < 0:
            return
        os.close(self._file)
        self._file = -1
        if self._path is not None and not self._lacking:
            self._path.unlink(missing_ok=True)

    def _open(self) -> None:
        """A file of our own. It gets its name when it is locked: with it, an unlocked one is a dead process's."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._folder / f"{self._ledger}-{secrets.token_hex(8)}.journal"
        new = path.with_suffix(".new")
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            written = os.write(file, b"".join((HEAD, *self._lacking.values())))
            os.rename(new, path)
        except OSError:
            os.close(file)
            new.unlink(missing_ok=True)
            raise
        self._path, self._file, self._size = path, file, written
        self._dirty = True

    def _renew(self) -> None:
        """Begin again, with what the ledger lacks."""
        path, file = self._path, self._file
        self._open()
        os.close(file)
        if path is not None:
            path.unlink(missing_ok=True)


def _sync(file: int, folder: Path) -> None:
    """The file's lines, and its name."""
    try:
        os.fsync(file)
        directory = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    finally:
        os.close(file)


def left_behind(folder: Path, ledger: str = "ledger") -> Generator[Sequence[Entry]]:
    """What dead processes left, the entries of one file after the other: write them before the next is asked for, as
    the file goes then. To be closed, so that no file stays locked; raises nothing."""
    for path in sorted(folder.glob(f"{ledger}-*.journal")):
        try:
            file = os.open(path, os.O_RDONLY)
        except OSError:
            continue  # just deleted, or of another user
        try:
            entries = _of_the_dead(file, path)
            if entries is not None:
                yield entries
                with suppress(OSError):  # taken over again at the next start, which changes nothing
                    path.unlink(missing_ok=True)
        finally:
            os.close(file)


def _of_the_dead(file: int, path: Path) -> Sequence[Entry] | None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return list(_entries(path))
    except BlockingIOError:
        return None  # of a process that lives
    except (OSError, _Unreadable) as error:
        log.error("what a killed server left cannot be read", file=path.name, problem=str(error))
        return None


class _Unreadable(Exception):
    """A journal of another layout."""


def _entries(path: Path) -> Iterator[Entry]:
    """Whole lines; one that was cut off by a full disk was never an entry."""
    head, _, rest = path.read_bytes().partition(b"\n")
    if head != HEAD:
        raise _Unreadable("another version of Antiphon wrote it: start that version once, and stop it")
    for line in rest.split(b"\n"):
        row = _row(line)
        if row is not None:
            yield of_row(row)


def _row(line: bytes) -> list[Any] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, list) and len(row) == len(COLUMNS) else None
