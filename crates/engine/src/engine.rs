//! What all loops share: shards, log, command table, clients, mailboxes, configuration, statistics.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ochre_config::{Config, Id, Settings};
use ochre_keyspace::lock::Shards;
use ochre_keyspace::log::Log;
use ochre_keyspace::notify::Interest;
use ochre_observe::latency::LatencyMonitor;
use ochre_observe::slowlog::CommandLog;
use ochre_observe::stats::LoopStats;
use ochre_pubsub::Channels;

use crate::clients::Clients;
use crate::commands::hotkeys::HotKeys;
use crate::commands::migrate::Round;
use crate::commands::migrate::hold::Migrations;
use crate::failover::Failover;
use crate::following::Following;
use crate::live::Live;
use crate::loading::Loading;
use crate::mailbox::{Mailbox, Message};
use crate::registry::{Registry, SessionRow};
use crate::replicas::Replicas;
use crate::saves::Saves;
use crate::shutdown::Shutdown;
use crate::tracking;
use crate::transfer::SyncRequest;

/// Which commands CLIENT PAUSE holds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// None.
    Off,
    /// Commands that may write.
    Write,
    /// All.
    All,
}

/// Bits of `pause_kind`: writes are held back by a failover, and before the end. The lower two are CLIENT PAUSE's.
const HELD_BY_FAILOVER: u32 = 4;
const HELD_AT_END: u32 = 8;
const HELD_WRITES: u32 = HELD_BY_FAILOVER | HELD_AT_END;

/// The three command logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogKind {
    /// By the time a command took.
    Slow = 0,
    /// By the bytes of its arguments.
    LargeRequest = 1,
    /// By the bytes of its reply.
    LargeReply = 2,
}

/// What the process does for the engine: upward calls, implemented by `server`.
pub trait Host: Send + Sync {
    /// A reading of the monotonic clock in nanoseconds, cheap enough for every command.
    fn ticks_ns(&self) -> u64;

    /// Brings changed directives into effect: ports, addresses, the log. On failure nothing is
    /// changed, and the first directive that cannot be applied is named with the reason.
    fn apply(&self, settings: &Settings, changed: &[Id]) -> Result<(), (Id, String)>;

    /// Replaces a file by what `rewrite` makes of it, durably: temporary file, fsync, rename.
    fn rewrite_file(&self, path: &Path, rewrite: &dyn Fn(&[u8]) -> Vec<u8>) -> io::Result<()>;

    /// The content of a file.
    fn read_file(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// What INFO says of the process.
    fn facts(&self) -> Facts;

    /// Takes a snapshot into the configured file, on the calling thread. The right to do so was claimed
    /// ([`Saves::begin`]), and is given back.
    fn save(&self, engine: &'static Engine) -> Result<(), String>;

    /// The same on a thread of its own. What is there now is what is saved, unless the calling thread
    /// holds locks (`holds_locks`): then it is what is there when it has let them go.
    fn save_in_background(&self, engine: &'static Engine, holds_locks: bool) -> io::Result<()>;

    /// Before the end of the process: takes a snapshot if `how` or the configuration wants one; false
    /// when it could not be taken.
    fn save_before_end(&self, engine: &'static Engine, how: LastSave) -> bool;

    /// Loads the configured snapshot on top of what there is: DEBUG RELOAD.
    fn reload(&self, engine: &'static Engine) -> Result<(), String>;

    /// Has a snapshot taken for a replica, on a thread of its own and as soon as the configuration says, and
    /// posts it to the client's loop.
    fn send_snapshot(&self, engine: &'static Engine, request: SyncRequest) -> io::Result<()>;

    /// Brings what the log has got into the append-only file, as far as `appendfsync` asks for it
    /// before a reply goes out. No lock is held.
    fn write_log(&self, engine: &Engine, settings: &Settings, now_s: i64);

    /// Rewrites the append-only file, on a thread of its own. The right to do so was claimed
    /// ([`Saves::begin_rewrite`]).
    fn rewrite_aof(&self, engine: &'static Engine) -> io::Result<()>;

    /// Reads the append-only file again: DEBUG LOADAOF.
    fn reload_aof(&self, engine: &'static Engine) -> Result<(), String>;

    /// Whether the append-only file is written, its bytes, and those after the last rewrite.
    fn aof_facts(&self) -> (bool, u64, u64);

    /// The log's offset up to which the append-only file is on disk; none when it is off.
    fn aof_synced(&self) -> Option<u64>;

    /// Sends the keys of a round to its target, on a thread of the process, and posts what came of it
    /// to the round's loop ([`Message::Migrated`]).
    fn migrate(&self, engine: &'static Engine, round: Box<Round>);

    /// Connections to targets of MIGRATE that are kept open.
    fn migrate_connections(&self) -> usize;

    /// Gives unused memory back to the system: MEMORY PURGE.
    fn purge_memory(&self);

    /// The allocator's report: MEMORY MALLOC-STATS.
    fn allocator_report(&self) -> String;

    /// Holds the calling thread back: DEBUG SLEEP.
    fn sleep(&self, seconds: f64);

    /// Writes a line to the log.
    fn log(&self, text: &str);

    /// Ends the process at once, since it must not go on: the reason goes to the log.
    fn fail(&self, why: &str);
}

/// Whether the end of the process takes a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastSave {
    /// When there are save points.
    AsConfigured,
    /// In any case.
    Always,
    /// In no case.
    Never,
}

/// What the process knows of itself.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Process id.
    pub pid: u32,
    /// Forty hexadecimal digits, new with each start.
    pub run_id: String,
    /// Operating system and release.
    pub os: String,
    /// Path of the executable.
    pub executable: String,
    /// Start of the process in Unix seconds.
    pub started_s: i64,
    /// TCP port.
    pub port: u16,
    /// Addresses listened to, as `name=tcp,bind=127.0.0.1,port=6379`.
    pub listeners: Vec<String>,
    /// How the process is supervised.
    pub supervised: String,
    /// Memory of the machine in bytes.
    pub system_memory: usize,
    /// Resident memory in bytes.
    pub resident: usize,
    /// Bytes that the allocator handed out, holds in active pages, and has resident.
    pub allocated: usize,
    /// See `allocated`.
    pub active: usize,
    /// See `allocated`.
    pub allocator_resident: usize,
    /// Used memory after the start.
    pub startup_memory: usize,
    /// Processor time of the process in the kernel and in user mode, in seconds.
    pub cpu: (f64, f64),
}

/// What happened in the last second or so, a second.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rates {
    /// Commands.
    pub commands: u64,
    /// Bytes read.
    pub net_in: u64,
    /// Bytes written.
    pub net_out: u64,
    /// Turns of the loops.
    pub cycles: u64,
}

/// The totals at an earlier time, and the rates since the time before.
#[derive(Debug, Default)]
struct Meter {
    at_us: u64,
    totals: Rates,
    rates: Rates,
}

/// See the module's head.
pub struct Engine {
    /// The data.
    pub shards: Shards,
    /// The log.
    pub log: Log,
    /// The command table.
    pub registry: Registry,
    /// All clients.
    pub clients: Clients,
    /// One for each loop.
    pub mailboxes: Vec<Mailbox>,
    /// One for each loop: taken by the loop once a batch, and by INFO and its kin.
    stats: Vec<Mutex<LoopStats>>,
    /// The configuration's values, for CONFIG.
    pub config: Mutex<Config>,
    /// The command logs, by [`LogKind`].
    pub(crate) logs: [Mutex<CommandLog>; 3],
    /// The latency monitor.
    pub(crate) latency: Mutex<LatencyMonitor>,
    meter: Mutex<Meter>,
    live: Mutex<Arc<Live>>,
    live_version: AtomicU64,
    pause_kind: AtomicU32,
    /// End of the pause in Unix milliseconds.
    pause_until_ms: AtomicI64,
    /// Users and what they may do.
    pub acl: crate::acl::Acl,
    /// Scripts and functions.
    pub scripts: crate::script::ScriptEngine,
    /// Clients in MONITOR mode.
    pub monitors: AtomicU32,
    /// Clients blocked in a command.
    pub blocked: AtomicU32,
    /// The process is shutting down: no new commands.
    pub stopping: AtomicBool,
    /// DEBUG SET-ACTIVE-EXPIRE.
    pub active_expire: AtomicBool,
    /// DEBUG SET-DISABLE-DENY-SCRIPTS: scripts may run every command.
    pub(crate) scripts_run_all: AtomicBool,
    /// DEBUG PAUSE-CRON: what is done about once a second is not done.
    pub cron_paused: AtomicBool,
    /// RESTORE takes payloads with wrong checksums: a switch of DEBUG.
    pub skips_checksums: AtomicBool,
    /// Who listens to what.
    pub channels: Channels,
    /// Clients that listen to anything.
    pub pubsub_clients: AtomicU32,
    /// Snapshots.
    pub saves: Saves,
    /// Whether data is being loaded.
    pub loading: Loading,
    /// Replicas.
    pub replicas: Replicas,
    /// Whether this server is one itself.
    pub following: Following,
    /// FAILOVER.
    pub failover: Failover,
    /// SHUTDOWN, and signals of its kind.
    pub shutdown: Shutdown,
    /// HOTKEYS.
    pub hotkeys: HotKeys,
    /// Keys that MIGRATE is moving.
    pub migrations: Migrations,
    /// Client-side caching.
    pub tracking: tracking::Shared,
    /// What listeners of the keyspace want: notify-keyspace-events, and whether clients cache by
    /// prefix.
    pub(crate) interest: AtomicU32,
    /// The process.
    pub host: &'static dyn Host,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("loops", &self.mailboxes.len()).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine for as many loops as there are mailboxes. `tables` are session commands of other
    /// crates.
    pub fn new(
        mailboxes: Vec<Mailbox>,
        live: Live,
        config: Config,
        backlog_bytes: usize,
        tables: &[&[SessionRow]],
        host: &'static dyn Host,
    ) -> Self {
        let session: Vec<&[SessionRow]> =
            crate::commands::TABLES.iter().chain(tables).copied().collect();
        let mut registry = Registry::new(ochre_families::TABLES, &session);
        for (old, new) in config.renames() {
            // Whoever read the configuration has checked them; a wrong one leaves its command as it is.
            let _ = registry.rename(old, new);
        }
        let loops = mailboxes.len();
        let interest = AtomicU32::new(live.settings.notify_events.0);
        Self {
            acl: crate::acl::Acl::new(&registry, &live.settings),
            shards: Shards::for_loops(loops),
            log: Log::new(backlog_bytes),
            clients: Clients::default(),
            stats: (0..loops).map(|_| Mutex::new(LoopStats::new(registry.rows().len()))).collect(),
            registry,
            scripts: crate::script::ScriptEngine::new(loops),
            mailboxes,
            config: Mutex::new(config),
            logs: Default::default(),
            latency: Mutex::default(),
            meter: Mutex::default(),
            live: Mutex::new(Arc::new(live)),
            live_version: AtomicU64::new(1),
            pause_kind: AtomicU32::new(0),
            pause_until_ms: AtomicI64::new(0),
            monitors: AtomicU32::new(0),
            blocked: AtomicU32::new(0),
            stopping: AtomicBool::new(false),
            active_expire: AtomicBool::new(true),
            scripts_run_all: AtomicBool::new(false),
            cron_paused: AtomicBool::new(false),
            skips_checksums: AtomicBool::new(false),
            channels: Channels::default(),
            pubsub_clients: AtomicU32::new(0),
            saves: Saves::default(),
            loading: Loading::default(),
            replicas: Replicas::new(host.facts().run_id),
            following: Following::new(loops),
            failover: Failover::default(),
            shutdown: Shutdown::default(),
            hotkeys: HotKeys::new(loops),
            migrations: Migrations::default(),
            tracking: tracking::Shared::default(),
            interest,
            host,
        }
    }

    /// The configuration and its version.
    pub fn live(&self) -> (Arc<Live>, u64) {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&live), self.live_version.load(Ordering::Acquire))
    }

    /// The configuration's version: a cheap look for each turn.
    #[inline]
    pub fn live_version(&self) -> u64 {
        self.live_version.load(Ordering::Acquire)
    }

    /// Replaces the configuration; loops see it with their next turn.
    pub fn set_live(&self, new: Live) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        self.log.set_limit(usize::try_from(new.settings.backlog_bytes).unwrap_or(usize::MAX));
        let events = new.settings.notify_events.0;
        let prefixes = self.interest.load(Ordering::Relaxed) & Interest::PREFIXES;
        self.interest.store(events | prefixes, Ordering::Relaxed);
        let password = (live.settings.requirepass != new.settings.requirepass)
            .then(|| new.settings.requirepass.clone());
        let new = Arc::new(new);
        *live = Arc::clone(&new);
        self.live_version.fetch_add(1, Ordering::Release);
        drop(live);
        if let Some(password) = password {
            let context = crate::acl::context(&self.registry, &new.settings);
            self.acl.set_default_password(&password, context);
        }
    }

    /// Turns the log off. The caller holds all shard locks. What is written from now on is not logged, so
    /// that offsets of before mean nothing any more.
    pub fn stop_log(&self) {
        if self.log.is_on() {
            self.log.turn_off();
            self.replicas.forget_history();
        }
    }

    /// One loop's statistics.
    pub fn stats(&self, event_loop: u16) -> MutexGuard<'_, LoopStats> {
        self.stats[usize::from(event_loop)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The sum of all loops' statistics.
    pub fn all_stats(&self) -> LoopStats {
        let mut sum = LoopStats::new(self.registry.rows().len());
        for stats in &self.stats {
            sum.merge(&stats.lock().unwrap_or_else(PoisonError::into_inner));
        }
        sum
    }

    /// The rates as of the last [`Engine::measure`].
    pub fn rates(&self) -> Rates {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner).rates
    }

    /// Takes the rates anew; one loop calls it about once a second.
    pub fn measure(&self, now_us: u64) {
        let mut totals = Rates::default();
        for stats in &self.stats {
            let stats = stats.lock().unwrap_or_else(PoisonError::into_inner);
            totals.commands += stats.total_commands;
            totals.net_in += stats.net_in;
            totals.net_out += stats.net_out;
            totals.cycles += stats.cycles;
        }
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        let us = now_us.saturating_sub(meter.at_us).max(1);
        let rate =
            |now: u64, before: u64| now.saturating_sub(before).saturating_mul(1_000_000) / us;
        meter.rates = Rates {
            commands: rate(totals.commands, meter.totals.commands),
            net_in: rate(totals.net_in, meter.totals.net_in),
            net_out: rate(totals.net_out, meter.totals.net_out),
            cycles: rate(totals.cycles, meter.totals.cycles),
        };
        meter.totals = totals;
        meter.at_us = now_us;
    }

    /// Sets all statistics back to zero.
    pub fn reset_stats(&self) {
        for stats in &self.stats {
            stats.lock().unwrap_or_else(PoisonError::into_inner).reset();
        }
    }

    /// Which commands are held back at `now_ms`.
    #[inline]
    pub fn pause(&self, now_ms: i64) -> Pause {
        let kind = self.pause_kind.load(Ordering::Acquire);
        if kind == 0 {
            return Pause::Off;
        }
        let held = kind & HELD_WRITES != 0;
        if self.pause_until_ms.load(Ordering::Relaxed) <= now_ms || kind & !HELD_WRITES == 0 {
            return if held { Pause::Write } else { Pause::Off };
        }
        if kind & 2 != 0 { Pause::All } else { Pause::Write }
    }

    /// Holds writes back until they are let go again, whatever CLIENT PAUSE and UNPAUSE say: for FAILOVER.
    pub(crate) fn hold_writes(&self, on: bool) {
        self.hold(HELD_BY_FAILOVER, on);
    }

    /// The same, while the end waits for replicas.
    pub(crate) fn hold_writes_at_end(&self, on: bool) {
        self.hold(HELD_AT_END, on);
    }

    fn hold(&self, bit: u32, on: bool) {
        match on {
            true => self.pause_kind.fetch_or(bit, Ordering::AcqRel),
            false => self.pause_kind.fetch_and(!bit, Ordering::AcqRel),
        };
    }

    /// End of the pause in Unix milliseconds.
    pub fn pause_until_ms(&self) -> i64 {
        self.pause_until_ms.load(Ordering::Relaxed)
    }

    /// How long a loop with clients that a pause holds back may sleep, in milliseconds.
    pub fn pause_look_ms(&self, now_ms: i64) -> u64 {
        const MOST: i64 = 100;
        let held = self.pause_kind.load(Ordering::Acquire) & HELD_WRITES != 0;
        if held || self.migrations.hold_any() {
            return MOST as u64;
        }
        (self.pause_until_ms() - now_ms).clamp(0, MOST) as u64
    }

    /// Begins, changes or ends the pause.
    pub fn set_pause(&self, pause: Pause, until_ms: i64) {
        self.pause_until_ms.store(until_ms, Ordering::Relaxed);
        let kind = match pause {
            Pause::Off => 0,
            Pause::Write => 1,
            Pause::All => 2,
        };
        let held = self.pause_kind.load(Ordering::Acquire) & HELD_WRITES;
        self.pause_kind.store(kind | held, Ordering::Release);
    }

    /// Leaves a message for every loop.
    pub fn tell_all(&self, message: impl Fn() -> Message) {
        for mailbox in &self.mailboxes {
            mailbox.send(message());
        }
    }

    /// Leaves a message for the loop that owns a client.
    pub fn tell(&self, event_loop: u16, message: Message) {
        if let Some(mailbox) = self.mailboxes.get(usize::from(event_loop)) {
            mailbox.send(message);
        }
    }
}
