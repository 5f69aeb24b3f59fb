//! The `cjson` library: JSON to Lua values and back.
//!
//! A table whose keys are all positive integers is an array (unless it is too sparse), any other an
//! object; `cjson.null` is a light userdata without address. Nesting is bounded by settings, and by
//! a depth of 1000 whatever they say, since the machine's stack bounds it too.
//!
//! Costs: O(bytes). Errors are texts with the position of the character.
//!
//! Source: RFC 8259; the manual of lua-cjson 2.1; texts and edges of redis-server 7.0.15.

mod decode;

use std::cell::RefCell;
use std::rc::Rc;

use mlua::{Lua, MultiValue, Result, Table, Value};

use crate::lua::{
    Fault, Native, bad_argument, broken, format_g, lower, number, results, string, to_number,
    type_name,
};

/// Deepest nesting, whatever the settings: a level takes some hundred bytes of the stack.
const DEPTH_MAX: i32 = 1000;

/// What to do with numbers that JSON does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Invalid {
    Refuse,
    Accept,
    Null,
}

/// The library's settings; they last as long as the interpreter, as the peers' do.
#[derive(Debug, Clone)]
struct Settings {
    sparse_convert: bool,
    sparse_ratio: i32,
    sparse_safe: i32,
    encode_depth: i32,
    decode_depth: i32,
    precision: i32,
    encode_invalid: Invalid,
    decode_invalid: bool,
    keep_buffer: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sparse_convert: false,
            sparse_ratio: 2,
            sparse_safe: 10,
            encode_depth: DEPTH_MAX,
            decode_depth: DEPTH_MAX,
            precision: 14,
            encode_invalid: Invalid::Refuse,
            decode_invalid: true,
            keep_buffer: true,
        }
    }
}

type Shared = Rc<RefCell<Settings>>;

/// The library's table of native functions, with settings of its own.
pub(crate) fn table(lua: &Lua) -> Result<Table> {
    let shared = Shared::default();
    let table = lua.create_table()?;
    table.raw_set("_NAME", "cjson")?;
    table.raw_set("_VERSION", "2.1.0")?;
    table.raw_set("null", Value::NULL)?;
    let add = |name: &'static str, run: fn(&Lua, &Shared, &MultiValue) -> Native<MultiValue>| {
        let shared = Rc::clone(&shared);
        let f =
            lua.create_function(move |lua, args: MultiValue| lower(lua, run(lua, &shared, &args)))?;
        table.raw_set(name, f)
    };
    add("encode", encode)?;
    add("decode", decode::decode)?;
    add("encode_sparse_array", |_, shared, args| {
        let name = "encode_sparse_array";
        at_most(args, 3, name)?;
        let mut settings = shared.borrow_mut();
        settings.sparse_convert = flag(args, 1, name, settings.sparse_convert)?;
        settings.sparse_ratio = count(args, 2, name, settings.sparse_ratio, 0, i32::MAX)?;
        settings.sparse_safe = count(args, 3, name, settings.sparse_safe, 0, i32::MAX)?;
        Ok(results([
            Value::Boolean(settings.sparse_convert),
            integer(settings.sparse_ratio),
            integer(settings.sparse_safe),
        ]))
    })?;
    add("encode_max_depth", |_, shared, args| {
        at_most(args, 1, "encode_max_depth")?;
        let mut settings = shared.borrow_mut();
        let now = settings.encode_depth;
        settings.encode_depth = count(args, 1, "encode_max_depth", now, 1, i32::MAX)?;
        Ok(results([integer(settings.encode_depth)]))
    })?;
    add("decode_max_depth", |_, shared, args| {
        at_most(args, 1, "decode_max_depth")?;
        let mut settings = shared.borrow_mut();
        let now = settings.decode_depth;
        settings.decode_depth = count(args, 1, "decode_max_depth", now, 1, i32::MAX)?;
        Ok(results([integer(settings.decode_depth)]))
    })?;
    add("encode_number_precision", |_, shared, args| {
        at_most(args, 1, "encode_number_precision")?;
        let mut settings = shared.borrow_mut();
        let now = settings.precision;
        settings.precision = count(args, 1, "encode_number_precision", now, 1, 14)?;
        Ok(results([integer(settings.precision)]))
    })?;
    add("encode_keep_buffer", |_, shared, args| {
        at_most(args, 1, "encode_keep_buffer")?;
        let mut settings = shared.borrow_mut();
        settings.keep_buffer = flag(args, 1, "encode_keep_buffer", settings.keep_buffer)?;
        Ok(results([Value::Boolean(settings.keep_buffer)]))
    })?;
    add("encode_invalid_numbers", |lua, shared, args| {
        at_most(args, 1, "encode_invalid_numbers")?;
        let mut settings = shared.borrow_mut();
        settings.encode_invalid = invalid(args, settings.encode_invalid)?;
        Ok(results([match settings.encode_invalid {
            Invalid::Refuse => Value::Boolean(false),
            Invalid::Accept => Value::Boolean(true),
            Invalid::Null => Value::String(lua.create_string("null").map_err(broken)?),
        }]))
    })?;
    add("decode_invalid_numbers", |_, shared, args| {
        at_most(args, 1, "decode_invalid_numbers")?;
        let mut settings = shared.borrow_mut();
        settings.decode_invalid = flag(args, 1, "decode_invalid_numbers", settings.decode_invalid)?;
        Ok(results([Value::Boolean(settings.decode_invalid)]))
    })?;
    Ok(table)
}

fn integer(n: i32) -> Value {
    Value::Number(f64::from(n))
}

fn at_most(args: &MultiValue, max: usize, function: &str) -> Native<()> {
    if args.len() > max {
        return Err(bad_argument(max + 1, function, "found too many arguments"));
    }
    Ok(())
}

/// An optional integer within a range.
fn count(
    args: &MultiValue,
    at: usize,
    function: &str,
    now: i32,
    min: i32,
    max: i32,
) -> Native<i32> {
    if matches!(args.get(at - 1), None | Some(Value::Nil)) {
        return Ok(now);
    }
    let n = number(args, at, function)?;
    if n < f64::from(min) || n > f64::from(max) || n.is_nan() {
        let text = format!("expected integer between {min} and {max}");
        return Err(bad_argument(at, function, &text));
    }
    Ok(n as i32)
}

/// An optional truth value, or `on` and `off`.
fn flag(args: &MultiValue, at: usize, function: &str, now: bool) -> Native<bool> {
    match args.get(at - 1) {
        None | Some(Value::Nil) => Ok(now),
        Some(Value::Boolean(value)) => Ok(*value),
        _ => match string(args, at, function)?.as_slice() {
            b"on" => Ok(true),
            b"off" => Ok(false),
            other => Err(invalid_option(at, function, other)),
        },
    }
}

fn invalid(args: &MultiValue, now: Invalid) -> Native<Invalid> {
    let function = "encode_invalid_numbers";
    match args.front() {
        None | Some(Value::Nil) => Ok(now),
        Some(Value::Boolean(false)) => Ok(Invalid::Refuse),
        Some(Value::Boolean(true)) => Ok(Invalid::Accept),
        _ => match string(args, 1, function)?.as_slice() {
            b"off" => Ok(Invalid::Refuse),
            b"on" => Ok(Invalid::Accept),
            b"null" => Ok(Invalid::Null),
            other => Err(invalid_option(1, function, other)),
        },
    }
}

fn invalid_option(at: usize, function: &str, given: &[u8]) -> Fault {
    bad_argument(at, function, &format!("invalid option '{}'", String::from_utf8_lossy(given)))
}

// Encoding.

fn encode(lua: &Lua, shared: &Shared, args: &MultiValue) -> Native<MultiValue> {
    if args.len() != 1 {
        return Err(bad_argument(1, "encode", "expected 1 argument"));
    }
    let settings = shared.borrow();
    let mut encoder = Encoder { settings: &settings, out: Vec::new() };
    encoder.value(&args[0], 0)?;
    let text = lua.create_string(&encoder.out).map_err(broken)?;
    Ok(results([Value::String(text)]))
}

struct Encoder<'a> {
    settings: &'a Settings,
    out: Vec<u8>,
}

impl Encoder<'_> {
    fn value(&mut self, value: &Value, depth: i32) -> Native<()> {
        match value {
            Value::String(text) => self.string(&text.as_bytes()),
            Value::Number(n) => self.number(*n)?,
            Value::Integer(n) => self.number(*n as f64)?,
            Value::Boolean(true) => self.out.extend_from_slice(b"true"),
            Value::Boolean(false) => self.out.extend_from_slice(b"false"),
            Value::Nil => self.out.extend_from_slice(b"null"),
            Value::LightUserData(data) if data.0.is_null() => self.out.extend_from_slice(b"null"),
            Value::Table(table) => self.table(table, depth + 1)?,
            other => return Err(cannot(type_name(Some(other)), "type not supported")),
        }
        Ok(())
    }

    fn table(&mut self, table: &Table, depth: i32) -> Native<()> {
        if depth > self.settings.encode_depth.min(DEPTH_MAX) {
            return Err(format!("Cannot serialise, excessive nesting ({depth})").into());
        }
        match self.array_len(table)? {
            Some(len) => self.array(table, len, depth),
            None => self.object(table, depth),
        }
    }

    /// The length of an array; none for an object.
    fn array_len(&self, table: &Table) -> Native<Option<usize>> {
        let (mut max, mut items) = (0f64, 0f64);
        for pair in table.pairs::<Value, Value>() {
            let (key, _) = pair.map_err(broken)?;
            match key {
                Value::Number(n) if n >= 1.0 && n.floor() == n => max = max.max(n),
                Value::Integer(n) if n >= 1 => max = max.max(n as f64),
                _ => return Ok(None),
            }
            items += 1.0;
        }
        if items == 0.0 {
            return Ok(None);
        }
        let settings = self.settings;
        if settings.sparse_ratio > 0
            && max > items * f64::from(settings.sparse_ratio)
            && max > f64::from(settings.sparse_safe)
        {
            if settings.sparse_convert {
                return Ok(None);
            }
            return Err(cannot("table", "excessively sparse array"));
        }
        Ok(Some(max as usize))
    }

    fn array(&mut self, table: &Table, len: usize, depth: i32) -> Native<()> {
        self.out.push(b'[');
        for at in 1..=len {
            if at > 1 {
                self.out.push(b',');
            }
            let item: Value = table.raw_get(at).map_err(broken)?;
            self.value(&item, depth)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn object(&mut self, table: &Table, depth: i32) -> Native<()> {
        self.out.push(b'{');
        let mut first = true;
        for pair in table.pairs::<Value, Value>() {
            let (key, value) = pair.map_err(broken)?;
            if !first {
                self.out.push(b',');
            }
            first = false;
            match &key {
                Value::String(text) => self.string(&text.as_bytes()),
                Value::Number(_) | Value::Integer(_) => {
                    self.out.push(b'"');
                    self.number(to_number(&key).unwrap_or_default())?;
                    self.out.push(b'"');
                }
                other => {
                    let reason = "table key must be a number or string";
                    return Err(cannot(type_name(Some(other)), reason));
                }
            }
            self.out.push(b':');
            self.value(&value, depth)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    fn number(&mut self, n: f64) -> Native<()> {
        if !n.is_finite() {
            match self.settings.encode_invalid {
                Invalid::Refuse => return Err(cannot("number", "must not be NaN or Inf")),
                Invalid::Null => {
                    self.out.extend_from_slice(b"null");
                    return Ok(());
                }
                Invalid::Accept => {}
            }
        }
        let text = format_g(n, self.settings.precision as usize);
        self.out.extend_from_slice(text.as_bytes());
        Ok(())
    }

    fn string(&mut self, text: &[u8]) {
        self.out.reserve(text.len() + 2);
        self.out.push(b'"');
        for &byte in text {
            match byte {
                b'"' | b'\\' | b'/' => self.out.extend_from_slice(&[b'\\', byte]),
                0x08 => self.out.extend_from_slice(b"\\b"),
                0x09 => self.out.extend_from_slice(b"\\t"),
                0x0A => self.out.extend_from_slice(b"\\n"),
                0x0C => self.out.extend_from_slice(b"\\f"),
                0x0D => self.out.extend_from_slice(b"\\r"),
                0..=0x1F | 0x7F => {
                    self.out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
                }
                _ => self.out.push(byte),
            }
        }
        self.out.push(b'"');
    }
}

fn cannot(what: &str, reason: &str) -> Fault {
    format!("Cannot serialise {what}: {reason}").into()
}
