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

from antiphon.errors import SettingsError
from antiphon.providers.tcp import Option

log = logging.getLogger(__name__)


class Proxies:
    """``named`` is ``http``, ``https``, ``all`` → a proxy's address; ``no`` → hosts, with commas between them."""

    def __init__(self, named: Mapping[str, str]) -> None:
        self._named = dict(named)
        self._wrong: dict[str, str] = {}
        """Scheme → why what is named for it is no proxy."""
        for scheme in ("http", "https", "all"):
            try:
                self._named[scheme] = proxy_address(self._named.get(scheme, ""))
            except ValueError as error:
                self._wrong[scheme] = str(error)

    def address(self, scheme: str, host: str, port: int) -> str | None:
        """Of the proxy to go through; None: there is none. Raises SettingsError when it is named wrongly."""
        if _on_this_machine(host) or self._spared(host, port):
            return None
        for named in (scheme, "all"):
            if named in self._wrong:
                raise SettingsError(
                    f"{named.upper()}_PROXY is not the address of a proxy: {self._wrong[named]}. Write it as "
                    "http://proxy.example:3128, or http://user:password@proxy.example:3128 with %2F, %3F, %23 and %40 "
                    "for /, ?, # and @ in the password."
                )
            if self._named[named]:
                return self._named[named]
        return None

    def _spared(self, host: str, port: int) -> bool:
        for name in self._named.get("no", "").lower().split(","):
            domain = name.strip().removeprefix("*").removeprefix(".")
            if name.strip() == "*" or any(
                domain and (f".{place}").endswith(f".{domain}") for place in (host, f"{host}:{port}")
            ):
                return True
        return False

    def address_for(self, url: str) -> str | None:
        """The same for a whole address, a WebSocket's too. Raises ValueError when that is none."""
        parts = urlsplit(url)
        scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
        return self.address(scheme, parts.hostname or "", parts.port or (443 if scheme == "https" else 80))


@functools.cache
def of_environment() -> Proxies:
    """Read once: what is set later is not seen."""
    return Proxies(urllib.request.getproxies())


def proxy_address(given: str) -> str:
    """``proxy:3128`` → ``http://proxy:3128``, without a path; empty when it is not used. ValueError says what is wrong,
    and repeats nothing of it: there may be a password in it."""
    if not given:
        return ""
    address = given if "://" in given else f"http://{given}"
    scheme = address.partition("://")[0].lower()
    if scheme not in ("http", "https"):
        log.warning("a proxy that speaks %s is not used", scheme)
        return ""
    try:
        parts = urlsplit(address)
    except ValueError:
        raise ValueError(_NO_HOST) from None
    user, at, place = parts.netloc.rpartition("@")
    if not parts.hostname:
        raise ValueError("there is no host in it")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("its port is not a number from 0 to 65535") from None
    if " " in place:
        raise ValueError(_NO_HOST)
    try:
        httpx2.URL(f"{scheme}://{place}").raw_host.decode("ascii").encode("idna")
    except (httpx2.InvalidURL, UnicodeError):
        raise ValueError(_NO_HOST) from None
    password = "" if ":" in user or not at else ":"
    return f"{scheme}://{user}{password}{at}{place}"


_NO_HOST = "no host can be called that"


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
