//! Looking through the append-only file without running it: where it could be recovered to, and what in it
//! removes much.
//!
//! What is listed: each FLUSHALL and FLUSHDB, and each DEL or UNLINK of many keys or of large values, alone or
//! summed over a transaction, with offset and time. Effects are what the file holds, so keys that expired or were
//! evicted stand in it as DEL or UNLINK too. How large a value is, is an estimate: the bytes of its record in the
//! base and of the commands on it since. Memory: about 40 bytes a key; O(bytes of the files).

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use ochre_aof::manifest::{Entry, Manifest};
use ochre_aof::walk::{Step, Walk};
use ochre_base::hash::hash;
use ochre_rdb::reader::key_of;
use ochre_rdb::{Item, Piece, RdbReader, ReadOptions};

use super::load::begins_with_snapshot;
use super::recover::{Place, Until, date};
use crate::host::reason;

/// Keys from which on a deletion is listed.
const MANY_KEYS: usize = 100;
/// Estimated bytes from which on a deletion is listed.
const LARGE_BYTES: u64 = 1 << 20;
/// Bytes of a command that are shown.
const SHOWN_BYTES: usize = 80;

/// Something that removes much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Recovering to here leaves it out.
    pub(crate) place: Place,
    /// When it was written, in Unix seconds, if the files have times.
    pub(crate) time_s: Option<i64>,
    /// What it does.
    pub(crate) what: String,
}

impl Candidate {
    /// As a line of the list.
    pub(crate) fn line(&self) -> String {
        let time = self.time_s.map_or_else(
            || "time unknown".to_owned(),
            |unix_s| format!("{} ({unix_s})", date(unix_s)),
        );
        format!("offset:{}  {time}  {}", self.place.shown(), self.what)
    }
}

/// What a look through the files found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// What removes much, in order.
    pub(crate) candidates: Vec<Candidate>,
    /// Where to stop for what was looked for.
    pub(crate) place: Option<Place>,
    /// When the base was written, in Unix seconds, if it says so.
    pub(crate) base_written_s: Option<i64>,
    /// The last time in the files, in Unix seconds.
    pub(crate) last_time_s: Option<i64>,
    /// All commands, and those before the place.
    pub(crate) commands: u64,
    /// See `commands`.
    pub(crate) commands_before: u64,
}

/// Looks through all files; `until` is what to look for.
pub(crate) fn scan(
    folder: &Path,
    manifest: &Manifest,
    until: Option<&Until>,
) -> Result<Scan, String> {
    let mut scanner = Scanner {
        until,
        scan: Scan::default(),
        model: Model::default(),
        db: 0,
        commands_to_good: 0,
    };
    let parts: Vec<&Entry> = manifest.base.iter().chain(&manifest.increments).collect();
    for (at, entry) in parts.into_iter().enumerate() {
        let path = folder.join(&entry.name);
        scanner.file(at, &entry.name, &path).map_err(|why| format!("{}: {why}", path.display()))?;
    }
    Ok(scanner.scan)
}

/// Estimated bytes of each key, by database and hash.
#[derive(Debug, Default)]
struct Model {
    bytes: HashMap<(u64, u64), u64>,
}

impl Model {
    fn add(&mut self, db: u64, key: &[u8], bytes: u64) {
        *self.bytes.entry((db, hash(key))).or_default() += bytes;
    }

    fn remove(&mut self, db: u64, key: &[u8]) -> Option<u64> {
        self.bytes.remove(&(db, hash(key)))
    }

    /// Forgets a database, or all; how many keys there were.
    fn flush(&mut self, db: Option<u64>) -> usize {
        let before = self.bytes.len();
        self.bytes.retain(|(index, _), _| db.is_some_and(|db| *index != db));
        before - self.bytes.len()
    }
}

struct Scanner<'a> {
    until: Option<&'a Until>,
    scan: Scan,
    model: Model,
    db: u64,
    /// Commands up to where recovery would stop if it left out what comes next.
    commands_to_good: u64,
}

/// What a command or a transaction deletes.
#[derive(Debug, Default)]
struct Deleted {
    keys: usize,
    bytes: u64,
    shown: String,
}

impl Scanner<'_> {
    fn file(&mut self, index: usize, name: &str, path: &Path) -> Result<(), String> {
        let failed = |error: std::io::Error| reason(&error);
        let mut file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let mut magic = Vec::new();
        (&mut file).take(6).read_to_end(&mut magic).map_err(failed)?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let (mut ahead, mut at) = (Vec::new(), 0);
        if begins_with_snapshot(&magic) {
            (ahead, file) = self.snapshot(file, bytes)?;
            at = file.stream_position().map_err(failed)? - ahead.len() as u64;
        }
        self.db = 0;
        let place = |offset| Place { file: index, name: name.to_owned(), offset };
        let wanted = match self.until {
            Some(Until::Offset { file, offset }) if file == name && *offset < bytes => {
                if *offset < at {
                    return Err(format!("offset {offset} lies in the snapshot, which is whole"));
                }
                Some(*offset)
            }
            _ => None,
        };
        self.commands(Walk::new(file, ahead, at), &place, wanted)
    }

    /// Learns the keys of a snapshot; gives what was read behind it.
    fn snapshot(&mut self, file: File, bytes: u64) -> Result<(Vec<u8>, File), String> {
        let options = ReadOptions { size: Some(bytes), ..ReadOptions::default() };
        let mut reader = RdbReader::new(file, options).map_err(|error| error.to_string())?;
        let (mut record, mut db) = (Vec::new(), 0);
        loop {
            record.clear();
            let piece = reader.next_piece(&mut record);
            let piece = piece.map_err(|e| format!("at offset {}: {e}", reader.offset()))?;
            match piece {
                Piece::Record => {
                    let key = key_of(&record).map_err(|error| error.to_string())?;
                    self.model.add(db, &key, record.len() as u64);
                }
                Piece::Item(Item::Select(index)) => db = index,
                Piece::Item(Item::Aux { name, value }) if name == b"ctime" => {
                    self.scan.base_written_s = String::from_utf8_lossy(&value).parse().ok();
                }
                Piece::Item(Item::End) => return Ok(reader.into_rest()),
                Piece::Item(_) => {}
            }
        }
    }

    fn commands(
        &mut self,
        mut walk: Walk<File>,
        place: &dyn Fn(u64) -> Place,
        wanted: Option<u64>,
    ) -> Result<(), String> {
        let mut deleted = Deleted::default();
        loop {
            // Where recovery would stop if it left out what comes next.
            let good = walk.good();
            if walk.multi().is_none() {
                self.commands_to_good = self.scan.commands;
            }
            let step = walk.step(1).map_err(|error| reason(&error))?;
            if let Some(offset) = wanted
                && self.scan.place.is_none()
                && walk.end() > offset
            {
                self.stop_at(place(good));
            }
            match step {
                Step::Commands => {
                    self.scan.commands += 1;
                    self.command(&walk, &place(good), &mut deleted);
                    if walk.multi().is_none() {
                        self.report(&place(good), std::mem::take(&mut deleted));
                    }
                }
                Step::Note(Some(time_s)) => {
                    self.scan.last_time_s = Some(time_s);
                    if matches!(self.until, Some(Until::Time(until)) if time_s > *until)
                        && self.scan.place.is_none()
                    {
                        self.stop_at(place(good));
                    }
                }
                Step::Note(None) => {}
                // A torn tail is dealt with when the file is loaded; it holds nothing whole.
                Step::End | Step::Cut => return Ok(()),
                Step::Broken(why) => {
                    return Err(format!("broken at offset {}: {why}", walk.offset()));
                }
            }
        }
    }

    fn stop_at(&mut self, place: Place) {
        self.scan.place = Some(place);
        self.scan.commands_before = self.commands_to_good;
    }

    fn command(&mut self, walk: &Walk<File>, place: &Place, deleted: &mut Deleted) {
        let mut args = walk.args();
        if let Some(Until::Before(words)) = self.until
            && begins_with(args.clone(), words)
        {
            self.stop_at(place.clone());
        }
        let bytes = walk.end() - walk.offset();
        let name = args.next().unwrap_or_default().to_ascii_lowercase();
        match &name[..] {
            b"select" => {
                let index = args.next().map(String::from_utf8_lossy);
                self.db = index.and_then(|text| text.parse().ok()).unwrap_or(self.db);
            }
            b"flushall" => self.flush(None, walk, place),
            b"flushdb" => self.flush(Some(self.db), walk, place),
            b"del" | b"unlink" => {
                for key in args {
                    if let Some(bytes) = self.model.remove(self.db, key) {
                        deleted.keys += 1;
                        deleted.bytes += bytes;
                    }
                }
                if deleted.shown.is_empty() {
                    deleted.shown = shown(walk);
                }
            }
            b"mset" => {
                let pairs: Vec<&[u8]> = args.collect();
                for pair in pairs.chunks_exact(2) {
                    self.model.add(self.db, pair[0], (pair[0].len() + pair[1].len()) as u64);
                }
            }
            b"set" => {
                if let Some(key) = args.next() {
                    self.model.remove(self.db, key);
                    self.model.add(self.db, key, bytes);
                }
            }
            _ => {
                if let Some(key) = args.next() {
                    self.model.add(self.db, key, bytes);
                }
            }
        }
    }

    fn flush(&mut self, db: Option<u64>, walk: &Walk<File>, place: &Place) {
        let keys = self.model.flush(db);
        let what = format!("{} of about {keys} keys", shown(walk));
        let candidate = Candidate { place: place.clone(), time_s: self.scan.last_time_s, what };
        self.scan.candidates.push(candidate);
    }

    fn report(&mut self, place: &Place, deleted: Deleted) {
        if deleted.keys < MANY_KEYS && deleted.bytes < LARGE_BYTES {
            return;
        }
        let what =
            format!("{}: {} keys, about {} bytes", deleted.shown, deleted.keys, deleted.bytes);
        let candidate = Candidate { place: place.clone(), time_s: self.scan.last_time_s, what };
        self.scan.candidates.push(candidate);
    }
}

/// Whether a command begins with these words, the name in any case.
fn begins_with<'a>(args: impl ExactSizeIterator<Item = &'a [u8]>, words: &[Vec<u8>]) -> bool {
    args.len() >= words.len()
        && args.zip(words).enumerate().all(|(at, (arg, word))| match at {
            0 => arg.eq_ignore_ascii_case(word),
            _ => arg == word,
        })
}

/// The start of a command.
fn shown(walk: &Walk<File>) -> String {
    let mut text = String::new();
    for arg in walk.args() {
        if text.len() + arg.len() > SHOWN_BYTES {
            text.push_str(" ...");
            break;
        }
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&String::from_utf8_lossy(arg));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::scratch_folder;
    use ochre_aof::manifest::Part;

    fn request(words: &[&str]) -> String {
        let mut text = format!("*{}\r\n", words.len());
        for word in words {
            text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        text
    }

    #[test]
    fn what_removes_much_is_listed_and_can_be_left_out() {
        let folder = scratch_folder("candidates");
        let name = "a.aof.1.incr.aof";
        let mut text = format!("#TS:100\r\n{}", request(&["SELECT", "0"]));
        for n in 0..150 {
            text.push_str(&request(&["SET", &format!("k{n}"), "v"]));
        }
        let first = text.len() as u64;
        text.push_str(&format!("#TS:200\r\n{}", request(&["MULTI"])));
        for n in 0..120 {
            text.push_str(&request(&["UNLINK", &format!("k{n}")]));
        }
        text.push_str(&request(&["EXEC"]));
        text.push_str("#TS:300\r\n");
        let flush = text.len() as u64;
        text.push_str(&request(&["FLUSHALL"]));
        std::fs::write(folder.join(name), &text).unwrap();
        let entry = Entry { name: name.to_owned(), seq: 1, part: Part::Increment };
        let manifest = Manifest { increments: vec![entry], ..Manifest::default() };
        let look = |until: &str| {
            let until = Until::parse(until).unwrap();
            let scan = scan(&folder, &manifest, Some(&until)).unwrap();
            until.choose(&scan).map(|place| place.offset)
        };
        let all = scan(&folder, &manifest, None).unwrap().candidates;
        let listed: Vec<(u64, Option<i64>)> =
            all.iter().map(|found| (found.place.offset, found.time_s)).collect();
        assert_eq!(listed, [(first + 9, Some(200)), (flush, Some(300))]);
        assert!(all[0].what.starts_with("UNLINK k0: 120 keys"), "{}", all[0].what);
        assert!(all[1].what.starts_with("FLUSHALL of about 30 keys"), "{}", all[1].what);
        assert_eq!(look("before:flushall"), Ok(flush));
        assert_eq!(look("before:UNLINK k7"), Ok(first + 9), "a transaction is left out whole");
        assert_eq!(look("time:150"), Ok(first));
        assert_eq!(look("time:250"), Ok(flush - 9));
        assert_eq!(look(&format!("offset:{name}:{}", flush - 20)), Ok(first + 9));
        assert_eq!(look(&format!("offset:{name}:{flush}")), Ok(flush));
        for refused in ["time:300", "before:GET", "offset:b:0", &format!("offset:{name}:99999")] {
            assert!(look(refused).is_err(), "{refused}");
        }
        drop(std::fs::remove_dir_all(folder));
    }
}
