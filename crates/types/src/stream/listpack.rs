//! The elements of a listpack: what a stream's blocks are made of.
//!
//! Streams use the peers' own format instead of this crate's [`packed`](crate::packed) one: the size
//! of a block decides where the next one begins, which clients can see (approximate trimming removes
//! whole blocks), and RDB files hold the blocks as they are.
//!
//! ```text
//! listpack  [ bytes:u32 ][ elements:u16 ][ element ]...[ FF ]        little endian
//! element   [ header ][ data ][ backlen ]
//!
//! header    0nnnnnnn                       the integer 0 to 127
//!           10llllll                       string of 0 to 63 bytes            data: the bytes
//!           110nnnnn nnnnnnnn              13-bit signed integer
//!           1110llll llllllll              string of up to 4095 bytes
//!           F0 len:u32                     longer string
//!           F1 i16   F2 i24   F3 i32   F4 i64
//!
//! backlen   bytes of header and data, 7 bits in each byte, the last byte lowest; bit 7 of a byte
//!           says that another one stands before it
//! ```
//!
//! A text that is an integer's canonical form is stored as the integer. Nothing here panics on broken
//! bytes: readers answer `None`.
//!
//! Source: the listpack specification (antirez/listpack), and RDB files of Redis 7.0.

use crate::packed::Entry;

/// Bytes of a listpack besides its elements: header and terminator.
pub const FRAME_BYTES: usize = 7;
const END: u8 = 0xFF;

/// Appends a text, as an integer if it is one's.
pub(super) fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    match Entry::of(text) {
        Entry::Int(n) => push_int(out, n),
        Entry::Str(bytes) => push_str(out, bytes),
    }
}

/// Appends an integer.
pub(super) fn push_int(out: &mut Vec<u8>, n: i64) {
    let start = out.len();
    match n {
        0..=127 => out.push(n as u8),
        -4096..=4095 => {
            let bits = (n as u16) & 0x1FFF;
            out.extend_from_slice(&[0xC0 | (bits >> 8) as u8, bits as u8]);
        }
        -0x8000..=0x7FFF => push_sized(out, 0xF1, n, 2),
        -0x80_0000..=0x7F_FFFF => push_sized(out, 0xF2, n, 3),
        -0x8000_0000..=0x7FFF_FFFF => push_sized(out, 0xF3, n, 4),
        _ => push_sized(out, 0xF4, n, 8),
    }
    push_backlen(out, out.len() - start);
}

fn push_sized(out: &mut Vec<u8>, header: u8, n: i64, bytes: usize) {
    out.push(header);
    out.extend_from_slice(&n.to_le_bytes()[..bytes]);
}

/// Bytes that an integer takes as an element.
pub(super) fn int_bytes(n: i64) -> usize {
    match n {
        0..=127 => 2,
        -4096..=4095 => 3,
        -0x8000..=0x7FFF => 4,
        -0x80_0000..=0x7F_FFFF => 5,
        -0x8000_0000..=0x7FFF_FFFF => 6,
        _ => 10,
    }
}

fn push_str(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    let len = bytes.len();
    match len {
        0..=63 => out.push(0x80 | len as u8),
        64..=4095 => out.extend_from_slice(&[0xE0 | (len >> 8) as u8, len as u8]),
        _ => {
            out.push(0xF0);
            // Entries are limited to 1 GB in all before they get here.
            out.extend_from_slice(&(len as u32).to_le_bytes());
        }
    }
    out.extend_from_slice(bytes);
    push_backlen(out, out.len() - start);
}

/// Bytes of the backlen of an element of `len` bytes. The steps are the peers', one below the powers.
fn backlen_bytes(len: usize) -> usize {
    match len {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    }
}

fn push_backlen(out: &mut Vec<u8>, len: usize) {
    let count = backlen_bytes(len);
    for i in (0..count).rev() {
        let bits = (len >> (7 * i)) as u8 & 0x7F;
        out.push(if i + 1 == count { bits } else { bits | 0x80 });
    }
}

/// The element at `at`, and where the next one begins. None at the end or in broken bytes.
pub(super) fn read(buf: &[u8], at: usize) -> Option<(Entry<'_>, usize)> {
    let rest = buf.get(at..)?;
    let first = *rest.first()?;
    let int = |bytes: usize| {
        let data = rest.get(1..1 + bytes)?;
        let mut wide = [if data[bytes - 1] & 0x80 != 0 { 0xFF } else { 0 }; 8];
        wide[..bytes].copy_from_slice(data);
        Some((Entry::Int(i64::from_le_bytes(wide)), 1 + bytes))
    };
    let text = |header: usize, len: usize| {
        let end = header.checked_add(len)?;
        Some((Entry::Str(rest.get(header..end)?), end))
    };
    let second = || rest.get(1).map(|&byte| usize::from(byte));
    let (entry, used) = match first {
        0x00..=0x7F => (Entry::Int(i64::from(first)), 1),
        0x80..=0xBF => text(1, usize::from(first & 0x3F))?,
        0xC0..=0xDF => {
            let bits = (i64::from(first & 0x1F) << 8) | second()? as i64;
            (Entry::Int(if bits >= 4096 { bits - 8192 } else { bits }), 2)
        }
        0xE0..=0xEF => text(2, (usize::from(first & 0x0F) << 8) | second()?)?,
        0xF0 => {
            let len = rest.get(1..5)?;
            text(5, u32::from_le_bytes([len[0], len[1], len[2], len[3]]) as usize)?
        }
        0xF1 => int(2)?,
        0xF2 => int(3)?,
        0xF3 => int(4)?,
        0xF4 => int(8)?,
        _ => return None,
    };
    let next = at + used + backlen_bytes(used);
    (next <= buf.len()).then_some((entry, next))
}

/// The integer at `at`, and where the next element begins.
pub(super) fn read_int(buf: &[u8], at: usize) -> Option<(i64, usize)> {
    match read(buf, at)? {
        (Entry::Int(n), next) => Some((n, next)),
        (Entry::Str(_), _) => None,
    }
}

/// Where the element begins that ends before `at`; none at the start or in broken bytes.
pub(super) fn before(buf: &[u8], at: usize) -> Option<usize> {
    let mut len = 0_usize;
    let mut end = at;
    for shift in 0..5 {
        end = end.checked_sub(1)?;
        let byte = *buf.get(end)?;
        len |= usize::from(byte & 0x7F) << (7 * shift);
        if byte & 0x80 == 0 {
            return end.checked_sub(len);
        }
    }
    None
}

/// Skips `count` elements from `at`.
pub(super) fn skip(buf: &[u8], mut at: usize, count: usize) -> Option<usize> {
    for _ in 0..count {
        at = read(buf, at)?.1;
    }
    Some(at)
}

/// Frames elements as a listpack. `count` is their number.
pub(super) fn frame(parts: &[&[u8]], count: usize) -> Vec<u8> {
    let bytes = FRAME_BYTES + parts.iter().map(|part| part.len()).sum::<usize>();
    let mut out = Vec::with_capacity(bytes);
    out.extend_from_slice(&(bytes as u32).to_le_bytes());
    // 65535 says that the number is not known.
    out.extend_from_slice(&u16::try_from(count).unwrap_or(u16::MAX).to_le_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out.push(END);
    out
}

/// The elements of a listpack, without header and terminator; none when the frame is broken.
pub(super) fn unframe(bytes: &[u8]) -> Option<&[u8]> {
    let (header, rest) = bytes.split_at_checked(6)?;
    let said = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
    let (&end, elements) = rest.split_last()?;
    (said == bytes.len() && end == END).then_some(elements)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn integers_take_their_sizes() {
        for n in [
            0,
            127,
            128,
            -1,
            4095,
            -4096,
            4096,
            -4097,
            32767,
            -32768,
            32768,
            8_388_607,
            -8_388_608,
            8_388_608,
            2_147_483_647,
            -2_147_483_648,
            2_147_483_648,
            i64::MAX,
            i64::MIN,
        ] {
            let mut buf = Vec::new();
            push_int(&mut buf, n);
            assert_eq!(buf.len(), int_bytes(n), "{n}");
            assert_eq!(read_int(&buf, 0), Some((n, buf.len())), "{n}");
            assert_eq!(before(&buf, buf.len()), Some(0));
        }
    }

    #[test]
    fn long_strings_walk_both_ways() {
        let mut buf = Vec::new();
        let lengths = [0, 1, 63, 64, 125, 126, 127, 4095, 4096, 16_377, 16_378, 16_379, 2_100_000];
        let mut places = Vec::new();
        for len in lengths {
            places.push(buf.len());
            push_str(&mut buf, &vec![b'x'; len]);
        }
        let mut at = buf.len();
        for (&place, len) in places.iter().zip(lengths).rev() {
            at = before(&buf, at).unwrap();
            assert_eq!(at, place);
            assert_eq!(read(&buf, at).unwrap().0.len(), len);
        }
        assert_eq!(before(&buf, 0), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn broken_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            for at in 0..bytes.len() + 2 {
                let _ = read(&bytes, at);
                let _ = before(&bytes, at);
            }
            let _ = unframe(&bytes);
        }

        #[test]
        fn texts_come_back(texts in prop::collection::vec("[0-9a-z-]{0,70}", 0..20)) {
            let mut buf = Vec::new();
            texts.iter().for_each(|text| push_text(&mut buf, text.as_bytes()));
            let framed = frame(&[&buf], texts.len());
            prop_assert_eq!(unframe(&framed), Some(&buf[..]));
            let mut at = 0;
            for text in &texts {
                let (entry, next) = read(&buf, at).unwrap();
                prop_assert_eq!(entry.to_vec(), text.as_bytes());
                prop_assert_eq!(before(&buf, next), Some(at));
                at = next;
            }
            prop_assert_eq!(skip(&buf, 0, texts.len()), Some(buf.len()));
        }
    }
}
