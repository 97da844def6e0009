#!lua
-- Lets an owner keep the lease of a partition.
--
-- KEYS: lease
-- ARGV: worker, ttl_ms
-- Answers:
--   renewed
--   lost    owner                               who has it now; '' for nobody

local owner = redis.call('GET', KEYS[1])
if owner ~= ARGV[1] then
  return { 'lost', owner or '' }
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return { 'renewed' }
