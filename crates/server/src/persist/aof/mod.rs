//! The append-only file: every effect on disk, in the order of the log.
//!
//! - [`load`]: back into the keyspace at the start;
//! - [`replay`]: its commands, run on several threads ([`lanes`]);
//! - [`recover`]: back only up to a moment, and going on from there;
//! - [`candidates`]: which moments those may be;
//! - [`rewrite`]: a new base, by the one snapshot mechanism, with the increments that follow its cut.
//!
//! **Writing.** The log is what commands append to; the file is a reader of it. At the end of its turn, before
//! replies go out, each loop takes what the log has got since the last time and writes it to the current
//! increment, under one mutex. So a reply is never sent before its effects are at least with the kernel. The log
//! keeps what is not written yet (`Log::pin`).
//!
//! **Syncing.** `always`: the loop syncs before its replies go out; whoever comes second finds its bytes
//! synced by the first. `everysec`: a thread of its own syncs once a second. `no`: the kernel decides.
//!
//! **Failures.** A write that fails is cut back to the last whole record, commands that write are refused
//! with MISCONF, and each turn tries again: when there is room, it goes on by itself. Under `always` a
//! reply could then be sent that is not on disk, so the process ends, as the peers' does.
//!
//! Order of locks: shards, this one, the log.

pub(crate) mod candidates;
mod lanes;
pub(crate) mod load;
pub(crate) mod recover;
mod replay;
pub(crate) mod rewrite;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ochre_aof::manifest::Manifest;
use ochre_aof::notes;
use ochre_config::Settings;
use ochre_config::snapshot::AppendSync;
use ochre_engine::engine::Engine;

use crate::host::reason;
use crate::{fault, log};

/// Its number among the log's readers; clients' are their ids, from 1.
const PIN: u64 = 0;
/// Time between two syncs under `everysec`.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// Time between two lines in the log about the same failure, in seconds.
const COMPLAIN_EVERY_S: i64 = 30;

/// See the module's head.
#[derive(Debug, Default)]
pub(crate) struct Aof {
    on: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    folder: PathBuf,
    /// First part of the files' names.
    stem: String,
    manifest: Manifest,
    /// There was one at the start.
    known: bool,
    /// The current increment.
    file: Option<Arc<File>>,
    /// Whole records in it, in bytes.
    file_bytes: u64,
    /// Bytes of all files but the current increment.
    other_bytes: u64,
    /// Bytes of all files after the last rewrite.
    base_bytes: u64,
    /// Offset of the log up to which it is written, and up to which it is synced.
    written: u64,
    synced: u64,
    /// Increments that are complete but may not be synced.
    to_sync: Vec<Arc<File>>,
    /// The time of the last note, in Unix seconds.
    noted_s: i64,
    complained_s: i64,
    scratch: Vec<u8>,
}

impl State {
    fn manifest_path(&self) -> PathBuf {
        self.folder.join(format!("{}.manifest", self.stem))
    }

    /// Replaces the manifest on disk.
    fn write_manifest(&self) -> io::Result<()> {
        let path = self.manifest_path();
        let temporary = self.folder.join(format!("temp_{}.manifest", self.stem));
        let mut file = File::create(&temporary)?;
        fault::point();
        file.write_all(self.manifest.to_string().as_bytes())?;
        fault::point();
        file.sync_all()?;
        fault::point();
        std::fs::rename(&temporary, &path)?;
        self.sync_folder()
    }

    /// Makes the names of files durable.
    fn sync_folder(&self) -> io::Result<()> {
        fault::point();
        File::open(&self.folder)?.sync_all()?;
        fault::point();
        Ok(())
    }

    fn size(&self) -> u64 {
        self.other_bytes + self.file_bytes
    }
}

fn open_increment(path: &Path) -> io::Result<Arc<File>> {
    Ok(Arc::new(OpenOptions::new().create(true).append(true).open(path)?))
}

impl Aof {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether effects are written.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// At the end of a loop's turn, before replies go out: writes what the log has got, and syncs it under
    /// `always`.
    pub(crate) fn end_turn(&self, engine: &Engine, settings: &Settings, now_s: i64) {
        if !self.is_on() {
            return;
        }
        let mut state = self.state();
        if let Err(error) = write_pending(&mut state, engine, settings, now_s) {
            self.complain(&mut state, engine, settings, now_s, &error);
            return;
        }
        if settings.append_sync == AppendSync::Always
            && state.synced < state.written
            && let Err(error) = sync(&mut state)
        {
            self.complain(&mut state, engine, settings, now_s, &error);
            return;
        }
        engine.saves.aof_works();
        drop(state);
        engine.replicas.serve_waiting(engine);
    }

    fn complain(
        &self,
        state: &mut State,
        engine: &Engine,
        settings: &Settings,
        now_s: i64,
        error: &io::Error,
    ) {
        let reason = reason(error);
        if settings.append_sync == AppendSync::Always {
            log::warning(&format!(
                "Can't recover from AOF write error when the AOF fsync policy is 'always': {reason}. \
                 Exiting..."
            ));
            std::process::exit(1);
        }
        if now_s - state.complained_s >= COMPLAIN_EVERY_S {
            state.complained_s = now_s;
            log::warning(&format!("Error writing to the AOF file: {reason}"));
        }
        engine.saves.aof_fails(&reason);
    }

    /// Writes and syncs everything: before the end of the process, and before the file is read.
    pub(crate) fn finish(&self, engine: &Engine, now_s: i64) {
        if !self.is_on() {
            return;
        }
        let settings = &engine.live().0.settings;
        let mut state = self.state();
        let result =
            write_pending(&mut state, engine, settings, now_s).and_then(|()| sync(&mut state));
        if let Err(error) = result {
            log::warning(&format!("Error writing to the AOF file: {}", reason(&error)));
        }
    }

    /// The log's offset up to which everything is on disk; none when nothing is written.
    pub(crate) fn synced(&self) -> Option<u64> {
        self.is_on().then(|| self.state().synced)
    }

    /// Bytes of all files, and after the last rewrite.
    pub(crate) fn sizes(&self) -> (u64, u64) {
        let state = self.state();
        (state.size(), state.base_bytes)
    }

    /// Whether the files have grown so much that a rewrite is due.
    pub(crate) fn is_rewrite_due(&self, settings: &Settings) -> bool {
        if !self.is_on() || settings.aof_rewrite_percentage == 0 {
            return false;
        }
        let (size, base) = self.sizes();
        let base = base.max(1);
        size > settings.aof_rewrite_min_bytes
            && size.saturating_sub(base).saturating_mul(100) / base
                >= settings.aof_rewrite_percentage
    }

    /// Syncs once a second, for as long as the process lives.
    pub(crate) fn sync_forever(&self, engine: &'static Engine) {
        while !engine.stopping.load(Ordering::Relaxed) {
            std::thread::sleep(SYNC_EVERY);
            let settings = &engine.live().0.settings;
            if self.is_on() && settings.append_sync == AppendSync::EverySecond {
                self.sync_beside(engine);
            }
        }
    }

    /// Syncs without holding the mutex meanwhile.
    fn sync_beside(&self, engine: &Engine) {
        let (files, written) = {
            let mut state = self.state();
            if state.synced == state.written && state.to_sync.is_empty() {
                return;
            }
            let mut files = std::mem::take(&mut state.to_sync);
            files.extend(state.file.clone());
            (files, state.written)
        };
        match files.iter().try_for_each(|file| file.sync_data()) {
            Ok(()) => {
                self.state().synced = written;
                engine.replicas.serve_waiting(engine);
            }
            Err(error) => {
                let reason = reason(&error);
                log::warning(&format!("Asynchronous AOF fsync is failing: {reason}"));
                engine.saves.aof_fails(&reason);
                // Tried again in a second.
                self.state().to_sync.extend(files);
            }
        }
    }
}

fn write_pending(
    state: &mut State,
    engine: &Engine,
    settings: &Settings,
    now_s: i64,
) -> io::Result<()> {
    let Some(file) = state.file.clone() else { return Ok(()) };
    let mut scratch = std::mem::take(&mut state.scratch);
    scratch.clear();
    if settings.aof_timestamps && now_s != state.noted_s {
        scratch.extend_from_slice(&notes::time(now_s));
    }
    let note = scratch.len();
    let read = engine.log.read(state.written, usize::MAX, &mut scratch);
    let end = read.map_err(|_| io::Error::other("the log has lost what was not written yet"))?;
    let result = match scratch.len() > note {
        true => (&*file).write_all(&scratch),
        false => Ok(()),
    };
    if result.is_ok() && scratch.len() > note {
        state.file_bytes += scratch.len() as u64;
        state.written = end;
        state.noted_s = now_s;
        engine.log.pin(PIN, end);
    } else if result.is_err() {
        // Part of it may be there: it goes, so that what follows begins at a record.
        file.set_len(state.file_bytes)?;
    }
    scratch.shrink_to(64 << 10);
    state.scratch = scratch;
    result
}

fn sync(state: &mut State) -> io::Result<()> {
    for file in state.to_sync.drain(..).chain(state.file.clone()) {
        file.sync_data()?;
    }
    state.synced = state.written;
    Ok(())
}
