//! Saving lists, sets, sorted sets and hashes.

use ochre_base::num::{F64_TEXT_MAX, format_f64};
use ochre_types::hash::{Field, HashRef};
use ochre_types::list::ListRef;
use ochre_types::packed::{self, Entry};
use ochre_types::set::SetRef;
use ochre_types::zset::{Order, ZsetRef};

use super::{put_entry, put_len, put_string};
use crate::format::{Dialect, Family, container, kind};
use crate::listpack::Writer;

/// A list's element of more bytes stands alone and as it is, as Redis 7.2 has it by default.
const PLAIN_ABOVE: usize = 8192;
/// The same for Redis 7.0, which has listpacks of any size below this.
const PLAIN_ABOVE_7_0: usize = (1 << 30) - 64;

/// Appends a list; gives its type.
pub(super) fn list(out: &mut Vec<u8>, list: ListRef<'_>, dialect: &Dialect) -> u8 {
    match list {
        ListRef::Packed(bytes) => {
            put_len(out, 1);
            put_page(out, bytes, dialect);
        }
        ListRef::Pages(list) => {
            put_len(out, list.pages().len() as u64);
            list.pages().for_each(|bytes| put_page(out, bytes, dialect));
        }
    }
    kind::LIST_QUICKLIST_2
}

/// Appends a page of a list: a packed sequence.
pub(super) fn put_page(out: &mut Vec<u8>, bytes: &[u8], dialect: &Dialect) {
    let older = dialect.version() <= Dialect::REDIS_7_0.version();
    if bytes.len() > if older { PLAIN_ABOVE_7_0 } else { PLAIN_ABOVE }
        && let Some((Entry::Str(text), after)) = packed::entry_at(bytes, 0)
        && after == bytes.len()
    {
        put_len(out, container::PLAIN);
        return put_string(out, text, dialect);
    }
    put_len(out, container::PACKED);
    put_listpack(out, bytes.len(), packed::iter(bytes), dialect);
}

/// Appends canonical entries as a listpack in a string.
fn put_listpack<'a>(
    out: &mut Vec<u8>,
    about: usize,
    entries: impl Iterator<Item = Entry<'a>>,
    dialect: &Dialect,
) {
    let mut listpack = Writer::with_capacity(about + about / 8);
    entries.for_each(|entry| listpack.push(entry));
    put_string(out, &listpack.finish(), dialect);
}

/// Appends a set; gives its type.
pub(super) fn set(out: &mut Vec<u8>, set: SetRef<'_>, dialect: &Dialect) -> u8 {
    match set {
        SetRef::Ints(_) => {
            put_string(out, &intset(set), dialect);
            kind::SET_INTSET
        }
        SetRef::Packed(bytes) if dialect.version() > Dialect::REDIS_7_0.version() => {
            put_listpack(out, bytes.len(), packed::iter(bytes), dialect);
            kind::SET_LISTPACK
        }
        SetRef::Packed(_) | SetRef::Table(_) => {
            put_len(out, set.len() as u64);
            set.iter().for_each(|member| put_entry(out, member, dialect));
            kind::SET
        }
    }
}

/// `width:u32 count:u32`, then the integers in that width, ascending.
fn intset(set: SetRef<'_>) -> Vec<u8> {
    let integers = || {
        set.iter().filter_map(|entry| match entry {
            Entry::Int(n) => Some(n),
            Entry::Str(_) => None,
        })
    };
    let width = integers().map(int_width).max().unwrap_or(2);
    let mut bytes = Vec::with_capacity(8 + set.len() * width);
    bytes.extend_from_slice(&(width as u32).to_le_bytes());
    bytes.extend_from_slice(&(set.len() as u32).to_le_bytes());
    integers().for_each(|n| bytes.extend_from_slice(&n.to_le_bytes()[..width]));
    bytes
}

fn int_width(n: i64) -> usize {
    if n == i64::from(n as i16) {
        2
    } else if n == i64::from(n as i32) {
        4
    } else {
        8
    }
}

/// Appends a sorted set; gives its type.
pub(super) fn zset(out: &mut Vec<u8>, zset: ZsetRef<'_>, dialect: &Dialect) -> u8 {
    match zset {
        ZsetRef::Packed(bytes) => {
            let mut listpack = Writer::with_capacity(bytes.len() + bytes.len() / 2);
            let mut room = [0; F64_TEXT_MAX];
            for entry in zset.iter() {
                listpack.push(Entry::of(entry.member));
                listpack.push(Entry::of(format_f64(entry.score, &mut room)));
            }
            put_string(out, &listpack.finish(), dialect);
            kind::ZSET_LISTPACK
        }
        ZsetRef::Tree(tree) => {
            put_len(out, tree.len() as u64);
            // From the highest down: readers that keep lists add each at the head.
            for entry in zset.iter_span(0..usize::MAX, Order::Descending) {
                put_string(out, entry.member, dialect);
                out.extend_from_slice(&entry.score.to_le_bytes());
            }
            kind::ZSET_2
        }
    }
}

/// Appends a hash; gives its type.
pub(super) fn hash(out: &mut Vec<u8>, hash: HashRef<'_>, dialect: &Dialect) -> u8 {
    match hash {
        HashRef::Packed(bytes) => {
            put_listpack(out, bytes.len(), packed::iter(bytes), dialect);
            kind::HASH_LISTPACK
        }
        HashRef::Table(table) if table.expiring() == 0 => {
            put_len(out, table.len() as u64);
            // Nothing has expired at 0: all fields.
            for field in hash.iter(0) {
                put_pair(out, &field, dialect);
            }
            kind::HASH
        }
        _ if dialect.family() == Family::Valkey => {
            put_len(out, hash.len() as u64);
            for field in hash.iter(0) {
                put_pair(out, &field, dialect);
                let at = field.expire_at_ms.map_or(-1, |at| at as i64);
                out.extend_from_slice(&at.to_le_bytes());
            }
            kind::VALKEY_HASH_EXPIRY
        }
        HashRef::PackedEx(bytes) => {
            put_triples(out, hash, bytes.len(), dialect);
            kind::HASH_LISTPACK_EXPIRY
        }
        HashRef::Table(table) => {
            let earliest = earliest(hash);
            out.extend_from_slice(&earliest.to_le_bytes());
            put_len(out, table.len() as u64);
            for field in hash.iter(0) {
                put_len(out, field.expire_at_ms.map_or(0, |at| at - earliest + 1));
                put_pair(out, &field, dialect);
            }
            kind::HASH_EXPIRY
        }
    }
}

fn put_pair(out: &mut Vec<u8>, field: &Field<'_>, dialect: &Dialect) {
    put_entry(out, field.name, dialect);
    put_entry(out, field.value, dialect);
}

/// The earliest expiry of all fields, exactly.
fn earliest(hash: HashRef<'_>) -> u64 {
    hash.iter(0).filter_map(|field| field.expire_at_ms).min().unwrap_or(0)
}

/// Appends the earliest expiry and a listpack of triples, by expiry, those without at the end.
fn put_triples(out: &mut Vec<u8>, hash: HashRef<'_>, about: usize, dialect: &Dialect) {
    let mut fields: Vec<Field<'_>> = hash.iter(0).collect();
    fields.sort_by_key(|field| field.expire_at_ms.unwrap_or(u64::MAX));
    let mut listpack = Writer::with_capacity(about + about / 8);
    for field in &fields {
        listpack.push(field.name);
        listpack.push(field.value);
        listpack.push(Entry::Int(field.expire_at_ms.unwrap_or(0) as i64));
    }
    out.extend_from_slice(&earliest(hash).to_le_bytes());
    put_string(out, &listpack.finish(), dialect);
}
