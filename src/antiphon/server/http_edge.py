"""What every HTTP answer gets: headers that keep strangers' code out, and a line in the log without its
query. And what every request gets: the address it really comes from, and no more body than one needs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars, get_contextvars

from antiphon.server.callers import Network, Place, place_of
from antiphon.server.request_ids import given_request_id, new_request_id
from antiphon.sessions.rates import Rate, Rates
from antiphon.sessions.telling import cut
from antiphon.telemetry.logs import logger

CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "media-src 'self' blob:",
        "worker-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Own files only, nothing inline: text from a model or a caller can never become code."""

SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=(), payment=(), usb=()",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

TRANSPORT_SECURITY = "max-age=31536000"
"""A year of TLS only, once it was TLS. Of this name, not of its sub-domains: those are not ours to promise for."""

MOST_BODY = 64 * 1024
"""Bytes of a request's body; the largest that is asked for holds a few texts."""

TELLING = Rate(count=1, per_s=60.0)
"""Lines about one peer's claims: a proxy that is not in the settings makes one with every request."""

QUIET_PATHS = frozenset({"/health", "/ready"})
"""Asked every few seconds by whatever watches over the server."""

log = logger("antiphon.access")


class BodyTooLarge(BaseException):
    """More than ``MOST_BODY`` came. No ``Exception``: the framework would take it for a body that it cannot read."""


class HttpEdge:
    """ASGI middleware around the whole application. WebSockets get their address, and pass."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        trusted_proxies: Sequence[Network] = (),
        refused: Callable[[str], None] = lambda reason: None,
    ) -> None:
        """``refused`` is told when somebody claims an address that is not believed."""
        self._app = app
        self._trusted = trusted_proxies
        self._refused = refused
        self._told = Rates()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        found = place_of(scope, self._trusted)
        request_id = given_request_id(scope) if found.proxied else ""
        # Each request has a context of its own: what is logged while it is served, and by the session that it begins,
        # carries its name.
        with bound_contextvars(request_id=request_id or new_request_id()):
            self._put_in_place(scope, found)
            if scope["type"] == "websocket":
                await self._app(scope, receive, send)
            else:
                await self._answer(scope, receive, send)

    def _put_in_place(self, scope: Scope, found: Place) -> None:
        """Address and scheme as they are, for everyone further in."""
        if found.forged:
            self._refused("forged_address")
            if not self._told.spend(found.address, TELLING, now=time.monotonic()):
                log.warning(
                    "forwarded address not believed",
                    address=found.address,
                    setting="ANTIPHON_TRUSTED_PROXIES",
                )
        scope["client"] = (found.address, 0) if found.address else None
        plain, safe = ("ws", "wss") if scope["type"] == "websocket" else ("http", "https")
        scope["scheme"] = safe if found.secure else plain

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = time.perf_counter()
        status = 500
        headers = {**SECURITY_HEADERS, "X-Request-ID": get_contextvars()["request_id"]}
        if scope["scheme"] == "https":
            headers["Strict-Transport-Security"] = TRANSPORT_SECURITY

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(headers)
            await send(message)

        try:
            await self._app(scope, _bounded(receive), answer)
        except BodyTooLarge:
            said = {"code": "too_large", "message": f"a request's body may have {MOST_BODY} bytes"}
            problem = JSONResponse({"error": {**said, "retry_after_ms": None}}, status_code=413)
            await problem(scope, receive, answer)
        finally:
            path = scope["path"]
            (log.debug if path in QUIET_PATHS else log.info)(
                "request",
                method=scope["method"],
                path=cut(path),
                status=status,
                ms=round((time.perf_counter() - begun) * 1000, 1),
            )


def _bounded(receive: Receive) -> Receive:
    """The same, but it raises when more comes than is ever asked for."""
    size = 0

    async def bounded() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > MOST_BODY:
            raise BodyTooLarge
        return message

    return bounded
