//! Loading streams; the layout is drawn in the file that saves them.

use std::collections::BTreeMap;
use std::io::Read;

use ochre_types::stream::{Block, ConsumerId, Group, Pending, Stream, StreamId};

use super::Input;
use crate::error::{LoadError, Result};
use crate::format::kind;
use crate::save::NOBODY;

const BAD_TIME: LoadError = LoadError::Corrupt("stream: time or count out of range");

/// Loads a stream of any of the three types.
pub(super) fn load<R: Read>(input: &mut Input<R>, kind: u8) -> Result<Stream> {
    let mut stream = Stream::new();
    let mut bytes = Vec::new();
    for _ in 0..input.count(2)? {
        input.string_into(&mut bytes)?;
        let master = <[u8; 16]>::try_from(&*bytes).map_err(|_| LoadError::Corrupt("stream id"))?;
        input.string_into(&mut bytes)?;
        let block = Block::from_listpack(id_of(master), &bytes)
            .ok_or(LoadError::Corrupt("block of a stream"))?;
        if !stream.push_block(block) {
            return Err(LoadError::Corrupt("stream: blocks out of order"));
        }
    }
    // Entries are counted here; a wrong count is nothing to refuse a whole file for, an absurd one is.
    if input.len()? > 0 && stream.len() == 0 {
        return Err(LoadError::Corrupt("stream length"));
    }
    let last_id = id(input)?;
    if last_id < stream.last_id {
        return Err(LoadError::Corrupt("stream: last id before the last entry"));
    }
    stream.last_id = last_id;
    if kind == kind::STREAM_1 {
        stream.entries_added = stream.len();
    } else {
        // The first id follows from the entries.
        id(input)?;
        stream.max_deleted_id = id(input)?;
        stream.entries_added = input.len()?;
        if i64::try_from(stream.entries_added).is_err() {
            return Err(BAD_TIME);
        }
    }
    for _ in 0..input.count(4)? {
        input.string_into(&mut bytes)?;
        let group = group(input, kind, &stream)?;
        if !stream.add_group(&bytes, group) {
            return Err(LoadError::Corrupt("stream: a group stands twice"));
        }
    }
    Ok(stream)
}

fn id<R: Read>(input: &mut Input<R>) -> Result<StreamId> {
    Ok(StreamId::new(input.len()?, input.len()?))
}

fn id_of(bytes: [u8; 16]) -> StreamId {
    let wide = u128::from_be_bytes(bytes);
    StreamId::new((wide >> 64) as u64, wide as u64)
}

fn group<R: Read>(input: &mut Input<R>, kind: u8, stream: &Stream) -> Result<Group> {
    let last_id = id(input)?;
    let entries_read = match kind {
        kind::STREAM_1 => stream.count_up_to(last_id),
        _ => match input.len()? {
            u64::MAX => None,
            read => Some(i64::try_from(read).map_err(|_| BAD_TIME)?),
        },
    };
    let mut group = Group::new(last_id, entries_read);
    let mut pending: BTreeMap<StreamId, (Pending, bool)> = BTreeMap::new();
    for _ in 0..input.count(25)? {
        let id = id_of(input.array()?);
        let delivered_ms = i64::from_le_bytes(input.array()?);
        let deliveries = i64::try_from(input.len()?).map_err(|_| BAD_TIME)?;
        let entry = Pending { delivered_ms, deliveries, owner: None };
        if pending.insert(id, (entry, false)).is_some() {
            return Err(LoadError::Corrupt("stream: an entry is pending twice"));
        }
    }
    for _ in 0..input.count(10)? {
        consumer(input, kind, &mut group, &mut pending)?;
    }
    if pending.values().any(|(_, taken)| !taken) {
        return Err(LoadError::Corrupt("stream: a pending entry without consumer"));
    }
    for (id, (entry, _)) in pending {
        group.pend(id, entry);
    }
    Ok(group)
}

fn consumer<R: Read>(
    input: &mut Input<R>,
    kind: u8,
    group: &mut Group,
    pending: &mut BTreeMap<StreamId, (Pending, bool)>,
) -> Result<()> {
    let name = input.string()?;
    let seen_ms = i64::from_le_bytes(input.array()?);
    let active_ms = match kind {
        kind::STREAM_3 => i64::from_le_bytes(input.array()?),
        _ => seen_ms,
    };
    let owner: Option<ConsumerId> = if name == NOBODY && seen_ms == 0 {
        None
    } else {
        let (owner, is_new) = group.add_consumer(&name, seen_ms);
        if !is_new {
            return Err(LoadError::Corrupt("stream: Duplicate stream consumer detected"));
        }
        if let Some(consumer) = group.consumer_mut(owner) {
            consumer.active_ms = active_ms;
        }
        Some(owner)
    };
    for _ in 0..input.count(16)? {
        let id = id_of(input.array()?);
        match pending.get_mut(&id) {
            Some((entry, taken @ false)) => {
                *taken = true;
                entry.owner = owner;
            }
            _ => return Err(LoadError::Corrupt("stream: pending entries of a consumer")),
        }
    }
    Ok(())
}
