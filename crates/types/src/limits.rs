//! The thresholds at which a collection changes its logical encoding.
//!
//! The names are the directives' (with `_` for `-`), so that a reader of the configuration can find
//! them; the defaults are what Redis 7.0, Redis 8.0 and Valkey 9.1 answer to `CONFIG GET`. They are
//! arguments of the operations, never stored in a value: a changed directive shows with the next
//! write, as with the peers.
//!
//! `list-max-listpack-size` has two readings, which [`PageLimit`] unfolds: -1 to -5 bound a page
//! by bytes (4, 8, 16, 32, 64 KB), a positive number bounds it by elements, and then by
//! 8 KB as well. Source: redis.conf, "Advanced config".

use crate::stream::BlockLimit;

/// Conversion thresholds of all collection types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most fields of a hash that is a listpack.
    pub hash_max_listpack_entries: usize,
    /// Longest field or value, in bytes, of a hash that is a listpack.
    pub hash_max_listpack_value: usize,
    /// Most members of a set that is an intset.
    pub set_max_intset_entries: usize,
    /// Most members of a set that is a listpack.
    pub set_max_listpack_entries: usize,
    /// Longest member, in bytes, of a set that is a listpack.
    pub set_max_listpack_value: usize,
    /// Most members of a sorted set that is a listpack.
    pub zset_max_listpack_entries: usize,
    /// Longest member, in bytes, of a sorted set that is a listpack.
    pub zset_max_listpack_value: usize,
    /// Size of a list page: -1 to -5 are byte sizes, positive numbers are element counts.
    pub list_max_listpack_size: i32,
    /// Pages at each end of a list that stay uncompressed. Kept for `CONFIG`; pages are never
    /// compressed.
    pub list_compress_depth: u32,
    /// Most bytes of a block of a stream; 0 for no bound.
    pub stream_node_max_bytes: usize,
    /// Most entries of a block of a stream; 0 for no bound.
    pub stream_node_max_entries: usize,
    /// Most bytes of a HyperLogLog in its sparse form.
    pub hll_sparse_max_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            hash_max_listpack_entries: 512,
            hash_max_listpack_value: 64,
            set_max_intset_entries: 512,
            set_max_listpack_entries: 128,
            set_max_listpack_value: 64,
            zset_max_listpack_entries: 128,
            zset_max_listpack_value: 64,
            list_max_listpack_size: -2,
            list_compress_depth: 0,
            stream_node_max_bytes: 4096,
            stream_node_max_entries: 100,
            hll_sparse_max_bytes: 3000,
        }
    }
}

impl Limits {
    /// What a page of a list may hold.
    #[inline]
    pub fn list_page(&self) -> PageLimit {
        PageLimit::of(self.list_max_listpack_size)
    }

    /// What a block of a stream may hold.
    #[inline]
    pub fn stream_block(&self) -> BlockLimit {
        BlockLimit { bytes: self.stream_node_max_bytes, entries: self.stream_node_max_entries }
    }
}

/// What one page of a list may hold; both bounds apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimit {
    /// Most bytes of elements.
    pub bytes: u32,
    /// Most elements.
    pub count: u32,
}

impl PageLimit {
    /// Bytes of a page that is bounded by its count.
    const SAFETY_BYTES: u32 = 8192;

    /// The meaning of a value of `list-max-listpack-size`: 0 counts as 1, and below -5 as -5.
    #[inline]
    pub fn of(list_max_listpack_size: i32) -> Self {
        if list_max_listpack_size >= 0 {
            let count = list_max_listpack_size.unsigned_abs().max(1);
            Self { bytes: Self::SAFETY_BYTES, count }
        } else {
            let level = list_max_listpack_size.unsigned_abs().min(5);
            Self { bytes: 2048 << level, count: u32::MAX }
        }
    }

    /// Half of both bounds: at or below it a quicklist of one page becomes a listpack again, and
    /// two pages become one. The distance to the whole keeps pages from flapping.
    #[inline]
    pub fn half(self) -> Self {
        Self { bytes: self.bytes / 2, count: self.count / 2 }
    }

    /// Whether `bytes` in `count` elements are within both bounds.
    #[inline]
    pub fn holds(self, bytes: usize, count: usize) -> bool {
        bytes <= self.bytes as usize && count <= self.count as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_sizes_follow_the_directive() {
        let bytes = |n| PageLimit::of(n).bytes;
        assert_eq!([-1, -2, -3, -4, -5].map(bytes), [4096, 8192, 16384, 32768, 65536]);
        assert_eq!(bytes(-9), 65536);
        assert_eq!(PageLimit::of(i32::MIN).bytes, 65536);
        assert_eq!(PageLimit::of(0).count, 1);
        assert_eq!(PageLimit::of(128), PageLimit { bytes: 8192, count: 128 });
        assert_eq!(Limits::default().list_page(), PageLimit { bytes: 8192, count: u32::MAX });
    }
}
