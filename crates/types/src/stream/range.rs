//! Walking over entries in either direction.

use std::collections::{BTreeMap, btree_map};

use super::block::{Block, EntryRef};
use super::id::StreamId;

/// Bytes of an id as the key of an index.
const KEY_BYTES: usize = 16;

/// Nodes that a radix tree with compressed paths over the blocks' ids would have, which the peers show:
/// one for each key, each branching, and each run of bytes between two of those. O(blocks).
pub(super) fn index_nodes(blocks: &BTreeMap<StreamId, Block>) -> u64 {
    let bytes = |id: &StreamId| (u128::from(id.ms) << 64) | u128::from(id.seq);
    let common =
        |(a, b): (&StreamId, &StreamId)| ((bytes(a) ^ bytes(b)).leading_zeros() / 8) as usize;
    // A run of bytes lies above a node that is deeper than right below its parent.
    let with_run = |depth: usize, parent: Option<usize>| {
        1 + u64::from(depth > parent.map_or(0, |parent| parent + 1))
    };
    let mut shared = blocks.keys().zip(blocks.keys().skip(1)).map(common);
    let (mut nodes, mut before, mut open) = (0, None, Vec::<usize>::new());
    for _ in blocks {
        let behind = shared.next();
        nodes += with_run(KEY_BYTES, before.max(behind));
        while let Some(&depth) = open.last()
            && behind.is_none_or(|behind| depth > behind)
        {
            open.pop();
            nodes += with_run(depth, open.last().copied().max(behind));
        }
        if let Some(depth) = behind
            && open.last() != Some(&depth)
        {
            open.push(depth);
        }
        before = behind;
    }
    nodes.max(1)
}

/// The direction of a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By rising ids.
    Ascending,
    /// By falling ids.
    Descending,
}

/// Iterates over the live entries between two ids. A step costs the entry's elements; the first one
/// also the walk over its block up to there.
#[derive(Debug, Clone)]
pub struct Range<'a> {
    blocks: btree_map::Range<'a, StreamId, Block>,
    block: Option<&'a Block>,
    at: usize,
    start: StreamId,
    end: StreamId,
    order: Order,
}

impl<'a> Range<'a> {
    pub(super) fn new(
        blocks: &'a BTreeMap<StreamId, Block>,
        start: StreamId,
        end: StreamId,
        order: Order,
    ) -> Self {
        // The block that begins at or before `start` may hold it.
        let first = blocks.range(..=start).next_back().map_or(start, |(&master, _)| master);
        // BTreeMap::range refuses a range that ends before it begins.
        let blocks = if first <= end { blocks.range(first..=end) } else { Default::default() };
        Self { blocks, block: None, at: 0, start, end, order }
    }

    fn forward(&mut self) -> Option<EntryRef<'a>> {
        loop {
            let Some(block) = self.block else {
                let (_, block) = self.blocks.next()?;
                self.block = Some(block);
                self.at = block.first_at();
                continue;
            };
            let Some(place) = block.place(self.at) else {
                self.block = None;
                continue;
            };
            self.at = place.next;
            if place.id > self.end {
                self.at = usize::MAX;
                return None;
            }
            if !place.deleted && place.id >= self.start {
                return Some(block.entry(&place));
            }
        }
    }

    fn backward(&mut self) -> Option<EntryRef<'a>> {
        loop {
            let Some(block) = self.block else {
                let (_, block) = self.blocks.next_back()?;
                self.block = Some(block);
                self.at = block.end_at();
                continue;
            };
            let Some(place) = block.place_before(self.at) else {
                self.block = None;
                continue;
            };
            self.at = place.at;
            if place.id < self.start {
                self.at = 0;
                return None;
            }
            if !place.deleted && place.id <= self.end {
                return Some(block.entry(&place));
            }
        }
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = EntryRef<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.order {
            Order::Ascending => self.forward(),
            Order::Descending => self.backward(),
        }
    }
}
