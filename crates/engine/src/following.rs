//! Whether this server follows a primary, which one, and how its link does: what REPLICAOF changes, the link's
//! thread acts on, and the gate, INFO and ROLE look at.
//!
//! **Becoming a replica** takes two steps, because a loop may be in the middle of a command that the gate has let
//! through already. First the new role is shown ([`Following::follow`]): each loop takes note of it at the start
//! of its next turn, from which on its gate refuses writes, and says so ([`Following::loop_knows`]). Only when all
//! of them have done so does the link's thread turn the log over to the primary's bytes. Until then effects are
//! logged as before, so that no write is missing from the offset that the link begins with.
//!
//! **Becoming a primary** takes one step ([`Following::lead`]), under the lock that the link's thread holds while
//! it applies a batch: afterwards not a byte of the old primary is applied, and the client that asked may write
//! with its next command.
//!
//! The version grows with each change of the primary. The link's thread remembers the one it works for, and
//! whatever it does for an older one is void.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ochre_command::ReplyError;
use ochre_command::spec::Flags;

use crate::engine::Engine;
use crate::gate::may_write;
use crate::registry::Row;
use crate::turn::{LoopState, Turn};

/// The server that is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Primary {
    /// Its host, as it was given.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// How the link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LinkState {
    /// There is none; one is to be made.
    #[default]
    Connect,
    /// It is being made, up to the answer to PSYNC.
    Connecting,
    /// A snapshot is on its way, or is being loaded.
    Sync,
    /// The stream is followed.
    Connected,
}

/// A snapshot that is coming in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Incoming {
    /// Its bytes; none: not known before its end.
    pub total_bytes: Option<u64>,
    /// Bytes received.
    pub read_bytes: u64,
}

/// What INFO and ROLE say of the link.
#[derive(Debug, Clone, Copy, Default)]
pub struct LinkView {
    /// How it does.
    pub state: LinkState,
    /// When the primary was last heard of, in Unix milliseconds.
    pub last_io_ms: i64,
    /// Since when there has been no link, in Unix milliseconds.
    pub down_since_ms: i64,
    /// Offset up to which the stream was received.
    pub received: u64,
    /// The snapshot under way.
    pub incoming: Option<Incoming>,
}

/// The stream of a primary from which to go on after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume {
    /// Offset after the last byte.
    pub offset: u64,
    /// The database that is selected there.
    pub db: u16,
}

/// See the module's head.
#[derive(Debug)]
pub struct Following {
    version: AtomicU64,
    follows: AtomicBool,
    /// The link's state is [`LinkState::Connected`].
    linked: AtomicBool,
    primary: Mutex<Option<Primary>>,
    changed: Condvar,
    /// The version that each loop's gate goes by.
    seen: Vec<AtomicU64>,
    /// Held while a batch of the stream is applied.
    applying: Mutex<()>,
    view: Mutex<LinkView>,
}

const READ_ONLY: ReplyError =
    ReplyError::fixed("READONLY You can't write against a read only replica.");
/// The answer of a replica whose data may be old, when it is not to serve it.
pub(crate) const MASTER_DOWN: ReplyError = ReplyError::fixed(
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
);

impl Following {
    /// No primary, with so many loops.
    pub fn new(loops: usize) -> Self {
        Self {
            version: AtomicU64::new(0),
            follows: AtomicBool::new(false),
            linked: AtomicBool::new(false),
            primary: Mutex::default(),
            changed: Condvar::new(),
            seen: (0..loops).map(|_| AtomicU64::new(0)).collect(),
            applying: Mutex::default(),
            view: Mutex::default(),
        }
    }

    fn lock_primary(&self) -> MutexGuard<'_, Option<Primary>> {
        self.primary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version of the role: a cheap look for each turn.
    #[inline]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Whether there is a primary.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.follows.load(Ordering::Acquire)
    }

    /// Whether the primary's stream is being followed.
    #[inline]
    pub fn is_linked(&self) -> bool {
        self.linked.load(Ordering::Acquire)
    }

    /// The primary.
    pub fn primary(&self) -> Option<Primary> {
        self.lock_primary().clone()
    }

    /// Changes the primary, which the link's thread will act on.
    fn set(&self, primary: Option<Primary>) {
        let mut current = self.lock_primary();
        self.linked.store(false, Ordering::Release);
        self.follows.store(primary.is_some(), Ordering::Release);
        *current = primary;
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = LinkView::default();
        self.version.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_all();
    }

    /// REPLICAOF host port, and the directive at the start.
    pub fn follow(&self, primary: Primary) {
        self.set(Some(primary));
    }

    /// REPLICAOF NO ONE: from here on this server's data is a history of its own, whose beginning is its
    /// primary's. The caller holds no lock.
    pub fn lead(&self, engine: &'static Engine) {
        self.set(None);
        let _batch = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let _all = engine.shards.lock_all();
        if engine.log.follows() {
            engine.replicas.begin_history(engine.log.lead());
        }
    }

    /// The primary and the version, after waiting for either to differ from `known` for at most so long.
    pub fn await_change(&self, known: u64, patience: Duration) -> (Option<Primary>, u64) {
        let current = self.lock_primary();
        let waited = self
            .changed
            .wait_timeout_while(current, patience, |_| self.version() == known)
            .unwrap_or_else(PoisonError::into_inner);
        (waited.0.clone(), self.version())
    }

    /// A loop's gate goes by the role of this version.
    pub fn loop_knows(&self, event_loop: u16, version: u64) {
        if let Some(seen) = self.seen.get(usize::from(event_loop)) {
            seen.store(version, Ordering::Release);
        }
    }

    /// Whether all loops' gates go by the role of this version, or a later one.
    pub fn all_loops_know(&self, version: u64) -> bool {
        self.seen.iter().all(|seen| seen.load(Ordering::Acquire) >= version)
    }

    /// The right to apply what came for this version: none when there is a later one.
    pub fn begin_batch(&self, version: u64) -> Option<MutexGuard<'_, ()>> {
        let batch = self.applying.lock().unwrap_or_else(PoisonError::into_inner);
        (self.version() == version).then_some(batch)
    }

    /// What is known of the link.
    pub fn view(&self) -> LinkView {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known of the link, unless the primary is another one by now.
    pub fn show(&self, version: u64, change: impl FnOnce(&mut LinkView)) {
        // In this order: `set` resets the view under the same lock.
        let _primary = self.lock_primary();
        if self.version() != version {
            return;
        }
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut view);
        self.linked.store(view.state == LinkState::Connected, Ordering::Release);
    }
}

impl LoopState {
    /// At the start of a turn: takes note of a change of role.
    #[inline]
    pub(crate) fn take_role(&mut self, engine: &Engine) {
        let version = engine.following.version();
        if version != self.role_version && !self.applies {
            self.role_version = version;
            self.follows = engine.following.is_on();
            // A loop that runs in place of another says nothing of the other's command under way.
            if !self.in_place {
                engine.following.loop_knows(self.index, version);
            }
        }
    }

    /// Whether clients may not write: a replica whose replica-read-only is on.
    #[inline]
    pub(crate) fn is_read_only(&self) -> bool {
        self.follows && !self.applies && self.live.settings.replica.read_only
    }
}

/// Why a replica does not run a client's command.
#[cold]
pub(crate) fn refusal(turn: &Turn<'_>, row: &Row, args: &[&[u8]]) -> Option<ReplyError> {
    let writes = |row: &Row| row.spec.flags.contains(Flags::WRITE);
    if turn.lp.is_read_only() {
        let is_write = match row.spec.name {
            "exec" => {
                let queue = turn.session.multi.iter().flat_map(|multi| &multi.queue);
                queue.into_iter().any(|queued| writes(turn.engine.registry.row(queued.row)))
            }
            _ => writes(row),
        };
        if is_write {
            return Some(READ_ONLY);
        }
    }
    let stale = !turn.lp.live.settings.replica.serve_stale && !turn.engine.following.is_linked();
    let runs_stale = |row: &Row| row.spec.flags.contains(Flags::STALE);
    let queue = turn.session.multi.iter().flat_map(|multi| &multi.queue);
    let mut queued = queue.map(|queued| turn.engine.registry.row(queued.row));
    let may_run = match row.spec.name {
        // It has become stale since they were queued.
        "exec" => queued.all(runs_stale),
        _ => runs_stale(row),
    };
    if stale && !may_run {
        // What writes is told so above; the rest must not read.
        debug_assert!(!turn.lp.is_read_only() || !may_write(turn, row, args) || !writes(row));
        return Some(MASTER_DOWN);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_for_an_older_primary_is_void() {
        let following = Following::new(2);
        assert!(!following.is_on() && following.primary().is_none());
        following.follow(Primary { host: "a".into(), port: 1 });
        let version = following.version();
        assert!(following.is_on() && !following.is_linked());
        assert!(!following.all_loops_know(version));
        following.loop_knows(0, version);
        following.loop_knows(1, version);
        assert!(following.all_loops_know(version));
        following.show(version, |view| view.state = LinkState::Connected);
        assert!(following.is_linked() && following.begin_batch(version).is_some());
        following.follow(Primary { host: "b".into(), port: 2 });
        assert!(!following.is_linked() && following.begin_batch(version).is_none());
        following.show(version, |view| view.state = LinkState::Connected);
        assert!(!following.is_linked());
        let (primary, later) = following.await_change(version, Duration::ZERO);
        assert_eq!(primary.map(|primary| primary.port), Some(2));
        assert!(later > version);
    }
}
