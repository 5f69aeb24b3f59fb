//! Exactness while nothing is merged, error bounds on known distributions, and agreement with a sorted
//! vector in rank.

use super::*;
use ochre_base::rng::Rng;
use proptest::prelude::*;

/// Draws numbers of a distribution.
type Source<'a> = &'a dyn Fn(&mut Rng) -> f64;

fn digest(compression: u64, numbers: impl IntoIterator<Item = f64>) -> TDigest {
    let mut digest = TDigest::new(compression).unwrap();
    numbers.into_iter().for_each(|number| digest.add(number));
    digest
}

/// The examples of the commands' documentation.
#[test]
fn answers_the_documented_examples() {
    let numbers = [1., 2., 2., 3., 3., 3., 4., 4., 4., 4., 5., 5., 5., 5., 5.];
    let sorted = digest(1000, numbers).sorted();
    let ranks: Vec<f64> = (0..16).map(|rank| sorted.by_rank(rank).unwrap()).collect();
    assert_eq!(ranks[..15], numbers);
    assert_eq!(ranks[15], f64::INFINITY);
    assert_eq!(sorted.by_reverse_rank(0), Some(5.0));
    assert_eq!(sorted.by_reverse_rank(14), Some(1.0));
    assert_eq!(sorted.by_reverse_rank(15), Some(f64::NEG_INFINITY));
    let shares: Vec<f64> = (0..7).map(|x| sorted.cdf(f64::from(x)).unwrap()).collect();
    assert_eq!(shares, [0.0, 0.5 / 15., 2. / 15., 4.5 / 15., 8. / 15., 12.5 / 15., 1.0]);
    let at = [0., 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];
    let quantiles = at.map(|q| sorted.quantile(q).unwrap());
    assert_eq!(quantiles, [1., 2., 3., 3., 4., 4., 4., 5., 5., 5., 5.]);

    let sorted = digest(1000, (1..7).map(|n| f64::from(n) * 10.0)).sorted();
    let asked = [0., 10., 20., 30., 40., 50., 60., 70.];
    assert_eq!(asked.map(|x| sorted.rank(x)), [-1, 0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(asked.map(|x| sorted.reverse_rank(x)), [6, 5, 4, 3, 2, 1, 0, -1]);

    let sorted = digest(1000, (1..11).map(f64::from)).sorted();
    let means = [(0.1, 0.6), (0.3, 0.9), (0.0, 1.0)].map(|(a, b)| sorted.trimmed_mean(a, b));
    assert_eq!(means, [Some(4.0), Some(6.5), Some(5.5)]);
}

#[test]
fn an_empty_digest_knows_nothing() {
    let empty = TDigest::new(100).unwrap();
    let sorted = empty.sorted();
    assert_eq!((empty.min(), empty.max(), sorted.quantile(0.5)), (None, None, None));
    assert_eq!((sorted.cdf(1.0), sorted.by_rank(0), sorted.by_reverse_rank(0)), (None, None, None));
    assert_eq!((sorted.rank(1.0), sorted.reverse_rank(1.0)), (-2, -2));
    assert_eq!(sorted.trimmed_mean(0.0, 1.0), None);
    assert!(TDigest::new(0).is_err() && TDigest::new(u64::MAX).is_err());
}

/// Error in rank: at most 0.5 % in the middle, 0.1 % at p99, 0.03 % at p99.9, at compression 100.
#[test]
fn keeps_its_error_on_known_distributions() {
    const COUNT: usize = 200_000;
    let uniform = |rng: &mut Rng| rng.unit_f64();
    let exponential = |rng: &mut Rng| -(1.0 - rng.unit_f64()).ln();
    let normal = |rng: &mut Rng| (0..12).map(|_| rng.unit_f64()).sum::<f64>() - 6.0;
    let heavy = |rng: &mut Rng| (1.0 - rng.unit_f64()).powf(-1.5);
    let sources: [(&str, Source<'_>); 4] = [
        ("uniform", &uniform),
        ("exponential", &exponential),
        ("normal", &normal),
        ("heavy", &heavy),
    ];
    for (name, source) in sources {
        let mut rng = Rng::new(11);
        let mut numbers: Vec<f64> = (0..COUNT).map(|_| source(&mut rng)).collect();
        let digest = digest(100, numbers.iter().copied());
        assert!(digest.merged_nodes() <= 400, "{} centroids", digest.merged_nodes());
        assert_eq!(digest.count(), COUNT as u64);
        numbers.sort_unstable_by(f64::total_cmp);
        let sorted = digest.sorted();
        let bounds = [(0.5, 0.005), (0.99, 0.001), (0.999, 0.0003), (0.01, 0.001), (0.001, 0.0003)];
        for (q, bound) in bounds {
            let value = sorted.quantile(q).unwrap();
            let rank = numbers.partition_point(|n| *n < value) as f64 / COUNT as f64;
            assert!((rank - q).abs() <= bound, "{name} at {q}: {rank}");
            let share = sorted.cdf(numbers[(q * COUNT as f64) as usize]).unwrap();
            assert!((share - q).abs() <= bound, "{name} at {q}: share {share}");
        }
        assert_eq!(sorted.quantile(0.0), Some(numbers[0]));
        assert_eq!(sorted.quantile(1.0), numbers.last().copied());
        let middle = &numbers[COUNT / 10..COUNT * 9 / 10];
        let mean = middle.iter().sum::<f64>() / middle.len() as f64;
        let trimmed = sorted.trimmed_mean(0.1, 0.9).unwrap();
        assert!((trimmed - mean).abs() <= 0.005 * mean.abs().max(1.0), "{name}: {trimmed}, {mean}");
    }
}

/// Sorted input is the worst for digests that do not sort; merging parts is as good as one digest.
#[test]
fn sorted_input_and_merged_parts() {
    let ascending = digest(100, (0..100_000).map(f64::from)).sorted();
    let parts: Vec<TDigest> = (0..8)
        .map(|part| digest(100, (0..100_000).filter(|n| n % 8 == part).map(f64::from)))
        .collect();
    let merged = TDigest::merged(100, &parts.iter().collect::<Vec<_>>()).unwrap();
    assert_eq!((merged.count(), merged.min(), merged.max()), (100_000, Some(0.0), Some(99_999.0)));
    let merged = merged.sorted();
    for (q, bound) in [(0.5, 700.0), (0.99, 150.0), (0.999, 40.0)] {
        for sorted in [&ascending, &merged] {
            let error = (sorted.quantile(q).unwrap() - q * 100_000.0).abs();
            assert!(error <= bound, "{q}: {error}");
        }
    }
}

#[test]
fn a_digest_merged_with_itself_doubles_up_to_a_limit() {
    let mut one = digest(5, (0..100).map(f64::from));
    let mut merges = 0;
    while let Ok(double) = TDigest::merged(5, &[&one, &one]) {
        one = double;
        merges += 1;
        assert!(one.sorted().quantile(0.5).is_some_and(|x| (20.0..80.0).contains(&x)));
    }
    assert!(merges > 50);
    assert!(one.merged_nodes() <= one.capacity());
    let mut bytes = Vec::new();
    one.encode(&mut bytes);
    assert!(TDigest::decode(&mut Reader::new(&bytes)).is_ok());
}

/// Bytes that nobody's commands would lead to: all weight at one end, next to numbers alone.
#[test]
fn lopsided_weights_can_be_merged() {
    for heavy_first in [true, false] {
        let mut lopsided = TDigest::new(1).unwrap();
        let weights = (0..16).map(|n| if (n == 0) == heavy_first { 1 << 57 } else { 1 });
        lopsided.centroids =
            weights.zip(0..).map(|(weight, n)| Centroid { mean: f64::from(n), weight }).collect();
        lopsided.weight = lopsided.centroids.iter().map(|centroid| centroid.weight).sum();
        (lopsided.min, lopsided.max) = (0.0, 15.0);
        (0..100).for_each(|n| lopsided.add(f64::from(n % 16)));
        assert!(lopsided.merged_nodes() + lopsided.unmerged_nodes() <= lopsided.capacity());
        assert!(lopsided.sorted().quantile(0.5).is_some());
    }
}

#[test]
fn extreme_numbers_stay_finite() {
    let numbers = (0..5000).map(|n| if n % 2 == 0 { f64::MAX } else { f64::MIN });
    let digest = digest(10, numbers);
    let sorted = digest.sorted();
    for q in [0.0, 0.2, 0.5, 0.8, 1.0] {
        assert!(sorted.quantile(q).unwrap().is_finite());
    }
    assert!(sorted.trimmed_mean(0.0, 1.0).unwrap().is_finite());
    assert!(sorted.cdf(0.0).unwrap() > 0.3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Exact until the buffer fills; monotonous, within the range and within its bounds after that; and
    /// the same through an encoding.
    #[test]
    fn agrees_with_a_sorted_vector(
        compression in 1u64..60,
        numbers in prop::collection::vec(-50i32..50, 1..900),
        asked in prop::collection::vec(-60i32..60, 1..10),
    ) {
        let mut numbers: Vec<f64> = numbers.into_iter().map(f64::from).collect();
        let digest = digest(compression, numbers.iter().copied());
        numbers.sort_unstable_by(f64::total_cmp);
        let (sorted, count) = (digest.sorted(), numbers.len());
        prop_assert_eq!(digest.count(), count as u64);
        prop_assert!(digest.merged_nodes() + digest.unmerged_nodes() <= digest.capacity());
        prop_assert!(digest.merged_nodes() * 3 <= digest.capacity() * 2 + 3);
        prop_assert_eq!(digest.min(), Some(numbers[0]));
        prop_assert_eq!(digest.max(), Some(numbers[count - 1]));

        let mut last = f64::NEG_INFINITY;
        for rank in 0..count as u64 {
            let value = sorted.by_rank(rank).unwrap();
            prop_assert!(value >= last && value <= numbers[count - 1], "{} after {}", value, last);
            last = value;
            if digest.merged_nodes() == 0 {
                prop_assert_eq!(value, numbers[rank as usize]);
            }
        }
        let mut shares: Vec<(f64, f64)> = asked
            .iter()
            .map(|x| (f64::from(*x), sorted.cdf(f64::from(*x)).unwrap()))
            .collect();
        shares.sort_by(|a, b| a.0.total_cmp(&b.0));
        prop_assert!(shares.windows(2).all(|pair| pair[0].1 <= pair[1].1 + 1e-12), "{:?}", shares);
        prop_assert!(shares.iter().all(|(_, share)| (0.0..=1.0).contains(share)));
        if digest.merged_nodes() == 0 {
            for (x, share) in shares {
                let below = numbers.iter().filter(|n| **n < x).count() as f64;
                let equal = numbers.iter().filter(|n| **n == x).count() as f64;
                prop_assert!((share * count as f64 - below - equal / 2.0).abs() < 1e-6);
            }
        }

        let mut bytes = Vec::new();
        digest.encode(&mut bytes);
        let again = TDigest::decode(&mut Reader::new(&bytes)).unwrap();
        let mut other = Vec::new();
        again.encode(&mut other);
        prop_assert_eq!(bytes, other);
    }
}
