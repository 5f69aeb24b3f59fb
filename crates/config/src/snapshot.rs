//! The typed, immutable view of the configuration that the running server reads.
//!
//! Made from [`Config`] at the start and after every CONFIG SET, then shared behind a pointer that
//! is swapped: no lock, no text and no lookup on the way of a command. Every field names its
//! directive, and its unit where it has one.

mod backup;
mod replica;
mod tls;

pub use self::backup::BackupSettings;
pub use self::replica::{DisklessLoad, ReplicaSettings};
pub use self::tls::{TlsClients, TlsSettings, TlsUser};
use crate::special::{EventClasses, OutputLimit, SavePoint};
use crate::store::{Config, mismatch};
use crate::table::{Id, id};
use crate::value::{Share, Value};
use ochre_base::compat::Compat;
use std::path::PathBuf;

/// Defines an enum of a directive's choices and its conversion from the table's numbers.
macro_rules! choices {
    (
        $(#[$doc:meta])*
        $name:ident { $($(#[$case_doc:meta])* $case:ident = $number:literal,)+ }
        else $other:ident
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$case_doc])* $case = $number,)+
        }

        impl $name {
            /// From the number in the table.
            fn of(number: i64) -> $name {
                match number {
                    $($number => $name::$case,)+
                    _ => $name::$other,
                }
            }
        }
    };
}

choices! {
    /// `appendfsync`.
    AppendSync {
        /// When the kernel likes.
        Never = 0,
        /// Once a second.
        EverySecond = 1,
        /// Before replies go out.
        Always = 2,
    } else EverySecond
}

choices! {
    /// `maxmemory-policy`.
    EvictionPolicy {
        /// Least recently used, of keys with a time to live.
        VolatileLru = 0,
        /// Least frequently used, of keys with a time to live.
        VolatileLfu = 1,
        /// Any key with a time to live.
        VolatileRandom = 2,
        /// The key that expires next.
        VolatileTtl = 3,
        /// Least recently used key.
        AllkeysLru = 4,
        /// Least frequently used key.
        AllkeysLfu = 5,
        /// Any key.
        AllkeysRandom = 6,
        /// None: writes are refused.
        NoEviction = 7,
    } else NoEviction
}

impl EvictionPolicy {
    /// Whether access is counted by frequency instead of by time.
    pub fn uses_lfu(self) -> bool {
        matches!(self, EvictionPolicy::VolatileLfu | EvictionPolicy::AllkeysLfu)
    }

    /// Whether keys without a time to live may go too.
    pub fn takes_all_keys(self) -> bool {
        use EvictionPolicy::{AllkeysLfu, AllkeysLru, AllkeysRandom};
        matches!(self, AllkeysLfu | AllkeysLru | AllkeysRandom)
    }
}

choices! {
    /// `loglevel`.
    LogLevel {
        /// Everything.
        Debug = 0,
        /// Much.
        Verbose = 1,
        /// What matters in production.
        Notice = 2,
        /// Only what needs attention.
        Warning = 3,
        /// Nothing.
        Nothing = 4,
    } else Notice
}

choices! {
    /// `log-format`.
    LogFormat {
        /// The peers' line.
        Legacy = 0,
        /// `key=value` pairs.
        Logfmt = 1,
        /// One JSON object a line.
        Json = 2,
    } else Legacy
}

choices! {
    /// `log-timestamp-format`.
    TimestampFormat {
        /// The peers' form.
        Legacy = 0,
        /// ISO 8601.
        Iso8601 = 1,
        /// Milliseconds since 1970.
        Milliseconds = 2,
    } else Legacy
}

choices! {
    /// `supervised`: who started the process and waits for it to be ready.
    Supervised {
        /// Nobody.
        No = 0,
        /// Upstart, by a stop signal.
        Upstart = 1,
        /// systemd, by messages to a socket.
        Systemd = 2,
        /// Whichever the environment shows.
        Auto = 3,
    } else No
}

choices! {
    /// Who may use something dangerous.
    Guard {
        /// Nobody.
        No = 0,
        /// Everybody.
        Yes = 1,
        /// Clients on this host.
        Local = 2,
    } else No
}

impl Guard {
    /// Whether a client may.
    pub fn allows(self, local_client: bool) -> bool {
        self == Guard::Yes || (self == Guard::Local && local_client)
    }
}

/// `shutdown-on-sigint`, `shutdown-on-sigterm`: bits of what SHUTDOWN's options say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShutdownFlags(i64);

impl ShutdownFlags {
    /// Save although there are no save points.
    pub fn save(self) -> bool {
        self.0 & 1 != 0
    }

    /// Do not save although there are save points.
    pub fn no_save(self) -> bool {
        self.0 & 2 != 0
    }

    /// Do not wait for replicas that lag.
    pub fn now(self) -> bool {
        self.0 & 4 != 0
    }

    /// Exit although saving fails.
    pub fn force(self) -> bool {
        self.0 & 8 != 0
    }
}

/// Up to which size values keep their compact form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodingLimits {
    /// `hash-max-listpack-entries`
    pub hash_entries: u64,
    /// `hash-max-listpack-value`, bytes.
    pub hash_value_bytes: u64,
    /// `list-max-listpack-size`: entries, or -1 to -5 for 4 to 64 KB.
    pub list_size: i64,
    /// `list-compress-depth`, nodes.
    pub list_compress_depth: u64,
    /// `set-max-intset-entries`
    pub intset_entries: u64,
    /// `set-max-listpack-entries`
    pub set_entries: u64,
    /// `set-max-listpack-value`, bytes.
    pub set_value_bytes: u64,
    /// `zset-max-listpack-entries`
    pub zset_entries: u64,
    /// `zset-max-listpack-value`, bytes.
    pub zset_value_bytes: u64,
    /// `hll-sparse-max-bytes`
    pub hll_sparse_bytes: u64,
    /// `stream-node-max-bytes`; 0 for no limit.
    pub stream_node_bytes: u64,
    /// `stream-node-max-entries`; 0 for no limit.
    pub stream_node_entries: u64,
}

/// What is freed in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LazyFree {
    /// `lazyfree-lazy-eviction`
    pub eviction: bool,
    /// `lazyfree-lazy-expire`
    pub expire: bool,
    /// `lazyfree-lazy-server-del`
    pub server_del: bool,
    /// `lazyfree-lazy-user-del`
    pub user_del: bool,
    /// `lazyfree-lazy-user-flush`
    pub user_flush: bool,
}

/// One of the three logs of remarkable commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandLog {
    /// Value from which a command is logged; `None` for never. Microseconds for the slow log, bytes
    /// for the others.
    pub threshold: Option<u64>,
    /// Entries kept.
    pub entries_max: u64,
}

/// All directives that the server reads while it runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// `port`; 0 for none.
    pub port: u16,
    /// `bind`, as written, `-` prefixes included.
    pub bind: Vec<String>,
    /// `unixsocket`
    pub unixsocket: Option<PathBuf>,
    /// `unixsocketperm`; 0 leaves the permissions.
    pub unixsocket_mode: u32,
    /// `timeout`, seconds; 0 for never.
    pub timeout_s: u64,
    /// `tcp-keepalive`, seconds; 0 for never.
    pub tcp_keepalive_s: u64,
    /// `tcp-backlog`
    pub tcp_backlog: u32,
    /// `maxclients`
    pub maxclients: u32,
    /// `max-new-connections-per-cycle`
    pub accepts_per_turn: usize,
    /// `tls-*`
    pub tls: TlsSettings,
    /// `requirepass`; empty for none.
    pub requirepass: Vec<u8>,
    /// `aclfile`
    pub aclfile: Option<PathBuf>,
    /// `acl-pubsub-default`: new users may use all channels.
    pub acl_all_channels: bool,
    /// `acllog-max-len`
    pub acl_log_max: usize,
    /// `protected-mode`
    pub protected_mode: bool,
    /// `databases`
    pub databases: u32,
    /// `io-threads`
    pub io_threads: usize,
    /// `always-show-logo`
    pub always_show_logo: bool,
    /// `proto-max-bulk-len`, bytes.
    pub proto_max_bulk_len: u64,
    /// `client-query-buffer-limit`, bytes.
    pub query_buffer_limit: u64,
    /// `client-output-buffer-limit` of normal clients, replicas and subscribers, by the `CLASS_`
    /// constants.
    pub output_limits: [OutputLimit; 3],
    /// `maxmemory`, bytes; 0 for no limit.
    pub maxmemory: u64,
    /// `maxmemory-clients`
    pub maxmemory_clients: Share,
    /// `maxmemory-policy`
    pub maxmemory_policy: EvictionPolicy,
    /// `compat`
    pub compat: Compat,
    /// `maxmemory-samples`
    pub maxmemory_samples: u32,
    /// `maxmemory-eviction-tenacity`, 0 to 100.
    pub eviction_tenacity: u32,
    /// `lfu-log-factor`
    pub lfu_log_factor: u32,
    /// `lfu-decay-time`, minutes.
    pub lfu_decay_minutes: u32,
    /// `active-expire-effort`, 1 to 10.
    pub active_expire_effort: u32,
    /// `hz`, 1 to 500.
    pub hz: u32,
    /// `lazyfree-*`
    pub lazyfree: LazyFree,
    /// `*-max-listpack-*` and their kin.
    pub encodings: EncodingLimits,
    /// `slowlog-*`
    pub slowlog: CommandLog,
    /// `commandlog-*request*`
    pub large_requests: CommandLog,
    /// `commandlog-*reply*`
    pub large_replies: CommandLog,
    /// `latency-monitor-threshold`, ms; 0 for never.
    pub latency_monitor_threshold_ms: u64,
    /// `latency-tracking`
    pub latency_tracking: bool,
    /// `latency-tracking-info-percentiles`
    pub latency_percentiles: Vec<f64>,
    /// `busy-reply-threshold`, ms; 0 for never.
    pub busy_reply_threshold_ms: u64,
    /// `script-memory-limit`, bytes; 0 for no limit.
    pub script_memory_limit: u64,
    /// `script-instruction-limit`; 0 for no limit.
    pub script_instruction_limit: u64,
    /// `loglevel`
    pub log_level: LogLevel,
    /// `logfile`; `None` for the standard output.
    pub logfile: Option<PathBuf>,
    /// `log-format`
    pub log_format: LogFormat,
    /// `log-timestamp-format`
    pub log_timestamp_format: TimestampFormat,
    /// `syslog-enabled`
    pub syslog_enabled: bool,
    /// `syslog-ident`
    pub syslog_ident: String,
    /// `syslog-facility`, as the number that syslog takes.
    pub syslog_facility: i32,
    /// `daemonize`
    pub daemonize: bool,
    /// `supervised`
    pub supervised: Supervised,
    /// `crash-log-enabled`
    pub crash_log: bool,
    /// `jemalloc-bg-thread`
    pub allocator_thread: bool,
    /// `huge-pages`
    pub huge_pages: bool,
    /// `pidfile`
    pub pidfile: Option<PathBuf>,
    /// `dir`
    pub dir: PathBuf,
    /// `dbfilename`
    pub dbfilename: PathBuf,
    /// `enable-module-command`
    pub module_command: Guard,
    /// `enable-debug-command`
    pub debug_command: Guard,
    /// `shutdown-timeout`, seconds.
    pub shutdown_timeout_s: u64,
    /// `shutdown-on-sigint`
    pub shutdown_on_sigint: ShutdownFlags,
    /// `shutdown-on-sigterm`
    pub shutdown_on_sigterm: ShutdownFlags,
    /// `save`
    pub save_points: Vec<SavePoint>,
    /// `rdbcompression`
    pub rdb_compression: bool,
    /// `rdbchecksum`
    pub rdb_checksum: bool,
    /// `rdb-version-check relaxed`
    pub rdb_relaxed: bool,
    /// `rdb-save-incremental-fsync`
    pub rdb_incremental_fsync: bool,
    /// `stop-writes-on-bgsave-error`
    pub stop_writes_on_save_error: bool,
    /// `save-format`; none: by `compat`.
    pub save_format: Option<Compat>,
    /// `backup-*`, `restore-url`
    pub backup: BackupSettings,
    /// `replica-*`, `masterauth`, `masteruser`
    pub replica: ReplicaSettings,
    /// `repl-timeout`, ms.
    pub repl_timeout_ms: i64,
    /// `repl-backlog-ttl`, ms; 0 for ever.
    pub backlog_ttl_ms: i64,
    /// `repl-disable-tcp-nodelay`, the other way round.
    pub repl_no_delay: bool,
    /// `repl-diskless-sync`
    pub diskless_sync: bool,
    /// `repl-diskless-sync-delay`, milliseconds.
    pub diskless_sync_delay_ms: i64,
    /// `repl-diskless-sync-max-replicas`; 0 for no such number.
    pub diskless_sync_max_replicas: usize,
    /// `min-replicas-to-write`; 0: writes need none
    pub min_replicas: u64,
    /// `repl-ping-replica-period`, in milliseconds.
    pub replica_ping_ms: i64,
    /// `min-replicas-max-lag`, in milliseconds.
    pub min_replicas_lag_ms: i64,
    /// `repl-backlog-size`
    pub backlog_bytes: u64,
    /// `appendonly`
    pub append_only: bool,
    /// `appendfsync`
    pub append_sync: AppendSync,
    /// `appenddirname`
    pub append_folder: PathBuf,
    /// `appendfilename`
    pub append_name: String,
    /// `aof-timestamp-enabled`
    pub aof_timestamps: bool,
    /// `key-load-delay`, microseconds; below 0: one after so many keys.
    pub key_load_delay: i64,
    /// `rdb-key-save-delay`, microseconds; below 0: one after so many keys.
    pub key_save_delay: i64,
    /// `aof-load-truncated`
    pub aof_load_truncated: bool,
    /// `auto-aof-rewrite-percentage`; 0: never
    pub aof_rewrite_percentage: u64,
    /// `auto-aof-rewrite-min-size`, bytes.
    pub aof_rewrite_min_bytes: u64,
    /// `tracking-table-max-keys`; 0: no limit
    pub tracking_table_max_keys: u64,
    /// `notify-keyspace-events`
    pub notify_events: EventClasses,
}

/// Least that `maxmemory-clients` comes to, so that a server can still be talked to. Peers: 128 KB.
const CLIENT_MEMORY_MIN: u64 = 128 << 10;

impl Settings {
    /// Bytes that all clients together may take (`maxmemory-clients`); none for no limit. A part of
    /// no `maxmemory` is no limit.
    pub fn client_memory_max(&self) -> Option<u64> {
        let bytes = match self.maxmemory_clients {
            Share::Bytes(bytes) => bytes,
            Share::Percent(percent) => {
                (u128::from(self.maxmemory) * u128::from(percent) / 100) as u64
            }
        };
        (bytes > 0).then_some(bytes.max(CLIENT_MEMORY_MIN))
    }

    /// Reads all fields out of the values in force.
    pub fn of(config: &Config) -> Settings {
        let view = View(config);
        Settings {
            port: view.number(const { id("port") }) as u16,
            bind: view.words(const { id("bind") }),
            unixsocket: view.path(const { id("unixsocket") }),
            unixsocket_mode: view.number(const { id("unixsocketperm") }) as u32,
            timeout_s: view.number(const { id("timeout") }),
            tcp_keepalive_s: view.number(const { id("tcp-keepalive") }),
            tcp_backlog: view.number(const { id("tcp-backlog") }) as u32,
            maxclients: view.number(const { id("maxclients") }) as u32,
            accepts_per_turn: view.number(const { id("max-new-connections-per-cycle") }) as usize,
            tls: view.tls(),
            requirepass: config.text(const { id("requirepass") }).to_vec(),
            aclfile: view.path(const { id("aclfile") }),
            acl_all_channels: config.int(const { id("acl-pubsub-default") }) == 1,
            acl_log_max: view.number(const { id("acllog-max-len") }) as usize,
            protected_mode: config.boolean(const { id("protected-mode") }),
            databases: view.number(const { id("databases") }) as u32,
            io_threads: view.number(const { id("io-threads") }) as usize,
            always_show_logo: config.boolean(const { id("always-show-logo") }),
            proto_max_bulk_len: config.bytes(const { id("proto-max-bulk-len") }),
            query_buffer_limit: config.bytes(const { id("client-query-buffer-limit") }),
            output_limits: view.output_limits(const { id("client-output-buffer-limit") }),
            maxmemory: config.bytes(const { id("maxmemory") }),
            maxmemory_clients: view.share(const { id("maxmemory-clients") }),
            maxmemory_policy: EvictionPolicy::of(config.int(const { id("maxmemory-policy") })),
            compat: Compat::of(config.int(const { id("compat") })),
            maxmemory_samples: view.number(const { id("maxmemory-samples") }) as u32,
            eviction_tenacity: view.number(const { id("maxmemory-eviction-tenacity") }) as u32,
            lfu_log_factor: view.number(const { id("lfu-log-factor") }) as u32,
            lfu_decay_minutes: view.number(const { id("lfu-decay-time") }) as u32,
            active_expire_effort: view.number(const { id("active-expire-effort") }) as u32,
            hz: view.number(const { id("hz") }) as u32,
            lazyfree: view.lazyfree(),
            encodings: view.encodings(),
            slowlog: view.command_log(
                const { id("slowlog-log-slower-than") },
                const { id("slowlog-max-len") },
            ),
            large_requests: view.command_log(
                const { id("commandlog-request-larger-than") },
                const { id("commandlog-large-request-max-len") },
            ),
            large_replies: view.command_log(
                const { id("commandlog-reply-larger-than") },
                const { id("commandlog-large-reply-max-len") },
            ),
            // A time that fits its nanoseconds is as good as none.
            latency_monitor_threshold_ms: view
                .number(const { id("latency-monitor-threshold") })
                .min(u64::MAX / 1_000_000),
            latency_tracking: config.boolean(const { id("latency-tracking") }),
            latency_percentiles: view
                .percentiles(const { id("latency-tracking-info-percentiles") }),
            busy_reply_threshold_ms: view.number(const { id("busy-reply-threshold") }),
            script_memory_limit: config.bytes(const { id("script-memory-limit") }),
            script_instruction_limit: view.number(const { id("script-instruction-limit") }),
            log_level: LogLevel::of(config.int(const { id("loglevel") })),
            logfile: view.path(const { id("logfile") }),
            log_format: LogFormat::of(config.int(const { id("log-format") })),
            log_timestamp_format: TimestampFormat::of(
                config.int(const { id("log-timestamp-format") }),
            ),
            syslog_enabled: config.boolean(const { id("syslog-enabled") }),
            syslog_ident: text_of(config.text(const { id("syslog-ident") })),
            syslog_facility: config.int(const { id("syslog-facility") }) as i32,
            daemonize: config.boolean(const { id("daemonize") }),
            supervised: Supervised::of(config.int(const { id("supervised") })),
            crash_log: config.boolean(const { id("crash-log-enabled") }),
            allocator_thread: config.boolean(const { id("jemalloc-bg-thread") }),
            huge_pages: config.boolean(const { id("huge-pages") }),
            pidfile: view.path(const { id("pidfile") }),
            dir: PathBuf::from(text_of(config.text(const { id("dir") }))),
            dbfilename: PathBuf::from(text_of(config.text(const { id("dbfilename") }))),
            module_command: Guard::of(config.int(const { id("enable-module-command") })),
            debug_command: Guard::of(config.int(const { id("enable-debug-command") })),
            shutdown_timeout_s: view.number(const { id("shutdown-timeout") }),
            shutdown_on_sigint: ShutdownFlags(config.int(const { id("shutdown-on-sigint") })),
            shutdown_on_sigterm: ShutdownFlags(config.int(const { id("shutdown-on-sigterm") })),
            save_points: config.save_points(const { id("save") }),
            rdb_compression: config.boolean(const { id("rdbcompression") }),
            rdb_checksum: config.boolean(const { id("rdbchecksum") }),
            rdb_relaxed: config.int(const { id("rdb-version-check") }) == 1,
            rdb_incremental_fsync: config.boolean(const { id("rdb-save-incremental-fsync") }),
            stop_writes_on_save_error: config.boolean(const { id("stop-writes-on-bgsave-error") }),
            save_format: backup::save_format(config),
            backup: BackupSettings::of(config),
            replica: view.replica(),
            repl_timeout_ms: config.int(const { id("repl-timeout") }) * 1000,
            backlog_ttl_ms: config.int(const { id("repl-backlog-ttl") }).saturating_mul(1000),
            repl_no_delay: !config.boolean(const { id("repl-disable-tcp-nodelay") }),
            diskless_sync: config.boolean(const { id("repl-diskless-sync") }),
            diskless_sync_delay_ms: config.int(const { id("repl-diskless-sync-delay") }) * 1000,
            diskless_sync_max_replicas: view.number(const { id("repl-diskless-sync-max-replicas") })
                as usize,
            min_replicas: view.number(const { id("min-replicas-to-write") }),
            replica_ping_ms: config.int(const { id("repl-ping-replica-period") }) * 1000,
            min_replicas_lag_ms: config.int(const { id("min-replicas-max-lag") }) * 1000,
            backlog_bytes: config.bytes(const { id("repl-backlog-size") }),
            append_only: config.boolean(const { id("appendonly") }),
            append_sync: AppendSync::of(config.int(const { id("appendfsync") })),
            append_folder: PathBuf::from(text_of(config.text(const { id("appenddirname") }))),
            append_name: text_of(config.text(const { id("appendfilename") })),
            aof_timestamps: config.boolean(const { id("aof-timestamp-enabled") }),
            key_load_delay: config.int(const { id("key-load-delay") }),
            key_save_delay: config.int(const { id("rdb-key-save-delay") }),
            aof_load_truncated: config.boolean(const { id("aof-load-truncated") }),
            aof_rewrite_percentage: view.number(const { id("auto-aof-rewrite-percentage") }),
            aof_rewrite_min_bytes: config.bytes(const { id("auto-aof-rewrite-min-size") }),
            tracking_table_max_keys: view.number(const { id("tracking-table-max-keys") }),
            notify_events: view.events(const { id("notify-keyspace-events") }),
        }
    }
}

/// Typed reading of values; a value of another type is a mistake in this file, which any test that
/// makes a snapshot shows.
struct View<'a>(&'a Config);

impl View<'_> {
    /// An integer whose range has no negative numbers.
    fn number(&self, id: Id) -> u64 {
        self.0.int(id).unsigned_abs()
    }

    fn words(&self, id: Id) -> Vec<String> {
        match self.0.value(id) {
            Value::List(items) => items.iter().map(|item| text_of(item)).collect(),
            other => mismatch(id, other),
        }
    }

    fn path(&self, id: Id) -> Option<PathBuf> {
        let text = self.0.text(id);
        (!text.is_empty()).then(|| PathBuf::from(text_of(text)))
    }

    fn share(&self, id: Id) -> Share {
        match self.0.value(id) {
            Value::Share(share) => *share,
            other => mismatch(id, other),
        }
    }

    fn output_limits(&self, id: Id) -> [OutputLimit; 3] {
        match self.0.value(id) {
            Value::OutputLimits(limits) => *limits,
            other => mismatch(id, other),
        }
    }

    fn percentiles(&self, id: Id) -> Vec<f64> {
        match self.0.value(id) {
            Value::Percentiles(values) => values.clone(),
            other => mismatch(id, other),
        }
    }

    fn events(&self, id: Id) -> EventClasses {
        match self.0.value(id) {
            Value::Events(classes) => *classes,
            other => mismatch(id, other),
        }
    }

    fn command_log(&self, threshold: Id, length: Id) -> CommandLog {
        let threshold = u64::try_from(self.0.int(threshold)).ok();
        CommandLog { threshold, entries_max: self.number(length) }
    }

    fn lazyfree(&self) -> LazyFree {
        LazyFree {
            eviction: self.0.boolean(const { id("lazyfree-lazy-eviction") }),
            expire: self.0.boolean(const { id("lazyfree-lazy-expire") }),
            server_del: self.0.boolean(const { id("lazyfree-lazy-server-del") }),
            user_del: self.0.boolean(const { id("lazyfree-lazy-user-del") }),
            user_flush: self.0.boolean(const { id("lazyfree-lazy-user-flush") }),
        }
    }

    fn encodings(&self) -> EncodingLimits {
        EncodingLimits {
            hash_entries: self.number(const { id("hash-max-listpack-entries") }),
            hash_value_bytes: self.0.bytes(const { id("hash-max-listpack-value") }),
            list_size: self.0.int(const { id("list-max-listpack-size") }),
            list_compress_depth: self.number(const { id("list-compress-depth") }),
            intset_entries: self.number(const { id("set-max-intset-entries") }),
            set_entries: self.number(const { id("set-max-listpack-entries") }),
            set_value_bytes: self.number(const { id("set-max-listpack-value") }),
            zset_entries: self.number(const { id("zset-max-listpack-entries") }),
            zset_value_bytes: self.0.bytes(const { id("zset-max-listpack-value") }),
            hll_sparse_bytes: self.0.bytes(const { id("hll-sparse-max-bytes") }),
            stream_node_bytes: self.0.bytes(const { id("stream-node-max-bytes") }),
            stream_node_entries: self.number(const { id("stream-node-max-entries") }),
        }
    }
}

/// Text that must be readable: bytes that are not UTF-8 are replaced.
fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::get_set::SetContext;
    use crate::store::Surroundings;

    #[test]
    fn defaults_are_those_of_the_peer() {
        let surroundings = Surroundings { cores: 20, folder: PathBuf::from("/srv") };
        let settings = Settings::of(&Config::new(&surroundings));
        assert_eq!(settings.port, 6379);
        assert_eq!(settings.bind, ["*", "-::*"]);
        assert_eq!(settings.io_threads, 8);
        assert_eq!(settings.dir, PathBuf::from("/srv"));
        assert_eq!(settings.maxmemory_policy, EvictionPolicy::NoEviction);
        assert_eq!(settings.slowlog, CommandLog { threshold: Some(10_000), entries_max: 128 });
        assert_eq!(settings.output_limits[crate::special::CLASS_REPLICA].hard_bytes, 256 << 20);
        assert_eq!(settings.encodings.list_size, -2);
        assert_eq!(settings.unixsocket, None);
    }

    #[test]
    fn changes_reach_the_next_snapshot() {
        let surroundings = Surroundings { cores: 2, folder: PathBuf::from("/") };
        let mut config = Config::new(&surroundings);
        let words = [
            "slowlog-log-slower-than",
            "-1",
            "maxmemory",
            "1gb",
            "maxmemory-policy",
            "allkeys-lfu",
            "shutdown-on-sigint",
            "save now",
            "maxmemory-clients",
            "5%",
        ];
        config.set(&words, SetContext { local_client: true, loading: false }).unwrap();
        let settings = Settings::of(&config);
        assert_eq!(settings.slowlog.threshold, None);
        assert_eq!(settings.maxmemory, 1 << 30);
        assert!(settings.maxmemory_policy.uses_lfu() && settings.maxmemory_policy.takes_all_keys());
        assert!(settings.shutdown_on_sigint.save() && settings.shutdown_on_sigint.now());
        assert!(!settings.shutdown_on_sigint.no_save() && !settings.shutdown_on_sigint.force());
        assert_eq!(settings.maxmemory_clients, Share::Percent(5));
        assert_eq!(settings.client_memory_max(), Some((1 << 30) / 20));
    }
}
