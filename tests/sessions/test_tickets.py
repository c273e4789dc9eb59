"""A ticket opens one conversation, soon, from where it was given to."""

from __future__ import annotations

import asyncio

import pytest
from tests.valkey_server import ValkeyServer

from antiphon.errors import RefusedError, StoreAwayError, TicketError
from antiphon.sessions import tickets
from antiphon.sessions.tickets import ANY, MemoryTickets, Ticket, TicketOffice, ValkeyTickets
from antiphon.store.valkey import open_valkey

PAGE = "https://talk.example.org"
MINE = Ticket(origin=PAGE, address="192.0.2.1", key="shop")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def refused(office: TicketOffice, value: str, *, origin: str = PAGE, address: str = "192.0.2.1") -> str:
    with pytest.raises(TicketError) as error:
        await office.redeem(value, origin=origin, address=address)
    assert value not in error.value.message
    return error.value.message


async def test_it_is_good_once() -> None:
    office = TicketOffice(MemoryTickets())
    value = await office.give(MINE)
    assert await office.redeem(value, origin=PAGE, address="192.0.2.1") == MINE
    assert "was used" in await refused(office, value)


async def test_one_that_nobody_used_is_forgotten_in_time() -> None:
    clock = Clock()
    store = MemoryTickets(clock)
    await TicketOffice(store).give(MINE)
    store.forget_old()
    assert store._kept
    clock.now += tickets.TICKET_S
    store.forget_old()
    assert not store._kept


async def test_a_stolen_one_is_refused_and_used_up() -> None:
    office = TicketOffice(MemoryTickets())
    value = await office.give(MINE)
    assert "another address" in await refused(office, value, address="203.0.113.5")
    assert "was used" in await refused(office, value)
    value = await office.give(MINE)
    assert "another origin" in await refused(office, value, origin="https://evil.example.org")
    value = await office.give(MINE)
    assert "another origin" in await refused(office, value, origin="")


async def test_it_expires() -> None:
    clock = Clock()
    office = TicketOffice(MemoryTickets(clock))
    value = await office.give(MINE)
    clock.now += tickets.TICKET_S
    assert "older than 30 s" in await refused(office, value)


@pytest.mark.parametrize("value", ["", "x", "é" * 50, "\udcff", "x" * 5000])
async def test_a_made_up_one_is_none(value: str) -> None:
    assert "never was" in await refused(TicketOffice(MemoryTickets()), value or "empty")


async def test_a_backend_may_leave_it_unbound() -> None:
    office = TicketOffice(MemoryTickets())
    value = await office.give(Ticket(origin=ANY, address=ANY, key="shop"))
    assert (await office.redeem(value, origin="", address="203.0.113.5")).key == "shop"


async def test_what_waits_to_be_used_is_bounded() -> None:
    clock = Clock()
    store = MemoryTickets(clock)
    for _ in range(tickets.MOST):
        await store.put(MINE)
    with pytest.raises(RefusedError):
        await store.put(MINE)
    clock.now += tickets.TICKET_S
    assert await store.take(await store.put(MINE)) == MINE


@pytest.mark.real_time
async def test_of_all_replicas_one_takes_it(valkey: ValkeyServer) -> None:
    async with open_valkey(valkey.url) as here, open_valkey(valkey.url) as there:
        value = await TicketOffice(ValkeyTickets(here)).give(MINE)
        offices = [TicketOffice(ValkeyTickets(place)) for place in (here, there)]
        takers = [offices[number % 2].redeem(value, origin=PAGE, address="192.0.2.1") for number in range(20)]
        results = await asyncio.gather(*takers, return_exceptions=True)
    assert results.count(MINE) == 1
    assert sum(isinstance(result, TicketError) for result in results) == 19


@pytest.mark.real_time
async def test_the_store_holds_no_ticket_that_could_be_used(valkey: ValkeyServer) -> None:
    async with open_valkey(valkey.url) as here:
        value = await TicketOffice(ValkeyTickets(here)).give(MINE)
        (key,) = await here.client.keys("antiphon:ticket:*")
        assert value.encode() not in key
        assert 0 < await here.client.pttl(key) <= tickets.TICKET_S * 1000


@pytest.mark.real_time
async def test_without_the_store_a_replica_takes_its_own(valkey: ValkeyServer) -> None:
    async with open_valkey(valkey.url) as here:
        office = TicketOffice(ValkeyTickets(here))
        lost = await office.give(MINE)
        valkey.kill()
        value = await office.give(MINE)
        assert await office.redeem(value, origin=PAGE, address="192.0.2.1") == MINE
        # One that was used here, and one that is in the store: which of them it is, nobody can say now.
        for other in (value, lost):
            with pytest.raises(StoreAwayError) as told:
                await office.redeem(other, origin=PAGE, address="192.0.2.1")
            assert told.value.retry_after_s


@pytest.mark.real_time
async def test_one_that_the_store_kept_and_could_not_say_so_is_good_once(valkey: ValkeyServer) -> None:
    async with open_valkey(valkey.url, timeout_s=0.2) as here, open_valkey(valkey.url) as there:
        office, other = TicketOffice(ValkeyTickets(here)), TicketOffice(ValkeyTickets(there))
        valkey.pause()
        value = await office.give(MINE)
        valkey.unpause()
        async with asyncio.timeout(30):
            while not await there.client.keys("antiphon:ticket:*"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)  # until it has read what it was sent
            while not (here.available and there.available):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert await office.redeem(value, origin=PAGE, address="192.0.2.1") == MINE
        for each in (other, office):
            assert "was used" in await refused(each, value)
