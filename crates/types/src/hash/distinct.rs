//! Choosing n different elements of a collection, each subset with the same chance.
//!
//! When n is small against the collection, elements are drawn at random and repeats are thrown away;
//! else one pass over all takes each with the chance (still wanted) / (still to come), which is
//! Knuth's algorithm S (The Art of Computer Programming, 3.4.2). The first way needs a set of n
//! small values; the second nothing.

use std::collections::HashSet;
use std::hash::Hash;

use crate::packed::below;

/// Below a third of the collection, drawing costs less than passing over all of it.
const DRAW_UNTIL: usize = 3;

/// One pass: emits `n` of the `len` items of `all`.
pub(crate) fn select<T>(
    n: usize,
    len: usize,
    all: impl Iterator<Item = T>,
    random: &mut impl FnMut() -> u64,
    mut emit: impl FnMut(T),
) {
    let (mut wanted, mut left) = (n.min(len), len);
    for item in all {
        if wanted == 0 {
            return;
        }
        if below(random(), left) < wanted {
            emit(item);
            wanted -= 1;
        }
        left = left.saturating_sub(1);
    }
}

/// Emits `n` different ones of the `len` items of `all`; `draw` gives one of them at random.
pub(crate) fn distinct<T: Copy + Eq + Hash, R: FnMut() -> u64>(
    n: usize,
    len: usize,
    all: impl Iterator<Item = T>,
    random: &mut R,
    draw: impl Fn(&mut R) -> Option<T>,
    mut emit: impl FnMut(T),
) {
    if n.saturating_mul(DRAW_UNTIL) >= len {
        return select(n, len, all, random, emit);
    }
    let mut seen = HashSet::with_capacity(n);
    // A third at most are taken, so that a draw is new with a chance of two thirds; the bound only
    // guards against a source that keeps repeating itself.
    for _ in 0..n * 8 + 64 {
        if seen.len() == n {
            return;
        }
        if let Some(item) = draw(random)
            && seen.insert(item)
        {
            emit(item);
        }
    }
    let (missing, left) = (n - seen.len(), len - seen.len());
    select(missing, left, all.filter(|item| !seen.contains(item)), random, emit);
}
