//! XGROUP: making, moving and removing consumer groups and their consumers.

use ochre_command::Ctx;
use ochre_command::args::{Cursor, int};
use ochre_command::data::Class;
use ochre_command::outcome::{self, ReplyError, Result};
use ochre_command::spec::{CommandSpec, Flags, Group as Family, KeyFlags, KeySpec};
use ochre_types::stream::{Group, Stream, StreamId};

use super::{
    Absent, DELETES, UPDATES, bad_subcommand, edit, id, id_or_sign, no_group_for_key, write_help,
};

const MAKES: Flags = Flags::WRITE.union(Flags::DENYOOM);
const HELP: Flags = Flags::LOADING.union(Flags::STALE);
const INSERT: KeySpec = KeySpec::one(2, KeyFlags::RW.union(KeyFlags::INSERT));
const DELETE: KeySpec = KeySpec::one(2, DELETES);

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] =
    &[CommandSpec::new("xgroup", -2, Flags::empty(), Family::Stream, unknown)
        .docs(
            "5.0.0",
            "Holds the commands that manage consumer groups.",
            "Depends on subcommand.",
            "",
        )
        .subcommands(&[
            CommandSpec::new("create", -5, MAKES, Family::Stream, create).keys(&[INSERT]).docs(
                "5.0.0",
                "Makes a consumer group.",
                "O(1)",
                "key group <id | $> [MKSTREAM] [ENTRIESREAD entries-read]",
            ),
            CommandSpec::new("setid", -5, Flags::WRITE, Family::Stream, setid)
                .keys(&[KeySpec::one(2, UPDATES)])
                .docs(
                    "5.0.0",
                    "Sets how far a consumer group has read.",
                    "O(1)",
                    "key group <id | $> [ENTRIESREAD entries-read]",
                ),
            CommandSpec::new("destroy", 4, Flags::WRITE, Family::Stream, destroy)
                .keys(&[DELETE])
                .docs(
                    "5.0.0",
                    "Removes a consumer group.",
                    "O(N) where N is the number of entries in the group's pending entries list \
                     (PEL).",
                    "key group",
                ),
            CommandSpec::new("createconsumer", 5, MAKES, Family::Stream, create_consumer)
                .keys(&[INSERT])
                .docs("6.2.0", "Makes a consumer of a group.", "O(1)", "key group consumer"),
            CommandSpec::new("delconsumer", 5, Flags::WRITE, Family::Stream, delete_consumer)
                .keys(&[DELETE])
                .docs(
                    "5.0.0",
                    "Removes a consumer of a group with what it has not acknowledged.",
                    "O(1)",
                    "key group consumer",
                ),
            CommandSpec::new("help", 2, HELP, Family::Stream, help).docs(
                "5.0.0",
                "Explains the subcommands.",
                "O(1)",
                "",
            ),
        ])];

/// The key has to be there, unless MKSTREAM makes it.
const NO_KEY: ReplyError = ReplyError::fixed(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use \
     the MKSTREAM option to create an empty stream automatically.",
);

fn unknown(ctx: &mut Ctx<'_>) -> Result {
    Err(outcome::unknown_subcommand("xgroup", ctx.args[1]))
}

/// The options of CREATE and SETID.
struct Options {
    create: bool,
    entries_read: Option<i64>,
}

impl Options {
    fn parse(args: &[&[u8]], may_create: bool) -> Result<Self> {
        const BAD_COUNT: ReplyError =
            ReplyError::fixed("ERR value for ENTRIESREAD must be positive or -1");
        let mut options = Self { create: false, entries_read: None };
        let mut cursor = Cursor::new(args, 5);
        while cursor.left() > 0 {
            if may_create && cursor.take("mkstream") {
                options.create = true;
            } else if cursor.left() > 1 && cursor.take("entriesread") {
                let count = int(cursor.need()?)?;
                if count < -1 {
                    return Err(BAD_COUNT);
                }
                options.entries_read = Some(count).filter(|count| *count >= 0);
            } else {
                return Err(bad_subcommand("XGROUP", args[1]));
            }
        }
        Ok(options)
    }
}

/// The id that a group is set to; `$` is the stream's last. Only SETID takes `-` and `+`.
fn position(arg: &[u8], stream: &Stream, signs: bool) -> Result<StreamId> {
    match arg {
        b"$" => Ok(stream.last_id),
        _ if signs => id_or_sign(arg, 0),
        _ => id(arg, 0),
    }
}

fn create(ctx: &mut Ctx<'_>) -> Result {
    const EXISTS: ReplyError = ReplyError::fixed("BUSYGROUP Consumer Group name already exists");
    let options = Options::parse(ctx.args, true)?;
    let (key, name, at) = (ctx.key(2), ctx.arg(3), ctx.arg(4));
    let absent = if options.create { Absent::Create } else { Absent::Leave };
    let args = ctx.args;
    edit(&mut ctx.data, key, absent, |stream, _, _| {
        if args.len() > 8 {
            // An option twice, which the peers see no sooner than here.
            return Err(bad_subcommand("XGROUP", args[1]));
        }
        let group = Group::new(position(at, stream, false)?, options.entries_read);
        if stream.add_group(name, group) { Ok(()) } else { Err(EXISTS) }
    })?
    .ok_or(NO_KEY)?;
    ctx.data.changed(key, Class::Stream, "xgroup-create");
    ctx.reply.ok();
    Ok(())
}

/// Lends out the stream for a subcommand; `needed` is the group that has to be there.
fn change<R>(
    ctx: &mut Ctx<'_>,
    needed: Option<&[u8]>,
    change: impl FnOnce(&mut Stream) -> Result<R>,
) -> Result<R> {
    let key = ctx.key(2);
    let done = edit(&mut ctx.data, key, Absent::Leave, |stream, _, _| match needed {
        Some(group) if stream.group(group).is_none() => Err(no_group_for_key(key.name, group)),
        _ => change(stream),
    })?;
    done.map(|(result, _)| result).ok_or(NO_KEY)
}

fn setid(ctx: &mut Ctx<'_>) -> Result {
    let options = Options::parse(ctx.args, false)?;
    let (name, at) = (ctx.arg(3), ctx.arg(4));
    let args = ctx.args;
    change(ctx, Some(name), |stream| {
        if !matches!(args.len(), 5 | 7) {
            return Err(bad_subcommand("XGROUP", args[1]));
        }
        let id = position(at, stream, true)?;
        if let Some(group) = stream.group_mut(name) {
            group.last_id = id;
            group.entries_read = options.entries_read;
        }
        Ok(())
    })?;
    let key = ctx.key(2);
    ctx.data.changed(key, Class::Stream, "xgroup-setid");
    ctx.reply.ok();
    Ok(())
}

fn destroy(ctx: &mut Ctx<'_>) -> Result {
    let name = ctx.arg(3);
    let gone = change(ctx, None, |stream| Ok(stream.remove_group(name)))?;
    if gone {
        let key = ctx.key(2);
        ctx.data.changed(key, Class::Stream, "xgroup-destroy");
    }
    ctx.reply.integer(i64::from(gone));
    Ok(())
}

fn create_consumer(ctx: &mut Ctx<'_>) -> Result {
    let (name, consumer, now) = (ctx.arg(3), ctx.arg(4), ctx.now().unix_ms);
    let made = change(ctx, Some(name), |stream| {
        Ok(stream.group_mut(name).is_some_and(|group| group.add_consumer(consumer, now).1))
    })?;
    if made {
        let key = ctx.key(2);
        ctx.data.changed(key, Class::Stream, "xgroup-createconsumer");
    }
    ctx.reply.integer(i64::from(made));
    Ok(())
}

fn delete_consumer(ctx: &mut Ctx<'_>) -> Result {
    let (name, consumer) = (ctx.arg(3), ctx.arg(4));
    let gone = change(ctx, Some(name), |stream| {
        Ok(stream.group_mut(name).and_then(|group| group.remove_consumer(consumer)))
    })?;
    if gone.is_some() {
        let key = ctx.key(2);
        ctx.data.changed(key, Class::Stream, "xgroup-delconsumer");
    }
    ctx.reply.integer(gone.unwrap_or(0) as i64);
    Ok(())
}

fn help(ctx: &mut Ctx<'_>) -> Result {
    write_help(
        &mut ctx.reply,
        &[
            "XGROUP <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
            "CREATE <key> <groupname> <id|$> [option]",
            "    Make a consumer group. Options are:",
            "    * MKSTREAM",
            "      Make an empty stream if there is none.",
            "    * ENTRIESREAD entries_read",
            "      Set how many entries the group counts as read.",
            "CREATECONSUMER <key> <groupname> <consumer>",
            "    Make a consumer of a group.",
            "DELCONSUMER <key> <groupname> <consumer>",
            "    Remove a consumer of a group.",
            "DESTROY <key> <groupname>",
            "    Remove a group.",
            "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
            "    Set how far a group has read.",
            "HELP",
            "    Print this help.",
        ],
    );
    Ok(())
}
