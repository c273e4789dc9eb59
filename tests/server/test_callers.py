"""Whose address it is: only proxies of ours are believed, and only about who spoke to them."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.server.callers import Place, place

OURS = (ip_network("10.0.0.0/24"), ip_network("2001:db8:1::/48"))


def seen(peer: str, *forwarded: str, proto: str = "", secure: bool = False) -> Place:
    return place(peer, forwarded_for=forwarded, forwarded_proto=proto, secure=secure, trusted=OURS)


def test_without_a_proxy_it_is_the_socket_s() -> None:
    assert seen("192.0.2.7") == Place(address="192.0.2.7", secure=False)
    assert seen("::ffff:192.0.2.7").address == "192.0.2.7"
    assert seen("192.0.2.7", secure=True).secure


def test_a_stranger_s_claim_is_not_believed_and_noticed() -> None:
    assert seen("192.0.2.7", "127.0.0.1", proto="https") == Place(
        address="192.0.2.7", secure=False, forged=True
    )
    assert seen("10.0.1.1", "1.2.3.4").forged


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        (("198.51.100.3",), "198.51.100.3"),
        (("1.2.3.4, 198.51.100.3",), "198.51.100.3"),  # the caller wrote 1.2.3.4 itself
        (("1.2.3.4, 10.0.0.9, 198.51.100.3, 10.0.0.2",), "198.51.100.3"),
        (("1.2.3.4", "198.51.100.3"), "198.51.100.3"),  # two headers are one list
        (("198.51.100.3:40000",), "198.51.100.3"),
        (("[2001:db8::5]:40000",), "2001:db8::5"),
        (("2001:db8::5",), "2001:db8::5"),
        (("unknown",), "10.0.0.1"),
        (("198.51.100.3, unknown",), "10.0.0.1"),
        (("",), "10.0.0.1"),
        ((), "10.0.0.1"),
        (("10.0.0.7",), "10.0.0.7"),
        (("2001:db8:1::9, 10.0.0.2",), "2001:db8:1::9"),
    ],
)
def test_a_proxy_of_ours_says_who_spoke_to_it(forwarded: tuple[str, ...], address: str) -> None:
    found = seen("10.0.0.1", *forwarded)
    assert (found.address, found.forged) == (address, False)


def test_tls_is_the_nearest_proxy_s_word() -> None:
    assert seen("10.0.0.1", proto="https").secure
    assert not seen("10.0.0.1", proto="https, http").secure
    assert not seen("10.0.0.1", proto="http", secure=True).secure


@given(st.lists(st.text(max_size=40), max_size=30), st.sampled_from(["192.0.2.7", "10.0.0.1"]))
def test_whatever_is_claimed_a_stranger_never_becomes_another(claims: list[str], peer: str) -> None:
    found = seen(peer, ", ".join([*claims, "203.0.113.9"]))
    assert found.address == ("192.0.2.7" if peer == "192.0.2.7" else "203.0.113.9")
