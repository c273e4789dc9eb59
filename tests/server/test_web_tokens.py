"""Tokens of an identity provider: what holds, what does not, and when its keys are fetched."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import httpx2
import jwt
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from antiphon.errors import AccessError, RefusedError
from antiphon.server.credentials import ApiKeys, Shown
from antiphon.server.web_tokens import (
    AGAIN_S,
    FETCH_S,
    FRESH_S,
    MOST_BYTES,
    STALE_S,
    KeySet,
    TokenRules,
    WebTokens,
)
from antiphon.settings.access import read_api_keys

ISSUER, AUDIENCE = "https://login.example.org/", "antiphon"
RULES = TokenRules(
    jwks_url="https://login.example.org/jwks.json",
    issuer=ISSUER,
    audience=AUDIENCE,
    algorithms=("RS256", "ES256"),
)
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())


class Endless(httpx2.AsyncByteStream):
    """A body that never ends: so many bytes every so often."""

    def __init__(self, piece: int, every_s: float) -> None:
        self.sent = 0
        self._piece, self._every_s = piece, every_s

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.sent += self._piece
            yield b" " * self._piece
            await asyncio.sleep(self._every_s)


class Provider:
    """An identity provider that publishes its keys, counts who asks, and may be away, or send without end."""

    def __init__(self) -> None:
        self.asked = 0
        self.away = False
        self.endless: Endless | None = None
        self.keys: dict[str, Any] = {"r1": RSA_KEY, "e1": EC_KEY}
        self.now = 1000.0

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        self.asked += 1
        if self.away:
            return httpx2.Response(503)
        if self.endless is not None:
            return httpx2.Response(200, stream=self.endless)
        return httpx2.Response(200, json={"keys": [public(kid, key) for kid, key in self.keys.items()]})

    def clock(self) -> float:
        return self.now

    def tokens(self, rules: TokenRules = RULES) -> WebTokens:
        transport = httpx2.MockTransport(self.answer)
        return WebTokens(rules, KeySet(rules.jwks_url, now=self.clock, transport=transport))


def public(kid: str, key: Any) -> dict[str, Any]:
    algorithm: Any = (
        jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
    )
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": kid, "use": "sig"}


def token(key: Any = EC_KEY, algorithm: str = "ES256", kid: str | None = "e1", **claims: Any) -> str:
    whole = {"iss": ISSUER, "aud": AUDIENCE, "exp": time.time() + 300, "sub": "alice", **claims}
    kept = {name: value for name, value in whole.items() if value is not None}
    return jwt.encode(kept, key, algorithm=algorithm, headers={"kid": kid} if kid else None)


@pytest.fixture
def provider() -> Provider:
    return Provider()


async def test_a_token_names_its_user(provider: Provider) -> None:
    tokens = provider.tokens()
    for good in (token(), token(RSA_KEY, "RS256", "r1"), token(aud=["other", AUDIENCE])):
        identity = await tokens.identify(Shown(bearer=good))
        assert identity is not None
        assert (identity.key, identity.backend) == ("user:alice", False)
    assert provider.asked == 1
    assert await tokens.identify(Shown(bearer="an-api-key")) is None


async def test_a_user_called_like_an_api_key_is_another(provider: Provider) -> None:
    """Budgets and resume tokens go by the name."""
    user = await provider.tokens().identify(Shown(bearer=token(sub="shop")))
    backend = await ApiKeys({"shop": "key-of-the-shop-0123456789"}).identify(
        Shown(bearer="key-of-the-shop-0123456789")
    )
    assert user is not None
    assert backend is not None
    assert user.key != backend.key == "shop"
    with pytest.raises(ValueError, match="entry 1 is not name=key"):
        read_api_keys(f"{user.key}=key-of-the-shop-0123456789")


def none_signed() -> str:
    return jwt.encode(
        {"iss": ISSUER, "aud": AUDIENCE, "exp": time.time() + 300, "sub": "mallory"}, "", "none"
    )


def signed_with_the_public_key() -> str:
    """The classic: the published key taken for a shared secret. By hand, because the library refuses to."""
    parts = ({"alg": "HS256", "kid": "e1"}, {"sub": "mallory", "exp": time.time() + 300})
    head, body = (urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    secret = json.dumps(public("e1", EC_KEY)).encode()
    signature = urlsafe_b64encode(hmac.digest(secret, head + b"." + body, "sha256")).rstrip(b"=")
    return b".".join((head, body, signature)).decode()


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: token(exp=time.time() - 120), "expired"),
        (lambda: token(aud="someone else"), "another audience"),
        (lambda: token(iss="https://evil.example.org/"), "another issuer"),
        (lambda: token(exp=None), "lacks the claim 'exp'"),
        (lambda: token(sub=None), "lacks the claim 'sub'"),
        (lambda: token(sub=""), "not a name"),
        (lambda: token(sub="a\nb"), "not a name"),
        (lambda: token(nbf=time.time() + 600), "does not hold"),
        (lambda: token(OTHER_KEY), "does not hold"),
        (lambda: token(kid="unknown"), "does not publish"),
        (lambda: token(kid=None), "does not publish"),
        (lambda: token(RSA_KEY, "RS512", "r1"), "ANTIPHON_JWT_ALGORITHMS"),
        (none_signed, "ANTIPHON_JWT_ALGORITHMS"),
        (signed_with_the_public_key, "ANTIPHON_JWT_ALGORITHMS"),
        (lambda: token()[:-4] + "AAAA", "does not hold"),
        (lambda: "a.b.c", "not a JWT"),
        (lambda: "e30.e30.", "ANTIPHON_JWT_ALGORITHMS"),
        (lambda: "x" * 20_000 + "..", "too long"),
    ],
)
async def test_what_does_not_hold(provider: Provider, make: Callable[[], str], why: str) -> None:
    bad = make()
    with pytest.raises(AccessError, match=why) as refused:
        await provider.tokens().identify(Shown(bearer=bad))
    assert bad not in refused.value.message


async def test_rotated_keys_are_found_and_invented_ones_do_not_make_us_ask(provider: Provider) -> None:
    tokens = provider.tokens()
    await tokens.identify(Shown(bearer=token()))
    provider.keys["e2"] = OTHER_KEY
    for _ in range(20):
        with pytest.raises(AccessError):
            await tokens.identify(Shown(bearer=token(kid="invented")))
    assert provider.asked == 1
    provider.now += AGAIN_S + 1
    assert await tokens.identify(Shown(bearer=token(OTHER_KEY, kid="e2")))
    assert provider.asked == 2


async def test_a_withdrawn_key_is_forgotten(provider: Provider) -> None:
    tokens = provider.tokens()
    await tokens.identify(Shown(bearer=token()))
    del provider.keys["e1"]
    provider.now += FRESH_S + 1
    with pytest.raises(AccessError):
        await tokens.identify(Shown(bearer=token()))


async def test_the_provider_s_bad_day_is_not_ours_for_a_day(provider: Provider) -> None:
    tokens = provider.tokens()
    await tokens.identify(Shown(bearer=token()))
    provider.away = True
    provider.now += STALE_S - 60
    assert await tokens.identify(Shown(bearer=token()))
    provider.now += 120
    with pytest.raises(RefusedError):
        await tokens.identify(Shown(bearer=token()))


async def test_a_provider_that_sends_by_the_drop_holds_nobody_up_for_long(provider: Provider) -> None:
    loop = asyncio.get_running_loop()
    tokens = provider.tokens()
    await tokens.identify(Shown(bearer=token()))
    provider.endless = Endless(1, every_s=1.0)
    provider.now += AGAIN_S + 1
    begun = loop.time()
    async with asyncio.TaskGroup() as tasks:
        invented = tasks.create_task(refusal(tokens, token(kid="invented")))
        await asyncio.sleep(1.5)
        known = await tokens.identify(Shown(bearer=token()))
        assert known is not None, "whose keys are fresh"
        assert (loop.time() - begun, invented.done()) == (1.5, False)
    assert loop.time() - begun == pytest.approx(FETCH_S)
    provider.now += FRESH_S
    assert await tokens.identify(Shown(bearer=token())), "by the last ones that there were"
    assert loop.time() - begun == pytest.approx(2 * FETCH_S)


async def refusal(tokens: WebTokens, bad: str) -> str:
    with pytest.raises(AccessError) as refused:
        await tokens.identify(Shown(bearer=bad))
    return refused.value.message


async def test_no_more_is_read_than_keys_can_be(provider: Provider) -> None:
    provider.endless = Endless(10_000, every_s=0.0)
    with pytest.raises(RefusedError):
        await provider.tokens().identify(Shown(bearer=token()))
    assert MOST_BYTES < provider.endless.sent <= MOST_BYTES + 10_000


async def test_the_log_says_who_failed_and_not_what_is_in_the_address(provider: Provider) -> None:
    rules = replace(RULES, jwks_url="https://us:hunter2@login.example.org/jwks.json?apikey=Thoth")
    provider.away = True
    with structlog.testing.capture_logs() as lines:
        with pytest.raises(RefusedError):
            await provider.tokens(rules).identify(Shown(bearer=token()))
    (line,) = lines
    assert (line["event"], line["host"], line["problem"]) == (
        "keys not fetched",
        "login.example.org",
        "HTTPStatusError",
    )
    assert line["status"] == 503
    assert not [secret for secret in ("hunter2", "Thoth", "jwks.json") if secret in repr(lines)]


async def test_without_keys_nobody_is_let_in_and_it_is_tried_again(provider: Provider) -> None:
    provider.away = True
    tokens = provider.tokens()
    with pytest.raises(RefusedError):
        await tokens.identify(Shown(bearer=token()))
    provider.away = False
    provider.now += AGAIN_S + 1
    assert await tokens.identify(Shown(bearer=token()))
