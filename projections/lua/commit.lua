#!lua
-- Moves a view on: its rows and its checkpoint in one go, unless another worker has come since.
--
-- KEYS: checkpoint, view
-- ARGV: epoch                                   of the lease under which the rows were made
--       position                                the checkpoint they were made from
--       next, anchor                            the checkpoint they lead to
--       puts, then per row: key, row
--       then the keys of the rows to delete
-- Answers:
--   committed
--   fenced epoch position                       where the checkpoint is; nothing was written
--
-- All checks come before the first write: Lua has no rollback. The rows come before the checkpoint,
-- so a view that is not a hash refuses the first of them.

local CHUNK = 1000 -- unpack has a limit of some thousands

local function in_chunks(command, first, last)
  for from = first, last, CHUNK do
    redis.call(command, KEYS[2], unpack(ARGV, from, math.min(from + CHUNK - 1, last)))
  end
end

local checkpoint = redis.call('HMGET', KEYS[1], 'epoch', 'position')
if checkpoint[1] ~= ARGV[1] or checkpoint[2] ~= ARGV[2] then
  return { 'fenced', checkpoint[1] or '', checkpoint[2] or '' }
end

local deletes = 6 + 2 * tonumber(ARGV[5])
in_chunks('HSET', 6, deletes - 1)
in_chunks('HDEL', deletes, #ARGV)
redis.call('HSET', KEYS[1], 'position', ARGV[3], 'anchor', ARGV[4])
redis.call('HDEL', KEYS[1], 'failure')
return { 'committed' }
