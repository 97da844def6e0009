#!lua
-- Gives a reaction that has never run its place in the feed of a partition.
--
-- KEYS: checkpoint
-- ARGV: position, anchor, log                   behind which event; the uuid of the store
-- Answers:
--   begun
--   known                                       it has a place already; nothing was written

if redis.call('HEXISTS', KEYS[1], 'position') == 1 then
  return { 'known' }
end
redis.call('HSET', KEYS[1], 'position', ARGV[1], 'anchor', ARGV[2], 'log', ARGV[3])
return { 'begun' }
