//! Reading a list: by index, as a range in either direction, by value.
//!
//! A reader does not care whether the elements are packed bytes inside a key's entry or pages:
//! [`ListRef`] is both. A range finds its first element as [`List::index`] does and then walks the
//! pages' bytes, about 3 ns for each element.

use super::{End, List};
use crate::packed::{self, Entry};

/// A list as it is read: packed bytes, as a key's entry holds them inline, or pages.
#[derive(Debug, Clone, Copy)]
pub enum ListRef<'a> {
    /// A packed sequence.
    Packed(&'a [u8]),
    /// A list of pages.
    Pages(&'a List),
}

impl<'a> ListRef<'a> {
    /// Number of elements. Walks a packed sequence.
    #[inline]
    pub fn len(self) -> usize {
        match self {
            Self::Packed(bytes) => packed::count(bytes),
            Self::Pages(list) => list.len,
        }
    }

    /// Whether there are no elements.
    #[inline]
    pub fn is_empty(self) -> bool {
        match self {
            Self::Packed(bytes) => bytes.is_empty(),
            Self::Pages(list) => list.is_empty(),
        }
    }

    /// The logical encoding, as OBJECT ENCODING names it.
    pub fn encoding(self) -> &'static str {
        match self {
            Self::Packed(_) => "listpack",
            Self::Pages(list) => list.encoding(),
        }
    }

    /// The element number `index` from the head.
    pub fn index(self, index: usize) -> Option<Entry<'a>> {
        match self {
            Self::Packed(bytes) => {
                Some(packed::entry_at(bytes, packed::offset_of(bytes, index)?)?.0)
            }
            Self::Pages(list) => list.index(index),
        }
    }

    /// The `count` elements from number `start` on, towards the tail.
    #[inline]
    pub fn range(self, start: usize, count: usize) -> Range<'a> {
        self.walk(start, count, End::Back)
    }

    /// The `count` elements from number `start` on, towards the head.
    #[inline]
    pub fn range_rev(self, start: usize, count: usize) -> Range<'a> {
        self.walk(start, count, End::Front)
    }

    /// All elements from the head to the tail.
    #[inline]
    pub fn iter(self) -> Range<'a> {
        self.range(0, usize::MAX)
    }

    fn walk(self, start: usize, count: usize, towards: End) -> Range<'a> {
        let nothing = Range { list: None, page: 0, current: packed::iter(&[]), left: 0, towards };
        let (list, page, bytes, offset) = match self {
            Self::Packed(bytes) => match packed::offset_of(bytes, start) {
                Some(offset) => (None, 0, bytes, offset),
                None => return nothing,
            },
            Self::Pages(list) => match list.locate(start) {
                Some(place) => (Some(list), place.page, list.page_bytes(place.page), place.offset),
                None => return nothing,
            },
        };
        let current = match towards {
            End::Back => packed::iter_between(bytes, offset, bytes.len()),
            End::Front => packed::iter_between(bytes, 0, packed::next(bytes, offset)),
        };
        Range { list, page, current, left: count, towards }
    }

    /// Calls `found` with the number of each element that is `text`, as LPOS: from the match number
    /// `rank` on (1 is the first from the head, -1 the first from the tail), at most `most` matches
    /// (0: all), looking at no more than `looks` elements (0: all).
    pub fn positions(
        self,
        text: &[u8],
        rank: i64,
        most: usize,
        looks: usize,
        mut found: impl FnMut(usize),
    ) {
        let len = self.len();
        if len == 0 {
            return;
        }
        let wanted = Entry::of(text);
        let unbounded = |n: usize| if n == 0 { usize::MAX } else { n };
        let (mut most, looks) = (unbounded(most), unbounded(looks).min(len));
        let mut skipped = rank.unsigned_abs().saturating_sub(1);
        let backwards = rank < 0;
        let elements =
            if backwards { self.range_rev(len - 1, looks) } else { self.range(0, looks) };
        for (step, entry) in elements.enumerate() {
            if entry != wanted {
                continue;
            }
            if skipped > 0 {
                skipped -= 1;
                continue;
            }
            found(if backwards { len - 1 - step } else { step });
            most -= 1;
            if most == 0 {
                return;
            }
        }
    }
}

/// Neighbouring elements of a list, in one direction.
#[derive(Debug, Clone)]
pub struct Range<'a> {
    list: Option<&'a List>,
    page: usize,
    current: packed::Iter<'a>,
    left: usize,
    towards: End,
}

impl<'a> Range<'a> {
    /// Goes on to the next page in the direction. `None` after the last.
    fn turn_page(&mut self) -> Option<()> {
        let list = self.list?;
        self.page = match self.towards {
            End::Back => self.page + 1,
            End::Front => self.page.checked_sub(1)?,
        };
        self.current = packed::iter(list.pages.get(self.page)?.bytes());
        Some(())
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        if self.left == 0 {
            return None;
        }
        loop {
            let entry = match self.towards {
                End::Back => self.current.next(),
                End::Front => self.current.next_back(),
            };
            if entry.is_some() {
                self.left -= 1;
                return entry;
            }
            self.turn_page()?;
        }
    }
}
