#!lua
-- Notes that a worker of a projection lives, and drops those that have said nothing for too long.
--
-- KEYS: workers
-- ARGV: worker, patience_ms                     who lives; for how long that is believed
-- Answers:
--   living worker ...                           all who live, this one included

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HGETALL', KEYS[1])
local living = { 'living', ARGV[1] }
local longest = tonumber(ARGV[2])
local dead = {}
for n = 1, #known, 2 do
  if known[n] ~= ARGV[1] then
    local beat, patience = string.match(known[n + 1], '^(%d+) (%d+)$')
    -- In both directions: a clock that was set back must not keep the dead alive.
    if beat and math.abs(now - beat) <= tonumber(patience) then
      living[#living + 1] = known[n]
      longest = math.max(longest, tonumber(patience))
    else
      dead[#dead + 1] = known[n]
    end
  end
end

for _, worker in ipairs(dead) do
  redis.call('HDEL', KEYS[1], worker)
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f ', now) .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], longest)
return living
