"""What comes from one client: message by message, in order, and whether it is still there."""

from __future__ import annotations

from collections import deque

from starlette.websockets import WebSocket, WebSocketDisconnect

MOST_AHEAD = 64
"""Messages read ahead. A client that waits for its answer, as it should, sends a few pings meanwhile; whatever else one
sends stays in the socket."""


class Incoming:
    """One reader at a time."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._ahead: deque[str | bytes] = deque()

    async def next(self) -> str | bytes:
        """The next message. Raises WebSocketDisconnect when the client is gone. Safe to cancel."""
        return self._ahead.popleft() if self._ahead else await self._receive()

    async def watch(self) -> None:
        """Raises WebSocketDisconnect as soon as the client is gone, while nobody asks for the ``next`` message: what
        comes meanwhile is kept for then. Safe to cancel."""
        while len(self._ahead) < MOST_AHEAD:
            self._ahead.append(await self._receive())

    async def _receive(self) -> str | bytes:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(code=message.get("code", 1005))
        text: str | None = message.get("text")
        sound: bytes = message.get("bytes") or b""
        return sound if text is None else text
