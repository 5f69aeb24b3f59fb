//! Saying that entries were processed, or were not: XACK, XACKDEL, XNACK.

use ochre_command::Ctx;
use ochre_command::args::{Cursor, int};
use ochre_command::data::Class;
use ochre_command::outcome::{ReplyError, Result, SYNTAX};
use ochre_command::spec::{CommandSpec, Flags, Group as Family, KeySpec};
use ochre_types::stream::{Deleted, Pending, Stream, StreamId};

use super::delete::{code, references_and_ids};
use super::{Absent, DELETES, UPDATE, UPDATES, counted_ids, edit, edit_group, ids};

const FAST: Flags = Flags::WRITE.union(Flags::FAST);

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("xack", -4, FAST, Family::Stream, xack).keys(&[UPDATE]).docs(
        "5.0.0",
        "Acknowledges entries: they are pending no more.",
        "O(1) for each message ID processed.",
        "key group id [id ...]",
    ),
    CommandSpec::new("xackdel", -6, FAST, Family::Stream, xackdel)
        .keys(&[KeySpec::one(1, UPDATES.union(DELETES))])
        .docs(
            "8.2.0",
            "Acknowledges entries and removes them from the stream.",
            "O(1) for each entry ID processed.",
            "key group [KEEPREF | DELREF | ACKED] IDS numids id [id ...]",
        ),
    CommandSpec::new("xnack", -7, FAST, Family::Stream, xnack).keys(&[UPDATE]).docs(
        "8.8.0",
        "Gives pending entries back to the group, for anybody to claim.",
        "O(1) for each message ID processed.",
        "key group <SILENT | FAIL | FATAL> IDS numids id [id ...] [RETRYCOUNT count] [FORCE]",
    ),
];

fn xack(ctx: &mut Ctx<'_>) -> Result {
    let (key, group, args) = (ctx.key(1), ctx.arg(2), &ctx.args[3..]);
    let done = edit(&mut ctx.data, key, Absent::Leave, |stream, _, _| {
        let Some(group) = stream.group_mut(group) else { return Ok(0) };
        Ok(ids(args)?.into_iter().filter(|id| group.acknowledge(*id)).count())
    })?;
    let count = done.map_or(0, |(count, _)| count);
    // No event: the entries are as they were.
    ctx.data.work.counts.dirty += count as u64;
    ctx.reply.integer(count as i64);
    Ok(())
}

fn xackdel(ctx: &mut Ctx<'_>) -> Result {
    let (key, group) = (ctx.key(1), ctx.arg(2));
    let (references, ids) = references_and_ids(ctx.args, 3)?;
    let done = edit(&mut ctx.data, key, Absent::Leave, |stream, _, _| {
        let acknowledge = |stream: &mut Stream, id: StreamId| {
            stream.group_mut(group).is_some_and(|group| group.acknowledge(id))
        };
        let mut codes = Vec::with_capacity(ids.len());
        for &id in &ids {
            codes.push(match acknowledge(stream, id) {
                true => (true, stream.delete_with(id, references)),
                false => (false, Deleted::Absent),
            });
        }
        Ok(codes)
    })?;
    let codes = done.map_or_else(|| vec![(false, Deleted::Absent); ids.len()], |(codes, _)| codes);
    if codes.iter().any(|(_, deleted)| *deleted == Deleted::Gone) {
        ctx.data.changed(key, Class::Stream, "xdel");
    } else if codes.iter().any(|(acknowledged, _)| *acknowledged) {
        ctx.data.work.counts.dirty += 1;
    }
    ctx.reply.array(codes.len());
    codes.into_iter().for_each(|(_, deleted)| ctx.reply.integer(code(deleted)));
    Ok(())
}

/// What XNACK makes of the number of deliveries.
#[derive(Debug, Clone, Copy)]
enum Mode {
    /// The delivery did not count.
    Silent,
    Fail,
    /// Nobody should get the entry again.
    Fatal,
}

impl Mode {
    fn deliveries(self, before: i64) -> i64 {
        match self {
            Self::Silent => before.saturating_sub(1).max(0),
            Self::Fail => before,
            Self::Fatal => i64::MAX,
        }
    }
}

struct GiveBack {
    ids: Vec<StreamId>,
    retries: Option<i64>,
    force: bool,
}

impl GiveBack {
    fn parse(args: &[&[u8]]) -> Result<Self> {
        const NEGATIVE: ReplyError = ReplyError::fixed("ERR RETRYCOUNT must be >= 0");
        let (mut ids, mut retries, mut force) = (None, None, false);
        let mut cursor = Cursor::new(args, 4);
        while cursor.left() > 0 {
            if ids.is_none() && cursor.take("ids") {
                ids = Some(counted_ids(&mut cursor)?);
            } else if cursor.left() > 1 && cursor.take("retrycount") {
                let count = int(cursor.need()?)?;
                retries = Some(Some(count).filter(|count| *count >= 0).ok_or(NEGATIVE)?);
            } else if cursor.take("force") {
                force = true;
            } else {
                return Err(SYNTAX);
            }
        }
        Ok(Self { ids: ids.ok_or(SYNTAX)?, retries, force })
    }
}

fn xnack(ctx: &mut Ctx<'_>) -> Result {
    let (key, name) = (ctx.key(1), ctx.arg(2));
    let word = ctx.arg(3);
    let mode = match () {
        () if super::is_any(word, &["silent"]) => Mode::Silent,
        () if super::is_any(word, &["fail"]) => Mode::Fail,
        () if super::is_any(word, &["fatal"]) => Mode::Fatal,
        () => return Err(SYNTAX),
    };
    let GiveBack { ids, retries, force } = GiveBack::parse(ctx.args)?;
    let count = edit_group(&mut ctx.data, key, name, |stream| {
        let mut count = 0_u64;
        for id in ids {
            let is_there = force && stream.contains(id);
            let Some(group) = stream.group_mut(name) else { break };
            let before = match group.pending(id) {
                Some(pending) => mode.deliveries(pending.deliveries),
                None if is_there => mode.deliveries(0),
                None => continue,
            };
            let deliveries = retries.unwrap_or(before);
            group.pend(id, Pending { delivered_ms: 0, deliveries, owner: None });
            count += 1;
        }
        Ok(count)
    })?;
    if count > 0 {
        // Readers that claim may be waiting for what was given back.
        ctx.data.work.counts.dirty += count - 1;
        ctx.data.changed(key, Class::Stream, "xnack");
    }
    ctx.reply.integer(count as i64);
    Ok(())
}
