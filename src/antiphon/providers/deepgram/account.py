"""Whom to ask, with which key."""

from __future__ import annotations

from dataclasses import dataclass, field

from antiphon.providers.http import Patience
from antiphon.providers.vendor_errors import Names

BASE_URL = "https://api.deepgram.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A Deepgram account."""

    api_key: str = field(repr=False)
    base_url: str = BASE_URL
    """With or without ``/v1``."""
    patience: Patience = field(default_factory=Patience)

    @property
    def root(self) -> str:
        """``https://host/v1``"""
        return self.base_url.rstrip("/").removesuffix("/v1") + "/v1"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Token {self.api_key}"}

    def names(self, model: str, model_setting: str) -> Names:
        """What errors say."""
        return Names(
            provider=f"deepgram:{model}",
            key_setting="ANTIPHON_DEEPGRAM_API_KEY",
            url_setting="ANTIPHON_DEEPGRAM_BASE_URL",
            model_setting=model_setting,
            voice_setting=model_setting,
            key=self.api_key,
        )
