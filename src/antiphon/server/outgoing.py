"""What waits to be sent to one client: bounded, so that a slow one cannot fill memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from antiphon.protocol.codec import size

MAX_BYTES = 512 * 1024
"""Sound is paced about one second ahead of playback, 96 KiB at 48 kHz; five times that waiting means that the
client, or the way to it, has stopped."""

MAX_MESSAGES = 1_000
"""A reply is some hundred messages; a client that is two replies behind is not listening."""


class Overflow(Exception):
    """The client reads more slowly than it is spoken to."""


class Outgoing:
    """A queue of text and binary messages with one reader."""

    def __init__(self) -> None:
        self._waiting: deque[str | bytes] = deque()
        self._bytes = 0
        self._changed = asyncio.Event()
        self._overflown = asyncio.Event()

    def fail(self) -> None:
        """The client is too far behind for this connection to go on."""
        self._overflown.set()

    async def overflow(self) -> None:
        """Raises Overflow after ``fail``. Safe to cancel."""
        await self._overflown.wait()
        raise Overflow

    def put(self, message: str | bytes) -> None:
        """Never blocks. Raises Overflow when the client is too far behind."""
        if self._bytes + size(message) > MAX_BYTES or len(self._waiting) >= MAX_MESSAGES:
            raise Overflow
        self._waiting.append(message)
        self._bytes += size(message)
        self._changed.set()

    def drop_sound(self) -> None:
        """Forget the binary messages that wait: the reply they belong to was cut short."""
        self._waiting = deque(message for message in self._waiting if isinstance(message, str))
        self._bytes = sum(size(message) for message in self._waiting)

    async def run(self, send: Callable[[str | bytes], Awaitable[None]]) -> None:
        """Send what comes, in order, until cancelled. A cancel may lose the message being sent, no other."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self.flush(send)

    async def flush(self, send: Callable[[str | bytes], Awaitable[None]]) -> None:
        """Send what waits now."""
        while self._waiting:
            message = self._waiting.popleft()
            self._bytes -= size(message)
            await send(message)
