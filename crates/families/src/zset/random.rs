//! Members in no order: ZRANDMEMBER and ZSCAN.

use ochre_base::glob::{Case, matches};
use ochre_base::num::parse_u64;
use ochre_command::args::{Cursor, int_within, is};
use ochre_command::outcome::{self, ReplyError, Result};
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_command::{Ctx, Reply};

use super::{Scores, begin_entries, read, write_entry};
use crate::collection::Sample;

const READS: KeySpec = KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS));
const VARIES: &[&str] = &["nondeterministic_output"];

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("zrandmember", -2, Flags::READONLY, Group::SortedSet, zrandmember)
        .keys(&[READS])
        .tips(VARIES)
        .docs(
            "6.2.0",
            "Gives random members of a sorted set, different ones unless the count is negative.",
            "O(N) where N is the number of members asked for.",
            "key [count [WITHSCORES]]",
        ),
    CommandSpec::new("zscan", -3, Flags::READONLY, Group::SortedSet, zscan)
        .keys(&[READS])
        .tips(VARIES)
        .docs(
            "2.8.0",
            "Walks over the members and scores of a sorted set in steps.",
            "O(1) for each call; O(N) for a whole walk, where N is the number of members.",
            "key cursor [MATCH pattern] [COUNT count] [NOSCORES]",
        ),
];

fn zrandmember(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(1);
    // The generator is a copy while the data is borrowed.
    let mut rng = ctx.data.work.rng.clone();
    if ctx.args.len() == 2 {
        match read(&mut ctx.data, key)?.and_then(|set| set.random(&mut rng)) {
            Some(entry) => ctx.reply.bulk(entry.member),
            None => ctx.reply.null(),
        }
        ctx.data.work.rng = rng;
        return Ok(());
    }
    let (count, scores) = random_options(ctx.args)?;
    let Some(set) = read(&mut ctx.data, key)? else {
        ctx.reply.empty_array();
        return Ok(());
    };
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if count < 0 {
        Sample::Repeating(wanted).check()?;
    }
    let reply = &mut ctx.reply;
    if count < 0 {
        begin_entries(reply, wanted, scores);
        set.sample_repeating(wanted, &mut rng, |entry| write_entry(reply, entry, scores));
    } else {
        begin_entries(reply, wanted.min(set.len()), scores);
        set.sample_distinct(wanted, &mut rng, |entry| write_entry(reply, entry, scores));
    }
    ctx.data.work.rng = rng;
    Ok(())
}

fn random_options(args: &[&[u8]]) -> Result<(i64, Scores)> {
    let count = int_within(args[2], -i64::MAX, i64::MAX)?;
    match args.get(3..) {
        None | Some([]) => Ok((count, Scores::Without)),
        // Twice as many items are answered.
        Some([word]) if is(word, "withscores") => {
            if count.unsigned_abs() > i64::MAX as u64 / 2 {
                return Err(ReplyError::fixed("ERR value is out of range"));
            }
            Ok((count, Scores::With))
        }
        Some(_) => Err(outcome::SYNTAX),
    }
}

/// The options of ZSCAN.
struct Scan<'a> {
    pattern: Option<&'a [u8]>,
    count: usize,
    scores: Scores,
}

impl<'a> Scan<'a> {
    fn parse(args: &'a [&'a [u8]]) -> Result<Self> {
        let mut scan = Self { pattern: None, count: 10, scores: Scores::With };
        let mut cursor = Cursor::new(args, 3);
        while cursor.left() > 0 {
            if cursor.left() > 1 && cursor.take("match") {
                scan.pattern = cursor.take_next();
            } else if cursor.left() > 1 && cursor.take("count") {
                let count = cursor.need_int()?;
                scan.count =
                    usize::try_from(count).ok().filter(|n| *n > 0).ok_or(outcome::SYNTAX)?;
            } else if cursor.take("noscores") {
                scan.scores = Scores::Without;
            } else {
                return Err(outcome::SYNTAX);
            }
        }
        Ok(scan)
    }
}

fn zscan(ctx: &mut Ctx<'_>) -> Result {
    let mut position = parse_u64(ctx.args[2]).ok_or(outcome::BAD_CURSOR)?;
    let key = ctx.key(1);
    // Upstream does not look at the options when there is no key.
    let Some(set) = read(&mut ctx.data, key)? else {
        ctx.reply.array(2);
        ctx.reply.bulk("0");
        ctx.reply.empty_array();
        return Ok(());
    };
    let scan = Scan::parse(ctx.args)?;
    let mut items = Vec::new();
    let mut writer = Reply::new(&mut items, ctx.reply.protocol());
    let (mut seen, mut written) = (0usize, 0);
    loop {
        position = set.scan(position, |entry| {
            seen += 1;
            let wanted = scan.pattern.is_none_or(|p| matches(p, entry.member, Case::Sensitive));
            if wanted {
                writer.bulk(entry.member);
                written += 1;
                if scan.scores == Scores::With {
                    writer.bulk_f64(entry.score);
                    written += 1;
                }
            }
        });
        if position == 0 || seen >= scan.count {
            break;
        }
    }
    ctx.reply.array(2);
    // Cursors are below 2^63.
    ctx.reply.bulk_i64(position as i64);
    ctx.reply.array(written);
    ctx.reply.raw(&items);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use ochre_resp::Protocol;
    use std::collections::BTreeSet;

    fn bench(members: usize) -> Bench {
        let mut bench = Bench::new();
        for n in 0..members {
            bench.run(&format!("ZADD z {n} m{n}"));
        }
        bench
    }

    fn items(reply: &str) -> Vec<&str> {
        reply.split('|').filter(|part| part.starts_with(['m', ','])).collect()
    }

    #[test]
    fn random_members() {
        for members in [20, 300] {
            let mut bench = bench(members);
            assert!(bench.run("ZRANDMEMBER z").starts_with('$'));
            assert_eq!(bench.run("ZRANDMEMBER z 0"), "*0|");
            let reply = bench.run("ZRANDMEMBER z 10");
            let distinct: BTreeSet<&str> = items(&reply).into_iter().collect();
            assert_eq!(distinct.len(), 10);
            let reply = bench.run("ZRANDMEMBER z 1000");
            assert_eq!(items(&reply).len(), members);
            let reply = bench.run("ZRANDMEMBER z -1000");
            assert!(reply.starts_with("*1000|"));
            assert_eq!(items(&reply).len(), 1000);
            let reply = bench.run("ZRANDMEMBER z -3 WITHSCORES");
            assert!(reply.starts_with("*6|$"));
            bench.protocol = Protocol::Resp3;
            let reply = bench.run("ZRANDMEMBER z 2 withscores");
            assert!(reply.starts_with("*2|*2|$"), "{reply}");
            assert_eq!(items(&reply).len(), 4);
            assert_ne!(bench.run("ZRANDMEMBER z -9"), bench.run("ZRANDMEMBER z -9"));
        }
    }

    #[test]
    fn random_of_nothing_and_errors() {
        let mut bench = bench(1);
        bench.run("SET s v");
        assert_eq!(bench.run("ZRANDMEMBER none"), "$-1|");
        assert_eq!(bench.run("ZRANDMEMBER none 5"), "*0|");
        for (line, error) in [
            ("ZRANDMEMBER z x", "value is not an integer or out of range"),
            ("ZRANDMEMBER s 1 foo", "syntax error"),
            ("ZRANDMEMBER s 1 withscores x", "syntax error"),
            ("ZRANDMEMBER s 9223372036854775807 withscores", "value is out of range"),
            (
                "ZRANDMEMBER s -9223372036854775808",
                "value is out of range, value must between -9223372036854775807 and \
                 9223372036854775807",
            ),
        ] {
            assert_eq!(bench.run(line), format!("-ERR {error}|"), "{line}");
        }
        assert!(bench.run("ZRANDMEMBER s").starts_with("-WRONGTYPE"));
        assert!(bench.run("ZRANDMEMBER s 1").starts_with("-WRONGTYPE"));
    }

    #[test]
    fn a_scan_finds_every_member() {
        for members in [20, 500] {
            let mut bench = bench(members);
            let (mut cursor, mut found) = ("0".to_owned(), BTreeSet::new());
            loop {
                let reply = bench.run(&format!("ZSCAN z {cursor} COUNT 50"));
                found.extend(items(&reply).into_iter().map(str::to_owned));
                cursor = reply.split('|').nth(2).expect("a cursor").to_owned();
                if cursor == "0" {
                    break;
                }
            }
            assert_eq!(found.len(), members);
        }
    }

    #[test]
    fn scan_options() {
        let mut bench = Bench::new();
        bench.run("ZADD z 1 ma 2.5 mb");
        assert_eq!(bench.run("ZSCAN z 0"), "*2|$1|0|*4|$2|ma|$1|1|$2|mb|$3|2.5|");
        assert_eq!(bench.run("ZSCAN z 0 MATCH *b"), "*2|$1|0|*2|$2|mb|$3|2.5|");
        assert_eq!(bench.run("ZSCAN z 0 NOSCORES COUNT 1"), "*2|$1|0|*2|$2|ma|$2|mb|");
        bench.protocol = Protocol::Resp3;
        assert_eq!(bench.run("ZSCAN z 0 MATCH ma"), "*2|$1|0|*2|$2|ma|$1|1|");
        assert_eq!(bench.run("ZSCAN none 0 foo"), "*2|$1|0|*0|");
        bench.run("SET s v");
        for (line, error) in [
            ("ZSCAN s x", "invalid cursor"),
            ("ZSCAN z -1", "invalid cursor"),
            ("ZSCAN z 18446744073709551616", "invalid cursor"),
            ("ZSCAN z 0 COUNT 0", "syntax error"),
            ("ZSCAN z 0 COUNT x", "value is not an integer or out of range"),
            ("ZSCAN z 0 COUNT", "syntax error"),
            ("ZSCAN z 0 foo", "syntax error"),
        ] {
            assert_eq!(bench.run(line), format!("-ERR {error}|"), "{line}");
        }
        assert!(bench.run("ZSCAN s 0 foo").starts_with("-WRONGTYPE"));
    }
}
