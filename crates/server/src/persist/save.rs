//! Taking a snapshot: the cut, the walk, the file.
//!
//! The file is written beside the old one as `temp-<pid>.rdb`, synced, and renamed over it, so that
//! there is a whole file at any time. A failure leaves the old one alone. SAVE does this on its client's loop,
//! while the other loops go on; BGSAVE on a thread of its own.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ochre_base::clock::Now;
use ochre_config::Settings;
use ochre_engine::engine::{Engine, LastSave};
use ochre_keyspace::evict::AccessClock;
use ochre_keyspace::shard::DbIndex;
use ochre_keyspace::snapshot::{self, Capture, Walker};
use ochre_rdb::{IoSink, RdbWriter};

use super::capture::Records;
use super::share::Share;
use super::{Form, Reader};
use crate::clock::Clock;
use crate::host::reason;
use crate::log;

/// Bytes that captures may hold: below it a snapshot is never given up.
const QUEUE_MIN: usize = 64 << 20;
/// Part of the used memory that captures may hold.
const QUEUE_SHARE: usize = 8;
/// Bytes written between two calls of fsync, so that the last one does not wait for all.
const SYNC_EVERY: u64 = 4 << 20;
/// Time between two looks whether a snapshot that was given up has ended.
const CANCEL_STEP: Duration = Duration::from_millis(2);
/// Longest time without a look at whether a waiting snapshot is still wanted.
const WAIT_STEP: Duration = Duration::from_millis(10);
/// Room of the writer.
const BUFFER: usize = 256 << 10;

/// Takes a snapshot into the configured file. The right to do so was claimed (`Saves::begin`).
pub(crate) fn save(
    engine: &'static Engine,
    now: &dyn Fn() -> Now,
    background: bool,
) -> Result<(), String> {
    let mut cut = Cut::take_for(Reader::File, engine, now(), || ());
    cut.rests = background;
    save_cut(engine, cut, now, background)
}

/// Writes what was cut into the configured file.
fn save_cut(
    engine: &'static Engine,
    cut: Cut,
    now: &dyn Fn() -> Now,
    background: bool,
) -> Result<(), String> {
    let settings = &engine.live().0.settings;
    let path = Path::new(&settings.dbfilename);
    let temporary = PathBuf::from(format!("temp-{}.rdb", std::process::id()));
    let result = cut.write(engine, settings, &temporary, false).and_then(|saved| {
        std::fs::rename(&temporary, path)?;
        File::open(".")?.sync_all()?;
        Ok(saved)
    });
    let ended_s = now().unix_ms / 1000;
    match result {
        Ok(dirty) => {
            log::notice("DB saved on disk");
            engine.saves.end(ended_s, Some(dirty), background);
            Ok(())
        }
        Err(error) => {
            // What is left of the attempt; the error that is reported is the first one.
            drop(std::fs::remove_file(&temporary));
            let reason = reason(&error);
            log::warning(&format!("Error saving DB on disk: {reason}"));
            engine.saves.end(ended_s, None, background);
            Err(reason)
        }
    }
}

/// Takes a snapshot into a file that is the base of an append-only file, or for a replica; gives the count of
/// changes at the cut. `at_cut` runs while all locks are held.
pub(super) fn write(
    engine: &'static Engine,
    settings: &Settings,
    path: &Path,
    now: Now,
    is_aof_base: bool,
    at_cut: impl FnOnce(),
) -> io::Result<u64> {
    let reader = if is_aof_base { Reader::AofBase } else { Reader::Replica };
    Cut::take_for(reader, engine, now, at_cut).write(engine, settings, path, is_aof_base)
}

/// Takes a snapshot into a file that goes elsewhere. The right to do so was claimed. It names no history: a
/// server that is restored from it begins one of its own, and must not be taken for this one.
pub(super) fn write_aside(engine: &'static Engine, path: &Path, now: Now) -> io::Result<()> {
    let settings = &engine.live().0.settings;
    let mut cut = Cut::take_for(Reader::File, engine, now, || ());
    cut.origin = None;
    cut.write(engine, settings, path, false).map(drop)
}

/// Keys and expiries of each database at the cut.
type Sizes = BTreeMap<DbIndex, (u64, u64)>;

/// Where a snapshot is written to.
pub(super) trait Target: Write {
    /// Called now and then, so that what is written does not pile up somewhere.
    fn settle(&self) -> io::Result<()>;

    /// What to say when it does not keep up.
    fn too_slow(&self) -> &'static str;
}

impl Target for BufWriter<File> {
    fn settle(&self) -> io::Result<()> {
        self.get_ref().sync_data()
    }

    fn too_slow(&self) -> &'static str {
        "the disk is too slow for the writes"
    }
}

/// A snapshot that has begun: from here on it has to be walked to its end, whatever happens.
pub(super) struct Cut {
    records: Arc<Records>,
    walker: Walker,
    clock: Clock,
    /// How long it took, waiting for the locks included.
    cut_ns: u64,
    sizes: Sizes,
    /// The count of changes.
    dirty: u64,
    now: Now,
    form: Form,
    origin: Option<Origin>,
    /// Others come first on a busy machine; nobody waits for it.
    rests: bool,
}

/// Where in which history the cut lies, for who goes on from there.
struct Origin {
    id: String,
    offset: u64,
    /// The database that is selected there.
    db: DbIndex,
}

impl Cut {
    /// Begins a snapshot for a replica; `at_cut` runs while all locks are held.
    pub(super) fn take(engine: &'static Engine, now: Now, at_cut: impl FnOnce()) -> Self {
        Self::take_for(Reader::Replica, engine, now, at_cut)
    }

    /// Begins a snapshot; `at_cut` runs while all locks are held.
    fn take_for(reader: Reader, engine: &'static Engine, now: Now, at_cut: impl FnOnce()) -> Self {
        let live = engine.live().0;
        let settings = &live.settings;
        let clock = AccessClock {
            lfu: live.policy.is_lfu(),
            seconds: (now.unix_ms / 1000) as u32,
            log_factor: settings.lfu_log_factor,
            decay_minutes: settings.lfu_decay_minutes,
        };
        let limit = (ochre_base::memory::used() / QUEUE_SHARE).max(QUEUE_MIN);
        let with_access = settings.maxmemory > 0 && live.policy.uses_access();
        let form = Form::of(settings, reader);
        let records = Arc::new(Records::new(form, clock, with_access, limit));
        let sizes = sizes(engine);
        let capture: Arc<dyn Capture> = Arc::clone(&records) as Arc<dyn Capture>;
        let mut origin = None;
        let clock = Clock::new();
        let began_ns = clock.ticks_ns();
        let (walker, dirty) = snapshot::cut(&engine.shards, &capture, || {
            at_cut();
            origin = engine.log.is_kept().then(|| {
                let (offset, db) = engine.log.position();
                Origin { id: engine.replicas.history().id, offset, db }
            });
            engine.all_stats().dirty
        });
        let cut_ns = clock.ticks_ns() - began_ns;
        Self { records, walker, clock, cut_ns, sizes, dirty, now, form, origin, rests: true }
    }

    /// Walks it to its end, into a file; gives the count of changes at the cut.
    fn write(
        self,
        engine: &'static Engine,
        settings: &Settings,
        path: &Path,
        is_aof_base: bool,
    ) -> io::Result<u64> {
        let file = match File::create(path) {
            Ok(file) => file,
            Err(error) => {
                self.records.give_up();
                self.walker.walk(&engine.shards, &|| 0, || self.records.discard());
                return Err(error);
            }
        };
        let dirty = self.dirty;
        let buffer = BufWriter::with_capacity(BUFFER, file);
        let mut buffer = self.write_to(engine, settings, buffer, is_aof_base)?;
        buffer.flush()?;
        buffer.get_ref().sync_all()?;
        Ok(dirty)
    }

    /// Walks it to its end, into `target`, which is given back.
    pub(super) fn write_to<T: Target>(
        self,
        engine: &'static Engine,
        settings: &Settings,
        target: T,
        is_aof_base: bool,
    ) -> io::Result<T> {
        let sink = IoSink(target);
        let mut writer = RdbWriter::new(sink, self.form.dialect, settings.rdb_checksum);
        self.walk(engine, settings, is_aof_base, &mut writer)?;
        Ok(writer.finish()?.0)
    }

    /// What was captured so far; it tells when the snapshot was given up.
    pub(super) fn records(&self) -> Arc<Records> {
        Arc::clone(&self.records)
    }

    fn walk<T: Target>(
        &self,
        engine: &'static Engine,
        settings: &Settings,
        is_aof_base: bool,
        writer: &mut RdbWriter<IoSink<T>>,
    ) -> io::Result<()> {
        let records = &self.records;
        let origin = self.origin.as_ref().filter(|_| !is_aof_base);
        let mut result = header(engine, self.form, self.now, (is_aof_base, origin), writer);
        let (mut current, mut synced) = (None, 0);
        let mut share = Share::new(&self.clock);
        let holds = self.walker.walk(&engine.shards, &|| self.clock.ticks_ns(), || {
            if engine.saves.is_cancelled() {
                records.give_up();
            }
            if result.is_err() || records.is_given_up() {
                return records.discard();
            }
            let is_pressed = records.is_pressed();
            result = drain(records, &self.sizes, &mut current, writer)
                .map(|keys| wait_after(engine, keys));
            if self.rests {
                share.rest(is_pressed);
            }
            if result.is_ok()
                && settings.rdb_incremental_fsync
                && writer.written() - synced > SYNC_EVERY
            {
                synced = writer.written();
                result = writer.sink().0.settle();
            }
            if result.is_err() {
                records.give_up();
            }
        });
        log::debug(&format!(
            "Snapshot: the cut took {} us; {} holds of a lock took {} us, the longest {} us, {} of them \
             more than {} us",
            self.cut_ns / 1000,
            holds.count,
            holds.total_ns / 1000,
            holds.longest_ns / 1000,
            holds.long,
            snapshot::LONG_NS / 1000,
        ));
        result?;
        if records.is_given_up() && records.refusal().is_none() {
            let cancelled = engine.saves.is_cancelled();
            let why = if cancelled { "cancelled" } else { writer.sink().0.too_slow() };
            return Err(io::Error::other(why));
        }
        wait_after(engine, drain(records, &self.sizes, &mut current, writer)?);
        if engine.saves.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        // What is refused may be among the last records.
        match records.refusal() {
            Some(why) => Err(io::Error::other(why)),
            None => Ok(()),
        }
    }
}

/// Writes a file without keys: the base of an append-only file that begins.
pub(super) fn empty(engine: &'static Engine, path: &Path, now: Now) -> io::Result<()> {
    let settings = &engine.live().0.settings;
    let sink = IoSink(BufWriter::new(File::create(path)?));
    let form = Form::of(settings, Reader::AofBase);
    let mut writer = RdbWriter::new(sink, form.dialect, settings.rdb_checksum);
    header(engine, form, now, (true, None), &mut writer)?;
    let mut buffer = writer.finish()?.0;
    buffer.flush()?;
    buffer.get_ref().sync_all()
}

fn sizes(engine: &Engine) -> Sizes {
    let mut sizes = Sizes::new();
    for id in 0..engine.shards.count() {
        engine.shards.visit(id as u16, |shard| {
            for (index, db) in shard.dbs().iter().enumerate().filter(|(_, db)| !db.is_empty()) {
                let size = sizes.entry(index as DbIndex).or_default();
                size.0 += db.len() as u64;
                size.1 += db.expires() as u64;
            }
        });
    }
    sizes
}

fn header(
    engine: &Engine,
    form: Form,
    now: Now,
    (is_aof_base, origin): (bool, Option<&Origin>),
    writer: &mut RdbWriter<IoSink<impl Write>>,
) -> io::Result<()> {
    let (ctime, used) = ((now.unix_ms / 1000).to_string(), ochre_base::memory::used().to_string());
    let mut facts: Vec<(&[u8], &[u8])> = vec![
        (form.server.version_fact().as_bytes(), form.server.server_version().as_bytes()),
        (b"redis-bits", b"64"),
        (b"ctime", ctime.as_bytes()),
        (b"used-mem", used.as_bytes()),
    ];
    let (db, offset) = match origin {
        Some(origin) => (origin.db.to_string(), origin.offset.to_string()),
        None => Default::default(),
    };
    if let Some(origin) = origin {
        facts.push((b"repl-stream-db", db.as_bytes()));
        facts.push((b"repl-id", origin.id.as_bytes()));
        facts.push((b"repl-offset", offset.as_bytes()));
    }
    facts.push((b"aof-base", if is_aof_base { b"1" } else { b"0" }));
    writer.header(&facts)?;
    engine.scripts.sources().iter().try_for_each(|source| writer.function(source))
}

fn drain(
    records: &Records,
    sizes: &Sizes,
    current: &mut Option<DbIndex>,
    writer: &mut RdbWriter<IoSink<impl Write>>,
) -> io::Result<u64> {
    let mut keys = 0;
    for run in records.drain() {
        if *current != Some(run.db) {
            let (keys, expires) = sizes.get(&run.db).copied().unwrap_or_default();
            writer.select(u32::from(run.db), keys, expires)?;
            *current = Some(run.db);
        }
        writer.records(&run.bytes)?;
        keys += run.keys;
    }
    Ok(keys)
}

/// Waits after so many keys as `rdb-key-save-delay` asks: for tests of what happens during a snapshot.
fn wait_after(engine: &Engine, keys: u64) {
    for key in 1..=keys {
        let delay = engine.live().0.settings.key_save_delay;
        let mut left = match delay {
            0 => return,
            1.. => Duration::from_micros(delay.unsigned_abs()),
            _ if key % delay.unsigned_abs() == 0 => Duration::from_micros(1),
            _ => Duration::ZERO,
        };
        while !left.is_zero() {
            if engine.saves.is_cancelled() || engine.stopping.load(Ordering::Relaxed) {
                return;
            }
            let step = left.min(WAIT_STEP);
            std::thread::sleep(step);
            left -= step;
        }
    }
}

/// Takes a snapshot on a thread of its own. Its cut is taken at once, unless the calling thread holds locks.
pub(crate) fn in_background(
    engine: &'static Engine,
    now: impl Fn() -> Now + Send + 'static,
    holds_locks: bool,
) -> io::Result<()> {
    let thread = std::thread::Builder::new().name("snapshot".into());
    let began_s = now().unix_ms / 1000;
    engine.saves.change(|state| state.is_background = true);
    let cut = (!holds_locks).then(|| Cut::take_for(Reader::File, engine, now(), || ()));
    // A thread that cannot be had takes its closure with it: what was cut is then walked here.
    let begun = cut.as_ref().map(|cut| (Arc::clone(&cut.records), cut.walker.clone()));
    let result = thread.spawn(move || {
        let saved = match cut {
            Some(cut) => save_cut(engine, cut, &now, true),
            None => save(engine, &now, true),
        };
        match saved {
            Ok(()) => log::notice("Background saving terminated with success"),
            Err(_) => log::warning("Background saving error"),
        }
    });
    match result {
        Ok(_) => {
            log::notice("Background saving started");
            Ok(())
        }
        Err(error) => {
            if let Some((records, walker)) = begun {
                records.give_up();
                walker.walk(&engine.shards, &|| 0, || records.discard());
            }
            engine.saves.end(began_s, None, true);
            Err(error)
        }
    }
}

/// Before the end of the process: takes a snapshot if one is wanted; false when it failed. One under way is
/// given up, since it may have begun long ago.
pub(crate) fn before_end(engine: &'static Engine, now: &dyn Fn() -> Now, how: LastSave) -> bool {
    if engine.loading.is_on() {
        // What is there is not the data set: it must not replace the file that it comes from.
        return true;
    }
    let configured = !engine.live().0.settings.save_points.is_empty();
    if how == LastSave::Never || (how == LastSave::AsConfigured && !configured) {
        return true;
    }
    while !engine.saves.begin(now().unix_ms / 1000) {
        engine.saves.cancel();
        std::thread::sleep(CANCEL_STEP);
    }
    log::notice("Saving the final RDB snapshot before exiting.");
    save(engine, now, false).is_ok()
}

/// About once a second: takes a snapshot when a save point says so, or one was scheduled.
pub(crate) fn when_due(engine: &'static Engine, now_s: i64) -> bool {
    /// Time after a failure in which no save point counts, in seconds.
    const REST_S: i64 = 5;
    let saves = &engine.saves;
    if saves.is_under_way() {
        return false;
    }
    let state = saves.state();
    if state.scheduled {
        return saves.begin(now_s);
    }
    let points = &engine.live().0.settings.save_points;
    if points.is_empty() || (saves.has_failed() && now_s - state.tried_s < REST_S) {
        return false;
    }
    let dirty = i64::try_from(saves.dirty(engine)).unwrap_or(i64::MAX);
    let due = points.iter().find(|p| dirty >= p.changes && now_s - state.last_s > p.seconds);
    let Some(point) = due else { return false };
    if dirty == 0 || !saves.begin(now_s) {
        return false;
    }
    log::notice(&format!("{} changes in {} seconds. Saving...", point.changes, point.seconds));
    true
}
