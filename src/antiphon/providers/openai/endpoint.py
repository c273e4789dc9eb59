"""Where a server that speaks OpenAI's formats is, and how it is addressed."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from antiphon.providers.http import HttpPool, Patience, Vendor
from antiphon.providers.vendor_errors import Names

OFFICIAL_HOST = "api.openai.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One server, for one kind of work."""

    provider: str = "openai"
    """As settings name it: ``openai``, ``ollama``, …"""
    base_url: str = "https://api.openai.com/v1"
    key: str = field(default="", repr=False)
    """Empty for servers that want none."""
    api_version: str = ""
    """Azure's; with it the key goes as ``api-key`` and the model is a deployment."""
    key_setting: str = "ANTIPHON_OPENAI_API_KEY"
    url_setting: str = "ANTIPHON_OPENAI_BASE_URL"
    model_setting: str = ""
    """``ANTIPHON_LLM``, …"""
    loads_models: bool = False
    """Whether it loads a model when that is first asked for, as Ollama does; then it is asked before the first turn."""
    patience: Patience = field(default_factory=Patience)
    pcm_rate: int = 24_000
    """Hz of the raw PCM it speaks in."""

    @property
    def official(self) -> bool:
        """Whether it is OpenAI itself, which knows fields that others reject."""
        return urlsplit(self.base_url).hostname == OFFICIAL_HOST

    def vendor(self, pool: HttpPool, model: str) -> Vendor:
        """Its API in the pool."""
        names = Names(
            provider=f"{self.provider}:{model}",
            key_setting=self.key_setting,
            url_setting=self.url_setting,
            model_setting=self.model_setting,
        )
        headers: dict[str, str] = {}
        if self.key:
            headers = {"api-key": self.key} if self.api_version else {"Authorization": f"Bearer {self.key}"}
        return pool.vendor(
            names,
            base_url=self._base(model),
            headers=headers,
            params={"api-version": self.api_version} if self.api_version else {},
            patience=self.patience,
        )

    def _base(self, model: str) -> str:
        if not self.api_version or "/deployments/" in self.base_url or self.base_url.endswith("/v1"):
            return self.base_url
        return f"{self.base_url}/deployments/{quote(model, safe='')}"
