//! Directives of observation: log, slow log, latency, notifications.

use super::count;
use crate::directive::{Directive, Kind, row};

/// The words of `loglevel`, with the numbers of [`LogLevel`](crate::snapshot::LogLevel).
const LEVELS: Kind =
    Kind::Choice(&[("debug", 0), ("verbose", 1), ("notice", 2), ("warning", 3), ("nothing", 4)]);

const FACILITIES: Kind = Kind::Choice(&[
    ("user", 8),
    ("local0", 128),
    ("local1", 136),
    ("local2", 144),
    ("local3", 152),
    ("local4", 160),
    ("local5", 168),
    ("local6", 176),
    ("local7", 184),
]);

const fn entries() -> Kind {
    count(0, i64::MAX, "entries")
}

pub(super) const ROWS: &[Directive] = &[
    row("loglevel", LEVELS, "notice", "Least important messages that are logged."),
    row("logfile", Kind::Text, "", "File to log to; empty for the standard output.").immutable(),
    row(
        "log-format",
        Kind::Choice(&[("legacy", 0), ("logfmt", 1), ("json", 2)]),
        "legacy",
        "Form of a log line.",
    ),
    row(
        "log-timestamp-format",
        Kind::Choice(&[("legacy", 0), ("iso8601", 1), ("milliseconds", 2)]),
        "legacy",
        "Form of the time in a log line.",
    ),
    row("syslog-enabled", Kind::Bool, "no", "Log to the system's logger as well.").immutable(),
    row("syslog-ident", Kind::Text, "redis", "Name in the system's log.").immutable(),
    row("syslog-facility", FACILITIES, "local0", "Facility in the system's log.").immutable(),
    row("hide-user-data-from-log", Kind::Bool, "no", "Keep keys and values out of the log.")
        .inert("keys and values are never logged"),
    row(
        "slowlog-log-slower-than",
        count(-1, i64::MAX, "us"),
        "10000",
        "Time from which a command enters the slow log; 0 all, -1 none.",
    )
    .also(&["commandlog-execution-slower-than"]),
    row("slowlog-max-len", entries(), "128", "Length of the slow log.")
        .also(&["commandlog-slow-execution-max-len"]),
    row(
        "commandlog-request-larger-than",
        count(-1, i64::MAX, "bytes"),
        "1048576",
        "Size from which a command enters the log of large requests; -1 none.",
    ),
    row(
        "commandlog-large-request-max-len",
        entries(),
        "128",
        "Length of the log of large requests.",
    ),
    row(
        "commandlog-reply-larger-than",
        count(-1, i64::MAX, "bytes"),
        "1048576",
        "Size from which a command enters the log of large replies; -1 none.",
    ),
    row("commandlog-large-reply-max-len", entries(), "128", "Length of the log of large replies."),
    row(
        "latency-monitor-threshold",
        count(0, i64::MAX, "ms"),
        "0",
        "Time from which the latency monitor notes an event; 0 never.",
    ),
    row("latency-tracking", Kind::Bool, "yes", "Keep a histogram of times for each command."),
    row(
        "latency-tracking-info-percentiles",
        Kind::Percentiles,
        "50 99 99.9",
        "Percentiles that INFO shows of these histograms.",
    ),
    row(
        "notify-keyspace-events",
        Kind::Events,
        "",
        "Classes of keyspace events to publish; K, E and (for fields of hashes) S, T, I, V choose the \
         channels.",
    ),
];
