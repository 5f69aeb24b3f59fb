//! A primary's snapshot, from the link into the keyspace.
//!
//! By a file (`repl-diskless-load disabled`): the old data is served until all of the snapshot is there, and
//! only then dropped. Straight from the connection: the old data goes first, or there was none.
//!
//! Beside the old data (`swapdb`): the snapshot is loaded from the connection into databases of its own, which take
//! the place of the old ones under all locks when all is there. Meanwhile clients read the old data if it is of the
//! same history (`async_loading`), else they are told that data is being loaded; if the load fails, the old data
//! and its history stay in either case.
//!
//! While data is loaded, clients are told so (`Engine::loading`). From the moment in which the old data goes until
//! the new one is whole, the history has a name that nobody knows, so that neither a promotion nor a replica of
//! ours can take what is there for something it is not. A load in place that fails leaves an empty keyspace.
//!
//! The append-only file is off meanwhile, and is begun anew afterwards by the loop's periodic work: what it
//! held belonged to the old data.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use ochre_config::snapshot::DisklessLoad;
use ochre_engine::apply;
use ochre_engine::engine::Engine;
use ochre_engine::following::Incoming;
use ochre_keyspace::lock::ShardId;

use super::history::Origin;
use super::replica::{Broken, Conversation};
use crate::log;
use crate::persist::load::{self, Aside, Counts, How, Twice, load_functions};

/// Bytes of a snapshot that are looked at for what it says of itself.
const HEADER: usize = 16 << 10;

/// Receives and loads the snapshot that was announced, as of `offset` in the history `id`.
pub(super) fn receive(
    talk: &mut Conversation<'_>,
    (id, offset): (String, u64),
    total: Option<u64>,
) -> Result<(), Broken> {
    let engine = talk.wire.engine;
    talk.show_incoming(Incoming { total_bytes: total, read_bytes: 0 });
    let mode = engine.live().0.settings.replica.diskless_load;
    let is_direct = match mode {
        DisklessLoad::Never => false,
        DisklessLoad::WhenEmpty => is_empty(engine),
        DisklessLoad::Swap | DisklessLoad::Always => true,
    };
    let size = total.map_or("streamed".to_owned(), |bytes| format!("{bytes} bytes"));
    let to = if is_direct { "parser" } else { "disk" };
    log::notice(&format!("MASTER <-> REPLICA sync: receiving {size} from master to {to}"));
    if is_direct {
        let mut ready = Vec::new();
        let mut over = false;
        while !over && ready.len() < HEADER {
            over = talk.pull(&mut ready)?;
        }
        let origin = Origin::read(&ready[..]);
        let from = From::Link { ready, at: 0, over };
        let history = (id, offset, origin.db);
        return match mode == DisklessLoad::Swap && !is_empty(engine) {
            true => swap(talk, from, total, history),
            false => replace(talk, from, total, history),
        };
    }
    let path = PathBuf::from(format!("temp-repl-{}.rdb", std::process::id()));
    let opened = to_file(talk, &path).and_then(|()| Ok((File::open(&path)?, File::open(&path)?)));
    // An open file needs no name, and one that could not be written is of no use.
    let removed = std::fs::remove_file(&path);
    let (head, file) = opened?;
    removed?;
    let origin = Origin::read(head);
    let bytes = file.metadata()?.len();
    replace(talk, From::File(file), Some(bytes), (id, offset, origin.db))
}

fn is_empty(engine: &Engine) -> bool {
    (0..engine.shards.count()).all(|id| {
        engine.shards.visit(id as ShardId, |shard| shard.dbs().iter().all(|db| db.is_empty()))
    })
}

fn to_file(talk: &mut Conversation<'_>, path: &std::path::Path) -> Result<(), Broken> {
    let mut file = File::create(path)?;
    let mut part = Vec::new();
    loop {
        part.clear();
        let over = talk.pull(&mut part)?;
        file.write_all(&part)?;
        if over {
            file.sync_all()?;
            return Ok(());
        }
    }
}

/// Where a snapshot is read from.
enum From {
    File(File),
    /// The link: what was received and not read yet, from `at` on, and whether that is the last.
    Link {
        ready: Vec<u8>,
        at: usize,
        over: bool,
    },
}

/// A snapshot as something to be read, while the link is kept alive.
struct Source<'t, 'w> {
    talk: &'t mut Conversation<'w>,
    from: From,
    /// Why reading failed.
    failure: Option<Broken>,
}

impl Source<'_, '_> {
    fn try_read(&mut self, into: &mut [u8]) -> Result<usize, Broken> {
        self.talk.pulse()?;
        match &mut self.from {
            From::File(file) => Ok(file.read(into)?),
            From::Link { ready, at, over } => {
                if *at == ready.len() && !*over {
                    ready.clear();
                    *at = 0;
                    *over = self.talk.pull(ready)?;
                }
                let bytes = (ready.len() - *at).min(into.len());
                into[..bytes].copy_from_slice(&ready[*at..*at + bytes]);
                *at += bytes;
                Ok(bytes)
            }
        }
    }

    /// Passes over what is left behind the snapshot's end.
    fn drain(&mut self) -> Result<(), Broken> {
        if let From::Link { ready, over, .. } = &mut self.from {
            while !*over {
                ready.clear();
                *over = self.talk.pull(ready)?;
            }
        }
        Ok(())
    }
}

impl Read for Source<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.try_read(into).map_err(|broken| {
            let error = io::Error::other(broken.to_string());
            self.failure = Some(broken);
            error
        })
    }
}

/// Loads a snapshot beside what there is, which it then takes the place of.
fn swap(
    talk: &mut Conversation<'_>,
    from: From,
    size: Option<u64>,
    (id, offset, db): (String, u64, u16),
) -> Result<(), Broken> {
    let (engine, shared, bin) = (talk.wire.engine, talk.wire.shared, talk.wire.bin.clone());
    let now = shared.clock.now();
    let lazy = engine.live().0.settings.replica.lazy_flush;
    let is_same = *talk.resumable && engine.replicas.history().id == id;
    let loading = match is_same {
        true => engine.loading.begin_aside(),
        false => engine.loading.begin(now.unix_ms / 1000, size.unwrap_or(0)),
    };
    log::notice("MASTER <-> REPLICA sync: Loading DB in memory");
    let aside = Aside::new(engine.shards.count());
    let how = How { now, size, before: 0, keep_expired: true, twice: Twice::Refused };
    let mut source = Source { talk, from, failure: None };
    let result = match load::load_into(engine, &mut source, &how, Some(&aside)) {
        Ok((counts, _)) => source.drain().map(|()| counts),
        Err(why) => Err(source.failure.take().unwrap_or_else(|| failed_to_load(&why))),
    };
    let (fresh, functions) = aside.into_parts();
    let counts = match result {
        Ok(counts) => counts,
        Err(broken) => {
            log::notice("MASTER <-> REPLICA sync: Discarding temporary DB in background");
            fresh.into_iter().flatten().for_each(|db| bin.free_db(db));
            return Err(broken);
        }
    };
    let _batch = engine.following.begin_batch(talk.version).ok_or(Broken::Void)?;
    if shared.aof.is_on() {
        shared.aof.finish(engine, now.unix_ms / 1000);
        shared.aof.switch_off(engine);
    }
    log::notice("MASTER <-> REPLICA sync: Swapping active DB with loaded DB");
    *talk.resumable = false;
    apply::exchange(engine, (&bin, lazy), now, fresh, (id, offset, db));
    let loaded = functions.iter().try_for_each(|source| load_functions(engine, now, source));
    drop(loading);
    if let Err(why) = loaded {
        apply::empty(engine, &bin, now, lazy);
        return Err(failed_to_load(&why));
    }
    *talk.resumable = true;
    show_counts(engine, counts);
    Ok(())
}

fn failed_to_load(why: &str) -> Broken {
    Broken::Lost(format!("Failed trying to load the MASTER synchronization DB: {why}"))
}

fn show_counts(engine: &Engine, counts: Counts) {
    engine.saves.change(|state| {
        (state.loaded_keys, state.expired_keys) = (counts.keys, counts.expired);
    });
    log::notice("MASTER <-> REPLICA sync: Finished with success");
}

/// Puts a snapshot in the place of what there is.
fn replace(
    talk: &mut Conversation<'_>,
    from: From,
    size: Option<u64>,
    (id, offset, db): (String, u64, u16),
) -> Result<(), Broken> {
    let (engine, shared, bin) = (talk.wire.engine, talk.wire.shared, talk.wire.bin.clone());
    let now = shared.clock.now();
    let lazy = engine.live().0.settings.replica.lazy_flush;
    *talk.resumable = false;
    let loading = {
        let _batch = engine.following.begin_batch(talk.version).ok_or(Broken::Void)?;
        let loading = engine.loading.begin(now.unix_ms / 1000, size.unwrap_or(0));
        if shared.aof.is_on() {
            shared.aof.finish(engine, now.unix_ms / 1000);
            shared.aof.switch_off(engine);
        }
        log::notice("MASTER <-> REPLICA sync: Flushing old data");
        apply::empty(engine, &bin, now, lazy);
        loading
    };
    log::notice("MASTER <-> REPLICA sync: Loading DB in memory");
    let how = How { now, size, before: 0, keep_expired: true, twice: Twice::Refused };
    let mut source = Source { talk, from, failure: None };
    let result = match load::load_from(engine, &mut source, &how) {
        Ok((counts, _)) => source.drain().map(|()| counts),
        Err(why) => Err(source.failure.take().unwrap_or_else(|| failed_to_load(&why))),
    };
    let counts = result.inspect_err(|_| apply::empty(engine, &bin, now, lazy))?;
    let _batch = engine.following.begin_batch(talk.version).ok_or(Broken::Void)?;
    {
        let _all = engine.shards.lock_all();
        engine.log.restart_at(offset, Some(db));
        engine.replicas.join_history(id);
    }
    drop(loading);
    *talk.resumable = true;
    show_counts(engine, counts);
    Ok(())
}
