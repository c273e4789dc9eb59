"""What speech over a reply does: interruptions must silence it at once, backchannels and noises must not end it.

20 interruptions, 12 backchannels (tests/speech/overlap) and 8 stretches of recorded noise are played, in real time,
into sessions that are in the middle of a long reply. The ear is the real one (Silero, smart-turn, whisper); the reply
and its voice are scripted, so that every session talks for long enough. The client is a loudspeaker that ducks,
holds and flushes as the page does.

    python benchmarks/barge_in.py        # some five minutes on two cores

"silent after" counts from the first sound of the overlap to the moment the loudspeaker falls silent (held or
stopped); "ended" counts replies that were cancelled.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.plot import describe, machine, percentile, table, write_json, write_section

from antiphon.audio.wav import read_wav
from antiphon.conversation import events
from antiphon.conversation.config import ConversationConfig, Providers
from antiphon.conversation.conversation import Conversation
from antiphon.inference.runtime import LocalRuntimes
from antiphon.inference.store import ModelStore
from antiphon.providers.scripted import ScriptedLanguageModel, ScriptedSynthesizer
from antiphon.settings import load_settings

ROOT = Path(__file__).resolve().parent.parent
SPEECH = ROOT / "tests" / "speech"
VAD, TURN, ASR = "vad/silero-6", "turn/smart-turn-3.2", "asr/whisper-base"
RATE = 16_000
FRAME_S = 0.02
LEAD_S = 1.2
"""The reply has been heard for this long when the overlap begins."""
AFTER_S = 2.5
"""Silence after the overlap, in which all is decided."""
REPLY = (
    "Here is a long answer to that. It goes on for a while, and then for a while more. After that it tells of "
    "mountains and rivers, of the sea, and of the weather over it. That was nearly all of it."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Something said over a reply."""

    name: str
    kind: str
    """``interruption``, ``backchannel`` or ``noise``."""
    text: str
    pcm: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of it. Times in ms from the overlap's first sound."""

    name: str
    kind: str
    text: str
    silent_ms: float | None
    """When the loudspeaker first fell silent; None when it never did."""
    ended_ms: float | None
    """When the reply was cancelled; None when it went on."""
    resumed: bool
    reason: str


def overlaps() -> list[Overlap]:
    """The recorded ones, and eight stretches of noise as loud as speech."""
    found = []
    for entry in json.loads((SPEECH / "overlap" / "manifest.json").read_text()):
        sound = read_wav(SPEECH / "overlap" / entry["file"])
        found.append(Overlap(name=entry["file"], kind=entry["kind"], text=entry["text"], pcm=sound.pcm))
    stretches = [("noise1", 1.0), ("noise1", 9.0), ("noise1", 18.0), ("noise1", 26.0)]
    stretches += [("noise2", 0.5), ("noise2", 3.0), ("noise3", 1.0), ("noise3", 5.0)]
    for name, start in stretches:
        pcm = read_wav(SPEECH / "noise" / f"{name}.wav").pcm
        samples = np.frombuffer(pcm, dtype="<i2")[int(start * RATE) : int((start + 1.0) * RATE)]
        loud = samples.astype(np.float32) * (6_000 / max(1.0, float(np.abs(samples).max())))
        found.append(
            Overlap(name=f"{name}@{start:g}", kind="noise", text="", pcm=loud.astype("<i2").tobytes())
        )
    return found


class Trial:
    """One session in which something is said over the reply."""

    def __init__(self, overlap: Overlap, providers: Providers) -> None:
        self.overlap = overlap
        self.conversation = Conversation(
            session_id="benchmark",
            providers=providers,
            config=ConversationConfig(output_rate=24_000, language="en"),
            emit=self.emit,
        )
        self.now = asyncio.get_running_loop().time
        self.reply = ""
        self.began: float | None = None
        self.sound_at: float | None = None
        self.silent_at: float | None = None
        self.ended_at: float | None = None
        self.resumed = False
        self.reason = ""
        self.held_ms = 0.0
        self.held_since: float | None = None

    async def emit(self, event: events.Event) -> None:
        match event:
            case events.AudioStarted(reply_id=reply) if self.sound_at is None:
                self.reply, self.sound_at = reply, self.now()
            case events.PlaybackChanged(action="hold"):
                self.silent_at, self.held_since = self.silent_at or self.now(), self.now()
            case events.PlaybackChanged(action="resume"):
                self.resumed = True
                if self.held_since is not None:
                    self.held_ms += (self.now() - self.held_since) * 1000
                    self.held_since = None
            case events.Interrupted():
                self.silent_at = self.silent_at or self.now()
                self.ended_at = self.ended_at or self.now()
            case events.Decision(kind="cancel" | "resume", reason=reason):
                self.reason = self.reason or reason
            case _:
                pass

    def played_ms(self) -> int:
        if self.sound_at is None:
            return 0
        until = self.held_since if self.held_since is not None else self.now()
        return round((until - self.sound_at) * 1000 - self.held_ms)

    async def run(self) -> Outcome:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self.conversation.run())
            await self.microphone()
            self.conversation.close()
            await running
        return Outcome(
            name=self.overlap.name,
            kind=self.overlap.kind,
            text=self.overlap.text,
            silent_ms=self._after(self.silent_at),
            ended_ms=self._after(self.ended_at),
            resumed=self.resumed,
            reason=self.reason,
        )

    async def microphone(self) -> None:
        """Silence until the reply sounds, then the overlap, then silence; in real time."""
        self.conversation.type_text("Tell me about it.")
        size, sent, begin = round(FRAME_S * RATE) * 2, 0, self.now()
        track = b""
        while True:
            if self.began is None and self.sound_at is not None and self.now() - self.sound_at >= LEAD_S:
                self.began = begin + sent * FRAME_S
                track = self.overlap.pcm
            frame, track = track[:size], track[size:]
            self.conversation.hear(frame + bytes(size - len(frame)))
            sent += 1
            if self.reply:
                self.conversation.played(self.reply, self.played_ms())
            if self.began is not None and not track and self.now() > self.began + AFTER_S + self.length_s():
                return
            await asyncio.sleep(max(0.0, begin + sent * FRAME_S - self.now()))

    def length_s(self) -> float:
        return len(self.overlap.pcm) / 2 / RATE

    def _after(self, at: float | None) -> float | None:
        return None if at is None or self.began is None else round((at - self.began) * 1000)


async def measure(models: Path, only: Sequence[str]) -> list[Outcome]:
    store = ModelStore(models)
    async with LocalRuntimes([store.resolve(model) for model in (VAD, TURN, ASR)]) as runtimes:
        providers = Providers(
            recognizer=runtimes.recognizer(ASR),
            language_model=ScriptedLanguageModel([REPLY], first_token_s=0.1),
            synthesizer=ScriptedSynthesizer(first_chunk_s=0.1, sound="hum"),
            voice_detector=runtimes.voice_detector(VAD),
            turn_model=runtimes.turn_model(TURN),
        )
        chosen = [overlap for overlap in overlaps() if not only or overlap.name in only]
        return [await Trial(overlap, providers).run() for overlap in chosen]


def report(outcomes: Sequence[Outcome]) -> str:
    """The table, what went wrong, and the figures."""
    rows = []
    for kind in ("interruption", "backchannel", "noise"):
        mine = [outcome for outcome in outcomes if outcome.kind == kind]
        silent = [outcome.silent_ms for outcome in mine if outcome.silent_ms is not None]
        ended = [outcome.ended_ms for outcome in mine if outcome.ended_ms is not None]
        rows.append(
            [
                kind,
                str(len(mine)),
                str(len(ended)),
                str(len(silent)),
                f"{statistics.median(silent):.0f}" if silent else "-",
                f"{percentile(silent, 95):.0f}" if silent else "-",
                f"{statistics.median(ended):.0f}" if ended else "-",
            ]
        )
    columns = ["said over a reply", "times", "ended it", "silenced it", "silent p50", "p95", "ended p50"]
    title = "Speech over a reply (ms from its first sound)"
    return "\n\n".join([title, table(columns, rows), "\n".join([*mistakes(outcomes), *figures(outcomes)])])


def mistakes(outcomes: Sequence[Outcome]) -> Iterator[str]:
    for outcome in outcomes:
        if (outcome.ended_ms is None) == (outcome.kind == "interruption"):
            why = outcome.reason or "nothing happened"
            yield f"- wrong: {outcome.kind} {outcome.name} {outcome.text!r}: {why}"


def figures(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Each figure, and whether it was reached."""
    ours = [outcome for outcome in outcomes if outcome.kind == "interruption"]
    silent = [outcome.silent_ms for outcome in ours if outcome.silent_ms is not None]
    late = percentile(silent, 95)
    yield f"- silent after, p95: {late:.0f} ms (at most 300): {_verdict(late <= 300)}"
    ignored = sum(outcome.ended_ms is None for outcome in ours)
    yield f"- interruptions ignored: {ignored} of {len(ours)} (none): {_verdict(ignored == 0)}"
    ended = sum(outcome.ended_ms is not None for outcome in outcomes if outcome.kind != "interruption")
    others = len(outcomes) - len(ours)
    yield f"- ended by a backchannel or a noise: {ended} of {others} (1 in 20): {_verdict(20 * ended <= others)}"


def _verdict(met: bool) -> str:
    return "met" if met else "missed"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="FILE")
    parser.add_argument("--models", type=Path, default=None, help="the models folder")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "out" / "barge_in.json")
    parser.add_argument("--docs", action="store_true", help="put the table into docs/ too")
    options = parser.parse_args()
    models = options.models or load_settings(os.environ).settings.models
    where = machine()
    outcomes = asyncio.run(measure(models, options.only))
    print(report(outcomes))
    write_json(options.out, {"machine": where, "outcomes": [asdict(outcome) for outcome in outcomes]})
    if options.docs:
        about = describe(where, "python benchmarks/barge_in.py")
        write_section(ROOT / "docs" / "benchmarks.md", "barge-in", f"{about}\n\n{report(outcomes)}")


if __name__ == "__main__":
    main()
