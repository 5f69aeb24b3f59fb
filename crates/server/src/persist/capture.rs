//! Entries of a cut on their way into a file.
//!
//! Under a shard's lock an entry is only copied, as it lies there: by a writer that is about to change it, or
//! by the walker. The thread that saves makes records of the copies between two steps of the walker, with no
//! lock held. Large strings and sketches are not copied but shared, until their key changes.
//!
//! ```text
//! copy   [kind:1][has expiry:1][access:4][expiry:8][key length:4][value length:4][key][value]   little endian
//! ```
//!
//! A key that comes in parts has its record open for as long as that takes; nothing else is written then, and
//! what writers capture waits. The queue of copies is bounded: when the sink does not keep up, the snapshot is
//! given up, not the server.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ochre_families::dump::value_ref;
use ochre_keyspace::db::Stored;
use ochre_keyspace::entry::{Entry, Kind};
use ochre_keyspace::evict::AccessClock;
use ochre_keyspace::shard::DbIndex;
use ochre_keyspace::snapshot::{By, Capture, Ticket};
use ochre_rdb::{Dialect, KeyMeta, PartsEncoder, ValueRef, encode_key};
use ochre_types::capture::Part;
use ochre_types::value::{Value, packed_hash, packed_set, packed_zset};

/// Bytes of a copy before its key.
const HEAD: usize = 22;
/// Bytes after which a run is full: moving them takes some 10 us.
const RUN_BYTES: usize = 128 << 10;
/// Values that are not copied after which a run is full.
const RUN_SHARED: usize = 1024;

/// Copies of one database that follow one another.
#[derive(Debug)]
struct Run {
    db: DbIndex,
    copies: Vec<u8>,
    shared: Vec<SharedValue>,
}

impl Run {
    /// Growing moves what is there, under a lock: another one is begun in time.
    fn is_full(&self) -> bool {
        self.copies.len() >= RUN_BYTES || self.shared.len() >= RUN_SHARED
    }
}

/// A key whose value is not copied.
#[derive(Debug)]
struct SharedValue {
    key: Box<[u8]>,
    meta: KeyMeta,
    value: Value,
}

/// Records of one database that follow one another.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) db: DbIndex,
    pub(super) bytes: Vec<u8>,
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Records {
    queue: Mutex<Queue>,
    /// Only the thread that saves locks it.
    parts: Mutex<Parts>,
    dialect: Dialect,
    clock: AccessClock,
    /// Whether access clocks are written: an eviction policy uses them.
    with_access: bool,
    limit_bytes: usize,
    /// Nothing is captured any more.
    given_up: AtomicBool,
}

#[derive(Debug, Default)]
struct Queue {
    runs: Vec<Run>,
    bytes: usize,
}

/// Keys that came in parts.
#[derive(Debug, Default)]
struct Parts {
    open: Option<(DbIndex, PartsEncoder)>,
    encoded: Vec<Encoded>,
}

impl Parts {
    /// Appends to the records of a database.
    fn write(&mut self, db: DbIndex, write: impl FnOnce(&mut Vec<u8>)) {
        if self.encoded.last().is_none_or(|last| last.db != db) {
            self.encoded.push(Encoded { db, bytes: Vec::new() });
        }
        if let Some(last) = self.encoded.last_mut() {
            write(&mut last.bytes);
        }
    }
}

impl Records {
    pub(super) fn new(
        dialect: Dialect,
        clock: AccessClock,
        with_access: bool,
        limit_bytes: usize,
    ) -> Self {
        Self {
            queue: Mutex::default(),
            parts: Mutex::default(),
            dialect,
            clock,
            with_access,
            limit_bytes,
            given_up: AtomicBool::new(false),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what was captured so far, as records; of an open key nothing but its record. For the thread
    /// that saves only.
    pub(super) fn drain(&self) -> Vec<Encoded> {
        let mut encoded = {
            let mut parts = self.parts();
            let encoded = std::mem::take(&mut parts.encoded);
            if parts.open.is_some() {
                return encoded;
            }
            encoded
        };
        let runs = std::mem::take(&mut *self.queue()).runs;
        encoded.extend(runs.iter().map(|run| self.encode(run)));
        encoded
    }

    /// Forgets what was captured so far: the snapshot was given up.
    pub(super) fn discard(&self) {
        let runs = std::mem::take(&mut *self.queue());
        drop((runs, std::mem::take(&mut *self.parts())));
    }

    /// Whether the snapshot was given up.
    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    fn meta(&self, expiry: Option<i64>, access: u32) -> KeyMeta {
        let mut meta = KeyMeta { expire_at_ms: expiry, ..KeyMeta::default() };
        if self.with_access && self.clock.lfu {
            meta.frequency = Some(self.clock.frequency(access).min(255) as u8);
        } else if self.with_access {
            meta.idle_s = Some(u64::from(self.clock.idle_seconds(access)));
        }
        meta
    }

    fn encode(&self, run: &Run) -> Encoded {
        let mut bytes = Vec::with_capacity(run.copies.len());
        let mut rest = run.copies.as_slice();
        while let Some((copy, after)) = Copy::split(rest) {
            let meta = self.meta(copy.expiry, copy.access);
            let value = value_ref(&Stored::Inline(copy.kind, copy.value));
            encode_key(&mut bytes, copy.key, value, &meta, &self.dialect);
            rest = after;
        }
        for SharedValue { key, meta, value } in &run.shared {
            encode_key(&mut bytes, key, ValueRef::from(value), meta, &self.dialect);
        }
        Encoded { db: run.db, bytes }
    }
}

/// A copy as it is read.
struct Copy<'a> {
    kind: Kind,
    access: u32,
    expiry: Option<i64>,
    key: &'a [u8],
    value: &'a [u8],
}

impl<'a> Copy<'a> {
    fn append(out: &mut Vec<u8>, entry: &Entry<'_>, kind: Kind, value: &[u8]) {
        out.reserve(HEAD + entry.key.len() + value.len());
        out.extend_from_slice(&[kind as u8, u8::from(entry.expiry.is_some())]);
        out.extend_from_slice(&entry.access.to_le_bytes());
        out.extend_from_slice(&entry.expiry.unwrap_or(0).to_le_bytes());
        // Keys and packed values are below 4 GB: the protocol bounds both.
        out.extend_from_slice(&(entry.key.len() as u32).to_le_bytes());
        out.extend_from_slice(&(value.len() as u32).to_le_bytes());
        out.extend_from_slice(entry.key);
        out.extend_from_slice(value);
    }

    /// The first copy, and what follows it.
    fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&[kind, has_expiry], rest) = bytes.split_first_chunk()?;
        let (access, rest) = rest.split_first_chunk()?;
        let (expiry, rest) = rest.split_first_chunk()?;
        let (key_len, rest) = rest.split_first_chunk()?;
        let (value_len, rest) = rest.split_first_chunk()?;
        let (key, rest) = rest.split_at_checked(u32::from_le_bytes(*key_len) as usize)?;
        let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*value_len) as usize)?;
        let copy = Self {
            kind: Kind::from_bits(kind),
            access: u32::from_le_bytes(*access),
            expiry: (has_expiry != 0).then(|| i64::from_le_bytes(*expiry)),
            key,
            value,
        };
        Some((copy, rest))
    }
}

/// The packed bytes of a value of one page.
fn packed(value: &Value) -> Option<(Kind, &[u8])> {
    match value {
        Value::List(list) => list.as_packed().map(|bytes| (Kind::List, bytes)),
        Value::Hash(hash) => packed_hash(hash)
            .map(|(bytes, expires)| (if expires { Kind::HashEx } else { Kind::Hash }, bytes)),
        Value::Set(set) => packed_set(set).map(|(bytes, are_integers)| {
            (if are_integers { Kind::Ints } else { Kind::Set }, bytes)
        }),
        Value::Zset(zset) => packed_zset(zset).map(|bytes| (Kind::Zset, bytes)),
        Value::Str(_) | Value::Stream(_) | Value::Sketch(_) => None,
    }
}

impl Capture for Records {
    fn take(&self, db: DbIndex, entry: &Entry<'_>, stored: Stored<'_>, by: By) {
        let copied = match stored {
            Stored::Inline(kind, bytes) => Some((kind, bytes)),
            Stored::Object(value) => packed(value),
        };
        let mut queue = self.queue();
        if queue.runs.last().is_none_or(|run| run.db != db || run.is_full()) {
            queue.runs.push(Run { db, copies: Vec::new(), shared: Vec::new() });
        }
        let Some(run) = queue.runs.last_mut() else { return };
        let before = run.copies.len();
        let mut held = 0;
        match (copied, stored) {
            (Some((kind, value)), _) => Copy::append(&mut run.copies, entry, kind, value),
            (None, Stored::Object(value)) => {
                let meta = self.meta(entry.expiry, entry.access);
                let value = value.duplicate();
                // What the walker shares is written at once; a change makes it memory of its own.
                held = if by == By::Change { value.heap_bytes() } else { 0 };
                run.shared.push(SharedValue { key: entry.key.into(), meta, value });
            }
            (None, Stored::Inline(..)) => {}
        }
        let grown = run.copies.len() - before + held;
        queue.bytes += grown;
        // One value may be larger than the limit by itself.
        let over = queue.bytes > self.limit_bytes && queue.bytes > grown;
        drop(queue);
        if over {
            self.give_up();
        }
    }

    fn is_wanted(&self) -> bool {
        !self.is_given_up()
    }

    fn begin(&self, key: &Ticket) {
        let mut parts = self.parts();
        let meta = self.meta(key.expiry, key.access);
        let mut open = None;
        parts.write(key.db, |out| {
            open = Some(PartsEncoder::begin(out, &key.key, &key.head, &meta, &self.dialect));
        });
        parts.open = open.map(|encoder| (key.db, encoder));
    }

    fn part(&self, part: Part) {
        let mut parts = self.parts();
        if let Some((db, mut encoder)) = parts.open.take() {
            parts.write(db, |out| encoder.part(out, part));
            parts.open = Some((db, encoder));
        }
    }

    fn end(&self) {
        let mut parts = self.parts();
        if let Some((db, encoder)) = parts.open.take() {
            parts.write(db, |out| encoder.end(out));
        }
    }

    /// Captures nothing any more.
    fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }
}
