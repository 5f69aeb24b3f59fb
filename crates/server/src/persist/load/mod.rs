//! Loading a snapshot: at the start, by DEBUG RELOAD, as the base of the append-only file, from a primary.
//!
//! **In parallel.** The calling thread walks the bytes, finds where each key's record ends by the lengths alone,
//! checks the sum, and runs what is no key (databases, functions, facts). Records go in batches to as many
//! workers as there are cores ([`parallel`]), which decode them and put the values in, a shard's keys of a batch
//! under one hold of its lock. Which worker gets what is no matter, since a key stands in a file once; where
//! keys may replace others there is one worker, so that the later one wins.
//!
//! Any reader will do, nothing seeks; what was read behind the snapshot is given back.
//!
//! **Failure.** A file that is broken, of a version that is not known, or that has a key twice is refused with
//! the offset and what was being read; what was loaded of it until then stays in the keyspace, whose owner ends
//! or empties it. Files are only read. Data must not be lost by serving an empty keyspace and then saving that
//! over the file.

mod aside;
mod pace;
mod parallel;

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use ochre_base::clock::Now;
use ochre_engine::engine::Engine;
use ochre_engine::replay::Replay;
use ochre_families::dump::new_value;
use ochre_keyspace::db::Key;
use ochre_keyspace::evict::AccessClock;
use ochre_keyspace::lazyfree::Bin;
use ochre_keyspace::lock::ShardId;
use ochre_keyspace::shard::{DbIndex, Shard};
use ochre_rdb::{Family, Item, LoadError, Loaded, Piece, RdbReader, ReadOptions, Records};
use ochre_types::limits::Limits;

pub(crate) use self::aside::Aside;
pub(crate) use self::pace::Pace;
use self::parallel::{Feeder, Load, with_workers};
use crate::host::reason;
use crate::log;

/// Bytes of records, and how many of them, after which a batch is handed over.
const BATCH_BYTES: usize = 128 << 10;
const BATCH_KEYS: usize = 1000;
/// Most workers: beyond them the reading thread is what everything waits for.
const WORKERS_MAX: usize = 16;

/// What a snapshot held.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Keys that were taken.
    pub(crate) keys: u64,
    /// Keys that were past their time and left out.
    pub(crate) expired: u64,
}

/// What becomes of a key that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Twice {
    /// The file is broken.
    Refused,
    /// The later one wins.
    Replaced,
}

/// How a snapshot is taken in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct How {
    /// The time against which expiries are held.
    pub(crate) now: Now,
    /// Bytes that come at most, when that is known: lengths beyond them are refused at once.
    pub(crate) size: Option<u64>,
    /// Bytes of what is being loaded that lie before it: for the progress.
    pub(crate) before: u64,
    /// Keys past their time are taken too: what follows may still deal with them, as the commands of an
    /// append-only file, or a primary.
    pub(crate) keep_expired: bool,
    /// A key that is there already.
    pub(crate) twice: Twice,
}

impl How {
    /// A snapshot into an empty keyspace, by itself.
    pub(crate) fn alone(now: Now, size: Option<u64>) -> Self {
        Self { now, size, before: 0, keep_expired: false, twice: Twice::Refused }
    }
}

/// The configured file's size, if there is one to load.
pub(crate) fn size_at_start(engine: &Engine) -> u64 {
    let path = &engine.live().0.settings.dbfilename;
    // One that cannot be looked at is opened all the same, which says why it cannot be read.
    if path.exists() { std::fs::metadata(path).map_or(1, |meta| meta.len().max(1)) } else { 0 }
}

/// Loads the configured file if there is one.
pub(crate) fn at_start(
    engine: &'static Engine,
    now: Now,
    took: &dyn Fn() -> Now,
) -> anyhow::Result<()> {
    let path = engine.live().0.settings.dbfilename.clone();
    if !path.exists() {
        return Ok(());
    }
    let counts = load(engine, &path, now, Twice::Refused).map_err(|why| {
        anyhow::anyhow!("Fatal error loading the DB, check server logs. Exiting: {why}")
    })?;
    log::notice(&format!("DB loaded from disk: {} seconds", seconds_since(now, took())));
    engine.saves.change(|state| {
        (state.loaded_keys, state.expired_keys) = (counts.keys, counts.expired);
    });
    Ok(())
}

/// The time from one moment to another, in seconds with three digits.
pub(crate) fn seconds_since(began: Now, ended: Now) -> String {
    let ms = (ended.mono_us.saturating_sub(began.mono_us)) / 1000;
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// Adds what a file holds to the keyspace.
pub(crate) fn load(
    engine: &'static Engine,
    path: &Path,
    now: Now,
    twice: Twice,
) -> Result<Counts, String> {
    let file = File::open(path).map_err(|error| reason(&error))?;
    let size = file.metadata().map_err(|error| reason(&error))?.len();
    // A replica leaves it to its primary to remove what is past its time.
    let keep_expired = engine.following.is_on();
    let how = How { twice, keep_expired, ..How::alone(now, Some(size)) };
    let (counts, _) = load_from(engine, file, &how)?;
    log::notice(&format!(
        "Done loading RDB, keys loaded: {}, keys expired: {}.",
        counts.keys, counts.expired
    ));
    Ok(counts)
}

/// Adds a snapshot to the keyspace, from anything that can be read. Gives back the reader, and what was read
/// of it behind the snapshot.
pub(crate) fn load_from<R: Read>(
    engine: &'static Engine,
    read: R,
    how: &How,
) -> Result<(Counts, (Vec<u8>, R)), String> {
    load_into(engine, read, how, None)
}

/// The same, into the keyspace or beside it.
pub(crate) fn load_into<R: Read>(
    engine: &'static Engine,
    read: R,
    how: &How,
    aside: Option<&Aside>,
) -> Result<(Counts, (Vec<u8>, R)), String> {
    let live = engine.live().0;
    let options = ReadOptions {
        limits: live.limits,
        checksum: live.settings.rdb_checksum,
        relaxed: live.settings.rdb_relaxed,
        size: how.size,
    };
    let mut reader = RdbReader::new(read, options).map_err(|error| error.to_string())?;
    let decoder = Decoder {
        engine,
        aside,
        how,
        family: reader.family(),
        limits: live.limits,
        clock: AccessClock {
            lfu: live.policy.is_lfu(),
            seconds: (how.now.unix_ms / 1000) as u32,
            log_factor: live.settings.lfu_log_factor,
            decay_minutes: live.settings.lfu_decay_minutes,
        },
        keys: AtomicU64::new(0),
        expired: AtomicU64::new(0),
    };
    let workers = match how.twice {
        Twice::Replaced => 1,
        Twice::Refused => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let take = |batch| decoder.take(batch);
    with_workers(workers.min(WORKERS_MAX), take, |feeder| {
        feed(engine, &mut reader, how, live.databases, &decoder, feeder)
    })?;
    let counts = Counts { keys: decoder.keys.into_inner(), expired: decoder.expired.into_inner() };
    Ok((counts, reader.into_rest()))
}

/// Reads to the end, and hands the keys over.
fn feed<R: Read, F>(
    engine: &'static Engine,
    reader: &mut RdbReader<R>,
    how: &How,
    databases: DbIndex,
    decoder: &Decoder<'_>,
    mut feeder: Feeder<'_, '_, Batch, F>,
) -> Result<(), String>
where
    F: Fn(Batch) -> Result<(), String> + Sync,
{
    let mut pace = Pace::new(engine);
    let mut batch = Batch::new(0);
    loop {
        let at = reader.offset();
        let piece = reader.next_piece(&mut batch.bytes).map_err(|error| {
            format!("at offset {}, doing {}: {error}", reader.offset(), reader.stage().name())
        })?;
        let end = reader.offset();
        engine.loading.reached(how.before + end);
        match piece {
            Piece::Record => {
                batch.note(at, end);
                pace.after_key()?;
                if batch.keys >= BATCH_KEYS || batch.bytes.len() >= BATCH_BYTES {
                    let db = batch.db;
                    pace.look(|| decoder.keys.load(Ordering::Relaxed))?;
                    feeder.give(std::mem::replace(&mut batch, Batch::new(db)))?;
                }
            }
            Piece::Item(Item::End) => return feeder.finish(batch),
            Piece::Item(Item::Select(index)) => {
                let db = DbIndex::try_from(index)
                    .ok()
                    .filter(|index| *index < databases)
                    .ok_or_else(|| format!("the file has a database {index}, see `databases`"))?;
                if batch.keys > 0 {
                    feeder.give(batch)?;
                }
                batch = Batch::new(db);
            }
            Piece::Item(Item::Function(source)) => match decoder.aside {
                Some(aside) => aside.keep_function(source),
                None => load_functions(engine, how.now, &source)?,
            },
            Piece::Item(item) => fact(engine, how.now, reader.family(), item),
        }
    }
}

/// What a file says of itself.
fn fact(engine: &Engine, now: Now, family: Family, item: Item) {
    let (name, value) = match item {
        Item::Aux { name, value } => (name, value),
        Item::ModuleAux(name) => {
            log::warning(&format!("The file has data of a module, {name}, which is left out"));
            return;
        }
        // Hints, and keys, which never come here.
        _ => return,
    };
    let text = String::from_utf8_lossy(&value);
    match (&name[..], text.parse::<i64>()) {
        (b"redis-ver", _) if family == Family::Valkey => {}
        (b"redis-ver", _) => log::notice(&format!("Loading RDB produced by version {text}")),
        (b"valkey-ver", _) => {
            log::notice(&format!("Loading RDB produced by Valkey version {text}"));
        }
        (b"ctime", Ok(written_s)) => {
            let age = (now.unix_ms / 1000).saturating_sub(written_s).max(0);
            log::notice(&format!("RDB age {age} seconds"));
        }
        (b"used-mem", Ok(bytes)) => {
            let bytes = u64::try_from(bytes).unwrap_or(0);
            engine.loading.says_memory(bytes);
            let mb = bytes as f64 / f64::from(1 << 20);
            log::notice(&format!("RDB memory usage when created {mb:.2} Mb"));
        }
        _ => {}
    }
}

/// Records of one database on their way to a worker.
#[derive(Debug)]
struct Batch {
    db: DbIndex,
    bytes: Vec<u8>,
    keys: usize,
    /// Where in `bytes` a run of records begins, and where it stood in the file.
    runs: Vec<(usize, u64)>,
    /// Where the last record ended in the file.
    end: u64,
}

impl Load for Batch {
    fn bytes(&self) -> usize {
        self.bytes.capacity()
    }
}

impl Batch {
    fn new(db: DbIndex) -> Self {
        Self { db, bytes: Vec::new(), keys: 0, runs: Vec::new(), end: 0 }
    }

    /// A record, from `at` to `end` in the file, was appended.
    fn note(&mut self, at: u64, end: u64) {
        if self.keys == 0 || self.end != at {
            self.runs.push((self.bytes.len().saturating_sub((end - at) as usize), at));
        }
        self.keys += 1;
        self.end = end;
    }

    /// Where in the file a place in `bytes` was.
    fn offset(&self, at: u64) -> u64 {
        let run = self.runs.iter().rev().find(|(start, _)| *start as u64 <= at);
        run.map_or(at, |(start, offset)| offset + (at - *start as u64))
    }
}

/// What workers do with a batch.
struct Decoder<'a> {
    engine: &'static Engine,
    /// Where keys go; none: into the keyspace.
    aside: Option<&'a Aside>,
    how: &'a How,
    family: Family,
    limits: Limits,
    clock: AccessClock,
    keys: AtomicU64,
    expired: AtomicU64,
}

/// A key on its way into its shard.
struct Ready {
    shard: ShardId,
    hash: u64,
    loaded: Loaded,
}

impl Decoder<'_> {
    fn take(&self, batch: Batch) -> Result<(), String> {
        let mut ready = Vec::with_capacity(batch.keys);
        let mut records = Records::new(&batch.bytes, self.family, &self.limits);
        let mut expired = 0;
        while let Some(loaded) =
            records.next_key().map_err(|error| explain(&batch, &records, &error))?
        {
            let is_past = loaded.meta.expire_at_ms.is_some_and(|at| at < self.how.now.unix_ms);
            if is_past && !self.how.keep_expired {
                expired += 1;
                continue;
            }
            let hash = Key::new(&loaded.key).hash;
            ready.push(Ready { shard: self.engine.shards.of(hash), hash, loaded });
        }
        self.expired.fetch_add(expired, Ordering::Relaxed);
        self.keys.fetch_add(ready.len() as u64, Ordering::Relaxed);
        self.insert(batch.db, ready)
    }

    /// Puts keys in, those of a shard under one hold of its lock.
    fn insert(&self, db: DbIndex, mut ready: Vec<Ready>) -> Result<(), String> {
        // Stable: of two of the same name the later one stays the later one.
        ready.sort_by_key(|ready| ready.shard);
        let mut ready = ready.into_iter().peekable();
        while let Some(id) = ready.peek().map(|ready| ready.shard) {
            let mut put_all = |shard: &mut Shard| {
                while let Some(next) = ready.next_if(|ready| ready.shard == id) {
                    self.put(shard, db, next)?;
                }
                Ok::<(), String>(())
            };
            match self.aside {
                Some(aside) => put_all(&mut aside.shard(id))?,
                None => self.engine.shards.visit(id, put_all)?,
            }
        }
        Ok(())
    }

    fn put(&self, shard: &mut Shard, index: DbIndex, ready: Ready) -> Result<(), String> {
        let Loaded { key, value, meta } = ready.loaded;
        let key = Key { name: &key, hash: ready.hash };
        let db = shard.db_mut(index);
        let slot = db.find(key);
        if slot.is_some() && self.how.twice == Twice::Refused {
            let name = String::from_utf8_lossy(key.name);
            return Err(format!("RDB has duplicated key '{name}' in DB {index}"));
        }
        let access = self.clock.restored(meta.idle_s, meta.frequency);
        let mut text = Vec::new();
        db.put(key, slot, new_value(value, &mut text), meta.expire_at_ms, access);
        Ok(())
    }
}

fn explain(batch: &Batch, records: &Records<'_>, error: &LoadError) -> String {
    let offset = batch.offset(records.offset());
    match records.failed_key() {
        Some((key, kind)) => {
            let key = String::from_utf8_lossy(key);
            format!("at offset {offset}, reading key '{key}' of type {kind}: {error}")
        }
        None => format!("at offset {offset}: {error}"),
    }
}

/// Loads a library of functions.
pub(crate) fn load_functions(
    engine: &'static Engine,
    now: Now,
    source: &[u8],
) -> Result<(), String> {
    let mut replay = Replay::new(engine, Bin::inline(), now);
    let reply = replay.command(&[b"FUNCTION", b"LOAD", b"REPLACE", source]);
    match reply.strip_prefix(b"-") {
        Some(error) => Err(String::from_utf8_lossy(error).trim().to_owned()),
        None => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
