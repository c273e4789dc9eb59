"""Server-sent events out of bytes, however they were cut.

httpx2 has a reader too; it insists on the content type, which some servers that speak OpenAI's format leave out, and
has no patience between events.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

LARGEST_EVENT = 1024 * 1024
"""Bytes. The largest real ones, speech in base64, have some 100 kB; more is not an event stream."""


@dataclass(frozen=True, slots=True)
class ServerSent:
    """One event."""

    event: str
    """``message`` when the server gives no name."""
    data: str


class EventDecoder:
    """Bytes in, events out. Lines are cut before they are decoded, so that a letter may come in two pieces. Raises
    ValueError when an event is larger than ``LARGEST_EVENT`` or no UTF-8."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._event = ""
        self._data: list[str] = []
        self._size = 0

    def push(self, piece: bytes) -> Iterator[ServerSent]:
        """The events that this piece completes."""
        self._rest += piece
        if len(self._rest) + self._size > LARGEST_EVENT and b"\n" not in piece:
            raise ValueError(f"an event of more than {LARGEST_EVENT} bytes")
        *lines, rest = self._rest.split(b"\n")
        self._rest = bytearray(rest)
        for line in lines:
            yield from self._take(line.rstrip(b"\r").decode())

    def end(self) -> Iterator[ServerSent]:
        """The last event, of which some servers leave out the empty line."""
        yield from self._take(bytes(self._rest).rstrip(b"\r").decode())
        self._rest.clear()
        yield from self._take("")

    def _take(self, line: str) -> Iterator[ServerSent]:
        if not line:
            if self._data:
                yield ServerSent(self._event or "message", "\n".join(self._data))
            self._event, self._data, self._size = "", [], 0
            return
        self._size += len(line)
        if self._size > LARGEST_EVENT:
            raise ValueError(f"an event of more than {LARGEST_EVENT} bytes")
        name, _, value = line.partition(":")
        if name == "data":
            self._data.append(value.removeprefix(" "))
        elif name == "event":
            self._event = value.removeprefix(" ")
