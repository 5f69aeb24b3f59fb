//! A page of a list: a packed sequence with a gap in front and unused capacity behind.
//!
//! The layout is drawn in the file of [`List`](super::List). `start <= buf.len()`, the bytes from
//! `start` on are a valid packed sequence of `count` elements, and what stands in the gap means
//! nothing. Pages that grow take half as much again, up to an eighth over the limit: that eighth is
//! what lets a full page serve as a queue without moving its bytes for every element.

use super::End;
use crate::limits::PageLimit;
use crate::packed::{self, Encoded, Entry};

/// One page. 32 bytes, and the buffer.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    buf: Vec<u8>,
    start: u32,
    count: u32,
}

impl Node {
    pub(super) fn from_packed(buf: Vec<u8>) -> Self {
        let count = packed::count(&buf) as u32;
        Self { buf, start: 0, count }
    }

    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { buf: Vec::with_capacity(bytes), start: 0, count: 0 }
    }

    /// A page of one element, and no room.
    pub(super) fn of_one(element: &Encoded<'_>) -> Self {
        let mut node = Self { buf: Vec::with_capacity(element.len()), start: 0, count: 1 };
        element.append_to(&mut node.buf);
        node
    }

    pub(super) fn into_packed(mut self) -> Vec<u8> {
        self.buf.drain(..self.start as usize);
        self.buf
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buf[self.start as usize..]
    }

    #[inline]
    pub(super) fn count(&self) -> usize {
        self.count as usize
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.buf.capacity()
    }

    /// Whether one more element stays within the limit.
    #[inline]
    pub(super) fn fits(&self, element: &Encoded<'_>, limit: PageLimit) -> bool {
        limit.holds(self.bytes().len() + element.len(), self.count() + 1)
    }

    /// Offset of the element number `index`, walked to from the nearer end.
    pub(super) fn offset_of(&self, index: usize) -> Option<usize> {
        if index < self.count() / 2 {
            packed::offset_of(self.bytes(), index)
        } else {
            packed::offset_from_back(self.bytes(), self.count().checked_sub(index + 1)?)
        }
    }

    #[inline]
    pub(super) fn push(&mut self, end: End, element: &Encoded<'_>, limit: PageLimit) {
        let width = element.len();
        match end {
            End::Back => {
                if self.buf.capacity() - self.buf.len() < width {
                    self.make_room(End::Back, width, limit);
                }
                element.append_to(&mut self.buf);
            }
            End::Front => {
                if (self.start as usize) < width {
                    self.make_room(End::Front, width, limit);
                }
                self.start -= width as u32;
                element.write_to(&mut self.buf[self.start as usize..]);
            }
        }
        self.count += 1;
    }

    /// Puts an element before the one at `offset`, moving the smaller part of the page.
    pub(super) fn insert(&mut self, offset: usize, element: &Encoded<'_>, limit: PageLimit) {
        let width = element.len();
        let len = self.bytes().len();
        if offset < len / 2 {
            if (self.start as usize) < width {
                self.make_room(End::Front, width, limit);
            }
            let old = self.start as usize;
            let new = old - width;
            self.buf.copy_within(old..old + offset, new);
            self.start = new as u32;
        } else {
            if self.buf.capacity() - self.buf.len() < width {
                self.make_room(End::Back, width, limit);
            }
            let end = self.buf.len();
            let at = self.start as usize + offset;
            self.buf.resize(end + width, 0);
            self.buf.copy_within(at..end, at + width);
        }
        element.write_to(&mut self.buf[self.start as usize + offset..]);
        self.count += 1;
    }

    /// Puts an element in the place of the one from `offset` to `after`.
    pub(super) fn replace(
        &mut self,
        offset: usize,
        after: usize,
        element: &Encoded<'_>,
        limit: PageLimit,
    ) {
        if element.len() == after - offset {
            element.write_to(&mut self.buf[self.start as usize + offset..]);
        } else {
            self.remove(offset, after, 1);
            self.insert(offset, element, limit);
        }
    }

    /// Removes the `n` elements from `offset` to `after`, moving the smaller part of the page.
    pub(super) fn remove(&mut self, offset: usize, after: usize, n: usize) {
        let start = self.start as usize;
        let width = after - offset;
        let behind = self.buf.len() - start - after;
        if offset < behind {
            self.buf.copy_within(start..start + offset, start + width);
            self.start += width as u32;
        } else {
            self.buf.copy_within(start + after.., start + offset);
            self.buf.truncate(start + offset + behind);
        }
        self.count -= n as u32;
        self.release();
    }

    /// Removes the `n` elements at one end.
    pub(super) fn cut(&mut self, end: End, n: usize) {
        let len = self.bytes().len();
        match end {
            End::Front => {
                if let Some(after) = self.offset_of(n) {
                    self.remove(0, after, n);
                }
            }
            End::Back => {
                if let Some(offset) = self.offset_of(self.count() - n) {
                    self.remove(offset, len, n);
                }
            }
        }
    }

    /// Of the elements equal to `wanted`, leaves the first `spared` and removes the next `taken`.
    /// One pass: runs of kept elements move down over the gaps.
    pub(super) fn remove_matches(&mut self, wanted: Entry<'_>, mut spared: usize, taken: usize) {
        let start = self.start as usize;
        let mut left = taken;
        let (mut at, mut kept_from, mut write) = (0, 0, 0);
        while left > 0 {
            let Some((entry, after)) = packed::entry_at(self.bytes(), at) else {
                break;
            };
            if entry == wanted {
                if spared > 0 {
                    spared -= 1;
                } else {
                    self.buf.copy_within(start + kept_from..start + at, start + write);
                    write += at - kept_from;
                    kept_from = after;
                    left -= 1;
                }
            }
            at = after;
        }
        let end = self.buf.len();
        self.buf.copy_within(start + kept_from.., start + write);
        self.buf.truncate(end - (kept_from - write));
        self.count -= (taken - left) as u32;
        self.release();
    }

    /// Moves the elements from `offset` on, of which the first has the number `index`, to a new page.
    pub(super) fn split_off(&mut self, offset: usize, index: usize) -> Self {
        let tail = self.bytes()[offset..].to_vec();
        let count = self.count - index as u32;
        self.buf.truncate(self.start as usize + offset);
        self.count = index as u32;
        self.release();
        Self { buf: tail, start: 0, count }
    }

    /// Adds the elements of `other` behind the own ones.
    pub(super) fn append(&mut self, other: &Self) {
        let bytes = other.bytes();
        if self.buf.capacity() - self.buf.len() < bytes.len() {
            self.refit(self.bytes().len() + bytes.len());
        }
        self.buf.extend_from_slice(bytes);
        self.count += other.count;
    }

    /// Gives back all room: the page is full and another one is begun.
    pub(super) fn seal(&mut self) {
        let len = self.bytes().len();
        if self.buf.capacity() - len > len / 128 {
            self.refit(len);
        }
    }

    /// Gives back most room once three quarters of the buffer are unused.
    fn release(&mut self) {
        let len = self.bytes().len();
        if self.buf.capacity() > 256 && len < self.buf.capacity() / 4 {
            self.refit(len + len / 2);
        }
    }

    /// Moves the elements to the start of a buffer of `capacity` bytes.
    fn refit(&mut self, capacity: usize) {
        if self.start == 0 {
            self.buf.shrink_to(capacity);
            self.buf.reserve_exact(capacity - self.buf.len());
            return;
        }
        let mut fresh = Vec::with_capacity(capacity);
        fresh.extend_from_slice(self.bytes());
        self.buf = fresh;
        self.start = 0;
    }

    /// Makes room for `width` bytes at one end: by moving the elements within the buffer when a
    /// quarter of it stays free, else by growing it. The other end keeps what it has, up to half.
    #[cold]
    fn make_room(&mut self, end: End, width: usize, limit: PageLimit) {
        let (start, len, capacity) = (self.start as usize, self.bytes().len(), self.buf.capacity());
        let needed = len + width;
        let most = limit.bytes as usize + limit.bytes as usize / 8;
        let capacity_new = if needed <= capacity - capacity / 4 {
            capacity
        } else {
            (needed + needed / 2).min(most).max(needed).max(capacity)
        };
        let free = capacity_new - needed;
        let start_new = match end {
            End::Back => start.min(free / 2),
            End::Front => capacity_new - len - (capacity - self.buf.len()).min(free / 2),
        };
        if capacity_new == capacity {
            if start_new > start {
                self.buf.resize(start_new + len, 0);
            }
            self.buf.copy_within(start..start + len, start_new);
            self.buf.truncate(start_new + len);
        } else if start == start_new {
            self.buf.reserve_exact(capacity_new - self.buf.len());
        } else {
            let mut fresh = Vec::with_capacity(capacity_new);
            fresh.resize(start_new, 0);
            fresh.extend_from_slice(self.bytes());
            self.buf = fresh;
        }
        self.start = start_new as u32;
    }
}
