//! The `cmsgpack` library: MessagePack.
//!
//! ```text
//! 00..7f int   80..8f map   90..9f array   a0..bf str   c0 nil   c2 false   c3 true
//! c4 c5 c6 bin 8/16/32   ca float   cb double   cc..cf uint 8..64   d0..d3 int 8..64
//! d9 da db str 8/16/32   dc dd array 16/32   de df map 16/32   e0..ff negative int
//! ```
//!
//! A number without fraction is an integer; others are floats when that loses nothing, else doubles.
//! A table with the keys 1 to n is an array. What nests deeper than sixteen levels, and what has no
//! form (functions), is nil.
//!
//! Source: the MessagePack specification; texts and edges of redis-server 7.0.15.

use mlua::{Lua, MultiValue, Result, Table, Value};

use crate::lua::{Fault, Native, bad_argument, broken, int, lower, results, string};

/// Deepest nesting that is packed.
const PACK_DEPTH: usize = 16;

/// Deepest nesting that is unpacked: what the machine's stack allows.
const UNPACK_DEPTH: usize = 1000;

/// The library's table of native functions.
pub(crate) fn table(lua: &Lua) -> Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("_NAME", "cmsgpack")?;
    table.raw_set("_VERSION", "lua-cmsgpack 0.4.0")?;
    table.raw_set("_COPYRIGHT", "Ochre contributors")?;
    table.raw_set("_DESCRIPTION", "MessagePack for Lua")?;
    let add = |name: &str, run: fn(&Lua, &MultiValue) -> Native<MultiValue>| {
        let f = lua.create_function(move |lua, args: MultiValue| lower(lua, run(lua, &args)))?;
        table.raw_set(name, f)
    };
    add("pack", pack)?;
    add("unpack", |lua, args| unpack(lua, args, "unpack", Mode::All))?;
    add("unpack_one", |lua, args| {
        let offset = if args.len() > 1 { int(args, 2, "unpack_one")? } else { 0 };
        unpack(lua, args, "unpack_one", Mode::Some { limit: 1, offset })
    })?;
    add("unpack_limit", |lua, args| {
        let limit = int(args, 2, "unpack_limit")?;
        let offset = if args.len() > 2 { int(args, 3, "unpack_limit")? } else { 0 };
        unpack(lua, args, "unpack_limit", Mode::Some { limit, offset })
    })?;
    Ok(table)
}

fn pack(lua: &Lua, args: &MultiValue) -> Native<MultiValue> {
    if args.is_empty() {
        return Err(bad_argument(0, "pack", "MessagePack pack needs input."));
    }
    let mut out = Vec::new();
    for value in args {
        pack_value(value, &mut out, 0)?;
    }
    Ok(results([Value::String(lua.create_string(&out).map_err(broken)?)]))
}

fn pack_value(value: &Value, out: &mut Vec<u8>, depth: usize) -> Native<()> {
    match value {
        Value::String(text) => pack_string(&text.as_bytes(), out),
        Value::Boolean(value) => out.push(if *value { 0xC3 } else { 0xC2 }),
        Value::Number(n) => pack_number(*n, out),
        Value::Integer(n) => pack_int(*n, out),
        Value::Table(_) if depth == PACK_DEPTH => out.push(0xC0),
        Value::Table(table) => pack_table(table, out, depth + 1)?,
        _ => out.push(0xC0),
    }
    Ok(())
}

fn pack_string(text: &[u8], out: &mut Vec<u8>) {
    let len = text.len();
    match len {
        0..=31 => out.push(0xA0 | len as u8),
        32..=0xFF => out.extend_from_slice(&[0xD9, len as u8]),
        0x100..=0xFFFF => header16(0xDA, len, out),
        _ => header32(0xDB, len, out),
    }
    out.extend_from_slice(text);
}

fn header16(kind: u8, len: usize, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&(len as u16).to_be_bytes());
}

fn header32(kind: u8, len: usize, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&(len as u32).to_be_bytes());
}

fn pack_number(n: f64, out: &mut Vec<u8>) {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if n.fract() == 0.0 && (-LIMIT..LIMIT).contains(&n) {
        return pack_int(n as i64, out);
    }
    if f64::from(n as f32) == n {
        out.push(0xCA);
        out.extend_from_slice(&(n as f32).to_be_bytes());
    } else {
        out.push(0xCB);
        out.extend_from_slice(&n.to_be_bytes());
    }
}

fn pack_int(n: i64, out: &mut Vec<u8>) {
    match n {
        0..=0x7F => out.push(n as u8),
        0x80..=0xFF => out.extend_from_slice(&[0xCC, n as u8]),
        0x100..=0xFFFF => header16(0xCD, n as usize, out),
        0x1_0000..=0xFFFF_FFFF => header32(0xCE, n as usize, out),
        0x1_0000_0000.. => {
            out.push(0xCF);
            out.extend_from_slice(&n.to_be_bytes());
        }
        -32..=-1 => out.push(n as u8),
        -128..=-33 => out.extend_from_slice(&[0xD0, n as u8]),
        -0x8000..=-129 => {
            out.push(0xD1);
            out.extend_from_slice(&(n as i16).to_be_bytes());
        }
        -0x8000_0000..=-0x8001 => {
            out.push(0xD2);
            out.extend_from_slice(&(n as i32).to_be_bytes());
        }
        _ => {
            out.push(0xD3);
            out.extend_from_slice(&n.to_be_bytes());
        }
    }
}

fn pack_table(table: &Table, out: &mut Vec<u8>, depth: usize) -> Native<()> {
    let (mut count, mut max, mut array) = (0usize, 0usize, true);
    for pair in table.pairs::<Value, Value>() {
        let (key, _) = pair.map_err(broken)?;
        count += 1;
        let index = match key {
            Value::Number(n) if n >= 1.0 && n.fract() == 0.0 => n as usize,
            Value::Integer(n) if n >= 1 => n as usize,
            _ => 0,
        };
        array &= index > 0;
        max = max.max(index);
    }
    if array && max == count {
        match count {
            0..=15 => out.push(0x90 | count as u8),
            16..=0xFFFF => header16(0xDC, count, out),
            _ => header32(0xDD, count, out),
        }
        for at in 1..=count {
            let item: Value = table.raw_get(at).map_err(broken)?;
            pack_value(&item, out, depth)?;
        }
        return Ok(());
    }
    match count {
        0..=15 => out.push(0x80 | count as u8),
        16..=0xFFFF => header16(0xDE, count, out),
        _ => header32(0xDF, count, out),
    }
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair.map_err(broken)?;
        pack_value(&key, out, depth)?;
        pack_value(&value, out, depth)?;
    }
    Ok(())
}

enum Mode {
    All,
    Some { limit: i32, offset: i32 },
}

fn unpack(lua: &Lua, args: &MultiValue, function: &str, mode: Mode) -> Native<MultiValue> {
    let text = string(args, 1, function)?;
    let (limit, offset) = match mode {
        Mode::All => (i32::MAX, 0),
        Mode::Some { limit, offset } => (limit, offset),
    };
    if offset < 0 || limit < 0 {
        return Err(format!(
            "Invalid request to unpack with offset of {offset} and limit of {}.",
            text.len()
        )
        .into());
    }
    if offset as usize > text.len() {
        return Err(
            format!("Start offset {offset} greater than input length {}.", text.len()).into()
        );
    }
    let mut reader = Reader { lua, text: &text, at: offset as usize };
    let mut values = Vec::new();
    while reader.at < text.len() && values.len() < limit as usize {
        values.push(reader.value(0)?);
    }
    if let Mode::Some { .. } = mode {
        let next = if reader.at == text.len() { -1.0 } else { reader.at as f64 };
        values.insert(0, Value::Number(next));
    }
    Ok(results(values))
}

struct Reader<'a> {
    lua: &'a Lua,
    text: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Native<&'a [u8]> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.text.len());
        let end = end.ok_or_else(|| Fault::from("Missing bytes in input."))?;
        let bytes = &self.text[self.at..end];
        self.at = end;
        Ok(bytes)
    }

    fn uint(&mut self, len: usize) -> Native<u64> {
        Ok(self.take(len)?.iter().fold(0, |n, &byte| n << 8 | u64::from(byte)))
    }

    /// A signed integer of `len` bytes.
    fn int(&mut self, len: usize) -> Native<i64> {
        let shift = 64 - 8 * len as u32;
        Ok((self.uint(len)? << shift) as i64 >> shift)
    }

    fn value(&mut self, depth: usize) -> Native<Value> {
        if depth > UNPACK_DEPTH {
            return Err("Bad data format in input.".into());
        }
        let kind = self.take(1)?[0];
        Ok(match kind {
            0x00..=0x7F => Value::Number(f64::from(kind)),
            0xE0..=0xFF => Value::Number(f64::from(kind as i8)),
            0xC0 => Value::Nil,
            0xC2 => Value::Boolean(false),
            0xC3 => Value::Boolean(true),
            0xCA => Value::Number(f64::from(f32::from_bits(self.uint(4)? as u32))),
            0xCB => Value::Number(f64::from_bits(self.uint(8)?)),
            0xCC..=0xCF => Value::Number(self.uint(1 << (kind - 0xCC))? as f64),
            0xD0..=0xD3 => Value::Number(self.int(1 << (kind - 0xD0))? as f64),
            0xA0..=0xBF => self.string(usize::from(kind & 0x1F))?,
            0xD9..=0xDB => {
                let len = self.uint(1 << (kind - 0xD9))?;
                self.string(len as usize)?
            }
            0xC4..=0xC6 => {
                let len = self.uint(1 << (kind - 0xC4))?;
                self.string(len as usize)?
            }
            0x90..=0x9F => self.array(u64::from(kind & 0x0F), depth + 1)?,
            0xDC | 0xDD => {
                let len = self.uint(2 << (kind - 0xDC))?;
                self.array(len, depth + 1)?
            }
            0x80..=0x8F => self.map(u64::from(kind & 0x0F), depth + 1)?,
            0xDE | 0xDF => {
                let len = self.uint(2 << (kind - 0xDE))?;
                self.map(len, depth + 1)?
            }
            _ => return Err("Bad data format in input.".into()),
        })
    }

    fn string(&mut self, len: usize) -> Native<Value> {
        let text = self.take(len)?;
        Ok(Value::String(self.lua.create_string(text).map_err(broken)?))
    }

    fn array(&mut self, len: u64, depth: usize) -> Native<Value> {
        // A claimed length reserves nothing: each item takes a byte at least.
        let table = self.lua.create_table().map_err(broken)?;
        for at in 1..=len {
            let value = self.value(depth)?;
            table.raw_set(at, value).map_err(broken)?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, len: u64, depth: usize) -> Native<Value> {
        let table = self.lua.create_table().map_err(broken)?;
        for _ in 0..len {
            let key = self.value(depth)?;
            let value = self.value(depth)?;
            let unusable = key.is_nil() || matches!(key, Value::Number(n) if n.is_nan());
            if unusable {
                return Err("Bad data format in input.".into());
            }
            table.raw_set(key, value).map_err(broken)?;
        }
        Ok(Value::Table(table))
    }
}
