"""JSON text from strangers: read with limits, and nothing in it that JSON does not have."""

from __future__ import annotations

import json
import re

from antiphon.errors import ProtocolError

MAX_DEPTH = 16
"""Nested objects and arrays; antiphon.v1 needs two. Python's reader overflows its stack at about a
thousand."""

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def read_object(text: str) -> dict[str, object]:
    """One JSON object. Raises ProtocolError for anything else: broken, nested too deep, NaN, not an
    object."""
    _check_depth(text)
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except ProtocolError:
        raise
    except ValueError as error:
        # A JSONDecodeError says where; Python's limit on the digits of a number says only that.
        where = (
            f" at character {error.pos + 1}: {error.msg}" if isinstance(error, json.JSONDecodeError) else ""
        )
        raise ProtocolError(f"the message is not valid JSON{where}") from None
    if not isinstance(value, dict):
        raise ProtocolError('the message must be a JSON object such as {"type":"start"}')
    return value


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in re.findall(r"[\[{\]}]", _STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise ProtocolError(f"the message is nested more than {MAX_DEPTH} deep")


def _refuse_constant(name: str) -> float:
    raise ProtocolError(f"{name} is not JSON; use a number or null")
