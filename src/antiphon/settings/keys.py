"""What looks like a key, so that it is never repeated: in settings that are wrong, in what vendors say."""

from __future__ import annotations

import re

HIDDEN = "(hidden)"

BEGINNINGS = {
    "sk-ant-": "anthropic",
    "sk-": "openai",
    "gsk_": "groq",
    "sk_": "elevenlabs",
    "xi-": "elevenlabs",
    "dg_": "deepgram",
    "dg-": "deepgram",
}
"""How keys begin, and whose they are."""

_KEY = re.compile(
    r"""
    (?P<before>\bBearer\s+ | \bBasic\s+) [\w./+=~-]{8,}
    | (?P<token>\bToken\s+) (?=[\w./+=~-]*[\d/+=~_-]) [\w./+=~-]{8,}
    | (?P<named>(?:key|token|secret|passw(?:or)?d)["']?\s*=\s*["']?) [^\s"'&,;]+
    | (?P<told>(?:key|token|secret|passw(?:or)?d)["']?\s*:\s*["']?) (?=\S*\d) [^\s"'&,;]{6,}
    | (?<![A-Za-z0-9]) (?:g?sk|xi|[pr]k|dg|key(?=[\w.-]{0,80}\d)) [-_] [\w*.\-]{6,}
    | (?<![\w*-]) (?=[a-f]*\d) [0-9a-f]{32,} (?![\w-])
    | (?<![\w*-]) (?=[\w*-]{0,80}(?:\*\*|(?=[A-Z]{0,80}\d)(?=\d{0,80}[A-Z])[A-Z0-9]{10})) [\w*-]{28,}
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""Behind the words that announce a key; by a known beginning; or long, of hexadecimal digits, or with letters and
digits mixed as in no name."""

_BEGINS = re.compile(rf"(?<![A-Za-z0-9])({'|'.join(BEGINNINGS)})\S{{4}}")
"""Not ``sk-SK``, which is Slovak."""

WHOLE = 30
"""Characters of the shortest keys that begin so."""


def looks_like_key(text: str) -> bool:
    """Whether something in the text looks like a key."""
    return begins_like_key(text) != "" or _KEY.search(text) is not None


def begins_like_key(text: str) -> str:
    """The known beginning of a key in the text, one of ``BEGINNINGS``; empty when there is none."""
    found = _BEGINS.search(text)
    return found[1] if found else ""


def is_key(text: str) -> bool:
    """Whether the text is a key and can be nothing else."""
    begins_so = len(text) >= WHOLE and text.startswith(tuple(BEGINNINGS))
    return begins_so or re.fullmatch(r"(?=[a-fA-F]*\d)[0-9a-fA-F]{32,}", text) is not None


def without_keys(text: str) -> str:
    """The text with ``…`` where something looks like a key."""
    return _KEY.sub(lambda found: "".join(filter(None, found.groups())) + "…", text)


def without_password(text: str) -> str:
    """An address without the user, the password and the query in it; any other text as it is."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text
    kept = re.sub(r"[?#]\S+", "?…", rest.rpartition("@")[2])
    return f"{scheme}://…@{kept}" if "@" in rest else f"{scheme}://{kept}"
