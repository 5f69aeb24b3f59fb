//! One database of one shard: the only door to its keys.
//!
//! A table of references, an arena of entries, and a slab of large values. All mutation passes
//! [`Db::put`], [`Db::edit`], [`Db::set_expiry`], [`Db::set_access`] and [`Db::remove`], which keep
//! the deadline counts and the accounting right, and which capture an entry for a snapshot before it changes
//! (`db/walk`).
//!
//! Small values lie in their entry. An edit of a small collection lends it out as a [`Value`]
//! built on a scratch buffer and writes it back: two copies of at most [`INLINE_MAX`] bytes, which
//! is less than following a pointer that is not in the cache.
//!
//! Invariants: an entry of kind `Object` names a live object and no two entries name the same;
//! collections are never empty; `expires` of an entry agrees with its segment's deadline count.

mod walk;

use std::sync::Arc;

use ochre_base::clock::Millis;
use ochre_base::hash::hash;
use ochre_base::num::{format_i64, parse_i64};
use ochre_types::arena::{Arena, Ref};
use ochre_types::hash::Hash;
use ochre_types::list::List;
use ochre_types::set::Set;
use ochre_types::table::{Keyed, Slot, Stage, Table, prefetch};
use ochre_types::value::{Value, packed_hash, packed_set, packed_zset};
use ochre_types::zset::Zset;

use crate::entry::{Entry, Kind, Parts, int_bytes, int_value, replace_value, set_access};
use crate::field_expiry::FieldExpiries;
use crate::snapshot::{Opens, Ticket, Walk};

/// Longest string that lies in its entry, in bytes.
pub const INLINE_STRING_MAX: usize = 1536;
/// Longest packed collection that lies in its entry, in bytes.
pub const INLINE_MAX: usize = 512;
/// Bytes of an entry from which on it is long: three lines.
const LONG: usize = 192;
/// Bytes of a line of the cache.
const LINE: usize = 64;

/// A key with its hash, so that it is hashed once for lock, prefetch and look-up.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The key's bytes.
    pub name: &'a [u8],
    /// Their hash.
    pub hash: u64,
}

impl<'a> Key<'a> {
    /// Hashes `name`.
    #[inline]
    pub fn new(name: &'a [u8]) -> Self {
        Self { name, hash: hash(name) }
    }
}

/// A string value, as it is read.
#[derive(Clone, Copy, Debug)]
pub enum Text<'a> {
    /// Bytes in the entry.
    Bytes(&'a [u8]),
    /// An integer, whose text is its value.
    Int(i64),
    /// A large string, which a reply may share instead of copying.
    Blob(&'a Arc<Vec<u8>>),
}

/// A value to be stored whole.
#[derive(Debug)]
pub enum NewValue<'a> {
    /// A string; stored as an integer when it is one.
    Text(&'a [u8]),
    /// A string that is reported as `raw`.
    Raw(&'a [u8]),
    /// An integer.
    Int(i64),
    /// Anything, in its general form; stored in the entry when it is small.
    Whole(Value),
    /// A value that was under another key, as it lay there.
    Detached(Detached),
}

/// A value without its key, as it lay in its entry.
#[derive(Debug)]
pub enum Detached {
    /// A small value: its kind and its bytes.
    Inline(Kind, Vec<u8>),
    /// A large value.
    Object(Value),
    /// A large value that a snapshot is still taking in parts.
    Open(Value, Arc<Ticket>),
}

/// What lies under a key, as it is read.
#[derive(Clone, Copy, Debug)]
pub enum Stored<'a> {
    /// A small value in its entry.
    Inline(Kind, &'a [u8]),
    /// A large value.
    Object(&'a Value),
}

struct Blocks<'a>(&'a Arena);

impl Keyed for Blocks<'_> {
    #[inline]
    fn hash(&self, value: u32) -> u64 {
        hash(Entry::key_of(self.0.bytes(Ref::from_raw(value))))
    }

    #[inline]
    fn prefetch(&self, value: u32) {
        prefetch(&self.0.bytes(Ref::from_raw(value))[0]);
    }

    #[inline]
    fn has_deadline(&self, value: u32) -> bool {
        Entry::expires(self.0.bytes(Ref::from_raw(value)))
    }
}

/// The large values of a database, by index.
#[derive(Default)]
struct Objects {
    slots: Vec<Option<Value>>,
    free: Vec<u32>,
}

impl Objects {
    fn add(&mut self, value: Value) -> u32 {
        match self.free.pop() {
            Some(index) => {
                self.slots[index as usize] = Some(value);
                index
            }
            None => {
                self.slots.push(Some(value));
                (self.slots.len() - 1) as u32
            }
        }
    }

    fn take(&mut self, index: u32) -> Option<Value> {
        let value = self.slots.get_mut(index as usize)?.take();
        self.free.push(index);
        if self.free.len() == self.slots.len() {
            *self = Self::default();
        }
        value
    }
}

/// One database of one shard. See the module's head.
#[derive(Default)]
pub struct Db {
    table: Table,
    arena: Arena,
    objects: Objects,
    /// Lent to edits of small collections.
    scratch: Vec<u8>,
    /// Hashes of which fields expire.
    field_expiries: FieldExpiries,
    /// The mark of entries that the last snapshot has captured, or that came after its cut.
    mark: bool,
    /// The snapshot under way.
    walk: Option<Box<Walk>>,
    /// Keys that a snapshot takes in parts, which may outlast its walk through this database.
    opens: Option<Box<Opens>>,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db").field("keys", &self.table.len()).finish()
    }
}

impl Db {
    /// Keys, expired ones that are still there included.
    #[inline]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is no key.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Keys with an expiry.
    #[inline]
    pub fn expires(&self) -> usize {
        self.table.deadlines()
    }

    /// The table: for walks by expiry, eviction, SCAN and statistics.
    #[inline]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Fetches what a look-up of `hash` will touch first.
    #[inline]
    pub fn prefetch_bucket(&self, hash: u64) {
        self.table.prefetch_bucket(hash);
    }

    /// Fetches the entries that a look-up of `hash` will compare; call it once the bucket is there.
    #[inline]
    pub fn prefetch_entries(&self, hash: u64) {
        self.table.candidates(hash, |value| {
            let bytes = self.arena.bytes(Ref::from_raw(value));
            prefetch(&bytes[0]);
            // The usual entry is a little shorter than a line, and so lies across two more often
            // than not.
            if let Some(end) = bytes.get(55) {
                prefetch(end);
            }
        });
    }

    /// Whether its entries are long on average: worth another look, for the lines beyond the first two.
    #[inline]
    pub fn has_long_entries(&self) -> bool {
        self.arena.live_bytes() > LONG * self.table.len()
    }

    /// Fetches what [`Db::prefetch_entries`] left out of a long entry; call it once that is there.
    #[inline]
    pub fn prefetch_rest(&self, hash: u64) {
        self.table.candidates(hash, |value| {
            let bytes = self.arena.bytes(Ref::from_raw(value));
            let size = Entry::parse(bytes).size.min(bytes.len());
            bytes[..size].iter().skip(LINE).step_by(LINE).for_each(prefetch);
        });
    }

    /// Fetches what a look-up of one element of a large collection will touch; false for a small one.
    pub fn prefetch_element(&self, key: Key<'_>, element: &[u8], stage: Stage) -> bool {
        let Some(slot) = self.find(key) else { return false };
        let Stored::Object(value) = self.stored(&self.entry(slot)) else { return false };
        value.prefetch(element, stage);
        true
    }

    /// The place of a key, expired or not.
    #[inline]
    pub fn find(&self, key: Key<'_>) -> Option<Slot> {
        let arena = &self.arena;
        self.table.find(key.hash, |v| Entry::has_key(arena.bytes(Ref::from_raw(v)), key.name))
    }

    /// The entry at `slot`.
    #[inline]
    pub fn entry(&self, slot: Slot) -> Entry<'_> {
        self.entry_of(self.table.value(slot))
    }

    /// The entry that the table's `value` stands for.
    #[inline]
    pub fn entry_of(&self, value: u32) -> Entry<'_> {
        Entry::parse(self.arena.bytes(Ref::from_raw(value)))
    }

    /// What an entry of this database holds.
    #[inline]
    pub fn stored<'a>(&'a self, entry: &Entry<'a>) -> Stored<'a> {
        if entry.kind == Kind::Object {
            let object = &self.objects.slots[entry.object() as usize];
            if let Some(value) = object {
                return Stored::Object(value);
            }
        }
        Stored::Inline(entry.kind, entry.value)
    }

    /// An entry's value as a string; none when it is of another type.
    #[inline]
    pub fn text<'a>(&'a self, entry: &Entry<'a>) -> Option<Text<'a>> {
        match entry.kind {
            Kind::Bytes | Kind::RawBytes => Some(Text::Bytes(entry.value)),
            Kind::Int => Some(Text::Int(int_value(entry.value))),
            Kind::Object => match self.stored(entry) {
                Stored::Object(Value::Str(blob)) => Some(Text::Blob(blob)),
                _ => None,
            },
            _ => None,
        }
    }

    /// Stores a value whole under `key`, over whatever was there; gives back the old large value,
    /// for its owner to free. `slot` is what [`Db::find`] said of the key. O(value).
    #[inline]
    pub fn put(
        &mut self,
        key: Key<'_>,
        slot: Option<Slot>,
        value: NewValue<'_>,
        expiry: Option<Millis>,
        access: u32,
    ) -> Option<Value> {
        let mut int = [0; 8];
        let mark = self.mark;
        let index;
        let (kind, bytes): (Kind, &[u8]) = match value {
            NewValue::Text(text) if text.len() <= INLINE_STRING_MAX => match parse_i64(text) {
                Some(n) => (Kind::Int, int_bytes(n, &mut int)),
                None => (Kind::Bytes, text),
            },
            NewValue::Raw(text) if text.len() <= INLINE_STRING_MAX => (Kind::RawBytes, text),
            NewValue::Int(n) => (Kind::Int, int_bytes(n, &mut int)),
            NewValue::Text(text) | NewValue::Raw(text) => {
                index = self.objects.add(Value::Str(Arc::new(text.to_vec()))).to_le_bytes();
                (Kind::Object, &index)
            }
            NewValue::Whole(value) | NewValue::Detached(Detached::Object(value)) => {
                return self.put_whole(key, slot, value, expiry, access);
            }
            NewValue::Detached(Detached::Open(value, ticket)) => {
                note_fields(&mut self.field_expiries, key.name, &value);
                let object = self.objects.add(value);
                self.opens.get_or_insert_default().insert(object, ticket);
                return self.write_object(key, slot, object, expiry, access);
            }
            NewValue::Detached(Detached::Inline(Kind::HashEx, bytes)) => {
                let value = Value::Hash(Hash::PackedEx(bytes));
                return self.put_whole(key, slot, value, expiry, access);
            }
            NewValue::Detached(Detached::Inline(kind, bytes)) => {
                let parts = Parts { kind, access, key: key.name, expiry, value: &bytes, mark };
                return self.write(slot, parts, key.hash);
            }
        };
        self.write(
            slot,
            Parts { kind, access, key: key.name, expiry, value: bytes, mark },
            key.hash,
        )
    }

    fn put_whole(
        &mut self,
        key: Key<'_>,
        slot: Option<Slot>,
        value: Value,
        expiry: Option<Millis>,
        access: u32,
    ) -> Option<Value> {
        note_fields(&mut self.field_expiries, key.name, &value);
        let mark = self.mark;
        match inline_form(&value) {
            Some((kind, bytes)) => self.write(
                slot,
                Parts { kind, access, key: key.name, expiry, value: bytes, mark },
                key.hash,
            ),
            None => {
                let object = self.objects.add(value);
                self.write_object(key, slot, object, expiry, access)
            }
        }
    }

    fn write_object(
        &mut self,
        key: Key<'_>,
        slot: Option<Slot>,
        object: u32,
        expiry: Option<Millis>,
        access: u32,
    ) -> Option<Value> {
        let (kind, mark) = (Kind::Object, self.mark);
        let value = &object.to_le_bytes();
        self.write(slot, Parts { kind, access, key: key.name, expiry, value, mark }, key.hash)
    }

    /// Writes an entry over the one at `slot`, or as a new one. Gives back the old large value,
    /// unless the new entry names the same object.
    #[inline]
    fn write(&mut self, slot: Option<Slot>, parts: Parts<'_>, hash: u64) -> Option<Value> {
        let size = parts.size();
        let Some(slot) = slot else {
            let block = self.arena.alloc(size);
            parts.write(self.arena.bytes_mut(block));
            let blocks = Blocks(&self.arena);
            self.table.insert(hash, block.raw(), blocks);
            if let Some(at) = parts.expiry {
                self.note_new_deadline(parts.key, hash, at);
            }
            return None;
        };
        self.capture(slot);
        let block = Ref::from_raw(self.table.value(slot));
        let old = Entry::parse(self.arena.bytes(block));
        let (old_size, had_expiry) = (old.size, old.expiry.is_some());
        let old_object = (old.kind == Kind::Object).then(|| old.object());
        match (had_expiry, parts.expiry) {
            (false, Some(at)) => self.table.add_deadline(slot, deadline(at)),
            (true, Some(at)) => self.table.move_deadline(slot, deadline(at)),
            (true, None) => self.table.drop_deadline(slot),
            (false, None) => {}
        }
        if Arena::usable(old_size) == Arena::usable(size) {
            parts.write_over(self.arena.bytes_mut(block));
        } else {
            let fresh = self.arena.alloc(size);
            parts.write(self.arena.bytes_mut(fresh));
            self.arena.free(block, old_size);
            self.table.replace(slot, fresh.raw());
        }
        let index = old_object?;
        let kept = parts.kind == Kind::Object && parts.value == index.to_le_bytes();
        if kept { None } else { self.take_object(index) }
    }

    #[cold]
    fn note_new_deadline(&mut self, key: &[u8], hash: u64, at: Millis) {
        if let Some(slot) = self.find(Key { name: key, hash }) {
            self.table.add_deadline(slot, deadline(at));
        }
    }

    /// Sets or clears the expiry of the key at `slot`. O(1), or a move of the entry.
    pub fn set_expiry(&mut self, slot: Slot, expiry: Option<Millis>) {
        self.rewrite(slot, |parts| parts.expiry = expiry);
    }

    fn rewrite(&mut self, slot: Slot, change: impl FnOnce(&mut Parts<'_>)) {
        let mut copy = std::mem::take(&mut self.scratch);
        copy.clear();
        let entry = self.entry(slot);
        copy.extend_from_slice(entry.key);
        copy.extend_from_slice(entry.value);
        let (kind, access, expiry) = (entry.kind, entry.access, entry.expiry);
        let (key, value) = copy.split_at(entry.key.len());
        let mut parts = Parts { kind, access, key, expiry, value, mark: self.mark };
        change(&mut parts);
        // The hash is not looked at when the slot is known.
        let old = self.write(Some(slot), parts, 0);
        debug_assert!(old.is_none(), "a rewrite keeps the value");
        self.scratch = copy;
    }

    /// The access clock of the key at `slot`, without looking at the rest of its entry.
    #[inline]
    pub fn access(&self, slot: Slot) -> u32 {
        Entry::access_of(self.arena.bytes(Ref::from_raw(self.table.value(slot))))
    }

    /// Sets the access clock of the key at `slot`.
    #[inline]
    pub fn set_access(&mut self, slot: Slot, access: u32) {
        let block = Ref::from_raw(self.table.value(slot));
        set_access(self.arena.bytes_mut(block), access);
    }

    /// Lends the value at `slot` out for changes, in its general form. Afterwards the key is gone
    /// when the value is an empty collection; the second result says so. Not for strings.
    pub fn edit<R>(&mut self, slot: Slot, change: impl FnOnce(&mut Value) -> R) -> (R, Edited) {
        self.capture(slot);
        let block = Ref::from_raw(self.table.value(slot));
        let entry = Entry::parse(self.arena.bytes(block));
        if entry.kind == Kind::Object {
            let index = entry.object();
            let value = self.objects.slots[index as usize].get_or_insert_with(Value::default);
            let result = change(value);
            if value.is_empty() {
                return (result, Edited::Emptied(self.remove(slot)));
            }
            note_fields(&mut self.field_expiries, entry.key, value);
            return (result, Edited::Kept);
        }
        let mut buffer = std::mem::take(&mut self.scratch);
        buffer.clear();
        buffer.extend_from_slice(entry.value);
        let mut value = from_inline(entry.kind, buffer);
        let result = change(&mut value);
        if value.is_empty() {
            self.scratch = value.into_buffer();
            return (result, Edited::Emptied(self.remove(slot)));
        }
        note_fields(&mut self.field_expiries, entry.key, &value);
        self.store_back(slot, value);
        (result, Edited::Kept)
    }

    fn store_back(&mut self, slot: Slot, value: Value) {
        let Some((kind, bytes)) = inline_form(&value) else {
            let index = self.objects.add(value).to_le_bytes();
            self.rewrite_value(slot, Kind::Object, &index);
            return;
        };
        let block = Ref::from_raw(self.table.value(slot));
        let entry = Entry::parse(self.arena.bytes(block));
        let parts = Parts {
            kind,
            access: entry.access,
            key: entry.key,
            expiry: entry.expiry,
            value: bytes,
            mark: self.mark,
        };
        let (old_size, size) = (entry.size, parts.size());
        if Arena::usable(old_size) == Arena::usable(size) {
            replace_value(self.arena.bytes_mut(block), kind, bytes);
        } else {
            self.rewrite_value(slot, kind, bytes);
        }
        self.scratch = value.into_buffer();
    }

    fn rewrite_value(&mut self, slot: Slot, kind: Kind, bytes: &[u8]) {
        let block = Ref::from_raw(self.table.value(slot));
        let entry = Entry::parse(self.arena.bytes(block));
        let key = entry.key.to_vec();
        let (access, expiry, old_size) = (entry.access, entry.expiry, entry.size);
        let parts = Parts { kind, access, key: &key, expiry, value: bytes, mark: self.mark };
        let fresh = self.arena.alloc(parts.size());
        parts.write(self.arena.bytes_mut(fresh));
        self.arena.free(block, old_size);
        self.table.replace(slot, fresh.raw());
    }

    /// Lends a large string out for changes in place; none for other values.
    pub fn blob_mut(&mut self, slot: Slot) -> Option<&mut Vec<u8>> {
        self.capture(slot);
        let entry = self.entry(slot);
        if entry.kind != Kind::Object {
            return None;
        }
        let index = entry.object();
        match self.objects.slots[index as usize].as_mut()? {
            // A reply may still hold the old bytes: then they are copied, once.
            Value::Str(blob) => Some(Arc::make_mut(blob)),
            _ => None,
        }
    }

    /// A string's inline bytes, for changes that keep the length.
    pub fn inline_text_mut(&mut self, slot: Slot) -> Option<&mut [u8]> {
        self.capture(slot);
        let block = Ref::from_raw(self.table.value(slot));
        let entry = Entry::parse(self.arena.bytes(block));
        if !matches!(entry.kind, Kind::Bytes | Kind::RawBytes) {
            return None;
        }
        let range = entry.size - entry.value.len()..entry.size;
        let bytes = self.arena.bytes_mut(block);
        bytes[0] = bytes[0] & !0x0F | Kind::RawBytes as u8;
        Some(&mut bytes[range])
    }

    /// Removes the key at `slot`; gives back its large value, for its owner to free. O(1).
    pub fn remove(&mut self, slot: Slot) -> Option<Value> {
        self.capture(slot);
        let block = Ref::from_raw(self.table.value(slot));
        let entry = Entry::parse(self.arena.bytes(block));
        let (size, expires) = (entry.size, entry.expiry.is_some());
        let object = (entry.kind == Kind::Object).then(|| entry.object());
        if expires {
            self.table.drop_deadline(slot);
        }
        self.table.remove(slot, Blocks(&self.arena));
        self.arena.free(block, size);
        object.and_then(|index| self.take_object(index))
    }

    /// Removes the key at `slot` and gives its value as it lay there, its expiry and its access
    /// clock: for RENAME and MOVE. O(1) for large values.
    pub fn detach(&mut self, slot: Slot) -> (Detached, Option<Millis>, u32) {
        self.capture(slot);
        let entry = self.entry(slot);
        let (kind, expiry, access) = (entry.kind, entry.expiry, entry.access);
        let bytes = entry.value.to_vec();
        let ticket = (kind == Kind::Object).then(|| entry.object());
        let ticket = ticket.and_then(|object| self.opens.as_mut()?.remove(object));
        let detached = match (self.remove(slot), ticket) {
            (Some(value), Some(ticket)) => Detached::Open(value, ticket),
            (Some(value), None) => Detached::Object(value),
            (None, _) => Detached::Inline(kind, bytes),
        };
        self.forget_opens();
        (detached, expiry, access)
    }

    /// A copy of the value at `slot`: for COPY. O(value).
    pub fn copy(&self, slot: Slot) -> Detached {
        let entry = self.entry(slot);
        match self.stored(&entry) {
            Stored::Object(value) => Detached::Object(value.duplicate()),
            Stored::Inline(kind, bytes) => Detached::Inline(kind, bytes.to_vec()),
        }
    }

    /// One step of a scan: see [`Table::scan`].
    pub fn scan(&self, cursor: u64, mut emit: impl FnMut(Entry<'_>)) -> u64 {
        self.table.scan(cursor, Blocks(&self.arena), |value| {
            emit(self.entry_of(value));
        })
    }

    /// Looks at one segment for keys due at `now`: appends up to `max` of their names to `due`, and
    /// corrects the segment's bound. Returns whether it looked at all of them.
    pub fn due_in_segment(
        &mut self,
        segment: usize,
        now: Millis,
        max: usize,
        due: &mut Vec<Vec<u8>>,
    ) -> bool {
        let mut earliest = u64::MAX;
        let before = due.len();
        for value in self.table.segment_values(segment) {
            let bytes = self.arena.bytes(Ref::from_raw(value));
            if !Entry::expires(bytes) {
                continue;
            }
            let entry = Entry::parse(bytes);
            let Some(at) = entry.expiry else { continue };
            if at >= now {
                earliest = earliest.min(deadline(at));
            } else if due.len() - before < max {
                due.push(entry.key.to_vec());
            } else {
                return false;
            }
        }
        // The due ones are about to go; the bound may already leave them out.
        self.table.set_earliest(segment, earliest);
        true
    }

    /// Takes the name of a hash that may have a field past its time.
    pub fn take_due_hash(&mut self, now: Millis) -> Option<Arc<[u8]>> {
        self.field_expiries.take_due(now.max(0) as u64)
    }

    /// Moves entries of one segment out of sparse arena chunks.
    pub fn compact_segment(&mut self, segment: usize) {
        let arena = &mut self.arena;
        self.table.rewrite_segment(segment, |value| {
            let from = Ref::from_raw(value);
            if !arena.should_move(from) {
                return None;
            }
            let size = Entry::parse(arena.bytes(from)).size;
            let to = arena.alloc(size);
            let copy = arena.bytes(from)[..size].to_vec();
            arena.bytes_mut(to)[..size].copy_from_slice(&copy);
            arena.free(from, size);
            Some(to.raw())
        });
    }

    /// See [`Arena::begin_compaction`].
    pub fn begin_compaction(&mut self) -> bool {
        self.arena.begin_compaction()
    }

    /// See [`Arena::end_compaction`].
    pub fn end_compaction(&mut self) {
        self.arena.end_compaction();
    }

    /// Bytes of the table, and of all that the arena holds.
    pub fn heap_bytes(&self) -> (usize, usize) {
        (self.table.heap_bytes(), self.arena.held_bytes())
    }

    /// Bytes that the key at `slot` takes, its value and its place in the table included.
    pub fn key_bytes(&self, slot: Slot) -> usize {
        let entry = self.entry(slot);
        let value = match self.stored(&entry) {
            Stored::Object(value) => size_of::<Value>() + value.heap_bytes(),
            Stored::Inline(..) => 0,
        };
        Arena::usable(entry.size) + value + 8
    }
}

/// Keeps the index of hashes with expiring fields up to date after a change.
#[inline]
fn note_fields(index: &mut FieldExpiries, name: &[u8], value: &Value) {
    if let Value::Hash(hash @ (Hash::PackedEx(_) | Hash::Table(_))) = value
        && let Some(at) = hash.view().earliest_expiry()
    {
        index.note(name, at);
    }
}

/// Expiries as the table's deadlines: unsigned, with everything before 1970 at 0.
#[inline]
pub(crate) fn deadline(at: Millis) -> u64 {
    at.max(0) as u64
}

/// The bytes and kind under which a small value lies in its entry; none when it is large.
fn inline_form(value: &Value) -> Option<(Kind, &[u8])> {
    let (kind, bytes) = match value {
        Value::Str(blob) => {
            return (blob.len() <= INLINE_STRING_MAX).then(|| (Kind::RawBytes, blob.as_slice()));
        }
        Value::List(list) => (Kind::List, list.as_packed()?),
        Value::Hash(hash) => match packed_hash(hash)? {
            (bytes, false) => (Kind::Hash, bytes),
            (bytes, true) => (Kind::HashEx, bytes),
        },
        Value::Set(set) => match packed_set(set)? {
            (bytes, true) => (Kind::Ints, bytes),
            (bytes, false) => (Kind::Set, bytes),
        },
        Value::Zset(zset) => (Kind::Zset, packed_zset(zset)?),
        Value::Stream(_) | Value::Sketch(_) => return None,
    };
    (bytes.len() <= INLINE_MAX).then_some((kind, bytes))
}

/// The general form of an inline value.
pub fn from_inline(kind: Kind, bytes: Vec<u8>) -> Value {
    match kind {
        Kind::Bytes | Kind::RawBytes | Kind::Object => Value::Str(Arc::new(bytes)),
        Kind::Int => {
            let mut text = [0; 20];
            Value::Str(Arc::new(format_i64(int_value(&bytes), &mut text).to_vec()))
        }
        Kind::List => Value::List(List::from_packed(bytes)),
        Kind::Hash => Value::Hash(Hash::Packed(bytes)),
        Kind::HashEx => Value::Hash(Hash::PackedEx(bytes)),
        Kind::Ints => Value::Set(Set::Ints(bytes)),
        Kind::Set => Value::Set(Set::Packed(bytes)),
        Kind::Zset => Value::Zset(Zset::Packed(bytes)),
    }
}

/// What an edit left.
#[derive(Debug)]
pub enum Edited {
    /// The key is still there.
    Kept,
    /// The value became empty and the key is gone; here is its large value, to be freed.
    Emptied(Option<Value>),
}

#[cfg(test)]
#[path = "db_tests.rs"]
mod tests;
