//! Directives of memory: limit, eviction, expiry, lazy freeing.

use super::{INT_MAX, count, number};
use crate::directive::{Directive, Kind, row};

/// The words of `maxmemory-policy`, in the peers' order, with the numbers of
/// [`EvictionPolicy`](crate::snapshot::EvictionPolicy).
const POLICIES: Kind = Kind::Choice(&[
    ("volatile-lru", 0),
    ("volatile-lfu", 1),
    ("volatile-random", 2),
    ("volatile-ttl", 3),
    ("allkeys-lru", 4),
    ("allkeys-lfu", 5),
    ("allkeys-random", 6),
    ("noeviction", 7),
]);

/// Small values are freed on the spot, which is cheaper; large ones never are.
const ALWAYS_LAZY: &str = "large values are always freed in the background";

pub(super) const ROWS: &[Directive] = &[
    row(
        "maxmemory",
        Kind::Memory { min: 0, max: u64::MAX },
        "0",
        "Memory above which keys are evicted or writes refused; 0 for no limit.",
    ),
    row(
        "maxmemory-policy",
        POLICIES,
        "noeviction",
        "Which keys to evict: all or those with a time to live; by use, at random, by end.",
    ),
    row(
        "maxmemory-samples",
        count(1, 64, "keys"),
        "5",
        "Keys compared to choose one for eviction.",
    ),
    row(
        "maxmemory-eviction-tenacity",
        number(0, 100),
        "10",
        "How long eviction may hold up clients: 10 is normal, 100 without end.",
    ),
    row(
        "maxmemory-clients",
        Kind::MemoryOrPercent,
        "0",
        "Memory of all clients above which the largest are closed; percent of `maxmemory`; \
0 for no limit.",
    ),
    row(
        "lfu-log-factor",
        number(0, INT_MAX),
        "10",
        "How many uses raise the frequency counter: larger takes more.",
    ),
    row(
        "lfu-decay-time",
        count(0, INT_MAX, "minutes"),
        "1",
        "Time after which the frequency counter is lowered by one.",
    ),
    row(
        "active-expire-effort",
        number(1, 10),
        "1",
        "How much work the search for expired keys may do.",
    ),
    row("lazyfree-lazy-eviction", Kind::Bool, "no", "Free evicted values in the background.")
        .inert(ALWAYS_LAZY),
    row("lazyfree-lazy-expire", Kind::Bool, "no", "Free expired values in the background.")
        .inert(ALWAYS_LAZY),
    row("lazyfree-lazy-server-del", Kind::Bool, "no", "Free overwritten values in the background.")
        .inert(ALWAYS_LAZY),
    row(
        "lazyfree-lazy-user-del",
        Kind::Bool,
        "no",
        "Let DEL free in the background, as UNLINK does.",
    )
    .inert(ALWAYS_LAZY),
    row(
        "lazyfree-lazy-user-flush",
        Kind::Bool,
        "no",
        "Let FLUSHALL and FLUSHDB free in the background by default.",
    ),
];
