"""What the vendor servers do: how fast, what they say, and what goes wrong."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from starlette.requests import Request

Kind = Literal["asr", "llm", "tts"]

Fault = Literal[
    "fail",  # 500 with the vendor's body
    "overloaded",  # 503
    "rate_limit",  # 429 that says when to come again
    "quota",  # out of credit
    "bad_key",  # 401
    "unknown_model",
    "unknown_voice",
    "invalid_request",  # 400 about nothing in particular
    "gateway",  # 502 with a web page
    "html",  # 200 with a web page: a wrong address, a hotel's portal
    "redirect",
    "drop",  # WebSockets: let in and hung up on, before any answer
    "stall",  # nothing at all
    "stall_later",  # headers and the first piece, then silence
    "cut",  # half of it, then the connection is closed
    "empty",  # a well-formed answer with nothing in it
    "malformed",  # not what the format promises
    "huge",  # more than anyone wants
    "odd",  # pieces of one to seven bytes: letters and samples in two halves
    "wrong_rate",  # sound at another rate than promised, and it says so
    "wrong_format",  # sound that is no PCM
    "filtered",  # refused for what was said
]
FAULTS: tuple[Fault, ...] = get_args(Fault)


class Cut(Exception):
    """Raised inside an answer, it closes the connection in the middle of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as it came in."""

    kind: Kind
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Mapping[str, object]
    """JSON, or the fields of a form; a file as its size in bytes."""


@dataclass(slots=True, kw_only=True)
class VendorWorld:
    """One set of servers. May be changed while they run."""

    asr_ms: float = 0.0
    """From the end of the upload to the transcript."""
    llm_ms: float = 0.0
    """To the first token."""
    tts_ms: float = 0.0
    """To the first sound."""
    tokens_per_s: float = 10_000.0
    reply: str = "It is Paris, the city of light."
    transcript: str = "What is the capital of France?"
    """Heard in sound that carries no words of its own (see ``audio/coded_speech``)."""
    rate: int = 24_000
    """Hz of the speech."""
    real_time_factor: float = 0.0
    """Seconds it takes to send a second of speech after its first piece."""
    key: str = ""
    """The only key taken; empty: any, also none."""
    stall_s: float = 30.0
    fail_share: float = 0.0
    """Share of requests that fail, at random."""
    stall_share: float = 0.0
    """Share of requests that get no answer for ``stall_s``."""
    refuses: frozenset[str] = frozenset()
    """Fields (``temperature``), or values of them (``response_format=pcm``), that this server rejects, as some that
    speak OpenAI's formats do."""
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    faults: dict[Kind, deque[Fault | None]] = field(
        default_factory=lambda: {"asr": deque(), "llm": deque(), "tts": deque()}
    )
    """What goes wrong with the next requests, in order; None is a good one. Then chance has it."""
    asked: deque[Asked] = field(default_factory=lambda: deque(maxlen=1_000))
    """The latest requests."""
    answered: int = 0
    """Answers sent to their end."""
    left_early: int = 0
    """Answers that the client did not want to the end."""
    under_way: int = 0
    connections: set[tuple[str, int]] = field(default_factory=set)
    """Addresses that clients connected from."""
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever an answer ends, in any way."""

    def draw(self, kind: Kind) -> Fault | None:
        """What goes wrong with this request."""
        if self.faults[kind]:
            return self.faults[kind].popleft()
        dice = self.chance.random()
        if dice < self.fail_share:
            return "fail"
        return "stall" if dice < self.fail_share + self.stall_share else None

    def fault_next(self, kind: Kind, *faults: Fault | None) -> None:
        """The next requests go wrong so."""
        self.faults[kind].extend(faults)

    def knows_key(self, given: str) -> bool:
        return not self.key or given == self.key

    def last(self, kind: Kind) -> Asked:
        """The latest request of that kind."""
        return next(asked for asked in reversed(self.asked) if asked.kind == kind)

    async def counted(self, pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """An answer's pieces, counted by how it ended."""
        self.under_way += 1
        done = False
        try:
            async for piece in pieces:
                yield piece
            done = True
        finally:
            self.under_way -= 1
            self.answered += done
            self.left_early += not done
            self.settled.set()


async def client_gone(request: Request, seconds: float) -> bool:
    """Wait so long, or until the client leaves; whether it left."""
    try:
        async with asyncio.timeout(seconds):
            while (await request.receive())["type"] != "http.disconnect":
                pass
        return True
    except TimeoutError:
        return False


async def shaped(
    pieces: AsyncIterator[bytes], fault: Fault | None, stall_s: float
) -> AsyncGenerator[bytes, None]:
    """The pieces of a good answer, as the fault has them."""
    match fault:
        case "odd":
            async for piece in pieces:
                for small in _crumbs(piece):
                    yield small
        case "stall_later":
            async for piece in pieces:
                yield piece
                await asyncio.sleep(stall_s)
        case "cut":
            last = b""
            async for piece in pieces:
                if last:
                    yield last
                    raise Cut
                last = piece
            yield last[: len(last) // 2]
            raise Cut
        case _:
            async for piece in pieces:
                yield piece


def _crumbs(piece: bytes) -> list[bytes]:
    crumbs: list[bytes] = []
    at, sizes = 0, (1, 2, 3, 5, 7)
    while at < len(piece):
        size = sizes[len(crumbs) % len(sizes)]
        crumbs.append(piece[at : at + size])
        at += size
    return crumbs
