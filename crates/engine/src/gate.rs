//! The gate: the one ordered list of reasons for which a command does not run. No other file refuses
//! one.
//!
//! Order, as the peers': unknown command, arity, authentication, protected commands, access rules, memory, listening
//! clients, replicas, trouble with the disk, loading, queueing in a transaction, pause.

use ochre_command::ReplyError;
use ochre_command::outcome::wrong_arity;
use ochre_command::spec::{Flags, Group};
use ochre_config::Compat;
use ochre_keyspace::evict::Order;

use crate::acl;
use crate::apply;
use crate::blocking;
use crate::commands::{migrate, transaction};
use crate::engine::Engine;
use crate::engine::Pause;
use crate::following;
use crate::registry::Row;
use crate::tracking;
use crate::turn::{LoopState, Turn};

/// What becomes of a command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It runs now.
    Run,
    /// It is queued for EXEC.
    Queue,
    /// It waits for the end of a pause.
    Wait,
    /// It is refused.
    Refuse(ReplyError),
}

const NO_AUTH: ReplyError = ReplyError::fixed("NOAUTH Authentication required.");
const NO_REPLICAS: ReplyError = ReplyError::fixed("NOREPLICAS Not enough good replicas to write.");
const OOM: ReplyError =
    ReplyError::fixed("OOM command not allowed when used memory > 'maxmemory'.");

/// The text for a name that is no command.
pub(crate) fn unknown_command(args: &[&[u8]]) -> ReplyError {
    let cut = |bytes: &[u8], max: usize| {
        String::from_utf8_lossy(&bytes[..bytes.len().min(max)]).into_owned()
    };
    let name = cut(args[0], 128);
    let mut rest = String::new();
    for arg in &args[1..] {
        if rest.len() >= 128 {
            break;
        }
        rest.push_str(&format!("'{}' ", cut(arg, 128 - rest.len().min(127))));
    }
    ReplyError::new(format!("ERR unknown command '{name}', with args beginning with: {rest}"))
}

/// Checks a command that has a row. See the module's head.
// HOT PATH: a handful of tests on fields that are in the cache; no lock, no allocation.
#[inline]
pub(crate) fn check(turn: &mut Turn<'_>, row: &Row, args: &[&[u8]]) -> Verdict {
    let flags = row.spec.flags;
    if turn.lp.applies {
        return apply::check(turn, row, args);
    }
    if turn.session.void_watches && !turn.lp.in_place {
        transaction::drop_watches(turn.engine, turn.session);
    }
    if !row.spec.accepts(args.len()) {
        return Verdict::Refuse(arity_error(row));
    }
    if turn.session.access.version != turn.engine.acl.version()
        && let Err(error) = acl::refresh(turn)
    {
        return Verdict::Refuse(error);
    }
    if !turn.session.access.authenticated && !flags.contains(Flags::NO_AUTH) {
        return Verdict::Refuse(NO_AUTH);
    }
    if !row.subcommands.is_empty() && args.len() > 1 {
        if acl::is_one_command(row)
            && !turn.session.access.unrestricted
            && let Err(error) = protected(turn, row).and_then(|()| acl::check(turn, row, args))
        {
            return Verdict::Refuse(error);
        }
        let error = ochre_command::outcome::unknown_subcommand(row.spec.name, args[1]);
        return Verdict::Refuse(error);
    }
    if flags.contains(Flags::PROTECTED)
        && let Err(error) = protected(turn, row)
    {
        return Verdict::Refuse(error);
    }
    if !turn.session.access.unrestricted
        && let Err(error) = acl::check(turn, row, args)
    {
        return Verdict::Refuse(error);
    }
    if let Some(busy) = turn.engine.scripts.busy()
        && !runs_while_busy(turn, row)
    {
        return Verdict::Refuse(busy);
    }
    let loading = turn.engine.loading.is_on();
    // What is being loaded is not complete: nothing of it is evicted.
    if turn.lp.live.maxmemory > 0 && !turn.lp.in_place && !loading {
        let fits = make_room(turn.engine, turn.lp);
        let wants_room =
            flags.contains(Flags::DENYOOM) || (row.spec.name == "exec" && exec_wants_room(turn));
        if !fits && wants_room {
            return Verdict::Refuse(OOM);
        }
    }
    if turn.session.tracking.is_some() && !turn.lp.in_place {
        tracking::deliver_own(turn);
    }
    if turn.session.only_listens() && !allowed_to_listeners(row) {
        return Verdict::Refuse(ReplyError::new(format!(
            "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET \
             are allowed in this context",
            row.full_name
        )));
    }
    let guarded = turn.lp.live.settings.min_replicas > 0 || turn.engine.saves.has_trouble();
    if guarded
        && says_it_writes(turn, row, args)
        && let Some(error) = cannot_write(turn)
    {
        return Verdict::Refuse(error);
    }
    if turn.lp.follows
        && !turn.lp.in_place
        && let Some(error) = following::refusal(turn, row, args)
    {
        return Verdict::Refuse(error);
    }
    if loading && !runs_while_loading(turn, row) {
        return Verdict::Refuse(loading_error(turn.lp.live.settings.compat));
    }
    if turn.engine.loading.is_aside() && needs_settled_data(turn, row) {
        return Verdict::Refuse(loading_error(turn.lp.live.settings.compat));
    }
    if turn.session.multi.is_some() && !runs_in_multi(row) {
        return queue(row);
    }
    if turn.engine.migrations.hold_any() && migrate::hold::touches(turn, row, args) {
        return Verdict::Wait;
    }
    match turn.engine.pause(turn.lp.now.unix_ms) {
        Pause::Off => Verdict::Run,
        Pause::All => wait(turn, row, true),
        Pause::Write => wait(turn, row, may_write(turn, row, args)),
    }
}

fn arity_error(row: &Row) -> ReplyError {
    wrong_arity(&row.full_name)
}

/// What a command that needs the data is told while it is being loaded.
pub(crate) fn loading_error(compat: Compat) -> ReplyError {
    ReplyError::fixed(match compat {
        Compat::Valkey9 => "LOADING Valkey is loading the dataset in memory",
        _ => "LOADING Redis is loading the dataset in memory",
    })
}

/// Commands that are answered while data is being loaded; EXEC when all of its queue is. What is loaded
/// comes through here too, in nobody's name.
#[cold]
fn runs_while_loading(turn: &Turn<'_>, row: &Row) -> bool {
    let allowed = |row: &Row| row.spec.flags.contains(Flags::LOADING);
    if turn.session.id() == 0 {
        return true;
    }
    if row.spec.name != "exec" {
        return allowed(row);
    }
    let queue = turn.session.multi.iter().flat_map(|multi| &multi.queue);
    queue.into_iter().all(|queued| allowed(turn.engine.registry.row(queued.row)))
}

/// Commands that are not answered while data is being loaded beside what is served; EXEC when one of its queue
/// is such a command.
#[cold]
fn needs_settled_data(turn: &Turn<'_>, row: &Row) -> bool {
    let needs = |row: &Row| row.spec.flags.contains(Flags::NO_ASYNC_LOADING);
    if turn.session.id() == 0 {
        return false;
    }
    let queue = turn.session.multi.iter().flat_map(|multi| &multi.queue);
    let mut queue = queue.filter(|_| row.spec.name == "exec");
    needs(row) || queue.any(|queued| needs(turn.engine.registry.row(queued.row)))
}

/// Commands that act at once inside MULTI.
fn runs_in_multi(row: &Row) -> bool {
    matches!(row.spec.name, "exec" | "discard" | "multi" | "watch" | "quit" | "reset")
        && row.parent.is_none()
}

/// Whether as many replicas are in touch as min-replicas-to-write asks for.
#[cold]
fn has_good_replicas(turn: &Turn<'_>) -> bool {
    let settings = &turn.lp.live.settings;
    let since = turn.lp.now.unix_ms - settings.min_replicas_lag_ms;
    let good = turn.engine.replicas.all().into_iter().filter(|replica| replica.is_good(since));
    good.count() as u64 >= settings.min_replicas
}

/// Why nothing may be written: too few replicas, or what is changed could not be saved.
#[cold]
pub(crate) fn cannot_write(turn: &Turn<'_>) -> Option<ReplyError> {
    let settings = &turn.lp.live.settings;
    if settings.min_replicas > 0 && !turn.lp.follows && !has_good_replicas(turn) {
        return Some(NO_REPLICAS);
    }
    disk_error(turn)
}

/// Why nothing may be written: what is changed could not be saved.
#[cold]
pub(crate) fn disk_error(turn: &Turn<'_>) -> Option<ReplyError> {
    let settings = &turn.lp.live.settings;
    if !turn.engine.saves.has_trouble() {
        return None;
    }
    if let Some(why) = turn.engine.saves.aof_error() {
        return Some(ReplyError::new(format!("MISCONF Errors writing to the AOF file: {why}")));
    }
    let stops = settings.stop_writes_on_save_error
        && !settings.save_points.is_empty()
        && turn.engine.saves.has_failed();
    stops.then_some(ReplyError::fixed(
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to \
         disk. Commands that may modify the data set are disabled, because this instance is \
         configured to report errors during writes if RDB snapshotting fails \
         (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the \
         RDB error.",
    ))
}

/// Commands of a client that listens, in RESP2.
fn allowed_to_listeners(row: &Row) -> bool {
    const NAMES: [&str; 9] = [
        "ping",
        "subscribe",
        "psubscribe",
        "ssubscribe",
        "unsubscribe",
        "punsubscribe",
        "sunsubscribe",
        "quit",
        "reset",
    ];
    row.parent.is_none() && NAMES.contains(&row.spec.name)
}

/// Commands that are answered while a script runs too long; EXEC when all of its queue is.
#[cold]
fn runs_while_busy(turn: &Turn<'_>, row: &Row) -> bool {
    let allowed = |row: &Row| row.spec.flags.contains(Flags::ALLOW_BUSY);
    if turn.lp.in_place && matches!(row.spec.name, "watch" | "exec") {
        // They would wait for locks that the script holds.
        return false;
    }
    if row.spec.name != "exec" {
        return allowed(row);
    }
    let queue = turn.session.multi.iter().flat_map(|multi| &multi.queue);
    queue.into_iter().all(|queued| allowed(turn.engine.registry.row(queued.row)))
}

fn queue(row: &Row) -> Verdict {
    if row.spec.flags.contains(Flags::NO_MULTI) {
        return Verdict::Refuse(ReplyError::fixed("ERR Command not allowed inside a transaction"));
    }
    Verdict::Queue
}

fn wait(turn: &Turn<'_>, row: &Row, holds: bool) -> Verdict {
    // What ends a pause, or ends the client, is never held back.
    let exempt = matches!(row.full_name.as_str(), "client|unpause" | "client|pause" | "quit");
    let exempt = exempt || (row.full_name == "shutdown" && turn.session.multi.is_none());
    if holds && !exempt { Verdict::Wait } else { Verdict::Run }
}

/// Whether a command may write: a script does, unless its flags say that it does not.
pub(crate) fn may_write<A: AsRef<[u8]>>(turn: &Turn<'_>, row: &Row, args: &[A]) -> bool {
    any_in_exec(turn, row, args, &|row, script| {
        script.is_some_and(|script| turn.engine.scripts.may_write(row, script))
    })
}

/// Whether a command says that it writes: a script only by its flags. One without flags is told when it tries.
fn says_it_writes<A: AsRef<[u8]>>(turn: &Turn<'_>, row: &Row, args: &[A]) -> bool {
    any_in_exec(turn, row, args, &|row, script| {
        script.is_some_and(|script| turn.engine.scripts.says_it_writes(row, script))
    })
}

/// Whether a command, or one of those that EXEC would run, is a write by its row, or a script of which
/// `script_writes` says so.
fn any_in_exec<A: AsRef<[u8]>>(
    turn: &Turn<'_>,
    row: &Row,
    args: &[A],
    script_writes: &dyn Fn(&Row, Option<&[u8]>) -> bool,
) -> bool {
    let writes = |row: &Row, script: Option<&[u8]>| {
        row.spec.flags.intersects(Flags::WRITE.union(Flags::MAY_REPLICATE))
            || (row.spec.group == Group::Scripting && script_writes(row, script))
    };
    if row.spec.name == "exec" {
        let queue = turn.session.multi.iter().flat_map(|multi| &multi.queue);
        return queue.into_iter().any(|queued| {
            let script = queued.args.get(1).map(Vec::as_slice);
            writes(turn.engine.registry.row(queued.row), script)
        });
    }
    writes(row, args.get(1).map(AsRef::as_ref))
}

fn exec_wants_room(turn: &Turn<'_>) -> bool {
    let queue = turn.session.multi.iter().flat_map(|multi| &multi.queue);
    queue
        .into_iter()
        .any(|queued| turn.engine.registry.row(queued.row).spec.flags.contains(Flags::DENYOOM))
}

/// DEBUG and MODULE, as enable-debug-command and enable-module-command say.
fn protected(turn: &Turn<'_>, row: &Row) -> Result<(), ReplyError> {
    let settings = &turn.lp.live.settings;
    let (name, option, guard) = match row.full_name.starts_with("module|") {
        true => ("MODULE", "enable-module-command", settings.module_command),
        false => ("DEBUG", "enable-debug-command", settings.debug_command),
    };
    let info = &turn.session.info;
    let local = info.is_unix || info.addr.starts_with("127.") || info.addr.starts_with("[::1]");
    if guard.allows(local) {
        return Ok(());
    }
    Err(ReplyError::new(format!(
        "ERR {name} command not allowed. If the {option} option is set to \"local\", you can run it \
         from a local connection, otherwise you need to set this option in the configuration file, \
         and then restart the server."
    )))
}

/// Evicts until memory is below maxmemory, or for as long as the tenacity allows; false when it stays
/// above and nothing more can go.
#[cold]
pub fn make_room(engine: &'static Engine, lp: &mut LoopState) -> bool {
    let limit = lp.live.maxmemory;
    if lp.follows && lp.live.settings.replica.ignore_maxmemory {
        // What goes, goes by the primary's word.
        return true;
    }
    if ochre_base::memory::used() <= limit || engine.pause(lp.now.unix_ms) != Pause::Off {
        // CLIENT PAUSE promises that the data stays as it is.
        return true;
    }
    if lp.live.policy == ochre_keyspace::evict::Policy::NoEviction {
        return false;
    }
    let order = Order {
        policy: lp.live.policy,
        samples: lp.live.settings.maxmemory_samples as usize,
        clock: lp.access_clock(),
    };
    let start = engine.host.ticks_ns();
    let patience = patience_ns(lp.live.settings.eviction_tenacity);
    let mut evicted = 0u64;
    let fits = loop {
        if !lp.evictor.evict_one(&engine.shards, &order, &engine.log, &lp.bin, engine) {
            break ochre_base::memory::used() <= limit;
        }
        evicted += 1;
        if ochre_base::memory::used() <= limit {
            break true;
        }
        // A large value on its way to the freeing thread is still counted: the clock bounds the
        // wait, and the command goes on, as the peers' does while eviction is making progress.
        if evicted.is_multiple_of(16) && engine.host.ticks_ns() - start > patience {
            break true;
        }
    };
    engine.stats(lp.index).evicted_keys += evicted;
    if !lp.evictor.gone.is_empty() {
        let mut gone = std::mem::take(&mut lp.evictor.gone);
        blocking::tell_of_gone(engine, lp, &mut gone);
    }
    fits
}

/// maxmemory-eviction-tenacity: 0 is no time, 10 is 500 us, 100 is no limit; above 10 each step is
/// 15 % more.
fn patience_ns(tenacity: u32) -> u64 {
    match tenacity {
        0..=10 => 50_000 * u64::from(tenacity),
        11..=99 => (500_000.0 * 1.15f64.powi(tenacity as i32 - 10)) as u64,
        _ => u64::MAX,
    }
}
