-- Sweep: to put back what is lost, and to put right what is written down for a queue.

-- Of a queue, from its old end; and of the batches.
local LOOKED_AT, AUDITED_AT_ONCE = 64, 10

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
      clamp(at(id, 'off'), time)
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
  for n = begin + 1, last do
    clamp(at(ids[n], 'again'), now() + LONGEST_PAUSE)
    note(ids[n], nil, true)
  end
  call('SET', 'gridfarm:audited', last)
  for _, worker in ipairs(call('HKEYS', at_queue(queue, 'threads'))) do
    if not call('ZSCORE', 'gridfarm:alive', worker) then set_tally(queue, 'threads', worker, 0) end
  end
  for _, tally in ipairs({'under_way', 'left'}) do
    for _, id in ipairs(call('HKEYS', at_queue(queue, tally))) do
      if call('SISMEMBER', 'gridfarm:active', id) == 0 then note(id, queue, true) end
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
-- No lease is for longer than `lease` ms.
local function sweep_batches(queue, time, patience, lease)
  local holders, busy = {}, 0
  local found, upto = oldest_on(queue)
  local tally = call('HGETALL', at_queue(queue, 'under_way'))
  for n = 1, #tally, 2 do
    local id = tally[n]
    clamp(at(id, 'leases'), time + lease)
    clamp(at(id, 'again'), time + LONGEST_PAUSE)
    expire_leases(id, time)
    find_lost(id, found, upto, time, patience)
    if under_way(id) ~= tonumber(tally[n + 1]) then note(id, queue) end
    for _, worker in ipairs(call('HVALS', at(id, 'holders'))) do
      if not holders[worker] then busy = busy + 1 end
      holders[worker] = true
    end
  end
  return busy
end

-- Put back what is lost on `queue`; at most once per `every` ms, whoever asks.
local function sweep(queue, patience, every, lease)
  local swept = 'gridfarm:swept:' .. queue
  if call('PTTL', swept) > tonumber(every) then call('DEL', swept) end
  if not call('SET', swept, '1', 'NX', 'PX', every) then return 0 end
  local time = now()
  prune(time)
  clamp('gridfarm:unsaved', time + UNSAVED_FOR)
  audit(queue)
  call('HSET', at_queue(queue), 'busy', sweep_batches(queue, time, patience, lease))
  add_up(queue)
  want(queue)
  return 1
end
