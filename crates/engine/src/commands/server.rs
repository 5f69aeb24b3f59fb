//! TIME, LOLWUT, MONITOR, SHUTDOWN, ROLE, LASTSAVE.

use std::sync::atomic::Ordering;

use ochre_command::args::is;
use ochre_command::outcome::{NOT_INTEGER, SYNTAX};
use ochre_command::spec::{Flags, Group};
use ochre_command::{ReplyError, Result};

use crate::engine::LastSave;
use crate::mailbox::Message;
use crate::registry::{Row, SessionRow};
use crate::session::FLAG_MONITOR;
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

fn shutdown(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let (mut save, mut nosave, mut abort) = (false, false, false);
    let (mut force, mut others) = (false, false);
    for word in &args[1..] {
        if is(word, "save") {
            save = true;
        } else if is(word, "nosave") {
            nosave = true;
        } else if is(word, "abort") {
            abort = true;
        } else if is(word, "force") {
            force = true;
        } else if ["now", "safe", "failover"].iter().any(|known| is(word, known)) {
            // There is no replica to wait for.
            others = true;
        } else {
            return Err(SYNTAX);
        }
    }
    if (abort && (save || nosave || force || others)) || (save && nosave) {
        return Err(SYNTAX);
    }
    if abort {
        // A shutdown never waits for anything here, so there is none to abort.
        return Err(ReplyError::fixed("ERR No shutdown in progress."));
    }
    turn.engine.host.log("User requested shutdown...");
    let how = match (save, nosave) {
        (true, _) => LastSave::Always,
        (_, true) => LastSave::Never,
        _ => LastSave::AsConfigured,
    };
    if !turn.engine.host.save_before_end(turn.engine, how) && !force {
        return Err(ReplyError::fixed("ERR Errors trying to SHUTDOWN. Check logs."));
    }
    turn.engine.stopping.store(true, Ordering::Relaxed);
    turn.engine.tell_all(|| Message::LookAround);
    turn.session.close_after_reply = true;
    Ok(())
}
