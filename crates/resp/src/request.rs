//! Commands out of a connection's bytes.
//!
//! ```text
//! *2 CR LF  $3 CR LF  GET CR LF  $1 CR LF  k CR LF      multibulk form: count, then arguments
//! GET k CR LF                                           inline form, see `inline`
//! ```
//!
//! The parser copies nothing: arguments are ranges of the caller's buffer. It is resumable: after
//! `Incomplete` the same bytes are given again with more behind them, and work goes on where it
//! stopped, so a command costs O(its bytes + its arguments) however it is cut up.
//!
//! ```text
//! buffer   [ *3 .. $3 SET .. $1 k .. $900000 | part of the value ]
//!                                            ^ at                 `wanted` = at + 900000 + 2
//! ```
//!
//! When the bulk that is being received is known to be long, `Incomplete::wanted` tells how many
//! bytes the request will have up to its end, so that the reader makes room once and the argument
//! is never moved again.
//!
//! Invariants: between commands `at == 0` and `left == 0`; inside one, `left > 0`,
//! `at <= buf.len()`, and `partial` holds the ranges so far. What is accepted does not depend on
//! how the stream is cut (the peers' limit on lines does, slightly: they check it only when no
//! line end has arrived).
//!
//! Failure: [`ProtocolError`], after which the connection must be closed. As in redis 7.2 the two
//! bytes after an argument are skipped unread (Valkey 9 checks them).
//!
//! Source: RESP specification; behaviour of redis-server 7.0.15 and valkey-server 9.1.

use crate::inline;
use crate::limits::{
    ARGS_MAX, ARGS_MAX_UNAUTHENTICATED, ARGS_RESERVE_MAX, BULK_BYTES_MAX_DEFAULT,
    BULK_BYTES_MAX_UNAUTHENTICATED, LINE_BYTES_MAX, REQUEST_BYTES_MAX,
};
use smallvec::SmallVec;
use std::fmt;
use std::ops::Range;

/// Where an argument lies in the connection's buffer, from the start of the unread bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArgRange {
    /// Index of the first byte.
    pub start: u32,
    /// Length in bytes.
    pub len: u32,
}

impl ArgRange {
    /// The range as indices.
    #[inline]
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.start as usize + self.len as usize
    }

    /// The argument's bytes in `buf`, which must be the buffer that was parsed.
    #[inline]
    pub fn of(self, buf: &[u8]) -> &[u8] {
        &buf[self.range()]
    }
}

/// The arguments of one command; eight fit without an allocation.
pub type Args = SmallVec<[ArgRange; 8]>;

/// What the connection may send now.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Longest argument in bytes: `proto-max-bulk-len`.
    pub max_bulk_len: u64,
    /// Whether the client has authenticated or need not to.
    pub authenticated: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { max_bulk_len: BULK_BYTES_MAX_DEFAULT, authenticated: true }
    }
}

/// The result of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// A command is there: at least one argument, in `args`.
    Complete {
        /// Bytes that it took from the start of the buffer.
        consumed: usize,
    },
    /// An empty line or a count of zero or less: nothing to execute, go on behind it.
    Skipped {
        /// Bytes that it took from the start of the buffer.
        consumed: usize,
    },
    /// More bytes are needed. Call again with the same bytes and more behind them.
    Incomplete {
        /// Bytes, counted from the start of the buffer, that will be needed at least; exact up to
        /// the end of the argument under way when that has begun. Always more than were given.
        wanted: usize,
    },
    /// The stream is broken: answer with the error, then close.
    Error(ProtocolError),
}

/// Why a stream is not a sequence of commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolError {
    /// A quote in an inline command is not closed.
    UnbalancedQuotes,
    /// An inline command is longer than [`LINE_BYTES_MAX`].
    TooBigInline,
    /// The line after `*` has no end within [`LINE_BYTES_MAX`].
    TooBigCountLine,
    /// The line after `$` has no end within [`LINE_BYTES_MAX`].
    TooBigBulkLine,
    /// The count after `*` is no number or too large.
    InvalidMultibulkLength,
    /// More than [`ARGS_MAX_UNAUTHENTICATED`] arguments before authentication.
    UnauthenticatedMultibulkLength,
    /// Another byte stands where an argument's `$` must be.
    ExpectedDollar(
        /// The byte found.
        u8,
    ),
    /// The length after `$` is no number, negative, or above `proto-max-bulk-len`.
    InvalidBulkLength,
    /// An argument above [`BULK_BYTES_MAX_UNAUTHENTICATED`] before authentication.
    UnauthenticatedBulkLength,
    /// The request reaches beyond [`REQUEST_BYTES_MAX`].
    TooBigRequest,
}

impl ProtocolError {
    /// Appends the peers' text, from `Protocol error: ` on, byte for byte (the byte found may be
    /// any, so the text need not be UTF-8).
    pub fn append_text(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Protocol error: ");
        let text: &str = match self {
            ProtocolError::UnbalancedQuotes => "unbalanced quotes in request",
            ProtocolError::TooBigInline => "too big inline request",
            ProtocolError::TooBigCountLine => "too big mbulk count string",
            ProtocolError::TooBigBulkLine => "too big bulk count string",
            ProtocolError::InvalidMultibulkLength => "invalid multibulk length",
            ProtocolError::UnauthenticatedMultibulkLength => "unauthenticated multibulk length",
            ProtocolError::ExpectedDollar(byte) => {
                out.extend_from_slice(b"expected '$', got '");
                out.extend_from_slice(&[byte, b'\'']);
                return;
            }
            ProtocolError::InvalidBulkLength => "invalid bulk length",
            ProtocolError::UnauthenticatedBulkLength => "unauthenticated bulk length",
            ProtocolError::TooBigRequest => "too big request",
        };
        out.extend_from_slice(text.as_bytes());
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::new();
        self.append_text(&mut text);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

impl std::error::Error for ProtocolError {}

/// The state of one connection's stream between calls.
#[derive(Debug, Default)]
pub struct Parser {
    /// Index, in the request's bytes, up to which they are dealt with: the next argument's line
    /// or content; for an inline command, up to where no line end was found.
    at: usize,
    /// Arguments still to come; 0 between commands.
    left: u32,
    /// Length of the argument under way, once its line was read.
    bulk: Option<u32>,
    /// Ranges of the command under way, while the caller is away for more bytes.
    partial: Args,
}

/// The outcome of reading a line that holds a number.
enum Line {
    /// The number, and the index after the line's end.
    Number(i64, usize),
    NotANumber,
    Partial,
    TooLong,
}

impl Parser {
    /// A parser at the start of a stream.
    pub fn new() -> Parser {
        Parser::default()
    }

    /// Whether the stream stands between commands, as far as was parsed.
    pub fn is_idle(&self) -> bool {
        self.left == 0 && self.at == 0
    }

    /// Length in bytes of the argument under way, once known. From
    /// [`BIG_ARG_BYTES`](crate::limits::BIG_ARG_BYTES) on it is worth reading it into a buffer of
    /// its own.
    pub fn bulk_under_way(&self) -> Option<u32> {
        self.bulk
    }

    /// Takes the next command off the front of `buf`, the connection's unread bytes.
    ///
    /// `args` is cleared, and filled only for `Complete`; it may be shared by all connections of a
    /// loop. After `Incomplete`, `buf` must begin with the same bytes again. Inline commands are
    /// unquoted in place, so the bytes of a completed command may have changed.
    // HOT PATH: no allocation up to eight arguments, no search for the usual short lines.
    #[inline]
    pub fn next(&mut self, buf: &mut [u8], limits: &Limits, args: &mut Args) -> Parsed {
        args.clear();
        if self.left == 0 {
            match buf.first() {
                Some(b'*') => {}
                Some(_) => return self.inline(buf, args),
                None => return Parsed::Incomplete { wanted: 1 },
            }
            let (count, after) = match number_line(buf, 1) {
                Line::Number(count, after) => (count, after),
                Line::NotANumber => {
                    return Parsed::Error(ProtocolError::InvalidMultibulkLength);
                }
                Line::Partial => {
                    return Parsed::Incomplete { wanted: buf.len() + 1 };
                }
                Line::TooLong => return Parsed::Error(ProtocolError::TooBigCountLine),
            };
            if count > ARGS_MAX {
                return Parsed::Error(ProtocolError::InvalidMultibulkLength);
            }
            if count > ARGS_MAX_UNAUTHENTICATED && !limits.authenticated {
                return Parsed::Error(ProtocolError::UnauthenticatedMultibulkLength);
            }
            if count <= 0 {
                return Parsed::Skipped { consumed: after };
            }
            self.left = count as u32;
            self.at = after;
            if count as usize > args.inline_size() {
                args.reserve((count as usize).min(ARGS_RESERVE_MAX));
            }
        } else {
            std::mem::swap(args, &mut self.partial);
        }
        self.bulks(buf, limits, args)
    }

    /// Reads arguments until the command is complete or the bytes end.
    #[inline]
    fn bulks(&mut self, buf: &[u8], limits: &Limits, args: &mut Args) -> Parsed {
        let mut at = self.at;
        let mut left = self.left;
        let wanted = loop {
            let len = match self.bulk.take() {
                Some(len) => len as usize,
                None => match bulk_length(buf, at, limits) {
                    Ok(Some((len, after))) => {
                        at = after;
                        len
                    }
                    Ok(None) => break buf.len() + 1,
                    Err(error) => return Parsed::Error(error),
                },
            };
            let after = at + len + 2;
            if after > buf.len() {
                self.bulk = Some(len as u32);
                break after;
            }
            args.push(ArgRange { start: at as u32, len: len as u32 });
            at = after;
            left -= 1;
            if left == 0 {
                self.at = 0;
                self.left = 0;
                return Parsed::Complete { consumed: at };
            }
        };
        self.at = at;
        self.left = left;
        // A swap, not a copy: a command of a million arguments may come in a thousand pieces.
        std::mem::swap(args, &mut self.partial);
        Parsed::Incomplete { wanted }
    }

    #[cold]
    fn inline(&mut self, buf: &mut [u8], args: &mut Args) -> Parsed {
        let window = buf.len().min(LINE_BYTES_MAX + 1);
        let Some(found) = memchr::memchr(b'\n', &buf[self.at.min(window)..window]) else {
            if buf.len() > LINE_BYTES_MAX {
                return Parsed::Error(ProtocolError::TooBigInline);
            }
            self.at = window;
            return Parsed::Incomplete { wanted: buf.len() + 1 };
        };
        let end = self.at + found;
        self.at = 0;
        if inline::split_in_place(&mut buf[..end], args).is_err() {
            return Parsed::Error(ProtocolError::UnbalancedQuotes);
        }
        if args.is_empty() {
            return Parsed::Skipped { consumed: end + 1 };
        }
        Parsed::Complete { consumed: end + 1 }
    }
}

/// Reads the line `$<length>` at `at`: `(length, index after the line)`, or `None` when it has not
/// all arrived.
#[inline]
fn bulk_length(
    buf: &[u8],
    at: usize,
    limits: &Limits,
) -> Result<Option<(usize, usize)>, ProtocolError> {
    // The peers look at the first byte only once the line is complete, and so does this.
    let (len, after) = match number_line(buf, at + 1) {
        // A line that begins with its end is complete, though the rest looks like a length that is not.
        Line::Partial if buf.len() > at + 1 && buf[at] == b'\r' => {
            return Err(ProtocolError::ExpectedDollar(b'\r'));
        }
        Line::Partial => return Ok(None),
        Line::TooLong => return Err(ProtocolError::TooBigBulkLine),
        Line::Number(len, after) if buf[at] == b'$' => (len, after),
        Line::Number(..) | Line::NotANumber if buf[at] != b'$' => {
            return Err(ProtocolError::ExpectedDollar(buf[at]));
        }
        Line::Number(..) | Line::NotANumber => return Err(ProtocolError::InvalidBulkLength),
    };
    let len = u64::try_from(len).map_err(|_| ProtocolError::InvalidBulkLength)?;
    if len > limits.max_bulk_len {
        return Err(ProtocolError::InvalidBulkLength);
    }
    if len > BULK_BYTES_MAX_UNAUTHENTICATED && !limits.authenticated {
        return Err(ProtocolError::UnauthenticatedBulkLength);
    }
    if (after as u64).saturating_add(len).saturating_add(2) > REQUEST_BYTES_MAX {
        return Err(ProtocolError::TooBigRequest);
    }
    Ok(Some((len as usize, after)))
}

/// Reads a number that begins at `from`, one behind the line's first byte, and ends at CR; the
/// byte after the CR belongs to the line and is not looked at.
#[inline]
fn number_line(buf: &[u8], from: usize) -> Line {
    // Up to nine digits cannot overflow and cover every length below a gigabyte.
    let mut value = 0i64;
    let mut at = from;
    while let Some(&byte) = buf.get(at) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 || at - from == 9 {
            break;
        }
        value = value * 10 + i64::from(digit);
        at += 1;
    }
    let canonical = at > from && (at - from == 1 || buf[from] != b'0');
    if canonical && buf.get(at) == Some(&b'\r') {
        if at + 1 == buf.len() {
            return Line::Partial;
        }
        return Line::Number(value, at + 2);
    }
    number_line_slowly(buf, from)
}

#[cold]
fn number_line_slowly(buf: &[u8], from: usize) -> Line {
    // The limit counts from the line's first byte.
    let start = from - 1;
    if start >= buf.len() {
        return Line::Partial;
    }
    let window = buf.len().min(start + LINE_BYTES_MAX + 1);
    match memchr::memchr(b'\r', &buf[start..window]) {
        None if buf.len() - start > LINE_BYTES_MAX => Line::TooLong,
        None => Line::Partial,
        Some(found) if start + found + 1 == buf.len() => Line::Partial,
        // The line's first byte is itself the CR: nothing was sent.
        Some(0) => Line::NotANumber,
        Some(found) => match ochre_base::num::parse_i64(&buf[from..start + found]) {
            Some(value) => Line::Number(value, start + found + 2),
            None => Line::NotANumber,
        },
    }
}

#[cfg(test)]
mod tests;
