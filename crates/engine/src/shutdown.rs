//! The end of the server, and the wait for its replicas before it: SHUTDOWN, SIGTERM, SIGINT.
//!
//! When there are replicas that lag behind, writes are held back (`Engine::hold_writes_at_end`) for up to
//! `shutdown-timeout`, so that what was acknowledged to clients is with the replicas before the server goes. A loop
//! looks at least every 100 ms ([`Shutdown::tick`]). Meanwhile SHUTDOWN ABORT calls it off; whoever has asked for the
//! end waits with a waiter that lies in no key's queue, and is told only when the server stays after all.
//!
//! Failure: when the data cannot be saved the server stays, unless it was told to go by force. Lock: the stage, taken
//! before the log and mailboxes.
//!
//! Source: the published description of SHUTDOWN; redis-server 7.0.15.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ochre_command::ReplyError;
use ochre_keyspace::shard::Waiter;

use crate::engine::{Engine, LastSave};
use crate::mailbox::Message;
use crate::replicas::Replica;

/// What a client is told whose SHUTDOWN was called off, or failed.
pub(crate) const FAILED: ReplyError = ReplyError::fixed(FAILED_TEXT);
const FAILED_TEXT: &str = "ERR Errors trying to SHUTDOWN. Check logs.";

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// What becomes of the data.
    pub save: LastSave,
    /// Replicas are not waited for.
    pub now: bool,
    /// The server goes although its data could not be saved.
    pub force: bool,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// The process ends.
    Ends,
    /// It stays: the data could not be saved.
    Failed,
    /// It waits for replicas.
    Waits,
}

#[derive(Debug)]
struct Stage {
    order: Order,
    /// When the replicas are no longer waited for, in Unix milliseconds.
    deadline_ms: i64,
    /// Clients that asked for it.
    waiting: Vec<Arc<Waiter>>,
}

/// See the module's head.
#[derive(Debug, Default)]
pub struct Shutdown {
    on: AtomicBool,
    stage: Mutex<Option<Stage>>,
}

fn is_level(replica: &Replica, end: u64) -> bool {
    replica.acknowledged.load(Ordering::Relaxed) >= end
}

impl Shutdown {
    fn lock(&self) -> MutexGuard<'_, Option<Stage>> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether replicas are being waited for: a cheap look.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    /// How much longer they are waited for, in milliseconds; none when they are not.
    pub(crate) fn left_ms(&self, now_ms: i64) -> Option<i64> {
        self.lock().as_ref().map(|stage| (stage.deadline_ms - now_ms).max(0))
    }

    /// Ends the process, or begins to wait for replicas. One that waits already goes on as it was.
    pub fn begin(&self, engine: &'static Engine, order: Order, now_ms: i64) -> Begun {
        let mut stage = self.lock();
        if stage.is_some() {
            return Begun::Waits;
        }
        let timeout_s = engine.live().0.settings.shutdown_timeout_s;
        let end = engine.log.end();
        let is_ready = engine.replicas.all().iter().all(|replica| is_level(replica, end));
        if order.now || timeout_s == 0 || is_ready {
            drop(stage);
            return if finish(engine, order) { Begun::Ends } else { Begun::Failed };
        }
        let timeout_ms = i64::try_from(timeout_s).unwrap_or(i64::MAX).saturating_mul(1000);
        let deadline_ms = now_ms.saturating_add(timeout_ms);
        *stage = Some(Stage { order, deadline_ms, waiting: Vec::new() });
        self.on.store(true, Ordering::Release);
        engine.hold_writes_at_end(true);
        engine.host.log("Waiting for replicas before shutting down.");
        // Replicas say how far they are.
        engine.log.append_control(&[b"REPLCONF", b"GETACK", b"*"]);
        drop(stage);
        engine.tell_all(|| Message::LookAround);
        Begun::Waits
    }

    /// A client waits for the end. False when there is nothing to wait for by now.
    pub(crate) fn wait(&self, waiter: Arc<Waiter>) -> bool {
        match &mut *self.lock() {
            Some(stage) => {
                stage.waiting.retain(|other| !other.is_claimed());
                stage.waiting.push(waiter);
                true
            }
            None => false,
        }
    }

    /// Looks whether all replicas are level, or the time is up.
    #[cold]
    pub fn tick(&self, engine: &'static Engine, now_ms: i64) {
        let stage = {
            let mut stage = self.lock();
            let end = engine.log.end();
            let all = engine.replicas.all();
            let is_due = |stage: &mut Stage| {
                now_ms >= stage.deadline_ms || all.iter().all(|replica| is_level(replica, end))
            };
            stage.take_if(is_due)
        };
        if let Some(stage) = stage
            && !finish(engine, stage.order)
        {
            self.go_on(engine, &stage);
        }
    }

    /// SHUTDOWN ABORT; false when there is none.
    pub(crate) fn abort(&self, engine: &Engine) -> bool {
        let Some(stage) = self.lock().take() else { return false };
        engine.host.log("Shutdown manually aborted.");
        self.go_on(engine, &stage);
        true
    }

    /// The server stays.
    fn go_on(&self, engine: &Engine, stage: &Stage) {
        self.on.store(false, Ordering::Release);
        engine.hold_writes_at_end(false);
        for waiter in stage.waiting.iter().filter(|waiter| waiter.claim()) {
            let (event_loop, client) = (waiter.event_loop, waiter.client);
            let reply = format!("-{FAILED_TEXT}\r\n").into_bytes();
            engine.tell(event_loop, Message::Served { client, reply, time_ns: 0 });
        }
        engine.tell_all(|| Message::LookAround);
    }
}

/// Saves the data as ordered, and stops the loops; false when the server has to stay.
fn finish(engine: &'static Engine, order: Order) -> bool {
    let (end, all) = (engine.log.end(), engine.replicas.all());
    for replica in all.iter().filter(|replica| !is_level(replica, end)) {
        let acknowledged = replica.acknowledged.load(Ordering::Relaxed);
        engine.host.log(&format!(
            "Lagging replica {}:{} reported offset {} behind master, state={}.",
            replica.ip,
            replica.port.load(Ordering::Relaxed),
            end - acknowledged,
            replica.state(),
        ));
    }
    if !all.is_empty() {
        let level = all.iter().filter(|replica| is_level(replica, end)).count();
        let of = all.len();
        engine.host.log(&format!("{level} of {of} replicas are in sync when shutting down."));
    }
    if !engine.host.save_before_end(engine, order.save) && !order.force {
        engine.host.log("Error trying to save the DB, can't exit.");
        return false;
    }
    engine.stopping.store(true, Ordering::Relaxed);
    engine.tell_all(|| Message::LookAround);
    true
}
