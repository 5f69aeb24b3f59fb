//! Shards, their locks, and the one way to take them.
//!
//! A key belongs to a shard by its hash. A command takes the locks of all its keys' shards at once,
//! in ascending order, runs to the end, and lets go: there is no other door to the data, since a
//! [`Shard`] is reachable only through [`Locked`]. No effect happens before all locks are held and
//! none is released before the last effect and the log's append, which makes every command, and
//! every transaction, strictly serialisable.
//!
//! The lock is a word of its own ([`ochre_base::word_lock`]): a bounded spin, then a parked thread.
//!
//! **A thread waits for a shard's lock only while it holds none.** A set is taken in ascending order:
//! it waits for the first lock, and only tries the others, for some microseconds each. A lock that
//! stays taken makes it let everything go, wait for that one, and begin again from there. So no
//! order is needed between sets, and there is room for one exception: a script that touches a key it
//! did not declare can neither roll back nor let go, so it waits while it holds ([`Locked::widen`]).
//! Only the thread that has the [`ScriptLock`] may; whoever holds what it wants waits for nothing.
//!
//! Global order: the script lock, shards, the log, the channels' registry, a mailbox. Taking a second
//! set while one is held is a debug panic.

use smallvec::SmallVec;

use crate::db::{Db, Key};
use crate::shard::{DbIndex, Shard};
use crate::sync::{Mutex, MutexGuard, lock, try_lock};

/// Number of a shard.
pub type ShardId = u16;

/// A shard with its lock, on cache lines of its own.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Cell {
    shard: Mutex<Shard>,
}

/// All shards.
#[derive(Debug)]
pub struct Shards {
    cells: Box<[Cell]>,
    script: Mutex<()>,
}

/// The right to wait for a lock while holding others: see the module's head. Taken before any shard.
pub struct ScriptLock<'k>(#[expect(dead_code, reason = "held for its drop")] MutexGuard<'k, ()>);

impl std::fmt::Debug for ScriptLock<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ScriptLock")
    }
}

/// Locks that are held, by ascending shard.
type Held<'k> = SmallVec<[(ShardId, MutexGuard<'k, Shard>); 1]>;

/// How often a lock beyond a set's first is tried before the set is let go: about 20 us here, many
/// times what a command holds a lock for.
const TRIES: usize = if cfg!(feature = "shuttle") { 1 } else { 1000 };

impl Shards {
    /// Least and most shards of a process.
    pub const RANGE: (usize, usize) = (64, 4096);

    /// Shards for `loops` event loops: 32 each, as a power of two. With twice as many, two threads that set ten keys at a
    /// time do 1.63 times the work of one instead of 1.35 times; but each costs some pages of its own, and a server that
    /// may take a few megabytes holds fewer keys.
    pub fn for_loops(loops: usize) -> Self {
        Self::new((32 * loops).next_power_of_two().clamp(Self::RANGE.0, Self::RANGE.1))
    }

    /// `count` shards, which is a power of two.
    pub fn new(count: usize) -> Self {
        assert!(count.is_power_of_two(), "the shard of a key is a mask of its hash");
        Self { cells: (0..count).map(|_| Cell::default()).collect(), script: Mutex::new(()) }
    }

    /// How many there are.
    #[inline]
    pub fn count(&self) -> usize {
        self.cells.len()
    }

    /// The shard of a key by its hash.
    #[inline]
    pub fn of(&self, hash: u64) -> ShardId {
        (hash as usize & (self.cells.len() - 1)) as ShardId
    }

    /// Takes the lock of one shard.
    #[inline]
    pub fn lock_one(&self, id: ShardId) -> Locked<'_> {
        nesting::enter();
        let mut held = SmallVec::new();
        held.push((id, lock(&self.cells[usize::from(id)].shard)));
        Locked { shards: self, held, all: false, counted: true }
    }

    /// Takes the locks of several shards; `ids` is sorted and without repeats.
    pub fn lock_set(&self, ids: &[ShardId]) -> Locked<'_> {
        nesting::enter();
        debug_assert!(ids.is_sorted_by(|a, b| a < b), "a lock set is sorted: {ids:?}");
        Locked { shards: self, held: self.take(ids.iter().copied()), all: false, counted: true }
    }

    /// Takes all locks.
    pub fn lock_all(&self) -> Locked<'_> {
        nesting::enter();
        let held = self.take(0..self.count() as ShardId);
        Locked { shards: self, held, all: true, counted: true }
    }

    /// Takes the locks of `ids`, which ascend, and waits only while it holds none.
    fn take(&self, ids: impl ExactSizeIterator<Item = ShardId> + Clone) -> Held<'_> {
        let mut held = SmallVec::with_capacity(ids.len());
        let Some(mut busy) = ids.clone().next() else { return held };
        loop {
            let mut waited_for = Some(lock(&self.cells[usize::from(busy)].shard));
            let first = busy;
            let taken = ids.clone().all(|id| {
                let guard = match id == first {
                    true => waited_for.take(),
                    false => self.insist(id),
                };
                busy = id;
                guard.is_some_and(|guard| {
                    held.push((id, guard));
                    true
                })
            });
            if taken {
                return held;
            }
            held.clear();
        }
    }

    /// Tries a lock for a while.
    #[inline]
    fn insist(&self, id: ShardId) -> Option<MutexGuard<'_, Shard>> {
        let mutex = &self.cells[usize::from(id)].shard;
        (0..TRIES).find_map(|_| {
            let guard = try_lock(mutex);
            if guard.is_none() {
                std::hint::spin_loop();
            }
            guard
        })
    }

    /// Waits for the right to widen a lock set. The caller holds no shard.
    pub fn script_lock(&self) -> ScriptLock<'_> {
        ScriptLock(lock(&self.script))
    }

    /// Holds nothing: for a command that will visit shards one by one.
    pub fn lock_none(&self) -> Locked<'_> {
        Locked { shards: self, held: SmallVec::new(), all: false, counted: false }
    }

    /// Runs `visit` under one shard's lock. The caller holds none.
    pub fn visit<R>(&self, id: ShardId, visit: impl FnOnce(&mut Shard) -> R) -> R {
        visit(&mut lock(&self.cells[usize::from(id)].shard))
    }

    /// Takes one lock if nobody holds it: for prefetching and maintenance, which can do without.
    #[inline]
    pub fn try_lock_one<R>(&self, id: ShardId, run: impl FnOnce(&mut Shard) -> R) -> Option<R> {
        try_lock(&self.cells[usize::from(id)].shard).map(|mut shard| run(&mut shard))
    }
}

/// Shards whose locks are held; dropping it lets them go.
pub struct Locked<'k> {
    shards: &'k Shards,
    held: Held<'k>,
    all: bool,
    /// It counts as this thread's one set of locks.
    counted: bool,
}

impl std::fmt::Debug for Locked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Locked").field("held", &self.held.len()).field("all", &self.all).finish()
    }
}

impl<'k> Locked<'k> {
    #[inline]
    fn at(&self, id: ShardId) -> usize {
        if self.all {
            return usize::from(id);
        }
        if self.held.len() == 1 && self.held[0].0 == id {
            return 0;
        }
        match self.held.binary_search_by_key(&id, |(id, _)| *id) {
            Ok(at) => at,
            Err(_) => undeclared(id),
        }
    }

    /// Whether the lock of the shard of `hash` is held.
    pub fn holds(&self, hash: u64) -> bool {
        let id = self.shards.of(hash);
        self.all || self.held.iter().any(|(held, _)| *held == id)
    }

    /// Whether all locks are held.
    pub fn holds_all(&self) -> bool {
        self.all
    }

    /// The shard of a key, for reading. Its lock is among those held.
    #[inline]
    pub fn shard(&self, hash: u64) -> &Shard {
        &self.held[self.at(self.shards.of(hash))].1
    }

    /// The shard of a key, for writing.
    #[inline]
    pub fn shard_mut(&mut self, hash: u64) -> &mut Shard {
        let at = self.at(self.shards.of(hash));
        &mut self.held[at].1
    }

    /// A key's database in its shard, for reading.
    #[inline]
    pub fn db(&self, db: DbIndex, key: Key<'_>) -> &Db {
        self.shard(key.hash).db(db)
    }

    /// A key's database in its shard, for writing.
    #[inline]
    pub fn db_mut(&mut self, db: DbIndex, key: Key<'_>) -> &mut Db {
        self.shard_mut(key.hash).db_mut(db)
    }

    /// The shards held, in order.
    pub fn each(&self) -> impl Iterator<Item = &Shard> {
        self.held.iter().map(|(_, shard)| &**shard)
    }

    /// The shards held, in order, for writing.
    pub fn each_mut(&mut self) -> impl Iterator<Item = &mut Shard> {
        self.held.iter_mut().map(|(_, shard)| &mut **shard)
    }

    /// Adds the lock of the shard of `hash`, waiting for it while the others are held: see the
    /// module's head.
    pub fn widen(&mut self, hash: u64, _right: &ScriptLock<'_>) {
        let id = self.shards.of(hash);
        if self.all {
            return;
        }
        if let Err(at) = self.held.binary_search_by_key(&id, |(id, _)| *id) {
            self.count();
            self.held.insert(at, (id, lock(&self.shards.cells[usize::from(id)].shard)));
        }
    }

    /// Adds all locks that are missing.
    pub fn widen_all(&mut self, _right: &ScriptLock<'_>) {
        if self.all {
            return;
        }
        self.count();
        let mut had = std::mem::take(&mut self.held).into_iter().peekable();
        self.held = (0..)
            .zip(&self.shards.cells)
            .map(|(id, cell)| match had.next_if(|(held, _)| *held == id) {
                Some(held) => held,
                None => (id, lock(&cell.shard)),
            })
            .collect();
        self.all = true;
    }

    /// A set that began with no lock becomes this thread's one set.
    fn count(&mut self) {
        if !self.counted {
            nesting::enter();
            self.counted = true;
        }
    }

    /// Ids of the shards held, in order.
    pub fn ids(&self) -> impl Iterator<Item = ShardId> + '_ {
        self.held.iter().map(|(id, _)| *id)
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if self.counted {
            nesting::leave();
        }
    }
}

/// A handler touched a key that its command does not declare: our bug, and the data can no longer be
/// trusted to be consistent.
#[cold]
fn undeclared(id: ShardId) -> ! {
    panic!("a command touched shard {id}, whose lock it did not take");
}

/// In debug builds: a thread holds at most one set of locks.
mod nesting {
    #[cfg(all(debug_assertions, not(feature = "shuttle")))]
    thread_local! {
        static DEPTH: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
    }

    #[inline]
    pub(super) fn enter() {
        #[cfg(all(debug_assertions, not(feature = "shuttle")))]
        DEPTH.with(|depth| {
            assert_eq!(depth.get(), 0, "shard locks are taken all at once, never nested");
            depth.set(1);
        });
    }

    #[inline]
    pub(super) fn leave() {
        #[cfg(all(debug_assertions, not(feature = "shuttle")))]
        DEPTH.with(|depth| depth.set(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_reaches_its_shards_and_no_others() {
        let shards = Shards::new(64);
        {
            let mut locked = shards.lock_set(&[3, 9, 63]);
            assert!(locked.holds(9) && !locked.holds(10));
            locked.shard_mut(63).db_mut(2);
            assert_eq!(locked.shard(63).dbs().len(), 3);
            assert_eq!(locked.ids().collect::<Vec<_>>(), [3, 9, 63]);
        }
        let all = shards.lock_all();
        assert_eq!(all.each().count(), 64);
        assert!(all.holds(10) && all.holds_all());
        assert!(shards.try_lock_one(3, |_| ()).is_none());
    }

    #[test]
    #[should_panic(expected = "whose lock it did not take")]
    fn an_undeclared_shard_is_a_crash() {
        let shards = Shards::new(64);
        let locked = shards.lock_one(5);
        locked.shard(6);
    }

    #[cfg(debug_assertions)]
    #[test]
    #[should_panic(expected = "never nested")]
    fn nesting_is_a_crash_in_debug_builds() {
        let shards = Shards::new(64);
        let _first = shards.lock_one(1);
        let _second = shards.lock_one(2);
    }

    #[test]
    fn a_set_widens() {
        let shards = Shards::new(64);
        let right = shards.script_lock();
        let mut locked = shards.lock_set(&[3, 9]);
        locked.widen(5, &right);
        locked.widen(9, &right);
        assert_eq!(locked.ids().collect::<Vec<_>>(), [3, 5, 9]);
        locked.shard_mut(5).db_mut(1);
        locked.widen_all(&right);
        assert!(locked.holds_all() && locked.ids().eq(0..64));
        assert_eq!(locked.shard(5).dbs().len(), 2);
        drop(locked);
        let mut none = shards.lock_none();
        none.widen(7, &right);
        assert!(none.holds(7) && shards.try_lock_one(7, |_| ()).is_none());
    }

    #[test]
    fn loops_choose_the_number_of_shards() {
        for (loops, count) in [(1, 64), (2, 64), (3, 128), (8, 256), (1000, 4096)] {
            assert_eq!(Shards::for_loops(loops).count(), count);
        }
    }
}
