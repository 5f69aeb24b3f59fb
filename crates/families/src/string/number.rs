//! Strings as numbers: INCR, DECR, INCRBY, DECRBY, INCRBYFLOAT.
//!
//! An integer is stored as one, so that counting neither reads nor writes text. INCRBYFLOAT computes
//! in 80-bit precision and is logged as the SET of its result: replicas need not compute the same.

use ochre_base::long_double::LongDouble;
use ochre_base::num::parse_i64;
use ochre_command::Ctx;
use ochre_command::args::int;
use ochre_command::data::Class;
use ochre_command::outcome::{self, ReplyError, Result};
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_keyspace::db::{NewValue, Text};

const WRITE_FAST: Flags = Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST);
const COUNTS: KeySpec =
    KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE));

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("incr", 2, WRITE_FAST, Group::String, incr).keys(&[COUNTS]).docs(
        "1.0.0",
        "Adds one to an integer; an absent key counts as 0.",
        "O(1)",
        "key",
    ),
    CommandSpec::new("decr", 2, WRITE_FAST, Group::String, decr).keys(&[COUNTS]).docs(
        "1.0.0",
        "Takes one from an integer; an absent key counts as 0.",
        "O(1)",
        "key",
    ),
    CommandSpec::new("incrby", 3, WRITE_FAST, Group::String, incrby).keys(&[COUNTS]).docs(
        "1.0.0",
        "Adds to an integer; an absent key counts as 0.",
        "O(1)",
        "key increment",
    ),
    CommandSpec::new("decrby", 3, WRITE_FAST, Group::String, decrby).keys(&[COUNTS]).docs(
        "1.0.0",
        "Takes from an integer; an absent key counts as 0.",
        "O(1)",
        "key decrement",
    ),
    CommandSpec::new("incrbyfloat", 3, WRITE_FAST, Group::String, incrbyfloat)
        .keys(&[COUNTS])
        .docs(
            "2.6.0",
            "Adds to a decimal number; an absent key counts as 0.",
            "O(1)",
            "key increment",
        ),
];

fn incr(ctx: &mut Ctx<'_>) -> Result {
    add(ctx, 1)
}

fn decr(ctx: &mut Ctx<'_>) -> Result {
    add(ctx, -1)
}

fn incrby(ctx: &mut Ctx<'_>) -> Result {
    let increment = int(ctx.args[2])?;
    add(ctx, increment)
}

fn decrby(ctx: &mut Ctx<'_>) -> Result {
    const OVERFLOW: ReplyError = ReplyError::fixed("ERR decrement would overflow");
    let increment = int(ctx.args[2])?.checked_neg().ok_or(OVERFLOW)?;
    add(ctx, increment)
}

// HOT PATH: one look-up; the new integer is written over the old one.
#[inline]
fn add(ctx: &mut Ctx<'_>, increment: i64) -> Result {
    let key = ctx.key(1);
    let slot = ctx.data.find(key);
    let (old, expiry) = match slot {
        None => (0, None),
        Some(slot) => {
            let db = ctx.data.db_of(key);
            let entry = db.entry(slot);
            let old = match db.text(&entry).ok_or(outcome::WRONG_TYPE)? {
                Text::Int(n) => n,
                // What APPEND and SETRANGE left may read as an integer without being stored as one.
                Text::Bytes(bytes) => parse_i64(bytes).ok_or(outcome::NOT_INTEGER)?,
                Text::Blob(_) => return Err(outcome::NOT_INTEGER),
            };
            (old, entry.expiry)
        }
    };
    let new = old.checked_add(increment).ok_or(outcome::OVERFLOW)?;
    ctx.data.put(key, slot, NewValue::Int(new), expiry);
    ctx.data.changed(key, Class::String, "incrby");
    ctx.reply.integer(new);
    Ok(())
}

fn incrbyfloat(ctx: &mut Ctx<'_>) -> Result {
    const NO_NUMBER: ReplyError = ReplyError::fixed("ERR increment would produce NaN or Infinity");
    let key = ctx.key(1);
    let slot = ctx.data.find(key);
    let (old, expiry) = match slot {
        None => (LongDouble::from_i64(0), None),
        Some(slot) => {
            let old = match ctx.data.text_at(key, slot)? {
                Text::Int(n) => Some(LongDouble::from_i64(n)),
                Text::Bytes(bytes) => LongDouble::parse(bytes),
                Text::Blob(blob) => LongDouble::parse(blob),
            };
            (old.ok_or(outcome::NOT_FLOAT)?, ctx.data.expiry_at(key, slot))
        }
    };
    let increment = LongDouble::parse(ctx.args[2]).ok_or(outcome::NOT_FLOAT)?;
    let new = old.checked_add(increment).ok_or(NO_NUMBER)?;
    let mut text = Vec::with_capacity(64);
    new.append_text(&mut text);
    ctx.data.put(key, slot, NewValue::Text(&text), expiry);
    ctx.data.changed(key, Class::String, "incrbyfloat");
    ctx.data.effect([b"SET", key.name, &text, b"KEEPTTL"].into_iter());
    ctx.reply.bulk(&text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    const NOT_INTEGER: &str = "-ERR value is not an integer or out of range|";
    const OVERFLOW: &str = "-ERR increment or decrement would overflow|";

    #[test]
    fn integers_count_and_keep_their_expiry() {
        let mut bench = Bench::new();
        assert_eq!(bench.run("INCR n"), ":1|");
        assert_eq!(bench.run("INCRBY n 41"), ":42|");
        bench.run("PEXPIREAT n 1700000009000");
        assert_eq!(bench.run("DECR n"), ":41|");
        assert_eq!(bench.run("DECRBY n -1000000"), ":1000041|");
        assert_eq!(bench.run("TTL n"), ":9|");
        assert_eq!(bench.run("GET n"), "$7|1000041|");
        assert_eq!(
            bench.log_text(),
            "SELECT 0; INCR n; INCRBY n 41; PEXPIREAT n 1700000009000; DECR n; DECRBY n -1000000"
        );
    }

    #[test]
    fn integers_at_the_ends() {
        let mut bench = Bench::new();
        bench.run("SET n 9223372036854775807");
        assert_eq!(bench.run("INCR n"), OVERFLOW);
        assert_eq!(bench.run("INCRBY n -9223372036854775808"), ":-1|");
        assert_eq!(bench.run("DECRBY n 9223372036854775807"), ":-9223372036854775808|");
        assert_eq!(bench.run("DECR n"), OVERFLOW);
        assert_eq!(bench.run("DECRBY n -9223372036854775808"), "-ERR decrement would overflow|");
    }

    #[test]
    fn what_is_no_integer() {
        let mut bench = Bench::new();
        for value in ["abc", "1.5", "+1", "01", "''"] {
            bench.run(&format!("SET k {value}"));
            assert_eq!(bench.run("INCR k"), NOT_INTEGER, "{value}");
        }
        assert_eq!(bench.run("INCRBY none x"), NOT_INTEGER);
        bench.run("ZADD z 1 a");
        assert!(bench.run("INCR z").starts_with("-WRONGTYPE"));
        assert_eq!(bench.run("INCRBY z x"), NOT_INTEGER);
        bench.run_args(&[b"SET", b"large", &[b'1'; 2000]]);
        assert_eq!(bench.run("DECR large"), NOT_INTEGER);
        bench.run("SET r 1");
        bench.run("APPEND r 2");
        assert_eq!(bench.run("INCR r"), ":13|");
    }

    #[test]
    fn decimals() {
        let mut bench = Bench::new();
        assert_eq!(bench.run("INCRBYFLOAT k 0.1"), "$3|0.1|");
        bench.run("PEXPIREAT k 1700000009000");
        assert_eq!(bench.run("INCRBYFLOAT k 0.2"), "$3|0.3|");
        assert_eq!(bench.run("INCRBYFLOAT k -5.0e-1"), "$4|-0.2|");
        assert_eq!(bench.run("TTL k"), ":9|");
        bench.run("SET n 10");
        assert_eq!(bench.run("INCRBYFLOAT n 1e3"), "$4|1010|");
        assert_eq!(
            bench.log_text(),
            "SELECT 0; SET k 0.1 KEEPTTL; PEXPIREAT k 1700000009000; SET k 0.3 KEEPTTL; \
             SET k -0.2 KEEPTTL; SET n 10; SET n 1010 KEEPTTL"
        );
        let not_float = "-ERR value is not a valid float|";
        assert_eq!(bench.run("INCRBYFLOAT n x"), not_float);
        assert_eq!(bench.run("INCRBYFLOAT n nan"), not_float);
        bench.run("SET k abc");
        assert_eq!(bench.run("INCRBYFLOAT k 1"), not_float);
        assert_eq!(bench.run("INCRBYFLOAT n inf"), "-ERR increment would produce NaN or Infinity|");
        bench.run("ZADD z 1 a");
        assert!(bench.run("INCRBYFLOAT z x").starts_with("-WRONGTYPE"));
    }
}
