"""The ledger that replicas share, in Valkey. What changes it are scripts at the server (``valkey_scripts``, where the
keys are described), so that counting, setting money aside and noticing a threshold are one step for all replicas.

With a folder, what was noted survives a kill -9 of the server: the next start on that folder writes what had not got to
the store. A folder that cannot be written is gone without.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import structlog

from antiphon.store.valkey import KEYS, Valkey
from antiphon.usage import valkey_scripts as scripts
from antiphon.usage.books import (
    GROUPS,
    SOON,
    TAKEN_S,
    THRESHOLDS,
    UNTOLD,
    Ask,
    Batch,
    Crossed,
    Line,
    Written,
)
from antiphon.usage.entry import Entry, day_account, of_row
from antiphon.usage.journal import Journal, left_behind

PREFIX = KEYS + "{usage}:"

RESERVED_MS = round(TAKEN_S * 1_000)
"""A reservation that is not renewed ends by itself after this, and a threshold is told of by another replica."""

SESSION_MS = 48 * 3_600_000
"""For how long after its last call it is known what a session has spent; none is resumed so late."""

JOURNAL = "store"
"""With which its journal's name begins: a ledger in a file in the same folder has nothing to do with it."""

PAGE = 500
"""Entries read at a time."""

SUMS = ("calls", "failed", "audio_ms", "input_tokens", "cached_tokens", "output_tokens", "characters", "micros",
        "unpriced", "speculative_micros", "cancelled_micros")  # fmt: skip

log = structlog.stdlib.get_logger(__name__)


class ValkeyBooks:
    """For as long as the connection is open."""

    shared = True
    gather = SOON

    def __init__(self, valkey: Valkey, *, folder: Path | None = None, reserved_ms: int = RESERVED_MS) -> None:
        """``folder``: where the journal is; None: without."""
        self._valkey = valkey
        self._reserved_ms = reserved_ms
        self._folder = folder
        self._journal = None if folder is None else Journal(folder, ledger=JOURNAL)
        self._taking_over = asyncio.Lock()
        self._keys = [PREFIX + name for name in scripts.NAMES]
        self._append = valkey.script(scripts.APPEND)
        self._reserve = valkey.script(scripts.RESERVE)
        self._renew = valkey.script(scripts.RENEW)
        self._untold = valkey.script(scripts.UNTOLD)
        self._prune = valkey.script(scripts.PRUNE)

    def note(self, entry: Entry) -> None:
        if self._journal is not None:
            self._journal.note(entry)

    async def append(self, batch: Batch) -> Written:
        await self._take_over()
        written = await self._write(batch)
        if self._journal is not None:
            self._journal.has(batch.entries, synced=True)
        return written

    async def _write(self, batch: Batch) -> Written:
        entries = _packed_ones(batch.entries)
        document = {
            "id": batch.id,
            "entries": entries,
            "released": list(batch.released),
            "told": list(batch.told),
            "limits": dict(batch.limits),
            "thresholds": list(THRESHOLDS),
            "sums": list(SUMS),
        }
        args: list[str | int] = [PREFIX, json.dumps(document), self._reserved_ms, SESSION_MS]
        spent, crossed = json.loads(await self._append(keys=self._keys, args=args))
        return Written(
            spent={account: int(total) for account, total in spent},
            crossed=tuple(Crossed.of(name, int(total)) for name, total in crossed),
            left_out=len(batch.entries) - len(entries),
        )

    async def _take_over(self) -> None:
        """What a server that was killed had noted and not written: once, as soon as the store is there."""
        async with self._taking_over:
            if self._folder is None:
                return
            count = 0
            with closing(left_behind(self._folder, JOURNAL)) as found:
                for entries in found:
                    for first in range(0, len(entries), PAGE):
                        await self._write(Batch(id="", entries=tuple(entries[first : first + PAGE])))
                    count += len(entries)
            self._folder = None
            if count:
                log.info("took over what a killed server left", entries=count)

    async def reserve(self, ask: Ask) -> str:
        limits = json.dumps([[account, limit] for account, limit in ask.limits.items()])
        args: list[str | int] = [PREFIX, ask.id, ask.micros, limits, self._reserved_ms]
        return _text(await self._reserve(keys=self._keys, args=args))

    async def renew(self, ids: Sequence[str]) -> None:
        if ids:
            await self._renew(keys=self._keys, args=[PREFIX, self._reserved_ms, *ids])

    async def untold(self, telling: Sequence[str], teller: str) -> Sequence[Crossed]:
        args: list[str | int] = [PREFIX, self._reserved_ms, UNTOLD, teller, *telling]
        found = json.loads(await self._untold(keys=self._keys, args=args))
        return [Crossed.of(name, int(total)) for name, total in found]

    async def spent(self, day: date) -> Mapping[str, int]:
        await self._take_over()
        with self._valkey.reaching():
            reading: Any = self._valkey.client.hgetall(PREFIX + f"spent:{day}")
            return {_text(account): int(micros) for account, micros in (await reading).items()}

    async def held(self, day: date) -> int:
        with self._valkey.reaching():
            reading: Any = self._valkey.client.hget(PREFIX + "held", day_account(day.isoformat()))
            return int(await reading or 0)

    async def days(self) -> Sequence[date]:
        return await self._days(date.min, date.max)

    async def lines(self, first: date, last: date) -> tuple[Line, ...]:
        sums: dict[str, dict[str, int]] = {}
        for day in await self._days(first, last):
            async for name, amount in self._hash(f"lines:{day}"):
                line, _, what = name.rpartition("\t")
                line_sums = sums.setdefault(line, {})
                line_sums[what] = line_sums.get(what, 0) + int(amount)
        return tuple(_line(name, sums[name]) for name in sorted(sums))

    async def by(self, group: str, first: date, last: date) -> Mapping[str, int]:
        if group not in GROUPS:
            raise ValueError(f"there is no group {group!r}")
        if group in ("kind", "provider", "model"):
            return _regrouped(group, await self.lines(first, last))
        total: dict[str, int] = {}
        for day in await self._days(first, last):
            async for name, micros in self._hash(f"by:{day}"):
                what, _, which = name.partition(" ")
                if what == group:
                    total[which] = total.get(which, 0) + int(micros)
                elif group == "day" and what == "session":
                    total[str(day)] = total.get(str(day), 0) + int(micros)
        return total

    async def entries(self, first: date, last: date) -> AsyncIterator[Entry]:
        """In no particular order within a day."""
        for day in await self._days(first, last):
            async for id, row in self._hash(f"calls:{day}"):
                yield of_row([id, *json.loads(row)])

    async def prune(self, before: date) -> int:
        deleted = 0
        for day in await self._days(date.min, before - timedelta(days=1)):
            deleted += int(await self._prune(keys=self._keys, args=[PREFIX, str(day)]))
        return deleted

    def close(self) -> None:
        """The journal goes, unless there is something in it that the store lacks."""
        if self._journal is not None:
            self._journal.close()

    async def _days(self, first: date, last: date) -> list[date]:
        with self._valkey.reaching():
            bounds = first.toordinal(), last.toordinal()
            found: Any = await self._valkey.client.zrangebyscore(PREFIX + "days", *bounds)
        return [date.fromisoformat(_text(day)) for day in found]

    async def _hash(self, name: str) -> AsyncIterator[tuple[str, str]]:
        """All of it, a page at a time: a day may have a hundred thousand entries, and as many sessions."""
        cursor, begun = 0, False
        seen: set[str] = set()  # a hash that grows meanwhile gives some twice
        while cursor or not begun:
            begun = True
            with self._valkey.reaching():
                found: Any = await self._valkey.client.hscan(PREFIX + name, cursor, count=PAGE)
            cursor = int(found[0])
            for key, value in ((_text(key), _text(value)) for key, value in found[1].items()):
                if key not in seen:
                    seen.add(key)
                    yield key, value


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _packed_ones(entries: Sequence[Entry]) -> list[dict[str, object]]:
    """Those that the store can hold; the others are reported."""
    packed = []
    for entry in entries:
        try:
            packed.append(_packed(entry))
        except (TypeError, ValueError) as error:
            log.error("an entry that the store cannot hold is left out", entry=entry.id, problem=repr(error))
    return packed


def _packed(entry: Entry) -> dict[str, object]:
    """What the script needs of an entry. ValueError for one that the store cannot hold."""
    micros = entry.micros or 0
    failed = int(entry.outcome not in ("ok", "cancelled"))
    sums = (1, failed, entry.audio_ms, entry.input_tokens, entry.cached_tokens, entry.output_tokens,
            entry.characters, micros, int(entry.micros is None), micros * entry.speculative,
            micros * entry.cancelled)  # fmt: skip
    row = json.dumps(entry[1:], ensure_ascii=False, separators=(",", ":"))
    row.encode()  # what UTF-8 cannot write is no text for the store either
    if not all(-scripts.EXACT <= amount <= scripts.EXACT for amount in sums):
        raise ValueError("a number beyond what a script can add up")
    return {
        "id": entry.id,
        "day": entry.day,
        "number": date.fromisoformat(entry.day).toordinal(),
        "session": entry.session,
        "caller": entry.caller,
        "micros": micros,
        "accounts": list(entry.accounts),
        "line": "\t".join((entry.kind, entry.provider, entry.model)),
        "sums": sums,
        "row": row,
    }


def _line(name: str, sums: Mapping[str, int]) -> Line:
    kind, provider, model = name.split("\t", 2)
    return Line(kind=kind, provider=provider, model=model, **{what: sums.get(what, 0) for what in SUMS})


def _regrouped(group: str, lines: Sequence[Line]) -> dict[str, int]:
    total: dict[str, int] = {}
    for line in lines:
        name: str = getattr(line, group)
        total[name] = total.get(name, 0) + line.micros
    return total
