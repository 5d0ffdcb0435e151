-- The messages on a queue: what they ask for, and how they are taken back.

-- Makes of a message's number a time that is past, so that what is sent again keeps its order.
local LONG_AGO = 0.0001

-- What a message on the queue asks for, and its number: batch, cell, generation, number; nil for
-- no message of ours. Kombu, which puts a message back, writes letters of an id as escapes.
local function asked(raw)
  local id, i, generation, number = string.match(raw, '"id": ?"([^":]+):(%d+):(%d+):(%d+)"')
  if id and string.find(id, '\\', 1, true) then
    local sound, decoded = pcall(cjson.decode, '["' .. id .. '"]')
    id = sound and not string.find(decoded[1], ':', 1, true) and decoded[1] or nil
  end
  return id, i, generation, number
end

-- What was sent of a batch is to be sent again, in the same order, before what waits since.
local function unsend(id)
  local again = at(id, 'again')
  call('ZUNIONSTORE', again, 2, again, at(id, 'sent'), 'WEIGHTS', 1, LONG_AGO, 'AGGREGATE', 'MIN')
  call('UNLINK', at(id, 'sent'), at(id, 'off'))
end

-- Whether batches of a lower priority have cells on their way to the workers of a queue.
local function lower_under_way(queue, priority)
  for _, id in ipairs(call('HKEYS', at_queue(queue, 'under_way'))) do
    if (tonumber(call('HGET', at(id), 'priority')) or 0) < priority then return true end
  end
  return false
end

-- Take back from a queue what is stale, and what is of a lower priority than `priority`, where
-- nobody has seen it yet, so that `feed` chooses anew. The oldest `count` messages are looked
-- at, and what stays goes behind the newest: after as many calls as there are messages the order
-- is what it was, and nobody had to wait for a whole queue.
local function withdraw(queue, priority, count)
  local touched = {}
  for _, raw in ipairs(call('RPOP', queue, count) or {}) do
    local id, i, _, number = asked(raw)
    local sent = id and call('ZSCORE', at(id, 'sent'), i)
    if id and sent ~= number then
      touched[id] = true
    elseif id and (tonumber(call('HGET', at(id), 'priority')) or 0) < tonumber(priority) then
      forget(id, i)
      call('ZADD', at(id, 'again'), number * LONG_AGO, i)
      touched[id] = true
    else
      call('LPUSH', queue, raw)
    end
  end
  for id in pairs(touched) do note(id) end
  return 1
end
