//! The table against a model, with good and with degenerate hashes.

use super::*;
use ochre_base::rng::Rng;
use std::collections::{BTreeMap, BTreeSet};

fn mix(value: u32) -> u64 {
    let mut x = u64::from(value).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x ^= x >> 29;
    x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x ^ (x >> 32)
}

/// Few homes and few prefixes: exercises windows, spills and deep splits.
fn poor(value: u32) -> u64 {
    mix(value % 97) & 0xF000_0000_0FFF_FFFF
}

fn model_run(seed: u64, hash: fn(u32) -> u64, space: u64, rounds: usize) {
    let mut rng = Rng::new(seed);
    let mut table = Table::new();
    let mut model = BTreeSet::new();
    for round in 0..rounds {
        let value = rng.below(space) as u32;
        let found = table.find(hash(value), |v| v == value);
        assert_eq!(found.is_some(), model.contains(&value));
        let growing = (round / (rounds / 6).max(1)).is_multiple_of(2);
        match found {
            Some(slot) if !growing || rng.below(4) == 0 => {
                assert_eq!(table.value(slot), value);
                assert_eq!(table.remove(slot, hash), value);
                model.remove(&value);
            }
            None if growing || rng.below(4) == 0 => {
                table.insert(hash(value), value, hash);
                model.insert(value);
            }
            _ => {}
        }
        assert_eq!(table.len(), model.len());
    }
    let mut all: Vec<u32> = table.iter().collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(model.iter().copied()));
    for value in model {
        let slot = table.find(hash(value), |v| v == value).unwrap();
        table.remove(slot, hash);
    }
    assert_eq!((table.len(), table.heap_bytes()), (0, 0));
}

#[test]
fn follows_the_model() {
    let (seeds, rounds) = if cfg!(miri) { (1, 600) } else { (4, 60_000) };
    for seed in 0..seeds {
        model_run(seed, mix, 20_000, rounds);
        model_run(seed, mix, 200, rounds / 4);
        model_run(seed, poor, 2_000, rounds / 4);
        model_run(seed, |_| 42, 150, rounds / 20);
    }
}

/// R3: what is there throughout is scanned at least once while the table grows and shrinks.
#[test]
fn scan_misses_nothing_across_splits_and_merges() {
    let (seeds, scale) = if cfg!(miri) { (1, 60) } else { (6, 6000) };
    for seed in 0..seeds {
        let mut rng = Rng::new(seed);
        let mut table = Table::new();
        for value in 0..scale {
            table.insert(mix(value), value, mix);
        }
        let mut extra = scale;
        let mut seen = BTreeSet::new();
        let mut cursor = 0;
        let mut steps = 0;
        loop {
            cursor = table.scan(cursor, mix, |v| {
                seen.insert(v);
            });
            if cursor == 0 {
                break;
            }
            steps += 1;
            // Swings between twenty times the size and the size.
            let grow = (steps / 40) % 2 == 0;
            for _ in 0..rng.below(scale as u64 / 10) {
                if grow {
                    table.insert(mix(extra), extra, mix);
                    extra += 1;
                } else if extra > scale {
                    extra -= 1;
                    let slot = table.find(mix(extra), |v| v == extra).unwrap();
                    table.remove(slot, mix);
                }
            }
            assert!(steps < 1_000_000);
        }
        for value in 0..scale {
            assert!(seen.contains(&value), "seed {seed}: {value} missed");
        }
    }
}

#[test]
fn memory_stays_near_its_mean_while_growing() {
    let mut table = Table::new();
    let (mut worst, mut sum, mut looks) = (0f64, 0f64, 0);
    let top = if cfg!(miri) { 1_000 } else { 400_000 };
    for value in 0..top {
        table.insert(mix(value), value, mix);
        if value > top / 4 && value % 1000 == 0 {
            let bytes = table.heap_bytes() as f64 / table.len() as f64;
            worst = worst.max(bytes);
            sum += bytes;
            looks += 1;
        }
    }
    if !cfg!(miri) {
        let mean = sum / f64::from(looks);
        eprintln!("mean {mean:.2} worst {worst:.2} bytes per value");
        assert!(mean < 8.3, "{mean}");
        assert!(worst < mean * 1.08, "{worst} {mean}");
    }
}

#[test]
fn samples_are_uniform() {
    let mut table = Table::new();
    let count = if cfg!(miri) { 300 } else { 3000u32 };
    for value in 0..count {
        table.insert(mix(value), value, mix);
    }
    let mut rng = Rng::new(9);
    let mut hits: BTreeMap<u32, u32> = BTreeMap::new();
    let draws = if cfg!(miri) { 300 } else { 300_000 };
    for _ in 0..draws {
        *hits.entry(table.sample(|| rng.next_u64()).unwrap()).or_default() += 1;
    }
    if !cfg!(miri) {
        // Chi-squared with 2999 degrees of freedom: mean 2999, standard deviation 77.
        let expected = f64::from(draws) / f64::from(count);
        let chi: f64 = (0..count)
            .map(|v| (f64::from(*hits.get(&v).unwrap_or(&0)) - expected).powi(2) / expected)
            .sum();
        assert!(chi < 2999.0 + 6.0 * 77.5, "{chi}");
    }
}

struct WithDeadline;

impl Keyed for WithDeadline {
    fn hash(&self, value: u32) -> u64 {
        mix(value)
    }

    fn has_deadline(&self, value: u32) -> bool {
        value.is_multiple_of(3)
    }
}

#[test]
fn segments_count_their_deadlines() {
    let mut table = Table::new();
    let top = if cfg!(miri) { 800 } else { 20_000 };
    for value in 0..top {
        table.insert(mix(value), value, WithDeadline);
        if value % 3 == 0 {
            let slot = table.find(mix(value), |v| v == value).unwrap();
            table.add_deadline(slot, 1000 + u64::from(value));
        }
    }
    let check = |table: &Table| {
        for (index, segment) in table.segments.iter().enumerate() {
            let with: Vec<u32> = segment.iter().filter(|v| v % 3 == 0).collect();
            assert_eq!(usize::from(segment.deadlines), with.len());
            assert!(with.iter().all(|v| segment.earliest <= 1000 + u64::from(*v)));
            let due = with.iter().any(|v| u64::from(*v) + 1000 <= 1500);
            if due {
                assert_eq!(table.due_segment(index, 1500), Some(index));
            }
        }
    };
    check(&table);
    for value in 0..top {
        if value % 7 != 0 {
            let slot = table.find(mix(value), |v| v == value).unwrap();
            if value % 3 == 0 {
                table.drop_deadline(slot);
            }
            table.remove(slot, WithDeadline);
        }
        if value % 1000 == 0 {
            check(&table);
        }
    }
    check(&table);
    assert_eq!(table.deadlines(), table.iter().filter(|v| v % 3 == 0).count());
}
