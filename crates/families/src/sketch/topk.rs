//! TOPK commands: the most frequent items.
//!
//! A sketch is made by TOPK.RESERVE only. Whether a count decays is drawn from a generator inside the
//! value, so that the log can carry the commands as they are.
//!
//! Source: documentation of the TOPK commands of Redis 8.0.

use ochre_base::num::{parse_f64, parse_i64};
use ochre_command::args::is;
use ochre_command::data::Class;
use ochre_command::outcome::{ReplyError, Result, wrong_arity};
use ochre_command::spec::CommandSpec;
use ochre_command::{Ctx, Key};
use ochre_types::sketch::{TooLarge, TopK};

use super::{
    GROWS, GROWS_FAST, KEY_INSERT, KEY_READ, KEY_UPDATE, READS, READS_FAST, edit, put, read, row,
};

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    row("topk.reserve", -3, GROWS_FAST, reserve).keys(KEY_INSERT).docs(
        "2.0.0",
        "Makes a sketch of the k most frequent items.",
        "O(1)",
        "key topk [width depth decay]",
    ),
    row("topk.add", -3, GROWS, add).keys(KEY_UPDATE).docs(
        "2.0.0",
        "Counts items once each, and tells which left the list for them.",
        "O(n * k) where n is the number of items and k is the depth",
        "key item [item ...]",
    ),
    row("topk.incrby", -4, GROWS, incrby).keys(KEY_UPDATE).docs(
        "2.0.0",
        "Adds to the counts of items, and tells which left the list for them.",
        "O(n * k * incr) where n is the number of items, k is the depth and incr is the increment",
        "key item increment [item increment ...]",
    ),
    row("topk.query", -3, READS_FAST, query).keys(KEY_READ).docs(
        "2.0.0",
        "Says of each item whether it is one of the k.",
        "O(n) where n is the number of items",
        "key item [item ...]",
    ),
    row("topk.count", -3, READS_FAST, count)
        .keys(KEY_READ)
        .docs(
            "2.0.0",
            "Estimates the counts of items.",
            "O(n) where n is the number of items",
            "key item [item ...]",
        )
        .deprecated("2.4.0", "TOPK.LIST WITHCOUNT"),
    row("topk.list", -2, READS, list).keys(KEY_READ).docs(
        "2.0.0",
        "Lists the k most frequent items.",
        "O(k*log(k)) where k is the value of top-k",
        "key [WITHCOUNT]",
    ),
    row("topk.info", 2, READS_FAST, info).keys(KEY_READ).docs(
        "2.0.0",
        "Describes a sketch of the most frequent items.",
        "O(1)",
        "key",
    ),
];

const NO_KEY: ReplyError = ReplyError::fixed("TopK: key does not exist");
const KEY_EXISTS: ReplyError = ReplyError::fixed("TopK: key already exists");
const BAD_K: ReplyError = ReplyError::fixed("TopK: invalid k");
const BAD_WIDTH: ReplyError = ReplyError::fixed("TopK: invalid width");
const BAD_DEPTH: ReplyError = ReplyError::fixed("TopK: invalid depth");
const BAD_DECAY: ReplyError =
    ReplyError::fixed("TopK: invalid decay value. must be '<= 1' & '> 0'");
const NO_MEMORY: ReplyError =
    ReplyError::fixed("ERR Insufficient memory to create topk data structure");
const BAD_INCREMENT: ReplyError = ReplyError::fixed(
    "TopK: increment must be an integer greater or equal to 1 and smaller or equal to 100000",
);
const BAD_OPTION: ReplyError = ReplyError::fixed("WITHCOUNT keyword expected");

/// Width, depth and decay when they are not given.
const DEFAULTS: (u32, u32, f64) = (8, 7, 0.9);
/// Largest increment: each unit may cost a random number in each row.
const INCREMENT_MAX: u32 = 100_000;

/// A number of at least 1 that fits 32 bits.
fn size(arg: &[u8], error: ReplyError) -> Result<u32> {
    parse_i64(arg).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0).ok_or(error)
}

fn reserve(ctx: &mut Ctx<'_>) -> Result {
    if !matches!(ctx.args.len(), 3 | 6) {
        return Err(wrong_arity(ctx.name()));
    }
    let key = ctx.key(1);
    if ctx.data.find(key).is_some() {
        return Err(KEY_EXISTS);
    }
    let k = size(ctx.arg(2), BAD_K)?;
    let (mut width, mut depth, mut decay) = DEFAULTS;
    if let [_, _, _, given_width, given_depth, given_decay] = ctx.args {
        (width, depth) = (size(given_width, BAD_WIDTH)?, size(given_depth, BAD_DEPTH)?);
        decay = parse_f64(given_decay).filter(|x| *x > 0.0 && *x <= 1.0).ok_or(BAD_DECAY)?;
    }
    let topk = TopK::new(k, width, depth, decay).map_err(|TooLarge| NO_MEMORY)?;
    put(&mut ctx.data, key, topk, "topk.reserve");
    ctx.reply.ok();
    Ok(())
}

/// Counts items, and answers for each which one left the list.
fn raise<'i>(
    ctx: &mut Ctx<'_>,
    key: Key<'_>,
    items: impl Iterator<Item = (&'i [u8], u32)>,
) -> Result {
    let left = edit(&mut ctx.data, key, |topk: &mut TopK| {
        Ok(items.map(|(item, by)| topk.add(item, by)).collect::<Vec<_>>())
    })?;
    let left = left.ok_or(NO_KEY)?;
    ctx.data.changed(key, Class::Module, "topk.add");
    ctx.reply.array(left.len());
    for item in left {
        match item {
            Some(item) => ctx.reply.bulk(item),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

fn add(ctx: &mut Ctx<'_>) -> Result {
    let (key, items) = (ctx.key(1), &ctx.args[2..]);
    raise(ctx, key, items.iter().map(|item| (*item, 1)))
}

fn incrby(ctx: &mut Ctx<'_>) -> Result {
    let (pairs, rest) = ctx.args[2..].as_chunks::<2>();
    if !rest.is_empty() {
        return Err(wrong_arity(ctx.name()));
    }
    let mut increments = Vec::with_capacity(pairs.len());
    for [item, by] in pairs {
        let by = size(by, BAD_INCREMENT)?;
        if by > INCREMENT_MAX {
            return Err(BAD_INCREMENT);
        }
        increments.push((*item, by));
    }
    let key = ctx.key(1);
    raise(ctx, key, increments.into_iter())
}

fn query(ctx: &mut Ctx<'_>) -> Result {
    let (key, items) = (ctx.key(1), &ctx.args[2..]);
    let topk: &TopK = read(&mut ctx.data, key)?.ok_or(NO_KEY)?;
    ctx.reply.array(items.len());
    items.iter().for_each(|item| ctx.reply.boolean(topk.contains(item)));
    Ok(())
}

fn count(ctx: &mut Ctx<'_>) -> Result {
    let (key, items) = (ctx.key(1), &ctx.args[2..]);
    let topk: &TopK = read(&mut ctx.data, key)?.ok_or(NO_KEY)?;
    ctx.reply.array(items.len());
    items.iter().for_each(|item| ctx.reply.integer(topk.count(item).into()));
    Ok(())
}

fn list(ctx: &mut Ctx<'_>) -> Result {
    let with_count = match ctx.args {
        [_, _] => false,
        [_, _, word] if is(word, "withcount") => true,
        [_, _, _] => return Err(BAD_OPTION),
        _ => return Err(wrong_arity(ctx.name())),
    };
    let key = ctx.key(1);
    let topk: &TopK = read(&mut ctx.data, key)?.ok_or(NO_KEY)?;
    let list = topk.list();
    ctx.reply.array(if with_count { 2 * list.len() } else { list.len() });
    for (item, count) in list {
        ctx.reply.bulk(item);
        if with_count {
            ctx.reply.integer(count.into());
        }
    }
    Ok(())
}

fn info(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(1);
    let topk: &TopK = read(&mut ctx.data, key)?.ok_or(NO_KEY)?;
    let facts = [("k", topk.k()), ("width", topk.width()), ("depth", topk.depth())];
    ctx.reply.map(facts.len() + 1);
    for (name, fact) in facts {
        ctx.reply.status(name);
        ctx.reply.integer(fact.into());
    }
    ctx.reply.status("decay");
    ctx.reply.double(topk.decay());
    Ok(())
}
