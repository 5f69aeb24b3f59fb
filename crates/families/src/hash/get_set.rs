//! Fields together with their expiries: HGETEX, HSETEX, HGETDEL.
//!
//! What is logged are the parts: HSET, HPEXPIREAT, HPERSIST, HDEL. Only a value that is set under an
//! expiry that stays has no such form; it is logged as HSETEX with KEEPTTL.

use ochre_base::clock::Millis;
use ochre_base::num::{I64_TEXT_MAX, format_i64};
use ochre_command::args::Cursor;
use ochre_command::data::{Class, Left};
use ochre_command::outcome::{self, Result};
use ochre_command::spec::{CommandSpec, Group, KeyFlags, KeySpec};
use ochre_command::{Ctx, Key};
use ochre_types::hash::HashRef;
use smallvec::SmallVec;

use super::expire::{
    NUMFIELDS, TimeForm, fields_after, fields_at_two, fields_word, log_expiry, log_persist,
};
use super::read::write_values;
use super::{
    GROW_FAST, INSERTS, Names, UPDATES_READS, WRITE_FAST, hash_mut, hash_view, log_removal,
    log_values, new_hash, note_expired, now_ms, read_hash, tell_fields,
};
use crate::collection::{self, write_entry};

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("hgetex", -5, WRITE_FAST, Group::Hash, hgetex)
        .keys(&[KeySpec::one(1, UPDATES_READS)])
        .docs(
            "8.0.0",
            "Returns the values of fields of a hash and sets or removes the fields' expiries.",
            "O(N) for N fields",
            "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | \
             PXAT unix-time-milliseconds | PERSIST] FIELDS numfields field [field ...]",
        ),
    CommandSpec::new("hsetex", -6, GROW_FAST, Group::Hash, hsetex)
        .keys(&[KeySpec::one(1, INSERTS)])
        .docs(
            "8.0.0",
            "Gives fields of a hash their values and sets or removes the fields' expiries.",
            "O(N) for N fields",
            "key [NX | XX] [FNX | FXX] [EX seconds | PX milliseconds | EXAT unix-time-seconds | \
             PXAT unix-time-milliseconds | KEEPTTL] FIELDS numfields field value \
             [field value ...]",
        ),
    CommandSpec::new("hgetdel", -5, WRITE_FAST, Group::Hash, hgetdel)
        .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE))])
        .docs(
            "8.0.0",
            "Removes fields from a hash and returns their values.",
            "O(N) for N fields",
            "key FIELDS numfields field [field ...]",
        ),
];

/// What becomes of the fields' expiries. The text of a time is parsed after the key's type is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expiry<'a> {
    /// No option.
    Unsaid,
    /// EX and its kin.
    At(TimeForm, &'a [u8]),
    /// PERSIST.
    Persist,
    /// KEEPTTL.
    Keep,
}

/// A choice between a word and its opposite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Only {
    /// Whatever is there.
    Always,
    /// NX, FNX.
    IfAbsent,
    /// XX, FXX.
    IfPresent,
}

impl Only {
    fn choose(&mut self, choice: Self) -> Result {
        if *self != Self::Always && *self != choice {
            return Err(outcome::SYNTAX);
        }
        *self = choice;
        Ok(())
    }
}

/// The options of HGETEX and HSETEX.
#[derive(Clone, Copy, Debug)]
struct Options<'a> {
    expiry: Expiry<'a>,
    /// What must hold of the key.
    key: Only,
    /// What must hold of every field.
    fields: Only,
}

/// The command whose options are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Get,
    Set,
}

impl<'a> Options<'a> {
    /// Reads the words before FIELDS.
    fn parse(words: &'a [&'a [u8]], verb: Verb) -> Result<Self> {
        let mut options = Self { expiry: Expiry::Unsaid, key: Only::Always, fields: Only::Always };
        let mut rest = Cursor::new(words, 0);
        while rest.left() > 0 {
            let time = [
                ("ex", TimeForm::EX),
                ("px", TimeForm::PX),
                ("exat", TimeForm::EXAT),
                ("pxat", TimeForm::PXAT),
            ];
            if let Some((_, form)) = time.into_iter().find(|(word, _)| rest.take(word)) {
                let given = rest.need()?;
                match options.expiry {
                    Expiry::Unsaid => {}
                    Expiry::At(other, _) if other == form => {}
                    _ => return Err(outcome::SYNTAX),
                }
                options.expiry = Expiry::At(form, given);
            } else if verb == Verb::Get && rest.take("persist") {
                options.keep(Expiry::Persist)?;
            } else if verb == Verb::Set && rest.take("keepttl") {
                options.keep(Expiry::Keep)?;
            } else if verb == Verb::Set && rest.take("nx") {
                options.key.choose(Only::IfAbsent)?;
            } else if verb == Verb::Set && rest.take("xx") {
                options.key.choose(Only::IfPresent)?;
            } else if verb == Verb::Set && rest.take("fnx") {
                options.fields.choose(Only::IfAbsent)?;
            } else if verb == Verb::Set && rest.take("fxx") {
                options.fields.choose(Only::IfPresent)?;
            } else {
                return Err(outcome::SYNTAX);
            }
        }
        Ok(options)
    }

    fn keep(&mut self, expiry: Expiry<'a>) -> Result {
        if self.expiry != Expiry::Unsaid && self.expiry != expiry {
            return Err(outcome::SYNTAX);
        }
        self.expiry = expiry;
        Ok(())
    }

    /// The absolute time, if one is given.
    fn time(&self, ctx: &Ctx<'_>) -> Result<Option<Millis>> {
        match self.expiry {
            Expiry::At(form, given) => form.parse(given, ctx.now().unix_ms, ctx.name()).map(Some),
            Expiry::Unsaid | Expiry::Persist | Expiry::Keep => Ok(None),
        }
    }
}

fn hgetex(ctx: &mut Ctx<'_>) -> Result {
    let word_at = fields_word(ctx.args, 2)?;
    let options = Options::parse(&ctx.args[2..word_at], Verb::Get)?;
    let fields = fields_after(ctx.args, word_at, 1, NUMFIELDS)?;
    let (key, now) = (ctx.key(1), now_ms(ctx));
    if options.expiry == Expiry::Unsaid {
        let hash = read_hash(&mut ctx.data, key)?;
        write_values(&mut ctx.reply, hash, fields, now);
        return Ok(());
    }
    ctx.data.peek(key).map(hash_view).transpose()?;
    let at = options.time(ctx)?;
    let is_past = at.is_some_and(|at| at <= ctx.expiry_now());

    let reply = &mut ctx.reply;
    let mut touched: Names<'_> = SmallVec::new();
    let edited = ctx.data.edit(key, None, |value, _, _| {
        let hash = hash_mut(value)?;
        reply.array(fields.len());
        for &field in fields {
            match hash.view().value(field, now) {
                None => {
                    reply.null();
                    continue;
                }
                Some(value) => write_entry(reply, value),
            }
            let changed = match at {
                Some(_) if is_past => hash.take(field).is_some(),
                Some(at) => hash.set_expiry(field, at.unsigned_abs()),
                None => hash.persist(field),
            };
            if changed {
                touched.push(field);
            }
        }
        Ok(())
    })?;
    let Some(((), left)) = edited else {
        write_values(&mut ctx.reply, None, fields, now);
        return Ok(());
    };
    if touched.is_empty() {
        return Ok(());
    }
    match at {
        Some(_) if is_past => {
            collection::changed(&mut ctx.data, key, left, Class::Hash, "hexpired");
            tell_fields(&ctx.data, key, "hexpired", &touched);
            log_removal(&mut ctx.data, key, &touched);
        }
        Some(at) => {
            ctx.data.changed(key, Class::Hash, "hexpire");
            tell_fields(&ctx.data, key, "hexpire", &touched);
            log_expiry(&mut ctx.data, key, at, &touched);
        }
        None => {
            ctx.data.changed(key, Class::Hash, "hpersist");
            tell_fields(&ctx.data, key, "hpersist", &touched);
            log_persist(&mut ctx.data, key, &touched);
        }
    }
    Ok(())
}

fn hsetex(ctx: &mut Ctx<'_>) -> Result {
    let word_at = fields_word(ctx.args, 2)?;
    let options = Options::parse(&ctx.args[2..word_at], Verb::Set)?;
    let pairs = fields_after(ctx.args, word_at, 2, NUMFIELDS)?;
    let (key, now) = (ctx.key(1), now_ms(ctx));
    let is_there = match ctx.data.peek(key) {
        None => false,
        Some(stored) => hash_view(stored).map(|_| true)?,
    };
    let refused = match options.key {
        Only::Always => false,
        Only::IfAbsent => is_there,
        Only::IfPresent => !is_there,
    };
    if refused {
        ctx.reply.integer(0);
        return Ok(());
    }
    let at = options.time(ctx)?;
    let hash = ctx.data.peek(key).map(hash_view).transpose()?;
    if !fields_allow(hash, options.fields, pairs, now) {
        ctx.reply.integer(0);
        return Ok(());
    }
    match at {
        Some(at) if at <= ctx.expiry_now() => set_in_the_past(ctx, key, pairs)?,
        Some(at) => set_until(ctx, key, pairs, at)?,
        None if options.expiry == Expiry::Keep => set_keeping(ctx, key, pairs)?,
        None => set_for_good(ctx, key, pairs)?,
    }
    ctx.reply.integer(1);
    Ok(())
}

/// Whether FNX or FXX lets all fields be set.
fn fields_allow(hash: Option<HashRef<'_>>, only: Only, pairs: &[&[u8]], now: u64) -> bool {
    let is_there = |pair: &[&[u8]]| hash.is_some_and(|hash| hash.contains(pair[0], now));
    let mut pairs = pairs.chunks_exact(2);
    match only {
        Only::Always => true,
        Only::IfAbsent => !pairs.any(is_there),
        Only::IfPresent => pairs.all(is_there),
    }
}

/// The names among pairs of name and value.
fn names<'a>(pairs: &[&'a [u8]]) -> Names<'a> {
    pairs.chunks_exact(2).map(|pair| pair[0]).collect()
}

/// Sets fields whose time is past already: they are gone at once. A hash that is absent stays so.
fn set_in_the_past(ctx: &mut Ctx<'_>, key: Key<'_>, pairs: &[&[u8]]) -> Result {
    let mut gone: Names<'_> = SmallVec::new();
    let edited = ctx.data.edit(key, None, |value, _, _| {
        let hash = hash_mut(value)?;
        gone.extend(names(pairs).into_iter().filter(|name| hash.take(name).is_some()));
        Ok(())
    })?;
    ctx.data.tell(key, Class::Hash, "hset");
    tell_fields(&ctx.data, key, "hset", &names(pairs));
    ctx.data.tell(key, Class::Hash, "hexpire");
    tell_fields(&ctx.data, key, "hexpire", &names(pairs));
    match edited {
        Some(((), left)) if !gone.is_empty() => {
            collection::changed(&mut ctx.data, key, left, Class::Hash, "hexpired");
            log_removal(&mut ctx.data, key, &gone);
        }
        _ => ctx.data.tell(key, Class::Hash, "hexpired"),
    }
    tell_fields(&ctx.data, key, "hexpired", &names(pairs));
    Ok(())
}

/// Sets fields, and the time at which they expire.
fn set_until(ctx: &mut Ctx<'_>, key: Key<'_>, pairs: &[&[u8]], at: Millis) -> Result {
    let now = now_ms(ctx);
    ctx.data.edit(key, Some(new_hash), |value, limits, _| {
        let hash = hash_mut(value)?;
        for pair in pairs.chunks_exact(2) {
            hash.set_keeping_expiry(limits, pair[0], pair[1], now);
            hash.set_expiry(pair[0], at.unsigned_abs());
        }
        Ok(())
    })?;
    ctx.data.changed(key, Class::Hash, "hset");
    tell_fields(&ctx.data, key, "hset", &names(pairs));
    ctx.data.tell(key, Class::Hash, "hexpire");
    tell_fields(&ctx.data, key, "hexpire", &names(pairs));
    log_values(&mut ctx.data, key, pairs);
    log_expiry(&mut ctx.data, key, at, &names(pairs));
    Ok(())
}

/// Sets fields that do not expire.
fn set_for_good(ctx: &mut Ctx<'_>, key: Key<'_>, pairs: &[&[u8]]) -> Result {
    let now = now_ms(ctx);
    ctx.data.edit(key, Some(new_hash), |value, limits, _| {
        let hash = hash_mut(value)?;
        for pair in pairs.chunks_exact(2) {
            hash.set(limits, pair[0], pair[1], now);
        }
        Ok(())
    })?;
    ctx.data.changed(key, Class::Hash, "hset");
    tell_fields(&ctx.data, key, "hset", &names(pairs));
    log_values(&mut ctx.data, key, pairs);
    Ok(())
}

/// Sets fields that keep their expiries.
fn set_keeping(ctx: &mut Ctx<'_>, key: Key<'_>, pairs: &[&[u8]]) -> Result {
    let now = now_ms(ctx);
    let mut expired: Names<'_> = SmallVec::new();
    let mut any_expires = false;
    ctx.data.edit(key, Some(new_hash), |value, limits, _| {
        let hash = hash_mut(value)?;
        for pair in pairs.chunks_exact(2) {
            match hash.view().find_any(pair[0]) {
                Some(old) if old.is_expired(now) => expired.push(pair[0]),
                Some(old) => any_expires |= old.expire_at_ms.is_some(),
                None => {}
            }
            hash.set_keeping_expiry(limits, pair[0], pair[1], now);
        }
        Ok(())
    })?;
    ctx.data.changed(key, Class::Hash, "hset");
    tell_fields(&ctx.data, key, "hset", &names(pairs));
    if !any_expires {
        log_values(&mut ctx.data, key, pairs);
        return Ok(());
    }
    if !expired.is_empty() {
        log_removal(&mut ctx.data, key, &expired);
    }
    let mut count_room = [0; I64_TEXT_MAX];
    let count = format_i64((pairs.len() / 2) as i64, &mut count_room);
    let mut effect: Names<'_> = SmallVec::new();
    effect.extend_from_slice(&[b"HSETEX", key.name, b"KEEPTTL", b"FIELDS", count]);
    effect.extend_from_slice(pairs);
    ctx.data.effect(effect.iter());
    Ok(())
}

fn hgetdel(ctx: &mut Ctx<'_>) -> Result {
    let fields = fields_at_two(ctx.args, NUMFIELDS)?;
    let (key, now) = (ctx.key(1), now_ms(ctx));
    let reply = &mut ctx.reply;
    let mut gone: Names<'_> = SmallVec::new();
    let mut expired: Names<'_> = SmallVec::new();
    let edited = ctx.data.edit(key, None, |value, _, _| {
        let hash = hash_mut(value)?;
        reply.array(fields.len());
        for &field in fields {
            match hash.view().find_any(field) {
                None => {
                    reply.null();
                    continue;
                }
                Some(found) if found.is_expired(now) => {
                    reply.null();
                    expired.push(field);
                }
                Some(found) => write_entry(reply, found.value),
            }
            hash.take(field);
            gone.push(field);
        }
        Ok(())
    })?;
    let Some(((), left)) = edited else {
        write_values(&mut ctx.reply, None, fields, now);
        return Ok(());
    };
    if gone.is_empty() {
        return Ok(());
    }
    let mut left = left;
    if gone.len() > expired.len() {
        collection::changed(&mut ctx.data, key, left, Class::Hash, "hdel");
        let deleted = gone.iter().copied().filter(|field| !expired.contains(field));
        ctx.data.tell_parts(key, Class::Hash, "hdel", deleted);
        left = Left::Changed;
    }
    if !expired.is_empty() {
        note_expired(&mut ctx.data, key, left, &expired);
    }
    log_removal(&mut ctx.data, key, &gone);
    Ok(())
}
