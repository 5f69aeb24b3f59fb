//! Bits of a string: counting, searching and combining them, on plain slices.
//!
//! ```text
//! bit     0 1 2 3 4 5 6 7   8 9 ...
//! byte    0                 1          the top bit of a byte comes first
//! ```
//!
//! A string goes on for ever: bits behind its end read as zero. The kernels take whole slices so that
//! the compiler turns them into the widest instructions of the baseline (SSE2 on x86-64). That lacks an
//! instruction that counts bits: newer processors are asked for theirs (`popcount`). Without them counting
//! adds sixteen lines bit by bit first, as a circuit of full adders would (Harley and Seal), and counts the
//! bits of one line in sixteen; short rests are counted word by word. Combining goes in blocks that stay in
//! the first cache while every source passes over them, so that each source is read once and the result is
//! written once.
//!
//! Costs: all O(bytes) but for [`bit`], [`set_bit`] and fields, which are O(1). Failure: positions
//! behind the end are no error for reads; writers take slices that reach far enough, and positions
//! that they do not reach are ignored.
//!
//! Source: documentation of BITCOUNT, BITPOS and BITOP of Redis 8.2; Warren, "Hacker's Delight", 5-1,
//! for the adders.

use std::ops::Range;

pub mod field;
mod popcount;
#[cfg(test)]
mod tests;

/// Whether bit `at` is set; beyond the end it is not.
#[inline]
pub fn bit(bytes: &[u8], at: u64) -> bool {
    let byte = usize::try_from(at / 8).ok().and_then(|byte| bytes.get(byte));
    byte.is_some_and(|byte| byte & top(at) != 0)
}

/// Sets or clears bit `at`, which lies within `bytes`; says what it was.
#[inline]
pub fn set_bit(bytes: &mut [u8], at: u64, on: bool) -> bool {
    let byte = usize::try_from(at / 8).ok().and_then(|byte| bytes.get_mut(byte));
    let Some(byte) = byte else { return false };
    let was = *byte & top(at) != 0;
    *byte = if on { *byte | top(at) } else { *byte & !top(at) };
    was
}

/// The mask of a bit within its byte.
#[inline]
fn top(at: u64) -> u8 {
    0x80 >> (at % 8)
}

/// Words that are added as one: two registers of SSE2.
const LANES: usize = 4;
/// Bytes of sixteen such lines.
const ROUND: usize = 16 * LANES * 8;

/// `LANES` words side by side.
#[derive(Clone, Copy)]
struct Line([u64; LANES]);

impl Line {
    const ZERO: Self = Self([0; LANES]);

    #[inline(always)]
    fn read(bytes: &[u8; LANES * 8]) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        Self(std::array::from_fn(|i| u64::from_ne_bytes(words[i])))
    }

    #[inline(always)]
    fn zip(self, other: Self, of: impl Fn(u64, u64) -> u64) -> Self {
        Self(std::array::from_fn(|i| of(self.0[i], other.0[i])))
    }

    /// Adds three lines bit by bit: their sums and their carries.
    #[inline(always)]
    fn add(self, b: Self, c: Self) -> (Self, Self) {
        let half = self.zip(b, |a, b| a ^ b);
        let carry = self.zip(b, |a, b| a & b).zip(half.zip(c, |h, c| h & c), |a, b| a | b);
        (half.zip(c, |h, c| h ^ c), carry)
    }

    #[inline(always)]
    fn ones(self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}

/// The number of bits that are set.
// HOT PATH: BITCOUNT of a megabyte spends its time here.
#[inline]
pub fn count_ones(bytes: &[u8]) -> u64 {
    popcount::count(bytes).unwrap_or_else(|| count_by_adders(bytes))
}

/// The same without any instruction that counts.
fn count_by_adders(bytes: &[u8]) -> u64 {
    let (rounds, rest) = bytes.as_chunks::<ROUND>();
    // What is still to be counted: lines that stand for one, two, four and eight each.
    let (mut ones, mut twos, mut fours, mut eights) =
        (Line::ZERO, Line::ZERO, Line::ZERO, Line::ZERO);
    let mut sixteens = 0;
    for round in rounds {
        let (lines, _) = round.as_chunks::<{ LANES * 8 }>();
        let line = |i: usize| Line::read(&lines[i]);
        let mut four = [Line::ZERO; 4];
        for (i, four) in four.iter_mut().enumerate() {
            let (sum, a) = ones.add(line(4 * i), line(4 * i + 1));
            let (sum, b) = sum.add(line(4 * i + 2), line(4 * i + 3));
            ones = sum;
            (twos, *four) = twos.add(a, b);
        }
        let (sum, a) = fours.add(four[0], four[1]);
        let (sum, b) = sum.add(four[2], four[3]);
        fours = sum;
        let (sum, sixteen) = eights.add(a, b);
        eights = sum;
        sixteens += sixteen.ones();
    }
    let carried = 16 * sixteens + 8 * eights.ones() + 4 * fours.ones() + 2 * twos.ones();
    carried + ones.ones() + count_words(rest)
}

#[inline(always)]
fn count_words(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let whole: u64 = words.iter().map(|w| u64::from(u64::from_ne_bytes(*w).count_ones())).sum();
    whole + rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
}

/// The number of bits that are set among the bits of `range`, which may go beyond the end.
pub fn count_range(bytes: &[u8], range: Range<u64>) -> u64 {
    let end = range.end.min(bytes.len() as u64 * 8);
    if range.start >= end {
        return 0;
    }
    let (first, last) = ((range.start / 8) as usize, ((end - 1) / 8) as usize);
    let before = bytes[first] & !(0xFF >> (range.start % 8));
    let after = bytes[last] & !(!0 << (7 - (end - 1) % 8));
    count_ones(&bytes[first..=last])
        - u64::from(before.count_ones())
        - u64::from(after.count_ones())
}

/// The first bit of `range` that is as `wanted`. Bits behind the end are not looked at.
pub fn position(bytes: &[u8], range: Range<u64>, wanted: bool) -> Option<u64> {
    let end = range.end.min(bytes.len() as u64 * 8);
    if range.start >= end {
        return None;
    }
    let other = if wanted { 0x00 } else { 0xFF };
    let (first, last) = ((range.start / 8) as usize, ((end - 1) / 8) as usize);
    // Only the first byte can have bits before the range; a hit behind the range is none.
    let head = (bytes[first] ^ other) & (0xFF >> (range.start % 8));
    let at = if head != 0 {
        first as u64 * 8 + u64::from(head.leading_zeros())
    } else {
        let rest = &bytes[first + 1..=last];
        let skipped = equal_prefix(rest, other);
        let byte = rest.get(skipped)? ^ other;
        (first + 1 + skipped) as u64 * 8 + u64::from(byte.leading_zeros())
    };
    (at < end).then_some(at)
}

/// How many bytes at the front are `byte`.
fn equal_prefix(bytes: &[u8], byte: u8) -> usize {
    let (blocks, _) = bytes.as_chunks::<64>();
    let equal = |block: &&[u8; 64]| block.iter().fold(0, |any, b| any | (b ^ byte)) == 0;
    let whole = blocks.iter().take_while(equal).count() * 64;
    whole + bytes[whole..].iter().take_while(|b| **b == byte).count()
}

/// What BITOP does to its sources, bit by bit. X is the first source, Y the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Set in all.
    And,
    /// Set in any.
    Or,
    /// Set in an odd number.
    Xor,
    /// Not set in the one source.
    Not,
    /// Set in X and in no Y.
    Diff,
    /// Set in some Y and not in X.
    Diff1,
    /// Set in X and in some Y.
    AndOr,
    /// Set in exactly one.
    One,
}

/// Bytes of the result that are worked on at a time: they stay in the first cache with a part of a
/// source.
const BLOCK: usize = 8 * 1024;

/// Combines `sources` into a string as long as the longest; shorter ones count as padded with zeros.
pub fn combine(operation: Operation, sources: &[&[u8]]) -> Vec<u8> {
    let len = sources.iter().map(|source| source.len()).max().unwrap_or(0);
    let mut out = Vec::with_capacity(len);
    while out.len() < len {
        let (start, end) = (out.len(), len.min(out.len() + BLOCK));
        let parts = sources.iter().map(|source| part(source, start, end));
        match operation {
            Operation::One => one(&mut out, end, parts),
            _ => block(operation, &mut out, end, parts),
        }
    }
    out
}

/// What a source has between two positions.
#[inline]
fn part(source: &[u8], start: usize, end: usize) -> &[u8] {
    &source[start.min(source.len())..end.min(source.len())]
}

/// Appends the next block of the result, up to `end`.
fn block<'a>(
    operation: Operation,
    out: &mut Vec<u8>,
    end: usize,
    mut parts: impl Iterator<Item = &'a [u8]>,
) {
    let start = out.len();
    let Some(x) = parts.next() else { return };
    // What is folded first: X, or for the two that take all Y together the first of these.
    let late = matches!(operation, Operation::Diff1 | Operation::AndOr);
    let first = if late { parts.next().unwrap_or_default() } else { x };
    out.extend_from_slice(first);
    out.resize(end, 0);
    let block = &mut out[start..];
    for y in parts {
        match operation {
            Operation::And => keep_common(block, y),
            Operation::Xor => fold(block, y, |a, b| a ^ b),
            Operation::Diff => fold(block, y, |a, b| a & !b),
            _ => fold(block, y, |a, b| a | b),
        }
    }
    match operation {
        Operation::Not => block.iter_mut().for_each(|byte| *byte = !*byte),
        Operation::Diff1 => fold(block, x, |a, b| a & !b),
        Operation::AndOr => keep_common(block, x),
        _ => {}
    }
}

#[inline(always)]
fn fold(block: &mut [u8], source: &[u8], of: impl Fn(u8, u8) -> u8) {
    for (a, b) in block.iter_mut().zip(source) {
        *a = of(*a, *b);
    }
}

fn keep_common(block: &mut [u8], source: &[u8]) {
    fold(block, source, |a, b| a & b);
    block[source.len()..].fill(0);
}

/// Marks what a source has that was seen before.
fn fold_again(again: &mut [u8], once: &[u8], source: &[u8]) {
    let (again, once) = (&mut again[..source.len()], &once[..source.len()]);
    for i in 0..source.len() {
        again[i] |= once[i] & source[i];
    }
}

/// The next block of [`Operation::One`]: what was seen once, without what was seen again.
fn one<'a>(out: &mut Vec<u8>, end: usize, parts: impl Iterator<Item = &'a [u8]>) {
    let start = out.len();
    out.resize(end, 0);
    let once = &mut out[start..];
    let mut again = [0; BLOCK];
    for part in parts {
        fold_again(&mut again, once, part);
        fold(once, part, |a, b| a | b);
    }
    fold(once, &again, |once, again| once & !again);
}
