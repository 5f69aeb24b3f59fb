//! The client's side: replies, RESP2 and RESP3, into owned values.
//!
//! Incremental by element: each call takes whole elements (a scalar, or an aggregate's header) off
//! the front of the buffer and keeps unfinished aggregates on a stack of its own. Hence a long
//! reply is never parsed twice, nesting cannot exhaust the machine's stack, and the caller may
//! drop the bytes reported as consumed at once.
//!
//! Cost: O(bytes). A claimed element count reserves at most `RESERVE_MAX` elements.
//!
//! Failure: [`ReplyError`]; the stream cannot be followed any further. The streamed aggregates and
//! strings of the RESP3 draft (`$?`, `*?`), which no server sends, are refused.
//!
//! Source: RESP3 specification.

use crate::limits::{REPLY_DEPTH_MAX, REPLY_ELEMENTS_MAX};
use ochre_base::num::{parse_f64, parse_i64};
use std::fmt;

/// Elements that a header may reserve before they arrived.
const RESERVE_MAX: usize = 1024;

/// Longest line of a reply in bytes (errors and statuses are lines).
const LINE_MAX: usize = 1 << 20;

/// One reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `+`
    Status(Vec<u8>),
    /// `-`, without the sign: code word and text.
    Error(Vec<u8>),
    /// `:`
    Integer(i64),
    /// `$`
    Bulk(Vec<u8>),
    /// `$-1`
    NullBulk,
    /// `*-1`
    NullArray,
    /// `_`
    Null,
    /// `*`
    Array(Vec<Value>),
    /// `%`
    Map(Vec<(Value, Value)>),
    /// `~`
    Set(Vec<Value>),
    /// `>`
    Push(Vec<Value>),
    /// `,`
    Double(f64),
    /// `#`
    Boolean(bool),
    /// `(`, the decimal text.
    BigNumber(Vec<u8>),
    /// `=`
    Verbatim {
        /// `txt`, `mkd`.
        format: [u8; 3],
        /// What follows the format and its colon.
        text: Vec<u8>,
    },
    /// `!`
    BulkError(Vec<u8>),
    /// `|` and the reply that it goes with.
    Attributed {
        /// The attribute's pairs.
        attribute: Vec<(Value, Value)>,
        /// The reply itself.
        value: Box<Value>,
    },
}

impl Value {
    /// Whether this is any of the three nulls.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null | Value::NullBulk | Value::NullArray)
    }

    /// The text of an error reply, code word first.
    pub fn error(&self) -> Option<&[u8]> {
        match self {
            Value::Error(text) | Value::BulkError(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes of a string-like reply.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Status(text) | Value::Bulk(text) | Value::BigNumber(text) => Some(text),
            Value::Verbatim { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The number of an integer reply.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Value::Integer(n) => Some(*n),
            _ => None,
        }
    }

    /// The items of an array, set or push.
    pub fn items(&self) -> Option<&[Value]> {
        match self {
            Value::Array(items) | Value::Set(items) | Value::Push(items) => Some(items),
            _ => None,
        }
    }
}

/// Why a stream is not a sequence of replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplyError {
    /// An unknown type byte.
    UnknownType(
        /// The byte found.
        u8,
    ),
    /// A number, length, double or boolean that is none.
    BadNumber,
    /// A string that does not end in CRLF.
    MissingLineEnd,
    /// A verbatim string without format.
    BadVerbatim,
    /// A line, string or aggregate beyond the limits.
    TooBig,
    /// Aggregates nested beyond the limits.
    TooDeep,
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplyError::UnknownType(byte) => {
                write!(f, "reply begins with '{}'", byte.escape_ascii())
            }
            ReplyError::BadNumber => f.write_str("reply has a malformed number"),
            ReplyError::MissingLineEnd => f.write_str("reply lacks a line end"),
            ReplyError::BadVerbatim => f.write_str("verbatim reply lacks its format"),
            ReplyError::TooBig => f.write_str("reply is too big"),
            ReplyError::TooDeep => f.write_str("reply is nested too deeply"),
        }
    }
}

impl std::error::Error for ReplyError {}

/// What a client is willing to receive.
#[derive(Debug, Clone, Copy)]
pub struct ReplyLimits {
    /// Longest string in bytes.
    pub bulk_bytes: u64,
    /// Most elements of one aggregate (a map's pair counts as two).
    pub elements: u64,
    /// Deepest nesting.
    pub depth: usize,
}

impl Default for ReplyLimits {
    fn default() -> ReplyLimits {
        ReplyLimits {
            bulk_bytes: u64::from(u32::MAX),
            elements: REPLY_ELEMENTS_MAX,
            depth: REPLY_DEPTH_MAX,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Array,
    Map,
    Set,
    Push,
    Attribute,
}

/// An aggregate under way.
#[derive(Debug)]
struct Frame {
    kind: Kind,
    /// Elements still to come; an attribute also waits for the reply behind it.
    left: u64,
    items: Vec<Value>,
}

/// One element off the buffer.
enum Element {
    Scalar(Value),
    Aggregate(Kind, u64),
}

/// A reply parser for one connection.
#[derive(Debug, Default)]
pub struct ReplyParser {
    limits: ReplyLimits,
    stack: Vec<Frame>,
}

impl ReplyParser {
    /// A parser with the given limits.
    pub fn new(limits: ReplyLimits) -> ReplyParser {
        ReplyParser { limits, stack: Vec::new() }
    }

    /// Takes elements off the front of `buf` until a reply is whole or the bytes end: the number
    /// of bytes taken, to be dropped by the caller in either case, and the reply if whole.
    pub fn next(&mut self, buf: &[u8]) -> Result<(usize, Option<Value>), ReplyError> {
        let mut taken = 0;
        while let Some((element, len)) = element(&buf[taken..], &self.limits)? {
            taken += len;
            let value = match element {
                Element::Scalar(value) => value,
                Element::Aggregate(kind, count) if count > 0 => {
                    if self.stack.len() >= self.limits.depth {
                        return Err(ReplyError::TooDeep);
                    }
                    let room = (count as usize).min(RESERVE_MAX);
                    let items = Vec::with_capacity(room);
                    self.stack.push(Frame { kind, left: count, items });
                    continue;
                }
                Element::Aggregate(kind, _) => finish(kind, Vec::new()),
            };
            if let Some(value) = self.fold(value) {
                return Ok((taken, Some(value)));
            }
        }
        Ok((taken, None))
    }

    /// Gives a finished value to the aggregate that waits for it; the reply, if it ends thereby.
    fn fold(&mut self, mut value: Value) -> Option<Value> {
        while let Some(frame) = self.stack.last_mut() {
            frame.items.push(value);
            frame.left -= 1;
            if frame.left > 0 {
                return None;
            }
            let frame = self.stack.pop()?;
            value = finish(frame.kind, frame.items);
        }
        Some(value)
    }
}

/// Builds the aggregate out of all its elements.
fn finish(kind: Kind, mut items: Vec<Value>) -> Value {
    match kind {
        Kind::Array => Value::Array(items),
        Kind::Set => Value::Set(items),
        Kind::Push => Value::Push(items),
        Kind::Map => Value::Map(pairs(items)),
        Kind::Attribute => {
            // The element behind the pairs is the reply; a frame of this kind always has it.
            let value = Box::new(items.pop().unwrap_or(Value::Null));
            Value::Attributed { attribute: pairs(items), value }
        }
    }
}

fn pairs(items: Vec<Value>) -> Vec<(Value, Value)> {
    let mut pairs = Vec::with_capacity(items.len() / 2);
    let mut items = items.into_iter();
    while let (Some(key), Some(value)) = (items.next(), items.next()) {
        pairs.push((key, value));
    }
    pairs
}

/// Reads one element at the front of `buf`, with its length in bytes; `None` when it has not all
/// arrived.
fn element(buf: &[u8], limits: &ReplyLimits) -> Result<Option<(Element, usize)>, ReplyError> {
    let Some(&kind) = buf.first() else {
        return Ok(None);
    };
    if !b"+-:$*_,#(=!%~>|".contains(&kind) {
        return Err(ReplyError::UnknownType(kind));
    }
    let Some(end) = memchr::memchr(b'\n', &buf[1..buf.len().min(LINE_MAX)]) else {
        return if buf.len() >= LINE_MAX { Err(ReplyError::TooBig) } else { Ok(None) };
    };
    let line = buf[1..=end].strip_suffix(b"\r").ok_or(ReplyError::MissingLineEnd)?;
    let after = end + 2;
    let scalar = |value| Ok(Some((Element::Scalar(value), after)));
    match kind {
        b'+' => scalar(Value::Status(line.to_vec())),
        b'-' => scalar(Value::Error(line.to_vec())),
        b':' => scalar(Value::Integer(parse_i64(line).ok_or(ReplyError::BadNumber)?)),
        b'_' if line.is_empty() => scalar(Value::Null),
        b'#' if line == b"t" => scalar(Value::Boolean(true)),
        b'#' if line == b"f" => scalar(Value::Boolean(false)),
        b',' => scalar(Value::Double(double(line).ok_or(ReplyError::BadNumber)?)),
        b'(' => scalar(Value::BigNumber(line.to_vec())),
        b'$' | b'=' | b'!' => string(kind, line, buf, after, limits),
        b'*' | b'%' | b'~' | b'>' | b'|' => {
            let count = parse_i64(line).ok_or(ReplyError::BadNumber)?;
            if kind == b'*' && count == -1 {
                return scalar(Value::NullArray);
            }
            let count = u64::try_from(count).map_err(|_| ReplyError::BadNumber)?;
            if count > limits.elements {
                return Err(ReplyError::TooBig);
            }
            let (kind, elements) = match kind {
                b'*' => (Kind::Array, count),
                b'%' => (Kind::Map, count.saturating_mul(2)),
                b'~' => (Kind::Set, count),
                b'>' => (Kind::Push, count),
                _ => (Kind::Attribute, count.saturating_mul(2).saturating_add(1)),
            };
            Ok(Some((Element::Aggregate(kind, elements), after)))
        }
        _ => Err(ReplyError::BadNumber),
    }
}

fn double(text: &[u8]) -> Option<f64> {
    match text {
        b"nan" | b"-nan" => Some(f64::NAN),
        _ => parse_f64(text),
    }
}

/// Reads a string of stated length whose line ended before `start`.
fn string(
    kind: u8,
    line: &[u8],
    buf: &[u8],
    start: usize,
    limits: &ReplyLimits,
) -> Result<Option<(Element, usize)>, ReplyError> {
    let len = parse_i64(line).ok_or(ReplyError::BadNumber)?;
    if kind == b'$' && len == -1 {
        return Ok(Some((Element::Scalar(Value::NullBulk), start)));
    }
    let len = u64::try_from(len).map_err(|_| ReplyError::BadNumber)?;
    if len > limits.bulk_bytes {
        return Err(ReplyError::TooBig);
    }
    let end = usize::try_from(len)
        .ok()
        .and_then(|len| start.checked_add(len))
        .and_then(|end| end.checked_add(2))
        .ok_or(ReplyError::TooBig)?;
    let Some(whole) = buf.get(start..end) else {
        return Ok(None);
    };
    let text = whole.strip_suffix(b"\r\n").ok_or(ReplyError::MissingLineEnd)?;
    let value = match (kind, text) {
        (b'=', [a, b, c, b':', text @ ..]) => {
            Value::Verbatim { format: [*a, *b, *c], text: text.to_vec() }
        }
        (b'=', _) => return Err(ReplyError::BadVerbatim),
        (b'!', _) => Value::BulkError(text.to_vec()),
        _ => Value::Bulk(text.to_vec()),
    };
    Ok(Some((Element::Scalar(value), end)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::{Protocol, Reply};
    use proptest::prelude::*;

    /// Feeds `stream` in pieces of `piece` bytes and gives all replies.
    fn feed(stream: &[u8], piece: usize) -> Result<Vec<Value>, ReplyError> {
        let mut parser = ReplyParser::default();
        let (mut buf, mut values) = (Vec::new(), Vec::new());
        for piece in stream.chunks(piece) {
            buf.extend_from_slice(piece);
            loop {
                let (taken, value) = parser.next(&buf)?;
                buf.drain(..taken);
                match value {
                    Some(value) => values.push(value),
                    None => break,
                }
            }
        }
        Ok(values)
    }

    #[test]
    fn every_type() {
        let text = b"+OK\r\n-ERR x\r\n:-5\r\n$2\r\nhi\r\n$-1\r\n*-1\r\n_\r\n,1.5\r\n,inf\r\n#t\r\n\
            (123\r\n=7\r\ntxt:abc\r\n!3\r\nERR\r\n%1\r\n+k\r\n*2\r\n:1\r\n~0\r\n|1\r\n+a\r\n:1\r\n>1\r\n+x\r\n";
        let bulk = |s: &str| s.as_bytes().to_vec();
        let expected = vec![
            Value::Status(bulk("OK")),
            Value::Error(bulk("ERR x")),
            Value::Integer(-5),
            Value::Bulk(bulk("hi")),
            Value::NullBulk,
            Value::NullArray,
            Value::Null,
            Value::Double(1.5),
            Value::Double(f64::INFINITY),
            Value::Boolean(true),
            Value::BigNumber(bulk("123")),
            Value::Verbatim { format: *b"txt", text: bulk("abc") },
            Value::BulkError(bulk("ERR")),
            Value::Map(vec![(
                Value::Status(bulk("k")),
                Value::Array(vec![Value::Integer(1), Value::Set(vec![])]),
            )]),
            Value::Attributed {
                attribute: vec![(Value::Status(bulk("a")), Value::Integer(1))],
                value: Box::new(Value::Push(vec![Value::Status(bulk("x"))])),
            },
        ];
        for piece in [1, 2, 3, 7, 1000] {
            assert_eq!(feed(text, piece).as_ref(), Ok(&expected));
        }
    }

    #[test]
    fn broken_replies_are_refused() {
        for (text, error) in [
            (&b"?\r\n"[..], ReplyError::UnknownType(b'?')),
            (b":1x\r\n", ReplyError::BadNumber),
            (b"#x\r\n", ReplyError::BadNumber),
            (b"$-2\r\n", ReplyError::BadNumber),
            (b"$?\r\n", ReplyError::BadNumber),
            (b"*-2\r\n", ReplyError::BadNumber),
            (b"+a\n", ReplyError::MissingLineEnd),
            (b"$1\r\nabc", ReplyError::MissingLineEnd),
            (b"=3\r\nabc\r\n", ReplyError::BadVerbatim),
            (b"$4294967296\r\n", ReplyError::TooBig),
            (b"*4294967296\r\n", ReplyError::TooBig),
        ] {
            assert_eq!(feed(text, 100), Err(error), "{}", text.escape_ascii());
        }
        let deep = b"*1\r\n".repeat(REPLY_DEPTH_MAX + 1);
        assert_eq!(feed(&deep, 100), Err(ReplyError::TooDeep));
    }

    /// Values that both protocols carry without change of form.
    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            "[ -~]{0,20}".prop_map(|s| Value::Status(s.into_bytes())),
            "[ -~]{0,20}".prop_map(|s| Value::Error(s.into_bytes())),
            any::<i64>().prop_map(Value::Integer),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::Bulk),
            Just(Value::Null),
            prop::num::f64::NORMAL.prop_map(Value::Double),
            any::<bool>().prop_map(Value::Boolean),
            "[ -~]{0,20}".prop_map(|s| Value::Verbatim { format: *b"txt", text: s.into_bytes() }),
        ];
        leaf.prop_recursive(4, 40, 12, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..12).prop_map(Value::Array),
                prop::collection::vec(inner.clone(), 0..12).prop_map(Value::Set),
                prop::collection::vec((inner.clone(), inner), 0..6).prop_map(Value::Map),
            ]
        })
    }

    fn write(value: &Value, reply: &mut Reply<'_>) {
        match value {
            Value::Status(text) => reply.status(text),
            Value::Error(text) => reply.error(text),
            Value::Integer(n) => reply.integer(*n),
            Value::Bulk(text) => reply.bulk(text),
            Value::Double(value) => reply.double(*value),
            Value::Boolean(value) => reply.boolean(*value),
            Value::Verbatim { format, text } => reply.verbatim(*format, text),
            Value::Array(items) => {
                reply.array(items.len());
                items.iter().for_each(|i| write(i, reply));
            }
            Value::Set(items) => {
                let mark = reply.deferred();
                items.iter().for_each(|i| write(i, reply));
                reply.finish_set(mark, items.len());
            }
            Value::Map(pairs) => {
                reply.map(pairs.len());
                for (key, value) in pairs {
                    write(key, reply);
                    write(value, reply);
                }
            }
            _ => reply.null(),
        }
    }

    proptest! {
        #[test]
        fn replies_round_trip(values in prop::collection::vec(value(), 1..4), piece in 1usize..50) {
            let mut out = Vec::new();
            let mut reply = Reply::new(&mut out, Protocol::Resp3);
            values.iter().for_each(|v| write(v, &mut reply));
            prop_assert_eq!(feed(&out, piece), Ok(values));
        }

        #[test]
        fn noise_never_panics(
            stream in prop::collection::vec(prop::sample::select(&b"*$%|=!#(,_~>+-:01239txt\r\n"[..]), 0..80),
            piece in 1usize..9,
        ) {
            let whole = feed(&stream, stream.len().max(1));
            let cut = feed(&stream, piece);
            prop_assert!(whole.is_err() == cut.is_err());
        }
    }
}
