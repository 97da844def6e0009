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
--         command                               command id
--         memory                                which of the memories, from 1; 0 = not remembered
--         body, remember                        what tells this command from another of the same id,
--                                               and for how many milliseconds; '' and 0 without
--         events, then per event:
--           type, schema, data, metadata
--           occurred                            microseconds since 1970, or '' for this clock
--           content                             CRC-32 of what the client knows of the event
-- Entry: id 0-<version>; t type, s schema version, d data, c command id, o moment (microseconds),
--        p position, k checksum; m metadata, if there is any. Numbers, for those a server keeps in
--        few bytes. Pointer: id 0-<position>; s stream, v version.
-- Answers, one per append:
--   committed version position occurred         of its first event
--   duplicate entries                           stored before by the same command: those entries
--   reused                                      the command id belongs to a command of another body
--   conflict  head entries                      the stream's version, and what was missed; also
--                                               for what follows on from a refused append
--   backwards last                              occurred lies before the stream's last event
--   refused   message                           the key holds no stream
--
-- All checks come before the first write: Lua has no rollback.

local FIELDS_PER_APPEND = 8
local FIELDS_PER_EVENT = 6

local function id_of(number)
  return string.format('0-%.0f', number)
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

-- What the stream will hold once the appends accepted so far are written.
-- broken: an earlier append to it in this call was not stored.
local heads = {}
local function head_of(key)
  local head = heads[key]
  if head == nil then
    local last, refused = last_entry(key)
    if last then
      head = { version = number_in(last[1]), occurred = occurred_in(last[2]), broken = false }
      refused = not (head.occurred and head.version) and 'its last entry was not written by Whence'
    else
      head = { version = 0, occurred = -math.huge, broken = false }
    end
    head.refused = refused
    heads[key] = head
  end
  return head
end

local positions = {}
local function position_of(key)
  local position = positions[key]
  if position == nil then
    local last, refused = last_entry(key)
    if refused then
      return nil
    end
    position = 0
    if last then
      position = number_in(last[1]) -- nil for an entry that is none of ours
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

local feeds = tonumber(ARGV[1])
local appends = tonumber(ARGV[2])
local missed = tonumber(ARGV[3])
local answers = {}
local accepted = {}
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

-- The moment of each event, or nil and the answer when one goes back.
local function moments(head, first, count)
  local last = head.occurred
  local given = {}
  for i = 1, count do
    local text = ARGV[first + (i - 1) * FIELDS_PER_EVENT + 4]
    if text == '' then
      last = math.max(now, last)
    else
      local moment = tonumber(text)
      if moment < last then
        return nil, { 'backwards', string.format('%.0f', last) }
      end
      last = moment
    end
    given[i] = last
  end
  return given
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
  if body ~= ARGV[at + 5] then
    head.broken = true
    return { 'reused' }
  end
  if memories[memory] then
    return { 'conflict', head.version, {} } -- the next attempt finds it stored
  end
  return { 'duplicate',
    redis.call('XRANGE', key, id_of(version), id_of(version + tonumber(count) - 1)) }
end

local function check(number, at)
  local key = KEYS[feeds + number]
  local expected = tonumber(ARGV[at + 2])
  local command = ARGV[at + 3]
  local count = tonumber(ARGV[at + 7])
  local memory = ARGV[at + 4] ~= '0' and KEYS[feeds + appends + tonumber(ARGV[at + 4])]
  local head = head_of(key)
  if head.refused then
    return { 'refused', head.refused }
  end
  local repetition = memory and repeated(key, head, at, memory)
  if repetition then
    return repetition
  end
  -- What was decided on top of an append that is not stored must not be stored either, even where
  -- another writer has by chance brought the stream to the version that it expects.
  if head.version ~= expected or head.broken then
    local own = not head.broken and expected < head.version
      and stored_by(key, expected, command, count)
    if own then
      return { 'duplicate', own }
    end
    head.broken = true
    return { 'conflict', head.version,
      redis.call('XRANGE', key, id_of(expected + 1), '+', 'COUNT', missed) }
  end
  local given, backwards = moments(head, at + FIELDS_PER_APPEND, count)
  if backwards then
    head.broken = true
    return backwards
  end
  local feed = KEYS[tonumber(ARGV[at])]
  local position = position_of(feed)
  if not position then
    head.broken = true
    return { 'refused', 'the feed of its partition is no stream' }
  end
  accepted[#accepted + 1] = { key = key, feed = feed, at = at, count = count,
    version = expected, position = position, moments = given, command = command,
    memory = memory }
  heads[key] = { version = expected + count, occurred = given[count], broken = false }
  positions[feed] = position + count
  if memory then
    memories[memory] = string.format('%s %.0f %d', ARGV[at + 5], expected + 1, count)
  end
  return { 'committed', expected + 1, position + 1, given[1] }
end

local at = 4
for number = 1, appends do
  answers[number] = check(number, at)
  at = at + FIELDS_PER_APPEND + tonumber(ARGV[at + 7]) * FIELDS_PER_EVENT
end

for _, append in ipairs(accepted) do
  local name = ARGV[append.at + 1]
  for i = 1, append.count do
    local e = append.at + FIELDS_PER_APPEND + (i - 1) * FIELDS_PER_EVENT
    local version = append.version + i
    local position = append.position + i
    local occurred = append.moments[i]
    local sum = tonumber(ARGV[e + 5]) + version + position + occurred
    local checksum = (sum + 2147483648) % 4294967296 - 2147483648 -- signed: half the bytes
    local entry = { append.key, id_of(version),
      't', ARGV[e], 's', ARGV[e + 1], 'd', ARGV[e + 2],
      'c', append.command, 'o', string.format('%.0f', occurred),
      'p', string.format('%.0f', position), 'k', string.format('%.0f', checksum) }
    if ARGV[e + 3] ~= '' then
      entry[17], entry[18] = 'm', ARGV[e + 3]
    end
    redis.call('XADD', unpack(entry))
    redis.call('XADD', append.feed, id_of(position), 's', name, 'v', string.format('%.0f', version))
  end
  if append.memory then
    redis.call('SET', append.memory, memories[append.memory], 'PX', ARGV[append.at + 6])
  end
end

return answers
