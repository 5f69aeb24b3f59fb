//! Exact accounting of memory in use, cheap enough to run on every allocation.
//!
//! `used = bytes handed out by the global allocator - bytes free inside arenas`. The process'
//! allocator calls [`add`] and [`sub`]; an arena hides the free part of its chunks with the same two
//! calls, so that deleting a key is seen at once although its chunk stays with the arena.
//!
//! Each thread owns one padded counter (plain load and store, no locked instruction); threads past
//! the last slot share one, with atomic adds. A block freed by another thread than its owner makes
//! single counters negative; only the sum means something.

use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

/// Counters; the last one is shared. More than the threads of a server at its largest.
const SLOTS: usize = 128;

#[repr(align(128))]
struct Slot(AtomicI64);

static COUNTERS: [Slot; SLOTS] = [const { Slot(AtomicI64::new(0)) }; SLOTS];
static NEXT: AtomicUsize = AtomicUsize::new(0);
/// The highest sum that [`note_peak`] has seen.
static PEAK: AtomicI64 = AtomicI64::new(0);

thread_local! {
    static MINE: Cell<usize> = const { Cell::new(usize::MAX) };
}

#[inline]
fn slot() -> usize {
    // A thread that is being torn down has no slot of its own any more: it uses the shared one.
    MINE.try_with(|mine| {
        let index = mine.get();
        if index != usize::MAX {
            return index;
        }
        let index = NEXT.fetch_add(1, Ordering::Relaxed).min(SLOTS - 1);
        mine.set(index);
        index
    })
    .unwrap_or(SLOTS - 1)
}

#[inline]
fn change(delta: i64) {
    let index = slot();
    let counter = &COUNTERS[index].0;
    if index == SLOTS - 1 {
        counter.fetch_add(delta, Ordering::Relaxed);
    } else {
        // Only this thread writes the slot.
        counter.store(counter.load(Ordering::Relaxed) + delta, Ordering::Relaxed);
    }
}

/// Counts `bytes` as in use.
#[inline]
pub fn add(bytes: usize) {
    change(bytes as i64);
}

/// Counts `bytes` as no longer in use.
#[inline]
pub fn sub(bytes: usize) {
    change(-(bytes as i64));
}

/// Bytes in use, over all threads. O(slots), about 0.1 us.
pub fn used() -> usize {
    let taken = NEXT.load(Ordering::Relaxed).min(SLOTS - 1);
    let mut sum = COUNTERS[SLOTS - 1].0.load(Ordering::Relaxed);
    for slot in &COUNTERS[..taken] {
        sum += slot.0.load(Ordering::Relaxed);
    }
    sum.max(0) as usize
}

/// Notes the present sum for [`peak`], and returns it.
pub fn note_peak() -> usize {
    let now = used();
    PEAK.fetch_max(now as i64, Ordering::Relaxed);
    now
}

/// The highest sum noted so far, in bytes.
pub fn peak() -> usize {
    PEAK.load(Ordering::Relaxed).max(0) as usize
}

/// Forgets the peak (CONFIG RESETSTAT).
pub fn reset_peak() {
    PEAK.store(used() as i64, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_follows_adds_and_subs_of_several_threads() {
        let before = used();
        add(1 << 30);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        add(64);
                    }
                    sub(32_000);
                });
            }
        });
        assert_eq!(used(), before + (1 << 30) + 4 * 32_000);
        assert!(note_peak() <= peak());
        sub((1 << 30) + 4 * 32_000);
        assert_eq!(used(), before);
    }
}
