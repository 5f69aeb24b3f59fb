//! The one log: every effect of every write, once, in order, as RESP commands.
//!
//! A record is appended while its command still holds its shard locks. Conflicting commands share a
//! lock, so the log's order is a serial order of the effects, and replaying the log gives the same
//! state (I7). The byte offset is the replication offset. A transaction is one contiguous record,
//! wrapped in MULTI and EXEC here; SELECT is inserted here when the database changes.
//!
//! The log keeps a bounded window of chunks behind one mutex. Readers (the append-only file,
//! replicas, migration, tests) hold an offset and ask for the bytes after it. While there is no
//! reader the log is off, and a write costs one relaxed load.
//!
//! **On a replica** the log holds the primary's bytes as they came, not effects of our own: offsets, readers of
//! this log and further replicas count the same bytes as the primary does. Such a log *follows*: effects are
//! not collected, what appends them is without effect, and only [`Log::append_raw`] adds to it. Nothing can be
//! put in between for a reader that begins somewhere, so it is told which database is selected there
//! ([`Log::begin_reader`]).

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::shard::DbIndex;
use crate::sync::{Mutex, lock};

/// Bytes of a chunk: large enough to amortise its allocation, small enough to drop early.
const CHUNK: usize = 64 * 1024;

/// Effects of one command, transaction or script, in order; built without a lock and appended once.
#[derive(Debug, Default)]
pub struct Effects {
    bytes: Vec<u8>,
    /// Ends of the effects in `bytes`, with the database of each.
    ends: Vec<(usize, DbIndex)>,
    /// Some were done by a command, not only found past their time.
    done: bool,
}

impl Effects {
    /// Adds one effect: a command that writes.
    pub fn push<A: AsRef<[u8]>>(&mut self, db: DbIndex, args: impl ExactSizeIterator<Item = A>) {
        self.done = true;
        self.add(db, args);
    }

    /// Adds the deletion of a key that was found past its time. Such deletions need no transaction to hold
    /// them together.
    pub fn push_expired(&mut self, db: DbIndex, name: &[u8]) {
        self.add(db, [&b"DEL"[..], name].iter());
    }

    fn add<A: AsRef<[u8]>>(&mut self, db: DbIndex, args: impl ExactSizeIterator<Item = A>) {
        let mut number = [0; 20];
        self.bytes.push(b'*');
        self.bytes.extend_from_slice(ochre_base::num::format_i64(args.len() as i64, &mut number));
        self.bytes.extend_from_slice(b"\r\n");
        for arg in args {
            write_bulk(&mut self.bytes, arg.as_ref());
        }
        self.ends.push((self.bytes.len(), db));
    }

    /// Effects so far.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Forgets all, and keeps the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.done = false;
    }

    /// Each effect's bytes with its database.
    pub fn iter(&self) -> impl Iterator<Item = (DbIndex, &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(end, _)| *end));
        starts.zip(&self.ends).map(|(start, (end, db))| (*db, &self.bytes[start..*end]))
    }
}

fn write_bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut number = [0; 20];
    out.push(b'$');
    out.extend_from_slice(ochre_base::num::format_i64(bytes.len() as i64, &mut number));
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

#[derive(Debug)]
struct Window {
    chunks: VecDeque<Vec<u8>>,
    /// Offset of the first byte held.
    start: u64,
    /// Offset after the last byte.
    end: u64,
    /// Most bytes held.
    limit: usize,
    /// The database that a reader at `end` has selected.
    selected: Option<DbIndex>,
    /// Readers that have not come further, whose bytes are kept whatever the limit: by their own
    /// numbers, with the offset of each.
    pins: BTreeMap<u64, u64>,
    /// What is appended comes from a primary.
    follows: bool,
}

/// The log. See the module's head.
#[derive(Debug)]
pub struct Log {
    on: AtomicBool,
    window: Mutex<Window>,
}

/// Why a read from the log gives nothing.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum ReadError {
    /// The bytes at this offset are no longer held.
    Lost,
    /// The offset lies beyond the end.
    Future,
}

impl Log {
    /// A log that is off, and will hold at most `limit` bytes (at least one chunk).
    pub fn new(limit: usize) -> Self {
        Self {
            on: AtomicBool::new(false),
            window: Mutex::new(Window {
                chunks: VecDeque::new(),
                start: 0,
                end: 0,
                limit: limit.max(CHUNK),
                selected: None,
                pins: BTreeMap::new(),
                follows: false,
            }),
        }
    }

    /// Whether effects are to be collected.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Whether the log grows with the data: effects are collected, or the bytes of a primary.
    pub fn is_kept(&self) -> bool {
        self.is_on() || lock(&self.window).follows
    }

    /// Whether the bytes of a primary are appended.
    pub fn follows(&self) -> bool {
        lock(&self.window).follows
    }

    /// Turns the log on, unless it follows. The caller holds all shard locks, so that no effect is half
    /// inside.
    pub fn turn_on(&self) {
        let mut window = lock(&self.window);
        if !window.follows {
            window.selected = None;
            self.on.store(true, Ordering::Relaxed);
        }
    }

    /// Turns the log off. The caller holds all shard locks. Effects from now on are missing: offsets
    /// must not be compared with those of before.
    pub fn turn_off(&self) {
        self.on.store(false, Ordering::Relaxed);
    }

    /// From here on the bytes of a primary are appended. The caller holds all shard locks. Gives the
    /// offset after the last effect of our own.
    pub fn follow(&self) -> u64 {
        let mut window = lock(&self.window);
        window.follows = true;
        self.on.store(false, Ordering::Relaxed);
        window.end
    }

    /// From here on effects of our own are appended again. The caller holds all shard locks. Gives the
    /// offset after the primary's last byte.
    pub fn lead(&self) -> u64 {
        let mut window = lock(&self.window);
        window.follows = false;
        window.selected = None;
        self.on.store(true, Ordering::Relaxed);
        window.end
    }

    /// Forgets all bytes and goes on at `offset`, where `selected` is the database that a reader has
    /// selected. The caller holds all shard locks, and sees to the readers.
    pub fn restart_at(&self, offset: u64, selected: Option<DbIndex>) {
        let mut window = lock(&self.window);
        window.chunks.clear();
        (window.start, window.end) = (offset, offset);
        window.selected = selected;
    }

    /// Appends a primary's bytes, after which a reader has `selected`. The caller holds the locks of the
    /// shards that they changed, or they changed none. Without effect when the log does not follow.
    pub fn append_raw(&self, bytes: &[u8], selected: DbIndex) {
        let mut window = lock(&self.window);
        if window.follows {
            window.write(bytes);
            window.selected = Some(selected);
            window.trim();
        }
    }

    /// Appends a command that changes no data and runs in any database: PING, REPLCONF. The offset after
    /// it.
    pub fn append_control(&self, args: &[&[u8]]) -> u64 {
        let mut window = lock(&self.window);
        if self.is_on() {
            let mut effects = Effects::default();
            effects.add(0, args.iter());
            window.write(&effects.bytes);
            window.trim();
        }
        window.end
    }

    /// Keeps the bytes from `offset` on whatever the limit, for a reader.
    pub fn pin(&self, reader: u64, offset: u64) {
        lock(&self.window).pins.insert(reader, offset);
    }

    /// The same, when the log holds these bytes; false when it does not, or has not come so far.
    pub fn pin_if_held(&self, reader: u64, offset: u64) -> bool {
        let mut window = lock(&self.window);
        let held = (window.start..=window.end).contains(&offset);
        if held {
            window.pins.insert(reader, offset);
        }
        held
    }

    /// A reader is gone.
    pub fn unpin(&self, reader: u64) {
        lock(&self.window).pins.remove(&reader);
    }

    /// Offset after the last byte, and the database that is selected there.
    pub fn position(&self) -> (u64, DbIndex) {
        let window = lock(&self.window);
        (window.end, window.selected.unwrap_or(0))
    }

    /// A reader begins at the end, whose offset this gives: the next record names its database, and until
    /// then it is 0. On a log that follows the second part is the database that the reader has to select by
    /// itself. The caller holds all shard locks.
    pub fn begin_reader(&self) -> (u64, DbIndex) {
        let mut window = lock(&self.window);
        if window.follows {
            return (window.end, window.selected.unwrap_or(0));
        }
        window.selected = None;
        (window.end, 0)
    }

    /// Appends one record: all of `effects`, wrapped as a transaction when there are several. The
    /// caller holds the locks of the shards it changed. Returns the offset after it.
    pub fn append(&self, effects: &Effects) -> u64 {
        let mut window = lock(&self.window);
        if window.follows {
            return window.end;
        }
        let wrap = effects.len() > 1 && effects.done;
        for (at, (db, bytes)) in effects.iter().enumerate() {
            if window.selected != Some(db) {
                let mut text = Vec::with_capacity(32);
                let mut number = [0; 20];
                let index = ochre_base::num::format_i64(i64::from(db), &mut number);
                text.extend_from_slice(b"*2\r\n$6\r\nSELECT\r\n");
                write_bulk(&mut text, index);
                window.write(&text);
                window.selected = Some(db);
            }
            if wrap && at == 0 {
                window.write(b"*1\r\n$5\r\nMULTI\r\n");
            }
            window.write(bytes);
        }
        if wrap {
            window.write(b"*1\r\n$4\r\nEXEC\r\n");
        }
        window.trim();
        window.end
    }

    /// Changes how many bytes are held (at least one chunk); what is too much goes with the next record.
    pub fn set_limit(&self, limit: usize) {
        lock(&self.window).limit = limit.max(CHUNK);
    }

    /// Most bytes held for readers that come back.
    pub fn limit(&self) -> usize {
        lock(&self.window).limit
    }

    /// Offset after the last byte.
    pub fn end(&self) -> u64 {
        lock(&self.window).end
    }

    /// Offset of the first byte still held.
    pub fn start(&self) -> u64 {
        lock(&self.window).start
    }

    /// Appends to `out` the bytes from `offset` on, at most about `max` of them, and returns the
    /// offset after them.
    pub fn read(&self, offset: u64, max: usize, out: &mut Vec<u8>) -> Result<u64, ReadError> {
        let window = lock(&self.window);
        if offset < window.start {
            return Err(ReadError::Lost);
        }
        if offset > window.end {
            return Err(ReadError::Future);
        }
        let mut skip = (offset - window.start) as usize;
        let mut left = max;
        for chunk in &window.chunks {
            if skip >= chunk.len() {
                skip -= chunk.len();
                continue;
            }
            let part = &chunk[skip..];
            let part = &part[..part.len().min(left)];
            out.extend_from_slice(part);
            left -= part.len();
            skip = 0;
            if left == 0 {
                break;
            }
        }
        Ok(offset + (max - left) as u64)
    }
}

impl Window {
    fn write(&mut self, bytes: &[u8]) {
        self.end += bytes.len() as u64;
        if let Some(last) = self.chunks.back_mut()
            && last.len() + bytes.len() <= CHUNK.max(last.capacity())
        {
            last.extend_from_slice(bytes);
            return;
        }
        let mut chunk = Vec::with_capacity(CHUNK.max(bytes.len()));
        chunk.extend_from_slice(bytes);
        self.chunks.push_back(chunk);
    }

    fn trim(&mut self) {
        while self.chunks.len() > 1 {
            let first = self.chunks[0].len() as u64;
            let next = self.start + first;
            if self.end - next < self.limit as u64 || self.pins.values().any(|pin| next > *pin) {
                break;
            }
            self.start += first;
            self.chunks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(log: &Log) -> String {
        let mut out = Vec::new();
        log.read(log.start(), usize::MAX, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn records_select_their_database_and_wrap_transactions() {
        let log = Log::new(1 << 20);
        log.turn_on();
        let mut effects = Effects::default();
        effects.push(0, ["DEL", "a"].iter());
        log.append(&effects);
        effects.clear();
        effects.push(0, ["INCR", "b"].iter());
        effects.push(3, ["INCR", "c"].iter());
        let end = log.append(&effects);
        let text = read_all(&log);
        assert_eq!(end, text.len() as u64);
        assert_eq!(
            text.replace("\r\n", " "),
            "*2 $6 SELECT $1 0 *2 $3 DEL $1 a *1 $5 MULTI *2 $4 INCR $1 b \
             *2 $6 SELECT $1 3 *2 $4 INCR $1 c *1 $4 EXEC "
        );
    }

    #[test]
    fn a_log_that_follows_holds_the_primarys_bytes_only() {
        let log = Log::new(1 << 20);
        log.turn_on();
        let mut effects = Effects::default();
        effects.push(2, ["DEL", "a"].iter());
        let before = log.append(&effects);
        assert_eq!(log.follow(), before);
        assert!(!log.is_on() && log.is_kept());
        log.turn_on();
        assert!(!log.is_on(), "it follows");
        log.restart_at(1000, Some(3));
        assert_eq!(log.append(&effects), 1000);
        assert_eq!(log.append_control(&[b"PING"]), 1000);
        assert_eq!(log.begin_reader(), (1000, 3));
        log.append_raw(b"*1\r\n$4\r\nPING\r\n", 5);
        assert_eq!(log.begin_reader(), (1014, 5));
        assert_eq!(log.lead(), 1014);
        log.append_raw(b"late", 5);
        effects.clear();
        effects.push(5, ["DEL", "b"].iter());
        log.append(&effects);
        assert!(read_all(&log).starts_with("*1\r\n$4\r\nPING\r\n*2\r\n$6\r\nSELECT"));
    }

    #[test]
    fn the_window_is_bounded_and_says_what_is_lost() {
        let log = Log::new(0);
        log.turn_on();
        let value = vec![b'v'; 1000];
        let mut effects = Effects::default();
        effects.push(0, [&b"SET"[..], b"k", &value].iter());
        for _ in 0..500 {
            log.append(&effects);
        }
        assert!(log.end() - log.start() <= 2 * CHUNK as u64);
        assert_eq!(log.read(0, 10, &mut Vec::new()), Err(ReadError::Lost));
        assert_eq!(log.read(log.end() + 1, 10, &mut Vec::new()), Err(ReadError::Future));
        let mut out = Vec::new();
        let (mut at, end) = (log.start(), log.end());
        while at < end {
            at = log.read(at, 777, &mut out).unwrap();
        }
        assert_eq!(out.len() as u64, end - log.start());
    }
}
