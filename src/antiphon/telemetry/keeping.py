"""Writing the minutes down, once a minute and at the end; what the disk refuses waits for the next minute."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from antiphon.store.retention import first_kept
from antiphon.telemetry.day_files import DayFiles
from antiphon.telemetry.logs import logger
from antiphon.telemetry.recent import Recent

EVERY_S = 60.0
"""A crash loses at most this much of the report."""

log = logger(__name__)


class Keeper:
    """Keeps what ``recent`` gathers in ``files``, ``days`` days long."""

    def __init__(self, recent: Recent, files: DayFiles, *, days: int, restore: bool = True) -> None:
        self._recent = recent
        self._files = files
        self._days = days
        self._takes_up = restore
        self._refused = False

    @asynccontextmanager
    async def keeping(self) -> AsyncIterator[None]:
        """Take up the last day from the files; keep writing until the end, and then the rest."""
        if self._takes_up:
            await asyncio.to_thread(self._restore)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write_often(stop))
            try:
                yield
            finally:
                # Not cancelled: a write cut in two would be made again, and counted twice.
                stop.set()
        await self.write(stopping=True)

    async def _write_often(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await stop.wait()
            await self.write()

    async def write(self, *, stopping: bool = False) -> None:
        """Write what is finished. A disk that is full or gone is told of once; nothing is lost until a day has
        gathered."""
        minutes = self._recent.minutes
        ready = self._files.by_day(minutes.unwritten(self._recent.now, stopping=stopping))
        try:
            for day, part in ready.items():
                await asyncio.to_thread(self._files.append, day, self._files.lines(part))
                minutes.written(part)
            await asyncio.to_thread(self._drop_old)
        except OSError as error:
            if not self._refused:
                log.warning(
                    "the day's figures cannot be written; kept in memory",
                    folder=str(self._files.folder),
                    problem=error.strerror or str(error),
                )
            self._refused = True
            return
        self._refused = False

    def _drop_old(self) -> None:
        today = self._files.day_of(int(self._recent.now // 60))
        if (first := first_kept(self._files.days(), today, self._days)) is not None:
            self._files.drop_before(first)

    def _restore(self) -> None:
        """The last 24 hours, so that a restart does not empty the operator page."""
        start = self._recent.now - timedelta(days=1).total_seconds()
        today = self._files.day_of(int(self._recent.now // 60))
        try:
            for day in (today - timedelta(days=1), today):
                for minute, tally in self._files.read(day):
                    if minute * 60 >= start:
                        self._recent.minutes.restore(minute, tally)
            # Added up here once, in this thread, for whoever opens the operator's page first.
            self._recent.minutes.total(start, self._recent.now)
        except OSError as error:
            log.warning("the last day's figures cannot be read", problem=error.strerror or str(error))
