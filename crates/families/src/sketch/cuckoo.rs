//! CF commands: cuckoo filters.
//!
//! A filter is made by CF.RESERVE, or by the first addition with the defaults (1024 items, buckets of 2,
//! 20 moves, further tables of the same size). Adding an item that is there adds it once more, but for
//! CF.ADDNX and CF.INSERTNX.
//!
//! Source: documentation of the CF commands of Redis 8.0. In RESP3, CF.INSERT answers truth values and
//! CF.INSERTNX integers, since only the latter tells three cases apart; -1 stands for no room in both.

use ochre_command::args::{Cursor, int_or, is};
use ochre_command::data::Class;
use ochre_command::outcome::{ReplyError, Result, SYNTAX, wrong_arity};
use ochre_command::spec::{CommandSpec, Flags};
use ochre_command::{Ctx, Key};
use ochre_types::sketch::cuckoo::{AddError, Options};
use ochre_types::sketch::{Cuckoo, TooLarge};

use super::{
    BAD_DATA, CHUNK_BYTES, GROWS, GROWS_FAST, ITEM_EXISTS, KEY_DELETE, KEY_INSERT, KEY_READ,
    KEY_UPDATE, NOT_FOUND, READS, READS_FAST, chunk_start, edit, is_there, iterator, next_step,
    put, read, reply_chunk, row,
};

const ADD_COMPLEXITY: &str =
    "O(k + i), where k is the number of sub-filters and i is maxIterations";
const INSERT_COMPLEXITY: &str = "O(n * (k + i)), where n is the number of items, k is the number \
                                 of sub-filters and i is maxIterations";
const INSERT_SYNTAX: &str = "key [CAPACITY capacity] [NOCREATE] ITEMS item [item ...]";

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    row("cf.reserve", -3, GROWS_FAST, reserve).keys(KEY_INSERT).docs(
        "1.0.0",
        "Makes an empty cuckoo filter for a number of items.",
        "O(1)",
        "key capacity [BUCKETSIZE bucketsize] [MAXITERATIONS maxiterations] [EXPANSION expansion]",
    ),
    row("cf.add", 3, GROWS, add).keys(KEY_INSERT).docs(
        "1.0.0",
        "Adds an item to a cuckoo filter, which is made if need be.",
        ADD_COMPLEXITY,
        "key item",
    ),
    row("cf.addnx", 3, GROWS, addnx).keys(KEY_INSERT).docs(
        "1.0.0",
        "Adds an item to a cuckoo filter unless it is there.",
        ADD_COMPLEXITY,
        "key item",
    ),
    row("cf.insert", -4, GROWS, insert).keys(KEY_INSERT).docs(
        "1.0.0",
        "Adds items to a cuckoo filter, which is made with this capacity if need be.",
        INSERT_COMPLEXITY,
        INSERT_SYNTAX,
    ),
    row("cf.insertnx", -4, GROWS, insertnx).keys(KEY_INSERT).docs(
        "1.0.0",
        "Adds those of the items that a cuckoo filter does not hold.",
        INSERT_COMPLEXITY,
        INSERT_SYNTAX,
    ),
    row("cf.exists", 3, READS, exists).keys(KEY_READ).docs(
        "1.0.0",
        "Says whether an item is in a cuckoo filter.",
        "O(k), where k is the number of sub-filters",
        "key item",
    ),
    row("cf.mexists", -3, READS, mexists).keys(KEY_READ).docs(
        "1.0.0",
        "Says of each item whether it is in a cuckoo filter.",
        "O(k * n), where k is the number of sub-filters and n is the number of items",
        "key item [item ...]",
    ),
    row("cf.del", 3, Flags::WRITE.union(Flags::FAST), del).keys(KEY_DELETE).docs(
        "1.0.0",
        "Removes an item from a cuckoo filter once.",
        "O(k), where k is the number of sub-filters",
        "key item",
    ),
    row("cf.count", 3, READS_FAST, count).keys(KEY_READ).docs(
        "1.0.0",
        "Tells how often an item may have been added to a cuckoo filter.",
        "O(k), where k is the number of sub-filters",
        "key item",
    ),
    row("cf.info", 2, READS_FAST, info).keys(KEY_READ).docs(
        "1.0.0",
        "Describes a cuckoo filter.",
        "O(1)",
        "key",
    ),
    row("cf.scandump", 3, READS, scandump).keys(KEY_READ).docs(
        "1.0.0",
        "Gives a cuckoo filter piece by piece.",
        "O(n), where n is the capacity",
        "key iterator",
    ),
    row("cf.loadchunk", 4, GROWS, loadchunk).keys(KEY_UPDATE).docs(
        "1.0.0",
        "Puts a piece of a cuckoo filter back.",
        "O(n), where n is the capacity",
        "key iterator data",
    ),
];

const BAD_CAPACITY: ReplyError = ReplyError::fixed("Bad capacity");
const LOW_CAPACITY: ReplyError = ReplyError::fixed("Capacity must be at least (BucketSize * 2)");
const BAD_BUCKET: ReplyError =
    ReplyError::fixed("BUCKETSIZE: value must be an integer between 1 and 255, inclusive.");
const BAD_ITERATIONS: ReplyError =
    ReplyError::fixed("MAXITERATIONS: value must be an integer between 1 and 65535, inclusive.");
const BAD_EXPANSION: ReplyError =
    ReplyError::fixed("EXPANSION: value must be an integer between 0 and 32768, inclusive.");
const UNKNOWN: ReplyError = ReplyError::fixed("ERR unknown argument received");
const NO_MEMORY: ReplyError = ReplyError::fixed("Could not create filter");
const FULL: ReplyError = ReplyError::fixed("Filter is full");
const GROWN_OUT: ReplyError = ReplyError::fixed("Maximum expansions reached");
const NOTHING_TO_DELETE: ReplyError = ReplyError::fixed("Not found");

/// Whether an item that is there is added once more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Repeat {
    Again,
    Never,
}

/// An option's number, from `min` to `max`.
fn within(arg: Option<&[u8]>, min: i64, max: u16, error: ReplyError) -> Result<u16> {
    let n = int_or(arg.unwrap_or_default(), error.clone())?;
    let fits = n >= min && n <= i64::from(max);
    fits.then_some(n as u16).ok_or(error)
}

fn capacity(arg: &[u8]) -> Result<u64> {
    let n = int_or(arg, BAD_CAPACITY)?;
    if n > 0 { Ok(n.unsigned_abs()) } else { Err(BAD_CAPACITY) }
}

fn make(options: Options) -> Result<Cuckoo> {
    if options.capacity < u64::from(options.bucket_size) * 2 {
        return Err(LOW_CAPACITY);
    }
    Cuckoo::new(options).map_err(|TooLarge| NO_MEMORY)
}

fn reserve(ctx: &mut Ctx<'_>) -> Result {
    let mut options = Options { capacity: capacity(ctx.arg(2))?, ..Options::default() };
    let mut cursor = Cursor::new(ctx.args, 3);
    while let Some(word) = cursor.take_next() {
        if is(word, "bucketsize") {
            options.bucket_size = within(cursor.take_next(), 1, 255, BAD_BUCKET)?;
        } else if is(word, "maxiterations") {
            options.max_iterations = within(cursor.take_next(), 1, u16::MAX, BAD_ITERATIONS)?;
        } else if is(word, "expansion") {
            options.expansion = within(cursor.take_next(), 0, 1 << 15, BAD_EXPANSION)?;
        } else {
            return Err(UNKNOWN);
        }
    }
    let key = ctx.key(1);
    if is_there::<Cuckoo>(&mut ctx.data, key)? {
        return Err(ITEM_EXISTS);
    }
    put(&mut ctx.data, key, make(options)?, "cf.reserve");
    ctx.reply.ok();
    Ok(())
}

/// Whether each item was added, or why not.
type Added = std::result::Result<bool, AddError>;

fn add_all(cuckoo: &mut Cuckoo, items: &[&[u8]], repeat: Repeat) -> Vec<Added> {
    let add = |item: &&[u8]| {
        if repeat == Repeat::Never && cuckoo.contains(item) {
            return Ok(false);
        }
        cuckoo.add(item).map(|()| true)
    };
    items.iter().map(add).collect()
}

/// Adds items to the filter under a key; `options` make one that is absent.
fn add_to(
    ctx: &mut Ctx<'_>,
    key: Key<'_>,
    options: Option<Options>,
    items: &[&[u8]],
    repeat: Repeat,
) -> Result<Vec<Added>> {
    let added = edit(&mut ctx.data, key, |cuckoo: &mut Cuckoo| Ok(add_all(cuckoo, items, repeat)))?;
    if let Some(added) = added {
        if added.contains(&Ok(true)) {
            ctx.data.changed(key, Class::Module, "cf.add");
        }
        return Ok(added);
    }
    let mut cuckoo = make(options.ok_or(NOT_FOUND)?)?;
    let added = add_all(&mut cuckoo, items, repeat);
    put(&mut ctx.data, key, cuckoo, "cf.add");
    Ok(added)
}

fn add_one(ctx: &mut Ctx<'_>, repeat: Repeat) -> Result {
    let (key, items) = (ctx.key(1), &ctx.args[2..]);
    for added in add_to(ctx, key, Some(Options::default()), items, repeat)? {
        ctx.reply.boolean(added.map_err(|error| match error {
            AddError::Full => FULL,
            AddError::GrownOut => GROWN_OUT,
        })?);
    }
    Ok(())
}

fn add(ctx: &mut Ctx<'_>) -> Result {
    add_one(ctx, Repeat::Again)
}

fn addnx(ctx: &mut Ctx<'_>) -> Result {
    add_one(ctx, Repeat::Never)
}

fn insert_with(ctx: &mut Ctx<'_>, repeat: Repeat) -> Result {
    let mut options = Options::default();
    let (mut creates, mut sized) = (true, false);
    let mut cursor = Cursor::new(ctx.args, 2);
    loop {
        let word = cursor.take_next().ok_or_else(|| wrong_arity(ctx.name()))?;
        if is(word, "items") {
            break;
        } else if is(word, "capacity") {
            let arg = cursor.take_next().ok_or_else(|| wrong_arity(ctx.name()))?;
            (options.capacity, sized) = (capacity(arg)?, true);
        } else if is(word, "nocreate") {
            creates = false;
        } else {
            return Err(UNKNOWN);
        }
    }
    let items = cursor.rest();
    if items.is_empty() {
        return Err(wrong_arity(ctx.name()));
    }
    if sized && !creates {
        return Err(SYNTAX);
    }
    let key = ctx.key(1);
    let added = add_to(ctx, key, creates.then_some(options), items, repeat)?;
    ctx.reply.array(added.len());
    for added in added {
        match added {
            Ok(added) if repeat == Repeat::Again => ctx.reply.boolean(added),
            Ok(added) => ctx.reply.integer(i64::from(added)),
            Err(_) => ctx.reply.integer(-1),
        }
    }
    Ok(())
}

fn insert(ctx: &mut Ctx<'_>) -> Result {
    insert_with(ctx, Repeat::Again)
}

fn insertnx(ctx: &mut Ctx<'_>) -> Result {
    insert_with(ctx, Repeat::Never)
}

fn exists(ctx: &mut Ctx<'_>) -> Result {
    let (key, item) = (ctx.key(1), ctx.arg(2));
    let cuckoo: Option<&Cuckoo> = read(&mut ctx.data, key)?;
    ctx.reply.boolean(cuckoo.is_some_and(|cuckoo| cuckoo.contains(item)));
    Ok(())
}

fn mexists(ctx: &mut Ctx<'_>) -> Result {
    let (key, items) = (ctx.key(1), &ctx.args[2..]);
    let cuckoo: Option<&Cuckoo> = read(&mut ctx.data, key)?;
    ctx.reply.array(items.len());
    for item in items {
        ctx.reply.boolean(cuckoo.is_some_and(|cuckoo| cuckoo.contains(item)));
    }
    Ok(())
}

fn del(ctx: &mut Ctx<'_>) -> Result {
    let (key, item) = (ctx.key(1), ctx.arg(2));
    let removed = edit(&mut ctx.data, key, |cuckoo: &mut Cuckoo| Ok(cuckoo.remove(item)))?;
    let removed = removed.ok_or(NOTHING_TO_DELETE)?;
    if removed {
        ctx.data.changed(key, Class::Module, "cf.del");
    }
    ctx.reply.boolean(removed);
    Ok(())
}

fn count(ctx: &mut Ctx<'_>) -> Result {
    let (key, item) = (ctx.key(1), ctx.arg(2));
    let cuckoo: Option<&Cuckoo> = read(&mut ctx.data, key)?;
    ctx.reply.integer(cuckoo.map_or(0, |cuckoo| cuckoo.count(item) as i64));
    Ok(())
}

fn info(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(1);
    let cuckoo: &Cuckoo = read(&mut ctx.data, key)?.ok_or(NOT_FOUND)?;
    let facts = [
        ("Size", cuckoo.size_bytes() as u64),
        ("Number of buckets", cuckoo.buckets()),
        ("Number of filters", cuckoo.filters() as u64),
        ("Number of items inserted", cuckoo.items()),
        ("Number of items deleted", cuckoo.removed()),
        ("Bucket size", cuckoo.bucket_size().into()),
        ("Expansion rate", cuckoo.expansion().into()),
        ("Max iterations", cuckoo.max_iterations().into()),
    ];
    ctx.reply.map(facts.len());
    for (name, fact) in facts {
        ctx.reply.status(name);
        ctx.reply.integer(i64::try_from(fact).unwrap_or(i64::MAX));
    }
    Ok(())
}

fn scandump(ctx: &mut Ctx<'_>) -> Result {
    let (key, step) = (ctx.key(1), iterator(ctx)?);
    let cuckoo: &Cuckoo = read(&mut ctx.data, key)?.ok_or(NOT_FOUND)?;
    let (next, chunk) = match step {
        0 => (1, cuckoo.header()),
        _ => {
            let chunk = cuckoo.chunk(step - 1, CHUNK_BYTES);
            (next_step(step, &chunk), chunk)
        }
    };
    reply_chunk(ctx, next, &chunk);
    Ok(())
}

fn loadchunk(ctx: &mut Ctx<'_>) -> Result {
    let (key, step, chunk) = (ctx.key(1), iterator(ctx)?, ctx.arg(3));
    let there = is_there::<Cuckoo>(&mut ctx.data, key)?;
    match step {
        0 => return Err(BAD_DATA),
        1 => {
            let cuckoo = Cuckoo::from_header(chunk).map_err(|_| BAD_DATA)?;
            put(&mut ctx.data, key, cuckoo, "cf.loadchunk");
        }
        _ if !there => return Err(NOT_FOUND),
        _ => {
            let start = chunk_start(step, chunk)?;
            edit(&mut ctx.data, key, |cuckoo: &mut Cuckoo| {
                cuckoo.load_chunk(start, chunk).map_err(|_| BAD_DATA)
            })?;
            ctx.data.changed(key, Class::Module, "cf.loadchunk");
        }
    }
    ctx.reply.ok();
    Ok(())
}
