"""JSON as vendors send it: anything may come, and what was read can be counted with and written again. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, TypeGuard

DEEPEST = 64
"""Lists and objects inside each other: no vendor's answer has ten, and some hundreds cannot be written again."""

MOST = 1e9
"""Tokens, seconds or milliseconds: what is more is no count of anything that one request has."""

_ESCAPE = re.compile(r"\\(?:u[dD][89abAB].{2}\\u[dD][c-fC-F].{2}|(u[dD][89a-fA-F].{2})|.)")
"""A letter of two halves, half a letter, or any other escape."""


def read_json(raw: str | bytes | bytearray) -> Any:
    """Raises ValueError, also for what is nested too deep. Half a letter (``\\ud83d`` without its other half) becomes
    U+FFFD: no file, log or socket could be given it later."""
    text = raw if isinstance(raw, str) else raw.decode("utf-8-sig")
    try:
        value = json.loads(_ESCAPE.sub(_whole_letter, text) if "\\u" in text else text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if text.count("[") + text.count("{") > DEEPEST:
        _check_depth(value)
    return value


_TOO_DEEP = "it is nested too deep"


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(DEEPEST):
        level = [part for each in level for part in _parts(each)]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _whole_letter(escape: re.Match[str]) -> str:
    return r"\ufffd" if escape[1] else escape[0]


def is_number(value: object) -> TypeGuard[int | float]:
    """JSON lets NaN, infinity and numbers of any size through."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MOST


def count_of(value: object) -> int:
    """A count; 0 for what is none."""
    return int(value) if isinstance(value, int) and is_number(value) and value > 0 else 0
