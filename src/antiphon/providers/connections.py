"""The HTTP pool's connections: httpcore's, made fit for replies that are cancelled.

httpcore leaves an HTTP/2 stream that nobody reads any more to itself: the vendor goes on writing, and billing, and
what it sends fills the connection's window until nothing flows for anyone. Here a stream that is left early is
reset. A connection the vendor has closed meanwhile, or that has gone silent, is given no new requests.
"""

from __future__ import annotations

import asyncio
import ssl
import urllib.request
from typing import Any

import h2.errors
import h2.events
import httpcore2
from httpcore2 import AsyncConnectionInterface, AsyncHTTP2Connection, AsyncHTTPConnection, Origin

from antiphon.providers.tcp import LoopSockets, LoopStream

MOST_CONNECTIONS = 256
"""At once. A server of HTTP/1.1 needs one for each request under way: 50 sessions with a reply and two clauses being
voiced are 150; HTTP/2 needs one for all."""

KEPT_IDLE_S = 300.0
"""An idle connection is kept so long; most vendors close theirs sooner, and keeping warm keeps them open."""


class Connections(httpcore2.AsyncConnectionPool):
    """The pool. A proxy of the environment (``HTTPS_PROXY``, ``NO_PROXY``) is used for what it is meant for."""

    def __init__(self, trust: ssl.SSLContext, sockets: LoopSockets) -> None:
        proxy = urllib.request.getproxies().get("https")
        super().__init__(
            ssl_context=trust,
            proxy=httpcore2.Proxy(proxy) if proxy else None,
            max_connections=MOST_CONNECTIONS,
            max_keepalive_connections=MOST_CONNECTIONS,
            keepalive_expiry=KEPT_IDLE_S,
            http2=True,
            network_backend=sockets,
        )

    def create_connection(self, origin: Origin) -> AsyncConnectionInterface:
        if self._proxy is not None and not urllib.request.proxy_bypass(origin.host.decode()):
            return super().create_connection(origin)
        return _Connection(
            origin,
            ssl_context=self._ssl_context,
            keepalive_expiry=self._keepalive_expiry,
            http2=True,
            network_backend=self._network_backend,
        )

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
        """Open connections to a vendor, without those that it closed."""
        return [
            connection
            for connection in self.connections
            if connection.can_handle_request(origin)
            and connection.is_connected()
            and not connection.has_expired()
        ]

    def doubt(self, origin: Origin, since: float) -> None:
        """A request sent at ``since`` (loop time) has had no answer: HTTP/2 connections that have heard nothing
        from the vendor since then are dead, and get no new requests."""
        for connection in self.connections:
            if isinstance(connection, _Connection) and connection.can_handle_request(origin):
                connection.doubt(since)


class _Connection(AsyncHTTPConnection):
    """One connection, HTTP/1.1 or 2 as the vendor chooses."""

    async def handle_async_request(self, request: httpcore2.Request) -> httpcore2.Response:
        try:
            async with self._request_lock:
                if self._connection is None:
                    stream = await self._connect(request)
                    self._connection = self._speaking(stream)
        except BaseException:
            self._connect_failed = True
            raise
        return await self._connection.handle_async_request(request)

    def _speaking(self, stream: httpcore2.AsyncNetworkStream) -> AsyncConnectionInterface:
        secured = stream.get_extra_info("ssl_object")
        if secured is not None and secured.selected_alpn_protocol() == "h2":
            return _Http2(self._origin, stream, self._keepalive_expiry)
        return httpcore2.AsyncHTTP11Connection(self._origin, stream, self._keepalive_expiry)

    def doubt(self, since: float) -> None:
        if isinstance(self._connection, _Http2):
            self._connection.doubt(since)


class _Http2(AsyncHTTP2Connection):
    """Resets what is left early, and knows when it is dead."""

    def __init__(
        self, origin: Origin, stream: httpcore2.AsyncNetworkStream, keepalive_expiry: float | None
    ) -> None:
        super().__init__(origin, stream, keepalive_expiry)
        self._heard_at = 0.0

    def doubt(self, since: float) -> None:
        if self._heard_at < since:
            self._connection_error = True

    def is_available(self) -> bool:
        return super().is_available() and not self._gone()

    def has_expired(self) -> bool:
        return super().has_expired() or (self.is_idle() and (self._gone() or self._connection_error))

    def _gone(self) -> bool:
        return isinstance(self._network_stream, LoopStream) and self._network_stream.ended

    async def _read_incoming_data(self, request: httpcore2.Request) -> list[h2.events.Event]:
        events = await super()._read_incoming_data(request)
        self._heard_at = asyncio.get_running_loop().time()
        return events

    async def _response_closed(self, stream_id: int) -> None:
        """The one place through which every stream ends, however it ended."""
        await self._reset(stream_id)
        await super()._response_closed(stream_id)

    async def _reset(self, stream_id: int) -> None:
        stream = self._h2_state.streams.get(stream_id)
        if stream is None or stream.closed or self._gone():
            return
        for event in self._events.get(stream_id, ()):
            if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                self._h2_state.acknowledge_received_data(event.flow_controlled_length, stream_id)
        self._h2_state.reset_stream(stream_id, error_code=h2.errors.ErrorCodes.CANCEL)
        # LoopStream writes before it waits: frames stay in order without the write lock.
        await self._network_stream.write(self._h2_state.data_to_send())


def origin_of(url: Any) -> Origin:
    """The origin of an ``httpx2.URL``, as httpcore counts them."""
    return httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path).origin
