"""Sessions in a real Valkey: who holds which, and whose writes count."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.valkey_server import ValkeyServer

from antiphon.errors import StoreUnavailable
from antiphon.sessions.keeping import Keeping
from antiphon.sessions.snapshot import Snapshot, unpack
from antiphon.sessions.store import Claim, HeldElsewhere, Holding, Standing, WrongToken
from antiphon.sessions.valkey_store import ValkeyStore
from antiphon.store.valkey import open_valkey

pytestmark = pytest.mark.real_time

ID = "session00001"
TOKEN = b"hash"
LONG_S = 30.0


@asynccontextmanager
async def replicas(
    server: ValkeyServer, *, lease_s: float = 30.0, timeout_s: float = 1.0
) -> AsyncIterator[tuple[ValkeyStore, ValkeyStore]]:
    async with open_valkey(server.url, timeout_s=timeout_s) as one, open_valkey(server.url) as two:
        yield (
            ValkeyStore(one, replica="one", lease_s=lease_s, keep_s=60.0),
            ValkeyStore(two, replica="two", lease_s=lease_s, keep_s=60.0),
        )


async def claimed(store: ValkeyStore) -> Claim:
    """Once its holder lets go, or is found dead."""
    async with asyncio.timeout(LONG_S):
        while True:
            try:
                claim = await store.claim(ID, token=TOKEN)
            except HeldElsewhere:
                await asyncio.sleep(0.02)
            else:
                assert claim is not None
                return claim


async def test_a_session_let_go_of_is_had_at_once_and_only_with_its_token(valkey: ValkeyServer) -> None:
    async with replicas(valkey) as (one, two):
        await one.create(ID, Holding(fence=1), token=TOKEN, record=b"first")
        with pytest.raises(HeldElsewhere):
            await two.claim(ID, token=TOKEN)
        assert await one.renew({ID: Holding(fence=1)}) == {ID: "wanted"}
        assert await one.release(ID, Holding(fence=1), b"last") == "held"
        with pytest.raises(WrongToken):
            await two.claim(ID, token=b"another")
        assert await two.claim("nosuchname00", token=TOKEN) is None
        claim = await two.claim(ID, token=TOKEN)
        assert claim is not None
        assert (claim.record, claim.fence > 1) == (b"last", True)
        assert await two.renew({ID: Holding(fence=claim.fence)}) == {ID: "held"}


async def test_a_dead_holder_keeps_a_session_for_its_lease_and_no_longer(valkey: ValkeyServer) -> None:
    async with replicas(valkey, lease_s=0.3) as (one, two):
        await one.create(ID, Holding(fence=1), token=TOKEN, record=b"kept")
        assert (await claimed(two)).record == b"kept"


async def test_one_that_was_overtaken_writes_nothing_more(valkey: ValkeyServer) -> None:
    """It slept through its lease, and wakes up."""
    async with replicas(valkey, lease_s=0.2) as (one, two):
        await one.create(ID, Holding(fence=1), token=TOKEN, record=b"old")
        second = await claimed(two)
        assert await one.write(ID, Holding(fence=1), b"older") == "lost"
        assert await one.release(ID, Holding(fence=1), b"older") == "lost"
        assert await one.renew({ID: Holding(fence=1)}) == {ID: "lost"}
        await one.forget(ID, fence=1)
        assert await two.release(ID, Holding(fence=second.fence), b"new") == "held"
        third = await one.claim(ID, token=TOKEN)
        assert third is not None
        assert (third.record, third.fence > second.fence) == (b"new", True)


async def test_of_two_with_the_same_fence_the_one_without_the_lease_writes_nothing(
    valkey: ValkeyServer,
) -> None:
    async with replicas(valkey) as (one, two):
        await one.create(ID, Holding(fence=2), token=TOKEN, record=b"one's")
        assert await two.write(ID, Holding(fence=2, version=5), b"two's") == "lost"
        assert await two.renew({ID: Holding(fence=2)}) == {ID: "lost"}
        await two.forget(ID, fence=2)
        assert await one.release(ID, Holding(fence=2), b"one's") == "held"
        assert (await claimed(two)).record == b"one's"


async def test_no_two_claims_get_one_fence_whatever_the_store_lost_between_them(valkey: ValkeyServer) -> None:
    async with replicas(valkey) as (one, two):
        fences = set()
        for store in (one, two) * 5:
            await one.create(ID, Holding(fence=1), token=TOKEN, record=b"r")
            await one.release(ID, Holding(fence=1), b"r")
            fences.add((await claimed(store)).fence)
            valkey.ask("DEL", f"antiphon:session:{ID}", f"antiphon:lease:{ID}")  # and with it the last fence
        assert len(fences) == 10


async def test_a_session_that_was_hung_up_stays_so(valkey: ValkeyServer) -> None:
    """Its first holder slept through all of that, and still has its words."""
    async with replicas(valkey, lease_s=0.2) as (one, two):
        await one.create(ID, Holding(fence=1), token=TOKEN, record=b"words")
        await two.forget(ID, fence=(await claimed(two)).fence)
        assert await one.write(ID, Holding(fence=1), b"words") == "lost"
        await one.create(ID, Holding(fence=1), token=TOKEN, record=b"words")
        assert await two.claim(ID, token=TOKEN) is None


async def test_who_gives_up_waiting_for_a_session_does_not_keep_it_wanted(valkey: ValkeyServer) -> None:
    async with replicas(valkey) as (one, two), asyncio.timeout(LONG_S):
        await one.create(ID, Holding(fence=1), token=TOKEN, record=b"r")
        with pytest.raises(HeldElsewhere):
            await two.claim(ID, token=TOKEN)
        standings: list[str] = []
        while "held" not in standings:
            standings += (await one.renew({ID: Holding(fence=1)})).values()
        assert set(standings) == {"wanted", "held"}


async def test_one_caller_who_comes_twice_at_the_same_time_gets_one_session(valkey: ValkeyServer) -> None:
    async with replicas(valkey) as (one, _):
        await one.create(ID, Holding(fence=1), token=TOKEN, record=b"r")
        await one.release(ID, Holding(fence=1), b"r")
        await claimed(one)
        with pytest.raises(HeldElsewhere):
            await one.claim(ID, token=TOKEN)


async def test_of_many_who_claim_one_gets_it(valkey: ValkeyServer) -> None:
    async with replicas(valkey) as (one, two):
        for _ in range(20):
            await one.create(ID, Holding(), token=TOKEN, record=b"r")
            await one.release(ID, Holding(), b"r")
            claims = await asyncio.gather(
                *(store.claim(ID, token=TOKEN) for store in (one, two)), return_exceptions=True
            )
            assert sorted(type(claim).__name__ for claim in claims) == ["Claim", "HeldElsewhere"]
            valkey.ask("DEL", f"antiphon:session:{ID}", f"antiphon:lease:{ID}")


async def test_a_store_that_lost_its_last_second_follows_the_newest_holder(valkey: ValkeyServer) -> None:
    """It came back from its file with an older fence than the holder's."""
    async with replicas(valkey) as (one, two):
        await one.create(ID, Holding(fence=1), token=TOKEN, record=b"old")
        assert await two.renew({ID: Holding(fence=2)}) == {ID: "held"}
        assert await one.renew({ID: Holding(fence=1)}) == {ID: "lost"}


async def test_a_store_that_fell_back_behind_a_write_is_written_again(valkey: ValkeyServer) -> None:
    async with replicas(valkey) as (one, _):
        await one.create(ID, Holding(version=1), token=TOKEN, record=b"first")
        assert await one.renew({ID: Holding(version=1)}) == {ID: "held"}
        assert await one.renew({ID: Holding(version=2)}) == {ID: "missing"}
        assert await one.write(ID, Holding(version=3), b"third") == "held"
        assert await one.renew({ID: Holding(version=2)}) == {ID: "held"}


async def test_one_that_the_store_forgot_is_kept_again(valkey: ValkeyServer) -> None:
    async with replicas(valkey) as (one, _):
        assert await one.renew({ID: Holding(fence=1)}) == {ID: "missing"}
        assert await one.write(ID, Holding(fence=1), b"r") == "missing"


async def test_a_write_that_comes_late_undoes_nothing(valkey: ValkeyServer) -> None:
    """Overtaken on its way by the last one, with which its holder let go."""
    async with replicas(valkey) as (one, two):
        await one.create(ID, Holding(version=1), token=TOKEN, record=b"first")
        assert await one.release(ID, Holding(version=3), b"last") == "held"
        await one.create(ID, Holding(version=1), token=TOKEN, record=b"first")
        assert await one.write(ID, Holding(version=2), b"second") == "held"
        claim = await two.claim(ID, token=TOKEN)
        assert claim is not None
        assert claim.record == b"last"


async def test_a_write_that_comes_after_the_end_keeps_nothing(valkey: ValkeyServer) -> None:
    async with replicas(valkey) as (one, two):
        await one.create(ID, Holding(version=1), token=TOKEN, record=b"words")
        await one.forget(ID, fence=1)
        assert await one.write(ID, Holding(version=2), b"words") == "held"
        await one.create(ID, Holding(version=2), token=TOKEN, record=b"words")
        assert await two.claim(ID, token=TOKEN) is None


# ---- what a session writes while the store is away


async def test_what_could_not_be_written_is_written_when_the_store_is_back(valkey: ValkeyServer) -> None:
    async with replicas(valkey, timeout_s=0.2) as (one, two), asyncio.timeout(LONG_S):
        keeping = Keeping(one, ID, token=TOKEN, fence=1, known=False)
        running = asyncio.ensure_future(keeping.run())
        await keeping.keep(Snapshot(epoch=1, seq=1))
        valkey.pause()
        for seq in (2, 3):  # nobody waits long
            await asyncio.wait_for(keeping.keep(Snapshot(epoch=1, seq=seq)), 5)
        valkey.unpause()
        await keeping.keep(Snapshot(epoch=1, seq=4))
        while (record := await kept(two)) is None or record.seq < 4:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        running.cancel()


async def kept(store: ValkeyStore) -> Snapshot | None:
    """What is kept of the session, whoever holds it."""
    try:
        with store._valkey.reaching():
            record = await store._valkey.client.hget(f"antiphon:session:{ID}", "record")
    except StoreUnavailable:
        return None
    return unpack(record) if isinstance(record, bytes) else None


async def test_one_that_was_overtaken_learns_of_it_by_its_next_write(valkey: ValkeyServer) -> None:
    async with replicas(valkey, lease_s=0.2) as (one, two), asyncio.timeout(LONG_S):
        keeping = Keeping(one, ID, token=TOKEN, fence=1, known=False)
        running = asyncio.ensure_future(keeping.run())
        await keeping.keep(Snapshot(epoch=1, seq=1))
        await claimed(two)
        keeping.keep_soon(lambda: Snapshot(epoch=1, seq=2))
        await keeping.lost.wait()
        await running


class SlowStore(ValkeyStore):
    """Its writes are on their way until told, as on another connection."""

    def __init__(self, like: ValkeyStore) -> None:
        self.__dict__ = like.__dict__
        self.writing, self.go, self.written = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def write(self, session_id: str, holding: Holding, record: bytes) -> Standing:
        self.writing.set()
        await self.go.wait()
        standing = await super().write(session_id, holding, record)
        self.written.set()
        return standing


async def test_one_that_is_handed_over_while_it_is_written_is_handed_over(valkey: ValkeyServer) -> None:
    async with replicas(valkey) as (one, two), asyncio.timeout(LONG_S):
        slow = SlowStore(one)
        keeping = Keeping(slow, ID, token=TOKEN, fence=1, known=False)
        running = asyncio.ensure_future(keeping.run())
        await keeping.keep(Snapshot(epoch=1, seq=1))
        keeping.keep_soon(lambda: Snapshot(epoch=1, seq=2))
        await slow.writing.wait()
        await keeping.release(Snapshot(epoch=1, seq=3, handed_over=True))
        slow.go.set()
        await slow.written.wait()
        running.cancel()
        claim = await two.claim(ID, token=TOKEN)
        assert claim is not None
        assert unpack(claim.record) == Snapshot(epoch=1, seq=3, handed_over=True)


async def test_one_that_ended_while_the_store_was_away_is_not_to_be_had_after_it(
    valkey: ValkeyServer,
) -> None:
    async with replicas(valkey, timeout_s=0.2) as (one, two), asyncio.timeout(LONG_S):
        keeping = Keeping(one, ID, token=TOKEN, fence=1, known=False)
        running = asyncio.ensure_future(keeping.run())
        await keeping.keep(Snapshot(epoch=1, seq=1))
        running.cancel()
        valkey.pause()
        await keeping.end(forget=True)
        assert await one.claim(ID, token=TOKEN) is None, "without asking the store"
        valkey.unpause()
        while not (one.available and two.available):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        assert await one.claim(ID, token=TOKEN) is None
        await one.renew({})
        assert await two.claim(ID, token=TOKEN) is None
        assert not one._over
