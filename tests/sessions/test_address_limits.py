"""What one address may have, in this process and across replicas."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.valkey_server import ValkeyServer

from antiphon.errors import RateLimitedError
from antiphon.sessions.address_limits import (
    AddressLimits,
    LimitPolicy,
    LimitStore,
    MemoryLimits,
    address_group,
    is_public,
)
from antiphon.sessions.rates import Rate
from antiphon.sessions.valkey_limits import ValkeyLimits
from antiphon.store.valkey import Script, Valkey, open_valkey

TWO = AddressLimits(sessions=2)


@asynccontextmanager
async def shared_limits(server: ValkeyServer) -> AsyncIterator[ValkeyLimits]:
    """One replica's."""
    async with open_valkey(server.url) as valkey:
        yield ValkeyLimits(valkey)


async def check_seats(one: LimitStore, other: LimitStore) -> None:
    """Two replicas (or one, twice)."""
    await one.enter("a", "s1", TWO)
    await other.enter("a", "s2", TWO)
    with pytest.raises(RateLimitedError) as refused:
        await other.enter("a", "s3", TWO)
    assert refused.value.retry_after_s
    await one.enter("b", "s4", TWO)
    await one.leave("a", "s1")
    await one.leave("a", "s1")
    await other.enter("a", "s3", TWO)


async def check_rates(one: LimitStore, other: LimitStore) -> None:
    limits = AddressLimits(connects=Rate(count=2, per_s=600.0))
    await one.enter("c", "s1", limits)
    await other.enter("c", "s2", limits)
    with pytest.raises(RateLimitedError) as refused:
        await one.enter("c", "s3", limits)
    assert refused.value.retry_after_s == pytest.approx(300.0, abs=30)
    rate = Rate(count=1, per_s=600.0)
    assert await one.wait("password:d", rate) == 0.0
    assert await one.wait("password:d", rate) == 0.0, "asking costs nothing"
    assert await one.spend("password:d", rate) == 0.0
    assert await other.spend("password:d", rate) > 500.0
    assert await one.wait("password:d", rate) > 500.0
    assert await other.wait("password:d", rate) > 500.0


async def check_lent(one: MemoryLimits | ValkeyLimits, other: MemoryLimits | ValkeyLimits) -> None:
    """Whoever waits for longest makes room, at whichever replica."""
    lost: list[str] = []
    await one.enter("d", "s1", TWO)
    await one.enter("d", "s2", TWO)
    await one.lend("d", "s2", lambda: lost.append("s2"))
    await one.lend("d", "s1", lambda: lost.append("s1"))
    once = AddressLimits(sessions=2, connects=Rate(count=1, per_s=600.0))
    await other.enter("d", "s3", once)
    with pytest.raises(RateLimitedError, match="connections"):
        await other.enter("d", "s4", once)
    if isinstance(one, ValkeyLimits):
        await one.renew()
    assert lost == ["s2"], "and nobody for one who is refused"
    await other.enter("d", "s5", TWO)
    if isinstance(one, ValkeyLimits):
        await one.renew()
    assert lost == ["s2", "s1"]
    with pytest.raises(RateLimitedError):
        await one.enter("d", "s6", TWO)
    for seat in ("s1", "s2"):
        await one.leave("d", seat)
    await other.leave("d", "s3")
    await one.enter("d", "s7", TWO)
    await one.lend("d", "s7", lambda: lost.append("s7"))
    await one.leave("d", "s7")
    await other.enter("d", "s8", TWO)
    assert lost == ["s2", "s1"]


async def test_seats_and_rates_in_this_process() -> None:
    limits = MemoryLimits()
    await check_seats(limits, limits)
    await check_lent(limits, limits)
    await check_rates(limits, limits)


@pytest.mark.real_time
async def test_seats_and_rates_across_replicas(valkey: ValkeyServer) -> None:
    async with shared_limits(valkey) as one, shared_limits(valkey) as other:
        await check_seats(one, other)
        await check_lent(one, other)
        await check_rates(one, other)


@pytest.mark.real_time
async def test_whoever_is_refused_by_one_count_is_not_counted_by_the_other(valkey: ValkeyServer) -> None:
    rate = Rate(count=1, per_s=600.0)
    async with shared_limits(valkey) as one, shared_limits(valkey) as other:
        assert await one.spend("x", rate) == 0.0
        for _ in range(20):
            assert 500.0 < await other.spend("x", rate) <= 600.0, "by the store"
            assert 500.0 < await one.spend("x", rate) <= 600.0, "by its own"
        valkey.ask("DEL", "antiphon:rate:x")
        assert await other.spend("x", rate) == 0.0


@pytest.mark.real_time
async def test_of_many_at_once_only_so_many_get_a_seat(valkey: ValkeyServer) -> None:
    async with shared_limits(valkey) as one, shared_limits(valkey) as other:
        tries = [
            (one if number % 2 else other).enter("a", f"s{number}", AddressLimits(sessions=5))
            for number in range(40)
        ]
        results = await asyncio.gather(*tries, return_exceptions=True)
    assert results.count(None) == 5


@pytest.mark.real_time
async def test_a_seat_is_a_lease_that_is_renewed(valkey: ValkeyServer) -> None:
    async with shared_limits(valkey) as limits:
        await limits.enter("a", "s1", TWO)
        valkey.ask("PEXPIRE", "antiphon:seats:a", "5000")
        await limits.renew()
        assert int(valkey.ask("PTTL", "antiphon:seats:a")[1:]) > 5000
        await limits.leave("a", "s1")
        assert valkey.ask("EXISTS", "antiphon:seats:a") == ":0"


class SlowValkey(Valkey):
    """Its way to the store holds scripts up until told."""

    def __init__(self, client: Any) -> None:
        super().__init__(client, place="a slow one")
        self.go = asyncio.Event()
        self.go.set()

    def script(self, source: str) -> Script:
        go = self.go

        class SlowScript(Script):
            async def __call__(self, **named: Any) -> Any:
                await go.wait()
                return await super().__call__(**named)

        return SlowScript(self, source)


@pytest.mark.real_time
async def test_a_seat_that_is_left_while_it_is_renewed_is_free(valkey: ValkeyServer) -> None:
    async with open_valkey(valkey.url) as open_one:
        slow = SlowValkey(open_one.client)
        limits = ValkeyLimits(slow)
        await limits.enter("a", "s1", TWO)
        await limits.enter("a", "s2", TWO)
        slow.go.clear()
        renewing = asyncio.create_task(limits.renew())
        await asyncio.sleep(0)
        await limits.leave("a", "s1")
        slow.go.set()
        await renewing
        assert valkey.ask("ZCARD", "antiphon:seats:a") == ":1"


@pytest.mark.real_time
async def test_without_the_store_each_replica_limits_by_itself(valkey: ValkeyServer) -> None:
    async with shared_limits(valkey) as limits:
        await limits.enter("a", "s1", TWO)
        valkey.kill()
        await limits.enter("a", "s2", TWO)
        with pytest.raises(RateLimitedError):
            await limits.enter("a", "s3", TWO)
        await limits.renew()
        await limits.leave("a", "s1")
        assert await limits.spend("x", Rate(count=1, per_s=60.0)) == 0.0
        assert await limits.spend("x", Rate(count=1, per_s=60.0)) > 0.0


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("nonsense", "unknown"),
        ("", "unknown"),
    ],
)
def test_an_address_stands_for_its_line(address: str, group: str) -> None:
    assert address_group(address) == group


@pytest.mark.parametrize(
    ("address", "public"),
    [("8.8.8.8", True), ("127.0.0.1", False), ("::1", False), ("10.1.2.3", False), ("::ffff:10.1.2.3", False),
     ("2606:4700::1", True), ("fd00::1", False), ("nonsense", True)],
)  # fmt: skip
def test_auto_limits_the_internet_only(address: str, public: bool) -> None:
    assert is_public(address) is public
    assert bool(LimitPolicy().of(address).sessions) is public
    assert bool(LimitPolicy().of(address).connects) is public


def test_a_number_holds_for_everybody_and_nought_is_no_limit() -> None:
    limits = LimitPolicy(sessions=3, connects_per_minute=0).of("127.0.0.1")
    assert limits == AddressLimits(sessions=3, connects=None)
    assert LimitPolicy(sessions=0).of("8.8.8.8").sessions == 0


@pytest.mark.real_time
async def test_one_that_was_lent_and_taken_here_is_known_to_be_at_once(valkey: ValkeyServer) -> None:
    async with shared_limits(valkey) as limits:
        lost: list[str] = []
        one = AddressLimits(sessions=1)
        await limits.enter("a", "s1", one)
        await limits.lend("a", "s1", lambda: lost.append("s1"))
        await limits.enter("a", "s2", one)
        assert lost == ["s1"]
        valkey.kill()
        await limits.lend("a", "s2", lambda: lost.append("s2"))
        await limits.enter("a", "s3", one)
        assert lost == ["s1", "s2"]
