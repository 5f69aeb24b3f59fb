//! A fixed-capacity vector inside its owner: the arrays of the B+tree's nodes.
//!
//! Elements are `Copy`, so that moving between neighbours is a plain copy. Capacity is `N`, at
//! most 65535; going beyond it panics on an index. Inserting and removing are O(N).

use std::ops::{Deref, DerefMut, Range};

/// At most `N` elements; `items[len..]` is content of no meaning.
#[derive(Clone, Debug)]
pub(super) struct Run<T, const N: usize> {
    len: u16,
    items: [T; N],
}

impl<T: Copy + Default, const N: usize> Run<T, N> {
    const FITS: () = assert!(N <= u16::MAX as usize, "the length is 16 bits");

    pub(super) fn new() -> Self {
        let () = Self::FITS;
        Self { len: 0, items: [T::default(); N] }
    }

    #[inline]
    pub(super) fn insert(&mut self, at: usize, item: T) {
        let len = self.len();
        self.items.copy_within(at..len, at + 1);
        self.items[at] = item;
        self.len += 1;
    }

    #[inline]
    pub(super) fn remove(&mut self, range: Range<usize>) {
        let len = self.len();
        let gone = range.len();
        self.items.copy_within(range.end..len, range.start);
        self.len -= gone as u16;
    }

    /// Moves the first `k` elements behind the last of `to`.
    pub(super) fn give_front(&mut self, k: usize, to: &mut Self) {
        let at = to.len();
        to.items[at..at + k].copy_from_slice(&self[..k]);
        to.len += k as u16;
        self.remove(0..k);
    }

    /// Moves the last `k` elements before the first of `to`.
    pub(super) fn give_back(&mut self, k: usize, to: &mut Self) {
        let (from, held) = (self.len() - k, to.len());
        to.items.copy_within(..held, k);
        to.items[..k].copy_from_slice(&self[from..]);
        to.len += k as u16;
        self.len -= k as u16;
    }
}

impl<T, const N: usize> Deref for Run<T, N> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        &self.items[..usize::from(self.len)]
    }
}

impl<T, const N: usize> DerefMut for Run<T, N> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items[..usize::from(self.len)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_between_neighbours_keep_order() {
        let (mut left, mut right) = (Run::<u32, 8>::new(), Run::<u32, 8>::new());
        for i in 0..6 {
            left.insert(left.len(), i);
        }
        right.insert(0, 6);
        left.give_back(2, &mut right);
        assert_eq!((&left[..], &right[..]), (&[0, 1, 2, 3][..], &[4, 5, 6][..]));
        right.give_front(3, &mut left);
        assert_eq!((&left[..], &right[..]), (&[0, 1, 2, 3, 4, 5, 6][..], &[][..]));
        left.remove(1..5);
        left.insert(1, 9);
        assert_eq!(left[..], [0, 9, 5, 6]);
    }
}
