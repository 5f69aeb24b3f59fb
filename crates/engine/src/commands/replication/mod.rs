//! What primaries and replicas say to each other, and what operators say to both.
//!
//! - `primary`: SYNC, PSYNC, REPLCONF, WAIT, WAITAOF;
//! - `replica`: REPLICAOF, ROLE;
//! - `failover` is the command of that name.
//!
//! Source: the published description of the replication protocol, and redis-server 7.0.15 in either part.

mod failover;
mod primary;
mod replica;

use ochre_command::spec::{Categories, Flags, Group};

use crate::registry::SessionRow;
use crate::turn::SessionFn;

const ADMIN: Flags = Flags::ADMIN.union(Flags::NOSCRIPT);
const SYNCS: Flags = ADMIN.union(Flags::NO_ASYNC_LOADING).union(Flags::NO_MULTI);
const ANYWHERE: Flags = Flags::LOADING.union(Flags::STALE);
const FOLLOWS: Flags = ADMIN.union(Flags::STALE).union(Flags::NO_ASYNC_LOADING);

const fn row(
    name: &'static str,
    arity: i32,
    flags: Flags,
    run: SessionFn,
    (since, summary, syntax): (&'static str, &'static str, &'static str),
) -> SessionRow {
    SessionRow::new(name, arity, flags, Group::Server, run).docs(since, summary, "O(1)", syntax)
}

const fn waits(
    name: &'static str,
    arity: i32,
    run: SessionFn,
    (since, summary, syntax): (&'static str, &'static str, &'static str),
) -> SessionRow {
    let flags = Flags::NOSCRIPT.union(Flags::BLOCKING);
    SessionRow::new(name, arity, flags, Group::Generic, run)
        .docs(since, summary, "O(1)", syntax)
        .also(Categories::BLOCKING.union(Categories::CONNECTION))
}

/// The rows of this file.
pub const COMMANDS: &[SessionRow] = &[
    row(
        "sync",
        1,
        SYNCS,
        primary::sync,
        ("1.0.0", "Asks for a snapshot and then for every change, as a replica.", ""),
    ),
    row(
        "psync",
        -3,
        SYNCS,
        primary::psync,
        ("2.8.0", "Goes on with a stream of changes, or begins one.", "replicationid offset"),
    ),
    row(
        "replconf",
        -1,
        ADMIN.union(ANYWHERE).union(Flags::ALLOW_BUSY),
        primary::replconf,
        ("3.0.0", "Tells a primary about a replica.", ""),
    ),
    waits(
        "wait",
        3,
        primary::wait,
        (
            "3.0.0",
            "Waits until so many replicas have the client's last write.",
            "numreplicas timeout",
        ),
    )
    .tips(&["request_policy:all_shards", "response_policy:agg_min"]),
    waits(
        "waitaof",
        4,
        primary::waitaof,
        (
            "7.2.0",
            "Waits until the client's last write is on the disks of so many servers.",
            "numlocal numreplicas timeout",
        ),
    )
    .tips(&["request_policy:all_shards", "response_policy:agg_min"]),
    row(
        "replicaof",
        3,
        FOLLOWS,
        replica::replicaof,
        ("5.0.0", "Makes the server a replica of another, or a primary.", "host port | NO ONE"),
    ),
    row(
        "slaveof",
        3,
        FOLLOWS,
        replica::replicaof,
        ("1.0.0", "Makes the server a replica of another, or a primary.", "host port | NO ONE"),
    )
    .deprecated("5.0.0", "`REPLICAOF`"),
    row(
        "failover",
        -1,
        ADMIN.union(Flags::STALE),
        failover::failover,
        (
            "6.2.0",
            "Hands the part of the primary over to a replica.",
            "[TO host port [FORCE]] [ABORT] [TIMEOUT milliseconds]",
        ),
    ),
    row(
        "role",
        1,
        ANYWHERE.union(Flags::FAST).union(Flags::NOSCRIPT),
        replica::role,
        ("2.8.12", "Gives the server's part in replication.", ""),
    )
    .also(Categories::ADMIN.union(Categories::DANGEROUS)),
];
