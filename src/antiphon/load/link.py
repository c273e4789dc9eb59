"""One WebSocket of a caller: everything sent at once and never waited for, so that a single timer can serve
many callers, and so that a caller can behave badly on purpose (stop reading, or vanish)."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import WebSocketURI, parse_uri

from antiphon.errors import AntiphonError, SettingsError
from antiphon.protocol import SUBPROTOCOL

MAX_MESSAGE = 4 * 1024 * 1024
"""Bytes of a message from the server: a long reply's text is thousands, its sound comes in pieces."""

CONNECT_S = 10.0
"""How long a connection may take: more than a page would wait, less than a test's patience."""

PILE_MOST = 64_000
"""Bytes waiting to leave beyond which more sound is dropped, as the page does: two seconds."""

VANISHED = 1006
"""What a connection that broke without a word is said to have closed with."""


class NotConnected(AntiphonError):
    """No conversation came of it: nobody there, or the handshake was refused."""

    code = "not_connected"
    retryable = True

    def __init__(self, message: str, *, status: int = 0, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        """Of HTTP, 0 when there was no answer."""
        self.retry_after_s = retry_after_s


class Hearer(Protocol):
    """Who is told what comes."""

    def message(self, message: Mapping[str, Any]) -> None:
        """A JSON message."""

    def sound(self, pcm: bytes) -> None:
        """A binary message."""

    def lost(self, code: int, reason: str) -> None:
        """The connection is over: its close code, ``VANISHED`` without one. Told once, and last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the server is, and how it is reached."""

    uri: WebSocketURI
    tls: ssl.SSLContext | None = None
    origin: str = ""
    local_address: str = ""
    """Address of this machine to call from; empty: any."""

    @property
    def http(self) -> str:
        """The server's HTTP address, without a path."""
        host = f"[{self.uri.host}]" if ":" in self.uri.host else self.uri.host
        return f"{'https' if self.uri.secure else 'http'}://{host}:{self.uri.port}"


def place(
    url: str, *, insecure: bool = False, ca: str | None = None, origin: str = "", local_address: str = ""
) -> Place:
    """The server at ``http://host:8000`` (or ``https``, ``ws``, ``wss``). ``ca`` is a file of certificates to
    trust; ``insecure`` trusts any. Raises SettingsError when it is no address."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    scheme = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise SettingsError(f"{url!r} is not the address of a server; write it as http://127.0.0.1:8000")
    path = parts.path if parts.path not in ("", "/") else "/ws/voice"
    uri = parse_uri(f"{scheme}://{parts.netloc}{path}")
    tls = tls_context(insecure=insecure, ca=ca) if uri.secure else None
    return Place(uri=uri, tls=tls, origin=origin, local_address=local_address)


def tls_context(*, insecure: bool = False, ca: str | None = None) -> ssl.SSLContext:
    """Trusts the certificates in the file ``ca``, this machine's without it, or any. Raises SettingsError."""
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"the certificates in {ca} cannot be read: {error}") from error
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


@dataclass(slots=True)
class Traffic:
    """What went over a link."""

    sent: int = 0
    """Messages."""
    received: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0
    dropped: int = 0
    """Pieces of sound not sent because the line was full."""


class Link(asyncio.Protocol):
    """An open connection. Sending never blocks; what comes is told to the ``hearer`` from the event loop."""

    def __init__(self, protocol: ClientProtocol, hearer: Hearer, traffic: Traffic) -> None:
        self._protocol = protocol
        self._hearer = hearer
        self._traffic = traffic
        self._transport: asyncio.Transport | None = None
        self._opening: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._open = False
        self._is_text = False
        self._told_lost = False
        self._pieces: list[bytes] = []
        """Of a message that comes in fragments."""

    def shake_hands(self, origin: str, headers: Mapping[str, str]) -> None:
        """Ask for a WebSocket."""
        request = self._protocol.connect()
        if origin:
            request.headers["Origin"] = origin
        for name, value in headers.items():
            request.headers[name] = value
        self._protocol.send_request(request)
        self._flush()

    # ---- sending

    @property
    def _sendable(self) -> bool:
        """The handshake is over, and neither side has said goodbye."""
        return self._open and self._protocol.state is State.OPEN

    def send_text(self, message: Mapping[str, Any] | str) -> None:
        """A JSON message."""
        text = message if isinstance(message, str) else json.dumps(message, separators=(",", ":"))
        if self._sendable:
            self._traffic.sent += 1
            self._protocol.send_text(text.encode())
            self._flush()

    def send_sound(self, pcm: bytes) -> None:
        """Microphone sound; dropped when the line is full."""
        if not self._sendable or self._transport is None:
            return
        if self._transport.get_write_buffer_size() > PILE_MOST:
            self._traffic.dropped += 1
            return
        self._traffic.sent += 1
        self._protocol.send_binary(pcm)
        self._flush()

    def send_frame(self, opcode: Opcode, data: bytes, *, fin: bool = True) -> None:
        """Any frame, for those who test what a server makes of it."""
        if self._sendable:
            self._protocol.send_frame(Frame(opcode, data, fin))
            self._flush()

    def send_raw(self, data: bytes) -> None:
        """Bytes below the protocol."""
        if self._transport is not None:
            self._transport.write(data)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Leave politely; ``lost`` is told once the server has answered."""
        if self._sendable:
            self._protocol.send_close(code, reason)
            self._flush()

    def abort(self) -> None:
        """Vanish: no close frame, as when a phone loses its network."""
        if self._transport is not None:
            self._transport.abort()

    def stop_reading(self) -> None:
        """A stuck client: open, and deaf."""
        if self._transport is not None:
            self._transport.pause_reading()

    def go_on_reading(self) -> None:
        """After ``stop_reading``."""
        if self._transport is not None:
            self._transport.resume_reading()

    # ---- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._traffic.bytes_received += len(data)
        self._protocol.receive_data(data)
        self._flush()
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self._answered(event)
            elif isinstance(event, Frame):
                self._frame(event)

    def eof_received(self) -> None:
        self._protocol.receive_eof()

    def connection_lost(self, error: Exception | None) -> None:
        self._open = False
        if not self._opening.done():
            self._opening.set_exception(NotConnected(f"the connection broke: {error or 'closed'}"))
        elif not self._told_lost:
            self._told_lost = True
            received = self._protocol.close_rcvd
            self._hearer.lost(
                VANISHED if received is None else received.code, "" if received is None else received.reason
            )

    async def opened(self) -> None:
        """Until the handshake is over. Raises NotConnected."""
        await self._opening

    def _answered(self, response: Response) -> None:
        if self._opening.done():
            return
        problem = self._protocol.handshake_exc
        if problem is None:
            self._open = True
            self._opening.set_result(None)
            return
        # A proxy's web page says no more than its status.
        page = "html" in response.headers.get("Content-Type", "")
        said = "" if page else bytes(response.body or b"").decode(errors="replace").strip()[:200]
        wait = response.headers.get("Retry-After", "")
        self._opening.set_exception(
            NotConnected(
                f"the server refused the connection with HTTP {response.status_code}"
                + (f": {said}" * bool(said)),
                status=response.status_code,
                retry_after_s=float(wait) if wait.isdecimal() else None,
            )
        )

    def _frame(self, frame: Frame) -> None:
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if frame.opcode is not Opcode.CONT:
            self._pieces = []
            self._is_text = frame.opcode is Opcode.TEXT
        self._pieces.append(bytes(frame.data))
        if not frame.fin:
            return
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._traffic.received += 1
        if self._is_text:
            self._hearer.message(json.loads(data))
        else:
            self._hearer.sound(data)

    def _flush(self) -> None:
        if self._transport is None:
            return
        for data in self._protocol.data_to_send():
            if data:
                self._traffic.bytes_sent += len(data)
                self._transport.write(data)
            else:
                self._transport.close()


async def connect(
    where: Place,
    hearer: Hearer,
    *,
    ticket: str = "",
    headers: Mapping[str, str] | None = None,
    subprotocols: Sequence[str] = (SUBPROTOCOL,),
    traffic: Traffic | None = None,
) -> Link:
    """Connect and shake hands; ``ticket`` goes along as a sub-protocol. Raises NotConnected."""
    offered = [*subprotocols, *([f"ticket.{ticket}"] if ticket else [])]
    protocol = ClientProtocol(
        where.uri, subprotocols=[Subprotocol(name) for name in offered], max_size=MAX_MESSAGE
    )
    link = Link(protocol, hearer, traffic if traffic is not None else Traffic())
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_S):
            await loop.create_connection(
                lambda: link,
                where.uri.host,
                where.uri.port,
                ssl=where.tls,
                server_hostname=where.uri.host if where.tls is not None else None,
                local_addr=(where.local_address, 0) if where.local_address else None,
            )
            link.shake_hands(where.origin, headers or {})
            await link.opened()
    except TimeoutError:
        link.abort()
        raise NotConnected(f"{where.http} did not answer within {CONNECT_S:g} s") from None
    except OSError as error:
        raise NotConnected(f"cannot connect to {where.http}: {error.strerror or error}") from error
    except BaseException:
        link.abort()
        raise
    return link
