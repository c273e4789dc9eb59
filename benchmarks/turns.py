"""Does it answer too soon, and how long does it wait? Turn taking over recorded turns.

Every turn of tests/speech/callers (with and without pauses) and tests/speech/human, clean and in rooms with
noise and reverberation at 20 and 10 dB: Antiphon's turn machine beside smart-turn alone and beside 500 ms of
silence. All hear the same voice detector; Antiphon also hears the words (whisper).

    python benchmarks/turns.py                # all rooms, some ten minutes on two cores
    python benchmarks/turns.py --rooms clean  # two minutes

A turn taken as over before its last word is a false cut-off, whether or not anything was heard by then
("heard" counts those whose answer had begun to sound). The wait is from the last word to the moment the turn
is taken as over.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.plot import Bar, describe, machine, percentile, table, write_bars, write_json, write_section
from benchmarks.rooms import LEAD_S, ROOMS, Clip, Rooms, clips
from benchmarks.turn_world import Contender, Ending, Hearing, plain_silence, turn_machine, turn_model_alone

from antiphon.inference.runtime import LocalRuntimes
from antiphon.inference.store import ModelStore
from antiphon.settings import load_settings
from antiphon.turns.policy import Preset, TurnPolicy

ROOT = Path(__file__).resolve().parent.parent
VAD, TURN, ASR = "vad/silero-6", "turn/smart-turn-3.2", "asr/whisper-base"
EARLY_S = 0.05
"""An ending this little before the measured end of speech is at the end: the ends are known to about 50
ms."""
DOCUMENT = ROOT / "docs" / "benchmarks.md"
PLOT = ROOT / "docs" / "pictures" / "turns.svg"
TITLE = "Wait after the last word: median, and 95th percentile (tick)"


def antiphon(preset: Preset) -> Contender:
    """A preset. Interim words decide nothing here and would take most of the time, so they are left out."""
    return turn_machine(replace(TurnPolicy.of(preset), interim_every_s=0.0))


OURS, SILENCE = "Antiphon, balanced", "500 ms silence"
"""Compared by the figures."""

CONTENDERS: Mapping[str, Contender] = {
    OURS: antiphon("balanced"),
    "Antiphon, quick": antiphon("quick"),
    "Antiphon, patient": antiphon("patient"),
    "smart-turn alone": turn_model_alone(),
    SILENCE: plain_silence(0.5),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one contender did with one turn in one room."""

    contender: str
    clip: str
    group: str
    room: str
    cut_offs: int
    """Times the turn was taken as over while it went on."""
    heard_cut_offs: int
    """Of those, the ones whose answer had begun to sound."""
    wait_ms: float | None
    """From the end of speech to the end of the turn; None when it was never answered."""
    reason: str


def judge(contender: str, clip: Clip, room: str, endings: Sequence[Ending]) -> Outcome:
    """Compare a contender's endings with where the speech really ends."""
    end = LEAD_S + clip.end_s
    early = [ending for ending in endings if ending.at < end - EARLY_S]
    last = next((ending for ending in endings if ending.at >= end - EARLY_S), None)
    return Outcome(
        contender=contender,
        clip=clip.name,
        group=clip.group,
        room=room,
        cut_offs=len(early),
        heard_cut_offs=sum(ending.sounds_at is not None and ending.sounds_at < end for ending in early),
        wait_ms=None if last is None else round((last.at - end) * 1000),
        reason="" if last is None else last.reason,
    )


async def measure(rooms: Sequence[str], names: Sequence[str], models: Path) -> list[Outcome]:
    """Play every turn in every room to every contender."""
    store = ModelStore(models)
    outcomes = []
    async with LocalRuntimes([store.resolve(model) for model in (VAD, TURN, ASR)]) as runtimes:
        place = Rooms()
        for room in (room for room in ROOMS if room.name in rooms):
            for number, clip in enumerate(clips()):
                hearing = Hearing(
                    place.hear(clip, room, number),
                    detector=runtimes.voice_detector(VAD),
                    turn_model=runtimes.turn_model(TURN),
                    recognizer=runtimes.recognizer(ASR),
                )
                outcomes += [judge(name, clip, room.name, await CONTENDERS[name](hearing)) for name in names]
            print(f"{room.name}: done", file=sys.stderr)
    return outcomes


def summary(outcomes: Sequence[Outcome]) -> list[str]:
    """A row of the table: how many turns, cut-offs and waits."""
    waits = [outcome.wait_ms for outcome in outcomes if outcome.wait_ms is not None]
    cut = sum(outcome.cut_offs > 0 for outcome in outcomes)
    heard = sum(outcome.heard_cut_offs > 0 for outcome in outcomes)
    paused = [outcome for outcome in outcomes if outcome.group == "callers with a pause"]
    return [
        str(len(outcomes)),
        str(cut),
        str(heard),
        f"{sum(outcome.cut_offs > 0 for outcome in paused)} of {len(paused)}",
        f"{statistics.median(waits):.0f}" if waits else "-",
        f"{percentile(waits, 95):.0f}" if waits else "-",
        str(len(outcomes) - len(waits)),
    ]


def report(outcomes: Sequence[Outcome]) -> str:
    """A table for all rooms together and one for each, and the figures."""
    columns = ["", "turns", "cut off", "heard", "pauses cut", "wait p50", "wait p95", "unanswered"]
    rooms = list(dict.fromkeys(outcome.room for outcome in outcomes))
    by_room = {room: [o for o in outcomes if o.room == room] for room in rooms}
    parts = {"All rooms": list(outcomes), **by_room} if len(rooms) > 1 else by_room
    names = list(dict.fromkeys(outcome.contender for outcome in outcomes))
    blocks = []
    for title, part in parts.items():
        rows = [[name, *summary([o for o in part if o.contender == name])] for name in names]
        blocks.append(f"{title} (waits in ms)\n\n{table(columns, rows)}")
    return "\n\n".join([*blocks, "\n".join(figures(outcomes))])


def figures(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Each figure that this run can judge."""
    mine = [outcome for outcome in outcomes if outcome.contender == OURS]
    silence = [outcome for outcome in outcomes if outcome.contender == SILENCE]
    if not mine or not silence:
        return
    paused = sum(outcome.cut_offs > 0 for outcome in mine if outcome.group == "callers with a pause")
    yield f"- turns with a pause cut off by {OURS}: {paused} (none): {_verdict(paused == 0)}"
    ours, theirs = (sum(outcome.cut_offs > 0 for outcome in part) for part in (mine, silence))
    yield f"- false cut-offs: {ours} beside {theirs} (at most a third): {_verdict(3 * ours <= theirs)}"
    waits = [statistics.median(o.wait_ms for o in part if o.wait_ms is not None) for part in (mine, silence)]
    yield f"- median wait: {waits[0]:.0f} beside {waits[1]:.0f} ms (lower): {_verdict(waits[0] < waits[1])}"


def _verdict(met: bool) -> str:
    return "met" if met else "missed"


def plot(outcomes: Sequence[Outcome], path: Path) -> None:
    """Median wait with the 95th percentile, and the false cut-offs in the label."""
    bars = []
    for name in dict.fromkeys(outcome.contender for outcome in outcomes):
        mine = [outcome for outcome in outcomes if outcome.contender == name]
        waits = [outcome.wait_ms for outcome in mine if outcome.wait_ms is not None]
        cut = sum(outcome.cut_offs > 0 for outcome in mine)
        label = f"{name}: {cut} of {len(mine)} cut off"
        bars.append(Bar(label=label, parts=[statistics.median(waits)], mark=percentile(waits, 95)))
    write_bars(path, TITLE, ["wait"], bars)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    rooms = [room.name for room in ROOMS]
    parser.add_argument("--rooms", nargs="+", default=rooms, choices=rooms)
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS), choices=list(CONTENDERS))
    parser.add_argument("--models", type=Path, default=None, help="the models folder")
    parser.add_argument(
        "--details", action="store_true", help="print every turn that was cut off or kept waiting"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "out" / "turns.json")
    parser.add_argument("--docs", action="store_true", help="put tables and plot into docs/ too")
    options = parser.parse_args()
    models = options.models or load_settings(os.environ).settings.models
    where = machine()
    outcomes = asyncio.run(measure(options.rooms, options.contenders, models))
    if options.details:
        for outcome in outcomes:
            if outcome.cut_offs or outcome.wait_ms is None or outcome.wait_ms > 1_000:
                print(outcome)
    print(report(outcomes))
    write_json(options.out, {"machine": where, "outcomes": [asdict(outcome) for outcome in outcomes]})
    plot(outcomes, options.out.with_suffix(".svg"))
    if options.docs:
        plot(outcomes, PLOT)
        about = describe(where, "python benchmarks/turns.py")
        write_section(DOCUMENT, "turns", f"![{TITLE}](pictures/{PLOT.name})\n\n{about}\n\n{report(outcomes)}")
    print(f"written: {options.out} and the plot beside it")


if __name__ == "__main__":
    main()
