//! Loading a snapshot: before the first client is served, or by DEBUG RELOAD.
//!
//! Keys that are past their time are left out and counted, hash fields too. A file that is broken or of a
//! version that is not known stops the start: data must not be lost by serving an empty keyspace and
//! then saving that over the file.

use std::fs::File;
use std::path::Path;

use ochre_base::clock::Now;
use ochre_engine::engine::Engine;
use ochre_engine::replay::Replay;
use ochre_families::dump::new_value;
use ochre_keyspace::db::Key;
use ochre_keyspace::evict::AccessClock;
use ochre_keyspace::lazyfree::Bin;
use ochre_rdb::{Item, Loaded, RdbReader, ReadOptions};

use crate::host::reason;
use crate::log;

/// What a file held.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    /// Keys that were taken.
    pub(crate) keys: u64,
    /// Keys that were past their time.
    pub(crate) expired: u64,
}

/// Loads the configured file if there is one.
pub(crate) fn at_start(
    engine: &'static Engine,
    now: Now,
    took: &dyn Fn() -> Now,
) -> anyhow::Result<()> {
    let settings = &engine.live().0.settings;
    let path = Path::new(&settings.dbfilename);
    if !path.exists() {
        return Ok(());
    }
    let counts = load(engine, path, now).map_err(|why| {
        anyhow::anyhow!("Fatal error loading the DB, check server logs. Exiting: {why}")
    })?;
    let ms = took().unix_ms - now.unix_ms;
    log::notice(&format!(
        "Done loading RDB, keys loaded: {}, keys expired: {}.",
        counts.keys, counts.expired
    ));
    log::notice(&format!("DB loaded from disk: {}.{:03} seconds", ms / 1000, ms % 1000));
    engine.saves.change(|state| {
        (state.loaded_keys, state.expired_keys) = (counts.keys, counts.expired);
    });
    Ok(())
}

/// Adds what a file holds to the keyspace.
pub(crate) fn load(engine: &'static Engine, path: &Path, now: Now) -> Result<Counts, String> {
    let file = File::open(path).map_err(|error| reason(&error))?;
    load_from(engine, file, now).map(|(counts, _)| counts)
}

/// The same from an open file; gives back the file, and what was read of it behind the snapshot.
pub(super) fn load_from(
    engine: &'static Engine,
    file: File,
    now: Now,
) -> Result<(Counts, (Vec<u8>, File)), String> {
    let live = engine.live().0;
    let size = file.metadata().map_err(|error| reason(&error))?.len();
    let broken = |error: ochre_rdb::LoadError| error.to_string();
    let options = ReadOptions {
        limits: live.limits,
        checksum: live.settings.rdb_checksum,
        relaxed: live.settings.rdb_relaxed,
        size: Some(size),
    };
    let mut reader = RdbReader::new(file, options).map_err(broken)?;
    let clock = AccessClock {
        lfu: live.policy.is_lfu(),
        seconds: (now.unix_ms / 1000) as u32,
        log_factor: live.settings.lfu_log_factor,
        decay_minutes: live.settings.lfu_decay_minutes,
    };
    let (mut db, mut counts) = (0, Counts::default());
    loop {
        match reader.next_item().map_err(broken)? {
            Item::End => return Ok((counts, reader.into_rest())),
            Item::Select(index) => {
                db = u16::try_from(index)
                    .ok()
                    .filter(|index| *index < live.databases)
                    .ok_or_else(|| format!("the file has a database {index}, see `databases`"))?;
            }
            Item::Key(loaded) => {
                if loaded.meta.expire_at_ms.is_some_and(|at| at < now.unix_ms) {
                    counts.expired += 1;
                } else {
                    counts.keys += 1;
                    put(engine, db, loaded, &clock);
                }
            }
            Item::Function(source) => load_functions(engine, now, &source)?,
            Item::Aux { .. }
            | Item::Resize { .. }
            | Item::SlotInfo { .. }
            | Item::SlotImport { .. } => {}
            Item::ModuleAux(name) => {
                log::warning(&format!("The file has data of a module, {name}, which is left out"));
            }
        }
    }
}

fn put(engine: &Engine, db: u16, loaded: Loaded, clock: &AccessClock) {
    let key = Key::new(&loaded.key);
    let access = clock.restored(loaded.meta.idle_s, loaded.meta.frequency);
    let mut text = Vec::new();
    let value = new_value(loaded.value, &mut text);
    engine.shards.visit(engine.shards.of(key.hash), |shard| {
        let db = shard.db_mut(db);
        let slot = db.find(key);
        db.put(key, slot, value, loaded.meta.expire_at_ms, access);
    });
}

fn load_functions(engine: &'static Engine, now: Now, source: &[u8]) -> Result<(), String> {
    let mut replay = Replay::new(engine, Bin::inline(), now);
    let reply = replay.command(&[b"FUNCTION", b"LOAD", b"REPLACE", source]);
    match reply.strip_prefix(b"-") {
        Some(error) => Err(String::from_utf8_lossy(error).trim().to_owned()),
        None => Ok(()),
    }
}
