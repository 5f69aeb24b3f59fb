//! COMMAND and its subcommands, from the command table.

use ochre_base::glob::{Case, matches};
use ochre_command::args::is;
use ochre_command::keys::each_key;
use ochre_command::outcome::SYNTAX;
use ochre_command::spec::{Begin, Categories, Find, Flags, Group, KeyFlags, KeySpec};
use ochre_command::{Reply, ReplyError, Result};

use crate::commands::help;
use crate::docs;
use crate::registry::{Registry, Row, SessionRow};
use crate::turn::Turn;

const FLAGS: Flags = Flags::LOADING.union(Flags::STALE);

/// The rows of this file.
pub const COMMANDS: &[SessionRow] = &[SessionRow {
    spec: ochre_command::spec::CommandSpec::new(
        "command",
        -1,
        FLAGS,
        Group::Server,
        crate::registry::runs_in_engine,
    )
    .also(Categories::CONNECTION)
    .docs("2.8.13", "Describes all commands.", "O(N) with N the number of commands", "")
    .tips(&["nondeterministic_output_order"]),
    run: all,
    subcommands: &[
        sub("count", 2, count, "Counts the commands.", ""),
        sub("docs", -2, command_docs, "Documents commands.", "[command-name [command-name ...]]"),
        sub("getkeys", -3, getkeys, "Finds the keys in a command.", "command [arg [arg ...]]"),
        sub(
            "getkeysandflags",
            -3,
            getkeysandflags,
            "Finds the keys in a command, and what it does with them.",
            "command [arg [arg ...]]",
        ),
        help::row("5.0.0", Group::Server),
        sub("info", -2, info, "Describes commands.", "[command-name [command-name ...]]"),
        sub(
            "list",
            -2,
            list,
            "Names commands.",
            "[FILTERBY MODULE module-name | ACLCAT category | PATTERN pattern]",
        ),
    ],
}];

const fn sub(
    name: &'static str,
    arity: i32,
    run: crate::turn::SessionFn,
    summary: &'static str,
    syntax: &'static str,
) -> SessionRow {
    SessionRow::new(name, arity, FLAGS, Group::Server, run).also(Categories::CONNECTION).docs(
        "2.8.13",
        summary,
        "O(N) with N the number of commands",
        syntax,
    )
}

fn tops(registry: &Registry) -> impl Iterator<Item = &Row> {
    registry.rows().iter().filter(|row| row.parent.is_none() && registry.is_callable(row))
}

fn all(turn: &mut Turn<'_>, args: &[&[u8]], row: &Row) -> Result {
    if args.len() > 1 {
        return Err(ochre_command::outcome::unknown_subcommand(row.spec.name, args[1]));
    }
    let registry = &turn.engine.registry;
    let mut reply = turn.reply();
    reply.array(tops(registry).count());
    for row in tops(registry) {
        describe(registry, row, &mut reply);
    }
    Ok(())
}

fn count(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let count = tops(&turn.engine.registry).count();
    turn.reply().integer(count as i64);
    Ok(())
}

fn info(turn: &mut Turn<'_>, args: &[&[u8]], row: &Row) -> Result {
    if args.len() == 2 {
        return all(turn, &args[..1], row);
    }
    let registry = &turn.engine.registry;
    let mut reply = turn.reply();
    reply.array(args.len() - 2);
    for name in &args[2..] {
        match registry.by_called_name(name) {
            Some(row) => describe(registry, row, &mut reply),
            None => reply.null(),
        }
    }
    Ok(())
}

/// Flags by the names that COMMAND INFO shows, in its order.
pub(crate) const FLAG_NAMES: &[(Flags, &str)] = &[
    (Flags::WRITE, "write"),
    (Flags::READONLY, "readonly"),
    (Flags::DENYOOM, "denyoom"),
    (Flags::ADMIN, "admin"),
    (Flags::PUBSUB, "pubsub"),
    (Flags::NOSCRIPT, "noscript"),
    (Flags::BLOCKING, "blocking"),
    (Flags::LOADING, "loading"),
    (Flags::STALE, "stale"),
    (Flags::SKIP_MONITOR, "skip_monitor"),
    (Flags::SKIP_SLOWLOG, "skip_slowlog"),
    (Flags::ASKING, "asking"),
    (Flags::FAST, "fast"),
    (Flags::NO_AUTH, "no_auth"),
    (Flags::NO_MULTI, "no_multi"),
    (Flags::MOVABLEKEYS, "movablekeys"),
    (Flags::ALLOW_BUSY, "allow_busy"),
    (Flags::NO_ASYNC_LOADING, "no_async_loading"),
];

/// Categories by their names.
pub(crate) const CATEGORY_NAMES: &[(Categories, &str)] = &[
    (Categories::KEYSPACE, "@keyspace"),
    (Categories::READ, "@read"),
    (Categories::WRITE, "@write"),
    (Categories::SET, "@set"),
    (Categories::SORTEDSET, "@sortedset"),
    (Categories::LIST, "@list"),
    (Categories::HASH, "@hash"),
    (Categories::STRING, "@string"),
    (Categories::BITMAP, "@bitmap"),
    (Categories::HYPERLOGLOG, "@hyperloglog"),
    (Categories::GEO, "@geo"),
    (Categories::STREAM, "@stream"),
    (Categories::PUBSUB, "@pubsub"),
    (Categories::ADMIN, "@admin"),
    (Categories::FAST, "@fast"),
    (Categories::SLOW, "@slow"),
    (Categories::BLOCKING, "@blocking"),
    (Categories::DANGEROUS, "@dangerous"),
    (Categories::CONNECTION, "@connection"),
    (Categories::TRANSACTION, "@transaction"),
    (Categories::SCRIPTING, "@scripting"),
    (Categories::BLOOM, "@bloom"),
    (Categories::CUCKOO, "@cuckoo"),
    (Categories::CMS, "@cms"),
    (Categories::TOPK, "@topk"),
    (Categories::TDIGEST, "@tdigest"),
];

/// Key flags by the names that COMMAND INFO shows.
const KEY_FLAG_NAMES: &[(KeyFlags, &str)] = &[
    (KeyFlags::RO, "RO"),
    (KeyFlags::RW, "RW"),
    (KeyFlags::OW, "OW"),
    (KeyFlags::RM, "RM"),
    (KeyFlags::ACCESS, "access"),
    (KeyFlags::UPDATE, "update"),
    (KeyFlags::INSERT, "insert"),
    (KeyFlags::DELETE, "delete"),
    (KeyFlags::NOT_KEY, "not_key"),
    (KeyFlags::INCOMPLETE, "incomplete"),
    (KeyFlags::VARIABLE_FLAGS, "variable_flags"),
];

fn key_flags(flags: KeyFlags) -> Vec<&'static str> {
    KEY_FLAG_NAMES.iter().filter(|(bit, _)| flags.contains(*bit)).map(|(_, name)| *name).collect()
}

fn names(reply: &mut Reply<'_>, names: &[&str]) {
    reply.set(names.len());
    for name in names {
        reply.status(name);
    }
}

/// One command, as COMMAND INFO shows it: ten elements.
fn describe(registry: &Registry, row: &Row, reply: &mut Reply<'_>) {
    let spec = &row.spec;
    let mut flags: Vec<&str> = FLAG_NAMES
        .iter()
        .filter(|(bit, _)| spec.flags.contains(*bit))
        .map(|(_, name)| *name)
        .collect();
    let (first, last, step) = legacy_range(spec.keys);
    let movable = spec.keys.iter().any(|keys| !matches!(keys.find, Find::Range { .. }))
        || spec.keys.len() > 1 && !flags.contains(&"movablekeys") && !is_one_range(spec.keys);
    if movable && !flags.contains(&"movablekeys") {
        flags.push("movablekeys");
    }
    // A container itself does nothing: its subcommands have the categories.
    let all =
        if row.subcommands.is_empty() { spec.categories() } else { spec.extra | Categories::SLOW };
    let categories: Vec<&str> = CATEGORY_NAMES
        .iter()
        .filter(|(bit, _)| all.contains(*bit))
        .map(|(_, name)| *name)
        .collect();
    reply.array(10);
    reply.bulk(&row.full_name);
    reply.integer(i64::from(spec.arity));
    names(reply, &flags);
    reply.integer(first);
    reply.integer(last);
    reply.integer(step);
    names(reply, &categories);
    reply.set(spec.tips.len());
    for tip in spec.tips {
        reply.bulk(tip);
    }
    describe_all_keys(spec.name, spec.keys, reply);
    reply.set(row.subcommands.len());
    for &id in &row.subcommands {
        describe(registry, registry.row(id), reply);
    }
}

fn is_one_range(keys: &[KeySpec]) -> bool {
    keys.iter().all(|spec| {
        matches!(spec.begin, Begin::Index(_))
            && matches!(spec.find, Find::Range { limit: 0 | 1, .. })
    })
}

/// First key, last key and step, of the specifications that are plain ranges: the form that old
/// clients read.
fn legacy_range(keys: &[KeySpec]) -> (i64, i64, i64) {
    let mut range: Option<(i64, i64, i64)> = None;
    for spec in keys {
        let (Begin::Index(index), Find::Range { last, step, limit: 0 | 1 }) =
            (spec.begin, spec.find)
        else {
            continue;
        };
        let first = i64::from(index);
        let last = if last >= 0 { first + i64::from(last) } else { i64::from(last) };
        range = Some(match range {
            None => (first, last, i64::from(step)),
            // Adjoining single keys (RENAME, LMOVE) are one range.
            Some((start, end, step)) if end >= 0 && first == end + 1 => (start, last, step),
            Some(range) => range,
        });
    }
    range.unwrap_or((0, 0, 0))
}

/// SORT's keys behind words are found here by those words; clients are told, as the peers tell them, that
/// they cannot be found that way: a word may be another's value, and patterns are no keys.
fn describe_all_keys(name: &str, specs: &[KeySpec], reply: &mut Reply<'_>) {
    let is_sort = matches!(name, "sort" | "sort_ro");
    let behind =
        |keys: &KeySpec, word: &str| matches!(keys.begin, Begin::Keyword(w, _) if w == word);
    let shown = specs.iter().filter(|keys| !(is_sort && behind(keys, "GET")));
    reply.set(shown.clone().count());
    for keys in shown {
        match keys.begin {
            Begin::Keyword("BY", _) if is_sort => describe_unknown(
                KeyFlags::RO.union(KeyFlags::ACCESS),
                "Behind the optional BY and GET stand patterns: the names of the keys that are read \
                 depend on the elements that are sorted",
                reply,
            ),
            Begin::Keyword("STORE", _) if is_sort => describe_unknown(
                keys.flags,
                "Behind the optional STORE, which may stand anywhere among the options",
                reply,
            ),
            _ => describe_keys(keys, reply),
        }
    }
}

/// Keys that the arguments do not show.
fn describe_unknown(flags: KeyFlags, notes: &str, reply: &mut Reply<'_>) {
    reply.map(4);
    reply.bulk("notes");
    reply.bulk(notes);
    reply.bulk("flags");
    names(reply, &key_flags(flags));
    for part in ["begin_search", "find_keys"] {
        reply.bulk(part);
        reply.map(2);
        reply.bulk("type");
        reply.bulk("unknown");
        reply.bulk("spec");
        reply.map(0);
    }
}

fn describe_keys(keys: &KeySpec, reply: &mut Reply<'_>) {
    reply.map(3);
    reply.bulk("flags");
    names(reply, &key_flags(keys.flags));
    reply.bulk("begin_search");
    reply.map(2);
    reply.bulk("type");
    match keys.begin {
        Begin::Index(index) => {
            reply.bulk("index");
            reply.bulk("spec");
            reply.map(1);
            reply.bulk("index");
            reply.integer(i64::from(index));
        }
        Begin::Keyword(word, from) => {
            reply.bulk("keyword");
            reply.bulk("spec");
            reply.map(2);
            reply.bulk("keyword");
            reply.bulk(word);
            reply.bulk("startfrom");
            reply.integer(i64::from(from));
        }
    }
    reply.bulk("find_keys");
    reply.map(2);
    reply.bulk("type");
    let (kind, fields) = match keys.find {
        Find::Range { last, step, limit } => {
            ("range", [("lastkey", last), ("keystep", step), ("limit", limit)])
        }
        Find::Count { count, first, step } => {
            ("keynum", [("keynumidx", count), ("firstkey", first), ("keystep", step)])
        }
    };
    reply.bulk(kind);
    reply.bulk("spec");
    reply.map(3);
    for (name, value) in fields {
        reply.bulk(name);
        reply.integer(i64::from(value));
    }
}

fn list(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let registry = &turn.engine.registry;
    let rows = registry.rows().iter().filter(|row| registry.is_callable(row));
    let chosen: Vec<&Row> = match args[2..] {
        [] => rows.collect(),
        [word, kind, value] if is(word, "filterby") => {
            if is(kind, "module") {
                Vec::new()
            } else if is(kind, "aclcat") {
                let wanted = format!("@{}", String::from_utf8_lossy(value).to_lowercase());
                let category = CATEGORY_NAMES.iter().find(|(_, name)| **name == *wanted);
                let has = |row: &&Row| {
                    category.is_some_and(|(bit, _)| row.spec.categories().contains(*bit))
                };
                rows.filter(has).collect()
            } else if is(kind, "pattern") {
                rows.filter(|row| matches(value, row.full_name.as_bytes(), Case::Ignored)).collect()
            } else {
                return Err(SYNTAX);
            }
        }
        _ => return Err(SYNTAX),
    };
    let mut reply = turn.reply();
    reply.array(chosen.len());
    for row in chosen {
        reply.bulk(&row.full_name);
    }
    Ok(())
}

/// Positions and flags of the keys in a command that is given as arguments.
fn find_keys(turn: &Turn<'_>, args: &[&[u8]]) -> Result<Vec<(usize, KeyFlags)>> {
    let row = turn
        .engine
        .registry
        .resolve_called(args)
        .ok_or(ReplyError::fixed("ERR Invalid command specified"))?;
    if row.spec.keys.is_empty() {
        return Err(ReplyError::fixed("ERR The command has no key arguments"));
    }
    if !row.spec.accepts(args.len()) {
        return Err(ReplyError::fixed("ERR Invalid number of arguments specified for command"));
    }
    let mut found = Vec::new();
    // SORT's patterns are no keys.
    let is_pattern = |flags: KeyFlags| {
        matches!(row.spec.name, "sort" | "sort_ro") && flags.contains(KeyFlags::INCOMPLETE)
    };
    let sound = each_key(&row.spec, args, |at, flags| {
        if !flags.contains(KeyFlags::NOT_KEY) && !is_pattern(flags) {
            found.push((at, flags));
        }
    });
    if (!sound || found.is_empty()) && !row.spec.flags.contains(Flags::NO_MANDATORY_KEYS) {
        return Err(ReplyError::fixed("ERR Invalid arguments specified for command"));
    }
    Ok(found)
}

fn getkeys(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let found = find_keys(turn, &args[2..])?;
    let mut reply = turn.reply();
    reply.array(found.len());
    for (at, _) in found {
        reply.bulk(args[2 + at]);
    }
    Ok(())
}

fn getkeysandflags(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let found = find_keys(turn, &args[2..])?;
    let mut reply = turn.reply();
    reply.array(found.len());
    for (at, flags) in found {
        reply.array(2);
        reply.bulk(args[2 + at]);
        names(&mut reply, &key_flags(flags));
    }
    Ok(())
}

fn command_docs(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let registry = &turn.engine.registry;
    let chosen: Vec<&Row> = if args.len() == 2 {
        tops(registry).collect()
    } else {
        args[2..].iter().filter_map(|name| registry.by_called_name(name)).collect()
    };
    let mut reply = turn.reply();
    reply.map(chosen.len());
    for row in chosen {
        docs::write(registry, row, &mut reply);
    }
    Ok(())
}
