//! Removing entries: one by one, and from the old end.
//!
//! Trimming goes block by block while a whole block may go, and then, unless it is approximate, entry
//! by entry. So an approximate trim costs O(blocks), and leaves what the peers leave. What consumer
//! groups still refer to is kept, forgotten or respected ([`References`]).

use super::id::StreamId;
use super::{Block, Stream};

/// What remains after a trim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// So many entries at most.
    Count(u64),
    /// Entries from this id on.
    From(StreamId),
}

/// What becomes of consumer groups' references to entries that are to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum References {
    /// They stay, and refer to nothing.
    #[default]
    Keep,
    /// They go as well.
    Remove,
    /// An entry that a group has still to read or to acknowledge stays.
    Respect,
}

/// A trim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trim {
    /// What remains.
    pub bound: Bound,
    /// Only whole blocks go.
    pub approximate: bool,
    /// Most entries that may go when it is approximate; 0 for no limit.
    pub limit: u64,
    /// References to what goes.
    pub references: References,
}

/// What a trim did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trimmed {
    /// Entries removed.
    pub count: u64,
    /// Where a trim with [`References::Respect`] stopped: an exact one up to this id does the same.
    /// None when what went is a prefix.
    pub looked_before: Option<StreamId>,
}

/// What became of an entry that was to be deleted with respect for references.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// There was none.
    Absent,
    /// It is gone.
    Gone,
    /// It is still referred to.
    Referenced,
}

impl Stream {
    /// Deletes an entry. What groups know of it stays. O(log n), and one block.
    pub fn delete(&mut self, id: StreamId) -> bool {
        let Some((&master, block)) = self.blocks.range_mut(..=id).next_back() else { return false };
        let Some(place) = block.find(id).filter(|place| !place.deleted) else { return false };
        if let Some(capture) = &mut self.capture.0 {
            capture.keep(block);
        }
        block.kill(&place);
        if block.live() == 0 {
            self.blocks.remove(&master);
        }
        self.len -= 1;
        self.max_deleted_id = self.max_deleted_id.max(id);
        if id == self.first_id || self.len == 0 {
            self.find_first();
        }
        true
    }

    /// Deletes an entry and does with references what is said. O(groups log n) besides.
    pub fn delete_with(&mut self, id: StreamId, references: References) -> Deleted {
        match references {
            References::Keep => {}
            References::Remove => self.forget_range(id, id),
            References::Respect if !self.contains(id) => return Deleted::Absent,
            References::Respect if self.groups.is_empty() => return Deleted::Referenced,
            References::Respect if self.is_needed(id) => return Deleted::Referenced,
            References::Respect => {}
        }
        if self.delete(id) { Deleted::Gone } else { Deleted::Absent }
    }

    /// Whether a group has still to read an entry, or to acknowledge it.
    pub fn is_needed(&self, id: StreamId) -> bool {
        self.groups.values().any(|group| group.needs(id))
    }

    fn forget_range(&mut self, from: StreamId, to: StreamId) {
        for group in self.groups.values_mut() {
            group.acknowledge_range(from..=to);
        }
    }

    /// Removes old entries. O(blocks that go), and one block; with [`References::Respect`] O(entries
    /// looked at).
    pub fn trim(&mut self, trim: &Trim) -> Trimmed {
        let respect = trim.references == References::Respect && !self.groups.is_empty();
        let trimmed = if respect { self.trim_unneeded(trim) } else { self.trim_front(trim) };
        if trimmed.count > 0 {
            self.find_first();
        }
        trimmed
    }

    /// Whether all of a block may go.
    fn may_go(&self, block: &Block, bound: Bound) -> bool {
        match bound {
            Bound::Count(max) => {
                self.len.checked_sub(block.live() as u64).is_some_and(|n| n >= max)
            }
            Bound::From(id) => block.last_id() < id,
        }
    }

    fn is_within(&self, bound: Bound) -> bool {
        matches!(bound, Bound::Count(max) if self.len <= max)
    }

    fn trim_front(&mut self, trim: &Trim) -> Trimmed {
        let mut count = 0;
        let remove = trim.references == References::Remove;
        while !self.is_within(trim.bound)
            && let Some((&master, block)) = self.blocks.first_key_value()
        {
            let live = block.live() as u64;
            if trim.approximate && trim.limit > 0 && count + live > trim.limit {
                break;
            }
            if self.may_go(block, trim.bound) {
                let last = block.last_id();
                if remove {
                    self.forget_range(master, last);
                }
                self.drop_block(master);
                self.len -= live;
                count += live;
            } else {
                if !trim.approximate {
                    count += self.trim_block(master, trim, |_, _| true).0;
                }
                break;
            }
        }
        Trimmed { count, looked_before: None }
    }

    /// Removes the entries of one block that are out of bounds and that `choose` lets go. Gives how
    /// many, and the first entry within bounds.
    fn trim_block(
        &mut self,
        master: StreamId,
        trim: &Trim,
        choose: impl Fn(&Self, StreamId) -> bool,
    ) -> (u64, Option<StreamId>) {
        self.keep_block(master);
        let Some(mut block) = self.blocks.remove(&master) else { return (0, None) };
        let (mut at, mut count, mut stopped) = (block.first_at(), 0, None);
        while let Some(place) = block.place(at) {
            let done = match trim.bound {
                Bound::Count(max) => self.len <= max,
                Bound::From(id) => place.id >= id,
            };
            if done {
                stopped = Some(place.id);
                break;
            }
            at = place.next;
            if place.deleted || !choose(self, place.id) {
                continue;
            }
            if trim.references == References::Remove {
                self.forget_range(place.id, place.id);
            }
            block.kill(&place);
            self.len -= 1;
            count += 1;
        }
        if block.live() > 0 {
            self.blocks.insert(master, block);
        }
        (count, stopped)
    }

    /// Trims but for what groups need. An approximate trim looks at those blocks that might go whole.
    fn trim_unneeded(&mut self, trim: &Trim) -> Trimmed {
        let mut trimmed = Trimmed::default();
        let mut from = StreamId::MIN;
        while !self.is_within(trim.bound)
            && let Some((&master, block)) = self.blocks.range(from..).next()
        {
            let over = trim.limit > 0 && trimmed.count + block.live() as u64 > trim.limit;
            let whole = self.may_go(block, trim.bound);
            if trim.approximate && (over || !whole) {
                break;
            }
            let behind = block.last_id().next().unwrap_or(StreamId::MAX);
            let choose = |stream: &Self, id| !stream.is_needed(id);
            let (count, stopped) = self.trim_block(master, trim, choose);
            trimmed.count += count;
            from = stopped.unwrap_or(behind);
            if stopped.is_some() {
                break;
            }
        }
        trimmed.looked_before = Some(from);
        trimmed
    }

    fn find_first(&mut self) {
        self.first_id = self.first().map_or(StreamId::MIN, |entry| entry.id);
    }
}
