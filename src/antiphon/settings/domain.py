"""What may stand where people's browsers name this server: a host's name or an address, and nothing around it."""

from __future__ import annotations

import re
from ipaddress import ip_address

_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
_NAME = re.compile(rf"(?=.{{1,253}}$)({_LABEL}\.)*(?![0-9]+$){_LABEL}")


def check_domain(value: str) -> str:
    """The name in lower case, as certificates have it. Raises ValueError, which says what is expected."""
    name = value.lower()
    if _NAME.fullmatch(name) is None and not _is_address(name):
        raise ValueError(
            f"{value!r} is no name; write it without https:// or a port: talk.example.org, localhost, 192.168.1.20"
        )
    return name


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
