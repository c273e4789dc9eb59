"""Conversations through a deploy, and through the death of a replica.

    python -m benchmarks.replicas                       # 50 conversations: rolling restart, kill -9, lost lines
    python -m benchmarks.replicas --sessions 6 --quick  # the same, small, to see that it works
    python -m benchmarks.replicas --only restart

Three replicas with scripted providers, one Valkey and one nginx run in processes of their own; scripted callers talk
from this one (`antiphon load`), each turn numbered, so that one that is lost or answered twice is noticed.

Figures: a rolling restart of all three loses no conversation and no turn, doubles none, and each client's gap (from the
end of its connection to `session` on the next one) is at most 2 s at p99. After kill -9 of one its conversations go on
elsewhere within 3 s at p99; at most the turn in flight of each is lost. Callers who lose their connections at any time
and come back to any replica lose no turn, and none is taken twice.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from benchmarks.replica_house import Replica, replica_house

from antiphon.load.link import place
from antiphon.load.mix import Mix
from antiphon.load.report import Report
from antiphon.load.run import Load, LoadPlan

REPLICAS = 3
GAP_RESTART_S = 2.0
GAP_KILL_S = 3.0
"""The figures."""

SETTINGS = {
    **{f"ANTIPHON_{part}": "scripted" for part in ("ASR", "LLM", "TTS")},
    "ANTIPHON_MAX_SESSIONS": "200",
    "ANTIPHON_SCRIPTED_TTS_MS": "200",
    "ANTIPHON_ADDRESS_SESSIONS": "1000",
    "ANTIPHON_ADDRESS_CONNECTS_PER_MINUTE": "100000",
    "ANTIPHON_TRUSTED_PROXIES": "127.0.0.1/32",
    "ANTIPHON_LOG_LEVEL": "info",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How long each part takes, seconds."""

    ramp_s: float = 10.0
    before_s: float = 15.0
    between_s: float = 5.0
    after_s: float = 20.0


QUICK = Pace(ramp_s=1.0, before_s=4.0, between_s=1.0, after_s=8.0)


async def rolling_restart(sessions: int, pace: Pace, folder: Path) -> tuple[Report, dict[str, Any]]:
    """Stop and start each replica, one after the other, while all callers talk."""
    async with replica_house(folder, replicas=REPLICAS, settings=SETTINGS) as (houses, url):
        load = talkers(url, sessions, pace)
        told: dict[str, Any] = {"exit": [], "drain_s": []}

        async def restart() -> None:
            await asyncio.sleep(pace.ramp_s + pace.before_s)
            for house in houses:
                status, took_s = await house.stop()
                told["exit"].append(status)
                told["drain_s"].append(round(took_s, 2))
                house.start()
                await house.ready()
                await asyncio.sleep(pace.between_s)
            await asyncio.sleep(pace.after_s)
            load.stop()

        report, _ = await asyncio.gather(load.run(), restart())
        return report, told


async def sudden_death(sessions: int, pace: Pace, folder: Path) -> tuple[Report, dict[str, Any]]:
    """kill -9 one replica while all callers talk."""
    async with replica_house(folder, replicas=REPLICAS, settings=SETTINGS) as (houses, url):
        load = talkers(url, sessions, pace)

        async def die() -> None:
            await asyncio.sleep(pace.ramp_s + pace.before_s)
            victim: Replica = houses[0]
            victim.kill()
            await asyncio.sleep(pace.after_s)
            load.stop()

        report, _ = await asyncio.gather(load.run(), die())
        return report, {"turn_lost_notices": report.notices.get("turn_lost", 0)}


async def lost_lines(sessions: int, pace: Pace, folder: Path) -> tuple[Report, dict[str, Any]]:
    """Callers whose connections break, while they speak, wait and listen, and who come back to any replica."""
    async with replica_house(folder, replicas=REPLICAS, settings=SETTINGS) as (_, url):
        load = talkers(url, sessions, pace, mix="talk=40,interrupt=10,drop=50")

        async def stop() -> None:
            await asyncio.sleep(pace.ramp_s + pace.before_s + pace.after_s)
            load.stop()

        report, _ = await asyncio.gather(load.run(), stop())
        return report, {"turn_lost_notices": report.notices.get("turn_lost", 0)}


def talkers(url: str, sessions: int, pace: Pace, *, mix: str = "talk=70,pause=15,interrupt=15") -> Load:
    """Callers that talk, pause inside a turn and interrupt; without ``drop`` they leave their connections alone."""
    return Load(
        LoadPlan(
            where=place(url),
            callers=sessions,
            duration_s=3600.0,
            ramp_s=pace.ramp_s,
            mix=Mix.parse(mix),
        )
    )


def verdict_restart(report: Report, told: dict[str, Any]) -> dict[str, Any]:
    """Against the figure."""
    gap = report.reconnect_s.p99
    return {
        "what": "rolling restart",
        "sessions": report.callers,
        "turns": report.turns,
        "moved": report.moved + report.broken,
        "conversations_lost": report.conversations_lost,
        "turns_lost": report.lost,
        "turns_doubled": report.doubled,
        "turns_said_again": report.said_again,
        "gap_s": {"p50": report.reconnect_s.p50, "p99": gap, "max": report.reconnect_s.max},
        **told,
        "refused": dict(report.refused),
        "closes": dict(report.closes),
        "passed": not (report.conversations_lost or report.lost or report.doubled)
        and set(told["exit"]) == {0}
        and gap is not None
        and gap <= GAP_RESTART_S,
    }


def verdict_death(report: Report, told: dict[str, Any]) -> dict[str, Any]:
    """Against the figure."""
    gap = report.reconnect_s.p99
    return {
        "what": "kill -9",
        "sessions": report.callers,
        "turns": report.turns,
        "orphaned": report.broken,
        "conversations_lost": report.conversations_lost,
        "turns_lost": report.lost,
        "turns_doubled": report.doubled,
        "turns_said_again": report.said_again,
        "gap_s": {"p50": report.reconnect_s.p50, "p99": gap, "max": report.reconnect_s.max},
        **told,
        "refused": dict(report.refused),
        "passed": report.conversations_lost == 0
        and report.lost <= report.broken
        and not report.doubled
        and gap is not None
        and gap <= GAP_KILL_S,
    }


def verdict_lines(report: Report, told: dict[str, Any]) -> dict[str, Any]:
    """Against the figure of a restart: nothing lost, nothing doubled."""
    gap = report.reconnect_s.p99
    return {
        "what": "lost connections",
        "sessions": report.callers,
        "turns": report.turns,
        "dropped": report.dropped,
        "resumed": report.resumed,
        "conversations_lost": report.conversations_lost,
        "turns_lost": report.lost,
        "turns_doubled": report.doubled,
        "turns_said_again": report.said_again,
        "messages_repeated": report.messages_repeated,
        "messages_missing": report.messages_missing,
        "gap_s": {"p50": report.reconnect_s.p50, "p99": gap, "max": report.reconnect_s.max},
        **told,
        "passed": not (report.conversations_lost or report.lost or report.doubled)
        and gap is not None
        and gap <= GAP_RESTART_S,
    }


async def measure(sessions: int, pace: Pace, only: str, logs: Path | None) -> bool:
    """Print a line for each part; whether all passed."""
    passed = True
    for name, run, verdict in (
        ("restart", rolling_restart, verdict_restart),
        ("kill", sudden_death, verdict_death),
        ("drop", lost_lines, verdict_lines),
    ):
        if only not in ("", name):
            continue
        with tempfile.TemporaryDirectory(prefix="antiphon-replicas-") as folder:
            kept = Path(folder) if logs is None else logs / name
            kept.mkdir(parents=True, exist_ok=True)
            came_to = verdict(*await run(sessions, pace, kept))
        print(json.dumps(came_to), flush=True)
        passed = passed and came_to["passed"]
    return passed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--quick", action="store_true", help="short waits")
    parser.add_argument("--only", choices=("", "restart", "kill", "drop"), default="")
    parser.add_argument("--logs", type=Path, help="folder to keep the processes' logs in")
    asked = parser.parse_args()
    pace = QUICK if asked.quick else Pace()
    sys.exit(0 if uvloop.run(measure(asked.sessions, pace, asked.only, asked.logs)) else 1)


if __name__ == "__main__":
    main()
