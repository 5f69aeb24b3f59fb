//! Counting bits with the instructions that a processor has beyond the baseline.
//!
//! The same loop, word by word, is compiled three times: for processors that count the bits of a vector at once
//! (AVX-512 VPOPCNTDQ), for those with AVX2, where the compiler looks the bits of each nibble up, and for those that
//! count those of a word (POPCNT). Which of them runs is asked each time; the answer is cached by the standard library.
//!
//! Failure: none. A processor without any of them gets nothing, and its caller the scalar twin.

#[cfg(target_arch = "x86_64")]
use std::arch::is_x86_feature_detected;

/// The number of bits that are set, on a processor that has more than the baseline.
#[inline]
pub(super) fn count(bytes: &[u8]) -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512vpopcntdq") && is_x86_feature_detected!("avx512vl") {
            // SAFETY: the processor has the features, as was just asked.
            return Some(unsafe { with_avx512(bytes) });
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") {
            // SAFETY: the processor has the features, as was just asked.
            return Some(unsafe { with_avx2(bytes) });
        }
        if is_x86_feature_detected!("popcnt") {
            // SAFETY: the processor has the feature, as was just asked.
            return Some(unsafe { with_popcnt(bytes) });
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
    None
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512vpopcntdq,popcnt")]
fn with_avx512(bytes: &[u8]) -> u64 {
    super::count_words(bytes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,popcnt")]
fn with_avx2(bytes: &[u8]) -> u64 {
    super::count_words(bytes)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "popcnt")]
fn with_popcnt(bytes: &[u8]) -> u64 {
    super::count_words(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ochre_base::rng::Rng;

    #[test]
    fn all_ways_agree() {
        let mut rng = Rng::new(3);
        let bytes: Vec<u8> = (0..2000).map(|_| rng.next_u64() as u8).collect();
        for (from, to) in [(0, 0), (0, 7), (1, 8), (3, 700), (0, 1999), (5, 2000)] {
            let part = &bytes[from..to];
            let scalar: u64 = part.iter().map(|byte| u64::from(byte.count_ones())).sum();
            assert_eq!(count(part).unwrap_or(scalar), scalar);
            assert_eq!(super::super::count_by_adders(part), scalar);
            #[cfg(target_arch = "x86_64")]
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("popcnt") {
                // SAFETY: the processor has the features, as was just asked.
                assert_eq!(unsafe { (with_avx2(part), with_popcnt(part)) }, (scalar, scalar));
            }
        }
    }
}
