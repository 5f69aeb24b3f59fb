//! Sessions that clients may resume: a bounded memory of secrets, each with its end.
//!
//! A session holds the certificate that its client showed, so that a resumed connection has the same user.
//! Each configuration has a memory of its own: after a reload nobody resumes what the old authorities
//! vouched for.
//!
//! Limits: entries and seconds as configured, and [`BYTES_MAX`] in all; the oldest go first. Lock: one mutex,
//! a leaf, taken in handshakes only.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::server::StoresServerSessions;

use super::options::SessionLimits;

/// Bytes of all keys and values: a client's chain of certificates may be long.
const BYTES_MAX: usize = 32 << 20;

/// See the module's head.
pub(super) struct Sessions {
    limits: SessionLimits,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    by_key: HashMap<Vec<u8>, Vec<u8>>,
    /// All keys that are there, and some that were taken, oldest first, each with its end.
    order: VecDeque<(Instant, Vec<u8>)>,
    /// Of what is in `by_key`.
    bytes: usize,
}

impl Memory {
    fn remove(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        let value = self.by_key.remove(key)?;
        self.bytes -= key.len() + value.len();
        Some(value)
    }

    fn drop_oldest(&mut self) {
        if let Some((_, key)) = self.order.pop_front() {
            self.remove(&key);
        }
    }

    fn drop_ended(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(end, _)| *end <= now) {
            self.drop_oldest();
        }
    }

    fn put(&mut self, key: Vec<u8>, value: Vec<u8>, now: Instant, limits: SessionLimits) -> bool {
        self.drop_ended(now);
        let bytes = key.len() + value.len();
        if bytes > BYTES_MAX {
            return false;
        }
        self.remove(&key);
        while self.order.len() >= limits.entries.max(1)
            || (self.bytes + bytes > BYTES_MAX && !self.order.is_empty())
        {
            self.drop_oldest();
        }
        self.bytes += bytes;
        self.order.push_back((now + Duration::from_secs(limits.seconds), key.clone()));
        self.by_key.insert(key, value);
        true
    }
}

#[expect(clippy::disallowed_methods, reason = "this crate may read the clock")]
fn now() -> Instant {
    Instant::now()
}

impl Sessions {
    pub(super) fn new(limits: SessionLimits) -> Self {
        Self { limits, memory: Mutex::default() }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Sessions {
    /// Without the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        self.memory().put(key, value, now(), self.limits)
    }

    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let mut memory = self.memory();
        memory.drop_ended(now());
        memory.by_key.get(key).cloned()
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        let mut memory = self.memory();
        memory.drop_ended(now());
        memory.remove(key)
    }

    fn can_cache(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_by_number_time_and_bytes() {
        let limits = SessionLimits { entries: 3, seconds: 10 };
        let start = now();
        let mut memory = Memory::default();
        for index in 0..5u8 {
            assert!(memory.put(vec![index], vec![0; 100], start, limits));
        }
        assert_eq!((memory.by_key.len(), memory.order.len(), memory.bytes), (3, 3, 303));
        assert!(!memory.by_key.contains_key(&[1][..]) && memory.by_key.contains_key(&[2][..]));
        // What was taken keeps its place in the order only until it is the oldest.
        assert!(memory.remove(&[4]).is_some() && memory.remove(&[4]).is_none());
        let later = start + Duration::from_secs(10);
        assert!(memory.put(vec![9], vec![0; 10], later, limits));
        assert_eq!((memory.by_key.len(), memory.order.len(), memory.bytes), (1, 1, 11));
        let roomy = SessionLimits { entries: 1000, seconds: 10 };
        for index in 0..100u8 {
            assert!(memory.put(vec![index, 1], vec![0; 1 << 20], later, roomy));
        }
        assert!(memory.bytes <= BYTES_MAX && memory.by_key.len() >= 30);
        assert!(!memory.put(vec![0], vec![0; BYTES_MAX], later, roomy));
    }

    #[test]
    fn sessions_are_taken_once() {
        let sessions = Sessions::new(SessionLimits { entries: 10, seconds: 100 });
        assert!(sessions.can_cache() && sessions.put(b"k".to_vec(), b"v".to_vec()));
        assert_eq!(sessions.get(b"k"), Some(b"v".to_vec()));
        assert_eq!(sessions.take(b"k"), Some(b"v".to_vec()));
        assert_eq!(sessions.take(b"k"), None);
        assert!(!format!("{sessions:?}").contains('v'));
    }
}
