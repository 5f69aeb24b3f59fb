//! Medians, quartiles, and what a series of pairs says.
//!
//! The host of a virtual machine makes the same binary faster or slower for seconds at a time, so
//! that only numbers taken next to each other compare. Each pair gives a ratio; the median of the
//! ratios is the result, its quartiles the uncertainty, and the ratio of the medians a check: when
//! the two differ by more than [`AGREEMENT`], the series says nothing and is marked.

/// How far the two measures may differ.
const AGREEMENT: f64 = 0.05;

/// A pair whose ratio is further than this factor from the median was disturbed, and is left out.
const SPREAD_MAX: f64 = 2.0;

/// A quantile by linear interpolation; 0 of an empty list.
pub(crate) fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = q * last as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

/// The median.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// What a series of pairs says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ratio {
    /// Median of the pairwise ratios.
    pub(crate) median: f64,
    /// Its quartiles.
    pub(crate) quartiles: (f64, f64),
    /// Median of ours by median of theirs.
    pub(crate) of_medians: f64,
    /// Pairs that count.
    pub(crate) pairs: usize,
    /// Pairs left out.
    pub(crate) discarded: usize,
}

impl Ratio {
    /// Of pairs (ours, theirs).
    pub(crate) fn of(pairs: &[(f64, f64)]) -> Ratio {
        let ratio = |(ours, theirs): &(f64, f64)| ours / theirs;
        let all: Vec<f64> = pairs.iter().map(ratio).collect();
        let middle = median(&all);
        let is_sound = |pair: &&(f64, f64)| {
            let off = ratio(pair) / middle;
            (1.0 / SPREAD_MAX..=SPREAD_MAX).contains(&off)
        };
        let kept: Vec<(f64, f64)> = pairs.iter().filter(is_sound).copied().collect();
        let ratios: Vec<f64> = kept.iter().map(ratio).collect();
        let ours: Vec<f64> = kept.iter().map(|pair| pair.0).collect();
        let theirs: Vec<f64> = kept.iter().map(|pair| pair.1).collect();
        Ratio {
            median: median(&ratios),
            quartiles: (quantile(&ratios, 0.25), quantile(&ratios, 0.75)),
            of_medians: median(&ours) / median(&theirs),
            pairs: kept.len(),
            discarded: pairs.len() - kept.len(),
        }
    }

    /// Whether the two measures agree.
    pub(crate) fn agrees(&self) -> bool {
        (self.median / self.of_medians - 1.0).abs() <= AGREEMENT
    }

    /// As text: `0.71 (0.69-0.74)`, with `?` when the measures do not agree.
    pub(crate) fn text(&self) -> String {
        let mark = if self.agrees() { "" } else { " ?" };
        let (low, high) = self.quartiles;
        format!("{:.2} ({low:.2}-{high:.2}){mark}", self.median)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[1.0, 2.0]), 1.5);
        assert_eq!(quantile(&[0.0, 1.0, 2.0, 3.0, 4.0], 0.25), 1.0);
        assert_eq!(median(&[]), 0.0);
    }

    #[test]
    fn a_disturbed_pair_is_left_out_and_disagreement_is_marked() {
        let ratio = Ratio::of(&[(7.0, 10.0), (7.2, 10.0), (6.8, 10.0), (40.0, 10.0)]);
        assert_eq!((ratio.pairs, ratio.discarded), (3, 1));
        assert!((ratio.median - 0.7).abs() < 1e-9 && ratio.agrees());
        // The host slowed down in half of the pairs: each ratio holds, absolute medians do not.
        let ratio =
            Ratio::of(&[(10.0, 10.0), (10.0, 10.0), (10.0, 10.0), (10.0, 18.0), (17.0, 18.0)]);
        assert!(ratio.agrees());
        let ratio =
            Ratio::of(&[(10.0, 10.0), (10.0, 10.0), (15.0, 10.0), (15.0, 15.0), (15.0, 9.0)]);
        assert!(!ratio.agrees());
    }
}
