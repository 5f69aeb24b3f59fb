//! A value in its general form: what a key holds when it does not lie in the key's entry, and what an
//! edit is lent.

use std::sync::Arc;

use crate::hash::{Hash, HashRef};
use crate::limits::Limits;
use crate::list::List;
use crate::set::{Set, SetRef};
use crate::sketch::{Sketch, SketchKind};
use crate::stream::Stream;
use crate::table::Stage;
use crate::zset::{Zset, ZsetRef};

/// The type of a value: what TYPE names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Type {
    /// A string.
    String,
    /// A list.
    List,
    /// A set.
    Set,
    /// A sorted set.
    Zset,
    /// A hash.
    Hash,
    /// A stream.
    Stream,
    /// A sketch of some kind.
    Sketch(SketchKind),
}

impl Type {
    /// The name that TYPE answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::Zset => "zset",
            Self::Hash => "hash",
            Self::Stream => "stream",
            Self::Sketch(kind) => kind.name(),
        }
    }
}

/// A value. Collections are never empty while a key holds them; streams and sketches are none in this
/// sense.
#[derive(Debug)]
pub enum Value {
    /// A string's bytes; counted, so that a reply can send them without a copy.
    Str(Arc<Vec<u8>>),
    /// A list.
    List(List),
    /// A set.
    Set(Set),
    /// A sorted set.
    Zset(Zset),
    /// A hash.
    Hash(Hash),
    /// A stream.
    Stream(Box<Stream>),
    /// A sketch: a Bloom filter and its kin.
    Sketch(Box<Sketch>),
}

impl Default for Value {
    fn default() -> Self {
        Self::Str(Arc::default())
    }
}

impl Value {
    /// Its type.
    #[inline]
    pub fn type_of(&self) -> Type {
        match self {
            Self::Str(_) => Type::String,
            Self::List(_) => Type::List,
            Self::Set(_) => Type::Set,
            Self::Zset(_) => Type::Zset,
            Self::Hash(_) => Type::Hash,
            Self::Stream(_) => Type::Stream,
            Self::Sketch(sketch) => Type::Sketch(sketch.kind()),
        }
    }

    /// Whether it is a collection without elements. Strings, streams and sketches never are, in this
    /// sense.
    #[inline]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Str(_) | Self::Stream(_) | Self::Sketch(_) => false,
            Self::List(list) => list.is_empty(),
            Self::Set(set) => set.is_empty(),
            Self::Zset(zset) => zset.is_empty(),
            Self::Hash(hash) => hash.is_empty(),
        }
    }

    /// Fetches what a look-up of one element (a field, a member) will touch.
    pub fn prefetch(&self, element: &[u8], stage: Stage) {
        match self {
            Self::Hash(Hash::Table(table)) => table.prefetch(element, stage),
            Self::Set(Set::Table(table)) => table.prefetch(element, stage),
            Self::Zset(Zset::Tree(tree)) => tree.prefetch(element, stage),
            _ => {}
        }
    }

    /// Heap bytes held.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Str(blob) => size_of::<Vec<u8>>() + 16 + blob.capacity(),
            Self::List(list) => list.heap_bytes(),
            Self::Set(set) => set.heap_bytes(),
            Self::Zset(zset) => zset.heap_bytes(),
            Self::Hash(hash) => hash.heap_bytes(),
            Self::Stream(stream) => stream.heap_bytes(),
            Self::Sketch(sketch) => sketch.heap_bytes(),
        }
    }

    /// About how many allocations dropping it gives back: large forms hold one for each page.
    pub fn free_effort(&self) -> usize {
        match self {
            Self::Str(_) => 1,
            Self::List(list) => list.pages().len(),
            Self::Stream(stream) => stream.free_effort(),
            Self::Sketch(sketch) => sketch.free_effort(),
            Self::Set(Set::Table(_)) | Self::Zset(Zset::Tree(_)) | Self::Hash(Hash::Table(_)) => {
                self.heap_bytes() / 1024
            }
            Self::Set(_) | Self::Zset(_) | Self::Hash(_) => 1,
        }
    }

    /// A copy that shares nothing but string bytes. O(n).
    pub fn duplicate(&self) -> Self {
        match self {
            Self::Str(blob) => Self::Str(Arc::clone(blob)),
            Self::List(list) => Self::List(list.clone()),
            Self::Set(set) => Self::Set(set.view().duplicate()),
            Self::Zset(zset) => Self::Zset(duplicate_zset(zset)),
            Self::Hash(hash) => Self::Hash(hash.view().duplicate()),
            Self::Stream(stream) => Self::Stream(stream.clone()),
            // Shares its pages until one of the two is changed.
            Self::Sketch(sketch) => Self::Sketch(sketch.clone()),
        }
    }

    /// The bytes of a small collection, and of a small string, to be kept as scratch room.
    pub fn into_buffer(self) -> Vec<u8> {
        match self {
            Self::Hash(Hash::Packed(bytes) | Hash::PackedEx(bytes))
            | Self::Set(Set::Ints(bytes) | Set::Packed(bytes))
            | Self::Zset(Zset::Packed(bytes)) => bytes,
            Self::List(list) => list.into_packed().unwrap_or_default(),
            Self::Str(blob) => Arc::try_unwrap(blob).unwrap_or_default(),
            Self::Hash(Hash::Table(_))
            | Self::Set(Set::Table(_))
            | Self::Zset(Zset::Tree(_))
            | Self::Stream(_)
            | Self::Sketch(_) => Vec::new(),
        }
    }
}

fn duplicate_zset(zset: &Zset) -> Zset {
    match zset.view() {
        ZsetRef::Packed(bytes) => Zset::Packed(bytes.to_vec()),
        // Thresholds of zero keep the form: the copy is as large as what it copies.
        large @ ZsetRef::Tree(_) => {
            let limits = Limits { zset_max_listpack_entries: 0, ..Limits::default() };
            Zset::from_sorted(large.iter(), &limits)
        }
    }
}

/// A hash's packed bytes, and whether they carry expiries; none in the large form.
pub fn packed_hash(hash: &Hash) -> Option<(&[u8], bool)> {
    match hash.view() {
        HashRef::Packed(bytes) => Some((bytes, false)),
        HashRef::PackedEx(bytes) => Some((bytes, true)),
        HashRef::Table(_) => None,
    }
}

/// A set's packed bytes, and whether they are integers; none in the large form.
pub fn packed_set(set: &Set) -> Option<(&[u8], bool)> {
    match set.view() {
        SetRef::Ints(bytes) => Some((bytes, true)),
        SetRef::Packed(bytes) => Some((bytes, false)),
        SetRef::Table(_) => None,
    }
}

/// A sorted set's packed bytes; none in the large form.
pub fn packed_zset(zset: &Zset) -> Option<&[u8]> {
    match zset.view() {
        ZsetRef::Packed(bytes) => Some(bytes),
        ZsetRef::Tree(_) => None,
    }
}
