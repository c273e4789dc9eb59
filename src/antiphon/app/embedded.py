"""The embedded model that a chain ends in, asked alone: who goes on when a budget is spent need not be loaded again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from antiphon.app.adapters import first_local
from antiphon.app.chains import breaker_rules, limits
from antiphon.app.local import Spoken
from antiphon.conversation.config import Providers
from antiphon.providers.resilience import (
    Chain,
    ResilientLanguageModel,
    ResilientRecognizer,
    ResilientSynthesizer,
)
from antiphon.providers.resilience.link import A
from antiphon.providers.speech_cache import CachingSynthesizer
from antiphon.settings import ProviderChoice, Settings


def at_hand(settings: Settings, providers: Providers, dear: frozenset[Spoken]) -> dict[Spoken, Providers]:
    """Of the parts that need somebody cheaper, those whose chain has just that embedded model loaded; each with the
    providers in which it answers alone."""
    found: dict[Spoken, Providers] = {}
    for part in dear:
        chosen: Sequence[ProviderChoice] = getattr(settings, part)
        if first_local(chosen) == getattr(settings, f"budget_{part}")[0]:
            alone = _alone(settings, providers, part)
            if alone is not None:
                found[part] = alone
    return found


def _alone(settings: Settings, providers: Providers, part: Spoken) -> Providers | None:
    """None: it could not be loaded, or is no chain."""
    match part:
        case "asr":
            hears = providers.recognizer
            if isinstance(hears, ResilientRecognizer) and (chain := _embedded(settings, hears.chain, part)):
                return replace(providers, recognizer=ResilientRecognizer(chain))
        case "llm":
            thinks = providers.language_model
            if isinstance(thinks, ResilientLanguageModel) and (
                written := _embedded(settings, thinks.chain, part)
            ):
                return replace(providers, language_model=ResilientLanguageModel(written))
        case "tts":
            speaks = providers.synthesizer
            if isinstance(speaks, CachingSynthesizer) and (
                said := _embedded(settings, speaks.voices.chain, part)
            ):
                return replace(providers, synthesizer=ResilientSynthesizer(said))
    return None


def _embedded(settings: Settings, chain: Chain[A], part: Spoken) -> Chain[A] | None:
    loaded = [link.adapter for link in chain.links if link.embedded]
    return (
        Chain(loaded, kind=part, limits=limits(settings, part), rules=breaker_rules(settings))
        if loaded
        else None
    )
