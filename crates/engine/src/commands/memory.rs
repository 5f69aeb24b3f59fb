//! MEMORY DOCTOR, MALLOC-STATS, PURGE, STATS, USAGE.

use ochre_base::num::parse_i64;
use ochre_command::args::is;
use ochre_command::outcome::{NOT_INTEGER, SYNTAX};
use ochre_command::spec::{Flags, Group, KeyFlags, KeySpec};
use ochre_command::{Key, Result};

use crate::commands::help;
use crate::registry::{Row, SessionRow};
use crate::turn::Turn;

/// The rows of this file.
pub const COMMANDS: &[SessionRow] = &[SessionRow::container(
    "memory",
    Group::Server,
    "4.0.0",
    "Commands on memory.",
    &[
        SessionRow::new("doctor", 2, Flags::empty(), Group::Server, doctor)
            .docs("4.0.0", "Explains the use of memory, in words.", "O(1)", "")
            .tips(TIPS),
        help::row("4.0.0", Group::Server),
        SessionRow::new("malloc-stats", 2, Flags::empty(), Group::Server, malloc_stats)
            .docs("4.0.0", "Gives the allocator's report.", "O(1)", "")
            .tips(TIPS),
        SessionRow::new("purge", 2, Flags::empty(), Group::Server, purge)
            .docs("4.0.0", "Gives unused memory back to the system.", "O(1)", "")
            .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
        SessionRow::new("stats", 2, Flags::WALKS_SHARDS, Group::Server, stats)
            .docs("4.0.0", "Gives the use of memory in numbers.", "O(1)", "")
            .tips(TIPS),
        SessionRow::new("usage", -3, Flags::READONLY, Group::Server, usage)
            .keys(&[KeySpec::one(2, KeyFlags::RO)])
            .docs("4.0.0", "Gives the bytes that a key takes.", "O(1)", "key [SAMPLES count]"),
    ],
)];

const TIPS: &[&str] =
    &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];

fn usage(turn: &mut Turn<'_>, args: &[&[u8]], _row: &Row) -> Result {
    match args[3..] {
        [] => {}
        [word, count] if is(word, "samples") => {
            // Sizes are kept as values change, so nothing is sampled.
            if parse_i64(count).ok_or(NOT_INTEGER)? < 0 {
                return Err(SYNTAX);
            }
        }
        _ => return Err(SYNTAX),
    }
    let (key, index, now) = (Key::new(args[2]), turn.session.db, turn.lp.now.unix_ms);
    let measure = |shard: &mut ochre_keyspace::shard::Shard| {
        let db = shard.db(index);
        let slot = db.find(key)?;
        let live = db.entry(slot).expiry.is_none_or(|at| at >= now);
        live.then(|| db.key_bytes(slot))
    };
    let bytes = match &mut turn.held {
        Some(locked) => measure(locked.shard_mut(key.hash)),
        None => turn.engine.shards.visit(turn.engine.shards.of(key.hash), measure),
    };
    match bytes {
        Some(bytes) => turn.reply().integer(bytes as i64),
        None => turn.reply().null(),
    }
    Ok(())
}

fn purge(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    turn.engine.host.purge_memory();
    turn.reply().ok();
    Ok(())
}

fn malloc_stats(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let report = turn.engine.host.allocator_report();
    turn.reply().verbatim(*b"txt", report);
    Ok(())
}

fn doctor(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let facts = turn.engine.host.facts();
    let used = ochre_base::memory::used();
    let maxmemory = turn.live().maxmemory;
    let mut findings = Vec::new();
    if facts.resident > used + used / 2 && facts.resident > 64 << 20 {
        findings.push(
            "The process holds half as much again as it uses: memory freed lately goes back to the \
             system within seconds; MEMORY PURGE does it now.",
        );
    }
    if maxmemory > 0 && used > maxmemory - maxmemory / 10 {
        findings.push("Less than a tenth of maxmemory is left.");
    }
    if ochre_base::memory::peak() > used.saturating_mul(3) / 2 {
        findings.push("The peak was much higher than what is used now.");
    }
    let text = if findings.is_empty() {
        "Nothing to remark on the use of memory.\n".to_owned()
    } else {
        findings.iter().map(|line| format!("* {line}\n")).collect()
    };
    turn.reply().verbatim(*b"txt", text);
    Ok(())
}

fn stats(turn: &mut Turn<'_>, _args: &[&[u8]], _row: &Row) -> Result {
    let facts = turn.engine.host.facts();
    let mut dbs: Vec<(usize, usize)> = Vec::new();
    turn.each_shard(|shard| {
        for (index, db) in shard.dbs().iter().enumerate() {
            if index >= dbs.len() {
                dbs.resize(index + 1, (0, 0));
            }
            dbs[index].0 += db.len();
            dbs[index].1 += db.heap_bytes().0;
        }
    });
    let keys: usize = dbs.iter().map(|db| db.0).sum();
    let tables: usize = dbs.iter().map(|db| db.1).sum();
    let used = ochre_base::memory::note_peak();
    let peak = ochre_base::memory::peak();
    let overhead = facts.startup_memory + tables;
    let dataset = used.saturating_sub(overhead);
    let net = used.saturating_sub(facts.startup_memory).max(1);
    let shown: Vec<(usize, usize)> = dbs
        .iter()
        .enumerate()
        .filter(|(_, db)| db.0 > 0)
        .map(|(index, db)| (index, db.1))
        .collect();
    let ratio = |a: usize, b: usize| a as f64 / b.max(1) as f64;
    let scripts = turn.engine.scripts.facts();
    let integers = [
        ("peak.allocated", peak),
        ("total.allocated", used),
        ("startup.allocated", facts.startup_memory),
        ("replication.backlog", 0),
        ("clients.slaves", 0),
        ("clients.normal", 0),
        ("cluster.links", 0),
        ("aof.buffer", 0),
        ("lua.caches", scripts.script_bytes),
        ("functions.caches", scripts.library_bytes),
    ];
    let after = [
        ("overhead.total", overhead),
        ("keys.count", keys),
        ("keys.bytes-per-key", net / keys.max(1)),
        ("dataset.bytes", dataset),
    ];
    let doubles = [
        ("dataset.percentage", 100.0 * ratio(dataset, net)),
        ("peak.percentage", 100.0 * ratio(used, peak)),
        ("allocator-fragmentation.ratio", ratio(facts.active, facts.allocated)),
        ("allocator-rss.ratio", ratio(facts.allocator_resident, facts.active)),
        ("rss-overhead.ratio", ratio(facts.resident, facts.allocator_resident)),
        ("fragmentation", ratio(facts.resident, used)),
    ];
    let tail = [
        ("allocator.allocated", facts.allocated as i64),
        ("allocator.active", facts.active as i64),
        ("allocator.resident", facts.allocator_resident as i64),
        ("allocator-fragmentation.bytes", facts.active as i64 - facts.allocated as i64),
        ("allocator-rss.bytes", facts.allocator_resident as i64 - facts.active as i64),
        ("rss-overhead.bytes", facts.resident as i64 - facts.allocator_resident as i64),
        ("fragmentation.bytes", facts.resident as i64 - used as i64),
    ];
    let mut reply = turn.reply();
    reply.map(integers.len() + shown.len() + after.len() + doubles.len() + tail.len());
    for (name, value) in integers {
        reply.bulk(name);
        reply.integer(value as i64);
    }
    for (index, bytes) in shown {
        reply.bulk(format!("db.{index}"));
        reply.map(2);
        reply.bulk("overhead.hashtable.main");
        reply.integer(bytes as i64);
        // Expiries lie in the entries: there is no second table.
        reply.bulk("overhead.hashtable.expires");
        reply.integer(0);
    }
    for (name, value) in after {
        reply.bulk(name);
        reply.integer(value as i64);
    }
    for (name, value) in doubles {
        reply.bulk(name);
        reply.double(value);
    }
    for (name, value) in tail {
        reply.bulk(name);
        reply.integer(value);
    }
    Ok(())
}
