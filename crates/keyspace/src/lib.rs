//! The keyspace: shards and their locks, databases, expiry, eviction, and the one log.
//!
//! It knows no commands. A command reaches data only through [`lock::Locked`], which the engine
//! makes for it; see ARCHITECTURE.md for the order of locks and the invariants.

#![forbid(unsafe_code)]

pub mod db;
pub mod entry;
pub mod evict;
pub mod expire;
mod field_expiry;
mod key_hasher;
pub mod lazyfree;
pub mod lock;
pub mod log;
pub mod notify;
pub mod shard;
pub mod snapshot;
mod sync;
