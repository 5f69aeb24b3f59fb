//! A block of a stream: up to some hundred entries in one run of bytes.
//!
//! The first entry of a block is its master: ids are stored as differences from its id, and entries
//! with the same fields, in the same order, leave the fields out. All parts are listpack elements:
//!
//! ```text
//! head    [ live ][ dead ][ fields ][ field ]...[ 0 ]
//! entry   [ flags ][ ms - master.ms ][ seq - master.seq ] .. [ pieces ]
//!         flags & 2, fields of the master:   [ value ]...
//!         otherwise:                         [ fields ][ field ][ value ]...
//!         flags & 1: deleted;  pieces: elements of the entry before this one, to walk backwards
//! ```
//!
//! `live` and `dead` are kept outside the bytes, for they change with each write; [`Block::listpack`]
//! puts them in front. Deleting marks an entry; its bytes stay until the block goes, as with the
//! peers, so that blocks end at the same entries.
//!
//! Invariants: ids ascend; `live + dead` entries lie in `body` behind `start`; a block whose entries
//! are all dead is dropped by its stream. Finding an entry is a walk over the block, about 10 ns each.
//!
//! Source: the stream values of RDB files of Redis 7.0.

use super::id::StreamId;
use super::listpack::{self, FRAME_BYTES};
use crate::packed::Entry;

const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;

/// Room that a new block begins with, in bytes: about what the default limits fill.
const FIRST_CAPACITY: usize = 512;

/// What a block may hold: a new one is begun when an entry would pass either bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockLimit {
    /// Bytes of the listpack; 0 for no bound but the format's.
    pub bytes: usize,
    /// Entries, dead ones included; 0 for no bound.
    pub entries: usize,
}

impl BlockLimit {
    /// The most bytes that the format is trusted with.
    pub const BYTES_MAX: usize = 1 << 30;

    fn holds(self, block: &Block, added_bytes: usize) -> bool {
        let bytes = if self.bytes == 0 { Self::BYTES_MAX } else { self.bytes };
        let bytes = bytes.min(Self::BYTES_MAX);
        block.listpack_bytes().saturating_add(added_bytes) < bytes
            && (self.entries == 0 || block.entries() < self.entries)
    }
}

/// A block. See the module's head.
#[derive(Debug, Clone)]
pub struct Block {
    master: StreamId,
    body: Vec<u8>,
    /// Where the first entry begins in `body`.
    start: u32,
    /// Fields of the master.
    fields: u32,
    live: u32,
    dead: u32,
    /// Elements in `body`.
    elements: u32,
}

/// Where an entry lies, and what its first three elements say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) id: StreamId,
    pub(super) at: usize,
    pub(super) next: usize,
    pub(super) deleted: bool,
    /// First element behind the id's.
    data: usize,
    fields: usize,
    same: bool,
}

/// An entry, as it is read.
#[derive(Debug, Clone, Copy)]
pub struct EntryRef<'a> {
    /// Its id.
    pub id: StreamId,
    block: &'a Block,
    data: usize,
    fields: usize,
    same: bool,
}

impl<'a> EntryRef<'a> {
    /// Number of fields.
    #[expect(clippy::len_without_is_empty, reason = "an entry has at least one field")]
    pub fn len(&self) -> usize {
        self.fields
    }

    /// Fields with their values, in the order they were added.
    pub fn pairs(self) -> Pairs<'a> {
        let names = if self.same { self.block.names_at() } else { None };
        Pairs { body: &self.block.body, names, at: self.data, left: self.fields }
    }
}

/// Iterates over an entry's fields and values.
#[derive(Debug, Clone)]
pub struct Pairs<'a> {
    body: &'a [u8],
    /// Where the master's next field lies, when the entry has the master's.
    names: Option<usize>,
    at: usize,
    left: usize,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (Entry<'a>, Entry<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let name = match &mut self.names {
            Some(names) => {
                let (name, next) = listpack::read(self.body, *names)?;
                *names = next;
                name
            }
            None => {
                let (name, next) = listpack::read(self.body, self.at)?;
                self.at = next;
                name
            }
        };
        let (value, next) = listpack::read(self.body, self.at)?;
        self.at = next;
        Some((name, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl Block {
    /// An empty block whose master has `id` and the fields of `pairs` (field, value, field, ...).
    pub(super) fn new(id: StreamId, pairs: &[&[u8]]) -> Self {
        let mut body = Vec::with_capacity(FIRST_CAPACITY);
        let fields = pairs.len() / 2;
        listpack::push_int(&mut body, fields as i64);
        for pair in pairs.chunks_exact(2) {
            listpack::push_text(&mut body, pair[0]);
        }
        listpack::push_int(&mut body, 0);
        Self {
            master: id,
            start: body.len() as u32,
            body,
            fields: fields as u32,
            live: 0,
            dead: 0,
            elements: fields as u32 + 2,
        }
    }

    /// The id of its first entry, dead or not: what it is found by.
    pub fn master(&self) -> StreamId {
        self.master
    }

    /// Entries that are not deleted.
    pub fn live(&self) -> usize {
        self.live as usize
    }

    /// Entries, deleted ones included.
    pub fn entries(&self) -> usize {
        self.live as usize + self.dead as usize
    }

    /// Bytes of its listpack.
    pub fn listpack_bytes(&self) -> usize {
        let counts =
            listpack::int_bytes(i64::from(self.live)) + listpack::int_bytes(i64::from(self.dead));
        FRAME_BYTES + counts + self.body.len()
    }

    /// Heap bytes held.
    pub fn heap_bytes(&self) -> usize {
        self.body.capacity()
    }

    /// Whether an entry of so many bytes still goes in.
    pub(super) fn has_room(&self, limit: BlockLimit, pairs: &[&[u8]]) -> bool {
        limit.holds(self, pairs.iter().map(|text| text.len()).sum())
    }

    /// Gives back the room that entries would have used.
    pub(super) fn close(&mut self) {
        self.body.shrink_to_fit();
    }

    /// Appends an entry; its id is higher than all before.
    pub(super) fn push(&mut self, id: StreamId, pairs: &[&[u8]]) {
        let same = self.has_fields(pairs);
        let fields = pairs.len() / 2;
        let body = &mut self.body;
        listpack::push_int(body, if same { SAME_FIELDS } else { 0 });
        listpack::push_int(body, id.ms.wrapping_sub(self.master.ms) as i64);
        listpack::push_int(body, id.seq.wrapping_sub(self.master.seq) as i64);
        let pieces = if same {
            for pair in pairs.chunks_exact(2) {
                listpack::push_text(body, pair[1]);
            }
            fields + 3
        } else {
            listpack::push_int(body, fields as i64);
            for text in pairs {
                listpack::push_text(body, text);
            }
            2 * fields + 4
        };
        listpack::push_int(body, pieces as i64);
        self.elements += pieces as u32 + 1;
        self.live += 1;
    }

    fn has_fields(&self, pairs: &[&[u8]]) -> bool {
        if pairs.len() / 2 != self.fields as usize {
            return false;
        }
        let Some(mut at) = self.names_at() else { return false };
        pairs.chunks_exact(2).all(|pair| match listpack::read(&self.body, at) {
            Some((name, next)) => {
                at = next;
                name.is_text(pair[0])
            }
            None => false,
        })
    }

    fn names_at(&self) -> Option<usize> {
        listpack::read(&self.body, 0).map(|(_, next)| next)
    }

    /// Where the first entry begins.
    pub(super) fn first_at(&self) -> usize {
        self.start as usize
    }

    /// Behind the last entry.
    pub(super) fn end_at(&self) -> usize {
        self.body.len()
    }

    /// The entry that begins at `at`.
    pub(super) fn place(&self, at: usize) -> Option<Place> {
        let body = &self.body;
        let (flags, after) = listpack::read_int(body, at)?;
        let (ms, after) = listpack::read_int(body, after)?;
        let (seq, data) = listpack::read_int(body, after)?;
        let same = flags & SAME_FIELDS != 0;
        let (fields, data, values) = if same {
            (self.fields as usize, data, self.fields as usize)
        } else {
            let (fields, data) = listpack::read_int(body, data)?;
            let fields = usize::try_from(fields).ok()?;
            (fields, data, fields.checked_mul(2)?)
        };
        let end = listpack::skip(body, data, values)?;
        let (_, next) = listpack::read_int(body, end)?;
        let id = StreamId {
            ms: self.master.ms.wrapping_add(ms as u64),
            seq: self.master.seq.wrapping_add(seq as u64),
        };
        Some(Place { id, at, next, deleted: flags & DELETED != 0, data, fields, same })
    }

    /// The entry that ends before `at`.
    pub(super) fn place_before(&self, at: usize) -> Option<Place> {
        if at <= self.first_at() {
            return None;
        }
        let mut at = listpack::before(&self.body, at)?;
        let (pieces, _) = listpack::read_int(&self.body, at)?;
        for _ in 0..pieces {
            at = listpack::before(&self.body, at)?;
        }
        self.place(at)
    }

    /// The entry at a place.
    pub(super) fn entry(&self, place: &Place) -> EntryRef<'_> {
        let Place { id, data, fields, same, .. } = *place;
        EntryRef { id, block: self, data, fields, same }
    }

    /// Where an entry with this id lies, deleted or not.
    pub(super) fn find(&self, id: StreamId) -> Option<Place> {
        let mut at = self.first_at();
        while let Some(place) = self.place(at) {
            if place.id >= id {
                return (place.id == id).then_some(place);
            }
            at = place.next;
        }
        None
    }

    /// The id of the last entry, dead or not.
    pub fn last_id(&self) -> StreamId {
        self.place_before(self.end_at()).map_or(self.master, |place| place.id)
    }

    /// Marks the entry at a place as deleted; false when it was.
    pub(super) fn kill(&mut self, place: &Place) -> bool {
        if place.deleted {
            return false;
        }
        // Flags are an integer below 128: the byte is the number.
        self.body[place.at] |= DELETED as u8;
        self.live -= 1;
        self.dead += 1;
        true
    }

    /// The block in the peers' format.
    pub fn listpack(&self) -> Vec<u8> {
        let mut counts = Vec::with_capacity(8);
        listpack::push_int(&mut counts, i64::from(self.live));
        listpack::push_int(&mut counts, i64::from(self.dead));
        listpack::frame(&[&counts, &self.body], self.elements as usize + 2)
    }

    /// A block from the peers' format, all of it checked: counts, fields, that ids ascend and that
    /// walking backwards meets the same entries. None when anything is wrong.
    pub fn from_listpack(master: StreamId, bytes: &[u8]) -> Option<Self> {
        let elements = listpack::unframe(bytes)?;
        let (live, at) = listpack::read_int(elements, 0)?;
        let (dead, at) = listpack::read_int(elements, at)?;
        let body = elements.get(at..)?.to_vec();
        let (fields, at) = listpack::read_int(&body, 0)?;
        let fields = u32::try_from(fields).ok()?;
        let names_end = listpack::skip(&body, at, fields as usize)?;
        let (zero, start) = listpack::read_int(&body, names_end)?;
        let mut block = Self {
            master,
            start: u32::try_from(start).ok()?,
            body,
            fields,
            live: 0,
            dead: 0,
            elements: fields.checked_add(2)?,
        };
        let (mut at, mut last) = (start, None);
        while at < block.end_at() {
            let place = block.place(at)?;
            let values = place.fields.checked_mul(if place.same { 1 } else { 2 })?;
            let pieces = values.checked_add(if place.same { 3 } else { 4 })?;
            let sound = last.is_none_or(|last| last < place.id) && place.id >= master;
            let flags_fit = block.body[place.at] <= (DELETED | SAME_FIELDS) as u8;
            if !sound || !flags_fit || block.place_before(place.next)?.at != at {
                return None;
            }
            block.elements =
                block.elements.checked_add(u32::try_from(pieces).ok()?)?.checked_add(1)?;
            if place.deleted {
                block.dead += 1;
            } else {
                block.live += 1;
            }
            last = Some(place.id);
            at = place.next;
        }
        let counted = i64::from(block.live) == live && i64::from(block.dead) == dead;
        (zero == 0 && counted && block.live > 0).then_some(block)
    }
}
