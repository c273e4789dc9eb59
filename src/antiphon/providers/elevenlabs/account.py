"""Whom to ask, with which key, for which model."""

from __future__ import annotations

from dataclasses import dataclass, field

from antiphon.providers.base import ProviderInfo
from antiphon.providers.elevenlabs.voices import DEFAULT_MODEL, VOICES, languages, voice_id
from antiphon.providers.http import Patience
from antiphon.providers.vendor_errors import Names

BASE_URL = "https://api.elevenlabs.io"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An ElevenLabs account and what is wanted of it."""

    api_key: str = field(repr=False)
    model: str = DEFAULT_MODEL
    base_url: str = BASE_URL
    """With or without ``/v1``."""
    voice: str = ""
    """The operator's voice: a stock voice's name or an id; empty for the first stock voice."""
    language: str = "en"
    """What will mostly be spoken, ISO 639-1: ``warm`` opens a socket for it."""
    rate: int = 24_000
    """Hz; one of ``voices.RATES``."""
    patience: Patience = field(default_factory=Patience)

    @property
    def names(self) -> Names:
        return Names(
            provider=f"elevenlabs:{self.model}",
            key_setting="ANTIPHON_ELEVENLABS_API_KEY",
            url_setting="ANTIPHON_ELEVENLABS_BASE_URL",
            model_setting="ANTIPHON_TTS",
            key=self.api_key,
        )

    @property
    def info(self) -> ProviderInfo:
        stock = tuple(VOICES)
        chosen = self.voice if self.voice.lower() not in VOICES else self.voice.lower()
        return ProviderInfo(
            provider="elevenlabs",
            model=self.model,
            sample_rate=self.rate,
            languages=languages(self.model),
            voices=(chosen, *(name for name in stock if name != chosen)) if chosen else stock,
        )

    @property
    def root(self) -> str:
        """``https://host/v1``"""
        return self.base_url.rstrip("/").removesuffix("/v1") + "/v1"

    @property
    def headers(self) -> dict[str, str]:
        return {"xi-api-key": self.api_key}

    def voice_ids(self, voice: str) -> tuple[str, ...]:
        """The ids of those who may speak: the voice asked for, the operator's, and one that every account has."""
        return (*(voice_id(name) for name in (voice, self.voice) if name), voice_id(""))
