//! REPLICAOF: which server this one follows. ROLE: what it is.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ochre_base::num::parse_i64;
use ochre_command::args::is;
use ochre_command::{ReplyError, Result};

use crate::execute;
use crate::failover::show_primary;
use crate::following::{LinkState, Primary};
use crate::mailbox::Message;
use crate::registry::Row;
use crate::replicas::Replica;
use crate::turn::Turn;

pub(super) fn replicaof(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let Some(mut locked) = turn.held.take() else { return change_role(turn, args) };
    let has_keys = locked.ids().next().is_some();
    if has_keys {
        // The change waits for the link's thread, which may wait for these locks. So the transaction is one
        // before it and another one behind it, as its effects have to be: they are of different histories.
        execute::conclude_transaction(turn, &mut locked);
    }
    drop(locked);
    let result = change_role(turn, args);
    if has_keys {
        turn.held = Some(turn.engine.shards.lock_all());
    }
    result
}

fn change_role(turn: &mut Turn<'_>, args: &[&[u8]]) -> Result {
    let target = match (is(args[1], "no"), is(args[2], "one")) {
        (true, true) => None,
        _ => Some(primary(turn, args)?),
    };
    let engine = turn.engine;
    let current = engine.following.primary();
    if target.is_some() && target == current {
        turn.reply().status("OK Already connected to specified master");
        return Ok(());
    }
    if engine.failover.is_on() {
        return Err(ReplyError::fixed("ERR REPLICAOF not allowed while failing over."));
    }
    show_primary(engine, target.as_ref());
    match target {
        Some(target) => {
            let text = format!("REPLICAOF {}:{} enabled (user request)", target.host, target.port);
            engine.host.log(&text);
            engine.following.follow(target);
        }
        None if current.is_some() => {
            engine.following.lead(engine);
            engine.host.log("MASTER MODE enabled (user request)");
        }
        None => {}
    }
    turn.lp.take_role(engine);
    engine.tell_all(|| Message::LookAround);
    turn.reply().ok();
    Ok(())
}

fn primary(turn: &Turn<'_>, args: &[&[u8]]) -> Result<Primary> {
    if turn.session.replica.is_some() {
        return Err(ReplyError::fixed("ERR Command is not valid when client is a replica."));
    }
    let port = parse_i64(args[2]).and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or(ReplyError::fixed("ERR Invalid master port"))?;
    let host = String::from_utf8(args[1].to_vec())
        .map_err(|_| ReplyError::fixed("ERR Invalid master host"))?;
    Ok(Primary { host, port })
}

pub(super) fn role(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let engine = turn.engine;
    if let Some(primary) = engine.following.primary() {
        let view = engine.following.view();
        let state = match view.state {
            LinkState::Connect => "connect",
            LinkState::Connecting => "connecting",
            LinkState::Sync => "sync",
            LinkState::Connected => "connected",
        };
        let offset = match view.state {
            LinkState::Connected => engine.log.end() as i64,
            _ => -1,
        };
        let mut reply = turn.reply();
        reply.array(5);
        reply.bulk("slave");
        reply.bulk(&primary.host);
        reply.integer(i64::from(primary.port));
        reply.bulk(state);
        reply.integer(offset);
        return Ok(());
    }
    let online = |replica: &Arc<Replica>| replica.online.load(Ordering::Relaxed);
    let replicas: Vec<_> = engine.replicas.all().into_iter().filter(online).collect();
    let mut reply = turn.reply();
    reply.array(3);
    reply.bulk("master");
    reply.integer(engine.log.end() as i64);
    reply.array(replicas.len());
    for replica in replicas {
        reply.array(3);
        reply.bulk(&replica.ip);
        reply.bulk(replica.port.load(Ordering::Relaxed).to_string());
        reply.bulk(replica.acknowledged.load(Ordering::Relaxed).to_string());
    }
    Ok(())
}
