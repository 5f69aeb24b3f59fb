//! Counters in fields: HINCRBY and HINCRBYFLOAT. A field keeps its expiry.
//!
//! HINCRBYFLOAT computes as the peers do on x86, in 80-bit numbers, and logs its result instead of
//! the sum.

use ochre_base::long_double::LongDouble;
use ochre_base::num::{I64_TEXT_MAX, format_i64};
use ochre_command::Ctx;
use ochre_command::args;
use ochre_command::data::Class;
use ochre_command::outcome::{self, ReplyError, Result};
use ochre_command::spec::{CommandSpec, Group, KeySpec};

use super::{GROW_FAST, UPDATES_READS, hash_mut, log_values, new_hash, now_ms, tell_fields};

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("hincrby", 4, GROW_FAST, Group::Hash, hincrby)
        .element(2)
        .keys(&[KeySpec::one(1, UPDATES_READS)])
        .docs(
            "2.0.0",
            "Adds an integer to the value of a field, which counts as 0 when it is absent.",
            "O(1)",
            "key field increment",
        ),
    CommandSpec::new("hincrbyfloat", 4, GROW_FAST, Group::Hash, hincrbyfloat)
        .keys(&[KeySpec::one(1, UPDATES_READS)])
        .docs(
            "2.6.0",
            "Adds a number to the value of a field, which counts as 0 when it is absent.",
            "O(1)",
            "key field increment",
        ),
];

/// What was under a field before it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    /// Nothing, or a value that does not expire.
    Lasting,
    /// A value that will expire, and keeps doing so.
    Expiring,
    /// A value whose time had passed.
    Expired,
}

impl Before {
    fn of(expire_at_ms: Option<u64>, now: u64) -> Self {
        match expire_at_ms {
            None => Self::Lasting,
            Some(at) if at < now => Self::Expired,
            Some(_) => Self::Expiring,
        }
    }
}

fn hincrby(ctx: &mut Ctx<'_>) -> Result {
    const NOT_INTEGER: ReplyError = ReplyError::fixed("ERR hash value is not an integer");
    let increment = args::int(ctx.arg(3))?;
    let (key, field, now) = (ctx.key(1), ctx.arg(2), now_ms(ctx));
    let mut digits = [0; I64_TEXT_MAX];
    let edited = ctx.data.edit(key, Some(new_hash), |value, limits, _| {
        let hash = hash_mut(value)?;
        let mut before = Before::Lasting;
        let mut sum = increment;
        if let Some(old) = hash.view().find_any(field) {
            before = Before::of(old.expire_at_ms, now);
            if before != Before::Expired {
                let old = old.value.to_int().ok_or(NOT_INTEGER)?;
                sum = old.checked_add(increment).ok_or(outcome::OVERFLOW)?;
            }
        }
        let text = format_i64(sum, &mut digits);
        hash.set_keeping_expiry(limits, field, text, now);
        Ok((sum, before))
    })?;
    if let Some(((sum, before), _)) = edited {
        ctx.data.changed(key, Class::Hash, "hincrby");
        tell_fields(&ctx.data, key, "hincrby", &[field]);
        if before == Before::Expired {
            let text = format_i64(sum, &mut digits);
            log_values(&mut ctx.data, key, &[field, text]);
        }
        ctx.reply.integer(sum);
    }
    Ok(())
}

fn hincrbyfloat(ctx: &mut Ctx<'_>) -> Result {
    const INFINITE: ReplyError = ReplyError::fixed("ERR value is NaN or Infinity");
    const NOT_FLOAT: ReplyError = ReplyError::fixed("ERR hash value is not a float");
    const TOO_LARGE: ReplyError = ReplyError::fixed("ERR increment would produce NaN or Infinity");
    let increment = LongDouble::parse(ctx.arg(3)).ok_or(outcome::NOT_FLOAT)?;
    if increment.is_infinite() {
        return Err(INFINITE);
    }
    let (key, field, now) = (ctx.key(1), ctx.arg(2), now_ms(ctx));
    let mut text = Vec::new();
    let edited = ctx.data.edit(key, Some(new_hash), |value, limits, _| {
        let hash = hash_mut(value)?;
        let mut before = Before::Lasting;
        let mut sum = increment;
        if let Some(old) = hash.view().find_any(field) {
            before = Before::of(old.expire_at_ms, now);
            if before != Before::Expired {
                let old = LongDouble::parse(old.value.text(&mut [0; 20])).ok_or(NOT_FLOAT)?;
                sum = old.checked_add(increment).ok_or(TOO_LARGE)?;
            }
        }
        sum.append_text(&mut text);
        hash.set_keeping_expiry(limits, field, &text, now);
        Ok(before)
    })?;
    if let Some((before, _)) = edited {
        ctx.data.changed(key, Class::Hash, "hincrbyfloat");
        tell_fields(&ctx.data, key, "hincrbyfloat", &[field]);
        if before == Before::Expiring {
            let effect = [b"HSETEX", key.name, b"KEEPTTL", b"FIELDS", b"1", field, &text];
            ctx.data.effect(effect.iter());
        } else {
            log_values(&mut ctx.data, key, &[field, &text]);
        }
    }
    ctx.reply.bulk(&text);
    Ok(())
}
