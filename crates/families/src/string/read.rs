//! Reading one string: GET, GETRANGE, SUBSTR, STRLEN, and the reads that also change the key: GETEX,
//! GETDEL.

use std::ops::Range;

use ochre_base::num::{I64_TEXT_MAX, format_i64};
use ochre_command::args::int;
use ochre_command::data::Class;
use ochre_command::outcome::Result;
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_command::{Ctx, Key};

use super::options::{Expiry, Options, Syntax};
use super::{bytes, length, share, write};

const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = Flags::READONLY.union(Flags::FAST);
const WRITE_FAST: Flags = Flags::WRITE.union(Flags::FAST);
const READS: KeySpec = KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS));

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("get", 2, READ_FAST, Group::String, get).keys(&[READS]).docs(
        "1.0.0",
        "Gives the string value of a key.",
        "O(1)",
        "key",
    ),
    CommandSpec::new("getrange", 4, READ, Group::String, getrange).keys(&[READS]).docs(
        "2.4.0",
        "Gives a part of the string under a key.",
        "O(N) where N is the length of the returned part.",
        "key start end",
    ),
    CommandSpec::new("substr", 4, READ, Group::String, getrange)
        .keys(&[READS])
        .deprecated("2.0.0", "`GETRANGE`")
        .docs(
            "1.0.0",
            "Gives a part of the string under a key.",
            "O(N) where N is the length of the returned part.",
            "key start end",
        ),
    CommandSpec::new("strlen", 2, READ_FAST, Group::String, strlen)
        .keys(&[KeySpec::one(1, KeyFlags::RO)])
        .docs("2.2.0", "Gives the length of a string in bytes.", "O(1)", "key"),
    CommandSpec::new("getex", -2, WRITE_FAST, Group::String, getex)
        .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE).union(KeyFlags::ACCESS))])
        .docs(
            "6.2.0",
            "Gives the string value of a key and sets or removes its expiry.",
            "O(1)",
            "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | \
             PXAT unix-time-milliseconds | PERSIST]",
        ),
    CommandSpec::new("getdel", 2, WRITE_FAST, Group::String, getdel)
        .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))])
        .docs("6.2.0", "Gives the string value of a key and deletes the key.", "O(1)", "key"),
];

// HOT PATH: one look-up, one copy into the reply.
fn get(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(1);
    if let Some(large) = reply_value(ctx, key)?.1 {
        share(ctx, large);
    }
    Ok(())
}

/// Writes the string under `key`, or null when there is no key (the first result says which), or
/// gives back a large string.
#[inline]
fn reply_value(ctx: &mut Ctx<'_>, key: Key<'_>) -> Result<(bool, Option<super::Blob>)> {
    let Some(text) = ctx.data.text(key)? else {
        ctx.reply.null();
        return Ok((false, None));
    };
    Ok((true, write(&mut ctx.reply, text)))
}

fn getrange(ctx: &mut Ctx<'_>) -> Result {
    let (start, end) = (int(ctx.args[2])?, int(ctx.args[3])?);
    let key = ctx.key(1);
    let Some(text) = ctx.data.text(key)? else {
        ctx.reply.bulk("");
        return Ok(());
    };
    let mut room = [0; I64_TEXT_MAX];
    let text = bytes(text, &mut room);
    ctx.reply.bulk(&text[part(text.len(), start, end)]);
    Ok(())
}

/// The positions from `start` to `end`, both included, where negative ones count from the end.
fn part(len: usize, start: i64, end: i64) -> Range<usize> {
    if start < 0 && end < 0 && start > end {
        return 0..0;
    }
    let len = len as i64;
    let from_end = |at: i64| if at < 0 { at.saturating_add(len).max(0) } else { at };
    let (start, end) = (from_end(start), from_end(end).min(len - 1));
    if start > end {
        return 0..0;
    }
    start as usize..end as usize + 1
}

fn strlen(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(1);
    let len = ctx.data.text(key)?.map_or(0, length);
    ctx.reply.integer(len as i64);
    Ok(())
}

fn getex(ctx: &mut Ctx<'_>) -> Result {
    let options = Options::parse(ctx.args, 2, Syntax::GetEx)?;
    let key = ctx.key(1);
    let before = ctx.reply.len();
    let (found, large) = reply_value(ctx, key)?;
    if !found {
        return Ok(());
    }
    // Upstream looks at the time only when there is a key.
    let expiry = match options.expiry.resolve(ctx.now().unix_ms, ctx.name()) {
        Ok(expiry) => expiry,
        Err(error) => {
            ctx.reply.truncate(before);
            return Err(error);
        }
    };
    if let Some(large) = large {
        share(ctx, large);
    }
    change_expiry(ctx, key, options.expiry == Expiry::Persist, expiry);
    Ok(())
}

fn change_expiry(ctx: &mut Ctx<'_>, key: Key<'_>, persist: bool, expiry: Option<i64>) {
    let Some(slot) = ctx.data.find(key) else { return };
    match expiry {
        Some(at) if at <= ctx.expiry_now() => {
            ctx.data.delete(key);
            ctx.data.changed(key, Class::Generic, "del");
            ctx.data.effect([b"DEL", key.name].into_iter());
        }
        Some(at) => {
            ctx.data.db_mut(key).set_expiry(slot, Some(at));
            ctx.data.changed(key, Class::Generic, "expire");
            let mut room = [0; I64_TEXT_MAX];
            let at = format_i64(at, &mut room);
            ctx.data.effect([b"PEXPIREAT", key.name, at].into_iter());
        }
        None if persist && ctx.data.expiry_at(key, slot).is_some() => {
            ctx.data.db_mut(key).set_expiry(slot, None);
            ctx.data.changed(key, Class::Generic, "persist");
            ctx.data.effect([b"PERSIST", key.name].into_iter());
        }
        None => {}
    }
}

fn getdel(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(1);
    let (found, large) = reply_value(ctx, key)?;
    if let Some(large) = large {
        share(ctx, large);
    }
    if found && ctx.data.delete(key) {
        ctx.data.changed(key, Class::Generic, "del");
        ctx.data.effect([b"DEL", key.name].into_iter());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::part;
    use crate::testing::Bench;
    use ochre_resp::Protocol;

    #[test]
    fn get_of_each_form() {
        let mut bench = Bench::new();
        assert_eq!(bench.run("GET k"), "$-1|");
        assert_eq!(bench.run("GET"), "-ERR wrong number of arguments for 'get' command|");
        bench.run("MSET int -12 text abc empty ''");
        assert_eq!(bench.run("GET int"), "$3|-12|");
        assert_eq!(bench.run("GET text"), "$3|abc|");
        assert_eq!(bench.run("GET empty"), "$0||");
        let large = vec![b'x'; 2000];
        bench.run_args(&[b"SET", b"large", &large]);
        assert_eq!(bench.run("GET large"), format!("$2000|{}|", "x".repeat(2000)));
        bench.run("ZADD z 1 a");
        assert!(bench.run("GET z").starts_with("-WRONGTYPE"));
        bench.protocol = Protocol::Resp3;
        assert_eq!(bench.run("GET nothing"), "_|");
    }

    #[test]
    fn a_large_string_is_shared_and_not_copied() {
        let mut bench = Bench::new();
        let large = vec![b'y'; 20_000];
        bench.run_args(&[b"SET", b"k", &large]);
        let reply = format!("$20000|{}|", "y".repeat(20_000));
        assert_eq!(bench.run("GET k"), reply);
        assert_eq!(bench.shared, 1);
        assert_eq!(bench.run("MGET k nothing k"), format!("*3|{reply}$-1|{reply}"));
        assert_eq!(bench.shared, 2);
        assert_eq!(bench.run("GETEX k"), reply);
        assert_eq!(bench.run("GETEX k EX 0"), "-ERR invalid expire time in 'getex' command|");
        assert_eq!(bench.shared, 0);
        assert_eq!(bench.run("GETDEL k"), reply);
        assert_eq!(bench.run("GET k"), "$-1|");
    }

    #[test]
    fn parts_of_a_string() {
        let mut bench = Bench::new();
        bench.run("MSET k hello n 12345");
        for (range, expected) in [
            ("0 -1", "$5|hello|"),
            ("1 2", "$2|el|"),
            ("-3 -2", "$2|ll|"),
            ("-100 1", "$2|he|"),
            ("3 100", "$2|lo|"),
            ("-1 -3", "$0||"),
            ("-100 -99", "$1|h|"),
            ("5 9", "$0||"),
            ("2 1", "$0||"),
        ] {
            assert_eq!(bench.run(&format!("GETRANGE k {range}")), expected, "{range}");
            assert_eq!(bench.run(&format!("SUBSTR k {range}")), expected, "{range}");
        }
        assert_eq!(bench.run("GETRANGE n 1 2"), "$2|23|");
        assert_eq!(bench.run("GETRANGE none 0 1"), "$0||");
        assert_eq!(bench.run("GETRANGE k x 1"), "-ERR value is not an integer or out of range|");
        assert_eq!(part(0, 0, -1), 0..0);
        assert_eq!(part(3, i64::MIN, i64::MAX), 0..3);
    }

    #[test]
    fn lengths() {
        let mut bench = Bench::new();
        bench.run("MSET k hello n -123");
        assert_eq!(bench.run("STRLEN k"), ":5|");
        assert_eq!(bench.run("STRLEN n"), ":4|");
        assert_eq!(bench.run("STRLEN none"), ":0|");
        bench.run("ZADD z 1 a");
        assert!(bench.run("STRLEN z").starts_with("-WRONGTYPE"));
    }

    #[test]
    fn getex_changes_the_expiry() {
        let mut bench = Bench::new();
        bench.now_ms = 1_000_000;
        bench.run("SET k v");
        assert_eq!(bench.run("GETEX k"), "$1|v|");
        assert_eq!(bench.run("GETEX k EX 10"), "$1|v|");
        assert_eq!(bench.run("PTTL k"), ":10000|");
        assert_eq!(bench.run("GETEX k PXAT 1000500"), "$1|v|");
        assert_eq!(bench.run("PTTL k"), ":500|");
        assert_eq!(bench.run("GETEX k PERSIST"), "$1|v|");
        assert_eq!(bench.run("GETEX k PERSIST"), "$1|v|");
        assert_eq!(bench.run("TTL k"), ":-1|");
        assert_eq!(bench.run("GETEX k EXAT 5"), "$1|v|");
        assert_eq!(bench.run("GETEX k EX x"), "$-1|");
        assert_eq!(
            bench.log_text(),
            "SELECT 0; SET k v; PEXPIREAT k 1010000; PEXPIREAT k 1000500; PERSIST k; DEL k"
        );
        for options in ["KEEPTTL", "EX", "EX 1 PX 1", "PERSIST EX 1", "NX"] {
            assert_eq!(bench.run(&format!("GETEX k {options}")), "-ERR syntax error|");
        }
        bench.run("ZADD z 1 a");
        assert!(bench.run("GETEX z EX 0").starts_with("-WRONGTYPE"));
    }

    #[test]
    fn getdel_deletes() {
        let mut bench = Bench::new();
        bench.run("SET k v");
        assert_eq!(bench.run("GETDEL k"), "$1|v|");
        assert_eq!(bench.run("GETDEL k"), "$-1|");
        assert_eq!(bench.log_text(), "SELECT 0; SET k v; DEL k");
    }
}
