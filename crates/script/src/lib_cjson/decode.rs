//! JSON to Lua values: tokens as the peers' parser names them in its errors, and `strtod`'s numbers.
//!
//! Nesting is bounded by the library's settings and by its own limit. Costs: O(bytes).
//!
//! Source: RFC 8259; texts and edges of redis-server 7.0.15.

use mlua::{Lua, MultiValue, Table, Value};

use super::{DEPTH_MAX, Settings, Shared};
use crate::lua::{Fault, Native, bad_argument, broken, results, string};

/// `cjson.decode`.
pub(super) fn decode(lua: &Lua, shared: &Shared, args: &MultiValue) -> Native<MultiValue> {
    if args.len() != 1 {
        return Err(bad_argument(1, "decode", "expected 1 argument"));
    }
    let text = string(args, 1, "decode")?;
    if text.len() >= 2 && (text[0] == 0 || text[1] == 0) {
        return Err("JSON parser does not support UTF-16 or UTF-32".into());
    }
    let settings = shared.borrow();
    let mut decoder = Decoder { lua, settings: &settings, text: &text, at: 0 };
    let token = decoder.token()?;
    let value = decoder.value(token, 0)?;
    let (token, start) = decoder.token()?;
    if !matches!(token, Token::End) {
        return Err(expected("the end", token.name(), start));
    }
    Ok(results([value]))
}

#[derive(Debug)]
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    Colon,
    Comma,
    End,
    Null,
    Boolean(bool),
    Number(f64),
    Text(Vec<u8>),
    Error(&'static str),
}

impl Token {
    /// As error texts call it.
    fn name(&self) -> &'static str {
        match self {
            Self::ObjectBegin => "T_OBJ_BEGIN",
            Self::ObjectEnd => "T_OBJ_END",
            Self::ArrayBegin => "T_ARR_BEGIN",
            Self::ArrayEnd => "T_ARR_END",
            Self::Colon => "T_COLON",
            Self::Comma => "T_COMMA",
            Self::End => "T_END",
            Self::Null => "T_NULL",
            Self::Boolean(_) => "T_BOOLEAN",
            Self::Number(_) => "T_NUMBER",
            Self::Text(_) => "T_STRING",
            Self::Error(text) => text,
        }
    }
}

fn expected(what: &str, found: &str, at: usize) -> Fault {
    format!("Expected {what} but found {found} at character {}", at + 1).into()
}

struct Decoder<'a> {
    lua: &'a Lua,
    settings: &'a Settings,
    text: &'a [u8],
    at: usize,
}

impl Decoder<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn value(&mut self, (token, start): (Token, usize), depth: i32) -> Native<Value> {
        match token {
            Token::Text(text) => Ok(Value::String(self.lua.create_string(text).map_err(broken)?)),
            Token::Number(n) => Ok(Value::Number(n)),
            Token::Boolean(value) => Ok(Value::Boolean(value)),
            Token::Null => Ok(Value::NULL),
            Token::ArrayBegin => self.array(depth + 1),
            Token::ObjectBegin => self.object(depth + 1),
            other => Err(expected("value", other.name(), start)),
        }
    }

    fn descend(&self, depth: i32) -> Native<Table> {
        if depth > self.settings.decode_depth.min(DEPTH_MAX) {
            let at = self.at;
            return Err(format!(
                "Found too many nested data structures ({depth}) at character {at}"
            )
            .into());
        }
        self.lua.create_table().map_err(broken)
    }

    fn array(&mut self, depth: i32) -> Native<Value> {
        let table = self.descend(depth)?;
        let mut token = self.token()?;
        if matches!(token.0, Token::ArrayEnd) {
            return Ok(Value::Table(table));
        }
        for index in 1.. {
            let value = self.value(token, depth)?;
            table.raw_set(index, value).map_err(broken)?;
            let (next, start) = self.token()?;
            match next {
                Token::ArrayEnd => break,
                Token::Comma => token = self.token()?,
                other => return Err(expected("comma or array end", other.name(), start)),
            }
        }
        Ok(Value::Table(table))
    }

    fn object(&mut self, depth: i32) -> Native<Value> {
        let table = self.descend(depth)?;
        let mut token = self.token()?;
        if matches!(token.0, Token::ObjectEnd) {
            return Ok(Value::Table(table));
        }
        loop {
            let key = match token {
                (Token::Text(key), _) => self.lua.create_string(key).map_err(broken)?,
                (other, start) => return Err(expected("object key string", other.name(), start)),
            };
            let (colon, start) = self.token()?;
            if !matches!(colon, Token::Colon) {
                return Err(expected("colon", colon.name(), start));
            }
            let first = self.token()?;
            let value = self.value(first, depth)?;
            table.raw_set(key, value).map_err(broken)?;
            let (next, start) = self.token()?;
            match next {
                Token::ObjectEnd => return Ok(Value::Table(table)),
                Token::Comma => token = self.token()?,
                other => return Err(expected("comma or object end", other.name(), start)),
            }
        }
    }

    /// The next token and where it starts; of a broken string, where it breaks.
    fn token(&mut self) -> Native<(Token, usize)> {
        while matches!(self.peek(0), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        let start = self.at;
        let single = match self.peek(0) {
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b':' => Token::Colon,
            b',' => Token::Comma,
            0 if self.at >= self.text.len() => Token::End,
            b'"' => return Ok(self.string()),
            _ => return Ok((self.word(), start)),
        };
        self.at += 1;
        Ok((single, start))
    }

    /// A number or a literal.
    fn word(&mut self) -> Token {
        let rest = &self.text[self.at..];
        if matches!(rest[0], b'-' | b'0'..=b'9') {
            if !self.settings.decode_invalid && is_invalid_number(rest) {
                return Token::Error("invalid number");
            }
            return self.number();
        }
        for (word, token) in [
            (&b"true"[..], Token::Boolean(true)),
            (b"false", Token::Boolean(false)),
            (b"null", Token::Null),
        ] {
            if rest.starts_with(word) {
                self.at += word.len();
                return token;
            }
        }
        if self.settings.decode_invalid && is_invalid_number(rest) {
            return self.number();
        }
        Token::Error("invalid token")
    }

    fn number(&mut self) -> Token {
        match parse_number(&self.text[self.at..]) {
            Some((n, len)) => {
                self.at += len;
                Token::Number(n)
            }
            None => Token::Error("invalid number"),
        }
    }

    fn string(&mut self) -> (Token, usize) {
        let start = self.at;
        self.at += 1;
        let mut text = Vec::new();
        loop {
            match self.peek(0) {
                b'"' => {
                    self.at += 1;
                    return (Token::Text(text), start);
                }
                0 => return (Token::Error("unexpected end of string"), self.at),
                b'\\' => {
                    if let Err(error) = self.escape(&mut text) {
                        return (Token::Error(error), self.at);
                    }
                }
                byte => {
                    text.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    fn escape(&mut self, text: &mut Vec<u8>) -> std::result::Result<(), &'static str> {
        let byte = match self.peek(1) {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 0x08,
            b'f' => 0x0C,
            b'n' => 0x0A,
            b'r' => 0x0D,
            b't' => 0x09,
            b'u' => {
                let (c, len) = self.unicode().ok_or("invalid unicode escape code")?;
                text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                self.at += len;
                return Ok(());
            }
            _ => return Err("invalid escape code"),
        };
        text.push(byte);
        self.at += 2;
        Ok(())
    }

    /// The character of a `\u` escape, or of two that are surrogates, and their length.
    fn unicode(&self) -> Option<(char, usize)> {
        let first = self.hex4(2)?;
        if !(0xD800..0xE000).contains(&first) {
            return Some((char::from_u32(first)?, 6));
        }
        if self.peek(6) != b'\\' || self.peek(7) != b'u' {
            return None;
        }
        let second = self.hex4(8)?;
        if first >= 0xDC00 || !(0xDC00..0xE000).contains(&second) {
            return None;
        }
        let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        Some((char::from_u32(code)?, 12))
    }

    fn hex4(&self, ahead: usize) -> Option<u32> {
        (0..4).try_fold(0, |code, at| {
            let digit = char::from(self.peek(ahead + at)).to_digit(16)?;
            Some(code * 16 + digit)
        })
    }
}

/// Whether these bytes begin with a number that JSON does not have: hexadecimal, with a leading zero,
/// infinite, or not a number.
fn is_invalid_number(text: &[u8]) -> bool {
    let digits = match text {
        [b'+' | b'-', rest @ ..] => rest,
        _ => text,
    };
    match digits {
        [b'0', b'x' | b'X' | b'0'..=b'9', ..] => true,
        [b'0'..=b'9', ..] => false,
        [a, b, c, ..] => {
            let word = [a, b, c].map(u8::to_ascii_lowercase);
            word == *b"inf" || word == *b"nan"
        }
        _ => false,
    }
}

/// The number that these bytes begin with, as C's `strtod` takes it, and its length.
fn parse_number(text: &[u8]) -> Option<(f64, usize)> {
    let (sign, start) = match text.first()? {
        b'-' => (-1.0, 1),
        b'+' => (1.0, 1),
        _ => (1.0, 0),
    };
    let rest = &text[start..];
    let word =
        |word: &[u8]| rest.len() >= word.len() && rest[..word.len()].eq_ignore_ascii_case(word);
    if word(b"infinity") {
        return Some((sign * f64::INFINITY, start + 8));
    }
    if word(b"inf") {
        return Some((sign * f64::INFINITY, start + 3));
    }
    if word(b"nan") {
        return Some((f64::NAN, start + 3));
    }
    if word(b"0x") {
        let digits = rest[2..].iter().take_while(|b| b.is_ascii_hexdigit()).count();
        if digits > 0 {
            let value = rest[2..2 + digits]
                .iter()
                .fold(0.0, |n, &b| n * 16.0 + f64::from(char::from(b).to_digit(16).unwrap_or(0)));
            return Some((sign * value, start + 2 + digits));
        }
    }
    let digits =
        |from: usize| rest[from.min(rest.len())..].iter().take_while(|b| b.is_ascii_digit());
    let whole = digits(0).count();
    let mut len = whole;
    let mut any = whole > 0;
    if rest.get(len) == Some(&b'.') {
        let fraction = digits(len + 1).count();
        any |= fraction > 0;
        if any {
            len += 1 + fraction;
        }
    }
    if !any {
        return None;
    }
    if matches!(rest.get(len), Some(b'e' | b'E')) {
        let signed = usize::from(matches!(rest.get(len + 1), Some(b'+' | b'-')));
        let exponent = digits(len + 1 + signed).count();
        if exponent > 0 {
            len += 1 + signed + exponent;
        }
    }
    let number: f64 = std::str::from_utf8(&rest[..len]).ok()?.parse().ok()?;
    Some((sign * number, start + len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_strtod_takes_them() {
        for (text, expected) in [
            ("12,", Some((12.0, 2))),
            ("-1.5e3]", Some((-1500.0, 6))),
            ("1e", Some((1.0, 1))),
            ("1.", Some((1.0, 2))),
            ("-", None),
            ("-.", None),
            ("0x1F", Some((31.0, 4))),
            ("0x", Some((0.0, 1))),
            ("Infinity", Some((f64::INFINITY, 8))),
            ("01", Some((1.0, 2))),
        ] {
            assert_eq!(parse_number(text.as_bytes()), expected, "{text}");
        }
    }
}
