"""What the ledger in Valkey does, as scripts that run at the server: each is one step for all replicas.

    <prefix>calls:<day>         hash: entry id → its fields, a JSON list; one that is there is not added again
    <prefix>lines:<day>         hash: kind, provider, model and what is summed → its sum
    <prefix>by:<day>            hash: ``session x``, ``caller y`` → micro-dollars
    <prefix>days                sorted set: the days there are
    <prefix>spent:<place>       hash: account → micro-dollars
    <prefix>crossings:<place>   hash: threshold → who tells of it: the batch that reached it, or who took over from it
    <prefix>untold              sorted set: threshold → how long it is its teller's to tell, ms of the server's clock
    <prefix>held                hash: account → micro-dollars set aside
    <prefix>asks                hash: reservation → its amount and accounts
    <prefix>expiry              sorted set: reservation → when it ends by itself, ms of the server's clock

The place of an account is its day, or for ``session x`` a key of its own, which ends by itself: there are as many
sessions as callers, and no command may take longer for it.
"""

from __future__ import annotations

NAMES = ("held", "asks", "expiry", "days", "untold")
"""The keys that every script is given; those of days and sessions begin with the prefix, its first argument."""

EXACT = 2**53
"""Lua's numbers are floats: whole ones are exact up to here."""

START = """
local prefix, held, asks, expiry, days, untold = ARGV[1], KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function at(what, account)
  local place = string.sub(account, 1, 8) == 'session ' and account or string.sub(account, 5, 14)
  return prefix .. what .. ':' .. place
end
local function release(id)
  local ask = redis.call('HGET', asks, id)
  if not ask then return end
  ask = cjson.decode(ask)
  for _, account in ipairs(ask[2]) do
    local left = redis.call('HINCRBY', held, account, string.format('%.0f', 0 - ask[1]))
    if left <= 0 then redis.call('HDEL', held, account) end
  end
  redis.call('HDEL', asks, id)
  redis.call('ZREM', expiry, id)
end
"""

RESERVE = (
    START
    + """
local id, micros, limits, taken = ARGV[2], ARGV[3], cjson.decode(ARGV[4]), tonumber(ARGV[5])
for _, old in ipairs(redis.call('ZRANGEBYSCORE', expiry, '-inf', now)) do release(old) end
if redis.call('HEXISTS', asks, id) == 1 then return '' end
local names = {}
for _, pair in ipairs(limits) do
  local spent = tonumber(redis.call('HGET', at('spent', pair[1]), pair[1]) or 0)
  local aside = tonumber(redis.call('HGET', held, pair[1]) or 0)
  if spent + aside >= pair[2] then return pair[1] end
  names[#names + 1] = pair[1]
end
for _, name in ipairs(names) do redis.call('HINCRBY', held, name, micros) end
redis.call('HSET', asks, id, cjson.encode({tonumber(micros), names}))
redis.call('ZADD', expiry, now + taken, id)
return ''
"""
)
"""Reservation, micro-dollars, [[account, limit], …], ms → the account that is full, or nothing."""

RENEW = (
    START
    + """
for i = 3, #ARGV do redis.call('ZADD', expiry, 'XX', now + tonumber(ARGV[2]), ARGV[i]) end
"""
)
"""ms, reservations …"""

APPEND = (
    START
    + """
local batch, taken, kept = cjson.decode(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
-- What a script has written stays when it breaks off, and is not counted again: all is looked at first.
for _, entry in ipairs(batch.entries) do
  for _, amount in ipairs(entry.sums) do
    if amount ~= math.floor(amount) or math.abs(amount) > """
    + str(EXACT)
    + """ then return redis.error_reply('ERR ' .. entry.id .. ' has a number that cannot be added up') end
  end
end
local touched, order = {}, {}
for _, entry in ipairs(batch.entries) do
  local day = entry.day
  local new = redis.call('HSETNX', prefix .. 'calls:' .. day, entry.id, entry.row)
  if new == 1 then
    redis.call('ZADD', days, entry.number, day)
    for i, name in ipairs(batch.sums) do
      if entry.sums[i] ~= 0 then
        redis.call('HINCRBY', prefix .. 'lines:' .. day, entry.line .. '\\t' .. name, entry.sums[i])
      end
    end
    redis.call('HINCRBY', prefix .. 'by:' .. day, 'session ' .. entry.session, entry.micros)
    redis.call('HINCRBY', prefix .. 'by:' .. day, 'caller ' .. entry.caller, entry.micros)
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
  local total = redis.call('HINCRBY', at('spent', account), account, string.format('%.0f', touched[account]))
  spent[#spent + 1] = {account, total}
  local limit = batch.limits[account]
  for _, threshold in ipairs(batch.thresholds) do
    if limit and total * 100 >= limit * threshold then
      local name = account .. ' ' .. threshold .. ' ' .. limit
      if redis.call('HSETNX', at('crossings', account), name, batch.id) == 1 then
        redis.call('ZADD', untold, now + taken, name)
      end
      local teller = redis.call('ZSCORE', untold, name) and redis.call('HGET', at('crossings', account), name)
      if teller == batch.id then
        crossed[#crossed + 1] = {name, total}
      end
    end
  end
  if string.sub(account, 1, 8) == 'session ' then
    redis.call('PEXPIRE', at('spent', account), kept)
    redis.call('PEXPIRE', at('crossings', account), kept)
  end
end
for _, id in ipairs(batch.released) do release(id) end
for _, name in ipairs(batch.told) do redis.call('ZREM', untold, name) end
return cjson.encode({spent, crossed})
"""
)
"""A batch, ms that a threshold is its teller's, ms that a session is kept → [[account, total], …], [[threshold, total],
…]"""

UNTOLD = (
    START
    + """
local taken, most, teller = tonumber(ARGV[2]), ARGV[3], ARGV[4]
for i = 5, #ARGV do redis.call('ZADD', untold, 'XX', now + taken, ARGV[i]) end
local found = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', untold, '-inf', now, 'LIMIT', 0, most)) do
  local account = string.match(name, '^(.*) %d+ %d+$')
  local total = redis.call('HGET', at('spent', account), account)
  if total then
    redis.call('ZADD', untold, now + taken, name)
    redis.call('HSET', at('crossings', account), name, teller)
    found[#found + 1] = {name, total}
  else
    redis.call('ZREM', untold, name)
  end
end
return cjson.encode(found)
"""
)
"""ms, how many, who asks, thresholds that it is telling of … → [[threshold, total], …]"""

PRUNE = (
    START
    + """
local day = ARGV[2]
local deleted = redis.call('HLEN', prefix .. 'calls:' .. day)
for _, what in ipairs({'calls:', 'lines:', 'by:', 'spent:', 'crossings:'}) do
  redis.call('UNLINK', prefix .. what .. day)
end
redis.call('ZREM', days, day)
return deleted
"""
)
"""A day → how many entries it had."""
