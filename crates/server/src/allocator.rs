//! The process' allocator: jemalloc, with every byte counted for `used_memory`.
//!
//! jemalloc's own statistics lag behind by its thread caches; eviction and the tests of I6 need exact
//! numbers. Sizes are rounded up as jemalloc's classes are (steps of 16 to 128 bytes, then four classes
//! to a doubling), so that the count is what the heap really holds.

use std::alloc::{GlobalAlloc, Layout};

use ochre_base::memory;
use tikv_jemallocator::Jemalloc;

/// jemalloc's settings, which it reads when the process begins: huge pages are asked for wherever it maps
/// memory. Whether they are given is looked after by [`crate::huge_pages`].
// SAFETY: the name is jemalloc's own for a pointer to a C string, which a thin reference to bytes that end with
// a zero is; nothing else has this name.
#[unsafe(export_name = "_rjem_malloc_conf")]
static SETTINGS: Option<&'static std::ffi::c_char> = Some({
    const TEXT: &[u8] = b"thp:always\0";
    // SAFETY: `u8` and `c_char` have the same size and no invalid values.
    unsafe { &*TEXT.as_ptr().cast::<std::ffi::c_char>() }
});

/// Counts what jemalloc hands out.
pub(crate) struct Counting;

#[inline]
fn class(size: usize) -> usize {
    if size <= 128 {
        return size.next_multiple_of(16);
    }
    let step = (size - 1).ilog2() - 2;
    size.next_multiple_of(1 << step)
}

// SAFETY: every call is passed on to jemalloc unchanged; the counters do not touch the memory, and
// neither allocate nor panic.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        memory::add(class(layout.size()));
        // SAFETY: the caller's contract is jemalloc's.
        unsafe { Jemalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        memory::add(class(layout.size()));
        // SAFETY: the caller's contract is jemalloc's.
        unsafe { Jemalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        memory::sub(class(layout.size()));
        // SAFETY: the caller's contract is jemalloc's.
        unsafe { Jemalloc.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        memory::sub(class(layout.size()));
        memory::add(class(size));
        // SAFETY: the caller's contract is jemalloc's.
        unsafe { Jemalloc.realloc(at, layout, size) }
    }
}

/// Gives all dirty pages back to the system now. Decay does the same within seconds.
pub(crate) fn purge() {
    // 4096 stands for all arenas (MALLCTL_ARENAS_ALL).
    const PURGE_ALL: &[u8] = b"arena.4096.purge\0";
    // SAFETY: the name is a control that takes no value, so nothing is read or written through the
    // unit type.
    let purged = unsafe { tikv_jemalloc_ctl::raw::write(PURGE_ALL, ()) };
    if purged.is_err() {
        crate::log::debug("The allocator refused to purge its arenas");
    }
}

/// How long a dirty page may lie before it goes back to the system, in milliseconds: long enough to be
/// used again by a load that comes in waves, short enough for a drop to be seen soon.
const DIRTY_DECAY_MS: isize = 5000;

/// Sets how fast memory goes back, for the arenas there are and those to come. Call it before other
/// threads exist: each makes its own arena.
pub(crate) fn configure_decay() {
    // 4096 stands for all arenas that exist (MALLCTL_ARENAS_ALL).
    for name in [&b"arenas.dirty_decay_ms\0"[..], b"arena.4096.dirty_decay_ms\0"] {
        // SAFETY: both controls take an `ssize_t`, which is `isize` on every platform with jemalloc.
        let set = unsafe { tikv_jemalloc_ctl::raw::write(name, DIRTY_DECAY_MS) };
        if set.is_err() {
            crate::log::debug("The allocator keeps its own decay of dirty pages");
        }
    }
}

/// Starts or ends the allocator's own threads (`jemalloc-bg-thread`). They give dirty pages back in time
/// although the thread that freed them does nothing more. Threads do not survive a fork: call it after.
pub(crate) fn run_in_background(on: bool) {
    if tikv_jemalloc_ctl::background_thread::write(on).is_err() {
        crate::log::debug("The allocator has no background threads here");
    }
}

#[cfg(test)]
mod tests {
    use super::class;

    #[test]
    fn classes_are_jemallocs() {
        for (size, expected) in [
            (1, 16),
            (16, 16),
            (17, 32),
            (128, 128),
            (129, 160),
            (160, 160),
            (161, 192),
            (1024, 1024),
            (1025, 1280),
        ] {
            assert_eq!(class(size), expected, "{size}");
        }
    }
}
