//! Ziplists: what Redis kept small collections in before listpacks.
//!
//! ```text
//! ziplist   [ bytes:u32 ][ offset of the last entry:u32 ][ entries:u16 ][ entry ]...[ FF ]
//! entry     [ size of the entry before: u8 below 254, or FE u32 ][ header ][ data ]
//!
//! header    00llllll                          string of up to 63 bytes
//!           01llllll llllllll                 string of up to 16,383 bytes, high byte first
//!           80 len:u32                        longer string, high byte first
//!           C0 i16   D0 i32   E0 i64   F0 i24   FE i8
//!           F1..FD                            the integer 0 to 12
//! ```
//!
//! 65535 entries in the head mean "count them". Everything is checked as it is reached. Source: the
//! published description of the format ("ziplist" in the RDB file format documents).

use ochre_types::packed::Entry;

use crate::error::{LoadError, Result};
use crate::listpack::signed;

const HEAD: usize = 10;
const END: u8 = 0xFF;
const UNCOUNTED: u16 = u16::MAX;
/// The size of the entry before is in four more bytes.
const LONG: u8 = 0xFE;
const BROKEN: LoadError = LoadError::Corrupt("ziplist");

/// The entries of a ziplist; the last item is an error when the whole is broken. Entries are canonical.
#[derive(Debug, Clone)]
pub(super) struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Where the entry before begins; none at the first.
    before: Option<usize>,
    last_at: usize,
    said: u16,
    seen: usize,
    over: bool,
}

impl<'a> Walk<'a> {
    /// Checks the frame.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self> {
        let head = bytes.first_chunk::<HEAD>().ok_or(BROKEN)?;
        let total = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let last_at = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        let said = u16::from_le_bytes([head[8], head[9]]);
        if total as usize != bytes.len() || bytes.len() <= HEAD || bytes.last() != Some(&END) {
            return Err(BROKEN);
        }
        Ok(Self { bytes, at: HEAD, before: None, last_at, said, seen: 0, over: false })
    }

    fn step(&mut self) -> Result<Option<Entry<'a>>> {
        let entries = &self.bytes[..self.bytes.len() - 1];
        if self.at == entries.len() {
            let counted = self.said == UNCOUNTED || usize::from(self.said) == self.seen;
            let ends = self.before.unwrap_or(HEAD) == self.last_at;
            return if counted && ends { Ok(None) } else { Err(BROKEN) };
        }
        let rest = &entries[self.at..];
        let (size_before, head_at) = match *rest.first().ok_or(BROKEN)? {
            LONG => {
                let wide = rest.get(1..).and_then(|wide| wide.first_chunk()).ok_or(BROKEN)?;
                (u32::from_le_bytes(*wide) as usize, 5)
            }
            END => return Err(BROKEN),
            short => (usize::from(short), 1),
        };
        if size_before != self.before.map_or(0, |before| self.at - before) {
            return Err(LoadError::Corrupt("ziplist sizes"));
        }
        let (entry, size) = read(&rest[head_at..]).ok_or(BROKEN)?;
        self.before = Some(self.at);
        self.at += head_at + size;
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

/// The entry whose header is at the start of `rest`, and the bytes of header and data.
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
    match first {
        0x00..=0x3F => text(1, usize::from(first)),
        0x40..=0x7F => text(2, usize::from(first & 0x3F) << 8 | usize::from(*rest.get(1)?)),
        0x80 => text(5, u32::from_be_bytes(*rest.get(1..)?.first_chunk()?) as usize),
        0xC0 => int(2),
        0xD0 => int(4),
        0xE0 => int(8),
        0xF0 => int(3),
        0xFE => int(1),
        0xF1..=0xFD => Some((Entry::Int(i64::from(first) - 0xF1), 1)),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A ziplist of texts, integers as such.
    pub(crate) fn build(texts: &[&[u8]]) -> Vec<u8> {
        let mut out = vec![0; HEAD];
        let mut before = 0;
        let mut last = HEAD;
        for text in texts {
            last = out.len();
            if before < 254 {
                out.push(before as u8);
            } else {
                out.push(LONG);
                out.extend_from_slice(&(before as u32).to_le_bytes());
            }
            match Entry::of(text) {
                Entry::Int(n @ 0..=12) => out.push(0xF1 + n as u8),
                Entry::Int(n) if n == i64::from(n as i8) => out.extend([0xFE, n as u8]),
                Entry::Int(n) if n == i64::from(n as i16) => {
                    out.push(0xC0);
                    out.extend((n as i16).to_le_bytes());
                }
                Entry::Int(n) if n == n << 40 >> 40 => {
                    out.push(0xF0);
                    out.extend(&n.to_le_bytes()[..3]);
                }
                Entry::Int(n) if n == i64::from(n as i32) => {
                    out.push(0xD0);
                    out.extend((n as i32).to_le_bytes());
                }
                Entry::Int(n) => {
                    out.push(0xE0);
                    out.extend(n.to_le_bytes());
                }
                Entry::Str(bytes) => {
                    match bytes.len() {
                        len @ 0..=63 => out.push(len as u8),
                        len @ 64..=16_383 => out.extend([0x40 | (len >> 8) as u8, len as u8]),
                        len => {
                            out.push(0x80);
                            out.extend((len as u32).to_be_bytes());
                        }
                    }
                    out.extend_from_slice(bytes);
                }
            }
            before = out.len() - last;
        }
        out.push(END);
        let total = (out.len() as u32).to_le_bytes();
        out[..4].copy_from_slice(&total);
        out[4..8].copy_from_slice(&(last as u32).to_le_bytes());
        out[8..10].copy_from_slice(&(texts.len() as u16).to_le_bytes());
        out
    }

    #[test]
    fn walks_all_forms_and_refuses_broken_ones() {
        let long = vec![b'x'; 20_000];
        let texts: Vec<&[u8]> = vec![
            b"",
            b"a",
            b"0",
            b"12",
            b"13",
            b"-1",
            b"300",
            b"-40000",
            b"8000000",
            b"99999999",
            b"-2147483648",
            b"9223372036854775807",
            &long[..63],
            &long[..64],
            &long[..16_383],
            &long,
            b"end",
        ];
        let bytes = build(&texts);
        let read: Vec<Vec<u8>> = Walk::new(&bytes).unwrap().map(|e| e.unwrap().to_vec()).collect();
        assert_eq!(read, texts);
        assert_eq!(Walk::new(&build(&[])).unwrap().count(), 0);
        let small = build(&texts[..12]);
        for at in 0..small.len() {
            let mut broken = small.clone();
            broken[at] ^= 0x15;
            if let Ok(walk) = Walk::new(&broken) {
                let _ = walk.count();
            }
            assert!(Walk::new(&small[..at]).is_err());
        }
    }
}
