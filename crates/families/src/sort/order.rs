//! Elements, their weights, and the sorted order of a part of them.
//!
//! Elements are bytes one after another with their ends. Sorting works on their numbers: it selects the
//! part that is asked for by two selections, then sorts that. Order: by weight, equal weights by bytes,
//! or by texts that a pattern found, elements without one first; whatever is equal then stays in the
//! order it had. Descending turns all of it round but the last.
//!
//! Cost: O(n) and O(m log m) for a part of m.

use std::cmp::Ordering;
use std::ops::Range;

use ochre_base::num::parse_f64;
use ochre_types::zset::Order;

/// Byte strings, one after another.
#[derive(Debug, Default)]
pub(super) struct Elements {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Elements {
    pub(super) fn push(&mut self, element: &[u8]) {
        self.bytes.extend_from_slice(element);
        self.ends.push(self.bytes.len());
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Element number `at`, which is below their number.
    pub(super) fn at(&self, at: u32) -> &[u8] {
        let at = at as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.bytes[start..self.ends[at]]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len() as u32).map(|at| self.at(at))
    }

    /// A part of the order by bytes.
    pub(super) fn by_bytes(&self, range: Range<usize>, order: Order) -> Vec<u32> {
        self.sorted(range, order, |a, b| self.at(a).cmp(self.at(b)))
    }

    /// A part of the order by weights, then by bytes.
    pub(super) fn by_weight(&self, weights: &[f64], range: Range<usize>, order: Order) -> Vec<u32> {
        self.sorted(range, order, |a, b| {
            let (left, right) = (weights[a as usize], weights[b as usize]);
            // Weights are never NaN: `weight` refuses it.
            let by_weight = left.partial_cmp(&right).unwrap_or(Ordering::Equal);
            by_weight.then_with(|| self.at(a).cmp(self.at(b)))
        })
    }

    /// A part of the order by texts.
    pub(super) fn by_texts(&self, texts: &Texts, range: Range<usize>, order: Order) -> Vec<u32> {
        self.sorted(range, order, |a, b| texts.at(a).cmp(&texts.at(b)))
    }

    fn sorted(
        &self,
        range: Range<usize>,
        order: Order,
        compare: impl Fn(u32, u32) -> Ordering,
    ) -> Vec<u32> {
        let compare = |a: &u32, b: &u32| {
            let by_content = compare(*a, *b);
            let by_content = match order {
                Order::Ascending => by_content,
                Order::Descending => by_content.reverse(),
            };
            by_content.then(a.cmp(b))
        };
        let mut all: Vec<u32> = (0..self.len() as u32).collect();
        if range.end < all.len() {
            all.select_nth_unstable_by(range.end, compare);
            all.truncate(range.end);
        }
        if range.start > 0 && range.start < all.len() {
            all.select_nth_unstable_by(range.start, compare);
        }
        all.drain(..range.start.min(all.len()));
        all.sort_unstable_by(compare);
        all
    }
}

/// What a pattern found for each element.
#[derive(Debug, Default)]
pub(super) struct Texts {
    texts: Elements,
    found: Vec<bool>,
}

impl Texts {
    /// Asks for the text of each element.
    pub(super) fn load(
        elements: &Elements,
        mut append: impl FnMut(&[u8], &mut Vec<u8>) -> bool,
    ) -> Self {
        let mut all = Self::default();
        for element in elements.iter() {
            let found = append(element, &mut all.texts.bytes);
            all.texts.ends.push(all.texts.bytes.len());
            all.found.push(found);
        }
        all
    }

    /// None sorts before all texts.
    fn at(&self, at: u32) -> Option<&[u8]> {
        self.found[at as usize].then(|| self.texts.at(at))
    }
}

/// The number that a text is for C's `strtod`: blanks in front are skipped, an empty text is 0, and a
/// zero byte ends it. None when something is left over.
pub(super) fn weight(text: &[u8]) -> Option<f64> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(0.0);
    }
    let blanks = text.iter().take_while(|b| matches!(b, b' ' | b'\t'..=b'\r')).count();
    parse_f64(&text[blanks..])
}

/// The part that an offset and a count choose from so many: a negative offset is 0, a negative count
/// is all.
pub(super) fn part(len: usize, (offset, count): (i64, i64)) -> Range<usize> {
    let start = usize::try_from(offset.max(0)).unwrap_or(usize::MAX).min(len);
    let end = match usize::try_from(count) {
        Ok(count) => start.saturating_add(count).min(len),
        Err(_) => len,
    };
    start..end
}
