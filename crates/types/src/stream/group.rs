//! A consumer group: how far it has read, who reads, and what was delivered but not acknowledged.
//!
//! ```text
//! Group     last_id, entries_read
//!           pending    id -> Pending { delivered_ms, deliveries, owner }     (the PEL)
//!           consumers  slab of Consumer { name, times, ids it owns }
//!           names      name -> slab index, in the order of names
//!           by_time    (delivered_ms, id), from the first time that somebody claims by age on
//! ```
//!
//! Invariants: an id stands in a consumer's set exactly when the pending entry names it as owner, and
//! in `by_time`, when that is there, with its time. An entry may be pending that the stream does not
//! hold any more. All operations are O(log n) in pending entries and consumers.
//!
//! Source: Redis 7.2, "Streams", consumer groups; Redis 8.8 for entries without owner (XNACK).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use super::capture::PendingById;
use super::id::StreamId;
use crate::capture::Capture;

/// A consumer's number within its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerId(u32);

impl ConsumerId {
    /// The number itself.
    pub fn number(self) -> u32 {
        self.0
    }
}

/// An entry that was delivered and not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pending {
    /// When it was last delivered, in Unix milliseconds; 0 when it was given back.
    pub delivered_ms: i64,
    /// How often it was delivered.
    pub deliveries: i64,
    /// Who has it; nobody when it was given back.
    pub owner: Option<ConsumerId>,
}

/// A consumer of a group.
#[derive(Debug, Clone)]
pub struct Consumer {
    name: Box<[u8]>,
    /// When it last tried to read or claim, in Unix milliseconds.
    pub seen_ms: i64,
    /// When it last got something, in Unix milliseconds; -1: never.
    pub active_ms: i64,
    pending: BTreeSet<StreamId>,
}

impl Consumer {
    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Entries it has not acknowledged.
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// Their ids from `start` on, ascending.
    pub fn pending_from(&self, start: StreamId) -> impl Iterator<Item = StreamId> + '_ {
        self.pending.range(start..).copied()
    }
}

/// A consumer group. See the module's head.
#[derive(Debug, Clone, Default)]
pub struct Group {
    /// The last entry that was delivered.
    pub last_id: StreamId,
    /// How many entries of the stream's life were read up to `last_id`; none when that is unknown.
    pub entries_read: Option<i64>,
    pending: BTreeMap<StreamId, Pending>,
    consumers: Vec<Option<Consumer>>,
    names: BTreeMap<Box<[u8]>, ConsumerId>,
    by_time: Option<BTreeSet<(i64, StreamId)>>,
    pub(super) capture: Capture<PendingById>,
}

impl Group {
    /// A group that has read up to `last_id`.
    pub fn new(last_id: StreamId, entries_read: Option<i64>) -> Self {
        Self { last_id, entries_read, ..Self::default() }
    }

    /// The consumer with a name.
    pub fn find(&self, name: &[u8]) -> Option<ConsumerId> {
        self.names.get(name).copied()
    }

    /// A consumer by its number.
    pub fn consumer(&self, id: ConsumerId) -> Option<&Consumer> {
        self.consumers.get(id.0 as usize)?.as_ref()
    }

    /// The same, to note its times.
    pub fn consumer_mut(&mut self, id: ConsumerId) -> Option<&mut Consumer> {
        self.consumers.get_mut(id.0 as usize)?.as_mut()
    }

    /// Makes a consumer; false when there is one of that name.
    pub fn add_consumer(&mut self, name: &[u8], seen_ms: i64) -> (ConsumerId, bool) {
        if let Some(id) = self.find(name) {
            return (id, false);
        }
        let consumer =
            Some(Consumer { name: name.into(), seen_ms, active_ms: -1, pending: BTreeSet::new() });
        // Holes are few: consumers are removed by hand, one by one.
        let at = match self.consumers.iter().position(Option::is_none) {
            Some(hole) if self.consumers.len() > self.names.len() => {
                self.consumers[hole] = consumer;
                hole
            }
            _ => {
                self.consumers.push(consumer);
                self.consumers.len() - 1
            }
        };
        let id = ConsumerId(at as u32);
        self.names.insert(name.into(), id);
        (id, true)
    }

    /// Removes a consumer with all that it has not acknowledged; gives how many entries that was.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let id = self.names.remove(name)?;
        let consumer = self.consumers.get_mut(id.0 as usize)?.take()?;
        for entry in &consumer.pending {
            let Some(old) = self.pending.remove(entry) else { continue };
            if let Some(capture) = &mut self.capture.0 {
                capture.keep(*entry, Some(old));
            }
            if let Some(times) = &mut self.by_time {
                times.remove(&(old.delivered_ms, *entry));
            }
        }
        Some(consumer.pending.len())
    }

    /// Consumers in the order of their names.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = (ConsumerId, &Consumer)> {
        // Every number in `names` has its consumer.
        let known = self.names.values().filter_map(|&id| Some((id, self.consumer(id)?)));
        known.collect::<Vec<_>>().into_iter()
    }

    /// Entries that are pending.
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// What is known of a pending entry.
    pub fn pending(&self, id: StreamId) -> Option<&Pending> {
        self.pending.get(&id)
    }

    /// Pending entries of a range of ids, ascending.
    pub fn pending_in(
        &self,
        range: RangeInclusive<StreamId>,
    ) -> impl DoubleEndedIterator<Item = (StreamId, &Pending)> {
        // BTreeMap::range refuses a range that ends before it begins.
        let range =
            if range.start() <= range.end() { range } else { StreamId::MAX..=StreamId::MAX };
        let wanted = range.clone();
        self.pending
            .range(range)
            .filter(move |(id, _)| wanted.contains(id))
            .map(|(id, pending)| (*id, pending))
    }

    /// Notes an entry as pending, or changes what is known of it, its owner included.
    pub fn pend(&mut self, id: StreamId, now: Pending) {
        let old = self.pending.insert(id, now);
        if let Some(capture) = &mut self.capture.0 {
            capture.keep(id, old);
        }
        let old_owner = old.and_then(|old| old.owner);
        if old_owner != now.owner {
            if let Some(consumer) = old_owner.and_then(|owner| self.consumer_mut(owner)) {
                consumer.pending.remove(&id);
            }
            if let Some(consumer) = now.owner.and_then(|owner| self.consumer_mut(owner)) {
                consumer.pending.insert(id);
            }
        }
        if let Some(times) = &mut self.by_time {
            if let Some(old) = old {
                times.remove(&(old.delivered_ms, id));
            }
            times.insert((now.delivered_ms, id));
        }
    }

    /// Removes a pending entry: it was acknowledged, or is gone. False when it is not pending.
    pub fn acknowledge(&mut self, id: StreamId) -> bool {
        let Some(old) = self.pending.remove(&id) else { return false };
        if let Some(capture) = &mut self.capture.0 {
            capture.keep(id, Some(old));
        }
        if let Some(consumer) = old.owner.and_then(|owner| self.consumer_mut(owner)) {
            consumer.pending.remove(&id);
        }
        if let Some(times) = &mut self.by_time {
            times.remove(&(old.delivered_ms, id));
        }
        true
    }

    /// Removes all pending entries of a range of ids.
    pub(super) fn acknowledge_range(&mut self, range: RangeInclusive<StreamId>) {
        let ids: Vec<StreamId> = self.pending_in(range).map(|(id, _)| id).collect();
        for id in ids {
            self.acknowledge(id);
        }
    }

    /// Up to `count` pending entries that were last delivered at `latest_ms` or before, the longest
    /// ago first. The index that this needs is built by the first call: O(n log n), then O(count).
    pub fn oldest(&mut self, latest_ms: i64, count: usize) -> Vec<StreamId> {
        let pending = &self.pending;
        let times = self.by_time.get_or_insert_with(|| {
            pending.iter().map(|(id, pending)| (pending.delivered_ms, *id)).collect()
        });
        let due = times.range(..=(latest_ms, StreamId::MAX));
        due.take(count).map(|&(_, id)| id).collect()
    }

    /// Whether [`Group::oldest`] would find any; false before its first call.
    pub fn has_due(&self, latest_ms: i64) -> bool {
        let oldest = self.by_time.as_ref().and_then(|times| times.first());
        oldest.is_some_and(|(ms, _)| *ms <= latest_ms)
    }

    /// Whether an entry is still to be delivered to this group, or delivered and not acknowledged.
    pub fn needs(&self, id: StreamId) -> bool {
        id > self.last_id || self.pending.contains_key(&id)
    }

    /// Heap bytes held, about: tree nodes are taken to be two thirds full.
    pub fn heap_bytes(&self) -> usize {
        let entry = size_of::<(StreamId, Pending)>() + size_of::<StreamId>();
        let times = self.by_time.as_ref().map_or(0, |times| times.len() * 24);
        let names: usize = self.names.keys().map(|name| 2 * name.len() + 24).sum();
        let slab = self.consumers.capacity() * size_of::<Option<Consumer>>();
        (self.pending.len() * entry + times) * 3 / 2 + names + slab
    }
}
