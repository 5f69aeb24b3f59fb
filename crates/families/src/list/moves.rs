//! Moving elements from list to list: LMOVE, RPOPLPUSH, and several at once: LMOVEM. Both lists may be
//! the same one.
//!
//! LMOVEM takes all its elements before it puts any back, so that within one list it turns a block
//! around (OBO) or leaves it (BULK):
//!
//! ```text
//! source  1 2 3 4          LEFT LEFT   OBO  2 1 ...     pushed one by one, the last lies outermost
//!         COUNT 2          LEFT LEFT   BULK 1 2 ...     the order they had
//! ```
//!
//! It is logged by commands that every release knows. Source: documentation of Redis 7.2; of LMOVEM,
//! Redis 8.10. Cost: O(1) for each element.

use ochre_command::args::{Cursor, int_or};
use ochre_command::data::Class;
use ochre_command::outcome::{self, Result};
use ochre_command::spec::{CommandSpec, Group, KeySpec};
use ochre_command::{Ctx, Key};
use ochre_types::list::End;
use smallvec::SmallVec;

use super::{
    GROW, INSERTS, TAKES, end, end_word, list_mut, list_view, new_list, pop_names, push_event,
};
use crate::collection;

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("lmove", 5, GROW, Group::List, lmove)
        .keys(&[KeySpec::one(1, TAKES), KeySpec::one(2, INSERTS)])
        .docs(
            "6.2.0",
            "Moves an element from an end of one list to an end of another and returns it.",
            "O(1)",
            "source destination <LEFT | RIGHT> <LEFT | RIGHT>",
        ),
    CommandSpec::new("rpoplpush", 3, GROW, Group::List, rpoplpush)
        .keys(&[KeySpec::one(1, TAKES), KeySpec::one(2, INSERTS)])
        .docs(
            "1.2.0",
            "Moves the last element of one list to the head of another and returns it.",
            "O(1)",
            "source destination",
        )
        .deprecated("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments"),
    CommandSpec::new("lmovem", -5, GROW, Group::List, lmovem)
        .keys(&[KeySpec::one(1, TAKES), KeySpec::one(2, INSERTS)])
        .docs(
            "8.10.0",
            "Moves several elements from an end of one list to an end of another and returns them.",
            "O(N) where N is the number of elements moved.",
            "source destination <LEFT | RIGHT> <LEFT | RIGHT> [<COUNT count | EXACTLY exactly> \
             <OBO | BULK>]",
        ),
];

fn lmove(ctx: &mut Ctx<'_>) -> Result {
    let (from, to) = (end(ctx.arg(3))?, end(ctx.arg(4))?);
    if !move_element(ctx, from, to)? {
        ctx.reply.null();
    }
    Ok(())
}

fn rpoplpush(ctx: &mut Ctx<'_>) -> Result {
    if !move_element(ctx, End::Back, End::Front)? {
        ctx.reply.null();
    }
    Ok(())
}

/// Moves an element from the list at argument 1 to that at argument 2 and answers it. `false` when
/// there is no source, and nothing is written then.
pub(super) fn move_element(ctx: &mut Ctx<'_>, from: End, to: End) -> Result<bool> {
    let (source, target) = (ctx.key(1), ctx.key(2));
    match ctx.data.peek(source) {
        None => return Ok(false),
        Some(stored) => list_view(stored)?,
    };
    ctx.data.peek(target).map(list_view).transpose()?;

    let same = source.name == target.name;
    let mut element: SmallVec<[u8; 128]> = SmallVec::new();
    let edited = ctx.data.edit(source, None, |value, limits, _| {
        let list = list_mut(value)?;
        let page = limits.list_page();
        list.pop(page, from, |entry| {
            element.extend_from_slice(entry.text(&mut [0; 20]));
        });
        if same {
            list.push(page, to, &element);
        }
        Ok(())
    })?;
    let Some(((), left)) = edited else {
        return Ok(false);
    };
    if same {
        ctx.data.tell(target, Class::List, push_event(to));
    } else {
        ctx.data.edit(target, Some(new_list), |value, limits, _| {
            list_mut(value)?.push(limits.list_page(), to, &element);
            Ok(())
        })?;
        ctx.data.changed(target, Class::List, push_event(to));
    }
    collection::changed(&mut ctx.data, source, left, Class::List, pop_names(from).1);
    ctx.reply.bulk(&element);
    Ok(true)
}

/// What LMOVEM moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Several {
    pub(super) from: End,
    pub(super) to: End,
    pub(super) count: usize,
    /// Fewer than `count` are not moved.
    pub(super) exactly: bool,
    /// One by one, else as a block.
    one_by_one: bool,
}

impl Several {
    /// The ends stand at 3 and 4, the options from `options` on.
    pub(super) fn parse(args: &[&[u8]], options: usize) -> Result<Self> {
        let (from, to) = (end(args[3])?, end(args[4])?);
        let mut cursor = Cursor::new(args, options);
        if cursor.left() == 0 {
            return Ok(Self { from, to, count: 1, exactly: false, one_by_one: true });
        }
        let exactly = cursor.take("exactly");
        if !exactly && !cursor.take("count") {
            return Err(outcome::SYNTAX);
        }
        let count = cursor.need()?;
        let one_by_one = cursor.take("obo");
        if (!one_by_one && !cursor.take("bulk")) || cursor.left() > 0 {
            return Err(outcome::SYNTAX);
        }
        let count = usize::try_from(int_or(count, collection::COUNT)?)
            .ok()
            .filter(|count| *count > 0)
            .ok_or(collection::COUNT)?;
        Ok(Self { from, to, count, exactly, one_by_one })
    }

    /// The words that say so, with a count.
    pub(super) fn words(self, count: &[u8]) -> [&[u8]; 3] {
        [
            if self.exactly { b"EXACTLY" } else { b"COUNT" },
            count,
            if self.one_by_one { b"OBO" } else { b"BULK" },
        ]
    }

    /// Whether a list of so many elements is enough.
    pub(super) fn fits(self, len: usize) -> bool {
        len > 0 && (!self.exactly || len >= self.count)
    }

    /// Brings elements from the order in which they were taken into that in which they will lie.
    fn arrange(self, taken: &mut [Vec<u8>]) {
        let turned = if self.one_by_one { self.to == End::Front } else { self.from == End::Back };
        if turned {
            taken.reverse();
        }
    }

    /// Elements that lie so, in the order in which they are pushed.
    fn pushed(self, block: &[Vec<u8>]) -> impl Iterator<Item = &[u8]> {
        let count = block.len();
        (0..count).map(move |at| match self.to {
            End::Back => block[at].as_slice(),
            End::Front => block[count - 1 - at].as_slice(),
        })
    }
}

fn lmovem(ctx: &mut Ctx<'_>) -> Result {
    let several = Several::parse(ctx.args, 5)?;
    if !move_several(ctx, several)? {
        if several.exactly {
            ctx.reply.null_array();
        } else {
            ctx.reply.empty_array();
        }
    }
    Ok(())
}

/// Moves elements from the list at argument 1 to that at argument 2 and answers them. `false` when there
/// are not enough, and nothing is written then.
pub(super) fn move_several(ctx: &mut Ctx<'_>, several: Several) -> Result<bool> {
    let (source, target) = (ctx.key(1), ctx.key(2));
    let len = match ctx.data.peek(source) {
        None => 0,
        Some(stored) => list_view(stored)?.len(),
    };
    if !several.fits(len) {
        return Ok(false);
    }
    ctx.data.peek(target).map(list_view).transpose()?;
    let block = move_block(ctx, source, target, several, several.count.min(len))?;
    ctx.reply.array(block.len());
    for element in &block {
        ctx.reply.bulk(element);
    }
    Ok(true)
}

/// Moves `count` elements, of which there are so many, and gives them as they lie in the target.
fn move_block(
    ctx: &mut Ctx<'_>,
    source: Key<'_>,
    target: Key<'_>,
    several: Several,
    count: usize,
) -> Result<Vec<Vec<u8>>> {
    let same = source.name == target.name;
    let mut block: Vec<Vec<u8>> = Vec::with_capacity(count);
    let edited = ctx.data.edit(source, None, |value, limits, _| {
        let list = list_mut(value)?;
        let page = limits.list_page();
        for _ in 0..count {
            list.pop(page, several.from, |entry| {
                block.push(entry.text(&mut [0; 20]).to_vec());
            });
        }
        several.arrange(&mut block);
        if same {
            several.pushed(&block).for_each(|element| list.push(page, several.to, element));
        }
        Ok(())
    })?;
    let Some(((), left)) = edited else {
        return Ok(block);
    };
    if same {
        ctx.data.tell(target, Class::List, push_event(several.to));
    } else {
        ctx.data.edit(target, Some(new_list), |value, limits, _| {
            let (list, page) = (list_mut(value)?, limits.list_page());
            several.pushed(&block).for_each(|element| list.push(page, several.to, element));
            Ok(())
        })?;
        ctx.data.changed(target, Class::List, push_event(several.to));
    }
    collection::changed(&mut ctx.data, source, left, Class::List, pop_names(several.from).1);
    if same {
        log_within(ctx, source, several, &block);
    } else {
        log_between(ctx, source, target, several, &block);
    }
    Ok(block)
}

/// Logs a move to another list as a pop and a push.
fn log_between(
    ctx: &mut Ctx<'_>,
    source: Key<'_>,
    target: Key<'_>,
    several: Several,
    block: &[Vec<u8>],
) {
    let count = block.len().to_string();
    ctx.data.effect([pop_names(several.from).0, source.name, count.as_bytes()].into_iter());
    let push: &[u8] = if several.to == End::Front { b"LPUSH" } else { b"RPUSH" };
    let mut words = vec![push, target.name];
    words.extend(several.pushed(block));
    ctx.data.effect(words.into_iter());
}

/// Logs a move within a list. A pop could empty it, and its expiry would be lost: a turn of the list is
/// so many LMOVE, a block turned around where it lies so many LSET, and one that stays is nothing.
fn log_within(ctx: &mut Ctx<'_>, key: Key<'_>, several: Several, block: &[Vec<u8>]) {
    if several.from != several.to {
        let (from, to) = (end_word(several.from), end_word(several.to));
        for _ in block {
            ctx.data.effect([b"LMOVE", key.name, key.name, from, to].into_iter());
        }
        return;
    }
    if !several.one_by_one || block.len() < 2 {
        ctx.data.no_effect();
        return;
    }
    for (at, element) in block.iter().enumerate() {
        let at = match several.to {
            End::Front => at.to_string(),
            End::Back => format!("-{}", block.len() - at),
        };
        ctx.data.effect([b"LSET", key.name, at.as_bytes(), element].into_iter());
    }
}

#[cfg(test)]
mod tests {
    use ochre_resp::Protocol;

    use crate::testing::Bench;

    const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value|";

    #[test]
    fn moves_between_lists_and_within_one() {
        for size in [-2, 1] {
            let mut bench = Bench::new();
            bench.limits.list_max_listpack_size = size;
            assert_eq!(bench.run("LMOVE a b LEFT RIGHT"), "$-1|");
            assert_eq!(bench.run("RPOPLPUSH a b"), "$-1|");
            bench.run("RPUSH a 1 2 3");
            assert_eq!(bench.run("LMOVE a b left RIGHT"), "$1|1|");
            assert_eq!(bench.run("LMOVE a b RIGHT LEFT"), "$1|3|");
            assert_eq!(bench.run("LRANGE b 0 -1"), "*2|$1|3|$1|1|");
            assert_eq!(bench.run("RPOPLPUSH a b"), "$1|2|");
            assert_eq!(bench.run("LPUSHX a x"), ":0|");
            assert_eq!(bench.run("LMOVE b b LEFT RIGHT"), "$1|2|");
            assert_eq!(bench.run("LRANGE b 0 -1"), "*3|$1|3|$1|1|$1|2|");
            assert_eq!(bench.run("LMOVE b b LEFT UP"), "-ERR syntax error|");
            bench.run("RPUSH one x");
            assert_eq!(bench.run("RPOPLPUSH one one"), "$1|x|");
            assert_eq!(
                bench.log_text(),
                "SELECT 0; RPUSH a 1 2 3; LMOVE a b left RIGHT; LMOVE a b RIGHT LEFT; \
                 RPOPLPUSH a b; LMOVE b b LEFT RIGHT; RPUSH one x; RPOPLPUSH one one"
            );
        }
    }

    #[test]
    fn types_are_checked_before_anything_moves() {
        let mut bench = Bench::new();
        bench.run("SADD s a");
        bench.run("RPUSH l a");
        assert_eq!(bench.run("LMOVE l s LEFT LEFT"), WRONG);
        assert_eq!(bench.run("RPOPLPUSH s l"), WRONG);
        assert_eq!(bench.run("LMOVE no s LEFT LEFT"), "$-1|");
        assert_eq!(bench.run("LLEN l"), ":1|");
        bench.protocol = Protocol::Resp3;
        assert_eq!(bench.run("RPOPLPUSH no s"), "_|");
    }

    /// The words of an array reply.
    fn words(reply: &str) -> String {
        reply.split('|').skip(2).step_by(2).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn moves_several() {
        for (ends, count, order, moved, source, target) in [
            ("LEFT LEFT", "COUNT 2", "OBO", "2 1", "3 4", "2 1 x y"),
            ("LEFT LEFT", "COUNT 2", "BULK", "1 2", "3 4", "1 2 x y"),
            ("LEFT RIGHT", "EXACTLY 2", "OBO", "1 2", "3 4", "x y 1 2"),
            ("LEFT RIGHT", "count 2", "bulk", "1 2", "3 4", "x y 1 2"),
            ("RIGHT LEFT", "COUNT 2", "OBO", "3 4", "1 2", "3 4 x y"),
            ("RIGHT LEFT", "COUNT 2", "BULK", "3 4", "1 2", "3 4 x y"),
            ("RIGHT RIGHT", "exactly 2", "obo", "4 3", "1 2", "x y 4 3"),
            ("RIGHT RIGHT", "COUNT 2", "BULK", "3 4", "1 2", "x y 3 4"),
            ("LEFT LEFT", "", "", "1", "2 3 4", "1 x y"),
            ("RIGHT RIGHT", "COUNT 9", "OBO", "4 3 2 1", "", "x y 4 3 2 1"),
            ("LEFT RIGHT", "EXACTLY 4", "BULK", "1 2 3 4", "", "x y 1 2 3 4"),
        ] {
            for size in [-2, 1] {
                let mut bench = Bench::new();
                bench.limits.list_max_listpack_size = size;
                bench.run("RPUSH a 1 2 3 4");
                bench.run("RPUSH b x y");
                let line = format!("LMOVEM a b {ends} {count} {order}");
                assert_eq!(words(&bench.run(&line)).trim_end(), moved, "{line}");
                assert_eq!(words(&bench.run("LRANGE a 0 -1")).trim_end(), source, "{line}");
                assert_eq!(words(&bench.run("LRANGE b 0 -1")).trim_end(), target, "{line}");
                assert_eq!(bench.run("EXISTS a"), format!(":{}|", u8::from(!source.is_empty())));
                // What was logged does the same.
                let log = bench.log_text();
                let mut replica = Bench::new();
                for command in
                    log.split("; ").filter(|c| !["MULTI", "EXEC", "SELECT 0"].contains(c))
                {
                    replica.run(command);
                }
                for name in ["a", "b"] {
                    let read = format!("LRANGE {name} 0 -1");
                    assert_eq!(replica.run(&read), bench.run(&read), "{line}: {log}");
                }
            }
        }
    }

    #[test]
    fn moves_several_within_a_list() {
        for (rest, moved, list, logged) in [
            ("LEFT LEFT EXACTLY 2 OBO", "b a", "b a c", "MULTI; LSET k 0 b; LSET k 1 a; EXEC"),
            ("RIGHT RIGHT COUNT 2 OBO", "c b", "a c b", "MULTI; LSET k -2 c; LSET k -1 b; EXEC"),
            ("LEFT LEFT COUNT 2 BULK", "a b", "a b c", ""),
            ("RIGHT RIGHT COUNT 9 BULK", "a b c", "a b c", ""),
            ("LEFT LEFT", "a", "a b c", ""),
            ("RIGHT LEFT COUNT 1 BULK", "c", "c a b", "LMOVE k k RIGHT LEFT"),
            (
                "LEFT RIGHT COUNT 2 OBO",
                "a b",
                "c a b",
                "MULTI; LMOVE k k LEFT RIGHT; LMOVE k k LEFT RIGHT; EXEC",
            ),
        ] {
            let mut bench = Bench::new();
            bench.run("RPUSH k a b c");
            bench.run("PEXPIREAT k 1700000009000");
            assert_eq!(
                words(&bench.run(&format!("LMOVEM k k {rest}"))).trim_end(),
                moved,
                "{rest}"
            );
            assert_eq!(words(&bench.run("LRANGE k 0 -1")).trim_end(), list, "{rest}");
            assert_eq!(bench.run("TTL k"), ":9|");
            let before = "SELECT 0; RPUSH k a b c; PEXPIREAT k 1700000009000";
            let log = bench.log_text();
            assert_eq!(
                log.strip_prefix(before).unwrap().trim_start_matches("; "),
                logged,
                "{rest}"
            );
        }
    }

    #[test]
    fn several_with_too_few_or_bad_arguments() {
        let mut bench = Bench::new();
        bench.run("RPUSH l 1 2");
        bench.run("SADD s a");
        let count = "-ERR count should be greater than 0|";
        let syntax = "-ERR syntax error|";
        for (line, reply) in [
            ("LMOVEM no l LEFT LEFT", "*0|"),
            ("LMOVEM no l LEFT LEFT COUNT 2 OBO", "*0|"),
            ("LMOVEM no l LEFT LEFT EXACTLY 2 OBO", "*-1|"),
            ("LMOVEM l m LEFT LEFT EXACTLY 3 BULK", "*-1|"),
            ("LMOVEM s l LEFT LEFT", WRONG),
            ("LMOVEM l s LEFT LEFT COUNT 2 OBO", WRONG),
            ("LMOVEM l m LEFT UP", syntax),
            ("LMOVEM l m LEFT LEFT COUNT 2", syntax),
            ("LMOVEM l m LEFT LEFT COUNT", syntax),
            ("LMOVEM l m LEFT LEFT OBO", syntax),
            ("LMOVEM l m LEFT LEFT COUNT 2 foo", syntax),
            ("LMOVEM l m LEFT LEFT COUNT 2 OBO BULK", syntax),
            ("LMOVEM l m LEFT LEFT COUNT 0 OBO", count),
            ("LMOVEM l m LEFT LEFT EXACTLY -1 OBO", count),
            ("LMOVEM l m LEFT LEFT COUNT x OBO", count),
        ] {
            assert_eq!(bench.run(line), reply, "{line}");
        }
        assert_eq!(bench.log_text(), "SELECT 0; RPUSH l 1 2; SADD s a");
        bench.protocol = Protocol::Resp3;
        assert_eq!(bench.run("LMOVEM l m LEFT LEFT EXACTLY 3 BULK"), "_|");
    }
}
