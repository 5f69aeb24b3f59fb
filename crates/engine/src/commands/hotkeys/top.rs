//! The heaviest names of a stream in bounded memory, by Space-Saving (Metwally, Agrawal and El Abbadi,
//! "Efficient Computation of Frequent and Top-k Elements in Data Streams", 2005).
//!
//! A fixed number of names is kept with a weight each. A name that is kept grows by what is added to it;
//! one that is not takes the place of the lightest, and grows from that one's weight. So a weight is
//! never too low, and too high by no more than the total divided by the number of places; what weighs more than
//! that is always among the kept.
//!
//! Invariants: `heap` is a binary heap of the places by weight, lightest first; `places[p].at` is where
//! `p` lies in it; `by_name` leads to every place and to nothing else. Cost of an addition:
//! O(log places). Limits: the number of places, and [`NAME_MAX`] bytes a name; longer ones are not kept.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The longest name that is kept, in bytes: places times this bounds the memory.
pub(super) const NAME_MAX: usize = 4096;

#[derive(Debug)]
struct Place {
    name: Arc<[u8]>,
    weight: u64,
    /// Its position in the heap.
    at: usize,
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Top {
    limit: usize,
    places: Vec<Place>,
    heap: Vec<usize>,
    by_name: BTreeMap<Arc<[u8]>, usize>,
}

impl Top {
    /// Room for `limit` names, at least one.
    pub(super) fn new(limit: usize) -> Self {
        let limit = limit.max(1);
        Self { limit, places: Vec::new(), heap: Vec::new(), by_name: BTreeMap::new() }
    }

    /// Adds to a name's weight.
    pub(super) fn add(&mut self, name: &[u8], weight: u64) {
        if weight == 0 || name.len() > NAME_MAX {
            return;
        }
        if let Some(&place) = self.by_name.get(name) {
            self.places[place].weight += weight;
            self.sink(self.places[place].at);
        } else if self.places.len() < self.limit {
            let (name, at) = (Arc::<[u8]>::from(name), self.heap.len());
            self.heap.push(self.places.len());
            self.by_name.insert(Arc::clone(&name), self.places.len());
            self.places.push(Place { name, weight, at });
            self.rise(at);
        } else if let Some(&lightest) = self.heap.first() {
            let name = Arc::<[u8]>::from(name);
            let place = &mut self.places[lightest];
            let old = std::mem::replace(&mut place.name, Arc::clone(&name));
            place.weight += weight;
            self.by_name.remove(&old);
            self.by_name.insert(name, lightest);
            self.sink(0);
        }
    }

    /// All names that are kept, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.places.iter().map(|place| (&*place.name, place.weight))
    }

    fn weight_at(&self, at: usize) -> u64 {
        self.places[self.heap[at]].weight
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.places[self.heap[a]].at = a;
        self.places[self.heap[b]].at = b;
    }

    fn rise(&mut self, mut at: usize) {
        while at > 0 && self.weight_at(at) < self.weight_at((at - 1) / 2) {
            self.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    fn sink(&mut self, mut at: usize) {
        loop {
            let below = [2 * at + 1, 2 * at + 2].into_iter().filter(|&b| b < self.heap.len());
            let Some(lighter) = below.min_by_key(|&b| self.weight_at(b)) else { return };
            if self.weight_at(at) <= self.weight_at(lighter) {
                return;
            }
            self.swap(at, lighter);
            at = lighter;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ochre_base::rng::Rng;

    /// Against exact sums: no weight is too low, none too high by more than the bound, and all that
    /// weigh more than it are kept.
    #[test]
    fn weights_are_within_the_bound() {
        let mut rng = Rng::new(7);
        for limit in [1, 2, 10, 100] {
            let mut top = Top::new(limit);
            let (mut exact, mut total) = (BTreeMap::<Vec<u8>, u64>::new(), 0);
            for _ in 0..20_000 {
                // Low numbers are frequent.
                let below = 1 + rng.below(300);
                let name = rng.below(below).to_string().into_bytes();
                let weight = rng.below(5);
                top.add(&name, weight);
                *exact.entry(name).or_default() += weight;
                total += weight;
            }
            let bound = total / limit as u64;
            let kept: BTreeMap<&[u8], u64> = top.iter().collect();
            assert!(kept.len() <= limit && kept.len() == top.by_name.len());
            for (name, weight) in &kept {
                let real = exact[*name];
                assert!((real..=real + bound).contains(weight), "{weight} for {real}");
            }
            let heavy = exact.iter().filter(|(_, weight)| **weight > bound);
            assert!(heavy.clone().all(|(name, _)| kept.contains_key(name.as_slice())));
            let is_heap =
                (1..top.heap.len()).all(|at| top.weight_at((at - 1) / 2) <= top.weight_at(at));
            assert!(is_heap && top.heap.iter().enumerate().all(|(at, &p)| top.places[p].at == at));
        }
    }

    #[test]
    fn long_names_are_not_kept() {
        let mut top = Top::new(4);
        top.add(&vec![b'x'; NAME_MAX + 1], 9);
        top.add(b"k", 0);
        assert_eq!(top.iter().count(), 0);
        top.add(b"k", 3);
        assert_eq!(top.iter().collect::<Vec<_>>(), [(&b"k"[..], 3)]);
    }
}
