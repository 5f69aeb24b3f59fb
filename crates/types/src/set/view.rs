//! Reading a set, whichever form it has and wherever its bytes are.

use super::table::SetTable;
use super::{Set, intset};
use crate::hash::distinct::{distinct, select};
use crate::hash::either::Either;
use crate::packed::{self, Entry, below};

/// A set as it is read.
#[derive(Debug, Clone, Copy)]
pub enum SetRef<'a> {
    /// Sorted integers.
    Ints(&'a [u8]),
    /// A packed sequence of members.
    Packed(&'a [u8]),
    /// The large form.
    Table(&'a SetTable),
}

impl<'a> SetRef<'a> {
    /// Number of members. Walks the packed form.
    #[inline]
    pub fn len(self) -> usize {
        match self {
            Self::Ints(buf) => intset::len(buf),
            Self::Packed(buf) => packed::count(buf),
            Self::Table(table) => table.len(),
        }
    }

    /// Whether there are no members.
    #[inline]
    pub fn is_empty(self) -> bool {
        match self {
            Self::Ints(buf) | Self::Packed(buf) => buf.is_empty(),
            Self::Table(table) => table.is_empty(),
        }
    }

    /// The logical encoding, as OBJECT ENCODING names it.
    pub fn encoding(self) -> &'static str {
        match self {
            Self::Ints(_) => "intset",
            Self::Packed(_) => "listpack",
            Self::Table(_) => "hashtable",
        }
    }

    /// Whether `member` is one.
    #[inline]
    pub fn contains(self, member: &[u8]) -> bool {
        self.contains_canonical(Entry::of(member))
    }

    /// Whether an entry, read from any collection, is a member. Formats no text for integers.
    #[inline]
    pub fn contains_entry(self, entry: Entry<'_>) -> bool {
        self.contains_canonical(entry.canonical())
    }

    #[inline]
    fn contains_canonical(self, entry: Entry<'_>) -> bool {
        match self {
            Self::Ints(buf) => match entry {
                Entry::Int(n) => intset::search(buf, n).is_ok(),
                Entry::Str(_) => false,
            },
            Self::Packed(buf) => packed::find_entry(buf, entry, 1).is_ok(),
            Self::Table(table) => table.contains(entry),
        }
    }

    /// All members: ascending for integers, in order of insertion when packed, else in no order.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = Entry<'a>> {
        match self {
            Self::Ints(buf) => Either::Small(Either::Small(intset::iter(buf).map(Entry::Int))),
            Self::Packed(buf) => Either::Small(Either::Large(packed::iter(buf))),
            Self::Table(table) => Either::Large(table.keys().map(|key| table.entry(key))),
        }
    }

    /// One step of SSCAN: emits about ten members, or all of a small set, and gives the cursor to go
    /// on with. 0 starts a scan, and 0 comes back when it is complete. A member that is there all the
    /// time is emitted at least once. Cursors are below 2^49.
    pub fn scan(self, cursor: u64, emit: impl FnMut(Entry<'a>)) -> u64 {
        match self {
            Self::Table(table) => table.scan(cursor, emit),
            Self::Ints(_) | Self::Packed(_) => {
                self.iter().for_each(emit);
                0
            }
        }
    }

    /// A member at random; `random` gives uniform 64-bit numbers.
    #[inline]
    pub fn random(self, mut random: impl FnMut() -> u64) -> Option<Entry<'a>> {
        match self {
            Self::Ints(buf) => intset::nth(buf, below(random(), intset::len(buf))).map(Entry::Int),
            Self::Packed(buf) => packed::iter(buf).nth(below(random(), packed::count(buf))),
            Self::Table(table) => table.sample(&mut random).map(|key| table.entry(key)),
        }
    }

    /// Emits `n` members at random, repeats allowed; nothing when there are none.
    pub fn sample(
        self,
        n: usize,
        mut random: impl FnMut() -> u64,
        mut emit: impl FnMut(Entry<'a>),
    ) {
        for _ in 0..n {
            match self.random(&mut random) {
                Some(entry) => emit(entry),
                None => return,
            }
        }
    }

    /// Emits `n` different members at random, or all when there are fewer.
    pub fn sample_distinct(
        self,
        n: usize,
        mut random: impl FnMut() -> u64,
        mut emit: impl FnMut(Entry<'a>),
    ) {
        match self {
            Self::Table(table) => distinct(
                n,
                table.len(),
                table.keys(),
                &mut random,
                |random| table.sample(random),
                |key| emit(table.entry(key)),
            ),
            Self::Ints(_) | Self::Packed(_) => {
                select(n, self.len(), self.iter(), &mut random, emit);
            }
        }
    }

    /// A set of its own with the same members and the same form.
    pub fn duplicate(self) -> Set {
        match self {
            Self::Ints(buf) => Set::Ints(buf.to_vec()),
            Self::Packed(buf) => Set::Packed(buf.to_vec()),
            Self::Table(_) => {
                let mut set = Set::Table(Box::default());
                if let Set::Table(table) = &mut set {
                    for entry in self.iter() {
                        table.insert(entry.canonical());
                    }
                }
                set
            }
        }
    }
}
