//! A shard: its part of every database, the clients that wait for its keys, and the watches on
//! them. All of it is guarded by the shard's lock (see [`crate::lock`]).

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ochre_base::clock::Millis;
use ochre_types::capture::{Remains, Step};
use ochre_types::value::{Type, Value};

use crate::db::{Db, Key};
use crate::key_hasher::KeyHasher;
use crate::notify::Reader;
use crate::snapshot::{Next, Place, Shared, Ticket};

/// Number of a database, from 0.
pub type DbIndex = u16;

/// The flag of one client's watches: raised by whoever changes a watched key.
pub type WatchFlag = Arc<AtomicBool>;

/// A client that waits in one or more keys' queues.
#[derive(Debug)]
pub struct Waiter {
    /// Loop that owns the client.
    pub event_loop: u16,
    /// The client's id.
    pub client: u64,
    /// Taken by whoever ends the wait: the writer that serves it, its time-out, its disconnection,
    /// CLIENT UNBLOCK. Exactly one wins.
    claimed: AtomicBool,
    /// The blocked command, for the writer to run in the waiter's name.
    pub command: BlockedCommand,
}

/// What a blocked client asked for.
#[derive(Debug)]
pub struct BlockedCommand {
    /// What to run when a key is ready: the blocked command cut down to one key.
    pub args: Vec<Vec<u8>>,
    /// Where in `args` the ready key goes.
    pub key_at: usize,
    /// The type of value that can serve it.
    pub wants: Type,
    /// The database it was sent to.
    pub db: DbIndex,
    /// Protocol version of the reply: 2 or 3.
    pub protocol: u8,
    /// Hashes of the keys, besides those waited on, that serving it will lock (a destination).
    pub also: Vec<u64>,
}

impl Waiter {
    /// A waiter that nobody has claimed.
    pub fn new(event_loop: u16, client: u64, command: BlockedCommand) -> Self {
        Self { event_loop, client, claimed: AtomicBool::new(false), command }
    }

    /// True for exactly one caller, which then ends the wait.
    pub fn claim(&self) -> bool {
        !self.claimed.swap(true, Ordering::AcqRel)
    }

    /// Whether somebody has ended the wait.
    pub fn is_claimed(&self) -> bool {
        self.claimed.load(Ordering::Acquire)
    }
}

type KeyMap<V> = HashMap<(DbIndex, Box<[u8]>), V, BuildHasherDefault<KeyHasher>>;

/// What a shard's lock guards.
#[derive(Debug, Default)]
pub struct Shard {
    /// Databases up to the highest one used; the others are empty.
    dbs: Vec<Db>,
    /// Flushed databases that a snapshot has still to capture.
    orphans: Vec<Db>,
    /// Values of flushed databases that a snapshot has begun to take.
    open_orphans: Vec<(Arc<Ticket>, Value)>,
    waiters: KeyMap<VecDeque<Arc<Waiter>>>,
    watches: KeyMap<Vec<WatchFlag>>,
    /// Clients that cache a key of any database.
    readers: HashMap<Box<[u8]>, Vec<Reader>, BuildHasherDefault<KeyHasher>>,
}

static EMPTY: std::sync::LazyLock<Db> = std::sync::LazyLock::new(Db::default);

impl Shard {
    /// A database, for reading.
    #[inline]
    pub fn db(&self, index: DbIndex) -> &Db {
        self.dbs.get(usize::from(index)).unwrap_or_else(|| &EMPTY)
    }

    /// A database, for writing.
    #[inline]
    pub fn db_mut(&mut self, index: DbIndex) -> &mut Db {
        let index = usize::from(index);
        if index >= self.dbs.len() {
            self.dbs.resize_with(index + 1, Db::default);
        }
        &mut self.dbs[index]
    }

    /// Takes a database out whole, for FLUSHDB; how many keys it had. What a snapshot has still to
    /// capture stays behind for it. O(1).
    pub fn take_db(&mut self, index: DbIndex) -> (Db, usize) {
        let taken = self.dbs.get_mut(usize::from(index)).map(std::mem::take);
        let mut taken = taken.unwrap_or_default();
        let keys = taken.len();
        self.open_orphans.append(&mut taken.take_open_values());
        if taken.is_walked() {
            self.orphans.push(taken);
            return (Db::default(), keys);
        }
        (taken, keys)
    }

    /// Puts a database in the place of one that was taken out ([`Shard::take_db`]). O(1).
    pub fn put_db(&mut self, index: DbIndex, db: Db) {
        *self.db_mut(index) = db;
    }

    /// All of its databases, of a shard that no client ever saw.
    pub fn into_dbs(self) -> Vec<Db> {
        self.dbs
    }

    /// The cut of a snapshot for this shard: see [`crate::snapshot`].
    pub(crate) fn begin_walk(&mut self, shared: &Arc<Shared>) {
        for (index, db) in self.dbs.iter_mut().enumerate() {
            db.begin_walk(index as DbIndex, shared);
        }
    }

    /// Captures some more entries; false when there are no more.
    pub fn walk(&mut self, count: usize) -> bool {
        match self.dbs.iter_mut().find(|db| db.is_walked()) {
            Some(db) => {
                db.walk(count);
                true
            }
            None => !self.orphans.is_empty(),
        }
    }

    /// Takes out a database that was flushed before the snapshot had captured all of it.
    pub fn take_orphan(&mut self) -> Option<Db> {
        self.orphans.pop()
    }

    /// Any key that a snapshot has begun to take in parts.
    pub(crate) fn next_open(&mut self) -> Option<Next> {
        if let Some((ticket, value)) = self.open_orphans.pop() {
            return Some(Next::Taken(ticket, value));
        }
        self.dbs.iter_mut().enumerate().find_map(|(at, db)| db.next_open(at))
    }

    /// That key of a ticket, if it is here.
    pub(crate) fn find_open(&mut self, ticket: &Arc<Ticket>) -> Option<Next> {
        let is_it = |(known, _): &(Arc<Ticket>, Value)| Arc::ptr_eq(known, ticket);
        if let Some(at) = self.open_orphans.iter().position(is_it) {
            let (ticket, value) = self.open_orphans.swap_remove(at);
            return Some(Next::Taken(ticket, value));
        }
        self.dbs.iter_mut().enumerate().find_map(|(at, db)| db.find_open(at, ticket))
    }

    /// The next part of it, if it is still at that place.
    pub(crate) fn step(&mut self, place: Place, ticket: &Arc<Ticket>) -> Option<Step> {
        self.dbs.get_mut(place.db)?.step(place, ticket)
    }

    /// Gives it up, if it is still at that place.
    pub(crate) fn end_open(&mut self, place: Place, ticket: &Arc<Ticket>) -> Option<Vec<Remains>> {
        self.dbs.get_mut(place.db)?.end_open(place, ticket)
    }

    /// Exchanges two databases. Waiters and watches stay with their numbers.
    pub fn swap_dbs(&mut self, a: DbIndex, b: DbIndex) {
        self.db_mut(a.max(b));
        self.dbs.swap(usize::from(a), usize::from(b));
    }

    /// Databases that may hold keys.
    pub fn dbs(&self) -> &[Db] {
        &self.dbs
    }

    /// Whether no client waits, watches or caches here: the usual case, checked first by writers.
    #[inline]
    pub fn is_unobserved(&self) -> bool {
        self.waiters.is_empty() && self.watches.is_empty() && self.readers.is_empty()
    }

    /// Notes that a client caches a key. True when no client did so far, and the number of clients is
    /// one more when the second is true.
    pub fn track(&mut self, key: &[u8], reader: Reader) -> (bool, bool) {
        let Some(readers) = self.readers.get_mut(key) else {
            self.readers.insert(key.into(), vec![reader]);
            return (true, true);
        };
        match readers.iter_mut().find(|known| known.client == reader.client) {
            Some(known) => {
                *known = reader;
                (false, false)
            }
            None => {
                readers.push(reader);
                (false, true)
            }
        }
    }

    /// Takes out the clients that cache a key.
    pub fn take_readers(&mut self, key: &[u8]) -> Vec<Reader> {
        match self.readers.is_empty() {
            true => Vec::new(),
            false => self.readers.remove(key).unwrap_or_default(),
        }
    }

    /// Any key that a client caches.
    pub fn any_tracked(&self) -> Option<Box<[u8]>> {
        self.readers.keys().next().cloned()
    }

    /// Forgets all clients that cache keys.
    pub fn forget_readers(&mut self) {
        self.readers = HashMap::default();
    }

    /// Keys that clients cache, and the sum of the clients of each.
    pub fn tracked(&self) -> (usize, usize) {
        (self.readers.len(), self.readers.values().map(Vec::len).sum())
    }

    /// Whether any client waits here.
    #[inline]
    pub fn has_waiters(&self) -> bool {
        !self.waiters.is_empty()
    }

    /// Appends a waiter to a key's queue.
    pub fn wait(&mut self, db: DbIndex, key: &[u8], waiter: Arc<Waiter>) {
        self.waiters.entry((db, key.into())).or_default().push_back(waiter);
    }

    /// The first unclaimed waiter of a key at or after position `from`, with its position.
    /// Claimed ones before it are dropped.
    pub fn waiter(&mut self, db: DbIndex, key: &[u8], from: usize) -> Option<(usize, Arc<Waiter>)> {
        let id = (db, key.into());
        let queue = self.waiters.get_mut(&id)?;
        queue.retain(|waiter| !waiter.is_claimed());
        if queue.is_empty() {
            self.waiters.remove(&id);
            return None;
        }
        queue.get(from).map(|waiter| (from, Arc::clone(waiter)))
    }

    /// The unclaimed waiters of a key that want a stream, in the order of their arrival.
    pub fn stream_waiters(&self, db: DbIndex, key: &[u8]) -> Vec<Arc<Waiter>> {
        let wants =
            |waiter: &&Arc<Waiter>| waiter.command.wants == Type::Stream && !waiter.is_claimed();
        let queue = self.waiters.get(&(db, Box::from(key)));
        queue.into_iter().flatten().filter(wants).cloned().collect()
    }

    /// Whether a client waits for a key.
    pub fn is_awaited(&self, db: DbIndex, key: &[u8]) -> bool {
        !self.waiters.is_empty() && self.waiters.contains_key(&(db, Box::from(key)))
    }

    /// Takes a waiter out of a key's queue. The order of the others stays.
    pub fn forget_waiter(&mut self, db: DbIndex, key: &[u8], waiter: &Arc<Waiter>) {
        let id = (db, key.into());
        if let Some(queue) = self.waiters.get_mut(&id) {
            queue.retain(|other| !Arc::ptr_eq(other, waiter));
            if queue.is_empty() {
                self.waiters.remove(&id);
            }
        }
    }

    /// All keys that clients wait for, with the waiters' further hashes: what a writer that makes
    /// keys of this shard ready may have to lock besides its own.
    pub fn waiters(&self) -> impl Iterator<Item = (DbIndex, &[u8], &Arc<Waiter>)> {
        self.waiters
            .iter()
            .flat_map(|((db, key), queue)| queue.iter().map(move |w| (*db, &key[..], w)))
    }

    /// Keys that clients wait for.
    pub fn awaited_keys(&self) -> usize {
        self.waiters.len()
    }

    /// Raises `flag` when the key changes.
    pub fn watch(&mut self, db: DbIndex, key: &[u8], flag: WatchFlag) {
        self.watches.entry((db, key.into())).or_default().push(flag);
    }

    /// Ends one client's watch of a key.
    pub fn unwatch(&mut self, db: DbIndex, key: &[u8], flag: &WatchFlag) {
        let id = (db, key.into());
        if let Some(flags) = self.watches.get_mut(&id) {
            flags.retain(|other| !Arc::ptr_eq(other, flag));
            if flags.is_empty() {
                self.watches.remove(&id);
            }
        }
    }

    /// Tells the watchers of a key that it changed.
    #[inline]
    pub fn mark_changed(&self, db: DbIndex, key: &[u8]) {
        if self.watches.is_empty() {
            return;
        }
        for flag in self.watches.get(&(db, Box::from(key))).into_iter().flatten() {
            flag.store(true, Ordering::Release);
        }
    }

    /// Tells the watchers of a database that it was flushed or exchanged; `other` is what takes its
    /// place. A key that is in neither has not changed.
    pub fn mark_db_changed(&self, db: DbIndex, other: Option<&Db>, now: Millis) {
        for ((watched, key), flags) in &self.watches {
            if *watched != db {
                continue;
            }
            let key = Key::new(key);
            // A key past its time is not there, whether or not it has been deleted.
            let is_live = |db: &Db| {
                let entry = db.find(key).map(|slot| db.entry(slot));
                entry.is_some_and(|entry| entry.expiry.is_none_or(|at| at >= now))
            };
            if is_live(self.db(db)) || other.is_some_and(is_live) {
                flags.iter().for_each(|flag| flag.store(true, Ordering::Release));
            }
        }
    }

    /// Keys that clients watch.
    pub fn watched_keys(&self) -> usize {
        self.watches.len()
    }
}
