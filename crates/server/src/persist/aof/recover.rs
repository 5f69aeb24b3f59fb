//! Recovery to a moment before the end: the append-only file is replayed up to a time, an offset, or just before
//! a command, and what that gives becomes the data set.
//!
//! **Nothing is lost by it.** The files are first linked, with their manifest, into a folder of their own beside
//! them, where they are an append-only file as whole as before: load that folder to undo the recovery. Then the
//! state is written as a new base, synced, and named by a new manifest that replaces the old one in one rename;
//! only then the old names go. A crash at any point leaves either the old manifest with all of its files or the
//! new one with all of its; what can be left over is a file that no manifest names.
//!
//! **Where it stops** is found by a first pass that runs nothing ([`super::candidates`]). A stop within a
//! transaction is moved to before it. It is refused to stop where nothing would be left out, and before the time
//! at which the base was written: since a recovery writes a base, a server that is started again with the same
//! time or offset says so instead of cutting off what has been written since.
//!
//! Source: R4.6; the form of times in the files is that of Redis 7 (`aof-timestamp-enabled`).

use std::fs::File;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use ochre_aof::manifest::{Entry, Manifest, Part};
use ochre_base::clock::Now;
use ochre_config::Settings;
use ochre_engine::engine::Engine;

use super::candidates::{self, Scan};
use super::load::read_manifest;
use super::{Aof, State, open_increment};
use crate::host::reason;
use crate::log;
use crate::persist::save;

/// Up to where to recover: `--recover-until`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Until {
    /// `time:` what was written up to this Unix second stays.
    Time(i64),
    /// `offset:` the records of this file that end up to this offset stay.
    Offset {
        /// The file's name.
        file: String,
        /// The offset in it.
        offset: u64,
    },
    /// `before:` all before the last command that begins with these words.
    Before(Vec<Vec<u8>>),
}

/// A place in the files, at the start of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file's number in their order.
    pub(crate) file: usize,
    /// Its name.
    pub(crate) name: String,
    /// The offset in it.
    pub(crate) offset: u64,
}

impl Place {
    /// As it is written behind `offset:`.
    pub(crate) fn shown(&self) -> String {
        format!("{}:{}", self.name, self.offset)
    }
}

/// A Unix second as a date.
pub(crate) fn date(unix_s: i64) -> String {
    Timestamp::from_second(unix_s).map_or_else(|_| unix_s.to_string(), |date| date.to_string())
}

impl Until {
    /// Reads what stands behind `--recover-until`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "--recover-until '{text}' is none of time:<unix seconds or 2026-11-22T16:00:00Z>, \
                 offset:<file>:<bytes>, before:<COMMAND [argument ...]>"
            )
        };
        let (kind, rest) = text.split_once(':').ok_or_else(wrong)?;
        match kind {
            "time" => {
                let seconds = rest.parse().ok();
                let seconds = seconds.or_else(|| Some(rest.parse::<Timestamp>().ok()?.as_second()));
                seconds.map(Self::Time).ok_or_else(wrong)
            }
            "offset" => {
                let (file, offset) = rest.rsplit_once(':').ok_or_else(wrong)?;
                let offset = offset.parse().map_err(|_| wrong())?;
                Ok(Self::Offset { file: file.to_owned(), offset })
            }
            "before" => {
                let words: Vec<Vec<u8>> =
                    rest.split_whitespace().map(|word| word.as_bytes().to_vec()).collect();
                if words.is_empty() { Err(wrong()) } else { Ok(Self::Before(words)) }
            }
            _ => Err(wrong()),
        }
    }

    /// Where in the files that is.
    pub(super) fn find(&self, folder: &Path, manifest: &Manifest) -> Result<Place, String> {
        let scan = candidates::scan(folder, manifest, Some(self))?;
        self.choose(&scan)
    }

    /// Where a scan for it found it.
    pub(crate) fn choose(&self, scan: &Scan) -> Result<Place, String> {
        let cannot = |why: String| Err(format!("Cannot recover: {why}"));
        if let Self::Time(unix_s) = self {
            if let Some(written_s) = scan.base_written_s.filter(|written| written > unix_s) {
                return cannot(format!(
                    "the base was written at {} ({written_s}), after that time; what was before is only \
                     in older copies of the files",
                    date(written_s)
                ));
            }
            if scan.last_time_s.is_none() {
                return cannot(
                    "there are no times in the files (aof-timestamp-enabled was off); use an offset \
                     or a command, see --recover-list"
                        .to_owned(),
                );
            }
        }
        match &scan.place {
            Some(place) => Ok(place.clone()),
            None => cannot(match self {
                Self::Time(_) => "nothing was written after that time".to_owned(),
                Self::Offset { file, .. } => {
                    format!("'{file}' is none of the files, or ends before that offset")
                }
                Self::Before(_) => "there is no such command in the files".to_owned(),
            }),
        }
    }
}

/// What the append-only file of the working folder offers to recover to; changes nothing.
pub(crate) fn list(settings: &Settings, until: Option<&Until>) -> Result<String, String> {
    let path = settings.append_folder.join(format!("{}.manifest", settings.append_name));
    let manifest = read_manifest(&path).map_err(|why| format!("{}: {why}", path.display()))?;
    let scan = candidates::scan(&settings.append_folder, &manifest, until)?;
    let mut text = String::new();
    if let Some(written_s) = scan.base_written_s {
        text.push_str(&format!("base written at {} ({written_s})\n", date(written_s)));
    }
    for candidate in &scan.candidates {
        text.push_str(&candidate.line());
        text.push('\n');
    }
    text.push_str(&format!(
        "{} commands, {} that remove much\n",
        scan.commands,
        scan.candidates.len()
    ));
    if let Some(until) = until {
        let place = until.choose(&scan)?;
        text.push_str(&format!(
            "recovering would end before offset:{}: {} commands stay, {} are left out\n",
            place.shown(),
            scan.commands_before,
            scan.commands - scan.commands_before
        ));
    }
    Ok(text)
}

impl Aof {
    /// What was recovered, and is in memory now, becomes the append-only file.
    pub(super) fn keep_recovered(
        &self,
        engine: &'static Engine,
        now: &dyn Fn() -> Now,
    ) -> Result<(), String> {
        let now_s = now().unix_ms / 1000;
        if !engine.saves.begin_rewrite(now_s) {
            return Err("Cannot recover: a snapshot is under way".to_owned());
        }
        let result = self.write_recovered(engine, now());
        engine.saves.rewrite_ended(now().unix_ms / 1000, result.is_ok());
        let aside = result.map_err(|error| {
            format!(
                "Cannot keep what was recovered; the old files are untouched: {}",
                reason(&error)
            )
        })?;
        log::warning(&format!("Recovered. The files as they were before are kept in {aside}"));
        Ok(())
    }

    fn write_recovered(&self, engine: &'static Engine, now: Now) -> io::Result<String> {
        let settings = &engine.live().0.settings;
        let (folder, stem, old) = {
            let state = self.state();
            (state.folder.clone(), state.stem.clone(), state.manifest.clone())
        };
        let aside = folder.join(format!("{stem}.before-recovery.{}", now.unix_ms));
        put_aside(&folder, &aside, &stem, &old)?;
        let base = old.next_base(&stem);
        let temporary = folder.join(format!("temp-recovery-{}.aof", std::process::id()));
        let written = save::write(engine, settings, &temporary, now, true, || ());
        written.and_then(|_| std::fs::rename(&temporary, folder.join(&base.name))).inspect_err(
            |_| {
                // What is left of the attempt; the error that is reported is the first one.
                drop(std::fs::remove_file(&temporary));
            },
        )?;
        let seq = old.last_increment() + 1;
        let name = format!("{stem}.{seq}.incr.aof");
        let increment = Entry { name, seq, part: Part::Increment };
        open_increment(&folder.join(&increment.name))?.sync_all()?;
        let mut state = self.state();
        state.manifest =
            Manifest { base: Some(base), increments: vec![increment], ..Manifest::default() };
        state.write_manifest()?;
        remove_names(&state, &old);
        Ok(aside.display().to_string())
    }
}

/// Links the files and writes their manifest into a folder of their own.
fn put_aside(folder: &Path, aside: &Path, stem: &str, manifest: &Manifest) -> io::Result<()> {
    std::fs::create_dir(aside)?;
    for entry in manifest.base.iter().chain(&manifest.increments) {
        let (from, to) = (folder.join(&entry.name), aside.join(&entry.name));
        // A file system without links gets a copy.
        if std::fs::hard_link(&from, &to).is_err() {
            std::fs::copy(&from, &to)?;
            File::open(&to)?.sync_all()?;
        }
    }
    let kept = Manifest { history: Vec::new(), ..manifest.clone() };
    let path = aside.join(format!("{stem}.manifest"));
    std::fs::write(&path, kept.to_string())?;
    File::open(&path)?.sync_all()?;
    File::open(aside)?.sync_all()?;
    File::open(folder)?.sync_all()
}

/// Removes the names of files that are kept elsewhere.
fn remove_names(state: &State, old: &Manifest) {
    for entry in old.base.iter().chain(&old.increments).chain(&old.history) {
        // One that cannot be removed is named by no manifest, and harms nothing.
        drop(std::fs::remove_file(state.folder.join(&entry.name)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        assert_eq!(Until::parse("time:1700000000"), Ok(Until::Time(1_700_000_000)));
        assert_eq!(Until::parse("time:2023-11-14T22:13:20Z"), Ok(Until::Time(1_700_000_000)));
        let offset = Until::Offset { file: "a:b.aof".to_owned(), offset: 12 };
        assert_eq!(Until::parse("offset:a:b.aof:12"), Ok(offset));
        let words = vec![b"DEL".to_vec(), b"k".to_vec()];
        assert_eq!(Until::parse("before:DEL k"), Ok(Until::Before(words)));
        for wrong in ["", "time", "time:x", "offset:12", "offset:a:x", "before:", "after:DEL"] {
            let text = Until::parse(wrong).unwrap_err();
            assert!(text.contains("before:<COMMAND"), "{text}");
        }
    }
}
