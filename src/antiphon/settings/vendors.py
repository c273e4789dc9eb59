"""Checks on what the settings of vendors hold: keys, addresses, patience; and the servers known by name. Whoever takes
alerts has an address, too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

import httpx2
from pydantic import AfterValidator, SecretStr

from antiphon.settings.keys import without_password

OPENAI_URL = "https://api.openai.com/v1"

ENDPOINTS = (
    "/chat/completions",
    "/completions",
    "/responses",
    "/audio/transcriptions",
    "/audio/speech",
    "/models",
    "/embeddings",
)
"""What people paste along with a base URL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownServer:
    """A server that speaks OpenAI's formats, under a name of its own: ``ANTIPHON_LLM=ollama:llama3.2``."""

    base_url: str
    """Where it listens when nobody changed it."""
    roles: str
    """Which of asr, llm, tts it is used for."""
    loads_slowly: bool = True
    """Whether its first answer may take as long as a model takes to load."""


KNOWN_SERVERS: Mapping[str, KnownServer] = {
    "ollama": KnownServer(base_url="http://127.0.0.1:11434/v1", roles="llm"),
    "llamacpp": KnownServer(base_url="http://127.0.0.1:8080/v1", roles="llm"),
    "vllm": KnownServer(base_url="http://127.0.0.1:8001/v1", roles="asr, llm"),
    "speaches": KnownServer(base_url="http://127.0.0.1:8001/v1", roles="asr, tts"),
    "localai": KnownServer(base_url="http://127.0.0.1:8080/v1", roles="asr, llm, tts"),
    "groq": KnownServer(base_url="https://api.groq.com/openai/v1", roles="asr, llm, tts", loads_slowly=False),
}
"""Each has a setting NAME_base_url. vLLM and Speaches listen on 8000 of themselves, which is Antiphon's own port; the
next one is taken for theirs."""

VENDORS = ("openai", *KNOWN_SERVERS, "elevenlabs", "deepgram", "anthropic")
"""Who is asked over the network."""

_AZURE = re.compile(r"\.(openai|cognitiveservices|services\.ai)\.azure\.(com|us|cn)$")


def is_openai(url: str) -> bool:
    """Whether it is OpenAI itself, one of its regions (``eu.api.openai.com``) included."""
    return f".{urlsplit(url).hostname}".endswith(".api.openai.com")


def is_azure(url: str) -> bool:
    """Whether the host is one of Azure's: ``NAME.openai.azure.com``, …"""
    return _AZURE.search(urlsplit(url).hostname or "") is not None


HOSTED = (
    *(
        "openrouter.ai",
        "groq.com",
        "together.xyz",
        "together.ai",
        "mistral.ai",
        "deepseek.com",
        "fireworks.ai",
    ),
    *(
        "x.ai",
        "googleapis.com",
        "cerebras.ai",
        "deepinfra.com",
        "sambanova.ai",
        "perplexity.ai",
        "huggingface.co",
    ),
)
"""Domains of vendors that speak OpenAI's formats and keep their models loaded."""


def is_hosted(url: str) -> bool:
    """Whether the models there are a vendor's, as far as its host tells, and no server's that may have to load one."""
    host = f".{urlsplit(url).hostname}"
    return is_openai(url) or is_azure(url) or host.endswith(tuple(f".{domain}" for domain in HOSTED))


def check_key(secret: SecretStr) -> SecretStr:
    """A key as headers can carry it. ValueError does not repeat it."""
    key = secret.get_secret_value()
    if key != key.strip() or key.startswith(("'", '"')):
        raise ValueError("there are quotes or spaces around the key; write it without them")
    if not re.fullmatch(r"[\x21-\x7e]*", key):
        raise ValueError("a key has no spaces, line breaks or letters beyond ASCII in it; copy it again")
    return secret


def check_url(url: str) -> str:
    """An address with scheme and host and nothing that belongs elsewhere; no slash at the end."""
    if not url:
        return url
    parts = _parts(url)
    if not _is_http(parts):
        guess = without_password("http://" + (url.partition("://")[2] or url).lstrip("/"))
        raise ValueError(f"an address begins with http:// or https://; write {guess}")
    if parts.username or parts.password:
        raise ValueError("a key or password does not belong into an address; there is a setting for the key")
    if parts.query or parts.fragment or re.search(r"\s", url):
        raise ValueError("it must end after its path, without ?, # or spaces")
    _check_place(url, parts)
    return url.rstrip("/")


def check_webhook(secret: SecretStr) -> SecretStr:
    """An address that can be posted to, with all that belongs to it. It is as good as a password: ValueError repeats
    nothing of it."""
    if url := secret.get_secret_value():
        parts = _parts(url)
        if not _is_http(parts):
            raise ValueError("it is no address; write one with https:// and a host")
        if re.search(r"\s", url):
            raise ValueError("there are spaces or line breaks in it; write it without them")
        _check_place(url, parts)
    return secret


def _parts(url: str) -> SplitResult:
    try:
        return urlsplit(url if "://" in url else "")
    except ValueError:
        # Brackets without an IPv6 address, letters that look like others: its words hold the address.
        raise ValueError(_NO_HOST) from None


def _is_http(parts: SplitResult) -> bool:
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _check_place(url: str, parts: SplitResult) -> None:
    """Whether there can be such a host and port; what ValueError says holds neither."""
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("its port is not a number from 0 to 65535") from None
    try:
        # As it will be built, and as the resolver will be given its host.
        httpx2.URL(url).raw_host.decode("ascii").encode("idna")
    except (httpx2.InvalidURL, UnicodeError):
        raise ValueError(_NO_HOST) from None


_NO_HOST = (
    "no host can be called that: letters, digits and dashes, 63 at most between two dots; write it as "
    "https://api.example.org/v1"
)


def check_openai_url(url: str) -> str:
    """The address of an API in OpenAI's format: up to ``/v1``, which is added where there is no path at all; up to
    ``/openai`` at Azure, where what follows depends on the API's version."""
    url = check_url(url)
    for endpoint in ENDPOINTS:
        if url.endswith(endpoint):
            raise ValueError(f"leave out {endpoint}, which is added by itself: {url.removesuffix(endpoint)}")
    if not url or urlsplit(url).path:
        return url
    return url + ("/openai" if is_azure(url) else "/v1")


def check_timeouts(text: str) -> str:
    """See ``read_timeouts``."""
    read_timeouts(text)
    return text


def read_timeouts(text: str) -> Mapping[str, tuple[float, float, float]]:
    """``ollama=2/60/20, openai=5/10/6`` → provider → seconds to connect, to the first byte, between pieces. ValueError
    for what cannot be read, and for names that are no vendor's."""
    read: dict[str, tuple[float, float, float]] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, times = (piece.strip() for piece in part.partition("="))
        numbers = re.findall(r"[^/\s]+", times)
        try:
            connect, first, gap = (float(number) for number in numbers)
        except ValueError:
            raise ValueError(
                f"{part!r} is not understood; write name=connect/first/gap in seconds: ollama=2/60/20"
            ) from None
        if not all(0.05 <= seconds <= 600 for seconds in (connect, first, gap)):
            raise ValueError(f"{part!r}: each time is from 0.05 to 600 seconds")
        if name not in VENDORS:
            raise ValueError(f"{name!r} is not one of {', '.join(VENDORS)}")
        read[name] = (connect, first, gap)
    return read


VendorKey = Annotated[SecretStr, AfterValidator(check_key)]
VendorUrl = Annotated[str, AfterValidator(check_url)]
OpenAIUrl = Annotated[str, AfterValidator(check_openai_url)]
WebhookUrl = Annotated[SecretStr, AfterValidator(check_webhook)]
Timeouts = Annotated[str, AfterValidator(check_timeouts)]
