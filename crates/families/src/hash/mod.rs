//! Hash commands: writing fields ([`mod@write`]), reading them ([`read`]), counters ([`increment`]), and
//! fields that expire ([`expire`], [`get_set`]).
//!
//! A field whose time has passed is absent for every command, but for HLEN it counts until it is
//! removed, as with the peers. Reads never remove one; a write removes those it touches, and
//! [`drop_expired_fields`] removes the others. What is removed so is logged as HDEL, so that no
//! reader of the log needs a clock.
//!
//! Source: documentation of the hash commands of Redis 7.2; of the commands for fields that expire,
//! Valkey 9.1, whose texts, order of checks, rounding and events hold where Redis 8.0 differs.

use ochre_base::clock::Millis;
use ochre_command::data::{Class, Data, Left};
use ochre_command::outcome::{Result, WRONG_TYPE};
use ochre_command::spec::{Flags, KeyFlags};
use ochre_command::{Ctx, Key};
use ochre_keyspace::db::Stored;
use ochre_keyspace::entry::Kind;
use ochre_types::hash::{Hash, HashRef};
use ochre_types::value::Value;
use smallvec::SmallVec;

pub mod expire;
pub mod get_set;
pub mod increment;
pub mod read;
pub mod write;

/// Reads in constant time for each field.
const READ_FAST: Flags = Flags::READONLY.union(Flags::FAST);
/// Removes, or changes expiries, in constant time for each field.
const WRITE_FAST: Flags = Flags::WRITE.union(Flags::FAST);
/// Adds in constant time for each field.
const GROW_FAST: Flags = WRITE_FAST.union(Flags::DENYOOM);

/// A key whose fields are read.
const READS: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
/// A key whose fields are changed.
const UPDATES: KeyFlags = KeyFlags::RW.union(KeyFlags::UPDATE);
/// A key whose fields are changed and returned.
const UPDATES_READS: KeyFlags = UPDATES.union(KeyFlags::ACCESS);
/// A key that fields are added to.
const INSERTS: KeyFlags = KeyFlags::RW.union(KeyFlags::INSERT);

/// Names of fields that a command touched.
type Names<'a> = SmallVec<[&'a [u8]; 8]>;

/// What is stored, as a hash to be read.
#[inline]
pub(crate) fn hash_view(stored: Stored<'_>) -> Result<HashRef<'_>> {
    match stored {
        Stored::Inline(Kind::Hash, bytes) => Ok(HashRef::Packed(bytes)),
        Stored::Inline(Kind::HashEx, bytes) => Ok(HashRef::PackedEx(bytes)),
        Stored::Object(Value::Hash(hash)) => Ok(hash.view()),
        _ => Err(WRONG_TYPE),
    }
}

/// A value that an edit was lent, as a hash.
#[inline]
fn hash_mut(value: &mut Value) -> Result<&mut Hash> {
    match value {
        Value::Hash(hash) => Ok(hash),
        _ => Err(WRONG_TYPE),
    }
}

fn new_hash() -> Value {
    Value::Hash(Hash::new())
}

/// The hash under argument 1, for reading; counts and touches. None when it is absent.
#[inline]
fn read_hash<'d>(data: &'d mut Data<'_>, key: Key<'_>) -> Result<Option<HashRef<'d>>> {
    data.stored(key).map(hash_view).transpose()
}

/// The moment as fields' expiries are given.
#[inline]
fn as_field_time(now: Millis) -> u64 {
    now.max(0).unsigned_abs()
}

/// The moment the command runs at, as fields' expiries are given.
#[inline]
fn now_ms(ctx: &Ctx<'_>) -> u64 {
    as_field_time(ctx.expiry_now())
}

/// Logs the removal of fields.
fn log_removal(data: &mut Data<'_>, key: Key<'_>, fields: &[&[u8]]) {
    let mut effect: Names<'_> = SmallVec::new();
    effect.extend_from_slice(&[b"HDEL", key.name]);
    effect.extend_from_slice(fields);
    data.effect(effect.iter());
}

/// Logs the values of fields, given as name, value, name, value and so on.
fn log_values(data: &mut Data<'_>, key: Key<'_>, pairs: &[&[u8]]) {
    let mut effect: Names<'_> = SmallVec::new();
    effect.extend_from_slice(&[b"HSET", key.name]);
    effect.extend_from_slice(pairs);
    data.effect(effect.iter());
}

/// Removes up to `most` fields that have expired from the hash under `key`, tells and logs it, and
/// gives their number. Does nothing to keys that are absent or hold something else. O(n) for a packed
/// hash, O(segments with something due) for a table. For the active expiry cycle.
pub fn drop_expired_fields(data: &mut Data<'_>, key: Key<'_>, most: usize) -> usize {
    let now = as_field_time(data.env.expiry_now);
    let mut names: Vec<Vec<u8>> = Vec::new();
    let edited = data.edit(key, None, |value, _, _| {
        hash_mut(value)?.take_expired(now, most, |name| names.push(name.to_vec()));
        Ok(())
    });
    // Anything but a hash has no fields that expire.
    let Ok(Some(((), left))) = edited else {
        return 0;
    };
    if !names.is_empty() {
        let fields: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        log_removal(data, key, &fields);
        note_expired(data, key, left, &fields);
    }
    names.len()
}

/// Tells who wants to hear of fields which ones an event was about.
#[inline]
fn tell_fields(data: &Data<'_>, key: Key<'_>, event: &'static str, fields: &[&[u8]]) {
    data.tell_parts(key, Class::Hash, event, fields.iter().copied());
}

/// Counts fields that had expired and are removed now, and tells of them.
fn note_expired(data: &mut Data<'_>, key: Key<'_>, left: Left, fields: &[&[u8]]) {
    data.work.counts.expired_fields += fields.len() as u64;
    data.tell(key, Class::Hash, "hexpired");
    tell_fields(data, key, "hexpired", fields);
    if left == Left::Nothing {
        data.tell(key, Class::Generic, "del");
    }
}

#[cfg(test)]
mod tests;
