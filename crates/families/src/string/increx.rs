//! INCREX: counting within bounds and with an expiry, in one step. A rate limiter of fixed windows is
//! `INCREX key UBOUND 100 EX 60 ENX`.
//!
//! ```text
//! result = value + increment          within the bounds: stored, answered with the increment
//!                                     outside, SATURATE:  the bound is stored, answered with the
//!                                                         difference to the value before
//!                                     outside:            nothing happens, answered with 0
//! ```
//!
//! A bound that is not given is that of the type: 64-bit integers, or `long double` with BYFLOAT. A
//! refused increment leaves an absent key absent and an expiry alone. Decimals are computed in 80 bits
//! as INCRBYFLOAT does; a number is compared with a bound to the 17 decimals that are stored.
//!
//! What is logged is the SET of the result, so that replicas compute nothing. Cost: O(1).
//! Source: documentation of INCREX in Redis 8.8; texts of errors as proposed for Valkey 9.2.

use ochre_base::clock::Millis;
use ochre_base::long_double::LongDouble;
use ochre_base::num::{I64_TEXT_MAX, format_i64, parse_i64};
use ochre_command::args::{Cursor, int, is};
use ochre_command::data::Class;
use ochre_command::outcome::{self, ReplyError, Result};
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_command::{Ctx, Key};
use ochre_keyspace::db::NewValue;
use ochre_types::table::Slot;

use super::bytes;
use super::options::{Expiry, Unit};

/// The row of this file.
pub const COMMANDS: &[CommandSpec] = &[CommandSpec::new(
    "increx",
    -2,
    Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    Group::String,
    increx,
)
.keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))])
.docs(
    "8.8.0",
    "Adds to a number within bounds and sets its expiry; an absent key counts as 0.",
    "O(1)",
    "key [BYFLOAT float | BYINT integer] [SATURATE] [LBOUND lowerbound] [UBOUND upperbound] \
     [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST] \
     [ENX]",
)];

const CROSSED: ReplyError = ReplyError::fixed("ERR LBOUND can't be greater than UBOUND");
const ENX_ALONE: ReplyError = ReplyError::fixed("ERR ENX flag requires an expiration");
const NO_NUMBER: ReplyError = ReplyError::fixed("ERR increment would produce NaN or Infinity");

/// By how much, its text not read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step<'a> {
    Int(&'a [u8]),
    Float(&'a [u8]),
}

#[derive(Clone, Copy, Debug, Default)]
struct Options<'a> {
    /// None: one.
    step: Option<Step<'a>>,
    low: Option<&'a [u8]>,
    high: Option<&'a [u8]>,
    saturate: bool,
    expiry: Expiry<'a>,
    /// Only a key without expiry gets one.
    only_new: bool,
}

impl<'a> Options<'a> {
    fn parse(args: &'a [&'a [u8]]) -> Result<Self> {
        let mut options = Self::default();
        let mut cursor = Cursor::new(args, 2);
        while let Some(word) = cursor.take_next() {
            options.take(word, &mut cursor)?;
        }
        match options.expiry {
            Expiry::New(..) => {}
            Expiry::Persist if options.only_new => return Err(outcome::SYNTAX),
            _ if options.only_new => return Err(ENX_ALONE),
            _ => {}
        }
        Ok(options)
    }

    /// Takes one option; each may be given once.
    fn take(&mut self, word: &[u8], cursor: &mut Cursor<'a>) -> Result {
        if is(word, "saturate") {
            self.saturate = true;
        } else if is(word, "enx") {
            self.only_new = true;
        } else if is(word, "byint") && self.step.is_none() {
            self.step = Some(Step::Int(cursor.need()?));
        } else if is(word, "byfloat") && self.step.is_none() {
            self.step = Some(Step::Float(cursor.need()?));
        } else if is(word, "lbound") && self.low.is_none() {
            self.low = Some(cursor.need()?);
        } else if is(word, "ubound") && self.high.is_none() {
            self.high = Some(cursor.need()?);
        } else if self.expiry != Expiry::Unsaid {
            return Err(outcome::SYNTAX);
        } else if is(word, "persist") {
            self.expiry = Expiry::Persist;
        } else {
            let unit = Unit::of(word).ok_or(outcome::SYNTAX)?;
            self.expiry = Expiry::New(unit, cursor.need()?);
        }
        Ok(())
    }
}

fn increx(ctx: &mut Ctx<'_>) -> Result {
    let options = Options::parse(ctx.args)?;
    let expiry = options.expiry.resolve(ctx.now().unix_ms, ctx.name())?;
    match options.step {
        None => by_int(ctx, &options, 1, expiry),
        Some(Step::Int(text)) => by_int(ctx, &options, int(text)?, expiry),
        Some(Step::Float(text)) => by_float(ctx, &options, text, expiry),
    }
}

fn by_int(ctx: &mut Ctx<'_>, options: &Options<'_>, step: i64, expiry: Option<Millis>) -> Result {
    let low = options.low.map_or(Ok(i64::MIN), int)?;
    let high = options.high.map_or(Ok(i64::MAX), int)?;
    if low > high {
        return Err(CROSSED);
    }
    let key = ctx.key(1);
    let slot = ctx.data.find(key);
    let mut room = [0; I64_TEXT_MAX];
    let old = match slot {
        None => 0,
        Some(slot) => {
            parse_i64(bytes(ctx.data.text_at(key, slot)?, &mut room)).ok_or(outcome::NOT_INTEGER)?
        }
    };
    // The sum of two 64-bit integers, and what of it lies within the bounds, which is one again.
    let sum = i128::from(old) + i128::from(step);
    let new = sum.clamp(i128::from(low), i128::from(high)) as i64;
    let applies = i128::from(new) == sum || options.saturate;
    let (new, applied) = match applies {
        true => (new, new.checked_sub(old).ok_or(outcome::OVERFLOW)?),
        false => (old, 0),
    };
    if applies {
        let change = Change { key, slot, event: "incrby", options, expiry };
        change.store(ctx, NewValue::Int(new), format_i64(new, &mut room));
    }
    ctx.reply.array(2);
    ctx.reply.integer(new);
    ctx.reply.integer(applied);
    Ok(())
}

fn by_float(
    ctx: &mut Ctx<'_>,
    options: &Options<'_>,
    step: &[u8],
    expiry: Option<Millis>,
) -> Result {
    let low = options.low.map(Number::finite).transpose()?;
    let high = options.high.map(Number::finite).transpose()?;
    if let (Some(low), Some(high)) = (low, high)
        && is_above(low.value, high.minus)
    {
        return Err(CROSSED);
    }
    let key = ctx.key(1);
    let slot = ctx.data.find(key);
    let old = match slot {
        None => Number::parse(b"0"),
        Some(slot) => Number::parse(bytes(ctx.data.text_at(key, slot)?, &mut [0; I64_TEXT_MAX])),
    };
    let old = old.ok_or(outcome::NOT_FLOAT)?;
    let step = Number::parse(step).ok_or(outcome::NOT_FLOAT)?;
    if step.value.is_infinite() || old.value.is_infinite() {
        return Err(NO_NUMBER);
    }
    let (sum, bound) = match old.value.checked_add(step.value) {
        // A sum that no long double holds lies beyond the bound that the step leads to.
        None => (None, if step.is_negative { low } else { high }),
        Some(sum) if high.is_some_and(|high| is_above(sum, high.minus)) => (None, high),
        Some(sum) if low.is_some_and(|low| is_below(sum, low)) => (None, low),
        Some(sum) => (Some(sum), None),
    };
    let (new, applied) = match sum {
        Some(sum) => (text_of(sum), text_of(step.value)),
        None if options.saturate => {
            let bound = match bound {
                Some(bound) => bound,
                None => Number::limit(step.is_negative)?,
            };
            let difference = bound.value.checked_add(old.minus).ok_or(NO_NUMBER)?;
            (text_of(bound.value), text_of(difference))
        }
        None => (text_of(old.value), b"0".to_vec()),
    };
    if sum.is_some() || options.saturate {
        let change = Change { key, slot, event: "incrbyfloat", options, expiry };
        change.store(ctx, NewValue::Text(&new), &new);
    }
    ctx.reply.array(2);
    for text in [new, applied] {
        if ctx.reply.is_resp3() {
            ctx.reply.raw(b",");
            ctx.reply.raw(&text);
            ctx.reply.raw(b"\r\n");
        } else {
            ctx.reply.bulk(&text);
        }
    }
    Ok(())
}

/// What is to be stored under which key, apart from the value.
struct Change<'c, 'a> {
    key: Key<'c>,
    slot: Option<Slot>,
    event: &'static str,
    options: &'c Options<'a>,
    /// The expiry that was given.
    expiry: Option<Millis>,
}

impl Change<'_, '_> {
    /// Stores a value and logs its SET. One whose expiry has passed already takes the key with it.
    fn store(&self, ctx: &mut Ctx<'_>, value: NewValue<'_>, text: &[u8]) {
        let key = self.key;
        let had = self.slot.and_then(|slot| ctx.data.expiry_at(key, slot));
        let given = self.expiry.filter(|_| !(self.options.only_new && had.is_some()));
        if given.is_some_and(|at| at <= ctx.expiry_now()) {
            if ctx.data.delete(key) {
                ctx.data.changed(key, Class::Generic, "del");
                ctx.data.effect([b"DEL", key.name].into_iter());
            }
            return;
        }
        let persists = self.options.expiry == Expiry::Persist;
        let kept = had.filter(|_| !persists);
        ctx.data.put(key, self.slot, value, given.or(kept));
        ctx.data.changed(key, Class::String, self.event);
        if let Some(at) = given {
            ctx.data.tell(key, Class::Generic, "expire");
            let mut room = [0; I64_TEXT_MAX];
            let at = format_i64(at, &mut room);
            ctx.data.effect([b"SET", key.name, text, b"PXAT", at].into_iter());
        } else if persists {
            if had.is_some() {
                ctx.data.tell(key, Class::Generic, "persist");
            }
            ctx.data.effect([b"SET", key.name, text].into_iter());
        } else {
            ctx.data.effect([b"SET", key.name, text, b"KEEPTTL"].into_iter());
        }
    }
}

/// A number with its negative, which its text gives exactly.
#[derive(Clone, Copy, Debug)]
struct Number {
    value: LongDouble,
    minus: LongDouble,
    is_negative: bool,
}

impl Number {
    fn parse(text: &[u8]) -> Option<Self> {
        let value = LongDouble::parse(text)?;
        let flipped = match text {
            [b'-', body @ ..] => body.to_vec(),
            [b'+', body @ ..] | body => [b"-", body].concat(),
        };
        let minus = LongDouble::parse(&flipped)?;
        Some(Self { value, minus, is_negative: text.starts_with(b"-") })
    }

    /// A bound.
    fn finite(text: &[u8]) -> Result<Self> {
        Self::parse(text).filter(|n| !n.value.is_infinite()).ok_or(outcome::NOT_FLOAT)
    }

    /// The least or the largest `long double`: 64 ones, as far up as the exponent goes.
    fn limit(least: bool) -> Result<Self> {
        let text: &[u8] =
            if least { b"-0xffffffffffffffffp16320" } else { b"0xffffffffffffffffp16320" };
        Self::parse(text).ok_or(NO_NUMBER)
    }
}

/// Whether `a` is more than the number whose negative is `minus_b`, by at least what is stored.
fn is_above(a: LongDouble, minus_b: LongDouble) -> bool {
    match a.checked_add(minus_b) {
        Some(difference) => !matches!(text_of(difference).as_slice(), [b'-', ..] | b"0"),
        // Two finite numbers that are so far apart have different signs.
        None => !text_of(a).starts_with(b"-"),
    }
}

/// Whether `n` is less than `bound`, by at least what is stored.
fn is_below(n: LongDouble, bound: Number) -> bool {
    match n.checked_add(bound.minus) {
        Some(difference) => text_of(difference).starts_with(b"-"),
        None => text_of(n).starts_with(b"-"),
    }
}

fn text_of(n: LongDouble) -> Vec<u8> {
    let mut text = Vec::with_capacity(64);
    n.append_text(&mut text);
    text
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use ochre_resp::Protocol;

    #[test]
    fn counts_integers() {
        let mut bench = Bench::new();
        assert_eq!(bench.run("INCREX k"), "*2|:1|:1|");
        assert_eq!(bench.run("INCREX k BYINT 41"), "*2|:42|:41|");
        assert_eq!(bench.run("increx k byint -50"), "*2|:-8|:-50|");
        assert_eq!(bench.run("OBJECT ENCODING k"), "$3|int|");
        bench.run("SET max 9223372036854775807");
        assert_eq!(bench.run("INCREX max"), "*2|:9223372036854775807|:0|");
        assert_eq!(bench.run("INCREX max SATURATE"), "*2|:9223372036854775807|:0|");
        assert_eq!(
            bench.run("INCREX max BYINT -9223372036854775808"),
            "*2|:-1|:-9223372036854775808|"
        );
        assert_eq!(
            bench.log_text(),
            "SELECT 0; SET k 1 KEEPTTL; SET k 42 KEEPTTL; SET k -8 KEEPTTL; \
             SET max 9223372036854775807; SET max 9223372036854775807 KEEPTTL; SET max -1 KEEPTTL"
        );
    }

    #[test]
    fn bounds_refuse_or_saturate() {
        let mut bench = Bench::new();
        assert_eq!(bench.run("INCREX none BYINT 5 UBOUND 4"), "*2|:0|:0|");
        assert_eq!(bench.run("EXISTS none"), ":0|");
        bench.run("SET k 99 PXAT 1700000009000");
        assert_eq!(bench.run("INCREX k BYINT 5 UBOUND 100 EX 1"), "*2|:99|:0|");
        assert_eq!(bench.run("TTL k"), ":9|");
        assert_eq!(bench.run("INCREX k BYINT 5 UBOUND 100 SATURATE"), "*2|:100|:1|");
        assert_eq!(bench.run("INCREX k UBOUND 100 LBOUND 100 BYINT -7 SATURATE"), "*2|:100|:0|");
        assert_eq!(bench.run("INCREX k LBOUND 90 BYINT -11"), "*2|:100|:0|");
        assert_eq!(bench.run("INCREX k LBOUND 90 BYINT -11 SATURATE"), "*2|:90|:-10|");
        // Nearer to the bound is still outside.
        assert_eq!(bench.run("INCREX k UBOUND 10 BYINT -1"), "*2|:90|:0|");
        assert_eq!(bench.run("INCREX new LBOUND 3 SATURATE"), "*2|:3|:3|");
        bench.run("SET low -9223372036854775808");
        assert_eq!(
            bench.run("INCREX low LBOUND 5 SATURATE"),
            "-ERR increment or decrement would overflow|"
        );
    }

    #[test]
    fn expiries() {
        let mut bench = Bench::new();
        bench.run("INCREX k EX 60 ENX");
        assert_eq!(bench.run("TTL k"), ":60|");
        bench.run("INCREX k EX 100 ENX");
        assert_eq!(bench.run("TTL k"), ":60|");
        bench.run("INCREX k PX 5000");
        assert_eq!(bench.run("TTL k"), ":5|");
        bench.run("INCREX k");
        assert_eq!(bench.run("TTL k"), ":5|");
        bench.run("INCREX k PERSIST");
        assert_eq!(bench.run("TTL k"), ":-1|");
        assert_eq!(bench.run("INCREX k EXAT 1"), "*2|:6|:1|");
        assert_eq!(bench.run("EXISTS k"), ":0|");
        assert_eq!(
            bench.log_text(),
            "SELECT 0; SET k 1 PXAT 1700000060000; SET k 2 KEEPTTL; SET k 3 PXAT 1700000005000; \
             SET k 4 KEEPTTL; SET k 5; DEL k"
        );
    }

    #[test]
    fn decimals() {
        let mut bench = Bench::new();
        bench.run("SET k 1.5");
        assert_eq!(bench.run("INCREX k BYFLOAT 0.25"), "*2|$4|1.75|$4|0.25|");
        assert_eq!(bench.run("INCREX k BYFLOAT 0.5 UBOUND 2"), "*2|$4|1.75|$1|0|");
        assert_eq!(bench.run("INCREX k BYFLOAT 0.25 UBOUND 2"), "*2|$1|2|$4|0.25|");
        assert_eq!(bench.run("INCREX k BYFLOAT 0.25 UBOUND 2.1 SATURATE"), "*2|$3|2.1|$3|0.1|");
        assert_eq!(bench.run("INCREX k BYFLOAT -9 LBOUND -1.5 SATURATE"), "*2|$4|-1.5|$4|-3.6|");
        assert_eq!(bench.run("INCREX k BYFLOAT -1 LBOUND -1.5 EX 9"), "*2|$4|-1.5|$1|0|");
        bench.protocol = Protocol::Resp3;
        assert_eq!(bench.run("INCREX k BYFLOAT 1.75 EX 9"), "*2|,0.25|,1.75|");
        assert_eq!(bench.run("TTL k"), ":9|");
        assert!(bench.run("INCREX big BYFLOAT 1e4932").starts_with("*2|,1"));
        assert!(bench.run("INCREX big BYFLOAT 1e4932").ends_with("|,0|"));
        assert!(
            bench.run("INCREX big BYFLOAT 1e4932 SATURATE").starts_with("*2|,11897314953572317")
        );
        assert!(
            bench.run("INCREX big BYFLOAT -1e4932 SATURATE").starts_with("*2|,1897314953572317")
        );
        bench.run("SET low -1e4932");
        assert!(bench.run("INCREX low BYFLOAT -1e4932").ends_with("|,0|"));
        assert!(
            bench.run("INCREX low BYFLOAT -1e4932 SATURATE").starts_with("*2|,-118973149535723")
        );
        assert_eq!(
            bench.run("INCREX low BYFLOAT -1 LBOUND 3 SATURATE").split('|').nth(1),
            Some(",3")
        );
        assert!(bench.log_text().starts_with("SELECT 0; SET k 1.5; SET k 1.75 KEEPTTL; SET k 2 K"));
    }

    #[test]
    fn errors() {
        let mut bench = Bench::new();
        bench.run("SET f 1.5");
        bench.run("SET t abc");
        bench.run("ZADD z 1 a");
        let not_integer = "ERR value is not an integer or out of range";
        let not_float = "ERR value is not a valid float";
        for (line, error) in [
            ("INCREX f", not_integer),
            ("INCREX k BYINT 1.5", not_integer),
            ("INCREX k UBOUND 1.5", not_integer),
            ("INCREX k LBOUND x", not_integer),
            ("INCREX t BYFLOAT 1", not_float),
            ("INCREX k BYFLOAT x", not_float),
            ("INCREX k BYFLOAT 1 UBOUND inf", not_float),
            ("INCREX k BYFLOAT inf", "ERR increment would produce NaN or Infinity"),
            ("INCREX k LBOUND 2 UBOUND 1", "ERR LBOUND can't be greater than UBOUND"),
            ("INCREX k BYFLOAT 1 LBOUND 2 UBOUND 1.5", "ERR LBOUND can't be greater than UBOUND"),
            ("INCREX k ENX", "ERR ENX flag requires an expiration"),
            ("INCREX k EX 0", "ERR invalid expire time in 'increx' command"),
            ("INCREX k EX x", not_integer),
            ("INCREX k PERSIST ENX", "ERR syntax error"),
            ("INCREX k PERSIST EX 1", "ERR syntax error"),
            ("INCREX k EX 1 PX 1", "ERR syntax error"),
            ("INCREX k BYINT 1 BYFLOAT 1", "ERR syntax error"),
            ("INCREX k BYINT", "ERR syntax error"),
            ("INCREX k UBOUND", "ERR syntax error"),
            ("INCREX k KEEPTTL", "ERR syntax error"),
            ("INCREX k foo", "ERR syntax error"),
        ] {
            assert_eq!(bench.run(line), format!("-{error}|"), "{line}");
        }
        assert!(bench.run("INCREX z").starts_with("-WRONGTYPE"));
        assert!(bench.run("INCREX z BYFLOAT 1").starts_with("-WRONGTYPE"));
        assert_eq!(bench.log_text(), "SELECT 0; SET f 1.5; SET t abc; ZADD z 1 a");
    }
}
