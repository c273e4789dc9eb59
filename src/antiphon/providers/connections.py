"""The HTTP pool's connections: httpcore's pool, with our HTTP/2 (see ``http2``), also through a proxy's tunnel.

A connection that the vendor has closed meanwhile, or that has gone silent, is given no new requests, nor one that has
as many under way as the vendor takes at once: another is opened.
"""

from __future__ import annotations

import ssl
from typing import Any

import httpcore2
from httpcore2 import AsyncConnectionInterface, AsyncHTTPConnection, AsyncNetworkBackend, Origin

from antiphon.providers.http2 import Http2
from antiphon.providers.proxies import Proxies, Tunnels, proxy_at
from antiphon.providers.tcp import LoopSockets, LoopStream

MOST_CONNECTIONS = 256
"""At once. A server of HTTP/1.1 needs one for each request under way: 50 sessions with a reply and two clauses being
voiced are 150; HTTP/2 needs one for all, or for each hundred."""

MOST_STREAMS = 100
"""Requests at once on a connection whose vendor has not said how many it takes: httpcore's limit, and most vendors'."""

KEPT_IDLE_S = 300.0
"""An idle connection is kept so long; most vendors close theirs sooner, and keeping warm keeps them open."""


class Connections(httpcore2.AsyncConnectionPool):
    """The pool."""

    def __init__(self, trust: ssl.SSLContext, sockets: LoopSockets, proxies: Proxies) -> None:
        super().__init__(
            ssl_context=trust,
            max_connections=MOST_CONNECTIONS,
            max_keepalive_connections=MOST_CONNECTIONS,
            keepalive_expiry=KEPT_IDLE_S,
            http2=True,
            network_backend=sockets,
        )
        self._proxies = proxies

    def create_connection(self, origin: Origin) -> AsyncConnectionInterface:
        address = self._proxies.address(origin.scheme.decode(), origin.host.decode(), origin.port)
        if address is None:
            return _Connection(self, origin, self._network_backend)
        if origin.scheme == b"http":
            self._proxy = proxy_at(address)
            return super().create_connection(origin)  # it passes requests on: HTTP/1.1, nothing of ours in it
        return _Connection(self, origin, Tunnels(self._network_backend, proxy_at(address)))

    async def handle_async_request(self, request: httpcore2.Request) -> httpcore2.Response:
        """As the pool chooses, or on the connection that the request's extension ``on`` holds. Raises also
        ConnectionNotAvailable when that one was taken meanwhile."""
        on: AsyncConnectionInterface | None = request.extensions.get("on")
        if on is None:
            return await super().handle_async_request(request)
        try:
            response = await on.handle_async_request(request)
        except BaseException:
            if on not in self._connections:
                await on.aclose()
            raise
        if on not in self._connections:
            self._connections.append(on)
        return response

    def spare(self, origin: Origin) -> AsyncConnectionInterface:
        """A new connection, which opens with its first request, and belongs to the pool once that is answered: before,
        the pool would take it for one that was given up."""
        return self.create_connection(origin)

    def there(self, origin: Origin) -> list[AsyncConnectionInterface]:
        """Open connections to a vendor, without those that it closed or is about to, or that may be dead."""
        return [
            connection
            for connection in self.connections
            if connection.can_handle_request(origin)
            and connection.is_connected()
            and not connection.has_expired()
            and not (isinstance(connection, _Connection) and connection.retired)
        ]

    def doubt(self, origin: Origin, since: float) -> None:
        """A request sent at ``since`` (loop time) has had no answer: HTTP/2 connections that have heard nothing
        from the vendor since then must show that they are alive before they get new requests."""
        for connection in self.connections:
            if isinstance(connection, _Connection) and connection.can_handle_request(origin):
                connection.doubt(since)

    def under_way(self, connection: AsyncConnectionInterface) -> int:
        """Requests given to a connection and not yet read to their end."""
        return sum(request.connection is connection for request in self._requests)

    def streams(self, origin: Origin) -> int:
        """Requests that a connection to there will take at once, judging by those that are open."""
        return min(
            (
                connection.speaks.streams
                for connection in self._connections
                if isinstance(connection, _Connection)
                and isinstance(connection.speaks, Http2)
                and connection.can_handle_request(origin)
            ),
            default=MOST_STREAMS,
        )


class _Connection(AsyncHTTPConnection):
    """One connection, HTTP/1.1 or 2 as the vendor chooses."""

    def __init__(self, pool: Connections, origin: Origin, sockets: AsyncNetworkBackend) -> None:
        super().__init__(
            origin,
            ssl_context=pool._ssl_context,
            keepalive_expiry=KEPT_IDLE_S,
            http2=True,
            network_backend=sockets,
        )
        self._pool = pool

    @property
    def speaks(self) -> AsyncConnectionInterface | None:
        """What does the work; None while it is being opened."""
        return self._connection

    @property
    def retired(self) -> bool:
        return isinstance(self.speaks, Http2) and self.speaks.retired

    def is_available(self) -> bool:
        return super().is_available() and not self._full()

    def _full(self) -> bool:
        if self.speaks is None:
            return self._pool.under_way(self) >= self._pool.streams(self._origin)
        return isinstance(self.speaks, Http2) and self._pool.under_way(self) >= self.speaks.streams

    def doubt(self, since: float) -> None:
        if isinstance(self.speaks, Http2):
            self.speaks.doubt(since)

    async def handle_async_request(self, request: httpcore2.Request) -> httpcore2.Response:
        try:
            async with self._request_lock:
                if self._connection is None:
                    self._connection = self._speaking(await self._connect(request))
        except BaseException:
            self._connect_failed = True
            raise
        return await self._connection.handle_async_request(request)

    def _speaking(self, stream: httpcore2.AsyncNetworkStream) -> AsyncConnectionInterface:
        secured = stream.get_extra_info("ssl_object")
        if secured is not None and secured.selected_alpn_protocol() == "h2":
            assert isinstance(stream, LoopStream)
            return Http2(self._origin, stream, self._keepalive_expiry)
        return httpcore2.AsyncHTTP11Connection(self._origin, stream, self._keepalive_expiry)


def origin_of(url: Any) -> Origin:
    """The origin of an ``httpx2.URL``, as httpcore counts them."""
    return httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path).origin
