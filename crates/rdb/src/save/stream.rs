//! Saving a stream.
//!
//! ```text
//! blocks:length [ master:string of 16 bytes, listpack:string ]...
//! entries:length last.ms:length last.seq:length
//! first.ms first.seq deleted.ms deleted.seq added:length                          from STREAM_2 on
//! groups:length [ name:string last.ms:length last.seq:length
//!                 read:length, all ones when unknown                              from STREAM_2 on
//!                 pending:length [ id:16 bytes delivered:i64 deliveries:length ]...
//!                 consumers:length [ name:string seen:i64
//!                                    active:i64, -1 for never                     from STREAM_3 on
//!                                    pending:length [ id:16 bytes ]... ]... ]...
//! ```
//!
//! Ids of 16 bytes have the high byte first. Every pending entry has to belong to a consumer, or the
//! peers refuse the whole; entries that were given back (XNACK) are therefore saved with a consumer
//! without name that was never seen ([`NOBODY`]), which loading removes again. What is remembered of
//! producers' messages (XADD IDMP) has no place in any published form and is not saved.

use ochre_types::capture::{GroupHead, StreamHead};
use ochre_types::stream::{Block, Group, Pending, Stream, StreamId};

use super::{put_len, put_string};
use crate::format::{Dialect, kind};

/// The name of the consumer that has what belongs to nobody; its time of being seen is 0, and its
/// entries' time of delivery is, too.
pub(crate) const NOBODY: &[u8] = b"";

/// Appends a stream; gives its type.
pub(super) fn save(out: &mut Vec<u8>, stream: &Stream, dialect: &Dialect) -> u8 {
    put_len(out, stream.blocks().len() as u64);
    stream.blocks().for_each(|block| put_block(out, block, dialect));
    put_tail(out, &stream.head());
    let third = dialect.version() > Dialect::REDIS_7_0.version();
    for (name, group) in stream.groups() {
        put_group_head(out, &group.head(name), dialect);
        put_group(out, group, third, dialect);
    }
    if third { kind::STREAM_3 } else { kind::STREAM_2 }
}

/// Appends a block.
pub(super) fn put_block(out: &mut Vec<u8>, block: &Block, dialect: &Dialect) {
    put_string(out, &id_bytes(block.master()), dialect);
    put_string(out, &block.listpack(), dialect);
}

/// Appends what stands between the blocks and the groups.
pub(super) fn put_tail(out: &mut Vec<u8>, head: &StreamHead) {
    put_len(out, head.len);
    put_id(out, head.last_id);
    put_id(out, head.first_id);
    put_id(out, head.max_deleted_id);
    put_len(out, head.entries_added);
    put_len(out, head.groups as u64);
}

/// Appends what stands before a group's pending entries.
pub(super) fn put_group_head(out: &mut Vec<u8>, head: &GroupHead, dialect: &Dialect) {
    put_string(out, &head.name, dialect);
    put_id(out, head.last_id);
    put_len(out, head.entries_read.map_or(u64::MAX, |read| read as u64));
    put_len(out, head.pending as u64);
}

/// Appends a pending entry.
pub(super) fn put_pending(out: &mut Vec<u8>, id: StreamId, pending: &Pending) {
    out.extend_from_slice(&id_bytes(id));
    let delivered_ms = if pending.owner.is_none() { 0 } else { pending.delivered_ms };
    out.extend_from_slice(&delivered_ms.to_le_bytes());
    put_len(out, pending.deliveries as u64);
}

fn put_id(out: &mut Vec<u8>, id: StreamId) {
    put_len(out, id.ms);
    put_len(out, id.seq);
}

fn id_bytes(id: StreamId) -> [u8; 16] {
    (u128::from(id.ms) << 64 | u128::from(id.seq)).to_be_bytes()
}

/// Appends a group's pending entries and consumers.
fn put_group(out: &mut Vec<u8>, group: &Group, third: bool, dialect: &Dialect) {
    let mut ownerless = Vec::new();
    for (id, pending) in group.pending_in(StreamId::MIN..=StreamId::MAX) {
        put_pending(out, id, pending);
        if pending.owner.is_none() {
            ownerless.push(id);
        }
    }
    let nobody = group.find(NOBODY);
    let adds_one = nobody.is_none() && !ownerless.is_empty();
    put_len(out, (group.consumers().len() + usize::from(adds_one)) as u64);
    if adds_one {
        put_consumer(out, NOBODY, (0, -1), &ownerless, third, dialect);
    }
    for (id, consumer) in group.consumers() {
        let mut ids: Vec<StreamId> = consumer.pending_from(StreamId::MIN).collect();
        if nobody == Some(id) && !ownerless.is_empty() {
            ids.extend_from_slice(&ownerless);
            ids.sort_unstable();
        }
        let times = (consumer.seen_ms, consumer.active_ms);
        put_consumer(out, consumer.name(), times, &ids, third, dialect);
    }
}

/// Appends a consumer with the ids of what it has not acknowledged.
pub(super) fn put_consumer(
    out: &mut Vec<u8>,
    name: &[u8],
    (seen_ms, active_ms): (i64, i64),
    pending: &[StreamId],
    third: bool,
    dialect: &Dialect,
) {
    put_string(out, name, dialect);
    out.extend_from_slice(&seen_ms.to_le_bytes());
    if third {
        out.extend_from_slice(&active_ms.to_le_bytes());
    }
    put_len(out, pending.len() as u64);
    pending.iter().for_each(|id| out.extend_from_slice(&id_bytes(*id)));
}
