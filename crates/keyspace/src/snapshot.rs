//! The snapshot: the keyspace as it was at one moment, without a fork and without a pause.
//!
//! **The cut** takes all locks for a moment and turns every database's *mark* over. Each entry carries a
//! mark of one bit; one that differs from its database's belongs to the cut and has not been captured.
//! From then on:
//!
//! - a change to an entry of the cut (write, edit, removal: the doors of [`crate::db::Db`]) captures it first and
//!   sets its mark;
//! - a new entry is born with the mark, so that it is not of the cut;
//! - the walker goes through each table by a stateless cursor, a few entries under each hold of the
//!   shard's lock, and captures what nobody has changed before;
//! - a database that is flushed meanwhile is kept as an orphan until the walker has been through it.
//!
//! A small value is captured whole, by a copy of its bytes. A collection of more than a page is only
//! *opened* ([`ochre_types::capture`]), which costs O(1), and the walker takes it part by part: it keeps what
//! changes ahead of the walk itself. `open` has the keys that are open and what becomes of them when they are
//! deleted, renamed, flushed.
//!
//! So each entry of the cut is captured exactly once (I9): as it was, by whoever comes first. Nothing is
//! remembered besides the bit, and what is open. Reads never capture. When all walks are over all marks agree
//! again, which the next cut needs; a snapshot that is cancelled is therefore walked to its end, with a
//! capture that wants nothing.
//!
//! Considered and not taken: versions of the tables' buckets (memory beside every entry), and pages shared
//! between a collection and its snapshot (an element that changes would copy its page, and in an arena of
//! small blocks those around it: elements are cheaper, and need no counted references on the hot path).
//!
//! Costs: the cut O(shards x databases); a change O(1) or one small value the first time it hits an entry of
//! the cut, and one element of an open collection. Memory: what captures hold until a sink has taken it, and
//! what open collections keep. A hold of a lock by the walker takes some 10 to 30 us ([`Holds`] measures it).

mod open;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ochre_types::capture::Part;
use ochre_types::value::Value;

pub use self::open::Ticket;
pub(crate) use self::open::{Next, Opens, Place};
use crate::db::{Db, Stored};
use crate::entry::Entry;
use crate::lock::{ShardId, Shards};
use crate::shard::{DbIndex, Shard};

/// Who captures an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A change to it.
    Change,
    /// The walker.
    Walk,
}

/// Takes entries of a cut.
pub trait Capture: Send + Sync {
    /// A small entry, or a string or sketch of any size, with the database that it was in at the cut.
    /// Called under its shard's lock: it may take no lock but one that nothing else is taken under.
    fn take(&self, db: DbIndex, entry: &Entry<'_>, stored: Stored<'_>, by: By);

    /// Whether anything is still to be captured; false when the snapshot was given up.
    fn is_wanted(&self) -> bool;

    /// Begins a key that comes in parts; they, and the end, follow before another such key. Called with no
    /// lock held, by the walker only.
    fn begin(&self, key: &Ticket);

    /// The next part of that key.
    fn part(&self, part: Part);

    /// All of that key was given.
    fn end(&self);

    /// Gives the snapshot up: something of it is lost.
    fn give_up(&self);
}

/// What all parts of a snapshot under way share.
pub(crate) struct Shared {
    pub(crate) capture: Arc<dyn Capture>,
    /// Keys that are open.
    open: AtomicUsize,
}

/// A database's part of a snapshot under way.
pub(crate) struct Walk {
    pub(crate) db: DbIndex,
    pub(crate) shared: Arc<Shared>,
    pub(crate) cursor: u64,
}

impl Walk {
    pub(crate) fn new(db: DbIndex, shared: Arc<Shared>) -> Self {
        Self { db, shared, cursor: 0 }
    }
}

/// Entries captured under one hold of a lock: some 10 to 20 us.
const STEP: usize = 64;

/// Begins a snapshot under all locks; `at_cut` runs while they are held, to note the log's offset. No
/// snapshot is under way.
pub fn cut<R>(
    shards: &Shards,
    capture: &Arc<dyn Capture>,
    at_cut: impl FnOnce() -> R,
) -> (Walker, R) {
    let shared = Arc::new(Shared { capture: Arc::clone(capture), open: AtomicUsize::new(0) });
    let mut locked = shards.lock_all();
    for shard in locked.each_mut() {
        debug_assert!(!shard.dbs().iter().any(Db::is_walked), "one snapshot at a time");
        shard.begin_walk(&shared);
    }
    (Walker { shared }, at_cut())
}

/// No hold of the walker should take more nanoseconds (I10).
pub const LONG_NS: u64 = 50_000;

/// How long the walker held locks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Holds {
    /// Times that it held one.
    pub count: u64,
    /// Nanoseconds of the longest hold.
    pub longest_ns: u64,
    /// Nanoseconds of all together.
    pub total_ns: u64,
    /// Holds of more than [`LONG_NS`]: of a thread that lost its processor meanwhile, if of any.
    pub long: u64,
}

/// A snapshot that has begun, to be walked to its end.
#[derive(Clone)]
pub struct Walker {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Walker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walker").field("open", &self.shared.open).finish()
    }
}

/// What a walk runs on.
struct Turn<'a> {
    shards: &'a Shards,
    clock_ns: &'a dyn Fn() -> u64,
    /// Runs between two holds, with none.
    between: &'a mut dyn FnMut(),
    holds: Holds,
}

impl Turn<'_> {
    fn visit<R>(&mut self, id: ShardId, visit: impl FnOnce(&mut Shard) -> R) -> R {
        let clock_ns = self.clock_ns;
        let (held_ns, result) = self.shards.visit(id, |shard| {
            let began = clock_ns();
            let result = visit(shard);
            (clock_ns().saturating_sub(began), result)
        });
        self.holds.count += 1;
        self.holds.total_ns += held_ns;
        self.holds.longest_ns = self.holds.longest_ns.max(held_ns);
        self.holds.long += u64::from(held_ns > LONG_NS);
        result
    }
}

impl Walker {
    /// Captures all that is left of the cut. `between` runs between two holds of a lock, with none held;
    /// `clock_ns` measures the holds.
    pub fn walk(
        &self,
        shards: &Shards,
        clock_ns: &dyn Fn() -> u64,
        mut between: impl FnMut(),
    ) -> Holds {
        let mut turn = Turn { shards, clock_ns, between: &mut between, holds: Holds::default() };
        for id in 0..shards.count() as ShardId {
            loop {
                let (more, orphan) =
                    turn.visit(id, |shard| (shard.walk(STEP), shard.take_orphan()));
                if let Some(orphan) = orphan {
                    self.walk_orphan(orphan, &mut turn);
                }
                self.close_keys(id, &mut turn);
                (turn.between)();
                if !more {
                    break;
                }
            }
        }
        // Keys that were renamed or moved to a shard behind the walk.
        while self.shared.open.load(Ordering::Relaxed) > 0 {
            for id in 0..shards.count() as ShardId {
                self.close_keys(id, &mut turn);
            }
            (turn.between)();
        }
        turn.holds
    }

    /// Nobody else can reach an orphan, so it is walked without a lock.
    fn walk_orphan(&self, mut orphan: Db, turn: &mut Turn<'_>) {
        loop {
            let more = orphan.walk(STEP);
            for (ticket, value) in orphan.take_open_values() {
                self.close_value(ticket, value, turn);
            }
            (turn.between)();
            if !more {
                return;
            }
        }
    }

    /// Takes what is left of all keys that are open in one shard.
    fn close_keys(&self, id: ShardId, turn: &mut Turn<'_>) {
        while let Some(next) = turn.visit(id, |shard| shard.next_open()) {
            match next {
                Next::Taken(ticket, value) => self.close_value(ticket, value, turn),
                Next::Live(ticket, place) => self.close_live(ticket, (id, place), turn),
            }
        }
    }

    /// Takes a value that is nobody else's any more.
    fn close_value(&self, ticket: Arc<Ticket>, mut value: Value, turn: &mut Turn<'_>) {
        let capture = &self.shared.capture;
        if capture.is_wanted() {
            capture.begin(&ticket);
            self.rest_of_value(&mut value, turn);
            ticket.close();
        }
    }

    fn rest_of_value(&self, value: &mut Value, turn: &mut Turn<'_>) {
        let capture = &self.shared.capture;
        while capture.is_wanted() {
            let step = value.capture_step();
            step.parts.into_iter().for_each(|part| capture.part(part));
            (turn.between)();
            if step.is_last {
                return capture.end();
            }
        }
    }

    /// Takes a value that lies under a key and may change, move or go between two holds.
    fn close_live(
        &self,
        ticket: Arc<Ticket>,
        (mut id, mut place): (ShardId, Place),
        turn: &mut Turn<'_>,
    ) {
        let capture = &self.shared.capture;
        let mut has_begun = false;
        loop {
            if !capture.is_wanted() {
                let remains = turn.visit(id, |shard| shard.end_open(place, &ticket));
                if remains.is_some() {
                    return;
                }
            } else if let Some(step) = turn.visit(id, |shard| shard.step(place, &ticket)) {
                if !std::mem::replace(&mut has_begun, true) {
                    capture.begin(&ticket);
                }
                step.parts.into_iter().for_each(|part| capture.part(part));
                if step.is_last {
                    capture.end();
                    (turn.between)();
                    return ticket.close();
                }
                (turn.between)();
                continue;
            }
            match self.find(&ticket, turn) {
                Some((at, Next::Live(_, new))) => (id, place) = (at, new),
                Some((_, Next::Taken(_, mut value))) => {
                    if capture.is_wanted() {
                        if !has_begun {
                            capture.begin(&ticket);
                        }
                        self.rest_of_value(&mut value, turn);
                        ticket.close();
                    }
                    return;
                }
                // It moves between two shards just now, unless nobody has it any more.
                None if Arc::strong_count(&ticket) > 1 => {}
                None => return capture.give_up(),
            }
        }
    }

    /// Where a key's value is by now.
    fn find(&self, ticket: &Arc<Ticket>, turn: &mut Turn<'_>) -> Option<(ShardId, Next)> {
        (0..turn.shards.count() as ShardId).find_map(|id| {
            let found = turn.visit(id, |shard| shard.find_open(ticket))?;
            Some((id, found))
        })
    }
}

#[cfg(test)]
mod tests;
