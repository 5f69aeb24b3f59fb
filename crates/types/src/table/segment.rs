//! A segment: up to 64 buckets that grow, split and merge on their own.
//!
//! A value's home is six bits of its hash; in a segment of fewer buckets (a small table) the home's
//! high bits choose. When the home is full the next three buckets are tried, and the home counts
//! what it has away, so that a look-up leaves the home only when something may lie outside. A value
//! that finds no room although the segment is sparse (a freak of the hash) goes to `spill`, a plain
//! list, which keeps every insert total.

use super::bucket::{Bucket, LANES};
use super::{HOME_BITS, Keyed, home_of, tag_of};

/// Keys that are fetched ahead of the one whose hash is taken.
const AHEAD: usize = 12;

/// Buckets of a full-grown segment.
pub(super) const BUCKETS: usize = 1 << HOME_BITS;
/// Buckets tried for one value: its home and the next ones.
const WINDOW: usize = 4;

pub(super) struct Segment {
    pub(super) buckets: Box<[Bucket]>,
    spill: Vec<u32>,
    count: u16,
    /// Leading bits of the phased hash that all values here share.
    pub(super) depth: u8,
    /// Those bits, left-aligned in 32.
    pub(super) prefix: u32,
    /// Values with a deadline.
    pub(super) deadlines: u16,
    /// No deadline here is earlier. Units and zero are the owner's.
    pub(super) earliest: u64,
}

/// Where a value lies within its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Bucket { bucket: u8, lane: u8 },
    Spill(u32),
}

impl Segment {
    pub(super) fn new(buckets: usize, depth: u8, prefix: u32) -> Self {
        Self {
            buckets: vec![Bucket::EMPTY; buckets].into_boxed_slice(),
            spill: Vec::new(),
            count: 0,
            depth,
            prefix,
            deadlines: 0,
            earliest: u64::MAX,
        }
    }

    #[inline]
    pub(super) fn count(&self) -> usize {
        usize::from(self.count)
    }

    pub(super) fn capacity(&self) -> usize {
        self.buckets.len() * LANES
    }

    #[inline]
    fn index(&self, home: usize) -> usize {
        home >> (HOME_BITS - self.buckets.len().trailing_zeros())
    }

    #[inline]
    pub(super) fn home_bucket(&self, hash: u64) -> &Bucket {
        &self.buckets[self.index(home_of(hash))]
    }

    /// The bucket that values with this home are in, or near.
    #[inline]
    pub(super) fn bucket_of(&self, home: usize) -> &Bucket {
        &self.buckets[self.index(home)]
    }

    /// The first prefix behind this segment's; none behind the last.
    #[inline]
    pub(super) fn end(&self) -> Option<u32> {
        if self.depth == 0 {
            return None;
        }
        u32::try_from(u64::from(self.prefix) + (1 << (32 - self.depth))).ok()
    }

    #[inline]
    pub(super) fn find(&self, hash: u64, mut eq: impl FnMut(u32) -> bool) -> Option<Place> {
        let (first, tag) = (self.index(home_of(hash)), tag_of(hash));
        let home = &self.buckets[first];
        if let Some(lane) = search(home, tag, &mut eq) {
            return Some(Place::Bucket { bucket: first as u8, lane });
        }
        if home.away() == 0 {
            return None;
        }
        self.find_away(first, tag, eq)
    }

    #[cold]
    fn find_away(&self, first: usize, tag: u8, mut eq: impl FnMut(u32) -> bool) -> Option<Place> {
        for bucket in self.window(first).skip(1) {
            if let Some(lane) = search(&self.buckets[bucket], tag, &mut eq) {
                return Some(Place::Bucket { bucket: bucket as u8, lane });
            }
        }
        self.spill.iter().position(|&v| eq(v)).map(|at| Place::Spill(at as u32))
    }

    /// Up to four values whose tag matches: what a look-up will follow.
    #[inline]
    pub(super) fn candidates(&self, hash: u64, mut visit: impl FnMut(u32)) {
        let bucket = self.home_bucket(hash);
        let mut mask = bucket.matches(tag_of(hash));
        while mask != 0 {
            visit(bucket.value(mask.trailing_zeros() as usize));
            mask &= mask - 1;
        }
    }

    #[inline]
    fn window(&self, first: usize) -> impl Iterator<Item = usize> + use<> {
        let mask = self.buckets.len() - 1;
        (0..WINDOW.min(self.buckets.len())).map(move |step| (first + step) & mask)
    }

    /// Adds a value that is not here; false when its window is full.
    #[inline]
    pub(super) fn put(&mut self, hash: u64, value: u32) -> bool {
        let first = self.index(home_of(hash));
        for bucket in self.window(first) {
            if self.buckets[bucket].put(tag_of(hash), value).is_some() {
                if bucket != first {
                    self.buckets[first].add_away();
                }
                self.count += 1;
                return true;
            }
        }
        false
    }

    /// Adds a value whose window is full, by moving others towards their windows' ends (hopscotch
    /// hashing, Herlihy et al. 2008): the nearest free lane beyond the window hops back, one value
    /// at a time, until it lies inside. False when no chain of hops gets there.
    #[cold]
    pub(super) fn put_displacing(&mut self, hash: u64, value: u32, keyed: &impl Keyed) -> bool {
        let mask = self.buckets.len() - 1;
        if self.buckets.len() <= WINDOW {
            return false;
        }
        let first = self.index(home_of(hash));
        let Some(mut distance) = (WINDOW..self.buckets.len())
            .find(|d| self.buckets[(first + d) & mask].used().count_ones() < LANES as u32)
        else {
            return false;
        };
        while distance >= WINDOW {
            let hops = |back: &usize| self.hop((first + distance - back) & mask, *back, keyed);
            let Some(back) = (1..WINDOW).rev().find(hops) else {
                return false;
            };
            distance -= back;
        }
        self.put(hash, value)
    }

    /// Moves one value of the bucket `from` to the bucket `by` further on, if its window allows.
    fn hop(&mut self, from: usize, by: usize, keyed: &impl Keyed) -> bool {
        let mask = self.buckets.len() - 1;
        let to = (from + by) & mask;
        for lane in lanes(self.buckets[from].used()) {
            let value = self.buckets[from].value(lane);
            let hash = keyed.hash(value);
            let home = self.index(home_of(hash));
            let away = (from + self.buckets.len() - home) & mask;
            if away + by < WINDOW {
                self.buckets[from].clear(lane);
                let moved = self.buckets[to].put(tag_of(hash), value);
                debug_assert!(moved.is_some(), "a hop ends in a bucket with a free lane");
                if away == 0 {
                    self.buckets[home].add_away();
                }
                return true;
            }
        }
        false
    }

    /// Adds a value that finds no room although the segment is sparse.
    #[cold]
    pub(super) fn put_aside(&mut self, hash: u64, value: u32) {
        let first = self.index(home_of(hash));
        self.buckets[first].add_away();
        self.spill.push(value);
        self.count += 1;
    }

    pub(super) fn spilled(&self) -> usize {
        self.spill.len()
    }

    #[inline]
    pub(super) fn value(&self, place: Place) -> u32 {
        match place {
            Place::Bucket { bucket, lane } => {
                self.buckets[usize::from(bucket)].value(usize::from(lane))
            }
            Place::Spill(at) => self.spill[at as usize],
        }
    }

    #[inline]
    pub(super) fn replace(&mut self, place: Place, value: u32) {
        match place {
            Place::Bucket { bucket, lane } => {
                self.buckets[usize::from(bucket)].set_value(usize::from(lane), value);
            }
            Place::Spill(at) => self.spill[at as usize] = value,
        }
    }

    #[inline]
    pub(super) fn remove(&mut self, hash: u64, place: Place) -> u32 {
        let first = self.index(home_of(hash));
        self.count -= 1;
        match place {
            Place::Bucket { bucket, lane } => {
                let held = &mut self.buckets[usize::from(bucket)];
                let value = held.value(usize::from(lane));
                held.clear(usize::from(lane));
                if usize::from(bucket) != first {
                    self.buckets[first].sub_away();
                }
                value
            }
            Place::Spill(at) => {
                self.buckets[first].sub_away();
                self.spill.swap_remove(at as usize)
            }
        }
    }

    /// Every value once.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.buckets
            .iter()
            .flat_map(|bucket| lanes(bucket.used()).map(|lane| bucket.value(lane)))
            .chain(self.spill.iter().copied())
    }

    /// Replaces every value for which `change` gives a new one.
    pub(super) fn rewrite(&mut self, mut change: impl FnMut(u32) -> Option<u32>) {
        for bucket in &mut self.buckets {
            for lane in lanes(bucket.used()) {
                if let Some(value) = change(bucket.value(lane)) {
                    bucket.set_value(lane, value);
                }
            }
        }
        for value in &mut self.spill {
            if let Some(changed) = change(*value) {
                *value = changed;
            }
        }
    }

    /// The value at position `at` of `0..capacity + spilled`, if that position is taken.
    pub(super) fn nth(&self, at: usize) -> Option<u32> {
        if at >= self.capacity() {
            return self.spill.get(at - self.capacity()).copied();
        }
        let bucket = &self.buckets[at / LANES];
        (bucket.used() >> (at % LANES) & 1 == 1).then(|| bucket.value(at % LANES))
    }

    /// Emits the values whose home is `home`, and gives the first home that was not covered: more
    /// than one is covered at a time in a small segment.
    pub(super) fn scan_home(
        &self,
        home: usize,
        keyed: &impl Keyed,
        mut emit: impl FnMut(u32),
    ) -> usize {
        let first = self.index(home);
        let next = (first + 1) << (HOME_BITS - self.buckets.len().trailing_zeros());
        let reach = if self.buckets[first].away() == 0 { 1 } else { WINDOW };
        for bucket in self.window(first).take(reach) {
            let held = &self.buckets[bucket];
            for lane in lanes(held.used()) {
                let value = held.value(lane);
                if self.index(home_of(keyed.hash(value))) == first {
                    emit(value);
                }
            }
        }
        if reach > 1 {
            for &value in &self.spill {
                if self.index(home_of(keyed.hash(value))) == first {
                    emit(value);
                }
            }
        }
        next
    }

    /// Takes all values out, with their hashes, and counts their deadlines anew from zero.
    pub(super) fn drain(&mut self, keyed: &impl Keyed) -> Vec<(u64, u32)> {
        let raw: Vec<u32> = self.iter().collect();
        let mut values = Vec::with_capacity(raw.len());
        for (at, &value) in raw.iter().enumerate() {
            // Keys lie anywhere: without this, a split would wait for the memory several hundred times.
            if let Some(&ahead) = raw.get(at + AHEAD) {
                keyed.prefetch(ahead);
            }
            values.push((keyed.hash(value), value));
        }
        self.buckets.fill(Bucket::EMPTY);
        self.spill.clear();
        self.count = 0;
        self.deadlines = 0;
        values
    }

    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.buckets) + self.spill.capacity() * 4
    }
}

/// The values in a bucket.
pub(super) fn values_of(bucket: &Bucket) -> impl Iterator<Item = u32> + '_ {
    lanes(bucket.used()).map(|lane| bucket.value(lane))
}

#[inline]
fn search(bucket: &Bucket, tag: u8, eq: &mut impl FnMut(u32) -> bool) -> Option<u8> {
    let mut mask = bucket.matches(tag);
    while mask != 0 {
        let lane = mask.trailing_zeros();
        if eq(bucket.value(lane as usize)) {
            return Some(lane as u8);
        }
        mask &= mask - 1;
    }
    None
}

#[inline]
fn lanes(mut used: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        (used != 0).then(|| {
            let lane = used.trailing_zeros();
            used &= used - 1;
            lane as usize
        })
    })
}
