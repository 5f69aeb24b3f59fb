//! Reading the append-only file: the base, then the increments in order, through the same door as clients'
//! commands, on several threads ([`super::replay`]).
//!
//! While it is read no key expires, and those of the base that are past their time are kept: a later command in
//! the file may count on them. A tail that is cut off is cut back to its last whole record, and to before the
//! transaction that it falls into (aof-load-truncated); damage elsewhere stops the start. The files' own mutex
//! is not held while they are read.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use ochre_aof::manifest::{Entry, Manifest, Part};
use ochre_base::clock::Now;
use ochre_config::Settings;
use ochre_engine::engine::Engine;

use super::recover::{Place, Until};
use super::replay::{Commands, End, replay, workers};
use super::{Aof, PIN, State, open_increment};
use crate::host::reason;
use crate::log;
use crate::persist::load::{How, Twice, load_from, seconds_since};

impl Aof {
    /// At the start, when `appendonly` is on: finds what there is, and how many bytes it has.
    pub(crate) fn find(&self, engine: &'static Engine) -> anyhow::Result<u64> {
        let settings = &engine.live().0.settings;
        let mut state = self.state();
        state.folder = settings.append_folder.clone();
        state.stem.clone_from(&settings.append_name);
        std::fs::create_dir_all(&state.folder)
            .map_err(|error| anyhow::anyhow!("Can't open or create append-only dir: {error}"))?;
        state.known = find_manifest(&mut state).map_err(|why| anyhow::anyhow!("{why}"))?;
        Ok(sizes(&state.folder, &state.manifest).iter().sum())
    }

    /// Reads what was found, up to where it is to be recovered to if that is asked for, and makes ready for
    /// writing.
    pub(crate) fn start(
        &self,
        engine: &'static Engine,
        now: &dyn Fn() -> Now,
        until: Option<&Until>,
    ) -> anyhow::Result<()> {
        let settings = &engine.live().0.settings;
        let (folder, manifest) = {
            let state = self.state();
            (state.folder.clone(), state.manifest.clone())
        };
        let fail = |why: String| anyhow::anyhow!("{why}");
        let place = until.map(|until| until.find(&folder, &manifest)).transpose().map_err(fail)?;
        if let Some(place) = &place {
            log::notice(&format!("Recovering: what is loaded ends before {}", place.shown()));
        }
        read_all(engine, &folder, &manifest, settings, now, place.as_ref()).map_err(fail)?;
        if place.is_some() {
            self.keep_recovered(engine, now).map_err(fail)?;
        }
        let mut state = self.state();
        open(&mut state, engine, now()).map_err(|error| {
            anyhow::anyhow!("Can't open the append-only file: {}", reason(&error))
        })?;
        drop(state);
        self.begin(engine);
        Ok(())
    }

    /// From here on the log is written.
    fn begin(&self, engine: &'static Engine) {
        let _all = engine.shards.lock_all();
        let mut state = self.state();
        engine.log.turn_on();
        state.written = engine.log.end();
        state.synced = state.written;
        engine.log.pin(PIN, state.written);
        self.on.store(true, Ordering::Release);
    }

    /// Reads a file as the last one of a manifest.
    #[cfg(test)]
    pub(crate) fn try_file(
        engine: &'static Engine,
        path: &Path,
        now: &dyn Fn() -> Now,
    ) -> Result<(), String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let increments = vec![Entry { name, seq: 1, part: Part::Increment }];
        let manifest = Manifest { increments, ..Manifest::default() };
        let folder = path.parent().unwrap_or(Path::new(""));
        read_all(engine, folder, &manifest, &engine.live().0.settings, now, None)
    }

    /// DEBUG LOADAOF: reads the files again, on top of an empty keyspace.
    pub(crate) fn reload(
        &self,
        engine: &'static Engine,
        now: &dyn Fn() -> Now,
    ) -> Result<(), String> {
        let (live, was_on) = (engine.live().0, self.is_on());
        let settings = &live.settings;
        if was_on {
            let _all = engine.shards.lock_all();
            self.on.store(false, Ordering::Release);
            engine.stop_log();
        }
        let (folder, manifest) = {
            let mut state = self.state();
            if !was_on {
                state.folder.clone_from(&settings.append_folder);
                state.stem.clone_from(&settings.append_name);
                state.manifest = read_manifest(&state.manifest_path())?;
            }
            (state.folder.clone(), state.manifest.clone())
        };
        let bytes = sizes(&folder, &manifest).iter().sum();
        let loading = engine.loading.begin(now().unix_ms / 1000, bytes);
        let result = read_all(engine, &folder, &manifest, settings, now, None);
        if was_on {
            self.begin(engine);
        }
        drop(loading);
        result
    }
}

/// Opens the increment that is written to. Without a manifest there is nothing yet: an empty base is made.
fn open(state: &mut State, engine: &'static Engine, now: Now) -> std::io::Result<()> {
    if !state.known {
        let base = state.manifest.next_base(&state.stem);
        super::super::save::empty(engine, &state.folder.join(&base.name), now)?;
        state.manifest.base = Some(base);
        state.known = true;
    }
    if state.manifest.increments.is_empty() {
        let stem = state.stem.clone();
        state.manifest.add_increment(&stem);
        state.write_manifest()?;
    }
    let Some(last) = state.manifest.increments.last() else { return Ok(()) };
    let file = open_increment(&state.folder.join(&last.name))?;
    let sizes = sizes(&state.folder, &state.manifest);
    state.other_bytes = sizes[..sizes.len() - 1].iter().sum();
    state.file_bytes = file.metadata()?.len();
    state.base_bytes = state.size();
    state.file = Some(file);
    Ok(())
}

/// Reads the manifest, or takes over an append-only file of one piece; false when there is neither.
fn find_manifest(state: &mut State) -> Result<bool, String> {
    let path = state.manifest_path();
    if path.exists() {
        state.manifest = read_manifest(&path)?;
        finish_take_over(state)?;
        return Ok(true);
    }
    let old = Path::new(&state.stem);
    if !old.is_file() {
        return Ok(false);
    }
    let seq = 1;
    let name = state.stem.clone();
    let base = Entry { name, seq, part: Part::Base };
    state.manifest = Manifest { base: Some(base), ..Manifest::default() };
    let take_over = || {
        state.write_manifest()?;
        std::fs::rename(old, state.folder.join(&state.stem))
    };
    take_over().map_err(|error| format!("Can't take over the old AOF file: {}", reason(&error)))?;
    log::notice("Successfully migrated an old-style AOF into the folder of append-only files");
    Ok(true)
}

/// When the manifest names the old file, but it still lies beside the folder, the process ended between writing the
/// one and moving the other.
fn finish_take_over(state: &State) -> Result<(), String> {
    let (old, moved) = (Path::new(&state.stem), state.folder.join(&state.stem));
    let named = state.manifest.base.as_ref().is_some_and(|base| base.name == state.stem);
    if !named || moved.exists() || !old.is_file() {
        return Ok(());
    }
    std::fs::rename(old, moved)
        .map_err(|error| format!("Can't take over the old AOF file: {}", reason(&error)))?;
    log::notice("Finished the migration of an old-style AOF that was interrupted");
    Ok(())
}

/// A manifest on disk.
pub(super) fn read_manifest(path: &Path) -> Result<Manifest, String> {
    let text = std::fs::read_to_string(path).map_err(|error| reason(&error))?;
    Manifest::parse(&text)
        .map_err(|invalid| format!("Found an invalid AOF manifest file: {invalid}"))
}

/// The bytes of the files in their order; one that is not there has one, so that it is missed when it is read.
fn sizes(folder: &Path, manifest: &Manifest) -> Vec<u64> {
    let bytes =
        |entry: &Entry| std::fs::metadata(folder.join(&entry.name)).map_or(1, |meta| meta.len());
    manifest.base.iter().chain(&manifest.increments).map(bytes).collect()
}

/// One file under way.
struct Source<'a> {
    path: PathBuf,
    name: &'a str,
    bytes: u64,
    /// Bytes of the files before it.
    before: u64,
    /// What is cut off of it may be cut back.
    is_last: bool,
    /// Where to stop.
    stop: Option<u64>,
}

fn read_all(
    engine: &'static Engine,
    folder: &Path,
    manifest: &Manifest,
    settings: &Settings,
    now: &dyn Fn() -> Now,
    until: Option<&Place>,
) -> Result<(), String> {
    let began = now();
    let parts: Vec<&Entry> = manifest.base.iter().chain(&manifest.increments).collect();
    let sizes = sizes(folder, manifest);
    let mut before = 0;
    for (at, entry) in parts.iter().enumerate() {
        let source = Source {
            path: folder.join(&entry.name),
            name: &entry.name,
            bytes: sizes[at],
            before,
            is_last: at + 1 == parts.len(),
            stop: until.filter(|place| place.file == at).map(|place| place.offset),
        };
        let file_began = now();
        read(engine, &source, settings, file_began)
            .map_err(|why| format!("{} {why}", source.path.display()))?;
        log::notice(&format!(
            "DB loaded from {} file {}: {} seconds",
            if entry.part == Part::Base { "base" } else { "incr" },
            entry.name,
            seconds_since(file_began, now())
        ));
        if source.stop.is_some() {
            break;
        }
        before += sizes[at];
    }
    if !parts.is_empty() {
        let seconds = seconds_since(began, now());
        log::notice(&format!("DB loaded from append only file: {seconds} seconds"));
    }
    Ok(())
}

/// Whether a file with these first bytes begins with a snapshot.
pub(crate) fn begins_with_snapshot(magic: &[u8]) -> bool {
    magic.starts_with(b"REDIS") || magic.starts_with(b"VALKEY")
}

/// Reads one file: a snapshot, commands, or a snapshot with commands behind it.
fn read(
    engine: &'static Engine,
    source: &Source<'_>,
    settings: &Settings,
    now: Now,
) -> Result<(), String> {
    let failed = |error: std::io::Error| reason(&error);
    let mut file = File::open(&source.path).map_err(failed)?;
    let mut magic = Vec::new();
    (&mut file).take(6).read_to_end(&mut magic).map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let (mut rest, mut at) = (Vec::new(), 0);
    if begins_with_snapshot(&magic) {
        log::notice(&format!("Reading RDB base file {} on AOF loading...", source.name));
        let how = How {
            now,
            size: Some(source.bytes),
            before: source.before,
            keep_expired: true,
            twice: Twice::Refused,
        };
        let (_, loaded) = load_from(engine, file, &how)?;
        (rest, file) = loaded;
        let read = file.stream_position().map_err(failed)?;
        at = read - rest.len() as u64;
    }
    let commands = Commands {
        read: file,
        ahead: rest,
        at,
        before: source.before,
        stop: source.stop.unwrap_or(u64::MAX),
    };
    match replay(engine, commands, workers(engine))? {
        End::Whole => Ok(()),
        End::Cut(good) if source.is_last && settings.aof_load_truncated => {
            log::warning("!!! Warning: short read while loading the AOF file !!!");
            log::warning(&format!("!!! Truncating the AOF at offset {good} !!!"));
            let file = OpenOptions::new().write(true).open(&source.path).map_err(failed)?;
            file.set_len(good).map_err(failed)?;
            log::warning("AOF loaded anyway because aof-load-truncated is enabled");
            Ok(())
        }
        End::Cut(_) => Err("Unexpected end of file reading the append only file. You can: 1) Make a \
                            backup of your AOF file, then use ochre-check-aof --fix <filename>. 2) \
                            Alternatively you can set the 'aof-load-truncated' configuration option \
                            to yes and restart the server."
            .to_owned()),
    }
}
