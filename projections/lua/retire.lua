#!lua
-- Gives up a generation of a view that is not live, so that its keys can be dropped.
--
-- KEYS: generations
-- ARGV: number
-- Answers:
--   retired                                     nobody works on it any more, and its keys are to go
--   absent                                      it is neither built nor kept; nothing was written

local found = redis.call('HMGET', KEYS[1], 'building', 'previous')
if found[1] ~= ARGV[1] and found[2] ~= ARGV[1] then
  return { 'absent' }
end
if found[1] == ARGV[1] then
  redis.call('HDEL', KEYS[1], 'building', 'switcher')
else
  redis.call('HDEL', KEYS[1], 'previous')
end
redis.call('HDEL', KEYS[1], 'revision:' .. ARGV[1])
redis.call('HSET', KEYS[1], 'dropping:' .. ARGV[1], '1')
return { 'retired' }
