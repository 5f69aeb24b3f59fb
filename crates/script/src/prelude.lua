-- The sandbox, as Lua: what scripts see, wrapped around the native functions that are passed in.
--
-- Redis marks shared tables readonly inside its patched interpreter. Here each of them is an empty
-- table whose metatable shows the real one: reading falls through, writing is refused. `pairs`,
-- `next`, `rawget` and their kin look through; `rawset`, `setmetatable` and `table.insert` refuse.
--
-- Native functions raise objects: what catches errors translates them to the strings and tables that
-- scripts expect.

local native = ...

local error, type, tostring, select = error, type, tostring, select
local pairs, next, rawget, rawset, rawequal = pairs, next, rawget, rawset, rawequal
local getmetatable, setmetatable = getmetatable, setmetatable
local pcall, xpcall, resume = pcall, xpcall, coroutine.resume
local loadstring, setfenv, collectgarbage = loadstring, setfenv, collectgarbage
local insert, concat = table.insert, table.concat
local match, sub = string.match, string.sub

local READONLY = 'Attempt to modify a readonly table'

-- From each protected table to what it shows.
local shown = {}

local function deny()
  error(READONLY, 2)
end

local function protect(real)
  local proxy = {}
  shown[proxy] = real
  return setmetatable(proxy, { __index = real, __newindex = deny, __metatable = false })
end

local function missing(_, name)
  error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
end

-- Errors: a table with the text, and where it was raised.

local where, translate = native.where, native.translate

local function handler(err)
  local source, line = where()
  err = translate(err)
  if type(err) ~= 'table' then
    err = tostring(err)
    -- A base function that this file wraps has named this file.
    local ours = match(err, '^ochre:%d+: ()')
    if ours then
      err = (source and sub(source, 2) .. ':' .. line .. ': ' or '') .. sub(err, ours)
    end
    err = { err = 'ERR ' .. err }
  end
  if source and not shown[err] then
    rawset(err, 'source', source)
    rawset(err, 'line', line)
  end
  return err
end

-- Base functions that have to know protected tables.

local base = {}
for _, name in next, {
  'assert', 'error', 'gcinfo', 'ipairs', 'rawequal', 'select', 'tonumber', 'tostring', 'type',
  'unpack', '_VERSION',
} do
  base[name] = _G[name]
end

local function no_table(name, ...)
  local got = select('#', ...) == 0 and 'no value' or type((...))
  error("bad argument #1 to '" .. name .. "' (table expected, got " .. got .. ')', 3)
end

function base.pairs(...)
  local t = ...
  if type(t) ~= 'table' then
    no_table('pairs', ...)
  end
  return next, shown[t] or t, nil
end

function base.next(...)
  local t, key = ...
  if type(t) ~= 'table' then
    no_table('next', ...)
  end
  return next(shown[t] or t, key)
end

function base.rawget(...)
  local t, key = ...
  if type(t) ~= 'table' then
    no_table('rawget', ...)
  end
  return rawget(shown[t] or t, key)
end

function base.rawset(...)
  local t, key, value = ...
  if type(t) ~= 'table' then
    no_table('rawset', ...)
  end
  if shown[t] then
    error(READONLY, 0)
  end
  return rawset(t, key, value)
end

function base.setmetatable(...)
  local t, meta = ...
  if type(t) ~= 'table' then
    no_table('setmetatable', ...)
  end
  if shown[t] then
    error(READONLY, 0)
  end
  return setmetatable(t, meta)
end

local function caught(ok, ...)
  if ok then
    return ok, ...
  end
  return false, translate((...))
end

-- Scripts of old expect a text where a failed command raises a table: so the peers' pcall gives the
-- table's text.
local function told(ok, ...)
  if ok then
    return ok, ...
  end
  local err = translate((...))
  if type(err) == 'table' then
    local text = err.err
    if type(text) == 'string' or type(text) == 'number' then
      err = text
    end
  end
  return false, err
end

function base.pcall(...)
  return told(pcall(...))
end

function base.xpcall(f, on_error)
  return xpcall(f, function(err)
    return on_error(translate(err))
  end)
end

function base.getmetatable(value)
  return getmetatable(value) or nil
end

function base.collectgarbage(what, arg)
  -- Stopping the collector, or tuning it, would outlive the script.
  if what == 'count' then
    return (collectgarbage('count'))
  end
  if what == 'step' then
    return collectgarbage('step', arg)
  end
  if what == nil or what == 'collect' then
    return collectgarbage('collect')
  end
  return 0
end

-- Text only: bytecode can break out of the interpreter.

local environment

function base.loadstring(text, name)
  if type(text) == 'number' then
    text = tostring(text)
  end
  if type(text) ~= 'string' then
    local got = text == nil and 'no value' or type(text)
    error("bad argument #1 to 'loadstring' (string expected, got " .. got .. ')', 2)
  end
  if text:byte(1) == 27 then
    return nil, 'bytecode is not loaded'
  end
  local f, err = loadstring(text, name)
  if not f then
    return nil, err
  end
  return setfenv(f, environment)
end

function base.load(reader, name)
  if type(reader) ~= 'function' then
    local got = reader == nil and 'no value' or type(reader)
    error("bad argument #1 to 'load' (function expected, got " .. got .. ')', 2)
  end
  local pieces = {}
  while true do
    local piece = reader()
    if piece == nil or piece == '' then
      break
    end
    if type(piece) ~= 'string' then
      error('reader function must return a string', 2)
    end
    pieces[#pieces + 1] = piece
  end
  return base.loadstring(concat(pieces), name or '=(load)')
end

local function copy(t)
  local copied = {}
  for key, value in pairs(t) do
    copied[key] = value
  end
  return copied
end

local lib_table, lib_math = copy(table), copy(math)

function lib_table.insert(...)
  if type((...)) ~= 'table' then
    no_table('insert', ...)
  end
  if shown[...] then
    error(READONLY, 0)
  end
  return insert(...)
end

lib_math.random = native.random
lib_math.randomseed = native.randomseed

local lib_coroutine = copy(coroutine)

function lib_coroutine.resume(...)
  return caught(resume(...))
end

-- The commands.

local function error_reply(...)
  local text = ...
  if select('#', ...) ~= 1 or type(text) ~= 'string' then
    return { err = 'ERR wrong number or type of arguments' }
  end
  text = text:gsub('^%-', ''):gsub('[\r\n]+$', '')
  if not text:find(' ', 1, true) then
    text = 'ERR ' .. text
  end
  return { err = text }
end

local function status_reply(...)
  local text = ...
  if select('#', ...) ~= 1 or type(text) ~= 'string' then
    return { err = 'ERR wrong number or type of arguments' }
  end
  return { ok = text }
end

local api = {
  call = native.call,
  pcall = native.pcall,
  error_reply = error_reply,
  status_reply = status_reply,
  log = native.log,
  sha1hex = native.sha1hex,
  setresp = native.setresp,
  set_repl = native.set_repl,
  acl_check_cmd = native.acl_check_cmd,
}
for name, value in pairs(native.constants) do
  api[name] = value
end

local eval_api = copy(api)
-- There is no debugger: a breakpoint is not stopped at, a debug line is not shown.
function eval_api.breakpoint()
  return false
end
function eval_api.debug() end
function eval_api.replicate_commands()
  return true
end

-- Libraries.

local libraries = {
  bit = protect(native.bit),
  cjson = protect(native.cjson),
  cmsgpack = protect(native.cmsgpack),
  struct = protect(native.struct),
  string = protect(copy(string)),
  table = protect(lib_table),
  math = protect(lib_math),
  coroutine = protect(lib_coroutine),
  os = protect({ clock = native.clock }),
}
shown[libraries.cjson].new = native.cjson_new

-- A string's methods: the metatable that getmetatable('') gives is a protected one.
local methods = getmetatable('')
methods.__index = shown[libraries.string]
methods.__metatable = protect({ __index = libraries.string })

-- A script's globals: `own` is what is looked at while scripts run.
local function globals(redis)
  local own = copy(base)
  for name, library in pairs(libraries) do
    own[name] = library
  end
  own.redis = redis
  own.server = redis
  local proxy = {}
  own._G = proxy
  local meta = { __index = own, __newindex = deny }
  meta.__metatable = protect({ __index = missing })
  setmetatable(own, { __index = missing })
  shown[proxy] = own
  setmetatable(proxy, meta)
  return proxy, own, meta
end

local eval_globals, eval_own = globals(protect(eval_api))
eval_own.__redis__err__handler = handler

local function run(f, keys, argv)
  environment = eval_globals
  eval_own.KEYS = keys
  eval_own.ARGV = argv
  local ok, value = xpcall(f, handler)
  return ok, value
end

-- Functions. While a library is loaded its globals are `redis` with what registers functions.

local function_globals, function_own, function_meta = globals(protect(api))
local registered

local LOAD = 'redis.register_function'

local function fault(text)
  error({ err = 'ERR ' .. text }, 0)
end

local function named(arg)
  local f = {}
  for key, value in pairs(arg) do
    if key == 'function_name' then
      if type(value) ~= 'string' and type(value) ~= 'number' then
        fault('function_name argument given to ' .. LOAD .. ' must be a string')
      end
      f.name = tostring(value)
    elseif key == 'description' then
      if type(value) ~= 'string' and type(value) ~= 'number' then
        fault('description argument given to ' .. LOAD .. ' must be a string')
      end
      f.description = tostring(value)
    elseif key == 'callback' then
      if type(value) ~= 'function' then
        fault('callback argument given to ' .. LOAD .. ' must be a function')
      end
      f.callback = value
    elseif key == 'flags' then
      if type(value) ~= 'table' then
        fault('flags argument to ' .. LOAD .. ' must be a table representing function flags')
      end
      f.flags = value
    else
      fault('unknown argument given to ' .. LOAD)
    end
  end
  if not f.name then
    fault(LOAD .. ' must get a function name argument')
  end
  if not f.callback then
    fault(LOAD .. ' must get a callback argument')
  end
  return f
end

local function positional(name, callback)
  if type(name) ~= 'string' and type(name) ~= 'number' then
    fault('first argument to ' .. LOAD .. ' must be a string')
  end
  if type(callback) ~= 'function' then
    fault('second argument to ' .. LOAD .. ' must be a function')
  end
  return { name = tostring(name), callback = callback }
end

local function register_function(...)
  local count = select('#', ...)
  if count < 1 or count > 2 then
    fault('wrong number of arguments to ' .. LOAD)
  end
  local f
  if count == 1 then
    if type((...)) ~= 'table' then
      fault('calling ' .. LOAD .. ' with a single argument is only applicable to Lua table '
        .. '(representing named arguments).')
    end
    f = named((...))
  else
    f = positional(...)
  end
  local err = native.check_function(f.name, f.flags)
  if err then
    fault(err)
  end
  for at = 1, #registered do
    if registered[at].name == f.name then
      fault('Function already exists in the library')
    end
  end
  registered[#registered + 1] = f
end

local load_api = { register_function = register_function, log = api.log }
for _, name in next, { 'LOG_DEBUG', 'LOG_VERBOSE', 'LOG_NOTICE', 'LOG_WARNING' } do
  load_api[name] = api[name]
end
setmetatable(load_api, { __index = missing })
load_api = protect(load_api)
local load_own = setmetatable({ redis = load_api, server = load_api }, { __index = missing })

-- Runs a library's code and gives what it registers, or false and the error.
local function load_library(f)
  setfenv(f, function_globals)
  environment = function_globals
  registered = {}
  function_meta.__index = load_own
  local ok, err = xpcall(f, handler)
  function_meta.__index = function_own
  local functions = registered
  registered = nil
  if ok then
    return functions
  end
  return false, type(err) == 'table' and rawget(err, 'err') or err
end

local called, called_keys, called_args

local function enter()
  return called(called_keys, called_args)
end

local function run_function(f, keys, args)
  environment = function_globals
  called, called_keys, called_args = f, keys, args
  local ok, value = xpcall(enter, handler)
  return ok, value
end

return run, run_function, load_library, eval_globals
