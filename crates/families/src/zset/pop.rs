//! Taking the lowest or highest members: ZPOPMIN, ZPOPMAX, ZMPOP, and the forms that wait: BZPOPMIN,
//! BZPOPMAX, BZMPOP.
//!
//! A waiting client leaves a command of one key that is run in its name when the key is ready. What is
//! logged is always the pop of one key that took place.

use ochre_base::clock::Millis;
use ochre_base::num::{I64_TEXT_MAX, format_i64};
use ochre_command::args::{Cursor, deadline, int_or, is, positive_int};
use ochre_command::ctx::{Block, OnTimeout};
use ochre_command::outcome::{self, ReplyError, Result};
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_command::{Ctx, Key};
use ochre_types::value::Type;
use ochre_types::zset::Order;

use super::{Scores, begin_entries, edit, peek, removed, write_entry};

const WRITE_FAST: Flags = Flags::WRITE.union(Flags::FAST);
const POPS: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);
const COST: &str = "O(M*log(N)) where N is the number of members of the set and M that of those \
                    taken.";

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("zpopmin", -2, WRITE_FAST, Group::SortedSet, zpopmin)
        .keys(&[KeySpec::one(1, POPS)])
        .docs(
            "5.0.0",
            "Removes the members with the lowest scores and gives them.",
            COST,
            "key [count]",
        ),
    CommandSpec::new("zpopmax", -2, WRITE_FAST, Group::SortedSet, zpopmax)
        .keys(&[KeySpec::one(1, POPS)])
        .docs(
            "5.0.0",
            "Removes the members with the highest scores and gives them.",
            COST,
            "key [count]",
        ),
    CommandSpec::new(
        "bzpopmin",
        -3,
        WRITE_FAST.union(Flags::BLOCKING),
        Group::SortedSet,
        bzpopmin,
    )
    .keys(&[KeySpec::range(1, -2, 1, POPS)])
    .docs(
        "5.0.0",
        "Takes the lowest member of the first of several sets that has any, or waits for one.",
        "O(log(N)) where N is the number of members of the set.",
        "key [key ...] timeout",
    ),
    CommandSpec::new(
        "bzpopmax",
        -3,
        WRITE_FAST.union(Flags::BLOCKING),
        Group::SortedSet,
        bzpopmax,
    )
    .keys(&[KeySpec::range(1, -2, 1, POPS)])
    .docs(
        "5.0.0",
        "Takes the highest member of the first of several sets that has any, or waits for one.",
        "O(log(N)) where N is the number of members of the set.",
        "key [key ...] timeout",
    ),
    CommandSpec::new(
        "zmpop",
        -4,
        Flags::WRITE.union(Flags::MOVABLEKEYS),
        Group::SortedSet,
        zmpop,
    )
    .keys(&[KeySpec::counted(1, POPS)])
    .docs(
        "7.0.0",
        "Takes the lowest or highest members of the first of several sets that has any.",
        "O(K) + O(M*log(N)) where K is the number of keys, N the number of members of the set and \
         M that of those taken.",
        "numkeys key [key ...] <MIN | MAX> [COUNT count]",
    ),
    CommandSpec::new(
        "bzmpop",
        -5,
        Flags::WRITE.union(Flags::BLOCKING).union(Flags::MOVABLEKEYS),
        Group::SortedSet,
        bzmpop,
    )
    .keys(&[KeySpec::counted(2, POPS)])
    .docs(
        "7.0.0",
        "Takes the lowest or highest members of the first of several sets that has any, or waits \
         for some.",
        "O(K) + O(M*log(N)) where K is the number of keys, N the number of members of the set and \
         M that of those taken.",
        "timeout numkeys key [key ...] <MIN | MAX> [COUNT count]",
    ),
];

/// Which end is popped, as the commands name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Min,
    Max,
}

impl End {
    fn order(self) -> Order {
        match self {
            Self::Min => Order::Ascending,
            Self::Max => Order::Descending,
        }
    }

    fn event(self) -> &'static str {
        match self {
            Self::Min => "zpopmin",
            Self::Max => "zpopmax",
        }
    }

    /// The command that pops one key at this end.
    fn command(self) -> &'static str {
        match self {
            Self::Min => "ZPOPMIN",
            Self::Max => "ZPOPMAX",
        }
    }
}

fn zpopmin(ctx: &mut Ctx<'_>) -> Result {
    zpop(ctx, End::Min)
}

fn zpopmax(ctx: &mut Ctx<'_>) -> Result {
    zpop(ctx, End::Max)
}

fn zpop(ctx: &mut Ctx<'_>, end: End) -> Result {
    let count = match ctx.args.get(2..) {
        None | Some([]) => None,
        Some([count]) => Some(positive_int(count)? as usize),
        Some(_) => return Err(outcome::SYNTAX),
    };
    let key = ctx.key(1);
    let available = peek(&mut ctx.data, key)?.map_or(0, |set| set.len());
    let taken = available.min(count.unwrap_or(1));
    // Without a count RESP3 has no pair around the only entry.
    let flat = count.is_none() && ctx.reply.is_resp3();
    if flat {
        ctx.reply.array(2 * taken);
    } else {
        begin_entries(&mut ctx.reply, taken, Scores::With);
    }
    pop(ctx, key, end, taken, if flat { Form::Flat } else { Form::Entries })
}

/// How popped entries are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Member, score, member, score.
    Flat,
    /// As the protocol has entries with scores.
    Entries,
    /// Pairs in both protocols.
    Pairs,
}

/// Pops `count` entries, so many as there are at least, and writes them.
fn pop(ctx: &mut Ctx<'_>, key: Key<'_>, end: End, count: usize, form: Form) -> Result {
    if count == 0 {
        return Ok(());
    }
    let reply = &mut ctx.reply;
    let done = edit(&mut ctx.data, key, false, |zset, _, _| {
        zset.pop(count, end.order(), |entry| match form {
            Form::Entries => write_entry(reply, entry, Scores::With),
            Form::Flat | Form::Pairs => {
                if form == Form::Pairs {
                    reply.array(2);
                }
                reply.bulk(entry.member);
                reply.double(entry.score);
            }
        });
        Ok(())
    })?;
    if let Some(((), left)) = done {
        removed(&mut ctx.data, key, end.event(), left);
    }
    Ok(())
}

/// The first of several keys that holds a set, with the number of its members. Another type before it
/// is an error.
fn first_set<'a>(ctx: &mut Ctx<'a>, names: &'a [&'a [u8]]) -> Result<Option<(Key<'a>, usize)>> {
    for name in names {
        let key = ctx.data.key(name);
        if let Some(set) = peek(&mut ctx.data, key)? {
            return Ok(Some((key, set.len())));
        }
    }
    Ok(None)
}

fn bzpopmin(ctx: &mut Ctx<'_>) -> Result {
    bzpop(ctx, End::Min)
}

fn bzpopmax(ctx: &mut Ctx<'_>) -> Result {
    bzpop(ctx, End::Max)
}

fn bzpop(ctx: &mut Ctx<'_>, end: End) -> Result {
    let last = ctx.args.len() - 1;
    let deadline = deadline(ctx.args[last], ctx.now().unix_ms)?;
    let names = &ctx.args[1..last];
    let Some((key, _)) = first_set(ctx, names)? else {
        let serve = vec![ctx.args[0].to_vec(), Vec::new(), b"0".to_vec()];
        wait(ctx, names, serve, 1, deadline);
        return Ok(());
    };
    ctx.reply.array(3);
    ctx.reply.bulk(key.name);
    pop(ctx, key, end, 1, Form::Flat)?;
    ctx.data.effect([end.command().as_bytes(), key.name].into_iter());
    Ok(())
}

/// The arguments of ZMPOP and BZMPOP from the number of keys on.
struct Request<'a> {
    names: &'a [&'a [u8]],
    end: End,
    count: usize,
    /// Everything behind the keys.
    options: &'a [&'a [u8]],
}

impl<'a> Request<'a> {
    fn parse(args: &'a [&'a [u8]], at: usize) -> Result<Self> {
        const NUMKEYS: ReplyError = ReplyError::fixed("ERR numkeys should be greater than 0");
        const COUNT: ReplyError = ReplyError::fixed("ERR count should be greater than 0");
        let numkeys = above_zero(args[at], NUMKEYS)?;
        let mut cursor = Cursor::new(args, at + 1);
        let names = cursor.take_slice(numkeys)?;
        let options = cursor.rest();
        let end = match cursor.need()? {
            word if is(word, "min") => End::Min,
            word if is(word, "max") => End::Max,
            _ => return Err(outcome::SYNTAX),
        };
        let mut count = None;
        while cursor.left() > 0 {
            if count.is_some() || cursor.left() < 2 || !cursor.take("count") {
                return Err(outcome::SYNTAX);
            }
            count = Some(above_zero(cursor.need()?, COUNT)?);
        }
        Ok(Self { names, end, count: count.unwrap_or(1), options })
    }
}

fn above_zero(arg: &[u8], error: ReplyError) -> Result<usize> {
    match int_or(arg, error.clone())? {
        n @ 1.. => Ok(n as usize),
        _ => Err(error),
    }
}

fn zmpop(ctx: &mut Ctx<'_>) -> Result {
    let request = Request::parse(ctx.args, 1)?;
    if !mpop(ctx, &request)? {
        ctx.reply.null_array();
    }
    Ok(())
}

fn bzmpop(ctx: &mut Ctx<'_>) -> Result {
    let request = Request::parse(ctx.args, 2)?;
    let deadline = deadline(ctx.args[1], ctx.now().unix_ms)?;
    if mpop(ctx, &request)? {
        return Ok(());
    }
    let mut serve = vec![ctx.args[0].to_vec(), b"0".to_vec(), b"1".to_vec(), Vec::new()];
    serve.extend(request.options.iter().map(|arg| arg.to_vec()));
    wait(ctx, request.names, serve, 3, deadline);
    Ok(())
}

/// Pops the first set that there is; says whether there is one.
fn mpop<'a>(ctx: &mut Ctx<'a>, request: &Request<'a>) -> Result<bool> {
    let Some((key, available)) = first_set(ctx, request.names)? else {
        return Ok(false);
    };
    let taken = available.min(request.count);
    ctx.reply.array(2);
    ctx.reply.bulk(key.name);
    ctx.reply.array(taken);
    pop(ctx, key, request.end, taken, Form::Pairs)?;
    let mut room = [0; I64_TEXT_MAX];
    let count = format_i64(taken as i64, &mut room);
    let command = request.end.command().as_bytes();
    ctx.data.effect([command, key.name, count].into_iter());
    Ok(true)
}

/// Waits for one of the keys, or answers as on time-out where waiting is not allowed.
fn wait(
    ctx: &mut Ctx<'_>,
    names: &[&[u8]],
    serve: Vec<Vec<u8>>,
    key_at: usize,
    deadline: Option<Millis>,
) {
    if !ctx.may_block {
        ctx.reply.null_array();
        return;
    }
    ctx.block = Some(Block {
        keys: names.iter().map(|name| name.to_vec()).collect(),
        also: Vec::new(),
        serve,
        key_at,
        wants: Type::Zset,
        deadline,
        on_timeout: OnTimeout::NullArray,
    });
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use ochre_resp::Protocol;

    #[test]
    fn pops_from_either_end() {
        for entries in [128, 0] {
            let mut bench = Bench::new();
            bench.limits.zset_max_listpack_entries = entries;
            bench.run("ZADD z 1 a 2 b 3 c 4 d 5 e 6 f");
            assert_eq!(bench.run("ZPOPMIN z"), "*2|$1|a|$1|1|");
            assert_eq!(bench.run("ZPOPMAX z 2"), "*4|$1|f|$1|6|$1|e|$1|5|");
            assert_eq!(bench.run("ZPOPMIN z 0"), "*0|");
            bench.protocol = Protocol::Resp3;
            assert_eq!(bench.run("ZPOPMAX z"), "*2|$1|d|,4|");
            assert_eq!(bench.run("ZPOPMIN z 9"), "*2|*2|$1|b|,2|*2|$1|c|,3|");
            assert_eq!(bench.run("ZPOPMIN z 9"), "*0|");
            assert_eq!(bench.run("ZPOPMIN z"), "*0|");
            assert_eq!(bench.run("EXISTS z"), ":0|");
            assert_eq!(
                bench.log_text(),
                "SELECT 0; ZADD z 1 a 2 b 3 c 4 d 5 e 6 f; ZPOPMIN z; ZPOPMAX z 2; ZPOPMAX z; \
                 ZPOPMIN z 9"
            );
        }
    }

    #[test]
    fn zmpop_takes_the_first_set() {
        let mut bench = Bench::new();
        bench.run("ZADD z 1 a 2 b 3 c");
        assert_eq!(bench.run("ZMPOP 2 none z MIN"), "*2|$1|z|*1|*2|$1|a|$1|1|");
        assert_eq!(bench.run("ZMPOP 1 z max count 5"), "*2|$1|z|*2|*2|$1|c|$1|3|*2|$1|b|$1|2|");
        assert_eq!(bench.run("ZMPOP 1 z MIN"), "*-1|");
        bench.protocol = Protocol::Resp3;
        assert_eq!(bench.run("ZMPOP 1 z MIN"), "_|");
        bench.run("ZADD z 1 a");
        assert_eq!(bench.run("ZMPOP 1 z MIN"), "*2|$1|z|*1|*2|$1|a|,1|");
        assert_eq!(
            bench.log_text(),
            "SELECT 0; ZADD z 1 a 2 b 3 c; ZPOPMIN z 1; ZPOPMAX z 2; ZADD z 1 a; ZPOPMIN z 1"
        );
    }

    #[test]
    fn the_waiting_forms_answer_at_once_when_they_can() {
        let mut bench = Bench::new();
        bench.run("ZADD z 1 a 2 b 3 c");
        assert_eq!(bench.run("BZPOPMIN none z 0"), "*3|$1|z|$1|a|$1|1|");
        assert_eq!(bench.run("BZPOPMAX z 0.5"), "*3|$1|z|$1|c|$1|3|");
        bench.protocol = Protocol::Resp3;
        assert_eq!(bench.run("BZMPOP 0 1 z MIN COUNT 2"), "*2|$1|z|*1|*2|$1|b|,2|");
        assert!(!bench.blocked);
        assert_eq!(
            bench.log_text(),
            "SELECT 0; ZADD z 1 a 2 b 3 c; ZPOPMIN z; ZPOPMAX z; ZPOPMIN z 1"
        );
    }

    #[test]
    fn and_wait_when_they_cannot() {
        let mut bench = Bench::new();
        assert_eq!(bench.run("BZPOPMIN k1 k2 0"), "");
        let block = bench.block.take().expect("it waits");
        let words = |words: &[&str]| -> Vec<Vec<u8>> {
            words.iter().map(|word| word.as_bytes().to_vec()).collect()
        };
        assert_eq!(block.keys, words(&["k1", "k2"]));
        assert_eq!((block.serve, block.key_at), (words(&["BZPOPMIN", "", "0"]), 1));
        assert_eq!(block.deadline, None);
        assert_eq!(bench.run("BZMPOP 1.5 2 k1 k2 MIN COUNT 3"), "");
        let block = bench.block.take().expect("it waits");
        assert_eq!(block.keys, words(&["k1", "k2"]));
        let serve = words(&["BZMPOP", "0", "1", "", "MIN", "COUNT", "3"]);
        assert_eq!((block.serve, block.key_at), (serve, 3));
        assert_eq!(block.deadline, Some(bench.now_ms + 1500));
        bench.may_block = false;
        assert_eq!(bench.run("BZPOPMAX k1 0"), "*-1|");
        assert_eq!(bench.run("BZMPOP 0 1 k1 MAX"), "*-1|");
    }

    #[test]
    fn errors() {
        let mut bench = Bench::new();
        bench.run("ZADD z 1 a");
        bench.run("SET s v");
        let positive = "value is out of range, must be positive";
        let numkeys = "numkeys should be greater than 0";
        let count = "count should be greater than 0";
        for (line, error) in [
            ("ZPOPMIN z -1", positive),
            ("ZPOPMIN z x", positive),
            ("ZPOPMIN z 1 2", "syntax error"),
            ("ZMPOP 0 z MIN", numkeys),
            ("ZMPOP x z MIN", numkeys),
            ("ZMPOP 9 z MIN", "syntax error"),
            ("ZMPOP 2 z MIN", "syntax error"),
            ("ZMPOP 1 z FOO", "syntax error"),
            ("ZMPOP 1 z MIN COUNT 0", count),
            ("ZMPOP 1 z MIN COUNT x", count),
            ("ZMPOP 1 z MIN COUNT", "syntax error"),
            ("ZMPOP 1 z MIN COUNT 1 COUNT 1", "syntax error"),
            ("BZMPOP x 1 z FOO", "syntax error"),
            ("BZMPOP x 1 z MIN", "timeout is not a float or out of range"),
            ("BZMPOP -1 1 z MIN", "timeout is negative"),
            ("BZPOPMIN z x", "timeout is not a float or out of range"),
            ("BZPOPMIN z -1", "timeout is negative"),
            ("BZPOPMIN z 1e300", "timeout is out of range"),
        ] {
            assert_eq!(bench.run(line), format!("-ERR {error}|"), "{line}");
        }
        for line in ["ZPOPMIN s", "ZPOPMIN s 0", "ZMPOP 2 s z MIN", "BZPOPMAX none s z 0"] {
            assert!(bench.run(line).starts_with("-WRONGTYPE"), "{line}");
        }
        assert_eq!(bench.run("BZPOPMIN z s 0"), "*3|$1|z|$1|a|$1|1|");
    }
}
