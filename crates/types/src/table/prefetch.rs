//! Asking the processor for a cache line ahead of its use.

use super::Table;
use crate::arena::{Arena, Ref};

/// Fetches the line at `place` into the cache, without waiting for it and without reading it.
#[inline]
pub fn prefetch<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch is a hint that touches no memory in the language's sense, and the
        // address comes from a live reference.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(place).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// A look-up touches a bucket, and then the block that the bucket points at. Prefetching for several
/// look-ups goes over them once for each, so that the second pass finds the buckets in the cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// The buckets.
    Buckets,
    /// The blocks.
    Blocks,
}

impl Stage {
    /// Fetches what this stage of a look-up of `hash` touches in a table of blocks.
    #[inline]
    pub fn fetch(self, table: &Table, arena: &Arena, hash: u64) {
        match self {
            Self::Buckets => table.prefetch_bucket(hash),
            Self::Blocks => table.candidates(hash, |value| {
                if let Some(first) = arena.bytes(Ref::from_raw(value)).first() {
                    prefetch(first);
                }
            }),
        }
    }
}
