"""Limits that hold across replicas. A seat is a lease: one whose replica died is free again by itself."""

from __future__ import annotations

import asyncio
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

ENTER = """
local now = redis.call('TIME'); now = now[1] * 1000 + now[2] / 1000
local most, lease, interval, per = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if most > 0 and redis.call('ZCARD', KEYS[1]) >= most then return {'seats', '0'} end
if per > 0 then
  local after = math.max(tonumber(redis.call('GET', KEYS[2]) or '0'), now) + interval
  if after - now - per > 0.001 then return {'rate', tostring(after - now - per)} end
  redis.call('SET', KEYS[2], string.format('%.3f', after), 'PX', math.ceil(after - now))
end
redis.call('ZADD', KEYS[1], now + lease, ARGV[1])
redis.call('PEXPIRE', KEYS[1], lease)
return {'in', '0'}
"""

SPEND = """
local now = redis.call('TIME'); now = now[1] * 1000 + now[2] / 1000
local interval, per = tonumber(ARGV[1]), tonumber(ARGV[2])
local after = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + interval
if after - now - per > 0.001 then return tostring(after - now - per) end
if ARGV[3] == '1' then redis.call('SET', KEYS[1], string.format('%.3f', after), 'PX', math.ceil(after - now)) end
return '0'
"""

RENEW = """
local now = redis.call('TIME'); now = now[1] * 1000 + now[2] / 1000
for i, key in ipairs(KEYS) do
  redis.call('ZADD', key, now + tonumber(ARGV[1]), ARGV[i + 1])
  redis.call('PEXPIRE', key, ARGV[1])
end
return 0
"""

BATCH = 100
"""Seats renewed by one script: a tenth of a millisecond each, during which the store answers nobody else."""


class ValkeyLimits:
    """See LimitStore. While the store is away, each replica limits by what it knows itself."""

    def __init__(self, valkey: Valkey, own: MemoryLimits | None = None) -> None:
        self._enter, self._spend, self._renew = (valkey.script(each) for each in (ENTER, SPEND, RENEW))
        self._valkey = valkey
        self._own = own or MemoryLimits()
        self._held: set[tuple[str, str]] = set()

    async def enter(self, name: str, seat: str, limits: AddressLimits) -> None:
        """See LimitStore."""
        rate = limits.connects
        self._held.add((name, seat))
        try:
            answer, wait_ms = await self._enter(
                keys=[_seats(name), _rate(f"connects:{name}")],
                args=[
                    seat,
                    limits.sessions,
                    round(LEASE_S * 1000),
                    0 if rate is None else rate.interval_s * 1000,
                    0 if rate is None else rate.per_s * 1000,
                ],
            )
        except StoreUnavailable:
            answer, wait_ms = b"in", b"0"
        if answer != b"in":
            self._held.discard((name, seat))
            raise (
                too_many_sessions(limits.sessions)
                if answer == b"seats"
                else too_many_connections(float(wait_ms) / 1000)
            )
        try:
            # Kept here too, so that the limits go on when the store goes away in the middle of the day.
            await self._own.enter(name, seat, limits)
        except BaseException:
            await self.leave(name, seat)
            raise

    async def leave(self, name: str, seat: str) -> None:
        """See LimitStore. A store that is away learns of it when the lease runs out."""
        self._held.discard((name, seat))
        await self._own.leave(name, seat)
        with suppress(StoreUnavailable):
            with self._valkey.reaching():
                await self._valkey.client.zrem(_seats(name), seat)

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
                batch = held[at : at + BATCH]
                await self._renew(
                    keys=[_seats(name) for name, _ in batch],
                    args=[round(LEASE_S * 1000), *(seat for _, seat in batch)],
                )
                for name, seat in batch:
                    if (name, seat) not in self._held:
                        await self.leave(name, seat)  # it was left meanwhile, and has just been put back

    async def run(self) -> None:
        """Keep the seats that are held here, until cancelled."""
        while True:
            await asyncio.sleep(RENEW_S)
            await self.renew()


def _seats(name: str) -> str:
    return f"{KEYS}seats:{name}"


def _rate(name: str) -> str:
    return f"{KEYS}rate:{name}"
