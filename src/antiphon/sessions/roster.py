"""Who is on, at all replicas: each tells the others of its conversations once a second, on the board that they share.

Without a board, and while the store is away, it is this replica's own conversations.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from antiphon.errors import NoSuchSessionError, StoreUnavailable
from antiphon.sessions.registry import Registry
from antiphon.sessions.session import Session
from antiphon.store.board import Board
from antiphon.telemetry.logs import logger

EVERY_S = 1.0
"""How old what replicas know of each other is; fifty conversations are 15 KB."""

KEEP_S = 5.0
"""A replica that has told nothing for so long is not there: its conversations are elsewhere, or waited for."""

ENDS_S = 30.0
"""How long it stands on the board that a conversation is to end: longer than it takes to move to another replica."""

ENDS_KEPT = 256
"""Conversations that one replica wants ended at a time: five servers full."""

SESSIONS, ENDS = "sessions", "ends"
ENDED = "the operator ended this conversation"

log = logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One conversation, as every replica knows it."""

    id: str
    since: float
    """Seconds since 1970."""
    away: bool
    """Its caller's connection was lost, and is waited for."""
    turns: int
    replies: int
    interrupted: int
    failures: int
    audio_in_s: float
    audio_out_s: float
    cost_usd: float | None
    address: str
    key: str
    replica: str = ""
    """Which one holds it; empty where there is one server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attendance:
    """Who is on."""

    lines: tuple[Line, ...]
    """Oldest first."""
    limit: int
    """Conversations at most, of all replicas."""
    replicas: int
    """How many are known of."""
    whole: bool
    """False: the store is away, and this is the answering replica's part."""


class Roster:
    """The conversations of all replicas. ``run`` tells and listens."""

    def __init__(
        self, registry: Registry, board: Board | None = None, *, now: Callable[[], float] = time.time
    ) -> None:
        self._registry = registry
        self._board = board
        self._now = now
        self._to_end: deque[tuple[float, str]] = deque(maxlen=ENDS_KEPT)
        """(until when it stands on the board, session)."""
        self._puzzling: set[str] = set()
        """Replicas of whose notes one could not be read."""

    async def run(self) -> None:
        """Until cancelled."""
        if self._board is None:
            return
        while True:
            try:
                await self._tell(self._board)
                await self._obey(self._board)
            except StoreUnavailable:
                pass  # told of by whoever keeps conversations there
            await asyncio.sleep(EVERY_S)

    async def attendance(self) -> Attendance:
        """Who is on now."""
        own = tuple(self._own())
        if self._board is None:
            return Attendance(lines=own, limit=self._registry.limit, replicas=1, whole=True)
        try:
            notes = dict(await self._board.read(SESSIONS))
        except StoreUnavailable:
            return Attendance(lines=own, limit=self._registry.limit, replicas=1, whole=False)
        notes.pop(self._board.name, None)
        parts = [part for name, note in notes.items() if (part := self._read(_PART, name, note)) is not None]
        # A conversation on its way from one to the other may be at both.
        held = {line.id: line for part in parts for line in _lines(part)} | {line.id: line for line in own}
        return Attendance(
            lines=tuple(sorted(held.values(), key=lambda line: line.since)),
            limit=self._registry.limit + sum(part.limit for part in parts),
            replicas=1 + len(parts),
            whole=True,
        )

    async def end(self, prefix: str) -> None:
        """End the conversation whose id begins so, wherever it is: here at once, elsewhere within two seconds. Raises
        NoSuchSessionError when there is none, or more than one."""
        found = [line.id for line in (await self.attendance()).lines if line.id.startswith(prefix)]
        if len(found) != 1:
            raise NoSuchSessionError(
                "there is no such session (any more)"
                if not found
                else f"{len(found)} sessions begin so; give more"
            )
        if self._end_here(found[0]) or self._board is None:
            return
        self._to_end.append((self._now() + ENDS_S, found[0]))
        await self._post_ends(self._board)

    def _end_here(self, session_id: str) -> bool:
        session = next((session for session in self._registry.live if session.id == session_id), None)
        if session is None:
            return False
        log.info("session ended by an operator", session_id=session_id)
        session.end(ENDED)
        return True

    async def _tell(self, board: Board) -> None:
        lines = [asdict(line) for line in self._own()]
        note = json.dumps({"limit": self._registry.limit, "lines": lines}).encode()
        await board.post(SESSIONS, note, keep_s=KEEP_S)

    async def _post_ends(self, board: Board) -> None:
        ids = [session_id for until, session_id in self._to_end if until > self._now()]
        await board.post(ENDS, json.dumps(ids).encode(), keep_s=ENDS_S)

    async def _obey(self, board: Board) -> None:
        """End what another replica's operator wants ended."""
        for name, note in (await board.read(ENDS)).items():
            if name != board.name:
                for session_id in self._read(_ENDS, name, note) or ():
                    self._end_here(session_id)

    def _read(self, form: TypeAdapter[_Note], name: str, note: bytes) -> _Note | None:
        """What a replica told; None, and said once, when this version cannot read it."""
        try:
            return form.validate_json(note)
        except ValidationError:
            if name not in self._puzzling:
                self._puzzling.add(name)
                log.warning(
                    "a note of another replica cannot be read; is it of another version?", replica=name
                )
            return None

    def _own(self) -> Iterator[Line]:
        name = self._board.name if self._board is not None else ""
        return (replace(_line(session), replica=name) for session in self._registry.live)


def _line(session: Session) -> Line:
    counts = session.counts
    return Line(
        id=session.id,
        since=session.since,
        away=session.away,
        turns=counts.turns,
        replies=counts.replies,
        interrupted=counts.interrupted,
        failures=counts.failures,
        audio_in_s=round(counts.audio_in_s, 1),
        audio_out_s=round(counts.audio_out_s, 1),
        cost_usd=counts.cost_usd,
        address=session.caller.address,
        key=session.caller.key,
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """What a replica tells of its conversations."""

    limit: int = 0
    lines: tuple[object, ...] = ()


_Note = TypeVar("_Note")

_ENDS = TypeAdapter(tuple[str, ...])
_PART = TypeAdapter(_Part)
_LINE = TypeAdapter(Line)


def _lines(part: _Part) -> Iterator[Line]:
    """Of another version what both know."""
    for row in part.lines:
        try:
            yield _LINE.validate_python(row)
        except ValidationError:  # it lacks something that this version shows
            continue
