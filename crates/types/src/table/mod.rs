//! The segmented hash table of the keyspace and of large collections: extendible hashing (Fagin
//! et al. 1979) over segments of 64-byte buckets, after the Dash table (Lu et al., VLDB 2020).
//!
//! It stores 32-bit values that its owner can turn into keys (usually arena references) and never
//! rehashes as a whole: a full segment splits alone, two sparse buddies merge again. The costs of
//! growth are thus one segment's (at most 768 hashes), whatever the table's size.
//!
//! ```text
//! hash      bits 12..20  tag, compared in the bucket before a value is followed
//!           bits 20..26  home bucket within the segment
//!           bits 32..64  prefix: chooses the segment, through the phase map below
//! directory 2^depth entries by leading prefix bits -> index of the segment
//! ```
//!
//! **Phase map.** With a uniform prefix all segments fill, and split, at the same time: the table
//! would swing between 45 % and 95 % full. The prefix x in 0..1 is therefore mapped to
//! `x + 0.343 x (1 - x)`, close to `log2(1 + x)`, so that the density of keys falls by half along
//! the prefix space; at every moment some segments are nearly full and others just split, and the
//! bytes per key stay within a few percent of their mean.
//!
//! **Scan.** The cursor is (home bucket, prefix), homes outermost. A value's home and prefix never
//! change; split, merge and growth only change which segment holds a prefix. What was visited at
//! any moment contains all (home', prefix') below the cursor, so a value that stays is emitted at
//! least once; resuming inside a segment that merged repeats, never misses.
//!
//! **Deadlines.** A segment counts its values with a deadline and keeps a lower bound of them, so
//! that an owner finds what is due without an index (see [`Table::due_segment`]).
//!
//! Costs: find, insert, remove O(1) and about two cache lines; a split or merge O(768) at worst;
//! memory 5.33 bytes a value at full load, about 8 on average.

mod bucket;
mod prefetch;
mod segment;

pub use prefetch::{Stage, prefetch};
use segment::{BUCKETS, Place, Segment};

/// Bits of the home bucket.
const HOME_BITS: u32 = 6;
/// Steps of a scan that are fetched together: about 70 values.
const STEPS_AHEAD: usize = 8;
/// A directory is at most this deep: the prefix has 32 bits, and 2^24 segments hold 10^10 values.
const DEPTH_MAX: u8 = 24;
/// A segment and its buddy merge when both together fill less than this part of one.
const MERGE_FILL: usize = 4;

#[inline]
fn tag_of(hash: u64) -> u8 {
    (hash >> 12) as u8
}

#[inline]
fn home_of(hash: u64) -> usize {
    (hash >> 20) as usize & (BUCKETS - 1)
}

/// The phase map: see the module's head.
#[inline]
fn prefix_of(hash: u64) -> u32 {
    let x = hash >> 32;
    let bump = (x * (0xFFFF_FFFF - x)) >> 32;
    // 0.343 in units of 2^-32; the sum stays below 2^32 because the map's value at 1 is 1.
    (x + ((bump * 1_473_173_782) >> 32)) as u32
}

/// Where the order of [`Table::scan`] has a value with this hash: a scan that stands at a cursor has
/// emitted every value at a lower position, and none at another that was not emitted before.
#[inline]
pub fn position(hash: u64) -> u64 {
    (home_of(hash) as u64) << 32 | u64::from(prefix_of(hash))
}

/// What a table must know of its values to move them.
pub trait Keyed {
    /// The hash of the key that `value` stands for: the one it was inserted with.
    fn hash(&self, value: u32) -> u64;

    /// Whether the value has a deadline.
    #[inline]
    fn has_deadline(&self, _value: u32) -> bool {
        false
    }

    /// Fetches what [`Keyed::hash`] will look at.
    #[inline]
    fn prefetch(&self, _value: u32) {}
}

impl<F: Fn(u32) -> u64> Keyed for F {
    #[inline]
    fn hash(&self, value: u32) -> u64 {
        self(value)
    }
}

/// A value's place; valid until the next mutation of the table.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    segment: u32,
    place: Place,
    hash: u64,
}

/// The table. See the module's head.
#[derive(Default)]
pub struct Table {
    directory: Vec<u32>,
    segments: Vec<Segment>,
    depth: u8,
    len: usize,
    /// Values with a deadline.
    deadlines: usize,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table")
            .field("len", &self.len)
            .field("segments", &self.segments.len())
            .field("depth", &self.depth)
            .finish()
    }
}

impl Table {
    /// A table that holds no memory.
    pub const fn new() -> Self {
        Self { directory: Vec::new(), segments: Vec::new(), depth: 0, len: 0, deadlines: 0 }
    }

    /// Values in the table.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    fn segment_index(&self, prefix: u32) -> usize {
        // A shift by 32 is not defined: a directory of one entry takes the other way.
        if self.depth == 0 {
            0
        } else {
            self.directory[(prefix >> (32 - self.depth)) as usize] as usize
        }
    }

    /// The place of the value with this hash that `eq` accepts. O(1).
    #[inline]
    pub fn find(&self, hash: u64, eq: impl FnMut(u32) -> bool) -> Option<Slot> {
        if self.len == 0 {
            return None;
        }
        let segment = self.segment_index(prefix_of(hash));
        let place = self.segments[segment].find(hash, eq)?;
        Some(Slot { segment: segment as u32, place, hash })
    }

    /// Fetches the home bucket of `hash` into the cache.
    #[inline]
    pub fn prefetch_bucket(&self, hash: u64) {
        if self.len != 0 {
            let segment = &self.segments[self.segment_index(prefix_of(hash))];
            prefetch(segment.home_bucket(hash));
        }
    }

    /// Calls `visit` with the values that a look-up of `hash` will compare.
    #[inline]
    pub fn candidates(&self, hash: u64, visit: impl FnMut(u32)) {
        if self.len != 0 {
            self.segments[self.segment_index(prefix_of(hash))].candidates(hash, visit);
        }
    }

    /// The value at `slot`.
    #[inline]
    pub fn value(&self, slot: Slot) -> u32 {
        self.segments[slot.segment as usize].value(slot.place)
    }

    /// Puts another value of the same key at `slot`.
    #[inline]
    pub fn replace(&mut self, slot: Slot, value: u32) {
        self.segments[slot.segment as usize].replace(slot.place, value);
    }

    /// Adds a value whose key is absent. O(1), or one split of O(768).
    #[inline]
    pub fn insert(&mut self, hash: u64, value: u32, keyed: impl Keyed) {
        self.len += 1;
        if self.segments.is_empty() {
            self.segments.push(Segment::new(1, 0, 0));
            self.directory.push(0);
        }
        let segment = self.segment_index(prefix_of(hash));
        if !self.segments[segment].put(hash, value) {
            self.make_room(hash, value, &keyed);
        }
    }

    #[cold]
    fn make_room(&mut self, hash: u64, value: u32, keyed: &impl Keyed) {
        loop {
            let index = self.segment_index(prefix_of(hash));
            let segment = &mut self.segments[index];
            if segment.put(hash, value) || segment.put_displacing(hash, value, keyed) {
                return;
            }
            let sparse = segment.count() * 2 < segment.capacity();
            if sparse && segment.spilled() < BUCKETS || segment.depth == DEPTH_MAX {
                return segment.put_aside(hash, value);
            }
            if segment.buckets.len() < BUCKETS {
                self.grow(index, keyed);
            } else {
                self.split(index, keyed);
            }
        }
    }

    /// Doubles the buckets of a segment that is not full-grown.
    fn grow(&mut self, index: usize, keyed: &impl Keyed) {
        let segment = &mut self.segments[index];
        let (depth, prefix) = (segment.depth, segment.prefix);
        let (deadlines, earliest) = (segment.deadlines, segment.earliest);
        let values = segment.drain(keyed);
        *segment = Segment::new(segment.buckets.len() * 2, depth, prefix);
        segment.deadlines = deadlines;
        segment.earliest = earliest;
        for (hash, value) in values {
            place(segment, hash, value);
        }
    }

    fn split(&mut self, index: usize, keyed: &impl Keyed) {
        let old_depth = self.segments[index].depth;
        if old_depth == self.depth {
            self.directory = self.directory.iter().flat_map(|&s| [s, s]).collect();
            self.depth += 1;
        }
        let low = &mut self.segments[index];
        let half = 1 << (31 - old_depth);
        let mut high = Segment::new(BUCKETS, old_depth + 1, low.prefix | half);
        high.earliest = low.earliest;
        let had_deadlines = low.deadlines > 0;
        let values = low.drain(keyed);
        low.depth += 1;
        for (hash, value) in values {
            let to = if prefix_of(hash) & half == 0 { &mut *low } else { &mut high };
            place(to, hash, value);
            if had_deadlines && keyed.has_deadline(value) {
                to.deadlines += 1;
            }
        }
        let (prefix, depth) = (high.prefix, high.depth);
        self.segments.push(high);
        self.point(prefix, depth, self.segments.len() - 1);
    }

    /// Lets the directory entries of a segment name it.
    fn point(&mut self, prefix: u32, depth: u8, index: usize) {
        let shift = 32 - u32::from(self.depth);
        let first = if self.depth == 0 { 0 } else { (prefix >> shift) as usize };
        let span = 1 << (self.depth - depth);
        self.directory[first..first + span].fill(index as u32);
    }

    /// Takes the value at `slot` out, and merges its segment with its buddy when both are sparse.
    #[inline]
    pub fn remove(&mut self, slot: Slot, keyed: impl Keyed) -> u32 {
        self.len -= 1;
        let segment = &mut self.segments[slot.segment as usize];
        let value = segment.remove(slot.hash, slot.place);
        if segment.count() * 2 * MERGE_FILL < segment.capacity() {
            self.shrink(slot.segment as usize, &keyed);
        }
        value
    }

    #[cold]
    fn shrink(&mut self, index: usize, keyed: &impl Keyed) {
        if self.len == 0 {
            *self = Self::new();
            return;
        }
        let segment = &self.segments[index];
        if segment.depth == 0 {
            let half = segment.buckets.len() / 2;
            // Halving at an eighth, to a quarter full: growth is far away again.
            if half > 0 && segment.count() * 8 < segment.capacity() {
                self.halve(half, keyed);
            }
            return;
        }
        let (depth, prefix) = (segment.depth, segment.prefix);
        let buddy = self.segment_index(prefix ^ (1 << (32 - depth)));
        let other = &self.segments[buddy];
        let together = segment.count() + other.count();
        if other.depth != depth || together * MERGE_FILL >= segment.capacity() {
            return;
        }
        let (keep, gone) = if prefix < other.prefix { (index, buddy) } else { (buddy, index) };
        // Draining forgets the count, which is that of the values: none of them changes its deadline here.
        let (deadlines, earliest) = (self.segments[gone].deadlines, self.segments[gone].earliest);
        let values = self.segments[gone].drain(keyed);
        let kept = &mut self.segments[keep];
        kept.depth -= 1;
        kept.deadlines += deadlines;
        kept.earliest = kept.earliest.min(earliest);
        for (hash, value) in values {
            place(kept, hash, value);
        }
        let (prefix, depth) = (kept.prefix, kept.depth);
        self.point(prefix, depth, keep);
        self.drop_segment(gone);
        self.shrink_directory();
    }

    fn halve(&mut self, buckets: usize, keyed: &impl Keyed) {
        let segment = &mut self.segments[0];
        let (deadlines, earliest) = (segment.deadlines, segment.earliest);
        let values = segment.drain(keyed);
        *segment = Segment::new(buckets, 0, 0);
        segment.deadlines = deadlines;
        segment.earliest = earliest;
        for (hash, value) in values {
            place(segment, hash, value);
        }
    }

    fn drop_segment(&mut self, index: usize) {
        self.segments.swap_remove(index);
        if let Some(moved) = self.segments.get(index) {
            let (prefix, depth) = (moved.prefix, moved.depth);
            self.point(prefix, depth, index);
        }
        if self.segments.capacity() > 4 * self.segments.len() {
            self.segments.shrink_to(2 * self.segments.len());
        }
    }

    fn shrink_directory(&mut self) {
        // Looked at only when it may help: half the entries of a directory that is too deep repeat.
        if self.directory.len() < 4 * self.segments.len() {
            return;
        }
        let deepest = self.segments.iter().map(|s| s.depth).max().unwrap_or(0);
        if deepest < self.depth {
            let step = 1 << (self.depth - deepest);
            self.directory = self.directory.iter().copied().step_by(step).collect();
            self.depth = deepest;
        }
    }

    /// Every value once, in no order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.segments.iter().flat_map(Segment::iter)
    }

    /// One step of a scan: emits about ten values and gives the cursor to go on with; 0 starts a
    /// scan, and 0 comes back when it is complete. Cursors are below 2^39.
    pub fn scan(&self, cursor: u64, keyed: impl Keyed, emit: impl FnMut(u32)) -> u64 {
        if self.len == 0 {
            return 0;
        }
        let (home, prefix) = ((cursor >> 32) as usize, cursor as u32);
        if home >= BUCKETS {
            return 0;
        }
        let segment = &self.segments[self.segment_index(prefix)];
        let mut next_home = segment.scan_home(home, &keyed, emit);
        let mut next_prefix = 0;
        if let Some(end) = segment.end() {
            (next_home, next_prefix) = (home, end);
        }
        if next_home >= BUCKETS { 0 } else { (next_home as u64) << 32 | u64::from(next_prefix) }
    }

    /// Fetches what the next steps of a scan will look at: their buckets, and then the values there, which
    /// `fetch` knows to fetch. A scan of a large table waits for memory otherwise, value by value.
    pub fn fetch_ahead(&self, cursor: u64, mut fetch: impl FnMut(u32)) {
        if self.len == 0 {
            return;
        }
        let (mut home, mut prefix) = ((cursor >> 32) as usize, cursor as u32);
        let mut ahead = [None; STEPS_AHEAD];
        for place in &mut ahead {
            if home >= BUCKETS {
                break;
            }
            let segment = &self.segments[self.segment_index(prefix)];
            let bucket = segment.bucket_of(home);
            prefetch(bucket);
            *place = Some(bucket);
            (home, prefix) = match segment.end() {
                Some(end) => (home, end),
                None => (home + 1, 0),
            };
        }
        ahead.into_iter().flatten().flat_map(segment::values_of).for_each(&mut fetch);
    }

    /// One value, each with the same chance; `random` gives uniform 64-bit numbers.
    pub fn sample(&self, mut random: impl FnMut() -> u64) -> Option<u32> {
        if self.len == 0 {
            return None;
        }
        // Every segment has the same number of positions but for spilled values, so a uniform
        // position, rejected when free, is a uniform value. Merging keeps a segment 1/8 full on
        // average; after many misses (a table just emptied) the nearest value has to do.
        let longest = self.segments.iter().take(1).map(Segment::capacity).sum::<usize>() as u64;
        for _ in 0..256 {
            let bits = random();
            let segment = (u128::from(bits) * self.segments.len() as u128) >> 64;
            let segment = &self.segments[segment as usize];
            let span = longest + if segment.spilled() > 0 { BUCKETS as u64 } else { 0 };
            let at = ((u128::from(random()) * u128::from(span)) >> 64) as usize;
            if let Some(value) = segment.nth(at) {
                return Some(value);
            }
        }
        let skip = (u128::from(random()) * self.segments.len() as u128) >> 64;
        let (late, early) = self.segments.split_at(skip as usize);
        early.iter().chain(late).flat_map(Segment::iter).next()
    }

    /// Segments now; indices below are valid for [`Table::segment_values`].
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// The values of one segment.
    pub fn segment_values(&self, index: usize) -> impl Iterator<Item = u32> + '_ {
        self.segments.get(index).into_iter().flat_map(Segment::iter)
    }

    /// Lets `change` replace values of one segment (by another value of the same key).
    pub fn rewrite_segment(&mut self, index: usize, change: impl FnMut(u32) -> Option<u32>) {
        if let Some(segment) = self.segments.get_mut(index) {
            segment.rewrite(change);
        }
    }

    /// Notes that the value at `slot`, which had no deadline, has one now.
    #[inline]
    pub fn add_deadline(&mut self, slot: Slot, at: u64) {
        let segment = &mut self.segments[slot.segment as usize];
        segment.deadlines += 1;
        segment.earliest = segment.earliest.min(at);
        self.deadlines += 1;
    }

    /// Notes that the deadline of the value at `slot` is now `at`.
    #[inline]
    pub fn move_deadline(&mut self, slot: Slot, at: u64) {
        let segment = &mut self.segments[slot.segment as usize];
        segment.earliest = segment.earliest.min(at);
    }

    /// Notes that the value at `slot` has no deadline any more; call it before a removal too.
    #[inline]
    pub fn drop_deadline(&mut self, slot: Slot) {
        let segment = &mut self.segments[slot.segment as usize];
        segment.deadlines -= 1;
        if segment.deadlines == 0 {
            segment.earliest = u64::MAX;
        }
        self.deadlines -= 1;
    }

    /// Values with a deadline.
    #[inline]
    pub fn deadlines(&self) -> usize {
        self.deadlines
    }

    /// A time before which no deadline falls; none when there is no deadline, which is known at once.
    /// O(segments).
    pub fn earliest(&self) -> Option<u64> {
        if self.deadlines == 0 {
            return None;
        }
        let with = self.segments.iter().filter(|segment| segment.deadlines > 0);
        with.map(|segment| segment.earliest).min()
    }

    /// The next segment at or after `from` that may hold a deadline at or before `now`.
    pub fn due_segment(&self, from: usize, now: u64) -> Option<usize> {
        let rest = self.segments.get(from..)?;
        rest.iter().position(|s| s.deadlines > 0 && s.earliest <= now).map(|at| from + at)
    }

    /// Sets the lower bound of a segment's deadlines, after its owner has looked at all of them.
    pub fn set_earliest(&mut self, index: usize, earliest: u64) {
        if let Some(segment) = self.segments.get_mut(index) {
            segment.earliest = if segment.deadlines == 0 { u64::MAX } else { earliest };
        }
    }

    /// Heap bytes held.
    pub fn heap_bytes(&self) -> usize {
        self.directory.capacity() * 4
            + self.segments.capacity() * size_of::<Segment>()
            + self.segments.iter().map(Segment::heap_bytes).sum::<usize>()
    }

    /// Positions for values in all segments: what HTSTATS calls the table's size.
    pub fn capacity(&self) -> usize {
        self.segments.iter().map(Segment::capacity).sum()
    }
}

fn place(segment: &mut Segment, hash: u64, value: u32) {
    if !segment.put(hash, value) {
        segment.put_aside(hash, value);
    }
}

#[cfg(test)]
mod tests;
