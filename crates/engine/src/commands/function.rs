//! FUNCTION and FCALL: libraries of functions that stay.
//!
//! A library is loaded once in the interpreter of the loop that gets FUNCTION LOAD, to see what it
//! registers; then it is known, and every loop loads it before its next FCALL.
//!
//! Source: "Functions" of the Redis documentation; redis-server 7.0.15.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ochre_base::glob;
use ochre_command::args::is;
use ochre_command::spec::{Categories, Flags, Group};
use ochre_command::{ReplyError, Result};
use ochre_script::store::{FunctionFacts, Library};
use ochre_script::{dump, shebang};

use crate::commands::help;
use crate::commands::scripting::{ANY_KEYS, ANY_KEYS_RO, RUNS, RUNS_RO, split_keys};
use crate::registry::{Row, SessionRow};
use crate::script::Kind;
use crate::script::local::{self, Local};
use crate::script::running::{self, Call, Rules};
use crate::turn::{SessionFn, Turn};

const COST: &str = "Depends on the function that is executed.";

/// The rows of this file.
pub const COMMANDS: &[SessionRow] = &[
    SessionRow::new("fcall", -3, RUNS, Group::Scripting, fcall).keys(ANY_KEYS).docs(
        "7.0.0",
        "Calls a function.",
        COST,
        "function numkeys [key [key ...]] [arg [arg ...]]",
    ),
    SessionRow::new("fcall_ro", -3, RUNS_RO, Group::Scripting, fcall).keys(ANY_KEYS_RO).docs(
        "7.0.0",
        "Calls a function that only reads.",
        COST,
        "function numkeys [key [key ...]] [arg [arg ...]]",
    ),
    SessionRow::container(
        "function",
        Group::Scripting,
        "7.0.0",
        "Container of commands about functions.",
        FUNCTION,
    ),
];

const fn sub(
    name: &'static str,
    arity: i32,
    flags: Flags,
    run: SessionFn,
    (summary, complexity, syntax): (&'static str, &'static str, &'static str),
) -> SessionRow {
    SessionRow::new(name, arity, flags.union(Flags::NOSCRIPT), Group::Scripting, run)
        .also(Categories::SCRIPTING)
        .docs("7.0.0", summary, complexity, syntax)
}

const ALL: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];

const FUNCTION: &[SessionRow] = &[
    sub(
        "delete",
        3,
        Flags::WRITE,
        delete,
        ("Deletes a library with its functions.", "O(1)", "library-name"),
    )
    .tips(ALL),
    sub(
        "dump",
        2,
        Flags::empty(),
        dump_all,
        ("Gives all libraries as one payload.", "O(N) where N is the number of functions", ""),
    ),
    sub(
        "flush",
        -2,
        Flags::WRITE,
        flush,
        (
            "Deletes all libraries.",
            "O(N) where N is the number of functions deleted",
            "[ASYNC | SYNC]",
        ),
    )
    .tips(ALL),
    help::row("7.0.0", Group::Scripting),
    sub("kill", 2, Flags::ALLOW_BUSY, kill, ("Ends the function that runs too long.", "O(1)", ""))
        .tips(&["request_policy:all_shards", "response_policy:one_succeeded"]),
    sub(
        "list",
        -2,
        Flags::empty(),
        list,
        (
            "Lists the libraries.",
            "O(N) where N is the number of functions",
            "[LIBRARYNAME library-name-pattern] [WITHCODE]",
        ),
    )
    .tips(&["nondeterministic_output_order"]),
    sub(
        "load",
        -3,
        Flags::WRITE.union(Flags::DENYOOM),
        load,
        (
            "Makes a library.",
            "O(1) (considering compilation time is redundant)",
            "[REPLACE] function-code",
        ),
    )
    .tips(ALL),
    sub(
        "restore",
        -3,
        Flags::WRITE.union(Flags::DENYOOM),
        restore,
        (
            "Makes the libraries of a payload.",
            "O(N) where N is the number of functions on the payload",
            "serialized-value [FLUSH | APPEND | REPLACE]",
        ),
    )
    .tips(ALL),
    sub(
        "stats",
        2,
        Flags::ALLOW_BUSY,
        stats,
        ("Describes the function that runs, and counts the libraries.", "O(1)", ""),
    )
    .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"]),
];

fn fcall(turn: &mut Turn<'_>, args: &[&[u8]], row: &Row) -> Result {
    local::with(turn, |local, turn| {
        let callable = local.function(args[1]);
        let callable = callable.ok_or(ReplyError::fixed("ERR Function not found"))?;
        let bad_number = ReplyError::fixed("ERR Bad number of keys provided");
        let (keys, rest) = split_keys(args, bad_number)?;
        let facts = &callable.facts;
        let read_only = row.spec.flags.contains(Flags::READONLY);
        let call = Call {
            kind: Kind::Function,
            name: facts.name.as_bytes(),
            function: &callable.function,
            rules: Rules::of(turn, Some(facts.flags), read_only)?,
            confined: false,
            widened: &facts.widened,
            keys,
            args: rest,
            command: args,
        };
        running::run(local, turn, row, &call);
        Ok(())
    })
}

/// A library from its text: loads it once to see what it registers.
fn build(local: &Local, source: &[u8]) -> Result<Library> {
    let (name, _) = shebang::library(source).map_err(ReplyError::new)?;
    let functions = local
        .load(source)?
        .into_iter()
        .map(|function| {
            Arc::new(FunctionFacts {
                name: function.name,
                description: function.description,
                flags: function.flags,
                widened: AtomicBool::new(false),
            })
        })
        .collect();
    Ok(Library { name, code: source.to_vec(), functions })
}

fn load(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let Some((&source, options)) = args[2..].split_last() else {
        return Err(ReplyError::fixed("ERR Function code is missing"));
    };
    let mut replace = false;
    for option in options {
        if !is(option, "replace") {
            let option = String::from_utf8_lossy(option);
            return Err(ReplyError::new(format!("ERR Unknown option given: {option}")));
        }
        replace = true;
    }
    let (name, _) = shebang::library(source).map_err(ReplyError::new)?;
    let exists = turn.engine.scripts.libraries().iter().any(|library| library.name == name);
    if exists && !replace {
        return Err(ReplyError::new(format!("ERR Library '{name}' already exists")));
    }
    let library = local::with(turn, |local, _| build(local, source))?;
    let scripts = &turn.engine.scripts;
    scripts
        .change_libraries(|libraries| libraries.add(library, replace))
        .map_err(ReplyError::new)?;
    running::log_command(turn, args);
    turn.reply().bulk(name);
    Ok(())
}

fn delete(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let name = String::from_utf8_lossy(args[2]);
    if !turn.engine.scripts.change_libraries(|libraries| libraries.remove(&name)) {
        return Err(ReplyError::fixed("ERR Library not found"));
    }
    running::log_command(turn, args);
    turn.reply().ok();
    Ok(())
}

fn flush(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    match args[2..] {
        [] => {}
        [mode] if is(mode, "sync") || is(mode, "async") => {}
        [_, _, ..] => {
            let name = String::from_utf8_lossy(args[1]);
            return Err(ReplyError::new(format!(
                "ERR unknown subcommand or wrong number of arguments for '{name}'. Try FUNCTION HELP."
            )));
        }
        _ => return Err(ReplyError::fixed("ERR FUNCTION FLUSH only supports SYNC|ASYNC option")),
    }
    turn.engine.scripts.change_libraries(|libraries| libraries.clear());
    running::log_command(turn, args);
    turn.reply().ok();
    Ok(())
}

fn list(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let (mut pattern, mut with_code) = (None, false);
    let mut words = args[2..].iter();
    while let Some(word) = words.next() {
        if is(word, "withcode") && !with_code {
            with_code = true;
        } else if is(word, "libraryname") && pattern.is_none() {
            let missing = ReplyError::fixed("ERR library name argument was not given");
            pattern = Some(*words.next().ok_or(missing)?);
        } else {
            let word = String::from_utf8_lossy(word);
            return Err(ReplyError::new(format!("ERR Unknown argument {word}")));
        }
    }
    let wanted = |library: &&Arc<Library>| {
        pattern.is_none_or(|pattern| {
            glob::matches(pattern, library.name.as_bytes(), glob::Case::Ignored)
        })
    };
    let libraries: Vec<Arc<Library>> =
        turn.engine.scripts.libraries().iter().filter(wanted).cloned().collect();
    let mut reply = turn.reply();
    reply.array(libraries.len());
    for library in libraries {
        reply.map(if with_code { 4 } else { 3 });
        reply.bulk("library_name");
        reply.bulk(&library.name);
        reply.bulk("engine");
        reply.bulk("LUA");
        reply.bulk("functions");
        reply.array(library.functions.len());
        for function in &library.functions {
            reply.map(3);
            reply.bulk("name");
            reply.bulk(&function.name);
            reply.bulk("description");
            match &function.description {
                Some(text) => reply.bulk(text),
                None => reply.null(),
            }
            reply.bulk("flags");
            reply.set(function.flags.names().count());
            for flag in function.flags.names() {
                reply.status(flag);
            }
        }
        if with_code {
            reply.bulk("library_code");
            reply.bulk(&library.code);
        }
    }
    Ok(())
}

fn stats(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let scripts = &turn.engine.scripts;
    let slow = scripts.slow().first().cloned();
    if slow.as_ref().is_some_and(|slow| slow.kind == Kind::Script)
        && let Some(busy) = scripts.busy()
    {
        return Err(busy);
    }
    let (libraries, functions) = scripts.libraries().counts();
    let now = turn.engine.host.ticks_ns();
    let mut reply = turn.reply();
    reply.map(2);
    reply.bulk("running_script");
    match slow {
        None => reply.null(),
        Some(slow) => {
            reply.map(3);
            reply.bulk("name");
            reply.bulk(&slow.name);
            reply.bulk("command");
            reply.array(slow.command.len());
            for word in &slow.command {
                reply.bulk(word);
            }
            reply.bulk("duration_ms");
            reply.integer((now.saturating_sub(slow.since_ns) / 1_000_000) as i64);
        }
    }
    reply.bulk("engines");
    reply.map(1);
    reply.bulk("LUA");
    reply.map(2);
    reply.bulk("libraries_count");
    reply.integer(libraries as i64);
    reply.bulk("functions_count");
    reply.integer(functions as i64);
    Ok(())
}

fn kill(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    turn.engine.scripts.kill(Kind::Function)?;
    turn.reply().ok();
    Ok(())
}

fn dump_all(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let payload = {
        let libraries = turn.engine.scripts.libraries();
        dump::encode(libraries.iter().map(|library| library.code.as_slice()))
    };
    turn.reply().bulk(payload);
    Ok(())
}

/// What becomes of the libraries that are there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    Append,
    Replace,
    Flush,
}

fn restore(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let policy = match args[3..] {
        [] => Policy::Append,
        [word] if is(word, "append") => Policy::Append,
        [word] if is(word, "replace") => Policy::Replace,
        [word] if is(word, "flush") => Policy::Flush,
        [_] => {
            return Err(ReplyError::fixed(
                "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
        _ => {
            return Err(ReplyError::new(format!(
                "ERR unknown subcommand or wrong number of arguments for '{}'. Try FUNCTION HELP.",
                String::from_utf8_lossy(args[1])
            )));
        }
    };
    let codes = dump::decode(args[2]).map_err(|error| match error {
        dump::Error::Checksum => {
            ReplyError::fixed("ERR DUMP payload version or checksum are wrong")
        }
        dump::Error::Content => ReplyError::fixed("ERR failed loading functions payload"),
    })?;
    let new: Vec<Library> = local::with(turn, |local, _| {
        codes.iter().map(|code| build(local, code)).collect::<Result<_>>()
    })?;
    // All or nothing: what can be refused is tried on a copy of the names first.
    turn.engine.scripts.change_libraries(|libraries| {
        let mut trial = ochre_script::store::Libraries::default();
        if policy != Policy::Flush {
            for library in libraries.iter() {
                trial.add(copy_of(library), false).map_err(ReplyError::new)?;
            }
        }
        for library in new {
            trial.add(library, policy == Policy::Replace).map_err(ReplyError::new)?;
        }
        trial.epoch = libraries.epoch + 1;
        *libraries = trial;
        Ok(())
    })?;
    running::log_command(turn, args);
    turn.reply().ok();
    Ok(())
}

fn copy_of(library: &Library) -> Library {
    Library {
        name: library.name.clone(),
        code: library.code.clone(),
        functions: library.functions.clone(),
    }
}
