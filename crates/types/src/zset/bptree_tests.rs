//! The B+tree alone, over numbers, against a `Vec`: every operation on tiny nodes, with the whole
//! structure checked after each, and the fill that the balancing promises.

use super::*;
use ochre_base::rng::Rng;
use proptest::prelude::*;

/// What `check` learns of a subtree.
struct Seen {
    depth: usize,
    leaves: usize,
    slots: Vec<Slot>,
}

impl<const L: usize, const F: usize> Inner<L, F> {
    fn check(&self) -> Seen {
        assert_eq!(self.index.seps.len(), self.index.counts.len());
        let below: Vec<Seen> = match &self.kids {
            Kids::Leaves(leaves) => leaves
                .iter()
                .map(|leaf| Seen { depth: 0, leaves: 1, slots: leaf.slots.to_vec() })
                .collect(),
            Kids::Inners(inners) => inners.iter().map(|inner| inner.check()).collect(),
        };
        assert_eq!(below.len(), self.width());
        assert!(self.width() >= 1 && self.width() <= F);
        let depth = below[0].depth;
        for (i, seen) in below.iter().enumerate() {
            assert_eq!(seen.depth, depth, "leaves are equally deep");
            assert_eq!(seen.slots.len(), self.index.counts[i] as usize, "count of child {i}");
            assert_eq!(seen.slots[0], self.index.seps[i], "separator of child {i}");
        }
        Seen {
            depth: depth + 1,
            leaves: below.iter().map(|seen| seen.leaves).sum(),
            slots: below.into_iter().flat_map(|seen| seen.slots).collect(),
        }
    }
}

impl<const L: usize, const F: usize> BpTree<L, F> {
    /// Verifies every invariant; returns the slots in order and the number of leaves.
    pub(in crate::zset) fn check(&self) -> (Vec<Slot>, usize) {
        let (slots, leaves) = match &self.root {
            Root::Empty => (Vec::new(), 0),
            Root::Leaf(leaf) => (leaf.slots.to_vec(), 1),
            Root::Inner(inner) => {
                assert!(inner.width() >= 2, "a root has at least two children");
                let seen = inner.check();
                (seen.slots, seen.leaves)
            }
        };
        assert!(matches!(self.root, Root::Empty) == slots.is_empty());
        assert_eq!(slots.len(), self.len);
        (slots, leaves)
    }
}

fn slot(key: u32) -> Slot {
    Slot { prefix: key, at: Ref::from_raw(key) }
}

fn insert<const L: usize, const F: usize>(tree: &mut BpTree<L, F>, key: u32) {
    tree.insert(slot(key), |s| s.prefix < key);
}

fn keys(slots: &[Slot]) -> Vec<u32> {
    slots.iter().map(|s| s.prefix).collect()
}

/// Fill of the leaves, 0 to 1.
fn fill<const L: usize, const F: usize>(tree: &BpTree<L, F>) -> f64 {
    let (slots, leaves) = tree.check();
    slots.len() as f64 / (leaves * L) as f64
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u32),
    RemoveRun(usize, usize),
    Shift(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..400u32).prop_map(|k| Op::Insert(k * 2)),
        3 => (0..300usize, 1..3usize).prop_map(|(r, n)| Op::RemoveRun(r, n)),
        1 => (0..300usize, 1..9usize).prop_map(|(r, n)| Op::RemoveRun(r, n)),
        2 => (0..300usize).prop_map(Op::Shift),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn agrees_with_a_sorted_vec(ops in prop::collection::vec(op(), 1..400)) {
        let mut tree = BpTree::<4, 4>::new();
        let mut model: Vec<u32> = Vec::new();
        for op in ops {
            match op {
                Op::Insert(key) => {
                    let at = model.partition_point(|k| *k < key);
                    prop_assert_eq!(tree.rank_of(|s| s.prefix < key), at);
                    if model.get(at).is_none_or(|k| k / 2 != key / 2) {
                        insert(&mut tree, key);
                        model.insert(at, key);
                    }
                }
                Op::RemoveRun(rank, n) => {
                    let mut gone = Vec::new();
                    let removed = tree.remove_run(rank, n, |s| gone.push(s.prefix));
                    prop_assert!(removed <= n && (removed > 0) == (rank < model.len()));
                    let end = (rank + removed).min(model.len());
                    let expected: Vec<u32> = model.drain(rank.min(end)..end).collect();
                    prop_assert_eq!(gone, expected);
                }
                // Keys are even, so the odd one after a key changes no order.
                Op::Shift(rank) => if let Some(key) = model.get_mut(rank) {
                    *key ^= 1;
                    tree.set_at(rank, slot(*key));
                }
            }
            prop_assert_eq!(keys(&tree.check().0), model.clone());
        }
        for (rank, key) in model.iter().enumerate() {
            prop_assert_eq!(tree.slot_at(rank), Some(slot(*key)));
        }
        prop_assert_eq!(tree.slot_at(model.len()), None);
    }
}

#[test]
fn ordered_loading_leaves_full_leaves() {
    let (mut up, mut down) = (BpTree::<127, 72>::new(), BpTree::<127, 72>::new());
    for i in 0..50_000 {
        insert(&mut up, i);
        insert(&mut down, 50_000 - i);
    }
    assert!(fill(&up) > 0.99 && fill(&down) > 0.99);
}

#[test]
fn random_loading_fills_leaves_above_four_fifths() {
    let mut rng = Rng::new(3);
    let mut tree = BpTree::<127, 72>::new();
    for _ in 0..200_000 {
        insert(&mut tree, rng.next_u64() as u32);
        if tree.len().is_multiple_of(50_000) {
            assert!(fill(&tree) > 0.8, "{} at {}", fill(&tree), tree.len());
        }
    }
}

#[test]
fn random_removal_keeps_leaves_above_two_fifths() {
    let mut rng = Rng::new(4);
    let mut tree = BpTree::<127, 72>::new();
    for _ in 0..60_000 {
        insert(&mut tree, rng.next_u64() as u32);
    }
    let mut lowest: f64 = 1.0;
    while tree.len() > 2_000 {
        tree.remove_run(rng.below(tree.len() as u64) as usize, 1, |_| {});
        if tree.len().is_multiple_of(4_000) {
            lowest = lowest.min(fill(&tree));
        }
    }
    assert!(lowest > 0.4, "{lowest}");
}

#[test]
fn removing_everything_by_runs_leaves_nothing() {
    let mut tree = BpTree::<8, 4>::new();
    for i in 0..5_000 {
        insert(&mut tree, i * 7919 % 5_000);
    }
    let mut gone = 0;
    while tree.len() > 0 {
        gone += tree.remove_run(tree.len() / 3, 1_000, |_| {});
        if tree.len().is_multiple_of(5) {
            tree.check();
        }
    }
    assert_eq!((gone, tree.heap_bytes()), (5_000, 0));
}
