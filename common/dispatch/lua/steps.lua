-- The steps by name.

local functions = {
  open = open, feed = feed, claim = claim, renew = renew, done = done, fail = fail, skip = skip,
  release = release, charge = charge, suspect = suspect, unmet = unmet, met = met, sweep = sweep, control = control,
  retry = retry, lost = lost, read = read, aside = aside, finish = finish, sound = sound, mend = mend, drop = drop,
  status = status, beat = beat, leave = leave, alive = alive, withdraw = withdraw, unsaved = unsaved, saved = saved,
}
-- After these the queue is told of the batch, which is their first argument; after the second ones
-- also the autoscalers, of the queue.
local CHANGES_A_CELL = {claim = true, renew = true, done = true, fail = true, skip = true, release = true}
local CHANGES_A_BATCH = {open = true, control = true, retry = true, finish = true, drop = true,
                         lost = true, read = true, aside = true, mend = true}

local step, id = ARGV[1], ARGV[2]
if not CHANGES_A_CELL[step] and not CHANGES_A_BATCH[step] then return functions[step](unpack(ARGV, 2)) end
local was_on = step == 'drop' and call('HGET', at(id), 'queue') or nil
local answer = functions[step](unpack(ARGV, 2))
local queue = note(id, was_on)
if queue and (CHANGES_A_BATCH[step] or answer == 'finished') then want(queue) end
return answer
