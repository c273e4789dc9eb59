"""Sessions in Valkey, for any number of replicas.

    antiphon:session:ID   hash: token, fence, record and its version; ``wanted``, the moment until which a caller waits
                          for it elsewhere; of one that is over the fence only, for a while
    antiphon:lease:ID     who holds it; expires by itself when its holder dies

Each script is one atomic step at the primary. What that promises, and what not: docs/reliability.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from antiphon.errors import StoreUnavailable
from antiphon.sessions.store import WANTED_S, Claim, HeldElsewhere, Holding, Standing, WrongToken
from antiphon.store.valkey import KEYS, Valkey

# A fence that is older than the one kept never writes; one that is newer does even if the store has fallen back behind
# it, as after losing a second; an equal one writes unless another replica has the lease. A claim's fence is the
# server's clock, so that two claims never get the same one, whatever the store has lost between them.
#
# Of one holder's writes, which may overtake each other on their way, the one with the highest version holds; and none
# after its word that the session is over.

_NOW = """
local function micros()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
"""

# KEYS: session, lease. ARGV: replica, lease ms, keep ms, fence, …
_OVERTAKEN = """
local function overtaken(session, lease, fence)
  local kept = tonumber(redis.call('HGET', session, 'fence') or '0')
  if kept ~= tonumber(fence) then return kept > tonumber(fence) end
  local holder = redis.call('GET', lease)
  return holder and holder ~= ARGV[1]
end
"""

_LATE = """
local function late(session, fence, version)
  local kept = redis.call('HMGET', session, 'fence', 'token', 'version')
  if tonumber(kept[1] or '0') ~= tonumber(fence) then return false end
  return not kept[2] or tonumber(kept[3]) > tonumber(version)
end
"""

# … token, record, version.
_CREATE = (
    _OVERTAKEN
    + _LATE
    + """
if overtaken(KEYS[1], KEYS[2], ARGV[4]) or late(KEYS[1], ARGV[4], ARGV[7]) then return 0 end
redis.call('HSET', KEYS[1], 'token', ARGV[5], 'fence', ARGV[4], 'record', ARGV[6], 'version', ARGV[7])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 1
"""
)

# KEYS: session, lease. ARGV: replica, lease ms, keep ms, token, for how long it is wanted.
_CLAIM = (
    _NOW
    + """
local kept = redis.call('HMGET', KEYS[1], 'token', 'record', 'fence')
if not kept[1] then return {'none'} end
if kept[1] ~= ARGV[4] then return {'wrong'} end
if redis.call('EXISTS', KEYS[2]) == 1 then
  redis.call('HSET', KEYS[1], 'wanted', string.format('%.0f', micros() + ARGV[5] * 1000))
  return {'held'}
end
local fence = string.format('%.0f', math.max(kept[3] + 1, micros()))
redis.call('HSET', KEYS[1], 'fence', fence, 'version', 0)
redis.call('HDEL', KEYS[1], 'wanted')
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return {'claimed', fence, kept[2]}
"""
)

# … record, version, whether to let go.
_WRITE = (
    _OVERTAKEN
    + _LATE
    + """
if overtaken(KEYS[1], KEYS[2], ARGV[4]) then return 'lost' end
if late(KEYS[1], ARGV[4], ARGV[6]) then return 'held' end
if redis.call('HEXISTS', KEYS[1], 'token') == 0 then return 'missing' end
redis.call('HSET', KEYS[1], 'fence', ARGV[4], 'record', ARGV[5], 'version', ARGV[6])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
if ARGV[7] == '1' then
  redis.call('DEL', KEYS[2])
  redis.call('HDEL', KEYS[1], 'wanted')
else
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
end
return 'held'
"""
)

# KEYS: session, lease. ARGV: replica, how long its fence is remembered (ms), fence.
_FORGET = (
    _OVERTAKEN
    + """
if overtaken(KEYS[1], KEYS[2], ARGV[3]) then return 0 end
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('HSET', KEYS[1], 'fence', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""
)

# KEYS: session, lease, session, lease, … ARGV: replica, lease ms, keep ms, fence, version, fence, version, …
_RENEW = (
    _NOW
    + _OVERTAKEN
    + """
local now, standings = micros(), {}
for i = 1, #KEYS, 2 do
  local kept = redis.call('HMGET', KEYS[i], 'token', 'wanted', 'version')
  local mine, version = ARGV[3 + i], ARGV[4 + i]
  if overtaken(KEYS[i], KEYS[i + 1], mine) then
    standings[#standings + 1] = 'lost'
  elseif not kept[1] then
    standings[#standings + 1] = 'missing'
  else
    redis.call('HSET', KEYS[i], 'fence', mine)
    redis.call('PEXPIRE', KEYS[i], ARGV[3])
    redis.call('SET', KEYS[i + 1], ARGV[1], 'PX', ARGV[2])
    if tonumber(kept[2] or '0') > now then
      standings[#standings + 1] = 'wanted'
    elseif tonumber(kept[3] or '0') < tonumber(version) then
      standings[#standings + 1] = 'missing'
    else
      standings[#standings + 1] = 'held'
    end
  end
end
return standings
"""
)

REMEMBERED_MS = 3_600_000
"""How long the fence of a session that is over is kept: a holder that was overtaken, and slept meanwhile, is not to
write it anew. Some 100 bytes each."""


MOST_OVER = 1_000
"""Sessions that ended while the store was away, 100 bytes each; beyond that the oldest expire by themselves."""

FORGOTTEN_AT_ONCE = 50
"""Of those, with each renewal of the others: a millisecond each, well within a lease."""


class ValkeyStore:
    """One replica's view of the sessions of all."""

    shared = True

    def __init__(self, valkey: Valkey, *, replica: str, lease_s: float, keep_s: float) -> None:
        """``replica`` names this process among all others. ``lease_s``: how long a session stays ours without
        ``renew``; ``keep_s``: how long one is kept after that."""
        self._valkey = valkey
        self._replica = replica
        self._lease_ms = round(lease_s * 1000)
        self._keep_ms = round((keep_s + lease_s) * 1000)
        self._create = valkey.script(_CREATE)
        self._claim = valkey.script(_CLAIM)
        self._write = valkey.script(_WRITE)
        self._forget = valkey.script(_FORGET)
        self._renew = valkey.script(_RENEW)
        self._over: dict[str, int] = {}
        """Sessions of ours that are over, which the store does not know yet → their fences."""

    @property
    def available(self) -> bool:
        return self._valkey.available

    @property
    def _who(self) -> tuple[str | int, ...]:
        return self._replica, self._lease_ms, self._keep_ms

    async def create(self, session_id: str, holding: Holding, *, token: bytes, record: bytes) -> None:
        args = (*self._who, holding.fence, token, record, holding.version)
        await self._create(keys=_keys(session_id), args=args)

    async def claim(self, session_id: str, *, token: bytes) -> Claim | None:
        if session_id in self._over:
            return None
        answer: list[Any] = await self._claim(
            keys=_keys(session_id), args=(*self._who, token, round(WANTED_S * 1000))
        )
        match answer:
            case [b"claimed", fence, record]:
                return Claim(fence=int(fence), record=record)
            case [b"held"]:
                raise HeldElsewhere
            case [b"wrong"]:
                raise WrongToken
            case _:
                return None

    async def write(self, session_id: str, holding: Holding, record: bytes) -> Standing:
        return await self._put(session_id, holding, record, let_go=False)

    async def release(self, session_id: str, holding: Holding, record: bytes) -> Standing:
        return await self._put(session_id, holding, record, let_go=True)

    async def _put(self, session_id: str, holding: Holding, record: bytes, *, let_go: bool) -> Standing:
        args = (*self._who, holding.fence, record, holding.version, int(let_go))
        return _standing(await self._write(keys=_keys(session_id), args=args))

    async def forget(self, session_id: str, *, fence: int) -> None:
        self._over[session_id] = fence
        if len(self._over) > MOST_OVER:
            del self._over[next(iter(self._over))]
        with suppress(StoreUnavailable):
            await self._forget_over(session_id, fence)

    async def _forget_over(self, session_id: str, fence: int) -> None:
        await self._forget(keys=_keys(session_id), args=(self._replica, REMEMBERED_MS, fence))
        self._over.pop(session_id, None)

    async def renew(self, holdings: Mapping[str, Holding]) -> Mapping[str, Standing]:
        for session_id, fence in tuple(self._over.items())[:FORGOTTEN_AT_ONCE]:
            await self._forget_over(session_id, fence)
        if not holdings:
            return {}
        keys = [key for session_id in holdings for key in _keys(session_id)]
        ours = [number for holding in holdings.values() for number in (holding.fence, holding.version)]
        answer = await self._renew(keys=keys, args=(*self._who, *ours))
        return dict(zip(holdings, map(_standing, answer), strict=True))

    def forget_old(self) -> None: ...  # keys expire by themselves


def _keys(session_id: str) -> tuple[str, str]:
    return f"{KEYS}session:{session_id}", f"{KEYS}lease:{session_id}"


def _standing(answer: bytes) -> Standing:
    match answer.decode():
        case "held" | "wanted" | "lost" | "missing" as standing:
            return standing
        case other:
            raise AssertionError(f"no such standing: {other}")
