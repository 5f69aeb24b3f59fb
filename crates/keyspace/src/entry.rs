//! The entry: one key with its value, or the value's index, in one arena block.
//!
//! ```text
//! 0      kind (low 4 bits), expiry form (bits 4..6: 0 none, 1 five bytes, 2 eight bytes), snapshot
//!        mark (bit 6: see `snapshot`)
//! 1..4   access clock, 24 bits, little endian: LRU clock or LFU counter (see `evict`)
//! 4..    key length (LEB128), key
//!        expiry: 5 bytes of milliseconds since EXPIRY_BASE, or 8 bytes of Unix milliseconds
//!        value length (LEB128; absent for objects, whose value is a 4-byte index), value
//! ```
//!
//! A key of 16 bytes with a value of 32 takes 54 bytes: a block of 56. The functions here only cut
//! and write bytes; blocks and tables belong to [`crate::db`].

use ochre_base::clock::Millis;

/// 2020-01-01T00:00:00Z: five bytes reach from here to 2054.
const EXPIRY_BASE: Millis = 1_577_836_800_000;
const KIND_MASK: u8 = 0x0F;
const EXPIRY_SHIFT: u8 = 4;
const EXPIRY_MASK: u8 = 0b11;
const MARK: u8 = 1 << 6;
/// Offset of the key's length.
const KEY_LEN_AT: usize = 4;

/// What a value is and how it lies in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// A string's bytes, as they were set.
    Bytes = 0,
    /// A string's bytes after APPEND or SETRANGE: reported as `raw` whatever its length.
    RawBytes = 1,
    /// A string that is a canonical 64-bit integer, as 1, 2, 4 or 8 bytes.
    Int = 2,
    /// A small list: packed elements.
    List = 3,
    /// A small hash: packed fields and values.
    Hash = 4,
    /// A small hash of which fields expire.
    HashEx = 5,
    /// A small set of integers.
    Ints = 6,
    /// A small set of strings.
    Set = 7,
    /// A small sorted set.
    Zset = 8,
    /// A large value: the index of an object.
    Object = 9,
}

impl Kind {
    /// The kind whose number the low four bits are.
    pub fn from_bits(bits: u8) -> Self {
        match bits & KIND_MASK {
            0 => Self::Bytes,
            1 => Self::RawBytes,
            2 => Self::Int,
            3 => Self::List,
            4 => Self::Hash,
            5 => Self::HashEx,
            6 => Self::Ints,
            7 => Self::Set,
            8 => Self::Zset,
            _ => Self::Object,
        }
    }
}

/// An entry's parts, cut from its block.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// What the value is.
    pub kind: Kind,
    /// Access clock: the low 24 bits.
    pub access: u32,
    /// The key.
    pub key: &'a [u8],
    /// Absolute expiry in Unix milliseconds.
    pub expiry: Option<Millis>,
    /// The value's bytes; for an object its index.
    pub value: &'a [u8],
    /// Bytes of the whole entry.
    pub size: usize,
}

/// Bytes of a length in LEB128.
#[inline]
const fn len_bytes(len: usize) -> usize {
    match len {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        0x20_0000..0x1000_0000 => 4,
        _ => 5,
    }
}

#[inline]
fn read_len(bytes: &[u8], at: &mut usize) -> usize {
    let first = bytes[*at];
    *at += 1;
    if first < 0x80 {
        return usize::from(first);
    }
    let (mut len, mut shift) = (usize::from(first & 0x7F), 7);
    loop {
        let byte = bytes[*at];
        *at += 1;
        len |= usize::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return len;
        }
        shift += 7;
    }
}

#[inline]
fn write_len(bytes: &mut [u8], at: &mut usize, mut len: usize) {
    while len >= 0x80 {
        bytes[*at] = len as u8 | 0x80;
        *at += 1;
        len >>= 7;
    }
    bytes[*at] = len as u8;
    *at += 1;
}

/// How an expiry is stored: its form and its bytes.
#[inline]
fn expiry_form(expiry: Option<Millis>) -> (u8, usize) {
    match expiry {
        None => (0, 0),
        Some(at) if (0..1 << 40).contains(&(at.wrapping_sub(EXPIRY_BASE))) => (1, 5),
        Some(_) => (2, 8),
    }
}

impl<'a> Entry<'a> {
    /// Cuts an entry that begins at the start of `bytes`.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Self {
        let kind = Kind::from_bits(bytes[0]);
        let access = u32::from_le_bytes([bytes[1], bytes[2], bytes[3], 0]);
        let mut at = KEY_LEN_AT;
        let key_len = read_len(bytes, &mut at);
        let key = &bytes[at..at + key_len];
        at += key_len;
        let expiry = match bytes[0] >> EXPIRY_SHIFT & EXPIRY_MASK {
            0 => None,
            1 => {
                let mut wide = [0u8; 8];
                wide[..5].copy_from_slice(&bytes[at..at + 5]);
                at += 5;
                Some(EXPIRY_BASE + i64::from_le_bytes(wide))
            }
            _ => {
                let mut wide = [0u8; 8];
                wide.copy_from_slice(&bytes[at..at + 8]);
                at += 8;
                Some(i64::from_le_bytes(wide))
            }
        };
        let value_len = if kind == Kind::Object { 4 } else { read_len(bytes, &mut at) };
        let value = &bytes[at..at + value_len];
        Entry { kind, access, key, expiry, value, size: at + value_len }
    }

    /// Whether the entry at `bytes` has this key; touches as little of it as it can.
    #[inline]
    pub fn has_key(bytes: &[u8], key: &[u8]) -> bool {
        let mut at = KEY_LEN_AT;
        let len = read_len(bytes, &mut at);
        len == key.len() && &bytes[at..at + len] == key
    }

    /// The key alone.
    #[inline]
    pub fn key_of(bytes: &'a [u8]) -> &'a [u8] {
        let mut at = KEY_LEN_AT;
        let len = read_len(bytes, &mut at);
        &bytes[at..at + len]
    }

    /// The access clock alone.
    #[inline]
    pub fn access_of(bytes: &[u8]) -> u32 {
        u32::from_le_bytes([bytes[1], bytes[2], bytes[3], 0])
    }

    /// Whether the entry has an expiry.
    #[inline]
    pub fn expires(bytes: &[u8]) -> bool {
        bytes[0] >> EXPIRY_SHIFT & EXPIRY_MASK != 0
    }

    /// The index that an object's value is.
    #[inline]
    pub fn object(&self) -> u32 {
        let mut index = [0; 4];
        index.copy_from_slice(&self.value[..4]);
        u32::from_le_bytes(index)
    }
}

/// The parts of an entry to be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) kind: Kind,
    pub(crate) access: u32,
    pub(crate) key: &'a [u8],
    pub(crate) expiry: Option<Millis>,
    pub(crate) value: &'a [u8],
    /// The snapshot mark.
    pub(crate) mark: bool,
}

impl Parts<'_> {
    /// Bytes the entry takes.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        let value = self.value.len();
        let value_len = if self.kind == Kind::Object { 0 } else { len_bytes(value) };
        KEY_LEN_AT
            + len_bytes(self.key.len())
            + self.key.len()
            + expiry_form(self.expiry).1
            + value_len
            + value
    }

    /// Writes the entry; `bytes` has room for [`Parts::size`].
    #[inline]
    pub(crate) fn write(&self, bytes: &mut [u8]) {
        let mut at = KEY_LEN_AT;
        write_len(bytes, &mut at, self.key.len());
        bytes[at..at + self.key.len()].copy_from_slice(self.key);
        self.write_rest(bytes, at + self.key.len());
    }

    /// Writes all but the key over an entry that has the same key.
    #[inline]
    pub(crate) fn write_over(&self, bytes: &mut [u8]) {
        self.write_rest(bytes, KEY_LEN_AT + len_bytes(self.key.len()) + self.key.len());
    }

    #[inline]
    fn write_rest(&self, bytes: &mut [u8], at: usize) {
        write_after_key(bytes, at, self.kind, self.access, self.expiry, self.value);
        set_mark(bytes, self.mark);
    }
}

/// Writes all but the key, which ends at `at`.
#[inline]
fn write_after_key(
    bytes: &mut [u8],
    mut at: usize,
    kind: Kind,
    access: u32,
    expiry: Option<Millis>,
    value: &[u8],
) {
    let (form, wide) = expiry_form(expiry);
    bytes[0] = kind as u8 | form << EXPIRY_SHIFT;
    set_access(bytes, access);
    if let Some(expiry) = expiry {
        let stored = if form == 1 { expiry - EXPIRY_BASE } else { expiry };
        bytes[at..at + wide].copy_from_slice(&stored.to_le_bytes()[..wide]);
        at += wide;
    }
    if kind != Kind::Object {
        write_len(bytes, &mut at, value.len());
    }
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// Replaces kind and value of the entry at `bytes`, which keeps its key, clock and expiry and has
/// room for the new size.
#[inline]
pub(crate) fn replace_value(bytes: &mut [u8], kind: Kind, value: &[u8]) {
    let Entry { access, expiry, key, .. } = Entry::parse(bytes);
    let mark = mark_of(bytes);
    let at = KEY_LEN_AT + len_bytes(key.len()) + key.len();
    write_after_key(bytes, at, kind, access, expiry, value);
    set_mark(bytes, mark);
}

/// The snapshot mark of the entry at `bytes`.
#[inline]
pub(crate) fn mark_of(bytes: &[u8]) -> bool {
    bytes[0] & MARK != 0
}

/// Sets the snapshot mark of the entry at `bytes`.
#[inline]
pub(crate) fn set_mark(bytes: &mut [u8], mark: bool) {
    bytes[0] = bytes[0] & !MARK | u8::from(mark) << 6;
}

/// Overwrites the access clock of the entry at `bytes`.
#[inline]
pub(crate) fn set_access(bytes: &mut [u8], access: u32) {
    bytes[1..4].copy_from_slice(&access.to_le_bytes()[..3]);
}

/// An integer's bytes: the shortest of 1, 2, 4 and 8 that hold it.
#[inline]
pub(crate) fn int_bytes(n: i64, buffer: &mut [u8; 8]) -> &[u8] {
    *buffer = n.to_le_bytes();
    let len = if n == i64::from(n as i8) {
        1
    } else if n == i64::from(n as i16) {
        2
    } else if n == i64::from(n as i32) {
        4
    } else {
        8
    };
    &buffer[..len]
}

/// The integer that the bytes of an entry of kind [`Kind::Int`] are.
#[inline]
pub fn int_value(bytes: &[u8]) -> i64 {
    match *bytes {
        [a] => i64::from(a as i8),
        [a, b] => i64::from(i16::from_le_bytes([a, b])),
        [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
        _ => {
            let mut wide = [0; 8];
            let len = bytes.len().min(8);
            wide[..len].copy_from_slice(&bytes[..len]);
            i64::from_le_bytes(wide)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds() -> impl Strategy<Value = Kind> {
        (0u8..10).prop_map(Kind::from_bits)
    }

    proptest! {
        #[test]
        fn parses_what_it_wrote(
            kind in kinds(),
            access in 0u32..1 << 24,
            key in proptest::collection::vec(any::<u8>(), 0..400),
            mark in any::<bool>(),
            expiry in proptest::option::of(prop_oneof![
                any::<i64>(),
                EXPIRY_BASE - 2..EXPIRY_BASE + 2,
                EXPIRY_BASE + (1 << 40) - 2..EXPIRY_BASE + (1 << 40) + 2,
            ]),
            value in proptest::collection::vec(any::<u8>(), 4..40_000),
        ) {
            let value = if kind == Kind::Object { &value[..4] } else { &value[..] };
            let parts = Parts { kind, access, key: &key, expiry, value, mark };
            let mut bytes = vec![0xAA; parts.size() + 9];
            parts.write(&mut bytes);
            let entry = Entry::parse(&bytes);
            prop_assert_eq!(entry.kind, kind);
            prop_assert_eq!(entry.access, access);
            prop_assert_eq!(entry.key, &key[..]);
            prop_assert_eq!(entry.expiry, expiry);
            prop_assert_eq!(mark_of(&bytes), mark);
            prop_assert_eq!(entry.value, value);
            prop_assert_eq!(entry.size, parts.size());
            prop_assert!(Entry::has_key(&bytes, &key));
            prop_assert!(bytes[parts.size()..].iter().all(|&b| b == 0xAA));
        }

        #[test]
        fn integers_keep_their_value(n in any::<i64>(), shift in 0u32..64) {
            let mut buffer = [0; 8];
            prop_assert_eq!(int_value(int_bytes(n >> shift, &mut buffer)), n >> shift);
        }
    }

    #[test]
    fn the_usual_string_takes_fifty_four_bytes() {
        let parts = Parts {
            kind: Kind::Bytes,
            access: 0,
            key: &[b'k'; 16],
            expiry: None,
            value: &[0; 32],
            mark: false,
        };
        assert_eq!(parts.size(), 54);
        assert_eq!(Parts { expiry: Some(EXPIRY_BASE + 5), ..parts }.size(), 59);
    }
}
