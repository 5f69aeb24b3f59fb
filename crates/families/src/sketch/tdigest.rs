//! TDIGEST commands: quantiles of a stream of numbers.
//!
//! A digest is made by TDIGEST.CREATE, or by TDIGEST.MERGE, whose result has the compression that is given,
//! else that of the destination it adds to, else the highest of the sources. Questions change nothing.
//!
//! Source: documentation of the TDIGEST commands of Redis 8.0.

use ochre_base::num::{parse_f64, parse_i64};
use ochre_command::args::{Cursor, int_or};
use ochre_command::data::Class;
use ochre_command::outcome::{ReplyError, Result, wrong_arity};
use ochre_command::spec::{CommandSpec, Flags};
use ochre_command::{Ctx, Data, Key};
use ochre_types::sketch::tdigest::Sorted;
use ochre_types::sketch::{TDigest, TooLarge};

use super::{
    GROWS, GROWS_FAST, KEY_DELETE, KEY_INSERT, KEY_READ, KEY_UPDATE, KEYS_MERGE, READS, READS_FAST,
    edit, put, read, row, view,
};

const PER_NUMBER: &str = "O(N) where N is the number of values specified.";

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    row("tdigest.create", -2, GROWS_FAST, create).keys(KEY_INSERT).docs(
        "2.4.0",
        "Makes an empty t-digest.",
        "O(1)",
        "key [COMPRESSION compression]",
    ),
    row("tdigest.add", -3, GROWS, add).keys(KEY_UPDATE).docs(
        "2.4.0",
        "Adds numbers to a t-digest.",
        "O(N) where N is the number of samples to add",
        "key value [value ...]",
    ),
    row("tdigest.merge", -4, GROWS, merge).keys(KEYS_MERGE).docs(
        "2.4.0",
        "Merges t-digests into one, which is made if need be.",
        "O(N*K), where N is the number of centroids and K being the number of input sketches",
        "destination numkeys source [source ...] [COMPRESSION compression] [OVERRIDE]",
    ),
    row("tdigest.reset", 2, Flags::WRITE.union(Flags::FAST), reset).keys(KEY_DELETE).docs(
        "2.4.0",
        "Makes a t-digest empty.",
        "O(1)",
        "key",
    ),
    row("tdigest.quantile", -3, READS, quantile).keys(KEY_READ).docs(
        "2.4.0",
        "Estimates the numbers below which these shares of all numbers lie.",
        "O(N) where N is the number of quantiles specified.",
        "key quantile [quantile ...]",
    ),
    row("tdigest.cdf", -3, READS, cdf).keys(KEY_READ).docs(
        "2.4.0",
        "Estimates which share of all numbers lies below each of these.",
        PER_NUMBER,
        "key value [value ...]",
    ),
    row("tdigest.rank", -3, READS, rank).keys(KEY_READ).docs(
        "2.4.0",
        "Estimates how many numbers lie below each of these.",
        PER_NUMBER,
        "key value [value ...]",
    ),
    row("tdigest.revrank", -3, READS, revrank).keys(KEY_READ).docs(
        "2.4.0",
        "Estimates how many numbers lie above each of these.",
        PER_NUMBER,
        "key value [value ...]",
    ),
    row("tdigest.byrank", -3, READS, byrank).keys(KEY_READ).docs(
        "2.4.0",
        "Estimates the numbers with these ranks, the lowest having rank 0.",
        "O(N) where N is the number of ranks specified.",
        "key rank [rank ...]",
    ),
    row("tdigest.byrevrank", -3, READS, byrevrank).keys(KEY_READ).docs(
        "2.4.0",
        "Estimates the numbers with these ranks, the highest having rank 0.",
        "O(N) where N is the number of reverse ranks specified.",
        "key rank [rank ...]",
    ),
    row("tdigest.min", 2, READS_FAST, min).keys(KEY_READ).docs(
        "2.4.0",
        "Gives the lowest number that a t-digest has seen.",
        "O(1)",
        "key",
    ),
    row("tdigest.max", 2, READS_FAST, max).keys(KEY_READ).docs(
        "2.4.0",
        "Gives the highest number that a t-digest has seen.",
        "O(1)",
        "key",
    ),
    row("tdigest.trimmed_mean", 4, READS, trimmed_mean).keys(KEY_READ).docs(
        "2.4.0",
        "Estimates the mean of the numbers between two quantiles.",
        "O(N) where N is the number of centroids",
        "key low_cut_quantile high_cut_quantile",
    ),
    row("tdigest.info", 2, READS_FAST, info).keys(KEY_READ).docs(
        "2.4.0",
        "Describes a t-digest.",
        "O(1)",
        "key",
    ),
];

const NO_KEY: ReplyError = ReplyError::fixed("ERR T-Digest: key does not exist");
const KEY_EXISTS: ReplyError = ReplyError::fixed("ERR T-Digest: key already exists");
const WRONG_WORD: ReplyError = ReplyError::fixed("ERR T-Digest: wrong keyword");
const BAD_COMPRESSION: ReplyError =
    ReplyError::fixed("ERR T-Digest: error parsing compression parameter");
const LOW_COMPRESSION: ReplyError =
    ReplyError::fixed("ERR T-Digest: compression parameter needs to be a positive integer");
const NO_MEMORY: ReplyError = ReplyError::fixed("ERR T-Digest: allocation failed");
const TOO_MANY: ReplyError = ReplyError::fixed("ERR T-Digest: overflow detected");
const BAD_VAL: ReplyError = ReplyError::fixed("ERR T-Digest: error parsing val parameter");
const BAD_NUMKEYS: ReplyError = ReplyError::fixed("ERR T-Digest: error parsing numkeys");
const LOW_NUMKEYS: ReplyError =
    ReplyError::fixed("ERR T-Digest: numkeys needs to be a positive integer");
const BAD_QUANTILE: ReplyError = ReplyError::fixed("ERR T-Digest: error parsing quantile");
const QUANTILE_RANGE: ReplyError = ReplyError::fixed("ERR T-Digest: quantile should be in [0,1]");
const BAD_CDF: ReplyError = ReplyError::fixed("ERR T-Digest: error parsing cdf");
const BAD_VALUE: ReplyError = ReplyError::fixed("ERR T-Digest: error parsing value");
const BAD_RANK: ReplyError = ReplyError::fixed("ERR T-Digest: error parsing rank");
const LOW_RANK: ReplyError = ReplyError::fixed("ERR T-Digest: rank needs to be non negative");
const BAD_LOW: ReplyError = ReplyError::fixed("ERR T-Digest: error parsing low_cut_percentile");
const BAD_HIGH: ReplyError = ReplyError::fixed("ERR T-Digest: error parsing high_cut_percentile");
const CUT_RANGE: ReplyError = ReplyError::fixed(
    "ERR T-Digest: low_cut_percentile and high_cut_percentile should be in [0,1]",
);
const CUT_ORDER: ReplyError =
    ReplyError::fixed("ERR T-Digest: low_cut_percentile should be lower than high_cut_percentile");

/// The compression when none is given.
const COMPRESSION: u64 = 100;

fn compression(arg: &[u8]) -> Result<u64> {
    match int_or(arg, BAD_COMPRESSION)? {
        n @ 1.. => Ok(n.unsigned_abs()),
        _ => Err(LOW_COMPRESSION),
    }
}

fn create(ctx: &mut Ctx<'_>) -> Result {
    let mut given = COMPRESSION;
    let mut cursor = Cursor::new(ctx.args, 2);
    match cursor.left() {
        0 => {}
        2 if cursor.take("compression") => given = compression(cursor.need()?)?,
        2 => return Err(WRONG_WORD),
        _ => return Err(wrong_arity(ctx.name())),
    }
    let key = ctx.key(1);
    if ctx.data.find(key).is_some() {
        return Err(KEY_EXISTS);
    }
    let digest = TDigest::new(given).map_err(|TooLarge| NO_MEMORY)?;
    put(&mut ctx.data, key, digest, "tdigest.create");
    ctx.reply.ok();
    Ok(())
}

fn add(ctx: &mut Ctx<'_>) -> Result {
    let finite = |arg: &&[u8]| parse_f64(arg).filter(|x| x.is_finite()).ok_or(BAD_VAL);
    let numbers: Vec<f64> = ctx.args[2..].iter().map(finite).collect::<Result<_>>()?;
    let key = ctx.key(1);
    let added = edit(&mut ctx.data, key, |digest: &mut TDigest| {
        numbers.iter().for_each(|number| digest.add(*number));
        Ok(())
    })?;
    added.ok_or(NO_KEY)?;
    ctx.data.changed(key, Class::Module, "tdigest.add");
    ctx.reply.ok();
    Ok(())
}

fn reset(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(1);
    let done = edit(&mut ctx.data, key, |digest: &mut TDigest| {
        digest.reset();
        Ok(())
    })?;
    done.ok_or(NO_KEY)?;
    ctx.data.changed(key, Class::Module, "tdigest.reset");
    ctx.reply.ok();
    Ok(())
}

fn merge(ctx: &mut Ctx<'_>) -> Result {
    let count = int_or(ctx.arg(2), BAD_NUMKEYS)?;
    let count = usize::try_from(count).ok().filter(|n| *n > 0).ok_or(LOW_NUMKEYS)?;
    let mut cursor = Cursor::new(ctx.args, 3);
    let names = cursor.take_slice(count).map_err(|_| wrong_arity(ctx.name()))?;
    let (mut given, mut replaces) = (None, false);
    while cursor.left() > 0 {
        if cursor.take("override") {
            replaces = true;
        } else if cursor.take("compression") {
            let arg = cursor.take_next().ok_or_else(|| wrong_arity(ctx.name()))?;
            given = Some(compression(arg)?);
        } else {
            return Err(WRONG_WORD);
        }
    }
    let to = ctx.key(1);
    let keys: Vec<Key<'_>> = names.iter().map(|name| ctx.data.key(name)).collect();
    ctx.data.look(to);
    for key in &keys {
        ctx.data.look(*key);
    }
    let merged = merged(&ctx.data, to, &keys, given, replaces)?;
    put(&mut ctx.data, to, merged, "tdigest.merge");
    ctx.reply.ok();
    Ok(())
}

fn merged(
    data: &Data<'_>,
    to: Key<'_>,
    keys: &[Key<'_>],
    given: Option<u64>,
    replaces: bool,
) -> Result<TDigest> {
    // Even one that is replaced has to be a digest.
    let target = view::<TDigest>(data, to)?.filter(|_| !replaces);
    let mut all: Vec<&TDigest> = target.into_iter().collect();
    for key in keys {
        all.push(view(data, *key)?.ok_or(NO_KEY)?);
    }
    let compression = given.or(target.map(TDigest::compression)).unwrap_or_else(|| {
        all.iter().map(|digest| digest.compression()).max().unwrap_or(COMPRESSION)
    });
    // The one thing that can be too large besides the number of nodes is the number of numbers.
    TDigest::new(compression).map_err(|TooLarge| NO_MEMORY)?;
    TDigest::merged(compression, &all).map_err(|TooLarge| TOO_MANY)
}

/// Asks a digest one question for each argument; `parse` reads one, `ask` answers it.
fn ask_each<T>(
    ctx: &mut Ctx<'_>,
    parse: impl Fn(&[u8]) -> Result<T>,
    answer: impl Fn(&mut Ctx<'_>, &Sorted, T),
) -> Result {
    let asked = ctx.args[2..].iter().map(|arg| parse(arg)).collect::<Result<Vec<T>>>()?;
    let key = ctx.key(1);
    let digest: &TDigest = read(&mut ctx.data, key)?.ok_or(NO_KEY)?;
    let sorted = digest.sorted();
    ctx.reply.array(asked.len());
    asked.into_iter().for_each(|one| answer(ctx, &sorted, one));
    Ok(())
}

/// What there is no answer for is not a number.
fn known(answer: Option<f64>) -> f64 {
    answer.unwrap_or(f64::NAN)
}

fn quantile(ctx: &mut Ctx<'_>) -> Result {
    let share = |arg: &[u8]| {
        let q = parse_f64(arg).ok_or(BAD_QUANTILE)?;
        if (0.0..=1.0).contains(&q) { Ok(q) } else { Err(QUANTILE_RANGE) }
    };
    ask_each(ctx, share, |ctx, sorted, q| ctx.reply.double(known(sorted.quantile(q))))
}

fn number(arg: &[u8], error: ReplyError) -> Result<f64> {
    parse_f64(arg).ok_or(error)
}

fn cdf(ctx: &mut Ctx<'_>) -> Result {
    let parse = |arg: &[u8]| number(arg, BAD_CDF);
    ask_each(ctx, parse, |ctx, sorted, x| ctx.reply.double(known(sorted.cdf(x))))
}

fn rank(ctx: &mut Ctx<'_>) -> Result {
    let parse = |arg: &[u8]| number(arg, BAD_VALUE);
    ask_each(ctx, parse, |ctx, sorted, x| ctx.reply.integer(sorted.rank(x)))
}

fn revrank(ctx: &mut Ctx<'_>) -> Result {
    let parse = |arg: &[u8]| number(arg, BAD_VALUE);
    ask_each(ctx, parse, |ctx, sorted, x| ctx.reply.integer(sorted.reverse_rank(x)))
}

fn a_rank(arg: &[u8]) -> Result<u64> {
    let rank = parse_i64(arg).ok_or(BAD_RANK)?;
    u64::try_from(rank).map_err(|_| LOW_RANK)
}

fn byrank(ctx: &mut Ctx<'_>) -> Result {
    ask_each(ctx, a_rank, |ctx, sorted, rank| ctx.reply.double(known(sorted.by_rank(rank))))
}

fn byrevrank(ctx: &mut Ctx<'_>) -> Result {
    ask_each(ctx, a_rank, |ctx, sorted, rank| {
        ctx.reply.double(known(sorted.by_reverse_rank(rank)));
    })
}

fn min(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(1);
    let digest: &TDigest = read(&mut ctx.data, key)?.ok_or(NO_KEY)?;
    ctx.reply.double(known(digest.min()));
    Ok(())
}

fn max(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(1);
    let digest: &TDigest = read(&mut ctx.data, key)?.ok_or(NO_KEY)?;
    ctx.reply.double(known(digest.max()));
    Ok(())
}

fn trimmed_mean(ctx: &mut Ctx<'_>) -> Result {
    let (low, high) = (number(ctx.arg(2), BAD_LOW)?, number(ctx.arg(3), BAD_HIGH)?);
    let range = 0.0..=1.0;
    if !range.contains(&low) || !range.contains(&high) {
        return Err(CUT_RANGE);
    }
    if low >= high {
        return Err(CUT_ORDER);
    }
    let key = ctx.key(1);
    let digest: &TDigest = read(&mut ctx.data, key)?.ok_or(NO_KEY)?;
    ctx.reply.double(known(digest.sorted().trimmed_mean(low, high)));
    Ok(())
}

fn info(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(1);
    let digest: &TDigest = read(&mut ctx.data, key)?.ok_or(NO_KEY)?;
    let facts = [
        ("Compression", digest.compression()),
        ("Capacity", digest.capacity() as u64),
        ("Merged nodes", digest.merged_nodes() as u64),
        ("Unmerged nodes", digest.unmerged_nodes() as u64),
        ("Merged weight", digest.merged_weight()),
        ("Unmerged weight", digest.unmerged_nodes() as u64),
        ("Observations", digest.count()),
        ("Total compressions", digest.compressions()),
        ("Memory usage", digest.size_bytes() as u64),
    ];
    ctx.reply.map(facts.len());
    for (name, fact) in facts {
        ctx.reply.status(name);
        ctx.reply.integer(i64::try_from(fact).unwrap_or(i64::MAX));
    }
    Ok(())
}
