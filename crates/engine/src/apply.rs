//! Applying a primary's stream: its commands run through the same door as clients', and its bytes go to the log
//! as they came.
//!
//! **Log and data stay together.** The log of a replica holds the primary's bytes ([`ochre_keyspace::log`]), so
//! effects are not collected while it follows. The bytes of the command at hand are kept in `Work::raw` instead,
//! and where a command's effects would be appended, under its locks, these bytes are (`commit`). A snapshot cut
//! holds all locks, so it finds a command's effects and its bytes both or neither. A transaction's bytes are kept
//! from MULTI to EXEC and appended as one piece, under the locks of EXEC; an offset is therefore never within one.
//! What changes no data (PING, SELECT, a command that fails) is appended when it has run, without a lock: where
//! a cut falls then makes no difference, but for the selected database, which the log notes with the bytes.
//!
//! **What a primary may.** It is obeyed: no access rules, no limit of memory, no pause, no role. Nothing that
//! would turn its link into something else (a listener, a replica, a blocked client) is accepted. Keys do not
//! expire for it: it deletes them itself, and until then its commands may count on them.
//!
//! Failure: a command that gives an error is logged and passed over, as the peers do; its bytes are in the log
//! all the same, for offsets must agree.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ochre_base::clock::Now;
use ochre_command::ReplyError;
use ochre_command::data::Work;
use ochre_command::spec::Flags;
use ochre_keyspace::db::Db;
use ochre_keyspace::lazyfree::Bin;
use ochre_keyspace::shard::DbIndex;
use ochre_resp::{Output, Parser};

use crate::engine::Engine;
use crate::gate::{self, Verdict};
use crate::pipeline::{Processed, process};
use crate::registry::{Row, Run};
use crate::session::{ClientInfo, FLAG_PRIMARY, Session};
use crate::tracking;
use crate::turn::{LoopState, Turn};

/// Errors of the stream that are logged one by one; later ones are only counted.
const ERRORS_SHOWN: u64 = 20;
/// Bytes of an error that are logged.
const ERROR_SHOWN: usize = 200;

/// Runs a primary's commands. See the module's head.
#[derive(Debug)]
pub struct Applier {
    engine: &'static Engine,
    lp: LoopState,
    session: Session,
    parser: Parser,
    out: Output,
}

impl Applier {
    /// For the pseudo-client `info`, from where `db` is selected.
    pub fn new(engine: &'static Engine, bin: Bin, info: Arc<ClientInfo>, db: DbIndex) -> Self {
        let mut lp = LoopState::new(engine, 0, bin, info.id);
        (lp.applies, lp.follows) = (true, true);
        info.set_flag(FLAG_PRIMARY, true);
        let mut session = Session::new(info, true);
        session.access.unrestricted = true;
        session.access.authenticated = true;
        session.select(db);
        Self { engine, lp, session, parser: Parser::new(), out: Output::default() }
    }

    /// Runs the complete commands at the start of `bytes`; the caller has the right to apply
    /// ([`crate::following::Following::begin_batch`]).
    pub fn run(&mut self, bytes: &mut [u8], now: Now) -> Processed {
        self.lp.begin_turn(self.engine, now);
        let done = process(
            self.engine,
            &mut self.lp,
            &mut self.session,
            &mut self.parser,
            bytes,
            &mut self.out,
        );
        // Nobody waits for a reply or for a turn of this loop.
        self.out.retract(0);
        self.lp.attention.clear();
        done
    }
}

impl Applier {
    /// Whether the primary has asked for an acknowledgement since the last time.
    pub fn was_asked(&mut self) -> bool {
        std::mem::take(&mut self.session.ack_wanted)
    }
}

/// Removes all data and functions: before another server's are loaded. The history ends here. The old tables
/// are freed on the calling thread, or behind it (`lazy`).
pub fn empty(engine: &'static Engine, bin: &Bin, now: Now, lazy: bool) {
    let mut tables = Vec::new();
    {
        let mut locked = engine.shards.lock_all();
        engine.replicas.forget_history();
        for shard in locked.each_mut() {
            for index in 0..shard.dbs().len() as DbIndex {
                shard.mark_db_changed(index, None, now.unix_ms);
                tables.push(shard.take_db(index).0);
            }
        }
        tracking::invalidate_all(engine, &mut locked);
        engine.scripts.clear_libraries();
    }
    for table in tables {
        if lazy {
            bin.free_db(table);
        }
    }
}

/// Puts other data in the place of all there is, with its history `id` at `offset`, where `db` is selected. `fresh`
/// has the databases of each shard. Functions are removed. The old tables are freed on the calling thread, or behind
/// it (`lazy`).
pub fn exchange(
    engine: &'static Engine,
    (bin, lazy): (&Bin, bool),
    now: Now,
    fresh: Vec<Vec<Db>>,
    (id, offset, db): (String, u64, DbIndex),
) {
    let mut tables = Vec::new();
    {
        let mut locked = engine.shards.lock_all();
        for (shard, fresh) in locked.each_mut().zip(fresh) {
            let count = shard.dbs().len().max(fresh.len());
            let fresh = fresh.into_iter().chain(std::iter::repeat_with(Db::default));
            for (index, new) in (0..count as DbIndex).zip(fresh) {
                shard.mark_db_changed(index, Some(&new), now.unix_ms);
                tables.push(shard.take_db(index).0);
                shard.put_db(index, new);
            }
        }
        tracking::invalidate_all(engine, &mut locked);
        engine.scripts.clear_libraries();
        engine.log.restart_at(offset, Some(db));
        engine.replicas.join_history(id);
    }
    for table in tables {
        if lazy {
            bin.free_db(table);
        }
    }
}

/// Before a command of the stream runs: its bytes are at hand.
pub(crate) fn begin(turn: &mut Turn<'_>, raw: &[u8]) {
    turn.lp.work.raw.extend_from_slice(raw);
}

/// After it: what no lock was needed for is appended now.
pub(crate) fn end(turn: &mut Turn<'_>, reply_start: usize) {
    let reply = turn.out.buffer().get(reply_start..).unwrap_or_default();
    if reply.first() == Some(&b'-') {
        let line = reply.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let text = String::from_utf8_lossy(&line[..line.len().min(ERROR_SHOWN)]).into_owned();
        let count = turn.engine.replicas.stream_errors.fetch_add(1, Ordering::Relaxed);
        if count < ERRORS_SHOWN {
            let text = format!("A command of the primary's stream failed: {text}");
            turn.engine.host.log(&text);
        }
    }
    turn.out.retract(reply_start);
    turn.session.close_after_reply = false;
    if turn.session.multi.is_none() {
        commit(turn.engine, &mut turn.lp.work, turn.session.db);
    }
}

/// Appends the bytes at hand to the log. `db` is selected after them.
pub(crate) fn commit(engine: &Engine, work: &mut Work, db: DbIndex) {
    work.effects.clear();
    if !work.raw.is_empty() {
        engine.log.append_raw(&work.raw, db);
        work.raw.clear();
    }
}

/// The gate of a primary's commands.
#[cold]
pub(crate) fn check(turn: &Turn<'_>, row: &Row, args: &[&[u8]]) -> Verdict {
    if !row.spec.accepts(args.len()) {
        return Verdict::Refuse(ochre_command::outcome::wrong_arity(&row.full_name));
    }
    if !row.subcommands.is_empty() || !is_for_replicas(row) {
        return Verdict::Refuse(ReplyError::new(format!(
            "ERR '{}' is not accepted from a primary",
            row.full_name
        )));
    }
    if turn.engine.saves.has_trouble() && row.spec.flags.contains(Flags::WRITE) {
        look_at_disk(turn);
    }
    let ends_multi = matches!(row.spec.name, "exec" | "discard" | "multi");
    if turn.session.multi.is_some() && !ends_multi {
        return Verdict::Queue;
    }
    Verdict::Run
}

/// What the primary writes cannot be written to our disk: unless that is to be ignored the process ends, so that
/// nobody takes a replica for a safe one that is not.
#[cold]
fn look_at_disk(turn: &Turn<'_>) {
    if gate::disk_error(turn).is_none() {
        return;
    }
    if !turn.lp.live.settings.replica.ignore_disk_errors {
        turn.engine.host.fail("Replica was unable to write command to disk.");
    }
    if turn.engine.saves.is_time_to_complain(turn.lp.now.unix_ms) {
        let text = "Replica is applying a command even though it is unable to write to disk.";
        turn.engine.host.log(text);
    }
}

/// Whether a command may stand in a stream.
fn is_for_replicas(row: &Row) -> bool {
    const ALONE: [&str; 9] =
        ["multi", "exec", "discard", "select", "ping", "echo", "replconf", "publish", "spublish"];
    const SCRIPTS: [&str; 5] = ["eval", "evalsha", "fcall", "script", "function"];
    matches!(row.run, Run::Data)
        || ALONE.contains(&row.spec.name)
        || SCRIPTS.iter().any(|name| {
            row.full_name == *name
                || row.full_name.strip_prefix(name).is_some_and(|rest| rest.starts_with('|'))
        })
}
