//! From bytes to commands, a batch at a time: parse as many complete commands as there are, look up their
//! rows, hash their first keys and prefetch what they will touch, then run them in order.
//!
//! Prefetching reads shared structures, so it takes each key's lock for the moment it needs (some 5 ns;
//! a lock that is held elsewhere is skipped). Two passes: the bucket first, and once that is on its
//! way for all commands, the entries it points at. A batch of one goes without.

use std::sync::atomic::Ordering;

use ochre_command::Key;
use ochre_command::keys::each_key;
use ochre_command::spec::{Group, KeyFlags};
use ochre_keyspace::db::Db;
use ochre_resp::request::Args;
use ochre_resp::{Limits, Output, Parsed, Parser};
use ochre_types::table::Stage;
use smallvec::SmallVec;

use crate::apply;
use crate::engine::Engine;
use crate::execute::{Step, execute};
use crate::registry::{Row, Run};
use crate::session::Session;
use crate::turn::{LoopState, Turn};

/// Commands parsed ahead: enough memory accesses in flight for one core.
const BATCH: usize = 16;

/// Keys of a script that are fetched ahead: with sixteen scripts, no more than the first cache holds.
const SCRIPT_KEYS: usize = 4;
/// Calls that a loop may note before they go into the shared statistics.
const CALLS_KEPT: usize = 512;

/// What one call consumed, and why it stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Processed {
    /// Bytes that are dealt with.
    pub consumed: usize,
    /// Bytes that the command under way needs, from the first that is not consumed; 0 when it stopped
    /// for another reason.
    pub wanted: usize,
    /// The stream is broken: write the output, then close.
    pub broken: bool,
}

struct Command {
    /// Its arguments are `flat[from..to]`.
    from: usize,
    to: usize,
    /// Bytes of the batch up to its end.
    end: usize,
    row: Option<&'static Row>,
    /// Its keys are `keys[keys_from..keys_to]`.
    keys_from: usize,
    keys_to: usize,
}

/// Runs the complete commands at the start of `bytes`, until there is none, the session has to wait, or
/// it is to be closed.
pub fn process(
    engine: &'static Engine,
    lp: &mut LoopState,
    session: &mut Session,
    parser: &mut Parser,
    bytes: &mut [u8],
    out: &mut Output,
) -> Processed {
    let mut done = 0;
    lp.work.writer = session.id();
    loop {
        let batch = run_batch(engine, lp, session, parser, &mut bytes[done..], out);
        done += batch.consumed;
        let more = batch.full && !session.is_waiting() && !session.close_after_reply;
        if !more {
            let mut turn = Turn { engine, lp, session, out, held: None };
            if turn.lp.defers_counts && turn.lp.calls.len() < CALLS_KEPT {
                turn.count_for_client();
            } else {
                turn.flush_counts();
            }
            return Processed { consumed: done, wanted: batch.wanted, broken: batch.broken };
        }
    }
}

struct Batch {
    consumed: usize,
    wanted: usize,
    broken: bool,
    /// There may be more complete commands behind.
    full: bool,
}

fn run_batch(
    engine: &'static Engine,
    lp: &mut LoopState,
    session: &mut Session,
    parser: &mut Parser,
    bytes: &mut [u8],
    out: &mut Output,
) -> Batch {
    let limits =
        Limits { max_bulk_len: lp.live.string_max as u64, authenticated: session.authenticated };
    // Limits change with AUTH, so an unauthenticated client's commands are parsed one at a time.
    let most = if session.authenticated { BATCH } else { 1 };
    let mut ranges: SmallVec<[(u32, u32); 64]> = SmallVec::new();
    let mut ends: SmallVec<[(usize, usize); BATCH]> = SmallVec::new();
    let mut args = Args::new();
    let (mut at, mut wanted, mut full, mut error) = (0, 0, false, None);
    loop {
        if ends.len() == most {
            full = true;
            break;
        }
        match parser.next(&mut bytes[at..], &limits, &mut args) {
            Parsed::Complete { consumed } => {
                ranges.extend(args.iter().map(|r| (at as u32 + r.start, r.len)));
                at += consumed;
                ends.push((ranges.len(), at));
            }
            Parsed::Skipped { consumed } => at += consumed,
            Parsed::Incomplete { wanted: needed } => {
                wanted = needed;
                break;
            }
            Parsed::Error(broken) => {
                error = Some(broken);
                break;
            }
        }
    }
    let parsed_to = at;
    let bytes = &*bytes;
    let mut flat: SmallVec<[&[u8]; 64]> = ranges
        .iter()
        .map(|&(start, len)| &bytes[start as usize..start as usize + len as usize])
        .collect();
    let mut commands: SmallVec<[Command; BATCH]> = SmallVec::new();
    let mut keys: SmallVec<[Key<'_>; 2 * BATCH]> = SmallVec::new();
    let mut from = 0;
    for &(to, end) in &ends {
        let args = &flat[from..to];
        let row = match lp.applies || session.id() == 0 {
            true => engine.registry.resolve(args).or_else(|| engine.registry.resolve_called(args)),
            false => engine.registry.resolve_called(args),
        };
        if let Some(row) = row.filter(|row| row.is_renamed) {
            flat[from] = engine.registry.first_word(row).as_bytes();
        }
        let args = &flat[from..to];
        let keys_from = keys.len();
        match row {
            Some(row) if row.one_key => {
                if let Some(name) = args.get(1) {
                    keys.push(Key::new(name));
                }
            }
            // A script's keys are hashed for their prefetch only.
            Some(row) if has_keys(row) && row.spec.accepts(args.len()) => {
                each_key(&row.spec, args, |at, flags| {
                    if !flags.contains(KeyFlags::NOT_KEY) {
                        keys.push(Key::new(args[at]));
                    }
                });
            }
            _ => {}
        }
        commands.push(Command { from, to, end, row, keys_from, keys_to: keys.len() });
        from = to;
    }
    if commands.len() > 1 {
        prefetch(engine, session, &commands, &keys, &flat);
    }
    let mut turn = Turn { engine, lp, session, out, held: None };
    let mut clock = engine.host.ticks_ns();
    let mut consumed = 0;
    for command in &commands {
        let args = &flat[command.from..command.to];
        let before = turn.out.pending();
        if command.row.is_none() && is_http(args[0]) {
            turn.session.close_after_reply = true;
            turn.engine.host.log(&format!(
                "Possible SECURITY ATTACK detected: a client at {} sent an HTTP request. The \
                 connection was closed.",
                turn.session.info.addr
            ));
            break;
        }
        let keys = &keys[command.keys_from..command.keys_to];
        let start = turn.out.buffer().len();
        if turn.lp.applies {
            apply::begin(&mut turn, &bytes[consumed..command.end]);
        }
        let step = execute(&mut turn, args, command.row, keys);
        if turn.lp.applies {
            apply::end(&mut turn, start);
        }
        if turn.lp.work.logged_to > 0 {
            turn.session.written_to = std::mem::take(&mut turn.lp.work.logged_to);
        }
        if step == Step::Wait {
            turn.session.paused = true;
            engine.blocked.fetch_add(1, Ordering::Relaxed);
            let id = turn.session.id();
            turn.lp.attention.push(id);
            break;
        }
        consumed = command.end;
        let now = engine.host.ticks_ns();
        if let Some(row) = command.row.filter(|_| step == Step::Done) {
            let replied = turn.out.pending().saturating_sub(before);
            if turn.session.blocked.is_some() {
                turn.count_waiting(row, args, now - clock);
            } else {
                turn.count_call(row, args, now - clock, replied);
            }
        }
        clock = now;
        if turn.session.is_waiting() || turn.session.close_after_reply {
            break;
        }
    }
    if turn.lp.applies && consumed < parsed_to && commands.last().is_none_or(|c| c.end == consumed)
    {
        // Empty lines: nothing to run, but bytes of the stream.
        apply::begin(&mut turn, &bytes[consumed..parsed_to]);
        apply::end(&mut turn, usize::MAX);
    }
    let stopped = consumed != commands.last().map_or(0, |command| command.end);
    let waits = turn.session.is_waiting() || turn.session.close_after_reply;
    if stopped || waits {
        // What was parsed beyond the last command that ran is parsed again later.
        *parser = Parser::new();
        return Batch { consumed, wanted: 0, broken: false, full: false };
    }
    if let Some(error) = error {
        let mut text = b"ERR ".to_vec();
        error.append_text(&mut text);
        turn.reply().error(&text);
        turn.count_protocol_error();
        return Batch { consumed: parsed_to, wanted: 0, broken: true, full: false };
    }
    Batch { consumed: parsed_to, wanted, broken: false, full }
}

/// Whether a command's keys are worth finding before it runs.
#[inline]
fn has_keys(row: &Row) -> bool {
    match row.run {
        Run::Data => true,
        Run::Session(_) => row.spec.group == Group::Scripting && !row.spec.keys.is_empty(),
    }
}

/// Whether a command's name is what an HTTP request would send first: a browser made to talk to us. The
/// connection is closed before more of its lines are taken for commands.
fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

/// Prefetches for scripts and the commands with one key; one with several does it under its own locks.
fn prefetch(
    engine: &Engine,
    session: &Session,
    commands: &[Command],
    keys: &[Key<'_>],
    flat: &[&[u8]],
) {
    let shards = &engine.shards;
    // One key again and again, as a counter has it, is fetched once: its lock is what clients compete for.
    let mut last = None;
    let single: SmallVec<[u64; BATCH]> = commands
        .iter()
        .map(|command| (command, &keys[command.keys_from..command.keys_to]))
        .filter(|(command, keys)| match keys.len() {
            1 => true,
            2..=SCRIPT_KEYS => command.row.is_some_and(|row| matches!(row.run, Run::Session(_))),
            _ => false,
        })
        .flat_map(|(_, keys)| keys.iter().map(|key| key.hash))
        .filter(|hash| last.replace(*hash) != Some(*hash))
        .collect();
    let each = |fetch: fn(&Db, u64)| {
        for hash in &single {
            shards.try_lock_one(shards.of(*hash), |shard| fetch(shard.db(session.db), *hash));
        }
    };
    each(Db::prefetch_bucket);
    each(Db::prefetch_entries);
    let long = single.first().and_then(|hash| {
        shards.try_lock_one(shards.of(*hash), |shard| shard.db(session.db).has_long_entries())
    });
    if long == Some(true) {
        each(Db::prefetch_rest);
    }
    let mut elements: SmallVec<[(Key<'_>, &[u8]); BATCH]> = commands
        .iter()
        .filter_map(|command| {
            let at = usize::from(command.row?.spec.element);
            let element = flat[command.from..command.to].get(at).filter(|_| at > 0)?;
            Some((*keys[command.keys_from..command.keys_to].first()?, *element))
        })
        .collect();
    for stage in [Stage::Buckets, Stage::Blocks] {
        // Small collections have nothing to fetch, and leave the second pass.
        elements.retain(|(key, element)| {
            let large = shards.try_lock_one(shards.of(key.hash), |shard| {
                shard.db(session.db).prefetch_element(*key, element, stage)
            });
            large.unwrap_or(false)
        });
    }
}
