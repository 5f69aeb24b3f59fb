//! The locked data as a handler sees it: look-ups that expire, typed reads and edits, and the record
//! of what changed.
//!
//! Everything that follows from a change is noted here and only here: watchers are told, the change is
//! counted, waiting clients' keys are listed for the engine, effects are collected for the log.
//! A handler calls [`Data::changed`] once for each key it changed; its arguments are logged as they
//! are unless it gives other effects ([`Data::effect`]).

use std::cell::Cell;
use std::sync::Arc;

use ochre_base::clock::{Millis, Now};
use ochre_base::compat::Compat;
use ochre_base::rng::Rng;
use ochre_keyspace::db::{Db, Edited, Key, NewValue, Stored, Text};
use ochre_keyspace::entry::Kind;
use ochre_keyspace::evict::AccessClock;
use ochre_keyspace::expire::delete;
use ochre_keyspace::lazyfree::Bin;
use ochre_keyspace::lock::{Locked, ShardId, Shards};
use ochre_keyspace::log::{Effects, Log};
pub use ochre_keyspace::notify::Class;
use ochre_keyspace::notify::{Interest, Listener, Reader};
use ochre_keyspace::shard::{DbIndex, Shard};
use ochre_types::limits::Limits;
use ochre_types::table::Slot;
use ochre_types::value::{Type, Value};

use crate::outcome::{Result, WRONG_TYPE};

/// What does not change while a loop handles one batch of commands.
pub struct Env<'a> {
    /// All shards, for commands that walk them one by one without a lock set (SCAN).
    pub shards: &'a Shards,
    /// The log.
    pub log: &'a Log,
    /// Where large values go to be freed.
    pub bin: &'a Bin,
    /// Conversion thresholds.
    pub limits: &'a Limits,
    /// How accesses are noted.
    pub clock: AccessClock,
    /// The moment.
    pub now: Now,
    /// The moment by which keys and fields are past their time, in Unix milliseconds: `now`, or 0 for the
    /// commands of a primary, which finds them itself.
    pub expiry_now: Millis,
    /// What is past its time is hidden from readers but stays: on a replica, until its primary removes it.
    pub keeps_expired: bool,
    /// Number of databases.
    pub databases: DbIndex,
    /// Longest string in bytes: proto-max-bulk-len.
    pub string_max: usize,
    /// Reads leave the access clock alone: CLIENT NO-TOUCH.
    pub no_touch: bool,
    /// DEL frees as UNLINK does: lazyfree-lazy-user-del.
    pub lazy_user_del: bool,
    /// FLUSHDB and FLUSHALL free in the background: lazyfree-lazy-user-flush.
    pub lazy_user_flush: bool,
    /// The server whose texts and names to use where they differ.
    pub compat: Compat,
    /// Strings in the payloads of DUMP and MIGRATE are compressed: rdbcompression.
    pub compress: bool,
    /// Which changes anybody wants to hear of.
    pub interest: Interest,
    /// Who is told of them.
    pub listener: &'a dyn Listener,
}

/// What commands add up, for the loop to collect.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// Look-ups of keys that were there.
    pub hits: u64,
    /// Look-ups of keys that were not.
    pub misses: u64,
    /// Keys that a look-up found expired.
    pub expired: u64,
    /// Hash fields found expired.
    pub expired_fields: u64,
    /// Changes to the data.
    pub dirty: u64,
}

/// The mutable state that commands of one loop share.
#[derive(Debug)]
pub struct Work {
    /// Effects of the command or transaction that runs.
    pub effects: Effects,
    /// Keys that changed and that clients wait for.
    pub ready: Vec<(DbIndex, Vec<u8>)>,
    /// Counters.
    pub counts: Counts,
    /// Random numbers for sampling.
    pub rng: Rng,
    /// Keys that changed and that clients cache, with those clients.
    pub stale: Vec<(Vec<u8>, Vec<Reader>)>,
    /// Keys that changed, when there are clients that cache by prefix.
    pub changed_keys: Vec<Vec<u8>>,
    /// The database, or all of them, was flushed.
    pub flushed: bool,
    /// The client in whose name commands run, 0 for the server.
    pub writer: u64,
    /// The running command may write.
    pub writes: bool,
    /// The primary's bytes of the command or transaction that runs, on a replica: logged in place of
    /// effects.
    pub raw: Vec<u8>,
    /// The log's offset after the last record; 0 when nobody has taken note of it yet.
    pub logged_to: u64,
    /// Large strings to be written at a position of the reply without a copy.
    pub blobs: Vec<(usize, Arc<Vec<u8>>)>,
    /// The running command has given its effects itself, or has none.
    own_effects: bool,
}

impl Work {
    /// Fresh state with a seed for its random numbers.
    pub fn new(seed: u64) -> Self {
        Self {
            effects: Effects::default(),
            ready: Vec::new(),
            stale: Vec::new(),
            changed_keys: Vec::new(),
            flushed: false,
            writer: 0,
            writes: false,
            raw: Vec::new(),
            logged_to: 0,
            counts: Counts::default(),
            rng: Rng::new(seed),
            blobs: Vec::new(),
            own_effects: false,
        }
    }
}

/// The locked data. See the module's head.
#[derive(Debug)]
pub struct Data<'a> {
    /// The shards whose locks are held. Shards live as long as the process, so that one set of locks
    /// can be lent to one command after another.
    pub locked: &'a mut Locked<'static>,
    /// The database the command runs in.
    pub db: DbIndex,
    /// What does not change meanwhile.
    pub env: &'a Env<'a>,
    /// What the loop's commands share.
    pub work: &'a mut Work,
    /// The command's keys as they were hashed for its locks, in the order of the arguments.
    pub keys: &'a [Key<'a>],
    /// The next of `keys` that the handler will ask for, as far as it keeps to their order.
    pub next: Cell<usize>,
}

impl std::fmt::Debug for Env<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Env").field("now", &self.now).finish_non_exhaustive()
    }
}

impl<'a> Data<'a> {
    /// The same data for another command: of a transaction, or in a waiting client's name.
    pub fn lend(&mut self, db: DbIndex) -> Data<'_> {
        Data {
            locked: self.locked,
            db,
            env: self.env,
            work: self.work,
            keys: &[],
            next: Cell::new(0),
        }
    }

    /// Fetches what the look-ups of all the command's keys will touch, in two passes: their buckets,
    /// then the entries that the buckets point at.
    pub fn prefetch(&self) {
        for key in self.keys {
            self.db_of(*key).prefetch_bucket(key.hash);
        }
        for key in self.keys {
            self.db_of(*key).prefetch_entries(key.hash);
        }
    }

    /// Runs `visit` on one shard: under the lock that is held when the command holds all, else under
    /// that shard's lock alone. For commands that walk the keyspace shard by shard.
    pub fn with_shard<R>(&mut self, id: ShardId, visit: impl FnOnce(&mut Shard) -> R) -> R {
        if self.locked.holds_all() {
            return visit(self.locked.shard_mut(u64::from(id)));
        }
        self.env.shards.visit(id, visit)
    }

    /// Deletes those of these keys of a shard that are past their time: for commands that walk the shards and
    /// come upon them. One that clients wait for is left to the cycle, which can tell them.
    pub fn drop_expired(&mut self, id: ShardId, names: &[Vec<u8>]) {
        if self.env.keeps_expired {
            return;
        }
        if self.locked.holds_all() {
            for name in names {
                // Looking deletes, and nothing is found.
                let _ = self.find(Key::new(name));
            }
            return;
        }
        let (env, db) = (self.env, self.db);
        let mut effects = Effects::default();
        let dropped = env.shards.visit(id, |shard| {
            let mut dropped = 0;
            for name in names {
                if shard.is_awaited(db, name) {
                    continue;
                }
                let data = shard.db(db);
                let expiry = data.find(Key::new(name)).and_then(|slot| data.entry(slot).expiry);
                if expiry.is_some_and(|at| at < env.expiry_now) {
                    let why = (Class::Expired, "expired");
                    delete(shard, db, name, why, env.log, &mut effects, env.bin, env.listener);
                    dropped += 1;
                }
            }
            // Under the lock: a later change of the key must not come before its deletion.
            if !effects.is_empty() {
                env.log.append(&effects);
            }
            dropped
        });
        self.work.counts.expired += dropped;
    }

    /// `name` as a key. A handler that asks for its keys in the order of the arguments gets them with
    /// the hash that was computed for the locks.
    #[inline]
    pub fn key(&self, name: &'a [u8]) -> Key<'a> {
        match self.keys.get(self.next.get()) {
            Some(key) if std::ptr::eq(key.name, name) => {
                self.next.set(self.next.get() + 1);
                *key
            }
            _ => self.key_again(name),
        }
    }

    /// A key that was asked for before, or that the command does not declare.
    fn key_again(&self, name: &'a [u8]) -> Key<'a> {
        // Looking through many would cost more than hashing again.
        let few = if self.keys.len() <= 8 { self.keys } else { &[] };
        let known = few.iter().find(|key| std::ptr::eq(key.name, name));
        known.copied().unwrap_or_else(|| Key::new(name))
    }

    /// The database of `key` in its shard, for reading.
    #[inline]
    pub fn db_of(&self, key: Key<'_>) -> &Db {
        self.locked.db(self.db, key)
    }

    /// The database of `key` in its shard, for writing. What is done through it must be told to
    /// [`Data::changed`].
    #[inline]
    pub fn db_mut(&mut self, key: Key<'_>) -> &mut Db {
        self.locked.db_mut(self.db, key)
    }

    /// The place of a key that is there and not expired; one that is expired is deleted. Counts
    /// nothing and touches nothing: for writes.
    #[inline]
    pub fn find(&mut self, key: Key<'_>) -> Option<Slot> {
        let db = self.locked.db(self.db, key);
        let slot = db.find(key)?;
        if db.expires() > 0 {
            return self.live(key, slot);
        }
        Some(slot)
    }

    fn live(&mut self, key: Key<'_>, slot: Slot) -> Option<Slot> {
        let expiry = self.locked.db(self.db, key).entry(slot).expiry;
        if expiry.is_none_or(|at| at >= self.env.expiry_now) {
            return Some(slot);
        }
        if self.env.keeps_expired && !self.work.writes {
            return None;
        }
        let old = self.locked.db_mut(self.db, key).remove(slot);
        self.env.bin.free(old);
        self.work.counts.expired += 1;
        if self.env.log.is_on() {
            self.work.effects.push_expired(self.db, key.name);
        }
        self.tell(key, Class::Expired, "expired");
        None
    }

    /// The same for reads: counts a hit or miss, and notes the access.
    #[inline]
    pub fn look(&mut self, key: Key<'_>) -> Option<Slot> {
        let Some(slot) = self.find(key) else {
            self.work.counts.misses += 1;
            self.announce(key, Class::KeyMiss, "keymiss");
            return None;
        };
        self.work.counts.hits += 1;
        if !self.env.no_touch {
            self.touch(key, slot);
        }
        Some(slot)
    }

    /// The same without noting the access: for TTL, TYPE, EXISTS, OBJECT.
    #[inline]
    pub fn probe(&mut self, key: Key<'_>) -> Option<Slot> {
        let slot = self.find(key);
        if slot.is_some() {
            self.work.counts.hits += 1;
        } else {
            self.work.counts.misses += 1;
            self.announce(key, Class::KeyMiss, "keymiss");
        }
        slot
    }

    /// Notes an access to the key at `slot`.
    #[inline]
    pub fn touch(&mut self, key: Key<'_>, slot: Slot) {
        let db = self.locked.db_mut(self.db, key);
        let old = db.access(slot);
        let new = self.env.clock.touched(old, &mut self.work.rng);
        if new != old {
            db.set_access(slot, new);
        }
    }

    /// The type of the key at `slot`.
    pub fn type_at(&self, key: Key<'_>, slot: Slot) -> Type {
        let db = self.db_of(key);
        type_of(&db.stored(&db.entry(slot)))
    }

    /// A string, for reading. O(1).
    #[inline]
    pub fn text(&mut self, key: Key<'_>) -> Result<Option<Text<'_>>> {
        let Some(slot) = self.look(key) else {
            return Ok(None);
        };
        let db = self.locked.db(self.db, key);
        db.text(&db.entry(slot)).map(Some).ok_or(WRONG_TYPE)
    }

    /// A string, for a write that looks first: counts nothing.
    #[inline]
    pub fn text_at(&self, key: Key<'_>, slot: Slot) -> Result<Text<'_>> {
        let db = self.locked.db(self.db, key);
        db.text(&db.entry(slot)).ok_or(WRONG_TYPE)
    }

    /// What lies under a key, for reading: counts and touches.
    #[inline]
    pub fn stored(&mut self, key: Key<'_>) -> Option<Stored<'_>> {
        let slot = self.look(key)?;
        let db = self.locked.db(self.db, key);
        Some(db.stored(&db.entry(slot)))
    }

    /// What lies under a key, without counting or touching.
    pub fn peek(&mut self, key: Key<'_>) -> Option<Stored<'_>> {
        let slot = self.find(key)?;
        let db = self.locked.db(self.db, key);
        Some(db.stored(&db.entry(slot)))
    }

    /// What lies under a key, through a shared borrow, so that several keys can be read at once. Call
    /// [`Data::look`] on all of them first: it deletes, counts and touches, which this does not. An
    /// expired key counts as absent.
    pub fn view(&self, key: Key<'_>) -> Option<Stored<'_>> {
        let db = self.locked.db(self.db, key);
        let entry = db.entry(db.find(key)?);
        let live = entry.expiry.is_none_or(|at| at >= self.env.expiry_now);
        live.then(|| db.stored(&entry))
    }

    /// Lends the collection under `key` out for changes. `empty` makes the value when the key is
    /// absent and `absent` says to create it; `change` gets any type and has to look. None when the
    /// key is absent and is not to be created. A collection left empty takes its key with it, which
    /// the second result says. The caller tells [`Data::changed`].
    pub fn edit<R>(
        &mut self,
        key: Key<'_>,
        create: Option<fn() -> Value>,
        change: impl FnOnce(&mut Value, &Limits, &mut Work) -> Result<R>,
    ) -> Result<Option<(R, Left)>> {
        let Some(slot) = self.find(key) else {
            let Some(make) = create else { return Ok(None) };
            let mut value = make();
            let result = change(&mut value, self.env.limits, self.work)?;
            if value.is_empty() {
                return Ok(Some((result, Left::Nothing)));
            }
            let access = self.env.clock.fresh();
            self.locked.db_mut(self.db, key).put(key, None, NewValue::Whole(value), None, access);
            self.announce(key, Class::New, "new");
            return Ok(Some((result, Left::Created)));
        };
        let limits = self.env.limits;
        let work = &mut *self.work;
        let db = self.locked.db_mut(self.db, key);
        if matches!(db.entry(slot).kind, Kind::Bytes | Kind::RawBytes | Kind::Int) {
            return Err(WRONG_TYPE);
        }
        let (result, edited) = db.edit(slot, |value| change(value, limits, work));
        let result = result?;
        match edited {
            Edited::Kept => {
                self.touch(key, slot);
                Ok(Some((result, Left::Changed)))
            }
            Edited::Emptied(old) => {
                self.env.bin.free(old);
                Ok(Some((result, Left::Nothing)))
            }
        }
    }

    /// Stores a value whole under `key`, whatever was there. `slot` is what [`Data::find`] said.
    #[inline]
    pub fn put(
        &mut self,
        key: Key<'_>,
        slot: Option<Slot>,
        value: NewValue<'_>,
        expiry: Option<Millis>,
    ) {
        let db = self.locked.db_mut(self.db, key);
        let access = match slot {
            // A value that is written over keeps how often its key was used.
            Some(slot) if self.env.clock.lfu => {
                self.env.clock.touched(db.access(slot), &mut self.work.rng)
            }
            _ => self.env.clock.fresh(),
        };
        let old = db.put(key, slot, value, expiry, access);
        if old.is_some() {
            self.env.bin.free(old);
        }
        if slot.is_none() {
            self.announce(key, Class::New, "new");
        }
    }

    /// Deletes a key that is there and not expired. O(1), large values being freed elsewhere.
    pub fn delete(&mut self, key: Key<'_>) -> bool {
        let Some(slot) = self.find(key) else {
            return false;
        };
        let old = self.locked.db_mut(self.db, key).remove(slot);
        self.env.bin.free(old);
        true
    }

    /// The absolute expiry of the key at `slot`.
    #[inline]
    pub fn expiry_at(&self, key: Key<'_>, slot: Slot) -> Option<Millis> {
        self.db_of(key).entry(slot).expiry
    }

    /// Notes that a key changed, by the event's class and name: one change for INFO, watchers and
    /// waiters are told, and the command's arguments will be logged unless it gives other effects.
    #[inline]
    pub fn changed(&mut self, key: Key<'_>, class: Class, event: &'static str) {
        self.work.counts.dirty += 1;
        self.tell(key, class, event);
    }

    /// Tells watchers, waiters, clients that cache, and listeners of a change.
    #[inline]
    pub fn tell(&mut self, key: Key<'_>, class: Class, event: &'static str) {
        if !self.env.interest.is_none() {
            self.publish(key, class, event);
        }
        if !self.locked.shard(key.hash).is_unobserved() {
            self.observed(key);
        }
    }

    #[cold]
    fn publish(&mut self, key: Key<'_>, class: Class, event: &'static str) {
        self.announce(key, class, event);
        if self.env.interest.has_prefixes() {
            self.work.changed_keys.push(key.name.to_vec());
        }
    }

    /// Tells listeners of an event that is no change.
    #[inline]
    pub fn announce(&self, key: Key<'_>, class: Class, event: &'static str) {
        if self.env.interest.has(class) {
            self.env.listener.event(class, event, self.db, key.name);
        }
    }

    /// Tells listeners which parts of its value (fields of a hash) an event on a key was about.
    #[inline]
    pub fn tell_parts<'p>(
        &self,
        key: Key<'_>,
        class: Class,
        event: &'static str,
        parts: impl IntoIterator<Item = &'p [u8]>,
    ) {
        if self.env.interest.has_parts(class) {
            let parts: Vec<&[u8]> = parts.into_iter().collect();
            if !parts.is_empty() {
                self.env.listener.parts(event, self.db, key.name, &parts);
            }
        }
    }

    #[cold]
    fn observed(&mut self, key: Key<'_>) {
        let shard = self.locked.shard_mut(key.hash);
        shard.mark_changed(self.db, key.name);
        let readers = shard.take_readers(key.name);
        if shard.is_awaited(self.db, key.name) {
            self.work.ready.push((self.db, key.name.to_vec()));
        }
        if !readers.is_empty() {
            self.work.stale.push((key.name.to_vec(), readers));
        }
    }

    /// Logs this instead of the command's arguments; may be called several times.
    pub fn effect<A: AsRef<[u8]>>(&mut self, args: impl ExactSizeIterator<Item = A>) {
        self.work.own_effects = true;
        if self.env.log.is_on() {
            self.work.effects.push(self.db, args);
        }
    }

    /// Logs nothing for this command, whatever changed.
    pub fn no_effect(&mut self) {
        self.work.own_effects = true;
    }

    /// Before a command: forgets what the last one said of its effects. Returns the count of changes
    /// so far, for [`Data::finish`].
    #[inline]
    pub fn begin(&mut self) -> u64 {
        self.work.own_effects = false;
        self.work.counts.dirty
    }

    /// After a command: collects its arguments as an effect, if it changed something and gave no
    /// effects of its own. `before` is what [`Data::begin`] returned.
    #[inline]
    pub fn finish(&mut self, before: u64, args: &[&[u8]]) {
        if self.work.counts.dirty != before && !self.work.own_effects && self.env.log.is_on() {
            self.work.effects.push(self.db, args.iter());
        }
    }
}

/// What an edit left under the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// A value that was there before.
    Changed,
    /// A new value.
    Created,
    /// Nothing: the collection is empty, or was never made.
    Nothing,
}

/// The type of what is stored.
pub fn type_of(stored: &Stored<'_>) -> Type {
    match stored {
        Stored::Object(value) => value.type_of(),
        Stored::Inline(kind, _) => match kind {
            Kind::Bytes | Kind::RawBytes | Kind::Int | Kind::Object => Type::String,
            Kind::List => Type::List,
            Kind::Hash | Kind::HashEx => Type::Hash,
            Kind::Ints | Kind::Set => Type::Set,
            Kind::Zset => Type::Zset,
        },
    }
}
