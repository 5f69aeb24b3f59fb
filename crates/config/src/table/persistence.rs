//! Directives of persistence: snapshots and the append-only file.

use super::{INT_MAX, bytes, count};
use crate::directive::{Directive, Kind, row};

const NO_RDB: &str = "a snapshot for a replica never has a name for long";
const NO_AOF: &str = "the append-only file is written in another way";

pub(super) const ROWS: &[Directive] = &[
    row(
        "save",
        Kind::Save,
        "3600 1 300 100 60 10000",
        "Pairs of seconds and changes: save a snapshot when so many changes are that old.",
    ),
    row(
        "dbfilename",
        Kind::FileName("dbfilename can't be a path, just a filename"),
        "dump.rdb",
        "File name of the snapshot.",
    )
    .protected(),
    row("rdbcompression", Kind::Bool, "yes", "Compress strings in snapshots."),
    row("rdbchecksum", Kind::Bool, "yes", "Write and check a checksum behind the snapshot.")
        .immutable(),
    row(
        "rdb-del-sync-files",
        Kind::Bool,
        "no",
        "Remove snapshots that served only for replication.",
    )
    .inert(NO_RDB),
    row(
        "rdb-save-incremental-fsync",
        Kind::Bool,
        "yes",
        "Sync a snapshot to disk while it is written.",
    ),
    row(
        "rdb-version-check",
        Kind::Choice(&[("strict", 0), ("relaxed", 1)]),
        "strict",
        "Whether to refuse snapshots of unknown versions.",
    ),
    row("stop-writes-on-bgsave-error", Kind::Bool, "yes", "Refuse writes while snapshots fail."),
    row("appendonly", Kind::Bool, "no", "Log every write to the append-only file.")
        .denied_while_loading(),
    row(
        "appendfsync",
        Kind::Choice(&[("everysec", 1), ("always", 2), ("no", 0)]),
        "everysec",
        "When the append-only file is synced to disk.",
    ),
    row(
        "appendfilename",
        Kind::FileName("appendfilename can't be a path, just a filename"),
        "appendonly.aof",
        "First part of the append-only files' names.",
    )
    .immutable(),
    row(
        "appenddirname",
        Kind::FileName("appenddirname can't be a path, just a dirname"),
        "appendonlydir",
        "Folder of the append-only files.",
    )
    .immutable(),
    row(
        "no-appendfsync-on-rewrite",
        Kind::Bool,
        "no",
        "Do not sync while the append-only file is being rewritten.",
    )
    .inert(NO_AOF),
    row(
        "auto-aof-rewrite-percentage",
        count(0, INT_MAX, "percent"),
        "100",
        "Growth that starts a rewrite; 0 never.",
    ),
    row(
        "auto-aof-rewrite-min-size",
        bytes(0),
        "64mb",
        "Size below which growth starts no rewrite.",
    ),
    row("aof-load-truncated", Kind::Bool, "yes", "Load an append-only file whose end is cut off."),
    row(
        "aof-use-rdb-preamble",
        Kind::Bool,
        "yes",
        "Begin a rewritten append-only file with a snapshot.",
    )
    .inert(NO_AOF),
    row("aof-timestamp-enabled", Kind::Bool, "no", "Write the time into the append-only file."),
    row(
        "aof-rewrite-incremental-fsync",
        Kind::Bool,
        "yes",
        "Sync a rewritten file to disk while it is written.",
    )
    .inert(NO_AOF),
    row(
        "aof-disable-auto-gc",
        Kind::Bool,
        "no",
        "Keep append-only files that are no longer needed.",
    )
    .hidden()
    .inert(NO_AOF),
];
