"""Where a server that speaks OpenAI's formats is, and how it is addressed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from antiphon.providers.http import HttpPool, Patience, Vendor
from antiphon.providers.vendor_errors import Names
from antiphon.settings.vendors import is_azure, is_openai


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One server, for one kind of work."""

    provider: str = "openai"
    """As settings name it: ``openai``, ``ollama``, …"""
    base_url: str = "https://api.openai.com/v1"
    key: str = field(default="", repr=False)
    """Empty for servers that want none."""
    api_version: str = ""
    """Azure's, and read by nobody else; with it the model is a deployment."""
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
        return is_openai(self.base_url)

    @property
    def azure(self) -> bool:
        """Whether it is Azure, or a gateway that keeps the paths of its API with versions; ``/openai/v1`` alone does
        not say so: Groq has it too."""
        return is_azure(self.base_url) or (
            bool(self.api_version)
            and not self.official
            and re.search(r"/openai(/deployments/.+)?$", urlsplit(self.base_url).path) is not None
        )

    def vendor(self, pool: HttpPool, model: str) -> Vendor:
        """Its API in the pool."""
        names = Names(
            provider=f"{self.provider}:{model}",
            key_setting=self.key_setting,
            url_setting=self.url_setting,
            model_setting=self.model_setting,
            key=self.key,
        )
        return pool.vendor(
            names,
            base_url=self.url(model),
            headers=self.headers,
            params=self.params(model),
            patience=self.patience,
        )

    def url(self, model: str) -> str:
        """Where the model is. Azure's ``/openai`` goes on with its deployment, or with ``/v1``, which knows no
        versions."""
        if not (self.azure and self.base_url.endswith("/openai")):
            return self.base_url
        return (
            f"{self.base_url}/deployments/{quote(model, safe='')}"
            if self.api_version
            else f"{self.base_url}/v1"
        )

    @property
    def headers(self) -> dict[str, str]:
        """The key, as the server wants it."""
        if not self.key:
            return {}
        return {"api-key": self.key} if self.azure else {"Authorization": f"Bearer {self.key}"}

    def params(self, model: str) -> dict[str, str]:
        """What goes behind the ``?`` of every request."""
        versioned = self.azure and self.api_version and not self.url(model).endswith("/v1")
        return {"api-version": self.api_version} if versioned else {}
