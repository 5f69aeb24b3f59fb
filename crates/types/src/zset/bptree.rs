//! The order-statistic B+tree under [`super::ZsetTree`]: slots in order, found by comparison or by
//! rank.
//!
//! The tree knows no scores and no arena: the position sought is a predicate `before(slot)`, true
//! of every slot that precedes it, and monotone over the order. Comparing happens only on the way
//! in ([`BpTree::rank_of`], [`BpTree::insert`]); removal and replacement go by rank, so a second
//! descent reads nothing outside the nodes just touched. A separator refers to a live slot always,
//! because it equals the first slot of its subtree at every moment.
//!
//! Inserting at either end of the whole opens an empty leaf, so that ordered loading leaves full
//! leaves; elsewhere a full leaf is relieved as `node` describes, and random loading fills leaves to
//! 0.86.
//!
//! Invariants (checked by `check` in tests): no node is empty; an inner root has at least two
//! children; all leaves are equally deep; counts and separators are exact.
//!
//! Costs: O(log n) per operation plus copying within one leaf (at most 1 KB).

use super::node::{Child, Edge, Index, Inner, Kids, Leaf, Slot, mend, position, relieve};
use crate::arena::Ref;
use crate::page::Page;
use smallvec::SmallVec;

impl<const L: usize, const F: usize> Inner<L, F> {
    /// Adds `slot` below this node, which has room for one more child.
    fn insert(&mut self, slot: Slot, before: &impl Fn(Slot) -> bool, edge: Edge) {
        let Self { index, kids } = self;
        let mut i = index.child_for(before);
        match kids {
            Kids::Leaves(leaves) => {
                if leaves[i].width() == L {
                    let edge = edge.of_child(i, leaves.len());
                    if let Some(at) = new_leaf_at(&leaves[i], i, before, edge) {
                        let leaf = Leaf::of(slot);
                        index.insert(at, &leaf);
                        leaves.insert(at, Page::new(leaf));
                        return;
                    }
                    relieve(index, leaves, i);
                    i = index.child_for(before);
                }
                leaves[i].edit().insert(slot, before);
                index.seps[i] = leaves[i].first();
            }
            Kids::Inners(inners) => {
                if inners[i].width() == F {
                    relieve(index, inners, i);
                    i = index.child_for(before);
                }
                let edge = edge.of_child(i, inners.len());
                inners[i].edit().insert(slot, before, edge);
                index.seps[i] = inners[i].first();
            }
        }
        index.counts[i] += 1;
    }

    /// Removes up to `max` slots from `rank` on, all of one leaf, and says how many.
    fn remove_run(&mut self, rank: usize, max: usize, gone: &mut impl FnMut(Slot)) -> usize {
        let Self { index, kids } = self;
        let (i, rank) = index.child_at(rank);
        match kids {
            Kids::Leaves(leaves) => {
                let removed = leaves[i].edit().remove_run(rank, max, gone);
                mend(index, leaves, i);
                removed
            }
            Kids::Inners(inners) => {
                let removed = inners[i].edit().remove_run(rank, max, gone);
                mend(index, inners, i);
                removed
            }
        }
    }

    fn set_at(&mut self, rank: usize, slot: Slot) {
        let Self { index, kids } = self;
        let (i, rank) = index.child_at(rank);
        match kids {
            Kids::Leaves(leaves) => leaves[i].edit().slots[rank] = slot,
            Kids::Inners(inners) => inners[i].edit().set_at(rank, slot),
        }
        if rank == 0 {
            index.seps[i] = slot;
        }
    }

    fn rewrite(&mut self, change: &mut impl FnMut(Ref) -> Option<Ref>) {
        let Self { index, kids } = self;
        match kids {
            Kids::Leaves(leaves) => {
                for (i, leaf) in leaves.iter_mut().enumerate() {
                    rewrite_leaf(leaf, change);
                    index.seps[i] = leaf.first();
                }
            }
            Kids::Inners(inners) => {
                for (i, inner) in inners.iter_mut().enumerate() {
                    inner.edit().rewrite(change);
                    index.seps[i] = inner.first();
                }
            }
        }
    }

    fn heap_bytes(&self) -> usize {
        match &self.kids {
            Kids::Leaves(leaves) => leaves.len() * size_of::<Leaf<L>>(),
            Kids::Inners(inners) => {
                inners.iter().map(|inner| size_of::<Self>() + inner.heap_bytes()).sum()
            }
        }
    }
}

/// Replaces references of one leaf; a leaf without any to replace is not edited.
fn rewrite_leaf<const L: usize>(
    leaf: &mut Page<Leaf<L>>,
    change: &mut impl FnMut(Ref) -> Option<Ref>,
) {
    for i in 0..leaf.width() {
        if let Some(at) = change(leaf.slots[i].at) {
            leaf.edit().slots[i].at = at;
        }
    }
}

/// Where a leaf of its own opens for a slot that belongs beyond the full leaf `i` at an end of the
/// whole tree; none when the slot belongs elsewhere.
fn new_leaf_at<const L: usize>(
    leaf: &Leaf<L>,
    i: usize,
    before: &impl Fn(Slot) -> bool,
    edge: Edge,
) -> Option<usize> {
    if edge.last && before(leaf.slots[L - 1]) {
        Some(i + 1)
    } else if edge.first && !before(leaf.slots[0]) {
        Some(i)
    } else {
        None
    }
}

#[derive(Clone, Debug)]
enum Root<const L: usize, const F: usize> {
    Empty,
    Leaf(Page<Leaf<L>>),
    Inner(Page<Inner<L, F>>),
}

/// The tree. `L` slots fill a leaf, `F` children an inner node; both at least 4.
#[derive(Clone, Debug)]
pub(super) struct BpTree<const L: usize, const F: usize> {
    root: Root<L, F>,
    len: usize,
}

impl<const L: usize, const F: usize> BpTree<L, F> {
    /// An empty tree; allocates nothing.
    pub(super) const fn new() -> Self {
        const {
            assert!(L >= 4 && F >= 4, "splitting two nodes into three needs four parts");
        }
        Self { root: Root::Empty, len: 0 }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The number of slots of which `before` is true. O(log n) comparisons.
    #[inline]
    pub(super) fn rank_of(&self, before: impl Fn(Slot) -> bool) -> usize {
        let mut rank = 0;
        let mut node = match &self.root {
            Root::Empty => return 0,
            Root::Leaf(leaf) => return position(&leaf.slots, &before),
            Root::Inner(inner) => &**inner,
        };
        loop {
            let i = node.index.child_for(&before);
            rank += node.index.slots_before(i);
            match &node.kids {
                Kids::Leaves(leaves) => {
                    return rank + position(&leaves[i].slots, &before);
                }
                Kids::Inners(inners) => node = &inners[i],
            }
        }
    }

    /// The slots of the leaf that holds `rank`, and the rank within them; nothing when the rank is
    /// beyond the end.
    #[inline]
    pub(super) fn leaf_at(&self, rank: usize) -> (&[Slot], usize) {
        if rank >= self.len {
            return (&[], 0);
        }
        let mut node = match &self.root {
            Root::Empty => return (&[], 0),
            Root::Leaf(leaf) => return (&leaf.slots, rank),
            Root::Inner(inner) => &**inner,
        };
        let mut rank = rank;
        loop {
            let (i, within) = node.index.child_at(rank);
            rank = within;
            match &node.kids {
                Kids::Leaves(leaves) => return (&leaves[i].slots, rank),
                Kids::Inners(inners) => node = &inners[i],
            }
        }
    }

    /// The slot at `rank`.
    #[inline]
    pub(super) fn slot_at(&self, rank: usize) -> Option<Slot> {
        let (slots, at) = self.leaf_at(rank);
        slots.get(at).copied()
    }

    /// Adds `slot` at the position that `before` describes.
    pub(super) fn insert(&mut self, slot: Slot, before: impl Fn(Slot) -> bool) {
        self.len += 1;
        self.raise_full_root();
        match &mut self.root {
            Root::Empty => self.root = Root::Leaf(Page::new(Leaf::of(slot))),
            Root::Leaf(leaf) => leaf.edit().insert(slot, &before),
            Root::Inner(inner) => {
                inner.edit().insert(slot, &before, Edge { first: true, last: true });
            }
        }
    }

    /// Puts a full root under a new one, so that it can split.
    fn raise_full_root(&mut self) {
        let full = match &self.root {
            Root::Empty => false,
            Root::Leaf(leaf) => leaf.width() == L,
            Root::Inner(inner) => inner.width() == F,
        };
        if !full {
            return;
        }
        let mut index = Index::new();
        let kids = match std::mem::replace(&mut self.root, Root::Empty) {
            Root::Empty => return,
            Root::Leaf(leaf) => {
                index.insert(0, &*leaf);
                Kids::Leaves(SmallVec::from_iter([leaf]))
            }
            Root::Inner(inner) => {
                index.insert(0, &*inner);
                Kids::Inners(SmallVec::from_iter([inner]))
            }
        };
        self.root = Root::Inner(Page::new(Inner { index, kids }));
    }

    /// Removes up to `max` slots from `rank` on, as many as one leaf holds (one at least, when the
    /// rank is within the tree), shows each to `gone`, and says how many.
    pub(super) fn remove_run(
        &mut self,
        rank: usize,
        max: usize,
        mut gone: impl FnMut(Slot),
    ) -> usize {
        if rank >= self.len || max == 0 {
            return 0;
        }
        let removed = match &mut self.root {
            Root::Empty => 0,
            Root::Leaf(leaf) => leaf.edit().remove_run(rank, max, &mut gone),
            Root::Inner(inner) => inner.edit().remove_run(rank, max, &mut gone),
        };
        self.len -= removed;
        self.lower_thin_root();
        removed
    }

    /// Replaces roots of one child by that child, and an empty root by nothing.
    fn lower_thin_root(&mut self) {
        if self.len == 0 {
            self.root = Root::Empty;
        }
        while let Root::Inner(inner) = &mut self.root
            && inner.width() == 1
        {
            let child = match &mut inner.edit().kids {
                Kids::Leaves(leaves) => leaves.pop().map(Root::Leaf),
                Kids::Inners(inners) => inners.pop().map(Root::Inner),
            };
            self.root = child.unwrap_or(Root::Empty);
        }
    }

    /// Puts `slot` in the place of the one at `rank`, which it must not change the order of.
    pub(super) fn set_at(&mut self, rank: usize, slot: Slot) {
        match &mut self.root {
            Root::Empty => {}
            Root::Leaf(leaf) => leaf.edit().slots[rank] = slot,
            Root::Inner(inner) => inner.edit().set_at(rank, slot),
        }
    }

    /// Lets `change` replace references, in order, each by one of the same score and member. O(n).
    pub(super) fn rewrite(&mut self, mut change: impl FnMut(Ref) -> Option<Ref>) {
        match &mut self.root {
            Root::Empty => {}
            Root::Leaf(leaf) => rewrite_leaf(leaf, &mut change),
            Root::Inner(inner) => inner.edit().rewrite(&mut change),
        }
    }

    /// The bytes of all nodes. Reads the inner nodes: O(n / 7000).
    pub(super) fn heap_bytes(&self) -> usize {
        match &self.root {
            Root::Empty => 0,
            Root::Leaf(_) => size_of::<Leaf<L>>(),
            Root::Inner(inner) => size_of::<Inner<L, F>>() + inner.heap_bytes(),
        }
    }
}

#[cfg(test)]
#[path = "bptree_tests.rs"]
mod tests;
