//! Walking a span of ranks, in either direction, over either form.
//!
//! The tree's walk takes one descent per leaf (a hundred entries) instead of links between leaves,
//! which every split would have to mend; blocks are asked from memory a few entries ahead.
//! The packed form can only be walked from its front, so its descending walk notes the offsets of
//! [`AHEAD`] entries at a time: about 8 walks for a whole set of 128, one for the usual top ten.

use super::entry::{self, Entry};
use super::node::Slot;
use super::packed::{self, Walk};
use super::range::Order;
use super::tree::{FANOUT, LEAF, ZsetTree};
use crate::table::prefetch;
use std::ops::Range;

/// Entries whose offsets a descending packed walk notes at a time.
const AHEAD: usize = 16;

/// Blocks asked ahead of their use: a few memory latencies' worth of entries.
const PREFETCH: usize = 6;

/// The entries of a span of ranks. See [`super::ZsetRef::iter_span`].
#[derive(Clone, Debug)]
pub struct Iter<'a>(Form<'a>);

#[derive(Clone, Debug)]
enum Form<'a> {
    Up(Walk<'a>, usize),
    Down(PackedDown<'a>),
    Tree(TreeIter<'a, LEAF, FANOUT>),
}

impl<'a> Iter<'a> {
    /// Over a packed set; `span` lies within it.
    pub(super) fn packed(bytes: &'a [u8], span: Range<usize>, order: Order) -> Self {
        Self(match order {
            Order::Ascending => {
                let mut walk = Walk::new(bytes);
                if let Some(skipped) = span.start.checked_sub(1) {
                    walk.nth(skipped);
                }
                Form::Up(walk, span.len())
            }
            Order::Descending => Form::Down(PackedDown { bytes, span, noted: [0; AHEAD], held: 0 }),
        })
    }

    /// Over a tree.
    pub(super) fn tree(iter: TreeIter<'a, LEAF, FANOUT>) -> Self {
        Self(Form::Tree(iter))
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        match &mut self.0 {
            Form::Up(walk, left) => {
                *left = left.checked_sub(1)?;
                walk.next().map(|(_, entry)| entry)
            }
            Form::Down(iter) => iter.next(),
            Form::Tree(iter) => iter.next(),
        }
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match &self.0 {
            Form::Up(_, left) => *left,
            Form::Down(iter) => iter.span.len(),
            Form::Tree(iter) => iter.span.len(),
        };
        (left, Some(left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

/// A packed set from the end of `span` down.
#[derive(Clone, Debug)]
struct PackedDown<'a> {
    bytes: &'a [u8],
    /// Ranks not yet given.
    span: Range<usize>,
    /// Offsets of the entries of the ranks `span.end - held..span.end`.
    noted: [u32; AHEAD],
    held: usize,
}

impl<'a> PackedDown<'a> {
    fn next(&mut self) -> Option<Entry<'a>> {
        if self.span.is_empty() {
            return None;
        }
        if self.held == 0 {
            self.held = self.span.len().min(AHEAD);
            let walk = Walk::new(self.bytes).skip(self.span.end - self.held);
            for (noted, (at, _)) in self.noted[..self.held].iter_mut().zip(walk) {
                // A packed set is at most BYTES_MAX long.
                *noted = at as u32;
            }
        }
        self.held -= 1;
        self.span.end -= 1;
        Some(entry::read(&self.bytes[self.noted[self.held] as usize..]).0)
    }
}

const _: () = assert!(packed::BYTES_MAX <= u32::MAX as usize);

/// A tree's span of ranks.
#[derive(Clone, Debug)]
pub(super) struct TreeIter<'a, const L: usize, const F: usize> {
    tree: &'a ZsetTree<L, F>,
    /// Ranks not yet given.
    span: Range<usize>,
    order: Order,
    /// The part of the present leaf that is left to give.
    leaf: &'a [Slot],
}

impl<'a, const L: usize, const F: usize> TreeIter<'a, L, F> {
    /// Over `span`, which lies within the tree.
    pub(super) fn new(tree: &'a ZsetTree<L, F>, span: Range<usize>, order: Order) -> Self {
        Self { tree, span, order, leaf: &[] }
    }

    /// Finds the leaf of the next rank to give.
    fn load(&mut self) {
        self.leaf = match self.order {
            Order::Ascending => {
                let (slots, at) = self.tree.leaf_at(self.span.start);
                &slots[at..slots.len().min(at + self.span.len())]
            }
            Order::Descending => {
                let (slots, at) = self.tree.leaf_at(self.span.end - 1);
                &slots[(at + 1).saturating_sub(self.span.len())..=at]
            }
        };
        let first = self.leaf.len().min(PREFETCH);
        match self.order {
            Order::Ascending => self.leaf[..first].iter().for_each(|s| self.ask(*s)),
            Order::Descending => {
                self.leaf[self.leaf.len() - first..].iter().for_each(|s| self.ask(*s));
            }
        }
    }

    #[inline]
    fn ask(&self, slot: Slot) {
        if let Some(head) = self.tree.block(slot.at).first() {
            prefetch(head);
        }
    }
}

impl<'a, const L: usize, const F: usize> Iterator for TreeIter<'a, L, F> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        if self.leaf.is_empty() {
            if self.span.is_empty() {
                return None;
            }
            self.load();
        }
        let slot = match self.order {
            Order::Ascending => {
                if let Some(ahead) = self.leaf.get(PREFETCH) {
                    self.ask(*ahead);
                }
                let (slot, rest) = self.leaf.split_first()?;
                self.leaf = rest;
                self.span.start += 1;
                slot
            }
            Order::Descending => {
                if let Some(ahead) = self.leaf.len().checked_sub(PREFETCH + 1) {
                    self.ask(self.leaf[ahead]);
                }
                let (slot, rest) = self.leaf.split_last()?;
                self.leaf = rest;
                self.span.end -= 1;
                slot
            }
        };
        Some(entry::read(self.tree.block(slot.at)).0)
    }
}
