"""Every adapter that must behave, and how to open it against servers that speak its vendor's formats.

To add one: an ``Adapter`` in ``ADAPTERS`` with a builder. Faults that its vendor cannot have go into ``cannot``; a
cause that differs from ``EXPECTED`` into ``causes``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from benchmarks.vendor_servers import FAULTS, Fault, VendorServers, VendorWorld, open_vendor_servers
from benchmarks.vendor_servers.deepgram_sockets import deepgram_sockets
from benchmarks.vendor_servers.elevenlabs_sockets import elevenlabs_sockets
from benchmarks.vendor_servers.serving import Speaking

from antiphon.errors import ProviderEmpty, ProviderError, ProviderRejected, ProviderUnavailable
from antiphon.providers import anthropic, deepgram, elevenlabs
from antiphon.providers.anthropic import AnthropicChat
from antiphon.providers.http import HttpPool, Patience
from antiphon.providers.openai import Endpoint, OpenAILanguageModel, OpenAIRecognizer, OpenAISynthesizer
from antiphon.providers.scripted import (
    ScriptedLanguageModel,
    ScriptedRecognizer,
    ScriptedSynthesizer,
)

Kind = Literal["asr", "llm", "tts"]

KEY = "sk-test-0123456789abcdefghijklmnopqrstuvwxyz"
"""Must never be seen in anything that is said."""

REPLY = "Zürich liegt schön 🏔️ – 你好, ça va?"
"""Letters of one to four bytes."""

PATIENCE = Patience(connect_s=10.0, first_byte_s=20.0, gap_s=20.0)
"""Longer than a loaded machine takes for anything."""

SHORT = Patience(connect_s=10.0, first_byte_s=1.0, gap_s=1.0)
"""For faults that can only be waited for."""

WAITED_FOR: frozenset[Fault] = frozenset({"stall", "stall_later"})

EXPECTED: Mapping[Fault, tuple[type[ProviderError], str]] = {
    "fail": (ProviderUnavailable, "overloaded"),
    "overloaded": (ProviderUnavailable, "overloaded"),
    "rate_limit": (ProviderUnavailable, "rate_limit"),
    "quota": (ProviderRejected, "quota"),
    "bad_key": (ProviderRejected, "bad_key"),
    "unknown_model": (ProviderRejected, "unknown_model"),
    "unknown_voice": (ProviderRejected, "unknown_voice"),
    "gateway": (ProviderUnavailable, "overloaded"),
    "html": (ProviderRejected, "not_an_api"),
    "redirect": (ProviderRejected, "not_an_api"),
    "drop": (ProviderUnavailable, "cut"),
    "stall": (ProviderUnavailable, "timeout"),
    "stall_later": (ProviderUnavailable, "timeout"),
    "cut": (ProviderUnavailable, "cut"),
    "empty": (ProviderEmpty, "empty"),
    "malformed": (ProviderUnavailable, "malformed"),
    "huge": (ProviderUnavailable, "malformed"),
    "wrong_format": (ProviderRejected, "wrong_rate"),
    "filtered": (ProviderRejected, "filtered"),
}
"""Fault → what the adapter makes of it. The rest (``odd``, ``wrong_rate``, ``invalid_request``) have tests of their
own."""

NOT_OF: Mapping[Kind, frozenset[Fault]] = {
    # Nothing heard is an answer; a transcript comes in one piece.
    "asr": frozenset({"empty", "unknown_voice", "wrong_format", "stall_later"}),
    "llm": frozenset({"unknown_voice", "wrong_format"}),
    "tts": frozenset(),
}


OF_SOCKETS: frozenset[Fault] = frozenset({"drop"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """An adapter that is open, and the world it talks to."""

    kind: Kind
    provider: Any
    world: VendorWorld | None = None
    """None: scripted, which has no faults of these."""

    def fault(self, fault: Fault) -> None:
        """The next request goes wrong so."""
        assert self.world is not None
        self.world.fault_next(self.kind, fault)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """What an adapter is put together with."""

    pool: HttpPool
    servers: VendorServers
    patience: Patience
    stack: AsyncExitStack
    """Left when the test is over."""

    def endpoint(self, kind: Kind) -> Endpoint:
        """Of who speaks OpenAI's formats."""
        return Endpoint(
            base_url=self.servers.url + "/v1",
            key=KEY,
            model_setting=f"ANTIPHON_{kind.upper()}",
            patience=self.patience,
        )


Builder = Callable[[Lab], Awaitable[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """One way to hear, write or speak."""

    name: str
    kind: Kind
    build: Builder | None = None
    """Against the servers, with a key of ``KEY``; None: scripted."""
    speaking: Speaking = "http"
    over_sockets: bool = False
    """Whether it is asked over WebSockets, which have faults of their own."""
    cannot: frozenset[Fault] = frozenset()
    """Faults that this vendor's format has no way to have."""
    causes: Mapping[Fault, tuple[type[ProviderError], str]] = field(default_factory=dict)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Those to try."""
        cannot = self.cannot | NOT_OF[self.kind] | (frozenset() if self.over_sockets else OF_SOCKETS)
        return tuple(fault for fault in FAULTS if fault in EXPECTED and fault not in cannot)

    def expected(self, fault: Fault) -> tuple[type[ProviderError], str]:
        return self.causes.get(fault, EXPECTED[fault])

    def __str__(self) -> str:
        return self.name

    @asynccontextmanager
    async def open(self, patience: Patience = PATIENCE) -> AsyncIterator[Bench]:
        """Ready to be asked."""
        if self.build is None:
            yield Bench(kind=self.kind, provider=_scripted(self.kind))
            return
        world = VendorWorld(reply=REPLY, key=KEY, stall_s=5.0)
        async with AsyncExitStack() as stack:
            servers = await stack.enter_async_context(open_vendor_servers(world, speaking=self.speaking))
            pool = await stack.enter_async_context(HttpPool(trust=servers.trust()))
            provider = await self.build(Lab(pool=pool, servers=servers, patience=patience, stack=stack))
            yield Bench(kind=self.kind, provider=provider, world=world)


# ---- scripted -----------------------------------------------------------------------------------------------


def _scripted(kind: Kind) -> Any:
    match kind:
        case "asr":
            return ScriptedRecognizer(latency_s=0.0, fallback="What is the capital of France?")
        case "llm":
            return ScriptedLanguageModel([REPLY] * 20, first_token_s=0.0, tokens_per_s=10_000)
        case "tts":
            return ScriptedSynthesizer(first_chunk_s=0.0, real_time_factor=0.0)


# ---- OpenAI and what speaks its formats ---------------------------------------------------------------------


async def _whisper(lab: Lab) -> OpenAIRecognizer:
    return OpenAIRecognizer(lab.pool, lab.endpoint("asr"), "whisper-1")


async def _transcribe(lab: Lab) -> OpenAIRecognizer:
    return OpenAIRecognizer(lab.pool, lab.endpoint("asr"), "gpt-4o-mini-transcribe")


async def _chat(lab: Lab) -> OpenAILanguageModel:
    return OpenAILanguageModel(lab.pool, lab.endpoint("llm"), "gpt-4o-mini")


async def _tts(lab: Lab) -> OpenAISynthesizer:
    return OpenAISynthesizer(lab.pool, lab.endpoint("tts"), "gpt-4o-mini-tts")


# ---- ElevenLabs, Deepgram, Anthropic ------------------------------------------------------------------------


async def _claude(lab: Lab) -> AnthropicChat:
    return AnthropicChat(
        anthropic.Account(api_key=KEY, base_url=lab.servers.url, patience=lab.patience), lab.pool
    )


async def _elevenlabs_http(lab: Lab) -> elevenlabs.ElevenLabsHttp:
    account = elevenlabs.Account(api_key=KEY, base_url=lab.servers.url, patience=lab.patience)
    return elevenlabs.ElevenLabsHttp(account, lab.pool)


async def _aura(lab: Lab) -> deepgram.DeepgramVoice:
    account = deepgram.Account(api_key=KEY, base_url=lab.servers.url, patience=lab.patience)
    return deepgram.DeepgramVoice(account, lab.pool)


async def _elevenlabs(lab: Lab) -> elevenlabs.ElevenLabsStreamInput:
    vendor = await lab.stack.enter_async_context(elevenlabs_sockets(lab.servers.world))
    account = elevenlabs.Account(api_key=KEY, base_url=vendor.url, patience=lab.patience)
    return await lab.stack.enter_async_context(elevenlabs.open_stream_input(account))


async def _nova(lab: Lab) -> deepgram.DeepgramRecognizer:
    vendor = await lab.stack.enter_async_context(deepgram_sockets(lab.servers.world))
    account = deepgram.Account(api_key=KEY, base_url=vendor.url, patience=lab.patience)
    return await lab.stack.enter_async_context(deepgram.open_recognizer(account))


NAMES_NO_RATE: frozenset[Fault] = frozenset({"wrong_rate"})

ADAPTERS = (
    Adapter(name="scripted-asr", kind="asr", cannot=frozenset(FAULTS)),
    Adapter(name="scripted-llm", kind="llm", cannot=frozenset(FAULTS)),
    Adapter(name="scripted-tts", kind="tts", cannot=frozenset(FAULTS)),
    Adapter(name="openai-whisper", kind="asr", build=_whisper),
    Adapter(name="openai-transcribe", kind="asr", build=_transcribe),
    Adapter(name="openai-chat", kind="llm", build=_chat),
    Adapter(name="openai-tts", kind="tts", build=_tts),
    Adapter(name="openai-whisper-http2", kind="asr", build=_whisper, speaking="http2"),
    Adapter(name="openai-chat-http2", kind="llm", build=_chat, speaking="http2"),
    Adapter(name="openai-tts-http2", kind="tts", build=_tts, speaking="http2"),
    Adapter(name="openai-chat-tls", kind="llm", build=_chat, speaking="https"),
    Adapter(name="anthropic", kind="llm", build=_claude),
    Adapter(name="anthropic-http2", kind="llm", build=_claude, speaking="http2"),
    Adapter(name="elevenlabs-http", kind="tts", build=_elevenlabs_http, cannot=NAMES_NO_RATE),
    Adapter(
        name="elevenlabs-http2",
        kind="tts",
        build=_elevenlabs_http,
        speaking="http2",
        cannot=NAMES_NO_RATE,
    ),
    Adapter(
        name="elevenlabs-sockets",
        kind="tts",
        build=_elevenlabs,
        over_sockets=True,
        # Over a socket it does not say when to come again: tests/providers/test_elevenlabs_sockets.py has that.
        cannot=NAMES_NO_RATE | {"rate_limit"},
    ),
    Adapter(name="deepgram-nova", kind="asr", build=_nova, over_sockets=True, cannot=frozenset({"filtered"})),
    Adapter(
        name="deepgram-aura",
        kind="tts",
        build=_aura,
        # A voice is a model there.
        causes={"unknown_voice": (ProviderRejected, "unknown_model")},
    ),
)


def of_kind(kind: Kind) -> list[Adapter]:
    return [adapter for adapter in ADAPTERS if adapter.kind == kind]


def with_faults(kind: Kind) -> list[tuple[Adapter, Fault]]:
    return [(adapter, fault) for adapter in of_kind(kind) for fault in adapter.faults]
