//! Keys whose values are captured in parts.
//!
//! When a change or the walker first meets a large collection of the cut, the value notes where it stands
//! and its key is *open* until the walker has taken all of it. A [`Ticket`] says what the key was at the cut;
//! it goes with the value:
//!
//! ```text
//! live    object index -> ticket     the value lies under a key, maybe another than at the cut (RENAME)
//! taken   (ticket, value)            it was deleted, overwritten, emptied, expired, evicted: instead of
//!                                    being freed it waits here for the walker, which frees it
//! ```
//!
//! On its way from one key to another (`Detached`) the value has its ticket with it. A flush moves what is
//! open out of the database into its shard.
//!
//! Invariants: a value has a capture under way exactly while a ticket goes with it; each ticket is closed
//! by the walker. One that is dropped otherwise has lost its value: the snapshot is given up, for it
//! would not be whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ochre_base::clock::Millis;
use ochre_types::capture::Head;
use ochre_types::value::Value;

use super::Shared;
use crate::shard::DbIndex;

/// A key that is captured in parts: what it was at the cut.
pub struct Ticket {
    /// The database that it was in.
    pub db: DbIndex,
    /// Its name.
    pub key: Box<[u8]>,
    /// Its expiry in Unix milliseconds.
    pub expiry: Option<Millis>,
    /// Its access clock.
    pub access: u32,
    /// What stands before the elements.
    pub head: Head,
    shared: Arc<Shared>,
    is_closed: AtomicBool,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Ticket {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        db: DbIndex,
        entry: &crate::entry::Entry<'_>,
        head: Head,
    ) -> Arc<Self> {
        shared.open.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self {
            db,
            key: entry.key.into(),
            expiry: entry.expiry,
            access: entry.access,
            head,
            shared: Arc::clone(shared),
            is_closed: AtomicBool::new(false),
        })
    }

    /// All of the value was taken.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !*self.is_closed.get_mut() && self.shared.capture.is_wanted() {
            self.shared.capture.give_up();
        }
        self.shared.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where the value of an open key lies: the position of its database in the shard, and its index there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) db: usize,
    pub(crate) object: u32,
}

/// An open key for the walker to close.
#[derive(Debug)]
pub(crate) enum Next {
    /// Nobody else has the value any more.
    Taken(Arc<Ticket>, Value),
    /// It lies under a key.
    Live(Arc<Ticket>, Place),
}

/// The open keys of a database. See the file's head.
#[derive(Debug, Default)]
pub(crate) struct Opens {
    live: BTreeMap<u32, Arc<Ticket>>,
    pub(crate) taken: Vec<(Arc<Ticket>, Value)>,
}

impl Opens {
    pub(crate) fn is_empty(&self) -> bool {
        self.live.is_empty() && self.taken.is_empty()
    }

    pub(crate) fn insert(&mut self, object: u32, ticket: Arc<Ticket>) {
        self.live.insert(object, ticket);
    }

    /// The object goes elsewhere, with its ticket if it has one.
    pub(crate) fn remove(&mut self, object: u32) -> Option<Arc<Ticket>> {
        self.live.remove(&object)
    }

    pub(crate) fn has(&self, object: u32, ticket: &Arc<Ticket>) -> bool {
        self.live.get(&object).is_some_and(|known| Arc::ptr_eq(known, ticket))
    }

    /// Any open key.
    pub(crate) fn next(&mut self, db: usize) -> Option<Next> {
        if let Some((ticket, value)) = self.taken.pop() {
            return Some(Next::Taken(ticket, value));
        }
        let (object, ticket) = self.live.first_key_value()?;
        Some(Next::Live(Arc::clone(ticket), Place { db, object: *object }))
    }

    /// The open key of a ticket.
    pub(crate) fn find(&mut self, db: usize, ticket: &Arc<Ticket>) -> Option<Next> {
        let is_it = |(known, _): &(Arc<Ticket>, Value)| Arc::ptr_eq(known, ticket);
        if let Some(at) = self.taken.iter().position(is_it) {
            let (ticket, value) = self.taken.swap_remove(at);
            return Some(Next::Taken(ticket, value));
        }
        let (object, ticket) = self.live.iter().find(|(_, known)| Arc::ptr_eq(known, ticket))?;
        Some(Next::Live(Arc::clone(ticket), Place { db, object: *object }))
    }

    /// The numbers of all objects that are open.
    pub(crate) fn objects(&self) -> Vec<u32> {
        self.live.keys().copied().collect()
    }
}
