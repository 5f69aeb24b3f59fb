//! The texts of bounds: scores (`1.5`, `(1.5`, `-inf`), members (`[a`, `(a`, `-`, `+`), ranks.

use std::ops::Range;

use ochre_base::num::parse_f64;
use ochre_command::args::int;
use ochre_command::outcome::{ReplyError, Result};
use ochre_types::zset::{LexBound, LexRange, Order, ScoreBound, ScoreRange, ZsetRef};

const NOT_A_SCORE: ReplyError = ReplyError::fixed("ERR min or max is not a float");
const NOT_A_MEMBER: ReplyError = ReplyError::fixed("ERR min or max not valid string range item");

/// The range of scores from `min` to `max`.
pub(super) fn score_range(min: &[u8], max: &[u8]) -> Result<ScoreRange> {
    Ok(ScoreRange { min: score_bound(min)?, max: score_bound(max)? })
}

fn score_bound(text: &[u8]) -> Result<ScoreBound> {
    let (exclusive, number) = match text {
        [b'(', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let value = parse_f64(number).or_else(|| lenient(number)).ok_or(NOT_A_SCORE)?;
    Ok(ScoreBound { value, exclusive })
}

/// What upstream takes besides numbers: nothing at all is 0, and what is too large or too small for a
/// double is the nearest that there is.
fn lenient(text: &[u8]) -> Option<f64> {
    if text.is_empty() {
        return Some(0.0);
    }
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (!value.is_nan()).then_some(value)
}

/// The range of members from `min` to `max`.
pub(super) fn lex_range<'a>(min: &'a [u8], max: &'a [u8]) -> Result<LexRange<'a>> {
    Ok(LexRange { min: lex_bound(min)?, max: lex_bound(max)? })
}

fn lex_bound(text: &[u8]) -> Result<LexBound<'_>> {
    match text {
        b"-" => Ok(LexBound::NegInf),
        b"+" => Ok(LexBound::PosInf),
        [b'[', member @ ..] => Ok(LexBound::Incl(member)),
        [b'(', member @ ..] => Ok(LexBound::Excl(member)),
        _ => Err(NOT_A_MEMBER),
    }
}

/// Ranks from the first to the second, both included; negative ones count from the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ranks {
    first: i64,
    last: i64,
}

impl Ranks {
    pub(super) fn parse(first: &[u8], last: &[u8]) -> Result<Self> {
        Ok(Self { first: int(first)?, last: int(last)? })
    }

    /// The span of these ranks, counted in `order`, in a set of `len` members.
    pub(super) fn span(self, len: usize, order: Order) -> Range<usize> {
        let count = len as i64;
        let from_end = |at: i64| if at < 0 { at.saturating_add(count) } else { at };
        let first = from_end(self.first).max(0);
        let last = from_end(self.last).min(count - 1);
        if first > last {
            return 0..0;
        }
        let (first, end) = (first as usize, last as usize + 1);
        match order {
            Order::Ascending => first..end,
            Order::Descending => len - end..len - first,
        }
    }
}

/// A range of one of the three kinds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Bounds<'a> {
    Ranks(Ranks),
    Scores(ScoreRange),
    Members(LexRange<'a>),
}

impl Bounds<'_> {
    /// The span of ranks that lies in the range; ranks are counted in `order`.
    pub(super) fn span(&self, set: ZsetRef<'_>, order: Order) -> Range<usize> {
        match self {
            Self::Ranks(ranks) => ranks.span(set.len(), order),
            Self::Scores(range) => set.score_span(range),
            Self::Members(range) => set.lex_span(range),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn score_texts() {
        for (text, value, exclusive) in [
            ("1.5", 1.5, false),
            ("(1.5", 1.5, true),
            ("-inf", f64::NEG_INFINITY, false),
            ("(+inf", f64::INFINITY, true),
            ("", 0.0, false),
            ("(", 0.0, true),
            ("1e400", f64::INFINITY, false),
            ("1e-400", 0.0, false),
        ] {
            assert_eq!(score_bound(text.as_bytes()), Ok(ScoreBound { value, exclusive }));
        }
        for text in ["nan", "(nan", "x", "[1", "((1", "1 ", " 1", "\u{e9}"] {
            assert_eq!(score_bound(text.as_bytes()), Err(NOT_A_SCORE), "{text}");
        }
    }

    #[test]
    fn member_texts() {
        assert_eq!(lex_bound(b"-"), Ok(LexBound::NegInf));
        assert_eq!(lex_bound(b"+"), Ok(LexBound::PosInf));
        assert_eq!(lex_bound(b"["), Ok(LexBound::Incl(b"")));
        assert_eq!(lex_bound(b"(a"), Ok(LexBound::Excl(b"a")));
        for text in ["", "a", "-a", "+inf"] {
            assert_eq!(lex_bound(text.as_bytes()), Err(NOT_A_MEMBER), "{text}");
        }
    }

    #[test]
    fn ranks_from_either_end() {
        let span = |first, last, order| Ranks { first, last }.span(5, order);
        assert_eq!(span(0, -1, Order::Ascending), 0..5);
        assert_eq!(span(1, 2, Order::Ascending), 1..3);
        assert_eq!(span(1, 2, Order::Descending), 2..4);
        assert_eq!(span(-2, 100, Order::Ascending), 3..5);
        assert_eq!(span(-100, -5, Order::Descending), 4..5);
        for (first, last) in [(3, 2), (5, 9), (0, -6), (i64::MAX, i64::MIN)] {
            assert_eq!(span(first, last, Order::Ascending), 0..0);
        }
        assert_eq!(span(i64::MIN, i64::MAX, Order::Ascending), 0..5);
        assert_eq!(Ranks { first: 0, last: -1 }.span(0, Order::Descending), 0..0);
    }
}
