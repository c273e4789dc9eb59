"""What vendors say when they refuse, in the words of ``errors.py``: one table for all of them.

``refused`` reads an answer's status, headers and body; ``broken`` reads what went wrong on the way. Both give an
error with a ``cause`` and a message that names the setting to look at. A vendor's own words are kept short, with
anything that looks like a key taken out (OpenAI repeats part of a wrong one).
"""

from __future__ import annotations

import re
import ssl
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import httpx2

from antiphon.errors import ProviderEmpty, ProviderError, ProviderRejected, ProviderUnavailable
from antiphon.providers.vendor_json import read_json
from antiphon.settings.keys import without_keys

WORDS_KEPT = 200
"""Characters of a vendor's own message that are repeated."""

LONGEST_WAIT_S = 3600.0
"""A wish to wait that is longer is cut: some vendors send the time of the month's end."""

SHORTEST_KEY = 6
"""Characters. Servers on one's own machine are given ``x`` or ``none``, which are also words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What an adapter's errors say: who, and which settings to look at."""

    provider: str
    """``openai:gpt-4o-mini``"""
    key_setting: str
    """``ANTIPHON_OPENAI_API_KEY``"""
    url_setting: str
    model_setting: str
    """``ANTIPHON_LLM``"""
    voice_setting: str = "ANTIPHON_VOICE"
    key: str = field(default="", repr=False)
    """Never repeated, though the vendor may say it."""

    def hidden(self, words: str) -> str:
        """A vendor's words without the key: as it is, in base64, as part of an address."""
        if len(self.key) < SHORTEST_KEY:
            return words
        raw = self.key.encode()
        coded = [code(raw).rstrip(b"=").decode() for code in (b64encode, urlsafe_b64encode)]
        for form in (self.key, quote(self.key, safe=""), *coded):
            words = words.replace(form, "…")
        return words


def rejected(names: Names, cause: str, what: str) -> ProviderRejected:
    """Asking again will not help."""
    return ProviderRejected(f"{names.provider} {what}", provider=names.provider, cause=cause)


def unavailable(
    names: Names, cause: str, what: str, *, retry_after_s: float | None = None
) -> ProviderUnavailable:
    """Asking again may help."""
    return ProviderUnavailable(
        f"{names.provider} {what}", provider=names.provider, cause=cause, retry_after_s=retry_after_s
    )


def malformed(names: Names, what: str) -> ProviderUnavailable:
    """An answer that is not what the format promises; the next may be."""
    return unavailable(names, "malformed", f"sent what cannot be read: {what}")


def read_object(names: Names, raw: str | bytes, what: str) -> dict[str, Any]:
    """A JSON object; ``what`` it is of the answer: ``a line``. Raises ProviderError."""
    try:
        parsed = read_json(raw)
    except ValueError:
        raise malformed(names, f"{what} that is not JSON") from None
    if not isinstance(parsed, dict):
        raise malformed(names, f"{what} that is no JSON object")
    return parsed


def cut(names: Names, what: str = "broke off in the middle of its answer") -> ProviderUnavailable:
    return unavailable(names, "cut", what)


def too_slow(names: Names, what: str) -> ProviderUnavailable:
    return unavailable(names, "timeout", what)


def empty(names: Names, what: str = "answered with nothing") -> ProviderEmpty:
    return ProviderEmpty(f"{names.provider} {what}", provider=names.provider, cause="empty")


def not_an_api(names: Names, what: str) -> ProviderRejected:
    """Something answers there, but not the vendor's API."""
    return rejected(names, "not_an_api", f"{what}; check {names.url_setting}")


def wrong_rate(names: Names, what: str) -> ProviderRejected:
    return rejected(names, "wrong_rate", what)


# ---- what went wrong on the way -----------------------------------------------------------------------------


def broken(names: Names, error: Exception, address: str) -> ProviderError:
    """An error of the connection. ``address`` is ``host:port``."""
    if isinstance(error, httpx2.ConnectTimeout):
        return too_slow(names, f"could not be reached at {address} in time; check {names.url_setting}")
    if _of_tls(error):
        return rejected(
            names,
            "tls",
            f"cannot be trusted or does not speak TLS at {address} ({_tls_reason(error)}); check "
            f"{names.url_setting}, and the certificates of this machine",
        )
    if isinstance(error, httpx2.ConnectError):
        return unavailable(
            names, "unreachable", f"cannot be reached at {address}; check {names.url_setting} and the network"
        )
    if isinstance(error, httpx2.ProxyError):
        return unavailable(
            names, "unreachable", f"cannot be reached through the proxy that HTTPS_PROXY names: {error}"
        )
    if isinstance(error, httpx2.TimeoutException | TimeoutError):
        return too_slow(names, "did not answer in time")
    if isinstance(error, httpx2.DecodingError):
        return malformed(names, "a compressed answer that does not unpack")
    return cut(names)


def _of_tls(error: BaseException) -> bool:
    return any(isinstance(part, ssl.SSLError | ssl.CertificateError) for part in _causes(error))


def _tls_reason(error: BaseException) -> str:
    for part in _causes(error):
        if isinstance(part, ssl.SSLCertVerificationError):
            return part.verify_message or "certificate not believed"
    return "the handshake failed"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    for _ in range(8):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


# ---- what the vendor says -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Said:
    """A vendor's error, whatever its format: OpenAI's ``error``, ElevenLabs' ``detail``, Deepgram's ``err_code``,
    Anthropic's ``error.type``, FastAPI's ``detail``."""

    codes: tuple[str, ...]
    """Its code, its type, … in lower case."""
    message: str
    param: str = ""


def said(body: bytes | bytearray) -> Said | None:
    """The error in a body; None when it is not JSON."""
    try:
        parsed = read_json(body)
    except ValueError:
        return None
    if isinstance(parsed, list) and parsed:
        parsed = parsed[0]
    if not isinstance(parsed, dict):
        return Said((), "")
    inner = next((parsed[key] for key in ("error", "detail") if parsed.get(key)), parsed)
    if isinstance(inner, list):  # FastAPI's 422: its "input" repeats what was sent, so only these two
        first = inner[0] if inner and isinstance(inner[0], dict) else {}
        place = first.get("loc")
        where = ".".join(map(str, place)) if isinstance(place, list) else ""
        return Said(("invalid_request",), f"{where}: {first.get('msg', '')}".removeprefix(": "), where)
    if not isinstance(inner, dict):
        return Said((), str(inner))
    return Said(
        tuple(str(inner[key]).lower() for key in _CODES if inner.get(key)),
        str(next((inner[key] for key in _MESSAGES if inner.get(key)), "")),
        str(inner.get("param") or ""),
    )


_CODES = ("code", "type", "status", "err_code")
_MESSAGES = ("message", "err_msg", "reason", "msg")


def refused(names: Names, status: int, headers: Mapping[str, str], body: bytes | bytearray) -> ProviderError:
    """The error that an answer of 300 and above stands for."""
    if 300 <= status < 400:
        place = _host(names.hidden(headers.get("location", "")))
        return not_an_api(names, f"answers with a redirect to {place}")
    told = said(body)
    cause = cause_in(told) if told else ""
    # Groq has 413 for a request with more tokens than a minute's.
    if status in (402, 429) or (told is not None and "rate_limit_exceeded" in told.codes):
        if status == 402 or cause == "quota":
            return rejected(
                names, "quota", f"has no credit left ({status}); check the account behind {names.key_setting}"
            )
        wait = retry_after(headers)
        return unavailable(
            names, "rate_limit", f"allows no more requests for now ({status})", retry_after_s=wait
        )
    if status >= 500 or status in (408, 425):
        cause = "timeout" if status in (408, 504) else "overloaded"
        return unavailable(
            names, cause, f"is overloaded or failing ({status})", retry_after_s=retry_after(headers)
        )
    page = told is None and looks_like_a_page(headers, body)
    if page and status == 403:  # a gateway's
        check = f"check {names.key_setting} and {names.url_setting}"
        return rejected(names, "bad_key", f"does not allow this, with a web page ({status}); {check}")
    if page and status not in (401, 413):
        return not_an_api(names, f"answers with a web page ({status}), not as an API does")
    return _rejection(names, status, told, cause)


def _rejection(names: Names, status: int, told: Said | None, cause: str) -> ProviderRejected:
    words = f": {cleaned(names.hidden(told.message))}" if told and told.message else ""
    if told and told.param and told.param not in words:
        words += f" ({cleaned(names.hidden(told.param))})"
    if cause == "quota":
        return rejected(names, "quota", f"has no credit left; check the account behind {names.key_setting}")
    if status == 401 or (cause == "bad_key" and status in (400, 403)):
        return rejected(names, "bad_key", f"does not accept the key ({status}); check {names.key_setting}")
    if cause == "unknown_voice":
        return rejected(names, "unknown_voice", f"has no such voice{words}; check {names.voice_setting}")
    if cause == "unknown_model":
        return rejected(
            names, "unknown_model", f"does not know the model{words}; check {names.model_setting}"
        )
    if cause == "filtered":
        return rejected(names, "filtered", f"refused what was asked ({status})")
    if status == 403:
        return rejected(
            names, "bad_key", f"does not allow this to the key ({status}){words}; check {names.key_setting}"
        )
    if status in (404, 405):
        return not_an_api(names, f"has no such address ({status}){words}")
    return rejected(
        names,
        "invalid_request",
        f"does not accept the request ({status}){words}; check {names.model_setting}",
    )


_CODE_MARKS: Mapping[str, tuple[str, ...]] = {
    "quota": ("insufficient_quota", "quota_exceeded", "insufficient_credits", "billing"),
    "bad_key": ("api_key", "invalid_auth", "authentication", "unauthorized", "missing_permissions"),
    # ElevenLabs' invalid ID is that of a voice that was mistyped: unknown models have words of their own.
    "unknown_voice": ("voice_not_found", "invalid_voice", "voice_id", "invalid_uid"),
    "unknown_model": (
        *("model_not_found", "invalid_model", "model_does_not_exist", "model_not_available"),
        *("deploymentnotfound", "model_decommissioned"),
    ),
    "filtered": ("content_filter", "content_policy", "moderation", "content_against_policy"),
}
"""Cause → what is in a code or a type that says so."""

_FIELD_CAUSES = {"voice": "unknown_voice", "model": "unknown_model", "model_id": "unknown_model"}
"""The field that is wrong → cause."""

_SAYS_NOTHING = re.compile(
    r"\d+|error|(invalid|bad)[ _]?(request|argument)(_?error)?|not_?found(_?error)?|(api|server|value)_?error"
)
"""A code or a type of any refusal."""

_WORDS: Mapping[str, re.Pattern[str]] = {
    "quota": re.compile(
        r"credit balance|exceeded your current quota|(insufficient|not enough|out of) (credit|fund|balance|quota)"
    ),
    "bad_key": re.compile(r"api[ _]key|unauthorized|authentication"),
    "unknown_voice": re.compile(
        r"'body', 'voice'|(unknown|invalid) voice|voice not found|voice_id|invalid id has been received"
    ),
    "unknown_model": re.compile(
        r"(unknown|invalid|no such) model|^model: \S+$|not a valid model|model not exist"
        # One word between: "Parameter x is not supported by model y" is of the parameter.
        r"|\bmodel:?\s+(\S+\s+)?((is|was|has been)\s+)?(not found|does not exist)"
        r"|\bmodel:?\s+\S+\s+(is|was|has been)\s+(not supported|no longer supported|not available|decommissioned)"
    ),
    "filtered": re.compile(r"content[ _](filter|policy)|moderation"),
}
"""Cause → what is in a message, in lower case, that says so."""


def cause_in(told: Said) -> str:
    """What the vendor says is wrong, empty when nothing of the above: by its code and its type, by the field; by its
    words only where these say nothing, for words are said of much else."""
    for cause, marks in _CODE_MARKS.items():
        if any(mark in code for mark in marks for code in told.codes):
            return cause
    if told.param:
        return _FIELD_CAUSES.get(told.param.rpartition(".")[2], "")
    if not all(map(_SAYS_NOTHING.fullmatch, told.codes)):
        return ""
    message = told.message.lower()
    return next((cause for cause, words in _WORDS.items() if words.search(message)), "")


def looks_like_a_page(headers: Mapping[str, str], body: bytes | bytearray) -> bool:
    """HTML where an API should be."""
    return "text/html" in headers.get("content-type", "") or body.lstrip()[:1] == b"<"


def retry_after(headers: Mapping[str, str], *, now: float | None = None) -> float | None:
    """Seconds the vendor wants to be left alone: ``retry-after-ms``, ``Retry-After`` (seconds or a date), or the
    reset time of whichever of OpenAI's limits is used up. None when it does not say."""
    waits: list[float] = []
    if (ms := _number(headers.get("retry-after-ms", ""))) is not None:
        waits.append(ms / 1000)
    elif text := headers.get("retry-after", ""):
        seconds = _number(text)
        waits.append(_until(text, time.time() if now is None else now) if seconds is None else seconds)
    else:
        waits += [
            _duration(headers.get(f"x-ratelimit-reset-{limit}", ""))
            for limit in ("requests", "tokens")
            if headers.get(f"x-ratelimit-remaining-{limit}") == "0"
        ]
    return min(max(waits), LONGEST_WAIT_S) if waits else None


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d{1,9}(\.\d+)?", text.strip()) else None


def _until(date: str, now: float) -> float:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - now)
    except (ValueError, OverflowError):
        return 0.0


def _duration(text: str) -> float:
    """OpenAI's ``6m0s``, ``1.5s``, ``20ms``."""
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
    return sum(float(n) * units[unit] for n, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", text))


def _host(location: str) -> str:
    """Where a redirect leads, without its query, which may hold a token."""
    return cleaned(location.split("?")[0]) or "nowhere"


def cleaned(text: str) -> str:
    """A vendor's words, on one line, short, without what looks like a key."""
    # First cut to what could be kept, were all of it keys: a vendor's page may be long.
    line = without_keys(" ".join(text[: 20 * WORDS_KEPT].split()))
    return line if len(line) <= WORDS_KEPT else line[: WORDS_KEPT - 1] + "…"
