//! Directives of connections: where to listen, limits of clients, threads.

use super::{INT_MAX, bytes, count, number};
use crate::directive::{Directive, Kind, row};

const NO_RDMA: &str = "RDMA";
const LATER_TUNING: &str = "this server's loops decide it themselves";

pub(super) const ROWS: &[Directive] = &[
    row("port", number(0, 65535), "6379", "TCP port; 0 listens on none."),
    row(
        "bind",
        Kind::Bind,
        "* -::*",
        "Addresses to listen on. `*` is every IPv4 address, `::*` every IPv6 address; a `-` in \
         front forgives an address that does not exist.",
    ),
    row("bind-source-addr", Kind::Text, "", "Local address of outgoing connections.")
        .inert("there are no outgoing connections yet"),
    row("unixsocket", Kind::Text, "", "Path of a Unix socket to listen on; empty for none.")
        .immutable(),
    row(
        "unixsocketperm",
        Kind::Octal,
        "0",
        "Permissions of the Unix socket, in octal; 0 leaves them as created.",
    )
    .immutable(),
    row("unixsocketgroup", Kind::Text, "", "Group that is to own the Unix socket.")
        .immutable()
        .later("the group of the Unix socket"),
    row(
        "protected-mode",
        Kind::Bool,
        "yes",
        "Refuse clients from other hosts while there is no password.",
    ),
    row(
        "tcp-backlog",
        count(0, INT_MAX, "connections"),
        "511",
        "Length of the queue of connections that wait to be accepted.",
    )
    .immutable(),
    row(
        "tcp-keepalive",
        count(0, INT_MAX, "seconds"),
        "300",
        "Period of the probes on idle connections; 0 sends none.",
    ),
    row(
        "timeout",
        count(0, INT_MAX, "seconds"),
        "0",
        "Close a client that was idle for so long; 0 never closes.",
    ),
    row(
        "maxclients",
        count(1, u32::MAX as i64, "clients"),
        "10000",
        "Most clients at the same time; further ones are told so and closed.",
    ),
    row(
        "socket-mark-id",
        number(0, u32::MAX as i64),
        "0",
        "Mark that the sockets carry for the packet filter; 0 for none.",
    )
    .immutable()
    .inert("sockets are not marked"),
    row("mptcp", Kind::Bool, "no", "Listen with multipath TCP.").immutable().later("multipath TCP"),
    row(
        "max-new-connections-per-cycle",
        count(1, 1000, "connections"),
        "10",
        "Most connections accepted in one turn of a loop.",
    ),
    row(
        "max-new-tls-connections-per-cycle",
        count(1, 1000, "connections"),
        "1",
        "Most TLS connections accepted in one turn of a loop.",
    ),
    row(
        "io-threads",
        count(1, 256, "threads"),
        "1",
        "Event loops, each on its own thread. The default is the number of cores, at most 8.",
    )
    .immutable(),
    row("io-threads-do-reads", Kind::Bool, "no", "Whether other threads read too.")
        .immutable()
        .inert("every loop reads, executes and writes"),
    row("io-threads-always-active", Kind::Bool, "no", "Keep idle threads awake.")
        .hidden()
        .inert("every loop sleeps when it has nothing to do"),
    row("prefetch-batch-max-size", count(0, 128, "keys"), "16", "Keys prefetched together.")
        .inert(LATER_TUNING),
    row(
        "min-io-threads-avoid-copy-reply",
        count(0, INT_MAX, "threads"),
        "7",
        "Threads from which large replies are referenced instead of copied.",
    )
    .hidden()
    .inert(LATER_TUNING),
    row(
        "min-string-size-avoid-copy-reply",
        count(0, INT_MAX, "bytes"),
        "16384",
        "Size from which replies are referenced instead of copied.",
    )
    .hidden()
    .inert(LATER_TUNING),
    row(
        "min-string-size-avoid-copy-reply-threaded",
        count(0, INT_MAX, "bytes"),
        "65536",
        "The same with several threads.",
    )
    .hidden()
    .inert(LATER_TUNING),
    row(
        "proto-max-bulk-len",
        bytes(1 << 20),
        "512mb",
        "Longest argument of a command, and longest string value.",
    ),
    row(
        "client-query-buffer-limit",
        bytes(1 << 20),
        "1gb",
        "Most unread bytes of one client; above it the client is closed.",
    ),
    row(
        "client-output-buffer-limit",
        Kind::OutputLimits,
        "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
        "For each class of clients: the bytes of pending replies that close a client at once, \
         those that close it after so many seconds, and the seconds.",
    ),
    row("client-default-resp", number(2, 3), "2", "Protocol that clients speak before HELLO.")
        .hidden()
        .later("another protocol than 2 by default"),
    row(
        "tracking-table-max-keys",
        count(0, i64::MAX, "keys"),
        "1000000",
        "Most keys remembered for client-side caching; 0 for no limit.",
    ),
    row("availability-zone", Kind::Text, "", "Name of the zone that HELLO reports.")
        .later("availability zones"),
    row("rdma-bind", Kind::Text, "", "RDMA addresses to listen on.").immutable().later(NO_RDMA),
    row("rdma-port", number(0, 65535), "0", "RDMA port; 0 listens on none.").later(NO_RDMA),
    row(
        "rdma-rx-size",
        Kind::Memory { min: 64 << 10, max: 16 << 20 },
        "1mb",
        "RDMA receive buffer of a connection.",
    )
    .immutable()
    .later(NO_RDMA),
    row(
        "rdma-completion-vector",
        number(-1, 1024),
        "-1",
        "RDMA completion vector; -1 chooses one.",
    )
    .immutable()
    .later(NO_RDMA),
];
