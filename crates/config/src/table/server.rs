//! Directives of the process: folder, daemon, shutdown, housekeeping, scripts, development.

use super::{INT_MAX, bytes, count, number};
use crate::directive::{Directive, Kind, row};

const SHUTDOWN: Kind =
    Kind::Bits(&[("default", 0), ("save", 1), ("nosave", 2), ("now", 4), ("force", 8)]);
const GUARD: Kind = Kind::Choice(&[("no", 0), ("yes", 1), ("local", 2)]);
const NO_PINNING: &str = "threads are not pinned to cores";
const NO_TITLE: &str = "the process title is not changed";
const DEVELOPMENT: &str = "it serves the peers' own tests only";

pub(super) const ROWS: &[Directive] = &[
    row("daemonize", Kind::Bool, "no", "Run in the background.").immutable(),
    row("pidfile", Kind::Text, "", "File that holds the process number while the server runs.")
        .immutable(),
    row(
        "supervised",
        Kind::Choice(&[("upstart", 1), ("systemd", 2), ("auto", 3), ("no", 0)]),
        "no",
        "Tell a service manager that the server is ready.",
    )
    .immutable(),
    row("dir", Kind::Text, "./", "Working folder: data files are written here.")
        .protected()
        .denied_while_loading(),
    row("databases", count(1, INT_MAX, "databases"), "16", "Databases that SELECT chooses from.")
        .immutable(),
    row(
        "compat",
        Kind::Choice(&[("redis-7.0", 0), ("redis-7.2", 1), ("redis-8", 2), ("valkey-9", 3)]),
        "redis-7.2",
        "Server whose version to report, and whose behaviour to follow where they differ. Commands \
         that came later can be called whatever it says.",
    ),
    row(
        "hz",
        Kind::Clamped { min: 1, max: 500, unit: "times a second" },
        "10",
        "How often background work runs.",
    ),
    row("dynamic-hz", Kind::Bool, "yes", "Raise `hz` with the number of clients.")
        .inert("each loop adapts its own background work"),
    row("activerehashing", Kind::Bool, "yes", "Spend idle time on resizing tables.")
        .inert("tables grow and shrink segment by segment"),
    row(
        "shutdown-timeout",
        count(0, INT_MAX, "seconds"),
        "10",
        "How long a shutdown waits for replicas that lag.",
    ),
    row(
        "shutdown-on-sigint",
        SHUTDOWN,
        "default",
        "What SIGINT does about data that is not saved.",
    ),
    row(
        "shutdown-on-sigterm",
        SHUTDOWN,
        "default",
        "What SIGTERM does about data that is not saved.",
    ),
    row(
        "busy-reply-threshold",
        count(0, i64::MAX, "ms"),
        "5000",
        "After how long a running script makes others be answered BUSY; 0 never.",
    )
    .also(&["lua-time-limit"]),
    row(
        "script-memory-limit",
        bytes(0),
        "0",
        "Memory that the scripts of one thread may use; 0 for no limit.",
    ),
    row(
        "script-instruction-limit",
        count(0, i64::MAX, "instructions"),
        "0",
        "Instructions of the interpreter that one script may take; 0 for no limit.",
    ),
    row(
        "enable-protected-configs",
        GUARD,
        "no",
        "Whether CONFIG SET may change protected directives; `local` for local clients only.",
    )
    .immutable(),
    row(
        "enable-debug-command",
        GUARD,
        "no",
        "Whether DEBUG may be called; `local` for local clients only.",
    )
    .immutable(),
    row("enable-module-command", GUARD, "no", "Whether MODULE may be called.")
        .immutable()
        .inert("there are no loadable modules"),
    row("crash-log-enabled", Kind::Bool, "yes", "Log a report when the server crashes."),
    row("crash-memcheck-enabled", Kind::Bool, "yes", "Test the memory after a crash.")
        .inert("memory is not tested"),
    row("use-exit-on-panic", Kind::Bool, "no", "Exit instead of aborting on a failed assertion.")
        .hidden()
        .inert(DEVELOPMENT),
    row("set-proc-title", Kind::Bool, "yes", "Show the server's state in its process title.")
        .immutable()
        .inert(NO_TITLE),
    row(
        "proc-title-template",
        Kind::TitleTemplate,
        "{title} {listen-addr} {server-mode}",
        "Process title, with names in braces.",
    )
    .inert(NO_TITLE),
    row(
        "always-show-logo",
        Kind::Bool,
        "no",
        "Log version, mode, port and process at the start, a line each, where the peers show a logo.",
    )
    .immutable(),
    row("ignore-warnings", Kind::Text, "", "Start-up warnings to leave out, by name.")
        .inert("the named warnings are never raised"),
    row("locale-collate", Kind::Text, "", "Locale in which SORT compares texts.")
        .inert("texts are compared byte by byte"),
    row("disable-thp", Kind::Bool, "yes", "Switch transparent huge pages off for the process.")
        .immutable()
        .inert("nothing forks, so huge pages do no harm"),
    row(
        "oom-score-adj",
        Kind::Choice(&[("no", 0), ("yes", 1), ("relative", 1), ("absolute", 2)]),
        "no",
        "Let the server set its score for the kernel's out-of-memory killer.",
    )
    .inert("the score is left to the service manager"),
    row(
        "oom-score-adj-values",
        Kind::OomScores,
        "0 200 800",
        "Scores of primary, replica and background processes.",
    )
    .inert("the score is left to the service manager"),
    row("server-cpulist", Kind::Text, "", "Cores for the main threads.")
        .also(&["server_cpulist"])
        .inert(NO_PINNING),
    row("bio-cpulist", Kind::Text, "", "Cores for the background threads.")
        .also(&["bio_cpulist"])
        .inert(NO_PINNING),
    row("aof-rewrite-cpulist", Kind::Text, "", "Cores for rewriting the append-only file.")
        .also(&["aof_rewrite_cpulist"])
        .inert(NO_PINNING),
    row("bgsave-cpulist", Kind::Text, "", "Cores for saving snapshots.")
        .also(&["bgsave_cpulist"])
        .inert(NO_PINNING),
    row(
        "import-mode",
        Kind::Bool,
        "no",
        "Neither expire nor evict while another server's data is being imported.",
    )
    .later("import mode"),
    row(
        "extended-redis-compatibility",
        Kind::Bool,
        "no",
        "Report Redis' name and version to clients that insist on them.",
    )
    .inert("the texts are those of Redis anyway"),
    row("hash-seed", Kind::Text, "", "Seed of the hash function of keys.")
        .immutable()
        .inert("the seed is drawn at every start"),
    row(
        "lua-enable-insecure-api",
        Kind::Bool,
        "no",
        "Offer scripts the functions that could break out.",
    )
    .also(&["lua-enable-deprecated-api"])
    .immutable()
    .hidden()
    .later("unsafe script functions"),
    row("debug-context", Kind::Text, "", "Text that crash reports carry.")
        .hidden()
        .inert(DEVELOPMENT),
    row("enable-debug-assert", Kind::Bool, "no", "Check more invariants.")
        .immutable()
        .hidden()
        .inert(DEVELOPMENT),
    row(
        "watchdog-period",
        count(0, INT_MAX, "ms"),
        "0",
        "Log where the server is when a turn takes longer than this.",
    )
    .hidden()
    .inert(DEVELOPMENT),
    row("req-res-logfile", Kind::Text, "", "File that every request and reply is written to.")
        .immutable()
        .hidden()
        .inert(DEVELOPMENT),
    row(
        "key-load-delay",
        count(-INT_MAX - 1, INT_MAX, "us"),
        "0",
        "Pause after each key loaded; below 0: of one microsecond after so many keys. For tests.",
    )
    .hidden(),
    row(
        "rdb-key-save-delay",
        count(-INT_MAX - 1, INT_MAX, "us"),
        "0",
        "Pause after each key saved; below 0: of one microsecond after so many keys. For tests.",
    )
    .hidden(),
    row(
        "loading-process-events-interval-bytes",
        count(1024, INT_MAX, "bytes"),
        "2097152",
        "Bytes loaded between two looks at the clients.",
    )
    .hidden()
    .inert("loading never stops the loops"),
    row(
        "propagation-error-behavior",
        Kind::Choice(&[("ignore", 0), ("panic", 1), ("panic-on-replicas", 2)]),
        "ignore",
        "What to do when a replicated command fails.",
    )
    .inert("effects are replicated, which cannot fail"),
    row(
        "sanitize-dump-payload",
        Kind::Choice(&[("no", 0), ("yes", 1), ("clients", 2)]),
        "no",
        "Check the inside of RESTORE payloads.",
    )
    .denied_while_loading()
    .inert("payloads are always checked"),
    row(
        "jemalloc-bg-thread",
        Kind::Bool,
        "yes",
        "Let the allocator give memory back in the background.",
    ),
    row(
        "huge-pages",
        Kind::Bool,
        "no",
        "Let the kernel back the data with huge pages while that costs no memory: less processor time, \
         and pauses of a page's zeroing (0.2 ms and more) while the data grows.",
    ),
    row("activedefrag", Kind::Bool, "no", "Move values together when memory is fragmented.")
        .inert("entries live in compact slabs"),
    row(
        "active-defrag-cycle-min",
        count(1, 99, "percent"),
        "1",
        "Least share of time for defragmentation.",
    )
    .inert("entries live in compact slabs"),
    row(
        "active-defrag-cycle-max",
        count(1, 99, "percent"),
        "25",
        "Largest share of time for defragmentation.",
    )
    .inert("entries live in compact slabs"),
    row(
        "active-defrag-cycle-us",
        count(0, 100_000, "us"),
        "500",
        "Length of one defragmentation step.",
    )
    .inert("entries live in compact slabs"),
    row(
        "active-defrag-threshold-lower",
        count(0, 1000, "percent"),
        "10",
        "Fragmentation that starts defragmentation.",
    )
    .inert("entries live in compact slabs"),
    row(
        "active-defrag-threshold-upper",
        count(0, 1000, "percent"),
        "100",
        "Fragmentation that calls for the largest effort.",
    )
    .inert("entries live in compact slabs"),
    row("active-defrag-ignore-bytes", bytes(1), "100mb", "Waste below which nothing is done.")
        .inert("entries live in compact slabs"),
    row(
        "active-defrag-max-scan-fields",
        number(1, i64::MAX),
        "1000",
        "Elements above which a value is defragmented in steps.",
    )
    .inert("entries live in compact slabs"),
];
