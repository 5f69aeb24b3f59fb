//! Writing fields: HSET, HMSET, HSETNX, HDEL.

use ochre_command::Ctx;
use ochre_command::data::Class;
use ochre_command::outcome::{self, Result};
use ochre_command::spec::{CommandSpec, Group, KeyFlags, KeySpec};

use super::{
    GROW_FAST, INSERTS, Names, UPDATES, WRITE_FAST, hash_mut, log_values, new_hash, note_expired,
    now_ms, tell_fields,
};
use crate::collection;

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("hset", -4, GROW_FAST, Group::Hash, hset)
        .element(2)
        .keys(&[KeySpec::one(1, UPDATES)])
        .docs(
            "2.0.0",
            "Gives fields of a hash their values; the hash is made when it is absent.",
            "O(N) for N fields",
            "key field value [field value ...]",
        ),
    CommandSpec::new("hmset", -4, GROW_FAST, Group::Hash, hmset)
        .keys(&[KeySpec::one(1, UPDATES)])
        .docs(
            "2.0.0",
            "Gives fields of a hash their values.",
            "O(N) for N fields",
            "key field value [field value ...]",
        )
        .deprecated("4.0.0", "`HSET` with multiple field-value pairs"),
    CommandSpec::new("hsetnx", 4, GROW_FAST, Group::Hash, hsetnx)
        .element(2)
        .keys(&[KeySpec::one(1, INSERTS)])
        .docs(
            "2.0.0",
            "Gives a field of a hash its value if the field is absent.",
            "O(1)",
            "key field value",
        ),
    CommandSpec::new("hdel", -3, WRITE_FAST, Group::Hash, hdel)
        .element(2)
        .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))])
        .docs(
            "2.0.0",
            "Removes fields from a hash, and the hash with the last one.",
            "O(N) for N fields",
            "key field [field ...]",
        ),
];

fn hset(ctx: &mut Ctx<'_>) -> Result {
    let added = set_fields(ctx)?;
    ctx.reply.integer(added as i64);
    Ok(())
}

fn hmset(ctx: &mut Ctx<'_>) -> Result {
    set_fields(ctx)?;
    ctx.reply.ok();
    Ok(())
}

/// Sets the fields from argument 2 on and gives the number of new ones.
// HOT PATH: one edit.
#[inline]
fn set_fields(ctx: &mut Ctx<'_>) -> Result<usize> {
    let pairs = &ctx.args[2..];
    if !pairs.len().is_multiple_of(2) {
        return Err(outcome::wrong_arity(ctx.name()));
    }
    let (key, now) = (ctx.key(1), now_ms(ctx));
    let edited = ctx.data.edit(key, Some(new_hash), |value, limits, _| {
        let hash = hash_mut(value)?;
        if pairs.len() / 2 > limits.hash_max_listpack_entries {
            hash.convert_to_table();
        }
        let mut added = 0;
        for pair in pairs.chunks_exact(2) {
            added += usize::from(hash.set(limits, pair[0], pair[1], now));
        }
        Ok(added)
    })?;
    ctx.data.changed(key, Class::Hash, "hset");
    ctx.data.tell_parts(key, Class::Hash, "hset", pairs.iter().copied().step_by(2));
    Ok(edited.map_or(0, |(added, _)| added))
}

fn hsetnx(ctx: &mut Ctx<'_>) -> Result {
    let (key, now) = (ctx.key(1), now_ms(ctx));
    let (field, text) = (ctx.arg(2), ctx.arg(3));
    let mut had_expired = false;
    let edited = ctx.data.edit(key, Some(new_hash), |value, limits, _| {
        let hash = hash_mut(value)?;
        if let Some(old) = hash.view().find_any(field) {
            had_expired = old.is_expired(now);
            if !had_expired {
                return Ok(false);
            }
        }
        hash.set(limits, field, text, now);
        Ok(true)
    })?;
    let set = matches!(edited, Some((true, _)));
    if set {
        ctx.data.changed(key, Class::Hash, "hset");
        tell_fields(&ctx.data, key, "hset", &[field]);
        if had_expired {
            log_values(&mut ctx.data, key, &[field, text]);
        }
    }
    ctx.reply.integer(set.into());
    Ok(())
}

fn hdel(ctx: &mut Ctx<'_>) -> Result {
    let (key, now) = (ctx.key(1), now_ms(ctx));
    let fields = &ctx.args[2..];
    let (mut deleted, mut expired): (Names<'_>, Names<'_>) = Default::default();
    let edited = ctx.data.edit(key, None, |value, _, _| {
        let hash = hash_mut(value)?;
        for field in fields {
            match hash.take(field) {
                None => {}
                Some(at) if at != 0 && at < now => expired.push(*field),
                Some(_) => deleted.push(*field),
            }
        }
        Ok(())
    })?;
    if let Some(((), left)) = edited {
        if !deleted.is_empty() {
            ctx.data.work.counts.expired_fields += expired.len() as u64;
            collection::changed(&mut ctx.data, key, left, Class::Hash, "hdel");
            tell_fields(&ctx.data, key, "hdel", &deleted);
        } else if !expired.is_empty() {
            ctx.data.effect(ctx.args.iter());
            note_expired(&mut ctx.data, key, left, &expired);
        }
    }
    ctx.reply.integer(deleted.len() as i64);
    Ok(())
}
