//! The large form of a sorted set: B+tree, member table and arena, kept in step.
//!
//! Each member has one block in the arena (drawn in `entry`), one reference to it in the table,
//! found by the member's hash, and one slot in the tree, found by score and member. The slot
//! carries a 32-bit image of the score (`entry::prefix`), so that a search reads a block only where
//! the images are equal: never for different integer scores below 2^25.
//!
//! Invariants: table, tree and arena hold the same references, each once; a slot's prefix is that
//! of its block's score; the tree is ordered by [`Entry::order`]; no score is NaN. An emptied set
//! holds no heap memory.
//!
//! Costs, in cache misses at a million members: add about 2 for the table, 3 for the tree, 1 for
//! the block. A new score that does not move the member is written in place.

// HOT PATH: no allocation besides the block and a node's split; no log, no lock.

use super::bptree::BpTree;
use super::entry::{self, Entry};
use super::iter::TreeIter;
use super::node::Slot;
use super::range::{LexRange, Order, ScoreRange};
use super::value::Change;
use crate::arena::{Arena, Ref};
use crate::capture::{Capture, Copied, Head, Kept, Part, Remains, STEP_ELEMENTS, Step};
use crate::table::{self, Stage, Table};
use ochre_base::hash::hash;
use ochre_base::rng::Rng;
use std::ops::Range;

/// Slots of a leaf: 1020 bytes, the 1-KB size class of the allocator.
pub(super) const LEAF: usize = 127;

/// Children of an inner node: about 1.4 KB.
pub(super) const FANOUT: usize = 72;

/// The large form of a sorted set. The parameters are the node sizes, which only tests change.
#[derive(Debug, Default)]
pub struct ZsetTree<const L: usize = LEAF, const F: usize = FANOUT> {
    tree: BpTree<L, F>,
    members: Table,
    arena: Arena,
    capture: Capture<FromTop<L, F>>,
}

/// The capture of a sorted set: from the highest entry down, so that a reader of the file that keeps a
/// list adds each at its head. An entry that is not kept was given exactly when it lies above the cursor
/// now: whatever moves it over the cursor keeps it.
#[derive(Debug)]
struct FromTop<const L: usize, const F: usize> {
    /// The lowest entry that was given.
    cursor: Option<(f64, Vec<u8>)>,
    kept: Kept,
    /// The set as it was when all of it was removed at once; what came after is not of the capture.
    removed: Option<Box<ZsetTree<L, F>>>,
}

impl<const L: usize, const F: usize> FromTop<L, F> {
    /// Whether an entry lies where the walk is still to come.
    fn is_ahead(&self, entry: Entry<'_>) -> bool {
        let Some((score, member)) = &self.cursor else { return true };
        entry.order(&Entry { member, score: *score }).is_lt()
    }

    /// Before an entry changes, comes or goes.
    #[cold]
    fn keep(&mut self, hash: u64, member: &[u8], old: Option<f64>, new: Option<f64>) {
        if self.removed.is_some() || self.kept.contains(hash, member) {
            return;
        }
        let is_ahead = |score: &f64| self.is_ahead(Entry { member, score: *score });
        if let Some(score) = old.filter(is_ahead) {
            self.kept.keep(hash, member, Some([&score.to_le_bytes(), &[]]));
        } else if new.as_ref().is_some_and(is_ahead) {
            // It was not there, or was given: the walk must not take it for another.
            self.kept.keep(hash, member, None);
        }
    }
}

/// The predicate "this slot precedes `key`", as the tree wants it.
#[inline]
fn precedes<'a>(arena: &'a Arena, key: Entry<'a>) -> impl Fn(Slot) -> bool + 'a {
    let prefix = entry::prefix(key.score);
    move |slot| {
        if slot.prefix == prefix {
            entry::read(arena.bytes(slot.at)).0.order(&key).is_lt()
        } else {
            slot.prefix < prefix
        }
    }
}

/// The hash of the member that a table's value stands for.
#[inline]
fn hash_of(arena: &Arena) -> impl Fn(u32) -> u64 + '_ {
    |raw| hash(entry::member(arena.bytes(Ref::from_raw(raw))))
}

impl<const L: usize, const F: usize> ZsetTree<L, F> {
    /// An empty set; allocates nothing.
    pub const fn new() -> Self {
        Self {
            tree: BpTree::new(),
            members: Table::new(),
            arena: Arena::new(),
            capture: Capture::NONE,
        }
    }

    /// The number of members.
    #[inline]
    pub fn len(&self) -> usize {
        self.tree.len()
    }

    /// Whether there is no member.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.tree.len() == 0
    }

    /// A member's block, from its start to beyond its end.
    #[inline]
    pub(super) fn block(&self, at: Ref) -> &[u8] {
        self.arena.bytes(at)
    }

    /// The slots of the leaf that holds `rank`, and the rank within them.
    #[inline]
    pub(super) fn leaf_at(&self, rank: usize) -> (&[Slot], usize) {
        self.tree.leaf_at(rank)
    }

    #[inline]
    fn find(&self, hash: u64, member: &[u8]) -> Option<table::Slot> {
        self.members.find(hash, |raw| entry::member(self.arena.bytes(Ref::from_raw(raw))) == member)
    }

    /// Fetches what a look-up of `member` will touch; see [`Stage`].
    pub fn prefetch(&self, member: &[u8], stage: Stage) {
        stage.fetch(&self.members, &self.arena, hash(member));
    }

    /// The member's score. O(1).
    #[inline]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        let place = self.find(hash(member), member)?;
        Some(entry::score(self.arena.bytes(Ref::from_raw(self.members.value(place)))))
    }

    /// The member's rank, counted in `order`, and its score. O(log n).
    pub fn rank(&self, member: &[u8], order: Order) -> Option<(usize, f64)> {
        let score = self.score(member)?;
        let rank = self.tree.rank_of(precedes(&self.arena, Entry { member, score }));
        match order {
            Order::Ascending => Some((rank, score)),
            Order::Descending => Some((self.len() - 1 - rank, score)),
        }
    }

    /// The entry at `rank`, counted from the lowest. O(log n).
    pub fn at_rank(&self, rank: usize) -> Option<Entry<'_>> {
        self.tree.slot_at(rank).map(|slot| entry::read(self.arena.bytes(slot.at)).0)
    }

    /// The ranks whose scores are in `range`. O(log n).
    pub fn score_span(&self, range: &ScoreRange) -> Range<usize> {
        let (low, high) = (entry::prefix(range.min.value), entry::prefix(range.max.value));
        let score = |slot: Slot| entry::score(self.arena.bytes(slot.at));
        let start = self.tree.rank_of(|slot| {
            if slot.prefix == low { range.is_above(score(slot)) } else { slot.prefix < low }
        });
        let end = self.tree.rank_of(|slot| {
            if slot.prefix == high { !range.is_below(score(slot)) } else { slot.prefix < high }
        });
        start..end.max(start)
    }

    /// The ranks whose members are in `range`, all scores being equal. O(log n).
    pub fn lex_span(&self, range: &LexRange<'_>) -> Range<usize> {
        let member = |slot: Slot| entry::member(self.arena.bytes(slot.at));
        let start = self.tree.rank_of(|slot| range.is_above(member(slot)));
        let end = self.tree.rank_of(|slot| !range.is_below(member(slot)));
        start..end.max(start)
    }

    /// The entries of the ranks in `span`, cut to the set, in `order`. O(log n + m).
    pub(super) fn iter_span(&self, span: Range<usize>, order: Order) -> TreeIter<'_, L, F> {
        TreeIter::new(self, cut(span, self.len()), order)
    }

    /// Lets `decide` choose the score of `member`, given the present one; nothing, the same score
    /// or NaN leave the set as it is. O(log n).
    pub fn put_with(
        &mut self,
        member: &[u8],
        decide: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> Change {
        let hash = hash(member);
        let Some(place) = self.find(hash, member) else {
            return match decide(None) {
                Some(score) if !score.is_nan() => {
                    self.add(hash, score, member);
                    Change::Added
                }
                _ => Change::Unchanged,
            };
        };
        let at = Ref::from_raw(self.members.value(place));
        let old = entry::score(self.arena.bytes(at));
        match decide(Some(old)) {
            Some(new) if new != old && !new.is_nan() => {
                self.keep(hash, member, Some(old), Some(new));
                self.rescore(place, at, Entry { member, score: old }, new);
                Change::Updated
            }
            _ => Change::Unchanged,
        }
    }

    /// Gives `member` the score, adding it when absent. NaN changes nothing. O(log n).
    #[inline]
    pub fn insert_or_update(&mut self, score: f64, member: &[u8]) -> Change {
        debug_assert!(!score.is_nan(), "NaN is refused before it gets here");
        self.put_with(member, |_| Some(score))
    }

    fn add(&mut self, hash: u64, score: f64, member: &[u8]) {
        self.keep(hash, member, None, Some(score));
        let at = self.store(score, member);
        let Self { tree, members, arena, .. } = self;
        let slot = Slot { prefix: entry::prefix(score), at };
        tree.insert(slot, precedes(arena, Entry { member, score }));
        members.insert(hash, at.raw(), hash_of(arena));
    }

    /// Adds an absent member that follows all others: no comparison is needed.
    pub(super) fn push(&mut self, score: f64, member: &[u8]) {
        debug_assert!(!self.capture.is_on(), "only a set that is being built is pushed to");
        let at = self.store(score, member);
        let Self { tree, members, arena, .. } = self;
        tree.insert(Slot { prefix: entry::prefix(score), at }, |_| true);
        members.insert(hash(member), at.raw(), hash_of(arena));
    }

    /// Whether (score, member) follows every entry of the set.
    pub(super) fn is_beyond_last(&self, next: Entry<'_>) -> bool {
        let last = self.len().checked_sub(1).and_then(|rank| self.at_rank(rank));
        last.is_none_or(|last| last.order(&next).is_lt())
    }

    fn store(&mut self, score: f64, member: &[u8]) -> Ref {
        let at = self.arena.alloc(entry::size(score, member.len()));
        entry::write(self.arena.bytes_mut(at), score, member);
        at
    }

    /// Moves the entry `old`, whose block is `at`, to the score `new`.
    fn rescore(&mut self, place: table::Slot, at: Ref, old: Entry<'_>, new: f64) {
        let moved = Entry { member: old.member, score: new };
        let rank = self.tree.rank_of(precedes(&self.arena, old));
        let stays = self.stays_at(rank, moved);
        if !stays {
            self.tree.remove_run(rank, 1, |slot| debug_assert_eq!(slot.at, at));
        }
        let at = self.rewrite(place, at, old, new);
        let slot = Slot { prefix: entry::prefix(new), at };
        if stays {
            self.tree.set_at(rank, slot);
        } else {
            self.tree.insert(slot, precedes(&self.arena, moved));
        }
    }

    /// Whether the entry of `rank` keeps its rank when it becomes `moved`.
    fn stays_at(&self, rank: usize, moved: Entry<'_>) -> bool {
        let before_moved = precedes(&self.arena, moved);
        let (slots, at) = self.tree.leaf_at(rank);
        let next = match slots.get(at + 1) {
            Some(slot) => Some(*slot),
            None => self.tree.slot_at(rank + 1),
        };
        if next.is_some_and(&before_moved) {
            return false;
        }
        let previous = match at.checked_sub(1) {
            Some(at) => Some(slots[at]),
            None => rank.checked_sub(1).and_then(|rank| self.tree.slot_at(rank)),
        };
        previous.is_none_or(&before_moved)
    }

    /// Writes the new score to the block, or to a new block where it needs another size.
    fn rewrite(&mut self, place: table::Slot, at: Ref, old: Entry<'_>, new: f64) -> Ref {
        if entry::rewrite_score(self.arena.bytes_mut(at), new) {
            return at;
        }
        let (held, size) =
            (entry::size(old.score, old.member.len()), entry::size(new, old.member.len()));
        if Arena::usable(held) == Arena::usable(size) {
            entry::write(self.arena.bytes_mut(at), new, old.member);
            return at;
        }
        self.arena.free(at, held);
        let at = self.store(new, old.member);
        self.members.replace(place, at.raw());
        at
    }

    /// Removes the member, and gives the score that it had. O(log n).
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let hash = hash(member);
        let place = self.find(hash, member)?;
        let at = Ref::from_raw(self.members.value(place));
        let score = entry::score(self.arena.bytes(at));
        self.keep(hash, member, Some(score), None);
        let rank = self.tree.rank_of(precedes(&self.arena, Entry { member, score }));
        self.tree.remove_run(rank, 1, |slot| debug_assert_eq!(slot.at, at));
        self.members.remove(place, hash_of(&self.arena));
        self.arena.free(at, entry::size(score, member.len()));
        self.release_if_empty();
        Some(score)
    }

    /// Removes the entries of the ranks in `span`, cut to the set, and says how many.
    /// O(m + m/100 log n).
    pub fn remove_span(&mut self, span: Range<usize>) -> usize {
        let span = cut(span, self.len());
        if span.len() == self.len() {
            self.remove_all();
            return span.len();
        }
        let Self { tree, members, arena, capture } = self;
        let mut left = span.len();
        while left > 0 {
            left -= tree.remove_run(span.start, left, |slot| {
                let (entry, size) = entry::read(arena.bytes(slot.at));
                let hash = hash(entry.member);
                if let Some(capture) = &mut capture.0 {
                    capture.keep(hash, entry.member, Some(entry.score), None);
                }
                let place = members.find(hash, |raw| raw == slot.at.raw());
                if let Some(place) = place {
                    members.remove(place, hash_of(arena));
                }
                arena.free(slot.at, size);
            });
        }
        span.len()
    }

    fn release_if_empty(&mut self) {
        if self.is_empty() {
            let capture = std::mem::take(&mut self.capture);
            *self = Self { capture, ..Self::new() };
        }
    }

    /// Removes all members. O(1) while the set is captured, which then goes on with what was removed.
    fn remove_all(&mut self) {
        let capture = std::mem::take(&mut self.capture);
        let removed = std::mem::replace(self, Self { capture, ..Self::new() });
        if let Some(capture) = &mut self.capture.0
            && capture.removed.is_none()
        {
            capture.removed = Some(Box::new(removed));
        }
    }

    /// Before an entry changes, comes or goes: keeps it for the capture that is under way.
    #[inline]
    fn keep(&mut self, hash: u64, member: &[u8], old: Option<f64>, new: Option<f64>) {
        if let Some(capture) = &mut self.capture.0 {
            capture.keep(hash, member, old, new);
        }
    }

    /// See [`Value::begin_capture`](crate::value::Value::begin_capture).
    pub(crate) fn begin_capture(&mut self) -> Head {
        let capture = FromTop { cursor: None, kept: Kept::default(), removed: None };
        self.capture = Capture(Some(Box::new(capture)));
        Head::Zset(self.len())
    }

    /// See [`Value::capture_step`](crate::value::Value::capture_step).
    pub(crate) fn capture_step(&mut self) -> Step {
        let Some(mut capture) = self.capture.0.take() else {
            return Step { is_last: true, ..Step::default() };
        };
        let source = capture.removed.as_deref().unwrap_or(self);
        let end = match &capture.cursor {
            None => source.len(),
            Some((score, member)) => {
                source.tree.rank_of(precedes(&source.arena, Entry { member, score: *score }))
            }
        };
        let (mut left, mut cursor, mut copied) = (end, None, Copied::new());
        let span = end.saturating_sub(STEP_ELEMENTS)..end;
        for entry in source.iter_span(span, Order::Descending) {
            let kept = &capture.kept;
            if kept.is_empty() || !kept.contains(hash(entry.member), entry.member) {
                copied.push(entry.member, [&entry.score.to_le_bytes(), &[]]);
            }
            left -= 1;
            cursor = Some(entry);
            if copied.is_full() {
                break;
            }
        }
        let cursor = cursor.map(|entry| (entry.score, entry.member.to_vec()));
        let mut step = Step::of(Part::Elements(copied));
        if left == 0 {
            let FromTop { kept, removed, .. } = *capture;
            step.parts.push(Part::Kept(Box::new(kept)));
            step.parts.extend(removed.map(|removed| Part::Remains(Remains(removed))));
            step.is_last = true;
        } else {
            capture.cursor = cursor;
            self.capture = Capture(Some(capture));
        }
        step
    }

    /// See [`Value::end_capture`](crate::value::Value::end_capture).
    pub(crate) fn end_capture(&mut self) -> Option<Remains> {
        self.capture.end()
    }

    /// One member, uniformly. O(log n).
    pub fn random(&self, rng: &mut Rng) -> Option<Entry<'_>> {
        self.at_rank(rng.below(self.len() as u64) as usize)
    }

    /// One step of a scan: emits about ten entries and gives the cursor to go on with; 0 starts,
    /// 0 returned is the end. A member present throughout is emitted at least once.
    pub fn scan(&self, cursor: u64, mut emit: impl FnMut(Entry<'_>)) -> u64 {
        self.members.scan(cursor, hash_of(&self.arena), |raw| {
            emit(entry::read(self.arena.bytes(Ref::from_raw(raw))).0);
        })
    }

    /// Gives memory back that removals left scattered, if a third or more of the blocks' memory can
    /// come back; otherwise costs nothing to speak of. O(n).
    pub fn compact(&mut self) {
        if !self.arena.begin_compaction() {
            return;
        }
        let Self { tree, members, arena, .. } = self;
        let mut copy = Vec::new();
        tree.rewrite(|old| {
            if !arena.should_move(old) {
                return None;
            }
            let (entry, size) = entry::read(arena.bytes(old));
            let place = members.find(hash(entry.member), |raw| raw == old.raw())?;
            copy.clear();
            copy.extend_from_slice(&arena.bytes(old)[..size]);
            let new = arena.alloc(size);
            arena.bytes_mut(new)[..size].copy_from_slice(&copy);
            arena.free(old, size);
            members.replace(place, new.raw());
            Some(new)
        });
        arena.end_compaction();
    }

    /// Heap bytes of the three structures. O(n / 7000).
    pub fn heap_bytes(&self) -> usize {
        self.tree.heap_bytes() + self.members.heap_bytes() + self.arena.held_bytes()
    }
}

impl<const L: usize, const F: usize> Default for BpTree<L, F> {
    fn default() -> Self {
        Self::new()
    }
}

/// `span` without what lies beyond `len`.
#[inline]
pub(super) fn cut(span: Range<usize>, len: usize) -> Range<usize> {
    let start = span.start.min(len);
    start..span.end.clamp(start, len)
}

#[cfg(test)]
impl<const L: usize, const F: usize> ZsetTree<L, F> {
    /// The slots in order and the number of leaves, all invariants of the B+tree verified.
    pub(super) fn check_slots(&self) -> (Vec<Slot>, usize) {
        self.tree.check()
    }

    pub(super) fn live_bytes(&self) -> usize {
        self.arena.live_bytes()
    }
}
