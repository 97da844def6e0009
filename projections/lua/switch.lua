#!lua
-- Lets readers see another generation of a view: the one that was built, or the one before.
--
-- KEYS: generations
-- ARGV: from, to                                the generation that is live, and the next
--       until_ms                                when it is too late, by this server's clock; 0: never
-- Answers:
--   switched
--   other    live                               another generation is live; nothing was written
--   gone                                        "to" is neither built nor kept; the same
--   late                                        others may have moved "from" on by now; the same
--
-- The generation that was live is kept as the previous one. One that was kept until now is to be
-- dropped.

local found = redis.call('HMGET', KEYS[1], 'live', 'building', 'previous')
local live = found[1] or '1'
if live ~= ARGV[1] then
  return { 'other', live }
end
if found[2] ~= ARGV[2] and found[3] ~= ARGV[2] then
  return { 'gone' }
end
local time = redis.call('TIME')
if ARGV[3] ~= '0' and time[1] * 1000 + time[2] / 1000 >= tonumber(ARGV[3]) then
  return { 'late' }
end
local revision = redis.call('HGET', KEYS[1], 'revision:' .. ARGV[2]) or ''

if found[2] == ARGV[2] then
  redis.call('HDEL', KEYS[1], 'building', 'switcher')
  if found[3] then
    redis.call('HSET', KEYS[1], 'dropping:' .. found[3], '1')
    redis.call('HDEL', KEYS[1], 'revision:' .. found[3])
  end
end
redis.call('HSET', KEYS[1], 'live', ARGV[2], 'previous', ARGV[1], 'was:' .. revision, ARGV[2])
return { 'switched' }
