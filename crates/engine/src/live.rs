//! The configuration as the loops read it: immutable, replaced whole when a directive changes.
//!
//! [`Live`] adds to the typed settings what a command would otherwise convert each time.

use ochre_config::snapshot::EvictionPolicy;
use ochre_config::{Compat, Settings};
use ochre_keyspace::evict::Policy;
use ochre_keyspace::shard::DbIndex;
use ochre_types::limits::Limits;

/// See the module's head.
#[derive(Debug, Clone)]
pub struct Live {
    /// All settings.
    pub settings: Settings,
    /// Conversion thresholds of the collections.
    pub limits: Limits,
    /// databases
    pub databases: DbIndex,
    /// Longest string and longest argument, in bytes.
    pub string_max: usize,
    /// maxmemory in bytes; 0: no limit.
    pub maxmemory: usize,
    /// maxmemory-clients in bytes; none: no limit.
    pub client_memory_max: Option<i64>,
    /// maxmemory-policy
    pub policy: Policy,
    /// Time in nanoseconds from which a command is slow; none: never.
    pub slow_ns: Option<u64>,
    /// Whether requests or replies are logged by their size.
    pub logs_sizes: bool,
}

impl Live {
    /// Converts the settings.
    pub fn of(settings: Settings) -> Self {
        let encodings = &settings.encodings;
        let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Self {
            limits: Limits {
                hash_max_listpack_entries: count(encodings.hash_entries),
                hash_max_listpack_value: count(encodings.hash_value_bytes),
                set_max_intset_entries: count(encodings.intset_entries),
                // Redis 7.0 has no small form of a set but that of integers.
                set_max_listpack_entries: match settings.compat {
                    Compat::Redis70 => 0,
                    _ => count(encodings.set_entries),
                },
                set_max_listpack_value: count(encodings.set_value_bytes),
                zset_max_listpack_entries: count(encodings.zset_entries),
                zset_max_listpack_value: count(encodings.zset_value_bytes),
                list_max_listpack_size: encodings.list_size as i32,
                list_compress_depth: encodings.list_compress_depth as u32,
                stream_node_max_bytes: count(encodings.stream_node_bytes),
                stream_node_max_entries: count(encodings.stream_node_entries),
                hll_sparse_max_bytes: count(encodings.hll_sparse_bytes),
            },
            databases: settings.databases.min(u32::from(DbIndex::MAX)) as DbIndex,
            string_max: count(settings.proto_max_bulk_len),
            maxmemory: count(settings.maxmemory),
            client_memory_max: settings
                .client_memory_max()
                .map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
            policy: policy(settings.maxmemory_policy),
            slow_ns: settings.slowlog.threshold.map(|us| us.saturating_mul(1000)),
            logs_sizes: settings.large_requests.threshold.is_some()
                || settings.large_replies.threshold.is_some(),
            settings,
        }
    }
}

fn policy(policy: EvictionPolicy) -> Policy {
    match policy {
        EvictionPolicy::VolatileLru => Policy::VolatileLru,
        EvictionPolicy::VolatileLfu => Policy::VolatileLfu,
        EvictionPolicy::VolatileRandom => Policy::VolatileRandom,
        EvictionPolicy::VolatileTtl => Policy::VolatileTtl,
        EvictionPolicy::AllkeysLru => Policy::AllKeysLru,
        EvictionPolicy::AllkeysLfu => Policy::AllKeysLfu,
        EvictionPolicy::AllkeysRandom => Policy::AllKeysRandom,
        EvictionPolicy::NoEviction => Policy::NoEviction,
    }
}
