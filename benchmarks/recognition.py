"""The embedded recogniser beside stock faster-whisper on the same model: word errors and time.

Every turn of tests/speech/human and tests/speech/callers is given to both, one right after the other, on the same
number of threads; then noise and silence, for which nothing should be written, and one question in each of five
languages. Stock is faster-whisper with its own defaults (30 s windows, five beams) and, to be fair, with one beam.

    python benchmarks/recognition.py                    # some five minutes on two cores
    python benchmarks/recognition.py --rooms all        # in rooms with noise and reverberation too

Word errors do not count case, punctuation and the way numbers are written (benchmarks/words.py). Times are of one
call each, sound in memory to text; the median of the runs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.plot import (
    Bar,
    describe,
    machine,
    percentile,
    print_table,
    table,
    write_bars,
    write_json,
    write_section,
)
from benchmarks.rooms import LEAD_S, ROOMS, SPEECH, Clip, Room, Rooms, Samples, clips
from benchmarks.words import WordErrors, word_errors

from antiphon.audio.frames import to_float
from antiphon.audio.wav import read_wav
from antiphon.inference.store import ModelFiles, ModelStore
from antiphon.inference.whisper import WhisperModel
from antiphon.settings import load_settings

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "benchmarks.md"
PLOT = ROOT / "docs" / "pictures" / "recognition.svg"
TITLE = "Recognition of a turn: median time by its length"
RATE = 16_000
AROUND_S = 0.2
"""Room sound kept before and after a turn, as a voice detector does."""
LENGTHS = ((0.0, 1.6), (1.6, 3.0), (3.0, 6.0), (6.0, 30.0))
"""Seconds of a turn, from and to."""
FIGURE_S = 6.0
"""The figure for speed is of turns up to this long."""
OURS, STOCK, GREEDY = "Antiphon", "faster-whisper", "faster-whisper, one beam"


class Contender(Protocol):
    def __call__(self, sound: Samples, language: str | None) -> tuple[str, str]:
        """Text and language."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One turn heard by one contender."""

    contender: str
    group: str
    room: str
    name: str
    seconds: float
    reference: str
    text: str
    errors: int
    words: int
    ms: float


def ours(files: ModelFiles, threads: int) -> Contender:
    model = WhisperModel(files, threads=threads)
    model.warm_up()

    def hear(sound: Samples, language: str | None) -> tuple[str, str]:
        found = model.transcribe(sound, language=language)
        return found.text, found.language

    return hear


def stock(files: ModelFiles, threads: int, **options: int) -> Contender:
    import faster_whisper  # type: ignore[import-untyped]

    model: Any = faster_whisper.WhisperModel(
        str(files.folder), device="cpu", compute_type="int8", cpu_threads=threads, local_files_only=True
    )

    def hear(sound: Samples, language: str | None) -> tuple[str, str]:
        segments, about = model.transcribe(sound, language=language, **options)
        return " ".join(segment.text.strip() for segment in segments), str(about.language)

    hear(np.zeros(RATE, np.float32), "en")
    return hear


def run(
    contenders: Mapping[str, Contender], turns: Sequence[tuple[Clip, Room, Samples]], runs: int
) -> Iterator[Result]:
    """Every turn, by every contender in turn."""
    for number, (clip, room, sound) in enumerate(turns):
        print(f"\r{number + 1}/{len(turns)} {room.name} {clip.name:<32}", end="", flush=True, file=sys.stderr)
        took: dict[str, list[float]] = {name: [] for name in contenders}
        texts: dict[str, str] = {}
        for _ in range(runs):
            for name, hear in contenders.items():
                before = time.perf_counter()
                texts[name], _ = hear(sound, "en")
                took[name].append(1000 * (time.perf_counter() - before))
        for name, text in texts.items():
            wrong = word_errors(clip.text, text)
            yield Result(
                contender=name,
                group=clip.name.partition("/")[0],
                room=room.name,
                name=clip.name,
                seconds=len(sound) / RATE,
                reference=clip.text,
                text=text,
                errors=wrong.errors,
                words=wrong.words,
                ms=round(statistics.median(took[name]), 1),
            )
    print(file=sys.stderr)


def in_rooms(rooms: Sequence[Room]) -> list[tuple[Clip, Room, Samples]]:
    """Every clip in every room; clean ones as they were recorded."""
    world = Rooms()
    turns = []
    for room in rooms:
        for number, clip in enumerate(clips()):
            sound = clip.sound
            if room != ROOMS[0]:
                heard = to_float(world.hear(clip, room, number))
                start = int((LEAD_S - AROUND_S) * RATE)
                sound = heard[start : start + len(clip.sound) + int(2 * AROUND_S * RATE)]
            turns.append((clip, room, sound))
    return turns


def word_table(results: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    """Word error rates: a row a group and room, a column a contender."""
    names = list(dict.fromkeys(result.contender for result in results))
    rows = []
    for group, room in dict.fromkeys((result.group, result.room) for result in results):
        here = [result for result in results if (result.group, result.room) == (group, room)]
        rates = [f"{rate(here, name).percent:.1f}" for name in names]
        rows.append(
            [f"{group}, {room}", str(len(here) // len(names)), str(rate(here, names[0]).words), *rates]
        )
    return ["word errors, %", "turns", "words", *names], rows


def rate(results: Sequence[Result], contender: str) -> WordErrors:
    counted = [
        WordErrors(errors=result.errors, words=result.words)
        for result in results
        if result.contender == contender
    ]
    return sum(counted, WordErrors())


def speed_table(results: Sequence[Result]) -> tuple[list[str], list[list[str]]]:
    """Times by the length of the turn."""
    names = list(dict.fromkeys(result.contender for result in results))
    rows = []
    for start, end in LENGTHS:
        here = [result for result in results if start <= result.seconds < end]
        if here:
            medians = [f"{median_ms(here, name):.0f}" for name in names]
            factor = times_faster(here)
            rows.append([f"{start:g}-{end:g} s", str(len(here) // len(names)), *medians, f"{factor:.1f}"])
    return ["time of a turn, ms", "turns", *names, "times faster"], rows


def median_ms(results: Sequence[Result], contender: str) -> float:
    return percentile([result.ms for result in results if result.contender == contender], 50)


def times_faster(results: Sequence[Result]) -> float:
    """How much sooner Antiphon is done than stock: the median over the turns."""
    times = {(result.contender, result.room, result.name): result.ms for result in results}
    factors = [
        times[STOCK, room, name] / ms for (contender, room, name), ms in times.items() if contender == OURS
    ]
    return statistics.median(factors)


def noises() -> Iterator[tuple[str, Samples]]:
    """Stretches in which nobody speaks."""
    rng = np.random.default_rng(1)
    yield "silence", np.zeros(2 * RATE, np.float32)
    yield "hiss", rng.normal(0, 0.002, 2 * RATE).astype(np.float32)
    yield "loud hiss", rng.normal(0, 0.05, 2 * RATE).astype(np.float32)
    hum = 0.1 * np.sin(2 * np.pi * 50 * np.arange(3 * RATE) / RATE)
    yield "hum", hum.astype(np.float32)
    knocks = [burst * np.exp(-np.arange(4000) / 300) for burst in rng.normal(0, 0.5, (3, 4000))]
    yield "knocks", np.concatenate(knocks).astype(np.float32)
    for path in sorted((SPEECH / "noise").glob("noise*.wav")):
        sound = to_float(read_wav(path).at_rate(RATE).pcm)
        for start, seconds in ((0, 1.0), (2, 1.5), (4, 2.5), (7, 4.0)):
            stretch = np.resize(sound, 12 * RATE)[start * RATE : int((start + seconds) * RATE)]
            yield f"{path.stem} {start}-{start + seconds:g} s", stretch


def hallucinations(contenders: Mapping[str, Contender]) -> list[list[str]]:
    """For how many stretches of noise each wrote words, and what."""
    stretches = list(noises())
    rows = []
    for name, hear in contenders.items():
        written = [text for _, sound in stretches if (text := hear(sound, "en")[0])]
        shown = "; ".join(dict.fromkeys(text[:24] for text in written[:4]))
        rows.append([name, f"{len(written)} of {len(stretches)}", shown])
    return rows


def languages(contenders: Mapping[str, Contender]) -> list[list[str]]:
    """One question in each language, the language to be found out."""
    entries = json.loads((SPEECH / "languages" / "manifest.json").read_text(encoding="utf-8"))
    rows = []
    for name, hear in contenders.items():
        right, wrong = 0, WordErrors()
        for entry in entries:
            sound = to_float(read_wav(SPEECH / "languages" / entry["file"]).at_rate(RATE).pcm)
            text, language = hear(sound, None)
            right += language == entry["language"]
            wrong += word_errors(entry["text"], text)
        rows.append([name, f"{right} of {len(entries)}", f"{wrong.percent:.0f}"])
    return rows


def verdicts(results: Sequence[Result]) -> list[str]:
    """The figures that this is measured for."""
    human = [result for result in results if result.group == "human" and result.room == ROOMS[0].name]
    difference = rate(human, OURS).percent - rate(human, STOCK).percent
    short = [result for result in results if result.seconds <= FIGURE_S]
    factor = times_faster(short)
    return [
        f"word errors on human/: {difference:+.1f} points against stock (figure: at most +1): "
        f"{'met' if difference <= 1 else 'MISSED'}",
        f"turns up to {FIGURE_S:g} s: {factor:.1f} times as fast as stock (figure: at least 3): "
        f"{'met' if factor >= 3 else 'MISSED'}",
    ]


def plot(results: Sequence[Result], path: Path) -> None:
    bars = [
        Bar(
            label=f"{name}, {start:g}-{end:g} s",
            parts=[median_ms(here, name) if column == place else 0.0 for column in range(len(contenders))],
        )
        for start, end in LENGTHS
        if (here := [result for result in results if start <= result.seconds < end])
        for contenders in [list(dict.fromkeys(result.contender for result in results))]
        for place, name in enumerate(contenders)
    ]
    write_bars(path, TITLE, list(dict.fromkeys(result.contender for result in results)), bars)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="asr/whisper-base", help="catalog id or folder")
    parser.add_argument("--rooms", choices=("clean", "all"), default="clean")
    parser.add_argument("--runs", type=int, default=3, help="of each turn, for the times")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "out" / "recognition.json")
    parser.add_argument("--docs", action="store_true", help="put tables and plot into docs/ too")
    options = parser.parse_args()

    where = machine()
    files = ModelStore(load_settings(os.environ).settings.models).resolve(options.model, "asr")
    contenders = {
        OURS: ours(files, options.threads),
        STOCK: stock(files, options.threads),
        GREEDY: stock(files, options.threads, beam_size=1),
    }
    rooms = ROOMS if options.rooms == "all" else ROOMS[:1]
    results = list(run(contenders, in_rooms(rooms), options.runs))
    tables = [
        word_table(results),
        speed_table(results),
        (["noise and silence", "words written", "for example"], hallucinations(contenders)),
        (["language found out", "right", "word errors, %"], languages(contenders)),
    ]
    for columns, rows in tables:
        print_table("", columns, rows)
    print("\n".join(verdicts(results)))
    write_json(
        options.out, {"machine": where, "threads": options.threads, "turns": [asdict(r) for r in results]}
    )
    plot(results, options.out.with_suffix(".svg"))
    if options.docs:
        plot(results, PLOT)
        about = describe(where, f"python benchmarks/recognition.py --rooms {options.rooms}")
        shown = "\n".join(table(columns, rows) for columns, rows in tables)
        write_section(DOCUMENT, "recognition", f"![{TITLE}](pictures/{PLOT.name})\n\n{about}\n\n{shown}")
    print(f"written: {options.out} and the plot beside it")


if __name__ == "__main__":
    main()
