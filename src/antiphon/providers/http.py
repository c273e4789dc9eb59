"""One pool of HTTP connections for every vendor: HTTP/2 where they speak it, opened before the first turn, kept
warm, and with patience measured per vendor.

    async with HttpPool() as pool:
        vendor = pool.vendor(names, base_url="https://api.openai.com/v1", headers={"Authorization": f"Bearer {key}"})
        await vendor.warm()
        async with vendor.ask("POST", "/chat/completions", json={...}) as answer:
            async for event in answer.events():
                ...

``ask`` raises only ``errors.ProviderError`` (see ``vendor_errors``). Leaving it early is safe and is the way to
cancel: on HTTP/2 the stream is reset and the connection stays; on HTTP/1.1 the connection is closed and a new one is
opened in the background. Nothing is retried here.

Patience is kept with our own timers, not httpx's: those would break an HTTP/2 connection for all when one answer is
late.
"""

from __future__ import annotations

import asyncio
import contextlib
import json as jsonlib
import ssl
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx2
from h2.exceptions import H2Error
from httpcore2 import AsyncConnectionInterface, ConnectionNotAvailable

from antiphon.errors import ProviderError
from antiphon.providers import vendor_errors
from antiphon.providers.connections import Connections, origin_of
from antiphon.providers.proxies import Proxies, of_environment
from antiphon.providers.server_sent import EventDecoder, ServerSent
from antiphon.providers.tcp import LoopSockets
from antiphon.providers.vendor_errors import Names
from antiphon.providers.vendor_json import read_json
from antiphon.providers.warmth import Warmth

ERROR_BYTES = 64 * 1024
"""Of an error's body: more is no message."""

WHOLE_BYTES = 8 * 1024 * 1024
"""Largest answer taken in one piece."""

DOUBT_AFTER_S = 1.0
"""Of waiting. A chain gives up on a request after 1.1 to 1.3 s; by then a connection that is dead should be known."""

BROKEN = (httpx2.HTTPError, OSError, ConnectionNotAvailable, H2Error)
"""What may go wrong on the way. httpx maps httpcore's errors, but not those of h2, nor that a connection which was
chosen takes no requests any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a vendor may take."""

    connect_s: float = 5.0
    """To open a connection, TLS included."""
    first_byte_s: float = 10.0
    """From the request to the first byte of the answer's body."""
    gap_s: float = 6.0
    """Between two pieces of the body: connected but silent."""


class HttpPool:
    """The pool; open it with ``async with``. One serves the whole process. ``trust`` is for tests with certificates
    of their own, ``proxies`` for those with proxies that the environment does not name."""

    def __init__(self, *, trust: ssl.SSLContext | None = None, proxies: Proxies | None = None) -> None:
        self._sockets = LoopSockets()
        self._proxies = proxies or of_environment()
        self._connections = Connections(trust or ssl.create_default_context(), self._sockets, self._proxies)
        self._client = httpx2.AsyncClient(transport=_Transport(self._connections), trust_env=False)
        self._warmths: dict[str, Warmth] = {}
        self._tasks = asyncio.TaskGroup()
        self._keeping: dict[str, asyncio.Task[None]] = {}
        self._warming: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def opened(self) -> int:
        """TCP connections opened since the start."""
        return self._sockets.opened.total()

    def opened_to(self, address: str) -> int:
        """TCP connections opened to ``host:port`` since the start."""
        return self._sockets.opened[address]

    def vendor(
        self,
        names: Names,
        *,
        base_url: str,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        patience: Patience | None = None,
        warm_path: str = "/models",
    ) -> Vendor:
        """A vendor's API at ``base_url``; ``headers`` (the key) and ``params`` go with every request. ``warm_path`` is
        asked (HEAD) to open and keep connections; any answer will do. Raises SettingsError when it is to be reached
        through a proxy that is named wrongly."""
        self._proxies.address_for(base_url)
        vendor = Vendor(
            self,
            names,
            httpx2.URL(base_url.rstrip("/")),
            headers or {},
            params or {},
            patience or Patience(),
            warm_path,
        )
        if vendor.address not in self._warmths:
            self._warmths[vendor.address] = Warmth(
                open=vendor.open,
                use=vendor.use_idle,
                there=lambda: len(self._connections.there(vendor.origin)),
            )
        return vendor

    async def warm(self, vendor: Vendor) -> None:
        """Open the connections a turn needs, and keep them from now on. Raises ProviderError when the vendor cannot be
        reached; a vendor that could is not asked again."""
        warmth = self._warmths[vendor.address]
        # A recogniser, a language model and a voice of one vendor are warmed at once: the first does it for all.
        async with self._warming[vendor.address]:
            kept = vendor.address in self._keeping
            if kept and warmth.http_version:
                return
            try:
                await warmth.warm(vendor.open)
            finally:
                if not kept:  # also when it is away: it may be back before it is needed
                    self._keeping[vendor.address] = self._tasks.create_task(warmth.keep())

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._keeping.values():
            task.cancel()
        # The body's own error passes as it is: the group's tasks raise none.
        await self._tasks.__aexit__(None, None, None)
        await self._client.aclose()


class Vendor:
    """One vendor's API, through the pool."""

    def __init__(
        self,
        pool: HttpPool,
        names: Names,
        base_url: httpx2.URL,
        headers: Mapping[str, str],
        params: Mapping[str, str],
        patience: Patience,
        warm_path: str,
    ) -> None:
        self.names = names
        self.patience = patience
        port = base_url.port or (443 if base_url.scheme == "https" else 80)
        self.address = f"{base_url.host}:{port}"
        """``host:port``"""
        self._pool = pool
        self._base = str(base_url)
        self.origin = origin_of(base_url)
        self._headers = {"User-Agent": "antiphon", **headers}
        self._params = dict(params)
        self._warm_path = warm_path

    async def warm(self) -> None:
        """See ``HttpPool.warm``."""
        await self._pool.warm(self)

    @asynccontextmanager
    async def ask(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        data: Mapping[str, Any] | None = None,
        files: Mapping[str, tuple[str, bytes, str]] | None = None,
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        patience: Patience | None = None,
    ) -> AsyncIterator[Answer]:
        """Send a request; gives the answer when its status is below 300, its body still on the way. Raises
        ProviderError. Safe to cancel."""
        if json is not None:
            content = jsonlib.dumps(json, ensure_ascii=False, separators=(",", ":")).encode()
            headers = {"Content-Type": "application/json", **(headers or {})}
        wanted = patience or self.patience
        request = self._pool._client.build_request(
            method,
            self._base + path,
            params={**self._params, **(params or {})} or None,
            headers={**self._headers, **(headers or {})},
            content=content,
            data=dict(data) if data is not None else None,
            files=files,
            timeout=httpx2.Timeout(None, connect=wanted.connect_s, pool=wanted.connect_s),
        )
        if files is not None:
            await request.aread()  # a form in one write, not one for each part of each field
        answer = await self._send(request, wanted)
        try:
            if answer.status >= 300:
                body = await answer.beginning(ERROR_BYTES)
                raise vendor_errors.refused(self.names, answer.status, answer.headers, body)
            yield answer
        finally:
            await answer.aclose()
        self._pool._warmths[self.address].used()

    async def open(self) -> str:
        """One connection more; gives the HTTP version. Raises ProviderError."""
        return await self._knock(self._pool._connections.spare(self.origin))

    async def _knock(self, connection: AsyncConnectionInterface) -> str:
        """Any answer from there, over this connection; gives the HTTP version. Raises ProviderError."""
        timeout = httpx2.Timeout(None, connect=self.patience.connect_s, pool=self.patience.connect_s)
        request = self._pool._client.build_request(
            "HEAD",
            self._base + self._warm_path,
            params=self._params or None,
            headers=self._headers,
            timeout=timeout,
            extensions={"on": connection},
        )
        answer = await self._send(request, self.patience)
        try:
            await answer.beginning(ERROR_BYTES)
            return answer.http_version
        finally:
            await answer.aclose()

    async def use_idle(self) -> None:
        """Use every idle connection, one after the other, so that the vendor does not close it."""
        for connection in self._pool._connections.there(self.origin):
            # One that a turn takes meanwhile, or that breaks, needs it no more.
            with contextlib.suppress(ProviderError):
                if connection.is_idle():
                    await self._knock(connection)

    async def _send(self, request: httpx2.Request, patience: Patience) -> Answer:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            with self.watched(began):
                async with asyncio.timeout_at(began + patience.first_byte_s):
                    response = await self._pool._client.send(request, stream=True)
        except TimeoutError:
            self.gave_up(began)
            raise vendor_errors.too_slow(
                self.names, f"did not answer within {patience.first_byte_s:g} s"
            ) from None
        except BROKEN as error:
            raise vendor_errors.broken(self.names, error, self.address) from error
        except asyncio.CancelledError:
            self._pool._warmths[self.address].lost()
            raise
        return Answer(self, response, patience, began)

    @contextlib.contextmanager
    def watched(self, since: float) -> Iterator[None]:
        """While waiting for what was asked at ``since`` (loop time): if nothing at all comes for a while, whoever asks
        next, instead of this one or beside it, should not be put on a connection that is dead."""
        doubt = self._pool._connections.doubt
        timer = asyncio.get_running_loop().call_at(since + DOUBT_AFTER_S, doubt, self.origin, since)
        try:
            yield
        finally:
            timer.cancel()

    def gave_up(self, since: float) -> None:
        """No answer to what was sent at ``since`` (loop time): distrust the connection."""
        self._pool._connections.doubt(self.origin, since)
        self.left_early()

    def left_early(self) -> None:
        """An answer was not read to its end."""
        self._pool._warmths[self.address].lost()


class Answer:
    """An answer under way. Every method raises ProviderError, and may be cancelled."""

    def __init__(self, vendor: Vendor, response: httpx2.Response, patience: Patience, began: float) -> None:
        self._vendor = vendor
        self._response = response
        self._patience = patience
        self._began = began
        self._complete = False

    @property
    def status(self) -> int:
        return self._response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case."""
        return self._response.headers

    @property
    def http_version(self) -> str:
        return self._response.http_version

    @property
    def content_type(self) -> str:
        """Without its parameters, in lower case; empty when there is none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes, never an empty piece."""
        loop = asyncio.get_running_loop()
        deadline = self._began + self._patience.first_byte_s
        names = self._vendor.names
        since = self._began
        async with aclosing(self._body()) as body:
            while True:
                try:
                    with self._vendor.watched(since):
                        async with asyncio.timeout_at(max(deadline, loop.time())):
                            piece = await anext(body, None)
                except TimeoutError:
                    self._vendor.gave_up(since)
                    raise vendor_errors.too_slow(
                        names, f"fell silent for {loop.time() - since:.1f} s in the middle of its answer"
                    ) from None
                except BROKEN as error:
                    raise vendor_errors.broken(names, error, self._vendor.address) from error
                if piece is None:
                    self._complete = True
                    return
                if piece:
                    yield piece
                    since = loop.time()
                    deadline = since + self._patience.gap_s

    def _body(self) -> AsyncGenerator[bytes, None]:
        body: Any = self._response.aiter_bytes()
        return body  # type: ignore[no-any-return]  # an async generator, declared as an iterator

    async def events(self) -> AsyncGenerator[ServerSent, None]:
        """The body as server-sent events."""
        decoder = EventDecoder()
        self.refuse_page()
        try:
            async with aclosing(self.pieces()) as pieces:
                async for piece in pieces:
                    for event in decoder.push(piece):
                        yield event
            for event in decoder.end():
                yield event
        except ValueError as error:
            raise vendor_errors.malformed(self._vendor.names, _reason(error)) from None

    async def whole(self, most: int = WHOLE_BYTES) -> bytes:
        """All of the body."""
        self.refuse_page()
        body = await self.beginning(most + 1)
        if len(body) > most:
            raise vendor_errors.malformed(self._vendor.names, f"an answer of more than {most} bytes")
        return body

    async def json(self) -> dict[str, Any]:
        """All of the body, a JSON object."""
        body = await self.whole()
        try:
            parsed = read_json(body)
        except ValueError as error:
            if vendor_errors.looks_like_a_page({}, body):
                raise self._page() from None
            raise vendor_errors.malformed(self._vendor.names, _reason(error)) from None
        if not isinstance(parsed, dict):
            raise vendor_errors.malformed(self._vendor.names, "JSON that is not an object")
        return parsed

    async def beginning(self, most: int) -> bytes:
        """The body up to ``most`` bytes."""
        body = bytearray()
        async with aclosing(self.pieces()) as pieces:
            async for piece in pieces:
                body += piece
                if len(body) >= most:
                    break
        return bytes(body[:most])

    def refuse_page(self) -> None:
        """HTML where an API should be is a wrong base URL."""
        if self.content_type == "text/html":
            raise self._page()

    def _page(self) -> ProviderError:
        return vendor_errors.not_an_api(
            self._vendor.names, f"answers with a web page ({self.status}), not as an API does"
        )

    async def aclose(self) -> None:
        """Let go of it; on HTTP/2 the vendor is told to stop."""
        if not self._complete:
            self._vendor.left_early()
        await self._response.aclose()


class _Transport(httpx2.AsyncHTTPTransport):
    """httpx's own, over our connections."""

    def __init__(self, connections: Connections) -> None:
        self._pool = connections


def _reason(error: ValueError) -> str:
    """Without what was sent: JSON errors give a position only, Unicode ones would repeat the bytes."""
    return "no UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
