//! Reading fields: HGET, HMGET, HEXISTS, HSTRLEN, HLEN, HKEYS, HVALS, HGETALL, HRANDFIELD, HSCAN.

use ochre_base::rng::Rng;
use ochre_command::args;
use ochre_command::outcome::{self, ReplyError, Result};
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_command::{Ctx, Reply};
use ochre_types::hash::{Field, HashRef};
use smallvec::SmallVec;

use super::{READ_FAST, READS, now_ms, read_hash};
use crate::collection::{self, Sample, ScanOptions, write_entry};

const ANY_ORDER: &[&str] = &["nondeterministic_output_order"];
const ANY_OUTPUT: &[&str] = &["nondeterministic_output"];

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("hget", 3, READ_FAST, Group::Hash, hget)
        .element(2)
        .keys(&[KeySpec::one(1, READS)])
        .docs("2.0.0", "Returns the value of a field of a hash.", "O(1)", "key field"),
    CommandSpec::new("hmget", -3, READ_FAST, Group::Hash, hmget)
        .element(2)
        .keys(&[KeySpec::one(1, READS)])
        .docs(
            "2.0.0",
            "Returns the values of fields of a hash.",
            "O(N) for N fields",
            "key field [field ...]",
        ),
    CommandSpec::new("hexists", 3, READ_FAST, Group::Hash, hexists)
        .element(2)
        .keys(&[KeySpec::one(1, KeyFlags::RO)])
        .docs("2.0.0", "Says whether a field of a hash is there.", "O(1)", "key field"),
    CommandSpec::new("hstrlen", 3, READ_FAST, Group::Hash, hstrlen)
        .element(2)
        .keys(&[KeySpec::one(1, KeyFlags::RO)])
        .docs(
            "3.2.0",
            "Returns the length of the value of a field of a hash.",
            "O(1)",
            "key field",
        ),
    CommandSpec::new("hlen", 2, READ_FAST, Group::Hash, hlen)
        .keys(&[KeySpec::one(1, KeyFlags::RO)])
        .docs("2.0.0", "Counts the fields of a hash.", "O(1)", "key"),
    CommandSpec::new("hkeys", 2, Flags::READONLY, Group::Hash, hkeys)
        .keys(&[KeySpec::one(1, READS)])
        .docs("2.0.0", "Returns the names of all fields of a hash.", "O(N) for N fields", "key")
        .tips(ANY_ORDER),
    CommandSpec::new("hvals", 2, Flags::READONLY, Group::Hash, hvals)
        .keys(&[KeySpec::one(1, READS)])
        .docs("2.0.0", "Returns the values of all fields of a hash.", "O(N) for N fields", "key")
        .tips(ANY_ORDER),
    CommandSpec::new("hgetall", 2, Flags::READONLY, Group::Hash, hgetall)
        .keys(&[KeySpec::one(1, READS)])
        .docs(
            "2.0.0",
            "Returns all fields of a hash with their values.",
            "O(N) for N fields",
            "key",
        )
        .tips(ANY_ORDER),
    CommandSpec::new("hrandfield", -2, Flags::READONLY, Group::Hash, hrandfield)
        .keys(&[KeySpec::one(1, READS)])
        .docs(
            "6.2.0",
            "Returns random fields of a hash.",
            "O(N) for N returned fields",
            "key [count [WITHVALUES]]",
        )
        .tips(ANY_OUTPUT),
    CommandSpec::new("hscan", -3, Flags::READONLY, Group::Hash, hscan)
        .keys(&[KeySpec::one(1, READS)])
        .docs(
            "2.8.0",
            "Walks over the fields of a hash, some with each call.",
            "O(1) for each call, O(N) for a whole walk over N fields",
            "key cursor [MATCH pattern] [COUNT count] [NOVALUES]",
        )
        .tips(ANY_OUTPUT),
];

// HOT PATH: the value goes straight from where it lies to the reply.
fn hget(ctx: &mut Ctx<'_>) -> Result {
    let (key, now) = (ctx.key(1), now_ms(ctx));
    let hash = read_hash(&mut ctx.data, key)?;
    match hash.and_then(|hash| hash.value(ctx.args[2], now)) {
        None => ctx.reply.null(),
        Some(value) => write_entry(&mut ctx.reply, value),
    }
    Ok(())
}

fn hmget(ctx: &mut Ctx<'_>) -> Result {
    let (key, now) = (ctx.key(1), now_ms(ctx));
    let hash = read_hash(&mut ctx.data, key)?;
    write_values(&mut ctx.reply, hash, &ctx.args[2..], now);
    Ok(())
}

/// Writes the values of `fields`, null where one is absent.
pub(super) fn write_values(
    reply: &mut Reply<'_>,
    hash: Option<HashRef<'_>>,
    fields: &[&[u8]],
    now: u64,
) {
    reply.array(fields.len());
    for field in fields {
        match hash.and_then(|hash| hash.value(field, now)) {
            None => reply.null(),
            Some(value) => write_entry(reply, value),
        }
    }
}

fn hexists(ctx: &mut Ctx<'_>) -> Result {
    let (key, now) = (ctx.key(1), now_ms(ctx));
    let hash = read_hash(&mut ctx.data, key)?;
    let there = hash.is_some_and(|hash| hash.contains(ctx.args[2], now));
    ctx.reply.integer(there.into());
    Ok(())
}

fn hstrlen(ctx: &mut Ctx<'_>) -> Result {
    let (key, now) = (ctx.key(1), now_ms(ctx));
    let hash = read_hash(&mut ctx.data, key)?;
    let value = hash.and_then(|hash| hash.value(ctx.args[2], now));
    ctx.reply.integer(value.map_or(0, |value| value.len() as i64));
    Ok(())
}

fn hlen(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(1);
    let hash = read_hash(&mut ctx.data, key)?;
    ctx.reply.integer(hash.map_or(0, |hash| hash.len() as i64));
    Ok(())
}

fn hkeys(ctx: &mut Ctx<'_>) -> Result {
    let (key, now) = (ctx.key(1), now_ms(ctx));
    let hash = read_hash(&mut ctx.data, key)?;
    write_column(&mut ctx.reply, hash, now, |reply, field| {
        write_entry(reply, field.name);
    });
    Ok(())
}

fn hvals(ctx: &mut Ctx<'_>) -> Result {
    let (key, now) = (ctx.key(1), now_ms(ctx));
    let hash = read_hash(&mut ctx.data, key)?;
    write_column(&mut ctx.reply, hash, now, |reply, field| {
        write_entry(reply, field.value);
    });
    Ok(())
}

/// Writes an array of what `write` makes of each field.
fn write_column(
    reply: &mut Reply<'_>,
    hash: Option<HashRef<'_>>,
    now: u64,
    write: impl Fn(&mut Reply<'_>, Field<'_>),
) {
    let Some(hash) = hash else {
        return reply.empty_array();
    };
    if let Some(len) = known_len(hash) {
        reply.array(len);
        return hash.iter(now).for_each(|field| write(reply, field));
    }
    let mark = reply.deferred();
    let mut count = 0;
    hash.iter(now).for_each(|field| {
        write(reply, field);
        count += 1;
    });
    reply.finish_array(mark, count);
}

/// The number of live fields where it is known without a walk.
#[inline]
fn known_len(hash: HashRef<'_>) -> Option<usize> {
    match hash {
        HashRef::Table(table) if table.expiring() == 0 => Some(table.len()),
        _ => None,
    }
}

// HOT PATH: one walk, fields go straight from where they lie to the reply.
fn hgetall(ctx: &mut Ctx<'_>) -> Result {
    let (key, now) = (ctx.key(1), now_ms(ctx));
    let Some(hash) = read_hash(&mut ctx.data, key)? else {
        ctx.reply.map(0);
        return Ok(());
    };
    let reply = &mut ctx.reply;
    let mut count = 0;
    let mut write = |reply: &mut Reply<'_>, field: Field<'_>| {
        write_entry(reply, field.name);
        write_entry(reply, field.value);
        count += 1;
    };
    if let Some(len) = known_len(hash) {
        reply.map(len);
        hash.iter(now).for_each(|field| write(reply, field));
    } else {
        let mark = reply.deferred();
        hash.iter(now).for_each(|field| write(reply, field));
        reply.finish_map(mark, count);
    }
    Ok(())
}

fn hrandfield(ctx: &mut Ctx<'_>) -> Result {
    const TOO_MANY_PAIRS: ReplyError = ReplyError::fixed("ERR value is out of range");
    let sample = match ctx.args.get(2) {
        None => None,
        Some(count) => Some(Sample::parse(count)?),
    };
    let with_values = match ctx.args.len() {
        ..=3 => false,
        4 if args::is(ctx.arg(3), "withvalues") => true,
        _ => return Err(outcome::SYNTAX),
    };
    // Twice the count has to be a number, too.
    if let Some(Sample::Distinct(n) | Sample::Repeating(n)) = sample
        && with_values
        && n > (i64::MAX / 2) as usize
    {
        return Err(TOO_MANY_PAIRS);
    }
    let (key, now) = (ctx.key(1), now_ms(ctx));
    // A generator of its own, because the value is borrowed from where the loop's generator is.
    let mut rng = Rng::new(ctx.data.work.rng.next_u64());
    let random = || rng.next_u64();
    let hash = read_hash(&mut ctx.data, key)?;
    let reply = &mut ctx.reply;
    let Some(sample) = sample else {
        let mut name = None;
        if let Some(hash) = hash {
            hash.sample(now, 1, random, |field| name = Some(field.name));
        }
        match name {
            None => reply.null(),
            Some(name) => write_entry(reply, name),
        }
        return Ok(());
    };
    let Some(hash) = hash else {
        reply.empty_array();
        return Ok(());
    };
    sample.check()?;
    let mark = reply.deferred();
    let mut count = 0;
    let pairs_apart = with_values && reply.is_resp3();
    let mut emit = |field: Field<'_>| {
        if pairs_apart {
            reply.array(2);
        }
        write_entry(reply, field.name);
        count += 1;
        if with_values {
            write_entry(reply, field.value);
            count += usize::from(!pairs_apart);
        }
    };
    match sample {
        Sample::Repeating(n) => hash.sample(now, n, random, &mut emit),
        Sample::Distinct(n) => hash.sample_distinct(now, n, random, &mut emit),
    }
    reply.finish_array(mark, count);
    Ok(())
}

fn hscan(ctx: &mut Ctx<'_>) -> Result {
    let cursor = collection::scan_cursor(ctx.arg(2))?;
    let (key, now) = (ctx.key(1), now_ms(ctx));
    let Some(hash) = read_hash(&mut ctx.data, key)? else {
        collection::empty_scan(&mut ctx.reply);
        return Ok(());
    };
    let options = ScanOptions::parse(ctx.args, true)?;
    let mut found: SmallVec<[Field<'_>; 32]> = SmallVec::new();
    let next = options.run(cursor, |cursor| {
        let mut visited = 0;
        let next = hash.scan(cursor, now, |field| {
            visited += 1;
            if options.admits(field.name) {
                found.push(field);
            }
        });
        (next, visited)
    });
    let reply = &mut ctx.reply;
    reply.array(2);
    reply.bulk(next.to_string());
    let each = if options.names_only { 1 } else { 2 };
    reply.array(found.len() * each);
    for field in found {
        write_entry(reply, field.name);
        if !options.names_only {
            write_entry(reply, field.value);
        }
    }
    Ok(())
}
