//! A cuckoo filter: membership with removal, after Fan, Andersen, Kaminsky and Mitzenmacher, "Cuckoo
//! Filter: Practically Better Than Bloom" (2014).
//!
//! An item is a fingerprint of one byte, 1 to 255 (0 is a free slot), in one of two buckets. From a
//! fingerprint and the bucket it lies in follows the other bucket, so that what is in the way can be moved
//! there without the item. When no room is made within `max_iterations` moves, all of them are taken back
//! and a further table is made, `expansion` times as large as the newest; earlier tables are tried first,
//! as removals may have freed slots. Which slot of a bucket gives way is not drawn: it goes round, so that
//! the same commands give the same tables.
//!
//! One item may be added several times: it then takes several slots, and each removal frees one. With `b`
//! slots a bucket, a table answers a wrong yes for about `2 b / 255` of the items when it is full.
//!
//! The header of a dump, low byte first; the slots of all tables follow, first table first:
//!
//! ```text
//! 0   u16  bucket_size      1 ..= 255
//! 2   u16  max_iterations   1 ..= 65535
//! 4   u16  expansion        a power of two up to 32768, or 0: no further table
//! 6   u16  tables           1 ..= TABLES_MAX
//! 8   u64  removed
//! 16  u64  buckets of each  a power of two
//! ```
//!
//! Invariants: the number of slots that are not free is the sum of `items`; only the newest table may be
//! without items besides the first. Costs: O(tables) for a look-up, O(tables + max_iterations) for an
//! addition.

use super::codec::Reader;
use super::hash::{Hash128, mix};
use super::pages::Pages;
use super::{BYTES_MAX, Corrupt, TooLarge};

/// Most tables: the documentation says that a filter can grow up to 32 times.
const TABLES_MAX: usize = 33;

/// What a filter is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Items of the first table; rounded up to a power of two of buckets.
    pub capacity: u64,
    /// Slots of a bucket, 1 to 255.
    pub bucket_size: u16,
    /// Moves before the table counts as full, at least 1.
    pub max_iterations: u16,
    /// How much larger the next table is, rounded up to a power of two; 0: no next table.
    pub expansion: u16,
}

impl Default for Options {
    /// The defaults of Redis.
    fn default() -> Self {
        Self { capacity: 1024, bucket_size: 2, max_iterations: 20, expansion: 1 }
    }
}

/// Why an item could not be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddError {
    /// There is no room and the filter does not grow.
    Full,
    /// It has grown as often as it may, or as far as memory lets it.
    GrownOut,
}

#[derive(Clone, Debug)]
struct Table {
    /// Bucket after bucket.
    slots: Pages<u8>,
    /// A power of two.
    buckets: u64,
    /// Slots that are not free.
    items: u64,
}

impl Table {
    fn new(buckets: u64, bucket_size: u16, bytes_left: usize) -> Result<Self, TooLarge> {
        let slots = buckets.checked_mul(u64::from(bucket_size)).ok_or(TooLarge)?;
        if slots > bytes_left as u64 {
            return Err(TooLarge);
        }
        Ok(Self { slots: Pages::new(slots as usize), buckets, items: 0 })
    }

    fn buckets_of(&self, print: Print) -> (u64, u64) {
        let first = print.hash & (self.buckets - 1);
        (first, self.other(first, print.byte))
    }

    /// The other bucket of a fingerprint that lies in `bucket`.
    fn other(&self, bucket: u64, byte: u8) -> u64 {
        (bucket ^ mix(u64::from(byte))) & (self.buckets - 1)
    }
}

/// What the filter knows of an item.
#[derive(Clone, Copy, Debug)]
struct Print {
    hash: u64,
    byte: u8,
}

impl Print {
    fn of(item: &[u8]) -> Self {
        let Hash128 { a, b } = Hash128::of(item);
        Self { hash: a, byte: (b % 255) as u8 + 1 }
    }
}

/// The filter. See the module's head.
#[derive(Clone, Debug)]
pub struct Cuckoo {
    tables: Vec<Table>,
    bucket_size: u16,
    max_iterations: u16,
    expansion: u16,
    removed: u64,
}

impl Cuckoo {
    /// An empty filter; refuses one whose first table would be above [`BYTES_MAX`].
    pub fn new(options: Options) -> Result<Self, TooLarge> {
        let bucket_size = options.bucket_size.clamp(1, 255);
        let buckets = options.capacity.div_ceil(u64::from(bucket_size)).max(1);
        let buckets = buckets.checked_next_power_of_two().ok_or(TooLarge)?;
        Ok(Self {
            tables: vec![Table::new(buckets, bucket_size, BYTES_MAX)?],
            bucket_size,
            max_iterations: options.max_iterations.max(1),
            expansion: match options.expansion {
                0 => 0,
                some => some.checked_next_power_of_two().unwrap_or(1 << 15),
            },
            removed: 0,
        })
    }

    fn slots(&self, bucket: u64) -> std::ops::Range<usize> {
        let size = usize::from(self.bucket_size);
        // Within a table of at most BYTES_MAX slots.
        let start = bucket as usize * size;
        start..start + size
    }

    /// Adds an item once more.
    pub fn add(&mut self, item: &[u8]) -> Result<(), AddError> {
        let print = Print::of(item);
        for at in (0..self.tables.len()).rev() {
            let (first, second) = self.tables[at].buckets_of(print);
            if self.put(at, first, print.byte) || self.put(at, second, print.byte) {
                return Ok(());
            }
        }
        let last = self.tables.len() - 1;
        if self.make_room(last, print) {
            return Ok(());
        }
        self.grow()?;
        // Every bucket of an empty table has a free slot.
        let (first, _) = self.tables[last + 1].buckets_of(print);
        self.put(last + 1, first, print.byte);
        Ok(())
    }

    /// Puts a fingerprint into a free slot of a bucket.
    fn put(&mut self, table: usize, bucket: u64, byte: u8) -> bool {
        let slots = self.slots(bucket);
        let table = &mut self.tables[table];
        let Some(free) = slots.into_iter().find(|slot| table.slots.cell(*slot) == 0) else {
            return false;
        };
        *table.slots.cell_mut(free) = byte;
        table.items += 1;
        true
    }

    /// Moves fingerprints to their other buckets until one finds a free slot there; takes all back and
    /// answers false when that does not happen soon enough.
    fn make_room(&mut self, table: usize, print: Print) -> bool {
        let size = usize::from(self.bucket_size);
        let (mut bucket, _) = self.tables[table].buckets_of(print);
        let mut byte = print.byte;
        let mut path = Vec::new();
        for turn in 0..usize::from(self.max_iterations) {
            let slot = self.slots(bucket).start + turn % size;
            let cell = self.tables[table].slots.cell_mut(slot);
            std::mem::swap(cell, &mut byte);
            path.push(slot);
            bucket = self.tables[table].other(bucket, byte);
            if self.put(table, bucket, byte) {
                return true;
            }
        }
        for slot in path.into_iter().rev() {
            std::mem::swap(self.tables[table].slots.cell_mut(slot), &mut byte);
        }
        false
    }

    fn grow(&mut self) -> Result<(), AddError> {
        if self.expansion == 0 {
            return Err(AddError::Full);
        }
        if self.tables.len() >= TABLES_MAX {
            return Err(AddError::GrownOut);
        }
        // There is always one.
        let newest = self.tables[self.tables.len() - 1].buckets;
        let buckets = newest.checked_mul(u64::from(self.expansion)).ok_or(AddError::GrownOut)?;
        let left = BYTES_MAX.saturating_sub(self.slot_bytes());
        let table = Table::new(buckets, self.bucket_size, left);
        self.tables.push(table.map_err(|TooLarge| AddError::GrownOut)?);
        Ok(())
    }

    /// Slots that hold the item's fingerprint where the item could be: (table, slot), newest first.
    fn matches(&self, item: &[u8]) -> impl Iterator<Item = (usize, usize)> {
        let print = Print::of(item);
        self.tables.iter().enumerate().rev().flat_map(move |(at, table)| {
            let (first, second) = table.buckets_of(print);
            let others = if first == second { 0..0 } else { self.slots(second) };
            let slots = self.slots(first).chain(others);
            slots
                .filter(move |slot| table.slots.cell(*slot) == print.byte)
                .map(move |slot| (at, slot))
        })
    }

    /// Whether an item seems to be there.
    pub fn contains(&self, item: &[u8]) -> bool {
        self.matches(item).next().is_some()
    }

    /// How often an item seems to be there.
    pub fn count(&self, item: &[u8]) -> u64 {
        self.matches(item).count() as u64
    }

    /// Removes an item once; false when it is not there. Removing what was never added may remove
    /// another item with the same fingerprint.
    pub fn remove(&mut self, item: &[u8]) -> bool {
        let Some((table, slot)) = self.matches(item).next() else { return false };
        let table = &mut self.tables[table];
        *table.slots.cell_mut(slot) = 0;
        table.items -= 1;
        self.removed = self.removed.saturating_add(1);
        while self.tables.len() > 1 && self.tables.last().is_some_and(|table| table.items == 0) {
            self.tables.pop();
        }
        true
    }

    /// Items there are.
    pub fn items(&self) -> u64 {
        self.tables.iter().map(|table| table.items).sum()
    }

    /// Items that were removed.
    pub fn removed(&self) -> u64 {
        self.removed
    }

    /// Buckets of the first table.
    pub fn buckets(&self) -> u64 {
        self.tables.first().map_or(0, |table| table.buckets)
    }

    /// Number of tables.
    pub fn filters(&self) -> usize {
        self.tables.len()
    }

    /// Slots of a bucket.
    pub fn bucket_size(&self) -> u16 {
        self.bucket_size
    }

    /// How much larger each next table is.
    pub fn expansion(&self) -> u16 {
        self.expansion
    }

    /// Moves before a table counts as full.
    pub fn max_iterations(&self) -> u16 {
        self.max_iterations
    }

    fn slot_bytes(&self) -> usize {
        self.tables.iter().map(|table| table.slots.byte_len()).sum()
    }

    /// Bytes that it takes when all its pages are used: what CF.INFO calls its size.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.tables.len() * size_of::<Table>() + self.slot_bytes()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let slots: usize = self.tables.iter().map(|table| table.slots.heap_bytes()).sum();
        self.tables.capacity() * size_of::<Table>() + slots
    }

    /// The header of a dump: everything but the slots.
    pub fn header(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + 8 * self.tables.len());
        let tables = self.tables.len() as u16;
        for field in [self.bucket_size, self.max_iterations, self.expansion, tables] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.extend_from_slice(&self.removed.to_le_bytes());
        for table in &self.tables {
            out.extend_from_slice(&table.buckets.to_le_bytes());
        }
        out
    }

    /// A filter as a header describes it, with free slots only.
    pub fn from_header(bytes: &[u8]) -> Result<Self, Corrupt> {
        let mut from = Reader::new(bytes);
        let cuckoo = Self::read_header(&mut from)?;
        if from.is_empty() { Ok(cuckoo) } else { Err(Corrupt) }
    }

    fn read_header(from: &mut Reader<'_>) -> Result<Self, Corrupt> {
        let (bucket_size, max_iterations) = (from.u16()?, from.u16()?);
        let (expansion, count) = (from.u16()?, usize::from(from.u16()?));
        let removed = from.u64()?;
        let known = (1..=255).contains(&bucket_size)
            && max_iterations > 0
            && (expansion == 0 || expansion.is_power_of_two())
            && (1..=TABLES_MAX).contains(&count);
        if !known {
            return Err(Corrupt);
        }
        let (mut tables, mut left) = (Vec::with_capacity(count), BYTES_MAX);
        for _ in 0..count {
            let buckets = from.u64()?;
            if !buckets.is_power_of_two() {
                return Err(Corrupt);
            }
            let table = Table::new(buckets, bucket_size, left).map_err(|TooLarge| Corrupt)?;
            left -= table.slots.len();
            tables.push(table);
        }
        Ok(Self { tables, bucket_size, max_iterations, expansion, removed })
    }

    /// Copies up to `max` slots from position `from` on, over all tables; empty at the end. A chunk does
    /// not reach from one table into the next.
    pub fn chunk(&self, from: u64, max: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let mut from = from;
        for table in &self.tables {
            let bytes = table.slots.len();
            if from < bytes as u64 {
                let start = from as usize;
                table.slots.copy_bytes(start, start.saturating_add(max).min(bytes), &mut out);
                break;
            }
            from -= bytes as u64;
        }
        out
    }

    /// Writes a chunk back to its position, and counts the slots that it fills or frees.
    pub fn load_chunk(&mut self, from: u64, chunk: &[u8]) -> Result<(), Corrupt> {
        let mut from = from;
        for table in &mut self.tables {
            let bytes = table.slots.len() as u64;
            if from < bytes {
                let start = from as usize;
                let taken = |slots: &Pages<u8>| {
                    (start..start + chunk.len()).filter(|at| slots.cell(*at) != 0).count() as u64
                };
                if chunk.len() as u64 > bytes - from {
                    return Err(Corrupt);
                }
                let before = taken(&table.slots);
                table.slots.write_bytes(start, chunk)?;
                table.items = table.items - before + taken(&table.slots);
                return Ok(());
            }
            from -= bytes;
        }
        Err(Corrupt)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.header());
        self.tables.iter().for_each(|table| table.slots.encode(out));
    }

    pub(super) fn decode(from: &mut Reader<'_>) -> Result<Self, Corrupt> {
        let mut cuckoo = Self::read_header(from)?;
        for table in &mut cuckoo.tables {
            table.slots = Pages::decode(table.slots.len(), from)?;
            let taken = (0..table.slots.len()).filter(|at| table.slots.cell(*at) != 0);
            table.items = taken.count() as u64;
        }
        Ok(cuckoo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn item(n: u32) -> Vec<u8> {
        format!("item:{n}").into_bytes()
    }

    /// No false negatives over growth and removals, and few false positives.
    #[test]
    fn finds_what_is_there_and_little_else() {
        let mut cuckoo = Cuckoo::new(Options { capacity: 16_384, ..Options::default() }).unwrap();
        (0..14_000).for_each(|n| cuckoo.add(&item(n)).unwrap());
        assert!((0..14_000).all(|n| cuckoo.contains(&item(n))));
        let wrong = (20_000..60_000).filter(|n| cuckoo.contains(&item(*n))).count();
        // 2 * bucket size * tables / 255 at most.
        let bound = 4.0 / 255.0 * cuckoo.filters() as f64;
        assert!((wrong as f64) / 40_000.0 <= bound * 1.1, "{wrong} with {}", cuckoo.filters());

        (0..14_000).step_by(2).for_each(|n| assert!(cuckoo.remove(&item(n))));
        assert!((1..14_000).step_by(2).all(|n| cuckoo.contains(&item(n))));
        assert_eq!((cuckoo.items(), cuckoo.removed()), (7000, 7000));
        (1..14_000).step_by(2).for_each(|n| assert!(cuckoo.remove(&item(n))));
        assert_eq!((cuckoo.items(), cuckoo.filters()), (0, 1));
        assert!(!cuckoo.remove(b"item:1"));
    }

    #[test]
    fn a_filter_without_expansion_fills_up_and_loses_nothing() {
        let options = Options { capacity: 64, expansion: 0, ..Options::default() };
        let mut cuckoo = Cuckoo::new(options).unwrap();
        let added: Vec<u32> = (0..300).filter(|n| cuckoo.add(&item(*n)).is_ok()).collect();
        assert!(added.len() > 40 && added.len() <= 64, "{}", added.len());
        assert!(added.iter().all(|n| cuckoo.contains(&item(*n))));
        assert_eq!(cuckoo.items(), added.len() as u64);
    }

    #[test]
    fn the_same_item_takes_slots_until_there_are_none() {
        let mut cuckoo = Cuckoo::new(Options { capacity: 8, ..Options::default() }).unwrap();
        let mut added = 0;
        while cuckoo.add(b"same") == Ok(()) {
            added += 1;
        }
        assert_eq!(cuckoo.add(b"same"), Err(AddError::GrownOut));
        assert_eq!(cuckoo.count(b"same"), added);
        assert!(added >= 33 * 2);
        assert!(Cuckoo::new(Options { capacity: u64::MAX, ..Options::default() }).is_err());
        assert!(Cuckoo::new(Options { capacity: 1 << 33, ..Options::default() }).is_err());
    }

    #[test]
    fn dumps_in_chunks() {
        let mut cuckoo = Cuckoo::new(Options { capacity: 50, ..Options::default() }).unwrap();
        (0..500).for_each(|n| cuckoo.add(&item(n)).unwrap());
        let mut copy = Cuckoo::from_header(&cuckoo.header()).unwrap();
        let mut at = 0;
        loop {
            let chunk = cuckoo.chunk(at, 33);
            if chunk.is_empty() {
                break;
            }
            copy.load_chunk(at, &chunk).unwrap();
            at += chunk.len() as u64;
        }
        assert!((0..500).all(|n| copy.contains(&item(n))));
        assert_eq!(copy.items(), 500);
        assert_eq!(copy.load_chunk(at, b"x"), Err(Corrupt));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Against a count for each item: never fewer, exact in sum.
        #[test]
        fn agrees_with_a_multiset(
            capacity in 2u64..100,
            bucket_size in 1u16..5,
            max_iterations in 1u16..30,
            expansion in 1u16..4,
            steps in prop::collection::vec((any::<bool>(), 0u32..60), 1..300),
        ) {
            let options = Options { capacity, bucket_size, max_iterations, expansion };
            let mut cuckoo = Cuckoo::new(options).unwrap();
            let mut model = std::collections::BTreeMap::new();
            for (adds, n) in steps {
                let count: &mut u64 = model.entry(n).or_default();
                if adds {
                    if cuckoo.add(&item(n)).is_ok() {
                        *count += 1;
                    }
                } else if *count > 0 {
                    prop_assert!(cuckoo.remove(&item(n)));
                    *count -= 1;
                }
                prop_assert!(cuckoo.count(&item(n)) >= *model.get(&n).unwrap());
            }
            prop_assert!(model.iter().all(|(n, count)| cuckoo.count(&item(*n)) >= *count));
            prop_assert_eq!(cuckoo.items(), model.values().sum::<u64>());
        }
    }
}
