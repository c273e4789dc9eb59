"""Below the messages: heads of requests, fragments, pings. Over raw sockets, because no client library sends this."""

from __future__ import annotations

import asyncio
import base64

import pytest
from benchmarks.hostile import frame
from tests.server.house import House, open_house

from antiphon.server import sockets

pytestmark = pytest.mark.real_time


async def connected(house: House) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A raw WebSocket."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    key = base64.b64encode(bytes(16)).decode()
    writer.write(
        f"GET /ws/voice HTTP/1.1\r\nHost: 127.0.0.1:{house.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 101 " in head
    return reader, writer


async def closing(reader: asyncio.StreamReader) -> tuple[int, str]:
    """Code and reason of the close frame, which is the last thing that comes."""
    came = await asyncio.wait_for(reader.read(), 10)
    while came:
        opcode, size = came[0] & 15, came[1] & 127
        at = 2
        if size == 126:
            at, size = 4, int.from_bytes(came[2:4], "big")
        if opcode == 8:
            return int.from_bytes(came[at : at + 2], "big"), came[at + 2 : at + size].decode()
        came = came[at + size :]
    raise AssertionError("no close frame came")


async def rest(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection is over, however it ends."""
    try:
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:
        return b""


async def test_a_message_in_endless_crumbs_is_ended() -> None:
    async with open_house() as house:
        reader, writer = await connected(house)
        writer.write(frame(b"", 1, fin=False) + frame(b"", 0, fin=False) * (sockets.MOST_CRUMBS + 10))
        assert await closing(reader) == (1008, "a message in too many fragments")
        writer.close()


async def test_a_message_in_honest_fragments_is_read() -> None:
    async with open_house() as house:
        reader, writer = await connected(house)
        for _ in range(3):  # the count starts anew with each message
            pieces = [frame(b" ", 0, fin=False)] * (sockets.MOST_CRUMBS // 2)
            writer.write(frame(b'{"type":"start"', 1, fin=False) + b"".join(pieces) + frame(b"}", 0))
        assert b'"type":"session"' in await asyncio.wait_for(reader.read(1000), 10)
        writer.close()


@pytest.mark.parametrize("opcode", [9, 10])
async def test_a_flood_of_control_frames_is_ended(opcode: int) -> None:
    async with open_house() as house:
        reader, writer = await connected(house)
        writer.write(frame(b"x", opcode) * (sockets.CONTROL.count + 50))
        assert await closing(reader) == (1008, "too many pings or pongs")
        writer.close()


async def test_text_that_is_none_is_ended() -> None:
    async with open_house() as house:
        reader, writer = await connected(house)
        writer.write(frame(b"\xc3", 1, fin=False) + frame(b"\xa9", 0) + frame(b"\xff"))
        assert await closing(reader) == (1007, "text that is no UTF-8")
        writer.close()


async def test_pings_as_clients_send_them_are_answered() -> None:
    async with open_house() as house:
        reader, writer = await connected(house)
        writer.write(frame(b"hello", 9))
        assert await reader.readexactly(7) == b"\x8a\x05hello"
        writer.close()


async def test_a_head_without_end_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its size: there is time."""
    monkeypatch.setattr(sockets, "HEAD_S", 1000.0)
    async with open_house() as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * (sockets.MOST_HEAD * 4))
        assert await rest(reader) == b""
        writer.close()


async def test_a_head_that_does_not_come_is_not_waited_for() -> None:
    async with open_house() as house:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n")
        assert await rest(reader) == b""
        assert (await house.get("/health")).status_code == 200
        writer.close()
