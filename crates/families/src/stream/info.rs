//! XINFO: a stream's counters, groups and consumers.
//!
//! `radix-tree-keys` is the number of blocks; `radix-tree-nodes` is computed as the peers' index would
//! have it.

use ochre_command::args::{int, is};
use ochre_command::outcome::{self, NO_SUCH_KEY, Result};
use ochre_command::spec::{CommandSpec, Flags, Group as Family, KeySpec};
use ochre_command::{Ctx, Reply};
use ochre_types::stream::{Consumer, EntryRef, Group, Stream, StreamId};

use super::{
    READS, bad_subcommand, no_group_for_key, owner_name, read, write_entry, write_help, write_id,
};

const KEY: KeySpec = KeySpec::one(2, READS);
const HELP: Flags = Flags::LOADING.union(Flags::STALE);

/// Entries that FULL shows of each thing, unless it says otherwise.
const SHOWN: usize = 10;

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] =
    &[CommandSpec::new("xinfo", -2, Flags::empty(), Family::Stream, unknown)
        .docs("5.0.0", "Holds the commands that look at streams.", "Depends on subcommand.", "")
        .subcommands(&[
            CommandSpec::new("stream", -3, Flags::READONLY, Family::Stream, stream)
                .keys(&[KEY])
                .docs("5.0.0", "Describes a stream.", "O(1)", "key [FULL [COUNT count]]"),
            CommandSpec::new("groups", 3, Flags::READONLY, Family::Stream, groups)
                .keys(&[KEY])
                .docs("5.0.0", "Lists the consumer groups of a stream.", "O(1)", "key"),
            CommandSpec::new("consumers", 4, Flags::READONLY, Family::Stream, consumers)
                .keys(&[KEY])
                .tips(&["nondeterministic_output"])
                .docs("5.0.0", "Lists the consumers of a group.", "O(1)", "key group"),
            CommandSpec::new("help", 2, HELP, Family::Stream, help).docs(
                "5.0.0",
                "Explains the subcommands.",
                "O(1)",
                "",
            ),
        ])];

fn unknown(ctx: &mut Ctx<'_>) -> Result {
    Err(outcome::unknown_subcommand("xinfo", ctx.args[1]))
}

/// How much FULL shows; none without FULL.
fn full(args: &[&[u8]]) -> Result<Option<usize>> {
    let wrong = || bad_subcommand("XINFO", args[1]);
    match args[3..] {
        [] => Ok(None),
        [word] if is(word, "full") => Ok(Some(SHOWN)),
        [word, count, number] if is(word, "full") && is(count, "count") => match int(number)? {
            ..0 => Ok(Some(SHOWN)),
            0 => Ok(Some(usize::MAX)),
            n => Ok(Some(usize::try_from(n).unwrap_or(usize::MAX))),
        },
        _ => Err(wrong()),
    }
}

fn stream(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(2);
    let args = ctx.args;
    let stream = read(&mut ctx.data, key)?.ok_or(NO_SUCH_KEY)?;
    let reply = &mut ctx.reply;
    let full = full(args)?;
    let idempotence = if stream.idempotence().is_some() { 6 } else { 0 };
    let own = if full.is_some() { 2 } else { 3 };
    reply.map(7 + idempotence + own);
    counters(reply, stream);
    match full {
        None => brief(reply, stream),
        Some(max) => in_full(reply, stream, max),
    }
    Ok(())
}

fn number(reply: &mut Reply<'_>, name: &str, value: i64) {
    reply.bulk(name);
    reply.integer(value);
}

fn known_number(reply: &mut Reply<'_>, name: &str, value: Option<i64>) {
    reply.bulk(name);
    match value {
        Some(value) => reply.integer(value),
        None => reply.null(),
    }
}

fn stream_id(reply: &mut Reply<'_>, name: &str, id: StreamId) {
    reply.bulk(name);
    write_id(reply, id);
}

fn counters(reply: &mut Reply<'_>, stream: &Stream) {
    let blocks = stream.blocks().len() as i64;
    number(reply, "length", stream.len() as i64);
    number(reply, "radix-tree-keys", blocks);
    number(reply, "radix-tree-nodes", stream.index_nodes() as i64);
    stream_id(reply, "last-generated-id", stream.last_id);
    stream_id(reply, "max-deleted-entry-id", stream.max_deleted_id);
    number(reply, "entries-added", stream.entries_added as i64);
    stream_id(reply, "recorded-first-entry-id", stream.first_id());
    if let Some(seen) = stream.idempotence() {
        number(reply, "idmp-duration", i64::from(seen.duration_s));
        number(reply, "idmp-maxsize", i64::from(seen.max_count));
        number(reply, "pids-tracked", seen.producer_count() as i64);
        number(reply, "iids-tracked", seen.message_count() as i64);
        number(reply, "iids-added", seen.added as i64);
        number(reply, "iids-duplicates", seen.duplicates as i64);
    }
}

fn brief(reply: &mut Reply<'_>, stream: &Stream) {
    number(reply, "groups", stream.groups().len() as i64);
    let mut end = |name: &str, entry: Option<EntryRef<'_>>| {
        reply.bulk(name);
        match entry {
            Some(entry) => write_entry(reply, &entry),
            None => reply.null(),
        }
    };
    end("first-entry", stream.first());
    end("last-entry", stream.last());
}

fn in_full(reply: &mut Reply<'_>, stream: &Stream, max: usize) {
    reply.bulk("entries");
    let mark = reply.deferred();
    let mut count = 0;
    for entry in stream.iter().take(max) {
        write_entry(reply, &entry);
        count += 1;
    }
    reply.finish_array(mark, count);
    reply.bulk("groups");
    reply.array(stream.groups().len());
    for (name, group) in stream.groups() {
        reply.map(7);
        reply.bulk("name");
        reply.bulk(name);
        stream_id(reply, "last-delivered-id", group.last_id);
        known_number(reply, "entries-read", group.entries_read);
        known_number(reply, "lag", stream.lag(group));
        number(reply, "pel-count", group.pending_count() as i64);
        all_pending(reply, group, max);
        reply.bulk("consumers");
        reply.array(group.consumers().len());
        for (_, consumer) in group.consumers() {
            consumer_in_full(reply, group, consumer, max);
        }
    }
}

fn all_pending(reply: &mut Reply<'_>, group: &Group, max: usize) {
    reply.bulk("pending");
    let mark = reply.deferred();
    let mut count = 0;
    for (id, pending) in group.pending_in(StreamId::MIN..=StreamId::MAX).take(max) {
        reply.array(4);
        write_id(reply, id);
        reply.bulk(owner_name(group, pending.owner));
        reply.integer(pending.delivered_ms);
        reply.integer(pending.deliveries);
        count += 1;
    }
    reply.finish_array(mark, count);
}

fn consumer_in_full(reply: &mut Reply<'_>, group: &Group, consumer: &Consumer, max: usize) {
    reply.map(5);
    reply.bulk("name");
    reply.bulk(consumer.name());
    number(reply, "seen-time", consumer.seen_ms);
    number(reply, "active-time", consumer.active_ms);
    number(reply, "pel-count", consumer.pending_count() as i64);
    reply.bulk("pending");
    let mark = reply.deferred();
    let mut count = 0;
    for id in consumer.pending_from(StreamId::MIN).take(max) {
        let Some(pending) = group.pending(id) else { continue };
        reply.array(3);
        write_id(reply, id);
        reply.integer(pending.delivered_ms);
        reply.integer(pending.deliveries);
        count += 1;
    }
    reply.finish_array(mark, count);
}

fn groups(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(2);
    let stream = read(&mut ctx.data, key)?.ok_or(NO_SUCH_KEY)?;
    let reply = &mut ctx.reply;
    reply.array(stream.groups().len());
    for (name, group) in stream.groups() {
        reply.map(6);
        reply.bulk("name");
        reply.bulk(name);
        number(reply, "consumers", group.consumers().len() as i64);
        number(reply, "pending", group.pending_count() as i64);
        stream_id(reply, "last-delivered-id", group.last_id);
        known_number(reply, "entries-read", group.entries_read);
        known_number(reply, "lag", stream.lag(group));
    }
    Ok(())
}

fn consumers(ctx: &mut Ctx<'_>) -> Result {
    let (key, name, now_ms) = (ctx.key(2), ctx.arg(3), ctx.now().unix_ms);
    let stream = read(&mut ctx.data, key)?.ok_or(NO_SUCH_KEY)?;
    let group = stream.group(name).ok_or_else(|| no_group_for_key(key.name, name))?;
    let reply = &mut ctx.reply;
    reply.array(group.consumers().len());
    for (_, consumer) in group.consumers() {
        let since = |ms: i64| if ms < 0 { -1 } else { now_ms.saturating_sub(ms).max(0) };
        reply.map(4);
        reply.bulk("name");
        reply.bulk(consumer.name());
        number(reply, "pending", consumer.pending_count() as i64);
        number(reply, "idle", since(consumer.seen_ms));
        number(reply, "inactive", since(consumer.active_ms));
    }
    Ok(())
}

fn help(ctx: &mut Ctx<'_>) -> Result {
    write_help(
        &mut ctx.reply,
        &[
            "XINFO <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
            "CONSUMERS <key> <groupname>",
            "    List the consumers of a group.",
            "GROUPS <key>",
            "    List the groups of a stream.",
            "STREAM <key> [FULL [COUNT <count>]",
            "    Describe a stream.",
            "HELP",
            "    Print this help.",
        ],
    );
    Ok(())
}
