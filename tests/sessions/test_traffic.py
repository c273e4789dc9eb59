"""How fast one address may send, whatever the number of its connections."""

from __future__ import annotations

import pytest

from antiphon.sessions.address_limits import LimitPolicy
from antiphon.sessions.traffic import AddressPace, Traffic

TEN = LimitPolicy(messages_per_s=10, bytes_per_s=0)


def pace_of(traffic: Traffic, address: str) -> AddressPace:
    pace = traffic.of(address)
    assert pace is not None
    return pace


def passed(pace: AddressPace, *, size: int = 100, now: float, tries: int = 1000) -> int:
    """How many messages pass at once."""
    return sum(not pace.admit(size, now=now) for _ in range(tries))


def test_connections_of_one_address_share_its_pace() -> None:
    traffic = Traffic(TEN)
    one, other = pace_of(traffic, "192.0.2.7"), pace_of(traffic, "192.0.2.7")
    assert passed(one, now=1000.0, tries=60) == 60
    assert passed(other, now=1000.0) == 40, "ten seconds' worth at once"
    assert one.admit(100, now=1000.0) == pytest.approx(0.1)
    assert passed(other, now=1001.0) == 10
    assert passed(pace_of(traffic, "192.0.2.8"), now=1000.0) == 100


def test_of_ipv6_a_whole_line_is_one_address() -> None:
    traffic = Traffic(TEN)
    assert passed(pace_of(traffic, "2001:db8::1"), now=1000.0) == 100
    assert passed(pace_of(traffic, "2001:db8::ffff"), now=1000.0) == 0


def test_bytes_are_counted_beside_messages() -> None:
    traffic = Traffic(LimitPolicy(messages_per_s=0, bytes_per_s=10_000))
    pace = pace_of(traffic, "192.0.2.7")
    assert passed(pace, size=30_000, now=1000.0) == 3
    assert pace.admit(30_000, now=1000.0) == pytest.approx(2.0)
    assert passed(pace, size=1000, now=1000.0) == 10


def test_a_connection_that_comes_back_finds_its_address_s_pace_as_it_left_it() -> None:
    traffic = Traffic(TEN)
    assert passed(pace_of(traffic, "192.0.2.7"), now=1000.0) == 100
    assert passed(pace_of(traffic, "192.0.2.7"), now=1000.0) == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.1.2.3", "fd00::1"])
def test_auto_holds_nobody_on_a_private_network(address: str) -> None:
    assert Traffic(LimitPolicy(sessions=3)).of(address) is None


def test_auto_is_half_of_what_the_connections_of_an_address_may_send() -> None:
    """Ten conversations need less."""
    assert passed(pace_of(Traffic(LimitPolicy()), "8.8.8.8"), size=1, now=1000.0, tries=11_000) == 10_000
    assert (
        passed(pace_of(Traffic(LimitPolicy()), "8.8.8.8"), size=65_000, now=1000.0)
        == 10 * 1_250_000 // 65_000
    )
    few = Traffic(LimitPolicy(sessions=1, each_messages_per_s=30))
    assert passed(pace_of(few, "8.8.8.8"), size=1, now=1000.0) == 300, "never less than one connection's"
    assert Traffic(LimitPolicy(sessions=0)).of("8.8.8.8") is None, "as many as they like"
