"""What is left behind: a server in conversation for half an hour, and one that callers come to and leave.

    python benchmarks/soak.py                    # 20 scripted sessions for 30 minutes
    python benchmarks/soak.py --minutes 2        # the same, shorter
    python benchmarks/soak.py --cycles 1000      # callers that connect and leave, every second one without a word

The server runs in a process of its own with scripted providers (no models: what is looked at is everything else);
its memory, open files and tasks are read from outside while `antiphon load` talks to it from this process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import psutil

from antiphon.load.link import Place, connect, place
from antiphon.load.run import Load, LoadPlan
from antiphon.server.serving import listen

SAMPLE_S = 10.0
WARM_UP_SHARE = 0.1
"""Of the run, before memory is taken as the size to hold: caches and the allocator's arenas fill."""
WARM_UP_LEAST_S = 180.0
WINDOW_SHARE = 6
"""Parts of the warm run of which the first and the last are compared, by their mean: minutes, because every session
keeps its last minute and a half of sound, lets go of it five seconds at a time, and does so when it likes."""
GROWTH_MOST = 0.05
AT_ONCE = 20
"""Connections that come and go side by side in ``--cycles``."""
SETTLE_S = 15.0
"""After the last goodbye, until what is left counts as left behind: an empty server gives memory back within ten."""

OPENED_ONCE = 1
"""Files that are opened with the first turn and stay open: the ledger's journal."""

SERVE = """
import asyncio, signal, sys
from antiphon.cli import main
def tell(*_):
    tasks = asyncio.all_tasks(asyncio.get_running_loop())
    print(len(tasks), flush=True)
signal.signal(signal.SIGUSR1, tell)
sys.argv = ["antiphon", "serve", "--fd", sys.argv[1], "--log-level", "warning", "--log-format", "json"]
main()
"""
"""The server as it always is, but for one signal on which it says how many tasks it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """One look at the server."""

    rss_mb: float
    """Resident memory."""
    uss_mb: float
    """Of it, what no other process shares."""
    files: int
    threads: int
    tasks: int


class Watched:
    """A server whose footprint is read."""

    def __init__(self, process: asyncio.subprocess.Process, where: Place) -> None:
        self.where = where
        self._process = process
        self._outside = psutil.Process(process.pid)

    async def footprint(self) -> Footprint:
        """Now."""
        self._process.send_signal(signal.SIGUSR1)
        assert self._process.stdout is not None
        tasks = int(await self._process.stdout.readline())
        memory = self._outside.memory_full_info()
        return Footprint(
            rss_mb=round(memory.rss / 2**20, 2),
            uss_mb=round(memory.uss / 2**20, 2),
            files=self._outside.num_fds(),
            threads=self._outside.num_threads(),
            tasks=tasks,
        )


@asynccontextmanager
async def server(**settings: str) -> AsyncIterator[Watched]:
    """A scripted one on a free loopback port, with a ledger of its own; ``settings`` as in the environment."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
    scripted = {f"ANTIPHON_{kind}": "scripted" for kind in ("ASR", "LLM", "TTS")}
    listening = listen("127.0.0.1", 0)
    port: int = listening.getsockname()[1]
    with listening, TemporaryDirectory(prefix="antiphon-soak-") as data:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SERVE, str(listening.fileno()),
            stdout=subprocess.PIPE,
            pass_fds=[listening.fileno()],
            env=clean | scripted | {"ANTIPHON_MAX_LOOP_LAG_MS": "0", "ANTIPHON_DATA": data} | settings,
        )  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}"
            await _until_ready(url)
            yield Watched(process, place(url))
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _until_ready(url: str) -> None:
    async with httpx2.AsyncClient(base_url=url, timeout=30) as client:
        async with asyncio.timeout(60):
            while (await client.get("/ready")).status_code != 200:  # noqa: ASYNC110 (it is another process)
                await asyncio.sleep(0.2)


async def soak(minutes: float, callers: int, seed: int) -> dict[str, Any]:
    """Conversations all the while, footprints on the way."""
    async with server() as watched:
        plan = LoadPlan(where=watched.where, callers=callers, duration_s=minutes * 60, ramp_s=5.0, seed=seed)
        load, samples = Load(plan), [await watched.footprint()]
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(load.run())
            while not running.done():
                await asyncio.wait([running], timeout=SAMPLE_S)
                # Not while callers come in or leave: those in conversation are compared.
                if plan.ramp_s < load.now() < plan.duration_s:
                    samples.append(await watched.footprint())
                    _progress(load.now(), samples[-1])
        await asyncio.sleep(SETTLE_S)
        after = await watched.footprint()
    return {
        "minutes": minutes,
        "callers": callers,
        **judged(samples, minutes * 60, after),
        "load": load.report().as_object(),
    }


def judged(samples: list[Footprint], duration_s: float, after: Footprint) -> dict[str, Any]:
    """The first look was at an empty server; ``after`` is when all have left."""
    before, talking = samples[0], samples[1:]
    skip = round(max(duration_s * WARM_UP_SHARE, WARM_UP_LEAST_S) / SAMPLE_S)
    warm = talking[skip:] if len(talking) > skip + WINDOW_SHARE else talking[len(talking) // 4 :]
    window = max(len(warm) // WINDOW_SHARE, 1)
    first, last = warm[:window], warm[-window:]
    growth = {name: round(_mean(last, name) / _mean(first, name) - 1, 4) for name in ("rss_mb", "uss_mb")}
    constant = after.files <= before.files + OPENED_ONCE and after.tasks <= before.tasks
    return {
        "empty": before,
        "warm_rss_mb": _mean(first, "rss_mb"),
        "end_rss_mb": _mean(last, "rss_mb"),
        "growth": growth,
        "tasks": [min(s.tasks for s in warm), max(s.tasks for s in warm)],
        "files": [min(s.files for s in warm), max(s.files for s in warm)],
        "threads": [min(s.threads for s in warm), max(s.threads for s in warm)],
        "after": after,
        "passed": growth["rss_mb"] < GROWTH_MOST and constant,
    }


def _mean(samples: list[Footprint], name: str) -> float:
    return round(statistics.fmean(getattr(sample, name) for sample in samples), 2)


class _Deaf:
    """Hears when a conversation is open, and when the line is gone."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.gone = asyncio.Event()

    def message(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "session":
            self.open.set()

    def sound(self, pcm: bytes) -> None:
        pass

    def lost(self, code: int, reason: str) -> None:
        self.open.set()
        self.gone.set()


async def cycles(count: int) -> dict[str, Any]:
    """Callers that come and go; the first tenth warms up."""
    # A dropped connection's session waits for its caller; here nobody comes back.
    async with server(ANTIPHON_MAX_SESSIONS="2000") as watched:
        await _come_and_go(watched.where, max(count // 10, AT_ONCE))
        await asyncio.sleep(SETTLE_S)
        before = await watched.footprint()
        await _come_and_go(watched.where, count)
        await asyncio.sleep(SETTLE_S)
        after = await watched.footprint()
    growth = round(after.rss_mb / before.rss_mb - 1, 4)
    return {
        "cycles": count,
        "before": before,
        "after": after,
        "growth": {"rss_mb": growth},
        "passed": growth < GROWTH_MOST and after.files <= before.files and after.tasks <= before.tasks,
    }


async def _come_and_go(where: Place, count: int) -> None:
    async def one(number: int) -> None:
        ear = _Deaf()
        link = await connect(where, ear)
        link.send_text({"type": "start"})
        await ear.open.wait()
        link.send_sound(bytes(1280))
        if number % 2:
            link.abort()
        else:
            link.send_text({"type": "bye"})
        await ear.gone.wait()
        link.abort()

    for at in range(0, count, AT_ONCE):
        async with asyncio.TaskGroup() as tasks:
            for number in range(at, min(at + AT_ONCE, count)):
                tasks.create_task(one(number))


def _progress(at_s: float, footprint: Footprint) -> None:
    print(f"{at_s / 60:5.1f} min  {footprint}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--callers", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cycles", type=int, default=0, help="connect-and-leave cycles, instead of talking")
    chosen = parser.parse_args()
    work = cycles(chosen.cycles) if chosen.cycles else soak(chosen.minutes, chosen.callers, chosen.seed)
    result = asyncio.run(work)
    print(
        json.dumps(result, default=lambda footprint: {n: getattr(footprint, n) for n in footprint.__slots__})
    )
    sys.exit(0 if result["passed"] else 1)


if __name__ == "__main__":
    main()
