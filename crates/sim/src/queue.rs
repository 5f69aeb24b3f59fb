//! What happens when: a heap of events by time, then by the order in which they were added.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::Time;

/// See the module's head.
#[derive(Debug)]
pub struct Queue<E> {
    now: Time,
    count: u64,
    heap: BinaryHeap<Reverse<Entry<E>>>,
}

#[derive(Debug)]
struct Entry<E> {
    at: Time,
    order: u64,
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self { now: 0, count: 0, heap: BinaryHeap::new() }
    }
}

impl<E> Queue<E> {
    /// The time of the last event that was taken.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Adds an event, at the earliest now.
    pub fn at(&mut self, at: Time, event: E) {
        self.count += 1;
        self.heap.push(Reverse(Entry { at: at.max(self.now), order: self.count, event }));
    }

    /// Adds an event after some time.
    pub fn after(&mut self, delay: Time, event: E) {
        self.at(self.now + delay, event);
    }

    /// Takes the next event; the clock goes on to its time.
    pub fn next_event(&mut self) -> Option<E> {
        let Reverse(entry) = self.heap.pop()?;
        self.now = entry.at;
        Some(entry.event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_time_then_by_order() {
        let mut queue = Queue::default();
        queue.at(5, 'c');
        queue.at(3, 'a');
        queue.at(3, 'b');
        assert_eq!(queue.next_event(), Some('a'));
        queue.at(0, 'x');
        assert_eq!(
            (queue.next_event(), queue.next_event(), queue.now()),
            (Some('b'), Some('x'), 3)
        );
        assert_eq!((queue.next_event(), queue.next_event()), (Some('c'), None));
    }
}
