//! Changing a part of a string: APPEND, SETRANGE.
//!
//! A large string grows in place, with room to spare so that repeated appends are amortised O(1); a
//! small one is put together anew in its entry. Either is `raw` from then on.

use std::sync::Arc;

use ochre_base::num::I64_TEXT_MAX;
use ochre_command::args::int;
use ochre_command::data::Class;
use ochre_command::outcome::{self, ReplyError, Result};
use ochre_command::spec::{CommandSpec, Flags, Group, KeyFlags, KeySpec};
use ochre_command::{Ctx, Key};
use ochre_keyspace::db::{INLINE_STRING_MAX, NewValue};
use ochre_types::table::Slot;
use ochre_types::value::Value;
use smallvec::SmallVec;

use super::{bytes, length};

/// Most bytes that a large string gets in advance.
const SPARE_MAX: usize = 1 << 20;

/// The rows of this file.
pub const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new(
        "append",
        3,
        Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
        Group::String,
        append,
    )
    .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))])
    .docs(
        "2.0.0",
        "Appends to the string under a key; an absent key counts as empty.",
        "O(1), amortised, for short additions.",
        "key value",
    ),
    CommandSpec::new("setrange", 4, Flags::WRITE.union(Flags::DENYOOM), Group::String, setrange)
        .keys(&[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))])
        .docs(
            "2.2.0",
            "Overwrites a part of a string from an offset on, padding it with zero bytes.",
            "O(M) where M is the length of the value.",
            "key offset value",
        ),
];

fn append(ctx: &mut Ctx<'_>) -> Result {
    let (key, tail) = (ctx.key(1), ctx.args[2]);
    let len = match ctx.data.find(key) {
        None => {
            ctx.data.put(key, None, NewValue::Text(tail), None);
            tail.len()
        }
        Some(slot) => {
            let len = length(ctx.data.text_at(key, slot)?);
            let end = within_limit(ctx, len, tail.len())?;
            overwrite(ctx, key, slot, len, tail)?;
            end
        }
    };
    ctx.data.changed(key, Class::String, "append");
    ctx.reply.integer(len as i64);
    Ok(())
}

fn setrange(ctx: &mut Ctx<'_>) -> Result {
    const BAD_OFFSET: ReplyError = ReplyError::fixed("ERR offset is out of range");
    let offset = int(ctx.args[2])?;
    let offset = usize::try_from(offset).map_err(|_| BAD_OFFSET)?;
    let (key, part) = (ctx.key(1), ctx.args[3]);
    let slot = ctx.data.find(key);
    let len = match slot {
        None => 0,
        Some(slot) => length(ctx.data.text_at(key, slot)?),
    };
    if part.is_empty() {
        ctx.reply.integer(len as i64);
        return Ok(());
    }
    let end = within_limit(ctx, offset, part.len())?;
    match slot {
        Some(slot) => overwrite(ctx, key, slot, offset, part)?,
        None => {
            let mut text = vec![0; end];
            text[offset..].copy_from_slice(part);
            put_raw(ctx, key, None, text);
        }
    }
    ctx.data.changed(key, Class::String, "setrange");
    ctx.reply.integer(len.max(end) as i64);
    Ok(())
}

/// The end of `len` bytes at `at`, unless a string cannot be so long.
fn within_limit(ctx: &Ctx<'_>, at: usize, len: usize) -> Result<usize> {
    at.checked_add(len)
        .filter(|end| *end <= ctx.data.env.string_max)
        .ok_or(outcome::STRING_TOO_LONG)
}

/// Writes `part` at `offset` of the string at `slot`, which grows as far as it must.
fn overwrite(ctx: &mut Ctx<'_>, key: Key<'_>, slot: Slot, offset: usize, part: &[u8]) -> Result {
    let end = offset + part.len();
    ctx.data.touch(key, slot);
    let db = ctx.data.db_mut(key);
    if let Some(large) = db.blob_mut(slot) {
        if large.capacity() < end {
            large.reserve_exact(end - large.len() + end.min(SPARE_MAX));
        }
        if large.len() < end {
            large.resize(end, 0);
        }
        large[offset..end].copy_from_slice(part);
        return Ok(());
    }
    if let Some(small) = db.inline_text_mut(slot).and_then(|text| text.get_mut(offset..end)) {
        small.copy_from_slice(part);
        return Ok(());
    }
    let mut room = [0; I64_TEXT_MAX];
    let old = bytes(ctx.data.text_at(key, slot)?, &mut room);
    let len = old.len().max(end);
    if len <= INLINE_STRING_MAX {
        let mut text: SmallVec<[u8; INLINE_STRING_MAX]> = SmallVec::from_slice(old);
        text.resize(len, 0);
        text[offset..end].copy_from_slice(part);
        let expiry = ctx.data.expiry_at(key, slot);
        ctx.data.put(key, Some(slot), NewValue::Raw(&text), expiry);
    } else {
        let mut text = Vec::with_capacity(len);
        text.extend_from_slice(old);
        text.resize(len, 0);
        text[offset..end].copy_from_slice(part);
        put_raw(ctx, key, Some(slot), text);
    }
    Ok(())
}

/// Stores a string that is reported as `raw`, without a copy if it is large.
fn put_raw(ctx: &mut Ctx<'_>, key: Key<'_>, slot: Option<Slot>, text: Vec<u8>) {
    let expiry = slot.and_then(|slot| ctx.data.expiry_at(key, slot));
    let value = NewValue::Whole(Value::Str(Arc::new(text)));
    ctx.data.put(key, slot, value, expiry);
}

#[cfg(test)]
mod tests {
    use crate::testing::Bench;

    #[test]
    fn append_grows_every_form() {
        let mut bench = Bench::new();
        assert_eq!(bench.run("APPEND k 12"), ":2|");
        assert_eq!(bench.run("OBJECT ENCODING k"), "$3|int|");
        assert_eq!(bench.run("APPEND k 34"), ":4|");
        assert_eq!(bench.run("OBJECT ENCODING k"), "$3|raw|");
        assert_eq!(bench.run("GET k"), "$4|1234|");
        bench.run("PEXPIREAT k 1700000009000");
        let part = [b'x'; 700];
        let mut expected = b"1234".to_vec();
        for round in 1..=40usize {
            expected.extend_from_slice(&part);
            let reply = bench.run_args(&[b"APPEND", b"k", &part]);
            assert_eq!(reply, format!(":{}|", 4 + 700 * round));
        }
        let text = String::from_utf8(expected).unwrap();
        assert_eq!(bench.run("GET k"), format!("$28004|{text}|"));
        assert_eq!(bench.run("TTL k"), ":9|");
        assert_eq!(bench.run("APPEND empty ''"), ":0|");
        assert_eq!(bench.run("EXISTS empty"), ":1|");
        bench.run("ZADD z 1 a");
        assert!(bench.run("APPEND z a").starts_with("-WRONGTYPE"));
    }

    #[test]
    fn setrange_overwrites_and_pads() {
        let mut bench = Bench::new();
        bench.run("SET k Hello_World");
        assert_eq!(bench.run("SETRANGE k 6 Redis"), ":11|");
        assert_eq!(bench.run("GET k"), "$11|Hello_Redis|");
        assert_eq!(bench.run("SETRANGE k 0 ''"), ":11|");
        assert_eq!(bench.run("SETRANGE none 5 ''"), ":0|");
        assert_eq!(bench.run("EXISTS none"), ":0|");
        assert_eq!(bench.run("SETRANGE p 3 ab"), ":5|");
        assert_eq!(bench.run("GET p"), "$5|\0\0\0ab|");
        bench.run("SET n 12345");
        assert_eq!(bench.run("SETRANGE n 1 00"), ":5|");
        assert_eq!(bench.run("INCR n"), ":10046|");
        assert_eq!(
            bench.log_text(),
            "SELECT 0; SET k Hello_World; SETRANGE k 6 Redis; SETRANGE p 3 ab; SET n 12345; \
             SETRANGE n 1 00; INCR n"
        );
    }

    #[test]
    fn setrange_of_a_large_string() {
        let mut bench = Bench::new();
        assert_eq!(bench.run("SETRANGE k 3000 ab"), ":3002|");
        assert_eq!(bench.run("SETRANGE k 1 ab"), ":3002|");
        assert_eq!(bench.run("SETRANGE k 3001 cd"), ":3003|");
        assert_eq!(bench.run("GETRANGE k 0 3"), "$4|\0ab\0|");
        assert_eq!(bench.run("GETRANGE k 2999 -1"), "$4|\0acd|");
        bench.run("COPY k copy");
        bench.run("SETRANGE k 0 zz");
        assert_eq!(bench.run("GETRANGE copy 0 1"), "$2|\0a|");
        bench.run("SET s abc");
        assert_eq!(bench.run("SETRANGE s 2000 x"), ":2001|");
        assert_eq!(bench.run("GETRANGE s 0 2"), "$3|abc|");
    }

    #[test]
    fn limits() {
        let mut bench = Bench::new();
        let too_long = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)|";
        bench.run("SET k v");
        assert_eq!(bench.run("SETRANGE k 536870912 x"), too_long);
        assert_eq!(bench.run("SETRANGE k 9223372036854775807 x"), too_long);
        assert_eq!(bench.run("SETRANGE k 9223372036854775807 ''"), ":1|");
        assert_eq!(bench.run("SETRANGE k -1 x"), "-ERR offset is out of range|");
        assert_eq!(bench.run("SETRANGE k x x"), "-ERR value is not an integer or out of range|");
        bench.run("ZADD z 1 a");
        assert_eq!(bench.run("SETRANGE z -1 x"), "-ERR offset is out of range|");
        assert!(bench.run("SETRANGE z 0 ''").starts_with("-WRONGTYPE"));
    }
}
