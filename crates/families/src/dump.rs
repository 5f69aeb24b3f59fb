//! DUMP and RESTORE: a value as bytes that another server, or this one later, can take in.
//!
//! The bytes are those of the RDB format (see `ochre_rdb`), in the dialect of the server that `compat`
//! names. What RESTORE is given is checked whole before anything is touched. It is logged with its
//! expiry as a moment (ABSTTL), so that replaying it later gives the same; a payload whose moment has
//! passed makes no key, and deletes the one that is there under REPLACE.

use std::sync::Arc;

use ochre_base::num::{I64_TEXT_MAX, format_i64};
use ochre_command::Ctx;
use ochre_command::args::{Cursor, int};
use ochre_command::data::{Class, Env};
use ochre_command::outcome::{self, ReplyError, Result};
use ochre_command::spec::{Categories, CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_keyspace::db::{INLINE_STRING_MAX, NewValue, Stored};
use ochre_keyspace::entry::Kind;
use ochre_rdb::dump::RestoreError;
use ochre_rdb::{Dialect, LoadedValue, ValueRef};
use ochre_types::hash::HashRef;
use ochre_types::list::ListRef;
use ochre_types::set::SetRef;
use ochre_types::value::Value;
use ochre_types::zset::ZsetRef;

const BUSY_KEY: ReplyError = ReplyError::fixed("BUSYKEY Target key name already exists.");
const BAD_TTL: ReplyError = ReplyError::fixed("ERR Invalid TTL value, must be >= 0");
const BAD_IDLE: ReplyError = ReplyError::fixed("ERR Invalid IDLETIME value, must be >= 0");
const BAD_FREQUENCY: ReplyError =
    ReplyError::fixed("ERR Invalid FREQ value, must be >= 0 and <= 255");
const BAD_FOOTER: ReplyError = ReplyError::fixed("ERR DUMP payload version or checksum are wrong");
const BAD_VALUE: ReplyError = ReplyError::fixed("ERR Bad data format");

const RESTORES: Flags = Flags::WRITE.union(Flags::DENYOOM);
const TARGET: KeySpec = KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE));
const RESTORE_COMPLEXITY: &str = "O(1) to create the new key and additional O(N*M) to reconstruct \
     the serialized value, where N is the number of objects composing the value and M their average \
     size; O(N*M*log(N)) for sorted sets.";
const RESTORE_SYNTAX: &str =
    "key ttl serialized-value [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]";

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("dump", 2, Flags::READONLY, Group::Generic, dump)
        .keys(&[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))])
        .tips(&["nondeterministic_output"])
        .docs(
            "2.6.0",
            "Gives the value under a key as bytes for RESTORE.",
            "O(1) to access the key and additional O(N*M) to serialize it, where N is the number of \
             objects composing the value and M their average size.",
            "key",
        ),
    CommandSpec::new("restore", -4, RESTORES, Group::Generic, restore)
        .keys(&[TARGET])
        .also(Categories::DANGEROUS)
        .docs("2.6.0", "Makes a key from bytes of DUMP.", RESTORE_COMPLEXITY, RESTORE_SYNTAX),
    CommandSpec::new(
        "restore-asking",
        -4,
        RESTORES.union(Flags::ASKING),
        Group::Server,
        restore,
    )
    .keys(&[TARGET])
    .also(Categories::KEYSPACE.union(Categories::DANGEROUS))
    .docs(
        "3.0.0",
        "Makes a key of a slot that is coming in, for servers that move one.",
        RESTORE_COMPLEXITY,
        RESTORE_SYNTAX,
    ),
];

/// What lies under a key, as it is to be saved.
pub fn value_ref<'a>(stored: &Stored<'a>) -> ValueRef<'a> {
    let (kind, bytes) = match *stored {
        Stored::Object(value) => return ValueRef::from(value),
        Stored::Inline(kind, bytes) => (kind, bytes),
    };
    match kind {
        Kind::Bytes | Kind::RawBytes | Kind::Object => ValueRef::Text(bytes),
        Kind::Int => ValueRef::Int(integer(bytes)),
        Kind::List => ValueRef::List(ListRef::Packed(bytes)),
        Kind::Hash => ValueRef::Hash(HashRef::Packed(bytes)),
        Kind::HashEx => ValueRef::Hash(HashRef::PackedEx(bytes)),
        Kind::Ints => ValueRef::Set(SetRef::Ints(bytes)),
        Kind::Set => ValueRef::Set(SetRef::Packed(bytes)),
        Kind::Zset => ValueRef::Zset(ZsetRef::Packed(bytes)),
    }
}

/// An entry's integer: 1 to 8 bytes, low byte first.
fn integer(bytes: &[u8]) -> i64 {
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut wide = [if negative { 0xFF } else { 0 }; 8];
    let len = bytes.len().min(8);
    wide[..len].copy_from_slice(&bytes[..len]);
    i64::from_le_bytes(wide)
}

/// In which server's form a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// That of the server that `compat` names.
    Own,
    /// That of Redis 7.0, which all later ones read too.
    Oldest,
}

/// What DUMP answers for a value, compressed as `rdbcompression` has it.
pub fn payload(stored: &Stored<'_>, env: &Env<'_>, form: Form) -> Vec<u8> {
    let dialect = match form {
        Form::Own => Dialect::of(env.compat),
        Form::Oldest => Dialect::REDIS_7_0,
    };
    ochre_rdb::dump(value_ref(stored), &dialect.compress(env.compress))
}

/// A loaded value as it is to be put under a key; `text` keeps a short string meanwhile.
pub fn new_value(value: LoadedValue, text: &mut Vec<u8>) -> NewValue<'_> {
    match value {
        LoadedValue::Int(n) => NewValue::Int(n),
        LoadedValue::Text(bytes) if bytes.len() > INLINE_STRING_MAX => {
            NewValue::Whole(Value::Str(Arc::new(bytes)))
        }
        LoadedValue::Text(bytes) => {
            *text = bytes;
            NewValue::Text(text)
        }
        LoadedValue::Whole(value) => NewValue::Whole(value),
    }
}

fn dump(ctx: &mut Ctx<'_>) -> Result {
    let key = ctx.key(1);
    let env = ctx.data.env;
    match ctx.data.stored(key) {
        Some(stored) => ctx.reply.bulk(payload(&stored, env, Form::Own)),
        None => ctx.reply.null(),
    }
    Ok(())
}

/// RESTORE's options.
#[derive(Clone, Copy, Default)]
struct Options {
    replace: bool,
    absolute: bool,
    idle_s: Option<u64>,
    frequency: Option<u8>,
}

impl Options {
    fn parse(args: &[&[u8]]) -> Result<Self> {
        let mut given = Self::default();
        let mut cursor = Cursor::new(args, 4);
        while cursor.left() > 0 {
            let has_value = cursor.left() > 1;
            if cursor.take("replace") {
                given.replace = true;
            } else if cursor.take("absttl") {
                given.absolute = true;
            } else if has_value && given.frequency.is_none() && cursor.take("idletime") {
                given.idle_s = Some(u64::try_from(cursor.need_int()?).map_err(|_| BAD_IDLE)?);
            } else if has_value && given.idle_s.is_none() && cursor.take("freq") {
                let frequency = u8::try_from(cursor.need_int()?).map_err(|_| BAD_FREQUENCY)?;
                given.frequency = Some(frequency);
            } else {
                return Err(outcome::SYNTAX);
            }
        }
        Ok(given)
    }

    /// The access clock that is asked for, as far as the policy keeps one.
    fn access(self, clock: &ochre_keyspace::evict::AccessClock) -> Option<u32> {
        if clock.lfu {
            return self.frequency.map(|frequency| clock.with_frequency(frequency));
        }
        let idle_s = self.idle_s?;
        Some(clock.idle_since(u32::try_from(idle_s).unwrap_or(u32::MAX)))
    }
}

fn restore(ctx: &mut Ctx<'_>) -> Result {
    let given = Options::parse(ctx.args)?;
    let (key, now_ms) = (ctx.key(1), ctx.now().unix_ms);
    let is_there = ctx.data.find(key).is_some();
    if is_there && !given.replace {
        return Err(BUSY_KEY);
    }
    let ttl = int(ctx.args[2])?;
    if ttl < 0 {
        return Err(BAD_TTL);
    }
    let listener = ctx.data.env.listener;
    let restore = match listener.skips_checksums() {
        true => ochre_rdb::dump::restore_unchecked,
        false => ochre_rdb::restore,
    };
    let payload = ctx.args[3];
    let value = restore(payload, ctx.data.env.limits).map_err(|error| {
        let RestoreError::Value(why) = error else { return BAD_FOOTER };
        let name = ochre_rdb::dump::kind_name(payload);
        listener.report(&format!("{name} integrity check failed in RESTORE: {why}"));
        BAD_VALUE
    })?;
    let expiry = match (ttl, given.absolute) {
        (0, _) => None,
        (at, true) => Some(at),
        (ttl, false) => Some(now_ms.saturating_add(ttl)),
    };
    ctx.data.delete(key);
    if expiry.is_some_and(|at| at <= ctx.expiry_now()) {
        if is_there {
            ctx.data.changed(key, Class::Generic, "del");
            ctx.data.effect([b"DEL", key.name].into_iter());
        }
        ctx.reply.ok();
        return Ok(());
    }
    let mut text = Vec::new();
    ctx.data.put(key, None, new_value(value, &mut text), expiry);
    if let Some(access) = given.access(&ctx.data.env.clock)
        && let Some(slot) = ctx.data.find(key)
    {
        ctx.data.db_mut(key).set_access(slot, access);
    }
    ctx.data.changed(key, Class::Generic, "restore");
    log_as(ctx, expiry.filter(|_| !given.absolute));
    ctx.reply.ok();
    Ok(())
}

/// Logs the command as it came, or, when its expiry is relative, with the moment that it is at.
fn log_as(ctx: &mut Ctx<'_>, moment: Option<i64>) {
    let mut room = [0; I64_TEXT_MAX];
    let mut args = ctx.args.to_vec();
    args[0] = b"RESTORE";
    if let Some(at) = moment {
        args[2] = format_i64(at, &mut room);
        args.push(b"ABSTTL");
    }
    ctx.data.effect(args.into_iter());
}

#[cfg(test)]
#[path = "dump_tests.rs"]
mod tests;
