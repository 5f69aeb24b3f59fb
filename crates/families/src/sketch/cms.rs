//! CMS commands: count-min sketches.
//!
//! A sketch is made by CMS.INITBYDIM or CMS.INITBYPROB only. A counter that would overflow stops at its
//! highest value, and CMS.INCRBY answers an error for that item; CMS.MERGE refuses instead and changes
//! nothing. Source: documentation of the CMS commands of Redis 8.0.

use ochre_base::num::{parse_f64, parse_i64};
use ochre_command::args::{int_or, is};
use ochre_command::data::Class;
use ochre_command::outcome::{ReplyError, Result, wrong_arity};
use ochre_command::spec::CommandSpec;
use ochre_command::{Ctx, Data, Key};
use ochre_types::sketch::cms::{Overflow, dimensions};
use ochre_types::sketch::{Cms, TooLarge};

use super::{
    GROWS, GROWS_FAST, KEY_INSERT, KEY_READ, KEY_UPDATE, KEYS_MERGE, READS_FAST, edit, put, read,
    row, view,
};

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    row("cms.initbydim", 4, GROWS_FAST, init_by_dim).keys(KEY_INSERT).docs(
        "2.0.0",
        "Makes a count-min sketch of a width and depth.",
        "O(1)",
        "key width depth",
    ),
    row("cms.initbyprob", 4, GROWS_FAST, init_by_prob).keys(KEY_INSERT).docs(
        "2.0.0",
        "Makes a count-min sketch for an error and the probability of a larger one.",
        "O(1)",
        "key error probability",
    ),
    row("cms.incrby", -4, GROWS, incrby).keys(KEY_UPDATE).docs(
        "2.0.0",
        "Adds to the counts of items.",
        "O(n) where n is the number of items",
        "key item increment [item increment ...]",
    ),
    row("cms.query", -3, READS_FAST, query).keys(KEY_READ).docs(
        "2.0.0",
        "Estimates the counts of items.",
        "O(n) where n is the number of items",
        "key item [item ...]",
    ),
    row("cms.merge", -4, GROWS, merge).keys(KEYS_MERGE).docs(
        "2.0.0",
        "Stores the weighted sum of count-min sketches in one that is there.",
        "O(n) where n is the number of sketches",
        "destination numkeys source [source ...] [WEIGHTS weight [weight ...]]",
    ),
    row("cms.info", 2, READS_FAST, info).keys(KEY_READ).docs(
        "2.0.0",
        "Describes a count-min sketch.",
        "O(1)",
        "key",
    ),
];

const NO_KEY: ReplyError = ReplyError::fixed("CMS: key does not exist");
const KEY_EXISTS: ReplyError = ReplyError::fixed("CMS: key already exists");
const BAD_WIDTH: ReplyError = ReplyError::fixed("CMS: invalid width");
const BAD_DEPTH: ReplyError = ReplyError::fixed("CMS: invalid depth");
const BAD_ERROR: ReplyError = ReplyError::fixed("CMS: invalid overestimation value");
const BAD_PROBABILITY: ReplyError = ReplyError::fixed("CMS: invalid prob value");
const NO_MEMORY: ReplyError = ReplyError::fixed("CMS: Insufficient memory to create the key");
const BAD_NUMBER: ReplyError = ReplyError::fixed("CMS: Cannot parse number");
const NEGATIVE: ReplyError = ReplyError::fixed("CMS: Number cannot be negative");
const INCR_OVERFLOW: ReplyError = ReplyError::fixed("CMS: INCRBY overflow");
const BAD_NUMKEYS: ReplyError = ReplyError::fixed("CMS: invalid numkeys");
const WRONG_KEYS: ReplyError = ReplyError::fixed("CMS: wrong number of keys");
const WRONG_WEIGHTS: ReplyError = ReplyError::fixed("CMS: wrong number of keys/weights");
const BAD_WEIGHT: ReplyError = ReplyError::fixed("CMS: invalid weight value");
const DIFFERENT: ReplyError = ReplyError::fixed("CMS: width/depth is not equal");
const MERGE_OVERFLOW: ReplyError = ReplyError::fixed("CMS: MERGE overflow");

fn make(ctx: &mut Ctx<'_>, width: u64, depth: u64) -> Result {
    let key = ctx.key(1);
    if ctx.data.find(key).is_some() {
        return Err(KEY_EXISTS);
    }
    let cms = Cms::new(width, depth).map_err(|TooLarge| NO_MEMORY)?;
    put(&mut ctx.data, key, cms, "cms.init");
    ctx.reply.ok();
    Ok(())
}

fn init_by_dim(ctx: &mut Ctx<'_>) -> Result {
    let size = |arg, error: ReplyError| match parse_i64(arg) {
        Some(n @ 1..) => Ok(n.unsigned_abs()),
        _ => Err(error),
    };
    let (width, depth) = (size(ctx.arg(2), BAD_WIDTH)?, size(ctx.arg(3), BAD_DEPTH)?);
    make(ctx, width, depth)
}

fn init_by_prob(ctx: &mut Ctx<'_>) -> Result {
    let share = |arg, error| parse_f64(arg).filter(|x| *x > 0.0 && *x < 1.0).ok_or(error);
    let error = share(ctx.arg(2), BAD_ERROR)?;
    let (width, depth) = dimensions(error, share(ctx.arg(3), BAD_PROBABILITY)?);
    make(ctx, width, depth)
}

fn incrby(ctx: &mut Ctx<'_>) -> Result {
    let (pairs, rest) = ctx.args[2..].as_chunks::<2>();
    if !rest.is_empty() {
        return Err(wrong_arity(ctx.name()));
    }
    let mut increments = Vec::with_capacity(pairs.len());
    for [item, by] in pairs {
        let by = int_or(by, BAD_NUMBER)?;
        increments.push((*item, u64::try_from(by).map_err(|_| NEGATIVE)?));
    }
    let key = ctx.key(1);
    let counts = edit(&mut ctx.data, key, |cms: &mut Cms| {
        Ok(increments.iter().map(|(item, by)| cms.add(item, *by)).collect::<Vec<_>>())
    })?;
    let counts = counts.ok_or(NO_KEY)?;
    ctx.data.changed(key, Class::Module, "cms.incrby");
    ctx.reply.array(counts.len());
    for count in counts {
        match count {
            Ok(count) => ctx.reply.integer(count.into()),
            Err(Overflow) => ctx.reply.error(INCR_OVERFLOW.0.as_bytes()),
        }
    }
    Ok(())
}

fn query(ctx: &mut Ctx<'_>) -> Result {
    let (key, items) = (ctx.key(1), &ctx.args[2..]);
    let cms: &Cms = read(&mut ctx.data, key)?.ok_or(NO_KEY)?;
    ctx.reply.array(items.len());
    items.iter().for_each(|item| ctx.reply.integer(cms.count(item).into()));
    Ok(())
}

/// The sources of CMS.MERGE and their weights.
fn sources<'a>(args: &[&'a [u8]]) -> Result<Vec<(&'a [u8], i64)>> {
    let count = usize::try_from(int_or(args[2], BAD_NUMKEYS)?).map_err(|_| BAD_NUMKEYS)?;
    let rest = &args[3..];
    let has_weights = rest.iter().skip(count).any(|arg| is(arg, "weights"));
    if !has_weights {
        // None at all is a wrong number, too.
        if rest.len() != count {
            return Err(WRONG_KEYS);
        }
        return Ok(rest.iter().map(|name| (*name, 1)).collect());
    }
    // A position in `rest`, which ends behind it: no overflow.
    let fits = count > 0 && rest.len() == 2 * count + 1 && is(rest[count], "weights");
    if !fits {
        return Err(WRONG_WEIGHTS);
    }
    let weights = rest[count + 1..].iter().map(|weight| int_or(weight, BAD_WEIGHT));
    rest[..count].iter().zip(weights).map(|(name, weight)| Ok((*name, weight?))).collect()
}

fn merge(ctx: &mut Ctx<'_>) -> Result {
    let sources = sources(ctx.args)?;
    let to = ctx.key(1);
    let keys: Vec<(Key<'_>, i64)> =
        sources.into_iter().map(|(name, weight)| (ctx.data.key(name), weight)).collect();
    ctx.data.look(to);
    for (key, _) in &keys {
        ctx.data.look(*key);
    }
    let merged = merged(&ctx.data, to, &keys)?;
    put(&mut ctx.data, to, merged, "cms.merge");
    ctx.reply.ok();
    Ok(())
}

fn merged(data: &Data<'_>, to: Key<'_>, keys: &[(Key<'_>, i64)]) -> Result<Cms> {
    let target: &Cms = view(data, to)?.ok_or(NO_KEY)?;
    // With weight zero, for its dimensions alone.
    let mut all = vec![(target, 0)];
    for (key, weight) in keys {
        all.push((view(data, *key)?.ok_or(NO_KEY)?, *weight));
    }
    Cms::merged(&all).ok_or(DIFFERENT)?.map_err(|Overflow| MERGE_OVERFLOW)
}

fn info(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(1);
    let cms: &Cms = read(&mut ctx.data, key)?.ok_or(NO_KEY)?;
    let facts = [("width", cms.width()), ("depth", cms.depth()), ("count", cms.total())];
    ctx.reply.map(facts.len());
    for (name, fact) in facts {
        ctx.reply.status(name);
        ctx.reply.integer(i64::try_from(fact).unwrap_or(i64::MAX));
    }
    Ok(())
}
