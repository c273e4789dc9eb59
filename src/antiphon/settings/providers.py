"""Naming a provider: ``provider:model``, and chains of them."""

from __future__ import annotations

from dataclasses import dataclass

from antiphon.settings.keys import is_key
from antiphon.settings.vendors import VENDORS

PROVIDERS = ("local", *VENDORS, "scripted")
"""Whom this version can ask to hear, think and speak."""

LATER_PROVIDERS: tuple[str, ...] = ()
"""Names kept for vendors whose adapters are not in this version."""

_ALLOWED = f"{', '.join(PROVIDERS[:-1])} or {PROVIDERS[-1]} (as provider:model)"


@dataclass(frozen=True, slots=True)
class ProviderChoice:
    """``provider:model``. An empty model is the provider's own choice (for ``local``: the profile's)."""

    provider: str
    model: str = ""

    def __str__(self) -> str:
        return f"{self.provider}:{self.model}" if self.model else self.provider


def parse_chain(value: object) -> tuple[ProviderChoice, ...]:
    """``local:whisper-base,scripted`` → choices, the preferred first. ValueError says what is allowed."""
    if isinstance(value, tuple) and all(isinstance(choice, ProviderChoice) for choice in value):
        return value
    parts = value if isinstance(value, list) else str(value).split(",")
    choices = tuple(_parse_choice(str(part).strip()) for part in parts)
    if len(set(choices)) != len(choices):
        raise ValueError("names the same provider twice")
    return choices


def _parse_choice(text: str) -> ProviderChoice:
    provider, _, model = text.partition(":")
    if provider in LATER_PROVIDERS:
        raise ValueError(f"{provider!r} is not available in this version of Antiphon; use {_ALLOWED}")
    if provider not in PROVIDERS:
        raise ValueError(f"{provider or 'an empty name'!r} is not a provider; use {_ALLOWED}")
    if is_key(model.strip()):
        raise ValueError(f"what stands behind {provider}: is a key and no model's name")
    return ProviderChoice(provider, model.strip())
