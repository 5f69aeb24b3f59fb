//! Clients that cache by prefix (CLIENT TRACKING with BCAST): who wants to hear of which keys.
//!
//! A client is told of every change to a key that begins with one of its prefixes, read or not. Nothing
//! is remembered of keys, so the table grows with the prefixes only. Looking up the prefixes of a key is
//! O(P) with P prefixes of all clients: there are few.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A client that caches by prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The loop that owns it.
    pub event_loop: u16,
    /// It does not want to hear of its own changes.
    pub noloop: bool,
}

type Table = BTreeMap<Box<[u8]>, BTreeMap<u64, Target>>;

/// See the module's head.
#[derive(Debug, Default)]
pub struct Prefixes {
    count: AtomicUsize,
    table: Mutex<Table>,
}

impl Prefixes {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a client to a prefix, the empty one being that of all keys.
    pub fn add(&self, prefix: &[u8], client: u64, target: Target) {
        let mut table = self.table();
        table.entry(prefix.into()).or_default().insert(client, target);
        self.count.store(table.len(), Ordering::Release);
    }

    /// Takes a client from a prefix.
    pub fn remove(&self, prefix: &[u8], client: u64) {
        let mut table = self.table();
        if let Some(clients) = table.get_mut(prefix) {
            clients.remove(&client);
            if clients.is_empty() {
                table.remove(prefix);
            }
        }
        self.count.store(table.len(), Ordering::Release);
    }

    /// How many different prefixes there are.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// For each prefix that some of `keys` begin with: those keys, and the clients that want them but
    /// are not to be spared as the `writer`.
    pub fn each_match(
        &self,
        keys: &[Vec<u8>],
        writer: u64,
        mut tell: impl FnMut(&[&[u8]], &[(u16, u64)]),
    ) {
        for (prefix, clients) in &*self.table() {
            let mut names: Vec<&[u8]> =
                keys.iter().map(Vec::as_slice).filter(|key| key.starts_with(prefix)).collect();
            names.sort_unstable();
            names.dedup();
            let targets: Vec<(u16, u64)> = clients
                .iter()
                .filter(|(client, target)| !(target.noloop && **client == writer))
                .map(|(client, target)| (target.event_loop, *client))
                .collect();
            if !names.is_empty() && !targets.is_empty() {
                tell(&names, &targets);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_hear_of_their_prefixes() {
        let prefixes = Prefixes::default();
        let noloop = Target { event_loop: 1, noloop: true };
        let all = Target { event_loop: 0, noloop: false };
        prefixes.add(b"user:", 5, noloop);
        prefixes.add(b"user:", 6, all);
        prefixes.add(b"", 7, all);
        prefixes.add(b"none", 8, all);
        assert_eq!(prefixes.count(), 3);
        let keys = [b"user:2".to_vec(), b"user:1".to_vec(), b"x".to_vec(), b"user:1".to_vec()];
        let mut told = Vec::new();
        prefixes.each_match(&keys, 5, |names, targets| {
            told.push((names.iter().map(|name| name.to_vec()).collect(), targets.to_vec()));
        });
        let names = |list: &[&str]| list.iter().map(|name| name.as_bytes().to_vec()).collect();
        let expected: [(Vec<Vec<u8>>, _); 2] = [
            (names(&["user:1", "user:2", "x"]), vec![(0, 7)]),
            (names(&["user:1", "user:2"]), vec![(0, 6)]),
        ];
        assert_eq!(told, expected);
        prefixes.remove(b"user:", 5);
        prefixes.remove(b"user:", 6);
        prefixes.remove(b"absent", 6);
        assert_eq!(prefixes.count(), 2);
    }
}
