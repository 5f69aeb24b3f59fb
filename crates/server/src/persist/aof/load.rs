//! Reading the append-only file: the base, then the increments in order, through the same door as clients'
//! commands.
//!
//! While it is read no key expires: a later command in the file may count on it. A tail that is cut off is cut
//! back to its last whole record, and to before the transaction that it falls into (aof-load-truncated); damage
//! elsewhere stops the start.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::atomic::Ordering;

use ochre_aof::manifest::{Entry, Manifest, Part};
use ochre_aof::notes;
use ochre_base::clock::Now;
use ochre_config::Settings;
use ochre_engine::engine::Engine;
use ochre_engine::replay::Replay;
use ochre_keyspace::lazyfree::Bin;
use ochre_resp::request::Args;
use ochre_resp::{Limits, Parsed, Parser};

use super::{Aof, PIN, State, open_increment};
use crate::host::reason;
use crate::log;

/// Bytes read at once.
const BLOCK: usize = 1 << 20;

impl Aof {
    /// At the start, when `appendonly` is on: reads what there is, and makes ready for writing.
    pub(crate) fn start(&self, engine: &'static Engine, now: Now) -> anyhow::Result<()> {
        let settings = &engine.live().0.settings;
        let mut state = self.state();
        state.folder = settings.append_folder.clone();
        state.stem.clone_from(&settings.append_name);
        let fail = |why: String| anyhow::anyhow!("{why}");
        std::fs::create_dir_all(&state.folder)
            .map_err(|error| anyhow::anyhow!("Can't open or create append-only dir: {error}"))?;
        let known = find_manifest(&mut state).map_err(fail)?;
        read_all(engine, &state.folder, &state.manifest, settings, now).map_err(fail)?;
        open(&mut state, engine, known, now).map_err(|error| {
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

    /// DEBUG LOADAOF: reads the files again, on top of an empty keyspace.
    pub(crate) fn reload(&self, engine: &'static Engine, now: Now) -> Result<(), String> {
        if !self.is_on() {
            return Err("the append-only file is off".to_owned());
        }
        let settings = &engine.live().0.settings;
        {
            let _all = engine.shards.lock_all();
            self.on.store(false, Ordering::Release);
            engine.log.turn_off();
        }
        // Not under the mutex: what is read takes shards' locks, which come before it.
        let (folder, manifest) = {
            let state = self.state();
            (state.folder.clone(), state.manifest.clone())
        };
        let result = read_all(engine, &folder, &manifest, settings, now);
        self.begin(engine);
        result
    }
}

/// Opens the increment that is written to. Without a manifest there is nothing yet: an empty base is made.
fn open(state: &mut State, engine: &'static Engine, known: bool, now: Now) -> std::io::Result<()> {
    if !known {
        let base = state.manifest.next_base(&state.stem);
        super::super::save::empty(engine, &state.folder.join(&base.name), now)?;
        state.manifest.base = Some(base);
    }
    if state.manifest.increments.is_empty() {
        state.manifest.add_increment(&state.stem);
        state.write_manifest()?;
    }
    let Some(last) = state.manifest.increments.last() else { return Ok(()) };
    let file = open_increment(&state.folder.join(&last.name))?;
    let bytes = |entry: &Entry| {
        std::fs::metadata(state.folder.join(&entry.name)).map_or(0, |meta| meta.len())
    };
    let before = &state.manifest.increments[..state.manifest.increments.len() - 1];
    state.other_bytes = state.manifest.base.iter().chain(before).map(bytes).sum();
    state.file_bytes = file.metadata()?.len();
    state.base_bytes = state.size();
    state.file = Some(file);
    Ok(())
}

/// Reads the manifest, or takes over an append-only file of one piece; false when there is neither.
fn find_manifest(state: &mut State) -> Result<bool, String> {
    let path = state.manifest_path();
    if path.exists() {
        let text = std::fs::read_to_string(&path).map_err(|error| reason(&error))?;
        state.manifest = Manifest::parse(&text)
            .map_err(|invalid| format!("Found an invalid AOF manifest file: {invalid}"))?;
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

fn read_all(
    engine: &'static Engine,
    folder: &Path,
    manifest: &Manifest,
    settings: &Settings,
    now: Now,
) -> Result<(), String> {
    let parts: Vec<&Entry> = manifest.base.iter().chain(&manifest.increments).collect();
    for (at, entry) in parts.iter().enumerate() {
        let path = folder.join(&entry.name);
        let is_last = at + 1 == parts.len();
        read(engine, &path, settings, now, is_last)
            .map_err(|why| format!("{} {why}", path.display()))?;
    }
    if !parts.is_empty() {
        log::notice("DB loaded from append only file");
    }
    Ok(())
}

/// Reads one file: a snapshot, commands, or a snapshot with commands behind it.
fn read(
    engine: &'static Engine,
    path: &Path,
    settings: &Settings,
    now: Now,
    is_last: bool,
) -> Result<(), String> {
    let mut file = File::open(path).map_err(|error| reason(&error))?;
    let mut magic = [0; 5];
    let got = file.read(&mut magic).map_err(|error| reason(&error))?;
    file.seek(SeekFrom::Start(0)).map_err(|error| reason(&error))?;
    let (mut rest, mut at) = (Vec::new(), 0);
    if got == magic.len() && (&magic == b"REDIS" || &magic == b"VALKE") {
        let (_, loaded) = super::super::load::load_from(engine, file, now)?;
        (rest, file) = loaded;
        let read = file.stream_position().map_err(|error| reason(&error))?;
        at = read - rest.len() as u64;
    }
    let end = replay(engine, &mut file, rest, at)?;
    match end {
        End::Whole => Ok(()),
        End::Cut(good) if is_last && settings.aof_load_truncated => {
            log::warning("!!! Warning: short read while loading the AOF file !!!");
            log::warning(&format!("!!! Truncating the AOF at offset {good} !!!"));
            let file = OpenOptions::new().write(true).open(path).map_err(|error| reason(&error))?;
            file.set_len(good).map_err(|error| reason(&error))?;
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

/// How a file ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// With a whole record.
    Whole,
    /// Within one, which begins at this offset.
    Cut(u64),
}

/// Runs the commands of a file from offset `at` on; `pending` was read already.
fn replay(
    engine: &'static Engine,
    file: &mut File,
    mut pending: Vec<u8>,
    mut at: u64,
) -> Result<End, String> {
    let mut runner = Replay::new(engine, Bin::inline(), Now::default());
    // The end of the last record outside of a transaction.
    let mut good = at;
    let mut block = vec![0; BLOCK];
    loop {
        let got = file.read(&mut block).map_err(|error| reason(&error))?;
        pending.extend_from_slice(&block[..got]);
        let consumed = run(&mut runner, &mut pending)?;
        pending.drain(..consumed);
        at += consumed as u64;
        if !runner.is_in_multi() {
            good = at;
        }
        if got == 0 {
            break;
        }
    }
    if pending.is_empty() && !runner.is_in_multi() {
        return Ok(End::Whole);
    }
    if !runner.is_in_multi() {
        return Ok(End::Cut(good));
    }
    // It falls into a transaction, whose start lies somewhere behind `good`.
    file.seek(SeekFrom::Start(good)).map_err(|error| reason(&error))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| reason(&error))?;
    Ok(End::Cut(good + last_multi(&mut bytes) as u64))
}

/// Runs what is complete at the start of `bytes`; how much that was.
fn run(runner: &mut Replay, bytes: &mut [u8]) -> Result<usize, String> {
    let mut at = 0;
    loop {
        match notes::note(&bytes[at..]) {
            Some(0) => return Ok(at),
            Some(length) => {
                at += length;
                continue;
            }
            None => {}
        }
        // Up to what may be the next note; it may also lie within a value, and then the command before it
        // is not complete, and the next place is tried.
        let mut end = at;
        let done = loop {
            let next = find(&bytes[end..], b"\r\n#").map(|found| end + found + 2);
            end = next.unwrap_or(bytes.len());
            let done = runner.run(&mut bytes[at..end]);
            if done.consumed > 0 || next.is_none() || done.broken {
                break done;
            }
        };
        let replies = runner.take_replies();
        if done.broken {
            return Err("Bad file format reading the append only file: make a backup of your AOF \
                        file, then use ochre-check-aof --fix <filename>"
                .to_owned());
        }
        if let Some(unknown) = find(&replies, b"-ERR unknown command") {
            let text = String::from_utf8_lossy(&replies[unknown + 1..]);
            let line = text.lines().next().unwrap_or_default().to_owned();
            return Err(format!("Unknown command reading the append only file: {line}"));
        }
        at += done.consumed;
        if done.consumed == 0 || at == bytes.len() {
            return Ok(at);
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Where the last MULTI among the complete commands of `bytes` begins.
fn last_multi(bytes: &mut [u8]) -> usize {
    let limits = Limits { max_bulk_len: u64::MAX, authenticated: true };
    let (mut parser, mut args) = (Parser::new(), Args::new());
    let (mut at, mut multi) = (0, 0);
    loop {
        if let Some(length) = notes::note(&bytes[at..]).filter(|length| *length > 0) {
            at += length;
            continue;
        }
        match parser.next(&mut bytes[at..], &limits, &mut args) {
            Parsed::Complete { consumed } => {
                let name = args.iter().next();
                let is_multi = name.is_some_and(|name| {
                    let from = at + name.start as usize;
                    bytes[from..from + name.len as usize].eq_ignore_ascii_case(b"multi")
                });
                if is_multi {
                    multi = at;
                }
                at += consumed;
            }
            Parsed::Skipped { consumed } => at += consumed,
            Parsed::Incomplete { .. } | Parsed::Error(_) => return multi,
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn finds_the_transaction_that_is_cut() {
        let mut bytes =
            b"*1\r\n$4\r\nPING\r\n#TS:5\r\n*1\r\n$5\r\nMULTI\r\n*1\r\n$4\r\nPI".to_vec();
        let at = super::last_multi(&mut bytes);
        assert!(bytes[at..].starts_with(b"*1\r\n$5\r\nMULTI"));
        assert_eq!(at, 21);
    }
}
