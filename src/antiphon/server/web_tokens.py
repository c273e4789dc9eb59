"""Users of an identity provider: its tokens (JWT), checked with the keys that it publishes (JWKS)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2
import jwt

from antiphon.errors import AccessError, RefusedError
from antiphon.server.credentials import Identity, Shown
from antiphon.telemetry.logs import logger

FRESH_S = 600.0
"""How long the keys are used before they are asked for again: a key that was withdrawn works no longer than that."""

STALE_S = 86_400.0
"""How long they are used when the provider cannot be reached: its bad day need not be ours."""

AGAIN_S = 15.0
"""Soonest after a fetch that an unknown key makes for another: keys are rotated, and strangers invent them."""

FETCH_S = 5.0
"""For all of a fetch: logins of users whose key is not known, or not fresh, wait for it."""

LEEWAY_S = 30.0
"""Clocks differ."""

MOST_BYTES = 256 * 1024
LONGEST_TOKEN = 16_384
LONGEST_NAME = 200

USER = "user:"
"""Before a user's name, where an API key's stands without. That can have no colon, so no user is taken for a key."""

log = logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """What a token must be."""

    jwks_url: str
    issuer: str
    audience: str
    algorithms: Sequence[str]
    """Never those of a shared secret, nor ``none``."""
    name_claim: str = "sub"
    """Which claim names the user."""


class TooLarge(ValueError):
    """More came than a set of keys can be."""


class KeySet:
    """The provider's keys, fetched when needed, one fetch at a time."""

    def __init__(
        self,
        url: str,
        *,
        now: Callable[[], float] = time.monotonic,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = url
        self._now = now
        self._transport = transport
        self._keys: tuple[jwt.PyJWK, ...] = ()
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def key(self, kid: str | None) -> jwt.PyJWK | None:
        """The key of that name, or without a name the only one. Raises RefusedError when there are none to be had. Safe
        to cancel."""
        found = self._find(kid)
        if found is not None and self._fresh:
            return found  # whoever asks for another key holds nobody up
        async with self._fetching:
            found = self._find(kid)
            if (found is None or not self._fresh) and self._now() - self._tried_at > AGAIN_S:
                await self._fetch()
                found = self._find(kid)
            if self._now() - self._fetched_at > STALE_S:
                raise RefusedError("the identity provider's keys cannot be had now", retry_after_s=AGAIN_S)
            return found

    @property
    def _fresh(self) -> bool:
        return self._now() - self._fetched_at <= FRESH_S

    def _find(self, kid: str | None) -> jwt.PyJWK | None:
        if kid is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.key_id == kid), None)

    async def _fetch(self) -> None:
        self._tried_at = self._now()
        try:
            async with asyncio.timeout(FETCH_S):
                keys = jwt.PyJWKSet.from_dict(json.loads(await self._download())).keys
        except (
            httpx2.HTTPError,
            TimeoutError,
            ValueError,
            AttributeError,
            TypeError,
            jwt.PyJWTError,
        ) as error:
            # Not in the error's own words: they hold the whole address, which may hold a password.
            log.warning(
                "keys not fetched",
                setting="ANTIPHON_JWT_JWKS_URL",
                host=urlsplit(self._url).hostname,
                problem=type(error).__name__,
                status=error.response.status_code if isinstance(error, httpx2.HTTPStatusError) else None,
            )
            return
        self._keys = tuple(key for key in keys if key.public_key_use in (None, "sig"))
        self._fetched_at = self._now()
        log.info("keys fetched", keys=len(self._keys))

    async def _download(self) -> bytes:
        """The answer's body. Raises httpx2.HTTPError, and TooLarge as soon as it is. Safe to cancel."""
        body = bytearray()
        client = httpx2.AsyncClient(timeout=FETCH_S, transport=self._transport)
        async with client, client.stream("GET", self._url, headers={"Accept": "application/json"}) as answer:
            answer.raise_for_status()
            async for piece in answer.aiter_bytes():
                body += piece
                if len(body) > MOST_BYTES:
                    raise TooLarge
        return bytes(body)


class WebTokens:
    """See Way."""

    asks_for = "a token of the identity provider as `Authorization: Bearer …`"
    guessable = False

    def __init__(self, rules: TokenRules, keys: KeySet | None = None) -> None:
        self._rules = rules
        self._keys = keys or KeySet(rules.jwks_url)

    async def identify(self, shown: Shown) -> Identity | None:
        """The user that the token names. Raises AccessError saying what is wrong with it, never what is in it."""
        token = shown.bearer
        if token.count(".") != 2:
            return None
        if len(token) > LONGEST_TOKEN:
            raise AccessError("the token is too long")
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise AccessError("the token is not a JWT") from None
        # Before any key is looked for: who chooses the algorithm chooses what is checked.
        if header.get("alg") not in self._rules.algorithms:
            raise AccessError("the token is signed in a way that ANTIPHON_JWT_ALGORITHMS does not name")
        kid = header.get("kid")
        key = await self._keys.key(kid if isinstance(kid, str) else None)
        if key is None:
            raise AccessError("the token is signed with a key that the identity provider does not publish")
        return Identity(key=USER + self._name(token, key))

    def _name(self, token: str, key: jwt.PyJWK) -> str:
        rules = self._rules
        try:
            claims = jwt.decode(
                token,
                key=key,
                algorithms=list(rules.algorithms),
                audience=rules.audience,
                issuer=rules.issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud", rules.name_claim]},
            )
        except jwt.ExpiredSignatureError:
            raise AccessError("the token has expired") from None
        except jwt.InvalidAudienceError:
            raise AccessError("the token is for another audience") from None
        except jwt.InvalidIssuerError:
            raise AccessError("the token is from another issuer") from None
        except jwt.MissingRequiredClaimError as error:
            raise AccessError(f"the token lacks the claim {error.claim!r}") from None
        except jwt.PyJWTError:
            raise AccessError("the token does not hold: its signature or its times are wrong") from None
        name = claims[rules.name_claim]
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
            raise AccessError(f"the token's {rules.name_claim!r} is not a name")
        return name
