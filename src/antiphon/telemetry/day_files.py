"""The days on disk, for ``antiphon report``: one file a day, a line of numbers a minute. Nothing that was said.

A line is written whole and at the end, so several servers may share a folder, and what a crash leaves half written is
left out when it is read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from datetime import date, datetime, tzinfo
from pathlib import Path

from antiphon.telemetry.tally import Tally

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

    def lines(self, minutes: Mapping[int, Tally]) -> dict[date, bytes]:
        """The minutes as lines of their days. Touches no disk."""
        by_day: dict[date, bytes] = {}
        for minute, tally in minutes.items():
            line = json.dumps({"minute": minute, **tally.to_json()}, separators=(",", ":"))
            day = self.day_of(minute)
            by_day[day] = by_day.get(day, b"") + line.encode() + b"\n"
        return by_day

    def append(self, lines: Mapping[date, bytes]) -> None:
        """Write them down."""
        for day, data in lines.items():
            self._write(day, data)

    def _write(self, day: date, data: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(self._path(day), os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            # A line that a full disk or a crash cut short must not swallow the next one.
            size = os.fstat(file).st_size
            if size and os.pread(file, 1, size - 1) != b"\n":
                data = b"\n" + data
            written = os.write(file, data)
            if written < len(data):
                raise OSError(f"{written} of {len(data)} bytes were written")
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
            except (ValueError, TypeError, KeyError, AttributeError):
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
