//! FAILOVER.

use std::sync::atomic::Ordering;

use ochre_base::num::parse_i64;
use ochre_command::args::is;
use ochre_command::outcome::{NOT_INTEGER, SYNTAX};
use ochre_command::{ReplyError, Result};

use crate::failover::Wish;
use crate::following::Primary;
use crate::registry::Row;
use crate::turn::Turn;

pub(super) fn failover(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let engine = turn.engine;
    if turn.held.as_ref().is_some_and(|held| held.ids().next().is_some()) {
        // As for REPLICAOF.
        return Err(ReplyError::fixed(
            "ERR FAILOVER is not possible in a transaction with commands on keys",
        ));
    }
    drop(turn.held.take());
    if let [_, word] = args
        && is(word, "abort")
    {
        if !engine.failover.abort(engine) {
            return Err(ReplyError::fixed("ERR No failover in progress."));
        }
        turn.lp.take_role(engine);
        turn.reply().ok();
        return Ok(());
    }
    let wish = parse(turn, args)?;
    if engine.failover.is_on() {
        return Err(ReplyError::fixed("ERR FAILOVER already in progress."));
    }
    if engine.following.is_on() {
        return Err(ReplyError::fixed("ERR FAILOVER is not valid when server is a replica."));
    }
    if engine.replicas.count() == 0 {
        return Err(ReplyError::fixed("ERR FAILOVER requires connected replicas."));
    }
    if wish.force && (wish.deadline_ms.is_none() || wish.target.is_none()) {
        return Err(ReplyError::fixed(
            "ERR FAILOVER with force option requires both a timeout and target HOST and IP.",
        ));
    }
    if let Some(target) = &wish.target {
        let all = engine.replicas.all();
        let is_it = |port: u16, ip: &str| port == target.port && ip == target.host;
        let found = all.iter().find(|r| is_it(r.port.load(Ordering::Relaxed), &r.ip));
        let found = found
            .ok_or(ReplyError::fixed("ERR FAILOVER target HOST and PORT is not a replica."))?;
        if !found.online.load(Ordering::Relaxed) {
            return Err(ReplyError::fixed("ERR FAILOVER target replica is not online."));
        }
    }
    engine.host.log("FAILOVER requested");
    if !engine.failover.begin(engine, wish) {
        return Err(ReplyError::fixed("ERR FAILOVER already in progress."));
    }
    turn.reply().ok();
    Ok(())
}

fn parse(turn: &Turn<'_>, args: &[&[u8]]) -> Result<Wish> {
    let mut wish = Wish::default();
    let mut at = 1;
    while let Some(word) = args.get(at) {
        if is(word, "timeout") && wish.deadline_ms.is_none() && at + 1 < args.len() {
            let ms = parse_i64(args[at + 1]).ok_or(NOT_INTEGER)?;
            if ms <= 0 {
                return Err(ReplyError::fixed("ERR FAILOVER timeout must be greater than 0"));
            }
            wish.deadline_ms = Some(turn.lp.now.unix_ms.saturating_add(ms));
            at += 2;
        } else if is(word, "to") && wish.target.is_none() && at + 2 < args.len() {
            let port = parse_i64(args[at + 2]).and_then(|port| u16::try_from(port).ok());
            let port = port.ok_or(NOT_INTEGER)?;
            let host = String::from_utf8_lossy(args[at + 1]).into_owned();
            wish.target = Some(Primary { host, port });
            at += 3;
        } else if is(word, "force") && !wish.force {
            wish.force = true;
            at += 1;
        } else {
            return Err(SYNTAX);
        }
    }
    Ok(wish)
}
