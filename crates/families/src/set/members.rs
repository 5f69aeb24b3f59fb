//! Members one by one: SADD, SREM, SMOVE, SCARD, SISMEMBER, SMISMEMBER, SMEMBERS, SSCAN.

use ochre_command::Ctx;
use ochre_command::data::Class;
use ochre_command::outcome::Result;
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_types::limits::Limits;
use ochre_types::packed::Entry;
use ochre_types::set::{Set, SetRef};
use smallvec::SmallVec;

use super::{INSERTS, READ_FAST, READS, TAKES, WRITE_FAST, new_set, set_mut, set_view};
use crate::collection::{self, ScanOptions, write_entry};

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("sadd", -3, WRITE_FAST.union(Flags::DENYOOM), Group::Set, sadd)
        .element(2)
        .keys(&[KeySpec::one(1, INSERTS)])
        .docs(
            "1.0.0",
            "Adds members to a set, which is made when it is absent.",
            "O(N) for N members",
            "key member [member ...]",
        ),
    CommandSpec::new("srem", -3, WRITE_FAST, Group::Set, srem)
        .element(2)
        .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))])
        .docs(
            "1.0.0",
            "Removes members from a set.",
            "O(N) for N members",
            "key member [member ...]",
        ),
    CommandSpec::new("smove", 4, WRITE_FAST, Group::Set, smove)
        .keys(&[KeySpec::one(1, TAKES), KeySpec::one(2, INSERTS)])
        .docs(
            "1.0.0",
            "Moves a member from one set to another.",
            "O(1)",
            "source destination member",
        ),
    CommandSpec::new("scard", 2, READ_FAST, Group::Set, scard)
        .keys(&[KeySpec::one(1, KeyFlags::RO)])
        .docs("1.0.0", "Counts the members of a set.", "O(1)", "key"),
    CommandSpec::new("sismember", 3, READ_FAST, Group::Set, sismember)
        .element(2)
        .keys(&[KeySpec::one(1, KeyFlags::RO)])
        .docs("1.0.0", "Says whether a value is a member of a set.", "O(1)", "key member"),
    CommandSpec::new("smismember", -3, READ_FAST, Group::Set, smismember)
        .keys(&[KeySpec::one(1, READS)])
        .docs(
            "6.2.0",
            "Says of each of several values whether it is a member of a set.",
            "O(N) for N values",
            "key member [member ...]",
        ),
    CommandSpec::new("smembers", 2, Flags::READONLY, Group::Set, smembers)
        .keys(&[KeySpec::one(1, READS)])
        .docs("1.0.0", "Returns all members of a set.", "O(N) for N members", "key")
        .tips(&["nondeterministic_output_order"]),
    CommandSpec::new("sscan", -3, Flags::READONLY, Group::Set, sscan)
        .keys(&[KeySpec::one(1, READS)])
        .docs(
            "2.8.0",
            "Walks over the members of a set, some with each call.",
            "O(1) for each call, O(N) for a whole walk over N members",
            "key cursor [MATCH pattern] [COUNT count]",
        )
        .tips(&["nondeterministic_output"]),
];

/// Turns a set to the form that suits what is about to come: one conversion instead of several.
fn prepare(set: &mut Set, limits: &Limits, members: &[&[u8]]) {
    let most = match set {
        _ if set.is_empty() => {
            if let Some(first) = members.first() {
                *set = Set::for_first(limits, first, members.len());
            }
            return;
        }
        Set::Ints(_) => limits.set_max_intset_entries,
        Set::Packed(_) => limits.set_max_listpack_entries,
        Set::Table(_) => return,
    };
    if members.len() > most {
        set.convert_to_table();
    }
}

// HOT PATH: one edit.
fn sadd(ctx: &mut Ctx<'_>) -> Result {
    let (key, members) = (ctx.key(1), &ctx.args[2..]);
    let edited = ctx.data.edit(key, Some(new_set), |value, limits, _| {
        let set = set_mut(value)?;
        prepare(set, limits, members);
        let added = members.iter().filter(|member| set.add(limits, member));
        Ok(added.count())
    })?;
    let added = edited.map_or(0, |(added, _)| added);
    if added > 0 {
        ctx.data.changed(key, Class::Set, "sadd");
    }
    ctx.reply.integer(added as i64);
    Ok(())
}

fn srem(ctx: &mut Ctx<'_>) -> Result {
    let (key, members) = (ctx.key(1), &ctx.args[2..]);
    let edited = ctx.data.edit(key, None, |value, _, _| {
        let set = set_mut(value)?;
        Ok(members.iter().filter(|member| set.remove(member)).count())
    })?;
    let removed = match edited {
        Some((removed, left)) if removed > 0 => {
            collection::changed(&mut ctx.data, key, left, Class::Set, "srem");
            removed
        }
        _ => 0,
    };
    ctx.reply.integer(removed as i64);
    Ok(())
}

fn smove(ctx: &mut Ctx<'_>) -> Result {
    let (source, target, member) = (ctx.key(1), ctx.key(2), ctx.arg(3));
    let there = match ctx.data.peek(source) {
        None => {
            ctx.reply.integer(0);
            return Ok(());
        }
        Some(stored) => set_view(stored)?.contains(member),
    };
    ctx.data.peek(target).map(set_view).transpose()?;
    if there && source.name != target.name {
        let edited =
            ctx.data.edit(source, None, |value, _, _| Ok(set_mut(value)?.remove(member)))?;
        if let Some((_, left)) = edited {
            collection::changed(&mut ctx.data, source, left, Class::Set, "srem");
        }
        let edited = ctx.data.edit(target, Some(new_set), |value, limits, _| {
            let set = set_mut(value)?;
            prepare(set, limits, &[member]);
            Ok(set.add(limits, member))
        })?;
        if matches!(edited, Some((true, _))) {
            ctx.data.changed(target, Class::Set, "sadd");
        }
    }
    ctx.reply.integer(there.into());
    Ok(())
}

fn scard(ctx: &mut Ctx<'_>) -> Result {
    let len = match ctx.data.stored(ctx.data.key(ctx.args[1])) {
        None => 0,
        Some(stored) => set_view(stored)?.len(),
    };
    ctx.reply.integer(len as i64);
    Ok(())
}

fn sismember(ctx: &mut Ctx<'_>) -> Result {
    let is_member = match ctx.data.stored(ctx.data.key(ctx.args[1])) {
        None => false,
        Some(stored) => set_view(stored)?.contains(ctx.args[2]),
    };
    ctx.reply.integer(is_member.into());
    Ok(())
}

fn smismember(ctx: &mut Ctx<'_>) -> Result {
    let stored = ctx.data.stored(ctx.data.key(ctx.args[1]));
    let set = stored.map(set_view).transpose()?;
    let members = &ctx.args[2..];
    ctx.reply.array(members.len());
    for member in members {
        let is_member = set.is_some_and(|set| set.contains(member));
        ctx.reply.integer(is_member.into());
    }
    Ok(())
}

// HOT PATH: members go straight from the value to the reply.
fn smembers(ctx: &mut Ctx<'_>) -> Result {
    let reply = &mut ctx.reply;
    let Some(stored) = ctx.data.stored(ctx.data.key(ctx.args[1])) else {
        reply.set(0);
        return Ok(());
    };
    let set = set_view(stored)?;
    if let SetRef::Packed(_) = set {
        // The packed form does not know its length: one walk instead of two.
        let mark = reply.deferred();
        let mut count = 0;
        set.iter().for_each(|entry| {
            write_entry(reply, entry);
            count += 1;
        });
        reply.finish_set(mark, count);
    } else {
        reply.set(set.len());
        set.iter().for_each(|entry| write_entry(reply, entry));
    }
    Ok(())
}

fn sscan(ctx: &mut Ctx<'_>) -> Result {
    let cursor = collection::scan_cursor(ctx.arg(2))?;
    let Some(stored) = ctx.data.stored(ctx.data.key(ctx.args[1])) else {
        collection::empty_scan(&mut ctx.reply);
        return Ok(());
    };
    let set = set_view(stored)?;
    let options = ScanOptions::parse(ctx.args, false)?;
    let mut found: SmallVec<[Entry<'_>; 32]> = SmallVec::new();
    let next = options.run(cursor, |cursor| {
        let mut visited = 0;
        let next = set.scan(cursor, |entry| {
            visited += 1;
            if options.admits(entry) {
                found.push(entry);
            }
        });
        (next, visited)
    });
    ctx.reply.array(2);
    ctx.reply.bulk(next.to_string());
    ctx.reply.array(found.len());
    for entry in found {
        write_entry(&mut ctx.reply, entry);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ochre_resp::Protocol;

    use crate::testing::Bench;

    const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value|";

    /// Runs a check with sets of integers, packed ones and tables.
    fn in_each_form(check: impl Fn(&mut Bench)) {
        for (ints, packed) in [(512, 128), (0, 128), (0, 0)] {
            let mut bench = Bench::new();
            bench.limits.set_max_intset_entries = ints;
            bench.limits.set_max_listpack_entries = packed;
            check(&mut bench);
        }
    }

    #[test]
    fn adds_removes_and_asks() {
        in_each_form(|bench| {
            assert_eq!(bench.run("SADD s 1 2 2"), ":2|");
            assert_eq!(bench.run("SADD s 2 3"), ":1|");
            assert_eq!(bench.run("SADD s 3"), ":0|");
            assert_eq!(bench.run("SCARD s"), ":3|");
            assert_eq!(bench.run("SISMEMBER s 3"), ":1|");
            assert_eq!(bench.run("SISMEMBER s x"), ":0|");
            assert_eq!(bench.run("SMISMEMBER s 1 x 3"), "*3|:1|:0|:1|");
            assert_eq!(bench.run("SMISMEMBER no 1 x"), "*2|:0|:0|");
            assert_eq!(bench.run("SREM s x"), ":0|");
            assert_eq!(bench.run("SREM s 1 x 2"), ":2|");
            assert_eq!(bench.run("SMEMBERS s"), "*1|$1|3|");
            assert_eq!(bench.run("SADD s x"), ":1|");
            assert_eq!(bench.run("SREM s 3 x"), ":2|");
            assert_eq!(bench.run("SMEMBERS s"), "*0|");
            assert_eq!(bench.run("SCARD s"), ":0|");
            assert_eq!(bench.run("SREM s 3"), ":0|");
            assert_eq!(bench.run("SISMEMBER s 3"), ":0|");
            assert_eq!(
                bench.log_text(),
                "SELECT 0; SADD s 1 2 2; SADD s 2 3; SREM s 1 x 2; SADD s x; SREM s 3 x"
            );
        });
    }

    #[test]
    fn moves_a_member() {
        in_each_form(|bench| {
            assert_eq!(bench.run("SMOVE a b 1"), ":0|");
            bench.run("SADD a 1 2");
            assert_eq!(bench.run("SMOVE a b 9"), ":0|");
            assert_eq!(bench.run("SMOVE a b 1"), ":1|");
            assert_eq!(bench.run("SMOVE a a 2"), ":1|");
            assert_eq!(bench.run("SMOVE a a 9"), ":0|");
            bench.run("SADD b 2");
            assert_eq!(bench.run("SMOVE a b 2"), ":1|");
            assert_eq!(bench.run("SCARD a"), ":0|");
            assert_eq!(bench.run("SCARD b"), ":2|");
            assert_eq!(
                bench.log_text(),
                "SELECT 0; SADD a 1 2; SMOVE a b 1; SADD b 2; SMOVE a b 2"
            );
        });
    }

    #[test]
    fn other_types_are_refused() {
        let mut bench = Bench::new();
        bench.run("RPUSH l a");
        bench.run("SADD s a");
        for line in [
            "SADD l a",
            "SREM l a",
            "SMOVE l s a",
            "SMOVE s l a",
            "SMOVE s l x",
            "SCARD l",
            "SISMEMBER l a",
            "SMISMEMBER l a",
            "SMEMBERS l",
            "SSCAN l 0 x",
        ] {
            assert_eq!(bench.run(line), WRONG, "{line}");
        }
        assert_eq!(bench.run("SMOVE no l a"), ":0|");
        assert_eq!(bench.run("SADD s"), "-ERR wrong number of arguments for 'sadd' command|");
    }

    #[test]
    fn resp3_has_sets() {
        let mut bench = Bench::new();
        bench.protocol = Protocol::Resp3;
        assert_eq!(bench.run("SMEMBERS s"), "~0|");
        bench.run("SADD s a");
        assert_eq!(bench.run("SMEMBERS s"), "~1|$1|a|");
        assert_eq!(bench.run("SMISMEMBER s a"), "*1|:1|");
        bench.run("SADD i 7");
        assert_eq!(bench.run("SMEMBERS i"), "~1|$1|7|");
    }

    #[test]
    fn scans_a_small_set_at_once() {
        let mut bench = Bench::new();
        assert_eq!(bench.run("SSCAN s 0 x"), "*2|$1|0|*0|");
        bench.run("SADD s a b 12");
        assert_eq!(bench.run("SSCAN s 0 COUNT 1"), "*2|$1|0|*3|$1|a|$1|b|$2|12|");
        assert_eq!(bench.run("SSCAN s 9 MATCH 1*"), "*2|$1|0|*1|$2|12|");
        assert_eq!(bench.run("SSCAN s 0 MATCH x"), "*2|$1|0|*0|");
        assert_eq!(bench.run("SSCAN s x"), "-ERR invalid cursor|");
        assert_eq!(
            bench.run("SSCAN s 0 NOVALUES"),
            "-ERR NOVALUES option can only be used in HSCAN|"
        );
        for line in ["SSCAN s 0 x", "SSCAN s 0 MATCH", "SSCAN s 0 COUNT 0"] {
            assert_eq!(bench.run(line), "-ERR syntax error|");
        }
        assert_eq!(bench.run("SSCAN s 0 COUNT x"), "-ERR value is not an integer or out of range|");
    }

    #[test]
    fn scans_a_table_in_steps() {
        let mut bench = Bench::new();
        for n in 0..1000 {
            bench.run(&format!("SADD s m{n} {n}"));
        }
        let (mut seen, mut cursor, mut calls) = (BTreeSet::new(), "0".to_owned(), 0);
        loop {
            let reply = bench.run(&format!("SSCAN s {cursor} COUNT 100"));
            let mut words = reply.split('|').filter(|word| !word.starts_with(['*', '$']));
            cursor = words.next().unwrap_or_default().to_owned();
            seen.extend(words.filter(|word| !word.is_empty()).map(str::to_owned));
            calls += 1;
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(seen.len(), 2000);
        assert!((10..=25).contains(&calls), "{calls}");
    }

    #[test]
    fn a_cursor_may_be_anything() {
        let mut bench = Bench::new();
        for n in 0..2000 {
            bench.run(&format!("SADD s m{n} {n}"));
        }
        for cursor in [u64::MAX, 1 << 48, (1 << 49) - 1, (1 << 48) - 1, 1 << 32, 12_345_678_901] {
            let reply = bench.run(&format!("SSCAN s {cursor} COUNT 10"));
            assert!(reply.starts_with("*2|"), "{reply}");
        }
    }
}
