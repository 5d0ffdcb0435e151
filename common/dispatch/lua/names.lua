-- The ledger: what of each batch is done, failed, sent and leased; and the names of all that. The
-- files here are one script, in the order of `SCRIPT` in `ledger.py`. Each step in `steps.lua` is
-- atomic; `ledger.py` and `workers.py` call them by name. Times are milliseconds of Redis' own clock,
-- since the machines' clocks disagree. Numbers i are zero-based cells of a batch.
--
--   gridfarm:active              set of batch ids that are not finished
--   gridfarm:over                set of those among them that have no open cell: their end is due
--   gridfarm:unsaved             zset batch -> when its done bits are due to be copied into the store
--   gridfarm:batch:<id>          hash: state, generation, priority, queue, length, total,
--                                done, found (of those, what no attempt was charged for), failed,
--                                holes, cursor, order, changes (of the done bits), read_at (by
--                                a worker); of one that is set aside also aside (the reason),
--                                aside_until, aside_times
--   gridfarm:batch:<id>:done     bitmap, MSB first         :holes   likewise: never rendered
--   gridfarm:batch:<id>:failed   hash i -> reason
--   gridfarm:batch:<id>:sent     zset i -> number of its message
--   gridfarm:batch:<id>:off      zset i -> when first seen off the queue
--   gridfarm:batch:<id>:leases   zset i -> when it expires :holders hash i -> worker
--   gridfarm:batch:<id>:again    zset i -> not before
--   gridfarm:batch:<id>:charges  hash i -> machines        :entered i -> worker whose attempt is in it
--   gridfarm:batch:<id>:suspects hash i -> process
--   gridfarm:batch:<id>:losses   hash i -> how often its picture was done and not in the store
--   gridfarm:batch:<id>:needs    hash model or LoRA -> where it could not be had, [[machine, when], …],
--                                or "met"
--   gridfarm:key:<key>           "<id> <i>": which cell's lease covers this key
--   gridfarm:waiting             hash key -> batch that waits for another's picture of that key
--   gridfarm:alive               zset worker -> when it counts as gone
--   gridfarm:workers             hash worker -> what it says of itself (JSON)
--   gridfarm:sends               number of the last message; never below the time in µs
--   gridfarm:queues              set of queues that ever had a batch
--   gridfarm:audited             how many of the batches, in their order, were looked through
--   gridfarm:queue:<queue>       hash: the sums of the three tallies; busy: workers that hold a cell;
--                                turn: which batch's it is among those of equal priority
--   gridfarm:queue:<queue>:threads    tally worker -> its threads
--   gridfarm:queue:<queue>:under_way  tally batch -> its cells that are sent or leased
--   gridfarm:queue:<queue>:left       tally batch -> its cells that are to be rendered
--   gridfarm:queue:<queue>:fed   zset batch -> priority: has a cell that may be sent now
--   gridfarm:queue:<queue>:later zset batch -> when it will have one
--   gridfarm:queue:<queue>:noted hash batch -> what was written down for it last
--   gridfarm:wanted              hash with one field per worker process that has something to do
--   gridfarm:wanted:<queue>      likewise, for the cells of one queue

local call = redis.call

local PARTS = {'done', 'failed', 'holes', 'sent', 'off', 'leases', 'holders', 'again', 'charges',
               'entered', 'suspects', 'losses', 'needs'}
-- What there may be many of is done in pieces, so that nobody waits for long.
local MOST_AT_ONCE = 200
-- From a change of a batch's done bits until they are copied into the store, in ms.
local UNSAVED_FOR = 30000
-- Nothing is put off for longer, in ms. What says otherwise was written before Redis' clock went back.
local LONGEST_PAUSE = 60000
-- But a batch that cannot be read, which is for so long at most.
local LONGEST_ASIDE = 300000

-- It stands still while a step runs.
local micros
local function now_in_micros()
  if not micros then
    local time = call('TIME')
    micros = time[1] * 1000000 + time[2]
  end
  return micros
end

local function now() return math.floor(now_in_micros() / 1000) end

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

local function is_aside(till)
  return till and tonumber(till) > now() and tonumber(till) <= now() + LONGEST_ASIDE
end

-- What is to happen later than anything is put off has a time of before Redis' clock went back.
local function clamp(name, latest)
  for _, member in ipairs(call('ZRANGEBYSCORE', name, '(' .. latest, '+inf', 'LIMIT', 0, MOST_AT_ONCE)) do
    call('ZADD', name, latest, member)
  end
end

-- The done bits have changed, and are to be copied into the store.
local function changed(id)
  call('HINCRBY', at(id), 'changes', 1)
  call('ZADD', 'gridfarm:unsaved', 'NX', now() + UNSAVED_FOR, id)
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
