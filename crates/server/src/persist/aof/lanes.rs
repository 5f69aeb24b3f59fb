//! Threads that run commands beside each other, those of one shard always on the same one, in order.
//!
//! ```text
//! router --> lane 0: batch under way --> at most DEPTH handed over --> thread 0: shards 0, n, 2n, ..
//!        --> lane 1: ..                                                thread 1: shards 1, n+1, ..
//! ```
//!
//! A lane's batch is commands as they stand in the file, copied one behind the other; it begins with a SELECT,
//! so that it means the same wherever it runs. Batches come back empty, to be filled again. A thread is
//! started when its lane's first batch is full: a small file costs no thread, and what has been gathered since
//! the last time is run by the caller when it is little and no thread has work (files in which every other
//! command has to run alone would else cost two wake-ups for each).
//!
//! Memory: [`IN_FLIGHT_BYTES`], or one batch that is larger, and a batch under way for each lane. There are no
//! locks: what is handed over goes through channels. The first failure ends everything: dropping the lanes
//! closes the channels, and the threads end with the batch that they are in. A thread that panics closes its
//! channel, which is a failure like others here.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;

use ochre_base::clock::Now;
use ochre_engine::engine::Engine;
use ochre_engine::replay::Replay;
use ochre_keyspace::lazyfree::Bin;
use ochre_keyspace::shard::DbIndex;

use super::replay::run;

/// Bytes of a batch: some hundred commands, so that handing over costs little beside running them.
pub(super) const BATCH_BYTES: usize = 32 << 10;
/// Batches of a lane that may be with its thread: it is to have the next one when it is done with one.
const DEPTH: usize = 8;
/// Bytes that may be with all threads: more than their usual batches have together.
const IN_FLIGHT_BYTES: usize = 16 << 20;

type Ran = Result<Vec<u8>, String>;

/// A lane's thread.
#[derive(Debug)]
struct Worker {
    to: Sender<Vec<u8>>,
    back: Receiver<Ran>,
}

#[derive(Debug, Default)]
struct Lane {
    worker: Option<Worker>,
    /// Batches with the thread.
    in_flight: usize,
    /// The batch under way, and the database that is selected at its end.
    batch: Vec<u8>,
    db: DbIndex,
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Lanes<'scope, 'env> {
    engine: &'static Engine,
    scope: &'scope Scope<'scope, 'env>,
    lanes: Vec<Lane>,
    /// The database of the commands to come.
    db: DbIndex,
    /// Bytes that are with threads.
    in_flight_bytes: usize,
    /// Batches that came back.
    spare: Vec<Vec<u8>>,
    /// Runs batches on the calling thread.
    here: Replay,
}

impl<'scope, 'env> Lanes<'scope, 'env> {
    /// `count` lanes, at least one, whose threads end within `scope`.
    pub(super) fn new(
        engine: &'static Engine,
        scope: &'scope Scope<'scope, 'env>,
        count: usize,
    ) -> Self {
        Self {
            engine,
            scope,
            lanes: (0..count.max(1)).map(|_| Lane::default()).collect(),
            db: 0,
            in_flight_bytes: 0,
            spare: Vec::new(),
            here: Replay::new(engine, Bin::inline(), Now::default()),
        }
    }

    /// The lane of the key with this hash.
    #[inline]
    pub(super) fn of(&self, hash: u64) -> usize {
        usize::from(self.engine.shards.of(hash)) % self.lanes.len()
    }

    /// The commands to come are for this database.
    pub(super) fn select(&mut self, db: DbIndex) {
        self.db = db;
    }

    /// Leaves a command, or a whole transaction.
    pub(super) fn give(&mut self, at: usize, command: &[u8]) -> Result<(), String> {
        let lane = &mut self.lanes[at];
        if lane.batch.is_empty() || lane.db != self.db {
            let number = self.db.to_string();
            let select = format!("*2\r\n$6\r\nSELECT\r\n${}\r\n{number}\r\n", number.len());
            lane.batch.extend_from_slice(select.as_bytes());
            lane.db = self.db;
        }
        lane.batch.extend_from_slice(command);
        if lane.batch.len() >= BATCH_BYTES { self.hand_over(at) } else { Ok(()) }
    }

    /// Everything that was left has run when this returns.
    pub(super) fn settle(&mut self) -> Result<(), String> {
        let gathered: usize = self.lanes.iter().map(|lane| lane.batch.len()).sum();
        let little = self.in_flight_bytes == 0 && gathered <= BATCH_BYTES;
        for at in 0..self.lanes.len() {
            if self.lanes[at].batch.is_empty() {
                continue;
            }
            if little { self.run_here(at)? } else { self.hand_over(at)? }
        }
        self.drain()
    }

    /// Runs the batch of a lane that has none with its thread.
    fn run_here(&mut self, at: usize) -> Result<(), String> {
        let mut batch = std::mem::take(&mut self.lanes[at].batch);
        run(&mut self.here, &mut batch)?;
        self.keep(batch);
        Ok(())
    }

    /// Gives the batch to the lane's thread, when there is room.
    fn hand_over(&mut self, at: usize) -> Result<(), String> {
        if self.lanes[at].worker.is_none() {
            match self.start(at) {
                Some(worker) => self.lanes[at].worker = Some(worker),
                // Without a thread it takes longer.
                None => return self.run_here(at),
            }
        }
        if self.in_flight_bytes + self.lanes[at].batch.len() > IN_FLIGHT_BYTES {
            self.drain()?;
        }
        if self.lanes[at].in_flight >= DEPTH {
            self.take_back(at)?;
        }
        let next = self.spare.pop().unwrap_or_default();
        let lane = &mut self.lanes[at];
        let batch = std::mem::replace(&mut lane.batch, next);
        let bytes = batch.len();
        let sent = lane.worker.as_ref().map(|worker| worker.to.send(batch));
        if !matches!(sent, Some(Ok(()))) {
            return Err(ended());
        }
        lane.in_flight += 1;
        self.in_flight_bytes += bytes;
        Ok(())
    }

    /// Waits for one batch of a lane.
    fn take_back(&mut self, at: usize) -> Result<(), String> {
        let lane = &mut self.lanes[at];
        let Some(worker) = &lane.worker else { return Ok(()) };
        let batch = worker.back.recv().map_err(|_| ended())??;
        lane.in_flight -= 1;
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(batch.len());
        self.keep(batch);
        Ok(())
    }

    /// Waits for all that was handed over.
    fn drain(&mut self) -> Result<(), String> {
        for at in 0..self.lanes.len() {
            while self.lanes[at].in_flight > 0 {
                self.take_back(at)?;
            }
        }
        Ok(())
    }

    /// Keeps the memory of a batch for another, unless it is much.
    fn keep(&mut self, mut batch: Vec<u8>) {
        if batch.capacity() <= 4 * BATCH_BYTES {
            batch.clear();
            self.spare.push(batch);
        }
    }

    fn start(&self, at: usize) -> Option<Worker> {
        let (to, batches) = channel::<Vec<u8>>();
        let (done, back) = channel::<Ran>();
        let engine = self.engine;
        let thread = std::thread::Builder::new().name(format!("aof-{at}"));
        let started = thread.spawn_scoped(self.scope, move || work(engine, at, &batches, &done));
        started.ok().map(|_| Worker { to, back })
    }
}

/// A lane's thread.
fn work(engine: &'static Engine, at: usize, batches: &Receiver<Vec<u8>>, done: &Sender<Ran>) {
    let mut runner = Replay::counted_by(engine, at, Bin::inline(), Now::default());
    while let Ok(mut batch) = batches.recv() {
        let result = run(&mut runner, &mut batch).map(|()| batch);
        let failed = result.is_err();
        // When nobody takes it the replay has failed elsewhere, and this ends too.
        if done.send(result).is_err() || failed {
            return;
        }
    }
}

fn ended() -> String {
    "a thread that runs the commands of the append only file has ended".to_owned()
}
