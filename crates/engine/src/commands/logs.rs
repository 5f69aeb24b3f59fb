//! SLOWLOG and COMMANDLOG.

use ochre_base::num::parse_i64;
use ochre_command::args::is;
use ochre_command::outcome::wrong_arity;
use ochre_command::spec::{Flags, Group};
use ochre_command::{ReplyError, Result};
use ochre_observe::slowlog::Entry;

use crate::commands::help;
use crate::engine::LogKind;
use crate::registry::{Row, SessionRow};
use crate::turn::{SessionFn, Turn};

const FLAGS: Flags = Flags::ADMIN.union(Flags::LOADING).union(Flags::STALE);

const fn sub(
    name: &'static str,
    arity: i32,
    run: SessionFn,
    since: &'static str,
    summary: &'static str,
    syntax: &'static str,
) -> SessionRow {
    SessionRow::new(name, arity, FLAGS, Group::Server, run)
        .docs(since, summary, "O(N) with N the number of entries", syntax)
        .tips(&["request_policy:all_nodes", "nondeterministic_output"])
}

/// The rows of this file.
pub const COMMANDS: &[SessionRow] = &[
    SessionRow::container(
        "slowlog",
        Group::Server,
        "2.2.12",
        "Commands on the log of slow commands.",
        &[
            sub("get", -2, slow_get, "2.2.12", "Gives the latest slow commands.", "[count]"),
            help::row("6.2.0", Group::Server),
            sub("len", 2, slow_len, "2.2.12", "Counts the entries.", ""),
            sub("reset", 2, slow_reset, "2.2.12", "Empties the log.", ""),
        ],
    ),
    SessionRow::container(
        "commandlog",
        Group::Server,
        "8.1.0",
        "Commands on the logs of slow commands, large requests and large replies.",
        &[
            sub("get", 4, get, "8.1.0", "Gives the latest entries of a log.", "count type"),
            help::row("8.1.0", Group::Server),
            sub("len", 3, len, "8.1.0", "Counts the entries of a log.", "type"),
            sub("reset", 3, reset, "8.1.0", "Empties a log.", "type"),
        ],
    ),
];

fn kind(arg: &[u8]) -> Result<LogKind> {
    if is(arg, "slow") {
        Ok(LogKind::Slow)
    } else if is(arg, "large-request") {
        Ok(LogKind::LargeRequest)
    } else if is(arg, "large-reply") {
        Ok(LogKind::LargeReply)
    } else {
        Err(ReplyError::fixed(
            "ERR type should be one of the following: slow, large-request, large-reply",
        ))
    }
}

const BAD_COUNT: ReplyError = ReplyError::fixed("ERR count should be greater than or equal to -1");

fn slow_get(turn: &mut Turn<'_>, args: &[&[u8]], row: &Row) -> Result {
    let count = match args[2..] {
        [] => 10,
        [count] => parse_i64(count).ok_or(BAD_COUNT)?,
        _ => return Err(wrong_arity(&row.full_name)),
    };
    if count < -1 {
        return Err(BAD_COUNT);
    }
    write(turn, LogKind::Slow, count)
}

fn get(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let kind = kind(args[3])?;
    let count = parse_i64(args[2]).filter(|count| *count >= -1).ok_or(BAD_COUNT)?;
    write(turn, kind, count)
}

fn write(turn: &mut Turn<'_>, kind: LogKind, count: i64) -> Result {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let entries: Vec<Entry> =
        turn.engine.command_log(kind, |log| log.latest(count).cloned().collect());
    let mut reply = turn.reply();
    reply.array(entries.len());
    for entry in entries {
        reply.array(6);
        reply.integer(entry.id as i64);
        reply.integer(entry.unix_s);
        reply.integer(entry.value as i64);
        reply.array(entry.args.len());
        for arg in &entry.args {
            reply.bulk(arg);
        }
        reply.bulk(entry.addr);
        reply.bulk(entry.name);
    }
    Ok(())
}

fn slow_len(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let len = turn.engine.command_log(LogKind::Slow, |log| log.len());
    turn.reply().integer(len as i64);
    Ok(())
}

fn len(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let len = turn.engine.command_log(kind(args[2])?, |log| log.len());
    turn.reply().integer(len as i64);
    Ok(())
}

fn slow_reset(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    turn.engine.command_log(LogKind::Slow, |log| log.reset());
    turn.reply().ok();
    Ok(())
}

fn reset(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    turn.engine.command_log(kind(args[2])?, |log| log.reset());
    turn.reply().ok();
    Ok(())
}
