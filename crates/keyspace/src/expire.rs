//! Active expiry: memory of keys past their time comes back without their being read (R3.2).
//!
//! There is no index of deadlines. Every table segment knows how many of its keys expire and a lower
//! bound of when, so a cycle passes over segments that have nothing due at the cost of a look, and
//! reads the entries of the others. Each event loop cares for the shards whose number it has by its
//! own, in slices bounded by time, and holds a lock for at most `BATCH` deletions.

use ochre_base::clock::Millis;

use crate::db::Key;
use crate::lazyfree::Bin;
use crate::lock::{ShardId, Shards};
use crate::log::{Effects, Log};
use crate::notify::{Class, Listener};
use crate::shard::{DbIndex, Shard};

/// Keys deleted under one hold of a lock: some 10 us.
const BATCH: usize = 16;

/// Where the cycle of one loop stands.
#[derive(Debug, Default)]
pub struct ExpireCycle {
    shard: ShardId,
    db: DbIndex,
    segment: usize,
    due: Vec<Vec<u8>>,
    effects: Effects,
    /// Keys that were deleted and that clients wait for: a consumer group's readers are to be told. Whoever
    /// runs the cycle takes them out.
    pub gone: Gone,
}

/// Keys that are gone, with their databases.
pub type Gone = Vec<(DbIndex, Vec<u8>)>;

/// What a run of the cycle did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Expired {
    /// Keys deleted.
    pub keys: u64,
    /// It stopped for lack of time, with more to do.
    pub out_of_time: bool,
}

impl ExpireCycle {
    /// Deletes what is due in the shards `owner`, `owner + loops`, ..., from where the last run
    /// stopped, until it has been round once or `out_of_time` says so.
    #[expect(clippy::too_many_arguments, reason = "everything a cycle touches, once")]
    pub fn run(
        &mut self,
        shards: &Shards,
        (owner, loops): (usize, usize),
        log: &Log,
        bin: &Bin,
        now: Millis,
        mut out_of_time: impl FnMut() -> bool,
        listener: &dyn Listener,
    ) -> Expired {
        let mut done = Expired::default();
        let own = (shards.count() + loops - 1 - owner) / loops;
        for _ in 0..own {
            if usize::from(self.shard) % loops != owner || usize::from(self.shard) >= shards.count()
            {
                self.shard = owner as ShardId;
            }
            loop {
                // A lock that somebody holds is not waited for: the shard's turn comes again.
                let more = shards.try_lock_one(self.shard, |shard| {
                    self.step(shard, log, bin, now, &mut done.keys, listener)
                });
                if !more.unwrap_or(false) {
                    break;
                }
                if out_of_time() {
                    done.out_of_time = true;
                    return done;
                }
            }
            self.shard += loops as ShardId;
            (self.db, self.segment) = (0, 0);
            if out_of_time() {
                done.out_of_time = true;
                return done;
            }
        }
        done
    }

    /// Deletes one batch of the shard; false when nothing more is due in it.
    fn step(
        &mut self,
        shard: &mut Shard,
        log: &Log,
        bin: &Bin,
        now: Millis,
        keys: &mut u64,
        listener: &dyn Listener,
    ) -> bool {
        while usize::from(self.db) < shard.dbs().len() {
            let found = shard.db(self.db).table().due_segment(self.segment, now.max(0) as u64);
            let Some(segment) = found else {
                (self.db, self.segment) = (self.db + 1, 0);
                continue;
            };
            self.due.clear();
            let all = shard.db_mut(self.db).due_in_segment(segment, now, BATCH, &mut self.due);
            self.segment = if all { segment + 1 } else { segment };
            if self.due.is_empty() {
                continue;
            }
            self.effects.clear();
            for name in std::mem::take(&mut self.due) {
                let why = (Class::Expired, "expired");
                if shard.is_awaited(self.db, &name) {
                    self.gone.push((self.db, name.clone()));
                }
                delete(shard, self.db, &name, why, log, &mut self.effects, bin, listener);
                *keys += 1;
            }
            if !self.effects.is_empty() {
                log.append(&self.effects);
            }
            return true;
        }
        false
    }
}

/// Deletes a key that expired or is evicted: tells who watches, caches or listens, and notes the
/// effect.
#[expect(clippy::too_many_arguments, reason = "everything a deletion touches, once")]
pub fn delete(
    shard: &mut Shard,
    db: DbIndex,
    name: &[u8],
    (class, event): (Class, &'static str),
    log: &Log,
    effects: &mut Effects,
    bin: &Bin,
    listener: &dyn Listener,
) {
    let data = shard.db_mut(db);
    if let Some(slot) = data.find(Key::new(name)) {
        bin.free(data.remove(slot));
        shard.mark_changed(db, name);
        if log.is_on() {
            effects.push(db, [&b"DEL"[..], name].iter());
        }
        let readers = shard.take_readers(name);
        if !readers.is_empty() {
            listener.stale(name, &readers, 0);
        }
        let interest = listener.interest();
        if interest.has(class) {
            listener.event(class, event, db, name);
        }
        if interest.has_prefixes() {
            listener.changed_keys(&[name.to_vec()], 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::NewValue;
    use crate::notify::Silent;

    #[test]
    fn deletes_exactly_what_is_due() {
        let shards = Shards::new(64);
        let log = Log::new(0);
        log.turn_on();
        let count = 5000i64;
        for n in 0..count {
            let name = n.to_string().into_bytes();
            let key = Key::new(&name);
            let mut locked = shards.lock_one(shards.of(key.hash));
            let expiry = (n % 3 != 0).then_some(1_600_000_000_000 + n);
            let data = locked.db_mut((n % 2) as DbIndex, key);
            data.put(key, None, NewValue::Text(b"v"), expiry, 0);
        }
        let now = 1_600_000_000_000 + count / 2;
        let mut cycles = [ExpireCycle::default(), ExpireCycle::default()];
        for (owner, cycle) in cycles.iter_mut().enumerate() {
            let bin = Bin::inline();
            let mut turns = 0;
            // Out of time every few steps: the cycle goes on where it stopped.
            for _ in 0..2000 {
                cycle.run(
                    &shards,
                    (owner, 2),
                    &log,
                    &bin,
                    now,
                    || {
                        turns += 1;
                        turns % 5 == 0
                    },
                    &Silent,
                );
            }
        }
        let expected: Vec<i64> = (0..count).filter(|n| n % 3 == 0 || *n >= count / 2).collect();
        let locked = shards.lock_all();
        let left: usize = locked.each().flat_map(|s| s.dbs()).map(|db| db.len()).sum();
        assert_eq!(left, expected.len());
        for n in expected {
            let name = n.to_string().into_bytes();
            let key = Key::new(&name);
            assert!(locked.db((n % 2) as DbIndex, key).find(key).is_some(), "{n}");
        }
        assert!(log.end() > 0);
    }

    /// Segments merge while the keys of a batch go, when the bound on what is left of their deadlines is set already.
    #[test]
    fn no_key_is_forgotten_while_its_table_shrinks() {
        for stay in (500..8_000).step_by(500) {
            let shards = Shards::new(1);
            let log = Log::new(0);
            let count = 20_000i64;
            for n in 0..stay + count {
                let name = n.to_string().into_bytes();
                let key = Key::new(&name);
                let expiry = (n >= stay).then_some(1_600_000_000_000 + n % 1000);
                let mut locked = shards.lock_one(0);
                locked.db_mut(0, key).put(key, None, NewValue::Text(b"v"), expiry, 0);
            }
            let (mut cycle, mut gone) = (ExpireCycle::default(), 0);
            for tick in 1..=20 {
                let now = 1_600_000_000_000 + 200 * tick;
                let run = cycle.run(&shards, (0, 1), &log, &Bin::inline(), now, || false, &Silent);
                gone += run.keys;
            }
            let locked = shards.lock_one(0);
            let left = locked.each().map(|shard| (shard.db(0).len(), shard.db(0).expires()));
            assert_eq!(left.collect::<Vec<_>>(), [(stay as usize, 0)]);
            assert_eq!(gone, count as u64);
        }
    }
}
