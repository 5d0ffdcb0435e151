-- The ledger: what of each batch is done, failed, sent and leased. Every function below is one
-- atomic step; `ledger.py` and `workers.py` beside it call them by name. Times are milliseconds of
-- Redis' own clock, since the machines' clocks disagree. Numbers i are zero-based cells of a batch.
--
--   gridfarm:active              set of batch ids that are not finished
--   gridfarm:over                set of those among them that have no open cell: their end is due
--   gridfarm:unsaved             zset batch -> when its done bits are due to be copied into the store
--   gridfarm:batch:<id>          hash: state, generation, priority, queue, length, total,
--                                done, failed, cursor, order, changes (of the done bits)
--   gridfarm:batch:<id>:done     bitmap, MSB first         :holes   likewise: never rendered
--   gridfarm:batch:<id>:failed   hash i -> reason
--   gridfarm:batch:<id>:sent     zset i -> number of its message
--   gridfarm:batch:<id>:off      zset i -> when first seen off the queue
--   gridfarm:batch:<id>:leases   zset i -> when it expires :holders hash i -> worker
--   gridfarm:batch:<id>:again    zset i -> not before
--   gridfarm:batch:<id>:charges  hash i -> machines        :entered i -> worker whose attempt is in it
--   gridfarm:batch:<id>:suspects hash i -> process
--   gridfarm:key:<key>           "<id> <i>": which cell's lease covers this key
--   gridfarm:waiting             hash key -> batch that waits for another's picture of that key
--   gridfarm:alive               zset worker -> when it counts as gone
--   gridfarm:workers             hash worker -> what it says of itself (JSON)
--   gridfarm:sends               number of the last message; never below the time in µs
--   gridfarm:queues              set of queues that ever had a batch
--   gridfarm:audited             how many of the batches, in their order, were looked through
--   gridfarm:queue:<queue>       hash: the sums of the three tallies; busy: workers that hold a cell
--   gridfarm:queue:<queue>:threads    tally worker -> its threads
--   gridfarm:queue:<queue>:under_way  tally batch -> its cells that are sent or leased
--   gridfarm:queue:<queue>:left       tally batch -> its cells that are to be rendered
--   gridfarm:queue:<queue>:fed   zset batch -> priority: has a cell that may be sent now
--   gridfarm:queue:<queue>:later zset batch -> when it will have one
--   gridfarm:turn:<queue>        which batch's turn it is among those of equal priority
--   gridfarm:wanted              hash with one field per worker process that has something to do
--   gridfarm:wanted:<queue>      likewise, for the cells of one queue

local call = redis.call

local PARTS = {'done', 'failed', 'holes', 'sent', 'off', 'leases', 'holders', 'again', 'charges',
               'entered', 'suspects'}
-- Cells that one worker process has in hand at once: its threads, which are four by default.
local CELLS_A_WORKER = 4
local SMALLEST_WINDOW = 16
-- No machine has more; who says so is not believed.
local MOST_THREADS = 10000
-- To send a message, or to begin with a batch, takes about as long as to look at so many cells.
local STEPS_A_MESSAGE = 5
-- What there may be many of is done in pieces, so that nobody waits for long.
local MOST_AT_ONCE = 200
-- Makes of a message's number a time that is past, so that what is sent again keeps its order.
local LONG_AGO = 0.0001
-- Of a queue, from its old end; and of the batches.
local LOOKED_AT, AUDITED_AT_ONCE = 64, 10
-- From a change of a batch's done bits until they are copied into the store, in ms.
local UNSAVED_FOR = 30000
-- The hashes for autoscalers stay small; no pool is larger.
local MOST_WANTED = 1000

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

local function at_queue(queue, part) return 'gridfarm:queue:' .. queue .. (part and (':' .. part) or '') end

local function sum(queue, tally) return tonumber(call('HGET', at_queue(queue), tally) or 0) end

-- A tally is a number for each member, and in the queue's hash their sum.
local function set_tally(queue, tally, member, value)
  local before = tonumber(call('HGET', at_queue(queue, tally), member) or 0)
  if value == before then return end
  if value == 0 then call('HDEL', at_queue(queue, tally), member)
  else call('HSET', at_queue(queue, tally), member, value) end
  call('HINCRBY', at_queue(queue), tally, value - before)
end

-- Tell the autoscalers how many workers a queue's batches could keep busy: as many as its open
-- cells fill, and all that hold a cell, so that nobody is sent home while rendering. What is
-- paused wants only the latter.
local function want(queue)
  local left = math.ceil(sum(queue, 'left') / CELLS_A_WORKER)
  resize('gridfarm:wanted:' .. queue, math.max(left, sum(queue, 'busy')))
  local total = 0
  for _, other in ipairs(call('SMEMBERS', 'gridfarm:queues')) do
    total = total + call('HLEN', 'gridfarm:wanted:' .. other)
  end
  resize('gridfarm:wanted', total)
end

local function under_way(id)
  return call('ZCARD', at(id, 'sent')) + call('ZCARD', at(id, 'leases'))
end

-- When a batch of which `open` cells are to be rendered has one to send: 0 for now, nil for not
-- before something happens to it.
local function has_cell_at(id, open, cursor, length, under)
  if open == 0 then return nil end
  if cursor < length then return 0 end
  local again = call('ZRANGE', at(id, 'again'), 0, 0, 'WITHSCORES')
  if again[1] then return tonumber(again[2]) end
  -- Nothing under way, nothing waiting, all sent, and yet not finished: it is walked once more.
  return under == 0 and 0 or nil
end

local function in_zset(member, name, score)
  if score then call('ZADD', name, score, member) else call('ZREM', name, member) end
end

-- Write down for its queue what a batch is now. Whatever changes a batch ends with this, so that
-- nobody has to look at all batches to find the few that matter. Nothing is added to what was
-- written before: a number that was lost is right again with the next step. `was_on` is the queue
-- of a batch that is gone.
local function note(id, was_on)
  local h = call('HMGET', at(id), 'state', 'priority', 'cursor', 'length', 'total', 'done', 'failed',
                 'queue')
  local queue = h[8] or was_on
  if not queue then return end
  for n = 2, 7 do h[n] = tonumber(h[n]) or 0 end
  local listed = h[1] and call('SISMEMBER', 'gridfarm:active', id) == 1
  local left = math.max(0, h[5] - h[6] - h[7])
  local under = listed and under_way(id) or 0
  local open = listed and h[1] == 'rendering' and left or 0
  set_tally(queue, 'under_way', id, under)
  set_tally(queue, 'left', id, open)
  local time = now()
  local ready = has_cell_at(id, open, h[3], h[4], under)
  local is_ready = ready and ready <= time
  in_zset(id, at_queue(queue, 'fed'), is_ready and h[2])
  in_zset(id, at_queue(queue, 'later'), not is_ready and ready)
  call(listed and left == 0 and 'SADD' or 'SREM', 'gridfarm:over', id)
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

-- The threads that a worker has for each queue. Another version may say it otherwise, and whoever
-- may write to Redis anything.
local function threads_of(said)
  local ok, report = pcall(cjson.decode, said or 'null')
  local threads = {}
  if not ok or type(report) ~= 'table' or type(report.queues) ~= 'table' then return threads end
  local count = math.min(MOST_THREADS, math.max(0, math.floor(tonumber(report.threads) or 0)))
  for _, queue in ipairs(report.queues) do
    if type(queue) == 'string' then threads[queue] = count end
  end
  return threads
end

local function leave(worker)
  for queue in pairs(threads_of(call('HGET', 'gridfarm:workers', worker))) do
    set_tally(queue, 'threads', worker, 0)
  end
  call('ZREM', 'gridfarm:alive', worker)
  call('HDEL', 'gridfarm:workers', worker)
  return 1
end

local function prune(time)
  local gone = call('ZRANGEBYSCORE', 'gridfarm:alive', '-inf', time, 'LIMIT', 0, MOST_AT_ONCE)
  for _, worker in ipairs(gone) do leave(worker) end
end

-- A worker is alive for `ttl` ms more and says so and so of itself.
local function beat(worker, said, ttl)
  local time = now()
  prune(time)
  for queue, threads in pairs(threads_of(said)) do set_tally(queue, 'threads', worker, threads) end
  call('ZADD', 'gridfarm:alive', time + ttl, worker)
  call('HSET', 'gridfarm:workers', worker, said)
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

-- What a message on the queue asks for, and its number: batch, cell, generation, number; nil for
-- no message of ours.
local function asked(raw)
  return string.match(raw, '"id": ?"([%w-]+):(%d+):(%d+):(%d+)"')
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

-- Load a batch. Returns 0 when the ledger knows it already, unless it knows it as done; 2 when
-- its queue is to be withdrawn from for its sake.
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
  call('HSET', at(id), 'done', call('BITCOUNT', at(id, 'done')), 'failed', count, 'cursor', 0)
  local h = call('HMGET', at(id), 'state', 'queue', 'priority')
  call('SADD', 'gridfarm:active', id)
  call('SADD', 'gridfarm:queues', h[2])
  return h[1] == 'rendering' and lower_under_way(h[2], tonumber(h[3])) and 2 or 1
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
  local number, time = call('INCR', 'gridfarm:sends'), call('TIME')
  local least = time[1] * 1000000 + time[2]
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
  local feeding = {
    queue = queue, task = task, time = time, steps = {left = tonumber(most_steps)}, batches = {}, sent = 0,
    room = math.max(SMALLEST_WINDOW, 3 * sum(queue, 'threads')) - sum(queue, 'under_way'),
    turn = tonumber(call('GET', 'gridfarm:turn:' .. queue) or '0'),
  }
  local below = '+inf'
  while feeding.sent < feeding.room and feeding.steps.left > 0 do
    local best = call('ZREVRANGEBYSCORE', at_queue(queue, 'fed'), below, '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if not best[2] then break end
    feed_priority(feeding, best[2])
    below = '(' .. best[2]
  end
  for id, batch in pairs(feeding.batches) do
    if batch then call('HSET', at(id), 'cursor', batch.cursor) end
    note(id, queue)
  end
  if next(feeding.batches) then call('SET', 'gridfarm:turn:' .. queue, feeding.turn) end
  return feeding.sent, feeding.steps.left <= 0
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

-- May `worker` render cell i? 'ok' leases it, and so does 'tried', which says that attempts have
-- been charged: their number is to be looked at before the next. 'done', 'stale', 'leased', 'elsewhere' and
-- 'unknown' refuse. 'elsewhere': another cell with the same key is being rendered; this one is
-- looked at again in five seconds, when it is probably stored.
local function claim(id, i, generation, key, worker, lease)
  local h = call('HMGET', at(id), 'state', 'generation')
  if not h[1] then return 'unknown' end
  if h[1] ~= 'rendering' or h[2] ~= generation then return 'stale' end
  local time = now()
  if leased(id, i, time) then return 'leased' end
  forget(id, i)
  if settled(id, i) then return 'done' end
  local other = call('GET', key_name(key))
  if other and other ~= id .. ' ' .. i then
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
  return finished(id) and 'finished' or 'ok'
end

-- Cell i is stored. Done beats failed, whatever the generation.
local function done(id, i, key)
  if call('EXISTS', at(id)) == 0 then return 'unknown' end
  if bit(id, 'holes', i) then return close(id, i, key) end
  if call('SETBIT', at(id, 'done'), i, 1) == 0 then
    call('HINCRBY', at(id), 'done', 1)
    call('HINCRBY', at(id), 'changes', 1)
    call('ZADD', 'gridfarm:unsaved', 'NX', now() + UNSAVED_FOR, id)
  end
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
  call('SETBIT', at(id, 'holes'), i, 1)
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

-- How far a queue was emptied: it is first in, first out, so what was sent before the oldest
-- messages on it, and is none of them, is off the queue. Returns these, and the number up to which
-- that holds. Messages that the ledger knows nothing of, or not by this number, say nothing: they
-- were put back, or are somebody's invention.
local function oldest_on(queue)
  local raws = call('LRANGE', queue, -LOOKED_AT, -1)
  local found, upto = {}, #raws < LOOKED_AT and math.huge or 0
  for _, raw in ipairs(raws) do
    local id, i, _, number = asked(raw)
    if id and call('ZSCORE', at(id, 'sent'), i) == number then
      found[id .. ':' .. i] = true
      upto = math.max(upto, tonumber(number))
    end
  end
  return found, upto
end

local function expire_leases(id, time)
  local expired = call('ZRANGEBYSCORE', at(id, 'leases'), '-inf', time, 'LIMIT', 0, MOST_AT_ONCE)
  for _, i in ipairs(expired) do
    drop_lease(id, i, '')
    call('ZADD', at(id, 'again'), time, i)
  end
end

-- What a queue that was emptied less far made look lost.
local function forget_sights(id, found, upto)
  for _, i in ipairs(call('ZRANGE', at(id, 'off'), 0, MOST_AT_ONCE)) do
    local number = call('ZSCORE', at(id, 'sent'), i)
    if not number or tonumber(number) > upto or found[id .. ':' .. i] then call('ZREM', at(id, 'off'), i) end
  end
end

-- What was sent and never claimed: off the queue for `patience` ms, it is lost, whether Celery
-- still counts it as unacknowledged or not.
local function find_lost(id, found, upto, time, patience)
  forget_sights(id, found, upto)
  local sent = call('ZRANGEBYSCORE', at(id, 'sent'), '-inf', upto, 'LIMIT', 0, LOOKED_AT + MOST_AT_ONCE)
  for _, i in ipairs(sent) do
    if not found[id .. ':' .. i] then
      call('ZADD', at(id, 'off'), 'NX', time, i)
      if time - tonumber(call('ZSCORE', at(id, 'off'), i)) >= tonumber(patience) then
        forget(id, i)
        call('ZADD', at(id, 'again'), time, i)
      end
    end
  end
end

-- Look through some batches each time, and drop what is no batch any more: numbers that were lost
-- come back, and a ledger that an earlier version filled gets its own.
local function audit(queue)
  local ids = call('SMEMBERS', 'gridfarm:active')
  table.sort(ids)
  local begin = tonumber(call('GET', 'gridfarm:audited') or '0')
  if begin >= #ids then begin = 0 end
  local last = math.min(#ids, begin + AUDITED_AT_ONCE)
  for n = begin + 1, last do note(ids[n]) end
  call('SET', 'gridfarm:audited', last)
  for _, worker in ipairs(call('HKEYS', at_queue(queue, 'threads'))) do
    if not call('ZSCORE', 'gridfarm:alive', worker) then set_tally(queue, 'threads', worker, 0) end
  end
  for _, tally in ipairs({'under_way', 'left'}) do
    for _, id in ipairs(call('HKEYS', at_queue(queue, tally))) do
      if call('SISMEMBER', 'gridfarm:active', id) == 0 then note(id, queue) end
    end
  end
end

local function add_up(queue)
  for _, tally in ipairs({'threads', 'under_way', 'left'}) do
    local total = 0
    for _, value in ipairs(call('HVALS', at_queue(queue, tally))) do total = total + value end
    call('HSET', at_queue(queue), tally, total)
  end
end

-- Put back what is lost of the batches that have something under way; how many workers hold a cell.
local function sweep_batches(queue, time, patience)
  local holders, busy = {}, 0
  local found, upto = oldest_on(queue)
  for _, id in ipairs(call('HKEYS', at_queue(queue, 'under_way'))) do
    expire_leases(id, time)
    find_lost(id, found, upto, time, patience)
    for _, worker in ipairs(call('HVALS', at(id, 'holders'))) do
      if not holders[worker] then busy = busy + 1 end
      holders[worker] = true
    end
    note(id, queue)
  end
  return busy
end

-- Put back what is lost on `queue`; at most once per `every` ms, whoever asks.
local function sweep(queue, patience, every)
  if not call('SET', 'gridfarm:swept:' .. queue, '1', 'NX', 'PX', every) then return 0 end
  local time = now()
  prune(time)
  audit(queue)
  call('HSET', at_queue(queue), 'busy', sweep_batches(queue, time, patience))
  add_up(queue)
  want(queue)
  return 1
end

-- A new state, priority or both; messages of the old generation become stale, and what they
-- asked for is sent again when the batch is rendering, before anything of a lower priority.
-- A cancelled batch is kept for `keep` ms. Returns 0 when the ledger does not know the batch,
-- or knows it as done; 2 when its queue is to be withdrawn from.
local function control(id, generation, state, priority, keep)
  local h = call('HMGET', at(id), 'state', 'queue')
  if not h[1] or h[1] == 'done' then return 0 end
  call('HSET', at(id), 'generation', generation, 'state', state, 'priority', priority)
  local unwanted = call('ZCARD', at(id, 'sent')) > 0
  unsend(id)
  if state == 'cancelled' then
    call('SREM', 'gridfarm:active', id)
    expire(id, keep)
  else
    call('SADD', 'gridfarm:active', id)
    persist(id)
    if state == 'rendering' and lower_under_way(h[2], tonumber(priority)) then unwanted = true end
  end
  return unwanted and 2 or 1
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

-- The batch is over: only its counts, done bits and failures are kept, for `keep` ms. Returns 0
-- when it is not over after all, because somebody asked for more meanwhile.
local function finish(id, keep)
  local known = call('EXISTS', at(id)) == 1
  if known and not finished(id) then return 0 end
  call('SREM', 'gridfarm:active', id)
  call('ZREM', 'gridfarm:unsaved', id)
  if known then
    call('HSET', at(id), 'state', 'done')
    for _, part in ipairs(PARTS) do
      if part ~= 'done' and part ~= 'failed' then call('UNLINK', at(id, part)) end
    end
    expire(id, keep)
  end
  return 1
end

-- The batches whose done bits are due to be copied, and the number of the last change of each.
-- Nobody else is told of them for a while; `saved` says that it was done.
local function unsaved()
  local time, due = now(), {}
  local ids = call('ZRANGEBYSCORE', 'gridfarm:unsaved', '-inf', time, 'LIMIT', 0, MOST_AT_ONCE)
  for _, id in ipairs(ids) do
    local changes = call('HGET', at(id), 'changes')
    if changes then
      call('ZADD', 'gridfarm:unsaved', time + UNSAVED_FOR, id)
      table.insert(due, {id, changes})
    else
      call('ZREM', 'gridfarm:unsaved', id)
    end
  end
  return due
end

-- The done bits are in the store as they were after that many changes. Should they be others now,
-- or a slow writer have put older ones over newer ones, they are copied once more.
local function saved(id, changes)
  if call('HGET', at(id), 'changes') == changes then
    call('ZREM', 'gridfarm:unsaved', id)
  elseif call('EXISTS', at(id)) == 1 then
    call('ZADD', 'gridfarm:unsaved', 'NX', now() + UNSAVED_FOR, id)
  end
  return 1
end

-- Forget a batch altogether, so that it can be opened anew.
local function drop(id)
  call('SREM', 'gridfarm:active', id)
  call('ZREM', 'gridfarm:unsaved', id)
  return clear(id)
end

local function status(id)
  local h = call('HMGET', at(id), 'state', 'generation', 'priority', 'total', 'done', 'failed', 'queue')
  if not h[1] then return nil end
  local time = now()
  table.insert(h, call('ZCOUNT', at(id, 'leases'), time, '+inf'))
  table.insert(h, call('SCARD', 'gridfarm:active'))
  return h
end

local functions = {
  open = open, feed = feed, claim = claim, renew = renew, done = done, fail = fail, skip = skip,
  release = release, charge = charge, suspect = suspect, sweep = sweep, control = control,
  retry = retry, finish = finish, drop = drop, status = status, beat = beat, leave = leave, alive = alive,
  withdraw = withdraw, unsaved = unsaved, saved = saved,
}
-- After these the queue is told of the batch, which is their first argument; after the second ones
-- also the autoscalers, of the queue.
local CHANGES_A_CELL = {claim = true, renew = true, done = true, fail = true, skip = true, release = true}
local CHANGES_A_BATCH = {open = true, control = true, retry = true, finish = true, drop = true}

local step, id = ARGV[1], ARGV[2]
if not CHANGES_A_CELL[step] and not CHANGES_A_BATCH[step] then return functions[step](unpack(ARGV, 2)) end
local was_on = call('HGET', at(id), 'queue')
local answer = functions[step](unpack(ARGV, 2))
local queue = call('HGET', at(id), 'queue') or was_on
note(id, queue)
if queue and (CHANGES_A_BATCH[step] or answer == 'finished') then want(queue) end
return answer
