//! SUBSCRIBE and its kin, PUBLISH, SPUBLISH, PUBSUB.

use ochre_command::spec::{Flags, Group, KeyFlags, KeySpec};
use ochre_command::{ReplyError, Result};
use ochre_pubsub::Kind;

use crate::commands::help;
use crate::pubsub;
use crate::registry::{Row, SessionRow};
use crate::turn::{SessionFn, Turn};

const LISTEN: Flags =
    Flags::PUBSUB.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE);
const PUBLISH: Flags = Flags::PUBSUB
    .union(Flags::LOADING)
    .union(Flags::STALE)
    .union(Flags::FAST)
    .union(Flags::MAY_REPLICATE);
const ASK: Flags = Flags::PUBSUB.union(Flags::LOADING).union(Flags::STALE);
/// A shard channel is routed like a key.
const SHARD_CHANNEL: &[KeySpec] = &[KeySpec::one(1, KeyFlags::NOT_KEY)];
const SHARD_CHANNELS: &[KeySpec] = &[KeySpec::range(1, -1, 1, KeyFlags::NOT_KEY)];

const fn row(
    name: &'static str,
    arity: i32,
    flags: Flags,
    run: SessionFn,
    (since, summary, complexity, syntax): (&'static str, &'static str, &'static str, &'static str),
) -> SessionRow {
    SessionRow::new(name, arity, flags, Group::Pubsub, run).docs(since, summary, complexity, syntax)
}

/// The rows of this file.
pub const COMMANDS: &[SessionRow] = &[
    row(
        "subscribe",
        -2,
        LISTEN,
        subscribe,
        (
            "2.0.0",
            "Listens to channels.",
            "O(N) with N the number of channels",
            "channel [channel ...]",
        ),
    ),
    row(
        "unsubscribe",
        -1,
        LISTEN,
        unsubscribe,
        (
            "2.0.0",
            "Stops listening to channels, or to all.",
            "O(N) with N the number of channels",
            "[channel [channel ...]]",
        ),
    ),
    row(
        "psubscribe",
        -2,
        LISTEN,
        psubscribe,
        (
            "2.0.0",
            "Listens to all channels that match patterns.",
            "O(N) with N the number of patterns",
            "pattern [pattern ...]",
        ),
    ),
    row(
        "punsubscribe",
        -1,
        LISTEN,
        punsubscribe,
        (
            "2.0.0",
            "Stops listening to patterns, or to all.",
            "O(N) with N the number of patterns",
            "[pattern [pattern ...]]",
        ),
    ),
    row(
        "ssubscribe",
        -2,
        LISTEN,
        ssubscribe,
        (
            "7.0.0",
            "Listens to shard channels.",
            "O(N) with N the number of channels",
            "shardchannel [shardchannel ...]",
        ),
    )
    .keys(SHARD_CHANNELS),
    row(
        "sunsubscribe",
        -1,
        LISTEN,
        sunsubscribe,
        (
            "7.0.0",
            "Stops listening to shard channels, or to all.",
            "O(N) with N the number of channels",
            "[shardchannel [shardchannel ...]]",
        ),
    )
    .keys(SHARD_CHANNELS),
    row(
        "publish",
        3,
        PUBLISH,
        publish,
        (
            "2.0.0",
            "Sends a message to all who listen to a channel.",
            "O(N+M) with N the subscribers of the channel and M the patterns of all clients",
            "channel message",
        ),
    ),
    row(
        "spublish",
        3,
        PUBLISH,
        spublish,
        (
            "7.0.0",
            "Sends a message to all who listen to a shard channel.",
            "O(N) with N the subscribers of the channel",
            "shardchannel message",
        ),
    )
    .keys(SHARD_CHANNEL),
    SessionRow::container("pubsub", Group::Pubsub, "2.8.0", "Tells of channels.", SUBCOMMANDS),
];

const SUBCOMMANDS: &[SessionRow] = &[
    row(
        "channels",
        -2,
        ASK,
        channels,
        (
            "2.8.0",
            "Lists the channels that somebody listens to.",
            "O(N) with N the number of such channels",
            "[pattern]",
        ),
    ),
    help::row("6.2.0", Group::Pubsub),
    row(
        "numpat",
        2,
        ASK,
        numpat,
        ("2.8.0", "Counts the patterns that somebody listens to.", "O(1)", ""),
    ),
    row(
        "numsub",
        -2,
        ASK,
        numsub,
        (
            "2.8.0",
            "Counts the listeners of channels.",
            "O(N) with N the number of channels asked for",
            "[channel [channel ...]]",
        ),
    ),
    row(
        "shardchannels",
        -2,
        ASK,
        shardchannels,
        (
            "7.0.0",
            "Lists the shard channels that somebody listens to.",
            "O(N) with N the number of such channels",
            "[pattern]",
        ),
    ),
    row(
        "shardnumsub",
        -2,
        ASK,
        shardnumsub,
        (
            "7.0.0",
            "Counts the listeners of shard channels.",
            "O(N) with N the number of channels asked for",
            "[shardchannel [shardchannel ...]]",
        ),
    ),
];

fn subscribe(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    listen(turn, args, Kind::Channel, "subscribe")
}

fn psubscribe(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    listen(turn, args, Kind::Pattern, "psubscribe")
}

fn ssubscribe(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    listen(turn, args, Kind::Shard, "ssubscribe")
}

fn unsubscribe(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    leave(turn, args, Kind::Channel, "unsubscribe")
}

fn punsubscribe(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    leave(turn, args, Kind::Pattern, "punsubscribe")
}

fn sunsubscribe(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    leave(turn, args, Kind::Shard, "sunsubscribe")
}

fn listen(turn: &mut Turn<'_>, args: &[&[u8]], kind: Kind, word: &str) -> Result {
    for name in &args[1..] {
        let count = pubsub::subscribe(turn.engine, turn.session, kind, name);
        confirm(turn, word, Some(name), count);
    }
    Ok(())
}

fn leave(turn: &mut Turn<'_>, args: &[&[u8]], kind: Kind, word: &str) -> Result {
    if args.len() > 1 {
        for name in &args[1..] {
            let count = pubsub::unsubscribe(turn.engine, turn.session, kind, name);
            confirm(turn, word, Some(name), count);
        }
        return Ok(());
    }
    let names = turn.session.subscriptions.as_ref().map(|held| held.names(kind));
    let names = names.unwrap_or_default();
    for name in &names {
        let count = pubsub::unsubscribe(turn.engine, turn.session, kind, name);
        confirm(turn, word, Some(name), count);
    }
    if names.is_empty() {
        let count = pubsub::count(turn.session, kind);
        confirm(turn, word, None, count);
    }
    Ok(())
}

fn confirm(turn: &mut Turn<'_>, word: &str, name: Option<&[u8]>, count: usize) {
    let mut reply = turn.reply();
    reply.push(3);
    reply.bulk(word);
    match name {
        Some(name) => reply.bulk(name),
        None => reply.null(),
    }
    reply.integer(count as i64);
}

/// Listeners on replicas hear of it by the stream, which is otherwise for changes of data.
fn tell_replicas(turn: &Turn<'_>, args: &[&[u8]]) {
    if turn.engine.replicas.count() > 0 {
        turn.engine.log.append_control(args);
    }
}

fn publish(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let receivers = pubsub::publish(turn.engine, args[1], args[2]);
    tell_replicas(turn, args);
    turn.reply().integer(receivers as i64);
    Ok(())
}

fn spublish(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    let receivers = pubsub::publish_shard(turn.engine, args[1], args[2]);
    tell_replicas(turn, args);
    turn.reply().integer(receivers as i64);
    Ok(())
}

fn channels(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    names(turn, args, Kind::Channel)
}

fn shardchannels(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    names(turn, args, Kind::Shard)
}

fn names(turn: &mut Turn<'_>, args: &[&[u8]], kind: Kind) -> Result {
    if args.len() > 3 {
        let given = String::from_utf8_lossy(args[1]);
        return Err(ReplyError::new(format!(
            "ERR unknown subcommand or wrong number of arguments for '{given}'. Try PUBSUB HELP."
        )));
    }
    let names = turn.engine.channels.names(kind, args.get(2).copied());
    let mut reply = turn.reply();
    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name));
    Ok(())
}

fn numpat(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let count = turn.engine.channels.count(Kind::Pattern);
    turn.reply().integer(count as i64);
    Ok(())
}

fn numsub(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    listeners(turn, args, Kind::Channel)
}

fn shardnumsub(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    listeners(turn, args, Kind::Shard)
}

fn listeners(turn: &mut Turn<'_>, args: &[&[u8]], kind: Kind) -> Result {
    let engine = turn.engine;
    let mut reply = turn.reply();
    reply.array(2 * (args.len() - 2));
    for name in &args[2..] {
        reply.bulk(name);
        reply.integer(engine.channels.subscribers(kind, name) as i64);
    }
    Ok(())
}
