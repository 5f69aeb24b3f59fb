//! A long row of cells that starts as zeros and costs memory only where it was written.
//!
//! The cells lie in pages of 4 KB behind counted references. A page that was never written is absent and
//! reads as zeros, so that reserving a large filter costs 16 bytes for each page; the last page is as
//! long as it has to be, so that a small filter costs what it holds. A copy shares all pages, and the
//! first write to a shared page copies that page alone: duplicating a value for COPY or a snapshot is
//! O(pages) and touches no cell.
//!
//! Invariant: `pages.len() == len.div_ceil(PER_PAGE)`; `filled_bytes` is the sum of the bytes of the pages
//! that are there. Costs: O(1) for a cell; a position outside panics, as with a slice.

use std::sync::Arc;

use super::Corrupt;

/// Bytes of a full page: a page of the machine, like those of the other large values.
pub const PAGE_BYTES: usize = 4096;
/// The two counters in front of a counted page.
const COUNTERS: usize = 16;

/// What a cell may be.
pub trait Cell: Copy + Default + PartialEq {
    /// Appends it, low byte first.
    fn put(self, out: &mut Vec<u8>);
    /// Reads it from `size_of::<Self>()` bytes.
    fn read(bytes: &[u8]) -> Self;
}

macro_rules! cell {
    ($($type:ty),*) => {$(
        impl Cell for $type {
            #[inline]
            fn put(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            #[inline]
            fn read(bytes: &[u8]) -> Self {
                bytes.try_into().map(Self::from_le_bytes).unwrap_or_default()
            }
        }
    )*};
}
cell!(u8, u32, u64);

/// The cells. See the module's head.
#[derive(Clone, Debug)]
pub struct Pages<T> {
    pages: Vec<Option<Arc<[T]>>>,
    /// Number of cells.
    len: usize,
    /// Bytes of the pages that are there.
    filled_bytes: usize,
}

impl<T: Cell> Pages<T> {
    const PER_PAGE: usize = PAGE_BYTES / size_of::<T>();

    /// `len` zeros.
    pub fn new(len: usize) -> Self {
        Self { pages: vec![None; len.div_ceil(Self::PER_PAGE)], len, filled_bytes: 0 }
    }

    /// Number of cells.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no cells.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of all cells.
    pub fn byte_len(&self) -> usize {
        self.len * size_of::<T>()
    }

    /// Cell `at`.
    #[inline]
    pub fn cell(&self, at: usize) -> T {
        match &self.pages[at / Self::PER_PAGE] {
            Some(page) => page[at % Self::PER_PAGE],
            None => T::default(),
        }
    }

    /// Cell `at`, to be changed.
    #[inline]
    pub fn cell_mut(&mut self, at: usize) -> &mut T {
        let (page, within) = (at / Self::PER_PAGE, at % Self::PER_PAGE);
        &mut self.page_mut(page)[within]
    }

    fn page_mut(&mut self, index: usize) -> &mut [T] {
        let cells = (self.len - index * Self::PER_PAGE).min(Self::PER_PAGE);
        let filled = &mut self.filled_bytes;
        let page = self.pages[index].get_or_insert_with(|| {
            *filled += cells * size_of::<T>();
            Arc::from(vec![T::default(); cells])
        });
        Arc::make_mut(page)
    }

    /// Makes all cells zero.
    pub fn clear(&mut self) {
        self.pages.fill(None);
        self.filled_bytes = 0;
    }

    /// Heap bytes held, shared pages included. O(1).
    pub fn heap_bytes(&self) -> usize {
        let page = size_of::<Option<Arc<[T]>>>();
        let filled = self.filled_bytes + self.filled_bytes / PAGE_BYTES * COUNTERS;
        self.pages.capacity() * page + filled
    }

    /// Appends the bytes `from..to` of the cells, both multiples of a cell's size. O(to - from).
    pub fn copy_bytes(&self, from: usize, to: usize, out: &mut Vec<u8>) {
        out.reserve(to - from);
        for at in from / size_of::<T>()..to / size_of::<T>() {
            self.cell(at).put(out);
        }
    }

    /// Writes bytes over the cells from byte `from` on. Refuses what does not fit or does not fall on
    /// whole cells. Zeros over an absent page leave it absent. O(length).
    pub fn write_bytes(&mut self, from: usize, bytes: &[u8]) -> Result<(), Corrupt> {
        let size = size_of::<T>();
        let end = from.checked_add(bytes.len()).ok_or(Corrupt)?;
        if end > self.byte_len() || !from.is_multiple_of(size) || !end.is_multiple_of(size) {
            return Err(Corrupt);
        }
        for (at, cell) in bytes.chunks_exact(size).enumerate() {
            let (at, cell) = (from / size + at, T::read(cell));
            if self.cell(at) != cell {
                *self.cell_mut(at) = cell;
            }
        }
        Ok(())
    }

    /// Appends all cells.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        self.copy_bytes(0, self.byte_len(), out);
    }

    /// Reads `len` cells.
    pub(crate) fn decode(len: usize, from: &mut super::Reader<'_>) -> Result<Self, Corrupt> {
        let bytes = from.take(len.checked_mul(size_of::<T>()).ok_or(Corrupt)?)?;
        let mut pages = Self::new(len);
        pages.write_bytes(0, bytes)?;
        Ok(pages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Cells are those of a vector, and a copy keeps what it had.
        #[test]
        fn agrees_with_a_vector(
            len in 1usize..3000,
            writes in prop::collection::vec((any::<usize>(), any::<u32>()), 0..60),
        ) {
            let (mut pages, mut model) = (Pages::<u32>::new(len), vec![0u32; len]);
            let (mut copy, mut copied) = (pages.clone(), model.clone());
            for (n, (at, value)) in writes.iter().enumerate() {
                *pages.cell_mut(at % len) = *value;
                model[at % len] = *value;
                if n == writes.len() / 2 {
                    (copy, copied) = (pages.clone(), model.clone());
                }
            }
            let all = |pages: &Pages<u32>| (0..len).map(|at| pages.cell(at)).collect::<Vec<_>>();
            prop_assert_eq!(all(&pages), model);
            prop_assert_eq!(all(&copy), copied);

            let mut bytes = Vec::new();
            pages.encode(&mut bytes);
            let again = Pages::<u32>::decode(len, &mut super::super::Reader::new(&bytes)).unwrap();
            prop_assert_eq!(all(&again), all(&pages));
            pages.clear();
            prop_assert_eq!(all(&pages), vec![0; len]);
        }
    }

    #[test]
    fn costs_what_is_written() {
        let mut pages = Pages::<u64>::new(1 << 20);
        assert!(pages.heap_bytes() < 40_000);
        *pages.cell_mut(5) = 1;
        assert!(pages.heap_bytes() < 45_000);
        assert!(Pages::<u64>::new(3).heap_bytes() <= 16);
        assert_eq!(pages.write_bytes(4, &[0; 8]), Err(Corrupt), "not on a cell");
        assert_eq!(pages.write_bytes(8 << 20, &[0; 8]), Err(Corrupt), "behind the end");
    }
}
