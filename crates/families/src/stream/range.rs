//! Reading entries by their ids: XLEN, XRANGE, XREVRANGE.

use ochre_command::Ctx;
use ochre_command::args::Cursor;
use ochre_command::outcome::{Result, SYNTAX};
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_types::stream::Order;

use super::{READS, interval_end, interval_start, read, write_entry};

const RANGE_COST: &str = "O(N) with N being the number of elements returned. If N is constant (e.g. \
                          always asking for the first 10 elements with COUNT), you can consider it \
                          O(1).";

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("xlen", 2, Flags::READONLY.union(Flags::FAST), Group::Stream, xlen)
        .keys(&[KeySpec::one(1, KeyFlags::RO)])
        .docs("5.0.0", "Counts the entries of a stream.", "O(1)", "key"),
    CommandSpec::new("xrange", -4, Flags::READONLY, Group::Stream, xrange)
        .keys(&[KeySpec::one(1, READS)])
        .docs(
            "5.0.0",
            "Gives the entries of a stream whose ids lie in a range.",
            RANGE_COST,
            "key start end [COUNT count]",
        ),
    CommandSpec::new("xrevrange", -4, Flags::READONLY, Group::Stream, xrevrange)
        .keys(&[KeySpec::one(1, READS)])
        .docs(
            "5.0.0",
            "Gives the entries of a stream whose ids lie in a range, from the highest on.",
            RANGE_COST,
            "key end start [COUNT count]",
        ),
];

fn xlen(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(1);
    let len = read(&mut ctx.data, key)?.map_or(0, |stream| stream.len());
    ctx.reply.integer(len as i64);
    Ok(())
}

fn xrange(ctx: &mut Ctx<'_>) -> Result {
    range(ctx, Order::Ascending)
}

fn xrevrange(ctx: &mut Ctx<'_>) -> Result {
    range(ctx, Order::Descending)
}

fn range(ctx: &mut Ctx<'_>, order: Order) -> Result {
    let key = ctx.key(1);
    let (from, to) = match order {
        Order::Ascending => (ctx.args[2], ctx.args[3]),
        Order::Descending => (ctx.args[3], ctx.args[2]),
    };
    let (start, end) = (interval_start(from)?, interval_end(to)?);
    let mut count = None;
    let mut options = Cursor::new(ctx.args, 4);
    while options.left() > 0 {
        if !options.take("count") {
            return Err(SYNTAX);
        }
        count = Some(options.need_int()?.max(0));
    }
    let Some(stream) = read(&mut ctx.data, key)? else {
        ctx.reply.empty_array();
        return Ok(());
    };
    if count == Some(0) {
        ctx.reply.null_array();
        return Ok(());
    }
    let max = count.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX));
    let mark = ctx.reply.deferred();
    let mut written = 0;
    for entry in stream.range(start, end, order).take(max) {
        write_entry(&mut ctx.reply, &entry);
        written += 1;
    }
    ctx.reply.finish_array(mark, written);
    Ok(())
}
