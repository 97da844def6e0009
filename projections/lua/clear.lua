#!lua
-- Clears one partition for a generation of a view that is about to begin, and skips there what a
-- person has skipped in another one.
--
-- KEYS: checkpoint, view, parked, skipped, asked, index, lease, other
-- ARGV: epoch, owner                            of the partition as the caller found it; '' for none
--       skips                                   'keep': what is skipped in the other one; 'forget'
-- Answers:
--   cleared
--   fenced epoch owner                          somebody was here since; nothing was written
--
-- It takes the epoch on by one: so it is not done again, by whomever it is repeated, once the
-- generation has begun.

local epoch = redis.call('HGET', KEYS[1], 'epoch') or ''
local owner = redis.call('GET', KEYS[7]) or ''
if epoch ~= ARGV[1] or owner ~= ARGV[2] then
  return { 'fenced', epoch, owner }
end
redis.call('HLEN', KEYS[8])

redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7])
redis.call('HSET', KEYS[1], 'epoch', string.format('%.0f', (tonumber(epoch) or 0) + 1))
if ARGV[3] == 'keep' then
  redis.call('COPY', KEYS[8], KEYS[4])
end
return { 'cleared' }
