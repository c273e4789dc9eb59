"""Only operators: by a token in a header, or by the cookie that a log-in sets."""

from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.responses import Response

from antiphon.errors import AccessError, AntiphonError, OperatorOffError, OriginError, RateLimitedError
from antiphon.server.operator_access import ATTEMPTS, COOKIE, COOKIE_S, OperatorAccess
from antiphon.sessions.address_limits import MemoryLimits

TOKEN = "correct horse battery staple"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def request(method: str = "GET", address: str = "192.0.2.1", **headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request(
        {
            "type": "http",
            "method": method,
            "path": "/metrics",
            "query_string": b"token=" + TOKEN.encode(),
            "headers": [(b"host", b"talk.example.org"), *raw],
            "client": (address, 1),
        }
    )


def cookie_of(access: OperatorAccess, *, secure: bool = True) -> tuple[str, str]:
    """The cookie that a log-in sets: as sent back, and as set."""
    response = Response()
    access.log_in(response, secure=secure)
    header = response.headers["set-cookie"]
    return header.partition(";")[0], header


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def refusals() -> list[str]:
    return []


@pytest.fixture
def access(clock: Clock, refusals: list[str]) -> OperatorAccess:
    return OperatorAccess(TOKEN, now=clock, limits=MemoryLimits(now=clock), refused=refusals.append)


async def test_the_token_lets_in(access: OperatorAccess, refusals: list[str]) -> None:
    await access.require(request(authorization=f"Bearer {TOKEN}"))
    await access.require(request(authorization=f"bearer {TOKEN}", method="DELETE"))
    assert refusals == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": "Bearer"},
        {"cookie": f"{COOKIE}={TOKEN}"},
        {"cookie": f"{COOKIE}=99999999999.00"},
        {"cookie": f"{COOKIE}=²9.00"},
    ],
)
async def test_nothing_else_does(
    access: OperatorAccess, refusals: list[str], headers: dict[str, str]
) -> None:
    with pytest.raises(AccessError) as refused:
        await access.require(request(**headers))
    assert TOKEN not in refused.value.message
    assert refusals == ["bad_operator_token"]


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer "}, {"authorization": "Bearer x"}])
async def test_without_a_token_it_is_off_and_says_how_to_switch_it_on(headers: dict[str, str]) -> None:
    with pytest.raises(OperatorOffError, match="ANTIPHON_OPERATOR_TOKEN"):
        await OperatorAccess("").require(request(**headers))


async def test_a_cookie_holds_for_a_working_day(access: OperatorAccess, clock: Clock) -> None:
    sent, as_set = cookie_of(access)
    assert {"HttpOnly", "SameSite=strict", "Secure", "Path=/"} <= {part.strip() for part in as_set.split(";")}
    assert TOKEN not in as_set
    clock.now += COOKIE_S - 1
    await access.require(request(cookie=sent))
    clock.now += 2
    with pytest.raises(AccessError):
        await access.require(request(cookie=sent))


async def test_a_cookie_cannot_be_made_to_last(access: OperatorAccess, clock: Clock) -> None:
    until, _, signature = cookie_of(access)[0].partition("=")[2].partition(".")
    await access.require(request(cookie=f"{COOKIE}={until}.{signature}"))
    with pytest.raises(AccessError):
        await access.require(request(cookie=f"{COOKIE}={int(until) + 1}.{signature}"))


async def test_a_new_token_voids_the_cookies_of_the_old_one(access: OperatorAccess, clock: Clock) -> None:
    sent = request(cookie=cookie_of(access)[0])
    await OperatorAccess(TOKEN, now=clock).require(sent)
    with pytest.raises(AccessError):
        await OperatorAccess("another long random text", now=clock).require(sent)


@pytest.mark.parametrize(
    ("origin", "error"),
    [
        ("https://talk.example.org", None),
        ("https://evil.example.org", OriginError),
        ("null", OriginError),
        (None, OriginError),
    ],
)
async def test_a_strangers_page_cannot_use_the_cookie(
    access: OperatorAccess, origin: str | None, error: type[AntiphonError] | None
) -> None:
    headers = {"cookie": cookie_of(access)[0], **({} if origin is None else {"origin": origin})}
    if error is None:
        await access.require(request(method="DELETE", **headers))
    else:
        with pytest.raises(error):
            await access.require(request(method="DELETE", **headers))


async def test_over_tls_its_page_without_tls_is_a_strangers_too(access: OperatorAccess) -> None:
    sent = cookie_of(access)[0]
    for scheme, error in (("https", None), ("http", OriginError)):
        asked = request(method="DELETE", cookie=sent, origin=f"{scheme}://talk.example.org")
        asked.scope["scheme"] = "https"
        if error is None:
            await access.require(asked)
        else:
            with pytest.raises(error):
                await access.require(asked)


async def test_guessing_is_slowed_down_and_shuts_no_operator_out(
    access: OperatorAccess, clock: Clock, refusals: list[str]
) -> None:
    """Of IPv6 a whole line counts as one address: a guesser there has 2^64 of them."""

    async def guess(address: str) -> None:
        await access.require(request(authorization="Bearer guess", address=address))

    for number in range(ATTEMPTS.count):
        with pytest.raises(AccessError):
            await guess(f"2001:db8::{number + 1}")
    with pytest.raises(RateLimitedError):
        await guess("2001:db8::ffff")
    assert refusals[-1] == "rate_limited"
    await access.require(request(authorization=f"Bearer {TOKEN}", address="2001:db8::1"))
    with pytest.raises(AccessError):
        await guess("2001:db8:0:1::1")
    clock.now += ATTEMPTS.per_s
    with pytest.raises(AccessError):
        await guess("2001:db8::1")


async def test_guesses_at_one_replica_count_at_the_other(clock: Clock) -> None:
    shared = MemoryLimits(now=clock)
    replicas = [OperatorAccess(TOKEN, now=clock, limits=shared) for _ in range(2)]
    for number in range(ATTEMPTS.count):
        with pytest.raises(AccessError):
            await replicas[number % 2].require(request(authorization="Bearer guess"))
    for replica in replicas:
        with pytest.raises(RateLimitedError):
            await replica.require(request(authorization="Bearer guess"))
