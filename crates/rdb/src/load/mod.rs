//! Loading one value, of any type that any published version wrote.
//!
//! The value is built with this server's own types, in the form that the thresholds say; a form that a
//! peer kept beyond them (an intset above `set-max-intset-entries`) is not kept. All nested encodings are
//! checked whole: sizes, counts, backward lengths, the order of integers, that no member or field stands
//! twice, that scores are numbers and ids ascend.
//!
//! Costs: O(n) for lists and strings, O(n log n) for the others at most. Failure: see [`LoadError`]; a
//! collection without elements is [`LoadError::Empty`], which is nothing for a file to break at.

mod hash;
mod input;
mod list;
mod set;
mod stream;
mod ziplist;
mod zipmap;
mod zset;

use std::io::Read;

use ochre_types::limits::Limits;
use ochre_types::packed::Entry;
use ochre_types::value::Value;

pub(crate) use self::input::{Input, Text};
#[cfg(test)]
pub(crate) use self::ziplist::tests::build as ziplist_of;
use crate::error::{LoadError, Result};
use crate::format::{Family, kind};
use crate::listpack;

/// A value as it was loaded.
#[derive(Debug)]
pub enum LoadedValue {
    /// A string.
    Text(Vec<u8>),
    /// A string that was saved as an integer.
    Int(i64),
    /// Anything else.
    Whole(Value),
}

/// Loads the value of type `kind` that comes next.
pub(crate) fn value<R: Read>(
    input: &mut Input<R>,
    kind: u8,
    family: Family,
    limits: &Limits,
) -> Result<LoadedValue> {
    let whole = match kind {
        kind::STRING => {
            return Ok(match input.text()? {
                Text::Bytes(bytes) => LoadedValue::Text(bytes),
                Text::Int(n) => LoadedValue::Int(n),
            });
        }
        kind::LIST | kind::LIST_ZIPLIST | kind::LIST_QUICKLIST | kind::LIST_QUICKLIST_2 => {
            Value::List(list::load(input, kind, limits)?)
        }
        kind::SET | kind::SET_INTSET | kind::SET_LISTPACK => {
            Value::Set(set::load(input, kind, limits)?)
        }
        kind::ZSET | kind::ZSET_2 | kind::ZSET_ZIPLIST | kind::ZSET_LISTPACK => {
            Value::Zset(zset::load(input, kind, limits)?)
        }
        kind::HASH
        | kind::HASH_ZIPMAP
        | kind::HASH_ZIPLIST
        | kind::HASH_LISTPACK
        | kind::VALKEY_HASH_EXPIRY
        | kind::HASH_EXPIRY
        | kind::HASH_LISTPACK_EXPIRY
        | kind::HASH_LISTPACK_EXPIRY_PRE_RELEASE => {
            Value::Hash(hash::load(input, kind, family, limits)?)
        }
        kind::STREAM_1 | kind::STREAM_2 | kind::STREAM_3 => {
            return Ok(LoadedValue::Whole(Value::Stream(Box::new(stream::load(input, kind)?))));
        }
        kind::MODULE => match input.len()? {
            crate::sketch::MODULE_ID => return crate::sketch::load(input).map(LoadedValue::Whole),
            other => return Err(LoadError::Module(module_name(other))),
        },
        kind::MODULE_PRE_RELEASE => {
            return Err(LoadError::Module("of a release candidate".to_owned()));
        }
        other => return Err(LoadError::UnknownType(other)),
    };
    if whole.is_empty() { Err(LoadError::Empty) } else { Ok(LoadedValue::Whole(whole)) }
}

/// The name of a module's type: nine letters of six bits, then a version of ten bits.
pub(crate) fn module_name(id: u64) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let letter = |at: u32| char::from(LETTERS[(id >> (58 - 6 * at)) as usize & 0x3F]);
    (0..9).map(letter).collect()
}

/// Passes over what a module saved: parts, each behind a number that says what it is.
pub(crate) fn skip_module<R: Read>(input: &mut Input<R>) -> Result<()> {
    loop {
        match input.len()? {
            0 => return Ok(()),
            1 | 2 => drop(input.len()?),
            3 => input.skip(4)?,
            4 => input.skip(8)?,
            5 => input.skip_string()?,
            _ => return Err(LoadError::Corrupt("module data")),
        }
    }
}

/// The elements of a packed encoding in `bytes`: a listpack or a ziplist.
fn elements(bytes: &[u8], is_ziplist: bool) -> Result<Elements<'_>> {
    Ok(if is_ziplist {
        Elements::Ziplist(ziplist::Walk::new(bytes)?)
    } else {
        Elements::Listpack(listpack::Walk::new(bytes)?)
    })
}

/// One of the two packed encodings, walked.
#[derive(Debug, Clone)]
enum Elements<'a> {
    Listpack(listpack::Walk<'a>),
    Ziplist(ziplist::Walk<'a>),
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Entry<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Listpack(walk) => walk.next(),
            Self::Ziplist(walk) => walk.next(),
        }
    }
}
