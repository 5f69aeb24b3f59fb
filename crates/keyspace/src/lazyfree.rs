//! Freeing of large values away from the clients: a queue to the thread that drops them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use ochre_types::value::Value;

use crate::db::Db;

/// Values of at most this many allocations are freed on the spot: cheaper than waking a thread.
const EFFORT_MIN: usize = 64;

/// What is to be dropped.
#[derive(Debug)]
pub enum Garbage {
    /// A large value.
    Value(Value),
    /// A database's part in one shard, after a flush.
    Db(Box<Db>),
}

/// The sending side; one for each thread.
#[derive(Debug, Clone)]
pub struct Bin {
    queue: Option<Sender<Garbage>>,
}

/// Objects waiting to be freed, and freed so far: INFO's lazyfree fields.
static PENDING: AtomicU64 = AtomicU64::new(0);
static FREED: AtomicU64 = AtomicU64::new(0);

impl Bin {
    /// A bin that drops at once, on the caller's thread.
    pub fn inline() -> Self {
        Self { queue: None }
    }

    /// A bin and the queue that its thread drains with [`drain`]. The queue has no limit of its own:
    /// what waits in it is counted as used memory, which maxmemory bounds.
    pub fn with_thread() -> (Self, Receiver<Garbage>) {
        let (queue, receiver) = channel();
        (Self { queue: Some(queue) }, receiver)
    }

    /// Frees a value: on the spot when it is small or there is no thread.
    pub fn free(&self, value: Option<Value>) {
        let Some(value) = value else { return };
        if value.free_effort() > EFFORT_MIN {
            self.send(Garbage::Value(value));
        }
    }

    /// Frees a database.
    pub fn free_db(&self, db: Db) {
        if !db.is_empty() {
            self.send(Garbage::Db(Box::new(db)));
        }
    }

    fn send(&self, garbage: Garbage) {
        if let Some(queue) = &self.queue {
            PENDING.fetch_add(garbage.objects(), Ordering::Relaxed);
            // A queue whose thread has gone drops the value here, which is as good.
            if let Err(back) = queue.send(garbage) {
                PENDING.fetch_sub(back.0.objects(), Ordering::Relaxed);
            }
        }
    }
}

impl Garbage {
    fn objects(&self) -> u64 {
        match self {
            Garbage::Value(_) => 1,
            Garbage::Db(db) => db.len() as u64,
        }
    }
}

/// Drops what comes, until all bins of the queue are gone: the body of the freeing thread.
pub fn drain(queue: &Receiver<Garbage>) {
    while let Ok(garbage) = queue.recv() {
        let objects = garbage.objects();
        drop(garbage);
        PENDING.fetch_sub(objects, Ordering::Relaxed);
        FREED.fetch_add(objects, Ordering::Relaxed);
    }
}

/// Objects waiting to be freed.
pub fn pending() -> u64 {
    PENDING.load(Ordering::Relaxed)
}

/// Objects freed in the background so far.
pub fn freed() -> u64 {
    FREED.load(Ordering::Relaxed)
}

/// Forgets [`freed`] (CONFIG RESETSTAT).
pub fn reset_freed() {
    FREED.store(0, Ordering::Relaxed);
}
