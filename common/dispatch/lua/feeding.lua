-- Feed: to choose the next cells of a queue and push their messages until its window is full.

local SMALLEST_WINDOW = 16
-- To send a message, or to begin with a batch, takes about as long as to look at so many cells.
local STEPS_A_MESSAGE = 5

-- Position p of the frozen order, in which the axis that comes first changes slowest -> cell i.
local function cell_at(order, p)
  local i = 0
  for a = #order, 1, -1 do
    local length, stride = order[a][1], order[a][2]
    i = i + (p % length) * stride
    p = math.floor(p / length)
  end
  return i
end

-- Next cell of a batch to send, or nil. `steps` bounds how many cells are looked at in one call.
local function next_cell(batch, time, steps)
  local id = batch.id
  while steps.left > 0 do
    local again = call('ZRANGEBYSCORE', at(id, 'again'), '-inf', time, 'LIMIT', 0, 1)[1]
    if not again then break end
    steps.left = steps.left - 1
    call('ZREM', at(id, 'again'), again)
    local i = tonumber(again)
    if not settled(id, i) and not leased(id, i, time) and not call('ZSCORE', at(id, 'sent'), i) then
      return i
    end
  end
  while batch.cursor < batch.length and steps.left > 0 do
    local i = cell_at(batch.order, batch.cursor)
    batch.cursor = batch.cursor + 1
    steps.left = steps.left - 1
    if not settled(id, i) and not call('ZSCORE', at(id, 'leases'), i)
       and not call('ZSCORE', at(id, 'sent'), i) and not call('ZSCORE', at(id, 'again'), i) then
      return i
    end
  end
  return nil
end

local function batch_to_feed(id)
  local h = call('HMGET', at(id), 'cursor', 'length', 'order', 'generation')
  if not (h[1] and h[2] and h[3] and h[4]) then return nil end
  local batch = {id = id, cursor = tonumber(h[1]), length = tonumber(h[2]),
                 order = cjson.decode(h[3]), generation = h[4]}
  if batch.cursor >= batch.length and under_way(id) == 0 and call('ZCARD', at(id, 'again')) == 0 then
    batch.cursor = 0
  end
  return batch
end

-- Messages are numbered, and no number is below the time in µs: were the last one forgotten, the
-- next would still be larger.
local function next_number()
  local number, least = call('INCR', 'gridfarm:sends'), now_in_micros()
  if number >= least then return string.format('%.0f', number) end
  call('SET', 'gridfarm:sends', string.format('%.0f', least))
  return string.format('%.0f', least)
end

-- A Celery message (protocol 2) as kombu's Redis transport reads it, body as plain JSON.
local function message(queue, task, id, i, generation, number)
  local name = id .. ':' .. i .. ':' .. generation .. ':' .. number
  local body = '[["' .. id .. '",' .. i .. ',' .. generation .. '],{},{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]'
  return cjson.encode({
    body = body, ['content-encoding'] = 'utf-8', ['content-type'] = 'application/json',
    headers = {lang = 'py', task = task, id = name, root_id = name,
               argsrepr = '', kwargsrepr = '', ignore_result = true},
    properties = {correlation_id = name, delivery_mode = 2, delivery_tag = name, priority = 0,
                  delivery_info = {exchange = '', routing_key = queue}},
  })
end

local function send(feeding, batch, i)
  local number = next_number()
  call('ZADD', at(batch.id, 'sent'), number, i)
  local text = message(feeding.queue, feeding.task, batch.id, i, batch.generation, number)
  call('LPUSH', feeding.queue, text)
  feeding.sent = feeding.sent + 1
  feeding.steps.left = feeding.steps.left - STEPS_A_MESSAGE
end

local function send_from(feeding, id)
  if feeding.batches[id] == nil then
    feeding.batches[id] = batch_to_feed(id) or false
    feeding.steps.left = feeding.steps.left - STEPS_A_MESSAGE
  end
  local batch = feeding.batches[id]
  if not batch then return false end
  local i = next_cell(batch, feeding.time, feeding.steps)
  if i then send(feeding, batch, i) end
  return i ~= nil
end

-- Let the batches of one priority take turns until the queue is full or none has a cell to send.
local function feed_priority(feeding, priority)
  local fed = at_queue(feeding.queue, 'fed')
  local first, count = call('ZCOUNT', fed, '-inf', '(' .. priority), call('ZCOUNT', fed, priority, priority)
  local empty = 0
  while feeding.sent < feeding.room and feeding.steps.left > 0 and empty < count do
    local place = first + feeding.turn % count
    feeding.turn = feeding.turn + 1
    empty = send_from(feeding, call('ZRANGE', fed, place, place)[1]) and 0 or empty + 1
  end
end

-- Batches whose cells had to wait may have one to send by now.
local function note_due(queue, time)
  local due = call('ZRANGEBYSCORE', at_queue(queue, 'later'), '-inf', time, 'LIMIT', 0, MOST_AT_ONCE)
  for _, id in ipairs(due) do note(id, queue) end
end

-- Fill a queue up to its window: round-robin over the batches of the highest priority that have
-- something to send. Returns how many were sent, and whether there is more to do than one call
-- may hold up others for.
local function feed_one(queue, task, most_steps)
  local time = now()
  note_due(queue, time)
  local sums = call('HMGET', at_queue(queue), 'threads', 'under_way', 'turn')
  local feeding = {
    queue = queue, task = task, time = time, steps = {left = tonumber(most_steps)}, batches = {}, sent = 0,
    room = math.max(SMALLEST_WINDOW, 3 * (sums[1] or 0)) - (sums[2] or 0), turn = sums[3] or 0,
  }
  local below = '+inf'
  while feeding.sent < feeding.room and feeding.steps.left > 0 do
    local best = call('ZREVRANGEBYSCORE', at_queue(queue, 'fed'), below, '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if not best[2] then break end
    feed_priority(feeding, best[2])
    below = '(' .. best[2]
  end
  local more = feeding.sent > 0
  for id, batch in pairs(feeding.batches) do
    if batch then
      call('HSET', at(id), 'cursor', batch.cursor)
      more = more or batch.cursor < batch.length
    end
    note(id, queue)
  end
  if next(feeding.batches) then call('HSET', at_queue(queue), 'turn', feeding.turn) end
  return feeding.sent, more and feeding.steps.left <= 0
end

local function feed(task, most_steps, ...)
  prune(now())
  local total, more = 0, 0
  for _, queue in ipairs({...}) do
    local sent, unfinished = feed_one(queue, task, most_steps)
    total = total + sent
    if unfinished then more = 1 end
  end
  return {total, more}
end
