"""Many callers at once: connects them, keeps their time with one timer, and brings them back when their connection
is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from antiphon.load.caller import Caller
from antiphon.load.link import Link, NotConnected, Place, connect
from antiphon.load.mix import Mix
from antiphon.load.report import Report, report
from antiphon.load.speech import RATE, CodedSpeech, RecordedSpeech, Speech
from antiphon.load.tally import Tally
from antiphon.load.tickets import Credentials, TicketOffice

PHASES = 4
"""Callers are spread over a packet's length in so many groups, as independent microphones are."""

BACKOFF_S = 0.4
LONGEST_BACKOFF_S = 15.0
"""Before a lost connection is had again: doubling, half of it chance, as the page does it."""

PATIENCE_S = 20.0
"""How long turns under way may take to end when the time is up."""

GOODBYE_S = 2.0
"""How long the server may take to answer a goodbye."""

LATENESS_KEPT = 100_000
"""Samples of our own timer: over an hour's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadPlan:
    """What is to be done."""

    where: Place
    callers: int = 10
    duration_s: float = 60.0
    """From the first caller on, the ramp included."""
    ramp_s: float = 0.0
    """The callers come in evenly over so long."""
    mix: Mix = field(default_factory=Mix)
    speech: Path | None = None
    """A folder of WAV files; None: numbered coded speech, which scripted servers understand."""
    packet_ms: int = 40
    """Sound a message: 20-60."""
    seed: int = 0
    start: Mapping[str, Any] = field(default_factory=dict)
    """Added to every ``start`` message: ``language``, ``voice``, …"""
    credentials: Credentials = field(default_factory=Credentials)


class Load:
    """One run. ``tally`` may be read while it goes on; ``report`` sums it up."""

    def __init__(self, plan: LoadPlan) -> None:
        """Raises SettingsError when there is no speech to be said."""
        self.plan = plan
        self.tally = Tally()
        packet = plan.packet_ms * RATE // 1000
        speech: Speech = (
            CodedSpeech(packet=packet) if plan.speech is None else RecordedSpeech(plan.speech, packet=packet)
        )
        self._callers = [
            Caller(
                number,
                speech=speech,
                mix=plan.mix,
                tally=self.tally,
                random=Random(f"{plan.seed}/{number}"),
                packet=packet,
                start=plan.start,
            )
            for number in range(plan.callers)
        ]
        self._random = Random(plan.seed)
        self._talking: list[set[Caller]] = [set() for _ in range(PHASES)]
        self._links: set[Link] = set()
        self._began_s = 0.0
        self._took_s = 0.0
        self._cpu_s = 0.0
        self._stopping = asyncio.Event()
        self._over = asyncio.Event()

    def now(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began_s

    def stop(self) -> None:
        """End when the turns under way are over."""
        self._stopping.set()

    def report(self, *, since_s: float = 0.0, until_s: float = float("inf")) -> Report:
        """Sums up what began between two times of the run."""
        took_s = self._took_s or self.now()
        cpu_s = self._cpu_s or time.process_time()
        return report(
            self.tally,
            callers=self.plan.callers,
            took_s=took_s,
            cpu_share=cpu_s / took_s if took_s else 0.0,
            since_s=since_s,
            until_s=until_s,
        )

    async def run(self) -> Report:
        """To the end. Safe to cancel; all connections end with it."""
        self._began_s, cpu_before = time.monotonic(), time.process_time()
        office = TicketOffice(self.plan.where, self.plan.credentials)
        try:
            async with asyncio.TaskGroup() as tasks:
                timer = tasks.create_task(self._keep_time())
                ending = tasks.create_task(self._end())
                async with asyncio.TaskGroup() as lines:
                    for caller in self._callers:
                        lines.create_task(self._hold(caller, office))
                timer.cancel()
                ending.cancel()
        finally:
            await office.close()
            self._took_s, self._cpu_s = self.now(), time.process_time() - cpu_before
        return self.report()

    async def _end(self) -> None:
        """When the time is up: let the turns under way end, then hang up on the rest."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.plan.duration_s):
                await self._stopping.wait()
        self._stopping.set()
        for caller in self._callers:
            caller.leave(now=self.now())
        await asyncio.sleep(PATIENCE_S)
        for caller in self._callers:
            caller.abandon(now=self.now())
        await asyncio.sleep(GOODBYE_S)
        self._over.set()
        for link in tuple(self._links):
            link.abort()

    async def _keep_time(self) -> None:
        """One timer for all: each group of callers is due once a packet's length."""
        loop, step = asyncio.get_running_loop(), self.plan.packet_ms / 1000 / PHASES
        begun, steps = loop.time(), 0
        while True:
            steps += 1
            await asyncio.sleep(max(0.0, begun + steps * step - loop.time()))
            late = loop.time() - begun - steps * step
            if len(self.tally.late_ms) < LATENESS_KEPT and not steps % PHASES:
                self.tally.late_ms.append(late * 1000)
            now = self.now()
            for caller in tuple(self._talking[steps % PHASES]):
                caller.tick(now)

    async def _hold(self, caller: Caller, office: TicketOffice) -> None:
        """One caller, from its first connection to its last."""
        await self._wait(self.plan.ramp_s * caller.number / max(self.plan.callers, 1))
        caller.wants(self.now())
        attempt = 0
        while not caller.ended and not self._over.is_set():
            if self._stopping.is_set() and not (caller.under_way or caller.kept_away_s(self.now())):
                return
            ear = _Ear(caller, self.now)
            try:
                link = await connect(
                    self.plan.where, ear, ticket=await office.ticket(), traffic=self.tally.traffic
                )
            except NotConnected as problem:
                self.tally.refused[f"HTTP {problem.status}" if problem.status else "unreachable"] += 1
                attempt += 1
                await self._wait(problem.retry_after_s or self._backoff(attempt))
                continue
            group = self._talking[caller.number % PHASES]
            try:
                caller.connected(link)
                group.add(caller)
                self._links.add(link)
                await ear.gone.wait()
            finally:
                group.discard(caller)
                self._links.discard(link)
                link.abort()
            attempt = 0 if ear.talked else attempt + 1
            if not caller.ended:
                await self._wait(self._backoff(max(attempt, 1)) if caller.away_s is None else caller.away_s)

    def _backoff(self, attempt: int) -> float:
        most = min(LONGEST_BACKOFF_S, BACKOFF_S * 2.0 ** min(attempt - 1, 10))
        return most * self._random.uniform(0.5, 1.0)

    async def _wait(self, seconds: float) -> None:
        """At most until the run is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()


class _Ear:
    """Passes what a link tells to its caller, with the time."""

    def __init__(self, caller: Caller, now: Callable[[], float]) -> None:
        self.gone = asyncio.Event()
        self.talked = False
        self._caller = caller
        self._now = now

    def message(self, message: Mapping[str, Any]) -> None:
        self.talked = self.talked or message["type"] == "session"
        self._caller.message(message, now=self._now())

    def sound(self, pcm: bytes) -> None:
        self._caller.sound(pcm, now=self._now())

    def lost(self, code: int, reason: str) -> None:
        self._caller.disconnected(code, now=self._now())
        self.gone.set()


async def run_load(plan: LoadPlan) -> Report:
    """Do it, and say what came of it."""
    return await Load(plan).run()
