//! `ochre-check-rdb FILE`: walks a snapshot of either family, decodes every value as the server would, and says
//! what it found; where something is wrong, at which offset, doing what, in which key.
//!
//! The form of the report is that of the peers' tools, for the scripts that read it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use ochre_rdb::{Item, LoadError, RdbReader, ReadOptions};

use super::Report;
use crate::clock::Clock;
use crate::host::reason;

const USAGE: &str = "Usage: ochre-check-rdb <rdb-file-name>";

/// The names of the types, by their numbers.
const TYPES: [&str; 26] = [
    "string",
    "list-linked",
    "set-hashtable",
    "zset-v1",
    "hash-hashtable",
    "zset-v2",
    "module-pre-release",
    "module-value",
    "unknown",
    "hash-zipmap",
    "list-ziplist",
    "set-intset",
    "zset-ziplist",
    "hash-ziplist",
    "quicklist",
    "stream",
    "hash-listpack",
    "zset-listpack",
    "quicklist-v2",
    "stream-v2",
    "set-listpack",
    "stream-v3",
    "hash-with-expiry-v1",
    "hash-listpack-with-expiry-v1",
    "hash-with-expiry",
    "hash-listpack-with-expiry",
];

/// Runs the tool; whether the file is good.
pub(super) fn run<W: Write>(args: &[OsString], report: &mut Report<W>) -> bool {
    let [path] = args else {
        report.line(USAGE);
        return false;
    };
    let path = Path::new(path);
    let opened = File::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
    match opened {
        Ok((bytes, file)) => check(file, bytes, &path.display().to_string(), report).is_some(),
        Err(error) => {
            report.line(&format!("Cannot open file {}: {}", path.display(), reason(&error)));
            false
        }
    }
}

/// What was counted.
#[derive(Debug, Default)]
struct Counts {
    keys: u64,
    expires: u64,
    expired: u64,
    functions: u64,
}

/// Checks a snapshot of at most `bytes` bytes; gives back the reader with what was read behind the snapshot,
/// or nothing when it is broken.
pub(super) fn check<R: Read, W: Write>(
    read: R,
    bytes: u64,
    name: &str,
    report: &mut Report<W>,
) -> Option<(Vec<u8>, R)> {
    report.line(&format!("[offset 0] Checking RDB file {name}"));
    let options = ReadOptions { size: Some(bytes), ..ReadOptions::default() };
    let mut counts = Counts::default();
    let mut reader = match RdbReader::new(read, options) {
        Ok(reader) => reader,
        Err(error) => {
            report.line("--- RDB ERROR DETECTED ---");
            report.line(&format!("[offset 0] {error}"));
            say_counts(&counts, report);
            return None;
        }
    };
    let now_ms = Clock::new().now().unix_ms;
    loop {
        match reader.next_item() {
            Ok(Item::End) => break,
            Ok(item) => count(item, now_ms, reader.offset(), &mut counts, report),
            Err(error) => {
                say_failure(&reader, &error, report);
                say_counts(&counts, report);
                return None;
            }
        }
    }
    let offset = reader.offset();
    match reader.checksum() {
        None => {}
        Some(0) => report.line(&format!("[offset {offset}] Checksum not there: it was disabled")),
        Some(_) => report.line(&format!("[offset {offset}] Checksum OK")),
    }
    if reader.skipped_empty() > 0 {
        let keys = reader.skipped_empty();
        report.line(&format!("[info] {keys} keys without elements, which are left out"));
    }
    report.line(&format!("[offset {offset}] \\o/ RDB looks OK! \\o/"));
    say_counts(&counts, report);
    Some(reader.into_rest())
}

fn count<W: Write>(
    item: Item,
    now_ms: i64,
    offset: u64,
    counts: &mut Counts,
    report: &mut Report<W>,
) {
    match item {
        Item::Aux { name, value } => report.line(&format!(
            "[offset {offset}] AUX FIELD {} = '{}'",
            String::from_utf8_lossy(&name),
            String::from_utf8_lossy(&value)
        )),
        Item::Select(db) => report.line(&format!("[offset {offset}] Selecting DB ID {db}")),
        Item::ModuleAux(name) => {
            report.line(&format!("[offset {offset}] MODULE AUX for: {name}"));
        }
        Item::Function(_) => counts.functions += 1,
        Item::Key(loaded) => {
            counts.keys += 1;
            if let Some(at) = loaded.meta.expire_at_ms {
                counts.expires += 1;
                counts.expired += u64::from(at < now_ms);
            }
        }
        Item::Resize { .. } | Item::SlotInfo { .. } | Item::SlotImport { .. } | Item::End => {}
    }
}

fn say_failure<R: Read, W: Write>(
    reader: &RdbReader<R>,
    error: &LoadError,
    report: &mut Report<W>,
) {
    let offset = reader.offset();
    report.line("--- RDB ERROR DETECTED ---");
    report.line(&match error {
        LoadError::Truncated => format!("[offset {offset}] Unexpected EOF reading RDB file"),
        LoadError::Checksum { .. } => format!("[offset {offset}] RDB CRC error: {error}"),
        other => format!("[offset {offset}] {other}"),
    });
    report.line(&format!("[additional info] While doing: {}", reader.stage().name()));
    if let Some((key, kind)) = reader.failed_key() {
        report.line(&format!("[additional info] Reading key '{}'", String::from_utf8_lossy(key)));
        let name = TYPES.get(usize::from(kind)).copied().unwrap_or("unknown");
        report.line(&format!("[additional info] Reading type {kind} ({name})"));
    }
}

fn say_counts<W: Write>(counts: &Counts, report: &mut Report<W>) {
    report.line(&format!("[info] {} keys read", counts.keys));
    report.line(&format!("[info] {} expires", counts.expires));
    report.line(&format!("[info] {} already expired", counts.expired));
    report.line(&format!("[info] {} functions", counts.functions));
}

#[cfg(test)]
mod tests;
