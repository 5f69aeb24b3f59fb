//! A database's side of a snapshot: capturing entries before they change, the walk over the rest, and what
//! becomes of values that are captured in parts. See [`crate::snapshot`].

use std::sync::Arc;

use ochre_types::arena::Ref;
use ochre_types::capture::{Remains, Step};
use ochre_types::table::{Slot, prefetch};
use ochre_types::value::Value;

use super::{Blocks, Db};
use crate::entry::{Entry, Kind, mark_of, set_mark};
use crate::shard::DbIndex;
use crate::snapshot::{By, Next, Place, Shared, Ticket, Walk};

/// Bytes that the walk captures under one hold: some 10 us.
const WALK_BYTES: usize = 32 << 10;
/// What it takes a large value for: a page, or the beginning of a capture in parts.
const OBJECT_BYTES: usize = 4 << 10;

impl Db {
    /// The cut of a snapshot: every entry there is now will be given to `capture`, as it is now. An empty
    /// database has nothing to give.
    pub(crate) fn begin_walk(&mut self, index: DbIndex, shared: &Arc<Shared>) {
        if !self.is_empty() {
            self.mark = !self.mark;
            self.walk = Some(Box::new(Walk::new(index, Arc::clone(shared))));
        }
    }

    /// Whether entries of the cut are still to be captured.
    pub fn is_walked(&self) -> bool {
        self.walk.is_some()
    }

    /// Captures the entry at `slot` before it changes, if that has not been done.
    #[inline]
    pub(super) fn capture(&mut self, slot: Slot) {
        if self.walk.is_some() {
            self.capture_value(self.table.value(slot), By::Change);
        }
    }

    #[cold]
    pub(super) fn capture_value(&mut self, value: u32, by: By) {
        let block = Ref::from_raw(value);
        if mark_of(self.arena.bytes(block)) == self.mark {
            return;
        }
        if let Some(walk) = &self.walk
            && walk.shared.capture.is_wanted()
        {
            let entry = Entry::parse(self.arena.bytes(block));
            let object = (entry.kind == Kind::Object).then(|| entry.object());
            let head = object.and_then(|object| {
                self.objects.slots.get_mut(object as usize)?.as_mut()?.begin_capture()
            });
            if let (Some(object), Some(head)) = (object, head) {
                let ticket = Ticket::new(&walk.shared, walk.db, &entry, head);
                self.opens.get_or_insert_default().insert(object, ticket);
            } else {
                walk.shared.capture.take(walk.db, &entry, self.stored(&entry), by);
            }
        }
        set_mark(self.arena.bytes_mut(block), self.mark);
    }

    /// Captures some more entries, about `count` of them or fewer large ones; false when there are no more.
    pub fn walk(&mut self, count: usize) -> bool {
        let Some(walk) = &self.walk else { return false };
        let (mut cursor, mut found) = (walk.cursor, Vec::with_capacity(count + 16));
        let mut bytes = 0;
        self.table.fetch_ahead(cursor, |value| {
            self.arena.bytes(Ref::from_raw(value)).first().into_iter().for_each(prefetch);
        });
        while found.len() < count && bytes < WALK_BYTES {
            cursor = self.table.scan(cursor, Blocks(&self.arena), |value| {
                let entry = self.entry_of(value);
                bytes += entry.size + if entry.kind == Kind::Object { OBJECT_BYTES } else { 0 };
                found.push(value);
            });
            if cursor == 0 {
                break;
            }
        }
        for value in found {
            self.capture_value(value, By::Walk);
        }
        match (&mut self.walk, cursor) {
            (Some(walk), 1..) => {
                walk.cursor = cursor;
                true
            }
            _ => {
                self.walk = None;
                false
            }
        }
    }

    /// Any open key of this database, which is the one at position `db` of its shard.
    pub(crate) fn next_open(&mut self, db: usize) -> Option<Next> {
        let next = self.opens.as_mut()?.next(db);
        self.forget_opens();
        next
    }

    /// The open key of a ticket, if it is here.
    pub(crate) fn find_open(&mut self, db: usize, ticket: &Arc<Ticket>) -> Option<Next> {
        let found = self.opens.as_mut()?.find(db, ticket);
        self.forget_opens();
        found
    }

    /// The value that lies at a place with this ticket.
    fn open_value(&mut self, place: Place, ticket: &Arc<Ticket>) -> Option<&mut Value> {
        let is_open = self.opens.as_ref().is_some_and(|opens| opens.has(place.object, ticket));
        let value = self.objects.slots.get_mut(place.object as usize).filter(|_| is_open)?;
        value.as_mut()
    }

    /// The next part of an open value, if it is still there.
    pub(crate) fn step(&mut self, place: Place, ticket: &Arc<Ticket>) -> Option<Step> {
        let step = self.open_value(place, ticket)?.capture_step();
        if step.is_last {
            self.opens.as_mut()?.remove(place.object);
            self.forget_opens();
        }
        Some(step)
    }

    /// Gives an open value up, if it is still there.
    pub(crate) fn end_open(&mut self, place: Place, ticket: &Arc<Ticket>) -> Option<Vec<Remains>> {
        let remains = self.open_value(place, ticket)?.end_capture();
        self.opens.as_mut()?.remove(place.object);
        self.forget_opens();
        Some(remains)
    }

    /// Takes all open values out of a database that nobody reads any more.
    pub(crate) fn take_open_values(&mut self) -> Vec<(Arc<Ticket>, Value)> {
        let Some(mut opens) = self.opens.take() else { return Vec::new() };
        for object in opens.objects() {
            if let (Some(ticket), Some(value)) = (opens.remove(object), self.objects.take(object)) {
                opens.taken.push((ticket, value));
            }
        }
        opens.taken
    }

    pub(super) fn forget_opens(&mut self) {
        if self.opens.as_ref().is_some_and(|opens| opens.is_empty()) {
            self.opens = None;
        }
    }

    /// Takes a large value out, to be freed; one that is open waits for the walker instead.
    #[inline]
    pub(super) fn take_object(&mut self, index: u32) -> Option<Value> {
        let value = self.objects.take(index);
        let Some(opens) = &mut self.opens else { return value };
        match (opens.remove(index), value) {
            (Some(ticket), Some(value)) => {
                opens.taken.push((ticket, value));
                None
            }
            (_, value) => value,
        }
    }
}
