#!lua
-- Writes down in Redis where a view stands that is kept in a SQL database, which is the truth: for
-- all who ask how far it is, and for those who wait for it.
--
-- KEYS: checkpoint, parked, skipped
-- ARGV: epoch                                   of the lease
--       position, anchor, log                   where the view stands, and in which log
--       notes                                   how many parked sequences follow
--       then per parked sequence: stream, note
--       and per skipped event: event, record
-- Answers:
--   mirrored
--   fenced epoch position                       where the checkpoint is; nothing was written
--
-- It takes the epoch on by one, as the caller does: repeated later, it would take the view back.

local CHUNK = 1000 -- unpack has a limit of some thousands

local function replace(key, first, last)
  redis.call('UNLINK', key)
  for from = first, last, CHUNK do
    redis.call('HSET', key, unpack(ARGV, from, math.min(from + CHUNK - 1, last)))
  end
end

local checkpoint = redis.call('HMGET', KEYS[1], 'epoch', 'position')
if checkpoint[1] ~= ARGV[1] then
  return { 'fenced', checkpoint[1] or '', checkpoint[2] or '' }
end

local skips = 6 + 2 * tonumber(ARGV[5])
replace(KEYS[2], 6, skips - 1)
replace(KEYS[3], skips, #ARGV)
redis.call('HSET', KEYS[1], 'position', ARGV[2], 'anchor', ARGV[3], 'log', ARGV[4])
redis.call('HINCRBY', KEYS[1], 'epoch', 1)
return { 'mirrored' }
