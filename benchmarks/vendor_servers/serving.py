"""Running the vendor servers: in a test's own loop, or as a process; plain, with TLS, and with HTTP/2."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import uvicorn
from benchmarks.vendor_servers import anthropic, deepgram, elevenlabs, openai
from benchmarks.vendor_servers.http2 import Http2House, serve_http2
from benchmarks.vendor_servers.world import VendorWorld
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

Speaking = Literal["http", "https", "http2"]
"""HTTP/1.1, HTTP/1.1 over TLS, HTTP/2 over TLS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VendorServers:
    """Servers that are up."""

    world: VendorWorld
    host: str
    port: int
    scheme: str
    certificate: Path | None
    """What to trust; None without TLS."""
    http2: Http2House
    """The connections of HTTP/2, to do to them what networks do."""

    @property
    def url(self) -> str:
        """``http://127.0.0.1:1234``"""
        return f"{self.scheme}://{self.host}:{self.port}"

    def trust(self) -> ssl.SSLContext:
        """Trusts these servers too."""
        trusting = ssl.create_default_context()
        if self.certificate is not None:
            trusting.load_verify_locations(self.certificate)
        return trusting


def application(world: VendorWorld) -> Starlette:
    """All vendors in one."""
    vendors = (openai, elevenlabs, deepgram, anthropic)
    return Starlette(routes=[route for vendor in vendors for route in vendor.routes(world)])


@asynccontextmanager
async def open_vendor_servers(
    world: VendorWorld | None = None, *, speaking: Speaking = "http", host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[VendorServers]:
    """Up until left, on an address of this machine (a certificate is for loopback only); port 0: a free one."""
    world = world or VendorWorld()
    listening = _listen(host, port)
    app = _Counting(application(world), world)
    with _certificate() if speaking != "http" else contextlib.nullcontext() as certificate:
        servers = VendorServers(
            world=world,
            host=host,
            port=listening.getsockname()[1],
            scheme="http" if certificate is None else "https",
            certificate=certificate,
            http2=Http2House(app=app),
        )
        stop = asyncio.Event()
        group = asyncio.TaskGroup()
        await group.__aenter__()
        if speaking == "http2" and certificate is not None:
            group.create_task(serve_http2(servers.http2, listening, certificate, stop))
        else:
            group.create_task(_serve(app, listening, certificate, stop))
        try:
            yield servers
        finally:
            stop.set()
            # The body's own error passes as it is, not in an exception group.
            await group.__aexit__(None, None, None)


def _listen(host: str, port: int) -> socket.socket:
    # With the protocol named: asyncio sets TCP_NODELAY only then, and small pieces would wait 40 ms for their answer.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((host, port))
    listening.listen(512)
    listening.setblocking(False)
    return listening


class _Counting:
    """The application, and who connects to it."""

    def __init__(self, app: Starlette, world: VendorWorld) -> None:
        self._app = app
        self._world = world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and scope.get("client"):
            self._world.connections.add(tuple(scope["client"]))
        await self._app(scope, receive, send)


class _Server(uvicorn.Server):
    """Leaves signals to whoever runs it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(
    app: _Counting, listening: socket.socket, certificate: Path | None, stop: asyncio.Event
) -> None:
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)  # answers that are cut on purpose
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_keep_alive=600,
            timeout_graceful_shutdown=1,
            ssl_certfile=certificate,
            backlog=512,
        )
    )
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve([listening]))
        await stop.wait()
        server.should_exit = server.force_exit = True
        await serving


@contextlib.contextmanager
def _certificate() -> Iterator[Path]:
    """A certificate for this run, with its key in the same file, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vendor servers of Antiphon's tests")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "certificate.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        yield path
