//! Keys that are being moved: commands that may write them wait.
//!
//! One count that the gate looks at, and behind it a map from the names of held keys to how many moves
//! hold them. Names stand for the key in every database: a command that names another database (COPY,
//! MOVE, a SELECT in a transaction) is then held too, which costs it a wait and nothing else. Length: the
//! keys of [`super::AT_ONCE`] commands. A command that waits is tried again when a move ends.
//!
//! The map is a leaf among the locks: nothing is locked while it is.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ochre_command::keys::each_key;
use ochre_command::spec::{Flags, Group, KeyFlags};

use super::AT_ONCE;
use crate::engine::Engine;
use crate::gate::may_write;
use crate::mailbox::Message;
use crate::registry::Row;
use crate::turn::Turn;

/// See the module's head.
#[derive(Debug, Default)]
pub struct Migrations {
    under_way: AtomicUsize,
    /// Moves that hold keys.
    holding: AtomicUsize,
    held: Mutex<BTreeMap<Box<[u8]>, usize>>,
}

/// The keys that one move holds. It has to be given back ([`Migrations::end`]).
#[derive(Debug)]
pub(super) struct Hold(Vec<Box<[u8]>>);

impl Migrations {
    fn map(&self) -> MutexGuard<'_, BTreeMap<Box<[u8]>, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether any key is held.
    #[inline]
    pub fn hold_any(&self) -> bool {
        self.holding.load(Ordering::Acquire) > 0
    }

    /// Holds keys; none when too many moves are under way.
    pub(super) fn begin(&self, names: Vec<Box<[u8]>>) -> Option<Hold> {
        if self.under_way.fetch_add(1, Ordering::AcqRel) >= AT_ONCE {
            self.under_way.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        let mut held = self.map();
        for name in &names {
            *held.entry(name.clone()).or_default() += 1;
        }
        drop(held);
        if !names.is_empty() {
            self.holding.fetch_add(1, Ordering::AcqRel);
        }
        Some(Hold(names))
    }

    /// Lets them go, and has the loops look after the clients that waited.
    pub(super) fn end(&self, engine: &Engine, hold: &mut Hold) {
        self.under_way.fetch_sub(1, Ordering::AcqRel);
        let names = std::mem::take(&mut hold.0);
        if names.is_empty() {
            return;
        }
        let mut held = self.map();
        for name in &names {
            if let Some(count) = held.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    held.remove(name);
                }
            }
        }
        drop(held);
        self.holding.fetch_sub(1, Ordering::AcqRel);
        engine.tell_all(|| Message::LookAround);
    }
}

/// Whether a command may write a key that is held: it waits then.
#[cold]
pub(crate) fn touches(turn: &Turn<'_>, row: &Row, args: &[&[u8]]) -> bool {
    if !may_write(turn, row, args) {
        return false;
    }
    let held = turn.engine.migrations.map();
    if row.spec.name != "exec" {
        return names_held(&held, row, args);
    }
    let queue = turn.session.multi.iter().flat_map(|multi| &multi.queue);
    queue.into_iter().any(|queued| {
        let args: Vec<&[u8]> = queued.args.iter().map(Vec::as_slice).collect();
        names_held(&held, turn.engine.registry.row(queued.row), &args)
    })
}

fn names_held(held: &BTreeMap<Box<[u8]>, usize>, row: &Row, args: &[&[u8]]) -> bool {
    // A script may write keys that it does not declare.
    let anywhere = row.spec.flags.contains(Flags::WRITE.union(Flags::ALL_KEYS));
    if anywhere || row.spec.group == Group::Scripting {
        return !held.is_empty();
    }
    let mut found = false;
    each_key(&row.spec, args, |at, flags| {
        found |= !flags.contains(KeyFlags::NOT_KEY) && held.contains_key(args[at]);
    });
    found
}
