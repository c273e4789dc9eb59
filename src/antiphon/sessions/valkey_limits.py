"""Limits that hold across replicas. A seat is a lease: one whose replica died is free again by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from antiphon.errors import StoreUnavailable
from antiphon.sessions.address_limits import (
    AddressLimits,
    MemoryLimits,
    too_many_connections,
    too_many_sessions,
)
from antiphon.sessions.rates import Rate
from antiphon.store.valkey import KEYS, Valkey

LEASE_S = 30.0
"""How long a seat outlives its replica: longer than a store that is away for a moment, shorter than a caller's
patience."""

RENEW_S = LEASE_S / 3

# KEYS: of a name its seats, its connections' rate, and which seats are lent, since when.
ENTER = """
local function longest_lent()
  for _, seat in ipairs(redis.call('ZRANGE', KEYS[3], 0, -1)) do
    if redis.call('ZSCORE', KEYS[1], seat) then return seat end
    redis.call('ZREM', KEYS[3], seat)
  end
  return nil
end
local now = redis.call('TIME'); now = now[1] * 1000 + now[2] / 1000
local most, lease, interval, per = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local taken = ''
if most > 0 and redis.call('ZCARD', KEYS[1]) >= most then
  taken = longest_lent()
  if not taken then return {'seats', '0'} end
end
if per > 0 then
  local after = math.max(tonumber(redis.call('GET', KEYS[2]) or '0'), now) + interval
  if after - now - per > 0.001 then return {'rate', tostring(after - now - per)} end
  redis.call('SET', KEYS[2], string.format('%.3f', after), 'PX', math.ceil(after - now))
end
redis.call('ZREM', KEYS[1], taken)
redis.call('ZREM', KEYS[3], taken)
redis.call('ZADD', KEYS[1], now + lease, ARGV[1])
redis.call('PEXPIRE', KEYS[1], lease)
return {'in', taken}
"""

SPEND = """
local now = redis.call('TIME'); now = now[1] * 1000 + now[2] / 1000
local interval, per = tonumber(ARGV[1]), tonumber(ARGV[2])
local after = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + interval
if after - now - per > 0.001 then return tostring(after - now - per) end
if ARGV[3] == '1' then redis.call('SET', KEYS[1], string.format('%.3f', after), 'PX', math.ceil(after - now)) end
return '0'
"""

# KEYS: for each seat the seats of its name, and which are lent. ARGV: lease; for each seat its id, and whether it is
# lent. Answers with those that were lent and are not there any more: taken, or lost with the store's memory.
RENEW = """
local now = redis.call('TIME'); now = now[1] * 1000 + now[2] / 1000
local gone = {}
for i = 1, #KEYS, 2 do
  local seats, lent, seat = KEYS[i], KEYS[i + 1], ARGV[i + 1]
  if ARGV[i + 2] == '1' and not redis.call('ZSCORE', seats, seat) then
    gone[#gone + 1] = seat
  else
    redis.call('ZADD', seats, now + tonumber(ARGV[1]), seat)
    redis.call('PEXPIRE', seats, ARGV[1])
    if ARGV[i + 2] == '1' then
      redis.call('ZADD', lent, 'NX', now, seat)
      redis.call('PEXPIRE', lent, ARGV[1])
    end
  end
end
return gone
"""

BATCH = 100
"""Seats renewed by one script: a tenth of a millisecond each, during which the store answers nobody else."""


class ValkeyLimits:
    """See LimitStore. While the store is away, each replica limits by what it knows itself."""

    def __init__(self, valkey: Valkey, own: MemoryLimits | None = None) -> None:
        self._enter, self._spend, self._renew = (valkey.script(each) for each in (ENTER, SPEND, RENEW))
        self._valkey = valkey
        self._own = own or MemoryLimits()
        self._held: dict[tuple[str, str], bool] = {}
        """Names and their seats → whether they are lent."""

    async def enter(self, name: str, seat: str, limits: AddressLimits) -> None:
        """See LimitStore."""
        rate = limits.connects
        self._held[name, seat] = False
        try:
            answer, detail = await self._enter(
                keys=[_seats(name), _rate(f"connects:{name}"), _lent(name)],
                args=[
                    seat,
                    limits.sessions,
                    round(LEASE_S * 1000),
                    0 if rate is None else rate.interval_s * 1000,
                    0 if rate is None else rate.per_s * 1000,
                ],
            )
        except StoreUnavailable:
            answer, detail = b"in", b""
        if answer != b"in":
            del self._held[name, seat]
            raise (
                too_many_sessions(limits.sessions)
                if answer == b"seats"
                else too_many_connections(float(detail) / 1000)
            )
        self._taken(name, detail.decode())
        try:
            # Kept here too, so that the limits go on when the store goes away in the middle of the day.
            await self._own.enter(name, seat, limits)
        except BaseException:
            await self.leave(name, seat)
            raise

    async def leave(self, name: str, seat: str) -> None:
        """See LimitStore. A store that is away learns of it when the lease runs out."""
        self._held.pop((name, seat), None)
        await self._own.leave(name, seat)
        with suppress(StoreUnavailable):
            with self._valkey.reaching():
                await self._valkey.client.zrem(_seats(name), seat)
                await self._valkey.client.zrem(_lent(name), seat)

    async def lend(self, name: str, seat: str, lost: Callable[[], object]) -> None:
        """See LimitStore. At another replica it is known to be lent once the store is, and lost with the next
        renewal."""
        if (name, seat) in self._held:
            self._held[name, seat] = True
        await self._own.lend(name, seat, lost)
        with suppress(StoreUnavailable):
            await self._renew_seats([(name, seat)])

    def _taken(self, name: str, seat: str) -> None:
        """By somebody of that name, at whichever replica."""
        if self._held.pop((name, seat), None) is not None:
            self._own.take(name, seat)

    async def spend(self, name: str, rate: Rate) -> float:
        """See LimitStore. Counted here, too, as ``enter`` does; one that is refused is counted nowhere."""
        wait_s = await self._wait(name, rate, spend=True)
        return wait_s or await self._own.spend(name, rate)

    async def wait(self, name: str, rate: Rate) -> float:
        """See LimitStore."""
        return await self._wait(name, rate, spend=False)

    async def _wait(self, name: str, rate: Rate, *, spend: bool) -> float:
        """As this replica knows it, and then as the store does; ``spend``: there."""
        own_s = await self._own.wait(name, rate)
        if own_s:
            return own_s
        try:
            wait_ms = await self._spend(
                keys=[_rate(name)], args=[rate.interval_s * 1000, rate.per_s * 1000, int(spend)]
            )
        except StoreUnavailable:
            return 0.0
        return float(wait_ms) / 1000

    async def renew(self) -> None:
        """Keep the seats that are held here, once. A store that is away is asked again next time."""
        held = list(self._held)
        with suppress(StoreUnavailable):
            for at in range(0, len(held), BATCH):
                await self._renew_seats(held[at : at + BATCH])

    async def _renew_seats(self, seats: Sequence[tuple[str, str]]) -> None:
        keys = [key for name, _ in seats for key in (_seats(name), _lent(name))]
        whose = [word for name, seat in seats for word in (seat, int(self._held.get((name, seat), False)))]
        gone: list[bytes] = await self._renew(keys=keys, args=[round(LEASE_S * 1000), *whose])
        for name, seat in seats:
            if seat.encode() in gone:
                self._taken(name, seat)
            elif (name, seat) not in self._held:
                await self.leave(name, seat)  # it was left meanwhile, and has just been put back

    async def run(self) -> None:
        """Keep the seats that are held here, until cancelled."""
        while True:
            await asyncio.sleep(RENEW_S)
            await self.renew()


def _seats(name: str) -> str:
    return f"{KEYS}seats:{name}"


def _lent(name: str) -> str:
    return f"{KEYS}lent:{name}"


def _rate(name: str) -> str:
    return f"{KEYS}rate:{name}"
