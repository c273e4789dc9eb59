"""Strangers who send rubbish while others talk: what the talkers notice, and what it leaves behind.

    python benchmarks/hostile.py                     # 10,000 frames over 200 connections, 20 talkers
    python benchmarks/hostile.py --frames 1000 --connections 50 --talkers 5 --minutes 0.3

A server of its own with scripted providers. Talkers (`antiphon load`, a process of its own) talk in peace, then while
the attack goes on, then in peace again. The attack comes over raw sockets: WebSocket frames that are wrong (no mask,
reserved bits and opcodes, control frames too long or in pieces, lengths that lie, text that is no UTF-8), messages
that are wrong (no JSON, nested a thousand deep, fields of wrong types, sound before `start`, odd sound, sound faster
than real time, floods of pings), heads of requests that are wrong, and connections that say nothing. Whoever is thrown
out comes back until its share of frames is sent.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import random
import struct
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from benchmarks.soak import Footprint, Watched, server

MEMORY_MOST = 0.05
LATER_MOST = 0.10
SETTLE_S = 5.0
LEFT_MOST_S = 120.0
"""Twice as long as a server waits for a caller whose connection is gone."""
START = b'{"type":"start"}'


def frame(
    payload: bytes, opcode: int = 1, *, fin: bool = True, reserved: int = 0, masked: bool = True
) -> bytes:
    """A WebSocket frame, right or wrong."""
    head = bytes([(0x80 if fin else 0) | reserved << 4 | opcode])
    mask_bit = 0x80 if masked else 0
    if len(payload) < 126:
        head += bytes([mask_bit | len(payload)])
    elif len(payload) < 65_536:
        head += struct.pack("!BH", mask_bit | 126, len(payload))
    else:
        head += struct.pack("!BQ", mask_bit | 127, len(payload))
    # A mask of zeros is a mask.
    return head + (bytes(4) if masked else b"") + payload


def lying(size: int) -> bytes:
    """A frame that announces far more than comes."""
    return struct.pack("!BBQ", 0x82, 0xFF, size) + bytes(4) + b"x" * 64


Make = Callable[[random.Random], bytes]

HOSTILE: tuple[Make, ...] = (
    lambda r: frame(b"hello", masked=False),
    lambda r: frame(b"hello", reserved=r.randrange(1, 8)),
    lambda r: frame(b"hello", r.choice([3, 4, 5, 6, 7, 11, 12, 13, 14, 15])),
    lambda r: frame(bytes(126), 9),
    lambda r: frame(b"in pieces", 9, fin=False),
    lambda r: frame(b"out of nowhere", 0),
    lambda r: frame(b"\xff\xfe\xc0\xaf"),
    lambda r: frame(struct.pack("!H", r.choice([0, 999, 1004, 1005, 1006, 5000])), 8),
    lambda r: frame(b"x", 8),
    lambda r: lying(2 ** r.randrange(20, 63)),
    lambda r: frame(r.randbytes(r.randrange(1, 2000)), 2),
    lambda r: r.randbytes(r.randrange(1, 500)),
    lambda r: frame(b"", 1, fin=False) + frame(b"", 0, fin=False) * 1500,
    lambda r: frame(b"ping", 9) * 300,
    lambda r: frame(b"pong", 10) * 300,
    lambda r: frame(START) + frame(b"no JSON at all"),
    lambda r: frame(b"[" * 60_000),
    lambda r: frame(b'{"type":"start","resume":' + b'{"a":' * 5000),
    lambda r: frame(b'{"type":"start","input_rate":' + b"9" * 5000 + b"}"),
    lambda r: frame(json.dumps({"type": "start", "voice": ["x"] * r.randrange(1, 50)}).encode()),
    lambda r: frame(START) + frame(START) + frame(b'{"type":"text","text":""}'),
    lambda r: frame(START) + frame(b"odd", 2),
    lambda r: frame(START) + frame(bytes(65_000), 2) * 12,
    lambda r: frame(START) + frame(b'{"type":"ping"}') * 400,
    lambda r: frame(json.dumps({"type": "text", "text": "x" * 50_000}).encode()),
    lambda r: frame(bytes(300_000), 2),
    lambda r: frame(b'{"type":"start","resume":{"session_id":"abcdefghijkl","token":"yyyyyyyyyyy","last_seq":1}}'),
    lambda r: b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100,
)  # fmt: skip

HEADS: tuple[bytes, ...] = (
    b"",
    b"\r\n\r\n",
    b"GET /ws/voice HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"GET /ws/voice HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n"
    b"Sec-WebSocket-Version: 99\r\n\r\n",
    b"POST /api/tickets HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n{",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
)
"""Instead of a handshake, sometimes."""


@dataclass
class Attack:
    """Many connections, each with its share of frames."""

    port: int
    frames: int
    connections: int
    seconds: float
    sent: int = 0
    came_back: int = 0
    refused: int = 0
    closes: dict[int, int] = field(default_factory=dict)

    async def run(self) -> None:
        """Until every frame is sent."""
        async with asyncio.TaskGroup() as tasks:
            for number in range(self.connections):
                tasks.create_task(self._stranger(number))

    async def _stranger(self, number: int) -> None:
        chance = random.Random(number)
        left = self.frames // self.connections
        pause_s = self.seconds / max(1, left)
        await asyncio.sleep(chance.random() * pause_s)
        while left:
            with suppress(OSError, asyncio.IncompleteReadError):
                left = await self._one_connection(chance, left, pause_s)
            self.came_back += bool(left)
            await asyncio.sleep(chance.uniform(0.2, 1.8) * pause_s)

    async def _one_connection(self, chance: random.Random, left: int, pause_s: float) -> int:
        """How many frames are left when it is over."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        hearing = asyncio.create_task(self._hear(reader))
        try:
            if chance.random() < 0.05:
                writer.write(chance.choice(HEADS))
                self.sent += 1
                left -= 1
            else:
                writer.write(handshake(chance))
            while left and not hearing.done():
                await asyncio.sleep(chance.uniform(0.2, 1.8) * pause_s)
                writer.write(chance.choice(HOSTILE)(chance))
                self.sent += 1
                left -= 1
                await asyncio.wait_for(writer.drain(), 5)
        except TimeoutError:
            pass  # it does not read any more, and will be thrown out
        finally:
            hearing.cancel()
            writer.transport.abort()
        return left

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        """Until it is thrown out."""
        last = b""
        with suppress(OSError):
            while data := await reader.read(65_536):
                last = (last + data)[-256:]
        at = last.rfind(b"\x88")
        if at >= 0 and len(last) >= at + 4:
            code = int.from_bytes(last[at + 2 : at + 4], "big")
            self.closes[code] = self.closes.get(code, 0) + 1


def handshake(chance: random.Random) -> bytes:
    """A proper one."""
    key = base64.b64encode(chance.randbytes(16)).decode()
    return (
        "GET /ws/voice HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: antiphon.v1\r\n\r\n"
    ).encode()


async def talk(url: str, talkers: int, minutes: float, seed: int) -> dict[str, Any]:
    """What `antiphon load` reports."""
    command = (
        "load",
        "--url",
        url,
        "--callers",
        str(talkers),
        "--minutes",
        f"{minutes:.3f}",
        "--seed",
        str(seed),
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "antiphon", *command, "--mix", "talk=100", "--json",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    told: dict[str, Any] = json.loads(out.splitlines()[-1])
    return told


async def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """Peace, attack, peace."""
    settings = {"ANTIPHON_MAX_SESSIONS": str(chosen.connections + chosen.talkers + 10)}
    with tempfile.TemporaryDirectory() as folder:
        async with server(ANTIPHON_DATA=folder, **settings) as watched:
            return await attacked(watched, chosen)


async def attacked(watched: Watched, chosen: argparse.Namespace) -> dict[str, Any]:
    """What came of it."""
    url = watched.where.http
    port = watched.where.uri.port
    await talk(url, chosen.talkers, min(chosen.minutes, 0.5), 0)  # warm
    # A first, smaller attack: code that is loaded, and the allocator's highest mark, belong to the server.
    await Attack(port, chosen.frames // 4, chosen.connections, 15.0).run()
    peace = await talk(url, chosen.talkers, chosen.minutes, 1)
    before = await settled(watched)
    attack = Attack(port, chosen.frames, chosen.connections, chosen.minutes * 60 * 0.8)
    async with asyncio.TaskGroup() as tasks:
        attacking = tasks.create_task(attack.run())
        under = await talk(url, chosen.talkers, chosen.minutes, 1)
        await attacking
    after = await settled(watched)
    again = await talk(url, chosen.talkers, min(chosen.minutes, 0.5), 2)
    return judged(peace, under, again, before, after, attack)


async def settled(watched: Watched) -> Footprint:
    """What is there once everyone has left, strangers too who were thrown out for their pace and may come back for a
    while."""
    async with httpx2.AsyncClient(base_url=watched.where.http, timeout=30) as client:
        async with asyncio.timeout(LEFT_MOST_S):
            while (await client.get("/ready")).json()["sessions"]:  # noqa: ASYNC110 (another process)
                await asyncio.sleep(1.0)
    await asyncio.sleep(SETTLE_S)
    return await watched.footprint()


def judged(
    peace: dict[str, Any],
    under: dict[str, Any],
    again: dict[str, Any],
    before: Footprint,
    after: Footprint,
    attack: Attack,
) -> dict[str, Any]:
    """The figures, and whether they are what they should be."""
    grown = after.rss_mb / before.rss_mb - 1
    later = under["first_sound_ms"]["p95"] / peace["first_sound_ms"]["p95"] - 1
    lost = sum(
        run[name] for run in (peace, under, again) for name in ("lost", "doubled", "unanswered", "broken")
    )
    return {
        "frames": attack.sent,
        "connections": attack.connections,
        "came_back": attack.came_back,
        "closes": dict(sorted(attack.closes.items())),
        "first_sound_p95_ms": {
            "peace": peace["first_sound_ms"]["p95"],
            "attack": under["first_sound_ms"]["p95"],
            "again": again["first_sound_ms"]["p95"],
        },
        "first_sound_later": round(later, 4),
        "turns": {"peace": peace["turns"], "attack": under["turns"]},
        "lost_or_doubled": lost,
        "memory_mb": {"before": round(before.rss_mb, 1), "after": round(after.rss_mb, 1)},
        "memory_grown": round(grown, 4),
        "files": {"before": before.files, "after": after.files},
        "tasks": {"before": before.tasks, "after": after.tasks},
        "passed": grown <= MEMORY_MOST
        and later <= LATER_MOST
        and not lost
        and attack.sent >= attack.frames // attack.connections * attack.connections
        and after.tasks <= before.tasks
        and after.files <= before.files,
    }


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--talkers", type=int, default=20)
    parser.add_argument(
        "--minutes", type=float, default=2.0, help="of talk in peace, and as much under attack"
    )
    came_to = asyncio.run(measure(parser.parse_args()))
    print(json.dumps(came_to, indent=2))
    raise SystemExit(0 if came_to["passed"] else 1)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
