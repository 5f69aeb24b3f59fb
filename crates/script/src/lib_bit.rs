//! The `bit` library: operations on 32-bit integers.
//!
//! A number is taken modulo 2^32 after rounding halves to even; results are signed. Shifts and
//! rotations use the low five bits of their distance.
//!
//! Source: the documentation of LuaBitOp 1.0; texts and edges of redis-server 7.0.15.

use mlua::{Lua, MultiValue, Result, Table, Value};

use crate::lua::{Native, int, lower, number, results};

/// A number as 32 bits.
fn bits(n: f64) -> u32 {
    if n.is_finite() { (n.round_ties_even() % 4_294_967_296.0) as i64 as u32 } else { 0 }
}

fn operand(args: &MultiValue, at: usize, function: &str) -> Native<u32> {
    Ok(bits(number(args, at, function)?))
}

fn answer(value: u32) -> MultiValue {
    results([Value::Number(f64::from(value as i32))])
}

/// The library's table of native functions.
pub(crate) fn table(lua: &Lua) -> Result<Table> {
    let table = lua.create_table()?;
    for (name, run) in
        [("tobit", (|x| x) as fn(u32) -> u32), ("bnot", |x| !x), ("bswap", |x| x.swap_bytes())]
    {
        let f = lua.create_function(move |lua, args: MultiValue| {
            lower(lua, operand(&args, 1, name).map(|x| answer(run(x))))
        })?;
        table.raw_set(name, f)?;
    }
    for (name, run) in [
        ("band", (|a, b| a & b) as fn(u32, u32) -> u32),
        ("bor", |a, b| a | b),
        ("bxor", |a, b| a ^ b),
    ] {
        let fold = move |args: &MultiValue| {
            let first = operand(args, 1, name)?;
            (2..=args.len()).try_fold(first, |sum, at| Ok(run(sum, operand(args, at, name)?)))
        };
        let f =
            lua.create_function(move |lua, args: MultiValue| lower(lua, fold(&args).map(answer)))?;
        table.raw_set(name, f)?;
    }
    for (name, run) in [
        ("lshift", (|x, n| x << n) as fn(u32, u32) -> u32),
        ("rshift", |x, n| x >> n),
        ("arshift", |x, n| (x as i32 >> n) as u32),
        ("rol", u32::rotate_left),
        ("ror", u32::rotate_right),
    ] {
        let shift =
            move |args: &MultiValue| Ok(run(operand(args, 1, name)?, operand(args, 2, name)? & 31));
        let f =
            lua.create_function(move |lua, args: MultiValue| lower(lua, shift(&args).map(answer)))?;
        table.raw_set(name, f)?;
    }
    table.raw_set(
        "tohex",
        lua.create_function(|lua, args: MultiValue| lower(lua, tohex(lua, &args)))?,
    )?;
    Ok(table)
}

/// Digits of the second argument's number, 8 by default; in capitals when it is negative.
fn tohex(lua: &Lua, args: &MultiValue) -> Native<MultiValue> {
    let value = operand(args, 1, "tohex")?;
    let digits = if args.len() < 2 { 8 } else { int(args, 2, "tohex")? };
    let text = if digits < 0 { format!("{value:08X}") } else { format!("{value:08x}") };
    let count = digits.unsigned_abs().min(8) as usize;
    let text = lua.create_string(&text[8 - count..]).map_err(crate::lua::broken)?;
    Ok(results([Value::String(text)]))
}

#[cfg(test)]
mod tests {
    use super::bits;

    #[test]
    fn numbers_wrap_and_round() {
        for (n, expected) in [
            (2f64.powi(31), i32::MIN),
            (1.5, 2),
            (2.5, 2),
            (1e15, -1_530_494_976),
            (-1.0, -1),
            (f64::NAN, 0),
            (f64::INFINITY, 0),
        ] {
            assert_eq!(bits(n) as i32, expected, "{n}");
        }
    }
}
