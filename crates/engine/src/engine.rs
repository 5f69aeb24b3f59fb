//! What all loops share: shards, log, command table, clients, mailboxes, configuration, statistics.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ochre_config::Config;
use ochre_keyspace::lock::Shards;
use ochre_keyspace::log::Log;
use ochre_observe::slowlog::CommandLog;
use ochre_observe::stats::LoopStats;

use crate::clients::Clients;
use crate::live::Live;
use crate::mailbox::{Mailbox, Message};
use crate::registry::{Registry, SessionRow};

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
    live: Mutex<Arc<Live>>,
    live_version: AtomicU64,
    pause_kind: AtomicU32,
    /// End of the pause in Unix milliseconds.
    pause_until_ms: AtomicI64,
    /// Clients in MONITOR mode.
    pub monitors: AtomicU32,
    /// Clients blocked in a command.
    pub blocked: AtomicU32,
    /// The process is shutting down: no new commands.
    pub stopping: AtomicBool,
    /// DEBUG SET-ACTIVE-EXPIRE.
    pub active_expire: AtomicBool,
    /// The process.
    pub host: Box<dyn Host>,
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
        host: Box<dyn Host>,
    ) -> Self {
        let session: Vec<&[SessionRow]> =
            crate::commands::TABLES.iter().chain(tables).copied().collect();
        let registry = Registry::new(ochre_families::TABLES, &session);
        let loops = mailboxes.len();
        Self {
            shards: Shards::for_loops(loops),
            log: Log::new(backlog_bytes),
            clients: Clients::default(),
            stats: (0..loops).map(|_| Mutex::new(LoopStats::new(registry.rows().len()))).collect(),
            registry,
            mailboxes,
            config: Mutex::new(config),
            logs: Default::default(),
            live: Mutex::new(Arc::new(live)),
            live_version: AtomicU64::new(1),
            pause_kind: AtomicU32::new(0),
            pause_until_ms: AtomicI64::new(0),
            monitors: AtomicU32::new(0),
            blocked: AtomicU32::new(0),
            stopping: AtomicBool::new(false),
            active_expire: AtomicBool::new(true),
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
        *live = Arc::new(new);
        self.live_version.fetch_add(1, Ordering::Release);
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
        if kind == 0 || self.pause_until_ms.load(Ordering::Relaxed) <= now_ms {
            return Pause::Off;
        }
        if kind == 1 { Pause::Write } else { Pause::All }
    }

    /// End of the pause in Unix milliseconds.
    pub fn pause_until_ms(&self) -> i64 {
        self.pause_until_ms.load(Ordering::Relaxed)
    }

    /// Begins, changes or ends the pause.
    pub fn set_pause(&self, pause: Pause, until_ms: i64) {
        self.pause_until_ms.store(until_ms, Ordering::Relaxed);
        let kind = match pause {
            Pause::Off => 0,
            Pause::Write => 1,
            Pause::All => 2,
        };
        self.pause_kind.store(kind, Ordering::Release);
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
