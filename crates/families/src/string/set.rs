//! Setting one string: SET with its options, SETNX, SETEX, PSETEX, GETSET, and its undoing on a
//! condition: DELIFEQ of Valkey and DELEX of Redis 8.4.
//!
//! What is logged is what happened: the expiry as an absolute time, without GET and comparisons. A value
//! whose expiry has passed already is not stored; a key that was there is deleted.

use ochre_base::clock::Millis;
use ochre_base::num::{I64_TEXT_MAX, format_i64};
use ochre_command::args::is;
use ochre_command::data::Class;
use ochre_command::outcome::{self, Result};
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_command::{Ctx, Key};
use ochre_keyspace::db::NewValue;

use super::options::{Condition, Expiry, Options, Syntax, Unit};
use super::{bytes, share, write};

const WRITE: Flags = Flags::WRITE.union(Flags::DENYOOM);
const WRITE_FAST: Flags = WRITE.union(Flags::FAST);
const OVERWRITES: KeySpec = KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE));
const EXCHANGES: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE);

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("set", -3, WRITE, Group::String, set)
        .keys(&[KeySpec::one(1, EXCHANGES.union(KeyFlags::VARIABLE_FLAGS))])
        .docs(
            "1.0.0",
            "Sets the string value of a key, whatever it held, on conditions and with an expiry.",
            "O(1)",
            "key value [NX | XX | IFEQ comparison-value | IFNE ifne-value | IFDEQ ifdeq-digest | \
             IFDNE ifdne-digest] [GET] [EX seconds | PX milliseconds | EXAT unix-time-seconds | \
             PXAT unix-time-milliseconds | KEEPTTL]",
        ),
    CommandSpec::new("setnx", 3, WRITE_FAST, Group::String, setnx)
        .keys(&[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::INSERT))])
        .deprecated("2.6.12", "`SET` with the `NX` argument")
        .docs("1.0.0", "Sets a string if the key does not exist.", "O(1)", "key value"),
    CommandSpec::new("setex", 4, WRITE, Group::String, setex)
        .keys(&[OVERWRITES])
        .deprecated("2.6.12", "`SET` with the `EX` argument")
        .docs("2.0.0", "Sets a string with an expiry in seconds.", "O(1)", "key seconds value"),
    CommandSpec::new("psetex", 4, WRITE, Group::String, psetex)
        .keys(&[OVERWRITES])
        .deprecated("2.6.12", "`SET` with the `PX` argument")
        .docs(
            "2.6.0",
            "Sets a string with an expiry in milliseconds.",
            "O(1)",
            "key milliseconds value",
        ),
    CommandSpec::new("getset", 3, WRITE_FAST, Group::String, getset)
        .keys(&[KeySpec::one(1, EXCHANGES)])
        .deprecated("6.2.0", "`SET` with the `!GET` argument")
        .docs("1.0.0", "Sets a string and gives the one before.", "O(1)", "key value"),
    CommandSpec::new("delifeq", 3, Flags::WRITE.union(Flags::FAST), Group::String, delifeq)
        .keys(&[KeySpec::one(1, KeyFlags::RM.union(KeyFlags::DELETE))])
        .docs("9.0.0", "Deletes a key if it holds the given string.", "O(1)", "key value"),
    CommandSpec::new("delex", -2, Flags::WRITE.union(Flags::FAST), Group::String, delex)
        .keys(&[KeySpec::one(
            1,
            KeyFlags::RW.union(KeyFlags::DELETE).union(KeyFlags::VARIABLE_FLAGS),
        )])
        .docs(
            "8.4.0",
            "Deletes a key, if need be only when the string it holds compares as asked.",
            "O(1) for IFEQ/IFNE, O(N) for IFDEQ/IFDNE where N is the length of the string value.",
            "key [IFEQ ifeq-value | IFNE ifne-value | IFDEQ ifdeq-digest | IFDNE ifdne-digest]",
        ),
];

// HOT PATH: one look-up, one copy over the old value.
fn set(ctx: &mut Ctx<'_>) -> Result {
    if ctx.args.len() > 3 {
        return set_with_options(ctx);
    }
    let key = ctx.key(1);
    let slot = ctx.data.find(key);
    ctx.data.put(key, slot, NewValue::Text(ctx.args[2]), None);
    ctx.data.changed(key, Class::String, "set");
    ctx.reply.ok();
    Ok(())
}

fn set_with_options(ctx: &mut Ctx<'_>) -> Result {
    let options = Options::parse(ctx.args, 3, Syntax::Set)?;
    let expiry = options.expiry.resolve(ctx.now().unix_ms, ctx.name())?;
    let key = ctx.key(1);
    if options.get {
        reply_old(ctx, key)?;
    }
    let met = meets(ctx, key, options.condition)?;
    if !met {
        if !options.get {
            ctx.reply.null();
        }
        return Ok(());
    }
    let keep = options.expiry == Expiry::Keep;
    store(ctx, key, ctx.args[2], expiry, keep);
    if expiry.is_none() && (options.get || options.condition.compares()) {
        log_without_questions(ctx);
    }
    if !options.get {
        ctx.reply.ok();
    }
    Ok(())
}

/// Whether the key is as the condition wants it.
fn meets(ctx: &mut Ctx<'_>, key: Key<'_>, condition: Condition<'_>) -> Result<bool> {
    if condition == Condition::Always {
        return Ok(true);
    }
    let Some(slot) = ctx.data.find(key) else { return Ok(condition.holds_for_none()) };
    if !condition.compares() {
        return Ok(condition == Condition::Present);
    }
    let mut room = [0; I64_TEXT_MAX];
    Ok(condition.holds_for(bytes(ctx.data.text_at(key, slot)?, &mut room)))
}

/// Writes the string under `key`, or null.
fn reply_old(ctx: &mut Ctx<'_>, key: Key<'_>) -> Result {
    let Some(text) = ctx.data.text(key)? else {
        ctx.reply.null();
        return Ok(());
    };
    if let Some(large) = write(&mut ctx.reply, text) {
        share(ctx, large);
    }
    Ok(())
}

/// Stores a value with an expiry, logged as SET with an absolute time; with none, the caller says what
/// is logged.
pub(crate) fn store(
    ctx: &mut Ctx<'_>,
    key: Key<'_>,
    value: &[u8],
    expiry: Option<Millis>,
    keep: bool,
) {
    if expiry.is_some_and(|at| at <= ctx.now().unix_ms) {
        if ctx.data.delete(key) {
            ctx.data.changed(key, Class::Generic, "del");
            ctx.data.effect([b"DEL", key.name].into_iter());
        }
        return;
    }
    let slot = ctx.data.find(key);
    let kept = slot.filter(|_| keep).and_then(|slot| ctx.data.expiry_at(key, slot));
    ctx.data.put(key, slot, NewValue::Text(value), expiry.or(kept));
    ctx.data.changed(key, Class::String, "set");
    if let Some(at) = expiry {
        ctx.data.tell(key, Class::Generic, "expire");
        let mut room = [0; I64_TEXT_MAX];
        let at = format_i64(at, &mut room);
        ctx.data.effect([b"SET", key.name, value, b"PXAT", at].into_iter());
    }
}

/// Logs the SET that runs without its GET and its comparison: the answers are known.
fn log_without_questions(ctx: &mut Ctx<'_>) {
    let mut kept: Vec<&[u8]> = ctx.args[..3].to_vec();
    let mut options = ctx.args[3..].iter();
    while let Some(word) = options.next() {
        if Condition::is_comparison(word) {
            options.next();
        } else if !is(word, "get") {
            kept.push(word);
        }
    }
    ctx.data.effect(kept.into_iter());
}

fn setnx(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(1);
    let absent = ctx.data.find(key).is_none();
    if absent {
        ctx.data.put(key, None, NewValue::Text(ctx.args[2]), None);
        ctx.data.changed(key, Class::String, "set");
    }
    ctx.reply.integer(i64::from(absent));
    Ok(())
}

fn setex(ctx: &mut Ctx<'_>) -> Result {
    set_for(ctx, Unit::Seconds)
}

fn psetex(ctx: &mut Ctx<'_>) -> Result {
    set_for(ctx, Unit::Millis)
}

fn set_for(ctx: &mut Ctx<'_>, unit: Unit) -> Result {
    let expiry = unit.resolve(ctx.args[2], ctx.now().unix_ms, ctx.name())?;
    let key = ctx.key(1);
    store(ctx, key, ctx.args[3], Some(expiry), false);
    ctx.reply.ok();
    Ok(())
}

fn getset(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(1);
    reply_old(ctx, key)?;
    store(ctx, key, ctx.args[2], None, false);
    ctx.data.effect([b"SET", key.name, ctx.args[2]].into_iter());
    Ok(())
}

fn delifeq(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(1);
    let equal = meets(ctx, key, Condition::Equals(ctx.args[2]))?;
    delete_if(ctx, key, equal);
    Ok(())
}

fn delex(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(1);
    let condition = match ctx.args[2..] {
        [] => Condition::Always,
        [word, wanted] => Condition::comparison(word, wanted).ok_or(outcome::SYNTAX)?,
        _ => return Err(outcome::wrong_arity(ctx.name())),
    };
    condition.check()?;
    let met = ctx.data.find(key).is_some() && meets(ctx, key, condition)?;
    delete_if(ctx, key, met);
    Ok(())
}

/// Deletes a key that is there if `met`, and answers whether it did.
fn delete_if(ctx: &mut Ctx<'_>, key: Key<'_>, met: bool) {
    if met {
        ctx.data.delete(key);
        ctx.data.changed(key, Class::Generic, "del");
        ctx.data.effect([b"DEL", key.name].into_iter());
    }
    ctx.reply.integer(i64::from(met));
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;
    use ochre_resp::Protocol;

    const NULL: &str = "$-1|";

    #[test]
    fn set_overwrites_any_type_and_expiry() {
        let mut bench = Bench::new();
        bench.run("ZADD k 1 a");
        assert_eq!(bench.run("SET k 1"), "+OK|");
        assert_eq!(bench.run("SET k v EX 100"), "+OK|");
        assert_eq!(bench.run("TTL k"), ":100|");
        assert_eq!(bench.run("SET k w"), "+OK|");
        assert_eq!(bench.run("TTL k"), ":-1|");
        assert_eq!(
            bench.log_text(),
            "SELECT 0; ZADD k 1 a; SET k 1; SET k v PXAT 1700000100000; SET k w"
        );
        assert_eq!(bench.run("SET k"), "-ERR wrong number of arguments for 'set' command|");
    }

    #[test]
    fn conditions() {
        let mut bench = Bench::new();
        assert_eq!(bench.run("SET k v XX"), NULL);
        assert_eq!(bench.run("SET k v NX"), "+OK|");
        assert_eq!(bench.run("SET k w NX"), NULL);
        assert_eq!(bench.run("SET k 5 xx"), "+OK|");
        assert_eq!(bench.run("SET k w IFEQ 6"), NULL);
        assert_eq!(bench.run("SET none w IFEQ 6"), NULL);
        assert_eq!(bench.run("SET k w IFEQ 5"), "+OK|");
        bench.run("ZADD z 1 a");
        assert!(bench.run("SET z w IFEQ 5").starts_with("-WRONGTYPE"));
        assert_eq!(bench.run("SET z w NX"), NULL);
        assert_eq!(bench.log_text(), "SELECT 0; SET k v NX; SET k 5 xx; SET k w; ZADD z 1 a");
    }

    #[test]
    fn the_old_value_as_the_reply() {
        let mut bench = Bench::new();
        assert_eq!(bench.run("SET k a GET"), NULL);
        assert_eq!(bench.run("SET k b GET"), "$1|a|");
        assert_eq!(bench.run("SET k c NX GET"), "$1|b|");
        assert_eq!(bench.run("SET k d XX GET KEEPTTL"), "$1|b|");
        assert_eq!(bench.run("SET none d XX GET"), NULL);
        assert_eq!(bench.run("SET none d IFEQ d GET"), NULL);
        assert_eq!(bench.run("SET k e IFEQ x GET"), "$1|d|");
        assert_eq!(bench.run("SET k e IFEQ d GET"), "$1|d|");
        assert_eq!(bench.run("SET new n NX GET"), NULL);
        assert_eq!(bench.run("GET new"), "$1|n|");
        bench.run("ZADD z 1 a");
        assert!(bench.run("SET z w GET").starts_with("-WRONGTYPE"));
        assert!(bench.run("SET z w NX GET").starts_with("-WRONGTYPE"));
        bench.protocol = Protocol::Resp3;
        assert_eq!(bench.run("SET p a GET"), "_|");
        assert_eq!(
            bench.log_text(),
            "SELECT 0; SET k a; SET k b; SET k d XX KEEPTTL; SET k e; SET new n NX; ZADD z 1 a; \
             SET p a"
        );
    }

    #[test]
    fn expiries() {
        let mut bench = Bench::new();
        bench.now_ms = 5_000_000;
        for (options, ttl) in [
            ("EX 10", ":10000|"),
            ("PX 10", ":10|"),
            ("EXAT 5001", ":1000|"),
            ("PXAT 5000007", ":7|"),
            ("KEEPTTL", ":7|"),
            ("EX 10 EX 11", ":11000|"),
        ] {
            assert_eq!(bench.run(&format!("SET k v {options}")), "+OK|");
            assert_eq!(bench.run("PTTL k"), ttl, "{options}");
        }
        assert_eq!(bench.run("SET none v EXAT 1"), "+OK|");
        assert_eq!(bench.run("SET k w PXAT 5000000 GET"), "$1|v|");
        assert_eq!(bench.run("GET k"), NULL);
        assert_eq!(
            bench.log_text(),
            "SELECT 0; SET k v PXAT 5010000; SET k v PXAT 5000010; SET k v PXAT 5001000; \
             SET k v PXAT 5000007; SET k v KEEPTTL; SET k v PXAT 5011000; DEL k"
        );
        let bad = "-ERR invalid expire time in 'set' command|";
        for options in ["EX 0", "EX -1", "PX 9223372036854775807", "PXAT -5", "EX 9223372036854775"]
        {
            assert_eq!(bench.run(&format!("SET k v {options}")), bad);
        }
        let not_integer = "-ERR value is not an integer or out of range|";
        assert_eq!(bench.run("SET k v EX x"), not_integer);
        for options in ["EX", "NX XX", "EX 1 PX 1", "KEEPTTL EX 1", "IFEQ", "PERSIST", "foo"] {
            assert_eq!(bench.run(&format!("SET k v {options}")), "-ERR syntax error|");
        }
    }

    #[test]
    fn a_key_past_its_time_is_gone() {
        let mut bench = Bench::new();
        bench.run("SET k v PX 10");
        bench.now_ms += 10;
        assert_eq!(bench.run("GET k"), "$1|v|");
        bench.now_ms += 1;
        assert_eq!(bench.run("SETNX k w"), ":1|");
        assert_eq!(
            bench.log_text(),
            "SELECT 0; SET k v PXAT 1700000000010; MULTI; DEL k; SETNX k w; EXEC"
        );
    }

    #[test]
    fn the_older_forms() {
        let mut bench = Bench::new();
        assert_eq!(bench.run("SETNX k a"), ":1|");
        assert_eq!(bench.run("SETNX k b"), ":0|");
        assert_eq!(bench.run("SETEX k 10 c"), "+OK|");
        assert_eq!(bench.run("PSETEX k 10 d"), "+OK|");
        assert_eq!(bench.run("GETSET k e"), "$1|d|");
        assert_eq!(bench.run("PTTL k"), ":-1|");
        assert_eq!(bench.run("GETSET new e"), NULL);
        let bad = |name| format!("-ERR invalid expire time in '{name}' command|");
        assert_eq!(bench.run("SETEX k 0 v"), bad("setex"));
        assert_eq!(bench.run("PSETEX k -1 v"), bad("psetex"));
        bench.run("ZADD z 1 a");
        assert!(bench.run("GETSET z v").starts_with("-WRONGTYPE"));
        assert_eq!(
            bench.log_text(),
            "SELECT 0; SETNX k a; SET k c PXAT 1700000010000; SET k d PXAT 1700000000010; \
             SET k e; SET new e; ZADD z 1 a"
        );
    }

    #[test]
    fn delifeq_compares_first() {
        let mut bench = Bench::new();
        bench.run("MSET k 5 l abc");
        assert_eq!(bench.run("DELIFEQ k 6"), ":0|");
        assert_eq!(bench.run("DELIFEQ k 5"), ":1|");
        assert_eq!(bench.run("DELIFEQ k 5"), ":0|");
        assert_eq!(bench.run("DELIFEQ l abc"), ":1|");
        bench.run("ZADD z 1 a");
        assert!(bench.run("DELIFEQ z 5").starts_with("-WRONGTYPE"));
        assert_eq!(bench.log_text(), "SELECT 0; MSET k 5 l abc; DEL k; DEL l; ZADD z 1 a");
    }

    /// The digest of `Hello world`, from the documentation of DIGEST.
    const DIGEST: &str = "b6acb9d84a38ff74";

    #[test]
    fn comparisons_of_set() {
        let mut bench = Bench::new();
        bench.run("SET k 5");
        assert_eq!(bench.run("SET k 6 IFNE 5"), NULL);
        assert_eq!(bench.run("SET k 6 IFNE 7 GET"), "$1|5|");
        assert_eq!(bench.run("SET new 1 IFNE 7"), "+OK|");
        assert_eq!(bench.run("SET none 1 IFDEQ 0123456789abcdef"), NULL);
        assert_eq!(bench.run("SET fresh 1 IFDNE 0123456789abcdef EX 10"), "+OK|");
        bench.run_args(&[b"SET", b"h", b"Hello world"]);
        assert_eq!(bench.run(&format!("SET h 1 IFDNE {DIGEST}")), NULL);
        assert_eq!(bench.run("SET h 1 IFDEQ zzzzzzzzzzzzzzzz"), NULL);
        let upper = DIGEST.to_uppercase();
        assert_eq!(bench.run(&format!("SET h 1 IFDEQ {upper} GET KEEPTTL")), "$11|Hello world|");
        assert_eq!(bench.run("SET h 2 IFDNE zzzzzzzzzzzzzzzz"), "+OK|");
        let bad = "-ERR must be exactly 16 hexadecimal characters|";
        assert_eq!(bench.run("SET none 1 IFDEQ 12"), bad);
        assert_eq!(bench.run("SET none 1 IFDNE 12"), bad);
        for options in ["IFNE", "IFDEQ", "IFNE a NX", "XX IFDNE a", "IFNE a IFNE a"] {
            assert_eq!(bench.run(&format!("SET k v {options}")), "-ERR syntax error|");
        }
        bench.run("ZADD z 1 a");
        assert!(bench.run("SET z w IFNE 5").starts_with("-WRONGTYPE"));
        assert!(bench.run(&format!("SET z w IFDNE {DIGEST}")).starts_with("-WRONGTYPE"));
        assert_eq!(
            bench.log_text(),
            "SELECT 0; SET k 5; SET k 6; SET new 1; SET fresh 1 PXAT 1700000010000; \
             SET h Hello world; SET h 1 KEEPTTL; SET h 2; ZADD z 1 a"
        );
    }

    #[test]
    fn delex_compares_or_not() {
        let mut bench = Bench::new();
        bench.run("MSET a 1 b 2 c 3");
        bench.run_args(&[b"SET", b"h", b"Hello world"]);
        bench.run("ZADD z 1 a");
        for (line, reply) in [
            ("DELEX none", ":0|"),
            ("DELEX none IFNE 1", ":0|"),
            ("DELEX none IFDNE 0123456789abcdef", ":0|"),
            ("DELEX a IFEQ 2", ":0|"),
            ("DELEX a ifeq 1", ":1|"),
            ("DELEX b IFNE 2", ":0|"),
            ("DELEX b IFNE 1", ":1|"),
            ("DELEX h IFDEQ 0123456789abcdef", ":0|"),
            ("DELEX h IFDNE b6acb9d84a38ff74", ":0|"),
            ("DELEX h IFDEQ B6ACB9D84A38FF74", ":1|"),
            ("DELEX c IFDNE 0123456789abcdef", ":1|"),
            ("DELEX z IFEQ", "-ERR wrong number of arguments for 'delex' command|"),
            ("DELEX z IFEQ 1 2", "-ERR wrong number of arguments for 'delex' command|"),
            ("DELEX z NX 1", "-ERR syntax error|"),
            ("DELEX z IFDEQ 1", "-ERR must be exactly 16 hexadecimal characters|"),
        ] {
            assert_eq!(bench.run(line), reply, "{line}");
        }
        assert!(bench.run("DELEX z IFNE 5").starts_with("-WRONGTYPE"));
        assert_eq!(bench.run("DELEX z"), ":1|");
        assert_eq!(
            bench.log_text(),
            "SELECT 0; MSET a 1 b 2 c 3; SET h Hello world; ZADD z 1 a; DEL a; DEL b; DEL h; \
             DEL c; DEL z"
        );
    }
}
