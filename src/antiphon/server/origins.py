"""Whose pages may connect. Browsers send the origin of the page; it is matched exactly."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from starlette.requests import HTTPConnection

DEFAULT_PORTS = {"http": 80, "https": 443}


Names = Literal["loopback", "local", "any"]
"""Which names a page of our own may have, where no setting says it: those of loopback, on a server that listens there
only; where anybody may talk, those that no stranger can own; else any."""

LOCAL_ENDINGS = (".local", ".home.arpa", ".internal", ".lan")
"""Names of home and company networks; none of them can be registered."""


def origin_allowed(
    origin: str | None, *, host: str, secure: bool, allowed: Collection[str], names: Names, here: str
) -> bool:
    """Whether a connection with this ``Origin`` and ``Host`` header may be served.

    No origin: no browser, let in. With ``allowed``, the origin must be one of them. Without, it must be the page of
    this very host, ``here`` its machine's name; and the name must be one of ``names``, else a page of a stranger whose
    name is made to point to our address would count as ours (DNS rebinding).
    """
    if origin is None:
        return True
    if allowed:
        return origin in allowed
    page = _split(origin)
    if page is None or not is_own_page(origin, host=host, secure=secure):
        return False
    name = page.hostname or ""
    match names:
        case "loopback":
            return is_loopback(name)
        case "local":
            # By TLS we would need a certificate for the stranger's name.
            return page.scheme == "https" or name == here.lower() or _is_local(name)
        case "any":
            return True


def is_own_page(origin: str | None, *, host: str, secure: bool) -> bool:
    """Whether ``Origin`` is the page that is served at ``Host``, ``secure``: by TLS. A page by TLS is taken for ours
    without it, too: a proxy may end it that we are not told of, and browsers keep such pages from servers without TLS.
    """
    page = _split(origin or "")
    if page is None or page.scheme not in DEFAULT_PORTS or (secure and page.scheme != "https"):
        return False
    here = _split(f"{page.scheme}://{host}")
    return here is not None and _place(page) == _place(here)


def from_own_page(request: HTTPConnection) -> bool:
    """Whether a request comes from a page of this server itself."""
    return is_own_page(
        request.headers.get("origin"), host=request.headers.get("host", ""), secure=is_secure(request)
    )


def is_secure(request: HTTPConnection) -> bool:
    """Whether it came by TLS, to us or to a proxy of ours (``http_edge``)."""
    return request.scope.get("scheme") in ("https", "wss")


def is_loopback(host: str) -> bool:
    """``localhost``, ``127.0.0.1``, ``::1`` and their like."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _is_local(host: str) -> bool:
    """An address, a name without dots, or one of a network of one's own."""
    try:
        ip_address(host)
    except ValueError:
        return "." not in host or is_loopback(host) or host.endswith(LOCAL_ENDINGS)
    return True


def _split(address: str) -> SplitResult | None:
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018 (raises for a port that is none)
    except ValueError:
        return None
    return parts


def _place(parts: SplitResult) -> tuple[str, int]:
    return (parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme])
