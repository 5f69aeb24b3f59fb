//! One member and its score as bytes: the arena block of the tree form and the entry of the packed
//! form.
//!
//! ```text
//! offset  size    what
//! 0       1       head: bits 7..6 score form, bits 5..0 member length, 63 = 63 or more
//! 1       0..10   only when the low bits are 63: member length - 63, LEB128 (7 bits per byte,
//!                 low first, top bit = more follows)
//! then    2|4|6|8 score, little-endian: form 0 = i16, 1 = i32, 2 = i48, 3 = f64
//! then    length  member
//! ```
//!
//! The form is the first that holds the score exactly, bit for bit: -0.0 is therefore an f64. Most
//! scores in use are counters (2 or 4 bytes) and times in seconds (4) or milliseconds (6), so a
//! 16-byte member takes one 24-byte block; other fractions take 8 and a block of 32.
//!
//! Bytes read here were written here; a malformed entry panics on an index, as any broken
//! invariant does. Everything is O(length).

use std::cmp::Ordering;

/// A member and its score, borrowed from the set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry<'a> {
    /// The member's bytes.
    pub member: &'a [u8],
    /// Its score; never NaN.
    pub score: f64,
}

impl Entry<'_> {
    /// The set's order: the score as a number, then the member's bytes.
    #[inline]
    pub fn order(&self, other: &Entry<'_>) -> Ordering {
        if self.score < other.score {
            Ordering::Less
        } else if self.score > other.score {
            Ordering::Greater
        } else {
            self.member.cmp(other.member)
        }
    }
}

const LENGTH_MASK: u8 = 63;
const LONG: usize = 63;

/// The widths of the score forms, by form number.
const WIDTHS: [usize; 4] = [2, 4, 6, 8];

/// Where the parts of an entry lie, in bytes from its start.
struct Parts {
    form: u8,
    score_at: usize,
    member_at: usize,
    end: usize,
}

/// The first form that holds `score` exactly.
#[inline]
fn form_of(score: f64) -> u8 {
    // The cast saturates, and what does not survive the way back is no integer (nor is -0.0).
    let whole = score as i64;
    if (whole as f64).to_bits() != score.to_bits() {
        return 3;
    }
    match whole {
        -0x8000..=0x7FFF => 0,
        -0x8000_0000..=0x7FFF_FFFF => 1,
        -0x8000_0000_0000..=0x7FFF_FFFF_FFFF => 2,
        _ => 3,
    }
}

/// The bytes that the length takes after the head byte.
#[inline]
fn extension_size(member_len: usize) -> usize {
    if member_len < LONG {
        return 0;
    }
    let bits = usize::BITS - (member_len - LONG).leading_zeros();
    (bits.max(1) as usize).div_ceil(7)
}

/// The size of the entry of a member of `member_len` bytes with `score`.
#[inline]
pub(super) fn size(score: f64, member_len: usize) -> usize {
    1 + extension_size(member_len) + WIDTHS[usize::from(form_of(score))] + member_len
}

/// Writes the entry to `out`, whose first [`size`] bytes it fills.
pub(super) fn write(out: &mut [u8], score: f64, member: &[u8]) {
    let form = form_of(score);
    let low = member.len().min(LONG) as u8;
    out[0] = form << 6 | low;
    let mut at = 1;
    if member.len() >= LONG {
        let mut rest = member.len() - LONG;
        while rest >= 0x80 {
            out[at] = rest as u8 | 0x80;
            rest >>= 7;
            at += 1;
        }
        out[at] = rest as u8;
        at += 1;
    }
    write_score(&mut out[at..], form, score);
    at += WIDTHS[usize::from(form)];
    out[at..at + member.len()].copy_from_slice(member);
}

#[inline]
fn write_score(out: &mut [u8], form: u8, score: f64) {
    match form {
        0 => out[..2].copy_from_slice(&(score as i16).to_le_bytes()),
        1 => out[..4].copy_from_slice(&(score as i32).to_le_bytes()),
        2 => out[..6].copy_from_slice(&(score as i64).to_le_bytes()[..6]),
        _ => out[..8].copy_from_slice(&score.to_le_bytes()),
    }
}

/// Writes `score` into the entry at the start of `bytes` when its form can stay, and says whether
/// it did. The member does not move.
#[inline]
pub(super) fn rewrite_score(bytes: &mut [u8], score: f64) -> bool {
    let parts = parts(bytes);
    let fits = parts.form == form_of(score);
    if fits {
        write_score(&mut bytes[parts.score_at..], parts.form, score);
    }
    fits
}

#[inline]
fn parts(bytes: &[u8]) -> Parts {
    let head = bytes[0];
    let form = head >> 6;
    let mut len = usize::from(head & LENGTH_MASK);
    let mut score_at = 1;
    if len == LONG {
        let mut shift = 0;
        loop {
            let byte = bytes[score_at];
            len += usize::from(byte & 0x7F) << shift;
            score_at += 1;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
    }
    let member_at = score_at + WIDTHS[usize::from(form)];
    Parts { form, score_at, member_at, end: member_at + len }
}

#[inline]
fn read_score(at: &[u8], form: u8) -> f64 {
    match form {
        0 => f64::from(i16::from_le_bytes([at[0], at[1]])),
        1 => f64::from(i32::from_le_bytes([at[0], at[1], at[2], at[3]])),
        2 => {
            // Placed in the high 48 bits, so that the arithmetic shift extends the sign.
            let high = [0, 0, at[0], at[1], at[2], at[3], at[4], at[5]];
            (i64::from_le_bytes(high) >> 16) as f64
        }
        _ => f64::from_le_bytes([at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7]]),
    }
}

/// The entry at the start of `bytes` (which may go on), and its size.
#[inline]
pub(super) fn read(bytes: &[u8]) -> (Entry<'_>, usize) {
    let parts = parts(bytes);
    let score = read_score(&bytes[parts.score_at..], parts.form);
    (Entry { member: &bytes[parts.member_at..parts.end], score }, parts.end)
}

/// Only the score of the entry at the start of `bytes`.
#[inline]
pub(super) fn score(bytes: &[u8]) -> f64 {
    let parts = parts(bytes);
    read_score(&bytes[parts.score_at..], parts.form)
}

/// Only the member of the entry at the start of `bytes`.
#[inline]
pub(super) fn member(bytes: &[u8]) -> &[u8] {
    let parts = parts(bytes);
    &bytes[parts.member_at..parts.end]
}

/// The bits of 2^-64, where the prefix begins to tell magnitudes apart, and of 2^64, where it ends.
const LOW: u64 = (1023 - 64) << 52;
const HIGH: u64 = (1023 + 64) << 52;

/// A 32-bit image of `score` that never falls as the score rises: what a slot compares first.
///
/// ```text
/// bit 31      1: zero or positive; 0: negative, with the bits below complemented
/// bits 30..24 binary exponent + 64, so magnitudes below 2^-64 share the image of zero, and those
///             of 2^64 and above share the greatest
/// bits 23..0  leading bits of the fraction
/// ```
///
/// Different for different integers below 2^25. An f64's own high half would spend 11 bits on the
/// exponent and tell times in milliseconds apart by 17 minutes; this does by one.
#[inline]
pub(super) fn prefix(score: f64) -> u32 {
    let magnitude = score.abs().to_bits().clamp(LOW, HIGH - 1);
    let image = ((magnitude - LOW) >> 28) as u32;
    if score < 0.0 { (1 << 31) - 1 - image } else { 1 << 31 | image }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCORES: [f64; 21] = [
        f64::NEG_INFINITY,
        f64::MIN,
        -140_737_488_355_329.0,
        -140_737_488_355_328.0,
        -2_147_483_649.0,
        -2_147_483_648.0,
        -32_769.0,
        -32_768.0,
        -1.5,
        -f64::MIN_POSITIVE,
        0.0,
        5e-324,
        0.1,
        32_767.0,
        32_768.0,
        2_147_483_647.0,
        2_147_483_648.0,
        140_737_488_355_327.0,
        140_737_488_355_328.0,
        9_223_372_036_854_775_808.0,
        f64::INFINITY,
    ];

    #[test]
    fn every_score_and_length_survives_the_bytes() {
        for len in [0, 1, 62, 63, 64, 190, 191, 5000, 100_000] {
            let member: Vec<u8> = (0..len).map(|i| i as u8).collect();
            for score in SCORES.into_iter().chain([-0.0]) {
                let mut bytes = vec![0xAA; size(score, len) + 3];
                write(&mut bytes, score, &member);
                let (entry, end) = read(&bytes);
                assert_eq!(entry.score.to_bits(), score.to_bits());
                assert_eq!((entry.member, end), (member.as_slice(), size(score, len)));
                assert_eq!(bytes[end..], [0xAA; 3]);
            }
        }
    }

    #[test]
    fn the_prefix_never_falls() {
        for pair in SCORES.windows(2) {
            assert!(prefix(pair[0]) <= prefix(pair[1]), "{pair:?}");
        }
        assert_eq!(prefix(-0.0), prefix(0.0));
        assert_eq!((prefix(f64::NEG_INFINITY), prefix(f64::INFINITY)), (0, u32::MAX));
        let mut rng = ochre_base::rng::Rng::new(6);
        for _ in 0..20_000 {
            let (a, b) = (f64::from_bits(rng.next_u64()), f64::from_bits(rng.next_u64()));
            if a < b {
                assert!(prefix(a) <= prefix(b), "{a} {b}");
            }
        }
    }

    #[test]
    fn the_prefix_tells_integers_below_2_to_the_25_apart() {
        for whole in (0..1000).chain((1 << 25) - 1000..1 << 25) {
            let score = f64::from(whole);
            assert!(prefix(score) < prefix(score + 1.0));
            assert!(prefix(-score - 1.0) < prefix(-score));
        }
    }

    #[test]
    fn sixteen_bytes_with_an_integer_take_one_24_byte_block() {
        assert_eq!(size(7.0, 16), 19);
        assert_eq!(size(1e6, 16), 21);
        assert_eq!(size(1_700_000_000_000.0, 16), 23);
        assert_eq!(size(0.3, 16), 25);
    }

    #[test]
    fn a_score_is_rewritten_only_within_its_form() {
        let mut bytes = vec![0; 16];
        write(&mut bytes, 1.0, b"ab");
        assert!(rewrite_score(&mut bytes, -5.0));
        assert_eq!(read(&bytes).0, Entry { member: b"ab", score: -5.0 });
        assert!(!rewrite_score(&mut bytes, 0.5));
        assert_eq!(score(&bytes), -5.0);
        assert_eq!(member(&bytes), b"ab");
    }
}
