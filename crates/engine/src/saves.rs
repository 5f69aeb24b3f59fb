//! What is known of snapshots: when the last one was taken, whether it worked, whether one is under way.
//!
//! The process takes them ([`crate::engine::Host`]); commands, INFO and the gate look here.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::engine::Engine;

/// See the module's head.
#[derive(Debug, Default)]
pub struct Saves {
    state: Mutex<State>,
    /// One is under way: whoever sets it takes it.
    under_way: AtomicBool,
    /// The one under way is to be given up.
    cancelled: AtomicBool,
    /// The last one in the background failed.
    failed: AtomicBool,
    /// Why the append-only file cannot be written.
    aof_error: Mutex<Option<String>>,
    aof_failed: AtomicBool,
    /// When it was last said that a replica goes on in spite of that, in Unix milliseconds.
    complained_ms: AtomicI64,
}

/// See [`Saves::state`].
#[derive(Debug, Clone, Default)]
pub struct State {
    /// When the last good one ended, in Unix seconds.
    pub last_s: i64,
    /// How long the last one in the background took, in seconds; none: there was none.
    pub took_s: Option<i64>,
    /// When the one under way began, in Unix seconds.
    pub began_s: i64,
    /// The count of changes at the last good one's cut.
    pub dirty: u64,
    /// Good ones since the start.
    pub count: u64,
    /// The one under way goes into the file, in the background.
    pub is_background: bool,
    /// One is to be taken as soon as it can be.
    pub scheduled: bool,
    /// When the last attempt was made, in Unix seconds.
    pub tried_s: i64,
    /// Keys that the start loaded.
    pub loaded_keys: u64,
    /// Keys that the start found expired.
    pub expired_keys: u64,
    /// A rewrite of the append-only file is to be made as soon as it can be.
    pub rewrite_scheduled: bool,
    /// The one under way is a rewrite.
    pub is_rewrite: bool,
    /// How long the last rewrite took, in seconds; none: there was none.
    pub rewrite_took_s: Option<i64>,
    /// The last rewrite failed.
    pub rewrite_failed: bool,
    /// Good rewrites since the start.
    pub rewrites: u64,
    /// Of backups.
    pub backup: Backup,
}

/// What is known of backups: see [`State`].
#[derive(Debug, Clone, Default)]
pub struct Backup {
    /// A destination is configured.
    pub enabled: bool,
    /// One is being taken, sent or checked.
    pub in_progress: bool,
    /// When the newest good one was taken, in Unix seconds; 0 for none.
    pub last_s: i64,
    /// Its bytes; 0 when it is of an earlier run.
    pub last_bytes: u64,
    /// Where it is.
    pub last_url: String,
    /// Why the last attempt failed; empty when it did not.
    pub error: String,
    /// When the next one is due, in Unix seconds; 0 for never.
    pub next_s: i64,
}

impl Saves {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known, as of now.
    pub fn state(&self) -> State {
        self.lock().clone()
    }

    /// Changes what is known.
    pub fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
    }

    /// Claims the right to take a snapshot; false when one is under way.
    pub fn begin(&self, now_s: i64) -> bool {
        if self.under_way.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.cancelled.store(false, Ordering::Release);
        self.change(|state| {
            (state.began_s, state.tried_s, state.scheduled) = (now_s, now_s, false);
            state.is_background = false;
        });
        true
    }

    /// Claims the right for a snapshot that goes elsewhere, of which only the time of its beginning is noted;
    /// false, too, when one that clients asked for waits for its turn.
    pub fn begin_beside(&self, now_s: i64) -> bool {
        if self.lock().scheduled || self.under_way.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.cancelled.store(false, Ordering::Release);
        self.change(|state| (state.began_s, state.is_background) = (now_s, false));
        true
    }

    /// Claims the right to take a snapshot for replicas: one that is scheduled for the file stays so.
    pub fn begin_transfer(&self, now_s: i64) -> bool {
        if self.under_way.swap(true, Ordering::AcqRel) {
            return false;
        }
        self.cancelled.store(false, Ordering::Release);
        self.change(|state| state.began_s = now_s);
        true
    }

    /// The snapshot under way has ended; `dirty` is the count of changes at its cut if it is good.
    pub fn end(&self, now_s: i64, dirty: Option<u64>, background: bool) {
        self.change(|state| {
            state.is_background = false;
            if background {
                state.took_s = Some(now_s - state.began_s);
            }
            if let Some(dirty) = dirty {
                (state.last_s, state.dirty) = (now_s, dirty);
                state.count += 1;
            }
        });
        let cancelled = self.cancelled.load(Ordering::Acquire);
        if dirty.is_some() || (background && !cancelled) {
            self.failed.store(dirty.is_none(), Ordering::Relaxed);
        }
        self.under_way.store(false, Ordering::Release);
    }

    /// Claims the right for a rewrite of the append-only file.
    pub fn begin_rewrite(&self, now_s: i64) -> bool {
        if !self.begin(now_s) {
            return false;
        }
        self.change(|state| (state.is_rewrite, state.rewrite_scheduled) = (true, false));
        true
    }

    /// A rewrite has ended.
    pub fn rewrite_ended(&self, now_s: i64, good: bool) {
        self.change(|state| {
            state.is_rewrite = false;
            state.rewrite_took_s = Some(now_s - state.began_s);
            state.rewrite_failed = !good;
            state.rewrites += u64::from(good);
        });
        self.under_way.store(false, Ordering::Release);
    }

    /// Why the append-only file cannot be written, if it cannot.
    pub fn aof_error(&self) -> Option<String> {
        if !self.aof_failed.load(Ordering::Relaxed) {
            return None;
        }
        self.aof_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The append-only file cannot be written.
    pub fn aof_fails(&self, why: &str) {
        *self.aof_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
        self.aof_failed.store(true, Ordering::Relaxed);
    }

    /// The append-only file can be written.
    #[inline]
    pub fn aof_works(&self) {
        if self.aof_failed.load(Ordering::Relaxed) {
            self.aof_failed.store(false, Ordering::Relaxed);
        }
    }

    /// Whether something may keep writes from being accepted: a cheap look before a closer one.
    #[inline]
    pub fn has_trouble(&self) -> bool {
        self.has_failed() || self.aof_failed.load(Ordering::Relaxed)
    }

    /// Whether a replica that goes on without its disk is to say so: every ten seconds.
    pub(crate) fn is_time_to_complain(&self, now_ms: i64) -> bool {
        const EVERY_MS: i64 = 10_000;
        let is_time = now_ms - self.complained_ms.load(Ordering::Relaxed) >= EVERY_MS;
        if is_time {
            self.complained_ms.store(now_ms, Ordering::Relaxed);
        }
        is_time
    }

    /// Whether one is under way.
    pub fn is_under_way(&self) -> bool {
        self.under_way.load(Ordering::Acquire)
    }

    /// Whether the last one in the background failed.
    #[inline]
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Gives the one under way up if it goes into the file in the background.
    pub fn cancel_background(&self) {
        if self.is_under_way() && self.lock().is_background {
            self.cancel();
        }
    }

    /// Gives a rewrite under way up; false when there is none.
    pub fn cancel_rewrite(&self) -> bool {
        let is_rewrite = self.is_under_way() && self.lock().is_rewrite;
        if is_rewrite {
            self.cancel();
        }
        is_rewrite
    }

    /// Gives the one under way up.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    /// Whether the one under way is given up.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Changes since the last good one.
    pub fn dirty(&self, engine: &Engine) -> u64 {
        engine.all_stats().dirty.saturating_sub(self.lock().dirty)
    }
}
