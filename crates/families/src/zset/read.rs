//! Reading by member and counting: ZCARD, ZSCORE, ZMSCORE, ZRANK, ZREVRANK, ZCOUNT, ZLEXCOUNT.

use ochre_command::Ctx;
use ochre_command::args::is;
use ochre_command::outcome::{self, Result};
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_types::zset::Order;

use super::bounds::{lex_range, score_range};
use super::read;

const READ_FAST: Flags = Flags::READONLY.union(Flags::FAST);
const READS: KeySpec = KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS));

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("zcard", 2, READ_FAST, Group::SortedSet, zcard)
        .keys(&[KeySpec::one(1, KeyFlags::RO)])
        .docs("1.2.0", "Counts the members of a sorted set.", "O(1)", "key"),
    CommandSpec::new("zscore", 3, READ_FAST, Group::SortedSet, zscore)
        .element(2)
        .keys(&[READS])
        .docs("1.2.0", "Gives the score of a member.", "O(1)", "key member"),
    CommandSpec::new("zmscore", -3, READ_FAST, Group::SortedSet, zmscore).keys(&[READS]).docs(
        "6.2.0",
        "Gives the scores of several members.",
        "O(N) where N is the number of members asked for.",
        "key member [member ...]",
    ),
    CommandSpec::new("zrank", -3, READ_FAST, Group::SortedSet, zrank)
        .element(2)
        .keys(&[READS])
        .docs(
            "2.0.0",
            "Gives the place of a member, counted from the lowest score.",
            "O(log(N)) where N is the number of members of the set.",
            "key member [WITHSCORE]",
        ),
    CommandSpec::new("zrevrank", -3, READ_FAST, Group::SortedSet, zrevrank)
        .element(2)
        .keys(&[READS])
        .docs(
            "2.0.0",
            "Gives the place of a member, counted from the highest score.",
            "O(log(N)) where N is the number of members of the set.",
            "key member [WITHSCORE]",
        ),
    CommandSpec::new("zcount", 4, READ_FAST, Group::SortedSet, zcount).keys(&[READS]).docs(
        "2.0.0",
        "Counts the members with scores in a range.",
        "O(log(N)) where N is the number of members of the set.",
        "key min max",
    ),
    CommandSpec::new("zlexcount", 4, READ_FAST, Group::SortedSet, zlexcount).keys(&[READS]).docs(
        "2.8.9",
        "Counts the members in a range of names, all scores being equal.",
        "O(log(N)) where N is the number of members of the set.",
        "key min max",
    ),
];

fn zcard(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(1);
    let len = read(&mut ctx.data, key)?.map_or(0, |set| set.len());
    ctx.reply.integer(len as i64);
    Ok(())
}

fn zscore(ctx: &mut Ctx<'_>) -> Result {
    let (key, member) = (ctx.key(1), ctx.args[2]);
    match read(&mut ctx.data, key)?.and_then(|set| set.score(member)) {
        Some(score) => ctx.reply.double(score),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn zmscore(ctx: &mut Ctx<'_>) -> Result {
    let (key, members) = (ctx.key(1), &ctx.args[2..]);
    let set = read(&mut ctx.data, key)?;
    ctx.reply.array(members.len());
    for member in members {
        match set.and_then(|set| set.score(member)) {
            Some(score) => ctx.reply.double(score),
            None => ctx.reply.null(),
        }
    }
    Ok(())
}

fn zrank(ctx: &mut Ctx<'_>) -> Result {
    rank(ctx, Order::Ascending)
}

fn zrevrank(ctx: &mut Ctx<'_>) -> Result {
    rank(ctx, Order::Descending)
}

fn rank(ctx: &mut Ctx<'_>, order: Order) -> Result {
    let with_score = match ctx.args.get(3..) {
        None | Some([]) => false,
        Some([word]) if is(word, "withscore") => true,
        Some([_]) => return Err(outcome::SYNTAX),
        Some(_) => return Err(outcome::wrong_arity(ctx.name())),
    };
    let (key, member) = (ctx.key(1), ctx.args[2]);
    let found = read(&mut ctx.data, key)?.and_then(|set| set.rank(member, order));
    match found {
        Some((rank, score)) if with_score => {
            ctx.reply.array(2);
            ctx.reply.integer(rank as i64);
            ctx.reply.double(score);
        }
        Some((rank, _)) => ctx.reply.integer(rank as i64),
        None if with_score => ctx.reply.null_array(),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn zcount(ctx: &mut Ctx<'_>) -> Result {
    let range = score_range(ctx.args[2], ctx.args[3])?;
    let key = ctx.key(1);
    let count = read(&mut ctx.data, key)?.map_or(0, |set| set.score_span(&range).len());
    ctx.reply.integer(count as i64);
    Ok(())
}

fn zlexcount(ctx: &mut Ctx<'_>) -> Result {
    let range = lex_range(ctx.args[2], ctx.args[3])?;
    let key = ctx.key(1);
    let count = read(&mut ctx.data, key)?.map_or(0, |set| set.lex_span(&range).len());
    ctx.reply.integer(count as i64);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use ochre_resp::Protocol;

    /// The same answers for a listpack and a skiplist, which an added and removed long member makes.
    fn both(check: impl Fn(&mut Bench)) {
        for skiplist in [false, true] {
            let mut bench = Bench::new();
            if skiplist {
                let long = "x".repeat(65);
                bench.run(&format!("ZADD z 0 {long}"));
                bench.run("ZADD z 1 a 2 b 2.5 c -inf d");
                bench.run(&format!("ZREM z {long}"));
                assert_eq!(bench.run("OBJECT ENCODING z"), "$8|skiplist|");
            } else {
                bench.run("ZADD z 1 a 2 b 2.5 c -inf d");
                assert_eq!(bench.run("OBJECT ENCODING z"), "$8|listpack|");
            }
            check(&mut bench);
        }
    }

    #[test]
    fn by_member() {
        both(|bench| {
            assert_eq!(bench.run("ZCARD z"), ":4|");
            assert_eq!(bench.run("ZCARD none"), ":0|");
            assert_eq!(bench.run("ZSCORE z c"), "$3|2.5|");
            assert_eq!(bench.run("ZSCORE z none"), "$-1|");
            assert_eq!(bench.run("ZSCORE none a"), "$-1|");
            assert_eq!(bench.run("ZMSCORE z a none d"), "*3|$1|1|$-1|$4|-inf|");
            assert_eq!(bench.run("ZMSCORE none a b"), "*2|$-1|$-1|");
            bench.protocol = Protocol::Resp3;
            assert_eq!(bench.run("ZSCORE z c"), ",2.5|");
            assert_eq!(bench.run("ZMSCORE z a none d"), "*3|,1|_|,-inf|");
        });
    }

    #[test]
    fn ranks() {
        both(|bench| {
            assert_eq!(bench.run("ZRANK z d"), ":0|");
            assert_eq!(bench.run("ZRANK z c"), ":3|");
            assert_eq!(bench.run("ZREVRANK z c"), ":0|");
            assert_eq!(bench.run("ZRANK z none"), "$-1|");
            assert_eq!(bench.run("ZRANK z b withscore"), "*2|:2|$1|2|");
            assert_eq!(bench.run("ZREVRANK none b WITHSCORE"), "*-1|");
            assert_eq!(bench.run("ZRANK z b foo"), "-ERR syntax error|");
            let arity = "-ERR wrong number of arguments for 'zrank' command|";
            assert_eq!(bench.run("ZRANK z b withscore x"), arity);
            bench.protocol = Protocol::Resp3;
            assert_eq!(bench.run("ZRANK z b withscore"), "*2|:2|,2|");
            assert_eq!(bench.run("ZRANK z none withscore"), "_|");
        });
    }

    #[test]
    fn counts() {
        both(|bench| {
            for (range, count) in [("-inf +inf", 4), ("1 2", 2), ("(1 2", 1), ("2 1", 0)] {
                assert_eq!(bench.run(&format!("ZCOUNT z {range}")), format!(":{count}|"));
            }
            bench.run("ZADD lex 0 a 0 b 0 c");
            for (range, count) in [("- +", 3), ("[a [b", 2), ("(a [b", 1), ("[b [a", 0)] {
                assert_eq!(bench.run(&format!("ZLEXCOUNT lex {range}")), format!(":{count}|"));
            }
            assert_eq!(bench.run("ZCOUNT none 0 1"), ":0|");
            assert_eq!(bench.run("ZLEXCOUNT none - +"), ":0|");
            assert_eq!(bench.run("ZCOUNT z x 1"), "-ERR min or max is not a float|");
            assert_eq!(
                bench.run("ZLEXCOUNT z a b"),
                "-ERR min or max not valid string range item|"
            );
        });
    }

    #[test]
    fn other_types_are_refused() {
        let mut bench = Bench::new();
        bench.run("SET s v");
        for line in [
            "ZCARD s",
            "ZSCORE s a",
            "ZMSCORE s a",
            "ZRANK s a",
            "ZREVRANK s a",
            "ZCOUNT s 0 1",
            "ZLEXCOUNT s - +",
        ] {
            assert!(bench.run(line).starts_with("-WRONGTYPE"), "{line}");
        }
    }
}
