"""A socket for whoever may be about to speak: kept for what most ask for, and for what was asked for lately.

Vendors end sockets that are idle. Opening one takes TCP, TLS and a handshake, which no turn is to wait for.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Generic, TypeVar

from antiphon.errors import ProviderError

LATELY_S = 600.0
"""Somebody asked within this time may ask again. What is usually asked for is kept ready always."""

LASTING_S = 10.0
"""A socket that was there for so long was good: vendors end those that are idle after minutes."""

SHORTEST_WAIT_S, LONGEST_WAIT_S = 0.5, 60.0
"""Before the next try after one that was not, or that could not be opened; twice as long each time."""

K = TypeVar("K", bound=Hashable)


class Pause:
    """Between sockets that lead to the same place. Pure."""

    def __init__(self) -> None:
        self._wait_s = 0.0

    def after(self, lasted_s: float) -> float:
        """Seconds to wait before the next is opened, when the last was there for ``lasted_s``; 0: it could not be
        opened."""
        good = lasted_s >= LASTING_S
        self._wait_s = 0.0 if good else min(max(2 * self._wait_s, SHORTEST_WAIT_S), LONGEST_WAIT_S)
        return self._wait_s


class Standby(Generic[K]):
    """Of one adapter; a key is whatever its sockets differ by."""

    def __init__(
        self,
        *,
        usual: K,
        open: Callable[[K], Awaitable[None]],
        spawn: Callable[[Coroutine[object, object, None]], None],
    ) -> None:
        """``usual`` is what most will ask for. ``open`` opens a socket unless one is there; it may raise
        ProviderError. ``spawn`` runs a coroutine in the background."""
        self.usual = usual
        self._open = open
        self._spawn = spawn
        self._asked_s: dict[K, float] = {}
        """Loop time at which it was last asked for."""
        self._pauses: defaultdict[K, Pause] = defaultdict(Pause)
        self._opening: set[K] = set()

    def asked(self, key: K) -> None:
        """Somebody asks for it now."""
        self._asked_s[key] = asyncio.get_running_loop().time()

    def needed(self, key: K) -> bool:
        """Whether somebody may be about to ask for it."""
        asked_s = self._asked_s.get(key)
        lately = asked_s is not None and asyncio.get_running_loop().time() - asked_s < LATELY_S
        return lately or key == self.usual

    async def warm(self) -> None:
        """Open the usual one, and keep it from now on. Raises ProviderError; it is then tried again in the background,
        unless a person must mend it first."""
        try:
            await self._open(self.usual)
        except ProviderError as error:
            if error.retryable:
                self.ended(self.usual, lasted_s=0.0)
            raise

    def ended(self, key: K, *, lasted_s: float) -> None:
        """There is none any more; the last was there for ``lasted_s``. Another is opened when it may be needed."""
        if key not in self._opening:
            self._opening.add(key)
            self._spawn(self._open_again(key, lasted_s))

    async def _open_again(self, key: K, lasted_s: float) -> None:
        try:
            while self.needed(key):
                await asyncio.sleep(self._pauses[key].after(lasted_s))
                try:
                    await self._open(key)
                    return
                except ProviderError as error:
                    if not error.retryable:
                        return  # whoever asks next hears what is wrong
                    lasted_s = 0.0
        finally:
            self._opening.discard(key)
