#!lua
-- Begins the next generation of a view, or joins the one that is being built already.
--
-- KEYS: generations
-- ARGV: number                                  of the next generation; its keys were cleared
--       revision                                the version that makes it
--       switcher                                who lets readers see it: 'worker' or 'person'
-- Answers:
--   begun
--   building number                             it is being built, by that revision; a person who
--                                               joins decides on the switch from then on
--   other    number revision                    another revision is being built; nothing was written
--   taken    newest                             the number was given away meanwhile; the same

local found = redis.call('HMGET', KEYS[1], 'newest', 'building')
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
if tonumber(ARGV[1]) ~= tonumber(found[1] or '1') + 1 then
  return { 'taken', found[1] or '1' }
end
redis.call('HSET', KEYS[1], 'newest', ARGV[1], 'building', ARGV[1], 'revision:' .. ARGV[1], ARGV[2],
  'switcher', ARGV[3])
return { 'begun' }
