#!lua
-- Gives a new store its identity, or returns the one it has.
--
-- KEYS: identity
-- ARGV: uuid, partitions, grammar               what a new store would get
-- Answers:
--   uuid partitions grammar                     what the store has

if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'uuid', ARGV[1], 'partitions', ARGV[2], 'grammar', ARGV[3])
end
return redis.call('HMGET', KEYS[1], 'uuid', 'partitions', 'grammar')
