//! From a command to its lock set: the shards of its keys, each once, in ascending order.

use ochre_base::hash::hash;
use ochre_command::Key;
use ochre_command::keys::each_key;
use ochre_command::spec::{CommandSpec, Flags, KeyFlags};
use ochre_keyspace::lock::{Locked, ShardId, Shards};
use smallvec::SmallVec;

/// What a command has to lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// These shards, sorted, each once. None for a command without keys.
    Set(SmallVec<[ShardId; 8]>),
    /// Every shard.
    All,
}

impl Plan {
    /// No shard yet.
    pub fn none() -> Self {
        Self::Set(SmallVec::new())
    }

    /// Adds what a command needs.
    pub fn add_command(&mut self, shards: &Shards, spec: &CommandSpec, args: &[&[u8]]) {
        if spec.flags.contains(Flags::ALL_KEYS) {
            *self = Self::All;
            return;
        }
        each_key(spec, args, |at, flags| {
            if !flags.contains(KeyFlags::NOT_KEY) {
                self.add_hash(shards, hash(args[at]));
            }
        });
    }

    /// Adds the shards of keys that are hashed already.
    pub fn add_keys(&mut self, shards: &Shards, keys: &[Key<'_>]) {
        for key in keys {
            self.add_hash(shards, key.hash);
        }
    }

    /// Adds the shard of a key.
    pub fn add_hash(&mut self, shards: &Shards, hash: u64) {
        if let Self::Set(ids) = self {
            let id = shards.of(hash);
            if let Err(at) = ids.binary_search(&id) {
                ids.insert(at, id);
            }
        }
    }

    /// Takes the locks.
    pub fn lock<'k>(&self, shards: &'k Shards) -> Locked<'k> {
        match self {
            Self::All => shards.lock_all(),
            Self::Set(ids) => match ids[..] {
                [id] => shards.lock_one(id),
                _ => shards.lock_set(ids),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_sorted_and_unique() {
        let shards = Shards::new(64);
        let mut plan = Plan::none();
        let names: Vec<Vec<u8>> = (0..40).map(|n| format!("key:{}", n % 20).into_bytes()).collect();
        for name in &names {
            plan.add_hash(&shards, hash(name));
        }
        let Plan::Set(ids) = &plan else { panic!("a set") };
        assert!(ids.is_sorted_by(|a, b| a < b));
        let locked = plan.lock(&shards);
        assert!(names.iter().all(|name| locked.holds(hash(name))));
    }
}
