//! Stream commands, one file for each thing that is done to a stream.
//!
//! Reading goes through `read`, writing through `edit`, which lends the stream out. A stream whose
//! entries are all gone stays. What is logged is the effect: ids that were made, the exact form of an
//! approximate trim, and for consumer groups who has which entry since when (XCLAIM, XACK, XGROUP
//! SETID), so that a replayed log gives the same pending lists.
//!
//! Source: documentation of the stream commands of Redis 7.2, Valkey 9.1 and Redis 8.10; errors and
//! edges by comparison with redis-server 7.0.15.

use ochre_command::args::{Cursor, int_or, is};
use ochre_command::data::{Left, Work};
use ochre_command::outcome::{ReplyError, Result, WRONG_TYPE};
use ochre_command::spec::{KeyFlags, KeySpec};
use ochre_command::{Data, Key, Reply};
use ochre_keyspace::db::Stored;
use ochre_types::limits::Limits;
use ochre_types::packed::Entry;
use ochre_types::stream::{ConsumerId, EntryRef, Group, Stream, StreamId};
use ochre_types::value::Value;

pub mod acknowledge;
pub mod add;
pub mod claim;
pub mod delete;
mod effects;
pub mod group;
pub mod info;
mod options;
pub mod pending;
pub mod range;
pub mod read;
pub mod waiting;

#[cfg(test)]
mod tests;

const READS: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
const UPDATES: KeyFlags = KeyFlags::RW.union(KeyFlags::UPDATE);
const DELETES: KeyFlags = KeyFlags::RW.union(KeyFlags::DELETE);
const UPDATE: KeySpec = KeySpec::one(1, UPDATES);
const DELETE: KeySpec = KeySpec::one(1, DELETES);

/// An argument is no id.
const INVALID_ID: ReplyError =
    ReplyError::fixed("ERR Invalid stream ID specified as stream command argument");

/// The stream under a key, for reading.
fn read<'d>(data: &'d mut Data<'_>, key: Key<'_>) -> Result<Option<&'d Stream>> {
    data.stored(key).map(as_stream).transpose()
}

/// The stream under a key, for a look that counts nothing.
fn peek<'d>(data: &'d mut Data<'_>, key: Key<'_>) -> Result<Option<&'d Stream>> {
    data.peek(key).map(as_stream).transpose()
}

fn as_stream(stored: Stored<'_>) -> Result<&Stream> {
    match stored {
        Stored::Object(Value::Stream(stream)) => Ok(stream),
        _ => Err(WRONG_TYPE),
    }
}

/// Whether an absent key becomes an empty stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absent {
    Create,
    Leave,
}

/// Lends the stream under a key out for changes; none when the key is absent and is left so.
fn edit<R>(
    data: &mut Data<'_>,
    key: Key<'_>,
    absent: Absent,
    change: impl FnOnce(&mut Stream, &Limits, &mut Work) -> Result<R>,
) -> Result<Option<(R, Left)>> {
    fn empty() -> Value {
        Value::Stream(Box::default())
    }
    let create = (absent == Absent::Create).then_some(empty as fn() -> Value);
    data.edit(key, create, |value, limits, work| match value {
        Value::Stream(stream) => change(stream, limits, work),
        _ => Err(WRONG_TYPE),
    })
}

/// An id in full, or its milliseconds alone with `missing_seq` for the rest.
fn id(arg: &[u8], missing_seq: u64) -> Result<StreamId> {
    StreamId::parse(arg, missing_seq).ok_or(INVALID_ID)
}

/// An id, or one of the signs for the lowest and the highest.
fn id_or_sign(arg: &[u8], missing_seq: u64) -> Result<StreamId> {
    match arg {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        _ => id(arg, missing_seq),
    }
}

/// The ids of all arguments.
fn ids(args: &[&[u8]]) -> Result<Vec<StreamId>> {
    args.iter().map(|arg| id(arg, 0)).collect()
}

/// Where an interval begins: `-`, an id, or `(` and the id before.
fn interval_start(arg: &[u8]) -> Result<StreamId> {
    const NO_NEXT: ReplyError = ReplyError::fixed("ERR invalid start ID for the interval");
    match arg.strip_prefix(b"(") {
        Some(rest) => id(rest, 0)?.next().ok_or(NO_NEXT),
        None => id_or_sign(arg, 0),
    }
}

/// Where an interval ends: `+`, an id, or `(` and the id behind.
fn interval_end(arg: &[u8]) -> Result<StreamId> {
    const NO_PREVIOUS: ReplyError = ReplyError::fixed("ERR invalid end ID for the interval");
    match arg.strip_prefix(b"(") {
        Some(rest) => id(rest, u64::MAX)?.previous().ok_or(NO_PREVIOUS),
        None => id_or_sign(arg, u64::MAX),
    }
}

fn write_id(reply: &mut Reply<'_>, id: StreamId) {
    reply.bulk(id.text(&mut [0; 41]));
}

fn write_text(reply: &mut Reply<'_>, text: Entry<'_>) {
    reply.bulk(text.text(&mut [0; 20]));
}

fn write_fields(reply: &mut Reply<'_>, entry: &EntryRef<'_>) {
    reply.array(2 * entry.len());
    for (field, value) in entry.pairs() {
        write_text(reply, field);
        write_text(reply, value);
    }
}

fn write_entry(reply: &mut Reply<'_>, entry: &EntryRef<'_>) {
    reply.array(2);
    write_id(reply, entry.id);
    write_fields(reply, entry);
}

fn shown(text: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(text)
}

/// The key or its group is not there.
fn no_group(key: &[u8], group: &[u8]) -> ReplyError {
    let (key, group) = (shown(key), shown(group));
    ReplyError::new(format!("NOGROUP No such key '{key}' or consumer group '{group}'"))
}

/// The group is not there, but its key is.
fn no_group_for_key(key: &[u8], group: &[u8]) -> ReplyError {
    let (key, group) = (shown(key), shown(group));
    ReplyError::new(format!("NOGROUP No such consumer group '{group}' for key name '{key}'"))
}

/// A subcommand with arguments that it does not know.
fn bad_subcommand(container: &str, given: &[u8]) -> ReplyError {
    let given = shown(&given[..given.len().min(128)]);
    ReplyError::new(format!(
        "ERR unknown subcommand or wrong number of arguments for '{given}'. Try {container} HELP."
    ))
}

/// Lends out a stream with one of its groups; the error is that of a missing key or group.
fn edit_group<R>(
    data: &mut Data<'_>,
    key: Key<'_>,
    group: &[u8],
    change: impl FnOnce(&mut Stream) -> Result<R>,
) -> Result<R> {
    let missing = || no_group(key.name, group);
    let done = edit(data, key, Absent::Leave, |stream, _, _| {
        if stream.group(group).is_none() {
            return Err(missing());
        }
        change(stream)
    })?;
    done.map(|(result, _)| result).ok_or_else(missing)
}

/// The name of who has a pending entry; empty when nobody has.
fn owner_name(group: &Group, owner: Option<ConsumerId>) -> &[u8] {
    owner.and_then(|owner| group.consumer(owner)).map_or(b"", |consumer| consumer.name())
}

/// A help text, as every container's HELP gives it.
fn write_help(reply: &mut Reply<'_>, lines: &[&str]) {
    reply.array(lines.len());
    lines.iter().for_each(|line| reply.status(line));
}

/// The part of a stream command that names ids: `IDS count id [id ...]`, which may stand anywhere.
fn counted_ids(options: &mut Cursor<'_>) -> Result<Vec<StreamId>> {
    const BAD_COUNT: ReplyError = ReplyError::fixed("ERR Number of IDs must be a positive integer");
    const MISMATCH: ReplyError =
        ReplyError::fixed("ERR The `numids` parameter must match the number of arguments");
    let count = int_or(options.need()?, BAD_COUNT)?;
    let count = usize::try_from(count).ok().filter(|count| *count > 0).ok_or(BAD_COUNT)?;
    let words = options.take_slice(count).map_err(|_| MISMATCH)?;
    ids(words)
}

/// Whether an argument is one of the words, in any case.
fn is_any(arg: &[u8], words: &[&str]) -> bool {
    words.iter().any(|word| is(arg, word))
}
