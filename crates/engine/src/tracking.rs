//! Client-side caching (CLIENT TRACKING): which client caches what, and telling it when that is stale.
//!
//! **By key.** A client's reads register it in the table of the key's shard, under the shard's lock
//! (`remember`). A writer takes the registration out under the same lock and posts an invalidation
//! before it lets go. The reply of the read is in the client's output since before that lock was let
//! go, and the mailbox is looked at between commands, so that no invalidation overtakes the value it is
//! about. The tables together hold at most tracking-table-max-keys keys: beyond, any key is taken out
//! and its clients are told, as if it had changed.
//!
//! **By prefix** (BCAST). Nothing is registered: every changed key is held against all prefixes, once a
//! command or transaction, and each client gets the names that match one of its prefixes in one message.
//!
//! An invalidation goes to the client itself as a push, or to the one it redirects to: as a push in
//! RESP3, as a message of the channel `__redis__:invalidate` in RESP2. A client that has gone, or no
//! longer tracks, drops what still arrives.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use ochre_base::hash::hash;
use ochre_command::data::Work;
use ochre_command::keys::each_key;
use ochre_command::spec::{Flags, KeyFlags};
use ochre_keyspace::lock::{Locked, ShardId};
use ochre_keyspace::notify::{Interest, Reader};
use ochre_pubsub::{Prefixes, Target};
use ochre_resp::{Protocol, Reply};

use crate::engine::Engine;
use crate::mailbox::Message;
use crate::registry::Row;
use crate::session::{FLAG_TRACKING, FLAG_TRACKING_BCAST, FLAG_TRACKING_BROKEN, Session};
use crate::turn::Turn;

/// Keys taken out at once when the tables are full, so that no command pays for a backlog alone.
const TRIM: usize = 100;

/// The channel on which clients of RESP2 get the invalidations that others redirect to them.
const INVALIDATE: &str = "__redis__:invalidate";

/// What of tracking all loops share.
#[derive(Debug, Default)]
pub struct Shared {
    /// Clients that cache by prefix.
    pub prefixes: Prefixes,
    /// Clients that track.
    pub clients: AtomicUsize,
    /// Keys in the tables of all shards. It may be behind a writer by a moment.
    pub keys: AtomicI64,
    /// Where trimming goes on.
    cursor: AtomicUsize,
}

/// Why a client is told that something is stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It read the keys. It means nothing to a client that tracks by prefix by now.
    Read,
    /// The keys begin with its prefix.
    Prefix,
    /// Everything was flushed.
    Flush,
    /// Another client that redirects to it is told.
    Redirect,
}

/// Names that are stale; none: all of them.
pub type Names = Option<Arc<[Box<[u8]>]>>;

/// How a session tracks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tracking {
    /// By prefix.
    pub bcast: bool,
    /// Only what CLIENT CACHING YES says.
    pub optin: bool,
    /// All but what CLIENT CACHING NO says.
    pub optout: bool,
    /// Its own changes do not matter.
    pub noloop: bool,
    /// The client that gets the invalidations; 0: itself.
    pub redirect: u64,
    /// CLIENT CACHING, for the next command or transaction.
    pub caching: Option<bool>,
    /// Its prefixes.
    pub prefixes: Vec<Vec<u8>>,
    /// The client it redirects to has gone.
    pub broken: bool,
}

impl Tracking {
    /// Whether a read now registers.
    fn registers(&self) -> bool {
        !self.bcast
            && match self.caching {
                Some(says) => says,
                None => !self.optin,
            }
    }
}

/// Begins or changes a session's tracking.
pub fn start(engine: &Engine, session: &mut Session, tracking: Tracking) {
    if session.tracking.is_none() {
        engine.tracking.clients.fetch_add(1, Ordering::Relaxed);
    }
    let target = Target { event_loop: session.info.event_loop, noloop: tracking.noloop };
    for prefix in &tracking.prefixes {
        engine.tracking.prefixes.add(prefix, session.id(), target);
    }
    show_interest(engine);
    session.info.set_flag(FLAG_TRACKING_BROKEN, false);
    session.info.set_flag(FLAG_TRACKING, true);
    session.info.set_flag(FLAG_TRACKING_BCAST, tracking.bcast);
    session.info.redirect.store(tracking.redirect as i64, Ordering::Relaxed);
    session.tracking = Some(Box::new(tracking));
}

/// Ends a session's tracking. Its registrations stay until their keys change, and mean nothing.
pub fn stop(engine: &Engine, session: &mut Session) {
    let Some(tracking) = session.tracking.take() else { return };
    engine.tracking.clients.fetch_sub(1, Ordering::Relaxed);
    for prefix in &tracking.prefixes {
        engine.tracking.prefixes.remove(prefix, session.id());
    }
    show_interest(engine);
    session.info.set_flag(FLAG_TRACKING | FLAG_TRACKING_BCAST | FLAG_TRACKING_BROKEN, false);
    session.info.redirect.store(-1, Ordering::Relaxed);
}

/// Says whether changes have to be collected for prefixes.
fn show_interest(engine: &Engine) {
    if engine.tracking.prefixes.count() > 0 {
        engine.interest.fetch_or(Interest::PREFIXES, Ordering::Relaxed);
    } else {
        engine.interest.fetch_and(!Interest::PREFIXES, Ordering::Relaxed);
    }
}

/// After a command of a tracking session, under its locks: registers the session with the keys it read.
#[cold]
pub(crate) fn remember(
    engine: &Engine,
    session: &Session,
    locked: &mut Locked<'_>,
    row: &Row,
    args: &[&[u8]],
) {
    if row.spec.flags.contains(Flags::READONLY) {
        let mut keys = Vec::new();
        each_key(&row.spec, args, |at, flags| {
            if !flags.contains(KeyFlags::NOT_KEY) {
                keys.push(args[at]);
            }
        });
        remember_keys(engine, session, locked, &keys);
    }
}

/// The same for keys that are taken for read: as Redis 7.0 has it, those that a script declares, when it has
/// read anything at all. What it did read is remembered beside them, so that nothing stale is kept.
#[cold]
pub(crate) fn remember_keys(
    engine: &Engine,
    session: &Session,
    locked: &mut Locked<'_>,
    keys: &[&[u8]],
) {
    let Some(tracking) = session.tracking.as_ref().filter(|tracking| tracking.registers()) else {
        return;
    };
    let reader = Reader {
        event_loop: session.info.event_loop,
        client: session.id(),
        noloop: tracking.noloop,
    };
    for key in keys {
        let (new, _) = locked.shard_mut(hash(key)).track(key, reader);
        engine.tracking.keys.fetch_add(i64::from(new), Ordering::Relaxed);
    }
}

/// After a command or transaction: CLIENT CACHING is used up.
#[cold]
pub(crate) fn after_command(turn: &mut Turn<'_>, row: &Row) {
    if let Some(tracking) = &mut turn.session.tracking
        && tracking.caching.is_some()
        && turn.session.multi.is_none()
        && row.full_name != "client|caching"
    {
        tracking.caching = None;
    }
}

/// Takes keys out of the tables until they hold at most `max`, or `left` were taken out. No lock is held.
pub fn trim(engine: &Engine, max: u64, mut left: usize) {
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let mut empty = 0;
    while left > 0
        && empty < engine.shards.count()
        && engine.tracking.keys.load(Ordering::Relaxed) > max
    {
        let at = engine.tracking.cursor.fetch_add(1, Ordering::Relaxed) % engine.shards.count();
        let found = engine.shards.visit(at as ShardId, |shard| {
            let name = shard.any_tracked()?;
            let readers = shard.take_readers(&name);
            invalidate(engine, &name, &readers, 0);
            Some(())
        });
        match found {
            Some(()) => (left, empty) = (left - 1, 0),
            None => empty += 1,
        }
    }
}

/// Before a command of a tracking session runs: full tables are trimmed, and what was evicted to make
/// room comes before the command's reply, as from the peers.
#[cold]
pub(crate) fn deliver_own(turn: &mut Turn<'_>) {
    let max = turn.lp.live.settings.tracking_table_max_keys;
    if max > 0 {
        trim(turn.engine, max, TRIM);
    }
    let Some(tracking) = &turn.session.tracking else { return };
    if tracking.redirect != 0 {
        return;
    }
    let own =
        turn.engine.mailboxes[usize::from(turn.lp.index)].take_invalidations(turn.session.id());
    for (names, _) in own {
        write_invalidation(turn.session, &names, false, turn.out.buffer());
    }
}

/// Writes an invalidation to a client, if there is a way to tell it; `redirected`: another client reads
/// and redirects to it.
pub fn write_invalidation(session: &Session, names: &Names, redirected: bool, out: &mut Vec<u8>) {
    let mut reply = Reply::new(out, session.protocol);
    if session.protocol == Protocol::Resp3 {
        reply.push(2);
        reply.bulk("invalidate");
    } else if redirected && session.subscriptions.is_some() {
        reply.array(3);
        reply.bulk("message");
        reply.bulk(INVALIDATE);
    } else {
        return;
    }
    match names {
        None => reply.null_array(),
        Some(names) => {
            reply.array(names.len());
            names.iter().for_each(|name| reply.bulk(name));
        }
    }
}

/// Before the locks of a command are let go: tells the clients whose cached keys it changed.
#[cold]
pub(crate) fn send(engine: &Engine, work: &mut Work) {
    for (name, readers) in work.stale.drain(..) {
        invalidate(engine, &name, &readers, work.writer);
    }
    if !work.changed_keys.is_empty() {
        broadcast(engine, &work.changed_keys, work.writer);
        work.changed_keys.clear();
    }
}

/// Tells clients that cache a key, and were just taken out of its table, that it changed.
pub(crate) fn invalidate(engine: &Engine, name: &[u8], readers: &[Reader], writer: u64) {
    engine.tracking.keys.fetch_sub(1, Ordering::Relaxed);
    let targets: Vec<(u16, u64)> = readers
        .iter()
        .filter(|reader| !(reader.noloop && reader.client == writer))
        .map(|reader| (reader.event_loop, reader.client))
        .collect();
    post(engine, targets, &Some(Arc::new([name.into()])), Cause::Read);
}

/// Tells the clients that cache by prefix of changed keys.
pub(crate) fn broadcast(engine: &Engine, keys: &[Vec<u8>], writer: u64) {
    engine.tracking.prefixes.each_match(keys, writer, |names, targets| {
        let names: Arc<[Box<[u8]>]> = names.iter().map(|name| Box::from(*name)).collect();
        post(engine, targets.to_vec(), &Some(names), Cause::Prefix);
    });
}

/// Tells every tracking client that all it knows is stale, under all locks.
pub(crate) fn invalidate_all(engine: &Engine, locked: &mut Locked<'_>) {
    let known = engine.tracking.keys.load(Ordering::Relaxed) > 0;
    if !known && engine.tracking.clients.load(Ordering::Relaxed) == 0 {
        return;
    }
    // Registrations of clients that do not track any more go, too.
    locked.each_mut().for_each(|shard| shard.forget_readers());
    engine.tracking.keys.store(0, Ordering::Relaxed);
    let all = engine.clients.all();
    let tracking = all.iter().filter(|info| info.has_flag(FLAG_TRACKING));
    let targets = tracking.map(|info| (info.event_loop, info.id)).collect();
    post(engine, targets, &None, Cause::Flush);
}

fn post(engine: &Engine, mut targets: Vec<(u16, u64)>, names: &Names, cause: Cause) {
    targets.sort_unstable();
    for part in targets.chunk_by(|a, b| a.0 == b.0) {
        let clients = part.iter().map(|(_, client)| *client).collect();
        let names = names.clone();
        engine.tell(part[0].0, Message::Invalidate { clients, names, cause });
    }
}
