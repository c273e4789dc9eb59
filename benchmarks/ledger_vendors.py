"""Vendors of the ledger's recount: scripted, with bad days, each writing down for itself what it was sent and gave.

They stand where the adapters stand, as the chains ask them (``app.chains``): what retries, hedges, fallbacks,
continuations, cancels, probes and the speech cache do is between them and the ledger.
"""

from __future__ import annotations

import asyncio
import random
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.ledger_invoice import Bill, Invoices

from antiphon.app.adapters import Adapters
from antiphon.app.assistant import conversation_defaults
from antiphon.app.chains import Chains, watched
from antiphon.conversation.config import ConversationConfig, Providers
from antiphon.errors import ProviderRejected, ProviderUnavailable
from antiphon.providers.base import (
    Delta,
    Finished,
    LanguageModel,
    LanguageOptions,
    Message,
    ProviderInfo,
    Recognizer,
    RecognizerStream,
    SpeechChunk,
    SpeechOptions,
    Synthesizer,
    Text,
    Transcript,
    Usage,
)
from antiphon.providers.resilience.seam import GO_ON
from antiphon.providers.scripted import (
    Fault,
    ScriptedLanguageModel,
    ScriptedRecognizer,
    ScriptedSynthesizer,
    ScriptedTurnModel,
    ScriptedVoiceDetector,
    tokens,
)
from antiphon.settings import Settings, load_settings

WORKED_ON: tuple[Fault, ...] = ("cut", "hush", "stall", "empty")
"""Breaks off, falls silent, says nothing at all, gives nothing: after the request was taken, and billed."""

TURNED_AWAY = ("overloaded", "rate_limit", "invalid_request")
"""Refused, and not billed."""

SLOW = 0.06
"""Share of requests whose first word takes long: what hedging is for."""

REPLIES = (
    "It is Paris, the city of light, on the river Seine.", "Mild and dry. Take a coat.",
    "Some nine hundred kilometres, by road.", "Of course. It is quite far, and worth it.",
    "The river, the tower, and a good bakery, which opens early.", "Your timer is set.",
)  # fmt: skip


@dataclass
class Days:
    """How a vendor's day goes, request by request."""

    name: str
    """``provider:model``"""
    invoices: Invoices
    chance: random.Random
    faults: float
    """Share of requests that go wrong."""
    quick: bool = False

    @asynccontextmanager
    async def request(self, bill: Bill, plan: Callable[[Fault], None]) -> AsyncIterator[None]:
        """One request and its bill. ``plan`` is told what is to go wrong in it. Raises ProviderError when it is turned
        away."""
        number = self.invoices.begin()
        try:
            if self.chance.random() < self.faults:
                await self._goes_wrong(bill, plan)
            yield
        finally:
            self.invoices.end(number, bill)

    async def _goes_wrong(self, bill: Bill, plan: Callable[[Fault], None]) -> None:
        what = self.chance.choice([*WORKED_ON, *TURNED_AWAY])
        if what not in TURNED_AWAY:
            plan(what)  # type: ignore[arg-type]
            return
        await asyncio.sleep(0.02)
        bill.turned_away = True  # not before it is told: who gave up meanwhile cannot know
        provider = self.name
        if what == "invalid_request":
            raise ProviderRejected("refused", provider=provider, cause=what)
        raise ProviderUnavailable("refused", provider=provider, cause=str(what))

    async def think(self) -> None:
        """The wait before the first word beyond the usual one."""
        if not self.quick and self.chance.random() < SLOW:
            await asyncio.sleep(self.chance.uniform(0.2, 0.7))

    def named(self, info: ProviderInfo) -> ProviderInfo:
        """As the settings name it."""
        provider, _, model = self.name.partition(":")
        return replace(info, provider=provider, model=model)


class EarVendor:
    """Bills sound. A batch one gets all of it when the transcript is asked for; a streaming one as it comes."""

    def __init__(self, days: Days, inner: ScriptedRecognizer) -> None:
        self.days = days
        self.inner = inner
        self.info = days.named(inner.info)

    @asynccontextmanager
    async def open(self, *, language: str | None = None, prompt: str = "") -> AsyncIterator[RecognizerStream]:
        async with AsyncExitStack() as stack:
            if self.info.streaming:
                yield await self._live(stack)
            else:
                yield _Upload(self, stack)

    async def _live(self, stack: AsyncExitStack) -> RecognizerStream:
        bill = Bill(vendor=self.days.name, kind="asr", transport="stream")
        await stack.enter_async_context(self.days.request(bill, self.inner.faults.add))
        return _Live(await stack.enter_async_context(self.inner.open()), bill)

    async def take(self, stack: AsyncExitStack, pcm: bytes) -> RecognizerStream:
        """A whole recording."""
        bill = Bill(vendor=self.days.name, kind="asr", samples=len(pcm) // 2)
        await stack.enter_async_context(self.days.request(bill, self.inner.faults.add))
        stream = await stack.enter_async_context(self.inner.open())
        await stream.send(pcm)
        await stream.finish()
        return stream


class _Live:
    """Sound as it comes."""

    def __init__(self, inner: RecognizerStream, bill: Bill) -> None:
        self._inner = inner
        self._bill = bill

    async def send(self, pcm: bytes) -> None:
        self._bill.samples += len(pcm) // 2
        await self._inner.send(pcm)

    async def finish(self) -> None:
        await self._inner.finish()

    async def __aiter__(self) -> AsyncGenerator[Transcript, None]:
        async for transcript in self._inner:
            yield replace(transcript, usage=Usage())  # as Deepgram: the client has to count for itself


class _Upload:
    """Sound that stays with the client until it is whole, as OpenAI's adapter keeps it."""

    def __init__(self, vendor: EarVendor, stack: AsyncExitStack) -> None:
        self._vendor = vendor
        self._stack = stack
        self._pcm = bytearray()

    async def send(self, pcm: bytes) -> None:
        self._pcm += pcm

    async def finish(self) -> None:
        """The request goes out when the transcript is asked for."""

    async def __aiter__(self) -> AsyncGenerator[Transcript, None]:
        if not self._pcm:
            yield Transcript(text="", final=True)
            return
        stream = await self._vendor.take(self._stack, bytes(self._pcm))
        async for transcript in stream:
            yield replace(transcript, usage=Usage())


class PenVendor:
    """Bills the tokens that it counted and told; of a reply that was cut short, what it had delivered, by letters."""

    def __init__(self, days: Days, inner: ScriptedLanguageModel, *, version: str, keeps: bool) -> None:
        """``version``: the model's name in answers. ``keeps``: what is put into its cache has a price."""
        self._days = days
        self._inner = inner
        self._version = version
        self._keeps = keeps
        self.info = days.named(inner.info)

    @asynccontextmanager
    async def reply(
        self, messages: Sequence[Message], options: LanguageOptions
    ) -> AsyncIterator[AsyncIterator[Delta]]:
        bill = Bill(
            vendor=self._days.name,
            kind="llm",
            input_tokens=sum(len(tokens(message.content)) for message in messages),
            letters_in=sum(len(message.content) for message in messages),
        )
        async with self._days.request(bill, self._plan):
            await self._days.think()
            async with self._inner.reply(messages, options) as deltas:
                async with aclosing(self._delivered(deltas, bill)) as delivered:
                    yield delivered

    def _plan(self, fault: Fault) -> None:
        self._inner.breaks_after = self._days.chance.randint(1, 6)
        self._inner.faults.add(fault)

    async def _delivered(self, deltas: AsyncIterator[Delta], bill: Bill) -> AsyncGenerator[Delta, None]:
        async for delta in deltas:
            match delta:
                case Text():
                    bill.output_tokens += 1
                    bill.letters_out += len(delta.text)
                    yield delta
                case Finished():
                    yield replace(delta, usage=self._counted(delta.usage, bill), model=self._version)
                case _:
                    yield delta

    def _counted(self, usage: Usage, bill: Bill) -> Usage:
        bill.cached_tokens = usage.cached_tokens
        bill.cache_write_tokens = bill.input_tokens - bill.cached_tokens if self._keeps else 0
        bill.counted = True
        return Usage(
            input_tokens=bill.input_tokens,
            cached_tokens=bill.cached_tokens,
            cache_write_tokens=bill.cache_write_tokens,
            output_tokens=bill.output_tokens,
        )

    async def prefill(self, messages: Sequence[Message], options: LanguageOptions) -> None:
        """A vendor takes none."""


class VoiceVendor:
    """Bills the characters that it was sent."""

    def __init__(self, days: Days, inner: ScriptedSynthesizer) -> None:
        self._days = days
        self._inner = inner
        self.info = days.named(inner.info)

    @asynccontextmanager
    async def speak(self, text: str, options: SpeechOptions) -> AsyncIterator[AsyncIterator[SpeechChunk]]:
        bill = Bill(vendor=self._days.name, kind="tts", characters=len(text))
        async with self._days.request(bill, self._inner.faults.add):
            async with self._inner.speak(text, options) as chunks:
                yield chunks


def answer(messages: Sequence[Message]) -> str:
    """Half of each reply was said before, and may come from the speech cache; asked to go on with one, the model says
    all of it again."""
    if messages[-1].content.startswith(GO_ON[:24]):
        return answer(messages[:-2])
    asked = zlib.crc32("\n".join(message.content for message in messages).encode())
    return f"{REPLIES[asked % len(REPLIES)]} That is answer {asked % 9973} of many."


def adapters(
    invoices: Invoices, chance: random.Random, *, faults: float, quick: bool, live: bool
) -> Adapters:
    """Two providers for each part. ``live``: the ears that stream come first."""

    def days(name: str) -> Days:
        return Days(name, invoices, chance, faults, quick)

    wait = 0.05 if quick else 0.15
    # Words come before the turn is sure to be over, so that replies are prepared, and sometimes thrown away.
    ears: list[Recognizer] = [
        EarVendor(days("groq:whisper-large-v3-turbo"), ScriptedRecognizer(latency_s=0.06)),
        EarVendor(days("deepgram:nova-3"), ScriptedRecognizer(latency_s=0.06, streaming=True)),
    ]

    def pen() -> ScriptedLanguageModel:
        return ScriptedLanguageModel(answer, first_token_s=wait, tokens_per_s=100.0)

    def voice() -> ScriptedSynthesizer:
        return ScriptedSynthesizer(first_chunk_s=wait, letter_s=0.02)

    pens: list[LanguageModel] = [
        PenVendor(days("openai:gpt-4o-mini"), pen(), version="gpt-4o-mini-2024-07-18", keeps=False),
        PenVendor(days("anthropic:claude-haiku-4-5"), pen(), version="claude-haiku-4-5-20251001", keeps=True),
    ]
    voices: list[Synthesizer] = [
        VoiceVendor(days("elevenlabs:eleven_flash_v2_5"), voice()),
        VoiceVendor(days("openai:tts-1"), voice()),
    ]
    return Adapters(recognizers=ears[::-1] if live else ears, language_models=pens, synthesizers=voices)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Whom a conversation asks, as a server would compose it."""

    providers: Providers
    config: ConversationConfig
    chains: Chains


def compose(settings: Settings, whom: Adapters) -> Stack:
    chains = Chains(settings, whom)
    providers = Providers(
        recognizer=chains.recognizer,
        language_model=chains.language_model,
        synthesizer=chains.synthesizer,
        voice_detector=ScriptedVoiceDetector(),
        turn_model=ScriptedTurnModel(lambda said: 0.4 if said.endswith("see") else 0.95),
    )
    defaults = conversation_defaults(settings, providers)
    return Stack(providers=providers, config=replace(defaults, output_rate=24_000), chains=chains)


@asynccontextmanager
async def open_stacks(
    invoices: Invoices, chance: random.Random, *, faults: float, quick: bool = False
) -> AsyncIterator[Sequence[Stack]]:
    """One whose ears take whole recordings, one whose ears stream; kept watch over, as a server does."""
    overrides = {"hedge": True, "speculation": "tts", **dict.fromkeys(("asr", "llm", "tts"), "scripted")}
    settings = load_settings({}, folder=Path("/nonexistent"), overrides=overrides).settings
    async with AsyncExitStack() as watching:
        stacks = []
        for live in (False, True):
            whom = adapters(invoices, chance, faults=faults, quick=quick, live=live)
            stacks.append(compose(settings, whom))
            await watching.enter_async_context(watched(stacks[-1].chains))
        yield stacks
