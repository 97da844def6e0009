#!lua
-- Writes down by which version of its projection the first generation of a view is made, unless
-- the generations of that view are known already.
--
-- KEYS: generations
-- ARGV: revision                                the version, and what else shapes the view
-- Answers:
--   claimed
--   known                                       nothing was written

if redis.call('EXISTS', KEYS[1]) == 1 then
  return { 'known' }
end
redis.call('HSET', KEYS[1], 'newest', '1', 'live', '1', 'revision:1', ARGV[1], 'was:' .. ARGV[1], '1')
return { 'claimed' }
