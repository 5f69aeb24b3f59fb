//! `ochre-check-aof [--fix | --truncate-to-timestamp SECONDS] FILE`: checks an append-only file of several parts
//! (its manifest), one of them, or an old one of one piece; the form of every record, transactions, and the
//! snapshot it may begin with. What commands do is not checked.
//!
//! `--fix` cuts a file that is torn or broken back to its last good record, outside of a transaction, after asking.
//! `--truncate-to-timestamp` cuts before the first note of a later time (`aof-timestamp-enabled`). Both shrink the
//! last file of a manifest only, since what follows a cut would not fit. Recovery that keeps what it leaves out is
//! the server's `--recover-until`.
//!
//! The form of the report is that of the peers' tools, for the scripts that read it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use ochre_aof::manifest::Manifest;
use ochre_aof::walk::{Step, Walk};

use super::{Report, rdb};
use crate::host::reason;
use crate::persist::aof::load::begins_with_snapshot;

const USAGE: &str = "Usage: ochre-check-aof [--fix|--truncate-to-timestamp $timestamp] \
                     <file.manifest|file.aof>";
/// Commands taken at once.
const RUN: usize = 1024;

/// What to do about what is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    /// Say it.
    Look,
    /// Cut off what is torn or broken.
    Fix,
    /// Cut before the first note of a later Unix second.
    CutTo(i64),
}

/// Runs the tool; whether all is well, or was made so.
pub(super) fn run<W: Write>(
    args: &[OsString],
    report: &mut Report<W>,
    answers: &mut impl BufRead,
) -> bool {
    let (task, path) = match args {
        [path] => (Task::Look, path),
        [flag, path] if flag == "--fix" => (Task::Fix, path),
        [flag, time, path] if flag == "--truncate-to-timestamp" => {
            match time.to_str().and_then(|text| text.parse().ok()).filter(|time| *time > 0) {
                Some(time) => (Task::CutTo(time), path),
                None => {
                    report.line("Invalid timestamp, aborting...");
                    return false;
                }
            }
        }
        _ => {
            report.line(USAGE);
            return false;
        }
    };
    let path = Path::new(path);
    let result = Check { task, report, answers }.all(path);
    match result {
        Ok(()) => true,
        Err(why) => {
            report.line(&why);
            false
        }
    }
}

struct Check<'a, W, A> {
    task: Task,
    report: &'a mut Report<W>,
    answers: &'a mut A,
}

/// One file.
struct Part {
    path: PathBuf,
    /// Its name, as it is shown.
    name: String,
    /// What its line begins with, as `BASE AOF`.
    label: &'static str,
    is_last: bool,
}

/// Where a file could end, and how far it goes.
struct Found {
    bytes: u64,
    good: u64,
    lines: u64,
    /// What is wrong, if anything.
    wrong: Option<String>,
    /// The first note of a later time begins here.
    later: Option<u64>,
}

impl<W: Write, A: BufRead> Check<'_, W, A> {
    fn all(&mut self, path: &Path) -> Result<(), String> {
        let cannot = |error| format!("Cannot open file {}: {}", path.display(), reason(&error));
        let mut start = Vec::new();
        let file = File::open(path).map_err(cannot)?;
        file.take(5).read_to_end(&mut start).map_err(cannot)?;
        // A manifest is lines that begin with this word or are comments; a note of a time has no blank.
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if start == b"file " || name.ends_with(".manifest") {
            return self.parts(path);
        }
        self.report.line("Start checking Old-Style AOF");
        let shown = path.display().to_string();
        self.part(&Part { path: path.to_owned(), name: shown, label: "AOF", is_last: true })
    }

    /// The files that a manifest names.
    fn parts(&mut self, path: &Path) -> Result<(), String> {
        self.report.line("Start checking Multi Part AOF");
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("Cannot open file {}: {}", path.display(), reason(&error)))?;
        let manifest = Manifest::parse(&text)
            .map_err(|invalid| format!("AOF manifest {}: {invalid}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let last = manifest.increments.last().or(manifest.base.as_ref());
        let last = last.ok_or("The AOF manifest names no file")?.name.clone();
        let part = |name: &String, label| Part {
            path: folder.join(name),
            name: name.clone(),
            label,
            is_last: *name == last,
        };
        if let Some(base) = &manifest.base {
            let base = part(&base.name, "BASE AOF");
            let form = if self.magic(&base)?.1 { "RDB" } else { "RESP" };
            self.report.line(&format!("Start to check BASE AOF ({form} format)."));
            self.part(&base)?;
        }
        if !manifest.increments.is_empty() {
            self.report.line("Start to check INCR files.");
        }
        for increment in &manifest.increments {
            self.part(&part(&increment.name, "INCR AOF"))?;
        }
        self.report.line("All AOF files and manifest are valid");
        Ok(())
    }

    /// Checks one file, and does what is to be done about it.
    fn part(&mut self, part: &Part) -> Result<(), String> {
        let found = self.look(part)?;
        let name = &part.name;
        if let (Task::CutTo(time), Some(later)) = (self.task, found.later) {
            if !part.is_last {
                return Err(format!(
                    "Failed to truncate AOF {name} to timestamp {time} to offset {later} because it is \
                     not the last file."
                ));
            }
            if later == 0 {
                return Err(format!("AOF {name} has nothing before timestamp {time}, aborting..."));
            }
            self.cut(part, later)?;
            self.report.line(&format!("Successfully truncated AOF {name} to timestamp {time}"));
            return Ok(());
        }
        let Found { bytes, good, .. } = found;
        // As the peers count: the line that would come next.
        let line = found.lines + 1;
        if let Some(wrong) = &found.wrong {
            self.report.line(wrong);
        }
        self.report.line(&format!(
            "AOF analyzed: filename={name}, size={bytes}, ok_up_to={good}, ok_up_to_line={line}, \
             diff={}",
            bytes - good
        ));
        if found.wrong.is_none() {
            self.report.line(&format!("{} {name} is valid", part.label));
            return Ok(());
        }
        if self.task != Task::Fix {
            return Err(format!("AOF {name} is not valid. Use the --fix option to try fixing it."));
        }
        if !part.is_last {
            return Err(format!("Failed to truncate AOF {name} because it is not the last file"));
        }
        self.report.line(&format!(
            "This will shrink the AOF {name} from {bytes} bytes, with {} bytes, to {good} bytes",
            bytes - good
        ));
        self.report.ask("Continue? [y/N]: ");
        let mut answer = String::new();
        // What cannot be read is no yes.
        drop(self.answers.read_line(&mut answer));
        if !answer.trim_start().starts_with(['y', 'Y']) {
            return Err("Aborting...".to_owned());
        }
        self.cut(part, good)?;
        self.report.line(&format!("Successfully truncated AOF {name}"));
        Ok(())
    }

    fn cut(&self, part: &Part, bytes: u64) -> Result<(), String> {
        let file = OpenOptions::new().write(true).open(&part.path);
        let cut = file.and_then(|file| {
            file.set_len(bytes)?;
            file.sync_all()
        });
        cut.map_err(|error| format!("Failed to truncate AOF {}: {}", part.name, reason(&error)))
    }

    /// Opens a file; with whether it begins with a snapshot.
    fn magic(&self, part: &Part) -> Result<(File, bool), String> {
        let cannot = |error| format!("Cannot open file {}: {}", part.name, reason(&error));
        let mut file = File::open(&part.path).map_err(cannot)?;
        let mut magic = Vec::new();
        (&mut file).take(6).read_to_end(&mut magic).map_err(cannot)?;
        file.seek(SeekFrom::Start(0)).map_err(cannot)?;
        Ok((file, begins_with_snapshot(&magic)))
    }

    /// Reads a file to its end, or to what is wrong, or to what is later than wanted.
    fn look(&mut self, part: &Part) -> Result<Found, String> {
        let cannot = |error| format!("Cannot open file {}: {}", part.name, reason(&error));
        let (mut file, has_snapshot) = self.magic(part)?;
        let bytes = file.metadata().map_err(cannot)?.len();
        let (mut ahead, mut at) = (Vec::new(), 0);
        if has_snapshot {
            self.report.line("The AOF appears to start with an RDB preamble.");
            self.report.line("Checking the RDB preamble to start:");
            (ahead, file) = rdb::check(file, bytes, &part.name, self.report)
                .ok_or("RDB preamble of AOF file is not sane, aborting.")?;
            at = file.stream_position().map_err(cannot)? - ahead.len() as u64;
            self.report.line("RDB preamble is OK, proceeding with AOF tail...");
        }
        let mut walk = Walk::new(file, ahead, at);
        let mut found = Found { bytes, good: at, lines: 0, wrong: None, later: None };
        loop {
            let step = walk.step(RUN).map_err(cannot)?;
            let wrong = match step {
                Step::Commands | Step::Note(None) => None,
                Step::Note(Some(time)) => {
                    if matches!(self.task, Task::CutTo(wanted) if time > wanted) {
                        // Within a transaction that is its start.
                        found.later = Some(walk.good().min(walk.offset()));
                        return Ok(found);
                    }
                    None
                }
                Step::End => return Ok(found),
                Step::Cut if walk.multi().is_some() => {
                    Some("Reached EOF before reading EXEC for MULTI".to_owned())
                }
                Step::Cut => Some("Unexpected end of the file within a record".to_owned()),
                Step::Broken(why) => Some(format!("Expected another record: {why}")),
            };
            found.good = walk.good();
            if let Some(wrong) = wrong {
                found.wrong = Some(format!("0x{:>16x}: {wrong}", walk.offset()));
                return Ok(found);
            }
            if walk.multi().is_none() {
                found.lines = walk.lines();
            }
        }
    }
}

#[cfg(test)]
mod tests;
