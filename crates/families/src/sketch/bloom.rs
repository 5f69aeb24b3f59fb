//! BF commands: Bloom filters.
//!
//! A filter is made by BF.RESERVE, or by the first addition with the defaults (rate 0.01, 100 items,
//! expansion 2). Expansion 0 is another way to say NONSCALING. When several items are added and the filter
//! fills up, the reply ends with the error of the first item that found no room, as in both families.
//!
//! Source: documentation of the BF commands of Redis 8.0 and valkey-bloom 1.0, which agree but for BF.INFO:
//! under `compat valkey` it names the rate, the tightening and the furthest capacity, too. BF.INSERT takes
//! Valkey's TIGHTENING and VALIDATESCALETO everywhere; its SEED, which only a filter with another hash
//! could use, is not known.

use ochre_base::compat::Compat;
use ochre_base::num::parse_f64;
use ochre_command::args::{Cursor, int_or, is};
use ochre_command::outcome::{ReplyError, Result, SYNTAX, wrong_arity};
use ochre_command::spec::CommandSpec;
use ochre_command::{Ctx, Key, Reply};
use ochre_types::sketch::bloom::{AddError, Options};
use ochre_types::sketch::{Bloom, TooLarge};

use super::{
    BAD_DATA, CHUNK_BYTES, GROWS, GROWS_FAST, ITEM_EXISTS, KEY_INSERT, KEY_READ, KEY_UPDATE,
    NOT_FOUND, READS, READS_FAST, chunk_start, edit, is_there, iterator, next_step, put, read,
    reply_chunk, row,
};
use ochre_command::data::Class;

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    row("bf.reserve", -4, GROWS_FAST, reserve).keys(KEY_INSERT).docs(
        "1.0.0",
        "Makes an empty Bloom filter for a rate of false positives and a number of items.",
        "O(1)",
        "key error_rate capacity [EXPANSION expansion] [NONSCALING]",
    ),
    row("bf.add", 3, GROWS, add).keys(KEY_INSERT).docs(
        "1.0.0",
        "Adds an item to a Bloom filter, which is made if need be.",
        "O(k), where k is the number of hash functions used by the last sub-filter",
        "key item",
    ),
    row("bf.madd", -3, GROWS, madd).keys(KEY_INSERT).docs(
        "1.0.0",
        "Adds items to a Bloom filter, which is made if need be.",
        "O(k * n), where k is the number of hash functions and n is the number of items",
        "key item [item ...]",
    ),
    row("bf.insert", -4, GROWS, insert).keys(KEY_INSERT).docs(
        "1.0.0",
        "Adds items to a Bloom filter, which is made with these options if need be.",
        "O(k * n), where k is the number of hash functions and n is the number of items",
        "key [CAPACITY capacity] [ERROR error] [EXPANSION expansion] [TIGHTENING tightening] \
         [VALIDATESCALETO items] [NOCREATE] [NONSCALING] ITEMS item [item ...]",
    ),
    row("bf.exists", 3, READS, exists).keys(KEY_READ).docs(
        "1.0.0",
        "Says whether an item was added to a Bloom filter.",
        "O(k), where k is the number of hash functions used by the last sub-filter",
        "key item",
    ),
    row("bf.mexists", -3, READS, mexists).keys(KEY_READ).docs(
        "1.0.0",
        "Says of each item whether it was added to a Bloom filter.",
        "O(k * n), where k is the number of hash functions and n is the number of items",
        "key item [item ...]",
    ),
    row("bf.card", 2, READS_FAST, card).keys(KEY_READ).docs(
        "2.4.4",
        "Counts the different items that were added to a Bloom filter.",
        "O(1)",
        "key",
    ),
    row("bf.info", -2, READS_FAST, info).keys(KEY_READ).docs(
        "1.0.0",
        "Describes a Bloom filter.",
        "O(1)",
        "key [CAPACITY | SIZE | FILTERS | ITEMS | EXPANSION]",
    ),
    row("bf.scandump", 3, READS, scandump).keys(KEY_READ).docs(
        "1.0.0",
        "Gives a Bloom filter piece by piece.",
        "O(n), where n is the capacity",
        "key iterator",
    ),
    row("bf.loadchunk", 4, GROWS, loadchunk).keys(KEY_UPDATE).docs(
        "1.0.0",
        "Puts a piece of a Bloom filter back.",
        "O(n), where n is the capacity",
        "key iterator data",
    ),
];

const BAD_ERROR: ReplyError = ReplyError::fixed("ERR bad error rate");
const ERROR_RANGE: ReplyError = ReplyError::fixed("ERR (0 < error rate range < 1)");
const BAD_CAPACITY: ReplyError = ReplyError::fixed("ERR bad capacity");
const CAPACITY_RANGE: ReplyError = ReplyError::fixed("ERR (capacity should be larger than 0)");
const BAD_EXPANSION: ReplyError = ReplyError::fixed("ERR bad expansion");
const BAD_TIGHTENING: ReplyError = ReplyError::fixed("ERR bad tightening ratio");
const NO_EXPANSION: ReplyError = ReplyError::fixed("ERR Nonscaling filters cannot expand");
const UNKNOWN: ReplyError = ReplyError::fixed("ERR unknown argument received");
const BAD_INFO: ReplyError = ReplyError::fixed("ERR Invalid information value");
const FULL: ReplyError = ReplyError::fixed("ERR non scaling filter is full");
const NO_MEMORY: ReplyError = ReplyError::fixed("ERR Insufficient memory to create filter");
const GROWN_OUT: ReplyError = ReplyError::fixed("ERR operation exceeds bloom object memory limit");
const SCALE_TO: ReplyError =
    ReplyError::fixed("ERR provided VALIDATESCALETO causes bloom object to exceed memory limit");
const SCALE_TO_FIXED: ReplyError =
    ReplyError::fixed("ERR cannot use NONSCALING and VALIDATESCALETO options together");
/// Largest expansion: that of Redis' bf-expansion-factor.
const EXPANSION_MAX: i64 = 32_768;

fn rate(arg: &[u8]) -> Result<f64> {
    let rate = parse_f64(arg).ok_or(BAD_ERROR)?;
    if rate > 0.0 && rate < 1.0 { Ok(rate) } else { Err(ERROR_RANGE) }
}

fn capacity(arg: &[u8]) -> Result<u64> {
    match int_or(arg, BAD_CAPACITY)? {
        n @ 1.. => Ok(n.unsigned_abs()),
        _ => Err(CAPACITY_RANGE),
    }
}

fn expansion(arg: &[u8]) -> Result<u32> {
    let n = int_or(arg, BAD_EXPANSION)?;
    if n > EXPANSION_MAX { Err(BAD_EXPANSION) } else { u32::try_from(n).map_err(|_| BAD_EXPANSION) }
}

/// The expansion that is left when a filter is said not to scale.
fn fixed(given: Option<u32>) -> Result<u32> {
    if given.unwrap_or(0) > 0 { Err(NO_EXPANSION) } else { Ok(0) }
}

fn make(options: Options) -> Result<Bloom> {
    Bloom::new(options).map_err(|TooLarge| NO_MEMORY)
}

fn reserve(ctx: &mut Ctx<'_>) -> Result {
    let error = rate(ctx.arg(2))?;
    let capacity = capacity(ctx.arg(3))?;
    let (mut given, mut scales) = (None, true);
    let mut cursor = Cursor::new(ctx.args, 4);
    while let Some(word) = cursor.take_next() {
        if is(word, "nonscaling") {
            scales = false;
        } else if is(word, "expansion") {
            let arg = cursor.take_next().ok_or(ReplyError::fixed("ERR no expansion"))?;
            given = Some(expansion(arg)?);
        } else {
            return Err(UNKNOWN);
        }
    }
    let expansion =
        if scales { given.unwrap_or(Options::default().expansion) } else { fixed(given)? };
    let key = ctx.key(1);
    if is_there::<Bloom>(&mut ctx.data, key)? {
        return Err(ITEM_EXISTS);
    }
    let bloom = make(Options { error, capacity, expansion, ..Options::default() })?;
    put(&mut ctx.data, key, bloom, "bf.reserve");
    ctx.reply.ok();
    Ok(())
}

type Added = std::result::Result<bool, AddError>;

/// Adds items up to the first that finds no room.
fn add_all(bloom: &mut Bloom, items: &[&[u8]]) -> Vec<Added> {
    let mut results = Vec::with_capacity(items.len());
    for item in items {
        let added = bloom.add(item);
        results.push(added);
        if added.is_err() {
            break;
        }
    }
    results
}

/// Adds items to the filter under a key; `options` make one that is absent.
fn add_to(
    ctx: &mut Ctx<'_>,
    key: Key<'_>,
    options: Option<Options>,
    items: &[&[u8]],
) -> Result<Vec<Added>> {
    let added = edit(&mut ctx.data, key, |bloom: &mut Bloom| Ok(add_all(bloom, items)))?;
    if let Some(added) = added {
        if added.contains(&Ok(true)) {
            ctx.data.changed(key, Class::Module, "bf.add");
        }
        return Ok(added);
    }
    let mut bloom = make(options.ok_or(NOT_FOUND)?)?;
    let added = add_all(&mut bloom, items);
    put(&mut ctx.data, key, bloom, "bf.add");
    Ok(added)
}

fn no_room(error: AddError) -> ReplyError {
    match error {
        AddError::Full => FULL,
        AddError::TooLarge => GROWN_OUT,
    }
}

fn reply_added(reply: &mut Reply<'_>, results: Vec<Added>) {
    reply.array(results.len());
    for added in results {
        match added {
            Ok(added) => reply.boolean(added),
            Err(error) => reply.error(no_room(error).0.as_bytes()),
        }
    }
}

fn add(ctx: &mut Ctx<'_>) -> Result {
    let (key, items) = (ctx.key(1), &ctx.args[2..]);
    for added in add_to(ctx, key, Some(Options::default()), items)? {
        ctx.reply.boolean(added.map_err(no_room)?);
    }
    Ok(())
}

fn madd(ctx: &mut Ctx<'_>) -> Result {
    let (key, items) = (ctx.key(1), &ctx.args[2..]);
    let added = add_to(ctx, key, Some(Options::default()), items)?;
    reply_added(&mut ctx.reply, added);
    Ok(())
}

fn insert(ctx: &mut Ctx<'_>) -> Result {
    let mut options = Options::default();
    let (mut given, mut scale_to) = (None, None);
    let (mut scales, mut creates, mut sized) = (true, true, false);
    let mut cursor = Cursor::new(ctx.args, 2);
    loop {
        let word = cursor.take_next().ok_or_else(|| wrong_arity(ctx.name()))?;
        let mut value = || cursor.take_next().ok_or_else(|| wrong_arity(ctx.name()));
        if is(word, "items") {
            break;
        } else if is(word, "capacity") {
            (options.capacity, sized) = (capacity(value()?)?, true);
        } else if is(word, "error") {
            (options.error, sized) = (rate(value()?)?, true);
        } else if is(word, "expansion") {
            given = Some(expansion(value()?)?);
        } else if is(word, "tightening") {
            let tightening = parse_f64(value()?).filter(|r| *r > 0.0 && *r < 1.0);
            options.tightening = tightening.ok_or(BAD_TIGHTENING)?;
        } else if is(word, "validatescaleto") {
            scale_to = Some(capacity(value()?)?);
        } else if is(word, "nocreate") {
            creates = false;
        } else if is(word, "nonscaling") {
            scales = false;
        } else {
            return Err(UNKNOWN);
        }
    }
    let items = cursor.rest();
    if items.is_empty() {
        return Err(wrong_arity(ctx.name()));
    }
    if !creates && sized {
        return Err(SYNTAX);
    }
    options.expansion = if scales { given.unwrap_or(options.expansion) } else { fixed(given)? };
    if let Some(scale_to) = scale_to {
        check_scale(options, scale_to)?;
    }
    let key = ctx.key(1);
    let added = add_to(ctx, key, creates.then_some(options), items)?;
    reply_added(&mut ctx.reply, added);
    Ok(())
}

/// Whether a filter with these options could hold so many items.
fn check_scale(options: Options, items: u64) -> Result {
    if options.expansion == 0 {
        return Err(SCALE_TO_FIXED);
    }
    if make(options)?.capacity_max() < items { Err(SCALE_TO) } else { Ok(()) }
}

fn exists(ctx: &mut Ctx<'_>) -> Result {
    let (key, item) = (ctx.key(1), ctx.arg(2));
    let bloom: Option<&Bloom> = read(&mut ctx.data, key)?;
    ctx.reply.boolean(bloom.is_some_and(|bloom| bloom.contains(item)));
    Ok(())
}

fn mexists(ctx: &mut Ctx<'_>) -> Result {
    let (key, items) = (ctx.key(1), &ctx.args[2..]);
    let bloom: Option<&Bloom> = read(&mut ctx.data, key)?;
    ctx.reply.array(items.len());
    for item in items {
        ctx.reply.boolean(bloom.is_some_and(|bloom| bloom.contains(item)));
    }
    Ok(())
}

fn card(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(1);
    let bloom: Option<&Bloom> = read(&mut ctx.data, key)?;
    ctx.reply.integer(bloom.map_or(0, |bloom| i64::try_from(bloom.items()).unwrap_or(i64::MAX)));
    Ok(())
}

/// What BF.INFO says of one thing.
enum Fact {
    Count(u64),
    Share(f64),
    Nothing,
}

/// The words that choose a fact, its name in the full answer, and itself; those of Redis first.
fn facts(bloom: &Bloom) -> Vec<(&'static str, &'static str, Fact)> {
    let scales = bloom.expansion() > 0;
    let expansion = if scales { Fact::Count(bloom.expansion().into()) } else { Fact::Nothing };
    let mut facts = vec![
        ("capacity", "Capacity", Fact::Count(bloom.capacity())),
        ("size", "Size", Fact::Count(bloom.size_bytes() as u64)),
        ("filters", "Number of filters", Fact::Count(bloom.filters() as u64)),
        ("items", "Number of items inserted", Fact::Count(bloom.items())),
        ("expansion", "Expansion rate", expansion),
        ("error", "Error rate", Fact::Share(bloom.error())),
    ];
    if scales {
        facts.push(("tightening", "Tightening ratio", Fact::Share(bloom.tightening())));
        let most = Fact::Count(bloom.capacity_max());
        facts.push(("maxscaledcapacity", "Max scaled capacity", most));
    }
    facts
}

fn reply_fact(reply: &mut Reply<'_>, fact: &Fact) {
    match fact {
        Fact::Count(n) => reply.integer(i64::try_from(*n).unwrap_or(i64::MAX)),
        Fact::Share(x) => reply.double(*x),
        Fact::Nothing => reply.null(),
    }
}

fn info(ctx: &mut Ctx<'_>) -> Result {
    if ctx.args.len() > 3 {
        return Err(wrong_arity(ctx.name()));
    }
    let (key, is_valkey) = (ctx.key(1), ctx.data.env.compat == Compat::Valkey9);
    let bloom: &Bloom = read(&mut ctx.data, key)?.ok_or(NOT_FOUND)?;
    let mut facts = facts(bloom);
    if is_valkey {
        // There the rate stands before the expansion.
        facts.swap(4, 5);
    } else {
        facts.truncate(5);
    }
    if let Some(word) = ctx.args.get(2) {
        let (.., fact) = facts.iter().find(|(name, ..)| is(word, name)).ok_or(BAD_INFO)?;
        if !is_valkey {
            ctx.reply.array(1);
        }
        reply_fact(&mut ctx.reply, fact);
        return Ok(());
    }
    ctx.reply.map(facts.len());
    for (_, name, fact) in &facts {
        ctx.reply.status(name);
        reply_fact(&mut ctx.reply, fact);
    }
    Ok(())
}

fn scandump(ctx: &mut Ctx<'_>) -> Result {
    let (key, step) = (ctx.key(1), iterator(ctx)?);
    let bloom: &Bloom = read(&mut ctx.data, key)?.ok_or(NOT_FOUND)?;
    let (next, chunk) = match step {
        0 => (1, bloom.header()),
        _ => {
            let chunk = bloom.chunk(step - 1, CHUNK_BYTES);
            (next_step(step, &chunk), chunk)
        }
    };
    reply_chunk(ctx, next, &chunk);
    Ok(())
}

fn loadchunk(ctx: &mut Ctx<'_>) -> Result {
    let (key, step, chunk) = (ctx.key(1), iterator(ctx)?, ctx.arg(3));
    let there = is_there::<Bloom>(&mut ctx.data, key)?;
    match step {
        0 => return Err(BAD_DATA),
        1 => {
            let bloom = Bloom::from_header(chunk).map_err(|_| BAD_DATA)?;
            put(&mut ctx.data, key, bloom, "bf.loadchunk");
        }
        _ if !there => return Err(NOT_FOUND),
        _ => {
            let start = chunk_start(step, chunk)?;
            edit(&mut ctx.data, key, |bloom: &mut Bloom| {
                bloom.load_chunk(start, chunk).map_err(|_| BAD_DATA)
            })?;
            ctx.data.changed(key, Class::Module, "bf.loadchunk");
        }
    }
    ctx.reply.ok();
    Ok(())
}
