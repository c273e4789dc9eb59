"""What replicas tell each other: each posts notes under its own name, which last for a while, and reads everybody's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from antiphon.store.valkey import KEYS, Valkey


class Board(Protocol):
    """A notice board. One note a replica and topic: the newest."""

    @property
    def name(self) -> str:
        """Of this replica, as the others see it."""

    async def post(self, topic: str, note: bytes, *, keep_s: float) -> None:
        """For everybody, until it is posted again or ``keep_s`` have passed. Raises StoreUnavailable."""

    async def read(self, topic: str) -> Mapping[str, bytes]:
        """Replica → its note, our own included. Raises StoreUnavailable."""


class ValkeyBoard:
    """In the store that the replicas share."""

    def __init__(self, valkey: Valkey, *, name: str) -> None:
        self._valkey = valkey
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    async def post(self, topic: str, note: bytes, *, keep_s: float) -> None:
        keep_ms = round(keep_s * 1_000)
        with self._valkey.reaching():
            async with self._valkey.client.pipeline(transaction=True) as both:
                both.set(_note(topic, self._name), note, px=keep_ms)
                both.sadd(_names(topic), self._name)
                # Whoever posts keeps the list; names without a note are taken out by who reads.
                both.pexpire(_names(topic), max(keep_ms, LIST_MS))
                await both.execute()

    async def read(self, topic: str) -> Mapping[str, bytes]:
        with self._valkey.reaching():
            client = self._valkey.client
            listed = await client.smembers(_names(topic))
            names = sorted(name.decode() for name in listed if isinstance(name, bytes))
            notes = await client.mget([_note(topic, name) for name in names]) if names else []
            found = {name: note for name, note in zip(names, notes, strict=True) if isinstance(note, bytes)}
            if gone := [name for name in names if name not in found]:
                await client.srem(_names(topic), *gone)
        return found


LIST_MS = 86_400_000
"""How long the list of a topic's names outlives its last note."""


def _names(topic: str) -> str:
    return f"{KEYS}board:{topic}"


def _note(topic: str, name: str) -> str:
    return f"{KEYS}board:{topic}:{name}"
