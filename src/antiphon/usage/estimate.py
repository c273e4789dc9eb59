"""What a turn may cost at the most: what is set aside before it begins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from antiphon.conversation.events import ProviderCall
from antiphon.providers.base import Usage
from antiphon.providers.metering import Kind
from antiphon.usage.prices import PriceBook

CHARACTERS_A_TOKEN = 5
"""English has about 4, with its spaces; German and French less."""

SPEECH_S = 30.0
"""A long turn. Dictation is longer, and then ``dearest_turn`` knows better soon."""

TAKES_MS = 20_000.0
"""How long one call takes, where an hour of this machine's work has a price."""

SECOND_TRIES = 2
"""Speculation, a retry or a fallback can have the same work done twice; three times is rare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnSize:
    """What a turn can grow to, as set."""

    context_tokens: int = 2_000
    reply_tokens: int = 300
    tries: int = SECOND_TRIES


def most(prices: PriceBook, who: Mapping[Kind, Iterable[str]], size: TurnSize, day: date) -> int:
    """Micro-dollars of a turn in which the dearest of those who may be asked (kind → ``provider:model``) does all that
    it may. A model without a price counts nothing: nobody knows."""
    usages: Mapping[Kind, Usage] = {
        "asr": Usage(audio_s=SPEECH_S),
        "llm": Usage(input_tokens=size.context_tokens, output_tokens=size.reply_tokens),
        "tts": Usage(characters=size.reply_tokens * CHARACTERS_A_TOKEN),
    }
    total = 0
    for kind, names in who.items():
        calls = [
            ProviderCall(kind=kind, provider=name, usage=usages[kind], total_ms=TAKES_MS, transport=transport)
            for name in names
            for transport in (("batch", "stream") if kind == "asr" else ("batch",))
        ]
        priced = (prices.price(call, day) for call in calls)
        total += max((price.micros for price in priced if price is not None), default=0)
    return total * size.tries
