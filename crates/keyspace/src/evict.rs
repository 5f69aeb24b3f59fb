//! Eviction: which key goes when memory is short (R3.3), and the access clocks that decide.
//!
//! Each entry has 24 bits. Under an LRU policy (and when there is none) they hold the clock of the
//! last access in seconds; under an LFU policy the upper 16 hold minutes and the lower 8 a
//! logarithmic counter of accesses that decays with time. Both are approximations in Redis' manner:
//! a few random keys are sampled and the best candidates of several rounds are kept in a small pool,
//! whose best one goes. Sampling takes one shard's lock at a time, and nothing is held when a
//! command begins. Source: Redis' documentation, "Key eviction".

use ochre_base::clock::Millis;
use ochre_base::rng::Rng;

use crate::db::{Db, Key};
use crate::entry::Entry;
use crate::expire::{Gone, delete};
use crate::lazyfree::Bin;
use crate::lock::{ShardId, Shards};
use crate::log::{Effects, Log};
use crate::notify::{Class, Listener};
use crate::shard::DbIndex;

/// Candidates kept between rounds.
const POOL: usize = 16;
/// The counter of a key that is new, so that it is not the first to go.
const LFU_INIT: u32 = 5;
const CLOCK_MASK: u32 = (1 << 24) - 1;

/// What is evicted when maxmemory is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Policy {
    /// Nothing: writes are refused.
    #[default]
    NoEviction,
    /// The key not accessed for longest.
    AllKeysLru,
    /// The key accessed least often.
    AllKeysLfu,
    /// Any key.
    AllKeysRandom,
    /// As `AllKeysLru`, of the keys that expire.
    VolatileLru,
    /// As `AllKeysLfu`, of the keys that expire.
    VolatileLfu,
    /// Any key that expires.
    VolatileRandom,
    /// The key that expires soonest.
    VolatileTtl,
}

impl Policy {
    /// Whether the access clocks count frequency.
    #[inline]
    pub fn is_lfu(self) -> bool {
        matches!(self, Self::AllKeysLfu | Self::VolatileLfu)
    }

    /// Whether access clocks decide what goes.
    pub fn uses_access(self) -> bool {
        self.is_lfu() || matches!(self, Self::AllKeysLru | Self::VolatileLru)
    }

    /// Whether only keys that expire may go.
    #[inline]
    pub fn is_volatile(self) -> bool {
        matches!(
            self,
            Self::VolatileLru | Self::VolatileLfu | Self::VolatileRandom | Self::VolatileTtl
        )
    }

    fn is_random(self) -> bool {
        matches!(self, Self::AllKeysRandom | Self::VolatileRandom)
    }
}

/// How accesses are noted: made once for a loop turn from the configuration and the time.
#[derive(Clone, Copy, Debug, Default)]
pub struct AccessClock {
    /// Count frequency instead of time.
    pub lfu: bool,
    /// Unix time in seconds.
    pub seconds: u32,
    /// lfu-log-factor: how much more rarely a high counter grows.
    pub log_factor: u32,
    /// lfu-decay-time: minutes after which a counter loses one; 0: at every look.
    pub decay_minutes: u32,
}

impl AccessClock {
    /// The clock of a key that is made now.
    #[inline]
    pub fn fresh(&self) -> u32 {
        if self.lfu { self.minutes() << 8 | LFU_INIT } else { self.seconds & CLOCK_MASK }
    }

    #[inline]
    fn minutes(&self) -> u32 {
        (self.seconds / 60) & 0xFFFF
    }

    /// The clock of a key that had `old` and is accessed now; equal to `old` when nothing changes,
    /// so that a read need not dirty the entry's line.
    #[inline]
    pub fn touched(&self, old: u32, rng: &mut Rng) -> u32 {
        if !self.lfu {
            return self.seconds & CLOCK_MASK;
        }
        let counter = self.frequency(old);
        let above = counter.saturating_sub(LFU_INIT);
        let grows = counter < 255 && rng.below(u64::from(above * self.log_factor) + 1) == 0;
        self.minutes() << 8 | (counter + u32::from(grows))
    }

    /// Seconds since the last access.
    #[inline]
    pub fn idle_seconds(&self, access: u32) -> u32 {
        (self.seconds & CLOCK_MASK).wrapping_sub(access) & CLOCK_MASK
    }

    /// The access counter, decayed to now.
    #[inline]
    pub fn frequency(&self, access: u32) -> u32 {
        let elapsed = self.minutes().wrapping_sub(access >> 8) & 0xFFFF;
        let lost = elapsed.checked_div(self.decay_minutes).unwrap_or(0);
        (access & 0xFF).saturating_sub(lost)
    }

    /// The clock of a key idle for so many seconds: for OBJECT tests and RESTORE.
    pub fn idle_since(&self, seconds: u32) -> u32 {
        self.seconds.wrapping_sub(seconds) & CLOCK_MASK
    }

    /// The clock of a key that a file says was idle for so long, or used so often.
    pub fn restored(&self, idle_s: Option<u64>, frequency: Option<u8>) -> u32 {
        match (self.lfu, idle_s, frequency) {
            (true, _, Some(frequency)) => self.with_frequency(frequency),
            (false, Some(idle_s), _) => self.idle_since(idle_s.min(u64::from(CLOCK_MASK)) as u32),
            _ => self.fresh(),
        }
    }

    /// The clock of a key with this frequency.
    pub fn with_frequency(&self, frequency: u8) -> u32 {
        self.minutes() << 8 | u32::from(frequency)
    }
}

#[derive(Debug)]
struct Candidate {
    /// Higher goes first.
    score: u64,
    db: DbIndex,
    name: Box<[u8]>,
}

/// The eviction state of one loop.
#[derive(Debug)]
pub struct Evictor {
    pool: Vec<Candidate>,
    rng: Rng,
    effects: Effects,
    /// Keys that were evicted and that clients wait for: see [`crate::expire::ExpireCycle::gone`].
    pub gone: Gone,
}

/// What a round of eviction is to do.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Which keys.
    pub policy: Policy,
    /// maxmemory-samples: keys looked at for each eviction.
    pub samples: usize,
    /// How accesses are noted.
    pub clock: AccessClock,
}

impl Evictor {
    /// A new evictor with its own random numbers.
    pub fn new(seed: u64) -> Self {
        let (effects, gone) = Default::default();
        Self { pool: Vec::with_capacity(POOL), rng: Rng::new(seed), effects, gone }
    }

    /// Evicts one key and tells `listener` of it. False when no key qualifies. No lock is held before or
    /// after.
    pub fn evict_one(
        &mut self,
        shards: &Shards,
        order: &Order,
        log: &Log,
        bin: &Bin,
        listener: &dyn Listener,
    ) -> bool {
        // Most rounds end at once; a pool full of keys that have gone meanwhile takes a few more,
        // and nearly empty shards make sampling miss.
        for attempt in 0..3 {
            self.fill(shards, order, attempt);
            while let Some(candidate) = self.pool.pop() {
                let name = &candidate.name;
                let key = Key::new(name);
                let mut locked = shards.lock_one(shards.of(key.hash));
                let data = locked.db(candidate.db, key);
                let Some(slot) = data.find(key) else { continue };
                let entry = data.entry(slot);
                if order.policy.is_volatile() && entry.expiry.is_none() {
                    continue;
                }
                // Accessed since it was sampled: it no longer is what it was chosen for.
                if score(order, &entry).saturating_add(1) < candidate.score {
                    continue;
                }
                self.effects.clear();
                let shard = locked.shard_mut(key.hash);
                let why = (Class::Evicted, "evicted");
                if shard.is_awaited(candidate.db, name) {
                    self.gone.push((candidate.db, name.to_vec()));
                }
                delete(shard, candidate.db, name, why, log, &mut self.effects, bin, listener);
                if !self.effects.is_empty() {
                    log.append(&self.effects);
                }
                return true;
            }
        }
        false
    }

    /// Samples keys into the pool. A first attempt looks at one shard, later ones at all, so that a
    /// single key left anywhere is found.
    fn fill(&mut self, shards: &Shards, order: &Order, attempt: u32) {
        let start = self.rng.below(shards.count() as u64) as usize;
        let mut seen = 0;
        for step in 0..shards.count() {
            let id = ((start + step) % shards.count()) as ShardId;
            let Self { pool, rng, .. } = self;
            let locked = shards.lock_one(id);
            for shard in locked.each() {
                let dbs = shard.dbs();
                let first = rng.below(dbs.len().max(1) as u64) as usize;
                for turn in 0..dbs.len() {
                    let db = (first + turn) % dbs.len();
                    seen += sample(&dbs[db], db as DbIndex, order, pool, rng);
                }
            }
            if seen >= order.samples && attempt < 2 {
                break;
            }
        }
    }
}

/// Puts up to `order.samples` random keys of a database into the pool; returns how many it saw.
fn sample(
    data: &Db,
    db: DbIndex,
    order: &Order,
    pool: &mut Vec<Candidate>,
    rng: &mut Rng,
) -> usize {
    let wanted = if order.policy.is_random() { 1 } else { order.samples };
    if !order.policy.is_volatile() {
        let mut seen = 0;
        for _ in 0..wanted.min(data.len()) {
            if let Some(value) = data.table().sample(|| rng.next_u64()) {
                consider(pool, order, db, &data.entry_of(value));
                seen += 1;
            }
        }
        return seen;
    }
    if data.expires() == 0 {
        return 0;
    }
    // A random segment that holds a deadline, then its keys that expire, from a random one on.
    let segments = data.table().segments();
    let start = rng.below(segments as u64) as usize;
    let segment = data.table().due_segment(start, u64::MAX);
    let Some(segment) = segment.or_else(|| data.table().due_segment(0, u64::MAX)) else {
        return 0;
    };
    let expiring: Vec<u32> = data
        .table()
        .segment_values(segment)
        .filter(|&value| data.entry_of(value).expiry.is_some())
        .collect();
    for _ in 0..wanted.min(expiring.len()) {
        let value = expiring[rng.below(expiring.len() as u64) as usize];
        consider(pool, order, db, &data.entry_of(value));
    }
    expiring.len()
}

fn score(order: &Order, entry: &Entry<'_>) -> u64 {
    match order.policy {
        Policy::AllKeysLru | Policy::VolatileLru => {
            u64::from(order.clock.idle_seconds(entry.access))
        }
        Policy::AllKeysLfu | Policy::VolatileLfu => {
            255 - u64::from(order.clock.frequency(entry.access))
        }
        Policy::VolatileTtl => u64::MAX - expiry_rank(entry.expiry),
        Policy::AllKeysRandom | Policy::VolatileRandom | Policy::NoEviction => 0,
    }
}

fn expiry_rank(expiry: Option<Millis>) -> u64 {
    expiry.map_or(u64::MAX, |at| at.max(0) as u64)
}

/// Keeps the pool sorted by score, best last, without repeats.
fn consider(pool: &mut Vec<Candidate>, order: &Order, db: DbIndex, entry: &Entry<'_>) {
    let score = score(order, entry);
    if pool.len() == POOL && score <= pool[0].score {
        return;
    }
    if pool.iter().any(|held| held.db == db && *held.name == *entry.key) {
        return;
    }
    if pool.len() == POOL {
        pool.remove(0);
    }
    let at = pool.partition_point(|held| held.score < score);
    pool.insert(at, Candidate { score, db, name: entry.key.into() });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::NewValue;
    use crate::notify::{Interest, Reader};

    fn fill(shards: &Shards, count: u32, expiry: impl Fn(u32) -> Option<Millis>) {
        for n in 0..count {
            let name = n.to_string().into_bytes();
            let key = Key::new(&name);
            let mut locked = shards.lock_one(shards.of(key.hash));
            locked.db_mut(0, key).put(key, None, NewValue::Text(b"v"), expiry(n), n);
        }
    }

    /// Notes what was evicted.
    #[derive(Default)]
    struct Gone(std::sync::Mutex<Vec<u32>>);

    impl Listener for Gone {
        fn interest(&self) -> Interest {
            Interest(Class::Evicted as u32)
        }

        fn event(&self, _: Class, event: &'static str, _: DbIndex, name: &[u8]) {
            assert_eq!(event, "evicted");
            self.0.lock().unwrap().push(String::from_utf8_lossy(name).parse().unwrap());
        }

        fn parts(&self, _: &'static str, _: DbIndex, _: &[u8], _: &[&[u8]]) {}

        fn stale(&self, _: &[u8], _: &[Reader], _: u64) {}

        fn changed_keys(&self, _: &[Vec<u8>], _: u64) {}
    }

    fn evict_all(policy: Policy, seconds: u32, count: u32) -> Vec<u32> {
        let shards = Shards::new(64);
        fill(&shards, count, |n| (n % 2 == 0).then_some(1_700_000_000_000 + i64::from(n)));
        let clock = AccessClock { lfu: policy.is_lfu(), seconds, log_factor: 10, decay_minutes: 1 };
        let order = Order { policy, samples: 5, clock };
        let mut evictor = Evictor::new(1);
        let gone = Gone::default();
        while evictor.evict_one(&shards, &order, &Log::new(0), &Bin::inline(), &gone) {}
        gone.0.into_inner().unwrap()
    }

    #[test]
    fn every_key_that_qualifies_goes_and_no_other() {
        for policy in [Policy::AllKeysRandom, Policy::AllKeysLru, Policy::AllKeysLfu] {
            assert_eq!(evict_all(policy, 10_000, 300).len(), 300, "{policy:?}");
        }
        for policy in
            [Policy::VolatileLru, Policy::VolatileLfu, Policy::VolatileRandom, Policy::VolatileTtl]
        {
            let mut gone = evict_all(policy, 10_000, 300);
            gone.sort_unstable();
            assert_eq!(gone, (0..300).filter(|n| n % 2 == 0).collect::<Vec<_>>(), "{policy:?}");
        }
    }

    /// The first half to go is mostly the older half.
    #[test]
    fn lru_and_ttl_prefer_the_old_and_the_soon() {
        for policy in [Policy::AllKeysLru, Policy::VolatileTtl] {
            let gone = evict_all(policy, 5_000, 4_000);
            let half = &gone[..gone.len() / 2];
            let old = half.iter().filter(|n| **n < 2_000).count();
            assert!(old * 10 > half.len() * 8, "{policy:?}: {old} of {}", half.len());
        }
    }

    #[test]
    fn counters_grow_slowly_and_decay() {
        let clock = AccessClock { lfu: true, seconds: 600, log_factor: 10, decay_minutes: 1 };
        let mut rng = Rng::new(5);
        let mut access = clock.fresh();
        assert_eq!(clock.frequency(access), LFU_INIT);
        for _ in 0..1000 {
            access = clock.touched(access, &mut rng);
        }
        let after = clock.frequency(access);
        assert!((10..40).contains(&after), "{after}");
        let later = AccessClock { seconds: 600 + 7 * 60, ..clock };
        assert_eq!(later.frequency(access), after - 7);
    }
}
