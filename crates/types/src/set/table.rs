//! The large form of a set: small integers in one table, everything else in another.
//!
//! ```text
//! integers   a table whose values are the members themselves: canonical integers within i32
//! texts      a table of references to blocks   [ length:varint ][ bytes ]
//! ```
//!
//! An integer member takes no block at all, about 8 bytes in sum; a member of 16 bytes takes a block
//! of 24 and its place, 32. Since both tables are there from the start, and empty tables cost
//! nothing, a string that joins a million integers converts nothing.
//!
//! Within this file a member is named by a [`Key`]: the table it is in, and its value there. All
//! operations but iteration are O(1).

use ochre_base::hash::hash;
use smallvec::SmallVec;

use crate::arena::{Arena, Ref};
use crate::capture::{ByHash, Capture, Copied, Head, Remains, Step};
use crate::hash::table::{read_varint, varint_width, write_varint};
use crate::packed::{Entry, below};
use crate::table::{Slot, Stage, Table, position, prefetch};

/// Set in a scan's cursor once it is in the table of texts; cursors of tables are below 2^48.
const IN_TEXTS: u64 = 1 << 48;

/// The large form of a set.
#[derive(Debug, Default)]
pub struct SetTable {
    integers: Table,
    texts: Table,
    arena: Arena,
    capture: Capture<ByHash>,
}

/// A member's table and value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Integer(u32),
    Text(u32),
}

/// Where a text belongs: it is looked up as the value of an integer, or as bytes.
#[inline]
fn small_integer(entry: Entry<'_>) -> Option<u32> {
    match entry {
        Entry::Int(n) => i32::try_from(n).ok().map(|n| n as u32),
        Entry::Str(_) => None,
    }
}

#[inline]
fn hash_integer(value: u32) -> u64 {
    hash(&value.to_le_bytes())
}

/// The bytes of the block that begins with `block`, and the block's size. Only blocks that
/// [`SetTable::insert`] wrote are read.
#[inline]
fn read(block: &[u8]) -> (&[u8], usize) {
    let (len, at) = read_varint(block, 0).unwrap_or((0, 1));
    (block.get(at..at + len).unwrap_or(&[]), at + len)
}

#[inline]
fn text_of(arena: &Arena, value: u32) -> &[u8] {
    read(arena.bytes(Ref::from_raw(value))).0
}

impl SetTable {
    /// Number of members.
    #[inline]
    pub fn len(&self) -> usize {
        self.integers.len() + self.texts.len()
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Heap bytes held.
    pub fn heap_bytes(&self) -> usize {
        self.integers.heap_bytes() + self.texts.heap_bytes() + self.arena.held_bytes()
    }

    /// Fetches what a look-up of `member` will touch; see [`Stage`].
    pub fn prefetch(&self, member: &[u8], stage: Stage) {
        match small_integer(Entry::of(member)) {
            Some(value) => self.integers.prefetch_bucket(hash_integer(value)),
            None => stage.fetch(&self.texts, &self.arena, hash(member)),
        }
    }

    #[inline]
    fn integer_slot(&self, hash: u64, value: u32) -> Option<Slot> {
        self.integers.find(hash, |other| other == value)
    }

    #[inline]
    fn text_slot(&self, hash: u64, text: &[u8]) -> Option<Slot> {
        self.texts.find(hash, |value| text_of(&self.arena, value) == text)
    }

    /// Whether the canonical `entry` is a member.
    #[inline]
    pub(super) fn contains(&self, entry: Entry<'_>) -> bool {
        if let Some(value) = small_integer(entry) {
            return self.integer_slot(hash_integer(value), value).is_some();
        }
        let mut room = [0; 20];
        let text = entry.text(&mut room);
        self.text_slot(hash(text), text).is_some()
    }

    /// Adds the canonical `entry`. `false` when it is there.
    #[inline]
    pub(super) fn insert(&mut self, entry: Entry<'_>) -> bool {
        if let Some(value) = small_integer(entry) {
            let hash = hash_integer(value);
            if self.integer_slot(hash, value).is_some() {
                return false;
            }
            self.keep(entry, false);
            self.integers.insert(hash, value, hash_integer);
            return true;
        }
        let mut room = [0; 20];
        let text = entry.text(&mut room);
        let hash_of_text = hash(text);
        if self.text_slot(hash_of_text, text).is_some() {
            return false;
        }
        self.keep(Entry::Str(text), false);
        let at = self.arena.alloc(varint_width(text.len()) + text.len());
        let block = self.arena.bytes_mut(at);
        let start = write_varint(block, 0, text.len());
        block[start..start + text.len()].copy_from_slice(text);
        let arena = &self.arena;
        self.texts.insert(hash_of_text, at.raw(), |value| hash(text_of(arena, value)));
        true
    }

    /// Removes the canonical `entry`. `false` when it is not there.
    #[inline]
    pub(super) fn remove(&mut self, entry: Entry<'_>) -> bool {
        if let Some(value) = small_integer(entry) {
            let Some(slot) = self.integer_slot(hash_integer(value), value) else { return false };
            self.keep(entry, true);
            self.integers.remove(slot, hash_integer);
            true
        } else {
            let mut room = [0; 20];
            let text = entry.text(&mut room);
            let Some(slot) = self.text_slot(hash(text), text) else { return false };
            self.keep(Entry::Str(text), true);
            self.remove_text(slot);
            true
        }
    }

    fn remove_text(&mut self, slot: Slot) {
        let arena = &self.arena;
        let at = Ref::from_raw(self.texts.remove(slot, |value| hash(text_of(arena, value))));
        let (_, size) = read(self.arena.bytes(at));
        self.arena.free(at, size);
    }

    /// Removes the member `key`, which must be one.
    pub(super) fn remove_key(&mut self, key: Key) {
        if self.capture.is_on() {
            let member = self.entry(key).to_vec();
            self.keep(Entry::of(&member), true);
        }
        match key {
            Key::Integer(value) => {
                if let Some(slot) = self.integer_slot(hash_integer(value), value) {
                    self.integers.remove(slot, hash_integer);
                }
            }
            Key::Text(value) => {
                let hash = hash(text_of(&self.arena, value));
                if let Some(slot) = self.texts.find(hash, |other| other == value) {
                    self.remove_text(slot);
                }
            }
        }
    }

    /// The member that `key` names.
    #[inline]
    pub(super) fn entry(&self, key: Key) -> Entry<'_> {
        match key {
            Key::Integer(value) => Entry::Int(i64::from(value as i32)),
            Key::Text(value) => Entry::Str(text_of(&self.arena, value)),
        }
    }

    /// All members, in no order.
    #[inline]
    pub(super) fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.integers.iter().map(Key::Integer).chain(self.texts.iter().map(Key::Text))
    }

    /// A member at random.
    #[inline]
    pub(super) fn sample(&self, random: &mut impl FnMut() -> u64) -> Option<Key> {
        let integers = self.integers.len();
        if self.texts.is_empty() || (integers > 0 && below(random(), self.len()) < integers) {
            self.integers.sample(random).map(Key::Integer)
        } else {
            self.texts.sample(random).map(Key::Text)
        }
    }

    /// One step of a scan: the integers first, then the texts.
    pub(super) fn scan<'a>(&'a self, cursor: u64, mut emit: impl FnMut(Entry<'a>)) -> u64 {
        if cursor & IN_TEXTS == 0 && !(cursor == 0 && self.integers.is_empty()) {
            let next = self.integers.scan(cursor, hash_integer, |value| {
                emit(self.entry(Key::Integer(value)));
            });
            return match next {
                0 if self.texts.is_empty() => 0,
                0 => IN_TEXTS,
                next => next,
            };
        }
        let rehash = |value| hash(text_of(&self.arena, value));
        let next = self.texts.scan(cursor & !IN_TEXTS, rehash, |value| {
            emit(self.entry(Key::Text(value)));
        });
        if next == 0 { 0 } else { next | IN_TEXTS }
    }

    /// Moves blocks out of sparse chunks, so that the memory of many removed members goes back.
    /// O(n), and nothing when less than a third would come back.
    pub fn compact(&mut self) {
        if !self.arena.begin_compaction() {
            return;
        }
        let arena = &mut self.arena;
        for segment in 0..self.texts.segments() {
            self.texts.rewrite_segment(segment, |value| move_block(arena, Ref::from_raw(value)));
        }
        self.arena.end_compaction();
    }

    /// Before a member comes or goes: keeps for the capture that is under way whether it was there.
    #[inline]
    fn keep(&mut self, member: Entry<'_>, was_there: bool) {
        if self.capture.is_on() {
            self.keep_for_capture(member, was_there);
        }
    }

    #[cold]
    fn keep_for_capture(&mut self, member: Entry<'_>, was_there: bool) {
        let Some(capture) = self.capture.0.as_mut() else { return };
        let mut room = [0; 20];
        let text = member.text(&mut room);
        let hash = hash(text);
        if capture.is_to_keep(position_of(member, hash), hash, text) {
            capture.kept.keep(hash, text, was_there.then_some([&[], &[]]));
        }
    }

    /// See [`Value::begin_capture`](crate::value::Value::begin_capture).
    pub(crate) fn begin_capture(&mut self) -> Head {
        self.capture = Capture(Some(Box::default()));
        Head::Set(self.len())
    }

    /// See [`Value::capture_step`](crate::value::Value::capture_step).
    pub(crate) fn capture_step(&mut self) -> Step {
        let mut copied = Copied::new();
        let mut next = 0;
        // Integers are in the table itself.
        if let Some(capture) = self.capture.0.as_ref().filter(|capture| capture.cursor >= IN_TEXTS)
        {
            self.texts.fetch_ahead(capture.cursor & !IN_TEXTS, |value| {
                self.arena.bytes(Ref::from_raw(value)).first().into_iter().for_each(prefetch);
            });
        }
        while let Some(capture) = &self.capture.0 {
            let mut room = [0; 20];
            next = self.scan(capture.cursor, |member| {
                let text = member.text(&mut room);
                let hash = hash(text);
                if capture.is_to_give(position_of(member, hash), hash, text) {
                    copied.push(text, [&[], &[]]);
                }
            });
            if next == 0 || copied.is_full() {
                break;
            }
            if let Some(capture) = &mut self.capture.0 {
                capture.cursor = next;
            }
        }
        ByHash::step(&mut self.capture, copied, next)
    }

    /// See [`Value::end_capture`](crate::value::Value::end_capture).
    pub(crate) fn end_capture(&mut self) -> Option<Remains> {
        self.capture.end()
    }
}

/// Where a scan has a canonical member whose text has the hash `text_hash`.
fn position_of(member: Entry<'_>, text_hash: u64) -> u64 {
    match small_integer(member) {
        Some(value) => position(hash_integer(value)),
        None => position(text_hash) | IN_TEXTS,
    }
}

/// The new reference of a block that a compaction wants moved.
fn move_block(arena: &mut Arena, at: Ref) -> Option<u32> {
    if !arena.should_move(at) {
        return None;
    }
    let (_, size) = read(arena.bytes(at));
    let block: SmallVec<[u8; 256]> = SmallVec::from_slice(&arena.bytes(at)[..size]);
    let fresh = arena.alloc(size);
    arena.bytes_mut(fresh)[..size].copy_from_slice(&block);
    arena.free(at, size);
    Some(fresh.raw())
}
