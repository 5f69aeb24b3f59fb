//! MULTI, EXEC, DISCARD, WATCH, UNWATCH (R1.10).
//!
//! EXEC takes the locks of all queued commands' keys and of the watched keys at once, looks whether a
//! watched key changed, runs the queue to the end, serves waiting clients, appends all effects as one
//! record, and only then lets the locks go: nothing of another client comes between.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ochre_base::hash::hash;
use ochre_command::spec::{Flags, Group, KeyFlags, KeySpec};
use ochre_command::{ReplyError, Result};
use ochre_keyspace::db::Key;
use ochre_keyspace::lock::Locked;

use crate::execute::{self, show_multi};
use crate::lockplan::Plan;
use crate::registry::{Row, Run, SessionRow};
use crate::session::{Multi, Queued, Session, Watch};
use crate::turn::Turn;

const FLAGS: Flags =
    Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE).union(Flags::ALLOW_BUSY);

const FAST: Flags = FLAGS.union(Flags::FAST);

/// The rows of this file.
pub const COMMANDS: &[SessionRow] = &[
    SessionRow::new("multi", 1, FAST, Group::Transactions, multi).docs(
        "1.2.0",
        "Begins a transaction: commands are queued until EXEC.",
        "O(1)",
        "",
    ),
    SessionRow::new("exec", 1, FLAGS.union(Flags::SKIP_SLOWLOG), Group::Transactions, exec).docs(
        "1.2.0",
        "Runs all commands of a transaction as one.",
        "Depends on the commands in the transaction.",
        "",
    ),
    SessionRow::new("discard", 1, FAST, Group::Transactions, discard).docs(
        "2.0.0",
        "Drops a transaction and its watches.",
        "O(N) with N the number of queued commands",
        "",
    ),
    SessionRow::new("watch", -2, FAST.union(Flags::NO_MULTI), Group::Transactions, watch)
        .keys(&[KeySpec::range(1, -1, 1, KeyFlags::RO)])
        .docs(
            "2.2.0",
            "Makes the next EXEC depend on keys staying as they are.",
            "O(1) for each key",
            "key [key ...]",
        ),
    SessionRow::new("unwatch", 1, FAST, Group::Transactions, unwatch).docs(
        "2.2.0",
        "Forgets all watched keys.",
        "O(1)",
        "",
    ),
];

fn multi(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    if turn.session.multi.is_some() {
        return Err(ReplyError::fixed("ERR MULTI calls can not be nested"));
    }
    turn.session.multi = Some(Multi::default());
    show_multi(turn);
    turn.reply().ok();
    Ok(())
}

fn discard(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    if turn.session.multi.is_none() {
        return Err(ReplyError::fixed("ERR DISCARD without MULTI"));
    }
    end(turn);
    turn.reply().ok();
    Ok(())
}

fn watch(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    if turn.session.multi.is_some() {
        return Err(ReplyError::fixed("ERR WATCH inside MULTI is not allowed"));
    }
    let session = &mut *turn.session;
    for name in &args[1..] {
        let mut was_live = false;
        if session.watches.iter().any(|watch| watch.db == session.db && watch.name == *name) {
            continue;
        }
        let key = Key::new(name);
        let now = turn.lp.now.unix_ms;
        let flag = &session.watch_flag;
        // A replica leaves that to its primary; during CLIENT PAUSE it stays as it is.
        let follows = turn.lp.keeps_expired(turn.engine);
        turn.engine.shards.visit(turn.engine.shards.of(key.hash), |shard| {
            // A key that is past its time already is the same as absent, and its deletion later
            // is no change: so it is deleted first, which other watchers are told of.
            let db = shard.db(session.db);
            let found = db.find(key);
            let expired = found.filter(|slot| db.entry(*slot).expiry.is_some_and(|at| at < now));
            was_live = found.is_some() && expired.is_none();
            if let Some(slot) = expired.filter(|_| !follows) {
                let old = shard.db_mut(session.db).remove(slot);
                turn.lp.bin.free(old);
                shard.mark_changed(session.db, name);
                if turn.engine.log.is_on() {
                    let mut effects = ochre_keyspace::log::Effects::default();
                    effects.push(session.db, [&b"DEL"[..], name].iter());
                    turn.engine.log.append(&effects);
                }
            }
            shard.watch(session.db, name, Arc::clone(flag));
        });
        session.watches.push(Watch { db: session.db, name: name.to_vec(), was_live });
    }
    session.info.watching.store(session.watches.len() as u32, Ordering::Relaxed);
    turn.reply().ok();
    Ok(())
}

fn unwatch(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    end_watches(turn);
    turn.reply().ok();
    Ok(())
}

/// Ends all watches of the session; their shards hear of it later when a script holds them.
fn end_watches(turn: &mut Turn<'_>) {
    if turn.lp.in_place {
        turn.session.void_watches = !turn.session.watches.is_empty();
        turn.session.info.watching.store(0, Ordering::Relaxed);
    } else {
        drop_watches(turn.engine, turn.session);
    }
}

/// Forgets all watches of a session.
pub fn drop_watches(engine: &crate::engine::Engine, session: &mut Session) {
    for Watch { db, name, .. } in session.watches.drain(..) {
        let id = engine.shards.of(hash(&name));
        engine.shards.visit(id, |shard| shard.unwatch(db, &name, &session.watch_flag));
    }
    forget_watches(session);
}

/// What is left to do when no shard knows of a session's watches any more.
fn forget_watches(session: &mut Session) {
    session.void_watches = false;
    session.info.watching.store(0, Ordering::Relaxed);
    // A fresh flag: somebody may be about to raise the old one.
    session.watch_flag = Arc::new(AtomicBool::new(false));
}

/// Ends a transaction without running it.
pub(crate) fn end(turn: &mut Turn<'_>) {
    turn.session.multi = None;
    show_multi(turn);
    end_watches(turn);
}

fn exec(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let Some(multi) = turn.session.multi.take() else {
        return Err(ReplyError::fixed("ERR EXEC without MULTI"));
    };
    show_multi(turn);
    if multi.aborted {
        drop_watches(turn.engine, turn.session);
        return Err(ReplyError::fixed(
            "EXECABORT Transaction discarded because of previous errors.",
        ));
    }
    let engine = turn.engine;
    let mut locked = plan(turn, &multi.queue).lock(&engine.shards);
    let writes =
        |queued: &Queued| engine.registry.row(queued.row).spec.flags.contains(Flags::WRITE);
    if multi.queue.iter().any(writes) {
        locked = crate::blocking::with_destinations(engine, locked);
    }
    let dirty = is_dirty(turn, &locked);
    // Before the queue runs, as the peers do, and under the locks that are held: an UNWATCH in the
    // queue finds nothing to take a lock for.
    for Watch { db, name, .. } in turn.session.watches.drain(..) {
        locked.shard_mut(hash(&name)).unwatch(db, &name, &turn.session.watch_flag);
    }
    forget_watches(turn.session);
    if dirty {
        turn.reply().null_array();
        return Ok(());
    }
    turn.reply().array(multi.queue.len());
    for queued in &multi.queue {
        let args: Vec<&[u8]> = queued.args.iter().map(Vec::as_slice).collect();
        locked = run_one(turn, locked, engine.registry.row(queued.row), &args);
    }
    execute::conclude_transaction(turn, &mut locked);
    Ok(())
}

/// The locks of all queued commands and of the watched keys.
fn plan(turn: &Turn<'_>, queue: &[Queued]) -> Plan {
    let shards = &turn.engine.shards;
    let mut plan = Plan::none();
    for watch in &turn.session.watches {
        plan.add_hash(shards, hash(&watch.name));
    }
    for queued in queue {
        let row = turn.engine.registry.row(queued.row);
        if row.spec.flags.intersects(Flags::WALKS_SHARDS.union(Flags::ALL_KEYS)) {
            return Plan::All;
        }
        let args: Vec<&[u8]> = queued.args.iter().map(Vec::as_slice).collect();
        plan.add_command(shards, &row.spec, &args);
    }
    plan
}

/// Whether a watched key changed or expired since WATCH. All their shards are locked.
fn is_dirty(turn: &Turn<'_>, locked: &Locked<'static>) -> bool {
    let now = turn.lp.now.unix_ms;
    turn.session.watch_flag.load(Ordering::Acquire)
        || turn.session.watches.iter().filter(|watch| watch.was_live).any(|watch| {
            let key = Key::new(&watch.name);
            let db = locked.db(watch.db, key);
            db.find(key).is_some_and(|slot| db.entry(slot).expiry.is_some_and(|at| at < now))
        })
}

/// Runs one queued command. A session command is lent the locks by way of the turn.
fn run_one(
    turn: &mut Turn<'_>,
    mut locked: Locked<'static>,
    row: &'static Row,
    args: &[&[u8]],
) -> Locked<'static> {
    let clock = turn.engine.host.ticks_ns();
    let before = turn.out.pending();
    if crate::monitor::is_on(turn.engine) {
        crate::monitor::feed(turn, row, args);
    }
    if !turn.session.access.unrestricted
        && let Err(error) = crate::acl::check_again(turn, row, args)
    {
        execute::fail(turn, row, &error);
        return locked;
    }
    match row.run {
        Run::Data => execute::run_in_transaction(turn, &mut locked, row, args),
        Run::Session(run) => {
            let start = turn.out.buffer().len();
            turn.held = Some(locked);
            let result = run(turn, args, row);
            // Nobody but this function takes the locks back.
            locked = turn.held.take().unwrap_or_else(|| turn.engine.shards.lock_none());
            if let Err(error) = result {
                turn.out.buffer().truncate(start);
                execute::fail(turn, row, &error);
            }
        }
    }
    let time = turn.engine.host.ticks_ns().saturating_sub(clock);
    let replied = turn.out.pending().saturating_sub(before);
    turn.count_call(row, args, time, replied);
    locked
}
