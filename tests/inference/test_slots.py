"""Which conversation gets which slot."""

from __future__ import annotations

from antiphon.inference.slots import Slots


def test_a_conversation_comes_back_to_its_slot() -> None:
    slots = Slots(2)
    first = slots.take("ann")
    assert first is not None
    slots.release(first)
    other = slots.take("bob")
    assert other not in (None, first)
    assert slots.take("ann") == first


def test_the_conversation_unused_for_longest_gives_up_its_slot() -> None:
    slots = Slots(2)
    owners = {}
    for key in ("ann", "bob", "ann"):
        slot = slots.take(key)
        assert slot is not None
        owners[key] = slot
        slots.release(slot)
    assert slots.take("cleo") == owners["bob"]
    assert slots.owned_by("bob") is None
    assert slots.owned_by("ann") == owners["ann"]


def test_a_busy_slot_is_neither_shared_nor_given_away() -> None:
    slots = Slots(1)
    assert slots.take("ann") == 0
    assert slots.take("ann") is None
    assert slots.take("bob") is None
    slots.release(0)
    assert slots.take("bob") == 0


def test_a_busy_conversation_waits_for_its_own_slot_though_another_is_free() -> None:
    slots = Slots(2)
    slots.take("ann")
    assert slots.take("ann") is None
    assert slots.busy == 1


def test_nobodys_request_takes_a_slot_without_owner_first() -> None:
    slots = Slots(3)
    owned = {slots.take("ann"), slots.take("bob")}
    for slot in owned:
        assert slot is not None
        slots.release(slot)
    assert slots.take("") not in owned
    assert slots.owned_by("") is None
