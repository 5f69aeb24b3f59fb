//! Passing over one value: to its end by the lengths alone.
//!
//! Nothing is decoded, no compressed string is expanded and nothing is checked but that lengths make sense:
//! whoever decodes the bytes later checks them. That makes finding the ends of records so much cheaper than
//! loading them that one thread can feed many. O(strings in the value) and no memory.
//!
//! Failure: [`LoadError`] when the bytes end, a length is none, or the type is not known. Any type that
//! [`crate::load`] refuses by its number is refused here too; what a value's bytes mean is not.
//!
//! Source: the layouts in [`mod@crate::format`] and in the files that save and load them.

use std::io::Read;

use crate::error::{LoadError, Result};
use crate::format::{Family, kind};
use crate::load::{Input, module_name, skip_module};

/// A 64-bit number, a date or a score.
const WORD: u64 = 8;
/// The id of an entry of a stream.
const STREAM_ID: u64 = 16;

/// Passes over a value of type `kind`.
pub(crate) fn value<R: Read>(input: &mut Input<R>, kind: u8, family: Family) -> Result<()> {
    match kind {
        kind::STRING
        | kind::HASH_ZIPMAP
        | kind::LIST_ZIPLIST
        | kind::SET_INTSET
        | kind::ZSET_ZIPLIST
        | kind::HASH_ZIPLIST
        | kind::HASH_LISTPACK
        | kind::ZSET_LISTPACK
        | kind::SET_LISTPACK
        | kind::HASH_LISTPACK_EXPIRY_PRE_RELEASE => input.skip_string(),
        kind::LIST | kind::SET | kind::LIST_QUICKLIST => each(input, 1, Input::skip_string),
        kind::HASH => each(input, 2, |input| {
            input.skip_string()?;
            input.skip_string()
        }),
        kind::ZSET => each(input, 2, |input| {
            input.skip_string()?;
            text_score(input)
        }),
        kind::ZSET_2 => each(input, 2, |input| {
            input.skip_string()?;
            input.skip(WORD)
        }),
        kind::LIST_QUICKLIST_2 => each(input, 1, |input| {
            input.len()?;
            input.skip_string()
        }),
        kind::VALKEY_HASH_EXPIRY if family == Family::Valkey => each(input, 2, |input| {
            input.skip_string()?;
            input.skip_string()?;
            input.skip(WORD)
        }),
        kind::VALKEY_HASH_EXPIRY => each(input, 2, field_with_expiry),
        kind::HASH_EXPIRY => {
            input.skip(WORD)?;
            each(input, 2, field_with_expiry)
        }
        kind::HASH_LISTPACK_EXPIRY => {
            input.skip(WORD)?;
            input.skip_string()
        }
        kind::STREAM_1 | kind::STREAM_2 | kind::STREAM_3 => stream(input, kind),
        kind::MODULE => module(input),
        kind::MODULE_PRE_RELEASE => Err(LoadError::Module("of a release candidate".to_owned())),
        other => Err(LoadError::UnknownType(other)),
    }
}

/// Passes over as many as a count says, of at least `least` bytes each.
fn each<R: Read>(
    input: &mut Input<R>,
    least: u64,
    mut one: impl FnMut(&mut Input<R>) -> Result<()>,
) -> Result<()> {
    for _ in 0..input.count(least)? {
        one(input)?;
    }
    Ok(())
}

fn field_with_expiry<R: Read>(input: &mut Input<R>) -> Result<()> {
    input.len()?;
    input.skip_string()?;
    input.skip_string()
}

/// A score of the oldest form: a length and a text, or one of three special lengths.
fn text_score<R: Read>(input: &mut Input<R>) -> Result<()> {
    match input.byte()? {
        253..=255 => Ok(()),
        len => input.skip(u64::from(len)),
    }
}

fn stream<R: Read>(input: &mut Input<R>, kind: u8) -> Result<()> {
    each(input, 2, |input| {
        input.skip_string()?;
        input.skip_string()
    })?;
    // The length and the last id; then the first id, the greatest deleted one and the entries ever added.
    let numbers = if kind == kind::STREAM_1 { 3 } else { 8 };
    for _ in 0..numbers {
        input.len()?;
    }
    each(input, 4, |input| {
        input.skip_string()?;
        for _ in 0..if kind == kind::STREAM_1 { 2 } else { 3 } {
            input.len()?;
        }
        each(input, STREAM_ID + WORD + 1, |input| {
            input.skip(STREAM_ID + WORD)?;
            input.len().map(drop)
        })?;
        each(input, WORD + 2, |input| {
            input.skip_string()?;
            input.skip(if kind == kind::STREAM_3 { 2 * WORD } else { WORD })?;
            each(input, STREAM_ID, |input| input.skip(STREAM_ID))
        })
    })
}

fn module<R: Read>(input: &mut Input<R>) -> Result<()> {
    match input.len()? {
        crate::sketch::MODULE_ID => skip_module(input),
        other => Err(LoadError::Module(module_name(other))),
    }
}
