//! What a command that runs in the engine is given: the shared engine, its loop's own state, the session
//! and the output.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ochre_base::clock::Now;
use ochre_command::data::Work;
use ochre_command::spec::Flags;
use ochre_command::{ReplyError, Result};
use ochre_keyspace::evict::{AccessClock, Evictor};
use ochre_keyspace::expire::ExpireCycle;
use ochre_keyspace::lazyfree::Bin;
use ochre_keyspace::lock::{Locked, ShardId};
use ochre_keyspace::shard::Shard;
use ochre_resp::{Output, Reply};

use crate::engine::{Engine, Pause};
use crate::live::Live;
use crate::registry::{Row, RowId};
use crate::session::{ClientInfo, Session, WaitingCall};

/// What runs a session command: arguments with the name first, and the row that was resolved.
pub type SessionFn = fn(&mut Turn<'_>, &[&[u8]], &Row) -> Result;

/// One event loop's own state; no other thread touches it.
#[derive(Debug)]
pub struct LoopState {
    /// Number of the loop.
    pub index: u16,
    /// The configuration as this loop sees it.
    pub live: Arc<Live>,
    /// Version of `live`.
    pub live_version: u64,
    /// The moment, as of the last look at the clock.
    pub now: Now,
    /// What commands share: effects, random numbers, counters.
    pub work: Work,
    /// Its sampler for eviction.
    pub evictor: Evictor,
    /// Where its active expiry stands.
    pub expire: ExpireCycle,
    /// Where it sends large values to be freed.
    pub bin: Bin,
    /// Calls that are not yet in the shared statistics: row and nanoseconds.
    pub calls: Vec<(RowId, u64)>,
    /// How many of them are in their clients' own.
    pub told: usize,
    /// Error replies of the batch under way: the row, and whether it was refused before it ran.
    pub errors: Vec<(Option<RowId>, bool, String)>,
    /// Clients of this loop that were blocked, unblocked or paused by the commands of this turn, for
    /// the loop to look after.
    pub attention: Vec<u64>,
    /// Clients of this loop that have become replicas in this turn.
    pub new_replicas: Vec<u64>,
    /// This server follows a primary, as the loop knows.
    pub follows: bool,
    /// Version of the role that `follows` is of.
    pub role_version: u64,
    /// The commands that run here are the primary's.
    pub applies: bool,
    /// It serves the clients of a loop whose thread a script holds, with its locks: nothing that takes
    /// a shard's lock may run.
    pub in_place: bool,
    /// The loop brings the counts into the shared statistics itself, once a turn, before replies go out.
    pub defers_counts: bool,
    /// What looks after the loop's other clients while a script runs too long. The event loop sets it.
    pub pump: Option<Pump>,
}

/// See [`LoopState::pump`].
pub struct Pump(pub Box<PumpFn>);

/// What a [`Pump`] runs.
pub type PumpFn = dyn FnMut(&'static Engine, &mut LoopState) + Send;

impl std::fmt::Debug for Pump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pump")
    }
}

impl LoopState {
    /// The state of loop `index`.
    pub fn new(engine: &Engine, index: u16, bin: Bin, seed: u64) -> Self {
        let (live, live_version) = engine.live();
        Self {
            index,
            live,
            live_version,
            now: Now::default(),
            work: Work::new(seed),
            evictor: Evictor::new(seed ^ 0x5DEE_CE66),
            expire: ExpireCycle::default(),
            bin,
            calls: Vec::new(),
            told: 0,
            errors: Vec::new(),
            attention: Vec::new(),
            new_replicas: Vec::new(),
            follows: false,
            role_version: 0,
            applies: false,
            in_place: false,
            defers_counts: false,
            pump: None,
        }
    }

    /// At the start of a turn: takes the time, and a new configuration if there is one.
    pub fn begin_turn(&mut self, engine: &Engine, now: Now) {
        self.now = now;
        if engine.live_version() != self.live_version {
            (self.live, self.live_version) = engine.live();
        }
        self.take_role(engine);
    }

    /// The moment by which keys are past their time, for the commands that run here.
    #[inline]
    pub fn expiry_now(&self) -> i64 {
        if self.applies { 0 } else { self.now.unix_ms }
    }

    /// Whether what is past its time is hidden but stays: on a replica, and during CLIENT PAUSE.
    #[inline]
    pub fn keeps_expired(&self, engine: &Engine) -> bool {
        self.follows || engine.pause(self.now.unix_ms) != Pause::Off
    }

    /// Brings what was noted since the last time into the loop's shared statistics.
    pub fn flush_counts(&mut self, engine: &Engine) {
        if self.calls.is_empty() && self.errors.is_empty() {
            return;
        }
        self.told = 0;
        let mut stats = engine.stats(self.index);
        stats.total_commands += self.calls.len() as u64;
        stats.command_us += self.calls.iter().map(|(_, time_ns)| time_ns).sum::<u64>() / 1000;
        for (row, time_ns) in self.calls.drain(..) {
            stats.commands[usize::from(row)].record(time_ns, self.live.settings.latency_tracking);
        }
        for (row, rejected, code) in self.errors.drain(..) {
            if !code.is_empty() {
                stats.record_error(&code);
            }
            if let Some(row) = row {
                let command = &mut stats.commands[usize::from(row)];
                if rejected {
                    command.rejected += 1;
                } else {
                    command.failed += 1;
                }
            }
        }
        let counts = std::mem::take(&mut self.work.counts);
        stats.keyspace_hits += counts.hits;
        stats.keyspace_misses += counts.misses;
        stats.expired_keys += counts.expired;
        stats.expired_fields += counts.expired_fields;
        stats.dirty += counts.dirty;
    }

    /// How accesses are noted now.
    pub fn access_clock(&self) -> AccessClock {
        AccessClock {
            lfu: self.live.policy.is_lfu(),
            seconds: (self.now.unix_ms / 1000) as u32,
            log_factor: self.live.settings.lfu_log_factor,
            decay_minutes: self.live.settings.lfu_decay_minutes,
        }
    }
}

/// One command's surroundings. See the module's head.
#[derive(Debug)]
pub struct Turn<'t> {
    /// The shared engine.
    pub engine: &'static Engine,
    /// The loop's own state.
    pub lp: &'t mut LoopState,
    /// The client's session.
    pub session: &'t mut Session,
    /// Its output.
    pub out: &'t mut Output,
    /// The locks of the transaction under way, while a session command runs in it.
    pub held: Option<Locked<'static>>,
}

impl Turn<'_> {
    /// Runs `visit` on every shard, one after another: under the locks of the transaction under way
    /// when there is one, else under each shard's own.
    pub fn each_shard(&mut self, mut visit: impl FnMut(&mut Shard)) {
        match &mut self.held {
            Some(locked) if locked.holds_all() => locked.each_mut().for_each(visit),
            _ => {
                for id in 0..self.engine.shards.count() {
                    self.engine.shards.visit(id as ShardId, &mut visit);
                }
            }
        }
    }

    /// The reply of the running command.
    #[inline]
    pub fn reply(&mut self) -> Reply<'_> {
        Reply::new(self.out.buffer(), self.session.protocol)
    }

    /// The configuration.
    pub fn live(&self) -> &Live {
        &self.lp.live
    }

    /// Notes a call that ran, with its time and the bytes of its reply.
    #[inline]
    pub(crate) fn count_call(&mut self, row: &Row, args: &[&[u8]], time_ns: u64, replied: usize) {
        self.lp.calls.push((row.id, time_ns));
        let live = &self.lp.live;
        let threshold_ms = live.settings.latency_monitor_threshold_ms;
        if threshold_ms > 0 && time_ns >= threshold_ms.saturating_mul(1_000_000) {
            self.note_latency(row, time_ns);
        }
        let live = &self.lp.live;
        if live.logs_sizes || live.slow_ns.is_some_and(|limit| time_ns >= limit) {
            crate::slowlog::consider(self, row, args, time_ns, replied);
        }
        if self.engine.hotkeys.is_active() {
            crate::commands::hotkeys::note(self, row, args, time_ns, replied);
        }
    }

    /// The same for a call that waits now: the command logs get it when the wait is over.
    pub(crate) fn count_waiting(&mut self, row: &Row, args: &[&[u8]], time_ns: u64) {
        self.lp.calls.push((row.id, time_ns));
        if self.engine.hotkeys.is_active() {
            crate::commands::hotkeys::note(self, row, args, time_ns, 0);
        }
        if self.lp.live.logs_sizes || self.lp.live.slow_ns.is_some() {
            let args = args.iter().map(|arg| arg.to_vec()).collect();
            self.session.waiting_call = Some(WaitingCall { args, time_ns });
        }
    }

    /// Notes a call for the latency monitor.
    #[cold]
    fn note_latency(&self, row: &Row, time_ns: u64) {
        let fast = row.spec.flags.contains(Flags::FAST);
        let event = if fast { "fast-command" } else { "command" };
        let now = self.lp.now.unix_ms / 1000;
        self.engine.latency(|monitor| monitor.add(event, now, time_ns / 1_000_000));
    }

    /// Notes an error reply.
    #[cold]
    pub(crate) fn count_error(&mut self, row: Option<&Row>, rejected: bool, error: &ReplyError) {
        self.lp.errors.push((row.map(|row| row.id), rejected, error.code().to_owned()));
    }

    /// Notes that a call failed for an error that has been noted already: that of a command within a script.
    #[cold]
    pub(crate) fn count_failure(&mut self, row: &Row) {
        self.lp.errors.push((Some(row.id), false, String::new()));
    }

    /// Notes a broken stream.
    #[cold]
    pub(crate) fn count_protocol_error(&mut self) {
        self.lp.errors.push((None, true, "ERR".to_owned()));
    }

    /// Brings what was noted since the last time into the client's and the loop's shared statistics.
    pub(crate) fn flush_counts(&mut self) {
        self.count_for_client();
        self.lp.flush_counts(self.engine);
    }

    /// Brings what was noted since the last time into the client's statistics.
    pub(crate) fn count_for_client(&mut self) {
        let lp = &mut *self.lp;
        let (info, calls) = (&self.session.info, &lp.calls[lp.told..]);
        if let Some((row, _)) = calls.last() {
            info.last_row.store(row + 1, Ordering::Relaxed);
            info.last_seen.store(lp.now.unix_ms / 1000, Ordering::Relaxed);
            ClientInfo::add(&info.commands, calls.len() as u64);
        }
        lp.told = lp.calls.len();
    }
}

/// What does not change for the commands of one batch; a macro because it borrows single fields of the
/// loop's state while others are lent out for writing.
macro_rules! env {
    ($engine:expr, $lp:expr, $session_no_touch:expr) => {
        ochre_command::data::Env {
            shards: &$engine.shards,
            log: &$engine.log,
            bin: &$lp.bin,
            limits: &$lp.live.limits,
            clock: $lp.access_clock(),
            now: $lp.now,
            expiry_now: $lp.expiry_now(),
            keeps_expired: $lp.keeps_expired($engine),
            databases: $lp.live.databases,
            string_max: $lp.live.string_max,
            no_touch: $session_no_touch,
            lazy_user_del: $lp.live.settings.lazyfree.user_del,
            lazy_user_flush: $lp.live.settings.lazyfree.user_flush,
            compat: $lp.live.settings.compat,
            compress: $lp.live.settings.rdb_compression,
            interest: ochre_keyspace::notify::Listener::interest($engine),
            listener: $engine,
        }
    };
}
pub(crate) use env;
