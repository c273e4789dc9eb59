"""The days on disk, for ``antiphon report``: one file a day, a line of numbers a minute. Nothing that was said.

Lines are written whole and at the end, all of a day's or none, so several servers may share a folder and a disk that
fills up counts nothing twice; what a crash leaves half written is left out when it is read.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from datetime import date, datetime, tzinfo
from pathlib import Path

from antiphon.telemetry.tally import UNREADABLE, Tally

SUFFIX = ".jsonl"


class DayFiles:
    """A folder of days. What reads and writes waits for the disk: call it in a thread. Raises OSError."""

    def __init__(self, folder: Path, *, zone: tzinfo | None = None) -> None:
        """``zone``: where days begin and end; None: as this machine is set."""
        self.folder = folder
        self._zone = zone

    def day_of(self, minute: int) -> date:
        """The day that a minute (since 1970) belongs to."""
        return datetime.fromtimestamp(minute * 60, self._zone).date()

    def by_day(self, minutes: Mapping[int, Tally]) -> dict[date, dict[int, Tally]]:
        """The minutes of each day."""
        days: dict[date, dict[int, Tally]] = {}
        for minute, tally in minutes.items():
            days.setdefault(self.day_of(minute), {})[minute] = tally
        return days

    @staticmethod
    def lines(minutes: Mapping[int, Tally]) -> bytes:
        """The minutes as a file keeps them. Touches no disk."""
        told = ({"minute": minute, **tally.to_json()} for minute, tally in minutes.items())
        return b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in told)

    def append(self, day: date, lines: bytes) -> None:
        """Write them down, all or none: what raises leaves the day as it was."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(self._path(day), os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            # Nobody else's lines may stand behind ours when ours are taken back.
            fcntl.flock(file, fcntl.LOCK_EX)
            _append(file, lines)
        finally:
            os.close(file)

    def read(self, day: date) -> Iterator[tuple[int, Tally]]:
        """The day's lines as (minute, tally); a minute may come several times. Nothing when there is no file; lines
        that cannot be read are left out."""
        try:
            text = self._path(day).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return
        for line in text.splitlines():
            try:
                data = json.loads(line)
                yield int(data["minute"]), Tally.from_json(data)
            except UNREADABLE:
                continue

    def days(self) -> tuple[date, ...]:
        """The days there are, oldest first."""
        return tuple(sorted(day for path in self._paths() if (day := _day(path)) is not None))

    def drop_before(self, first: date) -> None:
        """Delete the days before ``first``."""
        for path in self._paths():
            day = _day(path)
            if day is not None and day < first:
                path.unlink(missing_ok=True)

    def _path(self, day: date) -> Path:
        return self.folder / f"{day.isoformat()}{SUFFIX}"

    def _paths(self) -> list[Path]:
        return list(self.folder.glob(f"*{SUFFIX}")) if self.folder.is_dir() else []


def _day(path: Path) -> date | None:
    try:
        return date.fromisoformat(path.stem)
    except ValueError:
        return None


def _append(file: int, data: bytes) -> None:
    size = os.fstat(file).st_size
    # A line that a crash cut short must not swallow the next one.
    if size and os.pread(file, 1, size - 1) != b"\n":
        data = b"\n" + data
    try:
        while data:
            data = data[os.write(file, data) :]
    except OSError:
        os.ftruncate(file, size)
        raise
