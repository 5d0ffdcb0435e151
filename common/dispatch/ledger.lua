-- The ledger: what of each batch is done, failed, sent and leased. Every function below is one
-- atomic step; `ledger.py` and `workers.py` beside it call them by name. Times are milliseconds of
-- Redis' own clock, since the machines' clocks disagree. Numbers i are zero-based cells of a batch.
--
--   gridfarm:active              set of batch ids that are not finished
--   gridfarm:batch:<id>          hash: state, generation, priority, queue, length, total,
--                                done, failed, holes, cursor, order, read_at (by a worker); of one
--                                that is set aside also aside (the reason), aside_until, aside_times
--   gridfarm:batch:<id>:done     bitmap, MSB first         :holes   likewise: never rendered
--   gridfarm:batch:<id>:failed   hash i -> reason
--   gridfarm:batch:<id>:sent     zset i -> when sent       :off     i -> when first seen off the queue
--   gridfarm:batch:<id>:leases   zset i -> when it expires :holders hash i -> worker
--   gridfarm:batch:<id>:again    zset i -> not before
--   gridfarm:batch:<id>:charges  hash i -> machines        :entered i -> worker whose attempt is in it
--   gridfarm:batch:<id>:suspects hash i -> process
--   gridfarm:batch:<id>:losses   hash i -> how often its picture was done and not in the store
--   gridfarm:key:<key>           "<id> <i>": which cell's lease covers this key
--   gridfarm:waiting             hash key -> batch that waits for another's picture of that key
--   gridfarm:alive               zset worker -> when it counts as gone
--   gridfarm:workers             hash worker -> what it says of itself (JSON)
--   gridfarm:queues              set of queues that ever had a batch
--   gridfarm:wanted              hash with one field per worker process that has something to do
--   gridfarm:wanted:<queue>      likewise, for the cells of one queue

local call = redis.call

local PARTS = {'done', 'failed', 'holes', 'sent', 'off', 'leases', 'holders', 'again', 'charges',
               'entered', 'suspects', 'losses'}
-- Cells that one worker process has in hand at once: its threads, which are four by default.
local CELLS_A_WORKER = 4
-- The hashes for autoscalers stay small; no pool is larger.
local MOST_WANTED = 1000
-- A batch that cannot be read is looked at again after so many ms, twice as many each time.
local ASIDE, LONGEST_ASIDE = 5000, 300000
-- Who cannot read what another has read so recently is at fault itself.
local JUST_READ = 60000
-- Nothing is put off, and nobody shown without a new beat, for longer (ms). What says otherwise
-- was written before Redis' clock went back.
local LONGEST_PAUSE = 60000
local LONGEST_BEAT = 600000

local function now()
  local time = call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function at(id, part)
  return 'gridfarm:batch:' .. id .. (part and (':' .. part) or '')
end

local function key_name(key) return 'gridfarm:key:' .. key end

-- Set for a few seconds by the one who writes down how a batch ended.
local function finishing(id) return 'gridfarm:once:finish:' .. id end

local function bit(id, part, i) return call('GETBIT', at(id, part), i) == 1 end

local function settled(id, i)
  return bit(id, 'done', i) or bit(id, 'holes', i) or call('HEXISTS', at(id, 'failed'), i) == 1
end

local function leased(id, i, time)
  local expires = call('ZSCORE', at(id, 'leases'), i)
  return expires and tonumber(expires) > time
end

local function drop_lease(id, i, key)
  call('ZREM', at(id, 'leases'), i)
  call('HDEL', at(id, 'holders'), i)
  call('HDEL', at(id, 'entered'), i)
  if key ~= '' and call('GET', key_name(key)) == id .. ' ' .. i then
    call('DEL', key_name(key))
    call('HDEL', 'gridfarm:waiting', key)
  end
end

local function forget(id, i)
  call('ZREM', at(id, 'sent'), i)
  call('ZREM', at(id, 'off'), i)
  call('ZREM', at(id, 'again'), i)
end

local function counts(id)
  local h = call('HMGET', at(id), 'done', 'failed', 'total')
  return tonumber(h[1]), tonumber(h[2]), tonumber(h[3])
end

local function finished(id)
  local done, failed, total = counts(id)
  return done + failed >= total
end

local function resize(name, count)
  count = math.min(count, MOST_WANTED)
  local size = call('HLEN', name)
  if count == 0 then call('DEL', name) end
  for n = size + 1, count do call('HSET', name, n, 1) end
  for n = count + 1, size do call('HDEL', name, n) end
end

-- How many workers a queue's batches could keep busy: as many as its open cells fill, and all
-- that hold a cell now, so that nobody is sent home while rendering. What is paused wants only
-- the latter.
local function wanted_on(queue)
  local left, busy, holders = 0, 0, {}
  for _, id in ipairs(call('SMEMBERS', 'gridfarm:active')) do
    local h = call('HMGET', at(id), 'queue', 'state', 'total', 'done', 'failed')
    if h[1] == queue then
      if h[2] == 'rendering' then left = left + math.max(0, h[3] - h[4] - h[5]) end
      for _, worker in ipairs(call('HVALS', at(id, 'holders'))) do
        if not holders[worker] then busy = busy + 1 end
        holders[worker] = true
      end
    end
  end
  return math.max(math.ceil(left / CELLS_A_WORKER), busy)
end

-- Tell the autoscalers. Called where a batch comes, goes or changes, and by each sweep.
local function want()
  local total = 0
  for _, queue in ipairs(call('SMEMBERS', 'gridfarm:queues')) do
    local count = wanted_on(queue)
    resize('gridfarm:wanted:' .. queue, count)
    total = total + count
  end
  resize('gridfarm:wanted', total)
end

-- All of a batch goes in `left` ms; what a late worker adds to it goes with the rest.
local function expire(id, left)
  call('PEXPIRE', at(id), left)
  for _, part in ipairs(PARTS) do call('PEXPIRE', at(id, part), left) end
end

local function fade(id)
  local left = call('PTTL', at(id))
  if left > 0 then expire(id, left) end
end

local function persist(id)
  call('PERSIST', at(id))
  for _, part in ipairs(PARTS) do call('PERSIST', at(id, part)) end
end

local function clear(id)
  for _, part in ipairs(PARTS) do call('UNLINK', at(id, part)) end
  return call('UNLINK', at(id))
end

-- What a message on the queue asks for: batch, cell, generation; nil for no message of ours.
local function asked(raw)
  return string.match(raw, '"id": ?"([%w-]+):(%d+):(%d+):%d+"')
end

local function lower_than(priority, queue)
  local ids = {}
  for _, id in ipairs(call('SMEMBERS', 'gridfarm:active')) do
    local h = call('HMGET', at(id), 'queue', 'priority')
    if h[1] == queue and tonumber(h[2]) < tonumber(priority) then ids[id] = true end
  end
  return ids
end

-- Take the messages of the batches `ids` back from their queue, where nobody has seen them yet,
-- so that `feed` chooses anew.
local function withdraw(queue, ids)
  local time, all, kept = now(), call('LRANGE', queue, 0, -1), {}
  for _, raw in ipairs(all) do
    local id, i = asked(raw)
    if not id or not ids[id] then
      table.insert(kept, raw)
    elseif call('ZREM', at(id, 'sent'), i) == 1 then
      forget(id, i)
      call('ZADD', at(id, 'again'), time, i)
    end
  end
  if #kept == #all then return end
  call('DEL', queue)
  for _, raw in ipairs(kept) do call('RPUSH', queue, raw) end
end

-- Load a batch. Returns 0 when the ledger knows it already, unless it knows it as done.
local function open(id, fields, done, holes, failures)
  if call('EXISTS', at(id)) == 1 and call('HGET', at(id), 'state') ~= 'done' then return 0 end
  clear(id)
  call('DEL', finishing(id))
  for name, value in pairs(cjson.decode(fields)) do call('HSET', at(id), name, value) end
  if #done > 0 then call('SET', at(id, 'done'), done) end
  if #holes > 0 then call('SET', at(id, 'holes'), holes) end
  local failed = cjson.decode(failures)
  local count = 0
  for i, reason in pairs(failed) do
    if not bit(id, 'done', i) then
      call('HSET', at(id, 'failed'), i, reason)
      count = count + 1
    end
  end
  call('HSET', at(id), 'done', call('BITCOUNT', at(id, 'done')), 'failed', count,
       'holes', call('BITCOUNT', at(id, 'holes')), 'cursor', 0)
  local h = call('HMGET', at(id), 'state', 'queue', 'priority')
  if h[1] == 'rendering' then withdraw(h[2], lower_than(h[3], h[2])) end
  call('SADD', 'gridfarm:active', id)
  call('SADD', 'gridfarm:queues', h[2])
  want()
  return 1
end

local function threads_on(queue, time)
  local threads = 0
  for _, worker in ipairs(call('ZRANGEBYSCORE', 'gridfarm:alive', time, '+inf')) do
    local said = call('HGET', 'gridfarm:workers', worker)
    local ok, report = pcall(cjson.decode, said or 'null')
    -- Another version may say it otherwise, and whoever may write to Redis anything.
    if ok and type(report) == 'table' and type(report.queues) == 'table' then
      for _, name in ipairs(report.queues) do
        if name == queue then threads = threads + (tonumber(report.threads) or 0) end
      end
    end
  end
  return threads
end

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

-- Next cell of a batch to send, or nil. `steps` bounds how far the cursor walks in one call.
local function next_cell(batch, time, steps)
  local id = batch.id
  while true do
    local again = call('ZRANGEBYSCORE', at(id, 'again'), '-inf', time, 'LIMIT', 0, 1)[1]
    if not again then break end
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

local function under_way(id)
  return call('ZCARD', at(id, 'sent')) + call('ZCARD', at(id, 'leases'))
end

local function batch_to_feed(id, queue)
  local h = call('HMGET', at(id), 'state', 'queue', 'priority', 'cursor', 'length', 'order', 'generation',
                 'aside_until')
  if h[1] ~= 'rendering' or h[2] ~= queue or finished(id) then return nil end
  if h[8] and tonumber(h[8]) > now() then return nil end
  local batch = {id = id, priority = tonumber(h[3]), cursor = tonumber(h[4]), length = tonumber(h[5]),
                 order = cjson.decode(h[6]), generation = h[7]}
  -- Nothing under way, nothing waiting, all sent, and yet not finished: walk once more.
  if batch.cursor >= batch.length and under_way(id) == 0 and call('ZCARD', at(id, 'again')) == 0 then
    batch.cursor = 0
  end
  return batch
end

-- A Celery message (protocol 2) as kombu's Redis transport reads it, body as plain JSON.
local function message(queue, task, id, i, generation)
  local name = id .. ':' .. i .. ':' .. generation .. ':' .. call('INCR', 'gridfarm:sends')
  local body = '[["' .. id .. '",' .. i .. ',' .. generation .. '],{},{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]'
  return cjson.encode({
    body = body, ['content-encoding'] = 'utf-8', ['content-type'] = 'application/json',
    headers = {lang = 'py', task = task, id = name, root_id = name,
               argsrepr = '', kwargsrepr = '', ignore_result = true},
    properties = {correlation_id = name, delivery_mode = 2, delivery_tag = name, priority = 0,
                  delivery_info = {exchange = '', routing_key = queue}},
  })
end

local function by_priority(queue)
  local groups, priorities, ids = {}, {}, call('SMEMBERS', 'gridfarm:active')
  table.sort(ids)
  for _, id in ipairs(ids) do
    local batch = batch_to_feed(id, queue)
    if batch then
      if not groups[batch.priority] then
        groups[batch.priority] = {}
        table.insert(priorities, batch.priority)
      end
      table.insert(groups[batch.priority], batch)
    end
  end
  table.sort(priorities, function(a, b) return a > b end)
  return groups, priorities
end

-- Fill a queue up to its window: round-robin over the batches of the highest priority that have
-- something to send. Returns how many were sent, and whether a batch has more cells than this
-- call could look at.
local function feed_one(queue, task, most_steps)
  local time = now()
  local room = math.max(16, 3 * threads_on(queue, time))
  for _, id in ipairs(call('SMEMBERS', 'gridfarm:active')) do
    if call('HGET', at(id), 'queue') == queue then room = room - under_way(id) end
  end
  local sent, steps = 0, {left = tonumber(most_steps)}
  local groups, priorities = by_priority(queue)
  local turn = tonumber(call('GET', 'gridfarm:turn:' .. queue) or '0')
  for _, priority in ipairs(priorities) do
    local batches = groups[priority]
    local empty = 0
    while room > sent and empty < #batches do
      local batch = batches[turn % #batches + 1]
      turn = turn + 1
      local i = next_cell(batch, time, steps)
      if i then
        empty = 0
        sent = sent + 1
        call('ZADD', at(batch.id, 'sent'), time, i)
        call('LPUSH', queue, message(queue, task, batch.id, i, batch.generation))
      else
        empty = empty + 1
      end
    end
    for _, batch in ipairs(batches) do call('HSET', at(batch.id), 'cursor', batch.cursor) end
  end
  call('SET', 'gridfarm:turn:' .. queue, turn)
  return sent, steps.left <= 0
end

local function feed(task, most_steps, ...)
  local total, more = 0, 0
  for _, queue in ipairs({...}) do
    local sent, unfinished = feed_one(queue, task, most_steps)
    total = total + sent
    if unfinished then more = 1 end
  end
  return {total, more}
end

-- May `worker` render cell i? 'ok' leases it, and so does 'tried', which says that attempts have
-- been charged: their number is to be looked at before the next. 'done', 'stale', 'leased', 'elsewhere' and
-- 'unknown' refuse. 'elsewhere': another cell with the same key is being rendered; this one is
-- looked at again in five seconds, when it is probably stored.
local function claim(id, i, generation, key, worker, lease)
  local h = call('HMGET', at(id), 'state', 'generation')
  if not h[1] then return 'unknown' end
  if h[1] ~= 'rendering' or h[2] ~= generation then return 'stale' end
  local time = now()
  call('HSET', at(id), 'read_at', time)
  call('HDEL', at(id), 'aside', 'aside_until', 'aside_times')
  if leased(id, i, time) then return 'leased' end
  forget(id, i)
  if settled(id, i) then return 'done' end
  local other = call('GET', key_name(key))
  if other and other ~= id .. ' ' .. i and call('PTTL', key_name(key)) <= tonumber(lease) then
    call('ZADD', at(id, 'again'), time + 5000, i)
    call('HSET', 'gridfarm:waiting', key, id)
    return 'elsewhere'
  end
  call('ZADD', at(id, 'leases'), time + lease, i)
  call('HSET', at(id, 'holders'), i, worker)
  call('HDEL', at(id, 'entered'), i)
  call('SET', key_name(key), id .. ' ' .. i, 'PX', lease)
  return call('HEXISTS', at(id, 'charges'), i) == 1 and 'tried' or 'ok'
end

local function other_wants(id, key)
  local waiting = call('HGET', 'gridfarm:waiting', key)
  return waiting and waiting ~= id and call('HGET', at(waiting), 'state') == 'rendering'
end

-- Keep a lease. 'ok', or 'stop' when the batch was cancelled or another worker holds the cell.
-- The cell counts as running until the worker hands it back or the lease runs out. After a
-- rebuild nobody holds it: then the one who renders it takes the lease again.
local function renew(id, i, key, worker, lease)
  local state = call('HGET', at(id), 'state')
  if not state then return 'ok' end
  local holder = call('HGET', at(id, 'holders'), i)
  if holder and holder ~= worker then return 'stop' end
  if state == 'cancelled' and not other_wants(id, key) then return 'stop' end
  if bit(id, 'done', i) then return 'stop' end
  call('ZREM', at(id, 'sent'), i)
  call('ZADD', at(id, 'leases'), now() + lease, i)
  call('HSET', at(id, 'holders'), i, worker)
  call('SET', key_name(key), id .. ' ' .. i, 'PX', lease)
  return 'ok'
end

local function close(id, i, key)
  drop_lease(id, i, key)
  forget(id, i)
  call('HDEL', at(id, 'charges'), i)
  call('HDEL', at(id, 'suspects'), i)
  fade(id)
  if not finished(id) then return 'ok' end
  want()
  return 'finished'
end

-- Cell i is stored. Done beats failed, whatever the generation.
local function done(id, i, key)
  if call('EXISTS', at(id)) == 0 then return 'unknown' end
  if bit(id, 'holes', i) then return close(id, i, key) end
  if call('SETBIT', at(id, 'done'), i, 1) == 0 then call('HINCRBY', at(id), 'done', 1) end
  if call('HDEL', at(id, 'failed'), i) == 1 then call('HINCRBY', at(id), 'failed', -1) end
  return close(id, i, key)
end

local function fail(id, i, key, worker, reason)
  if call('EXISTS', at(id)) == 0 then return 'unknown' end
  local holder = call('HGET', at(id, 'holders'), i)
  if holder and holder ~= worker then return 'stale' end
  if not bit(id, 'done', i) and call('HSET', at(id, 'failed'), i, reason) == 1 then
    call('HINCRBY', at(id), 'failed', 1)
  end
  return close(id, i, key)
end

-- Cell i is a hole: excluded, in a matrix too large to have been enumerated at submit.
local function skip(id, i)
  if call('EXISTS', at(id)) == 0 then return 'unknown' end
  if call('SETBIT', at(id, 'holes'), i, 1) == 0 then call('HINCRBY', at(id), 'holes', 1) end
  return close(id, i, '')
end

local function charges_of(id, i) return cjson.decode(call('HGET', at(id, 'charges'), i) or '[]') end

-- Hand a claimed cell back, to be sent again after `pause` ms; `refund` drops the charge of this
-- attempt, if it had any.
local function release(id, i, key, worker, pause, refund)
  if call('HGET', at(id, 'holders'), i) ~= worker then return 'stale' end
  if refund == '1' and call('HEXISTS', at(id, 'entered'), i) == 1 then
    local charges = charges_of(id, i)
    table.remove(charges)
    if #charges > 0 then call('HSET', at(id, 'charges'), i, cjson.encode(charges))
    else call('HDEL', at(id, 'charges'), i) end
  end
  drop_lease(id, i, key)
  call('ZADD', at(id, 'again'), now() + pause, i)
  fade(id)
  return 'ok'
end

-- The attempt of `worker`, who holds cell i, enters the GPU of `machine`. It is counted once,
-- however often this is said. Returns {attempts, different machines}, {} to one that holds it
-- no more.
local function charge(id, i, machine, worker)
  if call('EXISTS', at(id)) == 0 then return {1, 1} end
  if call('HGET', at(id, 'holders'), i) ~= worker then return {} end
  local charges = charges_of(id, i)
  if call('HSETNX', at(id, 'entered'), i, worker) == 1 then
    table.insert(charges, machine)
    call('HSET', at(id, 'charges'), i, cjson.encode(charges))
  end
  local seen, machines = {}, 0
  for _, name in ipairs(charges) do
    if not seen[name] then machines = machines + 1 end
    seen[name] = true
  end
  return {#charges, machines}
end

-- `process` drew NaN or black. 'agreed' when another process had said so before.
local function suspect(id, i, process)
  local before = call('HGET', at(id, 'suspects'), i)
  if before and before ~= process then return 'agreed' end
  call('HSET', at(id, 'suspects'), i, process)
  return 'alone'
end

local function on_queue(queue)
  local ids = {}
  for _, raw in ipairs(call('LRANGE', queue, 0, -1)) do
    local id, i, generation = asked(raw)
    if id then ids[id .. ':' .. i .. ':' .. generation] = true end
  end
  return ids
end

-- What is to happen later than anything is put off has a time of before Redis' clock went back.
local function clamp(name, latest)
  for _, member in ipairs(call('ZRANGEBYSCORE', name, '(' .. latest, '+inf')) do
    call('ZADD', name, latest, member)
  end
end

local function expire_leases(id, time)
  for _, i in ipairs(call('ZRANGEBYSCORE', at(id, 'leases'), '-inf', time)) do
    drop_lease(id, i, '')
    call('ZADD', at(id, 'again'), time, i)
  end
end

-- What was sent and never claimed: off the queue for `patience` ms, it is lost, whether Celery
-- still counts it as unacknowledged or not.
local function find_lost(id, generation, queued, time, patience)
  for _, i in ipairs(call('ZRANGE', at(id, 'sent'), 0, -1)) do
    if queued[id .. ':' .. i .. ':' .. generation] then
      call('ZREM', at(id, 'off'), i)
    else
      call('ZADD', at(id, 'off'), 'NX', time, i)
      clamp(at(id, 'off'), time)
      if time - tonumber(call('ZSCORE', at(id, 'off'), i)) >= tonumber(patience) then
        forget(id, i)
        call('ZADD', at(id, 'again'), time, i)
      end
    end
  end
end

-- Put back what is lost on `queue`; at most once per `every` ms, whoever asks. No lease is for
-- longer than `lease` ms.
local function sweep(queue, patience, every, lease)
  local swept = 'gridfarm:swept:' .. queue
  if call('PTTL', swept) > tonumber(every) then call('DEL', swept) end
  if not call('SET', swept, '1', 'NX', 'PX', every) then return 0 end
  local time = now()
  local queued = nil
  for _, id in ipairs(call('SMEMBERS', 'gridfarm:active')) do
    local h = call('HMGET', at(id), 'queue', 'generation')
    if h[1] == queue then
      clamp(at(id, 'leases'), time + lease)
      clamp(at(id, 'again'), time + LONGEST_PAUSE)
      expire_leases(id, time)
      if call('ZCARD', at(id, 'sent')) > 0 then
        queued = queued or on_queue(queue)
        find_lost(id, h[2], queued, time, patience)
      end
    end
  end
  want()
  return 1
end

-- A new state, priority or both; messages of the old generation become stale, and what they
-- asked for is sent again when the batch is rendering, before anything of a lower priority.
-- A cancelled batch is kept for `keep` ms. Returns 0 when the ledger does not know the batch,
-- or knows it as done.
local function control(id, generation, state, priority, keep)
  local h = call('HMGET', at(id), 'state', 'queue')
  if not h[1] or h[1] == 'done' then return 0 end
  call('HSET', at(id), 'generation', generation, 'state', state, 'priority', priority)
  local unwanted = state == 'rendering' and lower_than(priority, h[2]) or {}
  unwanted[id] = true
  withdraw(h[2], unwanted)
  local time = now()
  for _, i in ipairs(call('ZRANGE', at(id, 'sent'), 0, -1)) do
    forget(id, i)
    call('ZADD', at(id, 'again'), time, i)
  end
  if state == 'cancelled' then
    call('SREM', 'gridfarm:active', id)
    expire(id, keep)
  else
    call('SADD', 'gridfarm:active', id)
    persist(id)
  end
  want()
  return 1
end

-- The failed cells are rendered again; `all`: everything that is not in the bitmap `done`.
local function retry(id, generation, priority, all, done)
  local state = call('HGET', at(id), 'state')
  if not state or state == 'done' then return 0 end
  if all == '1' then
    call('UNLINK', at(id, 'done'))
    if #done > 0 then call('SET', at(id, 'done'), done) end
    call('HSET', at(id), 'done', call('BITCOUNT', at(id, 'done')))
  end
  call('UNLINK', at(id, 'failed'))
  call('DEL', finishing(id))
  call('HSET', at(id), 'failed', 0, 'cursor', 0)
  return control(id, generation, 'rendering', priority, 0)
end

-- These cells count as done and have no picture: they are sent again. One that was lost `most`
-- times fails with `reason`; returns those.
local function lost(id, most, reason, ...)
  local state, given_up = call('HGET', at(id), 'state'), {}
  if not state or state == 'done' then return given_up end
  local time = now()
  for _, i in ipairs({...}) do
    if call('SETBIT', at(id, 'done'), i, 0) == 1 then
      call('HINCRBY', at(id), 'done', -1)
      if call('HINCRBY', at(id, 'losses'), i, 1) >= tonumber(most) then
        call('HSET', at(id, 'failed'), i, reason)
        call('HINCRBY', at(id), 'failed', 1)
        table.insert(given_up, i)
      else
        call('ZADD', at(id, 'again'), time, i)
      end
    end
  end
  want()
  return given_up
end

-- The batch's document cannot be read: for a while nobody is asked to. 'yours' where others can
-- read it, 'aside' where it is set aside now, or was already.
local function aside(id, reason)
  local h = call('HMGET', at(id), 'state', 'queue', 'read_at', 'aside_until')
  if not h[1] then return 'unknown' end
  local time = now()
  if h[3] and time - tonumber(h[3]) < JUST_READ then return 'yours' end
  if h[4] and tonumber(h[4]) > time then return 'aside' end
  local times = call('HINCRBY', at(id), 'aside_times', 1)
  local pause = math.min(ASIDE * 2 ^ (times - 1), LONGEST_ASIDE)
  call('HSET', at(id), 'aside', reason, 'aside_until', time + pause)
  withdraw(h[2], {[id] = true})
  return 'aside'
end

-- The batch is over: only its counts, done bits and failures are kept, for `keep` ms. Returns 0
-- when it is not over after all, because somebody asked for more meanwhile.
local function finish(id, keep)
  local known = call('EXISTS', at(id)) == 1
  if known and not finished(id) then return 0 end
  call('SREM', 'gridfarm:active', id)
  if known then
    call('HSET', at(id), 'state', 'done', 'holes', 0)
    for _, part in ipairs(PARTS) do
      if part ~= 'done' and part ~= 'failed' then call('UNLINK', at(id, part)) end
    end
    expire(id, keep)
  end
  want()
  return 1
end

-- Whether a batch's bits and failures are as many as its counts say. A part that was lost alone
-- would end the batch too early, or never.
local function sound(id)
  local h = call('HMGET', at(id), 'done', 'holes', 'failed')
  local has = call('BITCOUNT', at(id, 'done')) == tonumber(h[1])
    and call('BITCOUNT', at(id, 'holes')) == tonumber(h[2])
    and call('HLEN', at(id, 'failed')) == tonumber(h[3])
  return has and 1 or 0
end

-- Put a batch that is not finished back where it has to stand, if what says so was lost alone.
-- Who holds a cell without a lease gets one: it is renewed, or runs out. Returns as `sound`.
local function mend(id, lease)
  local h = call('HMGET', at(id), 'state', 'queue')
  if h[1] == 'rendering' or h[1] == 'paused' then
    for _, i in ipairs(call('HKEYS', at(id, 'holders'))) do
      call('ZADD', at(id, 'leases'), 'NX', now() + lease, i)
    end
    if call('SADD', 'gridfarm:active', id) + call('SADD', 'gridfarm:queues', h[2]) > 0 then want() end
  end
  return sound(id)
end

-- Forget a batch altogether, so that it can be opened anew.
local function drop(id)
  call('SREM', 'gridfarm:active', id)
  local known = clear(id)
  want()
  return known
end

local function status(id)
  local h = call('HMGET', at(id), 'state', 'generation', 'priority', 'total', 'done', 'failed', 'queue')
  if not h[1] then return nil end
  local time = now()
  local set_aside = call('HGET', at(id), 'aside')
  table.insert(h, call('ZCOUNT', at(id, 'leases'), time, '+inf'))
  table.insert(h, call('SCARD', 'gridfarm:active'))
  table.insert(h, set_aside or '')
  return h
end

-- A worker is alive for `ttl` ms more and says so and so of itself.
local function beat(worker, said, ttl)
  local time = now()
  for _, gone in ipairs(call('ZRANGEBYSCORE', 'gridfarm:alive', '-inf', time - 3600000)) do
    call('HDEL', 'gridfarm:workers', gone)
    call('ZREM', 'gridfarm:alive', gone)
  end
  clamp('gridfarm:alive', time + LONGEST_BEAT)
  call('ZADD', 'gridfarm:alive', time + ttl, worker)
  call('HSET', 'gridfarm:workers', worker, said)
  return 1
end

local function leave(worker)
  call('ZREM', 'gridfarm:alive', worker)
  call('HDEL', 'gridfarm:workers', worker)
  return 1
end

local function alive()
  local said = {}
  for _, worker in ipairs(call('ZRANGEBYSCORE', 'gridfarm:alive', now(), '+inf')) do
    local text = call('HGET', 'gridfarm:workers', worker)
    if text then table.insert(said, text) end
  end
  return said
end

local functions = {
  open = open, feed = feed, claim = claim, renew = renew, done = done, fail = fail, skip = skip,
  release = release, charge = charge, suspect = suspect, sweep = sweep, control = control,
  retry = retry, lost = lost, aside = aside, finish = finish, sound = sound, mend = mend,
  drop = drop, status = status, beat = beat, leave = leave, alive = alive,
}
return functions[ARGV[1]](unpack(ARGV, 2))
