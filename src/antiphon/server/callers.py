"""Where a request comes from. A proxy's word is taken only when the proxy is one of ours; what anybody else writes into
``X-Forwarded-For`` is a claim, and is not believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from starlette.types import Scope

Network = IPv4Network | IPv6Network

MOST_HOPS = 20
"""Proxies that are looked through; a longer list is somebody's joke."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a request comes from, as far as it can be believed."""

    address: str
    """Of the caller, proxies of ours taken off; empty when the socket has none."""
    secure: bool
    """Whether it came over TLS, to us or to a proxy of ours."""
    forged: bool = False
    """Whether somebody who is no proxy of ours claimed to speak for another address."""
    proxied: bool = False
    """Whether it came through a proxy of ours, whose other headers can be believed too."""


def place(
    peer: str, *, forwarded_for: Sequence[str], forwarded_proto: str, secure: bool, trusted: Sequence[Network]
) -> Place:
    """Read from right to left: each of our proxies appends who spoke to it, so the first address from the right that is
    not ours is the caller, and everything further left was written by the caller itself.

    ``forwarded_for`` are the values of all ``X-Forwarded-For`` headers, in order; ``secure`` is about the socket.
    """
    claims = [part.strip() for value in forwarded_for for part in value.split(",") if part.strip()]
    if not _is_ours(peer, trusted):
        return Place(address=_plain(peer), secure=secure, forged=bool(claims))
    caller = peer
    for claim in reversed(claims[-MOST_HOPS:]):
        address = _without_port(claim)
        if _parse(address) is None:
            break  # "unknown", or rubbish from beyond our last proxy
        caller = address
        if not _is_ours(address, trusted):
            break
    scheme = forwarded_proto.rpartition(",")[2].strip().lower()
    return Place(
        address=_plain(caller), secure=scheme in ("https", "wss") if scheme else secure, proxied=True
    )


def place_of(scope: Scope, trusted: Sequence[Network]) -> Place:
    """Of an ASGI connection."""
    headers: dict[bytes, list[str]] = {b"x-forwarded-for": [], b"x-forwarded-proto": []}
    for name, value in scope["headers"]:
        if name in headers:
            headers[name].append(value.decode("latin-1"))
    client = scope.get("client")
    return place(
        client[0] if client else "",
        forwarded_for=headers[b"x-forwarded-for"],
        forwarded_proto=",".join(headers[b"x-forwarded-proto"]),
        secure=scope.get("scheme") in ("https", "wss"),
        trusted=trusted,
    )


def _is_ours(address: str, trusted: Sequence[Network]) -> bool:
    parsed = _parse(address)
    return parsed is not None and any(parsed in network for network in trusted)


def _parse(address: str) -> IPv4Address | IPv6Address | None:
    """IPv4 written as IPv6 is IPv4: a socket that listens on both gives it so."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, IPv6Address) else parsed


def _plain(address: str) -> str:
    parsed = _parse(address)
    return address if parsed is None else str(parsed)


def _without_port(claim: str) -> str:
    """``192.0.2.1:4711``, ``[2001:db8::1]:4711`` and ``[2001:db8::1]`` as some proxies write them."""
    if claim.startswith("["):
        return claim[1:].partition("]")[0]
    head, separator, port = claim.rpartition(":")
    return head if separator and port.isdigit() and ":" not in head else claim
