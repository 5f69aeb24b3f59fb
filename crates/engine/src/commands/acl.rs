//! ACL and its subcommands.

use ochre_acl::commands::{CATEGORIES, category};
use ochre_acl::file::is_valid_name;
use ochre_acl::{Commands, Selector, User, Users, merged, password};
use ochre_base::num::parse_i64;
use ochre_command::args::is;
use ochre_command::outcome::{NOT_INTEGER, wrong_arity};
use ochre_command::spec::{Flags, Group};
use ochre_command::{Reply, ReplyError, Result};
use ochre_config::Compat;

use crate::acl;
use crate::commands::help;
use crate::registry::{Row, SessionRow};
use crate::turn::{SessionFn, Turn};

const BASIC: Flags = Flags::NOSCRIPT.union(Flags::LOADING).union(Flags::STALE);
const ADMIN: Flags = BASIC.union(Flags::ADMIN);
const ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];
const USERS: &str = "O(N) with N the number of users";

const fn sub(
    name: &'static str,
    arity: i32,
    flags: Flags,
    run: SessionFn,
    (since, summary, complexity, syntax): (&'static str, &'static str, &'static str, &'static str),
) -> SessionRow {
    SessionRow::new(name, arity, flags, Group::Server, run).docs(since, summary, complexity, syntax)
}

/// The rows of this file.
pub const COMMANDS: &[SessionRow] = &[SessionRow::container(
    "acl",
    Group::Server,
    "6.0.0",
    "Commands on users and their rights.",
    &[
        sub(
            "cat",
            -2,
            BASIC,
            cat,
            ("6.0.0", "Lists categories, or a category's commands.", "O(1)", "[category]"),
        ),
        sub(
            "deluser",
            -3,
            ADMIN,
            deluser,
            (
                "6.0.0",
                "Removes users and closes their connections.",
                "O(N) with N the number of connections",
                "username [username ...]",
            ),
        )
        .tips(ALL_NODES),
        sub(
            "dryrun",
            -4,
            ADMIN,
            dryrun,
            (
                "7.0.0",
                "Says whether a user may run a command, without running it.",
                "O(1)",
                "username command [arg [arg ...]]",
            ),
        ),
        sub("genpass", -2, BASIC, genpass, ("6.0.0", "Makes a random password.", "O(1)", "[bits]")),
        sub(
            "getuser",
            3,
            ADMIN,
            getuser,
            ("6.0.0", "Gives a user's rules.", "O(N) with N the number of rules", "username"),
        ),
        help::row("6.0.0", Group::Server),
        sub("list", 2, ADMIN, list, ("6.0.0", "Gives all users as lines of rules.", USERS, "")),
        sub("load", 2, ADMIN, load, ("6.0.0", "Reads the file of users again.", USERS, "")),
        sub(
            "log",
            -2,
            ADMIN,
            log,
            (
                "6.0.0",
                "Gives the latest refused accesses, or forgets them.",
                "O(N) with N the number of entries shown",
                "[count | RESET]",
            ),
        ),
        sub("save", 2, ADMIN, save, ("6.0.0", "Writes the file of users.", USERS, ""))
            .tips(ALL_NODES),
        sub(
            "setuser",
            -3,
            ADMIN,
            setuser,
            (
                "6.0.0",
                "Makes a user, or changes one's rules.",
                "O(N) with N the number of rules",
                "username [rule [rule ...]]",
            ),
        )
        .tips(ALL_NODES),
        sub("users", 2, ADMIN, users, ("6.0.0", "Gives the names of all users.", USERS, "")),
        sub("whoami", 2, BASIC, whoami, ("6.0.0", "Gives the connection's user.", "O(1)", "")),
    ],
)];

fn context(turn: &Turn<'_>) -> ochre_acl::Context<'static> {
    acl::context(&turn.engine.registry, &turn.live().settings)
}

/// Too many arguments for a subcommand whose number of arguments is open.
fn too_many(args: &[&[u8]]) -> ReplyError {
    let given = String::from_utf8_lossy(args[1]);
    ReplyError::new(format!(
        "ERR unknown subcommand or wrong number of arguments for '{given}'. Try ACL HELP."
    ))
}

fn cat(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let registry = &turn.engine.registry;
    match args[2..] {
        [] => {
            let mut reply = turn.reply();
            reply.array(CATEGORIES.len());
            CATEGORIES.iter().for_each(|(_, name)| reply.bulk(name));
        }
        [name] => {
            let (wanted, _) = category(name).ok_or_else(|| {
                let name = String::from_utf8_lossy(name);
                ReplyError::new(format!("ERR Unknown category '{name}'"))
            })?;
            let rows = registry.rows().iter();
            let rows: Vec<&Row> = rows
                .filter(|row| !acl::is_inner(registry, row))
                .filter(|row| registry.categories(row.id).intersects(wanted))
                .collect();
            let mut reply = turn.reply();
            reply.array(rows.len());
            rows.iter().for_each(|row| reply.bulk(&row.full_name));
        }
        _ => return Err(too_many(args)),
    }
    Ok(())
}

fn setuser(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let name = args[2];
    if !is_valid_name(name) {
        return Err(ReplyError::fixed("ERR Usernames can't contain spaces or null characters"));
    }
    let words = &args[3..];
    let rules = merged(words).map_err(|at| {
        let word = shown(words[at]);
        ReplyError::new(format!("ERR Unmatched parenthesis in acl selector starting at '{word}'."))
    })?;
    let context = context(turn);
    let (old, new) = turn.engine.acl.change(|users| -> Result<_> {
        let old = users.find(name).cloned();
        let mut user = users.draft(name, context);
        for rule in &rules {
            user.apply(rule, context).map_err(|error| {
                let rule = shown(rule);
                ReplyError::new(format!("ERR Error in ACL SETUSER modifier '{rule}': {error}"))
            })?;
        }
        Ok((old, users.put(user)))
    })?;
    if old.is_some_and(|old| !new.keeps_channels_of(&old)) {
        acl::close_listeners_of(turn, &new);
    }
    turn.reply().ok();
    Ok(())
}

/// A rule in a message: up to its first zero byte, as the peers show it.
fn shown(rule: &[u8]) -> String {
    let rule = rule.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(rule).into_owned()
}

fn deluser(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let names = &args[2..];
    if names.contains(&&b"default"[..]) {
        return Err(ReplyError::fixed("ERR The 'default' user cannot be removed"));
    }
    let removed: Vec<_> = turn
        .engine
        .acl
        .change(|users| names.iter().filter_map(|name| users.remove(name)).collect());
    acl::close_clients_of(turn, |name| removed.iter().any(|user| *user.name == *name));
    turn.reply().integer(removed.len() as i64);
    Ok(())
}

fn list(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let compat = turn.live().settings.compat;
    let lines = turn.engine.acl.users().lines(compat);
    let mut reply = turn.reply();
    reply.array(lines.len());
    lines.iter().for_each(|line| reply.bulk(line));
    Ok(())
}

fn users(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let names: Vec<Vec<u8>> =
        turn.engine.acl.users().iter().map(|user| user.name.to_vec()).collect();
    let mut reply = turn.reply();
    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name));
    Ok(())
}

fn whoami(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let name = turn.session.access.name();
    turn.reply().bulk(name);
    Ok(())
}

fn getuser(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let user = turn.engine.acl.users().find(args[2]).cloned();
    let compat = turn.live().settings.compat;
    let mut reply = turn.reply();
    match user {
        Some(user) => describe(&user, compat, &mut reply),
        None => reply.null(),
    }
    Ok(())
}

fn describe(user: &User, compat: Compat, reply: &mut Reply<'_>) {
    // Databases belong to Valkey 9.1; elsewhere they are shown when there is something to show.
    let limited = user.all_selectors().any(|selector| !selector.has_all_databases());
    let databases = compat == Compat::Valkey9 || limited;
    reply.map(6 + usize::from(databases));
    reply.bulk("flags");
    let flags = user.flags(compat);
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk(flag));
    reply.bulk("passwords");
    reply.array(user.passwords().len());
    user.passwords().iter().for_each(|digest| reply.bulk(digest.to_string()));
    describe_selector(user.root(), databases, reply);
    reply.bulk("selectors");
    reply.array(user.selectors().len());
    for selector in user.selectors() {
        reply.map(3 + usize::from(databases));
        describe_selector(selector, databases, reply);
    }
}

fn describe_selector(selector: &Selector, databases: bool, reply: &mut Reply<'_>) {
    reply.bulk("commands");
    reply.bulk(selector.commands_text());
    reply.bulk("keys");
    reply.bulk(selector.keys_text());
    reply.bulk("channels");
    reply.bulk(selector.channels_text());
    if databases {
        reply.bulk("databases");
        reply.bulk(selector.databases_text());
    }
}

fn dryrun(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let missing = |what: &str, name: &[u8]| {
        let name = String::from_utf8_lossy(name);
        ReplyError::new(format!("ERR {what} '{name}' not found"))
    };
    let user = turn.engine.acl.users().find(args[2]).cloned();
    let user = user.ok_or_else(|| missing("User", args[2]))?;
    let command = &args[3..];
    let row = turn.engine.registry.resolve(command).filter(|row| {
        let names_none = !row.subcommands.is_empty() && command.len() > 1 && row.spec.arity != -1;
        !names_none
    });
    let row = row.ok_or_else(|| missing("Command", command[0]))?;
    if !row.spec.accepts(command.len()) {
        return Err(wrong_arity(&row.full_name));
    }
    match acl::dry_run(turn, &user, row, command) {
        None => turn.reply().ok(),
        Some(text) => turn.reply().bulk(text),
    }
    Ok(())
}

fn genpass(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    const MOST: usize = 4096;
    let bits = match args[2..] {
        [] => 256,
        [bits] => {
            let bits = parse_i64(bits).ok_or(NOT_INTEGER)?;
            usize::try_from(bits).ok().filter(|bits| (1..=MOST).contains(bits)).ok_or(
                ReplyError::fixed(
                    "ERR ACL GENPASS argument must be the number of bits for the output password, a \
                     positive number up to 4096",
                ),
            )?
        }
        _ => return Err(too_many(args)),
    };
    let mut random = [0; MOST / 8];
    getrandom::fill(&mut random)
        .map_err(|_| ReplyError::fixed("ERR the system has no random numbers"))?;
    turn.reply().bulk(password::digits(&random, bits));
    Ok(())
}

fn log(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let most = match args[2..] {
        [] => 10,
        [word] if is(word, "reset") => {
            turn.engine.acl.log().clear();
            turn.reply().ok();
            return Ok(());
        }
        [count] => parse_i64(count).ok_or(NOT_INTEGER)?,
        _ => return Err(too_many(args)),
    };
    let entries = turn.engine.acl.log().newest(usize::try_from(most).unwrap_or(0));
    let now = turn.lp.now.unix_ms;
    let numbered = turn.live().settings.compat != Compat::Redis70;
    let mut reply = turn.reply();
    reply.array(entries.len());
    for entry in entries {
        reply.map(if numbered { 10 } else { 7 });
        reply.bulk("count");
        reply.integer(entry.count as i64);
        reply.bulk("reason");
        reply.bulk(entry.reason.name());
        reply.bulk("context");
        reply.bulk(entry.context);
        reply.bulk("object");
        reply.bulk(&entry.object);
        reply.bulk("username");
        reply.bulk(&entry.username);
        reply.bulk("age-seconds");
        reply.double((now - entry.updated_ms) as f64 / 1000.0);
        reply.bulk("client-info");
        reply.bulk(&entry.client);
        if numbered {
            reply.bulk("entry-id");
            reply.integer(entry.id as i64);
            reply.bulk("timestamp-created");
            reply.integer(entry.created_ms);
            reply.bulk("timestamp-last-updated");
            reply.integer(entry.updated_ms);
        }
    }
    Ok(())
}

/// The answer of LOAD and SAVE without a file.
fn no_file(turn: &Turn<'_>) -> ReplyError {
    ReplyError::fixed(match turn.live().settings.compat {
        Compat::Valkey9 => {
            "ERR This instance is not configured to use an ACL file. You may want to specify users \
             via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a \
             configuration file set) in order to store users in the configuration."
        }
        _ => {
            "ERR This Redis instance is not configured to use an ACL file. You may want to specify \
             users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a \
             Redis configuration file set) in order to store users in the Redis configuration."
        }
    })
}

fn load(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let Some(path) = turn.live().settings.aclfile.clone() else { return Err(no_file(turn)) };
    let shown = path.display().to_string();
    let text = turn.engine.host.read_file(&path).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.split(" (os error").next().unwrap_or_default();
        ReplyError::new(format!("ERR Error loading ACLs, opening file '{shown}': {reason}"))
    })?;
    let context = context(turn);
    let old = turn.engine.acl.change(|users| {
        let new = Users::parse_file(&text, &shown, users, context)?;
        Ok(std::mem::replace(users, new))
    });
    let old = old.map_err(|errors: String| {
        ReplyError::new(format!(
            "ERR {errors}WARNING: ACL errors detected, no change to the previously active ACL rules \
             was performed"
        ))
    })?;
    if turn.live().settings.compat <= Compat::Redis72 {
        // Redis up to 7.2 closes all clients that are not the default user's.
        acl::close_clients_of(turn, |name| name != b"default");
    } else {
        let now: Vec<_> = turn.engine.acl.users().iter().cloned().collect();
        acl::close_clients_of(turn, |name| !now.iter().any(|user| *user.name == *name));
        for user in now {
            if old.find(&user.name).is_some_and(|old| !user.keeps_channels_of(old)) {
                acl::close_listeners_of(turn, &user);
            }
        }
    }
    turn.reply().ok();
    Ok(())
}

fn save(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let settings = &turn.live().settings;
    let Some(path) = settings.aclfile.clone() else { return Err(no_file(turn)) };
    let text = turn.engine.acl.users().file_text(settings.compat);
    if let Err(error) = turn.engine.host.rewrite_file(&path, &|_| text.clone()) {
        turn.engine.host.log(&format!("Writing the ACL file '{}': {error}", path.display()));
        return Err(ReplyError::fixed(
            "ERR There was an error trying to save the ACLs. Please check the server logs for more \
             information",
        ));
    }
    turn.reply().ok();
    Ok(())
}
