"""Deterministic providers with settable latencies, rates and faults. They ship: tests, benchmarks and a demo
without models use them.

The recogniser, the voice detector and the turn model understand coded speech (``audio.coded_speech``), so a
test can say what the user says and when; the voice speaks coded speech too, so a test can tell what was
heard. Real recordings work as well: the detector goes by energy, and the recogniser answers with its
``fallback``. All waiting is ``asyncio.sleep``, so that on a virtual-time loop it takes no time.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np

from antiphon.audio.coded_speech import coded_text, coded_words, silence, word_sound
from antiphon.audio.level import level_dbfs
from antiphon.errors import ProviderError, ProviderRejected, ProviderUnavailable
from antiphon.providers.base import (
    SPEECH_RATE,
    VOICE_FRAME,
    Delta,
    Finished,
    LanguageOptions,
    Message,
    ProviderInfo,
    RecognizerStream,
    SpeechChunk,
    SpeechOptions,
    Text,
    ToolCall,
    Transcript,
    Usage,
    WordTime,
)

Fault = Literal["fail", "reject", "stall", "cut", "hush", "empty"] | ProviderError
"""What a call does instead of its work: ``ProviderUnavailable`` at once; ``ProviderRejected``; connects and
sends nothing, ever; breaks off with ``ProviderUnavailable`` after its first pieces; falls silent after them; ends
properly but with nothing; raises that very error."""

CALLS_KEPT = 256
"""Calls each provider remembers: far more than a test makes. Each holds its prompt, all messages of a conversation:
some tens of megabytes after half an hour with many callers, so that a server keeps fewer."""

VOICED_DBFS = (-50.0, -40.0)
"""The voice detector says 0 below the first level and 1 above the second; recorded speech is at -30 to
-15."""


class Faults:
    """The faults that the next calls will have, in order; None lets one succeed."""

    def __init__(self, faults: Iterable[Fault | None] = ()) -> None:
        self._next = deque(faults)

    def add(self, *faults: Fault | None) -> None:
        """After those already set."""
        self._next.extend(faults)

    def take(self) -> Fault | None:
        """The fault of the call that begins now."""
        return self._next.popleft() if self._next else None


async def _begin(fault: Fault | None, provider: str) -> None:
    """Faults that show before the first piece."""
    match fault:
        case "fail":
            raise ProviderUnavailable("scripted failure", provider=provider)
        case "reject":
            raise ProviderRejected("scripted rejection", provider=provider)
        case "stall":
            await asyncio.Event().wait()
        case ProviderError():
            raise fault
        case "cut" | "hush" | "empty" | None:
            pass


async def _break_off(fault: Fault | None, provider: str) -> None:
    """Faults that show inside an answer."""
    if fault == "cut":
        raise _cut(provider)
    if fault == "hush":
        await asyncio.Event().wait()


def _cut(provider: str) -> ProviderUnavailable:
    return ProviderUnavailable("scripted connection loss", provider=provider)


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _sleep_until(at: float) -> None:
    await asyncio.sleep(max(at - _now(), 0))


@dataclass(slots=True, kw_only=True)
class Call:
    """One call that a scripted provider received."""

    started_s: float
    """On the loop's clock."""
    given: str
    """What it was asked: the last message, the text to speak; for a recogniser what it understood."""
    messages: tuple[Message, ...] = ()
    """Language model only."""
    context: str = ""
    """Recogniser: the prompt; voice: the reply it belongs to."""
    audio_s: float = 0.0
    """Seconds of sound received or made so far."""
    pieces: int = 0
    """Transcripts, tokens or chunks given so far."""
    ended: Literal["open", "done", "failed", "cancelled"] = "open"


class Calls(deque[Call]):
    """The last calls, oldest first."""

    def __init__(self, kept: int = CALLS_KEPT) -> None:
        super().__init__(maxlen=kept)

    @asynccontextmanager
    async def record(self, call: Call) -> AsyncIterator[Call]:
        """Keeps how a call ended: ``cancelled`` when its context was left before the work was done."""
        self.append(call)
        try:
            yield call
        except asyncio.CancelledError:
            call.ended = "cancelled"
            raise
        except BaseException:
            call.ended = "failed"
            raise
        finally:
            if call.ended == "open":
                call.ended = "cancelled"

    def ended(self, how: Literal["open", "done", "failed", "cancelled"]) -> list[Call]:
        """Those that ended so."""
        return [call for call in self if call.ended == how]


# ---- speech to text ---------------------------------------------------------------------------------------


class ScriptedRecognizer:
    """Hears coded speech exactly. Batch: the final transcript comes ``latency_s`` after ``finish()``.
    Streaming: words come ``latency_s`` after they were sent, the final one too, or at ``finish()`` when that
    is later."""

    def __init__(
        self,
        *,
        latency_s: float = 0.3,
        streaming: bool = False,
        fallback: str | Callable[[bytes], str] = "",
        hears: Callable[[str], str] = str,
        language: str = "en",
        faults: Iterable[Fault | None] = (),
        provider: str = "scripted",
    ) -> None:
        """``fallback`` is what it understands in loud sound that is not coded (a text, or a function of the
        PCM); ``hears`` turns what was said into what is understood (recognition errors)."""
        self.latency_s = latency_s
        self.language = language
        self.faults = Faults(faults)
        self.calls = Calls()
        self._fallback = fallback
        self._hears = hears
        self._info = ProviderInfo(provider=provider, model="recognizer", streaming=streaming)

    @property
    def info(self) -> ProviderInfo:
        return self._info

    @asynccontextmanager
    async def open(self, *, language: str | None = None, prompt: str = "") -> AsyncIterator[RecognizerStream]:
        """Safe to cancel at any point."""
        async with self.calls.record(Call(started_s=_now(), given="", context=prompt)) as call:
            stream = _HeardStream(self, call, self.faults.take())
            async with aclosing(stream.transcripts):
                yield stream

    def understands(self, pcm: bytes) -> str:
        """What is recognised in a stretch of sound."""
        said = coded_text(pcm)
        if not said and not coded_words(pcm) and level_dbfs(pcm) > VOICED_DBFS[0]:
            said = self._fallback if isinstance(self._fallback, str) else self._fallback(pcm)
        return self._hears(said)


class _HeardStream:
    """One stretch of sound; keeps it all, as a batch recogniser does."""

    def __init__(self, recognizer: ScriptedRecognizer, call: Call, fault: Fault | None) -> None:
        self._recognizer = recognizer
        self._call = call
        self._fault = fault
        self._sound = bytearray()
        # What streaming has not heard yet: over a minute of 20 ms frames.
        self._arrivals: deque[tuple[float, int]] = deque(maxlen=4096)
        self._voiced_s = 0.0
        self._finished_s: float | None = None
        self._changed = asyncio.Event()
        self._finished = asyncio.Event()
        self.transcripts = self._transcripts()

    async def send(self, pcm: bytes) -> None:
        self._sound += pcm
        self._call.audio_s = len(self._sound) / 2 / SPEECH_RATE
        self._arrivals.append((_now(), len(self._sound)))
        if level_dbfs(pcm) > VOICED_DBFS[0]:
            self._voiced_s = _now()
        self._changed.set()

    async def finish(self) -> None:
        self._finished_s = _now()
        self._finished.set()
        self._changed.set()

    def __aiter__(self) -> AsyncIterator[Transcript]:
        return self.transcripts

    async def _transcripts(self) -> AsyncGenerator[Transcript, None]:
        provider = self._recognizer.info.name
        await _begin(self._fault, provider)
        heard = ""
        while self._finished_s is None:
            if not (self._recognizer.info.streaming and self._arrivals):
                self._changed.clear()
                await self._changed.wait()
                continue
            sent_s, size = self._arrivals.popleft()
            await self._finish_or(sent_s + self._recognizer.latency_s)
            text = "" if self._fault == "empty" else self._recognizer.understands(bytes(self._sound[:size]))
            if text != heard and self._finished_s is None:
                heard = text
                yield self._transcript(text, final=False)
                await _break_off(self._fault, provider)
        since = self._voiced_s if self._recognizer.info.streaming else self._finished_s
        await _sleep_until(since + self._recognizer.latency_s)
        await _break_off(self._fault, provider)
        self._call.ended = "done"
        yield self._transcript(
            "" if self._fault == "empty" else self._recognizer.understands(bytes(self._sound)), final=True
        )

    async def _finish_or(self, at: float) -> None:
        """Wait for ``finish()``, at most until ``at``."""
        try:
            async with asyncio.timeout_at(at):
                await self._finished.wait()
        except TimeoutError:
            pass

    def _transcript(self, text: str, *, final: bool) -> Transcript:
        self._call.given = text
        self._call.pieces += 1
        usage = Usage(audio_s=self._call.audio_s) if final else Usage()
        return Transcript(
            text=text, final=final, language=self._recognizer.language, confidence=1.0, usage=usage
        )


# ---- language ---------------------------------------------------------------------------------------------

Piece = str | ToolCall
Reply = Piece | Sequence[Piece]
"""Text, a tool call, or several of them in order."""


def tokens(text: str) -> list[str]:
    """``text`` cut about as language models do: words with the space before them, runs of punctuation."""
    return re.findall(r"\s*\w+|\s*[^\w\s]+|\s+$", text)


def by_phrase(
    replies: Mapping[str, Reply], otherwise: Reply = "I see."
) -> Callable[[Sequence[Message]], Reply]:
    """Replies chosen by a phrase in the last message: ``by_phrase({"capital of France": "Paris."})``."""

    def choose(messages: Sequence[Message]) -> Reply:
        asked = messages[-1].content.lower() if messages else ""
        return next((reply for phrase, reply in replies.items() if phrase.lower() in asked), otherwise)

    return choose


def repeat_user(messages: Sequence[Message]) -> str:
    """The demo's reply: says back what the user said."""
    said = next((message.content for message in reversed(messages) if message.role == "user"), "")
    return f"You said: {said}" if said else "Hello, I am listening."


class ScriptedLanguageModel:
    """Replies from a list (the n-th user or tool message gets the n-th, cycling, so that a discarded
    speculative reply uses none up) or from a function. Token k comes ``first_token_s + k / tokens_per_s``
    after the call."""

    def __init__(
        self,
        replies: Sequence[Reply] | Callable[[Sequence[Message]], Reply] = repeat_user,
        *,
        first_token_s: float = 0.3,
        tokens_per_s: float = 50.0,
        faults: Iterable[Fault | None] = (),
        breaks_after: int = 1,
        provider: str = "scripted",
        kept: int = CALLS_KEPT,
    ) -> None:
        """``breaks_after`` is the token after which a reply with the fault ``cut`` or ``hush`` breaks off; ``kept``,
        how many calls are remembered."""
        self.breaks_after = breaks_after
        self.first_token_s = first_token_s
        self.tokens_per_s = tokens_per_s
        self.faults = Faults(faults)
        self.calls = Calls(kept)
        self.prefills: deque[tuple[Message, ...]] = deque(maxlen=kept)
        self._replies = replies
        self._cached: dict[str, str] = {}
        self._info = ProviderInfo(provider=provider, model="language-model")

    @property
    def info(self) -> ProviderInfo:
        return self._info

    @asynccontextmanager
    async def reply(
        self, messages: Sequence[Message], options: LanguageOptions
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        """Safe to cancel at any point; nothing is generated afterwards."""
        given = messages[-1].content if messages else ""
        async with self.calls.record(Call(started_s=_now(), given=given, messages=tuple(messages))) as call:
            async with aclosing(self._deltas(call, options, self.faults.take())) as deltas:
                yield deltas

    async def prefill(self, messages: Sequence[Message], options: LanguageOptions) -> None:
        self.prefills.append(tuple(messages))
        self._cache(messages, options.cache_key)

    async def _deltas(
        self, call: Call, options: LanguageOptions, fault: Fault | None
    ) -> AsyncGenerator[Delta, None]:
        provider = self._info.name
        cached = self._cache(call.messages, options.cache_key)
        await _begin(fault, provider)
        begun = call.started_s + self.first_token_s
        reason: Literal["stop", "length", "tool_calls"] = "stop"
        for piece in () if fault == "empty" else self._pieces(call.messages):
            await _sleep_until(begun + call.pieces / self.tokens_per_s)
            if call.pieces >= options.max_tokens:
                reason = "length"
                break
            call.pieces += 1
            if isinstance(piece, ToolCall):
                reason = "tool_calls"
                yield piece
            else:
                yield Text(text=piece)
            if call.pieces >= self.breaks_after:
                await _break_off(fault, provider)
        prompt = sum(len(tokens(message.content)) for message in call.messages)
        usage = Usage(input_tokens=prompt, cached_tokens=min(cached, prompt), output_tokens=call.pieces)
        call.ended = "done"
        yield Finished(reason=reason, usage=usage, model=self._info.model)

    def _pieces(self, messages: Sequence[Message]) -> list[Piece]:
        """The reply in tokens."""
        if callable(self._replies):
            reply = self._replies(messages)
        else:
            turn = sum(message.role in ("user", "tool") for message in messages)
            reply = self._replies[max(turn - 1, 0) % len(self._replies)]
        parts: Sequence[Piece] = (reply,) if isinstance(reply, str | ToolCall) else reply
        return [piece for part in parts for piece in (tokens(part) if isinstance(part, str) else [part])]

    def _cache(self, messages: Sequence[Message], key: str) -> int:
        """Remember the prompt under its key; tokens it shares with the one before."""
        prompt = "\n".join(message.content for message in messages)
        before = self._cached.get(key, "")
        if key:
            if key not in self._cached and len(self._cached) >= CALLS_KEPT:
                self._cached.pop(next(iter(self._cached)))
            self._cached[key] = prompt
        shared = next((i for i, (a, b) in enumerate(zip(before, prompt, strict=False)) if a != b), None)
        return len(tokens(prompt[: min(len(before), len(prompt)) if shared is None else shared]))


# ---- text to speech ---------------------------------------------------------------------------------------


class ScriptedSynthesizer:
    """Speaks at ``letter_s`` seconds a character: the first chunk ``first_chunk_s`` after the call, the rest
    ``real_time_factor`` times as long as it sounds. Coded speech, or a hum for people (``sound="hum"``)."""

    def __init__(
        self,
        *,
        first_chunk_s: float = 0.2,
        real_time_factor: float = 0.1,
        rate: int = 24_000,
        letter_s: float = 0.06,
        chunk_s: float = 0.2,
        sound: Literal["coded", "hum"] = "coded",
        gives_words: bool = True,
        faults: Iterable[Fault | None] = (),
        breaks_after: int = 1,
        provider: str = "scripted",
        voices: tuple[str, ...] = ("scripted",),
    ) -> None:
        """``breaks_after`` is the chunk after which a text with the fault ``cut`` or ``hush`` breaks off."""
        self.breaks_after = breaks_after
        self.first_chunk_s = first_chunk_s
        self.real_time_factor = real_time_factor
        self.letter_s = letter_s
        self.chunk_s = chunk_s
        self.faults = Faults(faults)
        self.calls = Calls()
        self._sound = sound
        self._gives_words = gives_words
        self._info = ProviderInfo(provider=provider, model="voice", sample_rate=rate, voices=voices)

    @property
    def info(self) -> ProviderInfo:
        return self._info

    @asynccontextmanager
    async def speak(self, text: str, options: SpeechOptions) -> AsyncIterator[AsyncIterator[SpeechChunk]]:
        """Safe to cancel at any point; no sound is made afterwards."""
        async with self.calls.record(Call(started_s=_now(), given=text, context=options.context_id)) as call:
            async with aclosing(self._chunks(call, options, self.faults.take())) as chunks:
                yield chunks

    def says(self, text: str, speed: float = 1.0) -> tuple[bytes, list[WordTime]]:
        """The whole sound of ``text`` and the time of each word in it."""
        rate, letter_s = self._info.sample_rate, self.letter_s / speed
        sound, words = bytearray(), []
        for number, match in enumerate(re.finditer(r"\S+", text)):
            gap = round(match.start() * letter_s * rate) - len(sound) // 2
            sound += silence(gap / rate, rate=rate)
            start_s = len(sound) / 2 / rate
            samples = round(match.end() * letter_s * rate) - len(sound) // 2
            sound += self._word(match.group(), samples, number)
            words.append(WordTime(end_char=match.end(), start_s=start_s, end_s=len(sound) / 2 / rate))
        return bytes(sound), words

    def _word(self, word: str, samples: int, number: int) -> bytes:
        rate = self._info.sample_rate
        if self._sound == "coded":
            return word_sound(word, samples, number=number, rate=rate)
        t = np.arange(samples) / rate
        envelope = np.sin(np.pi * np.arange(samples) / max(samples, 1))
        return (6_000 * envelope * np.sin(2 * np.pi * 180 * t)).astype("<i2").tobytes()

    async def _chunks(
        self, call: Call, options: SpeechOptions, fault: Fault | None
    ) -> AsyncGenerator[SpeechChunk, None]:
        provider = self._info.name
        await _begin(fault, provider)
        sound, words = self.says("" if fault == "empty" else call.given, options.speed)
        rate = self._info.sample_rate
        size = 2 * max(round(self.chunk_s * rate), 1)
        begun = call.started_s + self.first_chunk_s
        for at in range(0, len(sound), size):
            await _sleep_until(begun + self.real_time_factor * at / 2 / rate)
            chunk = sound[at : at + size]
            from_s, to_s = at / 2 / rate, (at + len(chunk)) / 2 / rate
            call.pieces += 1
            call.audio_s = to_s
            here = tuple(word for word in words if from_s <= word.start_s < to_s)
            yield SpeechChunk(pcm=chunk, words=here if self._gives_words else ())
            if call.pieces >= self.breaks_after:
                await _break_off(fault, provider)
        call.ended = "done"


# ---- the ear ----------------------------------------------------------------------------------------------


class ScriptedVoiceDetector:
    """Loud is speech: a ramp from 0 to 1 between the two levels of ``VOICED_DBFS``."""

    def __init__(self, *, latency_s: float = 0.0, faults: Iterable[Fault | None] = ()) -> None:
        """Each ``detect`` counts as a call for ``faults``."""
        self.latency_s = latency_s
        self.faults = Faults(faults)
        self._info = ProviderInfo(provider="scripted", model="voice-detector")

    @property
    def info(self) -> ProviderInfo:
        return self._info

    def open(self) -> _LevelStream:
        return _LevelStream(self)


@dataclass(slots=True)
class _LevelStream:
    detector: ScriptedVoiceDetector
    resets: int = 0

    async def detect(self, pcm: bytes) -> tuple[float, ...]:
        if len(pcm) % (2 * VOICE_FRAME):
            raise ValueError(f"the detector takes whole frames of {VOICE_FRAME} samples")
        fault = self.detector.faults.take()
        await _begin(fault, self.detector.info.name)
        if self.detector.latency_s:
            await asyncio.sleep(self.detector.latency_s)
        frames = [pcm[at : at + 2 * VOICE_FRAME] for at in range(0, len(pcm), 2 * VOICE_FRAME)]
        return tuple(self._probability(frame) for frame in frames)

    def reset(self) -> None:
        self.resets += 1

    @staticmethod
    def _probability(frame: bytes) -> float:
        low, high = VOICED_DBFS
        return min(max((level_dbfs(frame) - low) / (high - low), 0.0), 1.0)


def trails_off(text: str) -> float:
    """The scripted turn model's own rule: a turn whose last word ends in ``…``, ``-`` or ``,`` goes on."""
    return 0.05 if text.endswith(("…", "...", "-", ",")) else 0.95


class ScriptedTurnModel:
    """Judges a turn by the coded words in it, ``latency_s`` after it is asked."""

    def __init__(
        self,
        probability: Callable[[str], float] = trails_off,
        *,
        latency_s: float = 0.04,
        faults: Iterable[Fault | None] = (),
    ) -> None:
        self.latency_s = latency_s
        self.faults = Faults(faults)
        self.calls = Calls()
        self._probability = probability
        self._info = ProviderInfo(provider="scripted", model="turn-model")

    @property
    def info(self) -> ProviderInfo:
        return self._info

    async def end_of_turn(self, pcm: bytes) -> float:
        """Probability 0-1 that the turn is over."""
        said = coded_text(pcm)
        async with self.calls.record(
            Call(started_s=_now(), given=said, audio_s=len(pcm) / 2 / SPEECH_RATE)
        ) as call:
            await _begin(self.faults.take(), self._info.name)
            await asyncio.sleep(self.latency_s)
            call.ended = "done"
            call.pieces = 1
            return self._probability(said)
