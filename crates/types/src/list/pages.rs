//! The pages of a list in order, and their capture.
//!
//! A capture walks the pages from the first to the last, as they were numbered when it began. Pages come
//! and go at both ends and in between, so the capture knows which of the pages of now are which of then:
//!
//! ```text
//! runs   [ at, was, len ]...   the pages `at..at + len` of now are `was..was + len` of then, unchanged;
//!                              ascending in both; one run when it begins
//! early  was -> bytes          pages of then that were changed or removed before the walk had come to them
//! ```
//!
//! Whatever changes a page takes it out of its run first, and keeps a copy of it (the page itself, when
//! it is removed) unless the walk is past it. So each page of then is in a run, in `early`, or behind the
//! walk: never in two, never in none.
//!
//! Costs while a capture is under way: a change O(log r) for r runs, and for a page that is met for the
//! first time a copy of it and O(r); r is at most the number of pages changed inside the list.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use super::End;
use super::node::Node;
use crate::capture::{Capture, Head, Part, Remains, STEP_BYTES, Step};
use crate::page::Page;

/// The pages. See the module's head.
#[derive(Debug, Clone, Default)]
pub(super) struct Pages {
    pages: VecDeque<Page<Node>>,
    capture: Capture<Numbered>,
}

/// Pages of now that are pages of then.
#[derive(Debug, Clone, Copy)]
struct Run {
    at: usize,
    was: usize,
    len: usize,
}

#[derive(Debug)]
struct Numbered {
    runs: Vec<Run>,
    early: BTreeMap<usize, Vec<u8>>,
    /// The next page of then to be given, and the number of all.
    next: usize,
    total: usize,
}

impl Numbered {
    /// Takes the page of now number `at` out of its run; its number of then, unless the walk is past it.
    fn take_out(&mut self, at: usize) -> Option<usize> {
        let i = self.runs.partition_point(|run| run.at + run.len <= at);
        let run = *self.runs.get(i).filter(|run| run.at <= at)?;
        let before = Run { len: at - run.at, ..run };
        let after =
            Run { at: at + 1, was: run.was + before.len + 1, len: run.len - before.len - 1 };
        self.runs.splice(i..=i, [before, after].into_iter().filter(|run| run.len > 0));
        let was = run.was + before.len;
        (was >= self.next).then_some(was)
    }

    /// A page that is none of then now has the number `at`.
    fn inserted(&mut self, at: usize) {
        let i = self.runs.partition_point(|run| run.at + run.len <= at);
        let mut moved = i;
        if let Some(run) = self.runs.get_mut(i).filter(|run| run.at < at) {
            let kept = at - run.at;
            let after = Run { at, was: run.was + kept, len: run.len - kept };
            run.len = kept;
            moved = i + 1;
            self.runs.insert(moved, after);
        }
        self.runs[moved..].iter_mut().for_each(|run| run.at += 1);
    }

    /// The pages of now number `gone`, ascending, are there no more; none is in a run.
    fn removed(&mut self, gone: &[usize]) {
        let mut below = 0;
        for run in &mut self.runs {
            while gone.get(below).is_some_and(|at| *at < run.at) {
                below += 1;
            }
            run.at -= below;
        }
    }

    /// The number of now of the page of then number `was`.
    fn place_of(&self, was: usize) -> Option<usize> {
        let i = self.runs.partition_point(|run| run.was + run.len <= was);
        let run = self.runs.get(i).filter(|run| run.was <= was)?;
        Some(run.at + (was - run.was))
    }

    /// Forgets runs that the walk is past, when they are more than half.
    fn trim(&mut self) {
        let past = self.runs.partition_point(|run| run.was + run.len <= self.next);
        if past > self.runs.len() / 2 {
            self.runs.drain(..past);
        }
    }
}

impl Pages {
    pub(super) const fn new() -> Self {
        Self { pages: VecDeque::new(), capture: Capture::NONE }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.pages.len()
    }

    /// Room for pages.
    pub(super) fn capacity(&self) -> usize {
        self.pages.capacity()
    }

    #[inline]
    pub(super) fn get(&self, at: usize) -> Option<&Node> {
        self.pages.get(at).map(|page| &**page)
    }

    /// The page at one end, with its number.
    #[inline]
    pub(super) fn end(&self, end: End) -> Option<(usize, &Node)> {
        let at = match end {
            End::Front => 0,
            End::Back => self.pages.len().checked_sub(1)?,
        };
        Some((at, self.pages.get(at)?))
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Node> + ExactSizeIterator {
        self.pages.iter().map(|page| &**page)
    }

    /// A page that is there, to be changed: the only way to one.
    #[inline]
    pub(super) fn edit(&mut self, at: usize) -> &mut Node {
        if self.capture.is_on() {
            self.keep(at);
        }
        self.pages[at].edit()
    }

    /// Gives back the room of a page that stays as it is.
    pub(super) fn seal(&mut self, at: usize) {
        if let Some(page) = self.pages.get_mut(at) {
            page.edit().seal();
        }
    }

    #[cold]
    fn keep(&mut self, at: usize) {
        let Some(capture) = &mut self.capture.0 else { return };
        if let Some(was) = capture.take_out(at) {
            capture.early.insert(was, self.pages[at].bytes().to_vec());
        }
    }

    /// Adds a page before the one that has the number `at`. The directory grows by an eighth: it is moved
    /// rarely anyway, and its slack counts against the 18.1 bytes.
    pub(super) fn insert(&mut self, at: usize, node: Node) {
        if self.pages.len() == self.pages.capacity() {
            self.pages.reserve_exact(self.pages.len() / 8 + 1);
        }
        self.pages.insert(at, Page::new(node));
        if let Some(capture) = &mut self.capture.0 {
            capture.inserted(at);
        }
    }

    /// Removes the page at one end.
    pub(super) fn pop(&mut self, end: End) -> Option<Node> {
        let (at, _) = self.end(end)?;
        let page = match end {
            End::Front => self.pages.pop_front(),
            End::Back => self.pages.pop_back(),
        };
        let node = page?.into_inner();
        let Some(capture) = &mut self.capture.0 else { return Some(node) };
        let was = capture.take_out(at);
        capture.removed(&[at]);
        match was {
            Some(was) => {
                capture.early.insert(was, node.into_packed());
                None
            }
            None => Some(node),
        }
    }

    /// Removes those of some pages that have no elements.
    pub(super) fn drop_empty(&mut self, range: Range<usize>) {
        let mut gone = Vec::new();
        let mut kept = range.start;
        for i in range.clone() {
            if self.pages[i].count() > 0 {
                self.pages.swap(kept, i);
                kept += 1;
            } else if self.capture.is_on() {
                gone.push(i);
            }
        }
        if kept < range.end {
            self.pages.drain(kept..range.end);
            self.release();
        }
        // A page that was emptied was changed: it is in no run.
        if let Some(capture) = &mut self.capture.0 {
            capture.removed(&gone);
        }
    }

    /// Gives back the directory's memory when most of it is unused.
    pub(super) fn release(&mut self) {
        if self.pages.capacity() > 4 * self.pages.len() + 16 {
            self.pages.shrink_to(2 * self.pages.len());
        }
    }

    /// See [`Value::begin_capture`](crate::value::Value::begin_capture).
    pub(super) fn begin_capture(&mut self) -> Head {
        let total = self.pages.len();
        let runs = vec![Run { at: 0, was: 0, len: total }];
        let capture = Numbered { runs, early: BTreeMap::new(), next: 0, total };
        self.capture = Capture(Some(Box::new(capture)));
        Head::List(total)
    }

    /// See [`Value::capture_step`](crate::value::Value::capture_step).
    pub(super) fn capture_step(&mut self) -> Step {
        let mut step = Step::default();
        let (mut given, mut bytes) = (Vec::new(), 0);
        if let Some(capture) = &mut self.capture.0 {
            while capture.next < capture.total && bytes < STEP_BYTES {
                let page = capture.early.remove(&capture.next).or_else(|| {
                    let page = self.pages.get(capture.place_of(capture.next)?)?;
                    Some(page.bytes().to_vec())
                });
                debug_assert!(page.is_some(), "a page is in a run or in early");
                bytes += page.as_ref().map_or(0, Vec::len);
                given.extend(page);
                capture.next += 1;
            }
            capture.trim();
        }
        step.is_last = self.capture.0.as_ref().is_none_or(|capture| capture.next == capture.total);
        step.parts.push(Part::Pages(given));
        if step.is_last {
            step.parts.extend(self.end_capture().map(Part::Remains));
        }
        step
    }

    /// See [`Value::end_capture`](crate::value::Value::end_capture).
    pub(super) fn end_capture(&mut self) -> Option<Remains> {
        self.capture.end()
    }
}
