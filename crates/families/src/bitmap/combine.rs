//! Combining strings bit by bit: BITOP.
//!
//! The sources are read where they lie; the result is a new string under the destination, which may be
//! among the sources.

use ochre_base::num::{I64_TEXT_MAX, format_i64};
use ochre_command::args::is;
use ochre_command::data::Class;
use ochre_command::outcome::{self, ReplyError, Result};
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_command::{Ctx, Data, Key};
use ochre_keyspace::db::Text;
use ochre_types::bitmap::{self, Operation};
use smallvec::SmallVec;

use super::put_raw;

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] =
    &[CommandSpec::new("bitop", -4, Flags::WRITE.union(Flags::DENYOOM), Group::Bitmap, bitop)
        .keys(&[
            KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE)),
            KeySpec::range(3, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS)),
        ])
        .docs(
            "2.6.0",
            "Combines strings bit by bit and stores the result.",
            "O(N)",
            "<AND | OR | XOR | NOT | DIFF | DIFF1 | ANDOR | ONE> destkey key [key ...]",
        )];

/// The operations by their words.
const OPERATIONS: [(&str, Operation); 8] = [
    ("and", Operation::And),
    ("or", Operation::Or),
    ("xor", Operation::Xor),
    ("not", Operation::Not),
    ("diff", Operation::Diff),
    ("diff1", Operation::Diff1),
    ("andor", Operation::AndOr),
    ("one", Operation::One),
];

fn operation(word: &[u8], sources: usize) -> Result<Operation> {
    let found = OPERATIONS.iter().find(|(name, _)| is(word, name));
    let &(name, operation) = found.ok_or(outcome::SYNTAX)?;
    let needs_two = matches!(operation, Operation::Diff | Operation::Diff1 | Operation::AndOr);
    if operation == Operation::Not && sources != 1 {
        return Err(ReplyError::fixed("ERR BITOP NOT must be called with a single source key."));
    }
    if needs_two && sources < 2 {
        let name = name.to_uppercase();
        return Err(ReplyError::new(format!(
            "ERR BITOP {name} must be called with at least two source keys."
        )));
    }
    Ok(operation)
}

fn bitop(ctx: &mut Ctx<'_>) -> Result {
    let operation = operation(ctx.args[1], ctx.args.len() - 3)?;
    let target = ctx.key(2);
    let sources: SmallVec<[Key<'_>; 8]> = (3..ctx.args.len()).map(|at| ctx.key(at)).collect();
    for source in &sources {
        ctx.data.look(*source);
    }
    let result = combine(&ctx.data, operation, &sources)?;
    let len = result.len();
    if len > 0 {
        let slot = ctx.data.find(target);
        put_raw(&mut ctx.data, target, slot, result, None);
        ctx.data.changed(target, Class::String, "set");
    } else if ctx.data.delete(target) {
        ctx.data.changed(target, Class::Generic, "del");
    }
    ctx.reply.integer(len as i64);
    Ok(())
}

fn combine(data: &Data<'_>, operation: Operation, sources: &[Key<'_>]) -> Result<Vec<u8>> {
    let mut texts: SmallVec<[Option<Text<'_>>; 8]> = SmallVec::new();
    for source in sources {
        let slot = data.db_of(*source).find(*source);
        texts.push(slot.map(|slot| data.text_at(*source, slot)).transpose()?);
    }
    let mut rooms: SmallVec<[[u8; I64_TEXT_MAX]; 8]> = SmallVec::new();
    rooms.resize(texts.len(), [0; I64_TEXT_MAX]);
    let slices: SmallVec<[&[u8]; 8]> = texts
        .iter()
        .zip(&mut rooms)
        .map(|(text, room)| match text {
            None => &[][..],
            Some(Text::Bytes(bytes)) => bytes,
            Some(Text::Int(n)) => format_i64(*n, room),
            Some(Text::Blob(blob)) => &blob[..],
        })
        .collect();
    Ok(bitmap::combine(operation, &slices))
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn operations() {
        let mut bench = Bench::new();
        bench.run("MSET a abcd b ab n 12 c aXc");
        for (args, len, result) in [
            ("AND d a b", 4, "ab\0\0"),
            ("or d a b", 4, "abcd"),
            ("XOR d a c", 4, "\0:\0d"),
            ("AND d a none", 4, "\0\0\0\0"),
            ("OR d n none", 2, "12"),
            ("DIFF d a b", 4, "\0\0cd"),
            ("DIFF1 d b a", 4, "\0\0cd"),
            ("ANDOR d a b none", 4, "ab\0\0"),
            ("ONE d a b c", 4, "\0\u{18}\0d"),
            ("ONE d a", 4, "abcd"),
        ] {
            assert_eq!(bench.run(&format!("BITOP {args}")), format!(":{len}|"), "{args}");
            assert_eq!(bench.run("GET d"), format!("${len}|{result}|"), "{args}");
        }
        assert_eq!(bench.run("OBJECT ENCODING d"), "$3|raw|");
        assert_eq!(bench.run("BITOP NOT a a"), ":4|");
        assert_eq!(bench.run("BITOP NOT a a"), ":4|");
        assert_eq!(bench.run("GET a"), "$4|abcd|");
    }

    #[test]
    fn an_empty_result_deletes() {
        let mut bench = Bench::new();
        bench.run("SET d x EX 100");
        assert_eq!(bench.run("BITOP AND d none none"), ":0|");
        assert_eq!(bench.run("EXISTS d"), ":0|");
        assert_eq!(bench.run("BITOP AND d none none"), ":0|");
        bench.run("RPUSH d x");
        bench.run("SET s a");
        assert_eq!(bench.run("BITOP OR d s"), ":1|");
        assert_eq!(bench.run("GET d"), "$1|a|");
        bench.run("EXPIRE d 100");
        bench.run("BITOP OR d s");
        assert_eq!(bench.run("TTL d"), ":-1|");
    }

    #[test]
    fn refusals() {
        let mut bench = Bench::new();
        bench.run("RPUSH l a");
        assert_eq!(bench.run("BITOP foo d a"), "-ERR syntax error|");
        assert_eq!(
            bench.run("BITOP NOT d a b"),
            "-ERR BITOP NOT must be called with a single source key.|"
        );
        assert_eq!(
            bench.run("BITOP diff1 d a"),
            "-ERR BITOP DIFF1 must be called with at least two source keys.|"
        );
        assert!(bench.run("BITOP OR d a l").starts_with("-WRONGTYPE"));
    }
}
