//! Saving: one value, or the whole record of a key, appended to a buffer.
//!
//! Which type a value is saved as follows from its form and the dialect:
//!
//! ```text
//! string                       STRING           an integer of 32 bits as such; LZF above 20 bytes
//! list                         LIST_QUICKLIST_2 one listpack for each page; elements above 8 KB as
//!                                               they are, from 7.2 on
//! set   integers               SET_INTSET
//!       packed                 SET_LISTPACK     SET in 7.0
//!       table                  SET
//! zset  packed | tree          ZSET_LISTPACK | ZSET_2, highest score first
//! hash  packed | table         HASH_LISTPACK | HASH
//!       with expiries          HASH_LISTPACK_EXPIRY | HASH_EXPIRY; VALKEY_HASH_EXPIRY for Valkey
//! stream                       STREAM_2 in 7.0, else STREAM_3
//! sketch                       MODULE: see the file on sketches
//! ```
//!
//! A large collection can also be saved part by part while it changes: see [`PartsEncoder`].
//!
//! A hash whose fields expire is saved in Redis 8's form where the dialect is too old to have one: its
//! readers refuse it, which is better than a loss that nobody sees. Fields past their time are saved.
//!
//! Nothing here keeps state or fails; O(size of the value), and a small collection is built once more as
//! a listpack. Source: see [`format`](mod@crate::format).

mod collection;
mod parts;
mod stream;

pub use self::parts::PartsEncoder;
pub(crate) use self::stream::NOBODY;
use ochre_base::lzf;
use ochre_base::num::{I64_TEXT_MAX, format_i64, parse_i64};
use ochre_types::packed::Entry;

use crate::format::{Dialect, kind, opcode};
use crate::record::{KeyMeta, ValueRef};

/// Longest text that is looked at as an integer: that of the lowest of 32 bits.
const INT_TEXT_MAX: usize = 11;
/// Shortest string that is compressed, less one.
const COMPRESS_ABOVE: usize = 20;
/// Bytes that compression has to save.
const COMPRESS_GAIN: usize = 4;

/// Appends a key's record: expiry, idle time or frequency, type, key and value. May run in several
/// threads at once.
pub fn encode_key(
    out: &mut Vec<u8>,
    key: &[u8],
    value: ValueRef<'_>,
    meta: &KeyMeta,
    dialect: &Dialect,
) {
    put_meta(out, meta);
    let type_at = out.len();
    out.push(0);
    put_string(out, key, dialect);
    out[type_at] = save_value(out, value, dialect);
}

/// Appends what stands before a key's type.
fn put_meta(out: &mut Vec<u8>, meta: &KeyMeta) {
    if let Some(at_ms) = meta.expire_at_ms {
        out.push(opcode::EXPIRE_MS);
        out.extend_from_slice(&at_ms.to_le_bytes());
    }
    if let Some(idle_s) = meta.idle_s {
        out.push(opcode::IDLE);
        put_len(out, idle_s);
    }
    if let Some(frequency) = meta.frequency {
        out.extend_from_slice(&[opcode::FREQUENCY, frequency]);
    }
}

/// Appends a value, and gives its type's number, which stands elsewhere.
pub fn save_value(out: &mut Vec<u8>, value: ValueRef<'_>, dialect: &Dialect) -> u8 {
    match value {
        ValueRef::Text(text) => {
            put_string(out, text, dialect);
            kind::STRING
        }
        ValueRef::Int(n) => {
            put_int(out, n);
            kind::STRING
        }
        ValueRef::List(list) => collection::list(out, list, dialect),
        ValueRef::Set(set) => collection::set(out, set, dialect),
        ValueRef::Zset(zset) => collection::zset(out, zset, dialect),
        ValueRef::Hash(hash) => collection::hash(out, hash, dialect),
        ValueRef::Stream(value) => stream::save(out, value, dialect),
        ValueRef::Sketch(sketch) => crate::sketch::save(out, sketch, dialect),
    }
}

/// Appends a length.
pub(crate) fn put_len(out: &mut Vec<u8>, len: u64) {
    match len {
        0..=0x3F => out.push(len as u8),
        0x40..=0x3FFF => out.extend_from_slice(&(0x4000 | len as u16).to_be_bytes()),
        0x4000..=0xFFFF_FFFF => {
            out.push(0x80);
            out.extend_from_slice(&(len as u32).to_be_bytes());
        }
        _ => {
            out.push(0x81);
            out.extend_from_slice(&len.to_be_bytes());
        }
    }
}

/// Appends a string: as an integer, compressed, or as it is.
pub(crate) fn put_string(out: &mut Vec<u8>, text: &[u8], dialect: &Dialect) {
    if text.len() <= INT_TEXT_MAX {
        if let Some(n) = parse_i64(text).and_then(|n| i32::try_from(n).ok()) {
            return put_small_int(out, n);
        }
    } else if text.len() > COMPRESS_ABOVE && dialect.compresses() && put_compressed(out, text) {
        return;
    }
    put_len(out, text.len() as u64);
    out.extend_from_slice(text);
}

/// Appends the text of an integer.
pub(crate) fn put_int(out: &mut Vec<u8>, n: i64) {
    match i32::try_from(n) {
        Ok(small) => put_small_int(out, small),
        Err(_) => {
            let mut room = [0; I64_TEXT_MAX];
            let text = format_i64(n, &mut room);
            put_len(out, text.len() as u64);
            out.extend_from_slice(text);
        }
    }
}

fn put_small_int(out: &mut Vec<u8>, n: i32) {
    let bytes = n.to_le_bytes();
    let (head, width) = match n {
        -0x80..=0x7F => (0xC0, 1),
        -0x8000..=0x7FFF => (0xC1, 2),
        _ => (0xC2, 4),
    };
    out.push(head);
    out.extend_from_slice(&bytes[..width]);
}

/// Appends a string compressed; false, and nothing done, when that gains nothing. The length of the data
/// stands before it and is known after it: room is left for the text's own length, and cut then.
fn put_compressed(out: &mut Vec<u8>, text: &[u8]) -> bool {
    let start = out.len();
    out.push(0xC3);
    let guess = len_bytes(text.len() as u64);
    out.resize(start + 1 + guess, 0);
    put_len(out, text.len() as u64);
    let data_at = out.len();
    if !lzf::compress(text, out, text.len() - COMPRESS_GAIN) {
        out.truncate(start);
        return false;
    }
    let size = (out.len() - data_at) as u64;
    let end = out.len();
    put_len(out, size);
    let width = out.len() - end;
    out.copy_within(end.., start + 1);
    out.truncate(end);
    out.drain(start + 1 + width..start + 1 + guess);
    true
}

/// Bytes that a length takes.
fn len_bytes(len: u64) -> usize {
    match len {
        0..=0x3F => 1,
        0x40..=0x3FFF => 2,
        0x4000..=0xFFFF_FFFF => 5,
        _ => 9,
    }
}

/// Appends an element that was read from a collection.
pub(crate) fn put_entry(out: &mut Vec<u8>, entry: Entry<'_>, dialect: &Dialect) {
    match entry {
        Entry::Int(n) => put_int(out, n),
        Entry::Str(text) => put_string(out, text, dialect),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(value: ValueRef<'_>) -> String {
        let mut out = Vec::new();
        save_value(&mut out, value, &Dialect::REDIS_7_2);
        out.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// As redis-server 7.0.15 writes them.
    #[test]
    fn strings_as_the_peers_write_them() {
        for (text, wanted) in [
            ("hello", "0568656c6c6f"),
            ("12", "c00c"),
            ("1234", "c1d204"),
            ("123456", "c240e20100"),
            ("-129", "c17fff"),
            ("-2147483648", "c200000080"),
            ("12345678901", "0b3132333435363738393031"),
            ("0012", "0430303132"),
            ("aaaaaaaaaaaaaaaaaaaa", "146161616161616161616161616161616161616161"),
        ] {
            assert_eq!(hex(ValueRef::Text(text.as_bytes())), wanted, "{text}");
        }
        assert_eq!(hex(ValueRef::Int(12_345_678_901)), "0b3132333435363738393031");
        assert_eq!(hex(ValueRef::Int(1234)), "c1d204");
        // The peers take nine bytes for it: a byte as it is, a copy, and the end as it is.
        assert_eq!(hex(ValueRef::Text(&[b'a'; 100])), "c30540640061e05a00");
    }

    #[test]
    fn lengths_take_the_fewest_bytes() {
        for (len, wanted) in [
            (0, vec![0]),
            (63, vec![63]),
            (64, vec![0x40, 64]),
            (16_383, vec![0x7F, 0xFF]),
            (16_384, vec![0x80, 0, 0, 0x40, 0]),
            (u64::from(u32::MAX), vec![0x80, 0xFF, 0xFF, 0xFF, 0xFF]),
            (u64::MAX, vec![0x81, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
        ] {
            let mut out = Vec::new();
            put_len(&mut out, len);
            assert_eq!(out, wanted);
            assert_eq!(len_bytes(len), wanted.len());
        }
    }

    #[test]
    fn a_record_has_its_parts_in_order() {
        let meta = KeyMeta { expire_at_ms: Some(1), idle_s: Some(70), frequency: Some(9) };
        let mut out = Vec::new();
        encode_key(&mut out, b"k", ValueRef::Text(b"v"), &meta, &Dialect::REDIS_7_0);
        let wanted = [252, 1, 0, 0, 0, 0, 0, 0, 0, 248, 0x40, 70, 249, 9, 0, 1, b'k', 1, b'v'];
        assert_eq!(out, wanted);
    }
}
