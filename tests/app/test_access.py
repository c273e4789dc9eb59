"""Settings of access: what is missing or dangerous is said before the server starts."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from antiphon.app.access import address_policy, ways_in
from antiphon.errors import SettingsError
from antiphon.server.credentials import ApiKeys, Password
from antiphon.server.web_tokens import WebTokens
from antiphon.sessions.address_limits import LimitPolicy
from antiphon.settings import load_settings

SECRET = "a long and secret text"


def settings(**values: str):  # type: ignore[no-untyped-def]
    return load_settings({f"ANTIPHON_{name.upper()}": value for name, value in values.items()}).settings


def test_open_by_itself() -> None:
    assert ways_in(settings()) == ()
    assert address_policy(settings()) == LimitPolicy()


def test_several_ways_at_once() -> None:
    ways = ways_in(
        settings(
            access="password, bearer,jwt",
            password=SECRET,
            api_keys=f"shop={SECRET},bot=sha256:{'ab' * 32}",
            jwt_jwks_url="https://login.example.org/jwks",
            jwt_issuer="https://login.example.org/",
            jwt_audience="antiphon",
        )
    )
    assert [type(way) for way in ways] == [Password, ApiKeys, WebTokens]


@pytest.mark.parametrize(
    ("mode", "missing"), [("password", "PASSWORD"), ("bearer", "API_KEYS"), ("jwt", "JWT_JWKS_URL")]
)
def test_what_a_way_needs_is_named(mode: str, missing: str) -> None:
    with pytest.raises(SettingsError, match=f"ANTIPHON_{missing}"):
        ways_in(settings(access=mode))


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"access": "open,password"}, "stands alone"),
        ({"access": "magic"}, "open, or password"),
        ({"password": "short"}, "at least 8 characters"),
        ({"operator_token": "short"}, "at least 16 characters"),
        ({"api_keys": "shop"}, "not name=key"),
        ({"api_keys": f"shop={SECRET},shop={SECRET}"}, "there twice"),
        ({"api_keys": "shop=short-secret"}, "at least 16"),
        ({"api_keys": "shop=sha256:12"}, "64 hexadecimal"),
        ({"trusted_proxies": "*"}, "believe everybody"),
        ({"trusted_proxies": "0.0.0.0/0"}, "believe everybody"),
        ({"trusted_proxies": "proxy.local"}, "not an address"),
        ({"jwt_algorithms": "HS256"}, "not among"),
        ({"jwt_algorithms": "none"}, "not among"),
        ({"max_sessions": "many"}, "or auto"),
        ({"address_sessions": "-1"}, "or auto"),
        ({"address_bytes_per_s": "lots"}, "or auto"),
    ],
)
def test_what_is_not_possible_is_said_without_the_secret(values: dict[str, str], why: str) -> None:
    with pytest.raises(SettingsError, match=why) as refused:
        settings(**values)
    assert SECRET not in refused.value.message
    assert "short-secret" not in refused.value.message


def test_proxies_are_networks() -> None:
    found = settings(trusted_proxies="10.0.0.5, 192.168.1.77/24,2001:db8::/32").trusted_proxies
    assert found == (ip_network("10.0.0.5/32"), ip_network("192.168.1.0/24"), ip_network("2001:db8::/32"))


def test_limits_by_number() -> None:
    chosen = settings(
        address_sessions="3",
        address_connects_per_minute="0",
        address_messages_per_s="500",
        messages_per_s="100",
        max_sessions="auto",
    )
    assert address_policy(chosen) == LimitPolicy(
        sessions=3, connects_per_minute=0, messages_per_s=500, each_messages_per_s=100
    )
    assert chosen.max_sessions == "auto"
