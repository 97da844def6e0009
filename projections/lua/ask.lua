#!lua
-- Leaves a request for the worker that has a partition: what to do with a parked sequence.
--
-- KEYS: lease, parked, asked
-- ARGV: stream, request
-- Answers:
--   asked owner                                 whom it was left for; '' where nobody works
--   absent                                      the stream is not parked; nothing was written

local owner = redis.call('GET', KEYS[1])
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 then
  return { 'absent' }
end
redis.call('HSET', KEYS[3], ARGV[1], ARGV[2])
return { 'asked', owner or '' }
