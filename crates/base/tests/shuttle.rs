//! Interleavings of the shards' lock, explored by shuttle: every step of its word may fall between any two of another
//! thread's.
//!
//! Run with `cargo test -p ochre-base --features shuttle --test shuttle`.
#![cfg(feature = "shuttle")]

use std::sync::Arc;

use ochre_base::word_lock::Mutex;
use shuttle::sync::atomic::{AtomicBool, Ordering};

/// Three threads, of which one only tries: no two are in at once, nothing that was written under the lock is lost,
/// and everybody ends although nobody is woken.
#[test]
fn one_holder_at_a_time() {
    shuttle::check_random(
        || {
            let (lock, inside) = (Arc::new(Mutex::new(0)), Arc::new(AtomicBool::new(false)));
            let threads: Vec<_> = (0..3)
                .map(|turn| {
                    let (lock, inside) = (Arc::clone(&lock), Arc::clone(&inside));
                    shuttle::thread::spawn(move || {
                        let mut done = 0;
                        for _ in 0..3 {
                            let held = if turn == 2 { lock.try_lock() } else { Some(lock.lock()) };
                            let Some(mut count) = held else { continue };
                            assert!(!inside.swap(true, Ordering::SeqCst), "two holders");
                            *count += 1;
                            done += 1;
                            assert!(inside.swap(false, Ordering::SeqCst));
                        }
                        done
                    })
                })
                .collect();
            let sum: i32 = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
            assert_eq!(*lock.lock(), sum);
        },
        5_000,
    );
}
