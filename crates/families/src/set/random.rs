//! Members at random: SPOP and SRANDMEMBER.
//!
//! What SPOP chose is logged as SREM of the members, in portions, or as DEL when all of them were asked for.

use ochre_base::rng::Rng;
use ochre_command::Ctx;
use ochre_command::args;
use ochre_command::data::{Class, Left};
use ochre_command::outcome::{self, Result};
use ochre_command::spec::{CommandSpec, Flags, Group, KeySpec};
use smallvec::SmallVec;

use super::{READS, TAKES, WRITE_FAST, set_mut, set_view};
use crate::collection::{self, Sample, write_entry};

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("spop", -2, WRITE_FAST, Group::Set, spop)
        .keys(&[KeySpec::one(1, TAKES)])
        .docs(
            "1.0.0",
            "Removes random members from a set and returns them.",
            "O(N) for N returned members",
            "key [count]",
        )
        .tips(&["nondeterministic_output"]),
    CommandSpec::new("srandmember", -2, Flags::READONLY, Group::Set, srandmember)
        .keys(&[KeySpec::one(1, READS)])
        .docs(
            "1.0.0",
            "Returns random members of a set.",
            "O(N) for N returned members",
            "key [count]",
        )
        .tips(&["nondeterministic_output"]),
];

/// Members in one logged SREM at most, so that no logged command is too long for a peer.
const LOGGED_MEMBERS_MAX: usize = 1024;

fn spop(ctx: &mut Ctx<'_>) -> Result {
    match ctx.args.len() {
        2 => pop_one(ctx),
        3 => {
            let count = args::positive_int(ctx.arg(2))? as usize;
            pop_counted(ctx, count)
        }
        _ => Err(outcome::SYNTAX),
    }
}

fn pop_one(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(1);
    let logs = ctx.data.env.log.is_on();
    let reply = &mut ctx.reply;
    let mut member: SmallVec<[u8; 64]> = SmallVec::new();
    let edited = ctx.data.edit(key, None, |value, _, work| {
        set_mut(value)?.pop(
            || work.rng.next_u64(),
            |entry| {
                write_entry(reply, entry);
                if logs {
                    member.extend_from_slice(entry.text(&mut [0; 20]));
                }
            },
        );
        Ok(())
    })?;
    let Some(((), left)) = edited else {
        ctx.reply.null();
        return Ok(());
    };
    collection::changed(&mut ctx.data, key, left, Class::Set, "spop");
    ctx.data.effect([b"SREM", key.name, &member].iter());
    Ok(())
}

fn pop_counted(ctx: &mut Ctx<'_>, count: usize) -> Result {
    let key = ctx.key(1);
    let Some(stored) = ctx.data.peek(key) else {
        ctx.reply.set(0);
        return Ok(());
    };
    let set = set_view(stored)?;
    if count == 0 {
        ctx.reply.set(0);
        return Ok(());
    }
    let len = set.len();
    if count >= len {
        ctx.reply.set(len);
        set.iter().for_each(|entry| write_entry(&mut ctx.reply, entry));
        ctx.data.delete(key);
        collection::changed(&mut ctx.data, key, Left::Nothing, Class::Set, "spop");
        ctx.data.effect([b"DEL", key.name].iter());
        return Ok(());
    }

    let logs = ctx.data.env.log.is_on();
    let reply = &mut ctx.reply;
    // The members' bytes, one behind the other, and where each ends.
    let (mut bytes, mut ends) = (Vec::new(), Vec::new());
    reply.set(count);
    ctx.data.edit(key, None, |value, _, work| {
        let set = set_mut(value)?;
        for _ in 0..count {
            set.pop(
                || work.rng.next_u64(),
                |entry| {
                    write_entry(reply, entry);
                    if logs {
                        entry.append_to(&mut bytes);
                        ends.push(bytes.len());
                    }
                },
            );
        }
        Ok(())
    })?;
    ctx.data.changed(key, Class::Set, "spop");
    ctx.data.no_effect();
    let mut start = 0;
    for portion in ends.chunks(LOGGED_MEMBERS_MAX) {
        let mut effect: Vec<&[u8]> = vec![b"SREM", key.name];
        for &end in portion {
            effect.push(&bytes[start..end]);
            start = end;
        }
        ctx.data.effect(effect.iter());
    }
    Ok(())
}

fn srandmember(ctx: &mut Ctx<'_>) -> Result {
    let sample = match ctx.args.len() {
        2 => None,
        3 => Some(Sample::parse(ctx.arg(2))?),
        _ => return Err(outcome::SYNTAX),
    };
    // A generator of its own, because the value is borrowed from where the loop's generator is.
    let mut rng = Rng::new(ctx.data.work.rng.next_u64());
    let random = || rng.next_u64();
    let reply = &mut ctx.reply;
    let stored = ctx.data.stored(ctx.data.key(ctx.args[1]));
    let set = stored.map(set_view).transpose()?;
    let Some(sample) = sample else {
        match set.and_then(|set| set.random(random)) {
            None => reply.null(),
            Some(entry) => write_entry(reply, entry),
        }
        return Ok(());
    };
    let Some(set) = set else {
        reply.empty_array();
        return Ok(());
    };
    sample.check()?;
    match sample {
        Sample::Repeating(n) => {
            reply.array(n);
            set.sample(n, random, |entry| write_entry(reply, entry));
        }
        Sample::Distinct(n) => {
            let mark = reply.deferred();
            let mut count = 0;
            set.sample_distinct(n, random, |entry| {
                write_entry(reply, entry);
                count += 1;
            });
            reply.finish_array(mark, count);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ochre_resp::Protocol;

    use crate::testing::Bench;

    const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value|";

    fn in_each_form(check: impl Fn(&mut Bench)) {
        for (ints, packed) in [(512, 128), (0, 128), (0, 0)] {
            let mut bench = Bench::new();
            bench.limits.set_max_intset_entries = ints;
            bench.limits.set_max_listpack_entries = packed;
            check(&mut bench);
        }
    }

    /// The elements of an aggregate of strings.
    fn elements(reply: &str) -> Vec<String> {
        let words = reply.split('|').skip(2).step_by(2);
        words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }

    #[test]
    fn spop_removes_what_it_returns_and_logs_it() {
        in_each_form(|bench| {
            assert_eq!(bench.run("SPOP s"), "$-1|");
            assert_eq!(bench.run("SPOP s 2"), "*0|");
            bench.run("SADD s 1 2 3 4 5");
            let one = bench.run("SPOP s");
            let one = one.split('|').nth(1).expect("a member").to_owned();
            assert_eq!(bench.run("SPOP s 0"), "*0|");
            let two = elements(&bench.run("SPOP s 2"));
            assert_eq!(
                bench.log_text(),
                format!("SELECT 0; SADD s 1 2 3 4 5; SREM s {one}; SREM s {} {}", two[0], two[1])
            );
            let rest = elements(&bench.run("SPOP s 9"));
            let all: BTreeSet<_> = two.into_iter().chain(rest).chain([one]).collect();
            assert_eq!(all.len(), 5);
            assert_eq!(bench.run("SCARD s"), ":0|");
            assert!(bench.log_text().ends_with("; DEL s"));
            bench.run("SADD s 7");
            assert_eq!(bench.run("SPOP s"), "$1|7|");
            assert!(bench.log_text().ends_with("; SADD s 7; SREM s 7"));
        });
    }

    #[test]
    fn a_long_spop_is_logged_in_portions() {
        let mut bench = Bench::new();
        for n in 0..3000 {
            bench.run(&format!("SADD s member-{n}"));
        }
        assert!(bench.run("SPOP s 2500").starts_with("*2500|"));
        assert_eq!(bench.run("SCARD s"), ":500|");
        assert_eq!(bench.log_text().matches("SREM s ").count(), 3);
    }

    #[test]
    fn srandmember_samples() {
        in_each_form(|bench| {
            assert_eq!(bench.run("SRANDMEMBER s"), "$-1|");
            assert_eq!(bench.run("SRANDMEMBER s 2"), "*0|");
            bench.run("SADD s 1 2 3");
            assert!(bench.run("SRANDMEMBER s").starts_with("$1|"));
            assert_eq!(bench.run("SRANDMEMBER s 0"), "*0|");
            let two: BTreeSet<_> = elements(&bench.run("SRANDMEMBER s 2")).into_iter().collect();
            assert_eq!(two.len(), 2);
            let all: BTreeSet<_> = elements(&bench.run("SRANDMEMBER s 9")).into_iter().collect();
            assert_eq!(all.len(), 3);
            assert_eq!(elements(&bench.run("SRANDMEMBER s -9")).len(), 9);
            assert_eq!(bench.run("SCARD s"), ":3|");
        });
    }

    #[test]
    fn bad_arguments() {
        let mut bench = Bench::new();
        bench.run("RPUSH l a");
        for line in ["SPOP l", "SPOP l 0", "SPOP l 1", "SRANDMEMBER l", "SRANDMEMBER l 1"] {
            assert_eq!(bench.run(line), WRONG);
        }
        for line in ["SPOP l -1", "SPOP s x"] {
            assert_eq!(bench.run(line), "-ERR value is out of range, must be positive|");
        }
        for line in ["SPOP s 1 2", "SRANDMEMBER s 1 2"] {
            assert_eq!(bench.run(line), "-ERR syntax error|");
        }
        assert_eq!(bench.run("SRANDMEMBER s x"), "-ERR value is not an integer or out of range|");
        for count in ["-9223372036854775808", "-9223372036854775807"] {
            bench.run("SADD s a");
            assert!(
                bench
                    .run(&format!("SRANDMEMBER s {count}"))
                    .starts_with("-ERR value is out of range")
            );
        }
        bench.protocol = Protocol::Resp3;
        assert_eq!(bench.run("SPOP no 3"), "~0|");
        assert_eq!(bench.run("SRANDMEMBER no 3"), "*0|");
        assert_eq!(bench.run("SRANDMEMBER no"), "_|");
        assert_eq!(bench.run("SRANDMEMBER s 3"), "*1|$1|a|");
        assert_eq!(bench.run("SPOP s 3"), "~1|$1|a|");
    }
}
