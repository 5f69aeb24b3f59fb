//! The large form of a hash: a table of references to blocks that hold field and value.
//!
//! ```text
//! block   [ flags:u8 ][ field length:varint ][ value length:varint ][ expiry:6 ]? [ field ][ value ]
//!
//! flags   bit 0: the expiry is there: absolute milliseconds, 48 bits, little endian
//! varint  7 bits for each byte, lowest first; bit 7 says that another one follows
//! ```
//!
//! A block of 16 + 16 bytes takes 40, its place in the table about 8: 48 bytes for each field. A value
//! is written over in place while it stays in its block's size class. What is due is found through
//! the deadlines that the table's segments carry.
//!
//! Invariants: a value of the table is the reference of a block; flag bit 0 is set exactly for the
//! values that the table counts as having a deadline. All operations but iteration are O(1).

use ochre_base::hash::hash;
use smallvec::SmallVec;

use super::{Field, is_expired};
use crate::arena::{Arena, Ref};
use crate::capture::{ByHash, Capture, Copied, Head, Remains, Step};
use crate::packed::Entry;
use crate::table::{Keyed, Slot, Stage, Table, position, prefetch};

const HAS_EXPIRY: u8 = 1;
const EXPIRY_BYTES: usize = 6;

/// The large form of a hash.
#[derive(Debug, Default)]
pub struct HashTable {
    arena: Arena,
    table: Table,
    capture: Capture<ByHash>,
}

/// A block as it is read.
#[derive(Debug, Clone, Copy)]
struct Block<'a> {
    /// 0: none.
    expiry: u64,
    name: &'a [u8],
    value: &'a [u8],
    size: usize,
}

impl<'a> Block<'a> {
    /// The block that begins with `bytes`. Only blocks that [`write`] made are ever read, so that
    /// the ranges hold; anything else gives a block of nothing.
    #[inline]
    fn read(bytes: &'a [u8]) -> Self {
        Self::parse(bytes).unwrap_or(Self { expiry: 0, name: &[], value: &[], size: 1 })
    }

    #[inline]
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let &[flags, name_len, value_len, ..] = bytes.first_chunk::<3>()?;
        let (name_len, value_len, mut at) = if (name_len | value_len) & 0x80 == 0 {
            (usize::from(name_len), usize::from(value_len), 3)
        } else {
            let (name_len, at) = read_varint(bytes, 1)?;
            let (value_len, at) = read_varint(bytes, at)?;
            (name_len, value_len, at)
        };
        let mut expiry = 0;
        if flags & HAS_EXPIRY != 0 {
            let [a, b, c, d, e, f] = *bytes.get(at..)?.first_chunk()?;
            expiry = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
            at += EXPIRY_BYTES;
        }
        let name = bytes.get(at..at + name_len)?;
        let value = bytes.get(at + name_len..at + name_len + value_len)?;
        Some(Self { expiry, name, value, size: at + name_len + value_len })
    }

    fn field(self) -> Field<'a> {
        Field {
            name: Entry::Str(self.name),
            value: Entry::Str(self.value),
            expire_at_ms: (self.expiry != 0).then_some(self.expiry),
        }
    }
}

/// Bytes of the block for these parts.
#[inline]
fn size_for(name: usize, value: usize, expiry: u64) -> usize {
    let expiry = if expiry == 0 { 0 } else { EXPIRY_BYTES };
    1 + varint_width(name) + varint_width(value) + expiry + name + value
}

/// Writes a block over the start of `out`.
#[inline]
fn write(out: &mut [u8], name: &[u8], value: &[u8], expiry: u64) {
    out[0] = if expiry == 0 { 0 } else { HAS_EXPIRY };
    let mut at = write_varint(out, 1, name.len());
    at = write_varint(out, at, value.len());
    if expiry != 0 {
        out[at..at + EXPIRY_BYTES].copy_from_slice(&expiry.to_le_bytes()[..EXPIRY_BYTES]);
        at += EXPIRY_BYTES;
    }
    out[at..at + name.len()].copy_from_slice(name);
    at += name.len();
    out[at..at + value.len()].copy_from_slice(value);
}

/// Bytes of `n` as a varint.
#[inline]
pub(crate) fn varint_width(n: usize) -> usize {
    let mut width = 1;
    let mut rest = n >> 7;
    while rest != 0 {
        width += 1;
        rest >>= 7;
    }
    width
}

/// Writes `n` at `at` and gives the offset after it.
#[inline]
pub(crate) fn write_varint(out: &mut [u8], mut at: usize, mut n: usize) -> usize {
    while n >= 0x80 {
        out[at] = n as u8 | 0x80;
        n >>= 7;
        at += 1;
    }
    out[at] = n as u8;
    at + 1
}

/// The number at `at` and the offset after it.
#[inline]
pub(crate) fn read_varint(bytes: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let (mut n, mut shift) = (0, 0);
    loop {
        let byte = *bytes.get(at)?;
        n |= usize::from(byte & 0x7F) << shift;
        at += 1;
        if byte & 0x80 == 0 {
            return Some((n, at));
        }
        shift += 7;
        if shift > 56 {
            return None;
        }
    }
}

/// What the table has to know of its values.
struct Fields<'a>(&'a Arena);

impl Fields<'_> {
    #[inline]
    fn block(&self, value: u32) -> Block<'_> {
        Block::read(self.0.bytes(Ref::from_raw(value)))
    }
}

impl Keyed for Fields<'_> {
    #[inline]
    fn hash(&self, value: u32) -> u64 {
        hash(self.block(value).name)
    }

    #[inline]
    fn has_deadline(&self, value: u32) -> bool {
        self.0.bytes(Ref::from_raw(value)).first().is_some_and(|flags| flags & HAS_EXPIRY != 0)
    }
}

impl HashTable {
    /// Number of fields, expired ones included.
    #[inline]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are no fields.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Number of fields with an expiry.
    #[inline]
    pub fn expiring(&self) -> usize {
        self.table.deadlines()
    }

    /// Heap bytes held.
    pub fn heap_bytes(&self) -> usize {
        self.arena.held_bytes() + self.table.heap_bytes()
    }

    /// Fetches what a look-up of the field `name` will touch; see [`Stage`].
    pub fn prefetch(&self, name: &[u8], stage: Stage) {
        stage.fetch(&self.table, &self.arena, hash(name));
    }

    /// A time before which no field expires; `None` when none ever does. May be too early. O(segments).
    pub fn earliest_expiry(&self) -> Option<u64> {
        self.table.earliest()
    }

    #[inline]
    fn block(&self, value: u32) -> Block<'_> {
        Block::read(self.arena.bytes(Ref::from_raw(value)))
    }

    #[inline]
    fn slot(&self, hash: u64, name: &[u8]) -> Option<Slot> {
        self.table.find(hash, |value| self.block(value).name == name)
    }

    /// The field `name`, expired or not.
    #[inline]
    pub(super) fn find(&self, name: &[u8]) -> Option<Field<'_>> {
        let slot = self.slot(hash(name), name)?;
        Some(self.field(self.table.value(slot)))
    }

    /// The field that a value of the table stands for.
    #[inline]
    pub(super) fn field(&self, value: u32) -> Field<'_> {
        self.block(value).field()
    }

    /// The values of the table, in no order.
    #[inline]
    pub(super) fn values(&self) -> impl Iterator<Item = u32> + '_ {
        self.table.iter()
    }

    /// One value of the table, at random.
    #[inline]
    pub(super) fn sample(&self, random: &mut impl FnMut() -> u64) -> Option<u32> {
        self.table.sample(random)
    }

    /// One step of a scan.
    pub(super) fn scan<'a>(&'a self, cursor: u64, mut emit: impl FnMut(Field<'a>)) -> u64 {
        self.table.scan(cursor, Fields(&self.arena), |value| emit(self.field(value)))
    }

    /// Gives the field `name` a value, and the expiry that `choose` makes of its old one (0: none,
    /// in both directions). The old expiry when the field was there.
    #[inline]
    pub(super) fn put(
        &mut self,
        name: &[u8],
        value: &[u8],
        choose: impl FnOnce(u64) -> u64,
    ) -> Option<u64> {
        let hash = hash(name);
        self.keep(hash, name);
        let Some(slot) = self.slot(hash, name) else {
            self.insert(hash, name, value, choose(0));
            return None;
        };
        let at = Ref::from_raw(self.table.value(slot));
        let Block { expiry: old_expiry, size: old_size, .. } = Block::read(self.arena.bytes(at));
        let expiry = choose(old_expiry);
        self.rewrite(slot, old_size, name, value, expiry);
        self.note_expiry(slot, old_expiry, expiry);
        Some(old_expiry)
    }

    #[inline]
    fn insert(&mut self, hash: u64, name: &[u8], value: &[u8], expiry: u64) {
        let at = self.arena.alloc(size_for(name.len(), value.len(), expiry));
        write(self.arena.bytes_mut(at), name, value, expiry);
        self.table.insert(hash, at.raw(), Fields(&self.arena));
        if expiry != 0
            && let Some(slot) = self.table.find(hash, |value| value == at.raw())
        {
            self.table.add_deadline(slot, expiry);
        }
    }

    /// Writes the block at `slot` anew, in place when it stays in its size class.
    #[inline]
    fn rewrite(&mut self, slot: Slot, old_size: usize, name: &[u8], value: &[u8], expiry: u64) {
        let old = Ref::from_raw(self.table.value(slot));
        let size = size_for(name.len(), value.len(), expiry);
        if Arena::usable(size) == Arena::usable(old_size) {
            return write(self.arena.bytes_mut(old), name, value, expiry);
        }
        let fresh = self.arena.alloc(size);
        write(self.arena.bytes_mut(fresh), name, value, expiry);
        self.table.replace(slot, fresh.raw());
        self.arena.free(old, old_size);
    }

    #[inline]
    fn note_expiry(&mut self, slot: Slot, old: u64, new: u64) {
        match (old, new) {
            (0, 0) => {}
            (0, at) => self.table.add_deadline(slot, at),
            (_, 0) => self.table.drop_deadline(slot),
            (_, at) => self.table.move_deadline(slot, at),
        }
    }

    /// Sets the expiry of the field `name`; 0 removes it. `false` when the field is absent.
    pub(super) fn set_expiry(&mut self, name: &[u8], expiry: u64) -> bool {
        let hash = hash(name);
        let Some(slot) = self.slot(hash, name) else {
            return false;
        };
        self.keep(hash, name);
        let block = self.block(self.table.value(slot));
        let (old_size, old_expiry) = (block.size, block.expiry);
        let value: SmallVec<[u8; 256]> = SmallVec::from_slice(block.value);
        self.rewrite(slot, old_size, name, &value, expiry);
        self.note_expiry(slot, old_expiry, expiry);
        true
    }

    /// Removes the field `name`; its expiry when it was there.
    pub(super) fn remove(&mut self, name: &[u8]) -> Option<u64> {
        let hash = hash(name);
        let slot = self.slot(hash, name)?;
        self.keep(hash, name);
        Some(self.remove_slot(slot))
    }

    fn remove_slot(&mut self, slot: Slot) -> u64 {
        let at = Ref::from_raw(self.table.value(slot));
        let Block { expiry, size, .. } = Block::read(self.arena.bytes(at));
        if expiry != 0 {
            self.table.drop_deadline(slot);
        }
        self.table.remove(slot, Fields(&self.arena));
        self.arena.free(at, size);
        expiry
    }

    /// Removes up to `most` expired fields; see [`Hash::take_expired`](super::Hash::take_expired).
    pub(super) fn take_expired(
        &mut self,
        now_ms: u64,
        most: usize,
        mut removed: impl FnMut(&[u8]),
    ) -> usize {
        let Some(last_ms) = now_ms.checked_sub(1) else {
            return 0;
        };
        let (mut n, mut from) = (0, 0);
        while n < most {
            let Some(segment) = self.table.due_segment(from, last_ms) else {
                break;
            };
            let segments = self.table.segments();
            let due = self.due_in(segment, now_ms, most - n);
            for &value in &due {
                let name = self.block(value).name;
                removed(name);
                let slot = self.table.find(hash(name), |other| other == value);
                if let Some(slot) = slot {
                    self.keep_at(slot);
                    self.remove_slot(slot);
                }
            }
            n += due.len();
            // A removal that merged segments has moved others: begin again.
            from = if self.table.segments() == segments { segment } else { 0 };
        }
        n
    }

    /// Up to `most` expired values of a segment, whose bound is set to what remains.
    fn due_in(&mut self, segment: usize, now_ms: u64, most: usize) -> SmallVec<[u32; 32]> {
        let mut due = SmallVec::new();
        let mut earliest = u64::MAX;
        for value in self.table.segment_values(segment) {
            let expiry = self.block(value).expiry;
            if is_expired(expiry, now_ms) && due.len() < most {
                due.push(value);
            } else if expiry != 0 {
                earliest = earliest.min(expiry);
            }
        }
        self.table.set_earliest(segment, earliest);
        due
    }

    /// Moves blocks out of sparse chunks, so that the memory of many removed fields goes back.
    /// O(n), and nothing when less than a third would come back.
    pub fn compact(&mut self) {
        if !self.arena.begin_compaction() {
            return;
        }
        let arena = &mut self.arena;
        for segment in 0..self.table.segments() {
            self.table.rewrite_segment(segment, |value| move_block(arena, Ref::from_raw(value)));
        }
        self.arena.end_compaction();
    }

    /// Before the field `name` changes, comes or goes: keeps it for the capture that is under way.
    #[inline]
    fn keep(&mut self, hash: u64, name: &[u8]) {
        if self.capture.is_on() {
            self.keep_for_capture(hash, name);
        }
    }

    /// The same for the field at `slot`.
    #[inline]
    fn keep_at(&mut self, slot: Slot) {
        if self.capture.is_on() {
            let name: SmallVec<[u8; 256]> =
                SmallVec::from_slice(self.block(self.table.value(slot)).name);
            self.keep_for_capture(hash(&name), &name);
        }
    }

    #[cold]
    fn keep_for_capture(&mut self, hash: u64, name: &[u8]) {
        let slot = self.slot(hash, name);
        let Some(capture) = self.capture.0.as_mut() else { return };
        if !capture.is_to_keep(position(hash), hash, name) {
            return;
        }
        let Some(slot) = slot else { return capture.kept.keep(hash, name, None) };
        let bytes = self.arena.bytes(Ref::from_raw(self.table.value(slot)));
        let block = Block::read(bytes);
        capture.kept.keep(hash, name, Some([&block.expiry.to_le_bytes(), block.value]));
    }

    /// See [`Value::begin_capture`](crate::value::Value::begin_capture).
    pub(crate) fn begin_capture(&mut self) -> Head {
        self.capture = Capture(Some(Box::default()));
        Head::Hash { len: self.len(), earliest: self.earliest_expiry() }
    }

    /// See [`Value::capture_step`](crate::value::Value::capture_step).
    pub(crate) fn capture_step(&mut self) -> Step {
        let mut copied = Copied::new();
        let mut next = 0;
        if let Some(capture) = &self.capture.0 {
            self.table.fetch_ahead(capture.cursor, |value| {
                self.arena.bytes(Ref::from_raw(value)).first().into_iter().for_each(prefetch);
            });
        }
        while let Some(capture) = self.capture.0.as_mut() {
            let fields = Fields(&self.arena);
            next = self.table.scan(capture.cursor, Fields(&self.arena), |value| {
                let block = fields.block(value);
                let hash = hash(block.name);
                if capture.is_to_give(position(hash), hash, block.name) {
                    copied.push(block.name, [&block.expiry.to_le_bytes(), block.value]);
                }
            });
            if next == 0 || copied.is_full() {
                break;
            }
            capture.cursor = next;
        }
        ByHash::step(&mut self.capture, copied, next)
    }

    /// See [`Value::end_capture`](crate::value::Value::end_capture).
    pub(crate) fn end_capture(&mut self) -> Option<Remains> {
        self.capture.end()
    }
}

/// The new reference of a block that a compaction wants moved.
fn move_block(arena: &mut Arena, at: Ref) -> Option<u32> {
    if !arena.should_move(at) {
        return None;
    }
    let size = Block::read(arena.bytes(at)).size;
    let block: SmallVec<[u8; 256]> = SmallVec::from_slice(&arena.bytes(at)[..size]);
    let fresh = arena.alloc(size);
    arena.bytes_mut(fresh)[..size].copy_from_slice(&block);
    arena.free(at, size);
    Some(fresh.raw())
}
