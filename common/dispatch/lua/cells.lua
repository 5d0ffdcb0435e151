-- A cell from its claim until it is settled or handed back.

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
  return finished(id) and 'finished' or 'ok'
end

-- Cell i is stored. Done beats failed, whatever the generation. What nobody was charged for was
-- found in the store.
local function done(id, i, key)
  if call('EXISTS', at(id)) == 0 then return 'unknown' end
  if bit(id, 'holes', i) then return close(id, i, key) end
  if call('SETBIT', at(id, 'done'), i, 1) == 0 then
    call('HINCRBY', at(id), 'done', 1)
    if call('HEXISTS', at(id, 'charges'), i) == 0 then call('HINCRBY', at(id), 'found', 1) end
    changed(id)
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

-- On `machine` a model or LoRA that cells of the batch need could not be had or loaded, which
-- counts once in `every` ms for each machine. Returns {times, different machines}; {} where some
-- machine could.
local function unmet(id, need, machine, every)
  if call('EXISTS', at(id)) == 0 then return {1, 1} end
  local noted = call('HGET', at(id, 'needs'), need)
  if noted == 'met' then return {} end
  local times, time, just = cjson.decode(noted or '[]'), now(), false
  local seen, machines = {}, 0
  for _, one in ipairs(times) do
    if one[1] == machine and math.abs(time - one[2]) < tonumber(every) then just = true end
  end
  if not just then table.insert(times, {machine, time}) end
  for _, one in ipairs(times) do
    if not seen[one[1]] then machines = machines + 1 end
    seen[one[1]] = true
  end
  call('HSET', at(id, 'needs'), need, cjson.encode(times))
  fade(id)
  return {#times, machines}
end

-- A machine has and has loaded these.
local function met(id, ...)
  if call('EXISTS', at(id)) == 0 then return 0 end
  for _, need in ipairs({...}) do call('HSET', at(id, 'needs'), need, 'met') end
  fade(id)
  return 1
end
