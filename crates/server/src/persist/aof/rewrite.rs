//! Rewriting the append-only file: a snapshot becomes the new base, and the increments before its cut go.
//!
//! The next increment is opened, and listed in the manifest, before the cut; at the cut, under all locks, the
//! log's rest goes to the old increment and the writer turns to the new one. When the base is whole the manifest
//! changes once more, in one rename; only then old files are removed. A crash at any point leaves a manifest
//! whose files, in order, give every effect.

use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::Ordering;

use ochre_aof::manifest::Manifest;
use ochre_base::clock::Now;
use ochre_config::Settings;
use ochre_engine::engine::Engine;

use super::{Aof, PIN, State, open_increment, write_pending};
use crate::host::reason;
use crate::persist::save;
use crate::{fault, log};

/// The current increment begins with the selection of a database.
fn select(state: &mut State, db: u16) -> io::Result<()> {
    let Some(file) = &state.file else { return Ok(()) };
    let number = db.to_string();
    let text = format!("*2\r\n$6\r\nSELECT\r\n${}\r\n{number}\r\n", number.len());
    (&**file).write_all(text.as_bytes())?;
    state.file_bytes += text.len() as u64;
    Ok(())
}

impl State {
    /// The folder, and the manifest that lies in it, of an append-only file that is off.
    fn take_manifest(&mut self, settings: &Settings) -> io::Result<()> {
        self.folder.clone_from(&settings.append_folder);
        self.stem.clone_from(&settings.append_name);
        std::fs::create_dir_all(&self.folder)?;
        let known = std::fs::read_to_string(self.manifest_path()).ok();
        self.manifest = known.and_then(|text| Manifest::parse(&text).ok()).unwrap_or_default();
        Ok(())
    }

    /// Removes the files that were replaced.
    fn forget_history(&mut self) -> io::Result<()> {
        for gone in std::mem::take(&mut self.manifest.history) {
            // A file that cannot be removed is listed no more, and harms nothing.
            drop(std::fs::remove_file(self.folder.join(gone.name)));
            fault::point();
        }
        self.write_manifest()
    }
}

/// What becomes of the append-only file with a rewrite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// It is written, from the cut on if it is off until then.
    Written,
    /// It stays off if it is: there is a new base, and nothing behind it.
    Off,
}

impl Aof {
    /// Rewrites the files, or writes the first ones when the append-only file has just been switched on. The
    /// right to take a snapshot was claimed (`Saves::begin`).
    pub(crate) fn rewrite(
        &'static self,
        engine: &'static Engine,
        after: After,
        now: &dyn Fn() -> Now,
    ) {
        fault::arm();
        let result = match (self.is_on(), after) {
            (false, After::Off) => self.write_base(engine, now()),
            _ => self.try_rewrite(engine, now()),
        };
        let ended_s = now().unix_ms / 1000;
        engine.saves.rewrite_ended(ended_s, result.is_ok());
        match result {
            Ok(()) => log::notice("Background AOF rewrite finished successfully"),
            Err(error) => {
                log::warning(&format!("Background AOF rewrite failed: {}", reason(&error)));
            }
        }
    }

    /// BGREWRITEAOF while the append-only file is off: a base that replaces what there is.
    fn write_base(&'static self, engine: &'static Engine, now: Now) -> io::Result<()> {
        let live = engine.live().0;
        let settings = &live.settings;
        let base = {
            let mut state = self.state();
            state.take_manifest(settings)?;
            state.manifest.next_base(&state.stem)
        };
        let temporary = format!("temp-rewriteaof-bg-{}.aof", std::process::id());
        let temporary = Path::new(&temporary);
        let written = save::write(engine, settings, temporary, now, true, || ());
        let result = written.and_then(|_| {
            let mut state = self.state();
            std::fs::rename(temporary, state.folder.join(&base.name))?;
            state.sync_folder()?;
            let after_all = state.manifest.last_increment() + 1;
            state.manifest.replace_base(base, after_all);
            state.write_manifest()?;
            state.forget_history()
        });
        if result.is_err() {
            // What is left of the attempt; the error that is reported is the first one.
            drop(std::fs::remove_file(temporary));
        }
        result
    }

    fn try_rewrite(&'static self, engine: &'static Engine, now: Now) -> io::Result<()> {
        let live = engine.live().0;
        let settings = &live.settings;
        let is_first = !self.is_on();
        let (base, path, next, name) = {
            let mut state = self.state();
            if is_first {
                state.take_manifest(settings)?;
            }
            let base = state.manifest.next_base(&state.stem);
            let stem = state.stem.clone();
            let name = state.manifest.add_increment(&stem);
            let next = open_increment(&state.folder.join(&name)).inspect_err(|_| {
                // Listed without being there, it would keep the server from starting.
                state.manifest.increments.pop();
            })?;
            fault::point();
            if !is_first {
                state.write_manifest()?;
            }
            (base.clone(), state.folder.join(&base.name), next, name)
        };
        let now_s = now.unix_ms / 1000;
        let temporary = format!("temp-rewriteaof-bg-{}.aof", std::process::id());
        let temporary = Path::new(&temporary);
        let mut switched = Ok(());
        let written = save::write(engine, settings, temporary, now, true, || {
            let mut state = self.state();
            if is_first {
                engine.log.turn_on();
                state.written = engine.log.end();
                state.synced = state.written;
                self.on.store(true, Ordering::Release);
            } else {
                switched = write_pending(&mut state, engine, settings, now_s);
            }
            let (_, db) = engine.log.begin_reader();
            engine.log.pin(PIN, state.written);
            fault::point();
            let old = state.file.replace(next);
            state.to_sync.extend(old);
            state.other_bytes += std::mem::take(&mut state.file_bytes);
            if engine.log.follows() {
                // A primary's bytes name their database when it changes, and not for us.
                switched = std::mem::replace(&mut switched, Ok(())).and(select(&mut state, db));
            }
        });
        let result = switched.and(written.map(drop)).and_then(|()| {
            fault::point();
            std::fs::rename(temporary, &path)?;
            let mut state = self.state();
            // The base has its name for good before anything refers to it.
            state.sync_folder()?;
            let from = state.manifest.last_increment();
            state.manifest.replace_base(base, from);
            state.write_manifest()?;
            state.other_bytes = std::fs::metadata(&path)?.len();
            state.base_bytes = state.size();
            state.forget_history()
        });
        if result.is_err() {
            // What is left of the attempt; the error that is reported is the first one.
            drop(std::fs::remove_file(temporary));
            if is_first {
                self.switch_off(engine);
                drop(std::fs::remove_file(settings.append_folder.join(name)));
            }
        }
        result
    }

    /// CONFIG SET appendonly no.
    pub(crate) fn switch_off(&self, engine: &'static Engine) {
        let _all = engine.shards.lock_all();
        self.on.store(false, Ordering::Release);
        if engine.replicas.count() == 0 {
            engine.stop_log();
        }
        engine.log.unpin(PIN);
        let mut state = self.state();
        state.file = None;
        state.file_bytes = 0;
    }
}
