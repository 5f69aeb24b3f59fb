//! A count-min sketch: how often an item was added, never too low, after Cormode and Muthukrishnan, "An
//! Improved Data Stream Summary: The Count-Min Sketch and its Applications" (2005).
//!
//! `depth` rows of `width` counters; an item adds to one counter of each row, and its count is the lowest
//! of them. With `width = 2 / error` and `depth = log2(1 / probability)` a count is too high by more than
//! `error` times the sum of all counts with at most that probability (by Markov's inequality a row is off
//! by more than that with 1/2). Counters are of 32 bits and stop at the highest value.
//!
//! As bytes, low byte first:
//!
//! ```text
//! 0   u64  width   >= 1
//! 8   u64  depth   >= 1
//! 16  u64  total   sum of all increments
//! 24  u32  width * depth counters, row after row
//! ```
//!
//! Costs: O(depth). Limits: width * depth counters within [`BYTES_MAX`].

use super::codec::Reader;
use super::hash::Hash128;
use super::pages::Pages;
use super::{BYTES_MAX, Corrupt, TooLarge};

/// A counter would leave its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

/// The sketch. See the module's head.
#[derive(Clone, Debug)]
pub struct Cms {
    counters: Pages<u32>,
    width: u64,
    depth: u64,
    total: u64,
}

/// Width and depth for an error and the probability of a larger one, both above 0 and below 1.
pub fn dimensions(error: f64, probability: f64) -> (u64, u64) {
    // Saturating: numbers too large are refused when the sketch is made.
    ((2.0 / error).ceil() as u64, (-probability.log2()).ceil().max(1.0) as u64)
}

impl Cms {
    /// A sketch of zeros.
    pub fn new(width: u64, depth: u64) -> Result<Self, TooLarge> {
        let counters = width.checked_mul(depth).ok_or(TooLarge)?;
        if counters == 0 || counters > (BYTES_MAX / size_of::<u32>()) as u64 {
            return Err(TooLarge);
        }
        Ok(Self { counters: Pages::new(counters as usize), width, depth, total: 0 })
    }

    /// The places of an item's counters.
    fn places(&self, item: &[u8]) -> impl Iterator<Item = usize> + use<> {
        let (hash, width) = (Hash128::of(item), self.width);
        (0..self.depth).map(move |row| (row * width + hash.place(row, width)) as usize)
    }

    /// Adds `by` to an item's count and gives the new count; counters that would overflow stop at the
    /// highest value, and that is said.
    pub fn add(&mut self, item: &[u8], by: u64) -> Result<u32, Overflow> {
        let (mut lowest, mut overflow) = (u32::MAX, false);
        for at in self.places(item) {
            let counter = self.counters.cell_mut(at);
            let sum = u32::try_from(u64::from(*counter).saturating_add(by));
            overflow |= sum.is_err();
            *counter = sum.unwrap_or(u32::MAX);
            lowest = lowest.min(*counter);
        }
        self.total = self.total.saturating_add(by);
        if overflow { Err(Overflow) } else { Ok(lowest) }
    }

    /// How often an item was added, or more.
    pub fn count(&self, item: &[u8]) -> u32 {
        self.places(item).map(|at| self.counters.cell(at)).min().unwrap_or(0)
    }

    /// Counters of a row.
    pub fn width(&self) -> u64 {
        self.width
    }

    /// Rows.
    pub fn depth(&self) -> u64 {
        self.depth
    }

    /// The sum of all increments.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The weighted sum of sketches, all as wide and deep as the first. None when there is none, or one
    /// differs. O(counters * sources).
    pub fn merged(sources: &[(&Self, i64)]) -> Option<Result<Self, Overflow>> {
        let (width, depth) = sources.first().map(|(first, _)| (first.width, first.depth))?;
        if sources.iter().any(|(one, _)| (one.width, one.depth) != (width, depth)) {
            return None;
        }
        Some(Self::sum(sources, width, depth))
    }

    fn sum(sources: &[(&Self, i64)], width: u64, depth: u64) -> Result<Self, Overflow> {
        let mut merged = Self::new(width, depth).map_err(|TooLarge| Overflow)?;
        for at in 0..merged.counters.len() {
            let parts = sources
                .iter()
                .map(|(one, weight)| i128::from(one.counters.cell(at)) * i128::from(*weight));
            // At most 2^32 sources of 2^95 each would be needed to overflow.
            let sum = u32::try_from(parts.sum::<i128>()).map_err(|_| Overflow)?;
            if sum != 0 {
                *merged.counters.cell_mut(at) = sum;
            }
        }
        // One product fits; their sum may not.
        let mut totals =
            sources.iter().map(|(one, weight)| i128::from(one.total) * i128::from(*weight));
        let total = totals.try_fold(0i128, i128::checked_add).ok_or(Overflow)?;
        merged.total = u64::try_from(total).map_err(|_| Overflow)?;
        Ok(merged)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.counters.heap_bytes()
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for field in [self.width, self.depth, self.total] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        self.counters.encode(out);
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Result<Self, Corrupt> {
        let (width, depth, total) = (from.u64()?, from.u64()?, from.u64()?);
        let mut cms = Self::new(width, depth).map_err(|TooLarge| Corrupt)?;
        cms.counters = Pages::decode(cms.counters.len(), from)?;
        cms.total = total;
        Ok(cms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn dimensions_follow_the_paper() {
        assert_eq!(dimensions(0.001, 0.01), (2000, 7));
        assert_eq!(dimensions(0.5, 0.5), (4, 1));
        assert!(Cms::new(u64::MAX, 2).is_err() && Cms::new(1 << 20, 1 << 20).is_err());
        let (width, depth) = dimensions(f64::from_bits(1), 0.5);
        assert!(Cms::new(width, depth).is_err());
    }

    /// Too high by more than the error for at most the share that the probability allows; never too low.
    #[test]
    fn keeps_its_error_bound() {
        let (error, probability) = (0.002, 0.05);
        let (width, depth) = dimensions(error, probability);
        let mut cms = Cms::new(width, depth).unwrap();
        let mut exact = BTreeMap::new();
        let mut rng = ochre_base::rng::Rng::new(3);
        for _ in 0..100_000 {
            // Skewed, as counts are: the square of a uniform number.
            let unit = rng.unit_f64();
            let item = (unit * unit * 20_000.0) as u32;
            *exact.entry(item).or_insert(0u32) += 1;
            cms.add(&item.to_le_bytes(), 1).unwrap();
        }
        assert_eq!(cms.total(), 100_000);
        let bound = (error * 100_000.0) as u32;
        let counts = exact.iter().map(|(item, count)| (cms.count(&item.to_le_bytes()), *count));
        assert!(counts.clone().all(|(estimate, count)| estimate >= count));
        let beyond = counts.filter(|(estimate, count)| estimate - count > bound).count();
        assert!(beyond as f64 <= probability * exact.len() as f64, "{beyond}");
    }

    #[test]
    fn counters_stop_at_the_highest_value() {
        let mut cms = Cms::new(10, 2).unwrap();
        assert_eq!(cms.add(b"x", u64::from(u32::MAX)), Ok(u32::MAX));
        assert_eq!(cms.add(b"x", 1), Err(Overflow));
        assert_eq!(cms.count(b"x"), u32::MAX);
        assert_eq!(cms.add(b"y", u64::MAX), Err(Overflow));
        assert!(matches!(Cms::merged(&[(&cms, 2)]), Some(Err(Overflow))));
        assert!(matches!(Cms::merged(&[(&cms, -1)]), Some(Err(Overflow))));
        assert!(Cms::merged(&[(&cms, 1), (&Cms::new(10, 3).unwrap(), 1)]).is_none());
    }

    proptest! {
           #![proptest_config(ProptestConfig::with_cases(48))]

           /// A merge of two sketches is the sketch of both streams.
           #[test]
           fn merging_adds(
               left in prop::collection::vec((0u8..30, 0u64..1000), 0..60),
               right in prop::collection::vec((0u8..30, 0u64..1000), 0..60),
               weight in 1i64..5,
           ) {
               let sketch = |items: &[(u8, u64)], times: u64| {
                   let mut cms = Cms::new(50, 4).unwrap();
                   for (item, by) in items {
    cms.add(&[*item], by * times).unwrap();
    }
                   cms
               };
               let merged = Cms::merged(&[(&sketch(&left, 1), 1), (&sketch(&right, 1), weight)]);
               let mut both = sketch(&left, 1);
               for (item, by) in &right {
    both.add(&[*item], by * weight as u64).unwrap();
    }
               let bytes = |cms: &Cms| {
                   let mut out = Vec::new();
                   cms.encode(&mut out);
                   out
               };
               prop_assert_eq!(bytes(&merged.unwrap().unwrap()), bytes(&both));
           }
       }
}
