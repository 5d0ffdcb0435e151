-- A batch from its opening to its end.

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

-- The active batches whose done bits are due to be copied, and the number of the last change of
-- each. Nobody else is told of them for a while; `saved` says that it was done.
local function unsaved()
  local time, due = now(), {}
  local ids = call('ZRANGEBYSCORE', 'gridfarm:unsaved', '-inf', time, 'LIMIT', 0, MOST_AT_ONCE)
  for _, id in ipairs(ids) do
    local changes = call('HGET', at(id), 'changes')
    if changes and call('SISMEMBER', 'gridfarm:active', id) == 1 then
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
