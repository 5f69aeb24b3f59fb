//! A value as it is to be saved, and what goes with its key.

use ochre_types::capture::Head;
use ochre_types::hash::HashRef;
use ochre_types::list::ListRef;
use ochre_types::set::SetRef;
use ochre_types::sketch::Sketch;
use ochre_types::stream::Stream;
use ochre_types::value::Value;
use ochre_types::zset::ZsetRef;

use crate::format::Dialect;

/// How a hash is called that older servers have no form for.
const HASH_WITH_EXPIRY: &str = "hash with fields that expire";

/// A value, borrowed from wherever it lies.
#[derive(Debug, Clone, Copy)]
pub enum ValueRef<'a> {
    /// A string.
    Text(&'a [u8]),
    /// A string that is an integer's text.
    Int(i64),
    /// A list.
    List(ListRef<'a>),
    /// A set.
    Set(SetRef<'a>),
    /// A sorted set.
    Zset(ZsetRef<'a>),
    /// A hash.
    Hash(HashRef<'a>),
    /// A stream.
    Stream(&'a Stream),
    /// A sketch.
    Sketch(&'a Sketch),
}

impl<'a> From<&'a Value> for ValueRef<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Str(blob) => Self::Text(blob),
            Value::List(list) => Self::List(list.view()),
            Value::Set(set) => Self::Set(set.view()),
            Value::Zset(zset) => Self::Zset(zset.view()),
            Value::Hash(hash) => Self::Hash(hash.view()),
            Value::Stream(stream) => Self::Stream(stream),
            Value::Sketch(sketch) => Self::Sketch(sketch),
        }
    }
}

impl ValueRef<'_> {
    /// Whether it is a hash of which fields expire: older dialects have no form for it, see
    /// [`Dialect::has_field_expiry`](crate::Dialect::has_field_expiry).
    pub fn has_field_expiry(&self) -> bool {
        matches!(self, Self::Hash(hash) if hash.expiring() > 0)
    }

    /// The type of a value that servers which read this dialect cannot load, if it is one.
    pub fn foreign_to(&self, dialect: &Dialect) -> Option<&'static str> {
        match self {
            Self::Sketch(sketch) => Some(sketch.kind().name()),
            Self::Hash(_) if self.has_field_expiry() && !dialect.has_field_expiry() => {
                Some(HASH_WITH_EXPIRY)
            }
            _ => None,
        }
    }
}

/// The type of a value that comes in parts, if servers which read this dialect cannot load it: see
/// [`ValueRef::foreign_to`].
pub fn head_foreign_to(head: &Head, dialect: &Dialect) -> Option<&'static str> {
    match head {
        Head::Hash { earliest: Some(_), .. } if !dialect.has_field_expiry() => {
            Some(HASH_WITH_EXPIRY)
        }
        _ => None,
    }
}

/// What a file says of a key besides its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyMeta {
    /// When it expires, in Unix milliseconds.
    pub expire_at_ms: Option<i64>,
    /// Seconds since it was last used: under an LRU policy.
    pub idle_s: Option<u64>,
    /// How often it is used, 0 to 255: under an LFU policy.
    pub frequency: Option<u8>,
}
