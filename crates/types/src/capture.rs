//! Capturing a large collection in parts: as it was when the capture began, while it goes on changing.
//!
//! A collection of a few pages is captured whole. One of millions of elements would keep its lock for
//! seconds, and sharing its pages would copy pages for single elements. So [`Value::begin_capture`] only
//! notes what is to be counted, in O(1), and [`Value::capture_step`] then gives the content part by part,
//! each in some microseconds. What keeps it exact meanwhile is the collection's own book-keeping:
//!
//! - A walk goes through the elements in an order in which an element never moves by itself: hashes and
//!   sets by the position of the element's hash, sorted sets from the highest (score, member) down, lists by
//!   pages, streams by ids. Whether an element lies before the cursor, and so was given already, follows
//!   from the element alone: nothing is marked, splits and merges of tables do not matter.
//! - A change to an element that lies beyond the cursor first *keeps* it ([`Kept`]): its old content, or
//!   that it was not there. The walk passes over kept elements; those that were there are given at the
//!   end. So each element of the beginning is given once, as it was.
//! - Lists and streams keep whole pages and blocks, and give them in their places.
//!
//! Costs: one branch a change when no capture is under way. Memory: what was changed ahead of the walk,
//! element by element (page by page), and about 10 bytes for each; a collection that is emptied or
//! replaced is handed to the walk instead of being freed.
//!
//! Invariants: a captured collection is not captured again before its capture has ended; a copy of a
//! collection has no capture. A capture may end at any moment ([`Value::end_capture`]).
//!
//! Limits: a step takes one bucket's elements at least (about ten), one page, or one block, however
//! large they are.

use ochre_base::hash::hash;
use smallvec::SmallVec;

use crate::arena::{Arena, Ref};
use crate::hash::Hash;
use crate::hash::table::{read_varint, varint_width, write_varint};
use crate::list::List;
use crate::set::Set;
use crate::stream::{Block, ConsumerId, Pending, StreamId};
use crate::table::Table;
use crate::value::Value;
use crate::zset::Zset;

/// Elements after which a step ends: each costs 0.1 us, or 0.3 where memory is slow.
pub(crate) const STEP_ELEMENTS: usize = 64;
/// Bytes copied after which a step ends: some 5 us.
pub(crate) const STEP_BYTES: usize = 16 << 10;

/// What is known of a collection when its capture begins: what stands before its elements in a file.
#[derive(Debug)]
pub enum Head {
    /// A hash.
    Hash {
        /// Fields.
        len: usize,
        /// A time before which none of them expires; none when none ever does.
        earliest: Option<u64>,
    },
    /// A set of so many members.
    Set(usize),
    /// A sorted set of so many members.
    Zset(usize),
    /// A list of so many pages.
    List(usize),
    /// A stream.
    Stream(StreamHead),
}

/// A stream without its entries and groups.
#[derive(Debug, Clone, Copy)]
pub struct StreamHead {
    /// Blocks.
    pub blocks: usize,
    /// Groups.
    pub groups: usize,
    /// Entries.
    pub len: u64,
    /// The id of the first entry.
    pub first_id: StreamId,
    /// The highest id ever given.
    pub last_id: StreamId,
    /// The highest id that was deleted.
    pub max_deleted_id: StreamId,
    /// Entries ever added.
    pub entries_added: u64,
}

/// A group of a stream without its pending entries.
#[derive(Debug)]
pub struct GroupHead {
    /// Its name.
    pub name: Box<[u8]>,
    /// The last entry that was delivered.
    pub last_id: StreamId,
    /// Entries of the stream's life read up to there, as far as that is known.
    pub entries_read: Option<i64>,
    /// Entries that are pending.
    pub pending: usize,
    /// Consumers in the order of their names.
    pub consumers: Vec<ConsumerHead>,
}

/// A consumer without what it has not acknowledged.
#[derive(Debug)]
pub struct ConsumerHead {
    /// What pending entries call it.
    pub id: ConsumerId,
    /// Its name.
    pub name: Box<[u8]>,
    /// When it last tried to read, in Unix milliseconds.
    pub seen_ms: i64,
    /// When it last got something; -1: never.
    pub active_ms: i64,
}

/// A part of a collection's content.
#[derive(Debug)]
pub enum Part {
    /// Elements of a hash, set or sorted set.
    Elements(Copied),
    /// The same: those that changed before the walk had come to them.
    Kept(Box<Kept>),
    /// The next pages of a list, packed.
    Pages(Vec<Vec<u8>>),
    /// The next blocks of a stream.
    Blocks(Vec<Block>),
    /// The next group of a stream: its pending entries follow.
    Group(Box<GroupHead>),
    /// The next pending entries of that group, by id.
    Pending(Vec<(StreamId, Pending)>),
    /// No content: what is to be freed with no lock held.
    Remains(Remains),
}

/// What one step gave.
#[derive(Debug, Default)]
pub struct Step {
    /// The content, in order.
    pub parts: SmallVec<[Part; 2]>,
    /// The capture has ended.
    pub is_last: bool,
}

impl Step {
    pub(crate) fn of(part: Part) -> Self {
        Self { parts: SmallVec::from_iter([part]), is_last: false }
    }
}

/// Book-keeping of a capture that has ended.
#[derive(Debug)]
pub struct Remains(
    #[expect(dead_code, reason = "it is only held, to be dropped where no lock is")]
    pub(crate)  Box<dyn Held>,
);

/// Anything that is only held to be dropped.
pub(crate) trait Held: std::fmt::Debug + Send + Sync {}

impl<T: std::fmt::Debug + Send + Sync> Held for T {}

/// The capture of a collection, if one is under way. A copy of the collection has none.
#[derive(Debug)]
pub(crate) struct Capture<T>(pub(crate) Option<Box<T>>);

impl<T> Default for Capture<T> {
    fn default() -> Self {
        Self::NONE
    }
}

impl<T> Clone for Capture<T> {
    fn clone(&self) -> Self {
        Self::NONE
    }
}

impl<T> Capture<T> {
    pub(crate) const NONE: Self = Self(None);

    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }
}

impl<T: std::fmt::Debug + Send + Sync + 'static> Capture<T> {
    /// Ends it; what it held is not dropped here.
    pub(crate) fn end(&mut self) -> Option<Remains> {
        self.0.take().map(|capture| Remains(capture))
    }
}

/// An element with its content: of a hash the field and, before its value, eight bytes of expiry
/// (little endian, 0 for none); of a sorted set the member and its score (little endian); of a set the
/// member and nothing.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

/// A hash's content of a pair: the expiry (0: none) and the value.
pub fn field_content(content: &[u8]) -> (u64, &[u8]) {
    match content.split_first_chunk::<8>() {
        Some((expiry, value)) => (u64::from_le_bytes(*expiry), value),
        None => (0, &[]),
    }
}

/// A sorted set's content of a pair.
pub fn score_content(content: &[u8]) -> f64 {
    content.first_chunk::<8>().map_or(0.0, |score| f64::from_le_bytes(*score))
}

/// Elements copied out of a collection, one after another:
/// `[name length:varint][content length:varint][name][content]`.
#[derive(Debug)]
pub struct Copied {
    bytes: Vec<u8>,
    pairs: usize,
}

impl Copied {
    /// Room for about a step.
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::with_capacity(STEP_BYTES / 4), pairs: 0 }
    }

    /// Adds an element; its content comes in two pieces.
    pub(crate) fn push(&mut self, name: &[u8], content: [&[u8]; 2]) {
        let content_len = content[0].len() + content[1].len();
        self.push_len(name.len());
        self.push_len(content_len);
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(content[0]);
        self.bytes.extend_from_slice(content[1]);
        self.pairs += 1;
    }

    fn push_len(&mut self, mut len: usize) {
        while len >= 0x80 {
            self.bytes.push(len as u8 | 0x80);
            len >>= 7;
        }
        self.bytes.push(len as u8);
    }

    /// Whether a step has taken enough.
    pub(crate) fn is_full(&self) -> bool {
        self.pairs >= STEP_ELEMENTS || self.bytes.len() >= STEP_BYTES
    }

    /// The elements.
    pub fn pairs(&self) -> impl Iterator<Item = Pair<'_>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let (pair, next) = pair_at(&self.bytes, at)?;
            at = next;
            Some(pair)
        })
    }
}

/// The pair that begins at `at`, and where it ends.
fn pair_at(bytes: &[u8], at: usize) -> Option<(Pair<'_>, usize)> {
    let (name_len, at) = read_varint(bytes, at)?;
    let (content_len, at) = read_varint(bytes, at)?;
    let name = bytes.get(at..at + name_len)?;
    let content = bytes.get(at + name_len..at + name_len + content_len)?;
    Some(((name, content), at + name_len + content_len))
}

const ABSENT: u8 = 0;
const PRESENT: u8 = 1;

/// Elements that changed ahead of a walk, by name, as they were: a table of references to blocks
/// `[present:1]` and then as in [`Copied`].
#[derive(Debug, Default)]
pub struct Kept {
    table: Table,
    arena: Arena,
}

impl Kept {
    fn name_of(arena: &Arena, value: u32) -> &[u8] {
        let bytes = arena.bytes(Ref::from_raw(value));
        pair_at(bytes, 1).map_or(&[], |((name, _), _)| name)
    }

    /// Whether an element is kept.
    #[inline]
    pub(crate) fn contains(&self, hash: u64, name: &[u8]) -> bool {
        self.table.find(hash, |value| Self::name_of(&self.arena, value) == name).is_some()
    }

    /// Whether none is.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Keeps an element that is not kept yet: its content in two pieces, or that it was not there.
    pub(crate) fn keep(&mut self, hash: u64, name: &[u8], content: Option<[&[u8]; 2]>) {
        let head = if content.is_some() { PRESENT } else { ABSENT };
        let pieces = content.unwrap_or_default();
        let content_len = pieces[0].len() + pieces[1].len();
        let lens = varint_width(name.len()) + varint_width(content_len);
        let at = self.arena.alloc(1 + lens + name.len() + content_len);
        let block = self.arena.bytes_mut(at);
        block[0] = head;
        let mut end = write_varint(block, 1, name.len());
        end = write_varint(block, end, content_len);
        for piece in [name, pieces[0], pieces[1]] {
            block[end..end + piece.len()].copy_from_slice(piece);
            end += piece.len();
        }
        let arena = &self.arena;
        self.table.insert(hash, at.raw(), |value| self::hash(Self::name_of(arena, value)));
    }

    /// Those that were there.
    pub fn pairs(&self) -> impl Iterator<Item = Pair<'_>> {
        let blocks = self.table.iter().map(|value| self.arena.bytes(Ref::from_raw(value)));
        blocks
            .filter(|block| block.first() == Some(&PRESENT))
            .filter_map(|block| pair_at(block, 1).map(|(pair, _)| pair))
    }
}

/// The capture of a collection that is walked by the positions of its elements' hashes.
#[derive(Debug, Default)]
pub(crate) struct ByHash {
    /// Elements at positions below it were given.
    pub(crate) cursor: u64,
    pub(crate) kept: Kept,
}

impl ByHash {
    /// Whether a change to an element has to keep it first.
    #[inline]
    pub(crate) fn is_to_keep(&self, position: u64, hash: u64, name: &[u8]) -> bool {
        position >= self.cursor && !self.kept.contains(hash, name)
    }

    /// Whether the walk has to give an element that it meets in a step from `self.cursor` on.
    #[inline]
    pub(crate) fn is_to_give(&self, position: u64, hash: u64, name: &[u8]) -> bool {
        position >= self.cursor && (self.kept.is_empty() || !self.kept.contains(hash, name))
    }

    /// A step's result; `next` is the cursor to go on with, 0 after the last one.
    pub(crate) fn step(capture: &mut Capture<Self>, copied: Copied, next: u64) -> Step {
        let mut step = Step::of(Part::Elements(copied));
        match capture.0.as_mut() {
            Some(state) if next != 0 => state.cursor = next,
            _ => {
                step.parts.extend(capture.0.take().map(|state| Part::Kept(Box::new(state.kept))));
                step.is_last = true;
            }
        }
        step
    }
}

impl Value {
    /// Begins to capture a value of several pages in parts, as it is now; none when it is to be captured
    /// whole, which takes some microseconds at most for a collection. O(1); for a stream O(consumers).
    pub fn begin_capture(&mut self) -> Option<Head> {
        match self {
            Self::Hash(Hash::Table(table)) => Some(table.begin_capture()),
            Self::Set(Set::Table(table)) => Some(table.begin_capture()),
            Self::Zset(Zset::Tree(tree)) => Some(tree.begin_capture()),
            Self::List(list) if list.as_packed().is_none() => Some(list.begin_capture()),
            Self::Stream(stream) => Some(stream.begin_capture()),
            Self::Hash(_) | Self::Set(_) | Self::Zset(_) | Self::List(_) => None,
            Self::Str(_) | Self::Sketch(_) => None,
        }
    }

    /// The next part of a capture that has begun. Some microseconds.
    pub fn capture_step(&mut self) -> Step {
        match self {
            Self::Hash(Hash::Table(table)) => table.capture_step(),
            Self::Set(Set::Table(table)) => table.capture_step(),
            Self::Zset(Zset::Tree(tree)) => tree.capture_step(),
            Self::List(list) => list.capture_step(),
            Self::Stream(stream) => stream.capture_step(),
            // Large forms stay large while they are captured.
            _ => Step { is_last: true, ..Step::default() },
        }
    }

    /// Gives a capture up. O(1), but for a stream O(groups); what it held is to be dropped with no lock
    /// held.
    pub fn end_capture(&mut self) -> Vec<Remains> {
        match self {
            Self::Hash(Hash::Table(table)) => table.end_capture().into_iter().collect(),
            Self::Set(Set::Table(table)) => table.end_capture().into_iter().collect(),
            Self::Zset(Zset::Tree(tree)) => tree.end_capture().into_iter().collect(),
            Self::List(list) => List::end_capture(list).into_iter().collect(),
            Self::Stream(stream) => stream.end_capture(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
