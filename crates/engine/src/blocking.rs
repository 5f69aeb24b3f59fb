//! Blocking commands: waiting in keys' queues, and being served in place by the writer.
//!
//! A command that finds nothing enqueues a [`Waiter`] in each of its keys' shards, under the locks it
//! holds. A writer that makes a key ready serves its waiters before it lets the locks go: first come,
//! first served, each by running the waiter's command cut down to that key. Whoever claims a waiter ends
//! its wait; the others find it claimed. The reply travels through the mailbox of the waiter's loop.
//!
//! Readers of streams take nothing away: one new entry serves all of them, and each is asked first
//! whether there is anything for it ([`waiting::is_ready`]), for its claim cannot be taken back. A
//! consumer group's readers are served an error when their key or group goes.
//!
//! A waiter may write a second key (BLMOVE). A writer's locks must then hold that key's shard too:
//! `with_destinations` looks at the waiters of the shards it holds, and takes all locks when one of
//! them needs a shard that is not held. Such a waiter is rare, and the check costs one test of an empty
//! map otherwise.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ochre_base::compat::Compat;
use ochre_base::hash::hash;
use ochre_command::Key;
use ochre_command::args::is;
use ochre_command::ctx::{Block, OnTimeout};
use ochre_command::data::Data;
use ochre_command::outcome::{ReplyError, WRONG_TYPE};
use ochre_families::list::blocking::is_enough;
use ochre_families::stream::waiting;
use ochre_keyspace::expire::Gone;
use ochre_keyspace::lock::Locked;
use ochre_keyspace::shard::{BlockedCommand, Waiter};
use ochre_resp::{Protocol, Reply};
use ochre_types::value::Type;

use crate::engine::Engine;
use crate::execute::{call, conclude, log_effects};
use crate::mailbox::Message;
use crate::registry::Row;
use crate::session::{Blocked, FLAG_BLOCKED, Session};
use crate::turn::{LoopState, Turn, env};

/// Widens the locks of a writer to what serving the waiters of its shards may write.
#[inline]
pub(crate) fn with_destinations(
    engine: &'static Engine,
    locked: Locked<'static>,
) -> Locked<'static> {
    if locked.each().all(|shard| !shard.has_waiters()) {
        return locked;
    }
    if destinations_held(&locked) {
        return locked;
    }
    drop(locked);
    engine.shards.lock_all()
}

/// Whether the locks hold all that serving the waiters of their shards may write.
pub(crate) fn destinations_held(locked: &Locked<'static>) -> bool {
    locked.each().flat_map(|shard| shard.waiters()).all(|(_, _, waiter)| {
        waiter.is_claimed() || waiter.command.also.iter().all(|&hash| locked.holds(hash))
    })
}

/// Puts the client into its keys' queues, under the locks its command holds.
pub(crate) fn enqueue(turn: &mut Turn<'_>, locked: &mut Locked<'static>, row: &Row, block: Block) {
    let session = &mut *turn.session;
    let command = BlockedCommand {
        args: block.serve,
        key_at: block.key_at,
        wants: block.wants,
        db: session.db,
        protocol: session.protocol.version() as u8,
        also: block.also.iter().map(|name| hash(name)).collect(),
    };
    let waiter = Arc::new(Waiter::new(turn.lp.index, session.id(), command));
    for name in &block.keys {
        locked.shard_mut(hash(name)).wait(session.db, name, Arc::clone(&waiter));
    }
    session.info.set_waiting(Some(Arc::clone(&waiter)));
    session.blocked = Some(Blocked {
        waiter: Some(waiter),
        keys: block.keys,
        deadline: block.deadline,
        on_timeout: block.on_timeout,
        acks: None,
        since_ns: turn.engine.host.ticks_ns(),
        row: row.id,
    });
    session.info.set_flag(FLAG_BLOCKED, true);
    turn.engine.blocked.fetch_add(1, Ordering::Relaxed);
    turn.lp.attention.push(session.id());
}

/// Serves the waiters of all keys that became ready, until none can be served.
#[cold]
pub(crate) fn serve(engine: &'static Engine, data: &mut Data<'_>) {
    let db_before = data.db;
    while !data.work.ready.is_empty() {
        // Serving may make further keys ready (a chain of BLMOVE): they queue up behind.
        for (db, name) in std::mem::take(&mut data.work.ready) {
            data.db = db;
            serve_key(engine, data, &name);
        }
    }
    data.db = db_before;
}

fn serve_key(engine: &'static Engine, data: &mut Data<'_>, name: &[u8]) {
    let key = Key::new(name);
    let db = data.db;
    serve_readers(engine, data, key);
    let mut position = 0;
    while let Some((_, waiter)) = data.locked.shard_mut(key.hash).waiter(db, name, position) {
        let Some(slot) = data.find(key) else { return };
        let wants = waiter.command.wants;
        let fits = wants != Type::Stream
            && data.type_at(key, slot) == wants
            && is_enough(data, key, &waiter.command.args);
        if !fits {
            position += 1;
            continue;
        }
        if waiter.claim() {
            let command = &waiter.command;
            let mut args: Vec<&[u8]> = command.args.iter().map(Vec::as_slice).collect();
            if let Some(place) = args.get_mut(command.key_at) {
                *place = name;
            }
            serve_one(engine, data, &args, &waiter);
        }
    }
}

/// Serves those who read a stream: all of them, for reading takes nothing away, and also when the key
/// is gone, for then a group's readers are to be told.
fn serve_readers(engine: &'static Engine, data: &mut Data<'_>, key: Key<'_>) {
    let waiters = data.locked.shard_mut(key.hash).stream_waiters(data.db, key.name);
    for waiter in waiters {
        let args: Vec<&[u8]> = waiter.command.args.iter().map(Vec::as_slice).collect();
        let Some(args) = waiting::narrow(&args, key.name) else { continue };
        if waiting::is_ready(data, key, &args) && waiter.claim() {
            serve_one(engine, data, &args, &waiter);
        }
    }
}

fn serve_one(engine: &'static Engine, data: &mut Data<'_>, args: &[&[u8]], waiter: &Waiter) {
    let command = &waiter.command;
    let Some(row) = engine.registry.resolve(args) else { return };
    let protocol = if command.protocol == 3 { Protocol::Resp3 } else { Protocol::Resp2 };
    let mut out = Vec::new();
    let kept = std::mem::take(&mut data.work.blobs);
    let began_ns = engine.host.ticks_ns();
    let (error, _) = call(data, Reply::new(&mut out, protocol), row, args, false);
    let blobs = std::mem::replace(&mut data.work.blobs, kept);
    if let Some(error) = error {
        let error = as_told_to_waiters(data, args, error);
        Reply::new(&mut out, protocol).error(error.0.as_bytes());
        engine.stats(waiter.event_loop).record_error(error.code());
    }
    for (at, blob) in blobs.into_iter().rev() {
        out.splice(at..at, blob.iter().copied());
    }
    log_effects(engine, data);
    let time_ns = engine.host.ticks_ns().saturating_sub(began_ns);
    let client = waiter.client;
    engine.tell(waiter.event_loop, Message::Served { client, reply: out, time_ns });
}

/// Tells those who read a stream in a consumer group that its key went behind their backs: it expired, or was
/// evicted. No lock is held.
pub fn tell_of_gone(engine: &'static Engine, lp: &mut LoopState, gone: &mut Gone) {
    for (db, name) in gone.drain(..) {
        let locked = engine.shards.lock_one(engine.shards.of(hash(&name)));
        let mut locked = with_destinations(engine, locked);
        lp.work.ready.push((db, name));
        let env = env!(engine, lp, true);
        let mut data = Data {
            locked: &mut locked,
            db,
            env: &env,
            work: &mut lp.work,
            keys: &[],
            next: Cell::new(0),
        };
        conclude(engine, &mut data);
    }
}

/// The error that ends a wait. Redis 7.0 has a word of its own for a stream that is gone.
fn as_told_to_waiters(data: &mut Data<'_>, args: &[&[u8]], error: ReplyError) -> ReplyError {
    let [name, .., key, _] = args else { return error };
    if data.env.compat != Compat::Redis70 || !is(name, "xreadgroup") {
        return error;
    }
    if error == WRONG_TYPE || data.find(Key::new(key)).is_none() {
        return ReplyError::fixed("UNBLOCKED the stream key no longer exists");
    }
    error
}

/// Ends a client's wait from its own loop: takes it out of the queues. False when a writer has served
/// it meanwhile; its reply is on the way then, and is to be waited for.
pub fn cancel(engine: &'static Engine, session: &mut Session) -> bool {
    let Some(blocked) = &session.blocked else { return false };
    if let Some(waiter) = &blocked.waiter
        && !waiter.claim()
    {
        return false;
    }
    release(engine, session);
    true
}

/// Forgets what the client waited for, after its wait was ended by whoever.
pub fn release(engine: &'static Engine, session: &mut Session) -> Option<Blocked> {
    let blocked = session.blocked.take()?;
    session.info.set_flag(FLAG_BLOCKED, false);
    session.info.set_waiting(None);
    engine.blocked.fetch_sub(1, Ordering::Relaxed);
    if let Some(waiter) = &blocked.waiter {
        for name in &blocked.keys {
            let id = engine.shards.of(hash(name));
            engine.shards.visit(id, |shard| {
                shard.forget_waiter(waiter.command.db, name, waiter);
            });
        }
    }
    Some(blocked)
}

/// The answer of a wait that ran out of time.
pub fn write_timeout(reply: &mut Reply<'_>, on_timeout: OnTimeout) {
    match on_timeout {
        OnTimeout::NullArray => reply.null_array(),
        OnTimeout::Null => reply.null(),
    }
}
