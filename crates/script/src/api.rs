//! The `redis` table: what its functions do in Rust. How they look to a script is the prelude's part.

use std::cell::RefCell;
use std::rc::Rc;

use mlua::{Lua, MultiValue, Result, Table, Value};
use ochre_resp::Protocol;
use smallvec::SmallVec;

use crate::convert::{self, Names};
use crate::lua::{
    Fault, Native, bad_argument, broken, format_g, int, lower, number, results, to_number,
    translate,
};
use crate::random::Random;
use crate::vm::{Host, Shared};

/// Names and numbers of the `redis` table.
#[derive(Debug, Clone)]
pub struct Constants {
    /// The version that is reported: `7.2.0`.
    pub version: &'static str,
    /// What the server calls itself.
    pub server_name: &'static str,
    /// Its own version.
    pub server_version: &'static str,
}

/// `a.b.c` as `0xaabbcc`.
fn version_number(version: &str) -> u32 {
    version
        .split('.')
        .take(3)
        .map(|part| part.parse::<u32>().unwrap_or(0) & 0xFF)
        .fold(0, |n, part| n << 8 | part)
}

fn constants(lua: &Lua, of: &Constants) -> Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("REDIS_VERSION", of.version)?;
    table.raw_set("REDIS_VERSION_NUM", version_number(of.version))?;
    table.raw_set("SERVER_NAME", of.server_name)?;
    table.raw_set("SERVER_VERSION", of.server_version)?;
    table.raw_set("SERVER_VERSION_NUM", version_number(of.server_version))?;
    for (level, name) in
        ["LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING"].iter().enumerate()
    {
        table.raw_set(*name, level)?;
    }
    for (name, bits) in
        [("REPL_NONE", 0), ("REPL_AOF", 1), ("REPL_REPLICA", 2), ("REPL_SLAVE", 2), ("REPL_ALL", 3)]
    {
        table.raw_set(name, bits)?;
    }
    Ok(table)
}

/// The native functions that the prelude is given.
pub(crate) fn natives<H: Host>(
    lua: &Lua,
    shared: &Rc<RefCell<Shared<H>>>,
    names: &Rc<Names>,
    of: &Constants,
) -> Result<Table> {
    let table = lua.create_table()?;
    for (name, raises) in [("call", true), ("pcall", false)] {
        let (state, fields) = (Rc::clone(shared), Rc::clone(names));
        let f = lua.create_function(move |lua, args: MultiValue| {
            call(lua, &state, &fields, &args, raises)
        })?;
        table.raw_set(name, f)?;
    }
    let add = |name: &str, run: fn(&Lua, &mut Shared<H>, &MultiValue) -> Checked| {
        let state = Rc::clone(shared);
        let f = lua.create_function(move |lua, args: MultiValue| {
            let done = run(lua, &mut state.borrow_mut(), &args);
            lower(lua, done.map(results))
        })?;
        table.raw_set(name, f)
    };
    add("log", log)?;
    add("sha1hex", sha1hex)?;
    add("setresp", setresp)?;
    add("set_repl", set_repl)?;
    add("acl_check_cmd", acl_check_cmd)?;
    add("random", random)?;
    add("randomseed", |_, shared, args| {
        let seed = int(args, 1, "randomseed")?;
        shared.random = Random::new(seed);
        Ok(None)
    })?;
    add("clock", |_, shared, _| {
        let seconds = shared.host.as_ref().map_or(0.0, Host::cpu_seconds);
        Ok(Some(Value::Number(seconds)))
    })?;
    table.raw_set("where", lua.create_function(|lua, ()| Ok(position(lua)))?)?;
    table.raw_set("translate", {
        let fields = Rc::clone(names);
        lua.create_function(move |lua, error: Value| match &error {
            Value::Error(error) => raised(lua, &fields, translate(error)),
            _ => Ok(error),
        })?
    })?;
    table.raw_set("check_function", lua.create_function(check_function)?)?;
    table.raw_set("constants", constants(lua, of)?)?;
    table.raw_set("bit", crate::lib_bit::table(lua)?)?;
    table.raw_set("cjson", crate::lib_cjson::table(lua)?)?;
    table.raw_set("cjson_new", lua.create_function(|lua, ()| crate::lib_cjson::table(lua))?)?;
    table.raw_set("cmsgpack", crate::lib_cmsgpack::table(lua)?)?;
    table.raw_set("struct", crate::lib_struct::table(lua)?)?;
    Ok(table)
}

/// What a function of the table gives, or its error.
type Checked = Native<Option<Value>>;

/// An error that is raised as a table.
fn fault(text: &str) -> Fault {
    Fault::Reply { text: text.as_bytes().to_vec(), counted: false }
}

/// What a script sees of an error: the string or table that a C function would have raised.
fn raised(lua: &Lua, names: &Names, fault: Fault) -> Result<Value> {
    match fault {
        Fault::Text(text) => lua.create_string(text).map(Value::String),
        Fault::Reply { text, counted } => {
            let table = lua.create_table_with_capacity(0, 4)?;
            table.raw_set(&names.err, lua.create_string(text)?)?;
            if counted {
                table.raw_set(&names.ignore, true)?;
            }
            Ok(Value::Table(table))
        }
    }
}

/// `redis.call`, and `redis.pcall`, which gives errors instead of raising them.
// HOT PATH: arguments are copied into one kept buffer; the reply is read where it was written.
fn call<H: Host>(
    lua: &Lua,
    shared: &RefCell<Shared<H>>,
    names: &Names,
    args: &MultiValue,
    raises: bool,
) -> Result<Value> {
    let error = |text: &[u8], counted: bool| {
        let fault = Fault::Reply { text: text.to_vec(), counted };
        if raises { Err(mlua::Error::external(fault)) } else { raised(lua, names, fault) }
    };
    if args.is_empty() {
        return error(b"ERR Please specify at least one argument for this redis lib call", false);
    }
    let mut shared = shared.borrow_mut();
    let Shared { host, args: bytes, out, protocol, .. } = &mut *shared;
    bytes.clear();
    let mut ends: SmallVec<[usize; 16]> = SmallVec::new();
    for arg in args {
        match arg {
            Value::String(text) => bytes.extend_from_slice(&text.as_bytes()),
            Value::Number(n) => bytes.extend_from_slice(format_g(*n, 17).as_bytes()),
            Value::Integer(n) if n.unsigned_abs() < 100_000_000_000_000_000 => {
                let mut digits = [0; ochre_base::num::I64_TEXT_MAX];
                bytes.extend_from_slice(ochre_base::num::format_i64(*n, &mut digits));
            }
            Value::Integer(n) => bytes.extend_from_slice(format_g(*n as f64, 17).as_bytes()),
            _ => {
                let text = b"ERR Lua redis lib command arguments must be strings or integers";
                return error(text, false);
            }
        }
        ends.push(bytes.len());
    }
    let Some(host) = host else {
        return error(b"ERR redis.call/pcall can only be called inside a script invocation", false);
    };
    let mut start = 0;
    let words: SmallVec<[&[u8]; 16]> = ends
        .iter()
        .map(|&end| {
            let word = &bytes[start..end];
            start = end;
            word
        })
        .collect();
    out.clear();
    host.call(&words, *protocol, out);
    drop(words);
    let answer = match out.strip_prefix(b"-") {
        Some(line) => error(line.strip_suffix(b"\r\n").unwrap_or(line), true),
        None => convert::read(lua, names, out),
    };
    if out.capacity() > KEEP {
        *out = Vec::new();
    }
    if bytes.capacity() > KEEP {
        *bytes = Vec::new();
    }
    answer
}

/// Room that the buffers of arguments and replies keep between calls, in bytes.
const KEEP: usize = 64 * 1024;

fn log<H: Host>(_: &Lua, shared: &mut Shared<H>, args: &MultiValue) -> Checked {
    if args.len() < 2 {
        return Err(fault("ERR redis.log() requires two arguments or more."));
    }
    let level = match &args[0] {
        Value::Number(n) => *n as i64,
        Value::Integer(n) => *n,
        _ => return Err(fault("ERR First argument must be a number (log level).")),
    };
    let level = u8::try_from(level).ok().filter(|level| *level <= 3);
    let level = level.ok_or_else(|| fault("ERR Invalid debug level."))?;
    let mut line = Vec::new();
    for arg in args.iter().skip(1) {
        if !line.is_empty() {
            line.push(b' ');
        }
        match arg {
            Value::String(text) => line.extend_from_slice(&text.as_bytes()),
            other => {
                if let Some(n) = to_number(other) {
                    line.extend_from_slice(format_g(n, 14).as_bytes());
                }
            }
        }
    }
    if let Some(host) = &mut shared.host {
        host.log(level, &String::from_utf8_lossy(&line));
    }
    Ok(None)
}

fn sha1hex<H: Host>(lua: &Lua, _: &mut Shared<H>, args: &MultiValue) -> Checked {
    if args.len() != 1 {
        return Err(fault("ERR wrong number of arguments"));
    }
    let digest = match &args[0] {
        Value::String(text) => crate::sha1_hex(&text.as_bytes()),
        other => match to_number(other) {
            Some(n) => crate::sha1_hex(format_g(n, 14).as_bytes()),
            None => crate::sha1_hex(b""),
        },
    };
    Ok(Some(Value::String(lua.create_string(digest).map_err(broken)?)))
}

fn setresp<H: Host>(_: &Lua, shared: &mut Shared<H>, args: &MultiValue) -> Checked {
    if args.len() != 1 {
        return Err(fault("ERR redis.setresp() requires one argument."));
    }
    shared.protocol = match to_number(&args[0]) {
        Some(2.0) => Protocol::Resp2,
        Some(3.0) => Protocol::Resp3,
        _ => return Err(fault("ERR RESP version must be 2 or 3.")),
    };
    Ok(None)
}

fn set_repl<H: Host>(_: &Lua, shared: &mut Shared<H>, args: &MultiValue) -> Checked {
    if args.len() != 1 {
        return Err(fault("ERR redis.set_repl() requires one argument."));
    }
    let bits = to_number(&args[0]).map_or(0, |n| n as i64);
    if !(0..=3).contains(&bits) {
        return Err(fault(
            "ERR Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.",
        ));
    }
    if let Some(host) = &mut shared.host {
        host.set_logged(bits != 0);
    }
    Ok(None)
}

fn acl_check_cmd<H: Host>(_: &Lua, shared: &mut Shared<H>, args: &MultiValue) -> Checked {
    if args.is_empty() {
        return Err(fault("ERR Please specify at least one argument for this redis lib call"));
    }
    let mut words: Vec<Vec<u8>> = Vec::with_capacity(args.len());
    for arg in args {
        words.push(match arg {
            Value::String(text) => text.as_bytes().to_vec(),
            Value::Number(n) => format_g(*n, 17).into_bytes(),
            Value::Integer(n) => n.to_string().into_bytes(),
            _ => {
                return Err(fault(
                    "ERR redis.acl_check_cmd() command arguments must be strings or integers",
                ));
            }
        });
    }
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let allowed = shared.host.as_mut().and_then(|host| host.allows(&words));
    let allowed =
        allowed.ok_or_else(|| fault("ERR Invalid command passed to redis.acl_check_cmd()"))?;
    Ok(Some(Value::Boolean(allowed)))
}

/// `math.random`, with the peers' generator.
fn random<H: Host>(_: &Lua, shared: &mut Shared<H>, args: &MultiValue) -> Checked {
    let draw = shared.random.next();
    let empty = |at| Err(bad_argument(at, "random", "interval is empty"));
    let value = match args.len() {
        0 => draw,
        1 => {
            let high = f64::from(int(args, 1, "random")?);
            if high < 1.0 {
                return empty(1);
            }
            (draw * high).floor() + 1.0
        }
        2 => {
            let low = f64::from(int(args, 1, "random")?);
            let high = f64::from(int(args, 2, "random")?);
            if low > high {
                return empty(2);
            }
            (draw * (high - low + 1.0)).floor() + low
        }
        _ => {
            number(args, 1, "random")?;
            return Err("wrong number of arguments".into());
        }
    };
    Ok(Some(Value::Number(value)))
}

/// What the prelude's own chunk is called, as error positions see it.
pub(crate) const PRELUDE: &str = "=ochre";

/// What a level of the stack is, with source and line.
fn frame(lua: &Lua, level: usize) -> Option<(&'static str, String, i64)> {
    lua.inspect_stack(level, |debug| {
        let source = debug.source();
        let name = source.source.map(|text| text.into_owned()).unwrap_or_default();
        let line = debug.current_line().map_or(-1, |line| line as i64);
        (source.what, name, line)
    })
}

/// Where the error was raised that the prelude's handler is looking at: source and line of the
/// function that raised it, or of its caller when that is a native one. The prelude's own functions
/// stand for native ones.
fn position(lua: &Lua) -> (Option<String>, Option<i64>) {
    // 0 is this function, 1 the handler, 2 what raised the error.
    let mut level = 2;
    let mut native = false;
    loop {
        let Some((what, source, line)) = frame(lua, level) else { return (None, None) };
        // A wrapper may have been left by a tail call.
        let left = native && what == "tail";
        if source == PRELUDE || left || (what == "C" && !native) {
            native = true;
            level += 1;
            continue;
        }
        return (Some(source), Some(line));
    }
}

/// Where a script is that the hook interrupts: its innermost function that is neither native nor the
/// prelude's.
pub(crate) fn interrupted(lua: &Lua) -> (String, i64) {
    let mut level = 0;
    while let Some((what, source, line)) = frame(lua, level) {
        if matches!(what, "Lua" | "main") && source != PRELUDE {
            return (source, line);
        }
        level += 1;
    }
    (String::new(), -1)
}

/// What is wrong with a function's name or flags, if anything.
fn check_function(
    _: &Lua,
    (name, flags): (mlua::LuaString, Option<Table>),
) -> Result<Option<&'static str>> {
    if !crate::shebang::is_name(&name.as_bytes()) {
        return Ok(Some(crate::shebang::BAD_NAME));
    }
    for flag in flags.iter().flat_map(Table::sequence_values::<Value>) {
        let known = match flag? {
            Value::String(text) => crate::shebang::flag(&text.as_bytes()).is_some(),
            _ => false,
        };
        if !known {
            return Ok(Some("unknown flag given"));
        }
    }
    Ok(None)
}
