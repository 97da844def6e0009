#!lua
-- Names the timers of a partition that are due, and how far its feed is at this moment.
--
-- KEYS: due, timers, feed
-- ARGV: until                                   a moment, in milliseconds; '' for this one
--       after, limit                            how many to leave out; at most so many
-- Answers:
--   due now head next timers                    the moment; the last entry of the feed; when the
--                                               next timer behind until is due, or '';
--                                               (timer, command ...)

local time = redis.call('TIME')
local now = string.format('%.0f', math.floor((time[1] * 1000000 + time[2]) / 1000))
local moment = ARGV[1] == '' and now or ARGV[1]
local timers = {}
for _, timer in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', moment,
    'LIMIT', ARGV[2], ARGV[3])) do
  timers[#timers + 1] = timer
  timers[#timers + 1] = redis.call('HGET', KEYS[2], timer) or ''
end
local following = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. moment, '+inf', 'WITHSCORES',
  'LIMIT', 0, 1)
return { 'due', now, redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1),
  following[2] or '', timers }
