//! Ranges: ZRANGE with all its options, ZRANGESTORE, and the older commands that ZRANGE unites.

use std::ops::Range;

use ochre_command::Ctx;
use ochre_command::args::Cursor;
use ochre_command::outcome::{self, ReplyError, Result};
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_types::zset::{Order, Zset, ZsetRef};

use super::bounds::{Bounds, Ranks, lex_range, score_range};
use super::store::store;
use super::{Scores, read, write_entries};

const READ: Flags = Flags::READONLY;
const READS: KeySpec = KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS));
const COST: &str = "O(log(N)+M) where N is the number of members of the set and M that of the \
                    members in the range.";

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("zrange", -4, READ, Group::SortedSet, zrange).keys(&[READS]).docs(
        "1.2.0",
        "Gives the members in a range of ranks, scores or names.",
        COST,
        "key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]",
    ),
    CommandSpec::new("zrevrange", -4, READ, Group::SortedSet, zrevrange)
        .keys(&[READS])
        .deprecated("6.2.0", "`ZRANGE` with the `REV` argument")
        .docs(
            "1.2.0",
            "Gives the members in a range of ranks, counted from the highest score.",
            COST,
            "key start stop [WITHSCORES]",
        ),
    CommandSpec::new("zrangebyscore", -4, READ, Group::SortedSet, zrangebyscore)
        .keys(&[READS])
        .deprecated("6.2.0", "`ZRANGE` with the `BYSCORE` argument")
        .docs(
            "1.0.5",
            "Gives the members in a range of scores.",
            COST,
            "key min max [WITHSCORES] [LIMIT offset count]",
        ),
    CommandSpec::new("zrevrangebyscore", -4, READ, Group::SortedSet, zrevrangebyscore)
        .keys(&[READS])
        .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments")
        .docs(
            "2.2.0",
            "Gives the members in a range of scores, the highest first.",
            COST,
            "key max min [WITHSCORES] [LIMIT offset count]",
        ),
    CommandSpec::new("zrangebylex", -4, READ, Group::SortedSet, zrangebylex)
        .keys(&[READS])
        .deprecated("6.2.0", "`ZRANGE` with the `BYLEX` argument")
        .docs(
            "2.8.9",
            "Gives the members in a range of names, all scores being equal.",
            COST,
            "key min max [LIMIT offset count]",
        ),
    CommandSpec::new("zrevrangebylex", -4, READ, Group::SortedSet, zrevrangebylex)
        .keys(&[READS])
        .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments")
        .docs(
            "2.8.9",
            "Gives the members in a range of names, the last first, all scores being equal.",
            COST,
            "key max min [LIMIT offset count]",
        ),
    CommandSpec::new(
        "zrangestore",
        -5,
        Flags::WRITE.union(Flags::DENYOOM),
        Group::SortedSet,
        zrangestore,
    )
    .keys(&[
        KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)),
        KeySpec::one(2, KeyFlags::RO.union(KeyFlags::ACCESS)),
    ])
    .docs(
        "6.2.0",
        "Stores the members in a range of ranks, scores or names under another key.",
        COST,
        "dst src min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]",
    ),
];

/// What bounds are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

/// What a command's name settles before its options are read; none is left to the options.
#[derive(Clone, Copy, Debug)]
struct Form {
    by: Option<By>,
    order: Option<Order>,
    /// Whether WITHSCORES is known.
    scores: bool,
}

fn zrange(ctx: &mut Ctx<'_>) -> Result {
    answer(ctx, None, None)
}

fn zrevrange(ctx: &mut Ctx<'_>) -> Result {
    answer(ctx, Some(By::Rank), Some(Order::Descending))
}

fn zrangebyscore(ctx: &mut Ctx<'_>) -> Result {
    answer(ctx, Some(By::Score), Some(Order::Ascending))
}

fn zrevrangebyscore(ctx: &mut Ctx<'_>) -> Result {
    answer(ctx, Some(By::Score), Some(Order::Descending))
}

fn zrangebylex(ctx: &mut Ctx<'_>) -> Result {
    answer(ctx, Some(By::Lex), Some(Order::Ascending))
}

fn zrevrangebylex(ctx: &mut Ctx<'_>) -> Result {
    answer(ctx, Some(By::Lex), Some(Order::Descending))
}

fn answer(ctx: &mut Ctx<'_>, by: Option<By>, order: Option<Order>) -> Result {
    let form = Form { by, order, scores: true };
    let query = Query::parse(ctx.args, 2, form)?;
    let key = ctx.key(1);
    let Some(set) = read(&mut ctx.data, key)? else {
        ctx.reply.empty_array();
        return Ok(());
    };
    let span = query.span(set);
    let entries = set.iter_span(span.clone(), query.order);
    write_entries(&mut ctx.reply, span.len(), entries, query.scores);
    Ok(())
}

fn zrangestore(ctx: &mut Ctx<'_>) -> Result {
    let form = Form { by: None, order: None, scores: false };
    let query = Query::parse(ctx.args, 3, form)?;
    let (target, source) = (ctx.key(1), ctx.key(2));
    let limits = ctx.data.env.limits;
    let result = match read(&mut ctx.data, source)? {
        None => Zset::new(),
        Some(set) => Zset::from_sorted(set.iter_span(query.span(set), Order::Ascending), limits),
    };
    store(ctx, target, result, "zrangestore");
    Ok(())
}

/// A range with its options.
#[derive(Clone, Copy, Debug)]
struct Query<'a> {
    bounds: Bounds<'a>,
    order: Order,
    /// Members of the range to pass over, and to take then; negative: all.
    limit: Option<(i64, i64)>,
    scores: Scores,
}

impl<'a> Query<'a> {
    /// Reads the bounds at `at` and the options behind them.
    fn parse(args: &'a [&'a [u8]], at: usize, form: Form) -> Result<Self> {
        let (mut by, mut order) = (form.by, form.order);
        let (mut limit, mut scores) = (None, Scores::Without);
        let mut cursor = Cursor::new(args, at + 2);
        while cursor.left() > 0 {
            if form.scores && cursor.take("withscores") {
                scores = Scores::With;
            } else if cursor.left() > 2 && cursor.take("limit") {
                limit = Some((cursor.need_int()?, cursor.need_int()?));
            } else if form.order.is_none() && order.is_none() && cursor.take("rev") {
                order = Some(Order::Descending);
            } else if by.is_none() && cursor.take("byscore") {
                by = Some(By::Score);
            } else if by.is_none() && cursor.take("bylex") {
                by = Some(By::Lex);
            } else {
                return Err(outcome::SYNTAX);
            }
        }
        let (by, order) = (by.unwrap_or(By::Rank), order.unwrap_or(Order::Ascending));
        check(by, limit, scores)?;
        let limit = limit.filter(|_| by != By::Rank);
        let (low, high) = match order {
            Order::Descending if by != By::Rank => (args[at + 1], args[at]),
            _ => (args[at], args[at + 1]),
        };
        let bounds = match by {
            By::Rank => Bounds::Ranks(Ranks::parse(low, high)?),
            By::Score => Bounds::Scores(score_range(low, high)?),
            By::Lex => Bounds::Members(lex_range(low, high)?),
        };
        Ok(Self { bounds, order, limit, scores })
    }

    /// The span of ranks that the query asks for, its limit applied.
    fn span(&self, set: ZsetRef<'_>) -> Range<usize> {
        let span = self.bounds.span(set, self.order);
        let Some((offset, count)) = self.limit else { return span };
        // A negative offset passes over everything, as upstream has it.
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(span.len());
        let left = span.len() - offset;
        let count = usize::try_from(count).map_or(left, |count| count.min(left));
        match self.order {
            Order::Ascending => span.start + offset..span.start + offset + count,
            Order::Descending => span.end - offset - count..span.end - offset,
        }
    }
}

fn check(by: By, limit: Option<(i64, i64)>, scores: Scores) -> Result {
    if by == By::Rank && limit.is_some_and(|(_, count)| count != -1) {
        return Err(ReplyError::fixed(
            "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
        ));
    }
    if by == By::Lex && scores == Scores::With {
        return Err(ReplyError::fixed(
            "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use ochre_resp::Protocol;

    /// A bench with a set `z` (a to e, scores 1 to 5) and one of equal scores, in either encoding.
    fn benches() -> [Bench; 2] {
        [false, true].map(|skiplist| {
            let mut bench = Bench::new();
            if skiplist {
                bench.limits.zset_max_listpack_entries = 0;
            }
            bench.run("ZADD z 1 a 2 b 3 c 4 d 5 e");
            bench.run("ZADD lex 0 a 0 b 0 c 0 d 0 e");
            let name = if skiplist { "skiplist" } else { "listpack" };
            assert_eq!(bench.run("OBJECT ENCODING z"), format!("$8|{name}|"));
            bench
        })
    }

    /// The members of a flat reply, joined.
    fn members(reply: &str) -> String {
        assert!(reply.starts_with('*'), "{reply}");
        reply.split('|').skip(2).step_by(2).collect()
    }

    #[test]
    fn each_kind_of_range() {
        for mut bench in benches() {
            for (line, expected) in [
                ("ZRANGE z 0 -1", "abcde"),
                ("ZRANGE z 1 2", "bc"),
                ("ZRANGE z 1 2 REV", "dc"),
                ("ZREVRANGE z 0 1", "ed"),
                ("ZRANGE z 5 9", ""),
                ("ZRANGE z 2 4 BYSCORE", "bcd"),
                ("ZRANGE z (2 (4 BYSCORE", "c"),
                ("ZRANGE z 4 2 BYSCORE REV", "dcb"),
                ("ZRANGE z 4 2 BYSCORE", ""),
                ("ZRANGEBYSCORE z -inf +inf LIMIT 1 2", "bc"),
                ("ZREVRANGEBYSCORE z +inf -inf LIMIT 1 2", "dc"),
                ("ZRANGEBYSCORE z 2 5 LIMIT 1 -1", "cde"),
                ("ZRANGEBYSCORE z 2 5 LIMIT -1 5", ""),
                ("ZRANGEBYSCORE z 2 5 LIMIT 9 5", ""),
                ("ZRANGEBYSCORE z 2 5 LIMIT 0 0", ""),
                ("ZRANGE lex [b (d BYLEX", "bc"),
                ("ZRANGE lex (d [b BYLEX REV", "cb"),
                ("ZRANGEBYLEX lex - + LIMIT 3 10", "de"),
                ("ZREVRANGEBYLEX lex + - LIMIT 3 10", "ba"),
                ("ZRANGE none 0 -1", ""),
                ("ZRANGE z 0 -1 LIMIT 7 -1", "abcde"),
            ] {
                assert_eq!(members(&bench.run(line)), expected, "{line}");
            }
        }
    }

    #[test]
    fn scores_in_both_protocols() {
        for mut bench in benches() {
            assert_eq!(bench.run("ZRANGE z 0 1 WITHSCORES"), "*4|$1|a|$1|1|$1|b|$1|2|");
            let line = "ZREVRANGEBYSCORE z 2 1 WITHSCORES";
            assert_eq!(bench.run(line), "*4|$1|b|$1|2|$1|a|$1|1|");
            bench.protocol = Protocol::Resp3;
            assert_eq!(bench.run("ZRANGE z 0 1 withscores"), "*2|*2|$1|a|,1|*2|$1|b|,2|");
            assert_eq!(bench.run("ZRANGE z 0 1"), "*2|$1|a|$1|b|");
            assert_eq!(bench.run("ZRANGE none 0 1 withscores"), "*0|");
        }
    }

    #[test]
    fn stored_ranges() {
        for mut bench in benches() {
            assert_eq!(bench.run("ZRANGESTORE d z 1 2 REV"), ":2|");
            assert_eq!(bench.run("ZRANGE d 0 -1 WITHSCORES"), "*4|$1|c|$1|3|$1|d|$1|4|");
            assert_eq!(bench.run("ZRANGESTORE d z 2 4 BYSCORE LIMIT 1 1"), ":1|");
            assert_eq!(bench.run("ZRANGE d 0 -1"), "*1|$1|c|");
            assert_eq!(bench.run("ZRANGESTORE d z 9 9"), ":0|");
            assert_eq!(bench.run("EXISTS d"), ":0|");
            let before = bench.log_text();
            assert_eq!(bench.run("ZRANGESTORE d none 0 -1"), ":0|");
            assert_eq!(bench.log_text(), before);
            assert_eq!(bench.run("ZRANGESTORE z z 0 0"), ":1|");
            bench.run("SET s v");
            assert_eq!(bench.run("ZRANGESTORE s lex - + BYLEX"), ":5|");
            assert_eq!(bench.run("TYPE s"), "+zset|");
            assert_eq!(bench.run("ZRANGESTORE s lex 0 1 WITHSCORES"), "-ERR syntax error|");
        }
    }

    #[test]
    fn errors() {
        let mut bench = Bench::new();
        bench.run("SET s v");
        let limit =
            "syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX";
        let scores = "syntax error, WITHSCORES not supported in combination with BYLEX";
        for (line, error) in [
            ("ZRANGE s a b", "value is not an integer or out of range"),
            ("ZRANGE s 0 1 BYSCORE BYLEX", "syntax error"),
            ("ZRANGE s 0 1 foo", "syntax error"),
            ("ZRANGE s 0 1 BYSCORE LIMIT 1", "syntax error"),
            ("ZRANGE s 0 1 LIMIT 0 5", limit),
            ("ZREVRANGE s 0 1 LIMIT 0 5", limit),
            ("ZREVRANGE s 0 1 REV", "syntax error"),
            ("ZRANGE s - + BYLEX WITHSCORES", scores),
            ("ZRANGEBYLEX s - + WITHSCORES", scores),
            ("ZRANGE s 0 x BYSCORE", "min or max is not a float"),
            ("ZRANGE s a b BYLEX", "min or max not valid string range item"),
            ("ZRANGEBYSCORE s 0 1 LIMIT x 1", "value is not an integer or out of range"),
        ] {
            assert_eq!(bench.run(line), format!("-ERR {error}|"), "{line}");
        }
        for line in ["ZRANGE s 0 1", "ZRANGEBYSCORE s 0 1", "ZRANGESTORE d s 0 1"] {
            assert!(bench.run(line).starts_with("-WRONGTYPE"), "{line}");
        }
    }
}
