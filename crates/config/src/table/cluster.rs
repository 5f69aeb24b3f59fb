//! Directives of the cluster.

use super::{INT_MAX, bytes, count, number};
use crate::directive::{Directive, Kind, row};

const NONE: &str = "the cluster is not there yet";

pub(super) const ROWS: &[Directive] = &[
    row("cluster-enabled", Kind::Bool, "no", "Run as a node of a cluster.")
        .immutable()
        .later("the cluster"),
    row(
        "cluster-config-file",
        Kind::Text,
        "nodes.conf",
        "File in which a node keeps the cluster's state.",
    )
    .immutable()
    .inert(NONE),
    row("cluster-port", number(0, 65535), "0", "Port of the bus; 0 is the client port plus 10000.")
        .immutable()
        .inert(NONE),
    row("cluster-databases", count(1, INT_MAX, "databases"), "1", "Databases in cluster mode.")
        .immutable()
        .inert(NONE),
    row(
        "cluster-node-timeout",
        count(0, i64::MAX, "ms"),
        "15000",
        "Silence after which a node counts as failing.",
    )
    .inert(NONE),
    row(
        "cluster-replica-validity-factor",
        number(0, INT_MAX),
        "10",
        "How many time-outs old a replica's data may be for a failover; 0 any age.",
    )
    .also(&["cluster-slave-validity-factor"])
    .inert(NONE),
    row(
        "cluster-replica-no-failover",
        Kind::Bool,
        "no",
        "Never let this replica take over by itself.",
    )
    .also(&["cluster-slave-no-failover"])
    .inert(NONE),
    row(
        "cluster-migration-barrier",
        count(0, INT_MAX, "replicas"),
        "1",
        "Replicas that a primary keeps before one moves elsewhere.",
    )
    .inert(NONE),
    row(
        "cluster-allow-replica-migration",
        Kind::Bool,
        "yes",
        "Let replicas move to primaries without any.",
    )
    .inert(NONE),
    row(
        "cluster-require-full-coverage",
        Kind::Bool,
        "yes",
        "Refuse all commands while a slot has no node.",
    )
    .inert(NONE),
    row(
        "cluster-allow-reads-when-down",
        Kind::Bool,
        "no",
        "Serve reads although the cluster is down.",
    )
    .inert(NONE),
    row(
        "cluster-allow-pubsubshard-when-down",
        Kind::Bool,
        "yes",
        "Serve shard channels although the cluster is down.",
    )
    .inert(NONE),
    row(
        "cluster-link-sendbuf-limit",
        bytes(0),
        "0",
        "Pending bytes on a bus link that close it; 0 for no limit.",
    )
    .inert(NONE),
    row("cluster-announce-ip", Kind::Text, "", "Address that other nodes are told.").inert(NONE),
    row("cluster-announce-port", number(0, 65535), "0", "Client port that other nodes are told.")
        .inert(NONE),
    row("cluster-announce-tls-port", number(0, 65535), "0", "TLS port that other nodes are told.")
        .inert(NONE),
    row("cluster-announce-bus-port", number(0, 65535), "0", "Bus port that other nodes are told.")
        .inert(NONE),
    row("cluster-announce-hostname", Kind::Text, "", "Host name that clients are told.")
        .inert(NONE),
    row("cluster-announce-human-nodename", Kind::Text, "", "Name of this node in logs.")
        .inert(NONE),
    row("cluster-announce-client-ipv4", Kind::Text, "", "IPv4 address that clients are told.")
        .inert(NONE),
    row("cluster-announce-client-ipv6", Kind::Text, "", "IPv6 address that clients are told.")
        .inert(NONE),
    row("cluster-announce-client-port", number(0, 65535), "0", "Port that clients are told.")
        .inert(NONE),
    row(
        "cluster-announce-client-tls-port",
        number(0, 65535),
        "0",
        "TLS port that clients are told.",
    )
    .inert(NONE),
    row(
        "cluster-preferred-endpoint-type",
        Kind::Choice(&[("ip", 0), ("hostname", 1), ("unknown-endpoint", 2)]),
        "ip",
        "What redirections name: address, host name or nothing.",
    )
    .inert(NONE),
    row(
        "cluster-blacklist-ttl",
        count(0, u32::MAX as i64, "seconds"),
        "60",
        "How long a forgotten node stays unwelcome.",
    )
    .inert(NONE),
    row(
        "cluster-manual-failover-timeout",
        count(1, INT_MAX, "ms"),
        "5000",
        "How long a manual failover may take.",
    )
    .inert(NONE),
    row(
        "cluster-config-save-behavior",
        Kind::Choice(&[("sync", 0), ("best-effort", 1)]),
        "sync",
        "Whether a node stops when its state cannot be written.",
    )
    .inert(NONE),
    row("cluster-slot-stats-enabled", Kind::Bool, "no", "Measure the use of each slot.")
        .inert(NONE),
    row(
        "cluster-slot-migration-log-max-len",
        count(0, i64::MAX, "entries"),
        "1000",
        "Past slot migrations remembered.",
    )
    .inert(NONE),
    row(
        "slot-migration-max-failover-repl-bytes",
        count(-1, i64::MAX, "bytes"),
        "0",
        "Lag below which a slot migration may finish; -1 any.",
    )
    .inert(NONE),
    row(
        "cluster-compatibility-sample-ratio",
        count(0, 100, "percent"),
        "0",
        "Share of commands checked for use in a cluster.",
    )
    .inert(NONE),
    row(
        "cluster-ping-interval",
        count(0, i64::MAX, "ms"),
        "0",
        "Period of the bus pings; 0 the usual one.",
    )
    .hidden()
    .inert(NONE),
    row(
        "cluster-message-gossip-perc",
        count(1, 100, "percent"),
        "10",
        "Share of nodes told about in each message.",
    )
    .hidden()
    .inert(NONE),
];
