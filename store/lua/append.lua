#!lua
-- Appends events to streams, each under the version it was decided from, and to the feeds.
--
-- KEYS: feed * feeds, then stream * appends, then memory * remembered commands
--                                               all in one hash slot; a stream may stand twice
-- ARGV: feeds, appends, missed                  how many; and how many missed events to return
--       then per append:
--         feed                                  which of the feeds, from 1
--         name                                  the stream as the feed names it: order/42
--         expected                              the version the stream must have; 0 = no stream
--         after                                 the moment of the event at that version, '' if the
--                                               writer does not know it
--         command                               command id
--         events                                how many
--         memory                                which of the memories, from 1; 0 = not remembered
--         body, remember                        only with a memory: what tells this command from
--                                               another of the same id; for how many milliseconds
--         then per event:
--           type, schema, data, metadata
--           occurred                            microseconds since 1970, or '' for this clock
--           content                             CRC-32 of what the client knows of the event
-- Entry: id 0-<version>; t type, s schema version, d data, c command id, o moment (microseconds),
--        p position, k checksum; m metadata, if there is any. Numbers, for those a server keeps in
--        few bytes. Pointer: id 0-<position>; s stream, v version.
-- Answers, four values per append, the last ones nil where fewer are named here:
--   committed version position occurred         of its first event
--   duplicate entries                           stored before by the same command: those entries
--   reused                                      the command id belongs to a command of another body
--   conflict  head entries                      the stream's version, and what was missed; also
--                                               for what follows on from a refused append
--   backwards last                              occurred lies before the stream's last event
--   refused   message                           the key holds no stream
--   shortened                                   the version was given before: its event is gone
--
-- All checks come before the first write, for Lua has no rollback, but for one, which the first write
-- of each append makes itself. That a stream has as many entries as an append expects does not say
-- that they are 0-1, 0-2 and so on, if somebody has deleted some; that it takes the next one does, for
-- no stream takes an id that is not above all it has ever had. Where it refuses, nothing of that
-- append is written, and the positions of those behind it move up.

-- Looked up for each append, and a global takes twice as long.
local ARGV, KEYS = ARGV, KEYS

local FIELDS_PER_APPEND = 7
local FIELDS_PER_MEMORY = 2
local FIELDS_PER_EVENT = 6
local ANSWER = 4

-- %d takes a third of the time of %.0f, but has 32 bits on some servers: enough for a version, a
-- position and a checksum, not for a moment.
local function id_of(number)
  return string.format('0-%d', number)
end

local function number_in(id)
  return tonumber(string.match(id, '^0%-(%d+)$'))
end

local function occurred_in(fields)
  for i = 1, #fields, 2 do
    if fields[i] == 'o' then
      return tonumber(fields[i + 1])
    end
  end
end

local function command_in(fields)
  for i = 1, #fields, 2 do
    if fields[i] == 'c' then
      return fields[i + 1]
    end
  end
end

-- The last entry of a stream, nil if it is empty; or nil and why the key cannot be read as one.
local function last_entry(key)
  local found = redis.pcall('XREVRANGE', key, '+', '-', 'COUNT', 1)
  if type(found) ~= 'table' or found.err then
    return nil, type(found) == 'table' and found.err or 'WRONGTYPE'
  end
  return found[1]
end

local function read_head(key)
  local last, refused = last_entry(key)
  if not last then
    return { version = 0, occurred = -math.huge, broken = false, refused = refused }
  end
  local version, occurred = number_in(last[1]), occurred_in(last[2])
  refused = not (version and occurred) and 'its last entry was not written by Whence'
  return { version = version, occurred = occurred, broken = false, refused = refused }
end

-- What the stream will hold once the appends accepted so far are written.
-- broken: an earlier append to it in this call was not stored.
local heads = {}
local function head_of(key, expected, after)
  local head = heads[key]
  if head == nil then
    if (expected == 0 or after ~= '') and redis.pcall('XLEN', key) == expected then
      local occurred = expected > 0 and after + 0 or -math.huge
      head = { version = expected, occurred = occurred, broken = false }
    else
      head = read_head(key)
    end
    heads[key] = head
  end
  return head
end

-- The length of a feed whose entries are 0-1, 0-2 and so on; nil for any other. Reads none of them:
-- that there are as many, and none behind the last, leaves no other ids.
local function length_of(key)
  local length = redis.pcall('XLEN', key)
  if type(length) == 'number' then
    local more = redis.call('XREAD', 'STREAMS', key, id_of(length))
    return (not more or #more == 0) and length or nil
  end
end

-- How many events the feed will hold; nil if its key holds no feed.
local positions = {}
local function position_of(key)
  local position = positions[key] or length_of(key)
  if position == nil then
    local last, refused = last_entry(key)
    if last then
      position = number_in(last[1])
    elseif not refused then
      position = 0
    end
  end
  return position
end

-- The entries after a version that carry a command id, at most count of them; nil without any.
local function stored_by(key, expected, command, count)
  local entries = redis.call('XRANGE', key, id_of(expected + 1), id_of(expected + count))
  local own = {}
  for i, entry in ipairs(entries) do
    if command_in(entry[2]) ~= command then
      break
    end
    own[i] = entry
  end
  return own[1] and own
end

-- What an append is told that expects another version than its stream has, or follows on from one
-- that is not stored.
local function behind(key, head, expected, command, count)
  local own = not head.broken and expected < head.version
    and stored_by(key, expected, command, count)
  if own then
    return 'duplicate', own
  end
  head.broken = true
  return 'conflict', head.version,
    redis.call('XRANGE', key, id_of(expected + 1), '+', 'COUNT', ARGV[3])
end

local feeds = tonumber(ARGV[1])
local appends = tonumber(ARGV[2])
local answers = {}
local accepted = {}
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now_text = string.format('%.0f', now)

-- The moment of an event behind one of the moment last.
local function moment_in(text, last)
  if text == '' then
    return math.max(now, last)
  end
  return tonumber(text)
end

-- The moments of the first and the last event; or nil and the one that a next one lies before.
local function moments(last, first, count)
  local begin
  for i = 0, count - 1 do
    local moment = moment_in(ARGV[first + i * FIELDS_PER_EVENT + 4], last)
    if moment < last then
      return nil, last
    end
    begin, last = begin or moment, moment
  end
  return begin, last
end

-- What a command id has stored: body, version of its first event, their number; or nil.
local memories = {}
local function known(memory)
  local text = memories[memory] or redis.call('GET', memory)
  if text then
    return string.match(text, '^(%S+) (%d+) (%d+)$')
  end
end

local function repeated(key, head, at, memory)
  local body, version, count = known(memory)
  if not body then
    return nil
  end
  version = tonumber(version)
  local in_place = version == tonumber(ARGV[at + 2]) + 1
  -- What stands elsewhere, or only in this call, is no ground for what follows on from it.
  head.broken = head.broken or not in_place or memories[memory] ~= nil
  if body ~= ARGV[at + 7] then
    head.broken = true
    return 'reused'
  end
  if memories[memory] then
    return 'conflict', head.version, {} -- the next attempt finds it stored
  end
  return 'duplicate', redis.call('XRANGE', key, id_of(version), id_of(version + tonumber(count) - 1))
end

local function check(number, at, first, count, memory)
  local key = KEYS[feeds + number]
  local expected = ARGV[at + 2] + 0 -- tonumber would read the text twice
  local command = ARGV[at + 4]
  local head = head_of(key, expected, ARGV[at + 3])
  if head.refused then
    return 'refused', head.refused
  end
  if memory then
    local word, one, two = repeated(key, head, at, memory)
    if word then
      return word, one, two
    end
  end
  -- What was decided on top of an append that is not stored must not be stored either, even where
  -- another writer has by chance brought the stream to the version that it expects.
  if head.version ~= expected or head.broken then
    return behind(key, head, expected, command, count)
  end
  local begin, last = moments(head.occurred, first, count)
  if not begin then
    head.broken = true
    return 'backwards', string.format('%.0f', last)
  end
  local feed = KEYS[ARGV[at] + 0]
  local position = position_of(feed)
  if not position then
    head.broken = true
    return 'refused', 'the feed of its partition is no stream'
  end
  accepted[#accepted + 1] = { key = key, feed = feed, at = at, first = first, count = count,
    version = expected, position = position, occurred = head.occurred, memory = memory,
    number = number }
  head.version, head.occurred = expected + count, last
  positions[feed] = position + count
  if memory then
    memories[memory] = string.format('%s %d %d', ARGV[at + 7], expected + 1, count)
  end
  return 'committed', expected + 1, position + 1, begin
end

local function answer(number, word, one, two, three)
  local n = (number - 1) * ANSWER
  answers[n + 1], answers[n + 2] = word, one or false
  answers[n + 3], answers[n + 4] = two or false, three or false
end

local at = 4
for number = 1, appends do
  local count = ARGV[at + 5] + 0
  local first = at + FIELDS_PER_APPEND
  local memory
  if ARGV[at + 6] ~= '0' then
    memory = KEYS[feeds + appends + tonumber(ARGV[at + 6])]
    first = first + FIELDS_PER_MEMORY
  end
  answer(number, check(number, at, first, count, memory))
  at = first + count * FIELDS_PER_EVENT
end

-- 'm' and the metadata of an event; nothing if there is none.
local function metadata_in(text)
  if text ~= '' then
    return 'm', text
  end
end

-- By stream that did not take its next event: what it holds instead. By feed: so many positions that
-- were counted on are not taken.
local refusing, free
local function refusal(append)
  local head = refusing[append.key]
  if not head then
    head = read_head(append.key)
    head.shortened = not head.refused and head.version <= append.version
    refusing[append.key] = head
  end
  if head.refused then
    return 'refused', head.refused
  elseif head.shortened then
    return 'shortened'
  end
  return behind(append.key, head, append.version, ARGV[append.at + 4], append.count)
end

local function give_up(append)
  refusing, free = refusing or {}, free or {}
  free[append.feed] = (free[append.feed] or 0) + append.count
  answer(append.number, refusal(append))
end

-- How many of its events there are to write.
local function left_of(append)
  if refusing[append.key] then
    give_up(append)
    return 0
  end
  append.position = append.position - (free[append.feed] or 0)
  answers[(append.number - 1) * ANSWER + 3] = append.position + 1
  return append.count
end

for i = 1, #accepted do
  local append = accepted[i]
  local name, command = ARGV[append.at + 1], ARGV[append.at + 4]
  local occurred = append.occurred
  local e = append.first
  for n = 1, refusing and left_of(append) or append.count do
    local version, position = append.version + n, append.position + n
    occurred = moment_in(ARGV[e + 4], occurred)
    local sum = ARGV[e + 5] + version + position + occurred
    local checksum = (sum + 2147483648) % 4294967296 - 2147483648 -- signed: half the bytes
    version, position = string.format('%d', version), string.format('%d', position)
    local id = '0-' .. version
    local added = redis.pcall('XADD', append.key, id,
      't', ARGV[e], 's', ARGV[e + 1], 'd', ARGV[e + 2], 'c', command,
      'o', occurred == now and now_text or string.format('%.0f', occurred),
      'p', position, 'k', checksum, metadata_in(ARGV[e + 3]))
    if added ~= id then
      -- An error's text is no string in every interpreter that tests run this in.
      if not string.find(tostring(added.err), 'equal or smaller', 1, true) then
        return added -- it is not the stream that refuses, but the server
      end
      give_up(append)
      break
    end
    redis.call('XADD', append.feed, '0-' .. position, 's', name, 'v', version)
    e = e + FIELDS_PER_EVENT
  end
  if append.memory and not (refusing and refusing[append.key]) then
    redis.call('SET', append.memory, memories[append.memory], 'PX', ARGV[append.at + 8])
  end
end

return answers
