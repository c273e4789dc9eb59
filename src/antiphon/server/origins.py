"""Whose pages may connect. Browsers send the origin of the page; it is matched exactly."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

DEFAULT_PORTS = {"http": 80, "https": 443}


def origin_allowed(origin: str | None, *, host: str, allowed: Collection[str], loopback_only: bool) -> bool:
    """Whether a connection with this ``Origin`` and ``Host`` header may be served.

    No origin: no browser, let in. With ``allowed``, the origin must be one of them. Without, it must be
    the page of this very host; and a server that listens on loopback only takes a loopback name for it,
    else a page of a stranger whose name is made to point to 127.0.0.1 would count as ours (DNS rebinding).
    """
    if origin is None:
        return True
    if allowed:
        return origin in allowed
    if not is_own_page(origin, host=host):
        return False
    page = _split(origin)
    return not loopback_only or (page is not None and is_loopback(page.hostname or ""))


def is_own_page(origin: str | None, *, host: str) -> bool:
    """Whether ``Origin`` is the page that is served at ``Host``."""
    page = _split(origin or "")
    if page is None or page.scheme not in DEFAULT_PORTS:
        return False
    here = _split(f"{page.scheme}://{host}")
    return here is not None and _place(page) == _place(here)


def is_loopback(host: str) -> bool:
    """``localhost``, ``127.0.0.1``, ``::1`` and their like."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _split(address: str) -> SplitResult | None:
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018 (raises for a port that is none)
    except ValueError:
        return None
    return parts


def _place(parts: SplitResult) -> tuple[str, int]:
    return (parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme])
