//! DEBUG DIGEST: a fingerprint of the data set that does not depend on the order of keys.
//!
//! Each key contributes a 160-bit hash of its database, name, type, expiry and value; contributions are
//! combined by exclusive or. Within a value, elements whose order means nothing are combined in the same
//! way. The fingerprint compares one Ochre with another, and with itself over time; it is not the number
//! that the peers compute (that comes with the tools that compare with them).

use ochre_command::Key;
use ochre_command::data::type_of;
use ochre_keyspace::db::{Stored, Text};
use ochre_keyspace::entry::{Entry, Kind};
use ochre_keyspace::lock::Locked;
use ochre_keyspace::shard::{DbIndex, Shard};
use ochre_types::hash::HashRef;
use ochre_types::list::ListRef;
use ochre_types::set::SetRef;
use ochre_types::value::{Type, Value};
use ochre_types::zset::ZsetRef;

/// A fingerprint.
pub(crate) type Digest = [u8; 20];

/// A fingerprint as forty hexadecimal digits.
pub(crate) fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The fingerprint of all databases; keys past their time do not count.
pub(crate) fn whole(locked: &Locked<'static>, now_ms: i64) -> Digest {
    let mut sum = Digest::default();
    for shard in locked.each() {
        for index in 0..shard.dbs().len() as DbIndex {
            let db = shard.db(index);
            for value in db.table().iter() {
                let entry = db.entry_of(value);
                if entry.expiry.is_none_or(|at| at >= now_ms) {
                    let mut parts = Parts::new(b"key");
                    parts.add(&index.to_le_bytes());
                    parts.add(entry.key);
                    parts.add(&entry.expiry.unwrap_or(-1).to_le_bytes());
                    parts.add(&digest_value(shard, index, &entry, now_ms));
                    mix(&mut sum, &parts.digest());
                }
            }
        }
    }
    sum
}

/// The fingerprint of one key's value; zeros when it is absent.
pub(crate) fn of_key(locked: &Locked<'static>, index: DbIndex, name: &[u8], now_ms: i64) -> Digest {
    let key = Key::new(name);
    let shard = locked.shard(key.hash);
    let db = shard.db(index);
    match db.find(key).map(|slot| db.entry(slot)) {
        Some(entry) if entry.expiry.is_none_or(|at| at >= now_ms) => {
            digest_value(shard, index, &entry, now_ms)
        }
        _ => Digest::default(),
    }
}

/// A fixed (not per-process) hash of parts: FNV-1a in three lanes, enough to tell data sets apart.
struct Parts {
    lanes: [u64; 3],
}

impl Parts {
    fn new(kind: &[u8]) -> Self {
        let mut parts =
            Self { lanes: [0xCBF2_9CE4_8422_2325, 0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F] };
        parts.add(kind);
        parts
    }

    fn add(&mut self, bytes: &[u8]) {
        for (turn, lane) in self.lanes.iter_mut().enumerate() {
            for byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
                *lane = (*lane ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
                *lane = lane.rotate_left(turn as u32 * 7);
            }
        }
    }

    fn digest(&self) -> Digest {
        let mut out = Digest::default();
        for (chunk, lane) in out.chunks_mut(8).zip(&self.lanes) {
            let mut word = *lane;
            word = (word ^ word >> 31).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            word ^= word >> 29;
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
        out
    }
}

fn mix(sum: &mut Digest, part: &Digest) {
    for (a, b) in sum.iter_mut().zip(part) {
        *a ^= b;
    }
}

fn digest_value(shard: &Shard, index: DbIndex, entry: &Entry<'_>, now_ms: i64) -> Digest {
    let db = shard.db(index);
    let stored = db.stored(entry);
    let kind = type_of(&stored);
    let mut ordered = Parts::new(kind.name().as_bytes());
    let mut unordered = Digest::default();
    let mut room = [0; 20];
    match kind {
        Type::String => match db.text(entry) {
            Some(Text::Bytes(bytes)) => ordered.add(bytes),
            Some(Text::Int(n)) => ordered.add(ochre_base::num::format_i64(n, &mut room)),
            Some(Text::Blob(blob)) => ordered.add(blob),
            None => {}
        },
        Type::List => {
            if let Some(list) = list_view(stored) {
                list.iter().for_each(|element| ordered.add(element.text(&mut room)));
            }
        }
        Type::Set => {
            if let Some(set) = set_view(stored) {
                for member in set.iter() {
                    let mut part = Parts::new(b"member");
                    part.add(member.text(&mut room));
                    mix(&mut unordered, &part.digest());
                }
            }
        }
        Type::Zset => {
            if let Some(zset) = zset_view(stored) {
                for element in zset.iter() {
                    let mut part = Parts::new(b"element");
                    part.add(element.member);
                    part.add(&(element.score + 0.0).to_le_bytes());
                    mix(&mut unordered, &part.digest());
                }
            }
        }
        Type::Hash => {
            if let Some(hash) = hash_view(stored) {
                let mut other = [0; 20];
                for field in hash.iter(now_ms.max(0) as u64) {
                    let mut part = Parts::new(b"field");
                    part.add(field.name.text(&mut room));
                    part.add(field.value.text(&mut other));
                    part.add(&field.expire_at_ms.unwrap_or(0).to_le_bytes());
                    mix(&mut unordered, &part.digest());
                }
            }
        }
    }
    ordered.add(&unordered);
    ordered.digest()
}

fn list_view(stored: Stored<'_>) -> Option<ListRef<'_>> {
    match stored {
        Stored::Inline(Kind::List, bytes) => Some(ListRef::Packed(bytes)),
        Stored::Object(Value::List(list)) => Some(list.view()),
        _ => None,
    }
}

fn set_view(stored: Stored<'_>) -> Option<SetRef<'_>> {
    match stored {
        Stored::Inline(Kind::Ints, bytes) => Some(SetRef::Ints(bytes)),
        Stored::Inline(Kind::Set, bytes) => Some(SetRef::Packed(bytes)),
        Stored::Object(Value::Set(set)) => Some(set.view()),
        _ => None,
    }
}

fn zset_view(stored: Stored<'_>) -> Option<ZsetRef<'_>> {
    match stored {
        Stored::Inline(Kind::Zset, bytes) => Some(ZsetRef::Packed(bytes)),
        Stored::Object(Value::Zset(zset)) => Some(zset.view()),
        _ => None,
    }
}

fn hash_view(stored: Stored<'_>) -> Option<HashRef<'_>> {
    match stored {
        Stored::Inline(Kind::Hash, bytes) => Some(HashRef::Packed(bytes)),
        Stored::Inline(Kind::HashEx, bytes) => Some(HashRef::PackedEx(bytes)),
        Stored::Object(Value::Hash(hash)) => Some(hash.view()),
        _ => None,
    }
}
