//! Ranges by score and by member bytes, and the direction of a walk.
//!
//! A range says of a score (or member) whether it lies before, in or after it; both are monotone in
//! the set's order, which is what lets the tree and the packed form turn a range into ranks. Their
//! text forms (`(1.5`, `-inf`, `[abc`, `+`) are parsed by the commands.
//!
//! Source: ZRANGE, ZRANGEBYSCORE, ZRANGEBYLEX, ZLEXCOUNT of Redis 7.2. A range whose ends cross is
//! empty, not an error. Scores that are NaN never reach a bound: the parser refuses them.

/// The direction of a walk or of a rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// From the lowest score up.
    Ascending,
    /// From the highest score down.
    Descending,
}

/// One end of a range of scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreBound {
    /// The end; infinities are allowed, NaN is not.
    pub value: f64,
    /// Whether the range stops short of the value itself.
    pub exclusive: bool,
}

/// The scores from `min` to `max`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreRange {
    /// The low end.
    pub min: ScoreBound,
    /// The high end.
    pub max: ScoreBound,
}

impl ScoreRange {
    /// From `min` to `max`, both included.
    pub const fn inclusive(min: f64, max: f64) -> Self {
        Self {
            min: ScoreBound { value: min, exclusive: false },
            max: ScoreBound { value: max, exclusive: false },
        }
    }

    /// Whether `score` lies below the range.
    #[inline]
    pub fn is_above(&self, score: f64) -> bool {
        if self.min.exclusive { score <= self.min.value } else { score < self.min.value }
    }

    /// Whether `score` lies above the range.
    #[inline]
    pub fn is_below(&self, score: f64) -> bool {
        if self.max.exclusive { score >= self.max.value } else { score > self.max.value }
    }

    /// Whether `score` is in the range.
    #[inline]
    pub fn contains(&self, score: f64) -> bool {
        !self.is_above(score) && !self.is_below(score)
    }

    /// Whether no score at all can be in the range.
    pub fn is_empty(&self) -> bool {
        self.min.value > self.max.value
            || (self.min.value == self.max.value && (self.min.exclusive || self.max.exclusive))
    }
}

/// One end of a range of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// Before every member (`-`).
    NegInf,
    /// After every member (`+`).
    PosInf,
    /// The member itself is in the range (`[member`).
    Incl(&'a [u8]),
    /// The range stops short of the member (`(member`).
    Excl(&'a [u8]),
}

/// The members from `min` to `max`. Meaningful when all scores are equal; with mixed scores the
/// answer is some span of the set, as in Redis, but which one is unspecified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LexRange<'a> {
    /// The low end.
    pub min: LexBound<'a>,
    /// The high end.
    pub max: LexBound<'a>,
}

impl LexRange<'_> {
    /// Whether `member` lies below the range.
    #[inline]
    pub fn is_above(&self, member: &[u8]) -> bool {
        match self.min {
            LexBound::NegInf => false,
            LexBound::PosInf => true,
            LexBound::Incl(min) => member < min,
            LexBound::Excl(min) => member <= min,
        }
    }

    /// Whether `member` lies above the range.
    #[inline]
    pub fn is_below(&self, member: &[u8]) -> bool {
        match self.max {
            LexBound::NegInf => true,
            LexBound::PosInf => false,
            LexBound::Incl(max) => member > max,
            LexBound::Excl(max) => member >= max,
        }
    }

    /// Whether `member` is in the range.
    #[inline]
    pub fn contains(&self, member: &[u8]) -> bool {
        !self.is_above(member) && !self.is_below(member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(min: f64, open_min: bool, max: f64, open_max: bool) -> ScoreRange {
        ScoreRange {
            min: ScoreBound { value: min, exclusive: open_min },
            max: ScoreBound { value: max, exclusive: open_max },
        }
    }

    #[test]
    fn score_ends_count_or_not() {
        let closed = scores(1.0, false, 2.0, false);
        assert!(closed.contains(1.0) && closed.contains(2.0) && !closed.contains(2.5));
        let open = scores(1.0, true, 2.0, true);
        assert!(!open.contains(1.0) && open.contains(1.5) && !open.contains(2.0));
        assert!(scores(-0.0, false, 0.0, false).contains(0.0));
        let all = ScoreRange::inclusive(f64::NEG_INFINITY, f64::INFINITY);
        assert!(all.contains(f64::INFINITY) && all.contains(f64::NEG_INFINITY));
        assert!(!scores(0.0, false, f64::INFINITY, true).contains(f64::INFINITY));
    }

    #[test]
    fn crossing_score_ends_are_empty() {
        assert!(scores(2.0, false, 1.0, false).is_empty());
        assert!(scores(1.0, true, 1.0, false).is_empty());
        assert!(!scores(1.0, false, 1.0, false).is_empty());
    }

    #[test]
    fn lex_ends_count_or_not() {
        use LexBound::{Excl, Incl, NegInf, PosInf};
        let range = |min, max| LexRange { min, max };
        assert!(range(NegInf, PosInf).contains(b""));
        assert!(!range(PosInf, PosInf).contains(b"z") && !range(NegInf, NegInf).contains(b""));
        assert!(range(Incl(b"a"), Excl(b"b")).contains(b"a"));
        assert!(range(Incl(b"a"), Excl(b"b")).contains(b"aa"));
        assert!(!range(Incl(b"a"), Excl(b"b")).contains(b"b"));
        assert!(!range(Excl(b"a"), PosInf).contains(b"a"));
    }
}
