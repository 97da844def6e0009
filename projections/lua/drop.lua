#!lua
-- Drops what one partition has of a generation of a view. A worker that does not know yet can
-- neither commit to it nor take it again for a while. The number of a generation is given once, so
-- there is nothing to drop for who repeats it.
--
-- KEYS: checkpoint, view, parked, skipped, asked, index, lease, feed
-- ARGV: ttl_ms                                  how long nobody may take the partition
--       group                                   the consumer group of this generation
-- Answers:
--   dropped

local feed = redis.call('TYPE', KEYS[8])
local kind = type(feed) == 'table' and feed.ok or feed

redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7])
redis.call('SET', KEYS[7], 'dropped', 'PX', ARGV[1])
if kind == 'stream' then
  redis.call('XGROUP', 'DESTROY', KEYS[8], ARGV[2])
end
return { 'dropped' }
