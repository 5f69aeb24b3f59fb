//! Running one command: gate, locks, handler, waiting clients, log, counts.

use std::cell::Cell;

use ochre_command::ctx::Block;
use ochre_command::data::Data;
use ochre_command::spec::{Flags, Group};
use ochre_command::{Ctx, Key, ReplyError};
use ochre_keyspace::lock::Locked;
use ochre_resp::Reply;

use crate::gate::{self, Verdict};
use crate::lockplan::Plan;
use crate::registry::{Row, Run};
use crate::session::{FLAG_MULTI, Queued, ReplyMode};
use crate::turn::{Turn, env};
use crate::{apply, blocking, monitor, tracking};

/// What became of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It ran.
    Done,
    /// It was refused, or queued for EXEC.
    Unrun,
    /// It waits for the end of a pause: it will be tried again, so its bytes stay.
    Wait,
}

/// Runs one command. `keys` are its keys, hashed, when it is a data command.
// HOT PATH: a small GET or SET allocates nothing from here to the log.
#[inline]
pub(crate) fn execute<'a>(
    turn: &mut Turn<'_>,
    args: &'a [&'a [u8]],
    row: Option<&'static Row>,
    keys: &'a [Key<'a>],
) -> Step {
    let start = turn.out.buffer().len();
    let Some(row) = row else {
        refuse(turn, None, &gate::unknown_command(args));
        finish_reply(turn, None, start);
        return Step::Unrun;
    };
    let mut step = Step::Done;
    match gate::check(turn, row, args) {
        Verdict::Wait => return Step::Wait,
        Verdict::Refuse(error) => {
            refuse(turn, Some(row), &error);
            step = Step::Unrun;
        }
        Verdict::Queue => {
            queue(turn, row, args);
            step = Step::Unrun;
        }
        Verdict::Run => {
            // A transaction is shown with its commands before the EXEC.
            let is_exec = matches!(row.run, Run::Session(_)) && row.spec.name == "exec";
            if !is_exec && monitor::is_on(turn.engine) {
                monitor::feed(turn, row, args);
            }
            run(turn, row, args, keys);
            if is_exec && monitor::is_on(turn.engine) {
                monitor::feed(turn, row, args);
            }
            if turn.session.tracking.is_some() {
                tracking::after_command(turn, row);
            }
        }
    }
    finish_reply(turn, Some(row), start);
    step
}

fn run<'a>(turn: &mut Turn<'_>, row: &'static Row, args: &'a [&'a [u8]], keys: &'a [Key<'a>]) {
    match row.run {
        Run::Data => run_data(turn, row, args, keys),
        Run::Session(run) => {
            // Scripts do not look at the counts; most others may.
            if row.spec.group != Group::Scripting {
                turn.flush_counts();
            }
            let start = turn.out.buffer().len();
            if let Err(error) = run(turn, args, row) {
                turn.out.buffer().truncate(start);
                fail(turn, row, &error);
            }
        }
    }
}

/// Takes the locks of a data command and runs it.
fn run_data<'a>(turn: &mut Turn<'_>, row: &'static Row, args: &'a [&'a [u8]], keys: &'a [Key<'a>]) {
    let engine = turn.engine;
    let mut locked = match keys {
        [key] => engine.shards.lock_one(engine.shards.of(key.hash)),
        _ if row.spec.flags.contains(Flags::ALL_KEYS) => engine.shards.lock_all(),
        [] => engine.shards.lock_none(),
        _ => {
            let mut plan = Plan::none();
            plan.add_keys(&engine.shards, keys);
            plan.lock(&engine.shards)
        }
    };
    if row.spec.flags.contains(Flags::WRITE) {
        locked = blocking::with_destinations(engine, locked);
    }
    let (error, block) = {
        let lp = &mut *turn.lp;
        let env = env!(engine, lp, turn.session.no_touch);
        let mut data = Data {
            locked: &mut locked,
            db: turn.session.db,
            env: &env,
            work: &mut lp.work,
            keys,
            next: Cell::new(0),
        };
        if keys.len() > 1 {
            data.prefetch();
        }
        let reply = Reply::new(turn.out.buffer(), turn.session.protocol);
        let (error, block) = call(&mut data, reply, row, args, !lp.applies);
        conclude(engine, &mut data);
        (error, block)
    };
    if let Some(block) = block {
        blocking::enqueue(turn, &mut locked, row, block);
    }
    if turn.session.tracking.is_some() {
        tracking::remember(engine, turn.session, &mut locked, row, args);
    }
    drop(locked);
    splice_blobs(turn);
    if let Some(error) = error {
        fail(turn, row, &error);
    }
}

/// Calls a handler under locks that are held, and collects its effects. On an error the reply is
/// what it was before.
pub(crate) fn call(
    data: &mut Data<'_>,
    mut reply: Reply<'_>,
    row: &Row,
    args: &[&[u8]],
    may_block: bool,
) -> (Option<ReplyError>, Option<Block>) {
    let before = data.begin();
    data.work.writes = row.spec.flags.contains(Flags::WRITE);
    let start = reply.len();
    let db = data.db;
    let keys = data.keys;
    let lent = Data { keys, ..data.lend(db) };
    let mut ctx =
        Ctx { args, spec: &row.spec, data: lent, reply: reply.lend(), may_block, block: None };
    let result = (row.spec.handler)(&mut ctx);
    let block = ctx.block.take();
    drop(ctx);
    data.finish(before, args);
    match result {
        Ok(()) => (None, block),
        Err(error) => {
            reply.truncate(start);
            data.work.blobs.retain(|(at, _)| *at <= start);
            (Some(error), None)
        }
    }
}

/// Before the locks are let go: serves who waited for what changed, and logs all effects.
#[inline]
pub(crate) fn conclude(engine: &'static crate::engine::Engine, data: &mut Data<'_>) {
    if !data.work.ready.is_empty() {
        // What serving changes follows in records of its own, as the peers log it.
        log_effects(engine, data);
        blocking::serve(engine, data);
    }
    if data.work.flushed {
        data.work.flushed = false;
        tracking::invalidate_all(engine, data.locked);
    }
    if !data.work.stale.is_empty() || !data.work.changed_keys.is_empty() {
        tracking::send(engine, data.work);
    }
    log_effects(engine, data);
}

/// Appends what was collected as one record.
#[inline]
pub(crate) fn log_effects(engine: &'static crate::engine::Engine, data: &mut Data<'_>) {
    if !data.work.raw.is_empty() {
        apply::commit(engine, data.work, data.db);
    } else if !data.work.effects.is_empty() {
        data.work.logged_to = engine.log.append(&data.work.effects);
        data.work.effects.clear();
    }
}

/// Moves large strings that handlers referenced into the output.
#[inline]
pub(crate) fn splice_blobs(turn: &mut Turn<'_>) {
    if !turn.lp.work.blobs.is_empty() {
        for (at, blob) in turn.lp.work.blobs.drain(..) {
            turn.out.splice(at, blob);
        }
    }
}

fn queue(turn: &mut Turn<'_>, row: &Row, args: &[&[u8]]) {
    if let Some(multi) = &mut turn.session.multi {
        let args: Vec<Vec<u8>> = args.iter().map(|arg| arg.to_vec()).collect();
        multi.bytes += args.iter().map(|arg| arg.capacity() + size_of::<Vec<u8>>()).sum::<usize>();
        multi.queue.push(Queued { row: row.id, args });
        let info = &turn.session.info;
        let relaxed = std::sync::atomic::Ordering::Relaxed;
        info.multi.store(multi.queue.len() as u32 + 1, relaxed);
        info.multi_bytes.store(multi.bytes as u64, relaxed);
        turn.reply().queued();
    }
}

/// Answers with an error before the command ran; inside MULTI it dooms the transaction.
#[cold]
fn refuse(turn: &mut Turn<'_>, row: Option<&Row>, error: &ReplyError) {
    if row.is_some_and(|row| row.spec.name == "exec") {
        // EXEC refused (out of memory, say) ends the transaction.
        crate::commands::transaction::end(turn);
        let reason = error.0.strip_prefix("ERR ").unwrap_or(&error.0);
        let error =
            ReplyError::new(format!("EXECABORT Transaction discarded because of: {reason}"));
        turn.reply().error(error.0.as_bytes());
        turn.count_error(row, true, &error);
        return;
    }
    if let Some(multi) = &mut turn.session.multi {
        multi.aborted = true;
    }
    turn.reply().error(error.0.as_bytes());
    turn.count_error(row, true, error);
}

/// Answers with the error of a command that ran.
#[cold]
pub(crate) fn fail(turn: &mut Turn<'_>, row: &Row, error: &ReplyError) {
    turn.reply().error(error.0.as_bytes());
    turn.count_error(Some(row), false, error);
}

/// Drops the reply when CLIENT REPLY says so.
#[inline]
fn finish_reply(turn: &mut Turn<'_>, row: Option<&Row>, start: usize) {
    match turn.session.reply_mode {
        ReplyMode::On => return,
        ReplyMode::Off => {}
        ReplyMode::Skip => turn.session.reply_mode = ReplyMode::On,
        ReplyMode::SkipNext => {
            turn.session.reply_mode = ReplyMode::Skip;
            return;
        }
    }
    // A confirmation of SUBSCRIBE and its kin is a push, not a reply.
    const LISTENS: Flags = Flags::PUBSUB.union(Flags::NOSCRIPT);
    if !row.is_some_and(|row| row.spec.flags.contains(LISTENS)) {
        turn.out.retract(start);
    }
}

/// Notes in the shared part whether the session is in a transaction.
pub(crate) fn show_multi(turn: &Turn<'_>) {
    let info = &turn.session.info;
    let relaxed = std::sync::atomic::Ordering::Relaxed;
    let (count, bytes) = match &turn.session.multi {
        Some(multi) => (multi.queue.len() as u32 + 1, multi.bytes as u64),
        None => (0, 0),
    };
    info.multi.store(count, relaxed);
    info.multi_bytes.store(bytes, relaxed);
    info.set_flag(FLAG_MULTI, turn.session.multi.is_some());
}

/// Runs a data command under locks that are held, its reply to the session's output: for EXEC.
pub(crate) fn run_in_transaction(
    turn: &mut Turn<'_>,
    locked: &mut Locked<'static>,
    row: &'static Row,
    args: &[&[u8]],
) {
    let engine = turn.engine;
    let error = {
        let lp = &mut *turn.lp;
        let env = env!(engine, lp, turn.session.no_touch);
        let mut data = Data {
            locked,
            db: turn.session.db,
            env: &env,
            work: &mut lp.work,
            keys: &[],
            next: Cell::new(0),
        };
        let reply = Reply::new(turn.out.buffer(), turn.session.protocol);
        call(&mut data, reply, row, args, false).0
    };
    if turn.session.tracking.is_some() {
        tracking::remember(engine, turn.session, locked, row, args);
    }
    splice_blobs(turn);
    if let Some(error) = error {
        fail(turn, row, &error);
    }
}

/// After the last command of a transaction, before its locks are let go.
pub(crate) fn conclude_transaction(turn: &mut Turn<'_>, locked: &mut Locked<'static>) {
    let engine = turn.engine;
    let lp = &mut *turn.lp;
    let env = env!(engine, lp, turn.session.no_touch);
    let mut data = Data {
        locked,
        db: turn.session.db,
        env: &env,
        work: &mut lp.work,
        keys: &[],
        next: Cell::new(0),
    };
    conclude(engine, &mut data);
}
