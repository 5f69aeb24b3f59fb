//! What the commands of all collections share: writing an element to a reply, telling of a change, the
//! options of HSCAN, SSCAN and ZSCAN, and a few error texts.
//!
//! A small collection is scanned whole in one step, whatever COUNT says, and its cursor is always 0.
//! A table is scanned in steps until COUNT elements were visited or ten times COUNT steps were taken;
//! MATCH filters what was visited. Source: SCAN documentation of Redis 7.2, redis-server 7.0.15.

use ochre_base::glob::{self, Case};
use ochre_command::args::{self, Cursor};
use ochre_command::data::{Class, Data, Left};
use ochre_command::outcome::{self, ReplyError, Result};
use ochre_command::{Key, Reply};
use ochre_types::packed::Entry;

/// A number of keys that is zero, negative, or no number.
pub(crate) const NUMKEYS: ReplyError = ReplyError::fixed("ERR numkeys should be greater than 0");
/// A count that is zero, negative, or no number.
pub(crate) const COUNT: ReplyError = ReplyError::fixed("ERR count should be greater than 0");
/// A number whose sign cannot be changed.
const NOT_NEGATABLE: ReplyError = ReplyError::fixed(
    "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
);
/// A sample that no reply can hold.
const SAMPLE_TOO_LARGE: ReplyError = ReplyError::fixed("ERR value is out of range");
/// Most elements that a sample with repeats may have. The peers take any number, and run out of
/// memory.
const SAMPLE_MAX: u64 = 1 << 26;
/// Steps of a scan for each element of COUNT, so that a sparse table does not hold a shard's lock.
const STEPS_PER_COUNT: usize = 10;

/// Writes an element as a string.
// HOT PATH: no allocation.
#[inline]
pub(crate) fn write_entry(reply: &mut Reply<'_>, entry: Entry<'_>) {
    match entry {
        Entry::Str(bytes) => reply.bulk(bytes),
        Entry::Int(n) => reply.bulk_i64(n),
    }
}

/// Tells that an edit changed `key`, and that the key is gone when nothing is left of it.
#[inline]
pub(crate) fn changed(
    data: &mut Data<'_>,
    key: Key<'_>,
    left: Left,
    class: Class,
    event: &'static str,
) {
    data.changed(key, class, event);
    if left == Left::Nothing {
        data.tell(key, Class::Generic, "del");
    }
}

/// An integer whose sign can be changed.
pub(crate) fn negatable(arg: &[u8]) -> Result<i64> {
    match args::int(arg)? {
        i64::MIN => Err(NOT_NEGATABLE),
        n => Ok(n),
    }
}

/// How many elements a command samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sample {
    /// At most so many, all different.
    Distinct(usize),
    /// So many, repeats allowed.
    Repeating(usize),
}

impl Sample {
    /// Reads the count of SRANDMEMBER and its kin: a negative one allows repeats.
    pub(crate) fn parse(arg: &[u8]) -> Result<Self> {
        let count = negatable(arg)?;
        if count >= 0 {
            Ok(Self::Distinct(count as usize))
        } else {
            Ok(Self::Repeating(count.unsigned_abs() as usize))
        }
    }

    /// Refuses a sample that no reply can hold. Apart from [`Sample::parse`] because syntax errors
    /// go before it.
    pub(crate) fn check(self) -> Result {
        match self {
            Self::Repeating(n) if n as u64 > SAMPLE_MAX => Err(SAMPLE_TOO_LARGE),
            _ => Ok(()),
        }
    }
}

/// The options of HSCAN, SSCAN and ZSCAN.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScanOptions<'a> {
    pattern: Option<&'a [u8]>,
    count: usize,
    /// NOVALUES was given.
    pub(crate) names_only: bool,
}

impl<'a> ScanOptions<'a> {
    /// Reads the options from argument 3 on. `hash` says that NOVALUES is allowed.
    pub(crate) fn parse(args: &'a [&'a [u8]], hash: bool) -> Result<Self> {
        const NOVALUES: ReplyError =
            ReplyError::fixed("ERR NOVALUES option can only be used in HSCAN");
        let mut options = Cursor::new(args, 3);
        let mut parsed = Self { pattern: None, count: 10, names_only: false };
        while options.left() > 0 {
            if options.take("count") {
                let count = options.need_int()?;
                if count < 1 {
                    return Err(outcome::SYNTAX);
                }
                parsed.count = count as usize;
            } else if options.take("match") {
                let pattern = options.need()?;
                parsed.pattern = (!glob::is_match_all(pattern)).then_some(pattern);
            } else if options.take("novalues") {
                if !hash {
                    return Err(NOVALUES);
                }
                parsed.names_only = true;
            } else {
                return Err(outcome::SYNTAX);
            }
        }
        Ok(parsed)
    }

    /// Whether MATCH lets an element through.
    #[inline]
    pub(crate) fn admits(&self, entry: Entry<'_>) -> bool {
        self.pattern
            .is_none_or(|pattern| glob::matches(pattern, entry.text(&mut [0; 20]), Case::Sensitive))
    }

    /// Calls `step` with a cursor, beginning with `cursor`, until COUNT elements were visited or the
    /// scan is complete; gives the cursor to go on with. `step` answers the next cursor and the number
    /// of elements it visited.
    pub(crate) fn run(&self, mut cursor: u64, mut step: impl FnMut(u64) -> (u64, usize)) -> u64 {
        let mut seen = 0;
        for _ in 0..self.count.saturating_mul(STEPS_PER_COUNT) {
            let (next, visited) = step(cursor);
            cursor = next;
            seen += visited;
            if cursor == 0 || seen >= self.count {
                break;
            }
        }
        cursor
    }
}

/// Reads a scan's cursor: an unsigned number, which may have a plus and leading zeros.
pub(crate) fn scan_cursor(arg: &[u8]) -> Result<u64> {
    let digits = arg.strip_prefix(b"+").unwrap_or(arg);
    if digits.is_empty() {
        return Err(outcome::BAD_CURSOR);
    }
    digits.iter().try_fold(0u64, |n, &byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(outcome::BAD_CURSOR);
        }
        n.checked_mul(10).and_then(|n| n.checked_add(u64::from(digit))).ok_or(outcome::BAD_CURSOR)
    })
}

/// The reply to a scan of a key that is not there.
pub(crate) fn empty_scan(reply: &mut Reply<'_>) {
    reply.array(2);
    reply.bulk("0");
    reply.empty_array();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors() {
        assert_eq!(scan_cursor(b"0"), Ok(0));
        assert_eq!(scan_cursor(b"007"), Ok(7));
        assert_eq!(scan_cursor(b"+5"), Ok(5));
        assert_eq!(scan_cursor(b"18446744073709551615"), Ok(u64::MAX));
        for bad in [&b"18446744073709551616"[..], b"-1", b"", b"+", b"1x"] {
            assert_eq!(scan_cursor(bad), Err(outcome::BAD_CURSOR));
        }
    }

    #[test]
    fn a_scan_ends_by_count_by_steps_or_at_the_end() {
        let options = |count| ScanOptions { pattern: None, count, names_only: false };
        assert_eq!(options(3).run(1, |cursor| (cursor + 1, 1)), 4);
        assert_eq!(options(3).run(1, |cursor| (cursor + 1, 0)), 31);
        assert_eq!(options(9).run(3, |cursor| (cursor - 1, 1)), 0);
    }

    #[test]
    fn samples() {
        assert_eq!(Sample::parse(b"5"), Ok(Sample::Distinct(5)));
        assert_eq!(Sample::parse(b"-5"), Ok(Sample::Repeating(5)));
        assert_eq!(Sample::parse(b"-9223372036854775808"), Err(NOT_NEGATABLE));
        assert!(Sample::Repeating(1 << 30).check().is_err());
        assert!(Sample::Distinct(1 << 30).check().is_ok());
    }
}
