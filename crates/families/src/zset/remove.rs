//! Removing members: ZREM, ZREMRANGEBYRANK, ZREMRANGEBYSCORE, ZREMRANGEBYLEX.

use ochre_command::Ctx;
use ochre_command::outcome::Result;
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_types::zset::Order;

use super::bounds::{Bounds, Ranks, lex_range, score_range};
use super::{edit, removed};

const REMOVES: KeySpec = KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE));
const COST: &str = "O(log(N)+M) where N is the number of members of the set and M that of those \
                    removed.";

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new(
        "zrem",
        -3,
        Flags::WRITE.union(Flags::FAST),
        Group::SortedSet,
        zrem,
    )
    .element(2).keys(&[REMOVES])
    .docs(
        "1.2.0",
        "Removes members from a sorted set.",
        "O(M*log(N)) where N is the number of members of the set and M that of those to remove.",
        "key member [member ...]",
    ),
    CommandSpec::new("zremrangebyrank", 4, Flags::WRITE, Group::SortedSet, by_rank)
        .keys(&[REMOVES])
        .docs("2.0.0", "Removes the members in a range of ranks.", COST, "key start stop"),
    CommandSpec::new("zremrangebyscore", 4, Flags::WRITE, Group::SortedSet, by_score)
        .keys(&[REMOVES])
        .docs("1.2.0", "Removes the members in a range of scores.", COST, "key min max"),
    CommandSpec::new("zremrangebylex", 4, Flags::WRITE, Group::SortedSet, by_lex)
        .keys(&[REMOVES])
        .docs(
            "2.8.9",
            "Removes the members in a range of names, all scores being equal.",
            COST,
            "key min max",
        ),
];

fn zrem(ctx: &mut Ctx<'_>) -> Result {
    let (key, members) = (ctx.key(1), &ctx.args[2..]);
    let done = edit(&mut ctx.data, key, false, |zset, _, _| {
        Ok(members.iter().filter(|member| zset.remove(member).is_some()).count())
    })?;
    if let Some((count @ 1.., left)) = done {
        removed(&mut ctx.data, key, "zrem", left);
        ctx.reply.integer(count as i64);
    } else {
        ctx.reply.integer(0);
    }
    Ok(())
}

fn by_rank(ctx: &mut Ctx<'_>) -> Result {
    let bounds = Bounds::Ranks(Ranks::parse(ctx.args[2], ctx.args[3])?);
    remove_range(ctx, bounds, "zremrangebyrank")
}

fn by_score(ctx: &mut Ctx<'_>) -> Result {
    let bounds = Bounds::Scores(score_range(ctx.args[2], ctx.args[3])?);
    remove_range(ctx, bounds, "zremrangebyscore")
}

fn by_lex(ctx: &mut Ctx<'_>) -> Result {
    let bounds = Bounds::Members(lex_range(ctx.args[2], ctx.args[3])?);
    remove_range(ctx, bounds, "zremrangebylex")
}

fn remove_range(ctx: &mut Ctx<'_>, bounds: Bounds<'_>, event: &'static str) -> Result {
    let key = ctx.key(1);
    let done = edit(&mut ctx.data, key, false, |zset, _, _| {
        let span = bounds.span(zset.view(), Order::Ascending);
        Ok(zset.remove_span(span))
    })?;
    if let Some((count @ 1.., left)) = done {
        removed(&mut ctx.data, key, event, left);
        ctx.reply.integer(count as i64);
    } else {
        ctx.reply.integer(0);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn zrem_counts_and_drops_the_key() {
        let mut bench = Bench::new();
        bench.run("ZADD z 1 a 2 b 3 c");
        assert_eq!(bench.run("ZREM z a none a"), ":1|");
        assert_eq!(bench.run("ZREM z none"), ":0|");
        assert_eq!(bench.run("ZREM none a"), ":0|");
        assert_eq!(bench.run("ZREM z b c"), ":2|");
        assert_eq!(bench.run("EXISTS z"), ":0|");
        assert_eq!(bench.log_text(), "SELECT 0; ZADD z 1 a 2 b 3 c; ZREM z a none a; ZREM z b c");
    }

    #[test]
    fn ranges_in_both_encodings() {
        for entries in [128, 0] {
            let mut bench = Bench::new();
            bench.limits.zset_max_listpack_entries = entries;
            for (line, reply, left) in [
                ("ZREMRANGEBYRANK z 1 2", 2, "*3|$1|a|$1|d|$1|e|"),
                ("ZREMRANGEBYRANK z -2 -1", 2, "*3|$1|a|$1|b|$1|c|"),
                ("ZREMRANGEBYRANK z 5 9", 0, "*5|$1|a|$1|b|$1|c|$1|d|$1|e|"),
                ("ZREMRANGEBYSCORE z (0 (0", 0, "*5|$1|a|$1|b|$1|c|$1|d|$1|e|"),
                ("ZREMRANGEBYLEX z (b [d", 2, "*3|$1|a|$1|b|$1|e|"),
                ("ZREMRANGEBYLEX z - (e", 4, "*1|$1|e|"),
                ("ZREMRANGEBYSCORE z -inf 0", 5, "*0|"),
            ] {
                bench.run("DEL z");
                bench.run("ZADD z 0 a 0 b 0 c 0 d 0 e");
                assert_eq!(bench.run(line), format!(":{reply}|"), "{line}");
                assert_eq!(bench.run("ZRANGE z 0 -1"), left, "{line}");
            }
            assert_eq!(bench.run("EXISTS z"), ":0|");
            assert_eq!(bench.run("ZREMRANGEBYRANK z 0 -1"), ":0|");
        }
    }

    #[test]
    fn errors() {
        let mut bench = Bench::new();
        bench.run("SET s v");
        for (line, error) in [
            ("ZREMRANGEBYRANK s x 1", "value is not an integer or out of range"),
            ("ZREMRANGEBYSCORE s x 1", "min or max is not a float"),
            ("ZREMRANGEBYLEX s x 1", "min or max not valid string range item"),
        ] {
            assert_eq!(bench.run(line), format!("-ERR {error}|"));
        }
        for line in
            ["ZREM s a", "ZREMRANGEBYRANK s 0 1", "ZREMRANGEBYSCORE s 0 1", "ZREMRANGEBYLEX s - +"]
        {
            assert!(bench.run(line).starts_with("-WRONGTYPE"), "{line}");
        }
    }
}
