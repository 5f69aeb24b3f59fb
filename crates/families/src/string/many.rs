//! Several strings at once: MGET, MSET, MSETNX, MSETEX. All their keys are locked together, so each is
//! atomic.

use ochre_command::args::int_or;
use ochre_command::data::Class;
use ochre_command::outcome::{self, ReplyError, Result};
use ochre_command::spec::{Begin, CommandSpec, Find, Flags, Group, KeyFlags, KeySpec};
use ochre_command::{Ctx, Key};
use ochre_keyspace::db::NewValue;

use super::options::{Condition, Expiry, Options, Syntax};
use super::set::store;
use super::{share, write};

const WRITE: Flags = Flags::WRITE.union(Flags::DENYOOM);
const UPDATES: KeyFlags = KeyFlags::OW.union(KeyFlags::UPDATE);

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("mget", -2, Flags::READONLY.union(Flags::FAST), Group::String, mget)
        .keys(&[KeySpec::range(1, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS))])
        .tips(&["request_policy:multi_shard"])
        .docs(
            "1.0.0",
            "Gives the string values of several keys, null for those that hold none.",
            "O(N) where N is the number of keys.",
            "key [key ...]",
        ),
    CommandSpec::new("mset", -3, WRITE, Group::String, mset)
        .keys(&[KeySpec::range(1, -1, 2, UPDATES)])
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"])
        .docs(
            "1.0.1",
            "Sets the string values of several keys.",
            "O(N) where N is the number of keys.",
            "key value [key value ...]",
        ),
    CommandSpec::new("msetnx", -3, WRITE, Group::String, msetnx)
        .keys(&[KeySpec::range(1, -1, 2, KeyFlags::OW.union(KeyFlags::INSERT))])
        .docs(
            "1.0.1",
            "Sets the string values of several keys if none of them exists.",
            "O(N) where N is the number of keys.",
            "key value [key value ...]",
        ),
    CommandSpec::new("msetex", -4, WRITE.union(Flags::MOVABLEKEYS), Group::String, msetex)
        .keys(&[KeySpec {
            begin: Begin::Index(1),
            find: Find::Count { count: 0, first: 1, step: 2 },
            flags: UPDATES,
        }])
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"])
        .docs(
            "9.1.0",
            "Sets the string values of several keys with one expiry, if all or none of them exist.",
            "O(N) where N is the number of keys.",
            "numkeys key value [key value ...] [NX | XX] [EX seconds | PX milliseconds | \
         EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]",
        ),
];

// HOT PATH: one look-up and one copy for each key.
fn mget(ctx: &mut Ctx<'_>) -> Result {
    let names = &ctx.args[1..];
    ctx.reply.array(names.len());
    for name in names {
        let key = ctx.data.key(name);
        let large = match ctx.data.text(key) {
            Ok(Some(text)) => write(&mut ctx.reply, text),
            Ok(None) | Err(_) => {
                ctx.reply.null();
                None
            }
        };
        if let Some(large) = large {
            share(ctx, large);
        }
    }
    Ok(())
}

// HOT PATH: one look-up and one copy over the old value for each key.
fn mset(ctx: &mut Ctx<'_>) -> Result {
    let pairs = pairs(ctx)?;
    set_all(ctx, pairs);
    ctx.reply.ok();
    Ok(())
}

/// Keys and values behind the command's name.
fn pairs<'a>(ctx: &Ctx<'a>) -> Result<&'a [[&'a [u8]; 2]]> {
    match ctx.args[1..].as_chunks() {
        (pairs, []) => Ok(pairs),
        _ => Err(outcome::wrong_arity(ctx.name())),
    }
}

fn set_all<'a>(ctx: &mut Ctx<'a>, pairs: &'a [[&'a [u8]; 2]]) {
    for [name, value] in pairs {
        let key = ctx.data.key(name);
        let slot = ctx.data.find(key);
        ctx.data.put(key, slot, NewValue::Text(value), None);
        ctx.data.changed(key, Class::String, "set");
    }
}

fn msetnx(ctx: &mut Ctx<'_>) -> Result {
    let pairs = pairs(ctx)?;
    let absent = pairs.iter().all(|[name, _]| ctx.data.find(Key::new(name)).is_none());
    if absent {
        set_all(ctx, pairs);
    }
    ctx.reply.integer(i64::from(absent));
    Ok(())
}

fn msetex(ctx: &mut Ctx<'_>) -> Result {
    const BAD_COUNT: ReplyError = ReplyError::fixed("ERR invalid numkeys value or out of range");
    let count = int_or(ctx.args[1], BAD_COUNT)?;
    if !(1..=i64::from(i32::MAX)).contains(&count) {
        return Err(BAD_COUNT);
    }
    let end = 2 + 2 * count as usize;
    let pairs = ctx.args.get(2..end).ok_or(outcome::SYNTAX)?;
    let (pairs, _) = pairs.as_chunks::<2>();
    let options = Options::parse(ctx.args, end, Syntax::MsetEx)?;
    let expiry = options.expiry.resolve(ctx.now().unix_ms, ctx.name())?;
    let met = pairs.iter().all(|[name, _]| {
        let mut exists = || ctx.data.find(Key::new(name)).is_some();
        match options.condition {
            Condition::Absent => !exists(),
            Condition::Present => exists(),
            // The syntax of this command has no other.
            _ => true,
        }
    });
    if met {
        let keep = options.expiry == Expiry::Keep;
        for [name, value] in pairs {
            store(ctx, Key::new(name), value, expiry, keep);
        }
        if expiry.is_none() {
            log_plain(ctx, pairs, keep);
        }
    }
    ctx.reply.integer(i64::from(met));
    Ok(())
}

/// Logs an MSETEX without expiry by commands that every version knows.
fn log_plain(ctx: &mut Ctx<'_>, pairs: &[[&[u8]; 2]], keep: bool) {
    if keep {
        for [name, value] in pairs {
            ctx.data.effect([b"SET", *name, value, b"KEEPTTL"].into_iter());
        }
        return;
    }
    let words: Vec<&[u8]> =
        std::iter::once(&b"MSET"[..]).chain(pairs.as_flattened().iter().copied()).collect();
    ctx.data.effect(words.into_iter());
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn mget_gives_null_for_other_types() {
        let mut bench = Bench::new();
        assert_eq!(bench.run("MSET a 1 b xyz"), "+OK|");
        bench.run("ZADD z 1 a");
        assert_eq!(bench.run("MGET a none z b a"), "*5|$1|1|$-1|$-1|$3|xyz|$1|1|");
        assert_eq!(bench.log_text(), "SELECT 0; MSET a 1 b xyz; ZADD z 1 a");
    }

    #[test]
    fn pairs_must_be_complete() {
        let mut bench = Bench::new();
        for name in ["mset", "msetnx"] {
            let wrong = format!("-ERR wrong number of arguments for '{name}' command|");
            assert_eq!(bench.run(&format!("{name} a")), wrong);
            assert_eq!(bench.run(&format!("{name} a 1 b")), wrong);
        }
        assert_eq!(bench.run("MSET a 1 a 2"), "+OK|");
        assert_eq!(bench.run("GET a"), "$1|2|");
    }

    #[test]
    fn msetnx_is_all_or_nothing() {
        let mut bench = Bench::new();
        assert_eq!(bench.run("MSETNX a 1 b 2"), ":1|");
        assert_eq!(bench.run("MSETNX c 3 b 4"), ":0|");
        assert_eq!(bench.run("MGET a b c"), "*3|$1|1|$1|2|$-1|");
        assert_eq!(bench.log_text(), "SELECT 0; MSETNX a 1 b 2");
    }

    #[test]
    fn msetex_with_conditions_and_expiry() {
        let mut bench = Bench::new();
        assert_eq!(bench.run("MSETEX 2 a 1 b 2 EX 10"), ":1|");
        assert_eq!(bench.run("TTL b"), ":10|");
        assert_eq!(bench.run("MSETEX 2 a 1 c 2 NX"), ":0|");
        assert_eq!(bench.run("MSETEX 2 a 3 c 2 XX"), ":0|");
        assert_eq!(bench.run("MSETEX 2 a 3 b 4 XX KEEPTTL"), ":1|");
        assert_eq!(bench.run("TTL a"), ":10|");
        assert_eq!(bench.run("MSETEX 2 c 5 d 6 nx"), ":1|");
        assert_eq!(bench.run("MSETEX 2 c 5 none 6 EXAT 1"), ":1|");
        assert_eq!(bench.run("MGET a b c d none"), "*5|$1|3|$1|4|$-1|$1|6|$-1|");
        assert_eq!(
            bench.log_text(),
            "SELECT 0; MULTI; SET a 1 PXAT 1700000010000; SET b 2 PXAT 1700000010000; EXEC; MULTI; \
             SET a 3 KEEPTTL; SET b 4 KEEPTTL; EXEC; MSET c 5 d 6; DEL c"
        );
    }

    #[test]
    fn msetex_errors() {
        let mut bench = Bench::new();
        let count = "-ERR invalid numkeys value or out of range|";
        let syntax = "-ERR syntax error|";
        for (line, error) in [
            ("MSETEX 0 a 1", count),
            ("MSETEX x a 1", count),
            ("MSETEX -1 a 1", count),
            ("MSETEX 99999999999999 a 1", count),
            ("MSETEX 2 a 1", syntax),
            ("MSETEX 1 a 1 b", syntax),
            ("MSETEX 1 a 1 NX XX", syntax),
            ("MSETEX 1 a 1 GET", syntax),
            ("MSETEX 1 a 1 EX x", "-ERR value is not an integer or out of range|"),
            ("MSETEX 1 a 1 EX 0", "-ERR invalid expire time in 'msetex' command|"),
        ] {
            assert_eq!(bench.run(line), error, "{line}");
        }
        assert_eq!(bench.log_text(), "");
    }
}
