"""What a turn may cost at the most: what is set aside before it begins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

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

SPOKEN_TWICE = 300
"""Characters that are spoken again, a long sentence: a reply prepared early has its first clause voiced before the turn
is sure, and a voice that fails is followed by another from there on. A whole reply is not spoken twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnSize:
    """What a turn can grow to, as set."""

    context_tokens: int = 2_000
    reply_tokens: int = 300
    tries: int = SECOND_TRIES


def most(prices: PriceBook, who: Mapping[Kind, Iterable[str]], size: TurnSize, day: date) -> int:
    """Micro-dollars of a turn in which the dearest of those who may be asked (kind → ``provider:model``) does all that
    it may. A model without a price counts nothing: nobody knows."""
    heard = Usage(audio_s=SPEECH_S)
    written = Usage(input_tokens=size.context_tokens, output_tokens=size.reply_tokens)
    spoken = Usage(characters=size.reply_tokens * CHARACTERS_A_TOKEN)
    again = Usage(characters=min(SPOKEN_TWICE, spoken.characters))
    tries: Mapping[Kind, Sequence[Usage]] = {
        "asr": [heard] * size.tries,
        "llm": [written] * size.tries,
        "tts": [spoken, *[again] * (size.tries - 1)],
    }
    return sum(
        max((_most_of(prices, kind, name, tries[kind], day) for name in names), default=0)
        for kind, names in who.items()
    )


def _most_of(prices: PriceBook, kind: Kind, name: str, usages: Iterable[Usage], day: date) -> int:
    """Micro-dollars of one model's calls, by its dearer transport."""

    def cost(usage: Usage, transport: Literal["batch", "stream"]) -> int:
        call = ProviderCall(kind=kind, provider=name, usage=usage, total_ms=TAKES_MS, transport=transport)
        priced = prices.price(call, day)
        return 0 if priced is None else priced.micros

    return sum(max(cost(usage, "batch"), cost(usage, "stream")) for usage in usages)
