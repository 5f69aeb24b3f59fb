//! Bitmap commands: single bits, counts and searches ([`bits`]), combinations ([`combine`]) and integers
//! of any width ([`field`]), all on the bytes of a string.
//!
//! A write edits the string where it lies, as APPEND and SETRANGE do: a large one in place with room to
//! spare, a small one in its entry. Whatever was written to is `raw` from then on.
//!
//! Source: documentation of the bitmap commands of Redis 8.2; texts and order of checks as
//! redis-server 7.0.15, and as valkey-server 9.1 where that checks more before it looks at the key.

use std::sync::Arc;

use ochre_base::clock::Millis;
use ochre_base::num::{I64_TEXT_MAX, format_i64, parse_i64};
use ochre_command::outcome::{ReplyError, Result};
use ochre_command::{Ctx, Data, Key};
use ochre_keyspace::db::{INLINE_STRING_MAX, NewValue, Text};
use ochre_types::table::Slot;
use ochre_types::value::Value;
use smallvec::SmallVec;

pub mod bits;
pub mod combine;
pub mod field;

/// A position of a bit that is no number, or beyond the longest string.
const BAD_OFFSET: ReplyError =
    ReplyError::fixed("ERR bit offset is not an integer or out of range");
/// Most bytes that a large string gets in advance.
const SPARE_MAX: usize = 1 << 20;

/// The bytes of a string; `room` is where an integer's text goes.
#[inline]
pub(crate) fn text_bytes<'a>(text: Text<'a>, room: &'a mut [u8; I64_TEXT_MAX]) -> &'a [u8] {
    match text {
        Text::Bytes(bytes) => bytes,
        Text::Int(n) => format_i64(n, room),
        Text::Blob(blob) => blob,
    }
}

/// A position of a bit, within the longest string.
#[inline]
fn bit_offset(ctx: &Ctx<'_>, arg: &[u8]) -> Result<u64> {
    scaled_offset(ctx, arg, 1)
}

/// The same in units of `scale` bits.
fn scaled_offset(ctx: &Ctx<'_>, arg: &[u8], scale: u64) -> Result<u64> {
    let at = parse_i64(arg).and_then(|at| u64::try_from(at).ok());
    let at = at.and_then(|at| at.checked_mul(scale)).filter(|at| i64::try_from(*at).is_ok());
    at.filter(|at| at / 8 < ctx.data.env.string_max as u64).ok_or(BAD_OFFSET)
}

/// Lends the bytes of a string out for changes, made at least `len` long with zeros behind; an absent
/// key becomes such a string. The key holds a string, which the caller has looked up.
pub(crate) fn lend_bytes<R>(
    data: &mut Data<'_>,
    key: Key<'_>,
    slot: Option<Slot>,
    len: usize,
    change: impl FnOnce(&mut [u8]) -> R,
) -> Result<R> {
    let Some(slot) = slot else {
        return Ok(make(data, key, None, &[], len, change));
    };
    data.touch(key, slot);
    let db = data.db_mut(key);
    if let Some(large) = db.blob_mut(slot) {
        if large.capacity() < len {
            large.reserve_exact(len - large.len() + len.min(SPARE_MAX));
        }
        if large.len() < len {
            large.resize(len, 0);
        }
        return Ok(change(large));
    }
    if let Some(small) = db.inline_text_mut(slot)
        && small.len() >= len
    {
        return Ok(change(small));
    }
    let mut room = [0; I64_TEXT_MAX];
    let old = text_bytes(data.text_at(key, slot)?, &mut room);
    let old: SmallVec<[u8; INLINE_STRING_MAX]> = SmallVec::from_slice(old);
    Ok(make(data, key, Some(slot), &old, len, change))
}

/// Stores a string put together from an old one.
fn make<R>(
    data: &mut Data<'_>,
    key: Key<'_>,
    slot: Option<Slot>,
    old: &[u8],
    len: usize,
    change: impl FnOnce(&mut [u8]) -> R,
) -> R {
    let len = len.max(old.len());
    if len <= INLINE_STRING_MAX {
        let mut text: SmallVec<[u8; INLINE_STRING_MAX]> = SmallVec::from_slice(old);
        text.resize(len, 0);
        let result = change(&mut text);
        let expiry = slot.and_then(|slot| data.expiry_at(key, slot));
        data.put(key, slot, NewValue::Raw(&text), expiry);
        return result;
    }
    let mut text = vec![0; len];
    text[..old.len()].copy_from_slice(old);
    let result = change(&mut text);
    let expiry = slot.and_then(|slot| data.expiry_at(key, slot));
    put_raw(data, key, slot, text, expiry);
    result
}

/// Stores a string that is reported as `raw`, without a copy if it is large.
pub(crate) fn put_raw(
    data: &mut Data<'_>,
    key: Key<'_>,
    slot: Option<Slot>,
    text: Vec<u8>,
    expiry: Option<Millis>,
) {
    if text.len() <= INLINE_STRING_MAX {
        data.put(key, slot, NewValue::Raw(&text), expiry);
    } else {
        data.put(key, slot, NewValue::Whole(Value::Str(Arc::new(text))), expiry);
    }
}
