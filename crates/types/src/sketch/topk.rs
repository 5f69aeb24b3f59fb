//! The most frequent items of a stream, by HeavyKeeper (Gong and others, "HeavyKeeper: An Accurate
//! Algorithm for Finding Top-k Elephant Flows", 2018).
//!
//! `depth` rows of `width` buckets, each with a fingerprint and a count. An item raises the count of its
//! bucket in each row; where the bucket is another's, the count decays instead, by one with the
//! probability `decay ^ count`, and a count that reaches zero hands the bucket over. Frequent items hold
//! their buckets, rare ones wear each other down. The highest of an item's counts is its estimate, which is
//! (but for colliding fingerprints) never too high. The `k` items with the highest estimates are kept by
//! name in a heap whose top is the lowest of them.
//!
//! The chance that decay needs comes from a generator inside the value (SplitMix64), and powers of `decay`
//! from repeated multiplication: the same commands give the same bytes here, on a replica and on replay.
//!
//! As bytes, low byte first:
//!
//! ```text
//! 0   u32  k               >= 1
//! 4   u32  width           >= 1
//! 8   u32  depth           >= 1
//! 12  f64  decay           0 < decay <= 1
//! 20  u64  the generator's state
//! 28  u32  items kept      <= k
//! 32  u64  width * depth buckets, row after row: the fingerprint, above the count in the lower 32 bits
//! ..  each item: u32 count, u32 length, the bytes; the lowest first as a heap
//! ```
//!
//! Invariants: `heap` is a binary heap by count, lowest first, without doubles, of at most `k` items.
//! Costs: O(depth) for an item below the heap's lowest, O(depth + k) for one above it; an increment of `n`
//! draws at most `n` random numbers a row. Limits: buckets within [`BYTES_MAX`]; `k` likewise.

use super::codec::Reader;
use super::hash::{Hash128, mix};
use super::pages::Pages;
use super::{BYTES_MAX, Corrupt, TooLarge};

/// Where the generator of every sketch starts. Any number does.
const SEED: u64 = 0x0C42_E0DD_5EED_0001;
/// Powers of `decay` that are kept: 0.9 ^ 256 is 2^-39.
const POWERS: usize = 256;

/// One of the k items.
#[derive(Clone, Debug)]
struct Kept {
    count: u32,
    /// Fingerprint, to pass over others quickly.
    print: u32,
    item: Box<[u8]>,
}

/// The sketch. See the module's head.
#[derive(Clone, Debug)]
pub struct TopK {
    buckets: Pages<u64>,
    heap: Vec<Kept>,
    k: u32,
    width: u32,
    depth: u32,
    decay: f64,
    /// The generator's state.
    random: u64,
    /// `decay ^ count` as thresholds for 64 random bits.
    chances: Box<[u64]>,
    /// Bytes of the items in `heap`.
    item_bytes: usize,
}

fn bucket(print: u32, count: u32) -> u64 {
    u64::from(print) << 32 | u64::from(count)
}

impl TopK {
    /// A sketch without items; `decay` is above 0 and at most 1.
    pub fn new(k: u32, width: u32, depth: u32, decay: f64) -> Result<Self, TooLarge> {
        let buckets = u64::from(width) * u64::from(depth);
        let most = BYTES_MAX as u64;
        if buckets > most / 8 || u64::from(k) > most / size_of::<Kept>() as u64 {
            return Err(TooLarge);
        }
        let powers = std::iter::successors(Some(1.0), |power| Some(power * decay));
        // A float becomes the nearest integer there is: 1.0 the highest.
        let chances = powers.take(POWERS).map(|power| (power * u64::MAX as f64) as u64).collect();
        Ok(Self {
            buckets: Pages::new(buckets as usize),
            heap: Vec::new(),
            k,
            width,
            depth,
            decay,
            random: SEED,
            chances,
            item_bytes: 0,
        })
    }

    /// 64 random bits (SplitMix64, Steele, Lea and Flood 2014).
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn chance(&self, count: u32) -> u64 {
        match self.chances.get(count as usize) {
            Some(chance) => *chance,
            // The power is made of kept ones; it soon is zero, unless decay is next to 1.
            None => {
                let last = POWERS - 1;
                let (times, rest) = (count as usize / last, count as usize % last);
                let unit = |at: usize| self.chances[at] as f64 / u64::MAX as f64;
                let mut power = unit(rest);
                for _ in 0..times {
                    power *= unit(last);
                    if power < 1e-20 {
                        return 0;
                    }
                }
                (power * u64::MAX as f64) as u64
            }
        }
    }

    fn places(&self, hash: Hash128) -> impl Iterator<Item = usize> + use<> {
        let width = u64::from(self.width);
        (0..u64::from(self.depth)).map(move |row| (row * width + hash.place(row, width)) as usize)
    }

    fn print(hash: Hash128) -> u32 {
        // Independent of the places, which the halves themselves give.
        (mix(hash.a ^ hash.b.rotate_left(32)) >> 32) as u32
    }

    /// Adds `by` to an item's count, and gives the item that had to leave the list for it.
    pub fn add(&mut self, item: &[u8], by: u32) -> Option<Box<[u8]>> {
        if by == 0 {
            return None;
        }
        let hash = Hash128::of(item);
        let print = Self::print(hash);
        let mut estimate = 0;
        for at in self.places(hash) {
            estimate = estimate.max(self.raise(at, print, by));
        }
        // Every bucket may have been too strong.
        if estimate == 0 { None } else { self.keep(item, print, estimate) }
    }

    /// Raises one bucket, or wears it down; gives the item's count in it.
    fn raise(&mut self, at: usize, print: u32, by: u32) -> u32 {
        let cell = self.buckets.cell(at);
        let (owner, mut count) = ((cell >> 32) as u32, cell as u32);
        if count == 0 || owner == print {
            count = count.saturating_add(by);
            *self.buckets.cell_mut(at) = bucket(print, count);
            return count;
        }
        let before = count;
        for left in (1..=by).rev() {
            let chance = self.chance(count);
            if chance == 0 {
                break;
            }
            if self.draw() <= chance {
                count -= 1;
                if count == 0 {
                    *self.buckets.cell_mut(at) = bucket(print, left);
                    return left;
                }
            }
        }
        if count != before {
            *self.buckets.cell_mut(at) = bucket(owner, count);
        }
        0
    }

    /// Notes an item's estimate in the heap.
    fn keep(&mut self, item: &[u8], print: u32, count: u32) -> Option<Box<[u8]>> {
        let full = self.heap.len() >= self.k as usize;
        let lowest = self.heap.first().map_or(0, |kept| kept.count);
        if full && count < lowest {
            return None;
        }
        if let Some(at) = self.find(item, print) {
            if count > self.heap[at].count {
                self.heap[at].count = count;
                self.sink(at);
            }
            return None;
        }
        let kept = Kept { count, print, item: item.into() };
        if !full {
            self.item_bytes += item.len();
            self.heap.push(kept);
            self.rise(self.heap.len() - 1);
            return None;
        }
        if count == lowest {
            // Who came first stays.
            return None;
        }
        self.item_bytes = self.item_bytes + item.len() - self.heap[0].item.len();
        let old = std::mem::replace(&mut self.heap[0], kept);
        self.sink(0);
        Some(old.item)
    }

    fn find(&self, item: &[u8], print: u32) -> Option<usize> {
        self.heap.iter().position(|kept| kept.print == print && *kept.item == *item)
    }

    /// Moves an item whose count grew away from the top.
    fn sink(&mut self, mut at: usize) {
        loop {
            let children = [2 * at + 1, 2 * at + 2];
            let lowest = children
                .into_iter()
                .filter(|child| *child < self.heap.len())
                .min_by_key(|child| self.heap[*child].count);
            match lowest {
                Some(child) if self.heap[child].count < self.heap[at].count => {
                    self.heap.swap(child, at);
                    at = child;
                }
                _ => return,
            }
        }
    }

    /// Moves an item at the end towards the top.
    fn rise(&mut self, mut at: usize) {
        while at > 0 && self.heap[at].count < self.heap[(at - 1) / 2].count {
            self.heap.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    /// Whether an item is one of the k.
    pub fn contains(&self, item: &[u8]) -> bool {
        self.find(item, Self::print(Hash128::of(item))).is_some()
    }

    /// About how often an item was added: exact words are kept for the k only.
    pub fn count(&self, item: &[u8]) -> u32 {
        let hash = Hash128::of(item);
        let print = Self::print(hash);
        if let Some(at) = self.find(item, print) {
            return self.heap[at].count;
        }
        let cells = self.places(hash).map(|at| self.buckets.cell(at));
        cells.filter(|cell| (cell >> 32) as u32 == print).map(|cell| cell as u32).max().unwrap_or(0)
    }

    /// The k items with their counts, most frequent first, equal ones by name. O(k log k).
    pub fn list(&self) -> Vec<(&[u8], u32)> {
        let mut list: Vec<_> = self.heap.iter().map(|kept| (&*kept.item, kept.count)).collect();
        list.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        list
    }

    /// Items that are kept.
    pub fn k(&self) -> u32 {
        self.k
    }

    /// Buckets of a row.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Rows.
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// The base of the probability of decay.
    pub fn decay(&self) -> f64 {
        self.decay
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let kept = self.heap.capacity() * size_of::<Kept>() + self.item_bytes;
        self.buckets.heap_bytes() + kept + self.chances.len() * 8
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for field in [self.k, self.width, self.depth] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.extend_from_slice(&self.decay.to_le_bytes());
        out.extend_from_slice(&self.random.to_le_bytes());
        out.extend_from_slice(&(self.heap.len() as u32).to_le_bytes());
        self.buckets.encode(out);
        for kept in &self.heap {
            out.extend_from_slice(&kept.count.to_le_bytes());
            out.extend_from_slice(&(kept.item.len() as u32).to_le_bytes());
            out.extend_from_slice(&kept.item);
        }
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Result<Self, Corrupt> {
        let (k, width, depth, decay) = (from.u32()?, from.u32()?, from.u32()?, from.f64()?);
        let (random, count) = (from.u64()?, from.u32()?);
        if k == 0 || width == 0 || depth == 0 || count > k || !(decay > 0.0 && decay <= 1.0) {
            return Err(Corrupt);
        }
        let mut topk = Self::new(k, width, depth, decay).map_err(|TooLarge| Corrupt)?;
        topk.random = random;
        topk.buckets = Pages::decode(topk.buckets.len(), from)?;
        for _ in 0..count {
            let (count, len) = (from.u32()?, from.u32()? as usize);
            let item = from.take(len)?;
            topk.item_bytes += len;
            let print = Self::print(Hash128::of(item));
            topk.heap.push(Kept { count, print, item: item.into() });
        }
        let ordered = (1..topk.heap.len()).all(|at| {
            let parent = &topk.heap[(at - 1) / 2];
            parent.count <= topk.heap[at].count
        });
        let mut names: Vec<&[u8]> = topk.heap.iter().map(|kept| &*kept.item).collect();
        names.sort_unstable();
        let doubled = names.windows(2).any(|pair| pair[0] == pair[1]);
        if ordered && !doubled { Ok(topk) } else { Err(Corrupt) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ochre_base::rng::Rng;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// On a Zipf stream the heavy ones are found, with counts near the truth and never above it.
    #[test]
    fn finds_the_heavy_ones() {
        const ITEMS: usize = 10_000;
        let weights = (1..=ITEMS).map(|rank| 1.0 / rank as f64);
        let sums: Vec<f64> = weights
            .scan(0.0, |sum, w| {
                *sum += w;
                Some(*sum)
            })
            .collect();
        let mut topk = TopK::new(20, 500, 5, 0.9).unwrap();
        let (mut rng, mut exact) = (Rng::new(5), vec![0u32; ITEMS]);
        for _ in 0..200_000 {
            let at = rng.unit_f64() * sums[ITEMS - 1];
            let item = sums.partition_point(|sum| *sum < at);
            exact[item] += 1;
            topk.add(format!("i{item}").as_bytes(), 1);
        }
        let mut order: Vec<usize> = (0..ITEMS).collect();
        order.sort_by_key(|item| std::cmp::Reverse(exact[*item]));
        let found =
            order[..20].iter().filter(|i| topk.contains(format!("i{i}").as_bytes())).count();
        assert!(found >= 18, "{found} of 20");
        for item in &order[..10] {
            let (estimate, count) = (topk.count(format!("i{item}").as_bytes()), exact[*item]);
            assert!(estimate <= count, "{estimate} above {count}");
            assert!(f64::from(estimate) >= f64::from(count) * 0.95, "{estimate} far below {count}");
        }
        let list = topk.list();
        assert_eq!(list.len(), 20);
        assert!(list.windows(2).all(|pair| pair[0].1 >= pair[1].1));
    }

    #[test]
    fn drops_the_least_frequent() {
        let mut topk = TopK::new(2, 50, 4, 0.9).unwrap();
        assert_eq!(topk.add(b"a", 3), None);
        assert_eq!(topk.add(b"b", 5), None);
        assert_eq!(topk.add(b"c", 1), None, "too rare to enter");
        assert_eq!(topk.add(b"c", 3).as_deref(), Some(&b"a"[..]));
        assert_eq!(topk.list(), vec![(&b"b"[..], 5), (&b"c"[..], 4)]);
        assert_eq!((topk.count(b"a"), topk.count(b"none")), (3, 0));
        assert_eq!(topk.add(b"x", 0), None);
        assert!(
            TopK::new(u32::MAX, 8, 7, 0.9).is_err() && TopK::new(1, 1 << 20, 1 << 10, 0.9).is_err()
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// The same items give the same bytes, also through an encoding in the middle; and with room for
        /// all of them the counts are exact.
        #[test]
        fn is_deterministic_and_exact_with_room(
            k in 1u32..6,
            decay in 0.01f64..=1.0,
            items in prop::collection::vec((0u8..12, 1u32..300), 1..80),
        ) {
            let mut once = TopK::new(k, 3, 2, decay).unwrap();
            let mut again = once.clone();
            let mut roomy = TopK::new(12, 5000, 6, decay).unwrap();
            let mut exact = BTreeMap::new();
            for (item, by) in &items {
                let left = once.add(&[*item], *by);
                let mut bytes = Vec::new();
                again.encode(&mut bytes);
                again = TopK::decode(&mut Reader::new(&bytes)).unwrap();
                prop_assert_eq!(left, again.add(&[*item], *by));
                prop_assert!(once.list().len() <= k as usize);
                roomy.add(&[*item], *by);
                *exact.entry(*item).or_insert(0u32) += by;
            }
            prop_assert_eq!(once.list(), again.list());
            prop_assert!(exact.iter().all(|(item, count)| roomy.count(&[*item]) == *count));
        }
    }
}
