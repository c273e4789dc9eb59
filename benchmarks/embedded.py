"""The whole loop on embedded models: from the end of speech to the first sound at a real WebSocket client.

For each profile a server of its own is started (``antiphon serve``), and ``antiphon call`` says 16 callers' turns
to it in real time, one after the other, each in a new session.

    python benchmarks/embedded.py                     # both profiles, three rounds: about ten minutes
    python benchmarks/embedded.py --profiles fast --rounds 1

Measured at the client, from the last sample of speech sent to the first sound received. The stages are the
server's own account of it (docs/latency.md).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.plot import Bar, describe, machine, percentile, table, write_bars, write_json, write_section

from antiphon.cli.own_server import own_server

ROOT = Path(__file__).resolve().parent.parent
CALLERS = ROOT / "tests" / "speech" / "callers"
DOCUMENT = ROOT / "docs" / "benchmarks.md"
PLOT = ROOT / "docs" / "pictures" / "embedded.svg"
TITLE = "Embedded models: last word to first sound (median; tick: p95)"
PROFILES = ("fast", "balanced")
STAGES = ("capture", "asr", "decide", "llm", "clause", "tts", "hold", "engine")
PARTS = ("until ASR", "ASR", "first token", "clause", "voice", "hold", "decision, engine, network")
FIGURES = {"fast": (550, 900), "balanced": (900, 1500)}
"""The most that p50 and p95 may be, in ms, on two cores."""
MEMORY_MB = {"fast": 900}


@dataclass(slots=True)
class Measured:
    """One profile."""

    ready_s: float = 0.0
    """From the start of the server to its being ready, models in the cache."""
    memory_mb: float = 0.0
    """Resident memory of the server after the calls."""
    sounds_ms: list[float] = field(default_factory=list)
    latencies_ms: list[dict[str, float]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    """Of the answered calls, in the order of ``sounds_ms``."""
    silent: list[str] = field(default_factory=list)
    """Files that were not answered."""
    errors: list[str] = field(default_factory=list)

    def add(self, call: Mapping[str, object]) -> None:
        """One line of ``antiphon call --json``."""
        file, sound_ms, latency = Path(str(call["file"])).name, call["first_sound_ms"], call["latency_ms"]
        if call["error"]:
            self.errors.append(f"{file}: {call['error']}")
        elif not isinstance(sound_ms, int | float):
            self.silent.append(file)
        else:
            assert isinstance(latency, dict)
            self.sounds_ms.append(float(sound_ms))
            self.latencies_ms.append(latency)
            self.files.append(file)

    @property
    def p50(self) -> float:
        return percentile(self.sounds_ms, 50)

    @property
    def p95(self) -> float:
        return percentile(self.sounds_ms, 95)

    def stage(self, name: str) -> float:
        """Median ms of a stage."""
        return statistics.median([latency.get(name, 0.0) for latency in self.latencies_ms] or [0.0])

    def middle_parts(self) -> list[float]:
        """The stages of the call in the middle; what is left of its time last."""
        latency = self.latencies_ms[self.sounds_ms.index(self.p50)]
        known = [latency.get(name, 0.0) for name in ("capture", "asr", "llm", "clause", "tts", "hold")]
        return [*known, max(self.p50 - sum(known), 0.0)]


# ---- measuring -------------------------------------------------------------------------------------------


@contextmanager
def server(profile: str, measured: Measured) -> Iterator[str]:
    """A server with this profile, ready; its address."""
    os.environ["ANTIPHON_PROFILE"] = profile
    os.environ["ANTIPHON_SPEECH_CACHE_MB"] = (
        "0"  # replies repeat from round to round: the voice is to be timed
    )
    begun = time.monotonic()
    before = children()
    with own_server(lambda ready: None) as url:
        measured.ready_s = round(time.monotonic() - begun, 1)
        serving = children() - before
        yield url
        measured.memory_mb = sum(resident_mb(pid) for pid in serving)


def children() -> set[int]:
    """Processes that this one has started and that still run (Linux)."""
    listed = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    return {int(pid) for pid in listed.split()}


def resident_mb(pid: int) -> float:
    """Resident memory of a process (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)


def calls(url: str, files: Sequence[Path]) -> Iterator[dict[str, object]]:
    """``antiphon call`` over the files, a line a call."""
    command = [sys.executable, "-m", "antiphon", "call", "--json", "--url", url, *map(str, files)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout
        for line in caller.stdout:
            call = json.loads(line)
            assert isinstance(call, dict)
            yield call


def measure(profile: str, files: Sequence[Path], rounds: int) -> Measured:
    measured = Measured()
    with server(profile, measured) as url:
        for number in range(rounds):
            for call in calls(url, files):
                measured.add(call)
                outcome = call["error"] or f"{call['first_sound_ms']} ms"
                place = f"{profile:<9}{number + 1}/{rounds}  {Path(str(call['file'])).name:<10}"
                print(f"{place} {outcome}", file=sys.stderr, flush=True)
    return measured


# ---- telling ---------------------------------------------------------------------------------------------


def report(results: Mapping[str, Measured]) -> str:
    """The tables and the figures, in Markdown."""
    columns = [
        "ms from last sample to first sound",
        "p50",
        "p95",
        "answered",
        "not",
        "failed",
        "ready, s",
        "MB",
    ]
    rows = [
        [
            profile,
            f"{one.p50:.0f}",
            f"{one.p95:.0f}",
            str(len(one.sounds_ms)),
            str(len(one.silent)),
            str(len(one.errors)),
            f"{one.ready_s:.1f}",
            f"{one.memory_mb:.0f}",
        ]
        for profile, one in results.items()
    ]
    stages = [[profile, *(f"{one.stage(name):.0f}" for name in STAGES)] for profile, one in results.items()]
    lines = "".join(f"- {line}\n" for line in figures(results))
    return f"{table(columns, rows)}\n{table(['median of each stage, ms', *STAGES], stages)}\n{lines}"


def figures(results: Mapping[str, Measured]) -> Iterator[str]:
    for profile, one in results.items():
        for name, ms, most in zip(("p50", "p95"), (one.p50, one.p95), FIGURES[profile], strict=True):
            yield f"{profile}: {name} {ms:.0f} ms (at most {most}): {'met' if ms <= most else 'missed'}"
        most_mb = MEMORY_MB.get(profile)
        if most_mb is not None:
            verdict = "met" if one.memory_mb <= most_mb else "missed"
            yield f"{profile}: {one.memory_mb:.0f} MB resident (at most {most_mb}): {verdict}"
        yield from (f"failed: {profile}: {error}" for error in one.errors)


def keep(results: Mapping[str, Measured], options: argparse.Namespace, where: Mapping[str, object]) -> None:
    kept = {profile: asdict(one) | {"p50_ms": one.p50, "p95_ms": one.p95} for profile, one in results.items()}
    write_json(options.out, {"machine": where, "rounds": options.rounds, "results": kept})
    bars = [
        Bar(label=profile, parts=one.middle_parts(), mark=one.p95)
        for profile, one in results.items()
        if one.sounds_ms
    ]
    if bars:
        write_bars(options.out.with_suffix(".svg"), TITLE, PARTS, bars)
    if bars and options.docs:
        write_bars(PLOT, TITLE, PARTS, bars)
        command = f"python benchmarks/embedded.py --rounds {options.rounds}"
        write_section(
            DOCUMENT,
            "embedded",
            f"![{TITLE}](pictures/{PLOT.name})\n\n{describe(where, command)}\n\n{report(results)}",
        )


def main() -> None:
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=shape)
    add = parser.add_argument
    add("--profiles", nargs="+", choices=PROFILES, default=list(PROFILES))
    add("--rounds", type=int, default=3, help="times that every caller's turn is said (3)")
    add("--out", type=Path, default=ROOT / "benchmarks" / "out" / "embedded.json")
    add("--docs", action="store_true", help="put tables and plot into docs/ too")
    options = parser.parse_args()
    files = sorted(CALLERS.glob("q[0-9][0-9].wav"))
    where = machine()
    results = {profile: measure(profile, files, options.rounds) for profile in options.profiles}
    print(report(results))
    keep(results, options, where)
    print(f"written: {options.out} and the plot beside it")


if __name__ == "__main__":
    main()
