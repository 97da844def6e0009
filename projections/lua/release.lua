#!lua
-- Gives the lease of a partition back, so that a worker that stands by need not wait for its end.
--
-- KEYS: lease
-- ARGV: worker
-- Answers:
--   released
--   lost     owner                              who has it now; '' for nobody

local owner = redis.call('GET', KEYS[1])
if owner ~= ARGV[1] then
  return { 'lost', owner or '' }
end
redis.call('DEL', KEYS[1])
return { 'released' }
