//! MODULE: there are no modules, and none can be loaded.
//!
//! Clients and consoles ask for the list to learn what a server can do; it is empty, for what the peers'
//! modules add and is there at all is built in. LOAD and its kin are refused as the peers refuse them by
//! default, and with enable-module-command they fail as they do for a library that cannot be loaded.
//! Source: documentation of MODULE of Redis 7.2; texts as redis-server 7.0.15.

use ochre_command::spec::{Flags, Group};
use ochre_command::{ReplyError, Result};

use crate::commands::help;
use crate::registry::{Row, SessionRow};
use crate::turn::{SessionFn, Turn};

const LISTS: Flags = Flags::ADMIN.union(Flags::NOSCRIPT);
const LOADS: Flags = LISTS.union(Flags::NO_ASYNC_LOADING).union(Flags::PROTECTED);

const fn sub(
    name: &'static str,
    arity: i32,
    flags: Flags,
    run: SessionFn,
    since: &'static str,
    summary: &'static str,
    syntax: &'static str,
) -> SessionRow {
    SessionRow::new(name, arity, flags, Group::Server, run).docs(since, summary, "O(1)", syntax)
}

/// The rows of this file.
pub const COMMANDS: &[SessionRow] = &[SessionRow::container(
    "module",
    Group::Server,
    "4.0.0",
    "Commands on modules, of which there are none.",
    &[
        help::row("5.0.0", Group::Server),
        sub("list", 2, LISTS, list, "4.0.0", "Lists the modules: none.", "")
            .tips(&["nondeterministic_output_order"]),
        sub("load", -3, LOADS, load, "4.0.0", "Fails: none can be loaded.", "path [arg [arg ...]]"),
        sub(
            "loadex",
            -3,
            LOADS,
            load,
            "7.0.0",
            "Fails: none can be loaded.",
            "path [CONFIG name value [CONFIG name value ...]] [ARGS arg [arg ...]]",
        ),
        sub("unload", 3, LOADS, unload, "4.0.0", "Fails: none is loaded.", "name"),
    ],
)];

fn list(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    turn.reply().array(0);
    Ok(())
}

fn load(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let path = String::from_utf8_lossy(args[2]);
    turn.engine.host.log(&format!("Module {path} failed to load: modules are not supported"));
    Err(ReplyError::fixed("ERR Error loading the extension. Please check the server logs."))
}

fn unload(_turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    Err(ReplyError::fixed("ERR Error unloading module: no such module with that name"))
}
