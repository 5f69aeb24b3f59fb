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
    if expiry.is_some_and(|at| at <= ctx.expiry_now()) {
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
mod tests;
