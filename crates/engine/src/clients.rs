//! All connected clients of all loops, by id: for CLIENT LIST, CLIENT KILL and INFO.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::session::ClientInfo;

/// See the module's head. Its lock is held for an insertion, a removal or a copy of the list only.
#[derive(Debug, Default)]
pub struct Clients {
    last_id: AtomicU64,
    by_id: Mutex<BTreeMap<u64, Arc<ClientInfo>>>,
}

impl Clients {
    /// An id that was never given before.
    pub fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn map(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<ClientInfo>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a client, unless there are `max` already.
    pub fn add(&self, info: Arc<ClientInfo>, max: usize) -> bool {
        let mut map = self.map();
        if map.len() >= max {
            return false;
        }
        map.insert(info.id, info);
        true
    }

    /// Removes a client that is gone.
    pub fn remove(&self, id: u64) {
        self.map().remove(&id);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.map().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A client by its id.
    pub fn by_id(&self, id: u64) -> Option<Arc<ClientInfo>> {
        self.map().get(&id).cloned()
    }

    /// All clients in the order of their ids.
    pub fn all(&self) -> Vec<Arc<ClientInfo>> {
        self.map().values().cloned().collect()
    }
}
