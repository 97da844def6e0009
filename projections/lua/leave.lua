#!lua
-- Takes a worker out of those that share the partitions of a projection.
--
-- KEYS: workers
-- ARGV: worker
-- Answers:
--   left
--   absent                                      it was not among them; nothing was written

if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then
  return { 'absent' }
end
return { 'left' }
