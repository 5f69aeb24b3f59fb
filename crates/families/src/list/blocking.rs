//! List commands that wait for an element: BLPOP, BRPOP, BLMPOP, BLMOVE, BRPOPLPUSH; and for several:
//! BLMOVEM, which with EXACTLY is not served before there are enough ([`is_enough`]), while those behind it are.
//!
//! A handler first tries to answer. When no key holds anything it says how it wants to wait, by the
//! command that is to run once a key is ready; it runs in its place in the queue, finds the element
//! and answers by the same handler. Where waiting is not allowed it answers that there is nothing.
//! What is logged is the command without the wait: LPOP, RPOP, LMOVE, RPOPLPUSH.

use ochre_command::args;
use ochre_command::ctx::{Block, OnTimeout};
use ochre_command::outcome::Result;
use ochre_command::spec::{CommandSpec, Flags, Group, KeySpec};
use ochre_command::{Ctx, Data, Key};
use ochre_types::list::End;
use ochre_types::value::Type;

use super::ends::{MultiPop, pop_one};
use super::moves::{Several, move_element, move_several};
use super::{GROW, INSERTS, TAKES, end, end_word, list_view, pop_names};

const WAITS: Flags = Flags::WRITE.union(Flags::BLOCKING);

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("blpop", -3, WAITS, Group::List, blpop)
        .keys(&[KeySpec::range(1, -2, 1, TAKES)])
        .docs(
            "2.0.0",
            "Removes the first element of the first list that has one, waiting for it if need be.",
            "O(N) for N keys",
            "key [key ...] timeout",
        ),
    CommandSpec::new("brpop", -3, WAITS, Group::List, brpop)
        .keys(&[KeySpec::range(1, -2, 1, TAKES)])
        .docs(
            "2.0.0",
            "Removes the last element of the first list that has one, waiting for it if need be.",
            "O(N) for N keys",
            "key [key ...] timeout",
        ),
    CommandSpec::new("blmpop", -5, WAITS.union(Flags::MOVABLEKEYS), Group::List, blmpop)
        .keys(&[KeySpec::counted(2, TAKES)])
        .docs(
            "7.0.0",
            "Removes elements from the first of several lists that has any, waiting if need be.",
            "O(N+M) for N keys and M returned elements",
            "timeout numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
        ),
    CommandSpec::new("blmove", 6, GROW.union(Flags::BLOCKING), Group::List, blmove)
        .keys(&[KeySpec::one(1, TAKES), KeySpec::one(2, INSERTS)])
        .docs(
            "6.2.0",
            "Moves an element from one list to another and returns it, waiting for it if need be.",
            "O(1)",
            "source destination <LEFT | RIGHT> <LEFT | RIGHT> timeout",
        ),
    CommandSpec::new("blmovem", -6, GROW.union(Flags::BLOCKING), Group::List, blmovem)
        .keys(&[KeySpec::one(1, TAKES), KeySpec::one(2, INSERTS)])
        .docs(
            "8.10.0",
            "Moves several elements from one list to another and returns them, waiting for them if \
             need be.",
            "O(N) where N is the number of elements moved.",
            "source destination <LEFT | RIGHT> <LEFT | RIGHT> timeout \
             [<COUNT count | EXACTLY exactly> <OBO | BULK>]",
        ),
    CommandSpec::new("brpoplpush", 4, GROW.union(Flags::BLOCKING), Group::List, brpoplpush)
        .keys(&[KeySpec::one(1, TAKES), KeySpec::one(2, INSERTS)])
        .docs(
            "2.2.0",
            "Moves the last element of one list to the head of another, waiting for it if need be.",
            "O(1)",
            "source destination timeout",
        )
        .deprecated("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments"),
];

/// What a command waits with: the parts of [`Block`] that differ.
struct Wait<'a> {
    keys: &'a [&'a [u8]],
    also: &'a [&'a [u8]],
    /// The command to run, with an empty word for the key that became ready.
    serve: &'a [&'a [u8]],
    key_at: usize,
    deadline: Option<i64>,
    /// The answer where no wait is allowed. At the end of a wait it is always the null array: the
    /// peers differ there from the documentation of BLMOVE.
    refused: OnTimeout,
}

/// Waits, or answers that there is nothing where no wait is allowed.
fn wait(ctx: &mut Ctx<'_>, wait: &Wait<'_>) {
    if !ctx.may_block {
        match wait.refused {
            OnTimeout::NullArray => ctx.reply.null_array(),
            OnTimeout::Null => ctx.reply.null(),
        }
        return;
    }
    let owned = |words: &[&[u8]]| words.iter().map(|word| word.to_vec()).collect();
    ctx.block = Some(Block {
        keys: owned(wait.keys),
        also: owned(wait.also),
        serve: owned(wait.serve),
        key_at: wait.key_at,
        wants: Type::List,
        deadline: wait.deadline,
        on_timeout: OnTimeout::NullArray,
    });
}

fn blpop(ctx: &mut Ctx<'_>) -> Result {
    pop(ctx, End::Front, b"BLPOP")
}

fn brpop(ctx: &mut Ctx<'_>) -> Result {
    pop(ctx, End::Back, b"BRPOP")
}

fn pop(ctx: &mut Ctx<'_>, end: End, name: &[u8]) -> Result {
    // The arity says that there is a key and a time-out.
    let last = ctx.args.len() - 1;
    let deadline = args::deadline(ctx.arg(last), ctx.now().unix_ms)?;
    let keys = &ctx.args[1..last];
    for &key in keys {
        let start = ctx.reply.len();
        ctx.reply.array(2);
        ctx.reply.bulk(key);
        let place = ctx.data.key(key);
        if pop_one(&mut ctx.data, &mut ctx.reply, place, end)? {
            ctx.data.effect([pop_names(end).0, key].iter());
            return Ok(());
        }
        ctx.reply.truncate(start);
    }
    wait(
        ctx,
        &Wait {
            keys,
            also: &[],
            serve: &[name, b"", b"0"],
            key_at: 1,
            deadline,
            refused: OnTimeout::NullArray,
        },
    );
    Ok(())
}

fn blmpop(ctx: &mut Ctx<'_>) -> Result {
    let pop = MultiPop::parse(ctx.args, 2)?;
    let deadline = args::deadline(ctx.arg(1), ctx.now().unix_ms)?;
    if pop.run(ctx)? {
        return Ok(());
    }
    let count = pop.count.to_string();
    wait(
        ctx,
        &Wait {
            keys: pop.keys,
            also: &[],
            serve: &[b"BLMPOP", b"0", b"1", b"", end_word(pop.end), b"COUNT", count.as_bytes()],
            key_at: 3,
            deadline,
            refused: OnTimeout::NullArray,
        },
    );
    Ok(())
}

fn blmove(ctx: &mut Ctx<'_>) -> Result {
    let (from, to) = (end(ctx.arg(3))?, end(ctx.arg(4))?);
    let deadline = args::deadline(ctx.arg(5), ctx.now().unix_ms)?;
    let (source, target) = (ctx.arg(1), ctx.arg(2));
    let (from_word, to_word) = (end_word(from), end_word(to));
    if move_element(ctx, from, to)? {
        ctx.data.effect([b"LMOVE", source, target, from_word, to_word].iter());
        return Ok(());
    }
    wait(
        ctx,
        &Wait {
            keys: &[source],
            also: &[target],
            serve: &[b"BLMOVE", b"", target, from_word, to_word, b"0"],
            key_at: 1,
            deadline,
            refused: OnTimeout::Null,
        },
    );
    Ok(())
}

fn blmovem(ctx: &mut Ctx<'_>) -> Result {
    let several = Several::parse(ctx.args, 6)?;
    let deadline = args::deadline(ctx.arg(5), ctx.now().unix_ms)?;
    if move_several(ctx, several)? {
        return Ok(());
    }
    let (source, target) = (ctx.arg(1), ctx.arg(2));
    let count = several.count.to_string();
    let mut serve: Vec<&[u8]> =
        vec![b"BLMOVEM", b"", target, end_word(several.from), end_word(several.to), b"0"];
    serve.extend(several.words(count.as_bytes()));
    wait(
        ctx,
        &Wait {
            keys: &[source],
            also: &[target],
            serve: &serve,
            key_at: 1,
            deadline,
            refused: OnTimeout::NullArray,
        },
    );
    Ok(())
}

/// Whether the list under `key` holds what a waiting command wants: its claim cannot be taken back. Only
/// BLMOVEM wants more than one element.
pub fn is_enough(data: &mut Data<'_>, key: Key<'_>, args: &[Vec<u8>]) -> bool {
    if !args.first().is_some_and(|name| args::is(name, "blmovem")) {
        return true;
    }
    let words: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
    let len = data.peek(key).map(list_view).and_then(Result::ok).map_or(0, |list| list.len());
    Several::parse(&words, 6).is_ok_and(|several| several.fits(len))
}

fn brpoplpush(ctx: &mut Ctx<'_>) -> Result {
    let deadline = args::deadline(ctx.arg(3), ctx.now().unix_ms)?;
    let (source, target) = (ctx.arg(1), ctx.arg(2));
    if move_element(ctx, End::Back, End::Front)? {
        ctx.data.effect([b"RPOPLPUSH", source, target].iter());
        return Ok(());
    }
    wait(
        ctx,
        &Wait {
            keys: &[source],
            also: &[target],
            serve: &[b"BRPOPLPUSH", b"", target, b"0"],
            key_at: 1,
            deadline,
            refused: OnTimeout::Null,
        },
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use ochre_command::ctx::OnTimeout;
    use ochre_resp::Protocol;
    use ochre_types::value::Type;

    use crate::testing::Bench;

    const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value|";

    #[test]
    fn answers_at_once_when_something_is_there() {
        let mut bench = Bench::new();
        bench.run("RPUSH l a b c d e f");
        assert_eq!(bench.run("BLPOP no l 0"), "*2|$1|l|$1|a|");
        assert_eq!(bench.run("BRPOP no l 0.5"), "*2|$1|l|$1|f|");
        assert_eq!(bench.run("BLMOVE l m LEFT RIGHT 0"), "$1|b|");
        assert_eq!(bench.run("BRPOPLPUSH l m 0"), "$1|e|");
        assert_eq!(bench.run("BLMPOP 0 2 no l LEFT COUNT 9"), "*2|$1|l|*2|$1|c|$1|d|");
        assert!(!bench.blocked);
        assert_eq!(bench.run("LRANGE m 0 -1"), "*2|$1|e|$1|b|");
        assert_eq!(
            bench.log_text(),
            "SELECT 0; RPUSH l a b c d e f; LPOP l; RPOP l; LMOVE l m LEFT RIGHT; RPOPLPUSH l m; \
             LPOP l 2"
        );
    }

    #[test]
    fn waits_when_nothing_is_there() {
        let mut bench = Bench::new();
        bench.run("SADD s a");
        for line in [
            "BLPOP a b 0",
            "BRPOP a b 1",
            "BLMPOP 0 2 a b RIGHT",
            "BLMOVE a s LEFT LEFT 0",
            "BLMOVEM a s LEFT LEFT 0",
            "BRPOPLPUSH a s 0.01",
        ] {
            assert_eq!(bench.run(line), "", "{line}");
            assert!(bench.blocked, "{line}");
        }
        assert_eq!(bench.log_text(), "SELECT 0; SADD s a");
    }

    #[test]
    fn says_how_it_wants_to_wait() {
        let mut bench = Bench::new();
        for (line, keys, also, serve, key_at) in [
            ("BLPOP a b 0", "a b", "", "BLPOP * 0", 1),
            ("BRPOP a 1.5", "a", "", "BRPOP * 0", 1),
            ("blmpop 0 2 a b right COUNT 3", "a b", "", "BLMPOP 0 1 * RIGHT COUNT 3", 3),
            ("BLMOVE a b left right 0", "a", "b", "BLMOVE * b LEFT RIGHT 0", 1),
            ("BLMOVEM a b left right 0", "a", "b", "BLMOVEM * b LEFT RIGHT 0 COUNT 1 OBO", 1),
            (
                "blmovem a b right left 0 exactly 2 bulk",
                "a",
                "b",
                "BLMOVEM * b RIGHT LEFT 0 EXACTLY 2 BULK",
                1,
            ),
            ("BRPOPLPUSH a a 0", "a", "a", "BRPOPLPUSH * a 0", 1),
        ] {
            bench.run(line);
            let block = bench.block.take().expect("the command waits");
            let text = |words: &[Vec<u8>]| String::from_utf8_lossy(&words.join(&b' ')).into_owned();
            assert_eq!(text(&block.keys), keys, "{line}");
            assert_eq!(text(&block.also), also, "{line}");
            assert_eq!(block.key_at, key_at, "{line}");
            assert_eq!(block.wants, Type::List);
            assert_eq!(block.on_timeout, OnTimeout::NullArray);
            let deadline = line.ends_with("1.5").then_some(bench.now_ms + 1500);
            assert_eq!(block.deadline, deadline, "{line}");
            let mut template = block.serve.clone();
            template[key_at] = b"*".to_vec();
            assert_eq!(text(&template), serve, "{line}");

            // The template, with the key in its place, serves the client.
            bench.run("RPUSH ready 1 2");
            template[key_at] = b"ready".to_vec();
            let words: Vec<&[u8]> = template.iter().map(Vec::as_slice).collect();
            assert!(!bench.run_args(&words).starts_with('-'), "{line}");
            assert!(!bench.blocked, "{line}");
            bench.run("LTRIM ready 9 9");
            bench.run("LTRIM b 9 9");
            bench.run("LTRIM a 9 9");
        }
    }

    #[test]
    fn answers_nothing_where_it_may_not_wait() {
        let mut bench = Bench::new();
        bench.may_block = false;
        for (line, reply) in [
            ("BLPOP a b 0", "*-1|"),
            ("BRPOP a 0", "*-1|"),
            ("BLMPOP 0 1 a LEFT", "*-1|"),
            ("BLMOVE a b LEFT LEFT 0", "$-1|"),
            ("BLMOVEM a b LEFT LEFT 0 COUNT 2 OBO", "*-1|"),
            ("BRPOPLPUSH a b 0", "$-1|"),
        ] {
            bench.protocol = Protocol::Resp2;
            assert_eq!(bench.run(line), reply, "{line}");
            bench.protocol = Protocol::Resp3;
            assert_eq!(bench.run(line), "_|", "{line}");
            assert!(!bench.blocked, "{line}");
        }
    }

    #[test]
    fn refuses_types_and_time_outs() {
        let mut bench = Bench::new();
        bench.run("SADD s a");
        bench.run("RPUSH l a");
        for line in [
            "BLPOP no s l 0",
            "BLMPOP 0 2 no s LEFT",
            "BLMOVE s l LEFT LEFT 0",
            "BLMOVE l s LEFT LEFT 0",
            "BRPOPLPUSH l s 0",
        ] {
            assert_eq!(bench.run(line), WRONG, "{line}");
            assert!(!bench.blocked, "{line}");
        }
        for (line, error) in [
            ("BLPOP s x", "timeout is not a float or out of range"),
            ("BLPOP s -1", "timeout is negative"),
            ("BLPOP s 1e300", "timeout is out of range"),
            ("BLMOVE l m LEFT UP x", "syntax error"),
            ("BLMOVE l m LEFT LEFT x", "timeout is not a float or out of range"),
            ("BLMOVEM l m LEFT LEFT x", "timeout is not a float or out of range"),
            ("BLMOVEM l m LEFT LEFT x COUNT 0 OBO", "count should be greater than 0"),
            ("BLMOVEM l m LEFT LEFT 0 COUNT 2", "syntax error"),
            ("BRPOPLPUSH l m x", "timeout is not a float or out of range"),
            ("BLMPOP x 0 l LEFT", "numkeys should be greater than 0"),
            ("BLMPOP x 1 l UP", "syntax error"),
            ("BLMPOP x 1 s LEFT", "timeout is not a float or out of range"),
        ] {
            assert_eq!(bench.run(line), format!("-ERR {error}|"), "{line}");
        }
    }
}
