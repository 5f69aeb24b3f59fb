//! CL.THROTTLE: rate limiting by the generic cell rate algorithm (GCRA), as the module redis-cell has it.
//!
//! A bucket of `max_burst + 1` tokens fills evenly by `count` tokens each `period` seconds. All that is
//! kept is one time, at which the bucket will be full again (the "theoretical arrival time"):
//!
//! ```text
//!            interval = period / count          room = interval * (max_burst + 1)
//!
//!   now                 full at                 full at + interval * quantity
//! ---+--------------------+------------------------------+-------------------> time
//!    |<-- taken so far -->|<---- this request takes ---->|
//!    |<------------------------ room ----------------------------->|   it fits: allowed
//! ```
//!
//! The time is a string: nanoseconds since 1970, under a key that expires when the bucket is full, for
//! a full one needs no state. An allowed request is logged as `SET key time PXAT ms`, a refused one
//! changes nothing; so replicas and the log compute nothing.
//!
//! The answer is five integers: 1 when refused, else 0; the tokens of a full bucket; those left; the
//! seconds until the request could succeed (-1: it did, or it never can); the seconds until the bucket
//! is full. Seconds are rounded up, so that nobody comes back too early.
//!
//! Failure: parameters that are no integers or out of range, and those whose room does not fit 64 bits
//! of nanoseconds (292 years), are refused; so is a key that holds no such time. Cost: O(1).
//! Source: documentation of redis-cell and of CL.THROTTLE in Dragonfly.

use ochre_base::num::{I64_TEXT_MAX, format_i64};
use ochre_command::Ctx;
use ochre_command::args::int;
use ochre_command::outcome::{self, ReplyError, Result};
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_keyspace::db::Text;

use crate::string::set::store;

/// The row of this file.
pub const COMMANDS: &[CommandSpec] = &[CommandSpec::new(
    "cl.throttle",
    -5,
    Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    Group::String,
    throttle,
)
.keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))])
.docs(
    "1.0.0",
    "Takes tokens from a bucket that fills evenly, and says whether there were enough.",
    "O(1)",
    "key max-burst count-per-period period [quantity]",
)];

const TOO_LARGE: ReplyError = ReplyError::fixed("ERR value is out of range");

const NANOS_PER_SECOND: i64 = 1_000_000_000;
const NANOS_PER_MILLI: i64 = 1_000_000;

/// How fast a bucket fills and how much goes in. Times are in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bucket {
    /// Tokens of a full bucket.
    size: i64,
    /// The time in which one token flows in; at least 1.
    interval: i64,
    /// The time in which an empty bucket becomes full.
    room: i64,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Outcome {
    /// When the bucket is full, if tokens were taken.
    full_at: Option<i64>,
    /// Tokens left.
    left: i64,
    /// How long until the request could succeed; none: it did, or never can.
    retry_after: Option<i64>,
    /// How long until the bucket is full.
    reset_after: i64,
}

impl Bucket {
    fn new(max_burst: i64, count: i64, period: i64) -> Result<Self> {
        let size = max_burst.checked_add(1).ok_or(TOO_LARGE)?;
        let period = period.checked_mul(NANOS_PER_SECOND).ok_or(TOO_LARGE)?;
        // More than a token each nanosecond counts as one.
        let interval = period.checked_div(count).ok_or(TOO_LARGE)?.max(1);
        let room = interval.checked_mul(size).ok_or(TOO_LARGE)?;
        Ok(Self { size, interval, room })
    }

    /// Takes `quantity` tokens at `now` out of a bucket that is full at `full_at`.
    fn take(self, quantity: i64, now: i64, full_at: i64) -> Result<Outcome> {
        // A time before now is a full bucket, and one beyond all room, of other parameters or a clock
        // that was set back, is an empty one that stays so for longer.
        let full_at = full_at.max(now);
        let cost = self.interval.checked_mul(quantity).ok_or(TOO_LARGE)?;
        let after = full_at.checked_add(cost).ok_or(TOO_LARGE)?;
        let filling = after - now;
        if filling <= self.room {
            return Ok(Outcome {
                full_at: Some(after),
                left: (self.room - filling) / self.interval,
                retry_after: None,
                reset_after: filling,
            });
        }
        let filling = full_at - now;
        let never = cost > self.room;
        Ok(Outcome {
            full_at: None,
            left: (self.room - filling).max(0) / self.interval,
            retry_after: (!never).then(|| after - now - self.room),
            reset_after: filling,
        })
    }
}

fn throttle(ctx: &mut Ctx<'_>) -> Result {
    if ctx.args.len() > 6 {
        return Err(outcome::wrong_arity(ctx.name()));
    }
    let number = |at: usize, least: i64| match int(ctx.args[at])? {
        n if n >= least => Ok(n),
        _ => Err(outcome::NOT_POSITIVE),
    };
    let bucket = Bucket::new(number(2, 0)?, number(3, 1)?, number(4, 1)?)?;
    let quantity = if ctx.args.len() > 5 { number(5, 0)? } else { 1 };

    let key = ctx.key(1);
    let now = ctx.now().unix_ms.checked_mul(NANOS_PER_MILLI).ok_or(TOO_LARGE)?;
    let full_at = match ctx.data.find(key) {
        None => now,
        Some(slot) => match ctx.data.text_at(key, slot)? {
            Text::Int(at) => at,
            Text::Bytes(text) => int(text)?,
            Text::Blob(_) => return Err(outcome::NOT_INTEGER),
        },
    };
    let outcome = bucket.take(quantity, now, full_at)?;
    if let Some(full_at) = outcome.full_at.filter(|full_at| quantity > 0 && *full_at > now) {
        let mut room = [0; I64_TEXT_MAX];
        let expiry = up(full_at, NANOS_PER_MILLI);
        store(ctx, key, format_i64(full_at, &mut room), Some(expiry), false);
    }

    ctx.reply.array(5);
    ctx.reply.integer(i64::from(outcome.full_at.is_none()));
    ctx.reply.integer(bucket.size);
    ctx.reply.integer(outcome.left);
    ctx.reply.integer(outcome.retry_after.map_or(-1, |time| up(time, NANOS_PER_SECOND)));
    ctx.reply.integer(up(outcome.reset_after, NANOS_PER_SECOND));
    Ok(())
}

/// A time that is not negative in a larger unit, rounded up.
const fn up(time: i64, unit: i64) -> i64 {
    time / unit + (time % unit != 0) as i64
}

#[cfg(test)]
mod tests {
    use super::Bucket;
    use crate::testing::Bench;

    #[test]
    fn the_example_of_the_documentation() {
        let mut bench = Bench::new();
        // 30 a minute with a burst of 15: a token each two seconds.
        assert_eq!(bench.run("CL.THROTTLE user 15 30 60 1"), "*5|:0|:16|:15|:-1|:2|");
        assert_eq!(bench.run("CL.THROTTLE user 15 30 60"), "*5|:0|:16|:14|:-1|:4|");
        assert_eq!(
            bench.log_text(),
            "SELECT 0; SET user 1700000002000000000 PXAT 1700000002000; \
             SET user 1700000004000000000 PXAT 1700000004000"
        );
    }

    #[test]
    fn empties_and_fills_again() {
        let mut bench = Bench::new();
        for left in [2, 1, 0] {
            let reset = 3 * (3 - left);
            assert_eq!(
                bench.run("CL.THROTTLE k 2 20 60"),
                format!("*5|:0|:3|:{left}|:-1|:{reset}|")
            );
        }
        let log = bench.log_text();
        assert_eq!(bench.run("CL.THROTTLE k 2 20 60"), "*5|:1|:3|:0|:3|:9|");
        bench.now_ms += 1;
        assert_eq!(bench.run("CL.THROTTLE k 2 20 60"), "*5|:1|:3|:0|:3|:9|");
        bench.now_ms += 2000;
        assert_eq!(bench.run("CL.THROTTLE k 2 20 60"), "*5|:1|:3|:0|:1|:7|");
        assert_eq!(bench.run("CL.THROTTLE k 2 20 60 2"), "*5|:1|:3|:0|:4|:7|");
        assert_eq!(bench.run("CL.THROTTLE k 2 20 60 4"), "*5|:1|:3|:0|:-1|:7|");
        assert_eq!(bench.log_text(), log, "a refusal changes nothing");
        bench.now_ms += 999;
        assert_eq!(bench.run("CL.THROTTLE k 2 20 60"), "*5|:0|:3|:0|:-1|:9|");
        bench.now_ms += 9001;
        assert_eq!(bench.run("EXISTS k"), ":0|");
        assert_eq!(bench.run("CL.THROTTLE k 2 20 60 3"), "*5|:0|:3|:0|:-1|:9|");
    }

    #[test]
    fn asks_without_taking() {
        let mut bench = Bench::new();
        assert_eq!(bench.run("CL.THROTTLE k 4 1 1 0"), "*5|:0|:5|:5|:-1|:0|");
        assert_eq!(bench.run("EXISTS k"), ":0|");
        bench.run("CL.THROTTLE k 4 1 1 2");
        assert_eq!(bench.run("CL.THROTTLE k 4 1 1 0"), "*5|:0|:5|:3|:-1|:2|");
        assert_eq!(bench.run("TTL k"), ":2|");
    }

    #[test]
    fn no_burst_and_high_rates() {
        let mut bench = Bench::new();
        assert_eq!(bench.run("CL.THROTTLE k 0 1 10"), "*5|:0|:1|:0|:-1|:10|");
        assert_eq!(bench.run("CL.THROTTLE k 0 1 10"), "*5|:1|:1|:0|:10|:10|");
        // The case of redis-cell's issue 50: 6000 each second.
        assert_eq!(bench.run("CL.THROTTLE fast 6000 6000 1"), "*5|:0|:6001|:6000|:-1|:1|");
        assert_eq!(bench.run("CL.THROTTLE fast 6000 6000 1 6000"), "*5|:0|:6001|:0|:-1|:2|");
        assert_eq!(bench.run("CL.THROTTLE fast 6000 6000 1"), "*5|:1|:6001|:0|:1|:2|");
        assert_eq!(bench.run("CL.THROTTLE huge 0 9223372036854775807 1"), "*5|:0|:1|:0|:-1|:1|");
    }

    #[test]
    fn errors() {
        let mut bench = Bench::new();
        bench.run("ZADD z 1 a");
        bench.run("SET t abc");
        let not_integer = "ERR value is not an integer or out of range";
        let not_positive = "ERR value is out of range, must be positive";
        let too_large = "ERR value is out of range";
        for (line, error) in [
            ("CL.THROTTLE k 1 1 1 1 1", "ERR wrong number of arguments for 'cl.throttle' command"),
            ("CL.THROTTLE k 1 1", "ERR wrong number of arguments for 'cl.throttle' command"),
            ("CL.THROTTLE k x 1 1", not_integer),
            ("CL.THROTTLE k 1 1.5 1", not_integer),
            ("CL.THROTTLE k -1 1 1", not_positive),
            ("CL.THROTTLE k 1 0 1", not_positive),
            ("CL.THROTTLE k 1 1 0", not_positive),
            ("CL.THROTTLE k 1 1 1 -1", not_positive),
            ("CL.THROTTLE k 9223372036854775807 1 1", too_large),
            ("CL.THROTTLE k 1 1 9223372036854775807", too_large),
            ("CL.THROTTLE k 9223372036 1 9", too_large),
            ("CL.THROTTLE k 1 1 1 9223372036854775807", too_large),
            ("CL.THROTTLE t 1 1 1", not_integer),
        ] {
            assert_eq!(bench.run(line), format!("-{error}|"), "{line}");
        }
        assert!(bench.run("CL.THROTTLE z 1 1 1").starts_with("-WRONGTYPE"));
        assert_eq!(bench.log_text(), "SELECT 0; ZADD z 1 a; SET t abc");
    }

    /// A bucket agrees with one that counts its tokens.
    #[test]
    fn agrees_with_counted_tokens() {
        let bucket = Bucket::new(4, 1, 1).unwrap();
        let second = 1_000_000_000;
        let (mut tokens, mut full_at, mut seed) = (5, 0, 12_345_u64);
        for now in (1..2000).map(|n| n * second) {
            tokens = (tokens + 1).min(5);
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let quantity = (seed >> 40) as i64 % 4;
            let outcome = bucket.take(quantity, now, full_at).unwrap();
            let fits = quantity <= tokens;
            assert_eq!(outcome.full_at.is_some(), fits, "at {now}");
            if fits {
                tokens -= quantity;
                full_at = outcome.full_at.unwrap();
            } else {
                assert_eq!(outcome.retry_after, Some((quantity - tokens) * second));
            }
            assert_eq!(outcome.left, tokens);
            assert_eq!(outcome.reset_after, (5 - tokens) * second);
        }
    }
}
