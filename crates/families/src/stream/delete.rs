//! Removing entries, and setting a stream's counters: XDEL, XDELEX, XTRIM, XSETID.

use ochre_command::Ctx;
use ochre_command::args::{Cursor, int};
use ochre_command::data::Class;
use ochre_command::outcome::{NO_SUCH_KEY, ReplyError, Result, SYNTAX};
use ochre_command::spec::{CommandSpec, Flags, Group};
use ochre_types::stream::{Deleted, References, StreamId};

use super::add::exact_trim;
use super::options::{self, Options};
use super::{Absent, DELETE, UPDATE, counted_ids, edit, id, ids, peek};

const FAST: Flags = Flags::WRITE.union(Flags::FAST);

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("xdel", -3, FAST, Group::Stream, xdel).keys(&[DELETE]).docs(
        "5.0.0",
        "Removes entries of a stream by their ids.",
        "O(1) for each single item to delete in the stream, regardless of the stream size.",
        "key id [id ...]",
    ),
    CommandSpec::new("xdelex", -5, FAST, Group::Stream, xdelex).keys(&[DELETE]).docs(
        "8.2.0",
        "Removes entries of a stream, and says what becomes of groups' references to them.",
        "O(1) for each single item to delete in the stream, regardless of the stream size.",
        "key [KEEPREF | DELREF | ACKED] IDS numids id [id ...]",
    ),
    CommandSpec::new("xtrim", -4, Flags::WRITE, Group::Stream, xtrim)
        .keys(&[DELETE])
        .tips(&["nondeterministic_output"])
        .docs(
            "5.0.0",
            "Removes the oldest entries of a stream.",
            "O(N), with N being the number of evicted entries. Constant times are very small \
             however, since entries are organized in macro nodes containing multiple entries that \
             can be released with a single deallocation.",
            "key <MAXLEN | MINID> [= | ~] threshold [LIMIT count] [KEEPREF | DELREF | ACKED]",
        ),
    CommandSpec::new("xsetid", -3, FAST.union(Flags::DENYOOM), Group::Stream, xsetid)
        .keys(&[UPDATE])
        .docs(
            "5.0.0",
            "Sets the last id and the counters of a stream; for replication.",
            "O(1)",
            "key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]",
        ),
];

fn xdel(ctx: &mut Ctx<'_>) -> Result {
    let (key, args) = (ctx.key(1), &ctx.args[2..]);
    let done = edit(&mut ctx.data, key, Absent::Leave, |stream, _, _| {
        Ok(ids(args)?.into_iter().filter(|id| stream.delete(*id)).count())
    })?;
    let count = done.map_or(0, |(count, _)| count);
    if count > 0 {
        ctx.data.changed(key, Class::Stream, "xdel");
    }
    ctx.reply.integer(count as i64);
    Ok(())
}

/// What a reply says of one entry that was to be deleted.
pub(super) fn code(deleted: Deleted) -> i64 {
    match deleted {
        Deleted::Absent => -1,
        Deleted::Gone => 1,
        Deleted::Referenced => 2,
    }
}

/// Reads `[KEEPREF | DELREF | ACKED] IDS numids id [id ...]`, in any order, from argument `at` on.
pub(super) fn references_and_ids(args: &[&[u8]], at: usize) -> Result<(References, Vec<StreamId>)> {
    let (mut references, mut ids) = (None, None);
    let mut cursor = Cursor::new(args, at);
    while cursor.left() > 0 {
        if cursor.take("ids") && ids.is_none() {
            ids = Some(counted_ids(&mut cursor)?);
        } else if references.is_none() {
            references = Some(options::references(cursor.need()?).ok_or(SYNTAX)?);
        } else {
            return Err(SYNTAX);
        }
    }
    Ok((references.unwrap_or_default(), ids.ok_or(SYNTAX)?))
}

fn xdelex(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(1);
    let (references, ids) = references_and_ids(ctx.args, 2)?;
    let done = edit(&mut ctx.data, key, Absent::Leave, |stream, _, _| {
        let delete = |id: &StreamId| stream.delete_with(*id, references);
        Ok(ids.iter().map(delete).collect::<Vec<_>>())
    })?;
    let is_there = done.is_some();
    let codes = done.map_or_else(|| vec![Deleted::Absent; ids.len()], |(codes, _)| codes);
    if codes.contains(&Deleted::Gone) {
        ctx.data.changed(key, Class::Stream, "xdel");
    } else if is_there && references == References::Remove {
        // References to entries that were not there may have gone.
        ctx.data.work.counts.dirty += 1;
    }
    ctx.reply.array(codes.len());
    codes.into_iter().for_each(|deleted| ctx.reply.integer(code(deleted)));
    Ok(())
}

fn xtrim(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(1);
    let options = Options::parse(ctx.args, false, ctx.data.env.limits)?;
    let trim = options.trim.ok_or(SYNTAX)?;
    let done = edit(&mut ctx.data, key, Absent::Leave, |stream, _, _| {
        Ok((stream.trim(&trim), stream.len()))
    })?;
    let Some(((trimmed, len), _)) = done else {
        ctx.reply.integer(0);
        return Ok(());
    };
    if trimmed.count > 0 {
        ctx.data.changed(key, Class::Stream, "xtrim");
        let exact = exact_trim(&trim, trimmed, len);
        let mut words: Vec<&[u8]> = vec![b"XTRIM", key.name];
        words.extend(exact.iter().map(Vec::as_slice));
        ctx.data.effect(words.iter());
    }
    ctx.reply.integer(trimmed.count as i64);
    Ok(())
}

fn xsetid(ctx: &mut Ctx<'_>) -> Result {
    const NEGATIVE: ReplyError = ReplyError::fixed("ERR entries_added must be positive");
    const BELOW_GIVEN: ReplyError = ReplyError::fixed(
        "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
    );
    const BELOW_DELETED: ReplyError = ReplyError::fixed(
        "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
    );
    const BELOW_LAST: ReplyError = ReplyError::fixed(
        "ERR The ID specified in XSETID is smaller than the target stream top item",
    );
    const TOO_FEW: ReplyError = ReplyError::fixed(
        "ERR The entries_added specified in XSETID is smaller than the target stream length",
    );
    let key = ctx.key(1);
    let last_id = id(ctx.args[2], 0)?;
    let (mut added, mut deleted) = (None, StreamId::MIN);
    let mut options = Cursor::new(ctx.args, 3);
    while let Some(word) = options.take_next() {
        if options.left() == 0 {
            return Err(SYNTAX);
        } else if super::is_any(word, &["entriesadded"]) {
            added = Some(u64::try_from(int(options.need()?)?).map_err(|_| NEGATIVE)?);
        } else if super::is_any(word, &["maxdeletedid"]) {
            deleted = id(options.need()?, 0)?;
            if last_id < deleted {
                return Err(BELOW_GIVEN);
            }
        } else {
            return Err(SYNTAX);
        }
    }
    let stream = peek(&mut ctx.data, key)?.ok_or(NO_SUCH_KEY)?;
    if last_id < stream.max_deleted_id {
        return Err(BELOW_DELETED);
    }
    if stream.last().is_some_and(|last| last_id < last.id) {
        return Err(BELOW_LAST);
    }
    if stream.len() > 0 && added.is_some_and(|added| added < stream.len()) {
        return Err(TOO_FEW);
    }
    edit(&mut ctx.data, key, Absent::Leave, |stream, _, _| {
        stream.last_id = last_id;
        stream.entries_added = added.unwrap_or(stream.entries_added);
        if deleted != StreamId::MIN {
            stream.max_deleted_id = deleted;
        }
        Ok(())
    })?;
    ctx.data.changed(key, Class::Stream, "xsetid");
    ctx.reply.ok();
    Ok(())
}
