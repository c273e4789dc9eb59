"""Proxies that the environment names, as curl and most programs read it: ``HTTPS_PROXY`` for ``https``,
``HTTP_PROXY`` for ``http``, ``ALL_PROXY`` for both, and ``NO_PROXY`` for hosts that are reached without one. Nothing
on this machine is reached through a proxy.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import logging
import urllib.request
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

import httpcore2
import httpx2
from httpcore2 import AsyncNetworkBackend, AsyncNetworkStream, ConnectTimeout, ProxyError

from antiphon.providers.tcp import Option

log = logging.getLogger(__name__)


class Proxies:
    """``named`` is ``http``, ``https``, ``all`` → a proxy's address; ``no`` → hosts, with commas between them."""

    def __init__(self, named: Mapping[str, str]) -> None:
        self._named = dict(named)
        for scheme in ("http", "https", "all"):
            address = self._named.get(scheme, "")
            if "://" not in address:
                address = address and f"http://{address}"
            if address and urlsplit(address).scheme not in ("http", "https"):
                log.warning("a proxy that speaks %s is not used", urlsplit(address).scheme)
                address = ""
            self._named[scheme] = address

    def address(self, scheme: str, host: str, port: int) -> str | None:
        """Of the proxy to go through; None: there is none."""
        if _on_this_machine(host) or self._spared(host, port):
            return None
        return self._named[scheme] or self._named["all"] or None

    def _spared(self, host: str, port: int) -> bool:
        for name in self._named.get("no", "").lower().split(","):
            domain = name.strip().removeprefix("*").removeprefix(".")
            if name.strip() == "*" or any(
                domain and (f".{place}").endswith(f".{domain}") for place in (host, f"{host}:{port}")
            ):
                return True
        return False

    def address_for(self, url: str) -> str | None:
        """The same for a whole address, a WebSocket's too. Raises ValueError when it is none."""
        parts = urlsplit(url)
        scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
        return self.address(scheme, parts.hostname or "", parts.port or (443 if scheme == "https" else 80))


@functools.cache
def of_environment() -> Proxies:
    """Read once: what is set later is not seen."""
    return Proxies(urllib.request.getproxies())


def _on_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def proxy_at(address: str) -> httpcore2.Proxy:
    """As httpcore has them; a name and a password may stand in the address."""
    told = httpx2.Proxy(address)
    url = httpcore2.URL(
        scheme=told.url.raw_scheme, host=told.url.raw_host, port=told.url.port, target=told.url.raw_path
    )
    return httpcore2.Proxy(url, auth=told.raw_auth)


class Tunnels(AsyncNetworkBackend):
    """Opens connections through a proxy, which passes bytes on and sees none of them."""

    def __init__(self, sockets: AsyncNetworkBackend, proxy: httpcore2.Proxy) -> None:
        self._sockets = sockets
        self._proxy = proxy

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Option] | None = None,
    ) -> AsyncNetworkStream:
        """Raises ConnectError, ConnectTimeout, ProxyError."""
        proxy = self._proxy.url
        target = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}").encode()
        asked = httpcore2.Request(
            "CONNECT",
            httpcore2.URL(scheme=proxy.scheme, host=proxy.host, port=proxy.port, target=target),
            headers=[(b"Host", target), (b"Accept", b"*/*"), *self._proxy.headers],
        )
        connection = httpcore2.AsyncHTTPConnection(proxy.origin, network_backend=self._sockets)
        try:
            async with asyncio.timeout(timeout):
                answer = await connection.handle_async_request(asked)
            if not 200 <= answer.status < 300:
                raise ProxyError(f"it answered {answer.status}")
        except BaseException as error:
            await connection.aclose()
            if isinstance(error, TimeoutError):
                raise ConnectTimeout(str(error)) from error
            raise
        stream: AsyncNetworkStream = answer.extensions["network_stream"]
        return stream

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Option] | None = None
    ) -> AsyncNetworkStream:
        return await self._sockets.connect_unix_socket(path, timeout, socket_options)

    async def sleep(self, seconds: float) -> None:
        await self._sockets.sleep(seconds)
