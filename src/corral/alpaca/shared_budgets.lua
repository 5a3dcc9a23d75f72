-- The requests that an account has left this minute, counted for all processes: what rate_budget.py and fair_share.py do
-- for one. KEYS[1] is a hash:
--   n, e, h    number of the window; its end, and until when Alpaca accepts nothing (ms of the server's TIME)
--   l, u, r    limit, used, reserved for the grants
--   a, c       number of the window for which the grants' counts are, and the requests for closing in it
--   g:…, b:…   requests of a grant in that window, and grants that asked in the one before
-- ARGV[1] names what is done, and the others are its arguments. Whatever somebody else wrote into the hash is bounded.

local WINDOW_MS, MOST_REQUESTS, KEPT_MS, LARGEST = 60000, 1000000, 120000, 2 ^ 53
local key, time = KEYS[1], redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local kind_of_key = redis.call('TYPE', key).ok
if kind_of_key ~= 'hash' and kind_of_key ~= 'none' then
  redis.call('DEL', key)
end
local window, grants, before = {}, {}, {}
local stored = redis.call('HGETALL', key)
for place = 1, #stored, 2 do
  local name, value = stored[place], tonumber(stored[place + 1])
  if value and not (math.abs(value) <= LARGEST) then
    value = nil -- infinite, not a number, or not a whole one for Lua any more
  end
  local kind, grant = string.match(name, '^([gb]):(.*)$')
  if value and kind == 'g' then
    grants[grant] = value
  elseif value and kind == 'b' then
    before[grant] = value
  else
    window[name] = value
  end
end

local function number()
  return math.max((window.n or 0) + 1, time[1] * 1000000 + time[2])
end

local function is_known()
  return window.n and window.e and window.e <= now + WINDOW_MS + 1000
end

local function begin(ends, used)
  window.n, window.e, window.u, window.r, window.h = number(), ends, used, 0, 0
  window.l = 200
end

if is_known() then
  window.l = math.max(1, math.min(window.l or 200, MOST_REQUESTS))
  window.u, window.r = math.max(window.u or 0, 0), math.max(window.r or 0, 0)
  window.h = math.min(window.h or 0, now + WINDOW_MS)
end

local function ensure()
  if not is_known() or (now >= window.e and now >= window.h) then
    begin(now + WINDOW_MS, 0)
  end
end

local function seconds(ms)
  return math.max(1, math.min(60, math.ceil(ms / 1000)))
end

local function take(kept)
  if now < window.h then
    return seconds(window.h - now)
  elseif window.u >= window.l - kept then
    return seconds(window.e - now)
  end
  window.u = window.u + 1
  return 0
end

-- One minute's requests divided, as seen by one grant.
local function divide(grant)
  local tenth = math.floor(window.l / 10)
  local closing = math.min(math.max(tenth, 10), math.floor(window.l / 2))
  local total, active, sure = 0, grants[grant] and 0 or 1, 0
  for name, count in pairs(grants) do
    total, active = total + count, active + 1
  end
  for name in pairs(before) do
    if not grants[name] and name ~= grant then
      active = active + 1
    end
  end
  local for_grants = window.l - closing - tenth
  local part = math.max(math.floor(for_grants / active), 1)
  for name, count in pairs(grants) do
    if name ~= grant then
      sure = sure + math.max(part - count, 0)
    end
  end
  local for_closing = math.max(closing - window.c, 0)
  local for_owner = math.max(tenth - (window.u - total), 0)
  local free, own, quarter = window.l - window.u, grants[grant] or 0, math.floor(for_grants / 4)
  local left = free - for_closing - for_owner
  return {
    part = part,
    may_close = free > for_owner,
    may_ask = left > 0 and (own < part or left > math.max(quarter, sure)),
    remaining = math.max(math.min(part - own, left), 0),
    kept = for_closing + math.min(quarter, math.max(left, 0)),
  }
end

local function turn_to_this_window()
  if window.a == window.n then
    return
  end
  for name in pairs(before) do
    redis.call('HDEL', key, 'b:' .. name)
  end
  for name in pairs(grants) do
    redis.call('HDEL', key, 'g:' .. name)
    redis.call('HSET', key, 'b:' .. name, 1)
  end
  before, grants = grants, {}
  window.a, window.c = window.n, 0
end

local function count_grant(grant, by)
  grants[grant] = (grants[grant] or 0) + by
  redis.call('HSET', key, 'g:' .. grant, grants[grant])
end

local wait, part, remaining, resets_in = 0, 0, 0, 0
local operations = {}

function operations.take(leaving)
  ensure()
  wait = take(math.max(tonumber(leaving), window.r))
end

function operations.share(grant, is_closing)
  ensure()
  turn_to_this_window()
  is_closing = is_closing == '1'
  resets_in = math.max(window.e, window.h) - now
  local division = divide(grant)
  if is_closing and division.may_close or not is_closing and division.may_ask then
    wait = take(0)
  else
    wait = math.max(1, math.ceil(resets_in / 1000))
  end
  if wait == 0 then
    count_grant(grant, 1)
    window.c = window.c + (is_closing and 1 or 0)
  end
  division = divide(grant)
  window.r, part, remaining = division.kept, division.part, division.remaining
end

function operations.give(grant)
  if not is_known() then
    return
  end
  window.u = math.max(window.u - 1, 0)
  if grants[grant] and grants[grant] > 0 then
    count_grant(grant, -1)
  end
end

-- What Alpaca's headers say: its limit, what remains, and when its minute ends, in Unix seconds. Empty: not said.
function operations.update(limit, left, reset)
  if not is_known() then
    return
  end
  limit, left, reset = tonumber(limit), tonumber(left), tonumber(reset)
  if limit and limit > 0 and limit <= MOST_REQUESTS then
    window.l = limit
  end
  local ends = reset and reset * 1000
  if ends and math.abs(ends - now) > WINDOW_MS + 1000 then
    ends = nil -- the clocks differ
  end
  if not left or ends and ends <= now then
    return -- responses may arrive out of order: a late one describes a window that is over
  end
  local told, is_later = math.max(window.l - left, 0), ends and ends > window.e + 1000
  window.e = ends or window.e
  if is_later then
    window.n, window.u, window.r = number(), told, 0
  else
    window.u = math.max(window.u, told)
  end
end

function operations.hold(for_seconds)
  ensure()
  window.h = math.max(window.h, now + seconds(tonumber(for_seconds) * 1000) * 1000)
end

-- What a process counted alone: the larger count is continued with. Then pairs of a grant and its requests.
function operations.merge(ends_in, limit, used, held_in, closing, ...)
  if not is_known() or (now >= window.e and now >= window.h) then
    begin(now + math.max(0, math.min(tonumber(ends_in), WINDOW_MS)), 0)
    window.l = tonumber(limit)
  end
  turn_to_this_window()
  window.u = math.max(window.u, tonumber(used))
  window.h = math.max(window.h, now + math.min(tonumber(held_in), WINDOW_MS))
  window.c = math.max(window.c, tonumber(closing))
  for place = 1, select('#', ...), 2 do
    local grant, count = select(place, ...)
    count_grant(grant, math.max(tonumber(count) - (grants[grant] or 0), 0))
  end
end

operations[ARGV[1]](unpack(ARGV, 2))
if not is_known() then
  return false
end
local function text(value)
  return string.format('%.0f', value)
end
window.a, window.c = window.a or 0, window.c or 0
for _, name in ipairs({'n', 'e', 'h', 'l', 'u', 'r', 'a', 'c'}) do
  redis.call('HSET', key, name, text(window[name]))
end
redis.call('PEXPIRE', key, text(math.max(window.e, window.h) - now + KEPT_MS))
return table.concat({
  text(wait), text(window.n), text(window.l), text(window.u), text(window.r), text(window.e - now),
  text(math.max(window.h - now, 0)), text(part), text(remaining), text(math.max(resets_in, 0)),
}, ' ')
