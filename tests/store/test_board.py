"""The board that replicas share, on a real Valkey."""

from __future__ import annotations

import pytest
from tests.valkey_server import ValkeyServer

from antiphon.errors import StoreUnavailable
from antiphon.store.board import ValkeyBoard
from antiphon.store.valkey import open_valkey

pytestmark = pytest.mark.real_time


async def test_everybody_reads_what_everybody_posted_last(valkey: ValkeyServer) -> None:
    async with open_valkey(valkey.url) as store:
        one, other = ValkeyBoard(store, name="one"), ValkeyBoard(store, name="other")
        assert await one.read("sessions") == {}
        await one.post("sessions", b"first", keep_s=60)
        await one.post("sessions", b"second", keep_s=60)
        await other.post("sessions", b"mine", keep_s=60)
        await other.post("figures", b"1", keep_s=60)
        assert await one.read("sessions") == {"one": b"second", "other": b"mine"}
        assert await one.read("figures") == {"other": b"1"}


async def test_a_note_that_is_old_is_gone_and_so_is_its_name(valkey: ValkeyServer) -> None:
    async with open_valkey(valkey.url) as store:
        one, other = ValkeyBoard(store, name="one"), ValkeyBoard(store, name="other")
        await one.post("sessions", b"mine", keep_s=60)
        await other.post("sessions", b"theirs", keep_s=60)
        with store.reaching():
            await store.client.delete("antiphon:board:sessions:other")  # as when its time is over
        assert await one.read("sessions") == {"one": b"mine"}
        with store.reaching():
            assert await store.client.smembers("antiphon:board:sessions") == {b"one"}
            assert 0 < await store.client.pttl("antiphon:board:sessions:one") <= 60_000


async def test_a_store_that_is_away_is_told_of(valkey: ValkeyServer) -> None:
    async with open_valkey(valkey.url) as store:
        board = ValkeyBoard(store, name="one")
        valkey.kill()
        with pytest.raises(StoreUnavailable):
            await board.post("sessions", b"x", keep_s=60)
        with pytest.raises(StoreUnavailable):
            await board.read("sessions")
