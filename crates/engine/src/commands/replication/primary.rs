//! SYNC, PSYNC, REPLCONF: what replicas say to their primary. WAIT and WAITAOF: waiting for what they say.
//!
//! A replica that follows another server serves replicas of its own with that server's bytes and offsets; while it
//! has no link it refuses them, for it cannot tell them of a history that may be about to change.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ochre_base::num::parse_i64;
use ochre_command::args::is;
use ochre_command::ctx::OnTimeout;
use ochre_command::outcome::{NOT_INTEGER, SYNTAX, TIMEOUT_NEGATIVE, TIMEOUT_RANGE};
use ochre_command::{ReplyError, Result};
use ochre_keyspace::shard::{BlockedCommand, Waiter};
use ochre_types::value::Type;

use crate::failover::show_primary;
use crate::mailbox::Message;
use crate::registry::Row;
use crate::replicas::{AckWait, Replica};
use crate::session::{Blocked, FLAG_BLOCKED, FLAG_REPLICA, ReplicaState, Supply};
use crate::transfer::SyncRequest;
use crate::turn::Turn;

const NO_LINK: ReplyError =
    ReplyError::fixed("NOMASTERLINK Can't SYNC while not connected with my master");

pub(super) fn sync(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    begin(turn, false)
}

pub(super) fn psync(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let engine = turn.engine;
    if args.get(3).is_some_and(|word| is(word, "failover")) {
        take_over(turn, args[1])?;
    }
    if is_cut_off(turn) {
        return Err(NO_LINK);
    }
    if turn.session.replica.is_some() {
        return Ok(());
    }
    // Before the history is looked at: should it change now, this replica is of an older epoch.
    let epoch = engine.replicas.epoch();
    let history = engine.replicas.history();
    let asked = parse_i64(args[2]);
    let from = asked.and_then(|next| u64::try_from(next.checked_sub(1)?).ok());
    let from = from.filter(|from| history.continues(args[1], *from) && engine.log.is_kept());
    if let Some(from) = from.filter(|from| engine.log.pin_if_held(turn.session.id(), *from)) {
        engine.replicas.partial.fetch_add(1, Ordering::Relaxed);
        become_replica(turn, Some(from), true, epoch)?;
        let line = match turn.session.replica_says.psync2 {
            true => format!("CONTINUE {}", history.id),
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

/// The primary of this replica wants to be its replica.
fn take_over(turn: &mut Turn<'_>, id: &[u8]) -> Result {
    let engine = turn.engine;
    if !engine.following.is_on() {
        return Err(ReplyError::fixed("ERR PSYNC FAILOVER can't be sent to a master."));
    }
    if engine.replicas.history().id.as_bytes() != id {
        return Err(ReplyError::fixed("ERR PSYNC FAILOVER replid must match my replid."));
    }
    show_primary(engine, None);
    engine.following.lead(engine);
    turn.lp.take_role(engine);
    engine.tell_all(|| Message::LookAround);
    engine.host.log("MASTER MODE enabled (failover request)");
    Ok(())
}

/// Whether this server follows another, and has no link to it.
fn is_cut_off(turn: &Turn<'_>) -> bool {
    turn.engine.following.is_on() && !turn.engine.following.is_linked()
}

/// Has a snapshot taken for this client; `announces`: it wants to be told of the stream's name and offset.
fn begin(turn: &mut Turn<'_>, announces: bool) -> Result {
    if turn.session.replica.is_some() {
        return Ok(());
    }
    if is_cut_off(turn) {
        return Err(NO_LINK);
    }
    turn.engine.replicas.full.fetch_add(1, Ordering::Relaxed);
    let epoch = turn.engine.replicas.epoch();
    become_replica(turn, None, announces, epoch)?;
    let request = SyncRequest {
        event_loop: turn.lp.index,
        client: turn.session.id(),
        announces,
        takes_stream: turn.session.replica_says.eof,
    };
    turn.engine
        .host
        .send_snapshot(turn.engine, request)
        .map_err(|_| ReplyError::fixed("ERR Unable to perform background save"))
}

/// `from`: the offset that it goes on from; none: it waits for a snapshot.
fn become_replica(
    turn: &mut Turn<'_>,
    from: Option<u64>,
    acknowledges: bool,
    epoch: u64,
) -> Result {
    let id = turn.session.id();
    if turn.session.subscriptions.is_some() || turn.session.monitor {
        turn.engine.log.unpin(id);
        return Err(ReplyError::fixed("ERR Can't SYNC while in another mode"));
    }
    let info = &turn.session.info;
    let says = &turn.session.replica_says;
    let ip = info.addr.rsplit_once(':').map_or("", |(ip, _)| ip).to_owned();
    let offset = from.unwrap_or(0);
    let replica = Arc::new(Replica {
        client: id,
        event_loop: turn.lp.index,
        ip: says.ip.clone().unwrap_or(ip),
        port: says.port.into(),
        online: from.is_some().into(),
        in_bulk: false.into(),
        acknowledged: offset.into(),
        synced: 0.into(),
        acknowledged_ms: turn.lp.now.unix_ms.into(),
        acknowledges,
    });
    let rdb_only = says.rdb_only;
    let supply = if from.is_some() { Supply::Log } else { Supply::Nothing };
    info.set_flag(FLAG_REPLICA, true);
    turn.engine.replicas.add(Arc::clone(&replica));
    let took_ms = turn.lp.now.unix_ms;
    let state = ReplicaState { replica, offset, epoch, supply, took_ms, rdb_only };
    turn.session.replica = Some(Box::new(state));
    turn.lp.new_replicas.push(id);
    Ok(())
}

pub(super) fn replconf(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    if args.len().is_multiple_of(2) {
        return Err(SYNTAX);
    }
    let (mut is_silent, mut acknowledged, mut synced) = (false, None, None);
    for pair in args[1..].chunks_exact(2) {
        let (word, value) = (pair[0], pair[1]);
        let number = parse_i64(value).and_then(|n| u64::try_from(n).ok());
        let says = &mut turn.session.replica_says;
        if is(word, "listening-port") {
            let port = number.and_then(|n| u16::try_from(n).ok());
            says.port = port.ok_or(NOT_INTEGER)?;
        } else if is(word, "ip-address") {
            says.ip = Some(String::from_utf8_lossy(value).into_owned());
        } else if is(word, "capa") {
            says.psync2 |= is(value, "psync2");
            says.eof |= is(value, "eof");
        } else if is(word, "ack") {
            // Not a request: it gets no reply.
            (is_silent, acknowledged) = (true, number);
        } else if is(word, "fack") {
            synced = number;
        } else if is(word, "getack") {
            // To a replica, in its primary's stream: the link's thread answers.
            is_silent = true;
            turn.session.ack_wanted = turn.lp.applies;
        } else if is(word, "rdb-only") {
            says.rdb_only = parse_i64(value).is_some_and(|number| number != 0);
        } else if is(word, "version") {
            // Nothing depends on it.
        } else {
            let word = String::from_utf8_lossy(word);
            return Err(ReplyError::new(format!("ERR Unrecognized REPLCONF option: {word}")));
        }
    }
    if is_silent {
        acknowledge(turn, acknowledged, synced);
    } else {
        turn.reply().ok();
    }
    Ok(())
}

fn acknowledge(turn: &mut Turn<'_>, offset: Option<u64>, synced: Option<u64>) {
    let Some(state) = &mut turn.session.replica else { return };
    let Some(offset) = offset else { return };
    if let Supply::Acknowledgement { came } = &mut state.supply {
        *came = true;
    }
    state.replica.acknowledged.fetch_max(offset, Ordering::Relaxed);
    if let Some(synced) = synced {
        state.replica.synced.fetch_max(synced, Ordering::Relaxed);
    }
    state.replica.acknowledged_ms.store(turn.lp.now.unix_ms, Ordering::Relaxed);
    turn.engine.replicas.serve_waiting(turn.engine);
}

const ON_REPLICA: &str = "cannot be used with replica instances. Please also note that writes to \
                          replicas are just local and are not propagated.";

pub(super) fn wait(turn: &mut Turn<'_>, args: &[&[u8]], row: &Row) -> Result {
    if turn.lp.follows {
        return Err(ReplyError::fixed(
            "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 \
             if a replica is configured to be writable (which is not the default) writes to \
             replicas are just local and are not propagated.",
        ));
    }
    let replicas = number(args[1])?;
    wait_for(turn, row, (None, replicas), args[2])
}

pub(super) fn waitaof(turn: &mut Turn<'_>, args: &[&[u8]], row: &Row) -> Result {
    let local = parse_i64(args[1])
        .filter(|n| (0..=1).contains(n))
        .ok_or(ReplyError::fixed("ERR value is out of range, must be between 0 and 1"))?;
    let replicas = number(args[2])?;
    if turn.lp.follows {
        return Err(ReplyError::new(format!("ERR WAITAOF {ON_REPLICA}")));
    }
    if local > 0 && !turn.live().settings.append_only {
        return Err(ReplyError::fixed(
            "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
        ));
    }
    wait_for(turn, row, (Some(local.unsigned_abs()), replicas), args[3])
}

/// A count of replicas.
fn number(arg: &[u8]) -> Result<u64> {
    let number = parse_i64(arg).ok_or(NOT_INTEGER)?;
    u64::try_from(number)
        .map_err(|_| ReplyError::fixed("ERR value is out of range, must be positive"))
}

fn wait_for(
    turn: &mut Turn<'_>,
    row: &Row,
    (local, replicas): (Option<u64>, u64),
    timeout: &[u8],
) -> Result {
    let ms = parse_i64(timeout)
        .ok_or(ReplyError::fixed("ERR timeout is not an integer or out of range"))?;
    if ms < 0 {
        return Err(TIMEOUT_NEGATIVE);
    }
    let now_ms = turn.lp.now.unix_ms;
    let deadline = match ms {
        0 => None,
        ms => Some(now_ms.checked_add(ms).ok_or(TIMEOUT_RANGE)?),
    };
    let engine = turn.engine;
    let wait = AckWait { offset: turn.session.written_to, local, replicas };
    if wait.is_met(engine) || turn.held.is_some() || turn.lp.in_place {
        wait.write(engine, &mut turn.reply());
        return Ok(());
    }
    let session = &mut *turn.session;
    let command = BlockedCommand {
        args: Vec::new(),
        key_at: 0,
        wants: Type::String,
        db: session.db,
        protocol: session.protocol.version() as u8,
        also: Vec::new(),
    };
    let waiter = Arc::new(Waiter::new(turn.lp.index, session.id(), command));
    session.info.set_waiting(Some(Arc::clone(&waiter)));
    session.blocked = Some(Blocked {
        waiter: Some(Arc::clone(&waiter)),
        keys: Vec::new(),
        deadline,
        on_timeout: OnTimeout::Null,
        acks: Some(wait),
        since_ns: engine.host.ticks_ns(),
        row: row.id,
    });
    session.info.set_flag(FLAG_BLOCKED, true);
    engine.blocked.fetch_add(1, Ordering::Relaxed);
    turn.lp.attention.push(session.id());
    engine.replicas.wait(engine, waiter, wait);
    Ok(())
}
