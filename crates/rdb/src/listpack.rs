//! Listpacks: the peers' packed sequences, which RDB holds small collections in.
//!
//! ```text
//! listpack  [ bytes:u32 ][ elements:u16 ][ element ]...[ FF ]        low byte first
//! element   [ header ][ data ][ backlen ]
//!
//! header    0nnnnnnn                       the integer 0 to 127
//!           10llllll                       string of 0 to 63 bytes            data: the bytes
//!           110nnnnn nnnnnnnn              13-bit signed integer
//!           1110llll llllllll              string of up to 4095 bytes
//!           F0 len:u32                     longer string
//!           F1 i16   F2 i24   F3 i32   F4 i64
//!
//! backlen   bytes of header and data, 7 bits in each byte, the lowest in the last; bit 7 of a byte
//!           says that another one stands before it
//! ```
//!
//! 65535 elements in the head mean "count them". A text that is an integer's is stored as the integer.
//! Reading checks everything as it goes: sizes, that each backlen agrees with its element, the count,
//! the end. Source: the listpack specification (antirez/listpack).

use ochre_types::packed::Entry;

use crate::error::{LoadError, Result};

const HEAD: usize = 6;
const END: u8 = 0xFF;
const UNCOUNTED: u16 = u16::MAX;
const BROKEN: LoadError = LoadError::Corrupt("listpack");

/// A listpack as it is written.
#[derive(Debug)]
pub(crate) struct Writer {
    out: Vec<u8>,
    count: usize,
}

impl Writer {
    /// An empty one, with room for about so many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        let mut out = Vec::with_capacity(bytes + HEAD + 1);
        out.extend_from_slice(&[0; HEAD]);
        Self { out, count: 0 }
    }

    /// Appends an element; the entry is canonical.
    pub(crate) fn push(&mut self, entry: Entry<'_>) {
        match entry {
            Entry::Int(n) => self.push_int(n),
            Entry::Str(bytes) => self.push_str(bytes),
        }
    }

    fn push_int(&mut self, n: i64) {
        let start = self.out.len();
        match n {
            0..=127 => self.out.push(n as u8),
            -4096..=4095 => {
                let bits = n as u16 & 0x1FFF;
                self.out.extend_from_slice(&[0xC0 | (bits >> 8) as u8, bits as u8]);
            }
            -0x8000..=0x7FFF => self.push_sized(0xF1, n, 2),
            -0x80_0000..=0x7F_FFFF => self.push_sized(0xF2, n, 3),
            -0x8000_0000..=0x7FFF_FFFF => self.push_sized(0xF3, n, 4),
            _ => self.push_sized(0xF4, n, 8),
        }
        self.close(start);
    }

    fn push_sized(&mut self, header: u8, n: i64, bytes: usize) {
        self.out.push(header);
        self.out.extend_from_slice(&n.to_le_bytes()[..bytes]);
    }

    fn push_str(&mut self, bytes: &[u8]) {
        let (start, len) = (self.out.len(), bytes.len());
        match len {
            0..=63 => self.out.push(0x80 | len as u8),
            64..=4095 => self.out.extend_from_slice(&[0xE0 | (len >> 8) as u8, len as u8]),
            _ => {
                self.out.push(0xF0);
                // A string is at most 4 GB; see `limits`.
                self.out.extend_from_slice(&(len as u32).to_le_bytes());
            }
        }
        self.out.extend_from_slice(bytes);
        self.close(start);
    }

    /// Writes the backlen of the element that began at `start`.
    fn close(&mut self, start: usize) {
        let size = self.out.len() - start;
        let width = backlen_bytes(size);
        for i in (0..width).rev() {
            let bits = (size >> (7 * i)) as u8 & 0x7F;
            self.out.push(if i + 1 == width { bits } else { bits | 0x80 });
        }
        self.count += 1;
    }

    /// The listpack.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.out.push(END);
        let bytes = self.out.len() as u32;
        let count = u16::try_from(self.count).unwrap_or(UNCOUNTED);
        self.out[..4].copy_from_slice(&bytes.to_le_bytes());
        self.out[4..HEAD].copy_from_slice(&count.to_le_bytes());
        self.out
    }
}

/// Bytes of the backlen of an element of `size` bytes. The steps are the peers', one below the powers.
fn backlen_bytes(size: usize) -> usize {
    match size {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    }
}

/// The elements of a listpack, each checked as it is reached; the last item is an error when the whole is
/// broken. The entries are canonical.
#[derive(Debug, Clone)]
pub(crate) struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    said: u16,
    seen: usize,
    over: bool,
}

impl<'a> Walk<'a> {
    /// Checks the frame.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self> {
        let head = bytes.first_chunk::<HEAD>().ok_or(BROKEN)?;
        let total = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        if total as usize != bytes.len() || bytes.len() <= HEAD || bytes.last() != Some(&END) {
            return Err(BROKEN);
        }
        let said = u16::from_le_bytes([head[4], head[5]]);
        Ok(Self { bytes, at: HEAD, said, seen: 0, over: false })
    }

    /// How many elements the head says there are, if it does.
    pub(crate) fn said(&self) -> Option<usize> {
        (self.said != UNCOUNTED).then_some(usize::from(self.said))
    }

    fn step(&mut self) -> Result<Option<Entry<'a>>> {
        let elements = &self.bytes[..self.bytes.len() - 1];
        if self.at == elements.len() {
            let right = self.said().is_none_or(|said| said == self.seen);
            return if right { Ok(None) } else { Err(LoadError::Corrupt("listpack count")) };
        }
        let (entry, size) = read(&elements[self.at..]).ok_or(BROKEN)?;
        let end = self.at + size;
        let width = backlen_bytes(size);
        let back = elements.get(end..end + width).ok_or(BROKEN)?;
        let said = back.iter().fold(0_usize, |n, byte| n << 7 | usize::from(byte & 0x7F));
        let (first, behind) = back.split_first().ok_or(BROKEN)?;
        if said != size || first & 0x80 != 0 || behind.iter().any(|byte| byte & 0x80 == 0) {
            return Err(LoadError::Corrupt("listpack backlen"));
        }
        self.at = end + width;
        self.seen += 1;
        Ok(Some(entry.canonical()))
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<Entry<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let item = self.step().transpose();
        self.over = !matches!(item, Some(Ok(_)));
        item
    }
}

/// The element at the start of `rest`, and the bytes of its header and data.
fn read(rest: &[u8]) -> Option<(Entry<'_>, usize)> {
    let first = *rest.first()?;
    let int = |bytes: usize| {
        let data = rest.get(1..1 + bytes)?;
        Some((Entry::Int(signed(data)), 1 + bytes))
    };
    let text = |header: usize, len: usize| {
        let end = header.checked_add(len)?;
        Some((Entry::Str(rest.get(header..end)?), end))
    };
    let second = || rest.get(1).map(|&byte| usize::from(byte));
    match first {
        0x00..=0x7F => Some((Entry::Int(i64::from(first)), 1)),
        0x80..=0xBF => text(1, usize::from(first & 0x3F)),
        0xC0..=0xDF => {
            let bits = (i64::from(first & 0x1F) << 8) | second()? as i64;
            Some((Entry::Int(if bits >= 4096 { bits - 8192 } else { bits }), 2))
        }
        0xE0..=0xEF => text(2, (usize::from(first & 0x0F) << 8) | second()?),
        0xF0 => {
            let len = u32::from_le_bytes(*rest.get(1..)?.first_chunk()?);
            text(5, len as usize)
        }
        0xF1 => int(2),
        0xF2 => int(3),
        0xF3 => int(4),
        0xF4 => int(8),
        _ => None,
    }
}

/// A signed integer of 1 to 8 bytes, low byte first.
pub(crate) fn signed(data: &[u8]) -> i64 {
    let negative = data.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut wide = [if negative { 0xFF } else { 0 }; 8];
    let len = data.len().min(8);
    wide[..len].copy_from_slice(&data[..len]);
    i64::from_le_bytes(wide)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
        Walk::new(bytes).ok()?.map(|entry| Some(entry.ok()?.to_vec())).collect()
    }

    #[test]
    fn writes_what_a_peer_writes() {
        // A list of a, 1, 300 and bb in a DUMP of redis-server 7.0.15.
        let theirs = b"\x13\0\0\0\x04\0\x81a\x02\x01\x01\xC1\x2C\x02\x82bb\x03\xFF";
        let mut writer = Writer::with_capacity(0);
        for text in ["a", "1", "300", "bb"] {
            writer.push(Entry::of(text.as_bytes()));
        }
        assert_eq!(writer.finish(), theirs);
        assert_eq!(all(theirs).unwrap().len(), 4);
    }

    #[test]
    fn long_and_many() {
        let lengths = [0, 63, 64, 126, 127, 128, 4095, 4096, 16_379, 16_383, 2_097_146, 2_100_000];
        let texts: Vec<Vec<u8>> = lengths.iter().map(|&len| vec![b'x'; len]).collect();
        let mut writer = Writer::with_capacity(0);
        texts.iter().for_each(|text| writer.push(Entry::of(text)));
        assert_eq!(all(&writer.finish()).unwrap(), texts);
        let mut writer = Writer::with_capacity(0);
        (0..70_000).for_each(|n| writer.push(Entry::Int(n)));
        let bytes = writer.finish();
        assert_eq!(Walk::new(&bytes).unwrap().said(), None);
        assert_eq!(all(&bytes).unwrap().len(), 70_000);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn texts_come_back_and_broken_ones_do_not_panic(
            texts in prop::collection::vec("[0-9a-z-]{0,70}", 0..20),
            numbers in prop::collection::vec(any::<i64>(), 0..9),
            shift in 0..63_u32,
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut texts: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
            texts.extend(numbers.iter().map(|n| (n >> shift).to_string().into_bytes()));
            let mut writer = Writer::with_capacity(0);
            texts.iter().for_each(|text| writer.push(Entry::of(text)));
            let mut bytes = writer.finish();
            prop_assert_eq!(all(&bytes), Some(texts));
            for cut in 0..bytes.len() {
                prop_assert_eq!(all(&bytes[..cut]), None);
            }
            for (at, with) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= with;
            }
            let _ = all(&bytes);
        }
    }
}
