//! The replicas of this server: who they are, how far they have come, which history they share with it, and
//! who waits for them.
//!
//! A replica is a client that asked for the stream (SYNC, PSYNC). It gets a snapshot, or goes on where it
//! was when the log still holds that, and from then on the log's bytes as they are appended. The log's
//! offset is the replication offset. A replica belongs to the loop that owns its connection; what others need
//! to know of it is here.
//!
//! Offsets on the wire count bytes that were received; a replica that has received up to the log's
//! offset N asks to go on with N + 1.
//!
//! **Histories.** Forty hexadecimal digits name a history of changes; an offset means something only within one.
//! A replica takes its primary's. One that is promoted begins its own, and keeps the old name with the offset up
//! to which the two are the same, so that its former siblings may go on without a snapshot. Each change of the
//! name is a new *epoch*: replicas of an older one are closed by their loops, and learn the new name when they
//! come back.
//!
//! **Waiting** (WAIT, WAITAOF): a client waits with a waiter that lies in no key's queue but in the list here.
//! Whoever learns of an acknowledgement looks through the list; [`Waiter::claim`] has one winner, as everywhere.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ochre_base::hash::hash;
use ochre_base::rng::Rng;
use ochre_keyspace::shard::Waiter;
use ochre_resp::{Protocol, Reply};

use crate::engine::Engine;
use crate::mailbox::Message;

/// What others may know of a replica.
#[derive(Debug)]
pub struct Replica {
    /// Its client's id.
    pub client: u64,
    /// The loop that owns it.
    pub event_loop: u16,
    /// Its address, without a port.
    pub ip: String,
    /// The port that it listens on, as it says.
    pub port: AtomicU16,
    /// It has the snapshot and gets the stream.
    pub online: AtomicBool,
    /// It is being sent a snapshot from a file.
    pub in_bulk: AtomicBool,
    /// The offset that it has acknowledged.
    pub acknowledged: AtomicU64,
    /// The offset that it has acknowledged as being on its disk.
    pub synced: AtomicU64,
    /// When it last acknowledged anything, in Unix milliseconds.
    pub acknowledged_ms: AtomicI64,
    /// It came by PSYNC, and so acknowledges.
    pub acknowledges: bool,
}

impl Replica {
    /// What INFO calls its state.
    pub(crate) fn state(&self) -> &'static str {
        if self.online.load(Ordering::Relaxed) {
            return "online";
        }
        if self.in_bulk.load(Ordering::Relaxed) { "send_bulk" } else { "wait_bgsave" }
    }

    /// Whether it gets the stream, and was heard of since `since` in Unix milliseconds.
    pub fn is_good(&self, since: i64) -> bool {
        let online = self.online.load(Ordering::Relaxed);
        online && self.acknowledged_ms.load(Ordering::Relaxed) >= since
    }
}

/// The names of the history of this server's data. See the module's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// Its name.
    pub id: String,
    /// The name of the history that it came from, with the offset up to which they are the same.
    pub before: Option<(String, u64)>,
}

impl History {
    /// Whether the log's bytes from `offset` on go on with what the history `id` had up to there.
    pub fn continues(&self, id: &[u8], offset: u64) -> bool {
        let before = |(name, until): &(String, u64)| name.as_bytes() == id && offset <= *until;
        self.id.as_bytes() == id || self.before.as_ref().is_some_and(before)
    }
}

/// What a client waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckWait {
    /// The offset to be reached.
    pub offset: u64,
    /// WAITAOF: how many disks of our own; none: WAIT.
    pub local: Option<u64>,
    /// How many replicas.
    pub replicas: u64,
}

impl AckWait {
    /// How many disks of our own, and how many replicas, have reached the offset.
    fn counts(&self, engine: &Engine) -> (u64, u64) {
        let is_disk = self.local.is_some();
        let reached = |replica: &Arc<Replica>| {
            let at = if is_disk { &replica.synced } else { &replica.acknowledged };
            replica.online.load(Ordering::Relaxed) && at.load(Ordering::Relaxed) >= self.offset
        };
        let replicas = engine.replicas.all().iter().filter(|replica| reached(replica)).count();
        let local = is_disk && engine.host.aof_synced().is_some_and(|synced| synced >= self.offset);
        (u64::from(local), replicas as u64)
    }

    /// Whether the wait is over.
    pub fn is_met(&self, engine: &Engine) -> bool {
        let (local, replicas) = self.counts(engine);
        local >= self.local.unwrap_or(0) && replicas >= self.replicas
    }

    /// Writes how far it is.
    pub fn write(&self, engine: &Engine, reply: &mut Reply<'_>) {
        let (local, replicas) = self.counts(engine);
        if self.local.is_some() {
            reply.array(2);
            reply.integer(local as i64);
        }
        reply.integer(replicas as i64);
    }
}

/// All replicas. See the module's head.
#[derive(Debug)]
pub struct Replicas {
    history: Mutex<History>,
    epoch: AtomicU64,
    count: AtomicUsize,
    by_client: Mutex<BTreeMap<u64, Arc<Replica>>>,
    waiting: Mutex<Vec<(Arc<Waiter>, AckWait)>>,
    waiting_count: AtomicUsize,
    /// The log's offset after the last time that replicas were asked for acknowledgements.
    asked_at: AtomicU64,
    /// When the last replica went, in Unix milliseconds.
    alone_since_ms: AtomicI64,
    /// Full and partial synchronisations, and those refused for the log having moved on.
    pub full: AtomicU64,
    /// See `full`.
    pub partial: AtomicU64,
    /// See `full`.
    pub refused: AtomicU64,
    /// Commands of a primary's stream that failed here.
    pub stream_errors: AtomicU64,
}

/// A name that no history had before.
fn new_id(old: &str) -> String {
    let mut bytes = [0; 20];
    if getrandom::fill(&mut bytes).is_err() {
        // Without random numbers: what follows from the last name, which was random.
        let mut rng = Rng::new(hash(old.as_bytes()));
        bytes.fill_with(|| rng.next_u64() as u8);
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Replicas {
    /// None yet, for a history with this name.
    pub fn new(id: String) -> Self {
        Self {
            history: Mutex::new(History { id, before: None }),
            epoch: AtomicU64::new(0),
            count: AtomicUsize::new(0),
            by_client: Mutex::default(),
            waiting: Mutex::default(),
            waiting_count: AtomicUsize::new(0),
            asked_at: AtomicU64::new(u64::MAX),
            alone_since_ms: AtomicI64::new(0),
            full: AtomicU64::new(0),
            partial: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            stream_errors: AtomicU64::new(0),
        }
    }

    fn lock_history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names of the history.
    pub fn history(&self) -> History {
        self.lock_history().clone()
    }

    /// The epoch: replicas of an older one are to be closed.
    #[inline]
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    fn change(&self, change: impl FnOnce(&mut History)) {
        let mut history = self.lock_history();
        change(&mut history);
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// A history of our own begins at `offset` of the present one. The caller holds all shard locks.
    pub fn begin_history(&self, offset: u64) {
        self.change(|history| {
            let id = new_id(&history.id);
            history.before = Some((std::mem::replace(&mut history.id, id), offset));
        });
    }

    /// A history that has nothing to do with the present one begins: effects were not logged. The caller
    /// holds all shard locks.
    pub fn forget_history(&self) {
        self.change(|history| *history = History { id: new_id(&history.id), before: None });
    }

    /// The data is another server's by now, and so is its history. The caller holds all shard locks.
    pub fn join_history(&self, id: String) {
        self.change(|history| *history = History { id, before: None });
    }

    /// The history goes on under a new name from `offset` on. The caller holds all shard locks.
    pub fn rename_history(&self, id: String, offset: u64) {
        self.change(|history| {
            history.before = Some((std::mem::replace(&mut history.id, id), offset));
        });
    }

    /// At the start of a primary: its data is that of the history `id` up to `offset`.
    pub fn descend_from(&self, id: String, offset: u64) {
        self.change(|history| history.before = Some((id, offset)));
    }

    /// How many there are.
    #[inline]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Adds one.
    pub fn add(&self, replica: Arc<Replica>) {
        let mut all = self.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(replica.client, replica);
        self.count.store(all.len(), Ordering::Relaxed);
    }

    /// Removes one that is gone.
    pub fn remove(&self, client: u64) {
        let mut all = self.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&client);
        self.count.store(all.len(), Ordering::Relaxed);
    }

    /// All of them, by their clients' ids.
    pub fn all(&self) -> Vec<Arc<Replica>> {
        let all = self.by_client.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().cloned().collect()
    }

    /// Makes the loops that own replicas, but for the calling one, look after them.
    pub fn wake_loops(&self, engine: &Engine, but: Option<u16>) {
        if self.count() == 0 {
            return;
        }
        let mut loops: Vec<u16> = self.all().iter().map(|replica| replica.event_loop).collect();
        loops.sort_unstable();
        loops.dedup();
        for event_loop in loops.into_iter().filter(|event_loop| Some(*event_loop) != but) {
            engine.tell(event_loop, Message::LookAround);
        }
    }

    /// For how long there has been no replica, in milliseconds, as of the calls so far; called about once a
    /// second.
    pub fn alone_for(&self, now_ms: i64) -> i64 {
        if self.count() > 0 || self.alone_since_ms.load(Ordering::Relaxed) == 0 {
            self.alone_since_ms.store(now_ms, Ordering::Relaxed);
        }
        now_ms - self.alone_since_ms.load(Ordering::Relaxed)
    }

    /// Adds a client that waits, and asks replicas how far they are.
    pub(crate) fn wait(&self, engine: &Engine, waiter: Arc<Waiter>, wait: AckWait) {
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.retain(|(waiter, _)| !waiter.is_claimed());
            waiting.push((waiter, wait));
            self.waiting_count.store(waiting.len(), Ordering::Release);
        }
        if self.asked_at.load(Ordering::Relaxed) != engine.log.end() {
            let end = engine.log.append_control(&[b"REPLCONF", b"GETACK", b"*"]);
            self.asked_at.store(end, Ordering::Relaxed);
        }
        // An acknowledgement may have come before the client was in the list.
        self.serve_waiting(engine);
    }

    /// Serves the clients whose wait is over.
    pub fn serve_waiting(&self, engine: &Engine) {
        if self.waiting_count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|(waiter, wait)| {
            if waiter.is_claimed() || !wait.is_met(engine) {
                return !waiter.is_claimed();
            }
            if waiter.claim() {
                let protocol = match waiter.command.protocol {
                    3 => Protocol::Resp3,
                    _ => Protocol::Resp2,
                };
                let mut reply = Vec::new();
                wait.write(engine, &mut Reply::new(&mut reply, protocol));
                engine.tell(
                    waiter.event_loop,
                    Message::Served { client: waiter.client, reply, time_ns: 0 },
                );
            }
            false
        });
        self.waiting_count.store(waiting.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promoted_replica_goes_on_with_its_siblings() {
        let replicas = Replicas::new("a".repeat(40));
        let old = "b".repeat(40);
        replicas.join_history(old.clone());
        assert!(replicas.history().continues(old.as_bytes(), 99));
        replicas.begin_history(50);
        let history = replicas.history();
        assert_ne!(history.id, old);
        assert_eq!(history.id.len(), 40);
        assert!(history.continues(old.as_bytes(), 50));
        assert!(!history.continues(old.as_bytes(), 51));
        assert!(history.continues(history.id.as_bytes(), 51));
        let epoch = replicas.epoch();
        replicas.forget_history();
        assert!(replicas.epoch() > epoch && replicas.history().before.is_none());
    }
}
