//! The registry of channels, patterns and shard channels.
//!
//! Three maps from a name to its subscribers, behind one lock. Publishing delivers *under* the lock,
//! so that all subscribers of a channel see its messages in one order; what delivering does is to put
//! a message into a mailbox, which comes last in the order of locks. A channel that nobody listens to
//! costs two loads.
//!
//! Subscribers are sorted by their loop, so that one message goes to each loop, however many of its
//! clients listen. Costs: subscribe and unsubscribe O(log N) with N subscribers of the name; publish
//! O(N + P) with P patterns.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ochre_base::glob::{self, Case};

/// What a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A channel of SUBSCRIBE.
    Channel = 0,
    /// A pattern of PSUBSCRIBE.
    Pattern = 1,
    /// A channel of SSUBSCRIBE, which belongs to a slot.
    Shard = 2,
}

/// A client that listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subscriber {
    /// The loop that owns it.
    pub event_loop: u16,
    /// Its id.
    pub client: u64,
}

/// All who listen to one name, by their loops.
pub type Subscribers = BTreeSet<Subscriber>;

type Table = HashMap<Box<[u8]>, Subscribers>;

/// See the module's head.
#[derive(Debug, Default)]
pub struct Channels {
    /// Names of each kind, for looks without the lock.
    counts: [AtomicUsize; 3],
    tables: Mutex<[Table; 3]>,
}

impl Channels {
    fn tables(&self) -> MutexGuard<'_, [Table; 3]> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a subscriber to a name.
    pub fn subscribe(&self, kind: Kind, name: &[u8], subscriber: Subscriber) {
        let table = &mut self.tables()[kind as usize];
        match table.get_mut(name) {
            Some(subscribers) => {
                subscribers.insert(subscriber);
            }
            None => {
                table.insert(name.into(), Subscribers::from([subscriber]));
                self.counts[kind as usize].store(table.len(), Ordering::Release);
            }
        }
    }

    /// Takes a subscriber from a name.
    pub fn unsubscribe(&self, kind: Kind, name: &[u8], subscriber: Subscriber) {
        let table = &mut self.tables()[kind as usize];
        if let Some(subscribers) = table.get_mut(name) {
            subscribers.remove(&subscriber);
            if subscribers.is_empty() {
                table.remove(name);
                self.counts[kind as usize].store(table.len(), Ordering::Release);
            }
        }
    }

    /// Calls `deliver` for the subscribers of a channel, and of each pattern that matches it with that
    /// pattern. Returns how many subscriptions there were.
    pub fn publish(
        &self,
        channel: &[u8],
        mut deliver: impl FnMut(Option<&[u8]>, &Subscribers),
    ) -> usize {
        let has = |kind: Kind| self.counts[kind as usize].load(Ordering::Acquire) > 0;
        if !has(Kind::Channel) && !has(Kind::Pattern) {
            return 0;
        }
        let tables = self.tables();
        let mut receivers = 0;
        if let Some(subscribers) = tables[Kind::Channel as usize].get(channel) {
            deliver(None, subscribers);
            receivers += subscribers.len();
        }
        for (pattern, subscribers) in &tables[Kind::Pattern as usize] {
            if glob::matches(pattern, channel, Case::Sensitive) {
                deliver(Some(pattern), subscribers);
                receivers += subscribers.len();
            }
        }
        receivers
    }

    /// The same for a shard channel.
    pub fn publish_shard(&self, channel: &[u8], deliver: impl FnOnce(&Subscribers)) -> usize {
        if self.counts[Kind::Shard as usize].load(Ordering::Acquire) == 0 {
            return 0;
        }
        let tables = self.tables();
        let Some(subscribers) = tables[Kind::Shard as usize].get(channel) else { return 0 };
        deliver(subscribers);
        subscribers.len()
    }

    /// How many names of a kind have subscribers.
    pub fn count(&self, kind: Kind) -> usize {
        self.counts[kind as usize].load(Ordering::Relaxed)
    }

    /// Shows the names of a kind with their subscribers, under the registry's lock.
    pub fn each(&self, kind: Kind, mut visit: impl FnMut(&[u8], &Subscribers)) {
        for (name, subscribers) in &self.tables()[kind as usize] {
            visit(name, subscribers);
        }
    }

    /// How many subscribers a name has.
    pub fn subscribers(&self, kind: Kind, name: &[u8]) -> usize {
        self.tables()[kind as usize].get(name).map_or(0, Subscribers::len)
    }

    /// The names of a kind that have subscribers and that `pattern` matches, if there is one.
    pub fn names(&self, kind: Kind, pattern: Option<&[u8]>) -> Vec<Box<[u8]>> {
        let matches =
            |name: &[u8]| pattern.is_none_or(|it| glob::matches(it, name, Case::Sensitive));
        self.tables()[kind as usize].keys().filter(|name| matches(name)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(event_loop: u16, client: u64) -> Subscriber {
        Subscriber { event_loop, client }
    }

    /// The pattern, if there is one, and the clients.
    type Heard = (Option<Vec<u8>>, Vec<u64>);

    fn heard(channels: &Channels, channel: &[u8]) -> (usize, Vec<Heard>) {
        let mut heard = Vec::new();
        let receivers = channels.publish(channel, |pattern, subscribers| {
            let clients = subscribers.iter().map(|subscriber| subscriber.client).collect();
            heard.push((pattern.map(<[u8]>::to_vec), clients));
        });
        (receivers, heard)
    }

    #[test]
    fn subscribers_hear_by_channel_and_by_pattern() {
        let channels = Channels::default();
        assert_eq!(heard(&channels, b"news").0, 0);
        channels.subscribe(Kind::Channel, b"news", client(1, 5));
        channels.subscribe(Kind::Channel, b"news", client(0, 7));
        channels.subscribe(Kind::Channel, b"news", client(0, 7));
        channels.subscribe(Kind::Pattern, b"n*", client(1, 5));
        channels.subscribe(Kind::Shard, b"news", client(1, 9));
        let (receivers, all) = heard(&channels, b"news");
        assert_eq!(receivers, 3);
        assert_eq!(all, [(None, vec![7, 5]), (Some(b"n*".to_vec()), vec![5])]);
        assert_eq!(channels.publish_shard(b"news", |to| assert_eq!(to.len(), 1)), 1);
        assert_eq!(channels.publish_shard(b"other", |_| panic!("nobody listens")), 0);
        channels.unsubscribe(Kind::Channel, b"news", client(1, 5));
        channels.unsubscribe(Kind::Channel, b"news", client(3, 3));
        assert_eq!(channels.subscribers(Kind::Channel, b"news"), 1);
        channels.unsubscribe(Kind::Channel, b"news", client(0, 7));
        assert_eq!(channels.count(Kind::Channel), 0);
        assert_eq!(heard(&channels, b"nothing").0, 1);
        assert_eq!(heard(&channels, b"other").0, 0);
    }

    #[test]
    fn names_are_listed_by_pattern() {
        let channels = Channels::default();
        for name in [&b"a1"[..], b"a2", b"b1"] {
            channels.subscribe(Kind::Channel, name, client(0, 1));
        }
        let mut names = channels.names(Kind::Channel, Some(b"a*"));
        names.sort();
        assert_eq!(names, [Box::from(&b"a1"[..]), Box::from(&b"a2"[..])]);
        assert_eq!(channels.names(Kind::Channel, None).len(), 3);
        assert!(channels.names(Kind::Shard, None).is_empty());
    }
}
