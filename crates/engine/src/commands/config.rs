//! CONFIG GET, SET, REWRITE, RESETSTAT.

use std::sync::PoisonError;

use ochre_command::outcome::{SYNTAX, wrong_arity};
use ochre_command::spec::{Flags, Group};
use ochre_command::{ReplyError, Result};
use ochre_config::get_set::{SetContext, SetError};
use ochre_config::{Id, Settings, Value, table};

use crate::commands::help;
use crate::gate::loading_error;
use crate::live::Live;
use crate::mailbox::Message;
use crate::registry::{Row, SessionRow};
use crate::turn::Turn;

const FLAGS: Flags = Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE);

const DIR: Id = table::id("dir");

/// The rows of this file.
pub const COMMANDS: &[SessionRow] = &[SessionRow::container(
    "config",
    Group::Server,
    "2.0.0",
    "Commands on the configuration.",
    &[
        SessionRow::new("get", -3, FLAGS, Group::Server, get).docs(
            "2.0.0",
            "Gives the values of directives by pattern.",
            "O(N) with N the number of directives",
            "parameter [parameter ...]",
        ),
        help::row("5.0.0", Group::Server),
        SessionRow::new("resetstat", 2, FLAGS, Group::Server, resetstat).docs(
            "2.0.0",
            "Sets the statistics back to zero.",
            "O(1)",
            "",
        ),
        SessionRow::new("rewrite", 2, FLAGS, Group::Server, rewrite).docs(
            "2.8.0",
            "Writes the values in force to the configuration file.",
            "O(1)",
            "",
        ),
        SessionRow::new("set", -4, FLAGS, Group::Server, set)
            .docs(
                "2.0.0",
                "Changes directives, all of them or none.",
                "O(N) with N the number of directives given",
                "parameter value [parameter value ...]",
            )
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
    ],
)];

fn get(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let pairs = {
        let config = turn.engine.config.lock().unwrap_or_else(PoisonError::into_inner);
        config.get(&args[2..])
    };
    let mut reply = turn.reply();
    reply.map(pairs.len());
    for (name, value) in pairs {
        reply.bulk(name);
        reply.bulk(value);
    }
    Ok(())
}

/// All directives or none: values first, then the process, and both back when that fails. The lock on the
/// values is held to the end, so that of two clients' changes the loops see the later one last.
fn set(turn: &mut Turn<'_>, args: &[&[u8]], row: &Row) -> Result {
    if !args.len().is_multiple_of(2) {
        return Err(wrong_arity(&row.full_name));
    }
    let info = &turn.session.info;
    let local = info.is_unix || info.addr.starts_with("127.") || info.addr.starts_with("[::1]");
    let context = SetContext { local_client: local, loading: turn.engine.loading.is_on() };
    let engine = turn.engine;
    let mut config = engine.config.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = Settings::of(&config).dir;
    let change = config.set(&args[2..], context).map_err(|error| match error {
        SetError::Loading => loading_error(turn.lp.live.settings.compat),
        other => text(&other),
    })?;
    if change.changed.contains(&DIR) {
        // It is written to the file and shown as what it is from anywhere.
        let path = folder.join(Settings::of(&config).dir);
        config.replace(DIR, Value::Text(path.into_os_string().into_encoded_bytes()));
    }
    let settings = Settings::of(&config);
    if let Err((id, message)) = engine.host.apply(&settings, &change.changed) {
        config.roll_back(change);
        return Err(text(&SetError::not_applied(id, message)));
    }
    for notice in &change.notices {
        engine.host.log(&notice.to_string());
    }
    engine.set_live(Live::of(settings));
    drop(config);
    (turn.lp.live, turn.lp.live_version) = engine.live();
    engine.tell_all(|| Message::LookAround);
    turn.reply().ok();
    Ok(())
}

fn text(error: &SetError) -> ReplyError {
    let mut text = Vec::new();
    error.append_text(&mut text);
    ReplyError::new(String::from_utf8_lossy(&text).into_owned())
}

fn resetstat(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    turn.engine.reset_stats();
    ochre_base::memory::reset_peak();
    ochre_keyspace::lazyfree::reset_freed();
    turn.reply().ok();
    Ok(())
}

/// The lines of users for the configuration file: none of them when there is a file of users, and no
/// say in them when there is nothing to say.
fn user_lines(turn: &Turn<'_>) -> Option<Vec<Vec<u8>>> {
    let settings = &turn.live().settings;
    if settings.aclfile.is_some() {
        return Some(Vec::new());
    }
    let users = turn.engine.acl.users();
    let context = crate::acl::context(&turn.engine.registry, settings);
    // requirepass says as much of the default user.
    let said = users.are_default(&settings.requirepass, context);
    (!said).then(|| users.lines(settings.compat))
}

fn rewrite(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    if args.len() != 2 {
        return Err(SYNTAX);
    }
    let config = turn.engine.config.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(path) = config.file() else {
        return Err(ReplyError::fixed("ERR The server is running without a config file"));
    };
    let users = user_lines(turn);
    let written =
        turn.engine.host.rewrite_file(path, &|old| config.rewritten_with(old, users.as_deref()));
    drop(config);
    match written {
        Ok(()) => turn.reply().ok(),
        Err(error) => return Err(ReplyError::new(format!("ERR Rewriting config file: {error}"))),
    }
    Ok(())
}
