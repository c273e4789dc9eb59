"""What a run leaves behind in an assistant that is still open: closing it would end whatever leaked, too.

Connections kept for the next turn are no leaks, nor are the tasks that live as long as such a connection does.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import psutil

from antiphon.providers.connections import Connections
from antiphon.providers.deepgram.line import ListenLine
from antiphon.providers.elevenlabs.line import VoiceLine

SETTLES_S = 15.0
"""What was given up is over by then: a vendor that stalls is given 13 s to end a WebSocket itself."""

LOOK_EVERY_S = 0.1

OF_A_SOCKET = frozenset(
    ("Connection.keepalive", "Line._write", "Lines.serve.<locals>.carried", "serve.<locals>.protocol_handler")
)
"""What tasks do that live as long as a WebSocket does, at either end: the sockets are counted."""

T = TypeVar("T")


@dataclass(slots=True)
class Leftovers:
    """Counts from where it is made: the assistant is warm and nobody talks."""

    tasks: list[str] = field(default_factory=list)
    """What those do that are left."""
    connections: int = 0
    _before: set[asyncio.Task[object]] = field(default_factory=asyncio.all_tasks)

    async def settle(self) -> None:
        """Look until nothing is left, or for long enough."""
        try:
            async with asyncio.timeout(SETTLES_S):
                while self.look():  # noqa: ASYNC110 -- nothing tells that it is over
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            return

    def look(self) -> bool:
        """Whether anything is left now."""
        begun = [_what(task) for task in asyncio.all_tasks() - self._before]
        self.tasks = [what for what in begun if what not in OF_A_SOCKET]
        self.connections = connected() - kept()
        return bool(self.tasks or self.connections)


def _what(task: asyncio.Task[object]) -> str:
    return getattr(task.get_coro(), "__qualname__", "")


def connected() -> int:
    """TCP connections that this process has opened."""
    held = psutil.Process().net_connections("tcp")
    listening = {one.laddr.port for one in held if one.status == psutil.CONN_LISTEN}
    return sum(bool(one.raddr) and one.laddr.port not in listening for one in held)


def kept() -> int:
    """Connections to vendors that are there for the next turn, as whoever keeps them says."""
    pooled = sum(connection.is_idle() for pool in _all(Connections) for connection in pool.connections)
    return (
        pooled
        + sum(line.idle for line in _all(ListenLine))
        + sum(line.alive and not line.listened for line in _all(VoiceLine))
    )


def _all(kind: type[T]) -> Iterator[T]:
    return (thing for thing in gc.get_objects() if type(thing) is kind)
