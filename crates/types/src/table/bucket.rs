//! A bucket: one cache line of twelve values with their tags.
//!
//! ```text
//! 0..48    12 values (u32)
//! 48..60   12 tags (u8): eight bits of the hash, compared before a value is followed
//! 60..62   used: bit i says that lane i is taken (u16, little endian)
//! 62       away: how many values whose home is this bucket lie in a later one
//! 63       unused
//! ```
//!
//! The sixteen bytes from 48 on are loaded at once and compared by SSE2 where there is SSE2; the
//! scalar twin is [`matches_scalar`], and one test holds the two together.

/// Values in a bucket.
pub(super) const LANES: usize = 12;
const ALL_LANES: u32 = (1 << LANES) - 1;

#[repr(C, align(64))]
#[derive(Clone)]
pub(super) struct Bucket {
    values: [u32; LANES],
    /// Tags, then `used` and `away`.
    meta: [u8; 16],
}

const _: () = assert!(size_of::<Bucket>() == 64);

impl Bucket {
    pub(super) const EMPTY: Bucket = Bucket { values: [0; LANES], meta: [0; 16] };

    /// Bit i is set when lane i is taken.
    #[inline]
    pub(super) fn used(&self) -> u32 {
        u32::from(u16::from_le_bytes([self.meta[12], self.meta[13]]))
    }

    #[inline]
    fn set_used(&mut self, used: u32) {
        self.meta[12..14].copy_from_slice(&(used as u16).to_le_bytes());
    }

    /// Values at home here that lie in a later bucket.
    #[inline]
    pub(super) fn away(&self) -> u8 {
        self.meta[14]
    }

    pub(super) fn add_away(&mut self) {
        self.meta[14] += 1;
    }

    pub(super) fn sub_away(&mut self) {
        self.meta[14] -= 1;
    }

    #[inline]
    pub(super) fn value(&self, lane: usize) -> u32 {
        self.values[lane]
    }

    #[inline]
    pub(super) fn set_value(&mut self, lane: usize, value: u32) {
        self.values[lane] = value;
    }

    /// Puts a value into a free lane; false when there is none.
    #[inline]
    pub(super) fn put(&mut self, tag: u8, value: u32) -> Option<usize> {
        let free = !self.used() & ALL_LANES;
        if free == 0 {
            return None;
        }
        let lane = free.trailing_zeros() as usize;
        self.values[lane] = value;
        self.meta[lane] = tag;
        self.set_used(self.used() | 1 << lane);
        Some(lane)
    }

    #[inline]
    pub(super) fn clear(&mut self, lane: usize) {
        self.set_used(self.used() & !(1 << lane));
    }

    /// Bit i is set when lane i is taken and has this tag.
    #[inline]
    pub(super) fn matches(&self, tag: u8) -> u32 {
        matches_wide(&self.meta, tag) & self.used()
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn matches_wide(meta: &[u8; 16], tag: u8) -> u32 {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_movemask_epi8, _mm_set_epi64x, _mm_set1_epi8};
    let bits = u128::from_le_bytes(*meta);
    #[target_feature(enable = "sse2")]
    #[inline]
    fn compare(bits: u128, tag: u8) -> u32 {
        let line = _mm_set_epi64x((bits >> 64) as i64, bits as i64);
        _mm_movemask_epi8(_mm_cmpeq_epi8(line, _mm_set1_epi8(tag as i8))) as u32
    }
    // SAFETY: SSE2 belongs to every x86_64 target, and the intrinsics touch registers only.
    unsafe { compare(bits, tag) }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn matches_wide(meta: &[u8; 16], tag: u8) -> u32 {
    matches_scalar(meta, tag)
}

/// The scalar twin of the SIMD comparison.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn matches_scalar(meta: &[u8; 16], tag: u8) -> u32 {
    meta.iter().enumerate().fold(0, |mask, (i, &b)| mask | u32::from(b == tag) << i)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ochre_base::rng::Rng;

    #[test]
    fn simd_and_scalar_agree() {
        let mut rng = Rng::new(3);
        for _ in 0..if cfg!(miri) { 100 } else { 2000 } {
            let meta: [u8; 16] = std::array::from_fn(|_| rng.below(4) as u8);
            for tag in 0..5 {
                assert_eq!(matches_wide(&meta, tag), matches_scalar(&meta, tag));
            }
        }
    }

    #[test]
    fn twelve_lanes_and_no_more() {
        let mut bucket = Bucket::EMPTY;
        for i in 0..12u32 {
            assert_eq!(bucket.put(7, i), Some(i as usize));
        }
        assert_eq!(bucket.put(7, 12), None);
        bucket.clear(5);
        assert_eq!(bucket.matches(7), ALL_LANES & !(1 << 5));
        assert_eq!(bucket.put(9, 99), Some(5));
        assert_eq!(bucket.value(5), 99);
    }
}
