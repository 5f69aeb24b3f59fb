//! Moving an element from list to list: LMOVE, RPOPLPUSH. Both lists may be the same one.

use ochre_command::Ctx;
use ochre_command::data::Class;
use ochre_command::outcome::Result;
use ochre_command::spec::{CommandSpec, Group, KeySpec};
use ochre_types::list::End;
use smallvec::SmallVec;

use super::{GROW, INSERTS, TAKES, end, list_mut, list_view, new_list, pop_names, push_event};
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
}
