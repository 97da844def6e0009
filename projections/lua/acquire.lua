#!lua
-- Gives a worker the lease of a partition, with an epoch that fences off every earlier owner.
--
-- KEYS: lease, checkpoint, view, parked, skipped, index
-- ARGV: worker, ttl_ms                          who asks; for how long without a renewal
--       log                                     the uuid of the store, for a new checkpoint
--       mode                                    'free': only a free lease or its own; 'force': any
-- Answers:
--   acquired epoch position anchor log notes skips
--                                               where the view stands, and in which log; what is
--                                               parked (stream, note ...) and skipped (event ...)
--   held     owner                              another worker has it; nothing was written

local owner = redis.call('GET', KEYS[1])
local checkpoint = redis.call('HMGET', KEYS[2], 'position', 'anchor', 'log')
if owner and owner ~= ARGV[1] and ARGV[4] ~= 'force' then
  return { 'held', owner }
end
local notes = redis.call('HGETALL', KEYS[4])
local skips = redis.call('HKEYS', KEYS[5])

local epoch = redis.call('HINCRBY', KEYS[2], 'epoch', 1)
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if not checkpoint[1] then
  redis.call('UNLINK', KEYS[3], KEYS[4], KEYS[6]) -- position 0 means: no event is in the view, none waits
  notes = {}
  checkpoint = { '0', '', ARGV[3] }
  redis.call('HSET', KEYS[2], 'position', '0', 'anchor', '', 'log', ARGV[3])
end
return { 'acquired', epoch, checkpoint[1], checkpoint[2], checkpoint[3], notes, skips }
