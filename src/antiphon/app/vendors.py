"""From ``openai:gpt-4o-mini`` to its adapter: the only place that knows every vendor.

async with open_vendors(settings) as vendors:
    model = await vendors.language_model(choice)
    problems = await vendors.warm()
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar, runtime_checkable

from pydantic import SecretStr

from antiphon.errors import ProviderError, SettingsError
from antiphon.providers import anthropic, deepgram, elevenlabs
from antiphon.providers.base import LanguageModel, Recognizer, Synthesizer
from antiphon.providers.http import HttpPool, Patience
from antiphon.providers.openai import Endpoint, OpenAILanguageModel, OpenAIRecognizer, OpenAISynthesizer
from antiphon.settings import ProviderChoice, Settings
from antiphon.settings.vendors import KNOWN_SERVERS, is_hosted, is_openai, read_timeouts

Kind = Literal["asr", "llm", "tts"]
A = TypeVar("A")

PATIENCE = Patience()
PATIENCE_WITH_LOADING = Patience(connect_s=2.0, first_byte_s=60.0, gap_s=20.0)
"""For servers that load a model when it is first asked for."""

OPENAI_MODELS: Mapping[tuple[str, Kind], str] = {
    ("openai", "asr"): "gpt-4o-mini-transcribe",
    ("openai", "llm"): "gpt-4o-mini",
    ("openai", "tts"): "gpt-4o-mini-tts",
    ("groq", "asr"): "whisper-large-v3-turbo",
    ("groq", "llm"): "openai/gpt-oss-120b",
}
"""Asked for when the settings name none. Of OpenAI's older models whisper-1 and tts-1 are retired in early 2027."""


@runtime_checkable
class Warmable(Protocol):
    """An adapter that can open its connections before it is needed."""

    async def warm(self) -> None:
        """Raises ProviderError."""


@dataclass(slots=True)
class Vendors:
    """Builds adapters, all on one pool. ``stack`` closes what an adapter holds."""

    settings: Settings
    pool: HttpPool
    stack: AsyncExitStack
    _built: list[Warmable] = field(default_factory=list)

    async def recognizer(self, choice: ProviderChoice) -> Recognizer:
        """Raises SettingsError when the choice cannot be: no key, no such role."""
        return self._kept(await _builder(RECOGNIZERS, choice, "asr")(self, choice))

    async def language_model(self, choice: ProviderChoice) -> LanguageModel:
        """Raises SettingsError."""
        return self._kept(await _builder(LANGUAGE_MODELS, choice, "llm")(self, choice))

    async def synthesizer(self, choice: ProviderChoice) -> Synthesizer:
        """Raises SettingsError."""
        return self._kept(await _builder(SYNTHESIZERS, choice, "tts")(self, choice))

    async def warm(self) -> list[ProviderError]:
        """Open the connections of all that was built, at once; what went wrong is given back, not raised: a vendor
        that is away now may be there when it is needed."""
        results = await asyncio.gather(*(adapter.warm() for adapter in self._built), return_exceptions=True)
        problems = [result for result in results if isinstance(result, ProviderError)]
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, ProviderError):
                raise result
        return problems

    def patience(self, provider: str, otherwise: Patience = PATIENCE) -> Patience:
        """How long a provider may take, as the settings say."""
        times = read_timeouts(self.settings.provider_timeouts).get(provider)
        if times is None:
            return otherwise
        return Patience(connect_s=times[0], first_byte_s=times[1], gap_s=times[2])

    def _kept(self, adapter: A) -> A:
        if isinstance(adapter, Warmable):
            self._built.append(adapter)
        return adapter


@asynccontextmanager
async def open_vendors(settings: Settings, pool: HttpPool | None = None) -> AsyncIterator[Vendors]:
    """With a pool of their own, unless one is given."""
    async with AsyncExitStack() as stack:
        opened = pool if pool is not None else await stack.enter_async_context(HttpPool())
        yield Vendors(settings, opened, stack)


def key_of(secret: SecretStr, choice: ProviderChoice, kind: Kind, variables: str) -> str:
    """The key, where one is needed. Raises SettingsError naming the variables to set."""
    key = secret.get_secret_value()
    if not key:
        raise SettingsError(f"ANTIPHON_{kind.upper()}={choice} needs a key: set {variables}.")
    return key


# ---- OpenAI and what speaks its formats -----------------------------------------------------------------------


async def _openai_recognizer(vendors: Vendors, choice: ProviderChoice) -> Recognizer:
    return OpenAIRecognizer(vendors.pool, endpoint_of(vendors, choice, "asr"), _model(choice, "asr"))


async def _openai_language_model(vendors: Vendors, choice: ProviderChoice) -> LanguageModel:
    return OpenAILanguageModel(vendors.pool, endpoint_of(vendors, choice, "llm"), _model(choice, "llm"))


async def _openai_synthesizer(vendors: Vendors, choice: ProviderChoice) -> Synthesizer:
    voice = vendors.settings.voice
    return OpenAISynthesizer(
        vendors.pool, endpoint_of(vendors, choice, "tts"), _model(choice, "tts"), voice=voice
    )


def _model(choice: ProviderChoice, kind: Kind) -> str:
    model = choice.model or OPENAI_MODELS.get((choice.provider, kind), "")
    if not model:
        setting = f"ANTIPHON_{kind.upper()}"
        raise SettingsError(
            f"{setting}={choice} names no model: write {setting}={choice.provider}:MODEL with one that your server has."
        )
    return model


def endpoint_of(vendors: Vendors, choice: ProviderChoice, kind: Kind) -> Endpoint:
    """Where ``openai`` and those that speak its formats are asked, and with which key. Raises SettingsError."""
    if choice.provider == "openai":
        return _openai_endpoint(vendors, choice, kind)
    settings, name = vendors.settings, choice.provider
    known = KNOWN_SERVERS[name]
    if kind not in known.roles:
        raise SettingsError(f"ANTIPHON_{kind.upper()}={choice}: {name} is used for {known.roles} only.")
    base_url: str = getattr(settings, f"{name}_base_url")
    if name == "groq":
        key = key_of(settings.groq_api_key, choice, kind, "ANTIPHON_GROQ_API_KEY or GROQ_API_KEY")
    else:
        key = _key_of_kind(settings, choice, kind, base_url)
    return Endpoint(
        provider=name,
        base_url=base_url,
        key=key,
        key_setting=f"ANTIPHON_{'GROQ' if name == 'groq' else kind.upper()}_API_KEY",
        url_setting=f"ANTIPHON_{name.upper()}_BASE_URL",
        model_setting=f"ANTIPHON_{kind.upper()}",
        loads_models=known.loads_slowly,
        patience=vendors.patience(name, PATIENCE_WITH_LOADING if known.loads_slowly else PATIENCE),
        pcm_rate=settings.openai_pcm_rate,
    )


def _openai_endpoint(vendors: Vendors, choice: ProviderChoice, kind: Kind) -> Endpoint:
    """OpenAI, or the server that stands in its place for one kind of work."""
    settings = vendors.settings
    own_url: str = getattr(settings, f"{kind}_base_url")
    base_url = own_url or settings.openai_base_url
    key, key_setting = _key_of_kind(settings, choice, kind, base_url), f"ANTIPHON_{kind.upper()}_API_KEY"
    if not own_url and not key:  # OpenAI's key is not shown to another server that has an address of its own
        key, key_setting = settings.openai_api_key.get_secret_value(), "ANTIPHON_OPENAI_API_KEY"
    if is_openai(base_url):
        key_of(SecretStr(key), choice, kind, f"{key_setting} or OPENAI_API_KEY")
    return Endpoint(
        base_url=base_url,
        key=key,
        api_version=settings.openai_api_version,
        key_setting=key_setting,
        url_setting=f"ANTIPHON_{kind.upper()}_BASE_URL" if own_url else "ANTIPHON_OPENAI_BASE_URL",
        model_setting=f"ANTIPHON_{kind.upper()}",
        patience=vendors.patience("openai", PATIENCE if is_hosted(base_url) else PATIENCE_WITH_LOADING),
        pcm_rate=settings.openai_pcm_rate,
    )


def _key_of_kind(settings: Settings, choice: ProviderChoice, kind: Kind, base_url: str) -> str:
    """``ANTIPHON_LLM_API_KEY``, if it is meant for this server: the one at ``ANTIPHON_LLM_BASE_URL``; without that
    ``openai``, or the only one of the chain that can want it. Raises SettingsError when there are several."""
    key: str = getattr(settings, f"{kind}_api_key").get_secret_value()
    own_url: str = getattr(settings, f"{kind}_base_url")
    if not key or own_url:
        return key if base_url == own_url else ""
    chain: Sequence[ProviderChoice] = getattr(settings, kind)
    able = {each.provider for each in chain if each.provider in OPENAI_SHAPED} - {"groq"} | {choice.provider}
    if "openai" in able:
        return key if choice.provider == "openai" else ""
    if len(able) > 1:
        setting = f"ANTIPHON_{kind.upper()}"
        raise SettingsError(
            f"{setting}_API_KEY may be meant for any of {', '.join(sorted(able))}: set {setting}_BASE_URL to the "
            "address of the one that it is for; the others are not told it."
        )
    return key


# ---- ElevenLabs, Deepgram, Anthropic --------------------------------------------------------------------------


async def _elevenlabs_synthesizer(vendors: Vendors, choice: ProviderChoice) -> Synthesizer:
    settings = vendors.settings
    account = elevenlabs.Account(
        api_key=key_of(
            settings.elevenlabs_api_key, choice, "tts", "ANTIPHON_ELEVENLABS_API_KEY or ELEVENLABS_API_KEY"
        ),
        model=choice.model or elevenlabs.DEFAULT_MODEL,
        base_url=settings.elevenlabs_base_url,
        voice=settings.voice,
        language="en" if settings.language == "auto" else settings.language,
        patience=vendors.patience("elevenlabs"),
    )
    if settings.elevenlabs_transport == "http" or account.model in elevenlabs.OVER_HTTP_ONLY:
        return elevenlabs.ElevenLabsHttp(account, vendors.pool)
    return await vendors.stack.enter_async_context(elevenlabs.open_stream_input(account))


async def _deepgram_recognizer(vendors: Vendors, choice: ProviderChoice) -> Recognizer:
    account = _deepgram_account(vendors, choice, "asr")
    language = vendors.settings.language
    opening = deepgram.open_recognizer(
        account,
        model=choice.model or deepgram.LISTEN_MODEL,
        language=None if language == "auto" else language,
        expects=vendors.settings.asr_prompt,
    )
    return await vendors.stack.enter_async_context(opening)


async def _deepgram_synthesizer(vendors: Vendors, choice: ProviderChoice) -> Synthesizer:
    account = _deepgram_account(vendors, choice, "tts")
    model = choice.model or deepgram.SPEAK_MODEL
    return deepgram.DeepgramVoice(account, vendors.pool, model=model, voice=vendors.settings.voice)


def _deepgram_account(vendors: Vendors, choice: ProviderChoice, kind: Kind) -> deepgram.Account:
    settings = vendors.settings
    variables = "ANTIPHON_DEEPGRAM_API_KEY or DEEPGRAM_API_KEY"
    return deepgram.Account(
        api_key=key_of(settings.deepgram_api_key, choice, kind, variables),
        base_url=settings.deepgram_base_url,
        patience=vendors.patience("deepgram"),
    )


async def _anthropic_language_model(vendors: Vendors, choice: ProviderChoice) -> LanguageModel:
    settings = vendors.settings
    variables = "ANTIPHON_ANTHROPIC_API_KEY or ANTHROPIC_API_KEY"
    account = anthropic.Account(
        api_key=key_of(settings.anthropic_api_key, choice, "llm", variables),
        model=choice.model or anthropic.DEFAULT_MODEL,
        base_url=settings.anthropic_base_url,
        patience=vendors.patience("anthropic"),
    )
    return anthropic.AnthropicChat(account, vendors.pool)


# ---- who can do what ------------------------------------------------------------------------------------------

OPENAI_SHAPED = ("openai", *KNOWN_SERVERS)

RECOGNIZERS: dict[str, Callable[[Vendors, ProviderChoice], Awaitable[Recognizer]]] = {
    **dict.fromkeys(OPENAI_SHAPED, _openai_recognizer),
    "deepgram": _deepgram_recognizer,
}
LANGUAGE_MODELS: dict[str, Callable[[Vendors, ProviderChoice], Awaitable[LanguageModel]]] = {
    **dict.fromkeys(OPENAI_SHAPED, _openai_language_model),
    "anthropic": _anthropic_language_model,
}
SYNTHESIZERS: dict[str, Callable[[Vendors, ProviderChoice], Awaitable[Synthesizer]]] = {
    **dict.fromkeys(OPENAI_SHAPED, _openai_synthesizer),
    "elevenlabs": _elevenlabs_synthesizer,
    "deepgram": _deepgram_synthesizer,
}


def _builder(
    builders: Mapping[str, Callable[[Vendors, ProviderChoice], Awaitable[A]]],
    choice: ProviderChoice,
    kind: Kind,
) -> Callable[[Vendors, ProviderChoice], Awaitable[A]]:
    if choice.provider not in builders:
        does = {"asr": "recognise speech", "llm": "write replies", "tts": "speak"}[kind]
        raise SettingsError(
            f"ANTIPHON_{kind.upper()}={choice}: {choice.provider} does not {does}; use "
            f"{', '.join(('local', *builders, 'scripted'))}."
        )
    return builders[choice.provider]
