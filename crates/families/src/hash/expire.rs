//! Expiries of fields: HEXPIRE, HPEXPIRE, HEXPIREAT, HPEXPIREAT, HTTL, HPTTL, HEXPIRETIME,
//! HPEXPIRETIME, HPERSIST.
//!
//! Each answers an array with one number for each field:
//!
//! ```text
//! set       1 set   0 refused by NX, XX, GT or LT   2 removed, its time being past   -2 absent
//! ask       the time   -1 no expiry   -2 absent
//! persist   1 done     -1 no expiry   -2 absent
//! ```
//!
//! A time is absolute once it is parsed, and what is logged is absolute: HPEXPIREAT for fields that
//! will expire, HDEL for those whose time had passed already. Times beyond
//! [`EXPIRE_AT_MS_MAX`] (the year 10889) are refused.

use ochre_base::clock::Millis;
use ochre_base::num::{I64_TEXT_MAX, format_i64};
use ochre_command::args;
use ochre_command::data::{Class, Data};
use ochre_command::outcome::{self, ReplyError, Result};
use ochre_command::spec::{CommandSpec, Group, Handler, KeySpec};
use ochre_command::{Ctx, Key};
use ochre_types::hash::{EXPIRE_AT_MS_MAX, Field};
use smallvec::SmallVec;

use super::{
    Names, READ_FAST, READS, UPDATES, WRITE_FAST, hash_mut, log_removal, now_ms, read_hash,
    tell_fields,
};
use crate::collection;

const PER_FIELD: &str = "O(N) for N fields";

const UPDATED: &[KeySpec] = &[KeySpec::one(1, UPDATES)];
const READ: &[KeySpec] = &[KeySpec::one(1, READS)];

const fn setter(name: &'static str, handler: Handler) -> CommandSpec {
    CommandSpec::new(name, -6, WRITE_FAST, Group::Hash, handler).keys(UPDATED)
}

const fn asker(name: &'static str, handler: Handler) -> CommandSpec {
    CommandSpec::new(name, -5, READ_FAST, Group::Hash, handler).keys(READ)
}

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    setter("hexpire", hexpire).docs(
        "7.4.0",
        "Lets fields of a hash expire after some seconds.",
        PER_FIELD,
        "key seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
    ),
    setter("hpexpire", hpexpire).docs(
        "7.4.0",
        "Lets fields of a hash expire after some milliseconds.",
        PER_FIELD,
        "key milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
    ),
    setter("hexpireat", hexpireat).docs(
        "7.4.0",
        "Lets fields of a hash expire at a Unix time in seconds.",
        PER_FIELD,
        "key unix-time-seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
    ),
    setter("hpexpireat", hpexpireat).docs(
        "7.4.0",
        "Lets fields of a hash expire at a Unix time in milliseconds.",
        PER_FIELD,
        "key unix-time-milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
    ),
    asker("httl", httl).docs(
        "7.4.0",
        "Returns in how many seconds fields of a hash expire.",
        PER_FIELD,
        "key FIELDS numfields field [field ...]",
    ),
    asker("hpttl", hpttl).docs(
        "7.4.0",
        "Returns in how many milliseconds fields of a hash expire.",
        PER_FIELD,
        "key FIELDS numfields field [field ...]",
    ),
    asker("hexpiretime", hexpiretime).docs(
        "7.4.0",
        "Returns the Unix times in seconds at which fields of a hash expire.",
        PER_FIELD,
        "key FIELDS numfields field [field ...]",
    ),
    asker("hpexpiretime", hpexpiretime).docs(
        "7.4.0",
        "Returns the Unix times in milliseconds at which fields of a hash expire.",
        PER_FIELD,
        "key FIELDS numfields field [field ...]",
    ),
    CommandSpec::new("hpersist", -5, WRITE_FAST, Group::Hash, hpersist).keys(UPDATED).docs(
        "7.4.0",
        "Lets fields of a hash no longer expire.",
        PER_FIELD,
        "key FIELDS numfields field [field ...]",
    ),
];

/// A number of fields that does not fit the arguments.
pub(super) const NUMFIELDS: ReplyError = ReplyError::fixed(
    "ERR numfields should be greater than 0 and match the provided number of fields",
);

/// Where a command's fields begin: the position of the word FIELDS, looked for from `from` on.
pub(super) fn fields_word(args: &[&[u8]], from: usize) -> Result<usize> {
    (from..args.len()).find(|&at| args::is(args[at], "fields")).ok_or(NUMFIELDS)
}

/// The arguments behind FIELDS and its number, which must be so many groups of `each`. `mismatch` is
/// the error when they are not.
pub(super) fn fields_after<'a>(
    args: &'a [&'a [u8]],
    word_at: usize,
    each: usize,
    mismatch: ReplyError,
) -> Result<&'a [&'a [u8]]> {
    let Some((number, fields)) = args.get(word_at + 1..).and_then(<[_]>::split_first) else {
        return Err(mismatch);
    };
    let number = args::int(number)?;
    let fits = number > 0
        && usize::try_from(number)
            .ok()
            .and_then(|number| number.checked_mul(each))
            .is_some_and(|number| number == fields.len());
    if fits { Ok(fields) } else { Err(mismatch) }
}

/// The fields of a command that has FIELDS at argument 2.
pub(super) fn fields_at_two<'a>(
    args: &'a [&'a [u8]],
    mismatch: ReplyError,
) -> Result<&'a [&'a [u8]]> {
    if !args::is(args[2], "fields") {
        return Err(outcome::SYNTAX);
    }
    fields_after(args, 2, 1, mismatch)
}

/// How a command gives a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeForm {
    /// Milliseconds in one unit.
    pub(super) unit_ms: i64,
    /// It counts from now on.
    pub(super) relative: bool,
}

impl TimeForm {
    /// Seconds from now.
    pub(super) const EX: Self = Self::new(1000, true);
    /// Milliseconds from now.
    pub(super) const PX: Self = Self::new(1, true);
    /// Unix time in seconds.
    pub(super) const EXAT: Self = Self::new(1000, false);
    /// Unix time in milliseconds.
    pub(super) const PXAT: Self = Self::new(1, false);

    const fn new(unit_ms: i64, relative: bool) -> Self {
        Self { unit_ms, relative }
    }

    /// Reads a time, as absolute milliseconds. `name` is the command's.
    pub(super) fn parse(self, arg: &[u8], now_ms: Millis, name: &str) -> Result<Millis> {
        let bad = || outcome::bad_expiry(name);
        let time = args::int(arg)?;
        if time < 0 {
            return Err(bad());
        }
        let base = if self.relative { now_ms } else { 0 };
        time.checked_mul(self.unit_ms)
            .and_then(|ms| ms.checked_add(base))
            .filter(|&at| at <= EXPIRE_AT_MS_MAX as Millis)
            .ok_or_else(bad)
    }
}

/// NX, XX, GT and LT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Condition {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Condition {
    fn parse(words: &[&[u8]]) -> Result<Self> {
        const NX_AND_OTHERS: ReplyError = ReplyError::fixed(
            "ERR NX and XX, GT or LT options at the same time are not compatible",
        );
        const GT_AND_LT: ReplyError =
            ReplyError::fixed("ERR GT and LT options at the same time are not compatible");
        let mut parsed = Self::default();
        for word in words {
            let flag = match () {
                () if args::is(word, "nx") => &mut parsed.nx,
                () if args::is(word, "xx") => &mut parsed.xx,
                () if args::is(word, "gt") => &mut parsed.gt,
                () if args::is(word, "lt") => &mut parsed.lt,
                () => {
                    let word = String::from_utf8_lossy(word);
                    return Err(ReplyError::new(format!("ERR Unsupported option {word}")));
                }
            };
            *flag = true;
        }
        if parsed.nx && (parsed.xx || parsed.gt || parsed.lt) {
            return Err(NX_AND_OTHERS);
        }
        if parsed.gt && parsed.lt {
            return Err(GT_AND_LT);
        }
        Ok(parsed)
    }

    /// Whether a field that has the expiry `old` may get the expiry `at`. No expiry is later than any.
    fn allows(self, old: Option<u64>, at: u64) -> bool {
        !(self.nx && old.is_some()
            || self.xx && old.is_none()
            || self.gt && old.is_none_or(|old| at <= old)
            || self.lt && old.is_some_and(|old| at >= old))
    }
}

fn hexpire(ctx: &mut Ctx<'_>) -> Result {
    set_expiries(ctx, TimeForm::EX)
}

fn hpexpire(ctx: &mut Ctx<'_>) -> Result {
    set_expiries(ctx, TimeForm::PX)
}

fn hexpireat(ctx: &mut Ctx<'_>) -> Result {
    set_expiries(ctx, TimeForm::EXAT)
}

fn hpexpireat(ctx: &mut Ctx<'_>) -> Result {
    set_expiries(ctx, TimeForm::PXAT)
}

fn set_expiries(ctx: &mut Ctx<'_>, form: TimeForm) -> Result {
    let word_at = fields_word(ctx.args, 3)?;
    let condition = Condition::parse(&ctx.args[3..word_at])?;
    let fields = fields_after(ctx.args, word_at, 1, NUMFIELDS)?;
    let moment = ctx.now().unix_ms;
    let at = form.parse(ctx.arg(2), moment, ctx.name())?;
    let is_past = at <= ctx.expiry_now();
    let (key, now) = (ctx.key(1), now_ms(ctx));

    let reply = &mut ctx.reply;
    let mut touched: Names<'_> = SmallVec::new();
    let edited = ctx.data.edit(key, None, |value, _, _| {
        let hash = hash_mut(value)?;
        reply.array(fields.len());
        for &field in fields {
            let Some(old) = hash.view().find(field, now) else {
                reply.integer(-2);
                continue;
            };
            if !condition.allows(old.expire_at_ms, at.unsigned_abs()) {
                reply.integer(0);
                continue;
            }
            if is_past {
                hash.take(field);
            } else {
                hash.set_expiry(field, at.unsigned_abs());
            }
            reply.integer(if is_past { 2 } else { 1 });
            touched.push(field);
        }
        Ok(())
    })?;
    let Some(((), left)) = edited else {
        write_all(ctx, fields.len(), -2);
        return Ok(());
    };
    if touched.is_empty() {
        return Ok(());
    }
    if is_past {
        collection::changed(&mut ctx.data, key, left, Class::Hash, "hexpired");
        tell_fields(&ctx.data, key, "hexpired", &touched);
        log_removal(&mut ctx.data, key, &touched);
    } else {
        ctx.data.changed(key, Class::Hash, "hexpire");
        tell_fields(&ctx.data, key, "hexpire", &touched);
        log_expiry(&mut ctx.data, key, at, &touched);
    }
    Ok(())
}

/// Answers the same number for each field.
fn write_all(ctx: &mut Ctx<'_>, fields: usize, number: i64) {
    ctx.reply.array(fields);
    for _ in 0..fields {
        ctx.reply.integer(number);
    }
}

/// Logs that fields expire at a time.
pub(super) fn log_expiry(data: &mut Data<'_>, key: Key<'_>, at: Millis, fields: &[&[u8]]) {
    let (mut at_room, mut count_room) = ([0; I64_TEXT_MAX], [0; I64_TEXT_MAX]);
    let at = format_i64(at, &mut at_room);
    let count = format_i64(fields.len() as i64, &mut count_room);
    let mut effect: Names<'_> = SmallVec::new();
    effect.extend_from_slice(&[b"HPEXPIREAT", key.name, at, b"FIELDS", count]);
    effect.extend_from_slice(fields);
    data.effect(effect.iter());
}

/// Logs that fields no longer expire.
pub(super) fn log_persist(data: &mut Data<'_>, key: Key<'_>, fields: &[&[u8]]) {
    let mut count_room = [0; I64_TEXT_MAX];
    let count = format_i64(fields.len() as i64, &mut count_room);
    let mut effect: Names<'_> = SmallVec::new();
    effect.extend_from_slice(&[b"HPERSIST", key.name, b"FIELDS", count]);
    effect.extend_from_slice(fields);
    data.effect(effect.iter());
}

fn httl(ctx: &mut Ctx<'_>) -> Result {
    let now = ctx.now().unix_ms;
    // Half a second more, so that the answer is the nearest number of seconds.
    ask(ctx, |at| (at - now + 500) / 1000)
}

fn hpttl(ctx: &mut Ctx<'_>) -> Result {
    let now = ctx.now().unix_ms;
    ask(ctx, |at| at - now)
}

fn hexpiretime(ctx: &mut Ctx<'_>) -> Result {
    ask(ctx, |at| (at + 500) / 1000)
}

fn hpexpiretime(ctx: &mut Ctx<'_>) -> Result {
    ask(ctx, |at| at)
}

/// Answers what `say` makes of each field's expiry.
fn ask(ctx: &mut Ctx<'_>, say: impl Fn(Millis) -> i64) -> Result {
    let fields = fields_at_two(ctx.args, outcome::SYNTAX)?;
    let (key, now) = (ctx.key(1), now_ms(ctx));
    let hash = read_hash(&mut ctx.data, key)?;
    ctx.reply.array(fields.len());
    for field in fields {
        let found = hash.and_then(|hash| hash.find(field, now));
        ctx.reply.integer(match found {
            None => -2,
            Some(Field { expire_at_ms: None, .. }) => -1,
            Some(Field { expire_at_ms: Some(at), .. }) => say(at as Millis),
        });
    }
    Ok(())
}

fn hpersist(ctx: &mut Ctx<'_>) -> Result {
    let fields = fields_at_two(ctx.args, NUMFIELDS)?;
    let (key, now) = (ctx.key(1), now_ms(ctx));
    let reply = &mut ctx.reply;
    let mut touched: Names<'_> = SmallVec::new();
    let edited = ctx.data.edit(key, None, |value, _, _| {
        let hash = hash_mut(value)?;
        reply.array(fields.len());
        for &field in fields {
            if !hash.view().contains(field, now) {
                reply.integer(-2);
            } else if hash.persist(field) {
                reply.integer(1);
                touched.push(field);
            } else {
                reply.integer(-1);
            }
        }
        Ok(())
    })?;
    if edited.is_none() {
        write_all(ctx, fields.len(), -2);
    } else if !touched.is_empty() {
        ctx.data.changed(key, Class::Hash, "hpersist");
        tell_fields(&ctx.data, key, "hpersist", &touched);
        log_persist(&mut ctx.data, key, &touched);
    }
    Ok(())
}
