"""A name for each request, so that its lines are found in the log, here and in the proxy's."""

from __future__ import annotations

import re
import secrets

from starlette.types import Scope

HEADER = b"x-request-id"

ID_BYTES = 8
"""64 bits: no two of a year's requests are alike."""

WELL_FORMED = re.compile(r"[A-Za-z0-9._:=-]{8,64}")
"""What proxies make: UUIDs, hexadecimal, `Root=1-…`. Nothing that could break a log line or be a sentence."""


def given_request_id(scope: Scope) -> str:
    """The name that a proxy gave the request; empty when it gave none that can be used."""
    for name, value in scope["headers"]:
        if name == HEADER:
            text = value.decode("latin-1")
            return text if WELL_FORMED.fullmatch(text) else ""
    return ""


def new_request_id() -> str:
    """A name of our own."""
    return secrets.token_hex(ID_BYTES)
