//! XPENDING: what was delivered and not acknowledged.

use ochre_command::Ctx;
use ochre_command::args::{int, is};
use ochre_command::outcome::{Result, SYNTAX};
use ochre_command::spec::{CommandSpec, Flags, Group as Family, KeySpec};
use ochre_types::stream::{Group, Pending, StreamId};

use super::{READS, interval_end, interval_start, no_group, owner_name, read, write_id};

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] =
    &[CommandSpec::new("xpending", -3, Flags::READONLY, Family::Stream, xpending)
        .keys(&[KeySpec::one(1, READS)])
        .tips(&["nondeterministic_output"])
        .docs(
            "5.0.0",
            "Lists what consumers of a group were given and have not acknowledged, or sums it up.",
            "O(N) with N being the number of elements returned, so asking for a small fixed number \
             of entries per call is O(1). O(M), where M is the total number of entries scanned when \
             used with the IDLE filter. When the command returns just the summary and the list of \
             consumers is small, it runs in O(1) time; otherwise, an additional O(N) time for \
             iterating every consumer.",
            "key group [[IDLE min-idle-time] start end count [consumer]]",
        )];

/// The long form's arguments.
struct Filter<'a> {
    min_idle_ms: i64,
    start: StreamId,
    end: StreamId,
    count: usize,
    consumer: Option<&'a [u8]>,
}

impl<'a> Filter<'a> {
    fn parse(args: &[&'a [u8]]) -> Result<Option<Self>> {
        if args.len() == 3 {
            return Ok(None);
        }
        if !(6..=9).contains(&args.len()) {
            return Err(SYNTAX);
        }
        let (mut at, mut min_idle_ms) = (3, 0);
        if is(args[3], "idle") {
            min_idle_ms = int(args[4])?;
            if args.len() < 8 {
                return Err(SYNTAX);
            }
            at = 5;
        }
        let count = usize::try_from(int(args[at + 2])?.max(0)).unwrap_or(usize::MAX);
        let (start, end) = (interval_start(args[at])?, interval_end(args[at + 1])?);
        let consumer = args.get(at + 3).copied();
        Ok(Some(Self { min_idle_ms, start, end, count, consumer }))
    }
}

/// Milliseconds since an entry was delivered; -1 when it was given back.
pub(super) fn idle_ms(pending: &Pending, now_ms: i64) -> i64 {
    match pending.owner {
        None => -1,
        Some(_) => now_ms.saturating_sub(pending.delivered_ms).max(0),
    }
}

fn xpending(ctx: &mut Ctx<'_>) -> Result {
    let (key, name, now_ms) = (ctx.key(1), ctx.arg(2), ctx.now().unix_ms);
    let filter = Filter::parse(ctx.args)?;
    let missing = || no_group(key.name, name);
    let stream = read(&mut ctx.data, key)?.ok_or_else(missing)?;
    let group = stream.group(name).ok_or_else(missing)?;
    let reply = &mut ctx.reply;
    match filter {
        None => summary(reply, group),
        Some(filter) => list(reply, group, &filter, now_ms),
    }
    Ok(())
}

fn summary(reply: &mut ochre_command::Reply<'_>, group: &Group) {
    let mut all = group.pending_in(StreamId::MIN..=StreamId::MAX).map(|(id, _)| id);
    let first = all.next();
    let last = all.next_back().or(first);
    reply.array(4);
    reply.integer(group.pending_count() as i64);
    let (Some(first), Some(last)) = (first, last) else {
        reply.null();
        reply.null();
        reply.null_array();
        return;
    };
    write_id(reply, first);
    write_id(reply, last);
    let mark = reply.deferred();
    let mut count = 0;
    for (_, consumer) in group.consumers().filter(|(_, c)| c.pending_count() > 0) {
        reply.array(2);
        reply.bulk(consumer.name());
        reply.bulk_i64(consumer.pending_count() as i64);
        count += 1;
    }
    reply.finish_array(mark, count);
}

fn list(reply: &mut ochre_command::Reply<'_>, group: &Group, filter: &Filter<'_>, now_ms: i64) {
    let long_enough = |pending: &Pending| match pending.owner {
        None => true,
        Some(_) => {
            filter.min_idle_ms == 0
                || now_ms.saturating_sub(pending.delivered_ms) >= filter.min_idle_ms
        }
    };
    let mark = reply.deferred();
    let mut count = 0;
    let mut write = |id: StreamId, pending: &Pending| {
        reply.array(4);
        write_id(reply, id);
        reply.bulk(owner_name(group, pending.owner));
        reply.integer(idle_ms(pending, now_ms));
        reply.integer(pending.deliveries);
        count += 1;
    };
    match filter.consumer {
        None => group
            .pending_in(filter.start..=filter.end)
            .filter(|(_, pending)| long_enough(pending))
            .take(filter.count)
            .for_each(|(id, pending)| write(id, pending)),
        Some(name) => {
            let consumer = group.find(name).and_then(|id| group.consumer(id));
            let own = consumer.into_iter().flat_map(|c| c.pending_from(filter.start));
            own.take_while(|id| *id <= filter.end)
                .filter_map(|id| Some((id, group.pending(id)?)))
                .filter(|(_, pending)| long_enough(pending))
                .take(filter.count)
                .for_each(|(id, pending)| write(id, pending));
        }
    }
    reply.finish_array(mark, count);
}
