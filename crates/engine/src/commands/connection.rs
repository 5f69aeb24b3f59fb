//! PING, ECHO, AUTH, HELLO, SELECT, QUIT, RESET.

use ochre_command::args::is;
use ochre_command::outcome::{DB_OUT_OF_RANGE, SYNTAX};
use ochre_command::spec::{Flags, Group};
use ochre_command::{ReplyError, Result};
use ochre_config::Compat;
use ochre_resp::Protocol;

use crate::acl;
use crate::commands::transaction;
use crate::registry::{Row, SessionRow};
use crate::session::{FLAG_MONITOR, FLAG_NO_EVICT, FLAG_NO_TOUCH, ReplyMode};
use crate::turn::{SessionFn, Turn};

const ANYWHERE: Flags = Flags::LOADING.union(Flags::STALE).union(Flags::FAST);
const BEFORE_AUTH: Flags =
    ANYWHERE.union(Flags::NOSCRIPT).union(Flags::NO_AUTH).union(Flags::ALLOW_BUSY);

const fn row(
    name: &'static str,
    arity: i32,
    flags: Flags,
    run: SessionFn,
    (since, summary, complexity, syntax): (&'static str, &'static str, &'static str, &'static str),
) -> SessionRow {
    SessionRow::new(name, arity, flags, Group::Connection, run)
        .docs(since, summary, complexity, syntax)
}

/// The rows of this file.
pub const COMMANDS: &[SessionRow] = &[
    row(
        "ping",
        -1,
        Flags::FAST,
        ping,
        ("1.0.0", "Answers, so that a client knows the server lives.", "O(1)", "[message]"),
    ),
    row("echo", 2, ANYWHERE, echo, ("1.0.0", "Gives its argument back.", "O(1)", "message")),
    row(
        "auth",
        -2,
        BEFORE_AUTH.union(Flags::SKIP_MONITOR).union(Flags::SKIP_SLOWLOG),
        auth,
        (
            "1.0.0",
            "Authenticates the connection.",
            "O(N) with N the number of passwords of the user",
            "[username] password",
        ),
    ),
    row(
        "hello",
        -1,
        BEFORE_AUTH.union(Flags::SKIP_MONITOR).union(Flags::SKIP_SLOWLOG),
        hello,
        (
            "6.0.0",
            "Agrees on the protocol, and may authenticate and name the connection.",
            "O(1)",
            "[protover [AUTH username password] [SETNAME clientname]]",
        ),
    ),
    row("select", 2, ANYWHERE, select, ("1.0.0", "Changes the database.", "O(1)", "index")),
    row(
        "quit",
        -1,
        BEFORE_AUTH,
        quit,
        ("1.0.0", "Closes the connection once its replies are written.", "O(1)", ""),
    ),
    row(
        "reset",
        1,
        BEFORE_AUTH,
        reset,
        ("6.2.0", "Brings the connection back to its first state.", "O(1)", ""),
    ),
];

fn ping(turn: &mut Turn<'_>, args: &[&[u8]], row: &Row) -> Result {
    if turn.session.only_listens() && args.len() <= 2 {
        let mut reply = turn.reply();
        reply.array(2);
        reply.bulk("pong");
        reply.bulk(args.get(1).unwrap_or(&&b""[..]));
        return Ok(());
    }
    match args {
        [_] => turn.reply().pong(),
        [_, message] => turn.reply().bulk(message),
        _ => return Err(ochre_command::outcome::wrong_arity(row.spec.name)),
    }
    Ok(())
}

fn echo(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    turn.reply().bulk(args[1]);
    Ok(())
}

fn auth(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let (user, password): (&[u8], &[u8]) = match args {
        [_, password] => {
            let users = turn.engine.acl.users();
            if users.find(b"default").is_some_and(|user| user.needs_no_password()) {
                return Err(ReplyError::fixed(
                    "ERR AUTH <password> called without any password configured for the default \
                     user. Are you sure your configuration is correct?",
                ));
            }
            (b"default", password)
        }
        [_, user, password] => (user, password),
        _ => return Err(SYNTAX),
    };
    acl::log_in(turn, user, password, args[0])?;
    turn.reply().ok();
    Ok(())
}

fn hello(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let mut protocol = turn.session.protocol;
    let mut at = 1;
    if let Some(version) = args.get(1) {
        protocol = match ochre_base::num::parse_i64(version) {
            None => {
                return Err(ReplyError::fixed(
                    "ERR Protocol version is not an integer or out of range",
                ));
            }
            Some(2) => Protocol::Resp2,
            Some(3) => Protocol::Resp3,
            Some(_) => return Err(ReplyError::fixed("NOPROTO unsupported protocol version")),
        };
        at = 2;
    }
    let (mut credentials, mut name) = (None, None);
    while at < args.len() {
        let left = args.len() - at - 1;
        if is(args[at], "auth") && left >= 2 {
            credentials = Some((args[at + 1], args[at + 2]));
            at += 3;
        } else if is(args[at], "setname") && left >= 1 {
            name = Some(valid_name(args[at + 1])?);
            at += 2;
        } else {
            let given = String::from_utf8_lossy(args[at]);
            return Err(ReplyError::new(format!("ERR Syntax error in HELLO option '{given}'")));
        }
    }
    if let Some((user, password)) = credentials {
        acl::log_in(turn, user, password, args[0])?;
    }
    if !turn.session.access.authenticated {
        // Redis 7.0 shows the form without a version.
        let form = match turn.live().settings.compat {
            Compat::Redis70 => "HELLO",
            _ => "HELLO <proto>",
        };
        return Err(ReplyError::new(format!(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
             {form} AUTH <user> <pass> option can be used to authenticate the client and select the \
             RESP protocol version at the same time"
        )));
    }
    if let Some(name) = name {
        turn.session.info.change_names(|names| names.name = name);
    }
    turn.session.set_protocol(protocol);
    let id = turn.session.id() as i64;
    let compat = turn.live().settings.compat;
    let mut reply = turn.reply();
    reply.map(7);
    reply.bulk("server");
    reply.bulk(compat.server_name());
    reply.bulk("version");
    reply.bulk(compat.server_version());
    reply.bulk("proto");
    reply.integer(protocol.version());
    reply.bulk("id");
    reply.integer(id);
    reply.bulk("mode");
    reply.bulk("standalone");
    reply.bulk("role");
    reply.bulk("master");
    reply.bulk("modules");
    reply.empty_array();
    Ok(())
}

/// A client's name: printable, without blanks.
pub(crate) fn valid_name(name: &[u8]) -> Result<String> {
    match std::str::from_utf8(name) {
        Ok(name) if name.bytes().all(|b| (b'!'..=b'~').contains(&b)) => Ok(name.to_owned()),
        _ => Err(ReplyError::fixed(
            "ERR Client names cannot contain spaces, newlines or special characters.",
        )),
    }
}

fn select(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let index = ochre_command::args::int(args[1])?;
    if !(0..i64::from(turn.live().databases)).contains(&index) {
        return Err(DB_OUT_OF_RANGE);
    }
    turn.session.select(index as u16);
    turn.reply().ok();
    Ok(())
}

fn quit(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    turn.reply().ok();
    turn.session.close_after_reply = true;
    Ok(())
}

fn reset(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    transaction::end(turn);
    if turn.session.monitor {
        turn.session.monitor = false;
        turn.engine.monitors.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    }
    crate::tracking::stop(turn.engine, turn.session);
    crate::pubsub::unsubscribe_all(turn.engine, turn.session);
    let session = &mut *turn.session;
    session.select(0);
    session.set_protocol(Protocol::Resp2);
    session.reply_mode = ReplyMode::On;
    session.no_touch = false;
    session.info.set_flag(FLAG_MONITOR | FLAG_NO_EVICT | FLAG_NO_TOUCH, false);
    session.info.change_names(|names| names.name.clear());
    acl::admit(turn.engine, turn.session);
    turn.reply().status("RESET");
    Ok(())
}
