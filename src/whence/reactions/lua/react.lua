#!lua
-- Moves a reaction on: its checkpoint, the timers that its handlers have set and cancelled, and
-- what is noted of its parked sequences, all in one go, unless another worker has come since.
--
-- KEYS: checkpoint, timers, due, parked, skipped, asked
-- ARGV: epoch                                   of the lease under which the handlers ran
--       position                                the checkpoint they ran from
--       next, anchor                            the checkpoint they lead to
--       sets, cancels, notes, skips             how many of each follow
--       then per timer to set: timer, due, command
--       and per timer to cancel: timer
--       and per parked sequence: stream, note   '' for one that waits no longer
--       and per skipped event: event, record
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
-- Each key is looked at before the first write, for one of a wrong type ends the script.

local checkpoint = redis.call('HMGET', KEYS[1], 'epoch', 'position')
if checkpoint[1] ~= ARGV[1] or checkpoint[2] ~= ARGV[2] then
  return { 'fenced', checkpoint[1] or '', checkpoint[2] or '' }
end
redis.call('HLEN', KEYS[2])
redis.call('ZCARD', KEYS[3])
redis.call('HLEN', KEYS[4])
redis.call('HLEN', KEYS[5])
redis.call('HLEN', KEYS[6])

local cancels = 9 + 3 * tonumber(ARGV[5])
local notes = cancels + tonumber(ARGV[6])
local skips = notes + 2 * tonumber(ARGV[7])
local answered = skips + 2 * tonumber(ARGV[8])

for n = 9, cancels - 1, 3 do
  redis.call('ZADD', KEYS[3], ARGV[n + 1], ARGV[n])
  redis.call('HSET', KEYS[2], ARGV[n], ARGV[n + 2])
end
for n = cancels, notes - 1 do
  redis.call('ZREM', KEYS[3], ARGV[n])
  redis.call('HDEL', KEYS[2], ARGV[n])
end
local time = redis.call('TIME')
local now = string.format('%.0f ', time[1] * 1000000 + time[2])
for n = notes, skips - 1, 2 do
  if ARGV[n + 1] == '' then
    redis.call('HDEL', KEYS[4], ARGV[n])
    redis.call('HDEL', KEYS[6], ARGV[n])
  else
    local known = redis.call('HGET', KEYS[4], ARGV[n])
    local since = known and string.match(known, '^%d+ ') or now
    redis.call('HSET', KEYS[4], ARGV[n], since .. ARGV[n + 1])
  end
end
for n = skips, answered - 1, 2 do
  redis.call('HSET', KEYS[5], ARGV[n], now .. ARGV[n + 1])
end
for n = answered, #ARGV, 2 do
  if redis.call('HGET', KEYS[6], ARGV[n]) == ARGV[n + 1] then
    redis.call('HDEL', KEYS[6], ARGV[n])
  end
end
redis.call('HSET', KEYS[1], 'position', ARGV[3], 'anchor', ARGV[4])
if ARGV[3] == ARGV[2] then
  redis.call('HINCRBY', KEYS[1], 'epoch', 1)
end
redis.call('HDEL', KEYS[1], 'failure')
return { 'committed' }
