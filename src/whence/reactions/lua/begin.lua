#!lua
-- Gives a reaction its place in the feed of a partition: one that has none, or any by force.
--
-- KEYS: checkpoint, parked, asked
-- ARGV: position, anchor, log                   behind which event; the uuid of the store
--       mode                                    'new': if it has none; 'again': and forget what waits
-- Answers:
--   begun
--   known                                       it has a place already; nothing was written

if ARGV[4] == 'new' and redis.call('HEXISTS', KEYS[1], 'position') == 1 then
  return { 'known' }
end
redis.call('HLEN', KEYS[1])
if ARGV[4] == 'again' then
  redis.call('UNLINK', KEYS[2], KEYS[3])
  redis.call('HINCRBY', KEYS[1], 'epoch', 1) -- whoever works on it has to look again
  redis.call('HDEL', KEYS[1], 'failure')
end
redis.call('HSET', KEYS[1], 'position', ARGV[1], 'anchor', ARGV[2], 'log', ARGV[3])
return { 'begun' }
