//! Directives of replication.

use super::{INT_MAX, bytes, count, number};
use crate::directive::{Directive, Kind, row};

const ONE_CHANNEL: &str = "the snapshot and the stream come on one connection";
const UNBUFFERED: &str = "what a full synchronisation brings is buffered by the primary only";

pub(super) const ROWS: &[Directive] = &[
    row("replicaof", Kind::HostPort, "", "Primary to follow, as host and port.")
        .immutable()
        .also(&["slaveof"]),
    row("masterauth", Kind::Text, "", "Password for the primary.")
        .sensitive()
        .also(&["primaryauth"]),
    row("masteruser", Kind::Text, "", "User name for the primary.")
        .sensitive()
        .also(&["primaryuser"]),
    row(
        "replica-serve-stale-data",
        Kind::Bool,
        "yes",
        "Answer from old data while the primary is out of reach.",
    )
    .also(&["slave-serve-stale-data"]),
    row("replica-read-only", Kind::Bool, "yes", "Refuse writes on a replica.")
        .also(&["slave-read-only"]),
    row("replica-ignore-maxmemory", Kind::Bool, "yes", "Leave eviction to the primary.")
        .also(&["slave-ignore-maxmemory"]),
    row(
        "replica-lazy-flush",
        Kind::Bool,
        "no",
        "Drop the old data in the background before a full sync.",
    )
    .also(&["slave-lazy-flush"]),
    row(
        "replica-priority",
        number(0, INT_MAX),
        "100",
        "Preference of this replica in a failover, smallest first; 0 never.",
    )
    .also(&["slave-priority"]),
    row("replica-announced", Kind::Bool, "yes", "Let sentinels show this replica to clients."),
    row(
        "replica-announce-ip",
        Kind::Text,
        "",
        "Address that the primary reports for this replica.",
    )
    .also(&["slave-announce-ip"]),
    row(
        "replica-announce-port",
        number(0, 65535),
        "0",
        "Port that the primary reports for this replica.",
    )
    .also(&["slave-announce-port"]),
    row(
        "replica-ignore-disk-write-errors",
        Kind::Bool,
        "no",
        "Go on when a replica cannot write to its disk.",
    ),
    row(
        "replica-full-sync-buffer-limit",
        bytes(0),
        "0",
        "Most bytes buffered on a replica during a full sync; 0 takes the output limit.",
    )
    .inert(UNBUFFERED),
    row(
        "min-replicas-to-write",
        count(0, INT_MAX, "replicas"),
        "0",
        "Refuse writes with fewer replicas in touch.",
    )
    .also(&["min-slaves-to-write"]),
    row(
        "min-replicas-max-lag",
        count(0, INT_MAX, "seconds"),
        "10",
        "Silence after which a replica counts as out of touch.",
    )
    .also(&["min-slaves-max-lag"]),
    row(
        "repl-timeout",
        count(1, INT_MAX, "seconds"),
        "60",
        "Silence after which a replication link is dropped.",
    ),
    row(
        "repl-ping-replica-period",
        count(1, INT_MAX, "seconds"),
        "10",
        "Period of the pings to replicas.",
    )
    .also(&["repl-ping-slave-period"]),
    row("repl-backlog-size", bytes(1), "1mb", "Bytes of the log kept for partial syncs."),
    row(
        "repl-backlog-ttl",
        count(0, i64::MAX, "seconds"),
        "3600",
        "How long the backlog is kept without replicas; 0 for ever.",
    ),
    row("repl-disable-tcp-nodelay", Kind::Bool, "no", "Gather small packets on replication links."),
    row("repl-mptcp", Kind::Bool, "no", "Use multipath TCP for replication links.")
        .immutable()
        .later("multipath TCP"),
    row("repl-diskless-sync", Kind::Bool, "yes", "Send snapshots to replicas without a file.")
        .denied_while_loading(),
    row(
        "repl-diskless-sync-delay",
        count(0, INT_MAX, "seconds"),
        "5",
        "How long to wait for further replicas before a snapshot is sent.",
    ),
    row(
        "repl-diskless-sync-max-replicas",
        count(0, INT_MAX, "replicas"),
        "0",
        "Replicas for which not to wait any longer; 0 for no such number.",
    ),
    row(
        "repl-diskless-load",
        Kind::Choice(&[
            ("disabled", 0),
            ("on-empty-db", 1),
            ("swapdb", 2),
            ("flush-before-load", 3),
        ]),
        "disabled",
        "How a replica loads a snapshot that arrives: from a file, or straight from the primary.",
    )
    .denied_while_loading(),
    row(
        "repl-rdb-channel",
        Kind::Bool,
        "no",
        "Send the snapshot on a connection of its own, as Redis 8 does.",
    )
    .hidden()
    .inert(ONE_CHANNEL),
    row(
        "dual-channel-replication-enabled",
        Kind::Bool,
        "no",
        "Send the snapshot on a connection of its own, as Valkey does.",
    )
    .inert(ONE_CHANNEL),
];
