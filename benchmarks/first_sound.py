"""How long after your last word until the first sound, with everything but the engine scripted.

Antiphon beside Pipecat and LiveKit Agents: same clip, same reply, same stages (recognition 300 ms, language
model 300 ms to the first token and 50 tokens a second, voice 200 ms to its first sound), one process a
contender, calls in turn A B C A B C.

    benchmarks/peers/install                     # once: an environment for each peer
    python benchmarks/first_sound.py             # some forty minutes; --runs 3 for a look

What was set for whom, and how the scripted stages work: docs/benchmarks.md, benchmarks/peers/.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.plot import Bar, describe, machine, percentile, table, write_bars, write_json, write_section

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "benchmarks" / "peers"
STAGES = json.loads((PEERS / "stages.json").read_text())
DOCUMENT = ROOT / "docs" / "benchmarks.md"
PLOT = ROOT / "docs" / "pictures" / "first-sound.svg"
TITLE = "From your last word to the first sound (median; tick: p95)"
LEAD_FRAMES = range(50, 58)
"""Frames of 20 ms before the clip, in turn: eight phases of a detector's 32 ms window, the same for all."""

PARTS = ("until ASR", "ASR", "turn", "first token", "text to speak", "voice", "hold, engine")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """Who is measured, and with what settings."""

    name: str
    driver: str
    settings: str
    scenarios: tuple[str, ...] = ("sentences", "clause", "streaming")

    @property
    def python(self) -> Path:
        """Antiphon runs in this environment, a peer in its own."""
        peer = self.driver.removesuffix("_driver.py")
        return Path(sys.executable) if peer == "antiphon" else PEERS / f".venv-{peer}" / "bin" / "python"

    @property
    def command(self) -> list[str]:
        return [str(self.python), str(PEERS / self.driver), "--settings", self.settings]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is asked of all."""

    title: str
    reply: str
    asr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A figure: Antiphon's median at most ``ratio`` times the peer's, both at their defaults."""

    scenario: str
    peer: str
    ratio: float


ALL = ("sentences", "clause", "streaming")
CONTENDERS = (
    Contender(name="Antiphon", driver="antiphon_driver.py", settings="default"),
    Contender(name="Pipecat", driver="pipecat_driver.py", settings="default"),
    Contender(name="Pipecat, best settings", driver="pipecat_driver.py", settings="best"),
    Contender(name="LiveKit Agents", driver="livekit_driver.py", settings="default"),
    Contender(name="LiveKit, best settings", driver="livekit_driver.py", settings="best"),
    Contender(
        name="Pipecat, voice fed by words", driver="pipecat_driver.py", settings="words", scenarios=ALL[:1]
    ),
    Contender(
        name="LiveKit, voice fed by words", driver="livekit_driver.py", settings="words", scenarios=ALL[:1]
    ),
)
SCENARIOS = {
    "sentences": Scenario(title="Batch ASR, two sentences of eight words", reply="sentences", asr="batch"),
    "clause": Scenario(title="Batch ASR, a reply that opens with a clause", reply="clause", asr="batch"),
    "streaming": Scenario(
        title="Streaming ASR, two sentences of eight words", reply="sentences", asr="streaming"
    ),
}
IN_PLOT = {"sentences": "", "clause": " · “Sure, …”", "streaming": " · streaming"}
"""What a bar's label says of its scenario."""
TARGETS = (
    Target(scenario="sentences", peer="Pipecat", ratio=0.87),
    Target(scenario="sentences", peer="LiveKit Agents", ratio=0.80),
    Target(scenario="clause", peer="Pipecat", ratio=0.80),
    Target(scenario="streaming", peer="LiveKit Agents", ratio=0.90),
)


@dataclass(slots=True)
class Measured:
    """One contender in one scenario."""

    sounds_ms: list[float] = field(default_factory=list)
    """First sounds of the calls that went well."""
    parts_ms: list[list[float]] = field(default_factory=list)
    cut_off: int = 0
    """Calls in which it spoke before the caller had finished."""
    errors: list[str] = field(default_factory=list)

    def add(self, result: Mapping[str, object]) -> None:
        if "error" in result:
            self.errors.append(str(result["error"]))
        elif result["cut_off"]:
            self.cut_off += 1
        else:
            sound_ms, stages = result["first_sound_ms"], result["stages"]
            assert isinstance(sound_ms, float)
            assert isinstance(stages, dict)
            self.sounds_ms.append(sound_ms)
            self.parts_ms.append(parts(stages, sound_ms))

    @property
    def p50(self) -> float:
        return percentile(self.sounds_ms, 50)

    @property
    def p95(self) -> float:
        return percentile(self.sounds_ms, 95)

    def breakdown(self) -> list[float]:
        """The parts of the call that lies in the middle."""
        return self.parts_ms[self.sounds_ms.index(self.p50)]


Results = dict[str, dict[str, Measured]]
"""By scenario, then by contender."""


def parts(stages: Mapping[str, Sequence[float]], sound_ms: float) -> list[float]:
    """The way from the last sample to the first sound, cut at the stages' starts and first results.

    What happened before the last sample costs nothing.
    """
    reached, lengths = 0.0, []
    for kind, edge in (("asr", 0), ("asr", 1), ("llm", 0), ("llm", 1), ("tts", 0), ("tts", 1)):
        at = max(stages[kind][edge], reached) if kind in stages else reached
        lengths.append(at - reached)
        reached = at
    return [*lengths, max(sound_ms - reached, 0.0)]


# ---- measuring --------------------------------------------------------------------------------------------


class Driver:
    """A contender's process, which holds one call at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, job: Mapping[str, object]) -> dict[str, object]:
        """Hold the call; the result as the driver reports it."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return self.read()

    def read(self) -> dict[str, object]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a contender ended by itself: --verbose shows why")
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer


@contextmanager
def driver(contender: Contender, log: int | None) -> Iterator[Driver]:
    """Start the contender's process; it has loaded its models when this yields."""
    with subprocess.Popen(
        contender.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT
    ) as process:
        running = Driver(process)
        running.read()
        yield running
        assert process.stdin
        process.stdin.close()


def job(scenario: Scenario, clip: str, run: int, tokens: str) -> dict[str, object]:
    return {
        "clip": str(ROOT / "tests" / "speech" / "callers" / f"{clip}.wav"),
        "transcript": STAGES["clips"][clip],
        "reply": STAGES["replies"][clip][scenario.reply],
        "asr": scenario.asr,
        "pieces": tokens,
        "lead_frames": LEAD_FRAMES[run % len(LEAD_FRAMES)],
    }


def measure(contenders: Sequence[Contender], options: argparse.Namespace) -> Results:
    """All contenders in turn, ``runs`` times; a first round, not counted, warms each up."""
    results: Results = {name: {} for name in options.scenario}
    with ExitStack() as running:
        log = None if options.verbose else subprocess.DEVNULL
        drivers = {c.name: running.enter_context(driver(c, log)) for c in contenders}
        for name in options.scenario:
            taking_part = [c.name for c in contenders if name in c.scenarios]
            for run in range(-1, options.runs):
                for contender in taking_part:
                    result = drivers[contender].ask(job(SCENARIOS[name], options.clip, run, options.tokens))
                    show_progress(name, run, options.runs, contender, result)
                    if run >= 0:
                        results[name].setdefault(contender, Measured()).add(result)
    return results


def show_progress(scenario: str, run: int, runs: int, contender: str, result: Mapping[str, object]) -> None:
    outcome = result.get("error") or f"{result['first_sound_ms']} ms"
    count = "warm-up" if run < 0 else f"{run + 1}/{runs}"
    print(f"{scenario:<10} {count:>7}  {contender:<28} {outcome}", file=sys.stderr, flush=True)


# ---- telling ----------------------------------------------------------------------------------------------


def report(results: Results, clip: str) -> str:
    """The tables and the figures, in Markdown."""
    told = []
    for name, measured in results.items():
        ours = measured["Antiphon"].p50 if "Antiphon" in measured else float("nan")
        title = f"{SCENARIOS[name].title}, clip {clip}: ms from the last sample to the first sound"
        columns = ["", "p50", "p95", "Antiphon ÷ it", *PARTS, "cut off", "failed"]
        rows = table(columns, [row(contender, one, ours) for contender, one in measured.items()])
        told.append(f"{title}\n\n{rows}\n")
    return "\n".join(told) + "".join(f"- {line}\n" for line in figures(results))


def row(contender: str, one: Measured, ours_ms: float) -> list[str]:
    failed = [str(one.cut_off), str(len(one.errors))]
    if not one.sounds_ms:
        return [contender, *["-"] * (3 + len(PARTS)), *failed]
    shares = [f"{part:.0f}" for part in one.breakdown()]
    return [contender, f"{one.p50:.0f}", f"{one.p95:.0f}", f"{ours_ms / one.p50:.2f}", *shares, *failed]


def figures(results: Results) -> Iterator[str]:
    """Each figure that this run can judge."""
    for target in TARGETS:
        measured = results.get(target.scenario, {})
        if "Antiphon" in measured and target.peer in measured:
            ratio = measured["Antiphon"].p50 / measured[target.peer].p50
            verdict = "met" if ratio <= target.ratio else "missed"
            yield f"{target.scenario}: {ratio:.2f} × {target.peer} (at most {target.ratio:.2f}): {verdict}"
    for name, measured in results.items():
        if "Antiphon" in measured:
            spread_ms = measured["Antiphon"].p95 - measured["Antiphon"].p50
            verdict = "met" if spread_ms <= 100 else "missed"
            yield f"{name}: p95 lies {spread_ms:.0f} ms above p50 (at most 100): {verdict}"


def keep(results: Results, options: argparse.Namespace, where: Mapping[str, object]) -> None:
    """The numbers as JSON; for the documentation, the tables and the plot."""
    kept = {
        name: {who: asdict(one) | {"p50_ms": one.p50, "p95_ms": one.p95} for who, one in measured.items()}
        for name, measured in results.items()
    }
    asked = {"clip": options.clip, "runs": options.runs, "tokens": options.tokens}
    setup = asked | {"stages": STAGES, "parts": PARTS}
    write_json(options.out, {"machine": where, "setup": setup, "results": kept})
    bars = [
        Bar(label=who + IN_PLOT[name], parts=one.breakdown(), mark=one.p95)
        for name, measured in results.items()
        for who, one in measured.items()
        if one.sounds_ms
    ]
    if bars:
        write_bars(options.out.with_suffix(".svg"), TITLE, PARTS, bars)
    if bars and options.docs:
        write_bars(PLOT, TITLE, PARTS, bars)
        command = f"python benchmarks/first_sound.py --runs {options.runs}"
        text = f"![{TITLE}](pictures/{PLOT.name})\n\n{describe(where, command)}\n\n{report(results, options.clip)}"
        write_section(DOCUMENT, "first sound", text)


def parse() -> argparse.Namespace:
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=shape)
    add = parser.add_argument
    add("--runs", type=int, default=20, help="calls a contender and scenario (20)")
    add("--clip", choices=sorted(STAGES["clips"]), default="q02", help="the caller's turn (q02)")
    add("--scenario", nargs="+", choices=sorted(SCENARIOS), default=list(SCENARIOS))
    add("--only", nargs="+", metavar="NAME", help="contenders whose name begins so")
    add("--tokens", choices=["word", "token"], default="word", help="punctuation on its word, or apart")
    add("--out", type=Path, default=ROOT / "benchmarks" / "out" / "first_sound.json")
    add("--docs", action="store_true", help="put tables and plot into docs/ too")
    add("--verbose", action="store_true", help="show the contenders' own logs")
    return parser.parse_args()


def main() -> None:
    options = parse()
    contenders = [c for c in CONTENDERS if not options.only or c.name.startswith(tuple(options.only))]
    for contender in contenders:
        if not contender.python.exists():
            raise SystemExit(f"{contender.name} is not installed: run benchmarks/peers/install")
    where = machine()
    results = measure(contenders, options)
    print(report(results, options.clip))
    keep(results, options, where)
    print(f"written: {options.out} and the plot beside it")


if __name__ == "__main__":
    main()
