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

use ochre_types::stream::{Group, Stream, StreamId};

use super::{put_len, put_string};
use crate::format::{Dialect, kind};

/// The name of the consumer that has what belongs to nobody; its time of being seen is 0, and its
/// entries' time of delivery is, too.
pub(crate) const NOBODY: &[u8] = b"";

/// Appends a stream; gives its type.
pub(super) fn save(out: &mut Vec<u8>, stream: &Stream, dialect: &Dialect) -> u8 {
    put_len(out, stream.blocks().len() as u64);
    for block in stream.blocks() {
        put_string(out, &id_bytes(block.master()), dialect);
        put_string(out, &block.listpack(), dialect);
    }
    put_len(out, stream.len());
    put_id(out, stream.last_id);
    put_id(out, stream.first_id());
    put_id(out, stream.max_deleted_id);
    put_len(out, stream.entries_added);
    let third = dialect.version() > Dialect::REDIS_7_0.version();
    put_len(out, stream.groups().len() as u64);
    for (name, group) in stream.groups() {
        put_string(out, name, dialect);
        put_group(out, group, third, dialect);
    }
    if third { kind::STREAM_3 } else { kind::STREAM_2 }
}

fn put_id(out: &mut Vec<u8>, id: StreamId) {
    put_len(out, id.ms);
    put_len(out, id.seq);
}

fn id_bytes(id: StreamId) -> [u8; 16] {
    (u128::from(id.ms) << 64 | u128::from(id.seq)).to_be_bytes()
}

fn put_group(out: &mut Vec<u8>, group: &Group, third: bool, dialect: &Dialect) {
    put_id(out, group.last_id);
    put_len(out, group.entries_read.map_or(u64::MAX, |read| read as u64));
    put_len(out, group.pending_count() as u64);
    let mut ownerless = Vec::new();
    for (id, pending) in group.pending_in(StreamId::MIN..=StreamId::MAX) {
        out.extend_from_slice(&id_bytes(id));
        let delivered_ms = if pending.owner.is_none() { 0 } else { pending.delivered_ms };
        out.extend_from_slice(&delivered_ms.to_le_bytes());
        put_len(out, pending.deliveries as u64);
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

fn put_consumer(
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
