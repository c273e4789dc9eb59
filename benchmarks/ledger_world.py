"""Vendors that keep their own invoices, and callers that talk, pause and interrupt: the two sides of the ledger's
recount (benchmarks/ledger.py)."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal

from antiphon.audio.coded_speech import SpeechTrack, silence
from antiphon.conversation import events
from antiphon.conversation.config import ConversationConfig, Providers
from antiphon.conversation.conversation import Conversation
from antiphon.errors import ProviderError
from antiphon.providers.base import (
    Delta,
    Finished,
    LanguageOptions,
    Message,
    ProviderInfo,
    RecognizerStream,
    SpeechChunk,
    SpeechOptions,
    Text,
    Usage,
)
from antiphon.providers.metering import Attempt, Kind, report
from antiphon.providers.scripted import (
    Fault,
    ScriptedLanguageModel,
    ScriptedRecognizer,
    ScriptedSynthesizer,
    ScriptedTurnModel,
    ScriptedVoiceDetector,
    tokens,
)
from antiphon.turns.policy import TurnPolicy
from antiphon.usage.allowance import BudgetAllowance
from antiphon.usage.bookkeeper import Bookkeeper

PRICES = """
[[price]]
provider = "scripted"
model = "recognizer"
unit = "minute"
price = 0.006

[[price]]
provider = "scripted"
model = "language-model"
unit = "million_input_tokens"
price = 2.50

[[price]]
provider = "scripted"
model = "language-model"
unit = "million_cached_tokens"
price = 1.25

[[price]]
provider = "scripted"
model = "language-model"
unit = "million_output_tokens"
price = 10

[[price]]
provider = "scripted"
model = "voice"
unit = "million_characters"
price = 15
"""
"""The course's prices, for the scripted providers."""

FAULTS: tuple[Fault, ...] = ("fail", "reject", "cut", "empty", "stall")
PACKET_S = 0.1

QUESTIONS = (
    "what is the capital of France", "tell me about the weather there", "how far is it from here",
    "could you say that again", "what else can I see in town", "please set a timer for five minutes",
)  # fmt: skip
REPLIES = (
    "It is Paris, the city of light.", "Mild and dry. Take a coat.", "Some nine hundred kilometres, by road.",
    "Of course. It is quite far, and worth it.", "The river, the tower, and a good bakery.", "Your timer is set.",
)  # fmt: skip

MICRO = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """What a vendor was sent and gave in one request."""

    kind: Kind
    audio_ms: int = 0
    sent_tokens: int = 0
    cached_tokens: int = 0
    given_tokens: int = 0
    characters: int = 0

    @property
    def micros(self) -> int:
        """By arithmetic of its own: decimals, each request rounded half to even."""
        dollars = (
            Decimal(self.audio_ms) / 60_000 * Decimal("0.006")
            + (self.sent_tokens - self.cached_tokens) * Decimal("2.50") / MICRO
            + self.cached_tokens * Decimal("1.25") / MICRO
            + self.given_tokens * Decimal(10) / MICRO
            + self.characters * Decimal(15) / MICRO
        )
        return int((dollars * MICRO).quantize(Decimal(1), ROUND_HALF_EVEN))


@dataclass
class Invoices:
    """All vendors' lines; with a file, one text line at the begin and one at the end of each request."""

    file: int | None = None
    lines: list[InvoiceLine] = field(default_factory=list)
    begun: int = 0

    def begin(self) -> int:
        self.begun += 1
        self._write(f"B {self.begun}")
        return self.begun

    def end(self, number: int, line: InvoiceLine) -> None:
        self.lines.append(line)
        self._write(f"E {number} {line.micros}")

    def _write(self, text: str) -> None:
        if self.file is not None:
            os.write(self.file, (text + "\n").encode())


@dataclass
class Request:
    """One request while it lasts: the vendor's invoice and the adapter's report come from the same facts, and part
    ways here."""

    invoices: Invoices
    kind: Kind
    provider: str
    usage: Usage = field(default_factory=Usage)
    outcome: str = "cancelled"

    @asynccontextmanager
    async def counted(self) -> AsyncIterator[Request]:
        number, began = self.invoices.begin(), asyncio.get_running_loop().time()
        try:
            yield self
        except ProviderError as error:
            self.outcome = error.code
            raise
        finally:
            used = self.usage
            line = InvoiceLine(
                self.kind,
                round(used.audio_s * 1_000),
                used.input_tokens,
                used.cached_tokens,
                used.output_tokens,
                used.characters,
            )
            self.invoices.end(number, line)
            ended = asyncio.get_running_loop().time()
            report(
                Attempt(
                    kind=self.kind,
                    provider=self.provider,
                    usage=used,
                    outcome=self.outcome,
                    began_s=began,
                    ended_s=ended,
                )
            )


class BilledRecognizer:
    """Bills the sound it was sent, whatever came of it."""

    def __init__(self, inner: ScriptedRecognizer, invoices: Invoices) -> None:
        self._inner = inner
        self._invoices = invoices

    @property
    def info(self) -> ProviderInfo:
        return self._inner.info

    @asynccontextmanager
    async def open(self, *, language: str | None = None, prompt: str = "") -> AsyncIterator[RecognizerStream]:
        async with Request(self._invoices, "asr", self.info.name).counted() as request:
            async with self._inner.open(language=language, prompt=prompt) as stream:
                heard = self._inner.calls[-1]
                try:
                    yield stream
                    request.outcome = "ok" if heard.ended == "done" else "cancelled"
                finally:
                    request.usage = Usage(audio_s=heard.audio_s)


class BilledModel:
    """Bills the prompt, and every token that it gave."""

    def __init__(self, inner: ScriptedLanguageModel, invoices: Invoices) -> None:
        self._inner = inner
        self._invoices = invoices

    @property
    def info(self) -> ProviderInfo:
        return self._inner.info

    @asynccontextmanager
    async def reply(
        self, messages: Sequence[Message], options: LanguageOptions
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        async with Request(self._invoices, "llm", self.info.name).counted() as request:
            prompt = sum(len(tokens(message.content)) for message in messages)
            request.usage = Usage(input_tokens=prompt)
            async with self._inner.reply(messages, options) as deltas:
                yield self._read(deltas, request, prompt)

    async def _read(
        self, deltas: AsyncIterator[Delta], request: Request, prompt: int
    ) -> AsyncGenerator[Delta, None]:
        given = 0
        async for delta in deltas:
            match delta:
                case Text():
                    given += 1
                    request.usage = Usage(input_tokens=prompt, output_tokens=given)
                case Finished():
                    request.usage, request.outcome = delta.usage, "ok"
                case _:
                    pass
            yield delta

    async def prefill(self, messages: Sequence[Message], options: LanguageOptions) -> None:
        await self._inner.prefill(messages, options)


class BilledVoice:
    """Bills the characters it was sent."""

    def __init__(self, inner: ScriptedSynthesizer, invoices: Invoices) -> None:
        self._inner = inner
        self._invoices = invoices

    @property
    def info(self) -> ProviderInfo:
        return self._inner.info

    @asynccontextmanager
    async def speak(self, text: str, options: SpeechOptions) -> AsyncIterator[AsyncIterator[SpeechChunk]]:
        async with Request(self._invoices, "tts", self.info.name).counted() as request:
            request.usage = Usage(characters=len(text))
            async with self._inner.speak(text, options) as chunks:
                spoken = self._inner.calls[-1]
                yield chunks
                request.outcome = "ok" if spoken.ended == "done" else "cancelled"


def vendors(
    invoices: Invoices, *, faults: float, chance: random.Random, calls: int, quick: bool = False
) -> Providers:
    """Scripted vendors that fail a share of ``calls`` requests."""

    def failing() -> list[Fault | None]:
        return [chance.choice(FAULTS) if chance.random() < faults else None for _ in range(calls)]

    def answer(messages: Sequence[Message]) -> str:
        return REPLIES[len(messages) % len(REPLIES)]

    wait = 0.05 if quick else 0.15
    return Providers(
        # Words come before the turn is sure to be over, so that replies are prepared, and sometimes thrown away.
        recognizer=BilledRecognizer(ScriptedRecognizer(latency_s=0.06, faults=failing()), invoices),
        language_model=BilledModel(
            ScriptedLanguageModel(answer, first_token_s=wait, tokens_per_s=100.0, faults=failing()), invoices
        ),
        synthesizer=BilledVoice(
            ScriptedSynthesizer(first_chunk_s=wait, letter_s=0.02, faults=failing()), invoices
        ),
        voice_detector=ScriptedVoiceDetector(),
        turn_model=ScriptedTurnModel(lambda said: 0.4 if said.endswith("see") else 0.95),
    )


class Quota:
    """Turns still to be taken, by all callers together."""

    def __init__(self, turns: int) -> None:
        self.turns = turns
        self.taken = 0
        self.interrupted = 0
        self.failed = 0

    @property
    def left(self) -> bool:
        return self.taken < self.turns


class Talker:
    """One session: its engine, its microphone and its loudspeaker."""

    def __init__(
        self,
        name: str,
        providers: Providers,
        keeper: Bookkeeper,
        allowance: BudgetAllowance,
        quota: Quota,
        chance: random.Random,
    ) -> None:
        self._quota = quota
        self._chance = chance
        self._reply, self._sent_ms, self._began = "", 0.0, 0.0
        self._sounding, self._over = asyncio.Event(), asyncio.Event()
        self._loop = asyncio.get_running_loop()

        def observe(event: events.Event) -> None:
            keeper.told(name, event)
            allowance.told(name, event)

        self.conversation = Conversation(
            session_id=name,
            providers=providers,
            config=ConversationConfig(output_rate=24_000, policy=TurnPolicy(speculation="tts")),
            emit=self._emit,
            observe=observe,
            allowance=allowance,
        )

    async def run(self, speak: Callable[[Talker], AsyncIterator[None]]) -> None:
        """Hold the conversation until the quota is used up."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.conversation.run())
            while self._quota.left:
                async for _ in speak(self):
                    pass
            self.conversation.close()

    async def _emit(self, event: events.Event) -> None:
        match event:
            case events.TranscriptChanged(final=True, text=text) if text:
                self._quota.taken += 1
            case events.ReplyStarted():
                self._over.clear()
            case events.AudioStarted():
                self._reply, self._sent_ms, self._began = event.reply_id, 0.0, self._loop.time()
                self._sounding.set()
            case events.ReplyAudio():
                self._sent_ms += len(event.pcm) / 48
            case events.ReplyDone():
                self._quota.interrupted += event.interrupted
                self._quota.failed += bool(event.error)
                self._over.set()
            case _:
                pass

    async def by_voice(self) -> AsyncIterator[None]:
        """A turn said, a fifth of the replies cut short by words or by hand, some turns with a pause in them."""
        self._sounding.clear()
        self._over.clear()
        track = SpeechTrack()
        begin = 0.3
        if self._chance.random() < 0.25:
            begin = track.says("well now, let me see", from_=0.3, to=1.0) + self._chance.choice(
                (0.25, 0.3, 0.4)
            )
        end = track.says(self._chance.choice(QUESTIONS), from_=begin, to=begin + 1.0)
        cut = self._chance.random() < 0.18
        await self._send(track, end)
        for _ in range(80):
            await self._send(None, PACKET_S)
            yield
            if self._over.is_set():
                await self._send(None, 0.5)
                if self._over.is_set():
                    return
            if cut and self._sounding.is_set():
                cut = False
                await self._cut_short()

    async def by_text(self) -> AsyncIterator[None]:
        """A turn typed."""
        self._over.clear()
        self.conversation.type_text(self._chance.choice(QUESTIONS))
        self._quota.taken += 1
        while not self._over.is_set():
            await asyncio.sleep(PACKET_S)
            self._play()
            yield

    async def _cut_short(self) -> None:
        await self._send(None, 0.2)
        if self._chance.random() < 0.5:
            self.conversation.interrupt()
        else:
            track = SpeechTrack()
            await self._send(track, track.says("stop it right now please", from_=0.0, to=0.9))

    async def _send(self, track: SpeechTrack | None, seconds: float) -> None:
        for number in range(max(1, round(seconds / PACKET_S))):
            at = number * PACKET_S
            self.conversation.hear(track.pcm(at, at + PACKET_S) if track else silence(PACKET_S))
            await asyncio.sleep(PACKET_S)
            self._play()

    def _play(self) -> None:
        if self._reply:
            ms = min(self._sent_ms, (self._loop.time() - self._began) * 1_000)
            self.conversation.played(self._reply, round(ms))
