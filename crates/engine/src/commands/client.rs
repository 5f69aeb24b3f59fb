//! CLIENT and its subcommands; those of TRACKING are in `tracking`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ochre_base::num::parse_i64;
use ochre_command::args::is;
use ochre_command::outcome::{NOT_INTEGER, SYNTAX, wrong_arity};
use ochre_command::spec::{Categories, Flags, Group};
use ochre_command::{ReplyError, Result};

use crate::client_filter::{Filter, describe};
use crate::commands::connection::valid_name;
use crate::commands::help;
use crate::engine::Pause;
use crate::mailbox::Message;
use crate::registry::{Row, SessionRow};
use crate::session::{
    ClientInfo, FLAG_CAPA_REDIRECT, FLAG_NO_EVICT, FLAG_NO_TOUCH, FLAG_PRIMARY, ReplyMode,
};
use crate::turn::{SessionFn, Turn};

const BASIC: Flags = Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE);
const ADMIN: Flags = BASIC.union(Flags::ADMIN);

const fn sub(
    name: &'static str,
    arity: i32,
    flags: Flags,
    run: SessionFn,
    (since, summary, syntax): (&'static str, &'static str, &'static str),
) -> SessionRow {
    SessionRow::new(name, arity, flags, Group::Connection, run).docs(since, summary, "O(1)", syntax)
}

/// The rows of this file.
pub const COMMANDS: &[SessionRow] = &[SessionRow::container(
    "client",
    Group::Connection,
    "2.4.0",
    "Commands on client connections.",
    SUBCOMMANDS,
)];

const KILL_SYNTAX: &str = "old-format | [ID client-id [client-id ...]] \
    [TYPE normal | master | slave | replica | pubsub] [USER username] [ADDR ip:port] \
    [LADDR ip:port] [SKIPME yes | no] [MAXAGE maxage]";
const LIST_SYNTAX: &str =
    "[TYPE normal | master | replica | pubsub] [ID client-id [client-id ...]]";

const TRACKING_SYNTAX: &str = "ON | OFF [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] \
    [BCAST] [OPTIN] [OPTOUT] [NOLOOP]";

const SUBCOMMANDS: &[SessionRow] = &[
    sub(
        "capa",
        -3,
        BASIC,
        capa,
        ("8.0.0", "Says what the client can do.", "capability [capability ...]"),
    ),
    sub(
        "caching",
        3,
        BASIC,
        super::tracking::caching,
        ("6.0.0", "Says whether the next command's keys are tracked.", "YES | NO"),
    ),
    sub(
        "getredir",
        2,
        BASIC,
        super::tracking::getredir,
        ("6.0.0", "Gives the client that invalidations go to.", ""),
    ),
    sub("getname", 2, BASIC, getname, ("2.6.9", "Gives the connection's name.", "")),
    help::row("5.0.0", Group::Connection),
    sub("id", 2, BASIC, id, ("5.0.0", "Gives the connection's id.", "")),
    sub("info", 2, BASIC, info, ("6.2.0", "Describes the connection.", "")),
    sub("kill", -3, ADMIN, kill, ("2.4.0", "Closes connections.", KILL_SYNTAX))
        .also(Categories::CONNECTION),
    sub("list", -2, ADMIN, list, ("2.4.0", "Describes all connections.", LIST_SYNTAX)),
    sub(
        "no-evict",
        3,
        ADMIN,
        no_evict,
        ("7.0.0", "Exempts the connection from eviction.", "ON | OFF"),
    ),
    sub(
        "no-touch",
        3,
        BASIC,
        no_touch,
        ("7.2.0", "Keeps reads from counting as accesses.", "ON | OFF"),
    ),
    sub(
        "pause",
        -3,
        ADMIN,
        pause,
        ("3.0.0", "Holds commands back for a time.", "timeout [WRITE | ALL]"),
    ),
    sub(
        "reply",
        3,
        BASIC,
        reply,
        ("3.2.0", "Chooses whether replies are sent.", "ON | OFF | SKIP"),
    ),
    sub(
        "setinfo",
        4,
        BASIC,
        setinfo,
        ("7.2.0", "Names the client's library.", "LIB-NAME libname | LIB-VER libver"),
    ),
    sub("setname", 3, BASIC, setname, ("2.6.9", "Names the connection.", "connection-name")),
    sub(
        "tracking",
        -3,
        BASIC,
        super::tracking::tracking,
        ("6.0.0", "Has the client told when keys change that it may have cached.", TRACKING_SYNTAX),
    ),
    sub(
        "trackinginfo",
        2,
        BASIC,
        super::tracking::trackinginfo,
        ("6.2.0", "Describes how the connection tracks keys.", ""),
    ),
    sub(
        "unblock",
        -3,
        ADMIN,
        unblock,
        ("5.0.0", "Ends another client's wait.", "client-id [TIMEOUT | ERROR]"),
    ),
    sub("unpause", 2, ADMIN, unpause, ("6.2.0", "Ends CLIENT PAUSE.", "")),
];

fn capa(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    for word in &args[2..] {
        // Unknown capabilities are ignored, so that newer clients can name theirs.
        if is(word, "redirect") {
            turn.session.info.set_flag(FLAG_CAPA_REDIRECT, true);
        }
    }
    turn.reply().ok();
    Ok(())
}

fn id(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let id = turn.session.id() as i64;
    turn.reply().integer(id);
    Ok(())
}

fn getname(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let name = turn.session.info.names().name;
    if name.is_empty() {
        turn.reply().null();
    } else {
        turn.reply().bulk(name);
    }
    Ok(())
}

fn setname(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let name = valid_name(args[2])?;
    turn.session.info.change_names(|names| names.name = name);
    turn.reply().ok();
    Ok(())
}

fn setinfo(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let what = args[2];
    let clean = |what: &str| {
        valid_name(args[3]).map_err(|_| {
            ReplyError::new(format!(
                "ERR {what} cannot contain spaces, newlines or special characters."
            ))
        })
    };
    if is(what, "lib-name") {
        let value = clean("lib-name")?;
        turn.session.info.change_names(|names| names.lib_name = value);
    } else if is(what, "lib-ver") {
        let value = clean("lib-ver")?;
        turn.session.info.change_names(|names| names.lib_ver = value);
    } else {
        let what = String::from_utf8_lossy(what);
        return Err(ReplyError::new(format!("ERR Unrecognized option '{what}'")));
    }
    turn.reply().ok();
    Ok(())
}

/// Brings what CLIENT LIST shows of the calling client up to date.
fn refresh(turn: &mut Turn<'_>, row: &Row) {
    let info = &turn.session.info;
    info.last_row.store(row.id + 1, Ordering::Relaxed);
    info.last_seen.store(turn.lp.now.unix_ms / 1000, Ordering::Relaxed);
    info.output_bytes.store(turn.out.pending() as u64, Ordering::Relaxed);
}

fn info(turn: &mut Turn<'_>, _args: &[&[u8]], row: &Row) -> Result {
    refresh(turn, row);
    let mut text = String::new();
    describe(turn.engine, &turn.session.info, turn.lp.now.unix_ms / 1000, &mut text);
    turn.reply().verbatim(*b"txt", text);
    Ok(())
}

fn list(turn: &mut Turn<'_>, args: &[&[u8]], row: &Row) -> Result {
    refresh(turn, row);
    let filter = Filter::parse(&args[2..], turn.session.id(), &|name| is_user(turn, name))?;
    let now = turn.lp.now.unix_ms / 1000;
    let mut text = String::new();
    for info in turn.engine.clients.all() {
        if filter.accepts(&info, now) {
            describe(turn.engine, &info, now, &mut text);
        }
    }
    turn.reply().verbatim(*b"txt", text);
    Ok(())
}

fn is_user(turn: &Turn<'_>, name: &[u8]) -> bool {
    turn.engine.acl.users().find(name).is_some()
}

fn kill(turn: &mut Turn<'_>, args: &[&[u8]], row: &Row) -> Result {
    refresh(turn, row);
    let old_form = args.len() == 3;
    let filter = if old_form {
        Filter::by_address(args[2])
    } else {
        Filter::parse_kill(&args[2..], turn.session.id(), &|name| is_user(turn, name))?
    };
    let now = turn.lp.now.unix_ms / 1000;
    let victims: Vec<Arc<ClientInfo>> =
        turn.engine.clients.all().into_iter().filter(|info| filter.accepts(info, now)).collect();
    for victim in &victims {
        if victim.id == turn.session.id() {
            turn.session.close_after_reply = true;
        } else if victim.has_flag(FLAG_PRIMARY) {
            // The link's thread looks at it now and then; no loop knows it.
            victim.doomed.store(true, Ordering::Relaxed);
        } else {
            turn.engine.tell(victim.event_loop, Message::Kill { client: victim.id });
        }
    }
    match (old_form, victims.len()) {
        (true, 0) => return Err(ReplyError::fixed("ERR No such client")),
        (true, _) => turn.reply().ok(),
        (false, count) => turn.reply().integer(count as i64),
    }
    Ok(())
}

fn on_off(arg: &[u8]) -> Result<bool> {
    if is(arg, "on") {
        Ok(true)
    } else if is(arg, "off") {
        Ok(false)
    } else {
        Err(SYNTAX)
    }
}

fn no_evict(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let on = on_off(args[2])?;
    turn.session.info.set_flag(FLAG_NO_EVICT, on);
    turn.reply().ok();
    Ok(())
}

fn no_touch(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    turn.session.no_touch = on_off(args[2])?;
    turn.session.info.set_flag(FLAG_NO_TOUCH, turn.session.no_touch);
    turn.reply().ok();
    Ok(())
}

fn reply(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    if is(args[2], "on") {
        turn.session.reply_mode = ReplyMode::On;
        turn.reply().ok();
    } else if is(args[2], "off") {
        turn.session.reply_mode = ReplyMode::Off;
    } else if is(args[2], "skip") {
        if turn.session.reply_mode == ReplyMode::On {
            turn.session.reply_mode = ReplyMode::SkipNext;
        }
    } else {
        return Err(SYNTAX);
    }
    Ok(())
}

fn pause(turn: &mut Turn<'_>, args: &[&[u8]], row: &Row) -> Result {
    let mode = match args[3..] {
        [] => Pause::All,
        [word] if is(word, "all") => Pause::All,
        [word] if is(word, "write") => Pause::Write,
        [_] => {
            return Err(ReplyError::fixed("ERR CLIENT PAUSE mode must be WRITE or ALL"));
        }
        _ => return Err(wrong_arity(&row.full_name)),
    };
    let ms = parse_i64(args[2])
        .ok_or(ReplyError::fixed("ERR timeout is not an integer or out of range"))?;
    if ms < 0 {
        return Err(ReplyError::fixed("ERR timeout is negative"));
    }
    let now = turn.lp.now.unix_ms;
    let until = now.checked_add(ms).ok_or(ReplyError::fixed("ERR timeout is out of range"))?;
    // A pause under way is never weakened by a later one: the longer end and the stricter kind stay.
    let stricter = if turn.engine.pause(now) == Pause::All { Pause::All } else { mode };
    let until = until.max(if turn.engine.pause(now) == Pause::Off {
        0
    } else {
        turn.engine.pause_until_ms()
    });
    turn.engine.set_pause(stricter, until);
    turn.reply().ok();
    Ok(())
}

fn unpause(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    turn.engine.set_pause(Pause::Off, 0);
    turn.engine.tell_all(|| Message::LookAround);
    turn.reply().ok();
    Ok(())
}

fn unblock(turn: &mut Turn<'_>, args: &[&[u8]], row: &Row) -> Result {
    let error = match args[3..] {
        [] => false,
        [word] if is(word, "timeout") => false,
        [word] if is(word, "error") => true,
        [_] => {
            return Err(ReplyError::fixed("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"));
        }
        _ => return Err(wrong_arity(&row.full_name)),
    };
    let id = parse_i64(args[2]).ok_or(NOT_INTEGER)?;
    let blocked = u64::try_from(id)
        .ok()
        .and_then(|id| turn.engine.clients.by_id(id))
        .filter(|info| info.claim_wait());
    if let Some(info) = &blocked {
        turn.engine.tell(info.event_loop, Message::Unblock { client: info.id, error });
    }
    turn.reply().integer(i64::from(blocked.is_some()));
    Ok(())
}
