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
//! given up, not the server. It is given up, too, over a value that the format which was asked for does not have.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ochre_families::dump::value_ref;
use ochre_keyspace::db::Stored;
use ochre_keyspace::entry::{Entry, Kind};
use ochre_keyspace::evict::AccessClock;
use ochre_keyspace::shard::DbIndex;
use ochre_keyspace::snapshot::{By, Capture, Ticket};
use ochre_rdb::{KeyMeta, PartsEncoder, ValueRef, encode_key, head_foreign_to};
use ochre_types::capture::Part;
use ochre_types::value::{Value, packed_hash, packed_set, packed_zset};

use super::Form;

/// Bytes of a copy before its key.
const HEAD: usize = 22;
/// Bytes after which a run is full: moving them takes some 10 us.
const RUN_BYTES: usize = 128 << 10;
/// Values that are not copied after which a run is full.
const RUN_SHARED: usize = 1024;

/// Bytes of a key's name that a message shows.
const KEY_SHOWN: usize = 128;

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
    /// Keys that they begin.
    pub(super) keys: u64,
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Records {
    queue: Mutex<Queue>,
    /// Only the thread that saves locks it.
    parts: Mutex<Parts>,
    form: Form,
    /// Why the snapshot was given up, when that is for a value.
    refusal: Mutex<Option<String>>,
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
            self.encoded.push(Encoded { db, bytes: Vec::new(), keys: 0 });
        }
        if let Some(last) = self.encoded.last_mut() {
            write(&mut last.bytes);
        }
    }
}

impl Records {
    pub(super) fn new(
        form: Form,
        clock: AccessClock,
        with_access: bool,
        limit_bytes: usize,
    ) -> Self {
        Self {
            queue: Mutex::default(),
            parts: Mutex::default(),
            form,
            refusal: Mutex::default(),
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

    /// Whether so much was captured ahead of the walk that it is better written before anything else.
    pub(super) fn is_pressed(&self) -> bool {
        self.queue().bytes > self.limit_bytes / 4
    }

    /// Forgets what was captured so far: the snapshot was given up.
    pub(super) fn discard(&self) {
        let runs = std::mem::take(&mut *self.queue());
        drop((runs, std::mem::take(&mut *self.parts())));
    }

    /// Why the snapshot was given up, when that is for a value.
    pub(super) fn refusal(&self) -> Option<String> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives the snapshot up over a key of a type that the format does not have.
    fn refuse(&self, key: &[u8], format: &str, what: &str) {
        self.give_up();
        let mut refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        refusal.get_or_insert_with(|| {
            let key = String::from_utf8_lossy(&key[..key.len().min(KEY_SHOWN)]).into_owned();
            format!("save-format {format} has no form for key '{key}' of type {what}")
        });
    }

    /// Appends a key's record, unless the format has no form for its value.
    fn encode_one(&self, out: &mut Vec<u8>, key: &[u8], value: ValueRef<'_>, meta: &KeyMeta) {
        let dialect = &self.form.dialect;
        match (self.form.strict, value.foreign_to(dialect)) {
            (Some(format), Some(what)) => self.refuse(key, format, what),
            _ => encode_key(out, key, value, meta, dialect),
        }
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
        let mut keys = run.shared.len();
        let mut rest = run.copies.as_slice();
        while let Some((copy, after)) = Copy::split(rest) {
            let meta = self.meta(copy.expiry, copy.access);
            let value = value_ref(&Stored::Inline(copy.kind, copy.value));
            self.encode_one(&mut bytes, copy.key, value, &meta);
            rest = after;
            keys += 1;
        }
        for SharedValue { key, meta, value } in &run.shared {
            self.encode_one(&mut bytes, key, ValueRef::from(value), meta);
        }
        Encoded { db: run.db, bytes, keys: keys as u64 }
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
        if let Some(format) = self.form.strict
            && let Some(what) = head_foreign_to(&key.head, &self.form.dialect)
        {
            return self.refuse(&key.key, format, what);
        }
        let mut parts = self.parts();
        let meta = self.meta(key.expiry, key.access);
        let mut open = None;
        parts.write(key.db, |out| {
            open = Some(PartsEncoder::begin(out, &key.key, &key.head, &meta, &self.form.dialect));
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
