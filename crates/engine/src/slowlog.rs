//! Which commands the command logs take.

use std::sync::PoisonError;

use ochre_command::args::is;
use ochre_command::spec::Flags;
use ochre_config::snapshot::CommandLog as Rule;
use ochre_observe::slowlog::CommandLog;
use ochre_resp::Output;

use crate::engine::{Engine, LogKind};
use crate::registry::{Row, RowId};
use crate::session::Session;
use crate::turn::{LoopState, Turn};

/// Looks at a command that ran: notes it in each log whose threshold it reaches.
#[inline]
pub(crate) fn consider(
    turn: &Turn<'_>,
    row: &Row,
    args: &[&[u8]],
    time_ns: u64,
    reply_bytes: usize,
) {
    let settings = &turn.lp.live.settings;
    let large_request = settings
        .large_requests
        .threshold
        .is_some_and(|limit| args.iter().map(|arg| arg.len() + 8).sum::<usize>() as u64 >= limit);
    let large_reply =
        settings.large_replies.threshold.is_some_and(|limit| reply_bytes as u64 >= limit);
    let slow = turn.lp.live.slow_ns.is_some_and(|limit| time_ns >= limit);
    if slow || large_request || large_reply {
        note(turn, row, args, [slow, large_request, large_reply], time_ns, reply_bytes);
    }
}

/// Looks at a command whose wait is over; `replied` are the bytes of its reply.
pub fn consider_served(
    engine: &'static Engine,
    lp: &mut LoopState,
    session: &mut Session,
    out: &mut Output,
    row: RowId,
    replied: usize,
) {
    let Some(call) = session.waiting_call.take() else { return };
    let args: Vec<&[u8]> = call.args.iter().map(Vec::as_slice).collect();
    let turn = Turn { engine, lp, session, out, held: None };
    consider(&turn, engine.registry.row(row), &args, call.time_ns, replied);
}

#[cold]
fn note(
    turn: &Turn<'_>,
    row: &Row,
    args: &[&[u8]],
    [slow, large_request, large_reply]: [bool; 3],
    time_ns: u64,
    reply_bytes: usize,
) {
    if row.spec.flags.contains(Flags::SKIP_SLOWLOG) {
        return;
    }
    let settings = &turn.lp.live.settings;
    let hidden = redacted(row, args);
    let shown = hidden.as_deref().unwrap_or(args);
    let request_bytes = args.iter().map(|arg| arg.len() + 8).sum::<usize>();
    if slow {
        push(turn, LogKind::Slow, &settings.slowlog, shown, time_ns / 1000);
    }
    if large_request {
        push(turn, LogKind::LargeRequest, &settings.large_requests, shown, request_bytes as u64);
    }
    if large_reply {
        push(turn, LogKind::LargeReply, &settings.large_replies, shown, reply_bytes as u64);
    }
}

/// What stands for a secret.
const REDACTED: &[u8] = b"(redacted)";

/// The arguments of a command that holds secrets, without them.
pub(crate) fn redacted<'a>(row: &Row, args: &[&'a [u8]]) -> Option<Vec<&'a [u8]>> {
    let mut shown = args.to_vec();
    match row.full_name.as_str() {
        "acl|setuser" | "acl|deluser" | "acl|getuser" => shown[2..].fill(REDACTED),
        "config|set" => {
            for pair in shown[2..].chunks_exact_mut(2) {
                let directive = ochre_config::table::find(pair[0]);
                if directive.is_some_and(|(_, id)| id.directive().sensitive) {
                    pair[1] = REDACTED;
                }
            }
        }
        "auth" => shown[1..].fill(REDACTED),
        "hello" => hide_behind(&mut shown, 2, &[("auth", 2)]),
        "migrate" => hide_behind(&mut shown, 6, &[("auth", 1), ("auth2", 2)]),
        _ => return None,
    }
    Some(shown)
}

/// Hides so many arguments behind each of these words, from argument `from` on.
fn hide_behind(args: &mut [&[u8]], from: usize, words: &[(&str, usize)]) {
    let mut at = from;
    while let Some(arg) = args.get(at) {
        let count = words.iter().find(|(word, _)| is(arg, word)).map_or(0, |(_, count)| *count);
        at += 1;
        let end = args.len().min(at + count);
        if at < end {
            args[at..end].fill(REDACTED);
            at = end;
        }
        if args.get(at).is_some_and(|arg| is(arg, "keys")) {
            return;
        }
    }
}

fn push(turn: &Turn<'_>, kind: LogKind, rule: &Rule, args: &[&[u8]], value: u64) {
    let names = turn.session.info.names();
    let at = turn.lp.now.unix_ms / 1000;
    let source = (turn.session.info.addr.as_str(), names.name.as_str());
    let max = usize::try_from(rule.entries_max).unwrap_or(usize::MAX);
    turn.engine.command_log(kind, |log: &mut CommandLog| {
        log.push((at, value), args, source, max);
    });
}

impl crate::engine::Engine {
    /// Lends one of the command logs out.
    pub fn command_log<R>(&self, kind: LogKind, with: impl FnOnce(&mut CommandLog) -> R) -> R {
        with(&mut self.logs[kind as usize].lock().unwrap_or_else(PoisonError::into_inner))
    }
}
