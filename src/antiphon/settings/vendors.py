"""Checks on what the settings of vendors hold: keys, addresses, patience; and the servers known by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

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
    parts = urlsplit(url if "://" in url else "")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        guess = url.partition("://")[2] or url
        raise ValueError(f"an address begins with http:// or https://; write http://{guess.lstrip('/')}")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("its port is not a number from 0 to 65535") from None
    if parts.username or parts.password:
        raise ValueError("a key or password does not belong into an address; there is a setting for the key")
    if parts.query or parts.fragment or re.search(r"\s", url):
        raise ValueError("it must end after its path, without ?, # or spaces")
    return url.rstrip("/")


def check_openai_url(url: str) -> str:
    """The address of an API in OpenAI's format: up to ``/v1``, which is added where there is no path at all."""
    url = check_url(url)
    for endpoint in ENDPOINTS:
        if url.endswith(endpoint):
            raise ValueError(f"leave out {endpoint}, which is added by itself: {url.removesuffix(endpoint)}")
    return url + "/v1" if url and not urlsplit(url).path else url


def check_timeouts(text: str) -> str:
    """See ``read_timeouts``."""
    read_timeouts(text)
    return text


def read_timeouts(text: str) -> Mapping[str, tuple[float, float, float]]:
    """``ollama=2/60/20, openai=5/10/6`` → provider → seconds to connect, to the first byte, between pieces."""
    read: dict[str, tuple[float, float, float]] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, times = part.partition("=")
        numbers = re.findall(r"[^/\s]+", times)
        try:
            connect, first, gap = (float(number) for number in numbers)
        except ValueError:
            raise ValueError(
                f"{part!r} is not understood; write name=connect/first/gap in seconds: ollama=2/60/20"
            ) from None
        if not all(0.05 <= seconds <= 600 for seconds in (connect, first, gap)):
            raise ValueError(f"{part!r}: each time is from 0.05 to 600 seconds")
        read[name.strip()] = (connect, first, gap)
    return read


VendorKey = Annotated[SecretStr, AfterValidator(check_key)]
VendorUrl = Annotated[str, AfterValidator(check_url)]
OpenAIUrl = Annotated[str, AfterValidator(check_openai_url)]
Timeouts = Annotated[str, AfterValidator(check_timeouts)]
