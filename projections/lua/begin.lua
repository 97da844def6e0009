#!lua
-- Begins the next generation of a view, or joins the one that is being built already. It takes two
-- calls: the first one gives away a number, whose keys the caller clears before it asks again.
--
-- KEYS: generations
-- ARGV: number                                  0, or the one that was given; its keys were cleared
--       revision                                the version that makes it
--       switcher                                who lets readers see it: 'worker' or 'person'
--       patience_ms                             how long others wait for who was given a number
-- Answers:
--   begun
--   given    number                             it is this caller's to clear, and nobody else's
--   building number                             it is being built, by that revision; a person who
--                                               joins decides on the switch from then on
--   other    number revision                    another revision is being built; nothing was written
--   clearing number                             somebody was given that one just now; the same
--   taken    newest                             others were quicker, this number is void; the same
--
-- A number is given once. Whoever is late to clear one harms nobody, even if others have long built
-- and shown the next one meanwhile.

local found = redis.call('HMGET', KEYS[1], 'newest', 'building', 'given')
local newest = tonumber(found[1] or '1')
local given, since = string.match(found[3] or '', '^(%d+) (%d+)$')
local number = tonumber(ARGV[1])

if found[2] then
  local revision = redis.call('HGET', KEYS[1], 'revision:' .. found[2])
  if revision ~= ARGV[2] then
    return { 'other', found[2], revision or '' }
  end
  if ARGV[3] == 'person' then
    redis.call('HSET', KEYS[1], 'switcher', 'person')
  end
  return { 'building', found[2] }
end

if number == 0 then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local waiting = given and tonumber(given) > newest
  if waiting and math.abs(now - since) < tonumber(ARGV[4]) then
    return { 'clearing', given }
  end
  local text = string.format('%d', math.max(newest, tonumber(given or '0')) + 1)
  redis.call('HSET', KEYS[1], 'given', string.format('%s %.0f', text, now))
  return { 'given', text }
end

if not given or number > tonumber(given) or number <= newest then
  return { 'taken', found[1] or '1' }
end
redis.call('HSET', KEYS[1], 'newest', ARGV[1], 'building', ARGV[1], 'revision:' .. ARGV[1], ARGV[2],
  'switcher', ARGV[3])
return { 'begun' }
