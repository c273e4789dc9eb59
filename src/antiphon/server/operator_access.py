"""Who may see and do what only operators may: whoever shows the operator token, in a header or, from the page, by a
cookie that a log-in sets. Never in a URL, which ends up in logs and histories.

    app.add_api_route("/metrics", metrics, dependencies=[Depends(operators.require)])
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.requests import Request
from starlette.responses import Response

from antiphon.errors import AccessError, OperatorOffError, OriginError, RateLimitedError
from antiphon.server.origins import from_own_page
from antiphon.sessions.address_limits import LimitStore, MemoryLimits, address_group
from antiphon.sessions.rates import Rate
from antiphon.sessions.telling import Telling
from antiphon.telemetry.logs import logger

COOKIE = "antiphon_operator"

COOKIE_S = 12 * 3600
"""A working day."""

ATTEMPTS = Rate(count=10, per_s=60.0)
"""Wrong tokens from one address, at all replicas together: whoever goes on is told to wait. The right one is let in
even then. It has at least 16 characters and cannot be guessed; but strangers may share the operator's address, or
Prometheus', and would shut them out."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class OperatorAccess:
    """The operator token's one place. Compared in constant time, and by its hash: no copy of the token is kept."""

    def __init__(
        self,
        token: str,
        *,
        limits: LimitStore | None = None,
        refused: Callable[[str], None] = lambda reason: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """``token``: empty when none is set. ``refused`` is told the code of each refusal; ``limits`` count the wrong
        ones, None: here."""
        self._key = hashlib.sha256(token.encode()).digest() if token else None
        self._refused = refused
        self._now = now
        self._limits = limits or MemoryLimits()
        self._telling = Telling(logger(__name__))

    async def require(self, request: Request) -> None:
        """Returns when the request is an operator's. Raises OperatorOffError, AccessError, OriginError or
        RateLimitedError, each of which says what to do."""
        with self._telling_refusals(request):
            await self._check(request)

    async def require_token(self, request: Request, token: str) -> None:
        """Returns when ``token``, which somebody wants to log in with, is the operator's. Raises the same."""
        with self._telling_refusals(request):
            # A stranger's page must not be able to log anybody in, nor to try tokens from a visitor's address.
            if "origin" in request.headers and not from_own_page(request):
                raise OriginError("operators log in on this server's own page only")
            await self._check_token(token, address=_address(request))

    @contextmanager
    def _telling_refusals(self, request: Request) -> Iterator[None]:
        """Each is logged and counted."""
        try:
            yield
        except (AccessError, OperatorOffError, OriginError, RateLimitedError) as error:
            self._telling.warning(
                "operator refused", code=error.code, path=request.url.path, address=_address(request)
            )
            self._refused("bad_operator_token" if type(error) is AccessError else error.code)
            raise

    async def _check(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            await self._check_token(token.strip(), address=_address(request))
            return
        cookie = request.cookies.get(COOKIE)
        if cookie is None or not self._cookie_holds(cookie):
            self._key_or_off()
            raise AccessError(
                "this is for operators: send the token of ANTIPHON_OPERATOR_TOKEN as `Authorization: Bearer …`, "
                "or log in on /operator"
            )
        # The cookie is SameSite=Strict; older browsers, and pages of a sister domain, are kept off by this.
        if request.method not in SAFE_METHODS and not from_own_page(request):
            raise OriginError("changes by an operator's cookie are taken from this server's own page only")

    async def _check_token(self, token: str, *, address: str) -> None:
        key = self._key_or_off()
        if hmac.compare_digest(hashlib.sha256(token.encode()).digest(), key):
            return
        wait_s = await self._limits.spend(f"operator:{address_group(address)}", ATTEMPTS)
        if wait_s:
            raise RateLimitedError("too many wrong operator tokens; wait a minute", retry_after_s=wait_s)
        raise AccessError("that is not the operator token (ANTIPHON_OPERATOR_TOKEN)")

    def log_in(self, response: Response, *, secure: bool) -> None:
        """Let the browser that gets this response be an operator's for a working day."""
        key = self._key_or_off()
        until = int(self._now()) + COOKIE_S
        response.set_cookie(
            COOKIE,
            f"{until}.{_signature(key, until)}",
            max_age=COOKIE_S,
            httponly=True,
            samesite="strict",
            secure=secure,
            path="/",
        )

    def log_out(self, response: Response) -> None:
        """Let it be a stranger's again."""
        response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")

    def _cookie_holds(self, cookie: str) -> bool:
        """Signed with the token, so that every replica knows it and a new token voids it."""
        until, _, signature = cookie.partition(".")
        if self._key is None or not (until.isascii() and until.isdigit() and len(until) < 12):
            return False
        return hmac.compare_digest(signature.encode(), _signature(self._key, int(until)).encode()) and (
            self._now() < int(until)
        )

    def _key_or_off(self) -> bytes:
        if self._key is None:
            raise OperatorOffError(
                "operators' endpoints are off on this server: set ANTIPHON_OPERATOR_TOKEN to a long random text "
                "to switch them on"
            )
        return self._key


def _signature(key: bytes, until: int) -> str:
    return hmac.digest(key, f"operator until {until}".encode(), "sha256").hex()


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else ""
