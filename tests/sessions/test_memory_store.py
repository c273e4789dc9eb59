"""Sessions that a single server has put aside."""

from __future__ import annotations

from antiphon.sessions.store import Holding, MemoryStore


async def test_what_was_said_is_forgotten_in_time() -> None:
    now = 100.0
    store = MemoryStore(keep_s=60.0, now=lambda: now)
    for name in ("held", "put aside"):
        await store.create(name, Holding(), token=b"t", record=b"words")
    await store.release("put aside", Holding(), b"words")
    store.forget_old()
    assert list(store._kept) == ["held", "put aside"]
    now += 60.0
    store.forget_old()
    assert list(store._kept) == ["held"]
