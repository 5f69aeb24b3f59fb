//! A list: a deque of packed pages.
//!
//! ```text
//! List { pages: [Page, Page, ...], len, quick }
//! Page { buf, start, count }
//!
//! buf   [ gap ......... | element element element ... | unused capacity ]
//!       0             start                         buf.len()       capacity
//! ```
//!
//! Each page is a [`packed`] sequence of at most `list-max-listpack-size`; an element that is larger
//! than that has a page of its own. The gap at the front makes a push there as cheap as one at the
//! back: neither moves the page's bytes except when its side's room is used up, and then the other
//! side keeps at most half of the room, so that any mix of pushes is amortised. Only pages that
//! grow have room: a page is cut to size when the next one is begun.
//!
//! `quick` is the logical encoding: "listpack" until a write would pass the limit (the peers count
//! a header of 7 bytes and the plain length of the new element, and so do we), "quicklist" then,
//! and "listpack" again when a removal leaves one page of at most half the limit.
//!
//! Invariants: no page is empty; `len` is the sum of the pages' counts; more than one page implies
//! `quick`. Removals inside the list merge neighbours that fit half a page together.
//!
//! Costs for n elements in p pages: ends O(1) amortised; by index O(p) over the nearer end and then
//! one page; by value O(n). 16-byte elements take 18.1 bytes each at a million.
//!
//! Source: Redis 7.2 documentation of the list commands and of OBJECT ENCODING.

mod node;
mod pages;
mod view;

use self::node::Node;
use self::pages::Pages;
pub use self::view::{ListRef, Range};
use crate::capture::{Head, Remains, Step};
use crate::limits::PageLimit;
use crate::packed::{self, Encoded, Entry};

/// Header and terminator of the peers' listpack, which their thresholds count.
const LISTPACK_OVERHEAD: usize = 7;

/// An end of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The head, index 0.
    Front,
    /// The tail, index -1.
    Back,
}

/// On which side of the pivot [`List::insert`] puts its element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Towards the head.
    Before,
    /// Towards the tail.
    After,
}

/// A place in a list: the element number `index` of a page, at `offset` of the page's bytes.
#[derive(Debug, Clone, Copy)]
struct Place {
    page: usize,
    index: usize,
    offset: usize,
}

/// A list of strings. Operations that write take the limit of a page; see
/// [`Limits::list_page`](crate::limits::Limits::list_page).
#[derive(Debug, Clone, Default)]
pub struct List {
    pages: Pages,
    len: usize,
    quick: bool,
}

impl List {
    /// An empty list. Allocates nothing.
    pub const fn new() -> Self {
        Self { pages: Pages::new(), len: 0, quick: false }
    }

    /// The list whose elements are those of a packed sequence. Takes the buffer as it is.
    pub fn from_packed(bytes: Vec<u8>) -> Self {
        let node = Node::from_packed(bytes);
        let mut list = Self { pages: Pages::new(), len: node.count(), quick: false };
        if list.len > 0 {
            list.pages.insert(0, node);
        }
        list
    }

    /// The elements as one packed sequence, when they are in one page.
    #[inline]
    pub fn as_packed(&self) -> Option<&[u8]> {
        match self.pages.len() {
            0 => Some(&[]),
            1 => self.pages.get(0).map(Node::bytes),
            _ => None,
        }
    }

    /// The elements as one packed sequence; the list itself when they are in several pages.
    pub fn into_packed(mut self) -> Result<Vec<u8>, Self> {
        if self.pages.len() > 1 {
            return Err(self);
        }
        Ok(self.pages.pop(End::Front).map_or_else(Vec::new, Node::into_packed))
    }

    /// The packed sequences of the pages, in order.
    pub fn pages(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.pages.iter().map(Node::bytes)
    }

    #[inline]
    fn page_bytes(&self, page: usize) -> &[u8] {
        self.pages.get(page).map_or(&[], Node::bytes)
    }

    /// Number of elements.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements; such a list's key is to be deleted.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the logical encoding is "quicklist".
    #[inline]
    pub fn is_quicklist(&self) -> bool {
        self.quick
    }

    /// The logical encoding, as OBJECT ENCODING names it.
    pub fn encoding(&self) -> &'static str {
        if self.quick { "quicklist" } else { "listpack" }
    }

    /// Heap bytes held. Visits every page.
    pub fn heap_bytes(&self) -> usize {
        let each = size_of::<crate::page::Page<Node>>();
        let nodes: usize =
            self.pages.iter().map(|page| page.heap_bytes() + size_of::<Node>()).sum();
        self.pages.capacity() * each + nodes
    }

    /// The read view.
    #[inline]
    pub fn view(&self) -> ListRef<'_> {
        ListRef::Pages(self)
    }

    /// Adds `text` at one end.
    #[inline]
    pub fn push(&mut self, limit: PageLimit, end: End, text: &[u8]) {
        self.note_growth(limit, text.len());
        let element = Encoded::new(text);
        match self.pages.end(end) {
            Some((at, page)) if page.fits(&element, limit) => {
                self.pages.edit(at).push(end, &element, limit);
            }
            _ => self.begin_page(limit, end, &element),
        }
        self.len += 1;
    }

    /// Adds `text` at the head.
    #[inline]
    pub fn push_front(&mut self, limit: PageLimit, text: &[u8]) {
        self.push(limit, End::Front, text);
    }

    /// Adds `text` at the tail.
    #[inline]
    pub fn push_back(&mut self, limit: PageLimit, text: &[u8]) {
        self.push(limit, End::Back, text);
    }

    /// Removes the element at one end and gives what `read` makes of it.
    #[inline]
    pub fn pop<R>(
        &mut self,
        limit: PageLimit,
        end: End,
        read: impl FnOnce(Entry<'_>) -> R,
    ) -> Option<R> {
        let (at, page) = self.pages.end(end)?;
        let bytes = page.bytes();
        let offset = match end {
            End::Front => 0,
            End::Back => packed::prev(bytes, bytes.len())?,
        };
        let (entry, after) = packed::entry_at(bytes, offset)?;
        let answer = read(entry);
        let page = self.pages.edit(at);
        page.remove(offset, after, 1);
        if page.count() == 0 {
            self.pages.pop(end);
            self.pages.release();
        }
        self.len -= 1;
        self.note_shrink(limit);
        Some(answer)
    }

    /// The element number `index` from the head.
    pub fn index(&self, index: usize) -> Option<Entry<'_>> {
        let place = self.locate(index)?;
        Some(packed::entry_at(self.pages.get(place.page)?.bytes(), place.offset)?.0)
    }

    /// Makes `text` the element number `index`. `false` when there is no such element.
    pub fn set(&mut self, limit: PageLimit, index: usize, text: &[u8]) -> bool {
        let Some(place) = self.locate(index) else {
            return false;
        };
        self.note_growth(limit, text.len());
        let element = Encoded::new(text);
        let Some(page) = self.pages.get(place.page) else { return false };
        let after = packed::next(page.bytes(), place.offset);
        let width = after - place.offset;
        let fits =
            page.count() == 1 || page.bytes().len() - width + element.len() <= limit.bytes as usize;
        if fits {
            self.pages.edit(place.page).replace(place.offset, after, &element, limit);
        } else {
            self.pages.edit(place.page).remove(place.offset, after, 1);
            self.insert_at(place, &element, limit);
        }
        if self.pages.len() > 1 && element.len() < width {
            self.compact(place.page.saturating_sub(1), place.page + 2, limit);
        }
        // LSET is the one command after which the peers look at the whole limit, not at its half.
        self.quick = !self.within(limit);
        true
    }

    /// Adds `text` beside the first element that is `pivot`. `false` when there is none.
    pub fn insert(&mut self, limit: PageLimit, side: Side, pivot: &[u8], text: &[u8]) -> bool {
        self.note_growth(limit, text.len());
        let wanted = Entry::of(pivot);
        let Some(mut place) = self.find(wanted) else {
            return false;
        };
        if side == Side::After
            && let Some(page) = self.pages.get(place.page)
        {
            place.offset = packed::next(page.bytes(), place.offset);
            place.index += 1;
        }
        self.insert_at(place, &Encoded::new(text), limit);
        self.len += 1;
        true
    }

    /// Removes the first `most` elements that are `text`, seen from `end`; all of them when `most`
    /// is 0. Gives the number removed.
    pub fn remove(&mut self, limit: PageLimit, end: End, text: &[u8], most: usize) -> usize {
        let wanted = Entry::of(text);
        let most = if most == 0 { usize::MAX } else { most };
        let mut removed = 0;
        let (mut first, mut last) = (usize::MAX, 0);
        for step in 0..self.pages.len() {
            if removed == most {
                break;
            }
            let i = match end {
                End::Front => step,
                End::Back => self.pages.len() - 1 - step,
            };
            let Some(page) = self.pages.get(i) else { break };
            let found = packed::iter(page.bytes()).filter(|&entry| entry == wanted).count();
            if found == 0 {
                continue;
            }
            let taken = found.min(most - removed);
            let spared = if end == End::Front { 0 } else { found - taken };
            self.pages.edit(i).remove_matches(wanted, spared, taken);
            removed += taken;
            (first, last) = (first.min(i), last.max(i));
        }
        if removed > 0 {
            self.len -= removed;
            self.compact(first.saturating_sub(1), last + 2, limit);
            self.note_shrink(limit);
        }
        removed
    }

    /// Keeps the `count` elements from number `start` on, and removes the others. Visits only the
    /// pages it removes.
    pub fn trim(&mut self, limit: PageLimit, start: usize, count: usize) {
        let start = start.min(self.len);
        let count = count.min(self.len - start);
        self.cut(End::Back, self.len - start - count);
        self.cut(End::Front, start);
        self.compact(0, 2, limit);
        self.compact(self.pages.len().saturating_sub(2), self.pages.len(), limit);
        self.note_shrink(limit);
    }

    /// The `count` elements from number `start` on, towards the tail.
    #[inline]
    pub fn range(&self, start: usize, count: usize) -> Range<'_> {
        self.view().range(start, count)
    }

    /// The `count` elements from number `start` on, towards the head.
    #[inline]
    pub fn range_rev(&self, start: usize, count: usize) -> Range<'_> {
        self.view().range_rev(start, count)
    }

    /// All elements from the head to the tail.
    #[inline]
    pub fn iter(&self) -> Range<'_> {
        self.range(0, self.len)
    }

    /// Removes the `n` elements at one end.
    fn cut(&mut self, end: End, mut n: usize) {
        self.len -= n;
        while n > 0 {
            let Some((at, page)) = self.pages.end(end) else { break };
            if page.count() > n {
                self.pages.edit(at).cut(end, n);
                break;
            }
            n -= page.count();
            self.pages.pop(end);
        }
        self.pages.release();
    }

    /// Where the element number `index` is.
    fn locate(&self, index: usize) -> Option<Place> {
        if index >= self.len {
            return None;
        }
        let (page, index) = if index < self.len / 2 {
            self.page_from_front(index)?
        } else {
            self.page_from_back(self.len - 1 - index)?
        };
        let node = self.pages.get(page)?;
        Some(Place { page, index, offset: node.offset_of(index)? })
    }

    fn page_from_front(&self, mut index: usize) -> Option<(usize, usize)> {
        for (i, page) in self.pages.iter().enumerate() {
            if index < page.count() {
                return Some((i, index));
            }
            index -= page.count();
        }
        None
    }

    fn page_from_back(&self, mut index: usize) -> Option<(usize, usize)> {
        for (i, page) in self.pages.iter().enumerate().rev() {
            if index < page.count() {
                return Some((i, page.count() - 1 - index));
            }
            index -= page.count();
        }
        None
    }

    /// Where the first element equal to `wanted` is.
    fn find(&self, wanted: Entry<'_>) -> Option<Place> {
        for (i, page) in self.pages.iter().enumerate() {
            let mut elements = packed::iter(page.bytes());
            let mut index = 0;
            loop {
                let offset = elements.front();
                let Some(entry) = elements.next() else { break };
                if entry == wanted {
                    return Some(Place { page: i, index, offset });
                }
                index += 1;
            }
        }
        None
    }

    /// Puts an element before `place`, in a page that has room. Does not count it in `len`.
    fn insert_at(&mut self, place: Place, element: &Encoded<'_>, limit: PageLimit) {
        let Place { page, index, offset } = place;
        let fits = |list: &Self, at: usize| {
            list.pages.get(at).is_some_and(|page| page.fits(element, limit))
        };
        if fits(self, page) {
            self.pages.edit(page).insert(offset, element, limit);
            return;
        }
        self.quick = true;
        let mut after = page;
        if self.pages.get(page).is_some_and(|page| index == page.count()) {
            after = page + 1;
        } else if index > 0 {
            let tail = self.pages.edit(page).split_off(offset, index);
            after = page + 1;
            self.pages.insert(after, tail);
        }
        // The element now belongs between the pages `after - 1` and `after`.
        if after > 0 && fits(self, after - 1) {
            self.pages.edit(after - 1).push(End::Back, element, limit);
        } else if fits(self, after) {
            self.pages.edit(after).push(End::Front, element, limit);
        } else {
            self.pages.insert(after, Node::of_one(element));
        }
    }

    /// Begins a page at one end with its first element; the page that stood there is cut to size.
    #[cold]
    fn begin_page(&mut self, limit: PageLimit, end: End, element: &Encoded<'_>) {
        let at = if end == End::Front { 0 } else { self.pages.len() };
        let full = self.pages.end(end).map(|(at, _)| at);
        let mut node = Node::default();
        if let Some(full) = full {
            self.pages.seal(full);
            node = Node::with_capacity(512.min(limit.bytes as usize));
            self.quick = true;
        }
        node.push(end, element, limit);
        self.pages.insert(at, node);
    }

    /// Drops the empty ones of the pages `from..to` and merges neighbours that are small together.
    fn compact(&mut self, from: usize, to: usize, limit: PageLimit) {
        let to = to.min(self.pages.len());
        let half = limit.half();
        let mut last: Option<usize> = None;
        for i in from..to {
            let Some(right) = self.pages.get(i).filter(|page| page.count() > 0) else { continue };
            if let Some(at) = last
                && let Some(left) = self.pages.get(at)
                && half
                    .holds(left.bytes().len() + right.bytes().len(), left.count() + right.count())
            {
                let right = std::mem::take(self.pages.edit(i));
                self.pages.edit(at).append(&right);
                continue;
            }
            last = Some(i);
        }
        self.pages.drop_empty(from..to);
    }

    /// Turns to "quicklist" when `extra` bytes of one more element pass the limit.
    #[inline]
    fn note_growth(&mut self, limit: PageLimit, extra: usize) {
        if !self.quick {
            let bytes = self.pages.get(0).map_or(0, |page| page.bytes().len());
            self.quick = !limit.holds(LISTPACK_OVERHEAD + bytes + extra, self.len + 1);
        }
    }

    /// Turns back to "listpack" when what is left is one page of at most half the limit.
    #[inline]
    fn note_shrink(&mut self, limit: PageLimit) {
        if self.quick && self.within(limit.half()) {
            self.quick = false;
        }
    }

    /// See [`Value::begin_capture`](crate::value::Value::begin_capture).
    pub(crate) fn begin_capture(&mut self) -> Head {
        self.pages.begin_capture()
    }

    /// See [`Value::capture_step`](crate::value::Value::capture_step).
    pub(crate) fn capture_step(&mut self) -> Step {
        self.pages.capture_step()
    }

    /// See [`Value::end_capture`](crate::value::Value::end_capture).
    pub(crate) fn end_capture(&mut self) -> Option<Remains> {
        self.pages.end_capture()
    }

    /// Whether the elements are one page within `limit`.
    fn within(&self, limit: PageLimit) -> bool {
        self.as_packed().is_some_and(|bytes| limit.holds(LISTPACK_OVERHEAD + bytes.len(), self.len))
    }
}

#[cfg(test)]
mod tests;
