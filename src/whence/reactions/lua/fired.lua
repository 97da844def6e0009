#!lua
-- Takes timers away whose commands have their answers. One that was set anew meanwhile stays.
--
-- KEYS: checkpoint, timers, due
-- ARGV: epoch                                   of the lease under which they were sent
--       then per timer: timer, command
-- Answers:
--   removed
--   fenced epoch position                       where the checkpoint is; nothing was written

local checkpoint = redis.call('HMGET', KEYS[1], 'epoch', 'position')
if checkpoint[1] ~= ARGV[1] then
  return { 'fenced', checkpoint[1] or '', checkpoint[2] or '' }
end
redis.call('ZCARD', KEYS[3])
for n = 2, #ARGV, 2 do
  if redis.call('HGET', KEYS[2], ARGV[n]) == ARGV[n + 1] then
    redis.call('HDEL', KEYS[2], ARGV[n])
    redis.call('ZREM', KEYS[3], ARGV[n])
  end
end
return { 'removed' }
