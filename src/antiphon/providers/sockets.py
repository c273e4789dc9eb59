"""WebSockets to vendors: opened before they are needed, used for many turns, and honest about why they ended.

A ``Line`` is one socket. What is sent waits in a bounded queue, so that sending never waits and can be done while
being cancelled; what arrives is handed to a function. ``Lines`` holds the tasks of all sockets of one adapter.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI, ProxyError
from websockets.frames import CloseCode
from websockets.protocol import State

from antiphon.errors import ProviderError
from antiphon.providers.proxies import of_environment
from antiphon.providers.vendor_errors import (
    Names,
    cut,
    malformed,
    not_an_api,
    refused,
    rejected,
    too_slow,
    unavailable,
)

DIAL_TIMEOUT_S = 5.0
"""TCP, TLS and the handshake: a healthy vendor takes 0.1 to 0.5 s."""
PING_EVERY_S = 20.0
"""A peer that does not answer for as long again is taken to be gone; proxies drop what is silent for a minute."""
CLOSE_TIMEOUT_S = 0.5
"""How long a good-bye may take; nothing depends on it."""
LARGEST_MESSAGE = 4 * 1024 * 1024
"""Bytes: a minute of sound in base64. Vendors send a second or less at a time."""
OUTGOING = 1_024
"""Messages waiting to be sent: 20 s of 20 ms frames. A peer that has taken nothing for so long is stalled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a socket leads. Keys are in ``headers``, never in ``url``."""

    names: Names
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ended: Callable[[int, str], ProviderError]
    """Close code (1006 when there was no good-bye) and reason → what is wrong."""


class _Dialling(connect):
    """Follows no redirect: the key would go along."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def dial(address: Address, *, timeout_s: float = DIAL_TIMEOUT_S) -> ClientConnection:
    """Open a socket. Raises ProviderError; safe to cancel."""
    names = address.names
    try:
        return await _Dialling(
            address.url,
            proxy=of_environment().address_for(address.url),
            additional_headers=address.headers,
            open_timeout=timeout_s,
            ping_interval=PING_EVERY_S,
            ping_timeout=PING_EVERY_S,
            close_timeout=CLOSE_TIMEOUT_S,
            max_size=LARGEST_MESSAGE,
            compression=None,  # sound does not get smaller, only later
            user_agent_header="antiphon",
        )
    except InvalidStatus as refusal:
        response = refusal.response
        if response.status_code < 300:
            raise not_an_api(names, f"does not speak WebSocket there ({response.status_code})") from None
        headers = {name.lower(): value for name, value in response.headers.raw_items()}
        raise refused(names, response.status_code, headers, response.body or b"") from None
    except ProxyError:
        raise unavailable(
            names, "unreachable", "cannot be reached through the proxy that HTTPS_PROXY names"
        ) from None
    except InvalidHandshake as error:
        # Nothing came, or half an answer: whoever hangs up there may speak WebSocket the next time.
        if isinstance(error.__cause__, EOFError):
            raise cut(names, "hung up before it had answered") from None
        raise not_an_api(names, "does not speak WebSocket there") from None
    except TimeoutError:
        raise too_slow(names, f"did not open a connection within {timeout_s:g} s") from None
    except (OSError, EOFError, UnicodeError) as error:  # the last: no DNS name, a label is empty or too long
        raise _unreachable(names, error) from None
    except (InvalidURI, ValueError):
        raise not_an_api(names, "has no address that can be used") from None


def _unreachable(names: Names, error: Exception) -> ProviderError:
    if isinstance(error, ssl.SSLError):
        why = getattr(error, "verify_message", "") or "the handshake failed"
        return rejected(
            names, "tls", f"cannot be trusted or does not speak TLS ({why}); check {names.url_setting}"
        )
    return unavailable(names, "unreachable", f"cannot be reached; check {names.url_setting} and the network")


class Line:
    """One socket. ``post`` and ``hang_up`` never wait."""

    def __init__(self, connection: ClientConnection, address: Address) -> None:
        self.address = address
        self.opened_s = asyncio.get_running_loop().time()
        self.heard_s = self.opened_s
        """When the peer last said something, loop time."""
        self._connection = connection
        self._outgoing: asyncio.Queue[str | bytes | None] = asyncio.Queue(OUTGOING)
        self._error: ProviderError | None = None

    @property
    def alive(self) -> bool:
        """Whether it can still be used."""
        return self._error is None and self._connection.state is State.OPEN

    def post(self, message: str | bytes | Mapping[str, object]) -> None:
        """Send soon, in order; a mapping goes as JSON. Raises ProviderError when the line has ended or the peer takes
        nothing any more; a line that is just ending tells why to ``lost``."""
        if self._error is not None:
            raise self._error
        payload = message if isinstance(message, str | bytes) else json.dumps(message, ensure_ascii=False)
        try:
            self._outgoing.put_nowait(payload)
        except asyncio.QueueFull:
            error = too_slow(self.address.names, "has stopped taking what is sent")
            self._fail(error)
            raise error from None

    def hang_up(self, error: ProviderError | None = None) -> None:
        """End it; ``error`` is what those who use it are told."""
        self._fail(error or self._ended())

    async def carry(self, received: Callable[[str | bytes], None]) -> ProviderError:
        """Carry messages both ways until the socket ends, and say why it did. ``received`` may raise ProviderError,
        which ends the line. Cancelling closes the socket."""
        try:
            async with asyncio.TaskGroup() as group:
                writing = group.create_task(self._write())
                await self._read(received)
                writing.cancel()
        finally:
            self._error = self._error or self._ended()
            await self._connection.close()
        return self._error

    async def _read(self, received: Callable[[str | bytes], None]) -> None:
        try:
            while self._error is None:
                message = await self._connection.recv()
                self.heard_s = asyncio.get_running_loop().time()
                received(message)
        except ConnectionClosed as gone:  # ``carry`` tells why, unless it was us
            if (
                gone.sent is not None
                and gone.sent.code == CloseCode.MESSAGE_TOO_BIG
                and not gone.rcvd_then_sent
            ):
                self._error = self._error or malformed(
                    self.address.names, f"a message of more than {LARGEST_MESSAGE} bytes"
                )
        except ProviderError as error:
            self._error = self._error or error

    async def _write(self) -> None:
        try:
            while (message := await self._outgoing.get()) is not None:
                await self._connection.send(message)
        except ConnectionClosed:
            return  # the reader sees it too
        await self._connection.close()

    def _fail(self, error: ProviderError) -> None:
        self._error = self._error or error
        while self._outgoing.full():
            self._outgoing.get_nowait()
        self._outgoing.put_nowait(None)

    def _ended(self) -> ProviderError:
        code = self._connection.close_code
        return self.address.ended(
            CloseCode.ABNORMAL_CLOSURE if code is None else code, self._connection.close_reason or ""
        )


class Lines:
    """All sockets of one adapter. Use ``open_lines``."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._tasks: set[asyncio.Task[None]] = set()
        self.dialled = 0
        """Sockets opened so far."""

    async def open(self, address: Address, *, connect_s: float = DIAL_TIMEOUT_S) -> Line:
        """A new line; ``serve`` brings it to life. Raises ProviderError."""
        connection = await dial(address, timeout_s=connect_s)
        self.dialled += 1
        return Line(connection, address)

    def serve(
        self, line: Line, received: Callable[[str | bytes], None], lost: Callable[[ProviderError], None]
    ) -> None:
        """Carry the line's messages in the background; ``lost`` is told once, when it has ended."""

        async def carried() -> None:
            lost(await line.carry(received))

        self.spawn(carried())

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Run a coroutine in the background until the adapter is closed; it must not raise. It does not inherit the
        caller's context: a line outlives the session that opened it."""
        task = self._group.create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """End all lines."""
        for task in list(self._tasks):
            task.cancel()


@asynccontextmanager
async def open_lines(url: str) -> AsyncIterator[Lines]:
    """The place where sockets to ``url`` and below live; leaving it closes them all. Raises SettingsError when they are
    to go through a proxy that is named wrongly."""
    of_environment().address_for(url)
    group = asyncio.TaskGroup()
    await group.__aenter__()
    lines = Lines(group)
    try:
        yield lines  # an error in there passes as it is, not inside an exception group
    finally:
        lines.close()
        await group.__aexit__(None, None, None)


def socket_url(base_url: str) -> str:
    """``https://host/v1/`` → ``wss://host/v1``."""
    scheme, _, rest = base_url.partition("://")
    scheme = {"https": "wss", "http": "ws"}.get(scheme.lower(), scheme)
    return f"{scheme}://{rest.rstrip('/')}"
