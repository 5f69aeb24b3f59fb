//! Data that is loaded beside what is served, to take its place when all of it is there.
//!
//! It is cut into shards as the keyspace is, each behind a lock of its own, which only the loading threads take;
//! so each of its databases can be moved into the shard of the same number. Functions are kept as their sources.
//! Memory: both sets of data are there at once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ochre_keyspace::db::Db;
use ochre_keyspace::lock::ShardId;
use ochre_keyspace::shard::Shard;

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Aside {
    shards: Vec<Mutex<Shard>>,
    functions: Mutex<Vec<Vec<u8>>>,
}

impl Aside {
    /// Nothing yet, for a keyspace of so many shards.
    pub(crate) fn new(shards: usize) -> Self {
        let shards = (0..shards).map(|_| Mutex::default()).collect();
        Self { shards, functions: Mutex::default() }
    }

    /// A shard. There is one of each number of the keyspace.
    pub(super) fn shard(&self, id: ShardId) -> MutexGuard<'_, Shard> {
        self.shards[usize::from(id)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a library of functions.
    pub(super) fn keep_function(&self, source: Vec<u8>) {
        self.functions.lock().unwrap_or_else(PoisonError::into_inner).push(source);
    }

    /// The databases of each shard, and the libraries.
    pub(crate) fn into_parts(self) -> (Vec<Vec<Db>>, Vec<Vec<u8>>) {
        let shard =
            |shard: Mutex<Shard>| shard.into_inner().unwrap_or_else(PoisonError::into_inner);
        let dbs = self.shards.into_iter().map(|one| shard(one).into_dbs()).collect();
        (dbs, self.functions.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}
