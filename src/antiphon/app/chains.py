"""From settings to the chains of providers that hear, write and speak: who is asked first, and who instead."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path

from antiphon.app.adapters import Adapters, operators_voice
from antiphon.app.local import Spoken
from antiphon.conversation.apology import apology, farewell
from antiphon.conversation.speakable import speakable
from antiphon.providers.base import SpeechOptions
from antiphon.providers.health import ProviderState
from antiphon.providers.resilience import (
    BreakerRules,
    Chain,
    HealthBoard,
    Limits,
    ResilientLanguageModel,
    ResilientRecognizer,
    ResilientSynthesizer,
    probe_while_open,
)
from antiphon.providers.resilience.limits import LEAST_S, SOONEST_LATE_S
from antiphon.providers.resilience.link import A
from antiphon.providers.resilience.request import sole
from antiphon.providers.speech_cache import CachingSynthesizer, SpeechCache
from antiphon.settings import Settings
from antiphon.settings.vendors import KNOWN_SERVERS
from antiphon.telemetry.logs import logger

ALONE_S = 2.5
"""After so many seconds a lone provider is asked a second time, until it is known how quick it usually is."""

LOADING_S: Mapping[Spoken, float] = {"asr": 9.0, "llm": 11.0, "tts": 7.0}
"""What a lone server that loads models is given, in seconds: a little less than the conversation waits before it
apologises."""

OWN_SERVERS = frozenset(name for name, known in KNOWN_SERVERS.items() if known.loads_slowly)
"""Those that load a model when they are asked, by name; `openai` at another address is taken for a vendor."""

APOLOGIES_MB = 4
"""Memory for what must be at hand, whatever else is kept: a dozen sentences of eight seconds."""

log = logger(__name__)


class Chains:
    """The chains of one assistant. ``run`` keeps watch over them."""

    def __init__(self, settings: Settings, adapters: Adapters) -> None:
        rules = breaker_rules(settings)

        def chain(kind: Spoken, links: Sequence[A]) -> Chain[A]:
            return Chain(
                links,
                kind=kind,
                limits=limits(settings, kind),
                rules=rules,
                watch=_told,
                broke=_broke,
                own_servers=OWN_SERVERS,
            )

        self._settings = settings
        self._scripted = adapters.synthesizers[0].info.provider == "scripted"
        self.recognizer = ResilientRecognizer(chain("asr", adapters.recognizers))
        self.language_model = ResilientLanguageModel(chain("llm", adapters.language_models))
        voices = ResilientSynthesizer(chain("tts", adapters.synthesizers))
        self.synthesizer = CachingSynthesizer(
            voices,
            cache=SpeechCache(max_bytes=max(settings.speech_cache_mb, APOLOGIES_MB) * 1_000_000),
            stock=stock_phrases,
            # Scripted voices are there to be timed: nothing that they say is skipped.
            remember=settings.speech_cache_mb > 0 and not self._scripted,
        )
        self._resilient = (self.recognizer, self.language_model, voices)
        self.health = HealthBoard(
            [resilient.chain for resilient in self._resilient], asyncio.get_running_loop().time
        )

    async def run(self) -> None:
        """Find out when providers are back, and have apologies voiced, until cancelled."""
        if not self._scripted:
            self.synthesizer.want(self._usual_options())
        async with asyncio.TaskGroup() as group:
            group.create_task(probe_while_open(self.recognizer))
            group.create_task(probe_while_open(self.language_model))
            group.create_task(probe_while_open(self._resilient[2]))
            group.create_task(self.synthesizer.prepare())

    def _usual_options(self) -> SpeechOptions:
        """As most replies will be spoken."""
        settings, voices = self._settings, self.synthesizer.info.voices
        return SpeechOptions(
            voice=operators_voice(settings, voices) or (voices[0] if voices else ""),
            language="en" if settings.language == "auto" else settings.language,
            speed=settings.speed,
        )


@asynccontextmanager
async def watched(chains: Chains) -> AsyncIterator[None]:
    """The chains are kept watch over inside."""
    try:
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(chains.run())
            try:
                yield
            finally:
                watching.cancel()
    except BaseExceptionGroup as failures:
        raise sole(failures) from None


def breaker_rules(settings: Settings) -> BreakerRules:
    """When a provider is left alone."""
    return BreakerRules(failures=settings.breaker_failures, rest_s=settings.breaker_rest_s)


def limits(settings: Settings, kind: Spoken) -> Limits:
    """The operator's patience with providers of one kind."""
    late_s = {
        "asr": settings.stall_asr_ms,
        "llm": settings.stall_llm_ms,
        "tts": settings.stall_tts_ms,
    }[kind] / 1000
    return Limits(
        late_s=late_s,
        soonest_late_s=min(SOONEST_LATE_S, late_s),
        gap_s=settings.stall_gap_ms / 1000,
        alone_s=max(ALONE_S, late_s),
        loading_s=max(LOADING_S[kind], late_s),
        # Whoever is late by the operator's own patience is still followed by another.
        budget_s=max(settings.retry_budget_s, late_s + LEAST_S),
        hedge=settings.hedge and kind == "llm",
    )


@lru_cache(maxsize=64)  # looked up with every clause
def stock_phrases(language: str) -> tuple[str, ...]:
    """What is said when nothing else can be, as the voice is given it."""
    said = (apology(language), farewell(language))
    return tuple(dict.fromkeys(text for phrase in said for text in (speakable(phrase, language), phrase)))


def _broke(provider: str, bug: BaseException) -> None:
    """An adapter raised what no adapter may. The frames say where; the error's own words could hold speech."""
    frames = traceback.extract_tb(bug.__traceback__)
    where = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[-4:]]
    log.error("an adapter failed", provider=provider, error=type(bug).__name__, where=where)


def _told(state: ProviderState) -> None:
    """A breaker opened or closed."""
    if state.breaker == "closed":
        log.info("provider is back", kind=state.kind, provider=state.provider)
    else:
        log.warning(
            "provider is left alone for a while",
            kind=state.kind,
            provider=state.provider,
            failures=state.failures,
            problem=state.last_error,
        )
