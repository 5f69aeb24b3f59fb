//! The sorted set as a value: either form, the same operations, and the way from one to the other.
//!
//! [`ZsetRef`] carries all reading, over a packed set that may lie anywhere (the keyspace keeps
//! small ones inside its entries); [`Zset`] owns its form and carries all writing. To write to
//! packed bytes that lie elsewhere, wrap a copy in [`Zset::Packed`] and store what comes out.
//!
//! Conversions: packed to tree when an addition goes beyond the thresholds, never on a change of
//! score; tree to packed only by [`Zset::fit`], for stored results. An emptied set is zero bytes
//! or an empty tree: its owner drops it.

use super::entry::Entry;
use super::iter::Iter;
use super::packed::{self, Walk};
use super::range::{LexRange, Order, ScoreRange};
use super::tree::{ZsetTree, cut};
use crate::limits::Limits;
use ochre_base::rng::Rng;
use std::ops::Range;

/// What a write did to one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The member was absent and is in the set now.
    Added,
    /// The member has another score.
    Updated,
    /// Nothing changed.
    Unchanged,
}

/// The logical encoding, as OBJECT ENCODING names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZsetEncoding {
    /// Within the thresholds since it was made.
    Listpack,
    /// Beyond them at some time; the name only, no skip list is involved.
    Skiplist,
}

impl ZsetEncoding {
    /// The peers' name of the encoding.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Listpack => "listpack",
            Self::Skiplist => "skiplist",
        }
    }
}

/// A sorted set, for reading. Ranks count from 0 at the lowest unless an [`Order`] says otherwise.
#[derive(Clone, Copy, Debug)]
pub enum ZsetRef<'a> {
    /// The bytes of a packed set, as [`Zset::Packed`] holds them.
    Packed(&'a [u8]),
    /// A tree.
    Tree(&'a ZsetTree),
}

impl<'a> ZsetRef<'a> {
    /// The number of members. O(1).
    #[inline]
    pub fn len(self) -> usize {
        match self {
            Self::Packed(bytes) => packed::len(bytes),
            Self::Tree(tree) => tree.len(),
        }
    }

    /// Whether there is no member.
    #[inline]
    pub fn is_empty(self) -> bool {
        match self {
            Self::Packed(bytes) => bytes.is_empty(),
            Self::Tree(tree) => tree.is_empty(),
        }
    }

    /// The logical encoding.
    pub const fn encoding(self) -> ZsetEncoding {
        match self {
            Self::Packed(_) => ZsetEncoding::Listpack,
            Self::Tree(_) => ZsetEncoding::Skiplist,
        }
    }

    /// The member's score. O(1); a packed set is searched.
    #[inline]
    pub fn score(self, member: &[u8]) -> Option<f64> {
        match self {
            Self::Packed(bytes) => packed::find(bytes, member).map(|found| found.score),
            Self::Tree(tree) => tree.score(member),
        }
    }

    /// The member's rank, counted in `order`, and its score. O(log n).
    pub fn rank(self, member: &[u8], order: Order) -> Option<(usize, f64)> {
        match self {
            Self::Packed(bytes) => {
                let found = packed::find(bytes, member)?;
                match order {
                    Order::Ascending => Some((found.rank, found.score)),
                    Order::Descending => Some((packed::len(bytes) - 1 - found.rank, found.score)),
                }
            }
            Self::Tree(tree) => tree.rank(member, order),
        }
    }

    /// The entry at `rank`. O(log n).
    pub fn at_rank(self, rank: usize) -> Option<Entry<'a>> {
        match self {
            Self::Packed(bytes) => packed::entry_at(bytes, rank),
            Self::Tree(tree) => tree.at_rank(rank),
        }
    }

    /// The lowest entry.
    pub fn first(self) -> Option<Entry<'a>> {
        self.at_rank(0)
    }

    /// The highest entry.
    pub fn last(self) -> Option<Entry<'a>> {
        self.at_rank(self.len().checked_sub(1)?)
    }

    /// The ranks whose scores are in `range`; its length is the count. O(log n).
    pub fn score_span(self, range: &ScoreRange) -> Range<usize> {
        match self {
            _ if range.is_empty() => 0..0,
            Self::Packed(bytes) => packed::score_span(bytes, range),
            Self::Tree(tree) => tree.score_span(range),
        }
    }

    /// The ranks whose members are in `range`, all scores being equal (with mixed scores: some
    /// span). O(log n).
    pub fn lex_span(self, range: &LexRange<'_>) -> Range<usize> {
        match self {
            Self::Packed(bytes) => packed::lex_span(bytes, range),
            Self::Tree(tree) => tree.lex_span(range),
        }
    }

    /// The entries of the ranks in `span`, from its start up or from its end down. What lies beyond
    /// the set is left out. O(log n + m).
    pub fn iter_span(self, span: Range<usize>, order: Order) -> Iter<'a> {
        match self {
            Self::Packed(bytes) => Iter::packed(bytes, cut(span, packed::len(bytes)), order),
            Self::Tree(tree) => Iter::tree(tree.iter_span(span, order)),
        }
    }

    /// At most `count` entries from the `start`th on, where `order` also counts the start: with
    /// [`Order::Descending`], 0 is the highest. O(log n + m).
    pub fn iter_from(self, start: usize, count: usize, order: Order) -> Iter<'a> {
        let len = self.len();
        let counted = cut(start..start.saturating_add(count), len);
        match order {
            Order::Ascending => self.iter_span(counted, order),
            Order::Descending => self.iter_span(len - counted.end..len - counted.start, order),
        }
    }

    /// All entries, from the lowest up.
    pub fn iter(self) -> Iter<'a> {
        self.iter_span(0..usize::MAX, Order::Ascending)
    }

    /// One entry, uniformly. O(log n).
    pub fn random(self, rng: &mut Rng) -> Option<Entry<'a>> {
        self.at_rank(rng.below(self.len() as u64) as usize)
    }

    /// Emits `count` entries drawn uniformly, each time from the whole set; none from an empty set.
    /// O(count log n); a packed set is noted first, in O(n).
    pub fn sample_repeating(self, count: usize, rng: &mut Rng, mut emit: impl FnMut(Entry<'a>)) {
        let len = self.len() as u64;
        match self {
            Self::Packed(_) if len > 0 => {
                let entries: Vec<Entry<'a>> = self.iter().collect();
                for _ in 0..count {
                    emit(entries[rng.below(len) as usize]);
                }
            }
            Self::Packed(_) => {}
            Self::Tree(tree) => {
                let draws = (0..count).map_while(|_| tree.random(rng));
                draws.for_each(emit);
            }
        }
    }

    /// Emits `count` distinct entries, or all when there are fewer, from the lowest up; every
    /// choice is equally likely. O(count log n), or O(n) when that is less.
    pub fn sample_distinct(self, count: usize, rng: &mut Rng, mut emit: impl FnMut(Entry<'a>)) {
        let len = self.len();
        if count >= len {
            return self.iter().for_each(emit);
        }
        if count > len / 2 {
            // Fewer to leave out than to take.
            let mut left_out = distinct_ranks(len - count, len, rng).into_iter().peekable();
            for (rank, entry) in self.iter().enumerate() {
                if left_out.next_if_eq(&rank).is_none() {
                    emit(entry);
                }
            }
            return;
        }
        let mut ranks = distinct_ranks(count, len, rng).into_iter().peekable();
        match self {
            Self::Packed(_) => {
                for (rank, entry) in self.iter().enumerate() {
                    if ranks.next_if_eq(&rank).is_some() {
                        emit(entry);
                    }
                }
            }
            Self::Tree(tree) => ranks.filter_map(|rank| tree.at_rank(rank)).for_each(emit),
        }
    }

    /// One step of a scan: a packed set emits all at once; a tree about ten entries. 0 starts, 0
    /// returned is the end. A member present throughout is emitted at least once.
    pub fn scan(self, cursor: u64, emit: impl FnMut(Entry<'_>)) -> u64 {
        match self {
            Self::Packed(_) => {
                self.iter().for_each(emit);
                0
            }
            Self::Tree(tree) => tree.scan(cursor, emit),
        }
    }
}

/// `count` distinct ranks below `len`, ascending; `count` is at most half of `len`, so that a draw
/// is new with probability one half at least and the expected number of rounds is logarithmic.
fn distinct_ranks(count: usize, len: usize, rng: &mut Rng) -> Vec<usize> {
    let mut ranks = Vec::with_capacity(count);
    while ranks.len() < count {
        // Draws that repeat are dropped and drawn again, never more than are missing, so that no
        // choice among the drawn is made: the result is uniform.
        ranks.extend((ranks.len()..count).map(|_| rng.below(len as u64) as usize));
        ranks.sort_unstable();
        ranks.dedup();
    }
    ranks
}

/// A sorted set that owns its form. Read it through [`Zset::view`].
#[derive(Debug)]
pub enum Zset {
    /// A small set: the bytes that `packed` draws; no bytes at all when empty.
    Packed(Vec<u8>),
    /// A large set.
    Tree(Box<ZsetTree>),
}

impl Default for Zset {
    fn default() -> Self {
        Self::new()
    }
}

impl Zset {
    /// An empty set, packed; allocates nothing.
    pub const fn new() -> Self {
        Self::Packed(Vec::new())
    }

    /// An empty set for about `entries` members of at most `member_len` bytes, which is a skiplist
    /// from the start when that is beyond the thresholds (as ZADD makes them since Redis 7.2).
    pub fn with_hint(entries: usize, member_len: usize, limits: &Limits) -> Self {
        if entries <= limits.zset_max_listpack_entries
            && member_len <= limits.zset_max_listpack_value
        {
            Self::new()
        } else {
            Self::Tree(Box::default())
        }
    }

    /// A set of the entries, which come in the set's order and with distinct members; what breaks
    /// the order is still put in its place. Its encoding follows the thresholds. O(n).
    pub fn from_sorted<'a>(entries: impl IntoIterator<Item = Entry<'a>>, limits: &Limits) -> Self {
        let entries = entries.into_iter();
        let mut set = Self::with_hint(entries.size_hint().0, 0, limits);
        for entry in entries.filter(|entry| !entry.score.is_nan()) {
            set.append(entry, limits);
        }
        set.fit(limits);
        set
    }

    /// A set of the entries in any order; of a repeated member the last score stays. Its encoding
    /// follows the thresholds. O(n log n).
    pub fn from_unsorted<'a>(
        entries: impl IntoIterator<Item = Entry<'a>>,
        limits: &Limits,
    ) -> Self {
        let entries = entries.into_iter();
        let mut set = Self::with_hint(entries.size_hint().0, 0, limits);
        for entry in entries {
            set.put_with(entry.member, |_| Some(entry.score), limits);
        }
        set.fit(limits);
        set
    }

    /// Adds an entry that usually follows all others.
    fn append(&mut self, entry: Entry<'_>, limits: &Limits) {
        if let Self::Tree(tree) = self
            && tree.is_beyond_last(entry)
            && tree.score(entry.member).is_none()
        {
            tree.push(entry.score, entry.member);
        } else {
            self.put_with(entry.member, |_| Some(entry.score), limits);
        }
    }

    /// The set, for reading.
    #[inline]
    pub fn view(&self) -> ZsetRef<'_> {
        match self {
            Self::Packed(bytes) => ZsetRef::Packed(bytes),
            Self::Tree(tree) => ZsetRef::Tree(tree),
        }
    }

    /// The number of members.
    #[inline]
    pub fn len(&self) -> usize {
        self.view().len()
    }

    /// Whether there is no member: the owner then drops the set.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.view().is_empty()
    }

    /// Lets `decide` choose the score of `member`, given the present one: one search for ZADD with
    /// all its conditions, ZINCRBY and the aggregates. Nothing, the same score or NaN leave the set
    /// as it is. O(log n); linear while packed.
    pub fn put_with(
        &mut self,
        member: &[u8],
        decide: impl FnOnce(Option<f64>) -> Option<f64>,
        limits: &Limits,
    ) -> Change {
        let bytes = match self {
            Self::Tree(tree) => return tree.put_with(member, decide),
            Self::Packed(bytes) => bytes,
        };
        if let Some(found) = packed::find(bytes, member) {
            return match decide(Some(found.score)) {
                Some(score) if score != found.score && !score.is_nan() => {
                    packed::rescore(bytes, &found, score, member);
                    Change::Updated
                }
                _ => Change::Unchanged,
            };
        }
        let Some(score) = decide(None).filter(|score| !score.is_nan()) else {
            return Change::Unchanged;
        };
        if packed::len(bytes) < limits.zset_max_listpack_entries
            && member.len() <= limits.zset_max_listpack_value
            && packed::size_with(bytes, score, member.len()) <= packed::BYTES_MAX
        {
            packed::insert(bytes, score, member);
        } else {
            self.make_tree().insert_or_update(score, member);
        }
        Change::Added
    }

    /// Gives `member` the score, adding it when absent. NaN changes nothing.
    pub fn insert_or_update(&mut self, score: f64, member: &[u8], limits: &Limits) -> Change {
        debug_assert!(!score.is_nan(), "NaN is refused before it gets here");
        self.put_with(member, |_| Some(score), limits)
    }

    /// Removes the member, and gives the score that it had. O(log n).
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        match self {
            Self::Packed(bytes) => {
                let found = packed::find(bytes, member)?;
                packed::remove(bytes, found.at);
                Some(found.score)
            }
            Self::Tree(tree) => tree.remove(member),
        }
    }

    /// Removes the entries of the ranks in `span`, and says how many. What lies beyond the set
    /// counts for nothing. O(log n + m).
    pub fn remove_span(&mut self, span: Range<usize>) -> usize {
        match self {
            Self::Packed(bytes) => {
                let span = cut(span, packed::len(bytes));
                packed::remove_span(bytes, span.clone());
                span.len()
            }
            Self::Tree(tree) => tree.remove_span(span),
        }
    }

    /// Removes the entries whose scores are in `range`, and says how many.
    pub fn remove_by_score(&mut self, range: &ScoreRange) -> usize {
        let span = self.view().score_span(range);
        self.remove_span(span)
    }

    /// Removes the entries whose members are in `range`, and says how many.
    pub fn remove_by_lex(&mut self, range: &LexRange<'_>) -> usize {
        let span = self.view().lex_span(range);
        self.remove_span(span)
    }

    /// Removes up to `count` entries from the low end ([`Order::Ascending`]) or the high end,
    /// showing each to `emit` in that order before it goes, and says how many.
    pub fn pop(&mut self, count: usize, order: Order, emit: impl FnMut(Entry<'_>)) -> usize {
        self.view().iter_from(0, count, order).for_each(emit);
        let len = self.len();
        let kept = len.saturating_sub(count);
        match order {
            Order::Ascending => self.remove_span(0..len - kept),
            Order::Descending => self.remove_span(kept..len),
        }
    }

    /// Packs a tree that is within the thresholds: for results about to be stored, never for sets
    /// that shrank.
    pub fn fit(&mut self, limits: &Limits) {
        let Self::Tree(tree) = self else { return };
        if tree.len() > limits.zset_max_listpack_entries {
            return;
        }
        let mut bytes = Vec::new();
        for entry in tree.iter_span(0..tree.len(), Order::Ascending) {
            let size = packed::size_with(&bytes, entry.score, entry.member.len());
            if entry.member.len() > limits.zset_max_listpack_value || size > packed::BYTES_MAX {
                return;
            }
            packed::push(&mut bytes, entry.score, entry.member);
        }
        *self = Self::Packed(bytes);
    }

    /// The set as a tree, made one if it is packed.
    fn make_tree(&mut self) -> &mut ZsetTree {
        if let Self::Packed(bytes) = self {
            let mut tree = Box::<ZsetTree>::default();
            for (_, entry) in Walk::new(bytes) {
                tree.push(entry.score, entry.member);
            }
            *self = Self::Tree(tree);
        }
        match self {
            Self::Tree(tree) => tree,
            Self::Packed(_) => unreachable!("a packed set was replaced above"),
        }
    }

    /// Moves the blocks of a tree together after many removals; see [`ZsetTree::compact`].
    pub fn compact(&mut self) {
        match self {
            Self::Packed(bytes) => bytes.shrink_to_fit(),
            Self::Tree(tree) => tree.compact(),
        }
    }

    /// Heap bytes held.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Packed(bytes) => bytes.capacity(),
            Self::Tree(tree) => size_of::<ZsetTree>() + tree.heap_bytes(),
        }
    }
}
