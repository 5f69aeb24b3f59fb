//! Which hashes have fields that expire, and when the first of them does: the index of active expiry of
//! hash fields.
//!
//! A hash stands here at most once, under a time at or before its first expiry. Edits of a hash move it
//! forward in time only when an earlier expiry comes; the cycle takes what is due, and the edit that
//! removes the expired fields puts the hash back when others remain. A key that is gone meanwhile is
//! dropped when its turn comes.

use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use crate::key_hasher::KeyHasher;

/// See the module's head. Both members hold the same pairs.
#[derive(Debug, Default)]
pub(crate) struct FieldExpiries {
    by_time: BTreeSet<(u64, Arc<[u8]>)>,
    by_name: HashMap<Arc<[u8]>, u64, BuildHasherDefault<KeyHasher>>,
}

impl FieldExpiries {
    /// Notes that a field of the hash `name` expires at `at_ms`, and none before. O(log n).
    pub(crate) fn note(&mut self, name: &[u8], at_ms: u64) {
        if self.by_name.get(name).is_some_and(|noted| *noted <= at_ms) {
            return;
        }
        let name: Arc<[u8]> = name.into();
        if let Some(noted) = self.by_name.insert(Arc::clone(&name), at_ms) {
            self.by_time.remove(&(noted, Arc::clone(&name)));
        }
        self.by_time.insert((at_ms, name));
    }

    /// Takes the name of a hash that may have a field past its time. O(log n).
    pub(crate) fn take_due(&mut self, now_ms: u64) -> Option<Arc<[u8]>> {
        if self.by_time.first()?.0 >= now_ms {
            return None;
        }
        let (_, name) = self.by_time.pop_first()?;
        self.by_name.remove(&name);
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_stands_once_under_its_earliest_time() {
        let mut index = FieldExpiries::default();
        index.note(b"a", 50);
        index.note(b"a", 70);
        index.note(b"a", 30);
        index.note(b"b", 40);
        assert_eq!((index.by_time.len(), index.by_name.len()), (2, 2));
        assert_eq!(index.take_due(30), None);
        assert_eq!(index.take_due(31).as_deref(), Some(&b"a"[..]));
        assert_eq!(index.take_due(100).as_deref(), Some(&b"b"[..]));
        assert_eq!(index.take_due(100), None);
    }
}
