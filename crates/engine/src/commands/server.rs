//! TIME, LOLWUT, MONITOR, SHUTDOWN, ROLE, LASTSAVE.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ochre_command::args::is;
use ochre_command::ctx::OnTimeout;
use ochre_command::outcome::{NOT_INTEGER, SYNTAX};
use ochre_command::spec::{Flags, Group};
use ochre_command::{ReplyError, Result};
use ochre_keyspace::shard::{BlockedCommand, Waiter};
use ochre_types::value::Type;

use crate::engine::LastSave;
use crate::registry::{Row, SessionRow};
use crate::session::{Blocked, FLAG_BLOCKED, FLAG_MONITOR};
use crate::shutdown::{self, Begun, Order};
use crate::turn::Turn;

const ANYWHERE: Flags = Flags::LOADING.union(Flags::STALE).union(Flags::FAST);
const ADMIN: Flags = Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE);

/// The rows of this file.
pub const COMMANDS: &[SessionRow] =
    &[
        SessionRow::new("time", 1, ANYWHERE, Group::Server, time)
            .docs("2.6.0", "Gives the server's time.", "O(1)", "")
            .tips(&["nondeterministic_output"]),
        SessionRow::new("lolwut", -1, Flags::READONLY.union(Flags::FAST), Group::Server, lolwut)
            .docs("5.0.0", "Draws something, and names the version.", "O(1)", "[VERSION version]"),
        SessionRow::new("monitor", 1, ADMIN, Group::Server, monitor).docs(
            "1.0.0",
            "Shows every command as it is run.",
            "O(1)",
            "",
        ),
        SessionRow::new(
            "shutdown",
            -1,
            ADMIN.union(Flags::NO_MULTI).union(Flags::ALLOW_BUSY),
            Group::Server,
            shutdown,
        )
        .docs(
            "1.0.0",
            "Stops the server.",
            "O(N) when saving, with N the number of keys",
            "[NOSAVE | SAVE] [NOW] [FORCE] [SAFE] [FAILOVER] [ABORT]",
        ),
    ];

fn time(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let us = turn.lp.now.unix_us;
    let mut reply = turn.reply();
    reply.array(2);
    reply.bulk_i64((us / 1_000_000) as i64);
    reply.bulk_i64((us % 1_000_000) as i64);
    Ok(())
}

/// Layers of earth in different colours: what ochre is.
fn lolwut(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    if let [_, word, version] = args[..]
        && is(word, "version")
    {
        ochre_base::num::parse_i64(version).ok_or(NOT_INTEGER)?;
    }
    let mut drawing = String::new();
    let rng = &mut turn.lp.work.rng;
    for depth in 0..8usize {
        for _ in 0..48 {
            let grain = (depth as u64 + rng.below(3)) as usize;
            drawing.push([' ', '.', ':', '-', '=', '+', '*', '%', '#', '@'][grain.min(9)]);
        }
        drawing.push('\n');
    }
    drawing.push_str(&format!(
        "\nRedis ver. {} (Ochre)\n",
        turn.live().settings.compat.redis_version()
    ));
    turn.reply().verbatim(*b"txt", drawing);
    Ok(())
}

fn monitor(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    if turn.session.multi.is_some() || turn.held.is_some() {
        return Err(ReplyError::fixed("ERR MONITOR isn't allowed for DENY BLOCKING client"));
    }
    if !turn.session.monitor {
        turn.session.monitor = true;
        turn.session.info.set_flag(FLAG_MONITOR, true);
        turn.engine.monitors.fetch_add(1, Ordering::Relaxed);
    }
    turn.reply().ok();
    Ok(())
}

fn shutdown(turn: &mut Turn<'_>, args: &[&[u8]], row: &Row) -> Result {
    let (mut save, mut nosave, mut abort) = (false, false, false);
    let (mut force, mut now, mut others) = (false, false, false);
    for word in &args[1..] {
        if is(word, "save") {
            save = true;
        } else if is(word, "nosave") {
            nosave = true;
        } else if is(word, "abort") {
            abort = true;
        } else if is(word, "force") {
            force = true;
        } else if is(word, "now") {
            (now, others) = (true, true);
        } else if ["safe", "failover"].iter().any(|known| is(word, known)) {
            // They speak of slots, of which there are none.
            others = true;
        } else {
            return Err(SYNTAX);
        }
    }
    if (abort && (save || nosave || force || others)) || (save && nosave) {
        return Err(SYNTAX);
    }
    if abort {
        if !turn.engine.shutdown.abort(turn.engine) {
            return Err(ReplyError::fixed("ERR No shutdown in progress."));
        }
        turn.reply().ok();
        return Ok(());
    }
    turn.engine.host.log("User requested shutdown...");
    let save = match (save, nosave) {
        (true, _) => LastSave::Always,
        (_, true) => LastSave::Never,
        _ => LastSave::AsConfigured,
    };
    // In place of a loop that a script holds up nothing can be waited for.
    let order = Order { save, now: now || turn.lp.in_place, force };
    match turn.engine.shutdown.begin(turn.engine, order, turn.lp.now.unix_ms) {
        Begun::Ends => turn.session.close_after_reply = true,
        Begun::Failed => return Err(shutdown::FAILED),
        Begun::Waits => return wait_for_end(turn, row),
    }
    Ok(())
}

/// The client of a SHUTDOWN that waits for replicas waits with it.
fn wait_for_end(turn: &mut Turn<'_>, row: &Row) -> Result {
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
    if !turn.engine.shutdown.wait(Arc::clone(&waiter)) {
        return Err(shutdown::FAILED);
    }
    session.blocked = Some(Blocked {
        waiter: Some(waiter),
        keys: Vec::new(),
        deadline: None,
        on_timeout: OnTimeout::Null,
        acks: None,
        since_ns: turn.engine.host.ticks_ns(),
        row: row.id,
    });
    session.info.set_flag(FLAG_BLOCKED, true);
    turn.engine.blocked.fetch_add(1, Ordering::Relaxed);
    turn.lp.attention.push(session.id());
    Ok(())
}
