//! The payload of FUNCTION DUMP and RESTORE: libraries as an RDB file holds them, with a footer.
//!
//! ```text
//! (245  length  code) for each library     version, 2 bytes little-endian     CRC-64, 8 bytes little-endian
//! length: 00xxxxxx   01xxxxxx + 1 byte   80 + 4 bytes   81 + 8 bytes, big-endian
//! code compressed: C3  compressed length  length  LZF bytes
//! ```
//!
//! The checksum covers all before it: polynomial ad93d23594c935a9 (Jones), reflected, start 0. A
//! version above what this reader knows is refused, as the peers do.
//!
//! Source: rdb.h and the DUMP format of Redis 7; payloads of redis-server 7.0.15.

/// A library with its code: `RDB_OPCODE_FUNCTION2`.
const FUNCTION2: u8 = 245;

/// The version written: that of Redis 7.0, which all newer ones read.
const VERSION: u16 = 10;

/// The highest version read.
const VERSION_MAX: u16 = 80;

/// Bytes of the footer.
const FOOTER: usize = 10;

/// Longest code that a payload may claim, against bombs of the compression.
const CODE_MAX: usize = 512 << 20;

/// The payload of these libraries.
pub fn encode<'a>(codes: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    for code in codes {
        out.push(FUNCTION2);
        match code.len() {
            len @ 0..=63 => out.push(len as u8),
            len @ 64..=16_383 => out.extend_from_slice(&[0x40 | (len >> 8) as u8, len as u8]),
            len => match u32::try_from(len) {
                Ok(len) => {
                    out.push(0x80);
                    out.extend_from_slice(&len.to_be_bytes());
                }
                Err(_) => {
                    out.push(0x81);
                    out.extend_from_slice(&(len as u64).to_be_bytes());
                }
            },
        }
        out.extend_from_slice(code);
    }
    out.extend_from_slice(&VERSION.to_le_bytes());
    let sum = crc64(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

/// Why a payload is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The footer is wrong.
    Checksum,
    /// What it holds is not libraries.
    Content,
}

/// The codes of a payload's libraries.
pub fn decode(payload: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let end = payload.len().checked_sub(FOOTER).ok_or(Error::Checksum)?;
    let (body, footer) = payload.split_at(end);
    let version = u16::from_le_bytes([footer[0], footer[1]]);
    let sum = crc64(&payload[..end + 2]).to_le_bytes();
    if version > VERSION_MAX || footer[2..] != sum {
        return Err(Error::Checksum);
    }
    let mut reader = Reader { bytes: body };
    let mut codes = Vec::new();
    while !reader.bytes.is_empty() {
        if reader.byte()? != FUNCTION2 {
            return Err(Error::Content);
        }
        codes.push(reader.string()?);
    }
    Ok(codes)
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let (head, rest) = self.bytes.split_at_checked(len).ok_or(Error::Content)?;
        self.bytes = rest;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self, bytes: usize) -> Result<usize, Error> {
        let n = self.take(bytes)?.iter().fold(0u64, |n, &byte| n << 8 | u64::from(byte));
        usize::try_from(n).map_err(|_| Error::Content)
    }

    fn length_from(&mut self, first: u8) -> Result<usize, Error> {
        match first {
            0x00..=0x3F => Ok(usize::from(first)),
            0x40..=0x7F => Ok(usize::from(first & 0x3F) << 8 | usize::from(self.byte()?)),
            0x80 => self.number(4),
            0x81 => self.number(8),
            _ => Err(Error::Content),
        }
    }

    fn string(&mut self) -> Result<Vec<u8>, Error> {
        match self.byte()? {
            0xC3 => {
                let first = self.byte()?;
                let packed = self.length_from(first)?;
                let first = self.byte()?;
                let len = self.length_from(first)?;
                if len > CODE_MAX {
                    return Err(Error::Content);
                }
                lzf(self.take(packed)?, len)
            }
            // Integers in place of strings: code is never one.
            0xC0..=0xC2 => Err(Error::Content),
            first => {
                let len = self.length_from(first)?;
                Ok(self.take(len)?.to_vec())
            }
        }
    }
}

/// Unpacks LZF: a byte below 32 begins that many and one literal bytes; above, the top three bits are
/// a length (7: one more byte of it) and the rest with the next byte a distance back.
fn lzf(mut bytes: &[u8], len: usize) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(len.min(1 << 20));
    let mut take = |count: usize| -> Result<&[u8], Error> {
        let (head, rest) = bytes.split_at_checked(count).ok_or(Error::Content)?;
        bytes = rest;
        Ok(head)
    };
    while out.len() < len {
        let control = usize::from(take(1)?[0]);
        if control < 32 {
            out.extend_from_slice(take(control + 1)?);
            continue;
        }
        let mut count = control >> 5;
        if count == 7 {
            count += usize::from(take(1)?[0]);
        }
        let distance = ((control & 0x1F) << 8 | usize::from(take(1)?[0])) + 1;
        let start = out.len().checked_sub(distance).ok_or(Error::Content)?;
        for at in start..start + count + 2 {
            out.push(out[at]);
        }
    }
    if out.len() == len { Ok(out) } else { Err(Error::Content) }
}

/// CRC-64 of Jones, bit by bit from a table made at compile time.
fn crc64(bytes: &[u8]) -> u64 {
    const TABLE: [u64; 256] = {
        let mut table = [0u64; 256];
        let mut at = 0;
        while at < 256 {
            let mut sum = at as u64;
            let mut bit = 0;
            while bit < 8 {
                // The polynomial with its bits reversed.
                sum = if sum & 1 == 1 { sum >> 1 ^ 0x95AC_9329_AC4B_C9B5 } else { sum >> 1 };
                bit += 1;
            }
            table[at] = sum;
            at += 1;
        }
        table
    };
    bytes.iter().fold(0, |sum, &byte| TABLE[usize::from(sum as u8 ^ byte)] ^ sum >> 8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_checksum_of_the_polynomials_author() {
        assert_eq!(crc64(b"123456789"), 0xE9C6_D914_C4B8_D9CA);
    }

    #[test]
    fn what_is_broken_is_refused() {
        assert_eq!(decode(b""), Err(Error::Checksum));
        let mut payload = encode([&b"#!lua name=x\n"[..]]);
        assert_eq!(decode(&payload), Ok(vec![b"#!lua name=x\n".to_vec()]));
        payload[3] ^= 1;
        assert_eq!(decode(&payload), Err(Error::Checksum));
        let mut body = vec![1, 2, 3];
        body.extend_from_slice(&VERSION.to_le_bytes());
        let sum = crc64(&body);
        body.extend_from_slice(&sum.to_le_bytes());
        assert_eq!(decode(&body), Err(Error::Content));
    }

    #[test]
    fn compressed_code_unpacks() {
        // Four literal bytes, then six more that repeat them.
        assert_eq!(lzf(&[3, b'a', b'b', b'c', b'd', 4 << 5, 3], 10).unwrap(), b"abcdabcdab");
        assert_eq!(lzf(&[0x20, 9], 3), Err(Error::Content));
    }

    proptest! {
        #[test]
        fn libraries_come_back(codes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..4)) {
            let payload = encode(codes.iter().map(Vec::as_slice));
            prop_assert_eq!(decode(&payload), Ok(codes));
        }

        #[test]
        fn noise_never_panics(mut body in prop::collection::vec(any::<u8>(), 0..60)) {
            body.insert(0, FUNCTION2);
            body.extend_from_slice(&VERSION.to_le_bytes());
            let sum = crc64(&body);
            body.extend_from_slice(&sum.to_le_bytes());
            let _ = decode(&body);
        }
    }
}
