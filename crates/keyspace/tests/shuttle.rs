//! Interleavings of the lock sets and of waiters, explored by shuttle (I1, I2, I3).
//!
//! Run with `cargo test -p ochre-keyspace --features shuttle --test shuttle`.
#![cfg(feature = "shuttle")]

use std::sync::Arc;

use ochre_keyspace::db::{Key, NewValue, Text};
use ochre_keyspace::lock::{Locked, Shards};
use ochre_keyspace::shard::{BlockedCommand, Waiter};
use ochre_types::value::Type;
use shuttle::rand::Rng as _;

fn read(locked: &Locked<'_>, name: &[u8]) -> i64 {
    let key = Key::new(name);
    let db = locked.db(0, key);
    match db.find(key).and_then(|slot| db.text(&db.entry(slot))) {
        Some(Text::Int(n)) => n,
        _ => 0,
    }
}

fn write(locked: &mut Locked<'_>, name: &[u8], n: i64) {
    let key = Key::new(name);
    let db = locked.db_mut(0, key);
    let slot = db.find(key);
    db.put(key, slot, NewValue::Int(n), None, 0);
}

fn add(locked: &mut Locked<'_>, name: &[u8], n: i64) {
    let sum = read(locked, name) + n;
    write(locked, name, sum);
}

fn ids(shards: &Shards, names: &[&[u8]]) -> Vec<u16> {
    let mut ids: Vec<u16> = names.iter().map(|name| shards.of(Key::new(name).hash)).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Transfers between accounts under lock sets: every reader that locks all sees the same sum, and no
/// interleaving deadlocks.
#[test]
fn transfers_keep_the_sum() {
    shuttle::check_random(
        || {
            const NAMES: [&[u8]; 4] = [b"a", b"b", b"c", b"d"];
            let shards = Arc::new(Shards::new(64));
            let threads: Vec<_> = (0..3)
                .map(|turn| {
                    let shards = Arc::clone(&shards);
                    shuttle::thread::spawn(move || {
                        for _ in 0..3 {
                            if turn == 2 {
                                let locked = shards.lock_all();
                                let sum: i64 = NAMES.iter().map(|name| read(&locked, name)).sum();
                                assert_eq!(sum, 0);
                                continue;
                            }
                            let mut rng = shuttle::rand::thread_rng();
                            let from = NAMES[rng.gen_range(0..4)];
                            let to = NAMES[rng.gen_range(0..4)];
                            let mut locked = shards.lock_set(&ids(&shards, &[from, to]));
                            add(&mut locked, from, -1);
                            add(&mut locked, to, 1);
                        }
                    })
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
        },
        2_000,
    );
}

/// A script that widens its locks in any order, sets in ascending order and readers of all: no
/// interleaving deadlocks, and the sum stays.
#[test]
fn widening_scripts_wait_for_nobody_who_waits() {
    shuttle::check_random(
        || {
            const NAMES: [&[u8]; 4] = [b"a", b"b", b"c", b"d"];
            let shards = Arc::new(Shards::new(64));
            let threads: Vec<_> = (0..4)
                .map(|turn| {
                    let shards = Arc::clone(&shards);
                    shuttle::thread::spawn(move || {
                        let mut rng = shuttle::rand::thread_rng();
                        for _ in 0..2 {
                            let (from, to) =
                                (NAMES[rng.gen_range(0..4)], NAMES[rng.gen_range(0..4)]);
                            if turn < 2 {
                                let right = shards.script_lock();
                                let mut locked = shards.lock_set(&ids(&shards, &[from]));
                                add(&mut locked, from, -1);
                                locked.widen(Key::new(to).hash, &right);
                                add(&mut locked, to, 1);
                                locked.widen_all(&right);
                                let sum: i64 = NAMES.iter().map(|name| read(&locked, name)).sum();
                                assert_eq!(sum, 0);
                            } else {
                                let mut locked = shards.lock_set(&ids(&shards, &[from, to]));
                                add(&mut locked, from, -1);
                                add(&mut locked, to, 1);
                            }
                        }
                    })
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
        },
        2_000,
    );
}

/// A writer that serves and a time-out race for a waiter: exactly one ends the wait.
#[test]
fn a_waiter_has_one_winner() {
    shuttle::check_random(
        || {
            let shards = Arc::new(Shards::new(64));
            let command = BlockedCommand {
                args: Vec::new(),
                key_at: 0,
                wants: Type::List,
                db: 0,
                protocol: 2,
                also: Vec::new(),
            };
            let waiter = Arc::new(Waiter::new(0, 1, command));
            let id = shards.of(Key::new(b"k").hash);
            shards.visit(id, |shard| shard.wait(0, b"k", Arc::clone(&waiter)));
            let writers: Vec<_> = (0..2)
                .map(|_| {
                    let shards = Arc::clone(&shards);
                    shuttle::thread::spawn(move || {
                        shards.visit(id, |shard| match shard.waiter(0, b"k", 0) {
                            Some((_, waiter)) => usize::from(waiter.claim()),
                            None => 0,
                        })
                    })
                })
                .collect();
            let timeout = {
                let (shards, waiter) = (Arc::clone(&shards), Arc::clone(&waiter));
                shuttle::thread::spawn(move || {
                    let won = waiter.claim();
                    shards.visit(id, |shard| shard.forget_waiter(0, b"k", &waiter));
                    usize::from(won)
                })
            };
            let wins: usize = writers.into_iter().map(|w| w.join().unwrap()).sum::<usize>()
                + timeout.join().unwrap();
            assert_eq!(wins, 1);
            shards.visit(id, |shard| assert!(!shard.is_awaited(0, b"k")));
        },
        2_000,
    );
}
