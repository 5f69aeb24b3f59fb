//! Which messages producers have already added, so that a repeated XADD adds nothing.
//!
//! For each producer the most recent message ids (`iid`) are kept with the entry that each became:
//! at most `max_count` of them, and none older than `duration_s`. The age is that of the entry's id,
//! whose milliseconds are the time it was made at; so a replayed log forgets at the same moments.
//! What is past its time goes when its producer adds the next message.
//!
//! Costs: a look-up or record O(log n) in the ids of its producer. Source: Redis 8.6, "Idempotent
//! message processing"; XCFGSET.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::id::StreamId;

/// What the two limits are until XCFGSET changes them, with Redis.
const DEFAULT_DURATION_S: u32 = 100;
const DEFAULT_MAX_COUNT: u32 = 100;

/// The message ids that a stream remembers.
#[derive(Debug, Clone)]
pub struct Idempotence {
    /// Seconds that a message id is kept.
    pub duration_s: u32,
    /// Most message ids kept for one producer.
    pub max_count: u32,
    /// Message ids ever recorded.
    pub added: u64,
    /// Messages that were not added because they had been.
    pub duplicates: u64,
    producers: BTreeMap<Box<[u8]>, Producer>,
}

#[derive(Debug, Clone, Default)]
struct Producer {
    order: VecDeque<Arc<[u8]>>,
    entries: BTreeMap<Arc<[u8]>, StreamId>,
}

impl Default for Idempotence {
    fn default() -> Self {
        Self {
            duration_s: DEFAULT_DURATION_S,
            max_count: DEFAULT_MAX_COUNT,
            added: 0,
            duplicates: 0,
            producers: BTreeMap::new(),
        }
    }
}

impl Idempotence {
    /// Sets the limits; forgets all message ids.
    pub fn configure(&mut self, duration_s: Option<u32>, max_count: Option<u32>) {
        self.duration_s = duration_s.unwrap_or(self.duration_s);
        self.max_count = max_count.unwrap_or(self.max_count);
        self.producers.clear();
    }

    /// The entry that a producer's message became, if that is remembered at `now_ms`.
    pub fn find(&self, producer: &[u8], message: &[u8], now_ms: i64) -> Option<StreamId> {
        let id = *self.producers.get(producer)?.entries.get(message)?;
        self.is_fresh(id, now_ms).then_some(id)
    }

    fn is_fresh(&self, id: StreamId, now_ms: i64) -> bool {
        let kept_ms = u64::from(self.duration_s) * 1000;
        id.ms.saturating_add(kept_ms) >= now_ms.max(0) as u64
    }

    /// Remembers what a producer's message became; drops what is too old or too much.
    pub fn record(&mut self, producer: &[u8], message: &[u8], id: StreamId, now_ms: i64) {
        let (kept_ms, max_count) = (u64::from(self.duration_s) * 1000, self.max_count as usize);
        let known = self.producers.entry(producer.into()).or_default();
        let message: Arc<[u8]> = message.into();
        if known.entries.insert(Arc::clone(&message), id).is_some() {
            known.order.retain(|other| *other != message);
        }
        known.order.push_back(message);
        self.added += 1;
        let now_ms = now_ms.max(0) as u64;
        while let Some(oldest) = known.order.front() {
            let at = known.entries.get(oldest).map_or(0, |id| id.ms);
            if known.order.len() <= max_count && at.saturating_add(kept_ms) >= now_ms {
                break;
            }
            known.entries.remove(oldest);
            known.order.pop_front();
        }
    }

    /// Producers of whom anything is remembered.
    pub fn producer_count(&self) -> usize {
        self.producers.len()
    }

    /// Message ids that are remembered.
    pub fn message_count(&self) -> usize {
        self.producers.values().map(|producer| producer.order.len()).sum()
    }

    /// All that is remembered, by producer and then in the order of recording.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8], StreamId)> {
        self.producers.iter().flat_map(|(name, producer)| {
            let ids = |message| producer.entries.get(message).copied();
            producer.order.iter().filter_map(move |m| Some((&**name, &**m, ids(m)?)))
        })
    }

    /// Heap bytes held, about.
    pub fn heap_bytes(&self) -> usize {
        let of = |producer: &Producer| {
            producer.order.iter().map(|message| message.len() + 72).sum::<usize>()
        };
        self.producers.iter().map(|(name, producer)| name.len() + 96 + of(producer)).sum()
    }
}

/// A message id made from what the message says (IDMPAUTO): the same in every process, whatever the
/// order of the fields. 128 bits of FNV-1a for each field with its value, added up.
pub fn message_id(pairs: &[&[u8]]) -> [u8; 16] {
    const PRIME: u128 = (1 << 88) + 0x13B;
    const BASIS: u128 = 0x6C62_272E_07BB_0142_62B8_2175_6295_C58D;
    let mut sum = pairs.len() as u128;
    for pair in pairs.chunks_exact(2) {
        let mut hash = BASIS;
        for text in pair {
            // The length keeps "ab","c" apart from "a","bc".
            for byte in (text.len() as u64).to_le_bytes().iter().chain(text.iter()) {
                hash = (hash ^ u128::from(*byte)).wrapping_mul(PRIME);
            }
        }
        sum = sum.wrapping_add(hash);
    }
    sum.to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_within_both_limits() {
        let mut seen = Idempotence::default();
        seen.configure(Some(10), Some(2));
        for (n, message) in [b"a", b"b", b"c"].iter().enumerate() {
            seen.record(b"p", *message, StreamId::new(1000 + n as u64, 0), 1000);
        }
        assert_eq!(seen.find(b"p", b"a", 1002), None);
        assert_eq!(seen.find(b"p", b"c", 1002), Some(StreamId::new(1002, 0)));
        assert_eq!(seen.find(b"q", b"c", 1002), None);
        assert_eq!(seen.find(b"p", b"c", 11_002), Some(StreamId::new(1002, 0)));
        assert_eq!(seen.find(b"p", b"c", 11_003), None);
        assert_eq!((seen.producer_count(), seen.message_count(), seen.added), (1, 2, 3));
        seen.record(b"p", b"d", StreamId::new(50_000, 0), 50_000);
        assert_eq!(seen.iter().count(), 1);
        seen.configure(None, Some(5));
        assert_eq!((seen.producer_count(), seen.duration_s), (0, 10));
    }

    #[test]
    fn message_ids_tell_contents_apart() {
        let id = |words: &[&str]| {
            message_id(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>())
        };
        assert_eq!(id(&["a", "1", "b", "2"]), id(&["b", "2", "a", "1"]));
        assert_ne!(id(&["a", "1", "b", "2"]), id(&["a", "2", "b", "1"]));
        assert_ne!(id(&["ab", "c"]), id(&["a", "bc"]));
        assert_ne!(id(&["a", "1"]), id(&["a", "1", "a", "1"]));
    }
}
