//! A snapshot on its way to several replicas at once, without a file.
//!
//! One thread makes the snapshot and pushes it here in chunks; the loops that own the replicas' connections take
//! the chunks and write them, so that nobody but its loop touches a socket, whatever lies between the two (TLS).
//! A chunk is kept until the slowest replica has taken it. At most a megabyte wait: then the thread that
//! makes the snapshot waits, with no lock held but this one's, which is a leaf.
//!
//! ```text
//! chunks   [5][6][7][8]        `first` is 5
//! readers      ^     ^         the chunk that each of them takes next, and how much of it is taken
//! ```
//!
//! A reader that is dropped is no longer waited for. When there is none left, pushing fails, and the
//! snapshot is given up. A snapshot that fails tells its readers, whose connections are then closed: a replica
//! that has a part of a snapshot can only begin anew.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes that may wait for the slowest reader: some milliseconds of a fast network.
const QUEUE_BYTES: usize = 1 << 20;
/// Longest wait for readers before the thread looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(20);

/// A client that asks for a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncRequest {
    /// The loop that owns it.
    pub event_loop: u16,
    /// Its client's id.
    pub client: u64,
    /// It wants to be told of the stream's name and offset first.
    pub announces: bool,
    /// It can take a snapshot whose size is not known beforehand.
    pub takes_stream: bool,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Arc<[u8]>>,
    /// The number of the first chunk held.
    first: u64,
    /// Bytes of all chunks held.
    bytes: usize,
    /// By their clients, with the chunk that each takes next.
    readers: BTreeMap<u64, u64>,
    /// How it ended: true when all of it was pushed.
    ended: Option<bool>,
}

impl State {
    /// Drops what all readers have taken; true when there was any.
    fn trim(&mut self) -> bool {
        let needed = self.readers.values().min().copied().unwrap_or(u64::MAX);
        let before = self.first;
        while self.first < needed
            && let Some(chunk) = self.chunks.pop_front()
        {
            self.bytes -= chunk.len();
            self.first += 1;
        }
        self.first != before
    }
}

/// See the module's head.
#[derive(Debug, Default)]
pub struct SnapshotStream {
    state: Mutex<State>,
    /// Readers have taken something, or are gone.
    taken: Condvar,
}

/// Nobody wants the snapshot any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unwanted;

impl SnapshotStream {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a reader, before the first chunk.
    pub fn reader(self: &Arc<Self>, client: u64) -> StreamReader {
        self.lock().readers.insert(client, 0);
        StreamReader { stream: Arc::clone(self), client, at: 0, chunk: None, used: 0 }
    }

    /// Adds a chunk when there is room for it, for as long as `is_wanted`.
    pub fn push(&self, chunk: &[u8], is_wanted: &dyn Fn() -> bool) -> Result<(), Unwanted> {
        let chunk: Arc<[u8]> = chunk.into();
        let mut state = self.lock();
        loop {
            if state.readers.is_empty() || !is_wanted() {
                return Err(Unwanted);
            }
            if state.bytes == 0 || state.bytes + chunk.len() <= QUEUE_BYTES {
                state.bytes += chunk.len();
                state.chunks.push_back(chunk);
                return Ok(());
            }
            let waited = self.taken.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Nothing comes any more; `whole`: all of it was pushed.
    pub fn end(&self, whole: bool) {
        self.lock().ended = Some(whole);
    }

    /// How many readers there are.
    pub fn readers(&self) -> usize {
        self.lock().readers.len()
    }
}

/// What a reader got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// So many bytes; none: there are none yet.
    Bytes(usize),
    /// All was taken before.
    Over,
    /// The snapshot has failed.
    Failed,
}

/// One replica's end of a stream.
#[derive(Debug)]
pub struct StreamReader {
    stream: Arc<SnapshotStream>,
    client: u64,
    /// The number of the chunk that comes next.
    at: u64,
    /// The chunk before it, of which `used` bytes were taken.
    chunk: Option<Arc<[u8]>>,
    used: usize,
}

impl StreamReader {
    /// Appends up to `room` bytes of what comes next.
    pub fn take(&mut self, room: usize, out: &mut Vec<u8>) -> Taken {
        let before = out.len();
        loop {
            if let Some(chunk) = &self.chunk {
                let rest = &chunk[self.used..];
                let part = &rest[..rest.len().min(room - (out.len() - before))];
                out.extend_from_slice(part);
                self.used += part.len();
                if self.used < chunk.len() {
                    return Taken::Bytes(out.len() - before);
                }
                self.chunk = None;
            }
            match self.next_chunk() {
                Ok(Some(chunk)) => (self.chunk, self.used) = (Some(chunk), 0),
                Ok(None) => return Taken::Bytes(out.len() - before),
                Err(_) if out.len() > before => return Taken::Bytes(out.len() - before),
                Err(true) => return Taken::Over,
                Err(false) => return Taken::Failed,
            }
        }
    }

    /// The next chunk, if it is there; an error: there is none any more, and whether the snapshot is whole.
    fn next_chunk(&mut self) -> Result<Option<Arc<[u8]>>, bool> {
        let mut state = self.stream.lock();
        if state.ended == Some(false) {
            return Err(false);
        }
        let chunk = usize::try_from(self.at - state.first).ok().and_then(|at| state.chunks.get(at));
        let Some(chunk) = chunk.cloned() else { return state.ended.map_or(Ok(None), Err) };
        self.at += 1;
        state.readers.insert(self.client, self.at);
        if state.trim() {
            self.stream.taken.notify_all();
        }
        Ok(Some(chunk))
    }
}

impl Drop for StreamReader {
    fn drop(&mut self) {
        let mut state = self.stream.lock();
        state.readers.remove(&self.client);
        state.trim();
        self.stream.taken.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reader_gets_every_byte_once() {
        let stream = Arc::new(SnapshotStream::default());
        let mut readers: Vec<StreamReader> = (1..4).map(|n| stream.reader(n)).collect();
        let all: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
        let mut got = vec![Vec::new(); readers.len()];
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for chunk in all.chunks(7001) {
                    stream.push(chunk, &|| true).unwrap();
                }
                stream.end(true);
            });
            let mut over = 0;
            while over < readers.len() {
                over = 0;
                for (n, reader) in readers.iter_mut().enumerate() {
                    if reader.take(n * 5000 + 999, &mut got[n]) == Taken::Over {
                        over += 1;
                    }
                }
            }
        });
        assert!(got.iter().all(|bytes| *bytes == all));
        assert_eq!(stream.lock().bytes, 0);
    }

    #[test]
    fn the_slowest_reader_holds_the_sender_up_until_it_goes() {
        let stream = Arc::new(SnapshotStream::default());
        let (mut quick, slow) = (stream.reader(1), stream.reader(2));
        let chunk = vec![7; QUEUE_BYTES / 2];
        assert_eq!(stream.push(&chunk, &|| true), Ok(()));
        assert_eq!(stream.push(&chunk, &|| true), Ok(()));
        let mut out = Vec::new();
        assert_eq!(quick.take(usize::MAX, &mut out), Taken::Bytes(QUEUE_BYTES));
        let looks = std::cell::Cell::new(0);
        let wanted = || {
            looks.set(looks.get() + 1);
            looks.get() < 3
        };
        assert_eq!(stream.push(&chunk, &wanted), Err(Unwanted), "there is no room");
        drop(slow);
        assert_eq!(stream.push(&chunk, &|| true), Ok(()));
        drop(quick);
        assert_eq!(stream.push(&chunk, &|| true), Err(Unwanted), "nobody is left");
    }

    #[test]
    fn a_failure_is_told_at_once() {
        let stream = Arc::new(SnapshotStream::default());
        let mut reader = stream.reader(1);
        assert_eq!(reader.take(10, &mut Vec::new()), Taken::Bytes(0));
        stream.push(b"abc", &|| true).unwrap();
        stream.end(false);
        assert_eq!(reader.take(10, &mut Vec::new()), Taken::Failed);
        drop(reader);
        assert_eq!(stream.readers(), 0);
    }
}
