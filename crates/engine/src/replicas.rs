//! The replicas of this server: who they are, and how far they have come.
//!
//! A replica is a client that asked for the stream (SYNC, PSYNC). It gets a snapshot, or goes on where it
//! was when the log still holds that, and from then on the log's bytes as they are appended. The log's
//! offset is the replication offset. A replica belongs to the loop that owns its connection; what others need
//! to know of it is here.
//!
//! Offsets on the wire count bytes that were received; a replica that has received up to the log's
//! offset N asks to go on with N + 1.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What others may know of a replica.
#[derive(Debug)]
pub struct Replica {
    /// Its client's id.
    pub client: u64,
    /// The loop that owns it.
    pub event_loop: u16,
    /// Its address, without a port.
    pub ip: String,
    /// The port that it listens on, as it says.
    pub port: AtomicU16,
    /// It has the snapshot and gets the stream.
    pub online: AtomicBool,
    /// The offset that it has acknowledged.
    pub acknowledged: AtomicU64,
    /// When it did so, in Unix milliseconds.
    pub acknowledged_ms: AtomicI64,
}

impl Replica {
    /// Whether it gets the stream, and was heard of since `since` in Unix milliseconds.
    pub fn is_good(&self, since: i64) -> bool {
        let online = self.online.load(Ordering::Relaxed);
        online && self.acknowledged_ms.load(Ordering::Relaxed) >= since
    }
}

/// All replicas. See the module's head.
#[derive(Debug)]
pub struct Replicas {
    /// Forty hexadecimal digits that name the history of this server's data.
    pub id: String,
    count: AtomicUsize,
    by_client: Mutex<BTreeMap<u64, Arc<Replica>>>,
    /// Full and partial synchronisations, and those refused for the log having moved on.
    pub full: AtomicU64,
    /// See `full`.
    pub partial: AtomicU64,
    /// See `full`.
    pub refused: AtomicU64,
}

impl Replicas {
    /// None yet, for a history with this name.
    pub fn new(id: String) -> Self {
        Self {
            id,
            count: AtomicUsize::new(0),
            by_client: Mutex::default(),
            full: AtomicU64::new(0),
            partial: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// How many there are.
    #[inline]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Adds one.
    pub fn add(&self, replica: Arc<Replica>) {
        let mut all = self.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(replica.client, replica);
        self.count.store(all.len(), Ordering::Relaxed);
    }

    /// Removes one that is gone.
    pub fn remove(&self, client: u64) {
        let mut all = self.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&client);
        self.count.store(all.len(), Ordering::Relaxed);
    }

    /// All of them, by their clients' ids.
    pub fn all(&self) -> Vec<Arc<Replica>> {
        let all = self.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().cloned().collect()
    }
}
