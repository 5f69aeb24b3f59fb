//! Capturing a stream: its blocks by their ids, then group after group with its pending entries by id.
//!
//! Blocks of then are those whose master is not above the last one of then; a block that is changed or
//! removed ahead of the walk is copied, or moved, to `early` first. A group keeps what changes of its
//! pending entries ahead of the walk in itself; one that is removed goes to `gone`, so that another of the
//! same name is not taken for it. Counters, names and times are small and noted when the capture begins.
//!
//! Costs: beginning O(consumers of all groups); a change O(log n) and for a block that is met for the
//! first time a copy of it.

use std::collections::BTreeMap;

use super::group::Group;
use super::id::StreamId;
use super::{Block, Stream};
use crate::capture::{Capture, ConsumerHead, GroupHead, Head, Part, Remains, Step, StreamHead};
use crate::capture::{STEP_BYTES, STEP_ELEMENTS};
use crate::stream::Pending;

/// A stream's capture. See the file's head.
#[derive(Debug)]
pub(super) struct ById {
    /// Where the walk over the blocks goes on; none when it is over.
    next: Option<StreamId>,
    /// Blocks of the stream that begin above it are none of then.
    last: StreamId,
    early: BTreeMap<StreamId, Block>,
    /// Groups still to be given, the next one last.
    groups: Vec<Box<[u8]>>,
    /// The first of them has been given but for pending entries.
    is_in_group: bool,
    /// Groups of then that were removed.
    gone: BTreeMap<Box<[u8]>, Group>,
}

impl ById {
    fn is_to_keep(&self, master: StreamId) -> bool {
        let ahead = self.next.is_some_and(|next| master >= next);
        ahead && master <= self.last && !self.early.contains_key(&master)
    }

    /// Before a block changes.
    #[cold]
    pub(super) fn keep(&mut self, block: &Block) {
        if self.is_to_keep(block.master()) {
            self.early.insert(block.master(), block.clone());
        }
    }

    /// Takes over a block that was removed.
    #[cold]
    pub(super) fn take(&mut self, block: Block) {
        if self.is_to_keep(block.master()) {
            self.early.insert(block.master(), block);
        }
    }

    /// A block begins that is none of then. All others have lower ids, but blocks that are gone may have
    /// had higher ones: XSETID lowers the last id of a stream without entries.
    pub(super) fn begins(&mut self, master: StreamId) {
        self.last = self.last.min(before(master));
    }

    /// Takes over a group that was removed.
    pub(super) fn take_group(&mut self, name: Box<[u8]>, group: Group) {
        if group.is_captured() {
            self.gone.insert(name, group);
        }
    }

    /// The next blocks, of then or unchanged since.
    fn blocks(&mut self, live: &BTreeMap<StreamId, Block>) -> Vec<Block> {
        let (mut given, mut bytes) = (Vec::new(), 0);
        while bytes < STEP_BYTES
            && let Some(next) = self.next
        {
            // BTreeMap::range refuses a range that ends before it begins.
            let unchanged = live.range(next..=self.last.max(next)).next();
            let unchanged = unchanged.filter(|(master, _)| **master <= self.last);
            let early = self.early.first_key_value().map(|(master, _)| *master);
            let block = match (unchanged, early) {
                // A block that was changed stands in both.
                (Some((master, _)), Some(early)) if early <= *master => self.early.pop_first(),
                (Some((master, block)), _) => Some((*master, block.clone())),
                (None, Some(_)) => self.early.pop_first(),
                (None, None) => None,
            };
            self.next = block.as_ref().and_then(|(master, _)| master.next());
            let Some((_, block)) = block else { break };
            bytes += block.heap_bytes();
            given.push(block);
        }
        given
    }
}

/// The capture of a group's pending entries.
#[derive(Debug, Default)]
pub(super) struct PendingById {
    /// Where the walk goes on; none when it is over.
    next: Option<StreamId>,
    /// What changed ahead of it: as it was, or that it was not there.
    early: BTreeMap<StreamId, Option<Pending>>,
    head: Option<Box<GroupHead>>,
}

impl PendingById {
    /// Before a pending entry changes, comes or goes.
    #[cold]
    pub(super) fn keep(&mut self, id: StreamId, old: Option<Pending>) {
        if self.next.is_some_and(|next| id >= next) {
            self.early.entry(id).or_insert(old);
        }
    }
}

/// The highest id below another; for the lowest one, itself, which no entry has.
fn before(id: StreamId) -> StreamId {
    match id.seq.checked_sub(1) {
        Some(seq) => StreamId { seq, ..id },
        None => {
            StreamId { ms: id.ms.saturating_sub(1), seq: if id.ms == 0 { 0 } else { u64::MAX } }
        }
    }
}

impl Group {
    /// The group as a file has it before its pending entries. O(consumers).
    pub fn head(&self, name: &[u8]) -> GroupHead {
        let consumers = self.consumers().map(|(id, consumer)| ConsumerHead {
            id,
            name: consumer.name().into(),
            seen_ms: consumer.seen_ms,
            active_ms: consumer.active_ms,
        });
        GroupHead {
            name: name.into(),
            last_id: self.last_id,
            entries_read: self.entries_read,
            pending: self.pending_count(),
            consumers: consumers.collect(),
        }
    }

    fn begin_capture(&mut self, name: &[u8]) {
        let head = self.head(name);
        let capture = PendingById {
            next: Some(StreamId::MIN),
            early: BTreeMap::new(),
            head: Some(Box::new(head)),
        };
        self.capture = Capture(Some(Box::new(capture)));
    }

    fn is_captured(&self) -> bool {
        self.capture.is_on()
    }

    /// The next pending entries; ends the capture with the last ones.
    fn captured_pending(&mut self) -> Vec<(StreamId, Pending)> {
        let mut given = Vec::new();
        let Some(mut capture) = self.capture.0.take() else { return given };
        let Some(next) = capture.next else { return given };
        let mut end = None;
        for (seen, (id, pending)) in self.pending_in(next..=StreamId::MAX).enumerate() {
            if seen == STEP_ELEMENTS {
                end = Some(id);
                break;
            }
            if !capture.early.contains_key(&id) {
                given.push((id, *pending));
            }
        }
        let rest = end.map(|end| capture.early.split_off(&end)).unwrap_or_default();
        let early = std::mem::replace(&mut capture.early, rest);
        given.extend(early.into_iter().filter_map(|(id, old)| Some((id, old?))));
        given.sort_unstable_by_key(|(id, _)| *id);
        if end.is_some() {
            capture.next = end;
            self.capture = Capture(Some(capture));
        }
        given
    }
}

impl Stream {
    /// See [`Value::begin_capture`](crate::value::Value::begin_capture).
    pub(crate) fn begin_capture(&mut self) -> Head {
        let last = self.blocks.last_key_value().map(|(master, _)| *master);
        for (name, group) in &mut self.groups {
            group.begin_capture(name);
        }
        let capture = ById {
            next: last.map(|_| StreamId::MIN),
            last: last.unwrap_or(StreamId::MIN),
            early: BTreeMap::new(),
            groups: self.groups.keys().rev().cloned().collect(),
            is_in_group: false,
            gone: BTreeMap::new(),
        };
        self.capture = Capture(Some(Box::new(capture)));
        Head::Stream(self.head())
    }

    /// The stream as a file has it, without blocks and groups.
    pub fn head(&self) -> StreamHead {
        StreamHead {
            blocks: self.blocks.len(),
            groups: self.groups.len(),
            len: self.len,
            first_id: self.first_id,
            last_id: self.last_id,
            max_deleted_id: self.max_deleted_id,
            entries_added: self.entries_added,
        }
    }

    /// See [`Value::capture_step`](crate::value::Value::capture_step).
    pub(crate) fn capture_step(&mut self) -> Step {
        let Some(capture) = &mut self.capture.0 else {
            return Step { is_last: true, ..Step::default() };
        };
        let mut step = Step::default();
        if capture.next.is_some() {
            step.parts.push(Part::Blocks(capture.blocks(&self.blocks)));
        } else if let Some(name) = capture.groups.last() {
            let gone = capture.gone.get_mut(name);
            let group = gone.or_else(|| self.groups.get_mut(name));
            let mut is_over = true;
            if let Some(group) = group {
                if !capture.is_in_group {
                    let head = group.capture.0.as_mut().and_then(|capture| capture.head.take());
                    step.parts.extend(head.map(Part::Group));
                }
                step.parts.push(Part::Pending(group.captured_pending()));
                is_over = !group.is_captured();
            }
            capture.is_in_group = !is_over;
            if is_over && let Some(name) = capture.groups.pop() {
                let gone = capture.gone.remove(&name);
                step.parts.extend(gone.map(|gone| Part::Remains(Remains(Box::new(gone)))));
            }
        }
        step.is_last = capture.next.is_none() && capture.groups.is_empty();
        if step.is_last {
            step.parts.extend(self.capture.end().map(Part::Remains));
        }
        step
    }

    /// See [`Value::end_capture`](crate::value::Value::end_capture).
    pub(crate) fn end_capture(&mut self) -> Vec<Remains> {
        let groups = self.groups.values_mut().filter_map(|group| group.capture.end());
        groups.chain(self.capture.end()).collect()
    }

    /// Before a block changes: keeps it for the capture that is under way.
    #[inline]
    pub(super) fn keep_block(&mut self, master: StreamId) {
        if let Some(capture) = &mut self.capture.0
            && let Some(block) = self.blocks.get(&master)
        {
            capture.keep(block);
        }
    }

    /// Takes a block out; while a capture is under way that may still need it.
    #[inline]
    pub(super) fn drop_block(&mut self, master: StreamId) {
        if let Some(block) = self.blocks.remove(&master)
            && let Some(capture) = &mut self.capture.0
        {
            capture.take(block);
        }
    }
}
