//! A Bloom filter that grows: membership with false positives of a bounded rate and no false negatives.
//!
//! A filter is a chain of sub-filters (layers), after Almeida, Baquero, Preguiça and Hutchison, "Scalable
//! Bloom Filters" (2007). When the newest holds as many items as it was made for, one follows that is
//! `expansion` times as large and whose own rate is `tightening` times lower. The first is made for
//! `error * (1 - tightening)`, so that the sum of all rates stays below `error`, however many follow. A
//! filter that does not scale has one layer, for `error` itself, and refuses new items when it is full.
//!
//! A layer for `n` items at rate `e` has `n * ln(1/e) / ln(2)^2` bits, rounded up to 64, and sets
//! `log2(1/e)` of them, rounded up, for an item: 1.44 log2(1/e) bits for each item (Bloom, 1970).
//!
//! The header of a dump, low byte first; the bits of all layers follow, first layer first:
//!
//! ```text
//! 0   f64  error            0 < error < 1
//! 8   f64  tightening       0 < tightening < 1
//! 16  u32  expansion        0: does not scale
//! 20  u32  layers           1 ..= LAYERS_MAX
//! 24  40 bytes for each:    u64 capacity >= 1, u64 items, u64 bits (a multiple of 64),
//!                           f64 error, u32 hashes 1 ..= HASHES_MAX, u32 zero
//! ```
//!
//! Invariants: there is at least one layer; only the newest takes items; the layers together hold at most
//! [`BYTES_MAX`]. Costs: O(hashes * layers) for a look-up and for an addition.

use super::codec::Reader;
use super::hash::Hash128;
use super::pages::Pages;
use super::{BYTES_MAX, Corrupt, TooLarge};

/// Most layers: a look-up asks each.
const LAYERS_MAX: usize = 1024;
/// Most hashes of a layer: the smallest positive double is 2^-1074.
const HASHES_MAX: u32 = 1100;
/// Bytes of a layer in the header.
const LAYER_BYTES: usize = 40;

/// What a filter is made for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Rate of false positives, above 0 and below 1.
    pub error: f64,
    /// Items of the first layer, at least 1.
    pub capacity: u64,
    /// How much larger the next layer is; 0: no next layer.
    pub expansion: u32,
    /// How much lower the rate of the next layer is, above 0 and below 1.
    pub tightening: f64,
}

impl Default for Options {
    /// The defaults of both families of servers.
    fn default() -> Self {
        Self { error: 0.01, capacity: 100, expansion: 2, tightening: 0.5 }
    }
}

/// Why an item could not be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddError {
    /// The filter holds what it was made for and does not scale.
    Full,
    /// The next layer would be too large, or there are too many.
    TooLarge,
}

#[derive(Clone, Debug)]
struct Layer {
    bits: Pages<u64>,
    /// Items it is made for.
    capacity: u64,
    /// Items added to it.
    items: u64,
    error: f64,
    /// Bits set for an item.
    hashes: u32,
}

impl Layer {
    fn new(capacity: u64, error: f64, bytes_left: usize) -> Result<Self, TooLarge> {
        // A rate that tightening has brought to zero is the smallest there is.
        let error = error.max(f64::from_bits(1));
        let bits_each = -error.ln() / (std::f64::consts::LN_2 * std::f64::consts::LN_2);
        let words = (capacity as f64 * bits_each / 64.0).ceil().max(1.0);
        if words * 8.0 > bytes_left as f64 {
            return Err(TooLarge);
        }
        let hashes = (-error.log2()).ceil().clamp(1.0, f64::from(HASHES_MAX)) as u32;
        Ok(Self { bits: Pages::new(words as usize), capacity, items: 0, error, hashes })
    }

    fn bit_count(&self) -> u64 {
        self.bits.len() as u64 * 64
    }

    /// The words and masks of an item's bits.
    fn places(&self, item: Hash128) -> impl Iterator<Item = (usize, u64)> + use<> {
        let range = self.bit_count();
        (0..u64::from(self.hashes)).map(move |n| {
            let at = item.place(n, range);
            ((at / 64) as usize, 1 << (at % 64))
        })
    }

    fn contains(&self, item: Hash128) -> bool {
        self.places(item).all(|(word, mask)| self.bits.cell(word) & mask != 0)
    }

    fn set(&mut self, item: Hash128) {
        for (word, mask) in self.places(item) {
            // A bit that is set already does not unshare its page.
            if self.bits.cell(word) & mask == 0 {
                *self.bits.cell_mut(word) |= mask;
            }
        }
        self.items += 1;
    }
}

/// The filter. See the module's head.
#[derive(Clone, Debug)]
pub struct Bloom {
    layers: Vec<Layer>,
    error: f64,
    tightening: f64,
    expansion: u32,
}

impl Bloom {
    /// An empty filter; refuses one whose first layer would be above [`BYTES_MAX`].
    pub fn new(options: Options) -> Result<Self, TooLarge> {
        let Options { error, capacity, expansion, tightening } = options;
        let first = if expansion == 0 { error } else { error * (1.0 - tightening) };
        let layer = Layer::new(capacity.max(1), first, BYTES_MAX)?;
        Ok(Self { layers: vec![layer], error, tightening, expansion })
    }

    /// Adds an item; false when it seems to be there already.
    pub fn add(&mut self, item: &[u8]) -> Result<bool, AddError> {
        let hash = Hash128::of(item);
        // Newest first: it holds the most.
        if self.layers.iter().rev().any(|layer| layer.contains(hash)) {
            return Ok(false);
        }
        if self.newest().items >= self.newest().capacity {
            self.grow()?;
        }
        let last = self.layers.len() - 1;
        self.layers[last].set(hash);
        Ok(true)
    }

    fn newest(&self) -> &Layer {
        // There is always one.
        &self.layers[self.layers.len() - 1]
    }

    fn grow(&mut self) -> Result<(), AddError> {
        if self.expansion == 0 {
            return Err(AddError::Full);
        }
        if self.layers.len() >= LAYERS_MAX {
            return Err(AddError::TooLarge);
        }
        let newest = self.newest();
        let capacity = newest.capacity.saturating_mul(u64::from(self.expansion));
        let left = BYTES_MAX.saturating_sub(self.bit_bytes());
        let next = Layer::new(capacity, newest.error * self.tightening, left);
        self.layers.push(next.map_err(|TooLarge| AddError::TooLarge)?);
        Ok(())
    }

    /// Whether an item seems to have been added.
    pub fn contains(&self, item: &[u8]) -> bool {
        let hash = Hash128::of(item);
        self.layers.iter().rev().any(|layer| layer.contains(hash))
    }

    /// Items that were added and were not there before.
    pub fn items(&self) -> u64 {
        self.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.items))
    }

    /// Items that fit before another layer is made.
    pub fn capacity(&self) -> u64 {
        self.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.capacity))
    }

    /// Number of layers.
    pub fn filters(&self) -> usize {
        self.layers.len()
    }

    /// The rate of false positives it was made for.
    pub fn error(&self) -> f64 {
        self.error
    }

    /// How much lower the rate of each next layer is.
    pub fn tightening(&self) -> f64 {
        self.tightening
    }

    /// How much larger each next layer is; 0: there is none.
    pub fn expansion(&self) -> u32 {
        self.expansion
    }

    /// Items that fit when it has grown as far as [`BYTES_MAX`] lets it.
    pub fn capacity_max(&self) -> u64 {
        let (mut capacity, mut last) = (self.capacity(), self.newest().capacity);
        let (mut error, mut left) = (self.newest().error, BYTES_MAX - self.bit_bytes());
        for _ in self.layers.len()..if self.expansion == 0 { 0 } else { LAYERS_MAX } {
            last = last.saturating_mul(u64::from(self.expansion));
            error *= self.tightening;
            let Ok(layer) = Layer::new(last, error, left) else { break };
            left -= layer.bits.byte_len();
            capacity = capacity.saturating_add(last);
        }
        capacity
    }

    /// Bytes of all bits, whether they lie in memory or not.
    fn bit_bytes(&self) -> usize {
        self.layers.iter().map(|layer| layer.bits.byte_len()).sum()
    }

    /// Bytes that it takes when all its pages are used: what BF.INFO calls its size.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.layers.len() * size_of::<Layer>() + self.bit_bytes()
    }

    /// Heap bytes held.
    pub(super) fn heap_bytes(&self) -> usize {
        let bits: usize = self.layers.iter().map(|layer| layer.bits.heap_bytes()).sum();
        self.layers.capacity() * size_of::<Layer>() + bits
    }

    /// The header of a dump: everything but the bits.
    pub fn header(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24 + LAYER_BYTES * self.layers.len());
        out.extend_from_slice(&self.error.to_le_bytes());
        out.extend_from_slice(&self.tightening.to_le_bytes());
        out.extend_from_slice(&self.expansion.to_le_bytes());
        out.extend_from_slice(&(self.layers.len() as u32).to_le_bytes());
        for layer in &self.layers {
            out.extend_from_slice(&layer.capacity.to_le_bytes());
            out.extend_from_slice(&layer.items.to_le_bytes());
            out.extend_from_slice(&layer.bit_count().to_le_bytes());
            out.extend_from_slice(&layer.error.to_le_bytes());
            out.extend_from_slice(&layer.hashes.to_le_bytes());
            out.extend_from_slice(&[0; 4]);
        }
        out
    }

    /// A filter as a header describes it, without a bit set.
    pub fn from_header(bytes: &[u8]) -> Result<Self, Corrupt> {
        let mut from = Reader::new(bytes);
        let bloom = Self::read_header(&mut from)?;
        if from.is_empty() { Ok(bloom) } else { Err(Corrupt) }
    }

    fn read_header(from: &mut Reader<'_>) -> Result<Self, Corrupt> {
        let inside = |x: f64| (x > 0.0 && x < 1.0).then_some(x).ok_or(Corrupt);
        let (error, tightening) = (inside(from.f64()?)?, inside(from.f64()?)?);
        let (expansion, count) = (from.u32()?, from.u32()? as usize);
        if count == 0 || count > LAYERS_MAX {
            return Err(Corrupt);
        }
        let (mut layers, mut left) = (Vec::with_capacity(count), BYTES_MAX as u64);
        for _ in 0..count {
            let (capacity, items, bits) = (from.u64()?, from.u64()?, from.u64()?);
            let (error, hashes, zero) = (inside(from.f64()?)?, from.u32()?, from.u32()?);
            let fits = capacity > 0 && bits > 0 && bits.is_multiple_of(64) && bits / 8 <= left;
            if !fits || hashes == 0 || hashes > HASHES_MAX || zero != 0 {
                return Err(Corrupt);
            }
            // No layer ever takes more items than it has room for.
            if items > capacity {
                return Err(Corrupt);
            }
            left -= bits / 8;
            let bits = Pages::new((bits / 64) as usize);
            layers.push(Layer { bits, capacity, items, error, hashes });
        }
        Ok(Self { layers, error, tightening, expansion })
    }

    /// Copies up to `max` bytes of the bits from position `from` on, over all layers; empty at the end.
    /// A chunk does not reach from one layer into the next.
    pub fn chunk(&self, from: u64, max: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let mut from = from;
        for layer in &self.layers {
            let bytes = layer.bits.byte_len();
            if from < bytes as u64 {
                let start = from as usize & !7;
                layer.bits.copy_bytes(start, (start + (max & !7)).min(bytes), &mut out);
                break;
            }
            from -= bytes as u64;
        }
        out
    }

    /// Writes a chunk back to its position.
    pub fn load_chunk(&mut self, from: u64, chunk: &[u8]) -> Result<(), Corrupt> {
        let mut from = from;
        for layer in &mut self.layers {
            let bytes = layer.bits.byte_len() as u64;
            if from < bytes {
                return layer.bits.write_bytes(from as usize, chunk);
            }
            from -= bytes;
        }
        Err(Corrupt)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.header());
        self.layers.iter().for_each(|layer| layer.bits.encode(out));
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Result<Self, Corrupt> {
        let mut bloom = Self::read_header(from)?;
        for layer in &mut bloom.layers {
            layer.bits = Pages::decode(layer.bits.len(), from)?;
        }
        Ok(bloom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filter(error: f64, capacity: u64, expansion: u32) -> Bloom {
        Bloom::new(Options { error, capacity, expansion, ..Options::default() }).unwrap()
    }

    /// Share of items never added that the filter claims to hold.
    fn false_positives(bloom: &Bloom, tries: u32) -> f64 {
        let wrong = (0..tries).filter(|n| bloom.contains(format!("other:{n}").as_bytes())).count();
        wrong as f64 / f64::from(tries)
    }

    fn fill(bloom: &mut Bloom, items: u32) {
        for n in 0..items {
            bloom.add(format!("item:{n}").as_bytes()).unwrap();
        }
    }

    /// At most 1.3 times the rate asked for (three deviations of the measurement aside), and bits within
    /// a tenth of the theory.
    #[test]
    fn keeps_its_rate_and_its_size() {
        for (error, items) in [(0.1, 20_000), (0.01, 20_000), (0.001, 20_000)] {
            let mut bloom = filter(error, u64::from(items), 0);
            let bits = bloom.bit_bytes() as f64 * 8.0 / f64::from(items);
            let theory = -error.log2() / std::f64::consts::LN_2;
            assert!(bits <= theory * 1.01 + 64.0 / f64::from(items), "{error}: {bits} bits");
            fill(&mut bloom, items);
            let tries = 100_000;
            let noise = 3.0 * (error / f64::from(tries)).sqrt();
            let rate = false_positives(&bloom, tries);
            assert!(rate <= error * 1.3 + noise, "{error}: {rate}");
            assert!((0..items).all(|n| bloom.contains(format!("item:{n}").as_bytes())));
        }
    }

    #[test]
    fn keeps_its_rate_over_many_layers() {
        for (error, expansion) in [(0.05, 1), (0.01, 2), (0.001, 4)] {
            let mut bloom = filter(error, 1000, expansion);
            fill(&mut bloom, 15_000);
            assert!(bloom.filters() >= 3);
            let (tries, noise) = (100_000, 3.0 * (error / 100_000.0_f64).sqrt());
            let rate = false_positives(&bloom, tries);
            assert!(rate <= error * 1.3 + noise, "{error}: {rate}");
            assert!((0..15_000).all(|n| bloom.contains(format!("item:{n}").as_bytes())));
        }
    }

    #[test]
    fn a_filter_that_does_not_scale_fills_up() {
        let mut bloom = filter(0.01, 3, 0);
        assert_eq!([b"a", b"b", b"c"].map(|item| bloom.add(item)), [Ok(true); 3]);
        assert_eq!(bloom.add(b"a"), Ok(false), "what is there needs no room");
        assert_eq!(bloom.add(b"d"), Err(AddError::Full));
        assert_eq!((bloom.items(), bloom.capacity(), bloom.filters()), (3, 3, 1));
    }

    #[test]
    fn sizes_are_bounded() {
        let options = Options { capacity: u64::MAX, ..Options::default() };
        assert!(Bloom::new(options).is_err());
        let options = Options { error: f64::from_bits(1), capacity: 1 << 30, ..Options::default() };
        assert!(Bloom::new(options).is_err());
        // The largest costs little before it is used.
        let large = filter(0.01, 300_000_000, 2);
        assert!(large.heap_bytes() < 2 << 20);
        assert!(large.capacity_max() < 1 << 30);
        // Rates next to 0 and 1 work.
        for error in [f64::from_bits(1), 0.5, 0.999_999] {
            let mut bloom = filter(error, 1, 1);
            fill(&mut bloom, 60);
            assert!((0..60).all(|n| bloom.contains(format!("item:{n}").as_bytes())));
        }
    }

    #[test]
    fn dumps_in_chunks() {
        let mut bloom = filter(0.01, 100, 2);
        fill(&mut bloom, 2000);
        let mut copy = Bloom::from_header(&bloom.header()).unwrap();
        let mut at = 0;
        loop {
            let chunk = bloom.chunk(at, 100);
            if chunk.is_empty() {
                break;
            }
            copy.load_chunk(at, &chunk).unwrap();
            at += chunk.len() as u64;
        }
        let bytes = |bloom: &Bloom| {
            let mut out = Vec::new();
            bloom.encode(&mut out);
            out
        };
        assert_eq!(bytes(&copy), bytes(&bloom));
        assert_eq!(copy.load_chunk(at, b"12345678"), Err(Corrupt), "behind the end");
        assert_eq!(copy.load_chunk(u64::MAX, b"12345678"), Err(Corrupt));
        assert_eq!(copy.load_chunk(4, b"12345678"), Err(Corrupt), "not on a word");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// What was added is found, whatever the options; nothing is counted twice.
        #[test]
        fn never_forgets(
            error in 0.0001f64..0.9999,
            capacity in 1u64..200,
            expansion in 1u32..4,
            tightening in 0.05f64..0.95,
            items in prop::collection::vec(any::<Vec<u8>>(), 1..200),
        ) {
            let mut bloom = Bloom::new(Options { error, capacity, expansion, tightening }).unwrap();
            for item in &items {
                prop_assert!(bloom.add(item).is_ok());
                prop_assert!(bloom.contains(item));
                prop_assert_eq!(bloom.add(item), Ok(false));
            }
            prop_assert!(items.iter().all(|item| bloom.contains(item)));
            prop_assert!(bloom.items() <= items.len() as u64);
            prop_assert!(bloom.items() <= bloom.capacity());
        }
    }
}
