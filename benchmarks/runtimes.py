"""What each embedded runtime takes, alone and beside the others, with the models of a profile.

    python benchmarks/runtimes.py                     # fast, about a minute
    python benchmarks/runtimes.py --profile balanced

Times are medians over --runs, taken in turn. "Beside" is while a voice speaks without pause in the shared lane, which
is more than one conversation does.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import time
import wave
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.plot import describe, machine, percentile, print_table, table, write_json, write_section

from antiphon.conversation.config import DEFAULT_INSTRUCTIONS
from antiphon.inference.lanes import Lane, Priority
from antiphon.inference.piper import PiperVoice
from antiphon.inference.profiles import PROFILES, Profile, available_cores
from antiphon.inference.runtime import LocalRuntimes, RuntimeConfig
from antiphon.inference.store import ModelStore
from antiphon.inference.vits import WholeVits, open_vits
from antiphon.providers.base import (
    Finished,
    LanguageModel,
    LanguageOptions,
    Message,
    SpeechOptions,
    Synthesizer,
    Text,
)
from antiphon.settings import load_settings

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "design" / "inference.md"
CLIP = ROOT / "tests" / "speech" / "callers" / "q00.wav"
FRAME_BYTES = 1024
SENTENCES = (
    "Sure.",
    "I can set a timer for you.",
    "The capital of France is Paris, on the river Seine in the north.",
)
PARTIAL, QUESTION = (
    "Could you tell me how many days",
    "Could you tell me how many days there are in a leap year?",
)
STORY = "Tell me a long story about a dog."

Row = tuple[str, float]
Timed = Callable[[], Awaitable[float]]


async def clock(work: Awaitable[object]) -> float:
    """Milliseconds that ``work`` takes."""
    begun = time.perf_counter()
    await work
    return (time.perf_counter() - begun) * 1000


async def medians(timed: dict[str, Timed], runs: int) -> list[Row]:
    """Each once to warm up, then all in turn, so that a busy moment falls on all."""
    for once in timed.values():
        await once()
    taken: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(runs):
        for name, once in timed.items():
            taken[name].append(await once())
    return [(name, statistics.median(values)) for name, values in taken.items()]


# ---- the ear ----------------------------------------------------------------------------------------------


def listening(runtimes: LocalRuntimes, profile: Profile, pcm: bytes) -> dict[str, Timed]:
    detector = runtimes.voice_detector(profile.vad)

    def tick(sessions: int) -> Timed:
        """One frame of each session, per frame. The sessions end with it: open ones are waited for."""

        async def once() -> float:
            streams = [detector.open() for _ in range(sessions)]
            heard = asyncio.gather(*(stream.detect(pcm[:FRAME_BYTES]) for stream in streams))
            return await clock(heard) / sessions

        return once

    turn_model = runtimes.turn_model(profile.turn)
    return {
        "voice detector, a 32 ms frame, one session": tick(1),
        "… of eight sessions, each": tick(8),
        "… of a hundred sessions, each": tick(100),
        "turn model, a pause": lambda: clock(turn_model.end_of_turn(pcm)),
    }


def recognising(runtimes: LocalRuntimes, profile: Profile, pcm: bytes) -> dict[str, Timed]:
    recognizer = runtimes.recognizer(profile.asr)

    async def transcribe() -> None:
        async with recognizer.open(language="en") as hearing:
            await hearing.send(pcm)
            await hearing.finish()
            async for _ in hearing:
                pass

    return {f"recogniser, a turn of {len(pcm) / 32_000:.1f} s": lambda: clock(transcribe())}


# ---- language ---------------------------------------------------------------------------------------------


def messages(user: str) -> list[Message]:
    return [Message(role="system", content=DEFAULT_INSTRUCTIONS), Message(role="user", content=user)]


async def first_token(model: LanguageModel, user: str, key: str) -> float:
    begun = time.perf_counter()
    async with model.reply(messages(user), LanguageOptions(max_tokens=8, cache_key=key)) as deltas:
        async for delta in deltas:
            if isinstance(delta, Text):
                break
    return (time.perf_counter() - begun) * 1000


async def tokens_per_s(model: LanguageModel, key: str, tokens: int) -> float:
    """While writing, from the first token on."""
    begun = 0.0
    count = 0
    async with model.reply(messages(STORY), LanguageOptions(max_tokens=tokens, cache_key=key)) as deltas:
        async for delta in deltas:
            begun = begun or time.perf_counter()
            if isinstance(delta, Finished):
                count = delta.usage.output_tokens
    return (count - 1) / (time.perf_counter() - begun) if count > 1 else 0.0


def answering(model: LanguageModel) -> dict[str, Timed]:
    turns = iter(range(1_000_000))

    async def known() -> float:
        return await first_token(model, f"{next(turns)} {QUESTION}", "known")

    async def prefilled() -> float:
        turn = next(turns)
        await model.prefill(messages(f"{turn} {PARTIAL}"), LanguageOptions(cache_key="prefilled"))
        return await first_token(model, f"{turn} {QUESTION}", "prefilled")

    async def again() -> float:
        return await first_token(model, QUESTION, "again")

    return {
        "language model, first token, system prompt known": known,
        "… half the question prefilled": prefilled,
        "… all of it known": again,
    }


# ---- voice ------------------------------------------------------------------------------------------------


async def first_chunk(synthesizer: Synthesizer, text: str) -> float:
    begun = time.perf_counter()
    async with synthesizer.speak(text, SpeechOptions()) as chunks:
        async for _ in chunks:
            break
    return (time.perf_counter() - begun) * 1000


async def whole(synthesizer: Synthesizer, text: str) -> None:
    async with synthesizer.speak(text, SpeechOptions()) as chunks:
        async for _ in chunks:
            pass


def speaking(synthesizer: Synthesizer) -> dict[str, Timed]:
    timed: dict[str, Timed] = {}
    for text in SENTENCES:
        words = f"{len(text.split())} word{'s' if len(text.split()) > 1 else ''}"
        timed[f"voice, {words}, first sound"] = lambda text=text: first_chunk(synthesizer, text)  # type: ignore[misc]
        timed[f"… all of it ({words})"] = lambda text=text: clock(whole(synthesizer, text))  # type: ignore[misc]
    return timed


def uncut(store: ModelStore, profile: Profile, lane: Lane, threads: int) -> dict[str, Timed]:
    """The same piper voice as one graph, for comparison."""
    files = store.resolve(profile.tts)
    config = files.main.with_name(f"{files.main.name}.json")
    if not config.is_file():
        return {}
    voice = PiperVoice(files.main, config, model_id=files.id, threads=threads)
    voice.vits = open_vits(files.main, model_id=files.id, threads=threads, hop=voice.config.hop, cut=False)
    assert isinstance(voice.vits, WholeVits)

    def speak(text: str) -> Timed:
        return lambda: clock(lane.run(Priority.FIRST_SOUND, voice.speak(text, voice="", speed=1.0).step))

    return {f"… uncut graph, first sound ({len(text.split())} words)": speak(text) for text in SENTENCES[1:]}


# ---- beside each other ------------------------------------------------------------------------------------


@asynccontextmanager
async def talking(synthesizer: Synthesizer) -> AsyncIterator[None]:
    """While inside, a voice speaks without pause."""

    async def talk() -> None:
        while True:
            await whole(synthesizer, SENTENCES[-1])

    task = asyncio.ensure_future(talk())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def detection_times(runtimes: LocalRuntimes, profile: Profile, pcm: bytes, count: int) -> list[float]:
    """Of one session's frames, one every 32 ms as from a microphone."""
    stream = runtimes.voice_detector(profile.vad).open()
    taken: list[float] = []
    for _ in range(count):
        taken.append(await clock(stream.detect(pcm[:FRAME_BYTES])))
        await asyncio.sleep(0.032)
    return taken


async def contention(
    runtimes: LocalRuntimes, profile: Profile, pcm: bytes, runs: int
) -> list[tuple[str, str, str]]:
    """Alone, and beside a voice."""
    model, synthesizer = runtimes.language_model(profile.llm), runtimes.synthesizer(profile.tts)

    async def measure() -> tuple[list[float], float, float, float]:
        frames = await detection_times(runtimes, profile, pcm, 20 * runs)
        turn = statistics.median(
            [await clock(runtimes.turn_model(profile.turn).end_of_turn(pcm)) for _ in range(runs)]
        )
        first = statistics.median([await first_token(model, f"{QUESTION} {n}", "c") for n in range(runs)])
        return frames, turn, first, await tokens_per_s(model, "c", 24)

    alone = await measure()
    async with talking(synthesizer):
        beside = await measure()

    def row(
        name: str, value: Callable[[tuple[list[float], float, float, float]], float]
    ) -> tuple[str, str, str]:
        return name, shown(value(alone)), shown(value(beside))

    return [
        row("voice detector, median, ms", lambda seen: statistics.median(seen[0])),
        row("voice detector, 99th percentile, ms", lambda seen: percentile(seen[0], 99)),
        row("turn model, ms", lambda seen: seen[1]),
        row("language model, first token, ms", lambda seen: seen[2]),
        row("language model, tokens a second", lambda seen: seen[3]),
    ]


# ---- the table --------------------------------------------------------------------------------------------


def resident_mib() -> int:
    """Resident memory of this process."""
    fields = Path("/proc/self/status").read_text(encoding="ascii").split("VmRSS:")[1].split()
    return int(fields[0]) // 1024


async def run(profile: Profile, runs: int, cores: int) -> tuple[list[Row], list[tuple[str, str, str]]]:
    store = ModelStore(load_settings(os.environ).settings.models)
    with wave.open(str(CLIP)) as file:
        pcm = bytes(file.readframes(file.getnframes()))
    begun = time.perf_counter()
    config = RuntimeConfig(cores=cores, system_prompt=DEFAULT_INSTRUCTIONS)
    async with LocalRuntimes([store.resolve(model) for model in profile.models], config) as runtimes:
        assert runtimes.lane is not None
        rows: list[Row] = [("start: all loaded and warm", (time.perf_counter() - begun) * 1000)]
        rows.append(("resident memory, MiB", resident_mib()))
        synthesizer, model = runtimes.synthesizer(profile.tts), runtimes.language_model(profile.llm)
        timed = listening(runtimes, profile, pcm) | recognising(runtimes, profile, pcm)
        timed |= answering(model) | speaking(synthesizer)
        timed |= uncut(store, profile, runtimes.lane, config.run_threads)
        rows += await medians(timed, runs)
        return rows, await contention(runtimes, profile, pcm, runs)


def shown(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profile", choices=tuple(PROFILES), default="fast")
    parser.add_argument("--runs", type=int, default=9)
    parser.add_argument("--cores", type=int, default=available_cores())
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "out" / "runtimes.json")
    parser.add_argument(
        "--docs", action="store_true", help="put the tables into docs/design/inference.md too"
    )
    options = parser.parse_args()

    where = machine()
    rows, beside = asyncio.run(run(PROFILES[options.profile], options.runs, options.cores))
    single: Sequence[Sequence[str]] = [(name, shown(value)) for name, value in rows]
    tables = [
        ([f"profile {options.profile}", "ms"], single),
        (["beside each other", "alone", "beside a voice"], beside),
    ]
    for columns, lines in tables:
        print_table("", columns, lines)
    write_json(
        options.out,
        {
            "machine": where,
            "profile": options.profile,
            "alone": dict(rows),
            "beside": [list(row) for row in beside],
        },
    )
    if options.docs:
        about = describe(where, f"python benchmarks/runtimes.py --profile {options.profile}")
        text = "\n".join(table(columns, lines) for columns, lines in tables)
        write_section(DOCUMENT, f"runtimes {options.profile}", f"{about}\n\n{text}")


if __name__ == "__main__":
    main()
