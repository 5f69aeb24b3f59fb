//! The nodes of the B+tree, and how they keep full: giving, splitting, joining.
//!
//! ```text
//! leaf   (L = 127: 1020 bytes)   [len 2][pad 2] slots: L x [prefix 4][ref 4]
//! inner  (F = 72: about 1.5 KB)  seps:   F x first slot of the child's subtree, exactly
//!                                counts: F x slots in the child's subtree (u32)
//!                                kids:   F x page of a leaf, or of an inner node
//! ```
//!
//! A full node first gives half of a neighbour's room away to it; only when both neighbours are
//! full do two nodes become three. A node below half joins a neighbour when both fit with an eighth
//! to spare, and below a quarter takes from it otherwise. Leaves and inner nodes share this code
//! through [`Child`].
//!
//! Costs: a comparison per step of a binary search, and copying within two or three nodes.

use super::run::Run;
use crate::arena::Ref;
use crate::page::Page;
use crate::table::prefetch;
use smallvec::SmallVec;

/// One element of the tree: where its block is, and what is compared before looking there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    /// The score's 32-bit image, which never falls as scores rise.
    pub(super) prefix: u32,
    /// The member's block.
    pub(super) at: Ref,
}

impl Default for Slot {
    fn default() -> Self {
        Self { prefix: 0, at: Ref::from_raw(0) }
    }
}

const _: () = assert!(size_of::<Slot>() == 8);

/// The number of slots of which `before` is true. All cache lines are asked for at once, which costs
/// less than a binary search's four or five misses one after the other.
#[inline]
pub(super) fn position(slots: &[Slot], before: &impl Fn(Slot) -> bool) -> usize {
    slots.chunks(64 / size_of::<Slot>()).for_each(|line| prefetch(&line[0]));
    slots.partition_point(|slot| before(*slot))
}

/// A node that is the child of an inner node: what filling and balancing need of it.
pub(super) trait Child: Clone {
    /// Slots or children that fit.
    const CAPACITY: usize;
    /// Slots or children held.
    fn width(&self) -> usize;
    /// The first slot of the subtree; the node is not empty.
    fn first(&self) -> Slot;
    /// The slots in the subtree.
    fn total(&self) -> u32;
    /// An empty node of the same level.
    fn empty_beside(&self) -> Self;
    /// Moves the first `k` parts behind the last of `to`.
    fn give_front(&mut self, k: usize, to: &mut Self);
    /// Moves the last `k` parts before the first of `to`.
    fn give_back(&mut self, k: usize, to: &mut Self);
}

#[derive(Clone, Debug)]
pub(super) struct Leaf<const L: usize> {
    pub(super) slots: Run<Slot, L>,
}

impl<const L: usize> Leaf<L> {
    pub(super) fn of(slot: Slot) -> Self {
        let mut slots = Run::new();
        slots.insert(0, slot);
        Self { slots }
    }

    #[inline]
    pub(super) fn insert(&mut self, slot: Slot, before: &impl Fn(Slot) -> bool) {
        let at = position(&self.slots, before);
        self.slots.insert(at, slot);
    }

    pub(super) fn remove_run(
        &mut self,
        rank: usize,
        max: usize,
        gone: &mut impl FnMut(Slot),
    ) -> usize {
        let end = self.slots.len().min(rank.saturating_add(max));
        self.slots[rank..end].iter().for_each(|slot| gone(*slot));
        self.slots.remove(rank..end);
        end - rank
    }
}

impl<const L: usize> Child for Leaf<L> {
    const CAPACITY: usize = L;

    #[inline]
    fn width(&self) -> usize {
        self.slots.len()
    }

    #[inline]
    fn first(&self) -> Slot {
        self.slots[0]
    }

    #[inline]
    fn total(&self) -> u32 {
        self.slots.len() as u32
    }

    fn empty_beside(&self) -> Self {
        Self { slots: Run::new() }
    }

    fn give_front(&mut self, k: usize, to: &mut Self) {
        self.slots.give_front(k, &mut to.slots);
    }

    fn give_back(&mut self, k: usize, to: &mut Self) {
        self.slots.give_back(k, &mut to.slots);
    }
}

/// What an inner node knows of its children without looking at them.
#[derive(Clone, Debug)]
pub(super) struct Index<const F: usize> {
    pub(super) seps: Run<Slot, F>,
    pub(super) counts: Run<u32, F>,
}

impl<const F: usize> Index<F> {
    pub(super) fn new() -> Self {
        Self { seps: Run::new(), counts: Run::new() }
    }

    /// The child that holds the position `before` describes (the last one that begins before it).
    #[inline]
    pub(super) fn child_for(&self, before: &impl Fn(Slot) -> bool) -> usize {
        position(&self.seps[1..], before)
    }

    /// The child that holds `rank`, and the rank within it. The rank is within the subtree.
    #[inline]
    pub(super) fn child_at(&self, rank: usize) -> (usize, usize) {
        let mut left = rank;
        for (i, count) in self.counts.iter().enumerate() {
            let count = *count as usize;
            if left < count {
                return (i, left);
            }
            left -= count;
        }
        unreachable!("the caller keeps the rank below the number of slots")
    }

    #[inline]
    pub(super) fn slots_before(&self, child: usize) -> usize {
        self.counts[..child].iter().map(|count| *count as usize).sum()
    }

    pub(super) fn insert(&mut self, i: usize, child: &impl Child) {
        self.seps.insert(i, child.first());
        self.counts.insert(i, child.total());
    }

    pub(super) fn refresh(&mut self, i: usize, child: &impl Child) {
        self.seps[i] = child.first();
        self.counts[i] = child.total();
    }

    pub(super) fn remove(&mut self, i: usize) {
        self.seps.remove(i..i + 1);
        self.counts.remove(i..i + 1);
    }
}

pub(super) type Pages<T, const F: usize> = SmallVec<[Page<T>; F]>;

/// The children of one inner node, which are all of one kind.
#[derive(Clone, Debug)]
pub(super) enum Kids<const L: usize, const F: usize> {
    Leaves(Pages<Leaf<L>, F>),
    Inners(Pages<Inner<L, F>, F>),
}

#[derive(Clone, Debug)]
pub(super) struct Inner<const L: usize, const F: usize> {
    pub(super) index: Index<F>,
    pub(super) kids: Kids<L, F>,
}

/// Whether a node lies on the left or right edge of the whole tree.
#[derive(Clone, Copy)]
pub(super) struct Edge {
    pub(super) first: bool,
    pub(super) last: bool,
}

impl Edge {
    pub(super) fn of_child(self, i: usize, children: usize) -> Self {
        Self { first: self.first && i == 0, last: self.last && i + 1 == children }
    }
}

impl<const L: usize, const F: usize> Child for Inner<L, F> {
    const CAPACITY: usize = F;

    #[inline]
    fn width(&self) -> usize {
        self.index.seps.len()
    }

    #[inline]
    fn first(&self) -> Slot {
        self.index.seps[0]
    }

    fn total(&self) -> u32 {
        self.index.counts.iter().sum()
    }

    fn empty_beside(&self) -> Self {
        let kids = match self.kids {
            Kids::Leaves(_) => Kids::Leaves(SmallVec::new()),
            Kids::Inners(_) => Kids::Inners(SmallVec::new()),
        };
        Self { index: Index::new(), kids }
    }

    fn give_front(&mut self, k: usize, to: &mut Self) {
        self.index.seps.give_front(k, &mut to.index.seps);
        self.index.counts.give_front(k, &mut to.index.counts);
        match (&mut self.kids, &mut to.kids) {
            (Kids::Leaves(from), Kids::Leaves(to)) => to.extend(from.drain(..k)),
            (Kids::Inners(from), Kids::Inners(to)) => to.extend(from.drain(..k)),
            _ => unreachable!("nodes of one level have children of one kind"),
        }
    }

    fn give_back(&mut self, k: usize, to: &mut Self) {
        let from = self.width() - k;
        self.index.seps.give_back(k, &mut to.index.seps);
        self.index.counts.give_back(k, &mut to.index.counts);
        match (&mut self.kids, &mut to.kids) {
            (Kids::Leaves(kids), Kids::Leaves(to)) => to.insert_many(0, kids.drain(from..)),
            (Kids::Inners(kids), Kids::Inners(to)) => to.insert_many(0, kids.drain(from..)),
            _ => unreachable!("nodes of one level have children of one kind"),
        }
    }
}

/// The children `i` and `i + 1`, for moving parts between them.
pub(super) fn neighbours<C>(kids: &mut [Page<C>], i: usize) -> (&mut C, &mut C) {
    let (left, right) = kids.split_at_mut(i + 1);
    (left[i].edit(), right[0].edit())
}

/// Makes room in the full child `i`: by giving to a neighbour, or by splitting, for which the
/// parent has room. Positions move between children: the caller looks its child up again.
#[cold]
pub(super) fn relieve<C: Child, const F: usize>(
    index: &mut Index<F>,
    kids: &mut Pages<C, F>,
    i: usize,
) {
    let children = kids.len();
    let room = |j: usize| C::CAPACITY - kids[j].width();
    let left = if i > 0 { room(i - 1) } else { 0 };
    let right = if i + 1 < children { room(i + 1) } else { 0 };
    // Two at least, so that after giving half of it both have room; a sixteenth, so that the
    // copying is paid for by several inserts.
    if left.max(right) >= (C::CAPACITY / 16).max(2) {
        let from = if left >= right {
            let (to, full) = neighbours(kids, i - 1);
            full.give_front(left / 2, to);
            i - 1
        } else {
            let (full, to) = neighbours(kids, i);
            full.give_back(right / 2, to);
            i
        };
        index.refresh(from, &*kids[from]);
        index.refresh(from + 1, &*kids[from + 1]);
        return;
    }
    let mut middle = kids[i].empty_beside();
    let from = i.min(children.saturating_sub(2));
    if children == 1 {
        kids[0].edit().give_back(C::CAPACITY / 2, &mut middle);
    } else {
        let (left, right) = neighbours(kids, from);
        left.give_back(left.width() / 3, &mut middle);
        right.give_front(right.width() / 3, &mut middle);
        index.refresh(from + 1, &*kids[from + 1]);
    }
    index.refresh(from, &*kids[from]);
    index.insert(from + 1, &middle);
    kids.insert(from + 1, Page::new(middle));
}

/// Brings child `i` up to date after slots left it: drops it when empty, joins it with a neighbour
/// or evens the two out when it is sparse.
pub(super) fn mend<C: Child, const F: usize>(
    index: &mut Index<F>,
    kids: &mut Pages<C, F>,
    i: usize,
) {
    let width = kids[i].width();
    if width == 0 {
        kids.remove(i);
        index.remove(i);
        return;
    }
    index.refresh(i, &*kids[i]);
    if width >= C::CAPACITY / 2 || kids.len() == 1 {
        return;
    }
    let last = kids.len() - 1;
    let from = match i {
        0 => 0,
        i if i == last => i - 1,
        i if kids[i - 1].width() <= kids[i + 1].width() => i - 1,
        i => i,
    };
    let (left, right) = neighbours(kids, from);
    let (held, sum) = (left.width(), left.width() + right.width());
    if sum <= C::CAPACITY - C::CAPACITY / 8 {
        right.give_front(right.width(), left);
        kids.remove(from + 1);
        index.remove(from + 1);
        index.refresh(from, &*kids[from]);
    } else if width < C::CAPACITY / 4 {
        if held > sum / 2 {
            left.give_back(held - sum / 2, right);
        } else {
            right.give_front(sum / 2 - held, left);
        }
        index.refresh(from, &*kids[from]);
        index.refresh(from + 1, &*kids[from + 1]);
    }
}
