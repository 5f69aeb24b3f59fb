//! Restoring at the start: a server that has no data file of any kind fetches one from `restore-url`.
//!
//! The URL is that of an object, or of a folder of backups; of these the newest one that is whole is taken.
//! What is fetched is inspected while it is written beside the data file's place (checksum, structure, every
//! value), synced, and only then renamed to what the start loads: the snapshot (`dbfilename`), or with
//! `appendonly yes` the base of an append-only file that begins.
//!
//! **Failure.** That there is no whole backup, or that one cannot be fetched, ends the start: a server that
//! came up empty would be taken for one that has lost its data, and would soon back that up. A broken backup
//! in a folder is passed over, with a warning; a broken object that was named itself is a failure.
//!
//! A server that has data never looks at the URL, and says so in the log.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use ochre_aof::manifest::Manifest;
use ochre_backup::destination::Object;
use ochre_backup::{Async, Destination, Inspected, Tee, inspect};
use ochre_config::Settings;
use ochre_engine::engine::Engine;
use ochre_rdb::LoadError;

use crate::host::reason;
use crate::log;

/// Room of the file's writer.
const BUFFER: usize = 256 << 10;

/// Fetches a data file, if one is wanted and there is none.
pub(crate) fn at_start(engine: &'static Engine, now_s: i64) -> anyhow::Result<()> {
    let live = engine.live().0;
    let settings = &live.settings;
    let url = &settings.backup.restore_url;
    if url.is_empty() {
        return Ok(());
    }
    if let Some(file) = data_file(settings) {
        log::notice(&format!(
            "Starting from {}; restore-url is passed over, since there is a data file",
            file.display()
        ));
        return Ok(());
    }
    // A signal that comes meanwhile must not save an empty data set.
    let _loading = engine.loading.begin(now_s, 1);
    log::notice(&format!("There is no data file: restoring from {url}"));
    restore(engine, settings, url)
        .map_err(|why| anyhow::anyhow!("Fatal error restoring from {url}: {why}. Exiting."))
}

/// A file that the start would load, or that a start with other directives would.
fn data_file(settings: &Settings) -> Option<PathBuf> {
    let manifest = settings.append_folder.join(format!("{}.manifest", settings.append_name));
    [settings.dbfilename.clone(), manifest, PathBuf::from(&settings.append_name)]
        .into_iter()
        // One that cannot be looked at may be there.
        .find(|path| path.try_exists().unwrap_or(true))
}

fn restore(engine: &'static Engine, settings: &Settings, url: &str) -> Result<(), String> {
    let stop = || engine.stopping.load(Ordering::Relaxed);
    let runtime = Async::new().map_err(|error| reason(&error))?;
    let temporary = PathBuf::from(format!("temp-restore-{}.rdb", std::process::id()));
    let result = Destination::open(&runtime, url, &stop)
        .map_err(|error| error.to_string())
        .and_then(|destination| fetch(&destination, &temporary))
        .and_then(|()| place(settings, &temporary).map_err(|error| reason(&error)));
    runtime.end();
    if result.is_err() {
        // What is left of the attempt; the error that is reported is the first one.
        drop(std::fs::remove_file(&temporary));
    }
    result
}

/// Writes what the destination has to offer into a file.
fn fetch(destination: &Destination<'_>, to: &Path) -> Result<(), String> {
    if let Some(object) = destination.read_itself().map_err(|error| error.to_string())? {
        let good = copy(object, to).map_err(|error| error.to_string())?;
        return said(&good, "the object");
    }
    let found = destination.list().map_err(|error| error.to_string())?;
    for backup in &found {
        let object = destination.read(backup).map_err(|error| error.to_string())?;
        match copy(object, to) {
            Ok(good) => return said(&good, &backup.name),
            // To take an older one because the newest cannot be reached would lose data.
            Err(LoadError::Io(error)) => return Err(error.to_string()),
            Err(error) => {
                log::warning(&format!("Backup {} is broken and passed over: {error}", backup.name));
            }
        }
    }
    Err(match found.len() {
        0 => "there is no backup".to_owned(),
        count => format!("none of the {count} backups is whole"),
    })
}

fn said(good: &Inspected, what: &str) -> Result<(), String> {
    log::notice(&format!("Restored {what}: {} bytes, {} keys", good.bytes, good.keys));
    Ok(())
}

/// Writes an object into a file while it is inspected.
fn copy(object: Object<'_>, to: &Path) -> Result<Inspected, LoadError> {
    let bytes = object.size();
    let mut file = BufWriter::with_capacity(BUFFER, File::create(to)?);
    let good = inspect(Tee::new(object, &mut file), bytes)?;
    file.flush()?;
    file.get_ref().sync_all()?;
    Ok(good)
}

/// Puts the file where the start finds it.
fn place(settings: &Settings, file: &Path) -> std::io::Result<()> {
    if !settings.append_only {
        std::fs::rename(file, &settings.dbfilename)?;
        return File::open(".")?.sync_all();
    }
    let folder = &settings.append_folder;
    std::fs::create_dir_all(folder)?;
    let base = Manifest::default().next_base(&settings.append_name);
    std::fs::rename(file, folder.join(&base.name))?;
    // The base has its name for good before anything refers to it.
    File::open(folder)?.sync_all()?;
    let manifest = Manifest { base: Some(base), ..Manifest::default() };
    let temporary = folder.join(format!("temp_{}.manifest", settings.append_name));
    let mut written = File::create(&temporary)?;
    written.write_all(manifest.to_string().as_bytes())?;
    written.sync_all()?;
    std::fs::rename(&temporary, folder.join(format!("{}.manifest", settings.append_name)))?;
    File::open(folder)?.sync_all()?;
    File::open(".")?.sync_all()
}
