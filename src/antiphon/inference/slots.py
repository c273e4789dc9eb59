"""Which conversation's prompt cache lives in which slot of the language model. Pure bookkeeping, thread-safe."""

from __future__ import annotations

import threading
from collections import OrderedDict


class Slots:
    """A fixed number of caches for any number of conversations, the least recently used one given away first.

    A conversation is known by its key; the empty key is nobody's, and takes what is least missed.
    """

    def __init__(self, count: int) -> None:
        self._owner: OrderedDict[int, str] = OrderedDict((slot, "") for slot in range(count))
        self._busy: set[int] = set()
        self._lock = threading.Lock()

    def take(self, key: str) -> int | None:
        """The slot for ``key``, now busy; None when it has to wait: for its own slot if that is busy (another
        would not hold its conversation), else for any."""
        with self._lock:
            own = self._owned_by(key)
            if own is not None:
                slot: int | None = own if own not in self._busy else None
            else:
                free = [slot for slot in self._owner if slot not in self._busy]
                slot = min(free, key=lambda slot: bool(self._owner[slot]), default=None)
            if slot is not None:
                self._busy.add(slot)
                self._owner[slot] = key
                self._owner.move_to_end(slot)
            return slot

    def release(self, slot: int) -> None:
        """The slot's work has ended; what it cached stays its owner's."""
        with self._lock:
            self._busy.remove(slot)

    def owned_by(self, key: str) -> int | None:
        """The slot that holds this conversation, busy or not."""
        with self._lock:
            return self._owned_by(key)

    def _owned_by(self, key: str) -> int | None:
        if not key:
            return None
        return next((slot for slot, owner in self._owner.items() if owner == key), None)

    @property
    def busy(self) -> int:
        return len(self._busy)
