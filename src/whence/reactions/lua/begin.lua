#!lua
-- Gives a reaction its place in the feed of a partition: one that has none, or any by force.
--
-- KEYS: checkpoint, parked, asked
-- ARGV: position, anchor, log                   behind which event; the uuid of the store
--       mode                                    'new': if it has none; 'again': and forget what waits
--       epoch                                   as the caller found it, '' for none; for 'again'
-- Answers:
--   begun
--   known                                       it has a place already; nothing was written
--   fenced epoch                                somebody was here since; the same
--
-- 'again' takes the epoch on by one: so it is not done once more, by whomever it is repeated, when
-- the reaction has gone on and has events that wait.

local found = redis.call('HMGET', KEYS[1], 'epoch', 'position')
if ARGV[4] == 'new' and found[2] then
  return { 'known' }
end
if ARGV[4] == 'again' then
  if (found[1] or '') ~= ARGV[5] then
    return { 'fenced', found[1] or '' }
  end
  redis.call('UNLINK', KEYS[2], KEYS[3])
  redis.call('HINCRBY', KEYS[1], 'epoch', 1) -- whoever works on it has to look again
  redis.call('HDEL', KEYS[1], 'failure')
end
redis.call('HSET', KEYS[1], 'position', ARGV[1], 'anchor', ARGV[2], 'log', ARGV[3])
return { 'begun' }
