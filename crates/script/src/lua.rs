//! What the native libraries share: errors, argument checks as `luaL_check...` words them, and the
//! text of numbers.
//!
//! Lua raises strings and tables; a native function can only raise an object. So natives raise a
//! [`Fault`], and whatever catches errors (`pcall`, `xpcall`, `coroutine.resume`, the runner) sees it
//! translated by the prelude to what Redis' C functions would have raised. (Raising from Lua wrappers
//! instead would lose positions: a tail call to a Lua function drops its caller's frame.)

use mlua::{Lua, MultiValue, Result, Value};

/// An error of a native function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A text, to which the caller's position is added.
    Text(Vec<u8>),
    /// A table with this as its `err`; whether the failure has been counted already.
    Reply {
        /// Code word and text.
        text: Vec<u8>,
        /// See above.
        counted: bool,
    },
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Text(text) | Self::Reply { text, .. }) = self;
        f.write_str(&String::from_utf8_lossy(text))
    }
}

impl std::error::Error for Fault {}

impl From<String> for Fault {
    fn from(text: String) -> Self {
        Self::Text(text.into_bytes())
    }
}

impl From<&str> for Fault {
    fn from(text: &str) -> Self {
        Self::Text(text.as_bytes().to_vec())
    }
}

/// What a native function gives or raises.
pub(crate) type Native<T> = std::result::Result<T, Fault>;

/// The results of a native function.
pub(crate) fn results(values: impl IntoIterator<Item = Value>) -> MultiValue {
    values.into_iter().collect()
}

/// Raises what a native function could not do. A text gets its caller's position, as `luaL_error`
/// adds it: none when the caller is native too.
pub(crate) fn lower<T>(lua: &Lua, done: Native<T>) -> Result<T> {
    done.map_err(|mut fault| {
        if let Fault::Text(text) = &mut fault {
            // 0 is the native function.
            let place = lua.inspect_stack(1, |debug| {
                let source = debug.source().short_src.map(|text| text.into_owned());
                source.zip(debug.current_line())
            });
            if let Some(Some((source, line))) = place {
                text.splice(0..0, format!("{source}:{line}: ").into_bytes());
            }
        }
        mlua::Error::external(fault)
    })
}

/// What a raised object stands for: a table's text with whether it was counted, or a string.
pub(crate) fn translate(error: &mlua::Error) -> Fault {
    match error {
        mlua::Error::CallbackError { cause, .. } => translate(cause),
        mlua::Error::ExternalError(inner) => match inner.downcast_ref::<Fault>() {
            Some(fault) => fault.clone(),
            None => inner.to_string().into(),
        },
        mlua::Error::MemoryError(_) => "not enough memory".into(),
        mlua::Error::RuntimeError(text) => text.clone().into(),
        other => other.to_string().into(),
    }
}

/// An error of the interpreter itself (memory, stack) as a fault of the native function.
pub(crate) fn broken(error: mlua::Error) -> Fault {
    translate(&error)
}

/// The name of a value's type; `no value` beyond the last argument.
pub(crate) fn type_name(value: Option<&Value>) -> &'static str {
    match value {
        None => "no value",
        Some(Value::LightUserData(_)) => "userdata",
        Some(Value::Integer(_)) => "number",
        Some(value) => value.type_name(),
    }
}

/// `bad argument #at to 'function' (text)`.
pub(crate) fn bad_argument(at: usize, function: &str, text: &str) -> Fault {
    format!("bad argument #{at} to '{function}' ({text})").into()
}

/// An argument as a number, as `luaL_checknumber`: strings that are numbers count.
pub(crate) fn number(args: &MultiValue, at: usize, function: &str) -> Native<f64> {
    let value = args.get(at - 1);
    value.and_then(to_number).ok_or_else(|| {
        let got = format!("number expected, got {}", type_name(value));
        bad_argument(at, function, &got)
    })
}

/// A value as a number.
pub(crate) fn to_number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(n) => Some(*n),
        Value::Integer(n) => Some(*n as f64),
        Value::String(text) => parse_number(text.as_bytes().as_ref()),
        _ => None,
    }
}

/// Lua's reading of a number: blanks around it, decimal or hexadecimal.
fn parse_number(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?.trim_matches(|c: char| c.is_ascii_whitespace());
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        return u64::from_str_radix(hex, 16).ok().map(|n| sign * n as f64);
    }
    digits
        .starts_with(|c: char| c.is_ascii_digit() || c == '.')
        .then(|| digits.parse().ok())?
        .map(|n: f64| sign * n)
}

/// An argument as an integer, as `luaL_checkint`: cut to 32 bits.
pub(crate) fn int(args: &MultiValue, at: usize, function: &str) -> Native<i32> {
    Ok(number(args, at, function)? as i64 as i32)
}

/// An argument as a string, as `luaL_checkstring`: numbers count.
pub(crate) fn string(args: &MultiValue, at: usize, function: &str) -> Native<Vec<u8>> {
    let value = args.get(at - 1);
    match value {
        Some(Value::String(text)) => Ok(text.as_bytes().to_vec()),
        Some(Value::Number(n)) => Ok(format_g(*n, 14).into_bytes()),
        Some(Value::Integer(n)) => Ok(format_g(*n as f64, 14).into_bytes()),
        _ => {
            let got = format!("string expected, got {}", type_name(value));
            Err(bad_argument(at, function, &got))
        }
    }
}

/// A number as C's `%.{precision}g` writes it.
pub(crate) fn format_g(value: f64, precision: usize) -> String {
    if value.is_nan() {
        return if value.is_sign_negative() { "-nan" } else { "nan" }.to_owned();
    }
    if value.is_infinite() {
        return if value < 0.0 { "-inf" } else { "inf" }.to_owned();
    }
    // Integers of fewer digits than the precision have neither exponent nor fraction.
    if value.fract() == 0.0 && value.abs() < 10f64.powi(precision.min(15) as i32) {
        return if value == 0.0 && value.is_sign_negative() {
            "-0".to_owned()
        } else {
            (value as i64).to_string()
        };
    }
    let scientific = format!("{value:.*e}", precision - 1);
    // Rust's scientific notation always has an `e`.
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= precision as i32 {
        let mantissa = trim_zeros(mantissa);
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{mantissa}e{sign}{:02}", exponent.abs());
    }
    let decimals = (precision as i32 - 1 - exponent).max(0) as usize;
    trim_zeros(&format!("{value:.decimals$}")).to_owned()
}

fn trim_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_c_writes_them() {
        for (value, precision, text) in [
            (0.1, 17, "0.10000000000000001"),
            (0.1, 14, "0.1"),
            (1e20, 17, "1e+20"),
            (1e20, 14, "1e+20"),
            (-0.0, 14, "-0"),
            (12_345_678_901_234_567.0, 14, "1.2345678901235e+16"),
            (9_007_199_254_740_992.0, 17, "9007199254740992"),
            (1.5, 17, "1.5"),
            (1e-7, 14, "1e-07"),
            (0.0001, 14, "0.0001"),
            (123_456.0, 3, "1.23e+05"),
            (f64::INFINITY, 14, "inf"),
            (1e100, 17, "1e+100"),
        ] {
            assert_eq!(format_g(value, precision), text);
        }
    }

    #[test]
    fn numbers_as_lua_reads_them() {
        for (text, value) in [
            ("3", Some(3.0)),
            (" 0x10 ", Some(16.0)),
            ("-2.5e1", Some(-25.0)),
            ("x", None),
            ("", None),
            ("inf", None),
            ("1x", None),
        ] {
            assert_eq!(parse_number(text.as_bytes()), value, "{text}");
        }
    }
}
