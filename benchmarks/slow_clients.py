"""Whether clients that do not read disturb those that do: the time to the first sound of talkers alone, and of the
same talkers beside clients that ask for long answers and never read one, and what those cost in memory.

    python benchmarks/slow_clients.py                      # 20 talkers, 20 deaf clients, two minutes each
    python benchmarks/slow_clients.py --minutes 0.5 --talkers 5 --deaf 5
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.soak import SETTLE_S, server

from antiphon.load.link import NotConnected, Place, connect
from antiphon.load.mix import Mix
from antiphon.load.report import Report
from antiphon.load.run import LoadPlan, run_load

SLOWER_MOST = 1.10
"""How much later the first sound may come at p95."""

LONG_QUESTION = "say this all over again, slowly and to the end " * 60
"""The scripted server says back what it hears: minutes of sound, which a client that does not report playback is sent
in real time, until its queue is full."""

DEAF_S = 10.0
"""For how long; at 96 kB a second the server's patience of half a megabyte is over in six."""

BETWEEN_S = 1.0

GRACE_S = 10
"""For how long the sessions of those thrown out are kept; what is left when they are over is looked at."""


class _Deaf:
    """Hears ``session``, and nothing after it."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    def message(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "session":
            self.open.set()

    def sound(self, pcm: bytes) -> None:
        pass

    def lost(self, code: int, reason: str) -> None:
        self.open.set()


async def _be_deaf(where: Place) -> None:
    """Connect, ask, stop reading; again when thrown out. Until cancelled."""
    while True:
        ear = _Deaf()
        try:
            link = await connect(where, ear)
        except NotConnected:
            await asyncio.sleep(BETWEEN_S)
            continue
        try:
            link.send_text({"type": "start", "output_rate": 48_000})
            await ear.open.wait()
            link.stop_reading()
            link.send_text({"type": "text", "text": LONG_QUESTION})
            await asyncio.sleep(DEAF_S)
        finally:
            link.abort()
        await asyncio.sleep(BETWEEN_S)


async def _talk(where: Place, talkers: int, minutes: float) -> Report:
    mix = Mix.parse("talk=80,pause=10,interrupt=10")
    return await run_load(LoadPlan(where=where, callers=talkers, duration_s=minutes * 60, ramp_s=2, mix=mix))


async def measure(talkers: int, deaf: int, minutes: float) -> dict[str, Any]:
    """Alone, and then beside the deaf."""
    settings = {
        "ANTIPHON_MAX_SESSIONS": str(talkers + 4 * deaf),
        "ANTIPHON_RESUME_GRACE_S": str(GRACE_S),
    }
    async with server(**settings) as watched:
        alone = await _talk(watched.where, talkers, minutes)
        before = await watched.footprint()
        async with asyncio.TaskGroup() as tasks:
            stuck = [tasks.create_task(_be_deaf(watched.where)) for _ in range(deaf)]
            beside = await _talk(watched.where, talkers, minutes)
            during = await watched.footprint()
            for task in stuck:
                task.cancel()
        await asyncio.sleep(GRACE_S + SETTLE_S)
        after = await watched.footprint()
    one, other = alone.first_sound_ms.p95, beside.first_sound_ms.p95
    assert one is not None
    assert other is not None
    return {
        "first_sound_ms": {"alone": asdict(alone.first_sound_ms), "beside": asdict(beside.first_sound_ms)},
        "p95_ratio": round(other / one, 3),
        "lost": [alone.lost, beside.lost],
        "gaps": [alone.gaps, beside.gaps],
        "own_late_p99_ms": [alone.own_late_ms.p99, beside.own_late_ms.p99],
        "rss_mb": [before.rss_mb, during.rss_mb, after.rss_mb],
        "files": [before.files, during.files, after.files],
        "passed": other <= one * SLOWER_MOST and not beside.lost,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--talkers", type=int, default=20)
    parser.add_argument("--deaf", type=int, default=20)
    chosen = parser.parse_args()
    result = asyncio.run(measure(chosen.talkers, chosen.deaf, chosen.minutes))
    print(json.dumps(result))
    sys.exit(0 if result["passed"] else 1)


if __name__ == "__main__":
    main()
