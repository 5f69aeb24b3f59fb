//! Reading lists, and editing them inside: LLEN, LINDEX, LRANGE, LPOS, LSET, LINSERT, LREM, LTRIM.

use ochre_command::Ctx;
use ochre_command::args::{self, Cursor};
use ochre_command::data::Class;
use ochre_command::outcome::{self, ReplyError, Result};
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_types::list::{End, Side};

use super::{DELETES, GROW, INSERTS, READ_FAST, READS, UPDATES, list_mut, list_view};
use crate::collection::{self, negatable, write_entry};

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("llen", 2, READ_FAST, Group::List, llen)
        .keys(&[KeySpec::one(1, KeyFlags::RO)])
        .docs("1.0.0", "Counts the elements of a list.", "O(1)", "key"),
    CommandSpec::new("lindex", 3, Flags::READONLY, Group::List, lindex)
        .keys(&[KeySpec::one(1, READS)])
        .docs(
            "1.0.0",
            "Returns the element at a position of a list.",
            "O(N) for N elements between the position and the nearer end",
            "key index",
        ),
    CommandSpec::new("lrange", 4, Flags::READONLY, Group::List, lrange)
        .keys(&[KeySpec::one(1, READS)])
        .docs(
            "1.0.0",
            "Returns neighbouring elements of a list.",
            "O(S+N) for S elements between the start and the nearer end, and N returned ones",
            "key start stop",
        ),
    CommandSpec::new("lpos", -3, Flags::READONLY, Group::List, lpos)
        .keys(&[KeySpec::one(1, READS)])
        .docs(
            "6.0.6",
            "Returns the positions of elements that equal a value.",
            "O(N) for N elements that are looked at, which MAXLEN bounds",
            "key element [RANK rank] [COUNT num-matches] [MAXLEN len]",
        ),
    CommandSpec::new("lset", 4, GROW, Group::List, lset).keys(&[KeySpec::one(1, UPDATES)]).docs(
        "1.0.0",
        "Replaces the element at a position of a list.",
        "O(N) for N elements between the position and the nearer end",
        "key index element",
    ),
    CommandSpec::new("linsert", 5, GROW, Group::List, linsert)
        .keys(&[KeySpec::one(1, INSERTS)])
        .docs(
            "2.2.0",
            "Puts an element before or after the first one that equals a value.",
            "O(N) for N elements up to that one",
            "key <BEFORE | AFTER> pivot element",
        ),
    CommandSpec::new("lrem", 4, Flags::WRITE, Group::List, lrem)
        .keys(&[KeySpec::one(1, DELETES)])
        .docs(
            "1.0.0",
            "Removes elements that equal a value.",
            "O(N) for N elements of the list",
            "key count element",
        ),
    CommandSpec::new("ltrim", 4, Flags::WRITE, Group::List, ltrim)
        .keys(&[KeySpec::one(1, DELETES)])
        .docs(
            "1.0.0",
            "Removes all elements of a list but some neighbouring ones.",
            "O(N) for N removed elements",
            "key start stop",
        ),
];

fn llen(ctx: &mut Ctx<'_>) -> Result {
    let len = match ctx.data.stored(ctx.key(1)) {
        None => 0,
        Some(stored) => list_view(stored)?.len(),
    };
    ctx.reply.integer(len as i64);
    Ok(())
}

fn lindex(ctx: &mut Ctx<'_>) -> Result {
    let Some(stored) = ctx.data.stored(ctx.data.key(ctx.args[1])) else {
        ctx.reply.null();
        return Ok(());
    };
    let list = list_view(stored)?;
    let index = args::int(ctx.args[2])?;
    match position(index, list.len()).and_then(|index| list.index(index)) {
        None => ctx.reply.null(),
        Some(entry) => write_entry(&mut ctx.reply, entry),
    }
    Ok(())
}

/// The position that `index` means: negative ones count from the end. None outside the list.
fn position(index: i64, len: usize) -> Option<usize> {
    let index = if index < 0 { index.checked_add(len as i64)? } else { index };
    usize::try_from(index).ok().filter(|&index| index < len)
}

/// The first position and the number of elements from `start` to `stop`, both included, negative ones
/// counting from the end.
#[inline]
fn span(start: i64, stop: i64, len: usize) -> (usize, usize) {
    let len = len as i64;
    let from_end = |n: i64| if n < 0 { n.saturating_add(len) } else { n };
    let (start, stop) = (from_end(start).max(0), from_end(stop).min(len - 1));
    if start > stop { (0, 0) } else { (start as usize, (stop - start + 1) as usize) }
}

// HOT PATH: elements go straight from the pages to the reply.
fn lrange(ctx: &mut Ctx<'_>) -> Result {
    let (start, stop) = (args::int(ctx.arg(2))?, args::int(ctx.arg(3))?);
    let Some(stored) = ctx.data.stored(ctx.data.key(ctx.args[1])) else {
        ctx.reply.empty_array();
        return Ok(());
    };
    let list = list_view(stored)?;
    let (start, count) = span(start, stop, list.len());
    ctx.reply.array(count);
    for entry in list.range(start, count) {
        write_entry(&mut ctx.reply, entry);
    }
    Ok(())
}

/// The options of LPOS.
#[derive(Clone, Copy, Debug)]
struct Search {
    /// Which match comes first; negative from the tail.
    rank: i64,
    /// How many matches to return; 0: all. None: one, and not as an array.
    count: Option<usize>,
    /// How many elements to look at; 0: all.
    looks: usize,
}

impl Search {
    fn parse(args: &[&[u8]]) -> Result<Self> {
        const RANK: ReplyError = ReplyError::fixed(
            "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... \
             or use negative to start from the end of the list",
        );
        const COUNT: ReplyError = ReplyError::fixed("ERR COUNT can't be negative");
        const MAXLEN: ReplyError = ReplyError::fixed("ERR MAXLEN can't be negative");
        let mut search = Self { rank: 1, count: None, looks: 0 };
        let natural = |arg: &[u8], error: ReplyError| match args::int_or(arg, error.clone())? {
            n if n >= 0 => Ok(n as usize),
            _ => Err(error),
        };
        let mut options = Cursor::new(args, 3);
        while options.left() > 0 {
            if options.take("rank") {
                search.rank = negatable(options.need()?)?;
                if search.rank == 0 {
                    return Err(RANK);
                }
            } else if options.take("count") {
                search.count = Some(natural(options.need()?, COUNT)?);
            } else if options.take("maxlen") {
                search.looks = natural(options.need()?, MAXLEN)?;
            } else {
                return Err(outcome::SYNTAX);
            }
        }
        Ok(search)
    }
}

fn lpos(ctx: &mut Ctx<'_>) -> Result {
    let search = Search::parse(ctx.args)?;
    let reply = &mut ctx.reply;
    let Some(stored) = ctx.data.stored(ctx.data.key(ctx.args[1])) else {
        match search.count {
            None => reply.null(),
            Some(_) => reply.empty_array(),
        }
        return Ok(());
    };
    let list = list_view(stored)?;
    let (element, rank, looks) = (ctx.args[2], search.rank, search.looks);
    let Some(count) = search.count else {
        let mut first = None;
        list.positions(element, rank, 1, looks, |at| first = Some(at));
        match first {
            None => reply.null(),
            Some(at) => reply.integer(at as i64),
        }
        return Ok(());
    };
    let mark = reply.deferred();
    let mut found = 0;
    list.positions(element, rank, count, looks, |at| {
        reply.integer(at as i64);
        found += 1;
    });
    reply.finish_array(mark, found);
    Ok(())
}

fn lset(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(1);
    let (index, element) = (ctx.arg(2), ctx.arg(3));
    let edited = ctx.data.edit(key, None, |value, limits, _| {
        let list = list_mut(value)?;
        let index = args::int(index)?;
        let set = position(index, list.len())
            .is_some_and(|index| list.set(limits.list_page(), index, element));
        if set { Ok(()) } else { Err(outcome::INDEX_OUT_OF_RANGE) }
    })?;
    if edited.is_none() {
        return Err(outcome::NO_SUCH_KEY);
    }
    ctx.data.changed(key, Class::List, "lset");
    ctx.reply.ok();
    Ok(())
}

fn linsert(ctx: &mut Ctx<'_>) -> Result {
    let side = if args::is(ctx.arg(2), "after") {
        Side::After
    } else if args::is(ctx.arg(2), "before") {
        Side::Before
    } else {
        return Err(outcome::SYNTAX);
    };
    let key = ctx.key(1);
    let (pivot, element) = (ctx.arg(3), ctx.arg(4));
    let edited = ctx.data.edit(key, None, |value, limits, _| {
        let list = list_mut(value)?;
        let inserted = list.insert(limits.list_page(), side, pivot, element);
        Ok(inserted.then_some(list.len()))
    })?;
    match edited {
        None => ctx.reply.integer(0),
        Some((None, _)) => ctx.reply.integer(-1),
        Some((Some(len), _)) => {
            ctx.data.changed(key, Class::List, "linsert");
            ctx.reply.integer(len as i64);
        }
    }
    Ok(())
}

fn lrem(ctx: &mut Ctx<'_>) -> Result {
    let count = negatable(ctx.arg(2))?;
    let key = ctx.key(1);
    let element = ctx.arg(3);
    let end = if count < 0 { End::Back } else { End::Front };
    let most = count.unsigned_abs() as usize;
    let edited = ctx.data.edit(key, None, |value, limits, _| {
        Ok(list_mut(value)?.remove(limits.list_page(), end, element, most))
    })?;
    let removed = match edited {
        Some((removed, left)) if removed > 0 => {
            collection::changed(&mut ctx.data, key, left, Class::List, "lrem");
            removed
        }
        _ => 0,
    };
    ctx.reply.integer(removed as i64);
    Ok(())
}

fn ltrim(ctx: &mut Ctx<'_>) -> Result {
    let (start, stop) = (args::int(ctx.arg(2))?, args::int(ctx.arg(3))?);
    let key = ctx.key(1);
    let edited = ctx.data.edit(key, None, |value, limits, _| {
        let list = list_mut(value)?;
        let (start, count) = span(start, stop, list.len());
        let removed = list.len() - count;
        if removed > 0 {
            list.trim(limits.list_page(), start, count);
        }
        Ok(removed)
    })?;
    match edited {
        None => {}
        // The event is sent whether or not anything was outside.
        Some((0, _)) => ctx.data.tell(key, Class::List, "ltrim"),
        Some((_, left)) => {
            collection::changed(&mut ctx.data, key, left, Class::List, "ltrim");
        }
    }
    ctx.reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value|";
    const INTEGER: &str = "-ERR value is not an integer or out of range|";
    const SYNTAX: &str = "-ERR syntax error|";

    /// Runs a check on a list in its entry, on one of pages, and on one of many pages.
    fn in_each_form(check: impl Fn(&mut Bench)) {
        for size in [-2, 1, 3] {
            let mut bench = Bench::new();
            bench.limits.list_max_listpack_size = size;
            check(&mut bench);
        }
    }

    #[test]
    fn reads_by_position() {
        in_each_form(|bench| {
            assert_eq!(bench.run("LLEN l"), ":0|");
            assert_eq!(bench.run("LINDEX l x"), "$-1|");
            assert_eq!(bench.run("LRANGE l 0 -1"), "*0|");
            bench.run("RPUSH l a 1 c 2 e");
            assert_eq!(bench.run("LLEN l"), ":5|");
            assert_eq!(bench.run("LINDEX l 1"), "$1|1|");
            assert_eq!(bench.run("LINDEX l -1"), "$1|e|");
            assert_eq!(bench.run("LINDEX l 5"), "$-1|");
            assert_eq!(bench.run("LINDEX l -6"), "$-1|");
            assert_eq!(bench.run("LINDEX l -9223372036854775808"), "$-1|");
            assert_eq!(bench.run("LINDEX l 9223372036854775807"), "$-1|");
            assert_eq!(bench.run("LRANGE l 9223372036854775807 -1"), "*0|");
            assert_eq!(bench.run("LRANGE l 4 9223372036854775807"), "*1|$1|e|");
            assert_eq!(bench.run("LINDEX l x"), INTEGER);
            assert_eq!(bench.run("LRANGE l 1 3"), "*3|$1|1|$1|c|$1|2|");
            assert_eq!(bench.run("LRANGE l -2 100"), "*2|$1|2|$1|e|");
            assert_eq!(bench.run("LRANGE l 3 1"), "*0|");
            assert_eq!(bench.run("LRANGE l 5 9"), "*0|");
            assert_eq!(bench.run("LRANGE l -100 -5"), "*1|$1|a|");
            assert_eq!(bench.run("LRANGE l 0 x"), INTEGER);
        });
    }

    #[test]
    fn a_long_list_is_read_across_its_pages() {
        let mut bench = Bench::new();
        for n in 0..4000 {
            bench.run(&format!("RPUSH l element-{n}"));
        }
        assert_eq!(bench.run("LRANGE l 2999 3000"), "*2|$12|element-2999|$12|element-3000|");
        assert_eq!(bench.run("LPOS l element-3999"), ":3999|");
        assert_eq!(bench.run("LTRIM l 1000 1001"), "+OK|");
        assert_eq!(bench.run("LRANGE l 0 -1"), "*2|$12|element-1000|$12|element-1001|");
    }

    #[test]
    fn lpos_and_its_options() {
        in_each_form(|bench| {
            assert_eq!(bench.run("LPOS l a"), "$-1|");
            assert_eq!(bench.run("LPOS l a COUNT 1"), "*0|");
            bench.run("RPUSH l a b c a b c");
            assert_eq!(bench.run("LPOS l a"), ":0|");
            assert_eq!(bench.run("LPOS l a RANK 2"), ":3|");
            assert_eq!(bench.run("LPOS l a RANK -1"), ":3|");
            assert_eq!(bench.run("LPOS l a RANK 3"), "$-1|");
            assert_eq!(bench.run("LPOS l a COUNT 0"), "*2|:0|:3|");
            assert_eq!(bench.run("LPOS l a RANK -1 COUNT 2"), "*2|:3|:0|");
            assert_eq!(bench.run("LPOS l a RANK 5 COUNT 1"), "*0|");
            assert_eq!(bench.run("LPOS l b MAXLEN 1"), "$-1|");
            assert_eq!(bench.run("LPOS l b MAXLEN 2"), ":1|");
            assert_eq!(bench.run("LPOS l a COUNT 0 MAXLEN 3"), "*1|:0|");
            assert!(bench.run("LPOS l a RANK 0").starts_with("-ERR RANK can't"));
            assert!(
                bench
                    .run("LPOS l a RANK -9223372036854775808")
                    .starts_with("-ERR value is out of range, value must between")
            );
            assert_eq!(bench.run("LPOS l a RANK x"), INTEGER);
            for count in ["-1", "x"] {
                assert_eq!(
                    bench.run(&format!("LPOS l a COUNT {count}")),
                    "-ERR COUNT can't be negative|"
                );
                assert_eq!(
                    bench.run(&format!("LPOS l a MAXLEN {count}")),
                    "-ERR MAXLEN can't be negative|"
                );
            }
            for line in ["LPOS l a RANK", "LPOS no a x", "LPOS no a x 1"] {
                assert_eq!(bench.run(line), SYNTAX);
            }
        });
    }

    #[test]
    fn edits_inside() {
        in_each_form(|bench| {
            assert_eq!(bench.run("LSET l x y"), "-ERR no such key|");
            assert_eq!(bench.run("LINSERT l BEFORE a b"), ":0|");
            assert_eq!(bench.run("LREM l 0 a"), ":0|");
            assert_eq!(bench.run("LTRIM l 0 1"), "+OK|");
            bench.run("RPUSH l a b a b a");
            assert_eq!(bench.run("LSET l 1 B"), "+OK|");
            assert_eq!(bench.run("LSET l -1 Z"), "+OK|");
            assert_eq!(bench.run("LSET l 5 Z"), "-ERR index out of range|");
            assert_eq!(bench.run("LSET l -6 Z"), "-ERR index out of range|");
            assert_eq!(bench.run("LSET l x Z"), INTEGER);
            assert_eq!(bench.run("LINSERT l BEFORE B x"), ":6|");
            assert_eq!(bench.run("LINSERT l after B x"), ":7|");
            assert_eq!(bench.run("LINSERT l after no x"), ":-1|");
            assert_eq!(bench.run("LINSERT l at B x"), SYNTAX);
            assert_eq!(bench.run("LRANGE l 0 -1"), "*7|$1|a|$1|x|$1|B|$1|x|$1|a|$1|b|$1|Z|");
            assert_eq!(bench.run("LREM l -1 x"), ":1|");
            assert_eq!(bench.run("LREM l 0 no"), ":0|");
            assert_eq!(bench.run("LREM l 5 a"), ":2|");
            assert_eq!(bench.run("LREM l x a"), INTEGER);
            assert!(
                bench
                    .run("LREM l -9223372036854775808 a")
                    .starts_with("-ERR value is out of range, value must between")
            );
            assert_eq!(bench.run("LRANGE l 0 -1"), "*4|$1|x|$1|B|$1|b|$1|Z|");
            assert_eq!(bench.run("LTRIM l 0 -1"), "+OK|");
            assert_eq!(bench.run("LTRIM l 1 -2"), "+OK|");
            assert_eq!(bench.run("LRANGE l 0 -1"), "*2|$1|B|$1|b|");
            assert_eq!(bench.run("LTRIM l x 1"), INTEGER);
            assert_eq!(bench.run("LTRIM l 5 1"), "+OK|");
            assert_eq!(bench.run("LPUSHX l a"), ":0|");
            bench.run("RPUSH l a a");
            assert_eq!(bench.run("LREM l -9 a"), ":2|");
            assert_eq!(bench.run("LPUSHX l a"), ":0|");
            assert_eq!(
                bench.log_text(),
                "SELECT 0; RPUSH l a b a b a; LSET l 1 B; LSET l -1 Z; LINSERT l BEFORE B x; \
                 LINSERT l after B x; LREM l -1 x; LREM l 5 a; LTRIM l 1 -2; LTRIM l 5 1; \
                 RPUSH l a a; LREM l -9 a"
            );
        });
    }

    #[test]
    fn other_types_are_refused() {
        let mut bench = Bench::new();
        bench.run("SADD s a");
        for line in [
            "LLEN s",
            "LINDEX s x",
            "LRANGE s 0 1",
            "LPOS s a",
            "LSET s x a",
            "LINSERT s BEFORE a b",
            "LREM s 0 a",
            "LTRIM s 0 1",
        ] {
            assert_eq!(bench.run(line), WRONG, "{line}");
        }
        assert_eq!(bench.run("LRANGE s x 1"), INTEGER);
        assert_eq!(bench.run("LPOS s a COUNT -1"), "-ERR COUNT can't be negative|");
    }
}
