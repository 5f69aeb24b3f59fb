//! Integers of any width within a string: BITFIELD, BITFIELD_RO.
//!
//! All operations are read before any runs. A command that only reads makes no key; one that writes
//! first makes the string long enough for all its writes, then runs its operations in order.

use ochre_base::num::I64_TEXT_MAX;
use ochre_command::Ctx;
use ochre_command::args::{Cursor, is};
use ochre_command::data::Class;
use ochre_command::outcome::{self, ReplyError, Result};
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_types::bitmap::field::{Field, Overflow};
use smallvec::SmallVec;

use super::{lend_bytes, scaled_offset, text_bytes};

const COST: &str = "O(1) for each operation";

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("bitfield", -2, Flags::WRITE.union(Flags::DENYOOM), Group::Bitmap, bitfield)
        .keys(&[KeySpec::one(
            1,
            KeyFlags::RW
                .union(KeyFlags::ACCESS)
                .union(KeyFlags::UPDATE)
                .union(KeyFlags::VARIABLE_FLAGS),
        )])
        .docs(
            "3.2.0",
            "Reads, sets and increments integers of any width within a string.",
            COST,
            "key [GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] \
             <SET encoding offset value | INCRBY encoding offset increment> \
             [GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] \
             <SET encoding offset value | INCRBY encoding offset increment> ...]]",
        ),
    CommandSpec::new(
        "bitfield_ro",
        -2,
        Flags::READONLY.union(Flags::FAST),
        Group::Bitmap,
        bitfield_ro,
    )
    .keys(&[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))])
    .docs(
        "6.0.0",
        "Reads integers of any width within a string.",
        COST,
        "key [GET encoding offset [GET encoding offset ...]]",
    ),
];

/// What is done with a field.
#[derive(Clone, Copy, Debug)]
enum Action {
    Get,
    Set(i64, Overflow),
    Add(i64, Overflow),
}

/// One operation.
#[derive(Clone, Copy, Debug)]
struct Operation {
    action: Action,
    field: Field,
    offset: u64,
}

type Operations = SmallVec<[Operation; 4]>;

impl Operation {
    fn is_read(self) -> bool {
        matches!(self.action, Action::Get)
    }

    /// Bytes that a string needs for it.
    fn reach(self) -> usize {
        (self.offset + self.field.bits()).div_ceil(8) as usize
    }

    /// Runs it: the answer, and whether the bytes changed.
    fn run(self, bytes: &mut [u8]) -> (Option<i64>, bool) {
        let old = self.field.read(bytes, self.offset);
        let (new, answers_old) = match self.action {
            Action::Get => return (Some(old), false),
            Action::Set(value, overflow) => (self.field.fit(value, overflow), true),
            Action::Add(by, overflow) => (self.field.add(old, by, overflow), false),
        };
        let Some(new) = new else { return (None, false) };
        self.field.write(bytes, self.offset, new);
        (Some(if answers_old { old } else { new }), new != old)
    }
}

fn parse(ctx: &Ctx<'_>) -> Result<Operations> {
    const BAD_FIELD: ReplyError = ReplyError::fixed(
        "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but \
         i64 is.",
    );
    let mut cursor = Cursor::new(ctx.args, 2);
    let (mut operations, mut overflow) = (Operations::new(), Overflow::Wrap);
    while let Some(word) = cursor.take_next() {
        if is(word, "overflow") && cursor.left() >= 1 {
            overflow = parse_overflow(cursor.need()?)?;
            continue;
        }
        let reads = is(word, "get");
        if !reads && !is(word, "set") && !is(word, "incrby") {
            return Err(outcome::SYNTAX);
        }
        if cursor.left() < if reads { 2 } else { 3 } {
            return Err(outcome::SYNTAX);
        }
        let field = Field::parse(cursor.need()?).ok_or(BAD_FIELD)?;
        let offset = match cursor.need()? {
            [b'#', index @ ..] => scaled_offset(ctx, index, field.bits())?,
            offset => scaled_offset(ctx, offset, 1)?,
        };
        let action = if reads {
            Action::Get
        } else if is(word, "set") {
            Action::Set(cursor.need_int()?, overflow)
        } else {
            Action::Add(cursor.need_int()?, overflow)
        };
        operations.push(Operation { action, field, offset });
    }
    Ok(operations)
}

fn parse_overflow(word: &[u8]) -> Result<Overflow> {
    let words = [("wrap", Overflow::Wrap), ("sat", Overflow::Saturate), ("fail", Overflow::Fail)];
    let found = words.into_iter().find(|(name, _)| is(word, name));
    found
        .map(|(_, overflow)| overflow)
        .ok_or(ReplyError::fixed("ERR Invalid OVERFLOW type specified"))
}

fn bitfield(ctx: &mut Ctx<'_>) -> Result {
    let operations = parse(ctx)?;
    let reach = operations.iter().filter(|op| !op.is_read()).map(|op| op.reach()).max();
    match reach {
        None => read(ctx, &operations),
        Some(reach) => write(ctx, &operations, reach),
    }
}

fn bitfield_ro(ctx: &mut Ctx<'_>) -> Result {
    let operations = parse(ctx)?;
    if !operations.iter().all(|op| op.is_read()) {
        return Err(ReplyError::fixed("ERR BITFIELD_RO only supports the GET subcommand"));
    }
    read(ctx, &operations)
}

fn read(ctx: &mut Ctx<'_>, operations: &[Operation]) -> Result {
    let key = ctx.key(1);
    let mut room = [0; I64_TEXT_MAX];
    let text = ctx.data.text(key)?.map_or(&[][..], |text| text_bytes(text, &mut room));
    ctx.reply.array(operations.len());
    for operation in operations {
        ctx.reply.integer(operation.field.read(text, operation.offset));
    }
    Ok(())
}

fn write(ctx: &mut Ctx<'_>, operations: &[Operation], reach: usize) -> Result {
    let key = ctx.key(1);
    let slot = ctx.data.find(key);
    let old_len = match slot {
        Some(slot) => text_bytes(ctx.data.text_at(key, slot)?, &mut [0; I64_TEXT_MAX]).len(),
        None => 0,
    };
    ctx.reply.array(operations.len());
    let reply = &mut ctx.reply;
    let mut changed = old_len < reach;
    lend_bytes(&mut ctx.data, key, slot, reach, |bytes| {
        for operation in operations {
            let (answer, differs) = operation.run(bytes);
            changed |= differs;
            match answer {
                Some(value) => reply.integer(value),
                None => reply.null(),
            }
        }
    })?;
    if changed {
        ctx.data.changed(key, Class::String, "setbit");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn operations_run_in_order() {
        let mut bench = Bench::new();
        assert_eq!(bench.run("BITFIELD k"), "*0|");
        assert_eq!(bench.run("BITFIELD k GET u8 0 GET i5 100"), "*2|:0|:0|");
        assert_eq!(bench.run("EXISTS k"), ":0|");
        assert_eq!(
            bench.run("BITFIELD k SET i8 0 -1 GET u4 0 INCRBY u2 #3 5 GET u8 0 SET u8 0 255"),
            "*5|:0|:15|:0|:252|:252|"
        );
        assert_eq!(bench.run("BITFIELD_RO k GET i8 0 GET i1 7"), "*2|:-1|:-1|");
        assert_eq!(bench.run("STRLEN k"), ":1|");
        assert_eq!(bench.run("BITFIELD k SET u8 0 255"), "*1|:255|");
        assert_eq!(
            bench.log_text(),
            "SELECT 0; BITFIELD k SET i8 0 -1 GET u4 0 INCRBY u2 #3 5 GET u8 0 SET u8 0 255"
        );
    }

    #[test]
    fn overflows() {
        let mut bench = Bench::new();
        bench.run("BITFIELD k SET u8 0 250 SET i8 8 120");
        assert_eq!(
            bench.run("BITFIELD k OVERFLOW SAT INCRBY u8 0 100 OVERFLOW FAIL INCRBY i8 8 100"),
            "*2|:255|$-1|"
        );
        assert_eq!(bench.run("BITFIELD k INCRBY u8 0 1 INCRBY i8 8 100"), "*2|:0|:-36|");
        // A string grows even when nothing is written: that too is a change.
        assert_eq!(bench.run("BITFIELD new OVERFLOW FAIL SET u2 9 7"), "*1|$-1|");
        assert_eq!(bench.run("STRLEN new"), ":2|");
        assert!(bench.log_text().ends_with("BITFIELD new OVERFLOW FAIL SET u2 9 7"));
        bench.run("SET large x");
        assert_eq!(bench.run("BITFIELD large SET i64 100001 -5 GET i64 100001"), "*2|:0|:-5|");
        assert_eq!(bench.run("STRLEN large"), ":12509|");
    }

    #[test]
    fn refusals() {
        let mut bench = Bench::new();
        bench.run("RPUSH l a");
        for (args, error) in [
            ("k get u8", "syntax error"),
            ("k foo u8 1", "syntax error"),
            ("k set u8 0", "syntax error"),
            ("k overflow", "syntax error"),
            ("k overflow x", "Invalid OVERFLOW type specified"),
            ("k get u8 -1", "bit offset is not an integer or out of range"),
            ("k get u8 #536870912", "bit offset is not an integer or out of range"),
            ("k get u8 #9223372036854775807", "bit offset is not an integer or out of range"),
            ("k set u8 0 x", "value is not an integer or out of range"),
        ] {
            assert_eq!(bench.run(&format!("BITFIELD {args}")), format!("-ERR {error}|"), "{args}");
        }
        assert!(bench.run("BITFIELD k get u64 0").starts_with("-ERR Invalid bitfield type."));
        assert!(bench.run("BITFIELD l get u8 0").starts_with("-WRONGTYPE"));
        assert!(bench.run("BITFIELD l set u8 0 1").starts_with("-WRONGTYPE"));
        assert_eq!(
            bench.run("BITFIELD_RO l set u8 0 1"),
            "-ERR BITFIELD_RO only supports the GET subcommand|"
        );
    }
}
