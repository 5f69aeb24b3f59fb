//! Adding members and changing scores: ZADD, ZINCRBY.
//!
//! All scores are read before anything changes. Both are logged as they are: whoever replays them has
//! the same set and computes the same sums.

use ochre_command::Ctx;
use ochre_command::args::{Cursor, float};
use ochre_command::data::Class;
use ochre_command::outcome::{self, ReplyError, Result};
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_types::limits::Limits;
use ochre_types::zset::{Change, Zset};
use smallvec::SmallVec;

use super::edit;

const WRITE_FAST: Flags = Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST);

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("zadd", -4, WRITE_FAST, Group::SortedSet, zadd)
        .element(3)
        .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))])
        .docs(
            "1.2.0",
            "Adds members to a sorted set, or changes their scores.",
            "O(log(N)) for each member, where N is the number of members of the set.",
            "key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]",
        ),
    CommandSpec::new("zincrby", 4, WRITE_FAST, Group::SortedSet, zincrby)
        .element(3)
        .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))])
        .docs(
            "1.2.0",
            "Adds to the score of a member of a sorted set.",
            "O(log(N)) where N is the number of members of the set.",
            "key increment member",
        ),
];

/// The options of ZADD.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
    ch: bool,
    incr: bool,
}

impl Options {
    fn take(cursor: &mut Cursor<'_>) -> Self {
        let mut options = Self::default();
        loop {
            match () {
                () if cursor.take("nx") => options.nx = true,
                () if cursor.take("xx") => options.xx = true,
                () if cursor.take("gt") => options.gt = true,
                () if cursor.take("lt") => options.lt = true,
                () if cursor.take("ch") => options.ch = true,
                () if cursor.take("incr") => options.incr = true,
                () => return options,
            }
        }
    }

    fn check(self, pairs: usize) -> Result {
        let error = if self.nx && self.xx {
            "ERR XX and NX options at the same time are not compatible"
        } else if (self.gt && (self.lt || self.nx)) || (self.lt && self.nx) {
            "ERR GT, LT, and/or NX options at the same time are not compatible"
        } else if self.incr && pairs > 1 {
            "ERR INCR option supports a single increment-element pair"
        } else {
            return Ok(());
        };
        Err(ReplyError::fixed(error))
    }

    /// The score that a member with the score `old` is to have; none: as it is.
    #[inline]
    fn decide(self, old: Option<f64>, given: f64) -> Option<f64> {
        let Some(old) = old else {
            return (!self.xx).then_some(given);
        };
        let new = if self.incr { old + given } else { given };
        let refused = self.nx || (self.gt && new <= old) || (self.lt && new >= old);
        (!refused).then_some(new)
    }
}

fn zadd(ctx: &mut Ctx<'_>) -> Result {
    let mut cursor = Cursor::new(ctx.args, 2);
    let options = Options::take(&mut cursor);
    let (pairs, rest) = cursor.rest().as_chunks::<2>();
    if pairs.is_empty() || !rest.is_empty() {
        return Err(outcome::SYNTAX);
    }
    add(ctx, options, pairs)
}

fn zincrby(ctx: &mut Ctx<'_>) -> Result {
    let options = Options { incr: true, ..Options::default() };
    let (pairs, _) = ctx.args[2..].as_chunks();
    add(ctx, options, pairs)
}

/// What became of the pairs.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    added: i64,
    updated: i64,
    /// The score of the last member that was not refused.
    score: Option<f64>,
}

// HOT PATH: up to four pairs are read without an allocation.
fn add(ctx: &mut Ctx<'_>, options: Options, pairs: &[[&[u8]; 2]]) -> Result {
    options.check(pairs.len())?;
    let scores: SmallVec<[f64; 4]> =
        pairs.iter().map(|[score, _]| float(score)).collect::<Result<_>>()?;
    let key = ctx.key(1);
    let done = edit(&mut ctx.data, key, !options.xx, |zset, limits, _| {
        add_all(zset, options, pairs, &scores, limits)
    })?;
    let tally = done.map_or_else(Tally::default, |(tally, _)| tally);
    if tally.added + tally.updated > 0 {
        let event = if options.incr { "zincr" } else { "zadd" };
        ctx.data.changed(key, Class::Zset, event);
    }
    if !options.incr {
        let updated = if options.ch { tally.updated } else { 0 };
        ctx.reply.integer(tally.added + updated);
        return Ok(());
    }
    match tally.score {
        Some(score) => ctx.reply.double(score),
        None => ctx.reply.null(),
    }
    Ok(())
}

fn add_all(
    zset: &mut Zset,
    options: Options,
    pairs: &[[&[u8]; 2]],
    scores: &[f64],
    limits: &Limits,
) -> Result<Tally> {
    if zset.is_empty() && pairs.len() > 1 {
        *zset = Zset::with_hint(pairs.len(), pairs[0][1].len(), limits);
    }
    let mut tally = Tally::default();
    for ([_, member], &given) in pairs.iter().zip(scores) {
        let mut decided = None;
        let change = zset.put_with(
            member,
            |old| {
                decided = options.decide(old, given);
                decided
            },
            limits,
        );
        // Only INCR, which has one pair, can meet this: nothing has changed yet.
        if decided.is_some_and(f64::is_nan) {
            return Err(outcome::NAN_SCORE);
        }
        tally.score = decided;
        match change {
            Change::Added => tally.added += 1,
            Change::Updated => tally.updated += 1,
            Change::Unchanged => {}
        }
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use ochre_resp::Protocol;

    #[test]
    fn zadd_counts_what_is_new() {
        let mut bench = Bench::new();
        assert_eq!(bench.run("ZADD z 1 a 2 b"), ":2|");
        assert_eq!(bench.run("ZADD z 1 a 3 b 4 c"), ":1|");
        assert_eq!(bench.run("ZADD z CH 1 a 5 b 6 d"), ":2|");
        assert_eq!(bench.run("ZADD z ch 1 a 5 b"), ":0|");
        assert_eq!(bench.run("ZADD z 7 e 8 e"), ":1|");
        assert_eq!(bench.run("ZSCORE z e"), "$1|8|");
        assert_eq!(
            bench.log_text(),
            "SELECT 0; ZADD z 1 a 2 b; ZADD z 1 a 3 b 4 c; ZADD z CH 1 a 5 b 6 d; ZADD z 7 e 8 e"
        );
    }

    #[test]
    fn conditions() {
        let mut bench = Bench::new();
        assert_eq!(bench.run("ZADD z XX 1 a"), ":0|");
        assert_eq!(bench.run("EXISTS z"), ":0|");
        bench.run("ZADD z 10 a");
        for (options, reply, score) in [
            ("NX 5 a", 0, 10),
            ("GT CH 5 a", 0, 10),
            ("GT CH 15 a", 1, 15),
            ("LT CH 20 a", 0, 15),
            ("LT CH 12 a", 1, 12),
            ("XX CH 9 a 1 new", 1, 9),
            ("GT XX CH 8 a", 0, 9),
        ] {
            assert_eq!(bench.run(&format!("ZADD z {options}")), format!(":{reply}|"));
            let score = score.to_string();
            assert_eq!(bench.run("ZSCORE z a"), format!("${}|{score}|", score.len()));
        }
        assert_eq!(bench.run("ZADD z GT 1 fresh"), ":1|");
        assert_eq!(bench.run("ZSCORE z new"), "$-1|");
    }

    #[test]
    fn increments() {
        let mut bench = Bench::new();
        assert_eq!(bench.run("ZINCRBY z 1.5 a"), "$3|1.5|");
        assert_eq!(bench.run("ZADD z INCR 1 a"), "$3|2.5|");
        assert_eq!(bench.run("ZADD z NX INCR 1 a"), "$-1|");
        assert_eq!(bench.run("ZADD z GT INCR -1 a"), "$-1|");
        assert_eq!(bench.run("ZADD z XX INCR 1 none"), "$-1|");
        assert_eq!(bench.run("ZADD none XX INCR 1 a"), "$-1|");
        assert_eq!(bench.run("ZADD z INCR 0 a"), "$3|2.5|");
        bench.protocol = Protocol::Resp3;
        assert_eq!(bench.run("ZINCRBY z inf a"), ",inf|");
        assert_eq!(bench.run("ZINCRBY z -inf a"), "-ERR resulting score is not a number (NaN)|");
        assert_eq!(bench.run("ZADD z NX INCR 1 a"), "_|");
        assert_eq!(bench.run("ZINCRBY z -0 b"), ",-0|");
        assert_eq!(
            bench.log_text(),
            "SELECT 0; ZINCRBY z 1.5 a; ZADD z INCR 1 a; ZINCRBY z inf a; ZINCRBY z -0 b"
        );
    }

    #[test]
    fn errors_change_nothing() {
        let mut bench = Bench::new();
        bench.run("SET s v");
        let log = bench.log_text();
        for (line, error) in [
            ("ZADD z 1", "wrong number of arguments for 'zadd' command"),
            ("ZADD z 1 a 2", "syntax error"),
            ("ZADD z ch xx", "syntax error"),
            ("ZADD z 1 a x b", "value is not a valid float"),
            ("ZADD z nan a", "value is not a valid float"),
            ("ZADD s x a", "value is not a valid float"),
            ("ZADD z NX XX GT 1 a", "XX and NX options at the same time are not compatible"),
            ("ZADD z GT LT 1 a", "GT, LT, and/or NX options at the same time are not compatible"),
            ("ZADD z NX LT 1 a", "GT, LT, and/or NX options at the same time are not compatible"),
            ("ZADD z INCR 1 a 2 b", "INCR option supports a single increment-element pair"),
            ("ZINCRBY z x a", "value is not a valid float"),
        ] {
            assert_eq!(bench.run(line), format!("-ERR {error}|"), "{line}");
        }
        assert!(bench.run("ZADD s 1 a").starts_with("-WRONGTYPE"));
        assert!(bench.run("ZINCRBY s 1 a").starts_with("-WRONGTYPE"));
        assert_eq!(bench.log_text(), log);
    }

    #[test]
    fn many_members_make_a_skiplist_at_once() {
        let mut bench = Bench::new();
        let names: Vec<String> = (0..129).map(|n| format!("m{}", n % 2)).collect();
        let mut args: Vec<&[u8]> = vec![b"ZADD", b"z"];
        for name in &names {
            args.extend([b"1", name.as_bytes()]);
        }
        assert_eq!(bench.run_args(&args), ":2|");
        assert_eq!(bench.run("OBJECT ENCODING z"), "$8|skiplist|");
        for n in 0..128 {
            bench.run(&format!("ZADD y {n} m{n}"));
        }
        assert_eq!(bench.run("OBJECT ENCODING y"), "$8|listpack|");
        bench.run("ZADD y 1 one-more");
        assert_eq!(bench.run("OBJECT ENCODING y"), "$8|skiplist|");
        assert_eq!(bench.run("ZCARD y"), ":129|");
    }
}
