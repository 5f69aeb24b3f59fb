//! A set of strings, of which integers are stored as such.
//!
//! ```text
//! Ints     sorted integers of one width, see `set/intset.rs`        "intset"
//! Packed   a packed sequence of members                             "listpack"
//! Table    two tables, see `set/table.rs`                           "hashtable"
//! ```
//!
//! The logical encoding is the physical one, and changes as with Redis 7.2: integers stay an intset
//! up to `set-max-intset-entries` and turn to a table beyond it; a member that is no integer turns an
//! intset into a listpack if it and the members fit `set-max-listpack-entries` and
//! `set-max-listpack-value`, else into a table; a listpack that passes them turns into a table.
//! Nothing turns back.
//!
//! Reading goes through [`SetRef`], because the keyspace also keeps the small forms' bytes inside a
//! key's entry. Costs: an intset O(log n) to read, the packed form O(n) with n bounded by the limits,
//! the table O(1). Source: documentation of the set commands of Redis 7.2 and of OBJECT ENCODING.

mod intset;
mod table;
mod view;

pub use self::table::SetTable;
pub use self::view::SetRef;
use crate::limits::Limits;
use crate::packed::{self, Encoded, Entry, below};

/// The peers' bound of `set-max-intset-entries`, whatever the directive says.
const INTSET_ENTRIES_MAX: usize = 1 << 30;

/// A set. An empty one is to be deleted by its owner.
#[derive(Debug)]
pub enum Set {
    /// Sorted integers.
    Ints(Vec<u8>),
    /// A packed sequence of members.
    Packed(Vec<u8>),
    /// The large form.
    Table(Box<SetTable>),
}

impl Set {
    /// An empty set in the form that suits `first`, when about `expected` members are to come: SADD
    /// gives the number of its arguments.
    pub fn for_first(limits: &Limits, first: &[u8], expected: usize) -> Self {
        if expected <= limits.set_max_intset_entries && matches!(Entry::of(first), Entry::Int(_)) {
            Self::Ints(Vec::new())
        } else if expected <= limits.set_max_listpack_entries {
            Self::Packed(Vec::new())
        } else {
            Self::Table(Box::default())
        }
    }

    /// An empty set of integers. Allocates nothing.
    pub const fn new() -> Self {
        Self::Ints(Vec::new())
    }

    /// The read view.
    #[inline]
    pub fn view(&self) -> SetRef<'_> {
        match self {
            Self::Ints(buf) => SetRef::Ints(buf),
            Self::Packed(buf) => SetRef::Packed(buf),
            Self::Table(table) => SetRef::Table(table),
        }
    }

    /// Number of members.
    #[inline]
    pub fn len(&self) -> usize {
        self.view().len()
    }

    /// Whether there are no members.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.view().is_empty()
    }

    /// Whether `member` is one.
    #[inline]
    pub fn contains(&self, member: &[u8]) -> bool {
        self.view().contains(member)
    }

    /// Heap bytes held.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Ints(buf) | Self::Packed(buf) => buf.capacity(),
            Self::Table(table) => size_of::<SetTable>() + table.heap_bytes(),
        }
    }

    /// Adds `member`. `false` when it is there.
    #[inline]
    pub fn add(&mut self, limits: &Limits, member: &[u8]) -> bool {
        self.add_canonical(limits, Entry::of(member))
    }

    /// Adds an entry that was read from any collection.
    #[inline]
    pub fn add_entry(&mut self, limits: &Limits, member: Entry<'_>) -> bool {
        self.add_canonical(limits, member.canonical())
    }

    #[inline]
    fn add_canonical(&mut self, limits: &Limits, entry: Entry<'_>) -> bool {
        match self {
            Self::Table(table) => table.insert(entry),
            Self::Ints(_) => self.add_to_ints(limits, entry),
            Self::Packed(_) => self.add_to_packed(limits, entry),
        }
    }

    fn add_to_ints(&mut self, limits: &Limits, entry: Entry<'_>) -> bool {
        let Self::Ints(buf) = self else { return false };
        if let Entry::Int(n) = entry {
            let added = intset::insert(buf, n);
            if added && intset::len(buf) > limits.set_max_intset_entries.min(INTSET_ENTRIES_MAX) {
                self.convert_to_table();
            }
            return added;
        }
        // The integers' texts must fit as well; the longest is that of one of the two ends.
        let ends = [
            intset::nth(buf, 0),
            intset::len(buf).checked_sub(1).and_then(|i| intset::nth(buf, i)),
        ];
        let longest = ends.into_iter().flatten().map(|n| Entry::Int(n).len()).max();
        if intset::len(buf) < limits.set_max_listpack_entries
            && entry.len().max(longest.unwrap_or(0)) <= limits.set_max_listpack_value
        {
            let mut members = Vec::new();
            for n in intset::iter(buf) {
                packed::push_encoded(&mut members, &Encoded::of_int(n));
            }
            packed::push_encoded(&mut members, &Encoded::of_entry(entry));
            *self = Self::Packed(members);
            return true;
        }
        self.convert_to_table();
        self.add_canonical(limits, entry)
    }

    fn add_to_packed(&mut self, limits: &Limits, entry: Entry<'_>) -> bool {
        let Self::Packed(buf) = self else {
            return false;
        };
        let Err(members) = packed::find_entry(buf, entry, 1) else {
            return false;
        };
        if members < limits.set_max_listpack_entries && entry.len() <= limits.set_max_listpack_value
        {
            packed::push_encoded(buf, &Encoded::of_entry(entry));
            return true;
        }
        self.convert_to_table();
        self.add_canonical(limits, entry)
    }

    /// Removes `member`. `false` when it is not there.
    #[inline]
    pub fn remove(&mut self, member: &[u8]) -> bool {
        self.remove_canonical(Entry::of(member))
    }

    /// Removes an entry that was read from any collection.
    #[inline]
    pub fn remove_entry(&mut self, member: Entry<'_>) -> bool {
        self.remove_canonical(member.canonical())
    }

    fn remove_canonical(&mut self, entry: Entry<'_>) -> bool {
        match self {
            Self::Ints(buf) => match entry {
                Entry::Int(n) => intset::remove(buf, n),
                Entry::Str(_) => false,
            },
            Self::Packed(buf) => {
                let found = packed::find_entry(buf, entry, 1);
                found.map(|at| packed::remove(buf, at, 1)).is_ok()
            }
            Self::Table(table) => table.remove(entry),
        }
    }

    /// Removes a member at random, and gives what `read` makes of it; `random` gives uniform 64-bit
    /// numbers.
    pub fn pop<R>(
        &mut self,
        mut random: impl FnMut() -> u64,
        read: impl FnOnce(Entry<'_>) -> R,
    ) -> Option<R> {
        match self {
            Self::Ints(buf) => {
                let n = intset::nth(buf, below(random(), intset::len(buf)))?;
                intset::remove(buf, n);
                Some(read(Entry::Int(n)))
            }
            Self::Packed(buf) => {
                let at = packed::skip(buf, 0, below(random(), packed::count(buf)));
                let (entry, after) = packed::entry_at(buf, at)?;
                let answer = read(entry);
                packed::remove_range(buf, at, after);
                Some(answer)
            }
            Self::Table(table) => {
                let key = table.sample(&mut random)?;
                let answer = read(table.entry(key));
                table.remove_key(key);
                Some(answer)
            }
        }
    }

    /// Turns to the large form, if it is not that already. For a caller that knows how many members
    /// are coming; [`Set::add`] does it by itself.
    pub fn convert_to_table(&mut self) {
        if matches!(self, Self::Table(_)) {
            return;
        }
        let mut table = Box::<SetTable>::default();
        for entry in self.view().iter() {
            table.insert(entry);
        }
        *self = Self::Table(table);
    }

    /// Moves the large form's data together after many removals; see [`SetTable::compact`].
    pub fn compact(&mut self) {
        match self {
            Self::Ints(buf) | Self::Packed(buf) => buf.shrink_to_fit(),
            Self::Table(table) => table.compact(),
        }
    }
}

impl Default for Set {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
