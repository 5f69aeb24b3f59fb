//! Entries of a cut as records of a file.
//!
//! Writers that change an entry of the cut and the walker encode into one queue; the thread that saves
//! drains it between two steps of the walker. The queue is bounded: when the sink does not keep up, the snapshot
//! is given up, not the server.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ochre_families::dump::value_ref;
use ochre_keyspace::db::Stored;
use ochre_keyspace::entry::Entry;
use ochre_keyspace::evict::AccessClock;
use ochre_keyspace::shard::DbIndex;
use ochre_keyspace::snapshot::Capture;
use ochre_rdb::{Dialect, KeyMeta, encode_key};

/// Records of one database that follow one another.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) db: DbIndex,
    pub(super) bytes: Vec<u8>,
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Records {
    queue: Mutex<Queue>,
    dialect: Dialect,
    clock: AccessClock,
    /// Whether access clocks are written: an eviction policy uses them.
    with_access: bool,
    limit_bytes: usize,
    /// Nothing is encoded any more.
    given_up: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    runs: Vec<Run>,
    bytes: usize,
}

impl Records {
    pub(super) fn new(
        dialect: Dialect,
        clock: AccessClock,
        with_access: bool,
        limit_bytes: usize,
    ) -> Self {
        Self {
            queue: Mutex::default(),
            dialect,
            clock,
            with_access,
            limit_bytes,
            given_up: AtomicBool::new(false),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what was captured so far.
    pub(super) fn drain(&self) -> Vec<Run> {
        std::mem::take(&mut *self.queue()).runs
    }

    /// Captures nothing any more; what is queued goes.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
        drop(self.drain());
    }

    /// Whether the snapshot was given up.
    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    fn meta(&self, entry: &Entry<'_>) -> KeyMeta {
        let mut meta = KeyMeta { expire_at_ms: entry.expiry, ..KeyMeta::default() };
        if self.with_access && self.clock.lfu {
            meta.frequency = Some(self.clock.frequency(entry.access).min(255) as u8);
        } else if self.with_access {
            meta.idle_s = Some(u64::from(self.clock.idle_seconds(entry.access)));
        }
        meta
    }
}

impl Capture for Records {
    fn take(&self, db: DbIndex, entry: &Entry<'_>, stored: Stored<'_>) {
        if self.is_given_up() {
            return;
        }
        let meta = self.meta(entry);
        let mut queue = self.queue();
        if queue.runs.last().is_none_or(|run| run.db != db) {
            queue.runs.push(Run { db, bytes: Vec::new() });
        }
        let Some(run) = queue.runs.last_mut() else { return };
        let before = run.bytes.len();
        encode_key(&mut run.bytes, entry.key, value_ref(&stored), &meta, &self.dialect);
        let grown = run.bytes.len() - before;
        queue.bytes += grown;
        let over = queue.bytes > self.limit_bytes;
        drop(queue);
        if over {
            self.give_up();
        }
    }
}
