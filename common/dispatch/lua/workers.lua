-- The register of workers: who is alive, with how many threads for which queue.

-- No machine has more; who says so is not believed.
local MOST_THREADS = 10000
-- Nobody is shown without a new beat for longer, in ms.
local LONGEST_BEAT = 600000

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

-- A worker is alive for `ttl` ms more and says so and so of itself. The id of the farm's store, so
-- that an idle worker hears within seconds of a farm that began or moved.
local function beat(worker, said, ttl)
  local time = now()
  prune(time)
  for queue, threads in pairs(threads_of(said)) do set_tally(queue, 'threads', worker, threads) end
  clamp('gridfarm:alive', time + LONGEST_BEAT)
  call('ZADD', 'gridfarm:alive', time + ttl, worker)
  call('HSET', 'gridfarm:workers', worker, said)
  return call('HGET', 'gridfarm:store', 'id') or ''
end

local function alive()
  local said = {}
  for _, worker in ipairs(call('ZRANGEBYSCORE', 'gridfarm:alive', now(), '+inf')) do
    local text = call('HGET', 'gridfarm:workers', worker)
    if text then table.insert(said, text) end
  end
  return said
end
