"""Everything that watches: metrics, the last day, traces; opened together with the server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from pathlib import Path

from antiphon.conversation.events import ProviderCall
from antiphon.conversation.listening import Listener
from antiphon.telemetry.certificate import CertificateWatch
from antiphon.telemetry.day_files import DayFiles
from antiphon.telemetry.exporting import open_tracer
from antiphon.telemetry.gathered import Gathered
from antiphon.telemetry.keeping import Keeper
from antiphon.telemetry.metrics import Metrics
from antiphon.telemetry.pricing import Price, free_or_unknown
from antiphon.telemetry.recent import Recent
from antiphon.telemetry.sources import Sources
from antiphon.telemetry.traces import Traces

FOLDER = "days"
"""Below the data folder: the figures for ``antiphon report``."""

SAMPLE_S = 20.0
"""How often conversations are counted, so that quiet ones are seen in every minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """What is watched, and where it is kept."""

    data: Path | None = None
    """The data folder; None: nothing is written."""
    report_days: int = 30
    """How long a day's figures are kept; 0: they are not written."""
    restore: bool = True
    """Whether the last day is taken up from the files at the start. Replicas have it from each other: their files may
    lie in one folder, and would be counted twice."""
    zone: tzinfo | None = None
    """Where days begin and end; None: as this machine is set."""
    traces: str = ""
    """Address of an OpenTelemetry collector; empty: no traces."""
    trace_sample: float = 1.0
    transcripts: bool = False
    certificate: Path | None = None
    """The file of the certificate that the proxy in front presents; None: nobody looks at one."""
    domain: str = ""
    """Whom it must be for; empty: anybody."""


class Observability:
    """One for a server. ``price`` and what ``sources`` asks may be filled in once they are known."""

    def __init__(
        self,
        watching: Watching | None = None,
        *,
        sources: Sources | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """``now``: seconds since 1970."""
        self.watching = watching or Watching()
        self.price: Price = free_or_unknown
        self.sources = sources or Sources()
        self._metrics = Metrics(price=self._price, trace_of=self.trace_id, sources=self.sources)
        self._recent = Recent(
            price=self._price, trace_of=self.trace_id, transcripts=self.watching.transcripts, now=now
        )
        self._gathered = Gathered(self._metrics, self._recent)
        self._traces: Traces | None = None

    @property
    def metrics(self) -> Metrics:
        """Sums since the start, of all that has happened until now: to be asked for anew with each look."""
        self._gathered.pass_on()
        return self._metrics

    @property
    def recent(self) -> Recent:
        """The last day, turns and errors, of all that has happened until now: to be asked for anew with each look."""
        self._gathered.pass_on()
        return self._recent

    def trace_id(self, session_id: str) -> str:
        """Hex id of a live session's trace; empty without traces."""
        return self._traces.trace_id(session_id) if self._traces is not None else ""

    @property
    def zone(self) -> tzinfo | None:
        """Where days begin and end."""
        return self.watching.zone

    def today(self) -> date:
        """The day it is, in the set time zone."""
        return datetime.fromtimestamp(self._recent.now, self.zone).date()

    def midnight(self) -> float:
        """When today began, in seconds since 1970."""
        now = datetime.fromtimestamp(self._recent.now, self.zone)
        return now.replace(hour=0, minute=0, second=0, microsecond=0).timestamp()

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[tuple[Listener, ...]]:
        """Whom to tell of the conversations. On leaving, what they gathered is written and sent. Raises
        SettingsError."""
        async with AsyncExitStack() as stack:
            # First: when a session ends, its trace's id is asked for before that is over.
            listeners: list[Listener] = [self._gathered]
            if self.watching.traces:
                sample = self.watching.trace_sample
                tracer = await stack.enter_async_context(open_tracer(self.watching.traces, sample=sample))
                self._traces = Traces(tracer, price=self._price, transcripts=self.watching.transcripts)
                listeners.append(self._traces)
            if self.watching.data is not None and self.watching.report_days:
                files = DayFiles(self.watching.data / FOLDER, zone=self.zone)
                keeper = Keeper(
                    self._recent, files, days=self.watching.report_days, restore=self.watching.restore
                )
                await stack.enter_async_context(keeper.keeping())
                stack.callback(self._gathered.pass_on)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            sampling = tasks.create_task(self._sample())
            stack.callback(sampling.cancel)
            if self.watching.certificate is not None:
                certificate = CertificateWatch(self.watching.certificate, self.watching.domain)
                self.sources.certificate_end = lambda: certificate.end
                looking = tasks.create_task(certificate.run())
                stack.callback(looking.cancel)
            yield tuple(listeners)

    async def _sample(self) -> None:
        while True:
            self._recent.sample()
            await asyncio.sleep(SAMPLE_S)

    def _price(self, call: ProviderCall) -> int | None:
        return self.price(call)
