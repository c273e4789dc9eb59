"""A seat among those of an address. A connection needs it, and so does the conversation that it opens and that may
outlive it: who drops their line again and again has no more conversations for it."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from antiphon.sessions.address_limits import AddressLimits, LimitStore


class Seat:
    """Left when neither needs it any more. While a conversation waits for its caller it is lent: of those of an address
    the one that waits for longest makes room for whoever comes next from there."""

    def __init__(self, store: LimitStore, name: str) -> None:
        """``name``: of the address."""
        self._store, self._name = store, name
        self._seat = secrets.token_urlsafe(9)
        self._connected = True
        self._make_room: Callable[[], object] | None = None

    async def take(self, limits: AddressLimits) -> None:
        """For a connection. Raises RateLimitedError when there is none; ``disconnect`` in any case."""
        await self._store.enter(self._name, self._seat, limits)

    def keep(self, make_room: Callable[[], object]) -> None:
        """For a conversation, too, which can be asked to make room."""
        self._make_room = make_room

    async def disconnect(self) -> None:
        """The connection is gone."""
        self._connected = False
        if self._make_room is None:
            await self._store.leave(self._name, self._seat)
        else:
            await self._store.lend(self._name, self._seat, self._make_room)

    async def give_up(self) -> None:
        """The conversation does not need it: it is over, goes on elsewhere, or has another one."""
        self._make_room = None
        if not self._connected:
            await self._store.leave(self._name, self._seat)
