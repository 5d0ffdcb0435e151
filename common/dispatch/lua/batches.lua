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
  call('HSET', at(id), 'done', call('BITCOUNT', at(id, 'done')), 'failed', count,
       'holes', call('BITCOUNT', at(id, 'holes')), 'cursor', 0)
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
  call('UNLINK', at(id, 'failed'), at(id, 'losses'), at(id, 'needs'))
  call('DEL', finishing(id))
  call('HSET', at(id), 'failed', 0, 'cursor', 0)
  return control(id, generation, 'rendering', priority, 0)
end

-- These cells count as done and have no picture: they are sent again. One that was lost `most`
-- times fails with `reason`; returns those.
local function lost(id, most, reason, ...)
  local state, given_up = call('HGET', at(id), 'state'), {}
  if not state or state == 'done' then return given_up end
  for _, i in ipairs({...}) do
    if call('SETBIT', at(id, 'done'), i, 0) == 1 then
      call('HINCRBY', at(id), 'done', -1)
      if call('HINCRBY', at(id, 'losses'), i, 1) >= tonumber(most) then
        call('HSET', at(id, 'failed'), i, reason)
        call('HINCRBY', at(id), 'failed', 1)
        table.insert(given_up, i)
      else
        call('ZADD', at(id, 'again'), now(), i)
      end
    end
  end
  changed(id)
  return given_up
end

-- A batch that cannot be read is looked at again after so many ms, twice as many each time.
local ASIDE = 5000
-- Who cannot read what another has read so recently is at fault itself.
local JUST_READ = 60000

-- A worker has read the batch's document, so that it is set aside no more.
local function read(id)
  if call('EXISTS', at(id)) == 0 then return 0 end
  call('HSET', at(id), 'read_at', now())
  return call('HDEL', at(id), 'aside', 'aside_until', 'aside_times')
end

-- The batch's document cannot be read: for a while nobody is asked to. 0 where others can read it,
-- 1 where it is set aside already, or gone; 2 where it is set aside now, so that its messages are
-- to be withdrawn.
local function aside(id, reason)
  local h = call('HMGET', at(id), 'state', 'read_at', 'aside_until')
  if not h[1] then return 1 end
  local ago = h[2] and now() - tonumber(h[2])
  if ago and ago >= 0 and ago < JUST_READ then return 0 end
  if is_aside(h[3]) then return 1 end
  local times = call('HINCRBY', at(id), 'aside_times', 1)
  local pause = math.min(ASIDE * 2 ^ (times - 1), LONGEST_ASIDE)
  call('HSET', at(id), 'aside', reason, 'aside_until', now() + pause)
  unsend(id)
  return 2
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
    call('SADD', 'gridfarm:active', id)
    call('SADD', 'gridfarm:queues', h[2])
  end
  return sound(id)
end

-- The batch is over: only its counts, done bits and failures are kept, for `keep` ms. Returns 0
-- when it is not over after all, because somebody asked for more meanwhile.
local function finish(id, keep)
  local known = call('EXISTS', at(id)) == 1
  if known and not finished(id) then return 0 end
  call('SREM', 'gridfarm:active', id)
  call('ZREM', 'gridfarm:unsaved', id)
  if known then
    call('HSET', at(id), 'state', 'done', 'holes', 0)
    for _, part in ipairs(PARTS) do
      if part ~= 'done' and part ~= 'failed' then call('UNLINK', at(id, part)) end
    end
    expire(id, keep)
  end
  return 1
end

-- The active batches, and those that just ended, whose done bits are due to be copied, and the number of the last change of
-- each. Nobody else is told of them for a while; `saved` says that it was done.
local function unsaved()
  local time, due = now(), {}
  local ids = call('ZRANGEBYSCORE', 'gridfarm:unsaved', '-inf', time, 'LIMIT', 0, MOST_AT_ONCE)
  for _, id in ipairs(ids) do
    local changes = call('HGET', at(id), 'changes')
    local is_due = call('SISMEMBER', 'gridfarm:active', id) == 1 or call('HGET', at(id), 'state') == 'done'
    if changes and is_due then
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
  table.insert(h, call('ZCOUNT', at(id, 'leases'), now(), '+inf'))
  local a = call('HMGET', at(id), 'aside', 'aside_until')
  table.insert(h, is_aside(a[2]) and a[1] or '')
  table.insert(h, tonumber(call('HGET', at(id), 'found') or 0))
  return h
end
