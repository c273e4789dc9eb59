"""What every contender shares: the scripted stages, the caller, and the clock.

Standard library only, so that it runs in each contender's own environment. The stages are the same code for
all, so that what differs is only what each engine does around them: when it asks for the transcript, when it
starts the reply, when it hands a text to the voice, and when it lets the sound out.
"""

from __future__ import annotations

import array
import asyncio
import gc
import json
import math
import os
import re
import sys
import traceback
import wave
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

STAGES = json.loads((Path(__file__).parent / "stages.json").read_text())
"""Latencies in seconds, rates in Hz, the clips' words and the replies."""

RATE = int(STAGES["input_rate"])
VOICE_RATE = int(STAGES["tts_rate"])
FRAME_SAMPLES = round(RATE * STAGES["input_frame_s"])
AUDIBLE = 32
"""Sample magnitude from which sound counts as sound (-60 dBFS)."""
TAIL_S = 0.3
"""How long a call goes on after the first sound, so that a stop at once would be seen."""
JOB_TIMEOUT_S = 30.0


def now() -> float:
    return asyncio.get_running_loop().time()


async def sleep_until(at: float) -> None:
    await asyncio.sleep(max(at - now(), 0.0))


@dataclass(frozen=True)
class Job:
    """One call to make."""

    clip: str
    """Path of a 16 kHz mono WAV whose speech ends with the file."""
    transcript: str
    reply: str
    asr: Literal["batch", "streaming"]
    pieces: Literal["word", "token"] = "word"
    """How the language model's stream is cut: words with their punctuation, or punctuation apart."""
    lead_frames: int = 50
    """Silence before the clip; varied from run to run, so that no detector's 32 ms window always has luck."""


@dataclass
class Stage:
    """One call to a scripted stage, in seconds on the loop's clock."""

    kind: Literal["asr", "llm", "tts"]
    start: float
    first: float = math.nan
    """The transcript, the first token, or the first chunk of sound."""


@dataclass
class Call:
    """One caller's call: plays the clip, serves the stages, notes when the first sound came out."""

    job: Job
    stages: list[Stage] = field(default_factory=list)
    clip_began: asyncio.Event = field(default_factory=asyncio.Event)
    clip_over: asyncio.Event = field(default_factory=asyncio.Event)
    began_at: float = math.nan
    ended_at: float = math.nan
    """When the clip's last sample was sent."""
    sound_at: float = math.nan
    first_sound: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self, kind: Literal["asr", "llm", "tts"]) -> Stage:
        """Note that a stage was asked for something."""
        stage = Stage(kind, now())
        self.stages.append(stage)
        return stage

    # ---- the stages ----------------------------------------------------------------------------------------

    async def recognise(self) -> str:
        """Batch speech to text: the words spoken by now, 300 ms later."""
        stage = self.begin("asr")
        spoken = self.spoken(stage.start)
        await sleep_until(stage.start + STAGES["asr_s"])
        stage.first = now()
        return " ".join(spoken)

    def spoken(self, at: float) -> list[str]:
        """The caller's words up to a time, spread evenly over the clip. A word counts from its middle on."""
        words = self.job.transcript.split()
        if not self.clip_began.is_set():
            return []
        return words[: max(math.floor((at - self.began_at) / self.word_s + 0.5), 0)]

    @property
    def word_s(self) -> float:
        """Seconds a word."""
        return clip_seconds(self.job.clip) / len(self.job.transcript.split())

    async def follow(self) -> AsyncIterator[tuple[str, bool]]:
        """Streaming speech to text: the transcript so far after each word, not final; then the final one."""
        stage = self.begin("asr")
        words = self.job.transcript.split()
        for count in range(1, len(words) + 1):
            await self.transcribed(count)
            yield " ".join(words[:count]), False
        await self.concluded()
        stage.first = now()
        yield self.job.transcript, True

    async def transcribed(self, count: int) -> None:
        """Until the first ``count`` words are in an interim transcript: each 200 ms after it was spoken."""
        await self.clip_began.wait()
        await sleep_until(self.began_at + count * self.word_s + STAGES["asr_interim_s"])

    async def concluded(self) -> None:
        """Until streaming recognition knows that no more words come: 300 ms after the end of speech."""
        await self.clip_over.wait()
        await sleep_until(self.ended_at + STAGES["asr_s"])

    async def write(self) -> AsyncIterator[str]:
        """The language model: the first token after 300 ms, then 50 a second."""
        stage = self.begin("llm")
        for count, piece in enumerate(pieces(self.job.reply, self.job.pieces)):
            await sleep_until(stage.start + STAGES["llm_first_token_s"] + count / STAGES["llm_tokens_per_s"])
            if math.isnan(stage.first):
                stage.first = now()
            yield piece

    async def speak(self, text: str) -> AsyncIterator[bytes]:
        """The voice: the first chunk after 200 ms, the rest ten times faster than it sounds."""
        stage = self.begin("tts")
        sound = hum(len(text) * STAGES["tts_letter_s"])
        size = 2 * round(VOICE_RATE * STAGES["tts_chunk_s"])
        for at in range(0, len(sound), size):
            spoken_s = at / 2 / VOICE_RATE
            await sleep_until(
                stage.start + STAGES["tts_first_chunk_s"] + STAGES["tts_real_time_factor"] * spoken_s
            )
            if math.isnan(stage.first):
                stage.first = now()
            yield sound[at : at + size]

    async def read_along(self, word: str, begun: Stage | None) -> tuple[Stage, bytes]:
        """A voice fed word by word: its first sound 200 ms after the first word, later words at once."""
        stage = begun or self.begin("tts")
        await sleep_until(stage.start + STAGES["tts_first_chunk_s"])
        if math.isnan(stage.first):
            stage.first = now()
        return stage, hum(len(word) * STAGES["tts_letter_s"])

    # ---- the caller ----------------------------------------------------------------------------------------

    async def play(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Send silence, the clip, and silence again, in real time, until shortly after the first sound."""
        clip = padded(read_clip(self.job.clip))
        lead = self.job.lead_frames
        frames = [bytes(2 * FRAME_SAMPLES)] * lead + clip
        begun = now()
        last, sent = len(frames) - 1, 0
        while not self._done():
            await sleep_until(
                begun + (sent + 1) * STAGES["input_frame_s"]
            )  # a frame is there once it was spoken
            if sent == lead:
                self.began_at = now() - STAGES["input_frame_s"]
                self.clip_began.set()
            elif sent == last:
                self.ended_at = now()
                self.clip_over.set()
            await send(frames[sent] if sent <= last else bytes(2 * FRAME_SAMPLES))
            sent += 1

    def _done(self) -> bool:
        if math.isnan(self.ended_at):
            return False
        if self.first_sound.is_set():
            return now() > max(self.sound_at, self.ended_at) + TAIL_S
        return now() > self.ended_at + STAGES["give_up_s"]

    def sounded(self, pcm: bytes) -> None:
        """Sound that the contender lets out, PCM s16le mono at ``VOICE_RATE``."""
        if self.first_sound.is_set():
            return
        samples = array.array("h", pcm)
        audible = next((at for at, sample in enumerate(samples) if abs(sample) >= AUDIBLE), None)
        if audible is not None:
            self.sound_at = now() + audible / VOICE_RATE
            self.first_sound.set()

    # ---- the result ----------------------------------------------------------------------------------------

    def result(self) -> dict[str, object]:
        """In ms from the last sample of the clip; ``stages`` is the chain that led to the first sound."""
        if not self.first_sound.is_set():
            return {"error": "no sound came out"}
        sound_ms = self._ms(self.sound_at)
        calls = {kind: sum(stage.kind == kind for stage in self.stages) for kind in ("asr", "llm", "tts")}
        return {"first_sound_ms": sound_ms, "cut_off": sound_ms < 0, "calls": calls, "stages": self._chain()}

    def _chain(self) -> dict[str, list[float]]:
        """Start and first result of the recognition, reply and synthesis that led to the first sound."""
        llm = self._last("llm", before=self.sound_at)
        if llm is None:
            return {}
        asr = self._last("asr", before=llm.start)
        tts = next(
            (s for s in self.stages if s.kind == "tts" and s.start >= llm.start and s.first <= self.sound_at),
            None,
        )
        named = {"asr": asr, "llm": llm, "tts": tts}
        return {
            kind: [self._ms(stage.start), self._ms(stage.first)] for kind, stage in named.items() if stage
        }

    def _last(self, kind: str, *, before: float) -> Stage | None:
        done = [stage for stage in self.stages if stage.kind == kind and stage.first <= before]
        return done[-1] if done else None

    def _ms(self, at: float) -> float:
        return round((at - self.ended_at) * 1000, 1)


# ---- sound and text ------------------------------------------------------------


def read_clip(path: str) -> bytes:
    with wave.open(path, "rb") as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (RATE, 1, 2):
            raise ValueError(f"{path}: 16 kHz mono PCM16 is needed")
        return file.readframes(file.getnframes())


@lru_cache
def clip_seconds(path: str) -> float:
    with wave.open(path, "rb") as file:
        return file.getnframes() / file.getframerate()


def padded(pcm: bytes) -> list[bytes]:
    """The clip in frames, silence put before it so that its last sample is the last of a frame."""
    size = 2 * FRAME_SAMPLES
    pcm = bytes(-len(pcm) % size) + pcm
    return [pcm[at : at + size] for at in range(0, len(pcm), size)]


def hum(seconds: float) -> bytes:
    """A tone that is loud from its second sample on."""
    samples = (
        round(6000 * math.sin(math.tau * 220 * at / VOICE_RATE)) for at in range(round(seconds * VOICE_RATE))
    )
    return array.array("h", samples).tobytes()


def pieces(text: str, cut: str) -> list[str]:
    """``text`` as a language model streams it: words with the space before them; punctuation on its own for
    ``token``, on its word for ``word``."""
    return re.findall(r"\s*\S+" if cut == "word" else r"\s*[\w']+|\s*[^\w\s]", text)


# ---- one process per contender ------------------------------------------------------------


def serve(converse: Callable[[Call], Awaitable[None]]) -> None:
    """One job a line from standard input: hold the call, write its result as a line; until the input ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(
        sys.stderr.fileno(), sys.stdout.fileno()
    )  # what libraries print must not end up among the answers
    asyncio.run(_serve(converse, answers.write))


async def _serve(converse: Callable[[Call], Awaitable[None]], answer: Callable[[str], object]) -> None:
    loop = asyncio.get_running_loop()
    answer(json.dumps({"ready": True}) + "\n")
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        call = Call(Job(**json.loads(line)))
        try:
            await asyncio.wait_for(converse(call), JOB_TIMEOUT_S)
            result = call.result()
        except Exception as error:  # noqa: BLE001 - the edge of this process: the table shows what failed
            traceback.print_exc()
            result = {"error": f"{type(error).__name__}: {error}"}
        gc.collect()
        answer(json.dumps(result) + "\n")
