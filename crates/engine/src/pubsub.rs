//! Delivery of published messages, and the engine as the listener of the keyspace.
//!
//! A message is encoded once, for RESP2; the loop that delivers it turns the array's mark into that of a
//! push for clients of RESP3. One letter goes to each loop, with the clients that it is for. Letters are
//! sent under the registry's lock, so that the messages of a channel reach everybody in one order, and
//! they are taken between commands, so that a client that publishes to itself gets its own reply first.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ochre_config::special::EventClasses;
use ochre_keyspace::notify::{Class, Interest, Listener, Reader};
use ochre_keyspace::shard::DbIndex;
use ochre_pubsub::{Kind, Subscriber, Subscribers};
use ochre_resp::{Protocol, Reply};

use crate::engine::Engine;
use crate::mailbox::Message;
use crate::session::{FLAG_PUBSUB, Session};

/// Bit of notify-keyspace-events: publish on `__keyspace@<db>__:<key>`.
const KEYSPACE: u32 = 1;
/// Bit of notify-keyspace-events: publish on `__keyevent@<db>__:<event>`.
const KEYEVENT: u32 = 1 << 1;

/// What a session listens to, by [`Kind`].
#[derive(Debug, Default)]
pub struct Subscriptions {
    names: [BTreeSet<Box<[u8]>>; 3],
    bytes: usize,
}

impl Subscriptions {
    /// How many of a kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.names[kind as usize].len()
    }

    /// The names of a kind.
    pub fn names(&self, kind: Kind) -> Vec<Box<[u8]>> {
        self.names[kind as usize].iter().cloned().collect()
    }

    /// Heap bytes held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn is_empty(&self) -> bool {
        self.names.iter().all(BTreeSet::is_empty)
    }
}

/// Bytes that one subscription takes beside its name: its places in the session and in the registry.
const NODE_BYTES: usize = 64;

/// Adds a subscription; how many the session now has of its sort.
pub fn subscribe(engine: &Engine, session: &mut Session, kind: Kind, name: &[u8]) -> usize {
    let subscriber = subscriber(session);
    let held = session.subscriptions.get_or_insert_default();
    if held.names[kind as usize].insert(name.into()) {
        held.bytes += name.len() + NODE_BYTES;
        engine.channels.subscribe(kind, name, subscriber);
    }
    show(engine, session);
    count(session, kind)
}

/// Ends a subscription; how many the session now has of its sort.
pub fn unsubscribe(engine: &Engine, session: &mut Session, kind: Kind, name: &[u8]) -> usize {
    let subscriber = subscriber(session);
    if let Some(held) = &mut session.subscriptions
        && held.names[kind as usize].remove(name)
    {
        held.bytes -= name.len() + NODE_BYTES;
        engine.channels.unsubscribe(kind, name, subscriber);
        show(engine, session);
    }
    count(session, kind)
}

/// Ends all subscriptions of a session that ends or is reset.
pub fn unsubscribe_all(engine: &Engine, session: &mut Session) {
    for kind in [Kind::Channel, Kind::Pattern, Kind::Shard] {
        for name in session.subscriptions.as_ref().map(|s| s.names(kind)).unwrap_or_default() {
            unsubscribe(engine, session, kind, &name);
        }
    }
}

fn subscriber(session: &Session) -> Subscriber {
    Subscriber { event_loop: session.info.event_loop, client: session.id() }
}

/// What a confirmation tells: channels and patterns together, shard channels apart.
pub(crate) fn count(session: &Session, kind: Kind) -> usize {
    let Some(held) = &session.subscriptions else { return 0 };
    match kind {
        Kind::Shard => held.count(kind),
        Kind::Channel | Kind::Pattern => held.count(Kind::Channel) + held.count(Kind::Pattern),
    }
}

/// Brings the shared part of the session up to date.
fn show(engine: &Engine, session: &mut Session) {
    let counts = [Kind::Channel, Kind::Pattern, Kind::Shard]
        .map(|kind| session.subscriptions.as_ref().map_or(0, |held| held.count(kind)));
    for (shown, count) in session.info.subscriptions.iter().zip(counts) {
        shown.store(count as u32, Ordering::Relaxed);
    }
    let listens = counts.iter().any(|count| *count > 0);
    if listens != session.info.has_flag(FLAG_PUBSUB) {
        session.info.set_flag(FLAG_PUBSUB, listens);
        if listens {
            engine.pubsub_clients.fetch_add(1, Ordering::Relaxed);
        } else {
            engine.pubsub_clients.fetch_sub(1, Ordering::Relaxed);
        }
    }
    if session.subscriptions.as_ref().is_some_and(|held| held.is_empty()) {
        session.subscriptions = None;
    }
}

/// Publishes on a channel; how many subscriptions it reached.
pub fn publish(engine: &Engine, channel: &[u8], payload: &[u8]) -> usize {
    engine.channels.publish(channel, |pattern, subscribers| {
        let bytes = match pattern {
            None => encode(&[b"message", channel, payload]),
            Some(pattern) => encode(&[b"pmessage", pattern, channel, payload]),
        };
        post(engine, subscribers, &bytes);
    })
}

/// Publishes on a shard channel; how many subscriptions it reached.
pub fn publish_shard(engine: &Engine, channel: &[u8], payload: &[u8]) -> usize {
    engine.channels.publish_shard(channel, |subscribers| {
        post(engine, subscribers, &encode(&[b"smessage", channel, payload]));
    })
}

fn encode(parts: &[&[u8]]) -> Arc<[u8]> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 16).sum());
    let mut reply = Reply::new(&mut bytes, Protocol::Resp2);
    reply.array(parts.len());
    for part in parts {
        reply.bulk(part);
    }
    bytes.into()
}

fn post(engine: &Engine, subscribers: &Subscribers, bytes: &Arc<[u8]>) {
    let mut rest = subscribers.iter().peekable();
    while let Some(first) = rest.next() {
        let mut clients = vec![first.client];
        while let Some(next) = rest.next_if(|next| next.event_loop == first.event_loop) {
            clients.push(next.client);
        }
        let bytes = Arc::clone(bytes);
        engine.tell(first.event_loop, Message::Push { clients, bytes });
    }
}

/// A name with its length before it, so that it may hold any byte.
fn sized(name: &[u8]) -> Vec<u8> {
    [format!("{}:", name.len()).as_bytes(), name].concat()
}

impl Listener for Engine {
    fn interest(&self) -> Interest {
        Interest(self.interest.load(Ordering::Relaxed))
    }

    fn flushed_all(&self) {
        // What a snapshot would save is of no use any more; the file is to say so soon.
        self.saves.cancel_background();
        if !self.loading.is_on() && !self.live().0.settings.save_points.is_empty() {
            self.saves.change(|state| state.scheduled = true);
        }
    }

    fn report(&self, text: &str) {
        self.host.log(text);
    }

    fn skips_checksums(&self) -> bool {
        self.skips_checksums.load(Ordering::Relaxed)
    }

    fn event(&self, _class: Class, event: &'static str, db: DbIndex, key: &[u8]) {
        let interest = self.interest().0;
        if interest & KEYSPACE != 0 {
            let mut channel = format!("__keyspace@{db}__:").into_bytes();
            channel.extend_from_slice(key);
            publish(self, &channel, event.as_bytes());
        }
        if interest & KEYEVENT != 0 {
            publish(self, format!("__keyevent@{db}__:{event}").as_bytes(), key);
        }
    }

    fn parts(&self, event: &'static str, db: DbIndex, key: &[u8], parts: &[&[u8]]) {
        let interest = self.interest().0;
        let has = |class: EventClasses| interest & class.0 != 0;
        let list = parts.iter().map(|part| sized(part)).collect::<Vec<_>>().join(&b',');
        // A bar in an event's name could not be told from the one behind it.
        let is_plain = !event.contains('|');
        if has(EventClasses::SUBKEYSPACE) && is_plain {
            let channel = [format!("__subkeyspace@{db}__:").as_bytes(), key].concat();
            publish(self, &channel, &[event.as_bytes(), b"|", &list].concat());
        }
        if has(EventClasses::SUBKEYEVENT) {
            let channel = format!("__subkeyevent@{db}__:{event}");
            publish(self, channel.as_bytes(), &[&sized(key)[..], b"|", &list].concat());
        }
        // The line end divides the key from its part.
        if has(EventClasses::SUBKEYSPACEITEM) && !key.contains(&b'\n') {
            for part in parts {
                let prefix = format!("__subkeyspaceitem@{db}__:");
                let channel = [prefix.as_bytes(), key, b"\n", part].concat();
                publish(self, &channel, event.as_bytes());
            }
        }
        if has(EventClasses::SUBKEYSPACEEVENT) && is_plain {
            let prefix = format!("__subkeyspaceevent@{db}__:{event}|");
            publish(self, &[prefix.as_bytes(), key].concat(), &list);
        }
    }

    fn stale(&self, key: &[u8], readers: &[Reader], writer: u64) {
        crate::tracking::invalidate(self, key, readers, writer);
    }

    fn changed_keys(&self, keys: &[Vec<u8>], writer: u64) {
        crate::tracking::broadcast(self, keys, writer);
    }
}
