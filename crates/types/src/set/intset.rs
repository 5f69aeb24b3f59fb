//! An intset: sorted integers of one width in one byte buffer.
//!
//! ```text
//! [ width:u8 ][ n0 ][ n1 ] ...      width 2, 4 or 8: bytes of each integer, little endian, ascending
//! ```
//!
//! An empty buffer is an empty set. The width grows with the first integer that needs it and never
//! shrinks. Look-up is a binary search; writes move the integers above the place, which the limit of
//! 512 members bounds to 4 KB.

use crate::packed;

const HEADER: usize = 1;

/// Bytes that `n` needs.
fn width_for(n: i64) -> usize {
    if i16::try_from(n).is_ok() {
        2
    } else if i32::try_from(n).is_ok() {
        4
    } else {
        8
    }
}

/// Bytes of each integer of the set.
#[inline]
pub(super) fn width(buf: &[u8]) -> usize {
    buf.first().map_or(2, |&width| usize::from(width.clamp(2, 8)))
}

/// Number of integers.
#[inline]
pub(super) fn len(buf: &[u8]) -> usize {
    buf.len().saturating_sub(HEADER) / width(buf)
}

/// The integer number `index`, which must exist.
#[inline]
fn at(integers: &[u8], width: usize, index: usize) -> Option<i64> {
    let bytes = integers.get(index * width..)?;
    Some(match width {
        2 => i64::from(i16::from_le_bytes(*bytes.first_chunk()?)),
        4 => i64::from(i32::from_le_bytes(*bytes.first_chunk()?)),
        _ => i64::from_le_bytes(*bytes.first_chunk()?),
    })
}

/// The integer number `index`, in ascending order.
#[inline]
pub(super) fn nth(buf: &[u8], index: usize) -> Option<i64> {
    at(buf.get(HEADER..)?, width(buf), index)
}

/// All integers, ascending.
#[inline]
pub(super) fn iter(buf: &[u8]) -> impl Iterator<Item = i64> + '_ {
    (0..len(buf)).filter_map(move |index| nth(buf, index))
}

/// The number of `n`, or the one that it would have.
#[inline]
pub(super) fn search(buf: &[u8], n: i64) -> Result<usize, usize> {
    let (mut low, mut high) = (0, len(buf));
    while low < high {
        let middle = low + (high - low) / 2;
        match nth(buf, middle) {
            Some(found) if found == n => return Ok(middle),
            Some(found) if found < n => low = middle + 1,
            _ => high = middle,
        }
    }
    Err(low)
}

/// Adds `n`. `false` when it is there.
pub(super) fn insert(buf: &mut Vec<u8>, n: i64) -> bool {
    let Err(index) = search(buf, n) else {
        return false;
    };
    let needed = width_for(n);
    if buf.is_empty() {
        buf.push(needed as u8);
    } else if needed > width(buf) {
        *buf = widened(buf, needed);
    }
    let width = width(buf);
    let (place, end) = (HEADER + index * width, buf.len());
    packed::grow(buf, width);
    buf.resize(end + width, 0);
    buf.copy_within(place..end, place + width);
    buf[place..place + width].copy_from_slice(&n.to_le_bytes()[..width]);
    true
}

/// The same set with wider integers, and room for one more.
fn widened(buf: &[u8], width: usize) -> Vec<u8> {
    let mut wide = Vec::with_capacity(HEADER + (len(buf) + 1) * width);
    wide.push(width as u8);
    for n in iter(buf) {
        wide.extend_from_slice(&n.to_le_bytes()[..width]);
    }
    wide
}

/// Removes `n`. `false` when it is not there.
pub(super) fn remove(buf: &mut Vec<u8>, n: i64) -> bool {
    let Ok(index) = search(buf, n) else {
        return false;
    };
    let width = width(buf);
    let place = HEADER + index * width;
    packed::remove_range(buf, place, place + width);
    if buf.len() == HEADER {
        buf.clear();
    }
    true
}

/// Whether `buf` is a set: a known width, whole integers, strictly ascending.
#[cfg(test)]
pub(super) fn is_valid(buf: &[u8]) -> bool {
    let whole = match buf.split_first() {
        None => true,
        Some((&width, rest)) => {
            matches!(width, 2 | 4 | 8) && !rest.is_empty() && rest.len() % usize::from(width) == 0
        }
    };
    whole && iter(buf).is_sorted_by(|a, b| a < b)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_width_grows_with_the_integers() {
        let mut buf = Vec::new();
        for (n, bytes) in [(5, 3), (-32_768, 5), (32_768, 13), (i64::MIN, 33)] {
            assert!(insert(&mut buf, n));
            assert!(!insert(&mut buf, n));
            assert_eq!(buf.len(), bytes);
            assert!(is_valid(&buf));
        }
        assert!(iter(&buf).eq([i64::MIN, -32_768, 5, 32_768]));
        assert!(remove(&mut buf, i64::MIN));
        assert_eq!(width(&buf), 8);
        for n in [5, -32_768, 32_768] {
            assert!(remove(&mut buf, n));
        }
        assert!(buf.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn intsets_agree_with_an_ordered_set(
            steps in prop::collection::vec(
                (any::<bool>(), prop_oneof![-20i64..20, -70_000i64..70_000, any::<i64>()]),
                0..60,
            ),
        ) {
            let (mut buf, mut model) = (Vec::new(), BTreeSet::new());
            for (add, n) in steps {
                if add {
                    prop_assert_eq!(insert(&mut buf, n), model.insert(n));
                } else {
                    prop_assert_eq!(remove(&mut buf, n), model.remove(&n));
                }
                prop_assert!(is_valid(&buf));
                prop_assert!(iter(&buf).eq(model.iter().copied()));
                prop_assert_eq!(search(&buf, n).is_ok(), model.contains(&n));
            }
        }
    }
}
