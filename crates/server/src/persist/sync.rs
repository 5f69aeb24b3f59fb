//! Snapshots for replicas: who waits for one, when it is taken, and how it is sent.
//!
//! Two ways. *Without a file* (`repl-diskless-sync`): the snapshot goes from the walker straight to the replicas,
//! for all of them at once, through [`SnapshotStream`]; for replicas that can take one whose size is not known. *By a
//! file* without a name, one for all that wait, which their loops send at their own pace; for the others.
//!
//! A replica waits here until a snapshot is begun for it. One without a file is put off for
//! `repl-diskless-sync-delay`, so that replicas that come together share it, unless there are
//! `repl-diskless-sync-max-replicas` already; who comes later waits for its end. One snapshot is taken at a time, of
//! whatever kind, so the thread here also waits for a BGSAVE or a rewrite to end; both say so to who asks for
//! them meanwhile.
//!
//! The log is switched on at the first cut, under all locks, and stays on: a replica that comes back may go on
//! with it. From the cut on the log is pinned for each replica, and what it is sent later follows the snapshot. The
//! thread lives for as long as anybody waits. Lock: the queue, a leaf.
//!
//! Failure: a snapshot that fails, or that is given up because nobody takes it any more or because the replicas are
//! too slow for the writes, ends with its replicas' connections closed; they come back. After the last of these
//! the next one goes by a file, whatever the directive says, for a disk keeps up where a replica does not.
//!
//! Source: behaviour of redis-server 7.0.15, and the published redis.conf.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ochre_base::clock::Now;
use ochre_engine::engine::Engine;
use ochre_engine::mailbox::{Form, Message, Snapshot};
use ochre_engine::transfer::{SnapshotStream, SyncRequest};

use super::capture::Records;
use super::save::{self, Cut, Target};
use crate::clock::Clock;
use crate::host::reason;
use crate::log;

/// Time between two looks whether another snapshot has ended.
const STEP: Duration = Duration::from_millis(5);
/// Longest wait for the end of a delay before other things are looked at.
const LOOK_MS: i64 = 100;
/// Bytes of the snapshot that are handed over at once.
const CHUNK: usize = 64 << 10;

/// Who waits for a snapshot. See the module's head.
#[derive(Debug, Default)]
pub(crate) struct Syncs {
    queue: Mutex<Queue>,
    added: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<Waiting>,
    /// There is a thread that looks after them.
    attended: bool,
    /// The replicas were too slow for the last one without a file.
    were_slow: bool,
}

#[derive(Debug, Clone)]
struct Waiting {
    request: SyncRequest,
    /// Since when, in Unix milliseconds.
    since_ms: i64,
}

/// What is to be done next.
#[derive(Debug)]
enum Due {
    /// Nobody waits.
    Nothing,
    /// To wait for so many milliseconds.
    Later(i64),
    /// A snapshot by a file, for these clients.
    File(Vec<u64>),
    /// A snapshot without one.
    Stream(Vec<u64>),
}

/// The rules of `repl-diskless-sync` and its kin.
#[derive(Debug, Clone, Copy)]
struct Rules {
    is_diskless: bool,
    delay_ms: i64,
    /// 0: no such number.
    max_replicas: usize,
}

impl Rules {
    fn of(engine: &Engine) -> Self {
        let settings = &engine.live().0.settings;
        Self {
            is_diskless: settings.diskless_sync,
            delay_ms: settings.diskless_sync_delay_ms,
            max_replicas: settings.diskless_sync_max_replicas,
        }
    }

    /// What to do for those who wait.
    fn due(&self, waiting: &[Waiting], now_ms: i64) -> Due {
        let streams = |one: &&Waiting| self.is_diskless && one.request.takes_stream;
        let client = |one: &Waiting| one.request.client;
        let by_file: Vec<u64> = waiting.iter().filter(|one| !streams(one)).map(client).collect();
        if !by_file.is_empty() {
            return Due::File(by_file);
        }
        let Some(first_ms) = waiting.iter().map(|one| one.since_ms).min() else {
            return Due::Nothing;
        };
        let enough = self.max_replicas > 0 && waiting.len() >= self.max_replicas;
        let left_ms = first_ms.saturating_add(self.delay_ms).saturating_sub(now_ms);
        if left_ms > 0 && !enough {
            return Due::Later(left_ms);
        }
        Due::Stream(waiting.iter().map(client).collect())
    }
}

impl Syncs {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A replica wants a snapshot.
    pub(crate) fn add(
        self: &Arc<Self>,
        engine: &'static Engine,
        clock: &'static Clock,
        request: SyncRequest,
    ) -> io::Result<()> {
        let rules = Rules::of(engine);
        if rules.is_diskless && request.takes_stream && rules.delay_ms > 0 {
            log::notice("Delay next BGSAVE for diskless SYNC");
        }
        let client = request.client;
        let mut queue = self.lock();
        queue.waiting.push(Waiting { request, since_ms: clock.now().unix_ms });
        if queue.attended {
            drop(queue);
            self.added.notify_all();
            return Ok(());
        }
        queue.attended = true;
        drop(queue);
        let syncs = Arc::clone(self);
        let thread = std::thread::Builder::new().name("sync".into());
        let started = thread.spawn(move || syncs.attend(engine, clock));
        if started.is_err() {
            let mut queue = self.lock();
            queue.attended = false;
            queue.waiting.retain(|one| one.request.client != client);
        }
        started.map(drop)
    }

    /// Serves whoever waits, until nobody does.
    fn attend(&self, engine: &'static Engine, clock: &'static Clock) {
        loop {
            self.forget_the_gone(engine);
            let now = clock.now();
            let mut queue = self.lock();
            let mut rules = Rules::of(engine);
            rules.is_diskless &= !queue.were_slow;
            match rules.due(&queue.waiting, now.unix_ms) {
                Due::Nothing => {
                    queue.attended = false;
                    return;
                }
                Due::Later(ms) => {
                    let patience = Duration::from_millis(ms.clamp(1, LOOK_MS) as u64);
                    drop(self.added.wait_timeout(queue, patience));
                }
                due => {
                    drop(queue);
                    if !engine.saves.begin_transfer(now.unix_ms / 1000) {
                        std::thread::sleep(STEP);
                        continue;
                    }
                    self.serve(engine, clock, due);
                    engine.saves.end(clock.now().unix_ms / 1000, None, false);
                }
            }
        }
    }

    /// Those who wait and are gone; all of them when the process ends.
    fn forget_the_gone(&self, engine: &Engine) {
        let over = engine.stopping.load(Ordering::Relaxed);
        let waiting: Vec<u64> = self.lock().waiting.iter().map(|w| w.request.client).collect();
        let gone = |client: &u64| over || engine.clients.by_id(*client).is_none();
        let gone: Vec<u64> = waiting.into_iter().filter(gone).collect();
        if !gone.is_empty() {
            self.lock().waiting.retain(|one| !gone.contains(&one.request.client));
        }
    }

    /// Takes those clients out of the queue.
    fn take(&self, clients: &[u64]) -> Vec<SyncRequest> {
        let mut queue = self.lock();
        let of = |one: &mut Waiting| clients.contains(&one.request.client);
        queue.waiting.extract_if(.., of).map(|one| one.request).collect()
    }

    fn serve(&self, engine: &'static Engine, clock: &'static Clock, due: Due) {
        let result = match due {
            Due::Nothing | Due::Later(_) => Ok(()),
            Due::File(clients) => {
                log::notice("Starting BGSAVE for SYNC with target: disk");
                self.lock().were_slow = false;
                send_file(engine, clock.now(), &self.take(&clients))
            }
            Due::Stream(clients) => {
                log::notice("Starting BGSAVE for SYNC with target: replicas sockets");
                let were_slow = &mut false;
                let sent = send_stream(engine, clock.now(), &self.take(&clients), were_slow);
                self.lock().were_slow = *were_slow;
                sent
            }
        };
        match result {
            Ok(()) => log::notice("Background RDB transfer terminated with success"),
            Err(error) => {
                log::warning(&format!("Background transfer error: {}", reason(&error)));
            }
        }
    }
}

/// Where the stream of those replicas begins, which is noted at the cut.
#[derive(Debug, Default, Clone)]
struct Start {
    offset: u64,
    history: String,
}

impl Start {
    /// Under all locks.
    fn note(&mut self, engine: &Engine, requests: &[SyncRequest]) {
        if !engine.log.is_kept() {
            engine.log.turn_on();
        }
        // The stream begins with the database's number; a primary's of our own goes on from the one that the
        // snapshot names.
        (self.offset, _) = engine.log.begin_reader();
        self.history = engine.replicas.history().id;
        for request in requests {
            engine.log.pin(request.client, self.offset);
        }
    }

    fn post(&self, engine: &Engine, request: &SyncRequest, form: Form) {
        let snapshot = Snapshot {
            form,
            offset: self.offset,
            history: self.history.clone(),
            announces: request.announces,
        };
        let (client, snapshot) = (request.client, Some(snapshot));
        engine.tell(request.event_loop, Message::Snapshot { client, snapshot });
    }
}

/// Tells the loops that there is nothing for these replicas.
fn refuse(engine: &Engine, requests: &[SyncRequest]) {
    for request in requests {
        let (client, snapshot) = (request.client, None);
        engine.tell(request.event_loop, Message::Snapshot { client, snapshot });
    }
}

fn send_file(engine: &'static Engine, now: Now, requests: &[SyncRequest]) -> io::Result<()> {
    let path = PathBuf::from(format!("temp-sync-{}.rdb", std::process::id()));
    let settings = &engine.live().0.settings;
    let mut start = Start::default();
    let written = save::write(engine, settings, &path, now, false, || start.note(engine, requests));
    let opened = written.and_then(|_| {
        // One for each, since each reads at its own place.
        requests.iter().map(|_| File::open(&path)).collect::<io::Result<Vec<File>>>()
    });
    // Open files need no name. What cannot be removed is written over by the next.
    let removed = std::fs::remove_file(&path);
    let sent = opened.and_then(|files| {
        removed?;
        let sized = files.into_iter().map(|mut file| {
            let bytes = file.seek(SeekFrom::End(0))?;
            file.seek(SeekFrom::Start(0))?;
            Ok(Form::File { file, bytes })
        });
        sized.collect::<io::Result<Vec<Form>>>()
    });
    match sent {
        Ok(forms) => {
            for (request, form) in requests.iter().zip(forms) {
                start.post(engine, request, form);
            }
            Ok(())
        }
        Err(error) => {
            refuse(engine, requests);
            Err(error)
        }
    }
}

/// What is written goes to all replicas, in chunks.
struct ToReplicas {
    engine: &'static Engine,
    stream: Arc<SnapshotStream>,
    records: Arc<Records>,
    chunk: Vec<u8>,
}

impl ToReplicas {
    fn hand_over(&mut self) -> io::Result<()> {
        let engine = self.engine;
        let is_wanted = || {
            let over = engine.stopping.load(Ordering::Relaxed) || engine.saves.is_cancelled();
            !over && !self.records.is_given_up()
        };
        let pushed = self.stream.push(&self.chunk, &is_wanted);
        self.chunk.clear();
        engine.replicas.wake_loops(engine, None);
        pushed.map_err(|_| {
            let why = match (self.stream.readers(), self.records.is_given_up()) {
                (0, _) => "no replica is left that wants it",
                (_, true) => self.too_slow(),
                (_, false) => "cancelled",
            };
            io::Error::other(why)
        })
    }
}

impl Write for ToReplicas {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let part = &bytes[..bytes.len().min(CHUNK - self.chunk.len())];
        self.chunk.extend_from_slice(part);
        if self.chunk.len() == CHUNK {
            self.hand_over()?;
        }
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() { Ok(()) } else { self.hand_over() }
    }
}

impl Target for ToReplicas {
    fn settle(&self) -> io::Result<()> {
        Ok(())
    }

    fn too_slow(&self) -> &'static str {
        "the replicas are too slow for the writes"
    }
}

/// Forty digits that do not occur in the snapshot.
fn new_mark() -> io::Result<String> {
    let mut bytes = [0; 20];
    getrandom::fill(&mut bytes).map_err(|_| io::Error::other("there are no random numbers"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// `were_slow` tells whether it was given up because the replicas did not keep up with the writes.
fn send_stream(
    engine: &'static Engine,
    now: Now,
    requests: &[SyncRequest],
    were_slow: &mut bool,
) -> io::Result<()> {
    let mark = new_mark().inspect_err(|_| refuse(engine, requests))?;
    let stream = Arc::new(SnapshotStream::default());
    let readers: Vec<_> = requests.iter().map(|request| stream.reader(request.client)).collect();
    let mut start = Start::default();
    let cut = Cut::take(engine, now, || start.note(engine, requests));
    for (request, reader) in requests.iter().zip(readers) {
        start.post(engine, request, Form::Stream { reader, mark: mark.clone() });
    }
    let target = ToReplicas {
        engine,
        stream: Arc::clone(&stream),
        records: cut.records(),
        chunk: Vec::with_capacity(CHUNK),
    };
    let settings = &engine.live().0.settings;
    let sent = cut.write_to(engine, settings, target, false).and_then(|mut target| {
        target.write_all(mark.as_bytes())?;
        target.flush()
    });
    // Nothing else makes it fail while there is somebody who wants it.
    let is_wanted = !engine.saves.is_cancelled() && !engine.stopping.load(Ordering::Relaxed);
    *were_slow = sent.is_err() && is_wanted && stream.readers() > 0;
    stream.end(sent.is_ok());
    engine.replicas.wake_loops(engine, None);
    sent
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(client: u64, since_ms: i64, takes_stream: bool) -> Waiting {
        let request = SyncRequest { event_loop: 0, client, announces: true, takes_stream };
        Waiting { request, since_ms }
    }

    fn due(rules: (bool, i64, usize), waiting: &[Waiting], now_ms: i64) -> String {
        let (is_diskless, delay_ms, max_replicas) = rules;
        format!("{:?}", Rules { is_diskless, delay_ms, max_replicas }.due(waiting, now_ms))
    }

    #[test]
    fn the_delay_is_waited_for_unless_there_are_enough() {
        let two = [waiting(1, 1000, true), waiting(2, 3000, true)];
        assert_eq!(due((true, 5000, 0), &[], 9), "Nothing");
        assert_eq!(due((true, 5000, 0), &two, 3000), "Later(3000)");
        assert_eq!(due((true, 5000, 3), &two, 3000), "Later(3000)");
        assert_eq!(due((true, 5000, 2), &two, 3000), "Stream([1, 2])");
        assert_eq!(due((true, 5000, 0), &two, 6000), "Stream([1, 2])");
        assert_eq!(due((true, 0, 0), &two[..1], 1000), "Stream([1])");
    }

    #[test]
    fn who_cannot_take_a_stream_gets_a_file_at_once() {
        let mixed = [waiting(1, 1000, true), waiting(2, 1000, false), waiting(3, 1000, false)];
        assert_eq!(due((true, 5000, 0), &mixed, 1000), "File([2, 3])");
        assert_eq!(due((false, 5000, 0), &mixed, 1000), "File([1, 2, 3])");
    }
}
