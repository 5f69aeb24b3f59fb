//! Pushing to the ends of lists and popping from them: LPUSH, RPUSH, LPUSHX, RPUSHX, LPOP, RPOP, LMPOP.

use ochre_base::num::{I64_TEXT_MAX, format_i64};
use ochre_command::args::{self, Cursor};
use ochre_command::data::{Class, Data};
use ochre_command::outcome::{self, Result};
use ochre_command::spec::{CommandSpec, Flags, Group, KeySpec};
use ochre_command::{Ctx, Key, Reply};
use ochre_types::list::End;
use ochre_types::value::Value;

use super::{
    GROW_FAST, INSERTS, TAKES, WRITE_FAST, end, list_mut, list_view, new_list, pop_names,
    push_event,
};
use crate::collection::{self, write_entry};

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("lpush", -3, GROW_FAST, Group::List, lpush)
        .keys(&[KeySpec::one(1, INSERTS)])
        .docs(
            "1.0.0",
            "Puts elements at the head of a list, which is made when it is absent.",
            "O(N) for N elements",
            "key element [element ...]",
        ),
    CommandSpec::new("rpush", -3, GROW_FAST, Group::List, rpush)
        .keys(&[KeySpec::one(1, INSERTS)])
        .docs(
            "1.0.0",
            "Puts elements at the tail of a list, which is made when it is absent.",
            "O(N) for N elements",
            "key element [element ...]",
        ),
    CommandSpec::new("lpushx", -3, GROW_FAST, Group::List, lpushx)
        .keys(&[KeySpec::one(1, INSERTS)])
        .docs(
            "2.2.0",
            "Puts elements at the head of a list that exists.",
            "O(N) for N elements",
            "key element [element ...]",
        ),
    CommandSpec::new("rpushx", -3, GROW_FAST, Group::List, rpushx)
        .keys(&[KeySpec::one(1, INSERTS)])
        .docs(
            "2.2.0",
            "Puts elements at the tail of a list that exists.",
            "O(N) for N elements",
            "key element [element ...]",
        ),
    CommandSpec::new("lpop", -2, WRITE_FAST, Group::List, lpop)
        .keys(&[KeySpec::one(1, TAKES)])
        .docs(
            "1.0.0",
            "Removes the first elements of a list and returns them.",
            "O(N) for N returned elements",
            "key [count]",
        ),
    CommandSpec::new("rpop", -2, WRITE_FAST, Group::List, rpop)
        .keys(&[KeySpec::one(1, TAKES)])
        .docs(
            "1.0.0",
            "Removes the last elements of a list and returns them.",
            "O(N) for N returned elements",
            "key [count]",
        ),
    CommandSpec::new("lmpop", -4, Flags::WRITE.union(Flags::MOVABLEKEYS), Group::List, lmpop)
        .keys(&[KeySpec::counted(1, TAKES)])
        .docs(
            "7.0.0",
            "Removes elements from the first of several lists that is not empty, and returns them.",
            "O(N+M) for N keys and M returned elements",
            "numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
        ),
];

fn lpush(ctx: &mut Ctx<'_>) -> Result {
    push(ctx, End::Front, Some(new_list))
}

fn rpush(ctx: &mut Ctx<'_>) -> Result {
    push(ctx, End::Back, Some(new_list))
}

fn lpushx(ctx: &mut Ctx<'_>) -> Result {
    push(ctx, End::Front, None)
}

fn rpushx(ctx: &mut Ctx<'_>) -> Result {
    push(ctx, End::Back, None)
}

// HOT PATH: one edit.
#[inline]
fn push(ctx: &mut Ctx<'_>, end: End, create: Option<fn() -> Value>) -> Result {
    let (key, elements) = (ctx.key(1), &ctx.args[2..]);
    let edited = ctx.data.edit(key, create, |value, limits, _| {
        let list = list_mut(value)?;
        let page = limits.list_page();
        for element in elements {
            list.push(page, end, element);
        }
        Ok(list.len())
    })?;
    let Some((len, _)) = edited else {
        ctx.reply.integer(0);
        return Ok(());
    };
    ctx.data.changed(key, Class::List, push_event(end));
    ctx.reply.integer(len as i64);
    Ok(())
}

fn lpop(ctx: &mut Ctx<'_>) -> Result {
    pop(ctx, End::Front)
}

fn rpop(ctx: &mut Ctx<'_>) -> Result {
    pop(ctx, End::Back)
}

fn pop(ctx: &mut Ctx<'_>, end: End) -> Result {
    let key = ctx.key(1);
    match ctx.args.len() {
        2 => {
            if !pop_one(&mut ctx.data, &mut ctx.reply, key, end)? {
                ctx.reply.null();
            }
            Ok(())
        }
        3 => {
            let count = args::positive_int(ctx.arg(2))? as usize;
            pop_counted(ctx, key, end, count)
        }
        _ => Err(outcome::wrong_arity(ctx.name())),
    }
}

fn pop_counted(ctx: &mut Ctx<'_>, key: Key<'_>, end: End, count: usize) -> Result {
    if count > 0 {
        if pop_many(&mut ctx.data, &mut ctx.reply, key, end, count)?.is_none() {
            ctx.reply.null_array();
        }
        return Ok(());
    }
    match ctx.data.peek(key).map(list_view).transpose()? {
        None => ctx.reply.null_array(),
        Some(_) => ctx.reply.empty_array(),
    }
    Ok(())
}

/// Pops one element to the reply. `false` when there is no list, and nothing is written then.
// HOT PATH: one edit, no copy of the element but to the reply.
#[inline]
pub(super) fn pop_one(
    data: &mut Data<'_>,
    reply: &mut Reply<'_>,
    key: Key<'_>,
    end: End,
) -> Result<bool> {
    let edited = data.edit(key, None, |value, limits, _| {
        list_mut(value)?.pop(limits.list_page(), end, |entry| write_entry(reply, entry));
        Ok(())
    })?;
    let Some(((), left)) = edited else {
        return Ok(false);
    };
    collection::changed(data, key, left, Class::List, pop_names(end).1);
    Ok(true)
}

/// Pops up to `count` elements to the reply, as an array, and gives their number. None when there is
/// no list, and nothing is written then. `count` is not zero.
pub(super) fn pop_many(
    data: &mut Data<'_>,
    reply: &mut Reply<'_>,
    key: Key<'_>,
    end: End,
    count: usize,
) -> Result<Option<usize>> {
    let edited = data.edit(key, None, |value, limits, _| {
        let list = list_mut(value)?;
        let page = limits.list_page();
        let count = count.min(list.len());
        reply.array(count);
        for _ in 0..count {
            list.pop(page, end, |entry| write_entry(reply, entry));
        }
        Ok(count)
    })?;
    let Some((popped, left)) = edited else {
        return Ok(None);
    };
    collection::changed(data, key, left, Class::List, pop_names(end).1);
    Ok(Some(popped))
}

/// The arguments of LMPOP and BLMPOP.
#[derive(Clone, Copy, Debug)]
pub(super) struct MultiPop<'a> {
    /// Where elements are looked for, in order.
    pub(super) keys: &'a [&'a [u8]],
    /// At which end.
    pub(super) end: End,
    /// How many at most; not zero.
    pub(super) count: usize,
}

impl<'a> MultiPop<'a> {
    /// Reads the arguments from the number of keys on, which is at `at`.
    pub(super) fn parse(args: &'a [&'a [u8]], at: usize) -> Result<Self> {
        let mut rest = Cursor::new(args, at);
        let keys = match args::int_or(rest.need()?, collection::NUMKEYS)? {
            n if n > 0 => n as usize,
            _ => return Err(collection::NUMKEYS),
        };
        let keys = rest.take_slice(keys)?;
        let end = end(rest.need()?)?;
        let mut count = 1;
        if rest.take("count") {
            count = match args::int_or(rest.need()?, collection::COUNT)? {
                n if n > 0 => n as usize,
                _ => return Err(collection::COUNT),
            };
        }
        if rest.left() > 0 {
            return Err(outcome::SYNTAX);
        }
        Ok(Self { keys, end, count })
    }

    /// Pops from the first list that is there; `false` when none is. Logs the pop that it was.
    pub(super) fn run(self, ctx: &mut Ctx<'a>) -> Result<bool> {
        for name in self.keys {
            let key = ctx.data.key(name);
            let start = ctx.reply.len();
            ctx.reply.array(2);
            ctx.reply.bulk(name);
            let Some(popped) = pop_many(&mut ctx.data, &mut ctx.reply, key, self.end, self.count)?
            else {
                ctx.reply.truncate(start);
                continue;
            };
            let mut digits = [0; I64_TEXT_MAX];
            let count = format_i64(popped as i64, &mut digits);
            ctx.data.effect([pop_names(self.end).0, name, count].iter());
            return Ok(true);
        }
        Ok(false)
    }
}

fn lmpop(ctx: &mut Ctx<'_>) -> Result {
    let pop = MultiPop::parse(ctx.args, 1)?;
    if !pop.run(ctx)? {
        ctx.reply.null_array();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ochre_resp::Protocol;

    use crate::testing::Bench;

    const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value|";
    const POSITIVE: &str = "-ERR value is out of range, must be positive|";

    #[test]
    fn pushes_at_both_ends() {
        let mut bench = Bench::new();
        assert_eq!(bench.run("RPUSHX l a"), ":0|");
        assert_eq!(bench.run("LPUSHX l a"), ":0|");
        assert_eq!(bench.run("RPUSH l b c"), ":2|");
        assert_eq!(bench.run("LPUSH l a 0"), ":4|");
        assert_eq!(bench.run("RPUSHX l d"), ":5|");
        assert_eq!(bench.run("LPUSHX l -1"), ":6|");
        assert_eq!(bench.run("LRANGE l 0 -1"), "*6|$2|-1|$1|0|$1|a|$1|b|$1|c|$1|d|");
        assert!(bench.run("RPUSH l").starts_with("-ERR wrong number"));
        bench.run("SADD s a");
        for line in ["LPUSH s a", "RPUSH s a", "LPUSHX s a", "RPUSHX s a"] {
            assert_eq!(bench.run(line), WRONG);
        }
        assert_eq!(
            bench.log_text(),
            "SELECT 0; RPUSH l b c; LPUSH l a 0; RPUSHX l d; LPUSHX l -1; SADD s a"
        );
    }

    #[test]
    fn pops_with_and_without_a_count() {
        for size in [-2, 2] {
            let mut bench = Bench::new();
            bench.limits.list_max_listpack_size = size;
            assert_eq!(bench.run("LPOP l"), "$-1|");
            assert_eq!(bench.run("LPOP l 0"), "*-1|");
            assert_eq!(bench.run("LPOP l 3"), "*-1|");
            bench.run("RPUSH l 1 b 3 d 5");
            assert_eq!(bench.run("LPOP l"), "$1|1|");
            assert_eq!(bench.run("RPOP l"), "$1|5|");
            assert_eq!(bench.run("LPOP l 0"), "*0|");
            assert_eq!(bench.run("RPOP l 2"), "*2|$1|d|$1|3|");
            assert_eq!(bench.run("LPOP l -1"), POSITIVE);
            assert_eq!(bench.run("LPOP l x"), POSITIVE);
            assert_eq!(
                bench.run("LPOP l 1 2"),
                "-ERR wrong number of arguments for 'lpop' command|"
            );
            assert_eq!(bench.run("LPOP l 9"), "*1|$1|b|");
            assert_eq!(bench.run("LLEN l"), ":0|");
            assert_eq!(bench.run("LPOP l"), "$-1|");
            assert_eq!(
                bench.log_text(),
                "SELECT 0; RPUSH l 1 b 3 d 5; LPOP l; RPOP l; RPOP l 2; LPOP l 9"
            );
        }
    }

    #[test]
    fn pops_check_the_type_and_speak_resp3() {
        let mut bench = Bench::new();
        bench.run("SADD s a");
        for line in ["LPOP s", "RPOP s", "LPOP s 0", "LPOP s 1", "LMPOP 1 s LEFT"] {
            assert_eq!(bench.run(line), WRONG);
        }
        bench.protocol = Protocol::Resp3;
        for line in ["LPOP l", "LPOP l 1", "LMPOP 1 l LEFT"] {
            assert_eq!(bench.run(line), "_|");
        }
    }

    #[test]
    fn lmpop_takes_from_the_first_list() {
        let mut bench = Bench::new();
        assert_eq!(bench.run("LMPOP 1 l LEFT"), "*-1|");
        bench.run("RPUSH l a b c");
        assert_eq!(bench.run("LMPOP 2 no l LEFT"), "*2|$1|l|*1|$1|a|");
        assert_eq!(bench.run("LMPOP 2 no l right COUNT 9"), "*2|$1|l|*2|$1|c|$1|b|");
        bench.run("SADD s a");
        assert_eq!(bench.run("LMPOP 2 no s LEFT"), WRONG);
        let numkeys = "-ERR numkeys should be greater than 0|";
        for line in ["LMPOP 0 l LEFT", "LMPOP -1 l LEFT", "LMPOP x l LEFT"] {
            assert_eq!(bench.run(line), numkeys);
        }
        for line in ["0", "-1", "x"] {
            assert_eq!(
                bench.run(&format!("LMPOP 1 l LEFT COUNT {line}")),
                "-ERR count should be greater than 0|"
            );
        }
        for line in [
            "LMPOP 2 l LEFT",
            "LMPOP 1 l UP",
            "LMPOP 1 l LEFT COUNT",
            "LMPOP 1 l LEFT x 1",
            "LMPOP 1 l LEFT COUNT 1 COUNT 1",
            "LMPOP 9223372036854775807 l LEFT",
        ] {
            assert_eq!(bench.run(line), "-ERR syntax error|");
        }
        assert_eq!(bench.log_text(), "SELECT 0; RPUSH l a b c; LPOP l 1; RPOP l 2; SADD s a");
    }
}
