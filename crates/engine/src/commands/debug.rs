//! DEBUG: what tests of the peers lean on, as far as it means something here.

use std::sync::atomic::Ordering;

use ochre_base::num::{parse_f64, parse_i64};
use ochre_command::args::is;
use ochre_command::outcome::{NO_SUCH_KEY, NOT_INTEGER, SYNTAX};
use ochre_command::spec::{Flags, Group};
use ochre_command::{Key, ReplyError, Result};
use ochre_keyspace::db::NewValue;
use ochre_keyspace::lock::Locked;

use crate::commands::help;
use crate::digest;
use crate::registry::{Row, SessionRow};
use crate::turn::{SessionFn, Turn};

const FLAGS: Flags = Flags::ADMIN
    .union(Flags::NOSCRIPT)
    .union(Flags::LOADING)
    .union(Flags::STALE)
    .union(Flags::PROTECTED);

const fn sub(
    name: &'static str,
    arity: i32,
    flags: Flags,
    run: SessionFn,
    summary: &'static str,
    syntax: &'static str,
) -> SessionRow {
    SessionRow::new(name, arity, FLAGS.union(flags), Group::Server, run).docs(
        "1.0.0",
        summary,
        "Depends on the subcommand.",
        syntax,
    )
}

const WALK: Flags = Flags::WALKS_SHARDS;
const NONE: Flags = Flags::empty();

/// The rows of this file.
pub const COMMANDS: &[SessionRow] = &[SessionRow::container(
    "debug",
    Group::Server,
    "1.0.0",
    "Commands for tests of the server.",
    &[
        sub(
            "change-repl-id",
            2,
            NONE,
            change_history,
            "Gives the history of the data a new name.",
            "",
        ),
        sub("digest", 2, WALK, all_digest, "Gives a fingerprint of the whole data set.", ""),
        sub(
            "digest-value",
            -2,
            WALK,
            value_digest,
            "Gives fingerprints of values.",
            "[key [key ...]]",
        ),
        sub("error", 3, NONE, error, "Answers with an error.", "message"),
        help::row("5.0.0", Group::Server),
        sub("htstats", -3, WALK, htstats, "Describes a database's tables.", "dbid [FULL]"),
        sub("jmap", 2, NONE, accepted, "Does nothing.", ""),
        sub("log", 3, NONE, log, "Writes a line to the log.", "message"),
        sub("object", -3, WALK, object, "Describes a value.", "key [FAST]"),
        sub("populate", -3, WALK, populate, "Makes keys.", "count [prefix [size]]"),
        sub("protocol", 3, NONE, protocol, "Answers with each form of reply.", "type"),
        sub(
            "quicklist-packed-threshold",
            3,
            NONE,
            accepted,
            "Does nothing: pages follow list-max-listpack-size.",
            "size",
        ),
        sub(
            "replybuffer",
            -3,
            NONE,
            accepted,
            "Does nothing: output buffers have one form.",
            "what value",
        ),
        sub(
            "dict-resizing",
            3,
            NONE,
            accepted,
            "Does nothing: tables split and merge segment by segment.",
            "on",
        ),
        sub(
            "hashtable-can-abort-shrink",
            3,
            NONE,
            accepted,
            "Does nothing: tables split and merge segment by segment.",
            "on",
        ),
        sub("pause-cron", 3, NONE, pause_cron, "Holds periodic work back.", "on"),
        sub("loadaof", 2, NONE, loadaof, "Reads the append-only file again.", ""),
        sub(
            "reload",
            -2,
            NONE,
            reload,
            "Writes a snapshot and loads it again.",
            "[NOSAVE] [NOFLUSH] [MERGE]",
        ),
        sub(
            "set-active-expire",
            3,
            NONE,
            set_active_expire,
            "Turns active expiry on or off.",
            "on",
        ),
        sub(
            "set-disable-deny-scripts",
            3,
            NONE,
            disable_deny_scripts,
            "Lets scripts run every command.",
            "on",
        ),
        sub(
            "set-skip-checksum-validation",
            3,
            NONE,
            skip_checksums,
            "Lets RESTORE take payloads with wrong checksums.",
            "on",
        ),
        sub("sleep", 3, NONE, sleep, "Holds the client's event loop back.", "seconds"),
        sub("stringmatch-len", 4, NONE, stringmatch, "Matches a pattern.", "length pattern"),
        sub("structsize", 2, NONE, structsize, "Gives the sizes of internal structures.", ""),
    ],
)];

/// A switch for internals that Ochre does not have.
fn accepted(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    turn.reply().ok();
    Ok(())
}

fn reload(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let (mut save, mut flush) = (true, true);
    for word in &args[2..] {
        if is(word, "nosave") {
            save = false;
        } else if is(word, "noflush") {
            flush = false;
        } else if !is(word, "merge") {
            return Err(ReplyError::fixed(
                "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
            ));
        }
    }
    if turn.held.is_some() {
        return Err(ReplyError::fixed("ERR DEBUG RELOAD is not possible inside a transaction"));
    }
    let engine = turn.engine;
    if save {
        if !engine.saves.begin(turn.lp.now.unix_ms / 1000) {
            return Err(ReplyError::fixed("ERR Background save already in progress"));
        }
        engine.host.save(engine).map_err(|_| ReplyError::fixed("ERR"))?;
    }
    if flush {
        flush_all(turn);
    }
    if engine.host.reload(engine).is_err() {
        return Err(ReplyError::fixed("ERR Error trying to load the RDB dump, check server logs."));
    }
    turn.reply().ok();
    Ok(())
}

fn change_history(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    turn.engine.host.log("Changing replication IDs after receiving change-repl-id");
    turn.engine.replicas.forget_history();
    turn.reply().ok();
    Ok(())
}

fn flush_all(turn: &mut Turn<'_>) {
    let engine = turn.engine;
    {
        for id in 0..engine.shards.count() {
            engine.shards.visit(id as ochre_keyspace::lock::ShardId, |shard| {
                for index in 0..shard.dbs().len() as u16 {
                    turn.lp.bin.free_db(shard.take_db(index).0);
                }
            });
        }
        engine.scripts.clear_libraries();
    }
}

/// Times that DEBUG LOADAOF waits 10 ms for a snapshot under way.
const LOADAOF_TRIES: usize = 500;

fn loadaof(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    const FAILED: ReplyError =
        ReplyError::fixed("ERR Error trying to load the AOF files, check server logs.");
    if turn.held.is_some() {
        return Err(FAILED);
    }
    // A rewrite that has just begun ends soon; this command is for tests.
    let now_s = turn.lp.now.unix_ms / 1000;
    if !(0..LOADAOF_TRIES).any(|_| {
        let begun = turn.engine.saves.begin(now_s);
        if !begun {
            turn.engine.host.sleep(0.01);
        }
        begun
    }) {
        return Err(FAILED);
    }
    let engine = turn.engine;
    flush_all(turn);
    let result = engine.host.reload_aof(engine);
    engine.saves.end(0, None, false);
    result.map_err(|_| FAILED)?;
    turn.reply().ok();
    Ok(())
}

fn disable_deny_scripts(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let on = parse_i64(args[2]).ok_or(NOT_INTEGER)? != 0;
    turn.engine.scripts_run_all.store(on, Ordering::Relaxed);
    turn.reply().ok();
    Ok(())
}

fn pause_cron(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let paused = ochre_command::args::int(args[2])? != 0;
    turn.engine.cron_paused.store(paused, Ordering::Relaxed);
    turn.reply().ok();
    Ok(())
}

fn skip_checksums(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let on = parse_i64(args[2]).ok_or(NOT_INTEGER)? != 0;
    turn.engine.skips_checksums.store(on, Ordering::Relaxed);
    turn.reply().ok();
    Ok(())
}

fn set_active_expire(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let on = parse_i64(args[2]).ok_or(NOT_INTEGER)? != 0;
    turn.engine.active_expire.store(on, Ordering::Relaxed);
    turn.reply().ok();
    Ok(())
}

fn sleep(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let seconds = parse_f64(args[2]).filter(|s| (0.0..1e6).contains(s)).ok_or(SYNTAX)?;
    turn.engine.host.sleep(seconds);
    turn.reply().ok();
    Ok(())
}

fn error(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    turn.reply().error(args[2]);
    Ok(())
}

fn log(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    turn.engine.host.log(&format!("DEBUG LOG: {}", String::from_utf8_lossy(args[2])));
    turn.reply().ok();
    Ok(())
}

/// Runs `with` under all locks: those of the transaction under way, or fresh ones.
fn under_all_locks<R>(turn: &mut Turn<'_>, with: impl FnOnce(&mut Locked<'static>) -> R) -> R {
    match &mut turn.held {
        Some(locked) => with(locked),
        None => with(&mut turn.engine.shards.lock_all()),
    }
}

fn all_digest(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let now = turn.lp.now.unix_ms;
    let sum = under_all_locks(turn, |locked| digest::whole(locked, now));
    turn.reply().status(digest::hex(&sum));
    Ok(())
}

fn value_digest(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let (index, now) = (turn.session.db, turn.lp.now.unix_ms);
    let sums: Vec<String> = under_all_locks(turn, |locked| {
        args[2..]
            .iter()
            .map(|name| digest::hex(&digest::of_key(locked, index, name, now)))
            .collect()
    });
    let mut reply = turn.reply();
    reply.array(sums.len());
    for sum in sums {
        reply.status(sum);
    }
    Ok(())
}

fn htstats(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let index = parse_i64(args[2])
        .and_then(|n| u16::try_from(n).ok())
        .filter(|n| *n < turn.live().databases)
        .ok_or(ReplyError::fixed("ERR Out of range database"))?;
    let (mut keys, mut capacity, mut segments, mut bytes) = (0, 0, 0, 0);
    turn.each_shard(|shard| {
        let table = shard.db(index).table();
        keys += table.len();
        capacity += table.capacity();
        segments += table.segments();
        bytes += table.heap_bytes();
    });
    let text = format!(
        "[Dictionary HT]\nHash table 0 stats (main hash table):\n table size: {capacity}\n \
         number of elements: {keys}\n segments: {segments}\n bytes: {bytes}\n[Expires HT]\nExpiries lie in the entries.\n"
    );
    turn.reply().verbatim(*b"txt", text);
    Ok(())
}

fn object(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let (index, clock) = (turn.session.db, turn.lp.access_clock());
    let compat = turn.live().settings.compat;
    let text = under_all_locks(turn, |locked| {
        let key = Key::new(args[2]);
        let db = locked.db(index, key);
        let entry = db.entry(db.find(key)?);
        let encoding = ochre_families::object::encoding_name(&db.stored(&entry), compat);
        let length = entry.value.len();
        let idle = clock.idle_seconds(entry.access);
        Some(format!(
            "Value at:0x0 refcount:1 encoding:{encoding} serializedlength:{length} lru:{} \
             lru_seconds_idle:{idle}",
            entry.access
        ))
    });
    turn.reply().status(text.ok_or(NO_SUCH_KEY)?);
    Ok(())
}

fn populate(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let count = parse_i64(args[2]).filter(|n| *n >= 0).ok_or(NOT_INTEGER)?;
    let prefix = args.get(3).copied().unwrap_or(b"key");
    let size = match args.get(4) {
        Some(size) => Some(parse_i64(size).filter(|n| *n >= 0).ok_or(NOT_INTEGER)? as usize),
        None => None,
    };
    if args.len() > 5 {
        return Err(SYNTAX);
    }
    let (index, access) = (turn.session.db, turn.lp.access_clock().fresh());
    let string_max = turn.live().string_max;
    for n in 0..count {
        let mut name = prefix.to_vec();
        name.push(b':');
        name.extend_from_slice(n.to_string().as_bytes());
        let mut value = format!("value:{n}").into_bytes();
        if let Some(size) = size {
            value.resize(size.min(string_max), 0);
        }
        let key = Key::new(&name);
        let put = |shard: &mut ochre_keyspace::shard::Shard| {
            let db = shard.db_mut(index);
            if db.find(key).is_none() {
                db.put(key, None, NewValue::Text(&value), None, access);
                shard.mark_changed(index, key.name);
            }
        };
        match &mut turn.held {
            Some(locked) => put(locked.shard_mut(key.hash)),
            None => turn.engine.shards.visit(turn.engine.shards.of(key.hash), put),
        }
    }
    turn.reply().ok();
    Ok(())
}

fn structsize(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let text = format!(
        "bits:{} value:{} session:{} table:{}",
        usize::BITS,
        size_of::<ochre_types::value::Value>(),
        size_of::<crate::session::Session>(),
        size_of::<ochre_types::table::Table>()
    );
    turn.reply().status(text);
    Ok(())
}

fn stringmatch(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let length = parse_i64(args[2]).filter(|n| (0..1 << 20).contains(n)).ok_or(NOT_INTEGER)?;
    let text = vec![b'a'; length as usize];
    let hit = ochre_base::glob::matches(args[3], &text, ochre_base::glob::Case::Sensitive);
    turn.reply().integer(i64::from(hit));
    Ok(())
}

fn protocol(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let what = args[2];
    let mut reply = turn.reply();
    if is(what, "string") {
        reply.bulk("Hello World");
    } else if is(what, "integer") {
        reply.integer(12345);
    } else if is(what, "double") {
        reply.double(3141.0 / 1000.0);
    } else if is(what, "null") {
        reply.null();
    } else if is(what, "array") {
        reply.array(3);
        (0..3).for_each(|n| reply.integer(n));
    } else if is(what, "set") {
        reply.set(3);
        (0..3).for_each(|n| reply.integer(n));
    } else if is(what, "map") {
        reply.map(3);
        for n in 0..3 {
            reply.integer(n);
            reply.boolean(n == 1);
        }
    } else if is(what, "attrib") {
        if reply.attribute(1) {
            reply.bulk("key-popularity");
            reply.array(2);
            reply.bulk("key:123");
            reply.integer(90);
        }
        reply.bulk("Some real reply following the attribute");
    } else if is(what, "push") {
        reply.push(2);
        reply.bulk("server-cpu-usage");
        reply.integer(42);
    } else if is(what, "verbatim") {
        reply.verbatim(*b"txt", "This is a verbatim\nstring");
    } else if is(what, "true") {
        reply.boolean(true);
    } else if is(what, "false") {
        reply.boolean(false);
    } else if is(what, "bignum") {
        reply.big_number("1234567999999999999999999999999999999");
    } else {
        return Err(ReplyError::fixed(
            "ERR Wrong protocol type name. Please use one of the following: \
             string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
        ));
    }
    Ok(())
}
