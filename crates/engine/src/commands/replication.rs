//! SYNC, PSYNC, REPLCONF, ROLE: what replicas say to their primary.
//!
//! Source: the published description of the replication protocol, and redis-server 7.0.15 as a replica.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ochre_base::num::parse_i64;
use ochre_command::args::is;
use ochre_command::outcome::SYNTAX;
use ochre_command::spec::{Categories, Flags, Group};
use ochre_command::{ReplyError, Result};

use crate::registry::{Row, SessionRow};
use crate::replicas::Replica;
use crate::session::{FLAG_REPLICA, ReplicaState};
use crate::turn::{SessionFn, Turn};

const ADMIN: Flags = Flags::ADMIN.union(Flags::NOSCRIPT);
const SYNCS: Flags = ADMIN.union(Flags::NO_ASYNC_LOADING).union(Flags::NO_MULTI);
const ANYWHERE: Flags = Flags::LOADING.union(Flags::STALE);

const fn row(
    name: &'static str,
    arity: i32,
    flags: Flags,
    run: SessionFn,
    (since, summary, syntax): (&'static str, &'static str, &'static str),
) -> SessionRow {
    SessionRow::new(name, arity, flags, Group::Server, run).docs(since, summary, "O(1)", syntax)
}

/// The rows of this file.
pub const COMMANDS: &[SessionRow] = &[
    row(
        "sync",
        1,
        SYNCS,
        sync,
        ("1.0.0", "Asks for a snapshot and then for every change, as a replica.", ""),
    ),
    row(
        "psync",
        -3,
        SYNCS,
        psync,
        ("2.8.0", "Goes on with a stream of changes, or begins one.", "replicationid offset"),
    ),
    row(
        "replconf",
        -1,
        ADMIN.union(ANYWHERE).union(Flags::ALLOW_BUSY),
        replconf,
        ("3.0.0", "Tells a primary about a replica.", ""),
    ),
    row(
        "role",
        1,
        ANYWHERE.union(Flags::FAST).union(Flags::NOSCRIPT),
        role,
        ("2.8.12", "Gives the server's part in replication.", ""),
    )
    .also(Categories::ADMIN.union(Categories::DANGEROUS)),
];

fn sync(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    begin(turn, false)
}

fn psync(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let engine = turn.engine;
    let asked = parse_i64(args[2]);
    let known = args[1] == engine.replicas.id.as_bytes();
    let from = asked.and_then(|next| u64::try_from(next.checked_sub(1)?).ok());
    if let Some(from) = from.filter(|_| known && engine.log.is_on())
        && (engine.log.start()..=engine.log.end()).contains(&from)
    {
        engine.replicas.partial.fetch_add(1, Ordering::Relaxed);
        become_replica(turn, from, true)?;
        let capable = turn.session.replica_says.psync2;
        let line = match capable {
            true => format!("CONTINUE {}", engine.replicas.id),
            false => "CONTINUE".to_owned(),
        };
        turn.reply().status(line);
        return Ok(());
    }
    if args[1] != b"?" {
        engine.replicas.refused.fetch_add(1, Ordering::Relaxed);
    }
    begin(turn, true)
}

/// Has a snapshot taken for this client; `announces`: it wants to be told of the stream's name and offset.
fn begin(turn: &mut Turn<'_>, announces: bool) -> Result {
    if turn.session.replica.is_some() {
        return Ok(());
    }
    turn.engine.replicas.full.fetch_add(1, Ordering::Relaxed);
    become_replica(turn, 0, false)?;
    let client = (turn.lp.index, turn.session.id());
    turn.engine
        .host
        .send_snapshot(turn.engine, client, announces)
        .map_err(|_| ReplyError::fixed("ERR Unable to perform background save"))
}

fn become_replica(turn: &mut Turn<'_>, offset: u64, online: bool) -> Result {
    if turn.session.subscriptions.is_some() || turn.session.monitor {
        return Err(ReplyError::fixed("ERR Can't SYNC while in another mode"));
    }
    let info = &turn.session.info;
    let says = &turn.session.replica_says;
    let ip = info.addr.rsplit_once(':').map_or("", |(ip, _)| ip).to_owned();
    let replica = Arc::new(Replica {
        client: info.id,
        event_loop: turn.lp.index,
        ip: says.ip.clone().unwrap_or(ip),
        port: says.port.into(),
        online: online.into(),
        acknowledged: offset.into(),
        acknowledged_ms: turn.lp.now.unix_ms.into(),
    });
    info.set_flag(FLAG_REPLICA, true);
    turn.engine.log.pin(info.id, offset);
    turn.engine.replicas.add(Arc::clone(&replica));
    turn.session.replica = Some(Box::new(ReplicaState { replica, offset, file: None }));
    let id = turn.session.id();
    turn.lp.new_replicas.push(id);
    Ok(())
}

fn replconf(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    if args.len().is_multiple_of(2) {
        return Err(SYNTAX);
    }
    for pair in args[1..].chunks_exact(2) {
        let (word, value) = (pair[0], pair[1]);
        let number = parse_i64(value).and_then(|n| u64::try_from(n).ok());
        let says = &mut turn.session.replica_says;
        if is(word, "listening-port") {
            let port = number.and_then(|n| u16::try_from(n).ok());
            says.port = port.ok_or(ochre_command::outcome::NOT_INTEGER)?;
        } else if is(word, "ip-address") {
            says.ip = Some(String::from_utf8_lossy(value).into_owned());
        } else if is(word, "capa") {
            says.psync2 |= is(value, "psync2");
        } else if is(word, "ack") {
            // Not a request: it gets no reply.
            acknowledge(turn, number.unwrap_or(0));
            return Ok(());
        } else if is(word, "fack") || is(word, "version") || is(word, "rdb-only") {
            // Nothing depends on it.
        } else if is(word, "getack") {
            return Ok(());
        } else {
            let word = String::from_utf8_lossy(word);
            return Err(ReplyError::new(format!("ERR Unrecognized REPLCONF option: {word}")));
        }
    }
    turn.reply().ok();
    Ok(())
}

fn acknowledge(turn: &Turn<'_>, offset: u64) {
    if let Some(state) = &turn.session.replica {
        state.replica.acknowledged.store(offset, Ordering::Relaxed);
        state.replica.acknowledged_ms.store(turn.lp.now.unix_ms, Ordering::Relaxed);
    }
}

fn role(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let engine = turn.engine;
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
