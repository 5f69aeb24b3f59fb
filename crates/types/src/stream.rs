//! A stream: entries of fields and values, ordered by id, and the groups that consume them.
//!
//! ```text
//! Stream   blocks  master id -> Block      up to `stream-node-max-entries` entries in one run of bytes
//!          groups  name -> Group           what each group has read, and not acknowledged
//!          len, last_id, first_id, max_deleted_id, entries_added
//!          idempotence                     which messages producers have added already
//! ```
//!
//! Appending writes behind the last block's bytes; a range finds its first block in the map and then
//! walks. See [`block`](Block) for the bytes of an entry, `group` for consumer groups, `trim` for
//! removal. A stream without entries is a value like any other: its key stays.
//!
//! Invariants: ids ascend over all blocks and are at most `last_id`; no block is without a live entry;
//! `len` is the sum of the blocks' live entries; `first_id` is that of the first live entry, or
//! [`StreamId::MIN`]; `entries_added` never falls.
//!
//! Costs for n entries in b blocks: append O(log b) amortised; look-up and deletion O(log b) and one
//! block; range O(log b), one block and what it gives; 2 small fields and values take about 16 bytes.
//!
//! For codecs: [`Stream::blocks`] with [`Block::listpack`], [`Stream::push_block`] with
//! [`Block::from_listpack`], the public counters, and [`Group`]'s `add_consumer` and `pend`.
//!
//! Source: Redis 7.2, "Streams"; the counters' rules were found by comparing with
//! redis-server 7.0.15 and Valkey 9.1.

mod block;
mod capture;
mod group;
mod id;
mod idempotence;
pub mod listpack;
mod range;
mod trim;

use std::collections::BTreeMap;

pub use self::block::{Block, BlockLimit, EntryRef, Pairs};
use self::capture::ById;
pub use self::group::{Consumer, ConsumerId, Group, Pending};
pub use self::id::{IdText, StreamId};
pub use self::idempotence::{Idempotence, message_id};
pub use self::range::{Order, Range};
pub use self::trim::{Bound, Deleted, References, Trim, Trimmed};
use crate::capture::Capture;

/// A stream. See the module's head.
#[derive(Debug, Clone, Default)]
pub struct Stream {
    blocks: BTreeMap<StreamId, Block>,
    groups: BTreeMap<Box<[u8]>, Group>,
    idempotence: Option<Box<Idempotence>>,
    capture: Capture<ById>,
    len: u64,
    first_id: StreamId,
    /// The highest id ever given: the next one is higher.
    pub last_id: StreamId,
    /// The highest id that was deleted (not trimmed).
    pub max_deleted_id: StreamId,
    /// Entries ever added.
    pub entries_added: u64,
}

impl Stream {
    /// An empty stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Entries.
    #[expect(clippy::len_without_is_empty, reason = "a stream without entries is not empty")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The id of the first entry; the lowest id when there is none.
    pub fn first_id(&self) -> StreamId {
        self.first_id
    }

    /// The id that an entry added at `now_ms` gets; none when there is none left.
    pub fn next_id(&self, now_ms: u64) -> Option<StreamId> {
        if now_ms > self.last_id.ms { Some(StreamId::new(now_ms, 0)) } else { self.last_id.next() }
    }

    /// Appends an entry. `pairs` are fields and values in turn. False when `id` is not higher than
    /// all before.
    pub fn append(&mut self, id: StreamId, pairs: &[&[u8]], limit: BlockLimit) -> bool {
        if id <= self.last_id {
            return false;
        }
        let fits = match self.blocks.last_entry() {
            Some(mut last) if last.get().has_room(limit, pairs) => {
                if let Some(capture) = &mut self.capture.0 {
                    capture.keep(last.get());
                }
                last.get_mut().push(id, pairs);
                true
            }
            Some(mut last) => {
                last.get_mut().close();
                false
            }
            None => false,
        };
        if !fits {
            let mut block = Block::new(id, pairs);
            block.push(id, pairs);
            if let Some(capture) = &mut self.capture.0 {
                capture.begins(id);
            }
            self.blocks.insert(id, block);
        }
        self.len += 1;
        self.entries_added += 1;
        self.last_id = id;
        if self.len == 1 {
            self.first_id = id;
        }
        true
    }

    /// Appends a block as it was read from a file, which has to come after all others; counts its
    /// entries. False, and nothing done, when it does not fit.
    pub fn push_block(&mut self, block: Block) -> bool {
        let behind =
            self.blocks.last_key_value().is_none_or(|(_, last)| last.last_id() < block.master());
        if !behind || block.live() == 0 {
            return false;
        }
        self.len += block.live() as u64;
        self.last_id = self.last_id.max(block.last_id());
        let is_first = self.blocks.is_empty();
        self.blocks.insert(block.master(), block);
        if is_first {
            self.first_id = self.first().map_or(StreamId::MIN, |entry| entry.id);
        }
        true
    }

    /// The blocks in order.
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = &Block> {
        self.blocks.values()
    }

    /// Nodes of the index over the blocks that the peers have: for XINFO. O(blocks).
    pub fn index_nodes(&self) -> u64 {
        range::index_nodes(&self.blocks)
    }

    /// The entry with an id.
    pub fn entry(&self, id: StreamId) -> Option<EntryRef<'_>> {
        let (_, block) = self.blocks.range(..=id).next_back()?;
        let place = block.find(id)?;
        (!place.deleted).then(|| block.entry(&place))
    }

    /// Whether there is an entry with this id.
    pub fn contains(&self, id: StreamId) -> bool {
        self.entry(id).is_some()
    }

    /// Entries with ids from `start` to `end`, both included.
    pub fn range(&self, start: StreamId, end: StreamId, order: Order) -> Range<'_> {
        Range::new(&self.blocks, start, end, order)
    }

    /// All entries.
    pub fn iter(&self) -> Range<'_> {
        self.range(StreamId::MIN, StreamId::MAX, Order::Ascending)
    }

    /// The first entry.
    pub fn first(&self) -> Option<EntryRef<'_>> {
        self.iter().next()
    }

    /// The last entry.
    pub fn last(&self) -> Option<EntryRef<'_>> {
        self.range(StreamId::MIN, StreamId::MAX, Order::Descending).next()
    }

    /// Makes a group; false when there is one of that name.
    pub fn add_group(&mut self, name: &[u8], group: Group) -> bool {
        if self.groups.contains_key(name) {
            return false;
        }
        self.groups.insert(name.into(), group);
        true
    }

    /// Removes a group with all it knows.
    pub fn remove_group(&mut self, name: &[u8]) -> bool {
        let Some((name, group)) = self.groups.remove_entry(name) else { return false };
        if let Some(capture) = &mut self.capture.0 {
            capture.take_group(name, group);
        }
        true
    }

    /// A group.
    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.groups.get(name)
    }

    /// A group, to be changed.
    pub fn group_mut(&mut self, name: &[u8]) -> Option<&mut Group> {
        self.groups.get_mut(name)
    }

    /// Groups in the order of their names.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&[u8], &Group)> {
        self.groups.iter().map(|(name, group)| (&**name, group))
    }

    /// What is remembered of producers' messages; none when no producer ever named one.
    pub fn idempotence(&self) -> Option<&Idempotence> {
        self.idempotence.as_deref()
    }

    /// The same, made when it is not there.
    pub fn idempotence_mut(&mut self) -> &mut Idempotence {
        self.idempotence.get_or_insert_default()
    }

    /// Whether an entry was deleted, not trimmed, from `start` on, as far as that is known: then a
    /// count that was right at `start` cannot be counted on from.
    fn has_gap_from(&self, start: StreamId) -> bool {
        self.len > 0 && self.max_deleted_id != StreamId::MIN && start <= self.max_deleted_id
    }

    /// How many entries of the stream's life came up to `id`; none when that cannot be told.
    pub fn count_up_to(&self, id: StreamId) -> Option<i64> {
        let added = self.entries_added as i64;
        if added == 0 {
            return Some(0);
        }
        if self.len == 0 && id <= self.last_id {
            return Some(added);
        }
        if id != StreamId::MIN && id < self.max_deleted_id {
            return None;
        }
        if id >= self.last_id {
            return (id == self.last_id).then_some(added);
        }
        if self.max_deleted_id == StreamId::MIN || self.max_deleted_id < self.first_id {
            let before = added.saturating_sub(self.len as i64);
            if id < self.first_id {
                return Some(before);
            }
            if id == self.first_id {
                return Some(before.saturating_add(1));
            }
        }
        None
    }

    /// How many entries a group has still to read; none when that cannot be told.
    pub fn lag(&self, group: &Group) -> Option<i64> {
        let added = self.entries_added as i64;
        if added == 0 {
            return Some(0);
        }
        let read = match group.entries_read {
            Some(read) if !self.has_gap_from(group.last_id) => Some(read),
            _ => self.count_up_to(group.last_id),
        };
        read.map(|read| added.saturating_sub(read))
    }

    /// What the count of entries read of a group that stands at `last_id` becomes when it reads `id`,
    /// the next entry.
    pub fn advance(
        &self,
        entries_read: Option<i64>,
        last_id: StreamId,
        id: StreamId,
    ) -> Option<i64> {
        // Whatever was trimmed lies before the first entry.
        let is_whole = last_id >= self.first_id && !self.has_gap_from(last_id);
        match entries_read {
            Some(read) if is_whole => Some(read.saturating_add(1)),
            old if self.entries_added == 0 => old,
            _ => self.count_up_to(id),
        }
    }

    /// Heap bytes held, this structure included; trees are taken to be two thirds full.
    pub fn heap_bytes(&self) -> usize {
        let block = size_of::<(StreamId, Block)>() * 3 / 2;
        let blocks: usize = self.blocks.values().map(|b| block + b.heap_bytes()).sum();
        let groups: usize = self
            .groups
            .iter()
            .map(|(name, g)| name.len() + size_of::<Group>() + g.heap_bytes())
            .sum();
        let seen =
            self.idempotence.as_ref().map_or(0, |i| size_of::<Idempotence>() + i.heap_bytes());
        size_of::<Self>() + blocks + groups + seen
    }

    /// About how many allocations dropping it gives back.
    pub fn free_effort(&self) -> usize {
        let pending: usize = self.groups.values().map(|group| group.pending_count() / 8 + 1).sum();
        self.blocks.len() + pending + 1
    }
}

#[cfg(test)]
mod tests;
