//! Replies to Lua values, and Lua values to replies.
//!
//! ```text
//! reply                 Lua                        Lua                     reply
//! :n                    number                     number                  :n, cut to an integer
//! $ bytes               string                     string                  $ bytes
//! + text                {ok = text}                true, false             :1, null (#t #f after setresp(3))
//! - text                {err = text}               nil                     null
//! *                     table 1..n                 {err} {ok} {double}     - + ,
//! $-1 *-1               false                      {map} {set}             % ~
//! _ # , ( = % ~         nil, boolean, {double} {big_number}                {big_number} {verbatim_string}  ( =
//!                       {verbatim_string} {map} {set}                      other table: * up to the first nil
//! ```
//!
//! The commands' replies are our own bytes, so they are read without a parser's state: straight into
//! Lua values, one at a time (the interpreter has few slots for values that Rust holds).
//!
//! Source: the tables of "Lua API reference" of the Redis documentation; redis-server 7.0.15.

use std::cell::Cell;

use mlua::{IntoLua, Lua, LuaString, Result, Table, Value};
use ochre_base::num::{parse_f64, parse_i64};
use ochre_resp::Reply;

/// Deepest nesting of a reply.
const DEPTH_MAX: usize = 512;

/// Bytes from which on a result's tables are not followed any more: one that holds itself twice would
/// double with every level.
const REPLY_MAX: usize = 1 << 30;

/// The names of fields, made once: looking them up costs no hashing.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) ok: LuaString,
    pub(crate) err: LuaString,
    pub(crate) ignore: LuaString,
    pub(crate) source: LuaString,
    pub(crate) line: LuaString,
    double: LuaString,
    map: LuaString,
    set: LuaString,
    big_number: LuaString,
    verbatim: LuaString,
    string: LuaString,
    format: LuaString,
    /// The status that most writes answer with.
    ok_text: LuaString,
}

impl Names {
    pub(crate) fn new(lua: &Lua) -> Result<Self> {
        let name = |text: &str| lua.create_string(text);
        Ok(Self {
            ok: name("ok")?,
            err: name("err")?,
            ignore: name("ignore_error_stats_update")?,
            source: name("source")?,
            line: name("line")?,
            double: name("double")?,
            map: name("map")?,
            set: name("set")?,
            big_number: name("big_number")?,
            verbatim: name("verbatim_string")?,
            string: name("string")?,
            format: name("format")?,
            ok_text: name("OK")?,
        })
    }
}

/// Reads the one reply in `bytes`.
pub(crate) fn read(lua: &Lua, names: &Names, bytes: &[u8]) -> Result<Value> {
    let reader = Reader { lua, names, bytes, at: Cell::new(0) };
    if bytes == b"+OK\r\n" {
        return reader.field(&names.ok, &names.ok_text);
    }
    reader.value(0)
}

/// A place in the bytes of a reply.
struct Reader<'a> {
    lua: &'a Lua,
    names: &'a Names,
    bytes: &'a [u8],
    at: Cell<usize>,
}

/// An element that is read when Lua takes it.
struct Element<'r, 'a> {
    reader: &'r Reader<'a>,
    depth: usize,
}

impl IntoLua for Element<'_, '_> {
    fn into_lua(self, _: &Lua) -> Result<Value> {
        self.reader.value(self.depth)
    }
}

impl<'a> Reader<'a> {
    /// What follows the type byte, without the line end, which is skipped.
    fn line(&self) -> &'a [u8] {
        let start = (self.at.get() + 1).min(self.bytes.len());
        let rest = &self.bytes[start..];
        let len = rest.iter().position(|&b| b == b'\r').unwrap_or(rest.len());
        self.at.set(start + len + 2);
        &rest[..len]
    }

    /// `len` bytes and the line end behind them.
    fn bulk(&self, len: usize) -> &'a [u8] {
        let start = self.at.get().min(self.bytes.len());
        let end = start.saturating_add(len).min(self.bytes.len());
        self.at.set(end + 2);
        &self.bytes[start..end]
    }

    fn string(&self, bytes: &[u8]) -> Result<Value> {
        self.lua.create_string(bytes).map(Value::String)
    }

    fn field(&self, name: &LuaString, value: impl IntoLua) -> Result<Value> {
        let table = self.lua.create_table_with_capacity(0, 1)?;
        table.raw_set(name, value)?;
        Ok(Value::Table(table))
    }

    fn value(&self, depth: usize) -> Result<Value> {
        let kind = self.bytes.get(self.at.get()).copied().unwrap_or(b'_');
        let line = self.line();
        let number = || parse_i64(line).unwrap_or(0);
        if depth > DEPTH_MAX {
            return Err(mlua::Error::runtime("reply nested too deep"));
        }
        match kind {
            b':' => Ok(Value::Number(number() as f64)),
            b'$' if line == b"-1" => Ok(Value::Boolean(false)),
            b'$' => self.string(self.bulk(number() as usize)),
            b'*' if line == b"-1" => Ok(Value::Boolean(false)),
            b'*' | b'>' => {
                let items = (0..number()).map(|_| Element { reader: self, depth: depth + 1 });
                self.lua.create_sequence_from(items).map(Value::Table)
            }
            b'+' => self.field(&self.names.ok, self.string(line)?),
            b'-' => self.field(&self.names.err, self.string(line)?),
            b'#' => Ok(Value::Boolean(line == b"t")),
            b',' => {
                let value = if line == b"nan" { f64::NAN } else { parse_f64(line).unwrap_or(0.0) };
                self.field(&self.names.double, value)
            }
            b'(' => self.field(&self.names.big_number, self.string(line)?),
            b'=' => {
                let text = self.bulk(number() as usize);
                let table = self.lua.create_table_with_capacity(0, 2)?;
                table.raw_set(&self.names.format, self.string(text.get(..3).unwrap_or(text))?)?;
                table.raw_set(&self.names.string, self.string(text.get(4..).unwrap_or(b""))?)?;
                self.field(&self.names.verbatim, table)
            }
            b'%' => {
                let table = self.lua.create_table()?;
                for _ in 0..number() {
                    let key = self.value(depth + 1)?;
                    let value = self.value(depth + 1)?;
                    if !key.is_nil() {
                        table.raw_set(key, value)?;
                    }
                }
                self.field(&self.names.map, table)
            }
            b'~' => {
                let table = self.lua.create_table()?;
                for _ in 0..number() {
                    let key = self.value(depth + 1)?;
                    if !key.is_nil() {
                        table.raw_set(key, true)?;
                    }
                }
                self.field(&self.names.set, table)
            }
            _ => Ok(Value::Nil),
        }
    }
}

/// Writes a script's result as a reply. `booleans` says whether the script asked for RESP3.
pub(crate) fn write(
    names: &Names,
    value: &Value,
    reply: &mut Reply<'_>,
    booleans: bool,
) -> Result<()> {
    write_value(names, value, reply, booleans, 0)
}

fn write_value(
    names: &Names,
    value: &Value,
    reply: &mut Reply<'_>,
    booleans: bool,
    depth: usize,
) -> Result<()> {
    match value {
        Value::String(text) => reply.bulk(text.as_bytes()),
        Value::Number(n) => reply.integer(cut(*n)),
        Value::Integer(n) => reply.integer(*n),
        Value::Boolean(value) if booleans => reply.boolean(*value),
        Value::Boolean(true) => reply.integer(1),
        Value::Table(_) if depth > DEPTH_MAX || reply.len() > REPLY_MAX => {
            reply.error("ERR reached lua stack limit");
        }
        Value::Table(table) => write_table(names, table, reply, booleans, depth + 1)?,
        _ => reply.null(),
    }
    Ok(())
}

/// A number as C's cast makes an integer of it on the peers' machines.
fn cut(n: f64) -> i64 {
    let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&n);
    if fits { n as i64 } else { i64::MIN }
}

fn write_table(
    names: &Names,
    table: &Table,
    reply: &mut Reply<'_>,
    booleans: bool,
    depth: usize,
) -> Result<()> {
    if let Value::String(text) = table.raw_get(&names.err)? {
        reply.error(trim(&text.as_bytes()));
        return Ok(());
    }
    if let Value::String(text) = table.raw_get(&names.ok)? {
        reply.status(&*text.as_bytes());
        return Ok(());
    }
    // The interpreter's binding tells whole numbers from others; Lua does not.
    match table.raw_get(&names.double)? {
        Value::Number(n) => {
            reply.double(n);
            return Ok(());
        }
        Value::Integer(n) => {
            reply.double(n as f64);
            return Ok(());
        }
        _ => {}
    }
    if let Value::Table(pairs) = table.raw_get(&names.map)? {
        reply.map(pairs.pairs::<Value, Value>().count());
        for pair in pairs.pairs::<Value, Value>() {
            let (key, value) = pair?;
            write_value(names, &key, reply, booleans, depth)?;
            write_value(names, &value, reply, booleans, depth)?;
        }
        return Ok(());
    }
    if let Value::Table(members) = table.raw_get(&names.set)? {
        reply.set(members.pairs::<Value, Value>().count());
        for pair in members.pairs::<Value, Value>() {
            write_value(names, &pair?.0, reply, booleans, depth)?;
        }
        return Ok(());
    }
    if let Value::String(digits) = table.raw_get(&names.big_number)? {
        let digits = digits.as_bytes();
        let line = |b: &u8| if matches!(b, b'\r' | b'\n') { b' ' } else { *b };
        reply.big_number(digits.iter().map(line).collect::<Vec<u8>>());
        return Ok(());
    }
    if let Value::Table(verbatim) = table.raw_get(&names.verbatim)?
        && let Value::String(text) = verbatim.raw_get(&names.string)?
        && let Value::String(format) = verbatim.raw_get(&names.format)?
    {
        let mut three = [b' '; 3];
        for (to, from) in three.iter_mut().zip(format.as_bytes().iter()) {
            *to = *from;
        }
        reply.verbatim(three, text.as_bytes());
        return Ok(());
    }
    write_array(names, table, reply, booleans, depth)
}

fn write_array(
    names: &Names,
    table: &Table,
    reply: &mut Reply<'_>,
    booleans: bool,
    depth: usize,
) -> Result<()> {
    let mark = reply.deferred();
    let mut count = 0;
    loop {
        let item: Value = table.raw_get(count + 1)?;
        if item.is_nil() {
            break;
        }
        write_value(names, &item, reply, booleans, depth)?;
        count += 1;
    }
    reply.finish_array(mark, count);
    Ok(())
}

/// An error's text without line ends behind it.
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|b| !matches!(b, b'\r' | b'\n')).map_or(0, |at| at + 1);
    &text[..end]
}
