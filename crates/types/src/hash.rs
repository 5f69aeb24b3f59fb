//! A hash: fields with values, and for some fields a time at which they expire.
//!
//! ```text
//! Packed     field value | field value | ...                     a packed sequence
//! PackedEx   field value expiry | field value expiry | ...       expiry 0: none
//! Table      HashTable: table of references into an arena, see `hash/table.rs`
//! ```
//!
//! A hash begins as `Packed`, becomes `PackedEx` with the first expiry and `Packed` again when the
//! last one goes, and becomes a `Table` for good when it passes `hash-max-listpack-entries` or a
//! field or value passes `hash-max-listpack-value`. The logical encoding is "listpack" for the first
//! two and "hashtable" for the last.
//!
//! Reading goes through [`HashRef`], because the keyspace also keeps packed bytes inside a key's
//! entry. Expiries are absolute milliseconds below 2^48; a field has expired when its time lies
//! before `now_ms`. Expired fields are absent for every operation that takes `now_ms`, but they
//! occupy memory and count in [`HashRef::len`] until [`Hash::take_expired`] or a write removes them,
//! which is how HLEN behaves.
//!
//! Costs: packed forms O(n) with n bounded by the limits, the table O(1); see each method.
//! Source: documentation of the hash commands of Redis 7.4 and Valkey 9.

pub(crate) mod distinct;
pub(crate) mod either;
pub(crate) mod table;
mod view;

use smallvec::SmallVec;

pub use self::table::HashTable;
pub use self::view::{Field, HashRef};
use crate::limits::Limits;
use crate::packed::{self, Encoded, Entry};

/// The latest expiry that a field can have, in milliseconds.
pub const EXPIRE_AT_MS_MAX: u64 = (1 << 48) - 1;

/// Elements of one field in a packed hash, without and with expiry.
const PAIR: usize = 2;
const TRIPLE: usize = 3;

/// What a write does to the field's expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expiry {
    Clear,
    Keep,
}

/// A hash. An empty one is to be deleted by its owner.
#[derive(Debug)]
pub enum Hash {
    /// Pairs of field and value.
    Packed(Vec<u8>),
    /// Triples of field, value and expiry.
    PackedEx(Vec<u8>),
    /// The large form.
    Table(Box<HashTable>),
}

impl Default for Hash {
    fn default() -> Self {
        Self::new()
    }
}

impl Hash {
    /// An empty hash. Allocates nothing.
    pub const fn new() -> Self {
        Self::Packed(Vec::new())
    }

    /// The read view.
    #[inline]
    pub fn view(&self) -> HashRef<'_> {
        match self {
            Self::Packed(buf) => HashRef::Packed(buf),
            Self::PackedEx(buf) => HashRef::PackedEx(buf),
            Self::Table(table) => HashRef::Table(table),
        }
    }

    /// Number of fields, those included that have expired but are not removed yet.
    #[inline]
    pub fn len(&self) -> usize {
        self.view().len()
    }

    /// Whether there are no fields at all.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.view().is_empty()
    }

    /// Heap bytes held.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Packed(buf) | Self::PackedEx(buf) => buf.capacity(),
            Self::Table(table) => size_of::<HashTable>() + table.heap_bytes(),
        }
    }

    /// Gives the field `name` a value and no expiry, as HSET. `true` when the field is new.
    #[inline]
    pub fn set(&mut self, limits: &Limits, name: &[u8], value: &[u8], now_ms: u64) -> bool {
        self.write(limits, name, value, now_ms, Expiry::Clear)
    }

    /// Gives the field `name` a value and leaves its expiry, as HINCRBY. `true` when it is new.
    #[inline]
    pub fn set_keeping_expiry(
        &mut self,
        limits: &Limits,
        name: &[u8],
        value: &[u8],
        now_ms: u64,
    ) -> bool {
        self.write(limits, name, value, now_ms, Expiry::Keep)
    }

    /// Gives the field `name` a value if it is absent, as HSETNX. `true` when it was.
    pub fn set_if_absent(
        &mut self,
        limits: &Limits,
        name: &[u8],
        value: &[u8],
        now_ms: u64,
    ) -> bool {
        !self.view().contains(name, now_ms) && self.set(limits, name, value, now_ms)
    }

    fn write(
        &mut self,
        limits: &Limits,
        name: &[u8],
        value: &[u8],
        now_ms: u64,
        expiry: Expiry,
    ) -> bool {
        let longest = name.len().max(value.len());
        if longest > limits.hash_max_listpack_value {
            self.convert_to_table();
        }
        let (buf, stride) = match self {
            Self::Packed(buf) => (buf, PAIR),
            Self::PackedEx(buf) => (buf, TRIPLE),
            Self::Table(table) => return write_table(table, name, value, now_ms, expiry),
        };
        match packed::find_or_count(buf, name, stride) {
            Ok(at) => {
                let value_at = packed::next(buf, at);
                packed::replace_at(buf, value_at, value);
                stride == TRIPLE && renew_expiry(buf, value_at, now_ms, expiry)
            }
            Err(fields) if fields < limits.hash_max_listpack_entries => {
                packed::push_back(buf, name);
                packed::push_back(buf, value);
                if stride == TRIPLE {
                    packed::push_encoded(buf, &Encoded::of_int(0));
                }
                true
            }
            Err(_) => {
                self.convert_to_table();
                self.write(limits, name, value, now_ms, expiry)
            }
        }
    }

    /// Removes the field `name`. `false` when it was absent or had expired; in the latter case it is
    /// removed all the same.
    #[inline]
    pub fn remove(&mut self, name: &[u8], now_ms: u64) -> bool {
        self.take(name).is_some_and(|expiry| !is_expired(expiry, now_ms))
    }

    /// Removes the field `name`, expired or not. Its expiry when it was there, 0 for none.
    pub fn take(&mut self, name: &[u8]) -> Option<u64> {
        match self {
            Self::Packed(buf) => {
                let at = packed::find(buf, name, PAIR)?;
                packed::remove(buf, at, PAIR);
                Some(0)
            }
            Self::PackedEx(buf) => {
                let at = packed::find(buf, name, TRIPLE)?;
                let expiry = expiry_at(buf, packed::skip(buf, at, 2));
                packed::remove(buf, at, TRIPLE);
                self.settle();
                Some(expiry)
            }
            Self::Table(table) => table.remove(name),
        }
    }

    /// Lets the field `name` expire at `at_ms` (1 to [`EXPIRE_AT_MS_MAX`]). `false` when it is
    /// absent; whether it has expired, and what NX, XX, GT and LT say, is decided by the caller from
    /// [`HashRef::find`].
    pub fn set_expiry(&mut self, name: &[u8], at_ms: u64) -> bool {
        self.change_expiry(name, at_ms.clamp(1, EXPIRE_AT_MS_MAX))
    }

    /// Removes the expiry of the field `name`. `false` when the field is absent or has none.
    pub fn persist(&mut self, name: &[u8]) -> bool {
        let had_one = match self {
            Self::Packed(_) => false,
            Self::PackedEx(_) | Self::Table(_) => {
                self.view().find_any(name).is_some_and(|field| field.expire_at_ms.is_some())
            }
        };
        had_one && self.change_expiry(name, 0)
    }

    fn change_expiry(&mut self, name: &[u8], expiry: u64) -> bool {
        if let Self::Packed(buf) = self {
            if packed::find(buf, name, PAIR).is_none() {
                return false;
            }
            *self = Self::PackedEx(with_expiries(buf));
        }
        match self {
            Self::Packed(_) => false,
            Self::PackedEx(buf) => {
                let Some(at) = packed::find(buf, name, TRIPLE) else {
                    return false;
                };
                let expiry_at = packed::skip(buf, at, 2);
                packed::replace_encoded(buf, expiry_at, &Encoded::of_int(expiry as i64));
                self.settle();
                true
            }
            Self::Table(table) => table.set_expiry(name, expiry),
        }
    }

    /// Removes up to `most` fields that have expired, and calls `removed` with each one's name.
    /// Gives their number; fewer than `most` means that none is left. O(n) for the packed form; for
    /// the table O(segments with something due).
    pub fn take_expired(
        &mut self,
        now_ms: u64,
        most: usize,
        mut removed: impl FnMut(&[u8]),
    ) -> usize {
        match self {
            Self::Packed(_) => 0,
            Self::PackedEx(buf) => {
                let (mut at, mut n) = (0, 0);
                while n < most && at < buf.len() {
                    let expiry_at = packed::skip(buf, at, 2);
                    let after = packed::next(buf, expiry_at);
                    if !is_expired(self::expiry_at(buf, expiry_at), now_ms) {
                        at = after;
                        continue;
                    }
                    if let Some((name, _)) = packed::entry_at(buf, at) {
                        removed(name.text(&mut [0; 20]));
                    }
                    packed::remove_range(buf, at, after);
                    n += 1;
                }
                self.settle();
                n
            }
            Self::Table(table) => table.take_expired(now_ms, most, removed),
        }
    }

    /// Turns to the large form, if it is not that already. For a caller that knows how many fields
    /// are coming; [`Hash::set`] does it by itself.
    pub fn convert_to_table(&mut self) {
        if matches!(self, Self::Table(_)) {
            return;
        }
        let mut table = Box::<HashTable>::default();
        let (mut name_room, mut value_room) = ([0; 20], [0; 20]);
        for field in self.view().iter_any() {
            let expiry = field.expire_at_ms.unwrap_or(0);
            let name = field.name.text(&mut name_room);
            table.put(name, field.value.text(&mut value_room), |_| expiry);
        }
        *self = Self::Table(table);
    }

    /// Moves the large form's data together after many removals; see [`HashTable::compact`].
    pub fn compact(&mut self) {
        match self {
            Self::Packed(buf) | Self::PackedEx(buf) => buf.shrink_to_fit(),
            Self::Table(table) => table.compact(),
        }
    }

    /// Turns triples of which none has an expiry back to pairs.
    fn settle(&mut self) {
        if let Self::PackedEx(buf) = self
            && self::view::packed_fields(buf, TRIPLE).all(|field| field.expire_at_ms.is_none())
        {
            let mut pairs = Vec::with_capacity(buf.len());
            for field in self::view::packed_fields(buf, TRIPLE) {
                packed::push_encoded(&mut pairs, &Encoded::of_entry(field.name));
                packed::push_encoded(&mut pairs, &Encoded::of_entry(field.value));
            }
            pairs.shrink_to_fit();
            *self = Self::Packed(pairs);
        }
    }
}

/// Whether a field with this expiry (0: none) is gone at `now_ms`.
#[inline]
fn is_expired(expiry: u64, now_ms: u64) -> bool {
    expiry != 0 && expiry < now_ms
}

/// The expiry that is stored as the element at `at`; 0 when there is none.
#[inline]
fn expiry_at(buf: &[u8], at: usize) -> u64 {
    match packed::entry_at(buf, at) {
        Some((Entry::Int(at_ms), _)) => at_ms.unsigned_abs(),
        _ => 0,
    }
}

/// After the value at `value_at` was written: clears the field's expiry unless it is to be kept and
/// still to come. `true` when the field had expired, so that the write made a new one.
fn renew_expiry(buf: &mut Vec<u8>, value_at: usize, now_ms: u64, expiry: Expiry) -> bool {
    let at = packed::next(buf, value_at);
    let old = expiry_at(buf, at);
    let expired = is_expired(old, now_ms);
    if old != 0 && (expired || expiry == Expiry::Clear) {
        packed::replace_encoded(buf, at, &Encoded::of_int(0));
    }
    expired
}

fn write_table(
    table: &mut HashTable,
    name: &[u8],
    value: &[u8],
    now_ms: u64,
    expiry: Expiry,
) -> bool {
    let old = table.put(name, value, |old| match expiry {
        Expiry::Keep if !is_expired(old, now_ms) => old,
        _ => 0,
    });
    old.is_none_or(|old| is_expired(old, now_ms))
}

/// Pairs as triples without expiry.
fn with_expiries(pairs: &[u8]) -> Vec<u8> {
    let none = Encoded::of_int(0);
    let elements: SmallVec<[Entry<'_>; 64]> = packed::iter(pairs).collect();
    let mut triples = Vec::with_capacity(pairs.len() + elements.len() / 2 * none.len() + 8);
    for pair in elements.chunks_exact(PAIR) {
        packed::push_encoded(&mut triples, &Encoded::of_entry(pair[0]));
        packed::push_encoded(&mut triples, &Encoded::of_entry(pair[1]));
        packed::push_encoded(&mut triples, &none);
    }
    triples
}

#[cfg(test)]
mod tests;
