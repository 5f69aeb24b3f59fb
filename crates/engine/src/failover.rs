//! FAILOVER: a primary hands its part over to one of its replicas, and follows it.
//!
//! ```text
//! waiting-for-sync       writes are held back until a replica has acknowledged all of the log
//! failover-in-progress   that replica is followed; its PSYNC says FAILOVER, on which it becomes a primary
//! ```
//!
//! Writes are held back by a bit beside CLIENT PAUSE's (`Engine::hold_writes`), so that neither ends the
//! other. They are let go when the new primary has answered: this server is a replica then, and refuses them. A
//! loop drives it at least every 100 ms ([`Failover::tick`]); the link's thread tells how the hand-over went.
//!
//! Failure: without a replica that is level before the time-out the failover is given up, unless FORCE names
//! one. A target that refuses leaves this server a primary. When the link breaks before the answer, the
//! target may have taken over: it is asked again, and a target that says that it is a primary is followed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ochre_config::{Value, table};

use crate::engine::Engine;
use crate::following::Primary;
use crate::mailbox::Message;
use crate::replicas::Replica;

/// What was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// To which replica; none: to whichever is level first.
    pub(crate) target: Option<Primary>,
    /// The target takes over when the time is up, level or not.
    pub(crate) force: bool,
    /// When to give up, in Unix milliseconds.
    pub(crate) deadline_ms: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Waiting(Wish),
    InProgress,
}

/// See the module's head.
#[derive(Debug, Default)]
pub struct Failover {
    on: AtomicBool,
    stage: Mutex<Option<Stage>>,
}

/// The server that a replica is.
fn server_of(replica: &Replica) -> Primary {
    let host = replica.ip.trim_matches(['[', ']']).to_owned();
    Primary { host, port: replica.port.load(Ordering::Relaxed) }
}

impl Failover {
    fn lock(&self) -> MutexGuard<'_, Option<Stage>> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one is under way: a cheap look.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    /// Whether the new primary is to be asked to take over.
    pub fn is_in_progress(&self) -> bool {
        *self.lock() == Some(Stage::InProgress)
    }

    /// What INFO calls it.
    pub(crate) fn name(&self) -> &'static str {
        match *self.lock() {
            None => "no-failover",
            Some(Stage::Waiting(_)) => "waiting-for-sync",
            Some(Stage::InProgress) => "failover-in-progress",
        }
    }

    /// Begins one; false when one is under way.
    pub(crate) fn begin(&self, engine: &Engine, wish: Wish) -> bool {
        let mut stage = self.lock();
        if stage.is_some() {
            return false;
        }
        *stage = Some(Stage::Waiting(wish));
        self.on.store(true, Ordering::Release);
        engine.hold_writes(true);
        // Replicas say how far they are.
        engine.log.append_control(&[b"REPLCONF", b"GETACK", b"*"]);
        true
    }

    /// It is over, however it went: clients go on. False when there was none.
    pub fn end(&self, engine: &Engine, how: &str) -> bool {
        let was = self.lock().take();
        self.on.store(false, Ordering::Release);
        if was.is_some() {
            engine.host.log(how);
            engine.hold_writes(false);
            engine.tell_all(|| Message::LookAround);
        }
        was.is_some()
    }

    /// FAILOVER ABORT: false when there is none. A hand-over under way is called off.
    pub(crate) fn abort(&self, engine: &'static Engine) -> bool {
        if self.is_in_progress() {
            self.lead_again(engine);
        }
        self.end(engine, "Failover manually aborted")
    }

    /// The target has refused: this server stays what it was.
    pub fn refused(&self, engine: &'static Engine, why: &str) {
        self.lead_again(engine);
        self.end(engine, &format!("Failover target rejected psync request: {why}"));
    }

    fn lead_again(&self, engine: &'static Engine) {
        show_primary(engine, None);
        engine.following.lead(engine);
    }

    /// Looks whether a replica is level, or the time is up.
    #[cold]
    pub fn tick(&self, engine: &'static Engine, now_ms: i64) {
        let Some(Stage::Waiting(wish)) = self.lock().clone() else { return };
        let end = engine.log.end();
        let fits = |replica: &Replica| {
            replica.online.load(Ordering::Relaxed)
                && replica.acknowledged.load(Ordering::Relaxed) >= end
                && wish.target.as_ref().is_none_or(|target| *target == server_of(replica))
        };
        let all = engine.replicas.all();
        let level = all.iter().find(|replica| fits(replica)).map(|replica| server_of(replica));
        let late = wish.deadline_ms.is_some_and(|deadline| now_ms >= deadline);
        let target = match (level, wish.target) {
            (Some(target), _) => target,
            (None, Some(target)) if late && wish.force => {
                let (host, port) = (&target.host, target.port);
                engine
                    .host
                    .log(&format!("Replica {host}:{port}: time out exceeded, failing over."));
                target
            }
            (None, _) if late => {
                self.end(engine, "Failover aborted: no replica has caught up in time");
                return;
            }
            (None, _) => return,
        };
        {
            let mut stage = self.lock();
            if !matches!(*stage, Some(Stage::Waiting(_))) {
                return;
            }
            *stage = Some(Stage::InProgress);
        }
        engine.host.log(&format!("Failover target is {}:{}", target.host, target.port));
        show_primary(engine, Some(&target));
        engine.following.follow(target);
        engine.tell_all(|| Message::LookAround);
    }
}

/// What CONFIG GET replicaof shows, and CONFIG REWRITE writes.
pub(crate) fn show_primary(engine: &Engine, primary: Option<&Primary>) {
    let mut config = engine.config.lock().unwrap_or_else(PoisonError::into_inner);
    let shown = primary.map(|primary| (primary.host.clone().into_bytes(), primary.port));
    config.replace(const { table::id("replicaof") }, Value::HostPort(shown));
}
