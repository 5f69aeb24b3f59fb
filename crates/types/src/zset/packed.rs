//! The packed form of a small sorted set: one buffer of entries in order.
//!
//! ```text
//! empty set: no bytes at all
//! offset  size  what
//! 0       2     number of entries, little-endian; 0xFFFF = that many or more, count by walking
//! 2       ..    entries in the set's order, each as `entry` draws it, without gaps
//! ```
//!
//! Everything walks from the front: with the default thresholds (128 entries of at most 64 bytes)
//! that is at most a few KB. -0.0 is stored as 0.0, which is what a listpack does to it in Redis
//! (its skiplist keeps the sign). The bytes are trusted: they come from this module only.

use super::entry::{self, Entry};
use super::range::{LexRange, ScoreRange};
use std::ops::Range;

/// Where entries begin.
const HEAD: usize = 2;

/// The count that stands for "too many for 16 bits".
const UNCOUNTED: u16 = u16::MAX;

/// The most bytes a packed set may take, whatever the thresholds say (as a listpack: 1 GiB).
pub(super) const BYTES_MAX: usize = 1 << 30;

/// Walks the entries in order, giving each with its offset.
#[derive(Clone, Debug)]
pub(super) struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    #[inline]
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: HEAD }
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = (usize, Entry<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let start = self.at;
        let (entry, size) = entry::read(&self.bytes[start..]);
        self.at += size;
        Some((start, entry))
    }
}

/// A member's place: its rank, the offset of its entry, its score.
pub(super) struct Found {
    pub(super) rank: usize,
    pub(super) at: usize,
    pub(super) score: f64,
}

/// The number of entries. O(1) below 65535.
#[inline]
pub(super) fn len(bytes: &[u8]) -> usize {
    match bytes.first_chunk::<HEAD>().map(|count| u16::from_le_bytes(*count)) {
        None => 0,
        Some(UNCOUNTED) => Walk::new(bytes).count(),
        Some(count) => usize::from(count),
    }
}

fn set_len(bytes: &mut Vec<u8>, len: usize) {
    if len == 0 {
        bytes.clear();
        return;
    }
    let count = u16::try_from(len).unwrap_or(UNCOUNTED);
    bytes[..HEAD].copy_from_slice(&count.to_le_bytes());
}

/// Where `member` is.
#[inline]
pub(super) fn find(bytes: &[u8], member: &[u8]) -> Option<Found> {
    Walk::new(bytes)
        .enumerate()
        .find(|(_, (_, entry))| entry.member == member)
        .map(|(rank, (at, entry))| Found { rank, at, score: entry.score })
}

/// The entry at `rank`.
pub(super) fn entry_at(bytes: &[u8], rank: usize) -> Option<Entry<'_>> {
    Walk::new(bytes).nth(rank).map(|(_, entry)| entry)
}

/// The offset of the entry at `rank`, or of the end.
pub(super) fn offset_at(bytes: &[u8], rank: usize) -> usize {
    Walk::new(bytes).nth(rank).map_or(bytes.len(), |(at, _)| at)
}

/// The ranks whose scores are in `range`.
pub(super) fn score_span(bytes: &[u8], range: &ScoreRange) -> Range<usize> {
    span(bytes, |e| range.is_above(e.score), |e| range.is_below(e.score))
}

/// The ranks whose members are in `range`.
pub(super) fn lex_span(bytes: &[u8], range: &LexRange<'_>) -> Range<usize> {
    span(bytes, |e| range.is_above(e.member), |e| range.is_below(e.member))
}

fn span(
    bytes: &[u8],
    precedes: impl Fn(Entry<'_>) -> bool,
    follows: impl Fn(Entry<'_>) -> bool,
) -> Range<usize> {
    let mut walk = Walk::new(bytes).map(|(_, entry)| entry).peekable();
    let mut start = 0;
    while walk.next_if(|entry| precedes(*entry)).is_some() {
        start += 1;
    }
    start..start + walk.take_while(|entry| !follows(*entry)).count()
}

/// The size that `bytes` would have with one more entry.
pub(super) fn size_with(bytes: &[u8], score: f64, member_len: usize) -> usize {
    bytes.len().max(HEAD).saturating_add(entry::size(score, member_len))
}

/// Adds an entry whose member is absent, at its place.
pub(super) fn insert(bytes: &mut Vec<u8>, score: f64, member: &[u8]) {
    let new = Entry { member, score: score + 0.0 };
    let at = Walk::new(bytes)
        .find(|(_, entry)| entry.order(&new).is_gt())
        .map_or(bytes.len().max(HEAD), |(at, _)| at);
    insert_at(bytes, at, new);
}

/// Adds an entry that follows all others.
pub(super) fn push(bytes: &mut Vec<u8>, score: f64, member: &[u8]) {
    let at = bytes.len().max(HEAD);
    insert_at(bytes, at, Entry { member, score: score + 0.0 });
}

fn insert_at(bytes: &mut Vec<u8>, at: usize, new: Entry<'_>) {
    let count = len(bytes);
    let size = entry::size(new.score, new.member.len());
    let end = bytes.len().max(HEAD);
    bytes.resize(end + size, 0);
    bytes.copy_within(at..end, at + size);
    entry::write(&mut bytes[at..], new.score, new.member);
    set_len(bytes, count + 1);
}

/// Removes the entry at offset `at`.
pub(super) fn remove(bytes: &mut Vec<u8>, at: usize) {
    let count = len(bytes);
    let (_, size) = entry::read(&bytes[at..]);
    bytes.drain(at..at + size);
    set_len(bytes, count - 1);
}

/// Removes the entries of the ranks in `span`, which lies within the set.
pub(super) fn remove_span(bytes: &mut Vec<u8>, span: Range<usize>) {
    if span.is_empty() {
        return;
    }
    let count = len(bytes);
    let start = offset_at(bytes, span.start);
    let end = start + skip(&bytes[start..], span.len());
    bytes.drain(start..end);
    set_len(bytes, count - span.len());
}

/// The size of the first `n` entries of `entries`.
fn skip(entries: &[u8], n: usize) -> usize {
    let mut at = 0;
    for _ in 0..n {
        at += entry::read(&entries[at..]).1;
    }
    at
}

/// Gives the found entry a new score, moving it where it belongs.
pub(super) fn rescore(bytes: &mut Vec<u8>, found: &Found, score: f64, member: &[u8]) {
    remove(bytes, found.at);
    insert(bytes, score, member);
}
