//! SAVE, BGSAVE, BGREWRITEAOF, LASTSAVE.

use ochre_command::args::is;
use ochre_command::outcome::SYNTAX;
use ochre_command::spec::{Flags, Group};
use ochre_command::{ReplyError, Result};

use crate::registry::{Row, SessionRow};
use crate::turn::Turn;

const ADMIN: Flags = Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::NO_ASYNC_LOADING);

/// The rows of this file.
pub const COMMANDS: &[SessionRow] = &[
    SessionRow::new("save", 1, ADMIN.union(Flags::NO_MULTI), Group::Server, save).docs(
        "1.0.0",
        "Writes a snapshot, and answers when it is on disk.",
        "O(N) with N the number of keys",
        "",
    ),
    SessionRow::new("bgsave", -1, ADMIN, Group::Server, bgsave).docs(
        "1.0.0",
        "Writes a snapshot in the background, or gives up the one under way.",
        "O(1)",
        "[SCHEDULE | CANCEL]",
    ),
    SessionRow::new("bgrewriteaof", 1, ADMIN, Group::Server, bgrewriteaof).docs(
        "1.0.0",
        "Rewrites the append-only file in the background.",
        "O(1)",
        "",
    ),
    SessionRow::new(
        "lastsave",
        1,
        Flags::LOADING.union(Flags::STALE).union(Flags::FAST),
        Group::Server,
        lastsave,
    )
    .also(ochre_command::spec::Categories::ADMIN.union(ochre_command::spec::Categories::DANGEROUS))
    .docs("1.0.0", "Gives the time of the last good snapshot.", "O(1)", "")
    .tips(&["nondeterministic_output"]),
];

const UNDER_WAY: ReplyError = ReplyError::fixed("ERR Background save already in progress");

fn save(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    if !turn.engine.saves.begin(turn.lp.now.unix_ms / 1000) {
        return Err(UNDER_WAY);
    }
    // The reason of a failure is in the log, as with the peers.
    turn.engine.host.save(turn.engine).map_err(|_| ReplyError::fixed("ERR"))?;
    turn.reply().ok();
    Ok(())
}

fn bgsave(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let saves = &turn.engine.saves;
    let mut schedule = false;
    match args[1..] {
        [] => {}
        [word] if is(word, "schedule") => schedule = true,
        [word] if is(word, "cancel") => {
            let scheduled = saves.state().scheduled;
            saves.change(|state| state.scheduled = false);
            if saves.is_under_way() {
                saves.cancel();
                turn.reply().status("Background saving cancelled");
            } else if scheduled {
                turn.reply().status("Scheduled background saving cancelled");
            } else {
                return Err(ReplyError::fixed(
                    "ERR Background saving is currently not in progress or scheduled",
                ));
            }
            return Ok(());
        }
        _ => return Err(SYNTAX),
    }
    if !saves.begin(turn.lp.now.unix_ms / 1000) {
        if !schedule {
            return Err(UNDER_WAY);
        }
        saves.change(|state| state.scheduled = true);
        turn.reply().status("Background saving scheduled");
        return Ok(());
    }
    let holds_locks = turn.held.is_some();
    if turn.engine.host.save_in_background(turn.engine, holds_locks).is_err() {
        return Err(ReplyError::fixed("ERR"));
    }
    turn.reply().status("Background saving started");
    Ok(())
}

fn bgrewriteaof(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let saves = &turn.engine.saves;
    // In a transaction it waits, as in the peers: its cut is to be behind the whole of it.
    let in_transaction = turn.held.is_some();
    if !in_transaction && saves.begin_rewrite(turn.lp.now.unix_ms / 1000) {
        if turn.engine.host.rewrite_aof(turn.engine).is_err() {
            return Err(ReplyError::fixed(
                "ERR Can't execute an AOF background rewriting. Please check the server logs for \
                 more information.",
            ));
        }
        turn.reply().status("Background append only file rewriting started");
    } else if saves.is_under_way() && saves.state().is_rewrite {
        return Err(ReplyError::fixed(
            "ERR Background append only file rewriting already in progress",
        ));
    } else {
        saves.change(|state| state.rewrite_scheduled = true);
        turn.reply().status("Background append only file rewriting scheduled");
    }
    Ok(())
}

fn lastsave(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let at = turn.engine.saves.state().last_s;
    turn.reply().integer(at);
    Ok(())
}
