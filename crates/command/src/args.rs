//! Parsing of arguments: numbers with their error texts, and a cursor over options.
//!
//! After these functions no handler sees raw text for a thing that has a type.

use ochre_base::num::{parse_f64, parse_i64};

use crate::outcome::{self, ReplyError, Result};

/// An integer argument.
#[inline]
pub fn int(arg: &[u8]) -> Result<i64> {
    parse_i64(arg).ok_or(outcome::NOT_INTEGER)
}

/// An integer argument with another error text.
#[inline]
pub fn int_or(arg: &[u8], error: ReplyError) -> Result<i64> {
    parse_i64(arg).ok_or(error)
}

/// An integer that is not negative.
#[inline]
pub fn positive_int(arg: &[u8]) -> Result<i64> {
    match parse_i64(arg) {
        Some(n) if n >= 0 => Ok(n),
        Some(_) => Err(outcome::NOT_POSITIVE),
        None => Err(outcome::NOT_POSITIVE),
    }
}

/// An integer from `min` to `max`, both included.
pub fn int_within(arg: &[u8], min: i64, max: i64) -> Result<i64> {
    let n = int(arg)?;
    if n < min || n > max {
        return Err(ReplyError::new(format!(
            "ERR value is out of range, value must between {min} and {max}"
        )));
    }
    Ok(n)
}

/// A number argument.
#[inline]
pub fn float(arg: &[u8]) -> Result<f64> {
    parse_f64(arg).ok_or(outcome::NOT_FLOAT)
}

/// Whether an argument is this word, in any case; `word` is lower case.
#[inline]
pub fn is(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}

/// A blocking command's time-out in seconds, as milliseconds from `now_ms`; 0 is none.
pub fn deadline(arg: &[u8], now_ms: i64) -> Result<Option<i64>> {
    let seconds = parse_f64(arg).ok_or(outcome::TIMEOUT_NOT_FLOAT)?;
    let ms = seconds * 1000.0;
    if ms > i64::MAX as f64 / 2.0 || ms.is_nan() {
        return Err(outcome::TIMEOUT_RANGE);
    }
    if ms < 0.0 {
        return Err(outcome::TIMEOUT_NEGATIVE);
    }
    if ms == 0.0 {
        return Ok(None);
    }
    now_ms.checked_add(ms.ceil() as i64).map(Some).ok_or(outcome::TIMEOUT_RANGE)
}

/// Walks over the arguments behind the fixed ones.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    args: &'a [&'a [u8]],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor that stands at argument `at`.
    pub fn new(args: &'a [&'a [u8]], at: usize) -> Self {
        Self { args, at }
    }

    /// Arguments left.
    pub fn left(&self) -> usize {
        self.args.len().saturating_sub(self.at)
    }

    /// Position of the next argument.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Takes the next argument; none at the end.
    pub fn take_next(&mut self) -> Option<&'a [u8]> {
        let arg = self.args.get(self.at)?;
        self.at += 1;
        Some(arg)
    }

    /// Takes the next argument; a syntax error at the end.
    pub fn need(&mut self) -> Result<&'a [u8]> {
        self.take_next().ok_or(outcome::SYNTAX)
    }

    /// Takes the next argument as an integer.
    pub fn need_int(&mut self) -> Result<i64> {
        int(self.need()?)
    }

    /// Takes the next argument when it is this word.
    pub fn take(&mut self, word: &str) -> bool {
        let matches = self.args.get(self.at).is_some_and(|arg| is(arg, word));
        self.at += usize::from(matches);
        matches
    }

    /// Takes `count` arguments.
    pub fn take_slice(&mut self, count: usize) -> Result<&'a [&'a [u8]]> {
        let end = self.at.checked_add(count).ok_or(outcome::SYNTAX)?;
        let slice = self.args.get(self.at..end).ok_or(outcome::SYNTAX)?;
        self.at = end;
        Ok(slice)
    }

    /// All that are left.
    pub fn rest(&self) -> &'a [&'a [u8]] {
        self.args.get(self.at..).unwrap_or_default()
    }
}
