-- What is written down for each queue: numbers, and which of its batches matter.

-- The hashes for autoscalers stay small; no pool is larger.
local MOST_WANTED = 1000
-- Cells that one worker process has in hand at once: its threads, which are four by default.
local CELLS_A_WORKER = 4

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
-- before something happens to it. One that is set aside has none `before` that.
local function has_cell_at(id, open, cursor, length, under, before)
  if open == 0 then return nil end
  if cursor < length then return before end
  local again = call('ZRANGE', at(id, 'again'), 0, 0, 'WITHSCORES')
  if again[1] then return math.max(before, tonumber(again[2])) end
  -- Nothing under way, nothing waiting, all sent, and yet not finished: it is walked once more.
  return under == 0 and before or nil
end

local function in_zset(member, name, score)
  if score then call('ZADD', name, score, member) else call('ZREM', name, member) end
end

-- What its queue has to know of a batch: cells under way, cells to be rendered, its priority if it
-- has a cell to send now, when it will have one, whether it is over; and its queue, nil of a batch
-- that is gone.
local function look_at(id)
  local h = call('HMGET', at(id), 'state', 'priority', 'cursor', 'length', 'total', 'done', 'failed',
                 'queue', 'aside_until')
  for n = 2, 7 do h[n] = tonumber(h[n]) or 0 end
  local listed = h[1] and call('SISMEMBER', 'gridfarm:active', id) == 1
  local left = math.max(0, h[5] - h[6] - h[7])
  local open = listed and h[1] == 'rendering' and left or 0
  local under = listed and under_way(id) or 0
  local ready = has_cell_at(id, open, h[3], h[4], under, is_aside(h[9]) and tonumber(h[9]) or 0)
  local is_ready = ready and ready <= now()
  return {under_way = under, left = open, fed = is_ready and h[2], later = not is_ready and ready,
          over = listed and left == 0, listed = listed}, h[8] or nil
end

-- Write down for its queue what a batch is now; returns the queue. Whatever changes a batch ends
-- with this, so that nobody has to look at all batches to find the few that matter. Nothing is
-- added to what was written before, so that no mistake can grow. `was_on` is the queue of a batch
-- that is gone; `anew`: write down also what seems to be written already.
local function note(id, was_on, anew)
  local seen, on = look_at(id)
  local queue = on or was_on
  if not queue then
    call('SREM', 'gridfarm:over', id)
    return nil
  end
  local text = table.concat({seen.under_way, seen.left, tostring(seen.fed), tostring(seen.later),
                             tostring(seen.over)}, ' ')
  if not anew and call('HGET', at_queue(queue, 'noted'), id) == text then return queue end
  if seen.listed then call('HSET', at_queue(queue, 'noted'), id, text)
  else call('HDEL', at_queue(queue, 'noted'), id) end
  set_tally(queue, 'under_way', id, seen.under_way)
  set_tally(queue, 'left', id, seen.left)
  in_zset(id, at_queue(queue, 'fed'), seen.fed)
  in_zset(id, at_queue(queue, 'later'), seen.later)
  call(seen.over and 'SADD' or 'SREM', 'gridfarm:over', id)
  return queue
end
