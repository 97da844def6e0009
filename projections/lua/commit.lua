#!lua
-- Moves a view on: its rows, its checkpoint and what is noted of its parked sequences, all in one
-- go, unless another worker has come since.
--
-- KEYS: checkpoint, view, parked, skipped, asked, index
-- ARGV: epoch                                   of the lease under which the rows were made
--       position                                the checkpoint they were made from
--       next, anchor                            the checkpoint they lead to
--       puts, deletes, notes, skips, old, new   how many of each follow
--       then per row to put: key, row
--       and per row to delete: key
--       and per parked sequence: stream, note   '' for one that waits no longer
--       and per skipped event: event, record
--       and per old entry of the index: entry
--       and per new one: 0, entry
--       and per request that is done with: stream, request
-- Answers:
--   committed
--   fenced epoch position                       where the checkpoint is; nothing was written
--
-- A commit that leaves the position as it is takes the epoch on by one, as the caller does: so each
-- moves either, and none is applied a second time, by whomever it is repeated.
-- A request goes as it was read: one that has come in its place since then stays. One for a sequence
-- that waits no longer goes with the note.
-- A note and a record get the server's time in front, in microseconds; a note keeps its first one.
-- All checks come before the first write: Lua has no rollback. The rows come before the checkpoint,
-- so a view that is not a hash refuses the first of them.

local CHUNK = 1000 -- unpack has a limit of some thousands

local function in_chunks(command, key, first, last)
  for from = first, last, CHUNK do
    redis.call(command, key, unpack(ARGV, from, math.min(from + CHUNK - 1, last)))
  end
end

local checkpoint = redis.call('HMGET', KEYS[1], 'epoch', 'position')
if checkpoint[1] ~= ARGV[1] or checkpoint[2] ~= ARGV[2] then
  return { 'fenced', checkpoint[1] or '', checkpoint[2] or '' }
end

local puts = 11
local deletes = puts + 2 * tonumber(ARGV[5])
local notes = deletes + tonumber(ARGV[6])
local skips = notes + 2 * tonumber(ARGV[7])
local old = skips + 2 * tonumber(ARGV[8])
local new = old + tonumber(ARGV[9])
local answered = new + 2 * tonumber(ARGV[10])

local now = ''
local since = {}
if #ARGV >= notes then
  local time = redis.call('TIME')
  now = string.format('%.0f ', time[1] * 1000000 + time[2])
  redis.call('HLEN', KEYS[4])
  redis.call('HLEN', KEYS[5])
  redis.call('ZCARD', KEYS[6])
  for n = notes, skips - 1, 2 do
    local known = redis.call('HGET', KEYS[3], ARGV[n])
    since[n] = known and string.match(known, '^%d+ ') or now
  end
end

in_chunks('HSET', KEYS[2], puts, deletes - 1)
in_chunks('HDEL', KEYS[2], deletes, notes - 1)
for n = notes, skips - 1, 2 do
  if ARGV[n + 1] == '' then
    redis.call('HDEL', KEYS[3], ARGV[n])
    redis.call('HDEL', KEYS[5], ARGV[n])
  else
    redis.call('HSET', KEYS[3], ARGV[n], since[n] .. ARGV[n + 1])
  end
end
for n = skips, old - 1, 2 do
  redis.call('HSET', KEYS[4], ARGV[n], now .. ARGV[n + 1])
end
in_chunks('ZREM', KEYS[6], old, new - 1)
in_chunks('ZADD', KEYS[6], new, answered - 1)
for n = answered, #ARGV, 2 do
  if redis.call('HGET', KEYS[5], ARGV[n]) == ARGV[n + 1] then
    redis.call('HDEL', KEYS[5], ARGV[n])
  end
end
redis.call('HSET', KEYS[1], 'position', ARGV[3], 'anchor', ARGV[4])
if ARGV[3] == ARGV[2] then
  redis.call('HINCRBY', KEYS[1], 'epoch', 1)
end
redis.call('HDEL', KEYS[1], 'failure')
return { 'committed' }
