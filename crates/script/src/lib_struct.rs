//! The `struct` library: numbers and strings to and from packed bytes.
//!
//! ```text
//! > < =  big, little, native endian      !n  alignment n (a power of two; 8 without n)   blank  nothing
//! b B h H l L T  signed and unsigned of 1, 2, 8, 8 bytes     i I [n]  n bytes, 4 by default
//! f d  float, double     s  ends with a zero byte     c[n]  n bytes, c0: the size is the number before
//! x  a zero byte
//! ```
//!
//! Source: the documentation of struct by R. Ierusalimschy; texts and edges of redis-server 7.0.15.

use mlua::{Lua, MultiValue, Result, Table, Value};

use crate::lua::{Fault, Native, bad_argument, broken, int, lower, number, results, string};

/// Largest integer in bytes.
const INT_MAX_BYTES: i32 = 32;

/// The alignment of `!` without a number.
const NATIVE_ALIGN: usize = 8;

/// The library's table of native functions.
pub(crate) fn table(lua: &Lua) -> Result<Table> {
    let table = lua.create_table()?;
    let add = |name: &str, run: fn(&Lua, &MultiValue) -> Native<MultiValue>| {
        let f = lua.create_function(move |lua, args: MultiValue| lower(lua, run(lua, &args)))?;
        table.raw_set(name, f)
    };
    add("pack", pack)?;
    add("unpack", unpack)?;
    add("size", |_, args| size(args))?;
    Ok(table)
}

/// Walks over a format and keeps its state.
struct Format<'a> {
    text: &'a [u8],
    at: usize,
    big: bool,
    align: usize,
}

/// One option of a format.
struct Item {
    option: u8,
    size: usize,
    /// Bytes to skip before it.
    padding: usize,
}

impl<'a> Format<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, big: false, align: 1 }
    }

    /// The next option that is not control; `total` bytes are behind.
    fn next(&mut self, total: usize, function: &str) -> Native<Option<Item>> {
        while let Some(&option) = self.text.get(self.at) {
            self.at += 1;
            let Some(size) = self.size(option)? else {
                self.control(option, function)?;
                continue;
            };
            let align = if option == b'c' { 1 } else { size.min(self.align) };
            let padding = if align > 1 { (align - (total & (align - 1))) & (align - 1) } else { 0 };
            return Ok(Some(Item { option, size, padding }));
        }
        Ok(None)
    }

    fn digits(&mut self, default: i32) -> Native<i32> {
        let start = self.at;
        let mut n = 0i32;
        while let Some(digit) = self.text.get(self.at).filter(|b| b.is_ascii_digit()) {
            n = n
                .checked_mul(10)
                .and_then(|n| n.checked_add(i32::from(digit - b'0')))
                .ok_or_else(|| Fault::from("integral size overflow"))?;
            self.at += 1;
        }
        Ok(if self.at == start { default } else { n })
    }

    /// Bytes of an option; none for control options.
    fn size(&mut self, option: u8) -> Native<Option<usize>> {
        Ok(Some(match option {
            b'B' | b'b' | b'x' => 1,
            b'H' | b'h' => 2,
            b'L' | b'l' | b'T' | b'd' => 8,
            b'f' => 4,
            b'c' => self.digits(1)? as usize,
            b's' => 0,
            b'i' | b'I' => {
                let size = self.digits(4)?;
                if size > INT_MAX_BYTES {
                    let text =
                        format!("integral size {size} is larger than limit of {INT_MAX_BYTES}");
                    return Err(text.into());
                }
                size as usize
            }
            _ => return Ok(None),
        }))
    }

    fn control(&mut self, option: u8, function: &str) -> Native<()> {
        match option {
            b' ' => {}
            b'>' => self.big = true,
            b'<' | b'=' => self.big = false,
            b'!' => {
                let align = self.digits(NATIVE_ALIGN as i32)?;
                if align <= 0 || align & (align - 1) != 0 {
                    return Err(format!("alignment {align} is not a power of 2").into());
                }
                self.align = align as usize;
            }
            _ => {
                let text = format!("invalid format option '{}'", char::from(option));
                return Err(bad_argument(1, function, &text));
            }
        }
        Ok(())
    }
}

fn is_string(option: u8) -> bool {
    matches!(option, b's' | b'c')
}

fn size(args: &MultiValue) -> Native<MultiValue> {
    let text = string(args, 1, "size")?;
    let mut format = Format::new(&text);
    let mut total = 0usize;
    while let Some(item) = format.next(total, "size")? {
        if is_string(item.option) && item.size == 0 {
            let what = if item.option == b's' { "s" } else { "c0" };
            let text = format!("option '{what}' has no fixed size");
            return Err(bad_argument(1, "size", &text));
        }
        total = (total + item.padding).checked_add(item.size).ok_or_else(too_large)?;
    }
    Ok(results([Value::Number(total as f64)]))
}

fn too_large() -> Fault {
    "integral size overflow".into()
}

fn pack(lua: &Lua, args: &MultiValue) -> Native<MultiValue> {
    let text = string(args, 1, "pack")?;
    let mut format = Format::new(&text);
    let mut out: Vec<u8> = Vec::new();
    let mut arg = 2;
    while let Some(item) = format.next(out.len(), "pack")? {
        out.resize(out.len() + item.padding, 0);
        match item.option {
            b'x' => {
                out.push(0);
                continue;
            }
            b'c' | b's' => {
                let text = string_or_nil(args, arg)?;
                let size = if item.size == 0 { text.len() } else { item.size };
                if text.len() < size {
                    return Err(bad_argument(arg + 1, "pack", "string too short"));
                }
                out.extend_from_slice(&text[..size]);
                if item.option == b's' {
                    out.push(0);
                }
            }
            b'f' => {
                let n = number_or_nil(args, arg)? as f32;
                let bytes = if format.big { n.to_be_bytes() } else { n.to_le_bytes() };
                out.extend_from_slice(&bytes);
            }
            b'd' => {
                let n = number_or_nil(args, arg)?;
                let bytes = if format.big { n.to_be_bytes() } else { n.to_le_bytes() };
                out.extend_from_slice(&bytes);
            }
            _ => {
                let n = number_or_nil(args, arg)?;
                put_int(n, item.size, format.big, &mut out);
            }
        }
        arg += 1;
    }
    Ok(results([Value::String(lua.create_string(&out).map_err(broken)?)]))
}

/// The peers see a nil behind the last argument.
fn number_or_nil(args: &MultiValue, at: usize) -> Native<f64> {
    if at > args.len() {
        return Err(bad_argument(at, "pack", "number expected, got nil"));
    }
    number(args, at, "pack")
}

fn string_or_nil(args: &MultiValue, at: usize) -> Native<Vec<u8>> {
    if at > args.len() {
        return Err(bad_argument(at, "pack", "string expected, got nil"));
    }
    string(args, at, "pack")
}

fn put_int(n: f64, size: usize, big: bool, out: &mut Vec<u8>) {
    // Beyond the range of signed numbers the unsigned one has the bits. What is above them is zero,
    // for negative numbers too, as the peers do it.
    let bits = if n < 0.0 { n as i64 as u64 } else { n as u64 };
    let low = bits.to_le_bytes();
    let byte = |at: usize| low.get(at).copied().unwrap_or(0);
    if big {
        out.extend((0..size).rev().map(byte));
    } else {
        out.extend((0..size).map(byte));
    }
}

fn unpack(lua: &Lua, args: &MultiValue) -> Native<MultiValue> {
    let text = string(args, 1, "unpack")?;
    let data = string(args, 2, "unpack")?;
    let start = if args.len() > 2 { int(args, 3, "unpack")? } else { 1 };
    if start == 0 {
        return Err(bad_argument(3, "unpack", "offset must be 1 or greater"));
    }
    let mut at = (start as i64 - 1) as usize;
    let mut format = Format::new(&text);
    let mut values: Vec<Value> = Vec::new();
    let short = || bad_argument(2, "unpack", "data string too short");
    while let Some(item) = format.next(at, "unpack")? {
        at = at.checked_add(item.padding).ok_or_else(short)?;
        let end = at.checked_add(item.size).filter(|end| *end <= data.len()).ok_or_else(short)?;
        let bytes = &data[at..end];
        at = end;
        match item.option {
            b'x' => {}
            b'c' => {
                let piece = if item.size > 0 {
                    bytes
                } else {
                    let (piece, end) = counted(&mut values, &data, at)?;
                    at = end;
                    piece
                };
                values.push(Value::String(lua.create_string(piece).map_err(broken)?));
            }
            b's' => {
                let len = data[at..].iter().position(|&b| b == 0);
                let len = len.ok_or_else(|| Fault::from("unfinished string in data"))?;
                let piece = lua.create_string(&data[at..at + len]).map_err(broken)?;
                values.push(Value::String(piece));
                at += len + 1;
            }
            b'f' => {
                let bits = take_uint(bytes, format.big) as u32;
                values.push(Value::Number(f64::from(f32::from_bits(bits))));
            }
            b'd' => values.push(Value::Number(f64::from_bits(take_uint(bytes, format.big)))),
            option => {
                let bits = take_uint(bytes, format.big);
                let value = if option.is_ascii_lowercase() {
                    let shift = 64 - 8 * item.size.min(8) as u32;
                    if shift == 64 { 0.0 } else { ((bits << shift) as i64 >> shift) as f64 }
                } else {
                    bits as f64
                };
                values.push(Value::Number(value));
            }
        }
    }
    values.push(Value::Number(at as f64 + 1.0));
    Ok(results(values))
}

/// The string of `c0`, whose size is the number unpacked before it, and where it ends.
fn counted<'d>(values: &mut Vec<Value>, data: &'d [u8], at: usize) -> Native<(&'d [u8], usize)> {
    let size = match values.pop() {
        Some(Value::Number(n)) if n >= 0.0 => n as usize,
        _ => return Err("format 'c0' needs a previous size".into()),
    };
    let end = at.checked_add(size).filter(|end| *end <= data.len());
    let end = end.ok_or_else(|| bad_argument(2, "unpack", "data string too short"))?;
    Ok((&data[at..end], end))
}

/// The low 64 bits of an unsigned integer.
fn take_uint(bytes: &[u8], big: bool) -> u64 {
    let fold = |n: u64, byte: &u8| n << 8 | u64::from(*byte);
    if big { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) }
}
