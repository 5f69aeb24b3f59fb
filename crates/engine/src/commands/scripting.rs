//! EVAL, EVALSHA, their read-only forms, and SCRIPT.
//!
//! A script's reply is what it returns. Inside EXEC it runs under the transaction's locks, which are
//! all: what it will touch is not known beforehand.
//!
//! Source: "Scripting with Lua" of the Redis documentation; redis-server 7.0.15.

use std::sync::atomic::Ordering;

use ochre_base::num::parse_i64;
use ochre_command::args::is;
use ochre_command::outcome::NOT_INTEGER;
use ochre_command::spec::{Categories, Flags, Group, KeyFlags, KeySpec};
use ochre_command::{ReplyError, Result};
use ochre_script::store::Sha;

use crate::commands::help;
use crate::registry::{Row, SessionRow};
use crate::script::Kind;
use crate::script::local::{self, Chunk, Local};
use crate::script::running::{self, Call, Rules};
use crate::turn::{SessionFn, Turn};

/// Flags of all commands that run a script. `WALKS_SHARDS`: EXEC holds all locks for it.
pub(crate) const RUNS: Flags = Flags::NOSCRIPT
    .union(Flags::STALE)
    .union(Flags::SKIP_MONITOR)
    .union(Flags::NO_MANDATORY_KEYS)
    .union(Flags::MOVABLEKEYS)
    .union(Flags::WALKS_SHARDS);
pub(crate) const RUNS_RO: Flags = Flags::NOSCRIPT
    .union(Flags::STALE)
    .union(Flags::SKIP_MONITOR)
    .union(Flags::NO_MANDATORY_KEYS)
    .union(Flags::MOVABLEKEYS)
    .union(Flags::READONLY)
    .union(Flags::WALKS_SHARDS);
pub(crate) const ANY_KEYS: &[KeySpec] =
    &[KeySpec::counted(2, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))];
pub(crate) const ANY_KEYS_RO: &[KeySpec] =
    &[KeySpec::counted(2, KeyFlags::RO.union(KeyFlags::ACCESS))];

const COST: &str = "Depends on the script that is executed.";
const NO_SCRIPT: ReplyError = ReplyError::fixed("NOSCRIPT No matching script. Please use EVAL.");

const fn runner(
    name: &'static str,
    run: SessionFn,
    read_only: bool,
    since: &'static str,
    summary: &'static str,
    syntax: &'static str,
) -> SessionRow {
    let (flags, keys) = if read_only { (RUNS_RO, ANY_KEYS_RO) } else { (RUNS, ANY_KEYS) };
    SessionRow::new(name, -3, flags, Group::Scripting, run)
        .keys(keys)
        .docs(since, summary, COST, syntax)
}

/// The rows of this file.
pub const COMMANDS: &[SessionRow] = &[
    runner(
        "eval",
        eval,
        false,
        "2.6.0",
        "Runs a Lua script.",
        "script numkeys [key [key ...]] [arg [arg ...]]",
    ),
    runner(
        "evalsha",
        evalsha,
        false,
        "2.6.0",
        "Runs a Lua script that is known by its SHA1.",
        "sha1 numkeys [key [key ...]] [arg [arg ...]]",
    ),
    runner(
        "eval_ro",
        eval,
        true,
        "7.0.0",
        "Runs a Lua script that only reads.",
        "script numkeys [key [key ...]] [arg [arg ...]]",
    ),
    runner(
        "evalsha_ro",
        evalsha,
        true,
        "7.0.0",
        "Runs a Lua script that only reads and is known by its SHA1.",
        "sha1 numkeys [key [key ...]] [arg [arg ...]]",
    ),
    SessionRow::container(
        "script",
        Group::Scripting,
        "2.6.0",
        "Container of commands about scripts.",
        SCRIPT,
    ),
];

const ASK: Flags = Flags::NOSCRIPT;

const fn sub(
    name: &'static str,
    arity: i32,
    flags: Flags,
    run: SessionFn,
    (since, summary, complexity, syntax): (&'static str, &'static str, &'static str, &'static str),
) -> SessionRow {
    SessionRow::new(name, arity, flags, Group::Scripting, run)
        .also(Categories::SCRIPTING)
        .docs(since, summary, complexity, syntax)
}

const SCRIPT: &[SessionRow] = &[
    sub(
        "debug",
        3,
        ASK,
        debug,
        (
            "3.2.0",
            "Sets the debugging of scripts, of which there is none.",
            "O(1)",
            "<YES | SYNC | NO>",
        ),
    ),
    sub(
        "exists",
        -3,
        ASK,
        exists,
        (
            "2.6.0",
            "Says which scripts are known.",
            "O(N) with N being the number of scripts to check (so checking a single script is an \
             O(1) operation).",
            "sha1 [sha1 ...]",
        ),
    )
    .tips(&["request_policy:all_shards", "response_policy:agg_logical_and"]),
    sub(
        "flush",
        -2,
        ASK,
        flush,
        (
            "2.6.0",
            "Forgets all scripts.",
            "O(N) with N being the number of scripts in cache",
            "[ASYNC | SYNC]",
        ),
    )
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
    help::row("5.0.0", Group::Scripting),
    sub(
        "kill",
        2,
        ASK.union(Flags::ALLOW_BUSY),
        kill,
        ("2.6.0", "Ends the script that runs too long.", "O(1)", ""),
    )
    .tips(&["request_policy:all_shards", "response_policy:one_succeeded"]),
    sub(
        "load",
        3,
        ASK.union(Flags::STALE),
        load,
        (
            "2.6.0",
            "Makes a script known.",
            "O(N) with N being the length in bytes of the script body.",
            "script",
        ),
    )
    .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
    sub(
        "show",
        3,
        ASK.union(Flags::STALE),
        show,
        ("8.0.0", "Gives the text of a script.", "O(1).", "sha1"),
    ),
];

/// Arguments of a command.
pub(crate) type Words<'a> = &'a [&'a [u8]];

/// Keys and arguments behind the number at position 2.
pub(crate) fn split_keys<'a>(
    args: Words<'a>,
    bad_number: ReplyError,
) -> Result<(Words<'a>, Words<'a>)> {
    let count = parse_i64(args[2]).ok_or(bad_number)?;
    if count > (args.len() - 3) as i64 {
        return Err(ReplyError::fixed("ERR Number of keys can't be greater than number of args"));
    }
    if count < 0 {
        return Err(ReplyError::fixed("ERR Number of keys can't be negative"));
    }
    Ok(args[3..].split_at(count as usize))
}

fn eval(turn: &mut Turn<'_>, args: &[&[u8]], row: &Row) -> Result {
    let (keys, rest) = split_keys(args, NOT_INTEGER)?;
    local::with(turn, |local, turn| {
        let chunk = local.add(args[1], false)?;
        run(local, turn, row, &chunk, (keys, rest, args))
    })
}

fn evalsha(turn: &mut Turn<'_>, args: &[&[u8]], row: &Row) -> Result {
    let sha = sha_of(args[1]);
    let (keys, rest) = split_keys(args, NOT_INTEGER)?;
    let sha = sha.ok_or(NO_SCRIPT)?;
    local::with(turn, |local, turn| {
        let chunk = local.find(&sha)?.ok_or(NO_SCRIPT)?;
        run(local, turn, row, &chunk, (keys, rest, args))
    })
}

/// A script's name, in lower case.
fn sha_of(text: &[u8]) -> Option<Sha> {
    let mut sha: Sha = text.try_into().ok()?;
    sha.make_ascii_lowercase();
    Some(sha)
}

fn run(
    local: &mut Local,
    turn: &mut Turn<'_>,
    row: &Row,
    chunk: &Chunk,
    (keys, args, command): (Words<'_>, Words<'_>, Words<'_>),
) -> Result {
    let script = &chunk.script;
    script.used.store(turn.lp.now.unix_us, Ordering::Relaxed);
    let read_only = row.spec.flags.contains(Flags::READONLY);
    let call = Call {
        kind: Kind::Script,
        name: &script.sha,
        function: &chunk.function,
        rules: Rules::of(turn, script.flags, read_only)?,
        confined: script.proven,
        widened: &script.widened,
        keys,
        args,
        command,
    };
    running::run(local, turn, row, &call);
    Ok(())
}

fn load(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let chunk = local::with(turn, |local, _| local.add(args[2], true))?;
    turn.reply().bulk(chunk.script.sha);
    Ok(())
}

fn exists(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let known: Vec<bool> = {
        let scripts = turn.engine.scripts.scripts();
        let is_known = |name: &&[u8]| sha_of(name).is_some_and(|sha| scripts.find(&sha).is_some());
        args[2..].iter().map(is_known).collect()
    };
    let mut reply = turn.reply();
    reply.array(known.len());
    for known in known {
        reply.integer(i64::from(known));
    }
    Ok(())
}

fn flush(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    match args[2..] {
        [] => {}
        [mode] if is(mode, "sync") || is(mode, "async") => {}
        _ => return Err(ReplyError::fixed("ERR SCRIPT FLUSH only support SYNC|ASYNC option")),
    }
    turn.engine.scripts.flush();
    turn.reply().ok();
    Ok(())
}

fn kill(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    turn.engine.scripts.kill(Kind::Script)?;
    turn.reply().ok();
    Ok(())
}

fn debug(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    if is(args[2], "no") {
        turn.reply().ok();
        return Ok(());
    }
    if is(args[2], "yes") || is(args[2], "sync") {
        return Err(ReplyError::fixed("ERR The Lua debugger is not available"));
    }
    Err(ReplyError::fixed("ERR Use SCRIPT DEBUG YES/SYNC/NO"))
}

fn show(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let script = sha_of(args[2]).and_then(|sha| turn.engine.scripts.scripts().find(&sha));
    let script = script.ok_or(ReplyError::fixed("NOSCRIPT No matching script."))?;
    turn.reply().bulk(&script.source);
    Ok(())
}
