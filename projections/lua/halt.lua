#!lua
-- Notes at a checkpoint why its view does not move on; the next commit takes the note away.
--
-- KEYS: checkpoint
-- ARGV: epoch, failure                          of the lease; a sentence
-- Answers:
--   noted
--   fenced epoch position                       where the checkpoint is; nothing was written

local checkpoint = redis.call('HMGET', KEYS[1], 'epoch', 'position')
if checkpoint[1] ~= ARGV[1] then
  return { 'fenced', checkpoint[1] or '', checkpoint[2] or '' }
end
redis.call('HSET', KEYS[1], 'failure', ARGV[2])
return { 'noted' }
