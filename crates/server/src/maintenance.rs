//! What a loop does for its share of the shards between turns: active expiry and compaction, in slices.

use ochre_engine::engine::Engine;
use ochre_engine::turn::LoopState;
use ochre_keyspace::lock::ShardId;
use std::sync::atomic::Ordering;

use crate::clock::Clock;

/// Time between looks when nothing is due: ten a second, as `hz 10`.
const LOOK_MS: u64 = 100;
/// A slice of active expiry at effort 1, in nanoseconds; each step of active-expire-effort adds half.
const SLICE_NS: u64 = 500_000;
/// A slice is at most this part of the time since the last one: bounds its share of the processor.
const SHARE: u64 = 4;
/// Segments compacted under one hold of a lock: some 20 us each.
const COMPACT_SEGMENTS: usize = 1;

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Maintenance {
    owner: usize,
    loops: usize,
    /// Start of the last slice, in nanoseconds.
    last_ns: u64,
    /// The last slice of expiry stopped for lack of time.
    more: bool,
    clients_at_ms: i64,
    compaction: Option<Compaction>,
    next_shard: usize,
}

/// A compaction under way: which part of the table is next.
#[derive(Debug)]
struct Compaction {
    shard: ShardId,
    db: u16,
    segment: usize,
}

impl Maintenance {
    pub(crate) fn new(owner: usize, loops: usize) -> Self {
        Self {
            owner,
            loops,
            last_ns: 0,
            more: false,
            clients_at_ms: 0,
            compaction: None,
            next_shard: owner,
        }
    }

    /// Longest time to wait for events, in milliseconds.
    pub(crate) fn wait_ms(&self) -> u64 {
        if self.more || self.compaction.is_some() { 1 } else { LOOK_MS }
    }

    /// Whether the clients are to be inspected, once a second.
    pub(crate) fn clients_are_due(&mut self, now_ms: i64) -> bool {
        let due = now_ms - self.clients_at_ms >= 1000;
        if due {
            self.clients_at_ms = now_ms;
        }
        due
    }

    /// At the end of a turn: a slice, when one is due.
    pub(crate) fn turn(&mut self, engine: &'static Engine, lp: &mut LoopState, clock: &Clock) {
        let now_ns = clock.ticks_ns();
        let since = now_ns - self.last_ns;
        let effort = u64::from(lp.live.settings.active_expire_effort.max(1));
        let slice = SLICE_NS + SLICE_NS / 2 * (effort - 1);
        let due = if self.more || self.compaction.is_some() {
            since >= slice * SHARE
        } else {
            since >= LOOK_MS * 1_000_000
        };
        if !due {
            return;
        }
        self.last_ns = now_ns;
        ochre_base::memory::note_peak();
        if engine.active_expire.load(Ordering::Relaxed) {
            self.expire(engine, lp, clock, now_ns, slice);
        }
        if !self.more {
            self.compact(engine, clock, now_ns + slice);
        }
    }

    fn expire(
        &mut self,
        engine: &'static Engine,
        lp: &mut LoopState,
        clock: &Clock,
        began_ns: u64,
        slice: u64,
    ) {
        let done = lp.expire.run(
            &engine.shards,
            (self.owner, self.loops),
            &engine.log,
            &lp.bin,
            lp.now.unix_ms,
            || clock.ticks_ns() - began_ns >= slice,
            |_, _| {},
        );
        self.more = done.out_of_time;
        let mut stats = engine.stats(lp.index);
        stats.expired_keys += done.keys;
        stats.expire_cycle_us += (clock.ticks_ns() - began_ns) / 1000;
        if done.out_of_time {
            stats.expire_time_cap_reached += 1;
        }
    }

    /// Moves entries out of sparse chunks, a few segments at a time, so that memory goes back.
    fn compact(&mut self, engine: &'static Engine, clock: &Clock, until_ns: u64) {
        while clock.ticks_ns() < until_ns {
            let Some(compaction) = &mut self.compaction else {
                if !self.begin(engine) {
                    return;
                }
                continue;
            };
            let Compaction { shard, db, segment } = compaction;
            let done = engine.shards.visit(*shard, |shard| {
                let data = shard.db_mut(*db);
                for _ in 0..COMPACT_SEGMENTS {
                    if *segment >= data.table().segments() {
                        data.end_compaction();
                        return true;
                    }
                    data.compact_segment(*segment);
                    *segment += 1;
                }
                false
            });
            if done {
                self.compaction = None;
                return;
            }
        }
    }

    /// Looks at the next shard of this loop for a database worth compacting.
    fn begin(&mut self, engine: &'static Engine) -> bool {
        let id = self.next_shard as ShardId;
        self.next_shard += self.loops;
        if self.next_shard >= engine.shards.count() {
            self.next_shard = self.owner;
        }
        let found = engine.shards.visit(id, |shard| {
            (0..shard.dbs().len() as u16).find(|&db| shard.db_mut(db).begin_compaction())
        });
        if let Some(db) = found {
            self.compaction = Some(Compaction { shard: id, db, segment: 0 });
        }
        self.compaction.is_some()
    }
}
