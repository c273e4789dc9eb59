"""The ledger that replicas share, in Valkey. Each change is one script at the server, so that counting, setting money
aside and noticing a threshold are one step for all replicas.

    antiphon:{usage}:calls:<day>    hash: entry id → its fields, a JSON list; one that is there is not added again
    antiphon:{usage}:lines:<day>    hash: kind, provider, model and what is summed → its sum
    antiphon:{usage}:by:<day>       hash: ``session x``, ``caller y`` → micro-dollars
    antiphon:{usage}:days           sorted set: the days there are
    antiphon:{usage}:spent          hash: account → micro-dollars
    antiphon:{usage}:crossings      hash: account, threshold, limit → the batch that crossed it
    antiphon:{usage}:held           hash: account → micro-dollars set aside
    antiphon:{usage}:asks           hash: reservation → its amount and accounts
    antiphon:{usage}:expiry         sorted set: reservation → when it ends by itself, ms of the server's clock
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from antiphon.store.valkey import KEYS, Valkey
from antiphon.usage.books import GROUPS, SOON, THRESHOLDS, Ask, Batch, Crossed, Line, Written
from antiphon.usage.entry import Entry, day_account, of_row

PREFIX = KEYS + "{usage}:"

RESERVED_MS = 30_000
"""A reservation that is not renewed ends by itself after this: what a replica that died had set aside is free again.
Live ones are renewed six times as often."""

PAGE = 500
"""Entries read at a time."""

SUMS = ("calls", "failed", "audio_ms", "input_tokens", "cached_tokens", "output_tokens", "characters", "micros",
        "unpriced", "speculative_micros", "cancelled_micros")  # fmt: skip

RELEASE = """
local function release(id)
  local ask = redis.call('HGET', KEYS[6], id)
  if not ask then return end
  ask = cjson.decode(ask)
  for _, account in ipairs(ask[2]) do
    local left = redis.call('HINCRBY', KEYS[5], account, string.format('%.0f', 0 - ask[1]))
    if left <= 0 then redis.call('HDEL', KEYS[5], account) end
  end
  redis.call('HDEL', KEYS[6], id)
  redis.call('ZREM', KEYS[7], id)
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

RESERVE = (
    RELEASE
    + """
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[7], '-inf', now)) do release(id) end
if redis.call('HEXISTS', KEYS[6], ARGV[1]) == 1 then return '' end
local accounts = cjson.decode(ARGV[3])
local names = {}
for _, pair in ipairs(accounts) do
  local spent = tonumber(redis.call('HGET', KEYS[3], pair[1]) or 0)
  local held = tonumber(redis.call('HGET', KEYS[5], pair[1]) or 0)
  if spent + held >= pair[2] then return pair[1] end
  names[#names + 1] = pair[1]
end
for _, name in ipairs(names) do redis.call('HINCRBY', KEYS[5], name, ARGV[2]) end
redis.call('HSET', KEYS[6], ARGV[1], cjson.encode({tonumber(ARGV[2]), names}))
redis.call('ZADD', KEYS[7], now + tonumber(ARGV[4]), ARGV[1])
return ''
"""
)
"""Reservation, micro-dollars, [[account, limit], …], ms → the account that is full, or nothing."""

RENEW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 2, #ARGV do redis.call('ZADD', KEYS[7], 'XX', now + tonumber(ARGV[1]), ARGV[i]) end
"""

APPEND = (
    RELEASE
    + """
local batch = cjson.decode(ARGV[1])
local touched, order = {}, {}
for _, entry in ipairs(batch.entries) do
  local day = entry.day
  local new = redis.call('HSETNX', ARGV[2] .. 'calls:' .. day, entry.id, entry.row)
  if new == 1 then
    redis.call('ZADD', KEYS[8], entry.number, day)
    for i, name in ipairs(batch.sums) do
      if entry.sums[i] ~= 0 then
        redis.call('HINCRBY', ARGV[2] .. 'lines:' .. day, entry.line .. '\\t' .. name, entry.sums[i])
      end
    end
    redis.call('HINCRBY', ARGV[2] .. 'by:' .. day, 'session ' .. entry.session, entry.micros)
    redis.call('HINCRBY', ARGV[2] .. 'by:' .. day, 'caller ' .. entry.caller, entry.micros)
  end
  for _, account in ipairs(entry.accounts) do
    if not touched[account] then
      touched[account] = 0
      order[#order + 1] = account
    end
    touched[account] = touched[account] + entry.micros * new
  end
end
local spent, crossed = {}, {}
for _, account in ipairs(order) do
  local total = redis.call('HINCRBY', KEYS[3], account, touched[account])
  spent[#spent + 1] = {account, total}
  local limit = batch.limits[account]
  for _, threshold in ipairs(batch.thresholds) do
    if limit and total * 100 >= limit * threshold then
      local name = account .. ' ' .. threshold .. ' ' .. limit
      redis.call('HSETNX', KEYS[4], name, batch.id)
      if redis.call('HGET', KEYS[4], name) == batch.id then
        crossed[#crossed + 1] = {account, threshold, total, limit}
      end
    end
  end
end
for _, id in ipairs(batch.released) do release(id) end
return cjson.encode({spent, crossed})
"""
)

PRUNE = """
local deleted = redis.call('HLEN', ARGV[1] .. 'calls:' .. ARGV[2])
for _, name in ipairs(redis.call('HKEYS', ARGV[1] .. 'by:' .. ARGV[2])) do
  if string.sub(name, 1, 8) == 'session ' then redis.call('HDEL', KEYS[3], name) end
end
for _, part in ipairs({'calls:', 'lines:', 'by:'}) do redis.call('DEL', ARGV[1] .. part .. ARGV[2]) end
redis.call('ZREM', KEYS[8], ARGV[2])
return deleted
"""


class ValkeyBooks:
    """For as long as the connection is open."""

    shared = True
    gather = SOON

    def __init__(self, valkey: Valkey, *, reserved_ms: int = RESERVED_MS) -> None:
        self._valkey = valkey
        self._reserved_ms = reserved_ms
        names = ("calls", "lines", "spent", "crossings", "held", "asks", "expiry", "days")
        self._keys = [PREFIX + name for name in names]
        self._append = valkey.script(APPEND)
        self._reserve = valkey.script(RESERVE)
        self._renew = valkey.script(RENEW)
        self._prune = valkey.script(PRUNE)

    def note(self, entry: Entry) -> None:
        """The store is told in batches: a way to it for each call would cost more than all else."""

    async def append(self, batch: Batch) -> Written:
        document = {
            "id": batch.id,
            "entries": [_packed(entry) for entry in batch.entries],
            "released": list(batch.released),
            "limits": dict(batch.limits),
            "thresholds": list(THRESHOLDS),
            "sums": list(SUMS),
        }
        answer = await self._append(keys=self._keys, args=[json.dumps(document), PREFIX])
        spent, crossed = json.loads(answer)
        return Written(
            spent={account: int(total) for account, total in spent},
            crossed=tuple(
                Crossed(account=account, threshold=int(threshold), spent=int(total), limit=int(limit))
                for account, threshold, total, limit in crossed
            ),
        )

    async def reserve(self, ask: Ask) -> str:
        limits = json.dumps([[account, limit] for account, limit in ask.limits.items()])
        full = await self._reserve(keys=self._keys, args=[ask.id, ask.micros, limits, self._reserved_ms])
        return _text(full)

    async def renew(self, ids: Sequence[str]) -> None:
        if ids:
            await self._renew(keys=self._keys, args=[self._reserved_ms, *ids])

    async def spent(self, day: date) -> Mapping[str, int]:
        with self._valkey.reaching():
            found = await self._hash("spent")
        return {
            name: int(micros)
            for name, micros in found.items()
            if name.startswith((f"day {day}", f"key {day} "))
        }

    async def held(self, day: date) -> int:
        with self._valkey.reaching():
            found = await self._hash("held")
        return int(found.get(day_account(day.isoformat()), 0))

    async def latest_day(self) -> date | None:
        with self._valkey.reaching():
            found: Any = await self._valkey.client.zrange(PREFIX + "days", -1, -1)
        return date.fromisoformat(_text(found[0])) if found else None

    async def lines(self, first: date, last: date) -> tuple[Line, ...]:
        sums: dict[str, dict[str, int]] = {}
        for day in await self._days(first, last):
            with self._valkey.reaching():
                found = await self._hash(f"lines:{day}")
            for name, amount in found.items():
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
            with self._valkey.reaching():
                found = await self._hash(f"by:{day}")
            for name, micros in found.items():
                what, _, which = name.partition(" ")
                if what == group:
                    total[which] = total.get(which, 0) + int(micros)
                elif group == "day" and what == "session":
                    total[str(day)] = total.get(str(day), 0) + int(micros)
        return total

    async def entries(self, first: date, last: date) -> AsyncIterator[Entry]:
        """In no particular order within a day."""
        for day in await self._days(first, last):
            cursor, begun = 0, False
            while cursor or not begun:
                begun = True
                with self._valkey.reaching():
                    name = PREFIX + f"calls:{day}"
                    found: Any = await self._valkey.client.hscan(name, cursor, count=PAGE)
                cursor, rows = int(found[0]), found[1]
                for id, row in rows.items():
                    yield of_row([_text(id), *json.loads(row)])

    async def prune(self, before: date) -> int:
        deleted = 0
        for day in await self._days(date.min, before - timedelta(days=1)):
            deleted += int(await self._prune(keys=self._keys, args=[PREFIX, str(day)]))
        await self._forget_accounts(before)
        return deleted

    async def _forget_accounts(self, before: date) -> None:
        for name in ("spent", "crossings"):
            with self._valkey.reaching():
                found = await self._hash(name)
                old = [key for key in found if key.startswith(("day ", "key ")) and key[4:14] < str(before)]
                if old:
                    deleting: Any = self._valkey.client.hdel(PREFIX + name, *old)
                    await deleting

    async def _days(self, first: date, last: date) -> list[date]:
        with self._valkey.reaching():
            bounds = first.toordinal(), last.toordinal()
            found: Any = await self._valkey.client.zrangebyscore(PREFIX + "days", *bounds)
        return [date.fromisoformat(_text(day)) for day in found]

    async def _hash(self, name: str) -> dict[str, str]:
        reading: Any = self._valkey.client.hgetall(PREFIX + name)
        return {_text(key): _text(value) for key, value in (await reading).items()}


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _packed(entry: Entry) -> dict[str, object]:
    """What the script needs of an entry."""
    micros = entry.micros or 0
    failed = int(entry.outcome not in ("ok", "cancelled"))
    sums = (1, failed, entry.audio_ms, entry.input_tokens, entry.cached_tokens, entry.output_tokens,
            entry.characters, micros, int(entry.micros is None), micros * entry.speculative,
            micros * entry.cancelled)  # fmt: skip
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
        "row": json.dumps(entry[1:], ensure_ascii=False, separators=(",", ":")),
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
