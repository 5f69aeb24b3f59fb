//! What a loop does for its share of the shards between turns: active expiry and compaction, in steps.
//!
//! A loop looks around `hz` times a second. While there are keys due, expiry goes on in steps of [`STEP_NS`], with a
//! look at the sockets between any two, and takes a bounded part of the loop's time: a client waits for one step at
//! most. Compaction looks at so many shards at each look that all are seen within about
//! [`ROUND_LOOKS`] looks, and moves the entries of a sparse one in the same steps. A shard of which next to
//! nothing came back rests for a while or until it has lost more keys, so that an arena that cannot be packed
//! better costs nothing.

use ochre_engine::blocking;
use ochre_engine::engine::{Engine, Pause};
use ochre_engine::turn::LoopState;
use ochre_keyspace::lock::ShardId;
use std::collections::HashMap;
use std::sync::atomic::Ordering;

use crate::clock::Clock;
use crate::host::resident;
use crate::huge_pages::HugePages;

/// What may be done at once after a time without work, at effort 1, in nanoseconds; each step of
/// active-expire-effort adds half.
const SLICE_NS: u64 = 500_000;
/// A step of it: as long as a command may take beside its neighbours.
const STEP_NS: u64 = 50_000;
/// At most this part of the loop's time: bounds the share of the processor.
const SHARE: u64 = 4;
/// Segments compacted under one hold of a lock: some 20 us each.
const COMPACT_SEGMENTS: usize = 1;
/// Looks within which every shard of the loop is looked at: one second at `hz 10`.
const ROUND_LOOKS: usize = 10;
/// Part of an arena that a compaction has to bring back; else the shard rests.
const GAIN: usize = 16;
/// Rounds for which a shard rests.
const REST_ROUNDS: u32 = 60;

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Maintenance {
    owner: usize,
    loops: usize,
    /// Start of the last step, in nanoseconds.
    last_ns: u64,
    /// When the kernel was last asked for resident memory.
    asked_ns: u64,
    /// Time that may be taken now, in nanoseconds.
    credit_ns: u64,
    /// The last step of expiry stopped for lack of time.
    more: bool,
    clients_at_ms: i64,
    compaction: Option<Compaction>,
    next_shard: usize,
    resting: HashMap<ShardId, Rest>,
    huge_pages: HugePages,
}

/// Why a shard is not compacted again at once.
#[derive(Debug)]
struct Rest {
    /// Rounds that are left.
    rounds: u32,
    /// Keys that the database had.
    keys: usize,
    db: u16,
}

/// Whether eviction has more to do than the commands that came had time for.
fn over_maxmemory(lp: &LoopState) -> bool {
    lp.live.maxmemory > 0 && ochre_base::memory::used() > lp.live.maxmemory
}

/// A compaction under way: which part of the table is next.
#[derive(Debug)]
struct Compaction {
    shard: ShardId,
    db: u16,
    segment: usize,
    /// Bytes that the arena held before.
    held: usize,
}

impl Maintenance {
    pub(crate) fn new(owner: usize, loops: usize) -> Self {
        Self {
            owner,
            loops,
            last_ns: 0,
            asked_ns: 0,
            credit_ns: 0,
            more: false,
            clients_at_ms: 0,
            compaction: None,
            next_shard: owner,
            resting: HashMap::new(),
            huge_pages: HugePages::begin(),
        }
    }

    /// Time between looks when nothing is due, in milliseconds.
    fn look_ms(lp: &LoopState) -> u64 {
        1000 / u64::from(lp.live.settings.hz.max(1))
    }

    /// Longest time to wait for events, in milliseconds.
    pub(crate) fn wait_ms(&self, lp: &LoopState) -> u64 {
        let has_work = self.more || self.compaction.is_some();
        match has_work {
            true if self.credit_ns >= STEP_NS => 0,
            true => 1,
            false => Self::look_ms(lp),
        }
    }

    /// Whether the clients are to be inspected, once a second.
    pub(crate) fn clients_are_due(&mut self, now_ms: i64) -> bool {
        let due = now_ms - self.clients_at_ms >= 1000;
        if due {
            self.clients_at_ms = now_ms;
        }
        due
    }

    /// At the end of a turn: a step, when one is due.
    pub(crate) fn turn(&mut self, engine: &'static Engine, lp: &mut LoopState, clock: &Clock) {
        let now_ns = clock.ticks_ns();
        let since = now_ns - self.last_ns;
        let effort = u64::from(lp.live.settings.active_expire_effort.max(1));
        let slice = SLICE_NS + SLICE_NS / 2 * (effort - 1);
        let has_work = self.more || self.compaction.is_some();
        let earned = self.credit_ns.saturating_add(since / SHARE).min(slice);
        let due = match has_work {
            true => earned >= STEP_NS,
            false => since >= Self::look_ms(lp) * 1_000_000,
        };
        if !due {
            return;
        }
        self.last_ns = now_ns;
        self.look(engine, lp, clock, now_ns);
        self.credit_ns = earned.saturating_sub(clock.ticks_ns() - now_ns);
    }

    /// One step of each kind of work.
    fn look(&mut self, engine: &'static Engine, lp: &mut LoopState, clock: &Clock, now_ns: u64) {
        ochre_base::memory::note_peak();
        // Steps follow one another at once; the kernel is not asked that often.
        let is_time = now_ns - self.asked_ns >= Self::look_ms(lp) * 1_000_000;
        if self.owner == 0 && is_time {
            self.asked_ns = now_ns;
            let (used, resident) = (ochre_base::memory::used() as u64, resident() as u64);
            self.huge_pages.look(lp.live.settings.huge_pages, used, resident);
        }
        // A replica leaves what is past its time to its primary; before a failover the log is to come to rest.
        let paused = engine.pause(lp.now.unix_ms) != Pause::Off;
        let rests = lp.follows || engine.failover.is_on() || paused;
        if engine.active_expire.load(Ordering::Relaxed) && !rests {
            self.expire(engine, lp, clock, now_ns, STEP_NS);
        }
        self.more |= !paused
            && over_maxmemory(lp)
            && ochre_engine::gate::make_room(engine, lp)
            && over_maxmemory(lp);
        if !self.more {
            self.compact(engine, clock, now_ns + STEP_NS);
        }
    }

    fn expire(
        &mut self,
        engine: &'static Engine,
        lp: &mut LoopState,
        clock: &Clock,
        began_ns: u64,
        step_ns: u64,
    ) {
        let done = lp.expire.run(
            &engine.shards,
            (self.owner, self.loops),
            &engine.log,
            &lp.bin,
            lp.now.unix_ms,
            || clock.ticks_ns() - began_ns >= step_ns,
            engine,
        );
        let mut gone = std::mem::take(&mut lp.expire.gone);
        blocking::tell_of_gone(engine, lp, &mut gone);
        lp.expire.gone = gone;
        let fields_left =
            ochre_engine::field_expiry::run(engine, lp, (self.owner, self.loops), || {
                clock.ticks_ns() - began_ns >= step_ns
            });
        let elapsed_ms = (clock.ticks_ns() - began_ns) / 1_000_000;
        let threshold_ms = lp.live.settings.latency_monitor_threshold_ms;
        if threshold_ms > 0 && elapsed_ms >= threshold_ms {
            let now_s = lp.now.unix_ms / 1000;
            engine.latency(|monitor| monitor.add("expire-cycle", now_s, elapsed_ms));
        }
        self.more = done.out_of_time || fields_left;
        let mut stats = engine.stats(lp.index);
        stats.expired_keys += done.keys;
        stats.expire_cycle_us += (clock.ticks_ns() - began_ns) / 1000;
        if done.out_of_time {
            stats.expire_time_cap_reached += 1;
        }
    }

    /// Moves entries out of sparse chunks, a few segments at a time, so that memory goes back.
    fn compact(&mut self, engine: &'static Engine, clock: &Clock, until_ns: u64) {
        let shards = engine.shards.count() / self.loops;
        let mut looks = (shards / ROUND_LOOKS).max(1);
        while clock.ticks_ns() < until_ns {
            let Some(compaction) = &mut self.compaction else {
                if looks == 0 {
                    return;
                }
                looks -= 1;
                self.begin(engine);
                continue;
            };
            let Compaction { shard, db, segment, held } = compaction;
            let left = engine.shards.try_lock_one(*shard, |shard| {
                let data = shard.db_mut(*db);
                for _ in 0..COMPACT_SEGMENTS {
                    if *segment >= data.table().segments() {
                        data.end_compaction();
                        return Some((data.heap_bytes().1, data.len()));
                    }
                    data.compact_segment(*segment);
                    *segment += 1;
                }
                None
            });
            // A lock that is held, by a script perhaps that takes long, is not waited for.
            let Some(left) = left else { return };
            if let Some((left, keys)) = left {
                if held.saturating_sub(left) < *held / GAIN {
                    let rest = Rest { rounds: REST_ROUNDS, keys, db: *db };
                    self.resting.insert(*shard, rest);
                }
                self.compaction = None;
            }
        }
    }

    /// Looks at the next shard of this loop for a database worth compacting.
    fn begin(&mut self, engine: &'static Engine) {
        let id = self.next_shard as ShardId;
        self.next_shard += self.loops;
        if self.next_shard >= engine.shards.count() {
            self.next_shard = self.owner;
        }
        if let Some(rest) = self.resting.get_mut(&id) {
            rest.rounds -= 1;
            let keys = engine.shards.try_lock_one(id, |shard| shard.db_mut(rest.db).len());
            if rest.rounds > 0 && keys.is_none_or(|keys| keys + keys / GAIN >= rest.keys) {
                return;
            }
            self.resting.remove(&id);
        }
        let compaction = engine.shards.try_lock_one(id, |shard| {
            let mut dbs = 0..shard.dbs().len() as u16;
            let db = dbs.find(|&db| shard.db_mut(db).begin_compaction())?;
            let held = shard.db_mut(db).heap_bytes().1;
            Some(Compaction { shard: id, db, segment: 0, held })
        });
        self.compaction = compaction.flatten();
    }
}
