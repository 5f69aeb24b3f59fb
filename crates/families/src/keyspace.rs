//! Commands on whole databases: DBSIZE, KEYS, SCAN, RANDOMKEY, FLUSHDB, FLUSHALL, SWAPDB.
//!
//! Reads walk the shards one by one and hold one lock at a time (all of them in a transaction);
//! flushes hold all locks for as long as it takes to unhook the tables, which are freed afterwards.

use ochre_base::glob::{Case, is_match_all, matches};
use ochre_command::args::{Cursor, int, is};
use ochre_command::data::type_of;
use ochre_command::outcome::{BAD_CURSOR, DB_OUT_OF_RANGE, NOT_INTEGER, SYNTAX};
use ochre_command::spec::{Categories, CommandSpec, Flags, Group};
use ochre_command::{Ctx, ReplyError, Result};
use ochre_keyspace::lock::ShardId;
use ochre_keyspace::shard::DbIndex;
use ochre_types::value::Type;

const WALK: Flags = Flags::READONLY.union(Flags::WALKS_SHARDS);
const FLUSH: Flags = Flags::WRITE.union(Flags::ALL_KEYS);

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("dbsize", 1, WALK.union(Flags::FAST), Group::Server, dbsize)
        .also(Categories::KEYSPACE)
        .docs("1.0.0", "Counts the keys of the database.", "O(1)", "")
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"]),
    CommandSpec::new("keys", 2, WALK, Group::Generic, keys)
        .also(Categories::DANGEROUS)
        .docs(
            "1.0.0",
            "Lists all keys that match a pattern.",
            "O(N) with N the number of keys in the database",
            "pattern",
        )
        .tips(&["request_policy:all_shards", "nondeterministic_output_order"]),
    CommandSpec::new("scan", -2, WALK, Group::Generic, scan)
        .docs(
            "2.8.0",
            "Walks over the keys of the database in steps.",
            "O(1) for a step, O(N) for all with N the number of keys",
            "cursor [MATCH pattern] [COUNT count] [TYPE type]",
        )
        .tips(&["nondeterministic_output", "request_policy:special", "response_policy:special"]),
    CommandSpec::new("randomkey", 1, WALK, Group::Generic, randomkey)
        .docs("1.0.0", "Gives a random key.", "O(1)", "")
        .tips(&["request_policy:all_shards", "response_policy:special", "nondeterministic_output"]),
    CommandSpec::new("flushdb", -1, FLUSH, Group::Server, flushdb)
        .also(Categories::KEYSPACE.union(Categories::DANGEROUS))
        .docs(
            "1.0.0",
            "Removes all keys of the database.",
            "O(N) with N the number of keys in the database",
            "[ASYNC | SYNC]",
        )
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
    CommandSpec::new("flushall", -1, FLUSH, Group::Server, flushall)
        .also(Categories::KEYSPACE.union(Categories::DANGEROUS))
        .docs(
            "1.0.0",
            "Removes all keys of all databases.",
            "O(N) with N the number of keys in all databases",
            "[ASYNC | SYNC]",
        )
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
    CommandSpec::new("swapdb", 3, FLUSH.union(Flags::FAST), Group::Server, swapdb)
        .also(Categories::KEYSPACE.union(Categories::DANGEROUS))
        .docs(
            "4.0.0",
            "Exchanges two databases.",
            "O(N) with N the number of clients that watch or wait for keys of the two",
            "index1 index2",
        ),
];

fn shard_ids(ctx: &Ctx<'_>) -> impl Iterator<Item = ShardId> + use<> {
    (0..ctx.data.env.shards.count()).map(|id| id as ShardId)
}

fn dbsize(ctx: &mut Ctx<'_>) -> Result {
    let db = ctx.db();
    let sum: usize =
        shard_ids(ctx).map(|id| ctx.data.with_shard(id, |shard| shard.db(db).len())).sum();
    ctx.reply.integer(sum as i64);
    Ok(())
}

fn keys(ctx: &mut Ctx<'_>) -> Result {
    let (pattern, db, now) = (ctx.args[1], ctx.db(), ctx.now().unix_ms);
    let all = is_match_all(pattern);
    let mark = ctx.reply.deferred();
    let mut count = 0;
    for id in shard_ids(ctx) {
        let reply = &mut ctx.reply;
        ctx.data.with_shard(id, |shard| {
            let db = shard.db(db);
            for value in db.table().iter() {
                let entry = db.entry_of(value);
                let live = entry.expiry.is_none_or(|at| at >= now);
                if live && (all || matches(pattern, entry.key, Case::Sensitive)) {
                    reply.bulk(entry.key);
                    count += 1;
                }
            }
        });
    }
    ctx.reply.finish_array(mark, count);
    Ok(())
}

/// Types that TYPE may name; one that exists nowhere matches nothing.
fn scan(ctx: &mut Ctx<'_>) -> Result {
    let cursor: u64 = ochre_base::num::parse_u64(ctx.args[1]).ok_or(BAD_CURSOR)?;
    let (mut pattern, mut count, mut wanted) = (None, 10, None);
    let mut options = Cursor::new(ctx.args, 2);
    while let Some(word) = options.take_next() {
        if is(word, "match") && options.left() > 0 {
            pattern = Some(options.need()?).filter(|pattern| !is_match_all(pattern));
        } else if is(word, "count") && options.left() > 0 {
            count = int(options.need()?)?;
            if count < 1 {
                return Err(SYNTAX);
            }
        } else if is(word, "type") && options.left() > 0 {
            wanted = Some(options.need()?);
        } else {
            return Err(SYNTAX);
        }
    }
    let (db, now) = (ctx.db(), ctx.now().unix_ms);
    let mut expired: Vec<Vec<u8>> = Vec::new();
    let shards = ctx.data.env.shards.count() as u64;
    let (mut shard, mut inner) = (cursor % SHARD_SPAN, cursor / SHARD_SPAN);
    let mut names: Vec<Vec<u8>> = Vec::new();
    let (mut seen, mut steps) = (0, 0);
    let count = count as u64;
    while shard < shards && seen < count && steps < count.saturating_mul(10) {
        (inner, steps) = ctx.data.with_shard(shard as ShardId, |shard| {
            let db = shard.db(db);
            // A shard without keys is passed over at once, and not a step: a small database is one call's work.
            let steps = steps + u64::from(!db.is_empty());
            let next = db.scan(inner, |entry| {
                seen += 1;
                let live = entry.expiry.is_none_or(|at| at >= now);
                let fits = pattern.is_none_or(|p| matches(p, entry.key, Case::Sensitive));
                let typed = wanted.is_none_or(|t| is(t, type_of(&db.stored(&entry)).name()));
                if live && fits && typed {
                    names.push(entry.key.to_vec());
                } else if !live {
                    expired.push(entry.key.to_vec());
                }
            });
            (next, steps)
        });
        if !expired.is_empty() {
            ctx.data.drop_expired(shard as ShardId, &expired);
            expired.clear();
        }
        if inner == 0 {
            shard += 1;
        }
    }
    let next = if shard >= shards { 0 } else { inner * SHARD_SPAN + shard };
    ctx.reply.array(2);
    let mut text = [0; 20];
    ctx.reply.bulk(ochre_base::num::format_i64(next as i64, &mut text));
    ctx.reply.array(names.len());
    for name in &names {
        ctx.reply.bulk(name);
    }
    Ok(())
}

/// A cursor is the place within a shard times this, plus the shard: more than there can be shards.
const SHARD_SPAN: u64 = 4096;

/// Random keys that are looked at before all are walked over.
const RANDOM_TRIES: usize = 100;

/// Expired keys are passed over, and deleted. Where nearly all are expired, the first that is not is as good as
/// any. A replica, which deletes none and may hold nothing but expired ones, shows one of them in the
/// end, as the peers do.
fn randomkey(ctx: &mut Ctx<'_>) -> Result {
    let (db, now) = (ctx.db(), ctx.expiry_now());
    let sizes: Vec<usize> =
        shard_ids(ctx).map(|id| ctx.data.with_shard(id, |shard| shard.db(db).len())).collect();
    let total: usize = sizes.iter().sum();
    let mut last = None;
    for _ in 0..RANDOM_TRIES {
        let mut at = ctx.data.work.rng.below(total.max(1) as u64) as usize;
        let Some(id) = sizes.iter().position(|&size| {
            let here = at < size;
            at = at.wrapping_sub(if here { 0 } else { size });
            here
        }) else {
            break;
        };
        let id = id as ShardId;
        let mut rng = ctx.data.work.rng.clone();
        let sample = ctx.data.with_shard(id, |shard| {
            let db = shard.db(db);
            let entry = db.entry_of(db.table().sample(|| rng.next_u64())?);
            Some((entry.key.to_vec(), entry.expiry.is_none_or(|at| at >= now)))
        });
        ctx.data.work.rng = rng;
        match sample {
            Some((name, true)) => {
                ctx.reply.bulk(&name);
                return Ok(());
            }
            Some((name, false)) => {
                ctx.data.drop_expired(id, std::slice::from_ref(&name));
                last = Some(name);
            }
            None => {}
        }
    }
    let found = shard_ids(ctx).find_map(|id| {
        ctx.data.with_shard(id, |shard| {
            let db = shard.db(db);
            let mut entries = db.table().iter().map(|value| db.entry_of(value));
            let live = entries.find(|entry| entry.expiry.is_none_or(|at| at >= now))?;
            Some(live.key.to_vec())
        })
    });
    match found.or_else(|| last.filter(|_| ctx.data.env.keeps_expired)) {
        Some(name) => ctx.reply.bulk(&name),
        None => ctx.reply.null(),
    }
    Ok(())
}

/// Whether a flush frees in the background: what the argument says, else lazyfree-lazy-user-flush.
fn is_async(ctx: &Ctx<'_>) -> Result<bool> {
    match ctx.args[1..] {
        [] => Ok(ctx.data.env.lazy_user_flush),
        [word] if is(word, "async") => Ok(true),
        [word] if is(word, "sync") => Ok(false),
        _ => Err(SYNTAX),
    }
}

fn flushdb(ctx: &mut Ctx<'_>) -> Result {
    let lazy = is_async(ctx)?;
    let db = ctx.db();
    flush(ctx, |index| index == db, lazy)
}

fn flushall(ctx: &mut Ctx<'_>) -> Result {
    let lazy = is_async(ctx)?;
    flush(ctx, |_| true, lazy)?;
    ctx.data.env.listener.flushed_all();
    Ok(())
}

fn flush(ctx: &mut Ctx<'_>, chosen: impl Fn(DbIndex) -> bool, lazy: bool) -> Result {
    let now = ctx.now().unix_ms;
    let mut removed = 0;
    let mut tables = Vec::new();
    let mut awaited = Vec::new();
    for shard in ctx.data.locked.each_mut() {
        for index in 0..shard.dbs().len() as DbIndex {
            if !chosen(index) || shard.db(index).is_empty() {
                continue;
            }
            shard.mark_db_changed(index, None, now);
            // Readers in a consumer group are told that their key is gone.
            let readers = shard
                .waiters()
                .filter(|(db, _, waiter)| *db == index && waiter.command.wants == Type::Stream);
            awaited.extend(readers.map(|(db, name, _)| (db, name.to_vec())));
            let (table, keys) = shard.take_db(index);
            removed += keys as u64;
            tables.push(table);
        }
    }
    ctx.data.work.ready.append(&mut awaited);
    ctx.data.work.flushed = true;
    for table in tables {
        if lazy {
            ctx.data.env.bin.free_db(table);
        }
    }
    // Logged even when there was nothing to remove, as the peers do.
    ctx.data.work.counts.dirty += removed.max(1);
    ctx.reply.ok();
    Ok(())
}

fn swapdb(ctx: &mut Ctx<'_>) -> Result {
    let index = |arg: &[u8], text: &'static str| {
        let n = ochre_base::num::parse_i64(arg).ok_or(ReplyError::fixed(text))?;
        if (0..i64::from(ctx.data.env.databases)).contains(&n) {
            Ok(n as DbIndex)
        } else if i32::try_from(n).is_err() {
            Err(NOT_INTEGER)
        } else {
            Err(DB_OUT_OF_RANGE)
        }
    };
    let a = index(ctx.args[1], "ERR invalid first DB index")?;
    let b = index(ctx.args[2], "ERR invalid second DB index")?;
    if a != b {
        let mut ready = Vec::new();
        let now = ctx.now().unix_ms;
        for shard in ctx.data.locked.each_mut() {
            shard.mark_db_changed(a, Some(shard.db(b)), now);
            shard.mark_db_changed(b, Some(shard.db(a)), now);
            shard.swap_dbs(a, b);
            let awaited = shard.waiters().filter(|(db, _, _)| *db == a || *db == b);
            // A key that is gone matters too, to readers of a consumer group.
            ready.extend(awaited.map(|(db, name, _)| (db, name.to_vec())));
        }
        ctx.data.work.ready.append(&mut ready);
        ctx.data.work.counts.dirty += 1;
    }
    ctx.reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use std::collections::BTreeSet;

    fn fill(bench: &mut Bench, count: usize) {
        for n in 0..count {
            bench.run(&format!("SET key:{n} v"));
        }
    }

    /// R3: SCAN gives every key at least once and ends.
    #[test]
    fn scan_gives_every_key() {
        let mut bench = Bench::new();
        fill(&mut bench, 1000);
        for count in [1, 10, 5000] {
            let (mut seen, mut cursor, mut calls) = (BTreeSet::new(), "0".to_owned(), 0);
            loop {
                let reply = bench.run(&format!("SCAN {cursor} COUNT {count}"));
                let mut parts = reply.split('|');
                cursor = parts.nth(2).unwrap().to_owned();
                seen.extend(parts.filter(|p| p.starts_with("key:")).map(str::to_owned));
                calls += 1;
                if cursor == "0" {
                    break;
                }
                assert!(calls < 100_000);
            }
            assert_eq!(seen.len(), 1000);
        }
        assert_eq!(bench.run("SCAN x"), "-ERR invalid cursor|");
        assert_eq!(bench.run("SCAN 0 COUNT 0"), "-ERR syntax error|");
        assert_eq!(bench.run("SCAN 0 TYPE list COUNT 2000"), "*2|$1|0|*0|");
        assert_eq!(bench.run("SCAN 0 MATCH key:77 COUNT 2000"), "*2|$1|0|*1|$6|key:77|");
    }

    #[test]
    fn flush_and_swap() {
        let mut bench = Bench::new();
        fill(&mut bench, 100);
        assert_eq!(bench.run("DBSIZE"), ":100|");
        assert_eq!(bench.run("KEYS key:5?"), bench.run("KEYS key:5?"));
        assert_eq!(bench.run("KEYS key:55"), "*1|$6|key:55|");
        assert_eq!(bench.run("SWAPDB 0 1"), "+OK|");
        assert_eq!(bench.run("DBSIZE"), ":0|");
        assert_eq!(bench.run("RANDOMKEY"), "$-1|");
        assert_eq!(bench.run("SWAPDB 1 0"), "+OK|");
        assert!(bench.run("RANDOMKEY").contains("key:"));
        assert_eq!(bench.run("SWAPDB 0 16"), "-ERR DB index is out of range|");
        assert_eq!(bench.run("SWAPDB a 1"), "-ERR invalid first DB index|");
        assert_eq!(bench.run("FLUSHDB NOW"), "-ERR syntax error|");
        assert_eq!(bench.run("FLUSHDB ASYNC"), "+OK|");
        assert_eq!(bench.run("DBSIZE"), ":0|");
        assert_eq!(bench.run("FLUSHALL"), "+OK|");
        assert!(bench.log_text().ends_with("FLUSHDB ASYNC; FLUSHALL"));
    }
}
