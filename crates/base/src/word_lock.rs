//! The lock of a shard: one word, taken by one locked instruction and let go by a plain store.
//!
//! A command takes and lets go its shards' locks, and so does each of its two prefetches, so that a locked
//! instruction less in each pair is a part of every request. A lock that lets go by a plain store cannot learn in the
//! same step whether somebody sleeps on it; this one looks first:
//!
//! ```text
//! lock      FREE -> HELD by compare and exchange; else spin; else HELD -> AWAITED by exchange, and sleep on it
//! unlock    HELD: store FREE        AWAITED: exchange with FREE, wake one
//! ```
//!
//! A waiter that marks the word between the holder's look and its store is overlooked. It then sleeps until its time
//! is up, half a millisecond, and tries again: mutual exclusion never hangs on the mark, only how soon a sleeper wakes. The window
//! is two adjacent instructions wide, and the waiter has to enter the kernel before it closes to fall asleep in it.
//!
//! Invariants: the word is FREE if and only if nobody holds the lock; only the holder makes it FREE. There is no
//! fairness and no poisoning.

#[cfg(feature = "shuttle")]
use shuttle::sync::atomic::{AtomicU32, Ordering};
#[cfg(not(feature = "shuttle"))]
use std::sync::atomic::{AtomicU32, Ordering};

use lock_api::{GuardNoSend, RawMutex};

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and somebody sleeps or is about to.
const AWAITED: u32 = 2;
/// Looks at a held lock before sleep: some microseconds, many times what a command holds a lock for.
const SPINS: u32 = if cfg!(feature = "shuttle") { 1 } else { 100 };
/// Longest sleep between two tries, in nanoseconds.
#[cfg(not(feature = "shuttle"))]
const NAP: i64 = 500_000;

/// See the module's head.
#[derive(Debug)]
pub struct WordLock(AtomicU32);

/// What it guards is reachable only while it is held.
pub type Mutex<T> = lock_api::Mutex<WordLock, T>;
/// See [`Mutex`].
pub type MutexGuard<'a, T> = lock_api::MutexGuard<'a, WordLock, T>;

// SAFETY: `lock` and a `try_lock` that succeeds make the word HELD or AWAITED out of FREE in one atomic step, and
// no other thread's step out of FREE can succeed before `unlock`, which only the holder may call, makes it FREE.
// The steps in are Acquire and those out are Release, so that a holder sees all that earlier ones wrote.
unsafe impl RawMutex for WordLock {
    const INIT: Self = Self(AtomicU32::new(FREE));
    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock(&self) {
        if !self.try_lock() {
            self.wait();
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        self.0.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[inline]
    unsafe fn unlock(&self) {
        if self.0.load(Ordering::Relaxed) == HELD {
            self.0.store(FREE, Ordering::Release);
        } else {
            self.wake();
        }
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.0.load(Ordering::Relaxed) != FREE
    }
}

impl WordLock {
    #[cold]
    fn wait(&self) {
        for _ in 0..SPINS {
            // A look does not take the line away from the holder, as a try would.
            if !self.is_locked() && self.try_lock() {
                return;
            }
            std::hint::spin_loop();
        }
        // Marked AWAITED although this thread may be the last to wait: the price is one wake-up in vain.
        while self.0.swap(AWAITED, Ordering::Acquire) != FREE {
            sleep_on(&self.0);
        }
    }

    #[cold]
    fn wake(&self) {
        self.0.store(FREE, Ordering::Release);
        wake_one(&self.0);
    }
}

#[cfg(all(target_os = "linux", not(any(miri, feature = "shuttle"))))]
fn sleep_on(word: &AtomicU32) {
    use rustix::thread::futex::{Flags, Timespec, wait};
    let nap = Timespec { tv_sec: 0, tv_nsec: NAP };
    // Whether the word has changed, the time is up, or a signal came: the caller looks again.
    let _ = wait(word, Flags::PRIVATE, AWAITED, Some(&nap));
}

#[cfg(all(target_os = "linux", not(any(miri, feature = "shuttle"))))]
fn wake_one(word: &AtomicU32) {
    // A call that cannot wake leaves the sleeper to its nap.
    let _ = rustix::thread::futex::wake(word, rustix::thread::futex::Flags::PRIVATE, 1);
}

/// A sleep of which nobody can wake the sleeper: all that mutual exclusion may hang on.
#[cfg(any(not(target_os = "linux"), miri, feature = "shuttle"))]
fn sleep_on(_: &AtomicU32) {
    #[cfg(feature = "shuttle")]
    shuttle::thread::yield_now();
    #[cfg(not(feature = "shuttle"))]
    std::thread::park_timeout(std::time::Duration::from_nanos(NAP as u64));
}

#[cfg(any(not(target_os = "linux"), miri, feature = "shuttle"))]
fn wake_one(_: &AtomicU32) {}

#[cfg(all(test, not(feature = "shuttle")))]
mod tests {
    use super::Mutex;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn one_at_a_time() {
        let rounds = if cfg!(miri) { 50 } else { 200_000 };
        // Two words that only agree between holders.
        let pair = Mutex::new((0u64, 0u64));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..rounds {
                        let mut pair = pair.lock();
                        assert_eq!(pair.0, pair.1);
                        pair.0 += 1;
                        pair.1 += 1;
                    }
                });
            }
        });
        assert_eq!(pair.into_inner(), (4 * rounds, 4 * rounds));
    }

    #[test]
    fn sleepers_wake() {
        let (rounds, hold) = if cfg!(miri) { (3, 1) } else { (50, 2) };
        let count = Mutex::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..rounds {
                        let mut count = count.lock();
                        // Longer than anybody spins, so that the others are asleep by then.
                        thread::sleep(Duration::from_millis(hold));
                        *count += 1;
                    }
                });
            }
        });
        assert_eq!(count.into_inner(), 3 * rounds);
    }

    #[test]
    fn trying_does_not_wait() {
        let lock = Mutex::new(());
        let held = lock.lock();
        assert!(lock.try_lock().is_none());
        drop(held);
        assert!(lock.try_lock().is_some());
    }
}
