//! What consumer groups' commands log.
//!
//! A delivery is logged as the claim that has the same result, with its absolute time and count, and
//! is applied by XCLAIM with FORCE; how far a group has read is logged as XGROUP SETID. Entries with
//! the same time and count share one XCLAIM.

use ochre_command::{Data, Key};
use ochre_types::stream::StreamId;

/// A pending entry as it is after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claimed {
    pub(super) id: StreamId,
    pub(super) delivered_ms: i64,
    pub(super) deliveries: i64,
}

/// Logs who has these entries. Those in a row with the same time and count become one command.
pub(super) fn claims(
    data: &mut Data<'_>,
    key: Key<'_>,
    group: &[u8],
    consumer: &[u8],
    claimed: &[Claimed],
) {
    if !data.env.log.is_on() {
        return;
    }
    let same =
        |a: &Claimed, b: &Claimed| (a.delivered_ms, a.deliveries) == (b.delivered_ms, b.deliveries);
    for run in claimed.chunk_by(same) {
        let Some(first) = run.first() else { continue };
        let mut words: Vec<Vec<u8>> =
            [b"XCLAIM", key.name, group, consumer, b"0"].iter().map(|word| word.to_vec()).collect();
        words.extend(run.iter().map(|claimed| claimed.id.to_vec()));
        words.push(b"TIME".to_vec());
        words.push(first.delivered_ms.to_string().into_bytes());
        words.push(b"RETRYCOUNT".to_vec());
        words.push(first.deliveries.to_string().into_bytes());
        words.push(b"FORCE".to_vec());
        words.push(b"JUSTID".to_vec());
        data.effect(words.iter());
    }
}

/// Logs that pending entries are gone.
pub(super) fn acknowledged(data: &mut Data<'_>, key: Key<'_>, group: &[u8], ids: &[StreamId]) {
    if ids.is_empty() || !data.env.log.is_on() {
        return;
    }
    let mut words: Vec<Vec<u8>> =
        [b"XACK", key.name, group].iter().map(|word| word.to_vec()).collect();
    words.extend(ids.iter().map(|id| id.to_vec()));
    data.effect(words.iter());
}

/// Logs how far a group has read.
pub(super) fn position(
    data: &mut Data<'_>,
    key: Key<'_>,
    group: &[u8],
    last_id: StreamId,
    entries_read: Option<i64>,
) {
    let (id, read) = (last_id.to_vec(), entries_read.unwrap_or(-1).to_string());
    let words = [&b"XGROUP"[..], b"SETID", key.name, group, &id, b"ENTRIESREAD", read.as_bytes()];
    data.effect(words.iter());
}

/// Logs a new consumer.
pub(super) fn consumer_made(data: &mut Data<'_>, key: Key<'_>, group: &[u8], consumer: &[u8]) {
    data.effect([&b"XGROUP"[..], b"CREATECONSUMER", key.name, group, consumer].iter());
}
