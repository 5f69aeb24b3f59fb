//! DEBUG DIGEST: a fingerprint of the data set that does not depend on the order of keys, computed as the
//! peers compute it, so that data of different servers can be compared.
//!
//! Two operations on a 160-bit sum: *xor in* the SHA-1 of some bytes (for parts whose order means nothing),
//! and *mix in*, which afterwards replaces the sum by its own SHA-1 (for parts in order). Source: found by
//! comparing with redis-server 7.0.15; the conformance tests hold it to that.

use ochre_command::Key;
use ochre_command::data::type_of;
use ochre_keyspace::db::{Stored, Text};
use ochre_keyspace::entry::{Entry, Kind};
use ochre_keyspace::lock::Locked;
use ochre_keyspace::shard::{DbIndex, Shard};
use ochre_types::hash::HashRef;
use ochre_types::list::ListRef;
use ochre_types::set::SetRef;
use ochre_types::stream::Stream;
use ochre_types::value::{Type, Value};
use ochre_types::zset::ZsetRef;
use sha1::{Digest as _, Sha1};

/// A fingerprint.
pub(crate) type Digest = [u8; 20];

/// A fingerprint as forty hexadecimal digits.
pub(crate) fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The fingerprint of all databases; keys past their time do not count.
pub(crate) fn whole(locked: &Locked<'static>, now_ms: i64) -> Digest {
    let mut sum = Sum::default();
    let databases = locked.each().map(|shard| shard.dbs().len()).max().unwrap_or(0) as DbIndex;
    for index in 0..databases {
        if locked.each().all(|shard| shard.db(index).is_empty()) {
            continue;
        }
        sum.mix(&u32::from(index).to_be_bytes());
        for shard in locked.each() {
            let db = shard.db(index);
            for value in db.table().iter() {
                let entry = db.entry_of(value);
                if entry.expiry.is_none_or(|at| at >= now_ms) {
                    let mut key = Sum::default();
                    key.mix(entry.key);
                    add_value(&mut key, shard, index, &entry, now_ms);
                    sum.xor(&key.0);
                }
            }
        }
    }
    sum.0
}

/// The fingerprint of one key's value; zeros when it is absent.
pub(crate) fn of_key(locked: &Locked<'static>, index: DbIndex, name: &[u8], now_ms: i64) -> Digest {
    let key = Key::new(name);
    let shard = locked.shard(key.hash);
    let db = shard.db(index);
    let mut sum = Sum::default();
    if let Some(entry) = db.find(key).map(|slot| db.entry(slot))
        && entry.expiry.is_none_or(|at| at >= now_ms)
    {
        add_value(&mut sum, shard, index, &entry, now_ms);
    }
    sum.0
}

/// A sum under way.
#[derive(Default)]
struct Sum(Digest);

impl Sum {
    /// Adds bytes whose order among others means nothing.
    fn xor(&mut self, bytes: &[u8]) {
        let hash = Sha1::digest(bytes);
        self.0.iter_mut().zip(hash).for_each(|(a, b)| *a ^= b);
    }

    /// Adds bytes in order.
    fn mix(&mut self, bytes: &[u8]) {
        self.xor(bytes);
        let hash = Sha1::digest(self.0);
        self.0.copy_from_slice(&hash);
    }
}

fn add_value(sum: &mut Sum, shard: &Shard, index: DbIndex, entry: &Entry<'_>, now_ms: i64) {
    let db = shard.db(index);
    let stored = db.stored(entry);
    let kind = type_of(&stored);
    let number: u32 = match kind {
        Type::String => 0,
        Type::List => 1,
        Type::Set => 2,
        Type::Zset => 3,
        Type::Hash => 4,
        Type::Stream => 6,
        // Those that are modules elsewhere have 5 there.
        Type::Sketch(_) => 5,
    };
    sum.mix(&number.to_be_bytes());
    let (mut room, mut other) = ([0; 20], [0; 20]);
    match kind {
        Type::String => match db.text(entry) {
            Some(Text::Bytes(bytes)) => sum.mix(bytes),
            Some(Text::Int(n)) => sum.mix(ochre_base::num::format_i64(n, &mut room)),
            Some(Text::Blob(blob)) => sum.mix(blob),
            None => {}
        },
        Type::List => {
            for element in list_view(stored).into_iter().flat_map(ListRef::iter) {
                sum.mix(element.text(&mut room));
            }
        }
        Type::Set => {
            for member in set_view(stored).into_iter().flat_map(SetRef::iter) {
                sum.xor(member.text(&mut room));
            }
        }
        Type::Zset => {
            for element in zset_view(stored).into_iter().flat_map(ZsetRef::iter) {
                let mut part = Sum::default();
                part.mix(element.member);
                part.mix(seventeen_digits(element.score).as_bytes());
                sum.xor(&part.0);
            }
        }
        Type::Hash => {
            let now = now_ms.max(0) as u64;
            for field in hash_view(stored).into_iter().flat_map(|hash| hash.iter(now)) {
                let mut part = Sum::default();
                part.mix(field.name.text(&mut room));
                part.mix(field.value.text(&mut other));
                sum.xor(&part.0);
            }
        }
        Type::Sketch(_) => {
            if let Stored::Object(Value::Sketch(sketch)) = stored {
                let mut bytes = Vec::new();
                sketch.encode(&mut bytes);
                sum.mix(&bytes);
            }
        }
        Type::Stream => {
            for entry in stream_view(stored).into_iter().flat_map(Stream::iter) {
                sum.mix(format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes());
                for (field, value) in entry.pairs() {
                    sum.mix(field.text(&mut room));
                    sum.mix(value.text(&mut other));
                }
            }
        }
    }
    if entry.expiry.is_some() {
        sum.xor(b"!!expire!!");
    }
}

/// A number as C prints it with `%.17g`.
fn seventeen_digits(n: f64) -> String {
    if !n.is_finite() {
        return if n > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let scientific = format!("{n:.16e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..17).contains(&exponent) {
        return trim(&format!("{n:.*}", (16 - exponent) as usize));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trim(digits), exponent.abs())
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

fn stream_view(stored: Stored<'_>) -> Option<&Stream> {
    match stored {
        Stored::Object(Value::Stream(stream)) => Some(stream),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn prints_numbers_as_c_does() {
        let cases = [
            (0.0, "0"),
            (2.5, "2.5"),
            (0.1, "0.10000000000000001"),
            (-1e30, "-1e+30"),
            (123_456_789.0, "123456789"),
            (1e-5, "1.0000000000000001e-05"),
            (f64::INFINITY, "inf"),
        ];
        for (n, expected) in cases {
            assert_eq!(super::seventeen_digits(n), expected);
        }
    }
}
