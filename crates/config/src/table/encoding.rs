//! Directives of encodings: up to which size a value keeps its compact form.

use super::{INT_MAX, bytes, count, number};
use crate::directive::{Directive, Kind, row};

const fn size() -> Kind {
    bytes(0)
}

const fn entries() -> Kind {
    count(0, i64::MAX, "entries")
}

pub(super) const ROWS: &[Directive] = &[
    row("hash-max-listpack-entries", entries(), "512", "Most fields of a hash in compact form.")
        .also(&["hash-max-ziplist-entries"]),
    row(
        "hash-max-listpack-value",
        size(),
        "64",
        "Longest field or value of a hash in compact form.",
    )
    .also(&["hash-max-ziplist-value"]),
    row(
        "list-max-listpack-size",
        number(-INT_MAX - 1, INT_MAX),
        "-2",
        "Largest node of a list: entries, or -1 to -5 for 4 to 64 KB.",
    )
    .also(&["list-max-ziplist-size"]),
    row(
        "list-compress-depth",
        count(0, INT_MAX, "nodes"),
        "0",
        "Nodes at either end of a list that stay uncompressed; 0 compresses none.",
    ),
    row(
        "set-max-intset-entries",
        entries(),
        "512",
        "Most members of a set of integers in compact form.",
    ),
    row("set-max-listpack-entries", entries(), "128", "Most members of a set in compact form."),
    row(
        "set-max-listpack-value",
        count(0, i64::MAX, "bytes"),
        "64",
        "Longest member of a set in compact form.",
    ),
    row(
        "zset-max-listpack-entries",
        entries(),
        "128",
        "Most members of a sorted set in compact form.",
    )
    .also(&["zset-max-ziplist-entries"]),
    row("zset-max-listpack-value", size(), "64", "Longest member of a sorted set in compact form.")
        .also(&["zset-max-ziplist-value"]),
    row("hll-sparse-max-bytes", size(), "3000", "Longest HyperLogLog in compact form."),
    row("stream-node-max-bytes", size(), "4096", "Largest block of a stream; 0 for no limit."),
    row(
        "stream-node-max-entries",
        entries(),
        "100",
        "Most entries in a block of a stream; 0 for no limit.",
    ),
];
