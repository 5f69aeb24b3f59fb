//! Expiry of keys: EXPIRE and its kin, TTL and its kin, PERSIST.
//!
//! Expiries are absolute Unix milliseconds everywhere, and are logged so. One that has passed already
//! deletes the key at once.

use ochre_base::clock::Millis;
use ochre_base::num::{I64_TEXT_MAX, format_i64};
use ochre_command::Ctx;
use ochre_command::args::{int, is};
use ochre_command::data::Class;
use ochre_command::outcome::{self, ReplyError, Result};
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};

const WRITE_FAST: Flags = Flags::WRITE.union(Flags::FAST);
const READ_FAST: Flags = Flags::READONLY.union(Flags::FAST);
const UPDATES: KeySpec = KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE));
const READS: KeySpec = KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS));
const VARIES: &[&str] = &["nondeterministic_output"];

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("expire", -3, WRITE_FAST, Group::Generic, expire).keys(&[UPDATES]).docs(
        "1.0.0",
        "Sets the expiry of a key in seconds from now.",
        "O(1)",
        "key seconds [NX | XX | GT | LT]",
    ),
    CommandSpec::new("pexpire", -3, WRITE_FAST, Group::Generic, pexpire).keys(&[UPDATES]).docs(
        "2.6.0",
        "Sets the expiry of a key in milliseconds from now.",
        "O(1)",
        "key milliseconds [NX | XX | GT | LT]",
    ),
    CommandSpec::new("expireat", -3, WRITE_FAST, Group::Generic, expireat).keys(&[UPDATES]).docs(
        "1.2.0",
        "Sets the expiry of a key to a Unix time in seconds.",
        "O(1)",
        "key unix-time-seconds [NX | XX | GT | LT]",
    ),
    CommandSpec::new("pexpireat", -3, WRITE_FAST, Group::Generic, pexpireat).keys(&[UPDATES]).docs(
        "2.6.0",
        "Sets the expiry of a key to a Unix time in milliseconds.",
        "O(1)",
        "key unix-time-milliseconds [NX | XX | GT | LT]",
    ),
    CommandSpec::new("ttl", 2, READ_FAST, Group::Generic, ttl).keys(&[READS]).tips(VARIES).docs(
        "1.0.0",
        "Gives the seconds until a key expires.",
        "O(1)",
        "key",
    ),
    CommandSpec::new("pttl", 2, READ_FAST, Group::Generic, pttl).keys(&[READS]).tips(VARIES).docs(
        "2.6.0",
        "Gives the milliseconds until a key expires.",
        "O(1)",
        "key",
    ),
    CommandSpec::new("expiretime", 2, READ_FAST, Group::Generic, expiretime).keys(&[READS]).docs(
        "7.0.0",
        "Gives the Unix time in seconds at which a key expires.",
        "O(1)",
        "key",
    ),
    CommandSpec::new("pexpiretime", 2, READ_FAST, Group::Generic, pexpiretime).keys(&[READS]).docs(
        "7.0.0",
        "Gives the Unix time in milliseconds at which a key expires.",
        "O(1)",
        "key",
    ),
    CommandSpec::new("persist", 2, WRITE_FAST, Group::Generic, persist).keys(&[UPDATES]).docs(
        "2.2.0",
        "Removes the expiry of a key.",
        "O(1)",
        "key",
    ),
];

/// How long the unit of a command's number is, in milliseconds.
const SECOND: i64 = 1000;
const MILLISECOND: i64 = 1;

fn expire(ctx: &mut Ctx<'_>) -> Result {
    expire_at(ctx, SECOND, ctx.now().unix_ms)
}

fn pexpire(ctx: &mut Ctx<'_>) -> Result {
    expire_at(ctx, MILLISECOND, ctx.now().unix_ms)
}

fn expireat(ctx: &mut Ctx<'_>) -> Result {
    expire_at(ctx, SECOND, 0)
}

fn pexpireat(ctx: &mut Ctx<'_>) -> Result {
    expire_at(ctx, MILLISECOND, 0)
}

/// When an expiry is set, by the one that the key has.
#[derive(Clone, Copy, Debug, Default)]
struct Conditions {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Conditions {
    fn parse(words: &[&[u8]]) -> Result<Self> {
        let mut given = Self::default();
        for word in words {
            match () {
                () if is(word, "nx") => given.nx = true,
                () if is(word, "xx") => given.xx = true,
                () if is(word, "gt") => given.gt = true,
                () if is(word, "lt") => given.lt = true,
                () => {
                    let word = String::from_utf8_lossy(word);
                    return Err(ReplyError::new(format!("ERR Unsupported option {word}")));
                }
            }
        }
        if given.nx && (given.xx || given.gt || given.lt) {
            return Err(ReplyError::fixed(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if given.gt && given.lt {
            return Err(ReplyError::fixed(
                "ERR GT and LT options at the same time are not compatible",
            ));
        }
        Ok(given)
    }

    /// Whether `new` may be set over `old`; no expiry counts as one that never comes.
    fn meets(self, old: Option<Millis>, new: Millis) -> bool {
        (!self.nx || old.is_none())
            && (!self.xx || old.is_some())
            && (!self.gt || old.is_some_and(|old| new > old))
            && (!self.lt || old.is_none_or(|old| new < old))
    }
}

/// Sets the expiry that is argument 2 in `unit` milliseconds from `base` on.
fn expire_at(ctx: &mut Ctx<'_>, unit: i64, base: Millis) -> Result {
    let conditions = Conditions::parse(&ctx.args[3..])?;
    let at = int(ctx.args[2])?
        .checked_mul(unit)
        .and_then(|ms| ms.checked_add(base))
        .ok_or_else(|| outcome::bad_expiry(ctx.name()))?;
    let key = ctx.key(1);
    let Some(slot) = ctx.data.find(key) else {
        ctx.reply.integer(0);
        return Ok(());
    };
    if !conditions.meets(ctx.data.expiry_at(key, slot), at) {
        ctx.reply.integer(0);
        return Ok(());
    }
    if at <= ctx.expiry_now() {
        ctx.data.delete(key);
        ctx.data.changed(key, Class::Generic, "del");
        ctx.data.effect([b"DEL", key.name].into_iter());
    } else {
        ctx.data.db_mut(key).set_expiry(slot, Some(at));
        ctx.data.touch(key, slot);
        ctx.data.changed(key, Class::Generic, "expire");
        let mut room = [0; I64_TEXT_MAX];
        let at = format_i64(at, &mut room);
        ctx.data.effect([b"PEXPIREAT", key.name, at].into_iter());
    }
    ctx.reply.integer(1);
    Ok(())
}

fn ttl(ctx: &mut Ctx<'_>) -> Result {
    let now = ctx.now().unix_ms;
    reply_expiry(ctx, |at| ((at - now).max(0) + 500) / 1000)
}

fn pttl(ctx: &mut Ctx<'_>) -> Result {
    let now = ctx.now().unix_ms;
    reply_expiry(ctx, |at| (at - now).max(0))
}

fn expiretime(ctx: &mut Ctx<'_>) -> Result {
    reply_expiry(ctx, |at| at.saturating_add(500) / 1000)
}

fn pexpiretime(ctx: &mut Ctx<'_>) -> Result {
    reply_expiry(ctx, |at| at)
}

/// Answers what `shown` makes of the key's expiry; -1 without one and -2 without a key.
fn reply_expiry(ctx: &mut Ctx<'_>, shown: impl FnOnce(Millis) -> i64) -> Result {
    let key = ctx.key(1);
    let answer = match ctx.data.probe(key) {
        None => -2,
        Some(slot) => ctx.data.expiry_at(key, slot).map_or(-1, shown),
    };
    ctx.reply.integer(answer);
    Ok(())
}

fn persist(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(1);
    let slot = ctx.data.find(key).filter(|slot| ctx.data.expiry_at(key, *slot).is_some());
    if let Some(slot) = slot {
        ctx.data.db_mut(key).set_expiry(slot, None);
        ctx.data.touch(key, slot);
        ctx.data.changed(key, Class::Generic, "persist");
    }
    ctx.reply.integer(i64::from(slot.is_some()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn each_way_to_set_and_read_an_expiry() {
        let mut bench = Bench::new();
        bench.now_ms = 5_000_000;
        bench.run("SET k v");
        for (command, ttl, pttl, time, ptime) in [
            ("EXPIRE k 100", 100, 100_000, 5100, 5_100_000),
            ("PEXPIRE k 1500", 2, 1500, 5002, 5_001_500),
            ("EXPIREAT k 5007", 7, 7000, 5007, 5_007_000),
            ("PEXPIREAT k 5000499", 0, 499, 5000, 5_000_499),
        ] {
            assert_eq!(bench.run(command), ":1|");
            assert_eq!(bench.run("TTL k"), format!(":{ttl}|"));
            assert_eq!(bench.run("PTTL k"), format!(":{pttl}|"));
            assert_eq!(bench.run("EXPIRETIME k"), format!(":{time}|"));
            assert_eq!(bench.run("PEXPIRETIME k"), format!(":{ptime}|"));
        }
        assert_eq!(bench.run("PERSIST k"), ":1|");
        assert_eq!(bench.run("PERSIST k"), ":0|");
        assert_eq!(bench.run("PERSIST none"), ":0|");
        assert_eq!(bench.run("EXPIRE none 5"), ":0|");
        for command in ["TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"] {
            assert_eq!(bench.run(&format!("{command} k")), ":-1|");
            assert_eq!(bench.run(&format!("{command} none")), ":-2|");
        }
        assert_eq!(
            bench.log_text(),
            "SELECT 0; SET k v; PEXPIREAT k 5100000; PEXPIREAT k 5001500; PEXPIREAT k 5007000; \
             PEXPIREAT k 5000499; PERSIST k"
        );
    }

    #[test]
    fn conditions() {
        let mut bench = Bench::new();
        bench.run("SET k v");
        for (options, reply) in [
            ("10 XX", 0),
            ("10 GT", 0),
            ("10 LT", 1),
            ("20 NX", 0),
            ("10 GT", 0),
            ("20 xx gt", 1),
            ("20 LT", 0),
            ("5 XX LT", 1),
            ("7 GT GT", 1),
        ] {
            assert_eq!(bench.run(&format!("EXPIRE k {options}")), format!(":{reply}|"));
        }
        assert_eq!(bench.run("TTL k"), ":7|");
    }

    #[test]
    fn the_past_deletes() {
        let mut bench = Bench::new();
        bench.run("SET k v");
        assert_eq!(bench.run("EXPIRE k -1 GT"), ":0|");
        assert_eq!(bench.run("PEXPIREAT k -5"), ":1|");
        assert_eq!(bench.run("EXISTS k"), ":0|");
        bench.run("SET k v");
        assert_eq!(bench.run("EXPIRE k 0"), ":1|");
        assert_eq!(bench.log_text(), "SELECT 0; SET k v; DEL k; SET k v; DEL k");
    }

    #[test]
    fn an_expired_key_is_deleted_by_a_look() {
        let mut bench = Bench::new();
        bench.run("ZADD z 1 a");
        bench.run("PEXPIRE z 5");
        bench.now_ms += 6;
        assert_eq!(bench.run("TTL z"), ":-2|");
        assert_eq!(bench.log_text(), "SELECT 0; ZADD z 1 a; PEXPIREAT z 1700000000005; DEL z");
    }

    #[test]
    fn errors() {
        let mut bench = Bench::new();
        bench.run("SET k v");
        for (line, error) in [
            ("EXPIRE k x", "value is not an integer or out of range"),
            ("EXPIRE k x foo", "Unsupported option foo"),
            (
                "EXPIRE none 1 NX GT",
                "NX and XX, GT or LT options at the same time are not compatible",
            ),
            ("EXPIRE k 1 GT LT", "GT and LT options at the same time are not compatible"),
            ("EXPIRE none 9223372036854775807", "invalid expire time in 'expire' command"),
            ("PEXPIRE k 9223372036854775807", "invalid expire time in 'pexpire' command"),
            ("EXPIREAT k -9223372036854775808", "invalid expire time in 'expireat' command"),
        ] {
            assert_eq!(bench.run(line), format!("-ERR {error}|"), "{line}");
        }
        assert_eq!(bench.run("PEXPIREAT k 9223372036854775807"), ":1|");
        assert_eq!(bench.run("EXPIRETIME k"), ":9223372036854775|");
    }
}
