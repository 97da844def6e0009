#!lua
-- Empties a view and puts its checkpoint before the first event. Nothing is parked any more; what a
-- person has skipped stays skipped, unless it is to be forgotten.
--
-- KEYS: checkpoint, view, parked, skipped, asked
-- ARGV: epoch, log                              of the lease; the uuid of the store
--       skips                                   'keep' or 'forget' them
-- Answers:
--   reset
--   fenced epoch position                       where the checkpoint is; nothing was written

local checkpoint = redis.call('HMGET', KEYS[1], 'epoch', 'position')
if checkpoint[1] ~= ARGV[1] then
  return { 'fenced', checkpoint[1] or '', checkpoint[2] or '' }
end
redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[5])
if ARGV[3] == 'forget' then
  redis.call('UNLINK', KEYS[4])
end
redis.call('HSET', KEYS[1], 'position', '0', 'anchor', '', 'log', ARGV[2])
redis.call('HDEL', KEYS[1], 'failure')
return { 'reset' }
