//! Saving a collection that comes in parts, see [`ochre_types::capture`].
//!
//! The same types of value as for a whole one, with two differences that readers do not see: elements of
//! hashes, sets and sorted sets come in the order of the parts, and a hash whose fields expire gives a lower
//! bound of their expiries where a whole one gives the earliest, since its fields' expiries are stored as
//! differences from it.
//!
//! State: what stands between the parts. A stream's group lists for each consumer what it has not
//! acknowledged, behind all that is pending: the ids are held back until the group is over, 24 bytes for each.

use std::collections::BTreeMap;

use ochre_types::capture::{GroupHead, field_content, score_content};
use ochre_types::capture::{Head, Kept, Pair, Part, StreamHead};
use ochre_types::stream::{ConsumerId, Pending, StreamId};

use super::collection::put_page;
use super::stream::{NOBODY, put_block, put_consumer, put_group_head, put_pending, put_tail};
use super::{put_len, put_meta, put_string};
use crate::format::{Dialect, Family, kind};
use crate::record::KeyMeta;

/// A key's record under way. See the file's head.
#[derive(Debug)]
pub struct PartsEncoder {
    dialect: Dialect,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Set,
    Zset,
    Hash,
    /// With expiries: the differences from a moment, or Valkey's form.
    HashExpiring {
        from: u64,
    },
    HashOfValkey,
    List,
    Stream(Box<StreamForm>),
}

#[derive(Debug)]
struct StreamForm {
    head: StreamHead,
    blocks_left: usize,
    group: Option<OpenGroup>,
}

/// A group whose pending entries are coming.
#[derive(Debug)]
struct OpenGroup {
    head: GroupHead,
    /// What each consumer has not acknowledged; none for nobody's.
    owned: BTreeMap<Option<u32>, Vec<StreamId>>,
}

impl PartsEncoder {
    /// Begins a key's record: what [`encode_key`](super::encode_key) writes before elements.
    pub fn begin(
        out: &mut Vec<u8>,
        key: &[u8],
        head: &Head,
        meta: &KeyMeta,
        dialect: &Dialect,
    ) -> Self {
        let third = dialect.version() > Dialect::REDIS_7_0.version();
        let (form, kind) = match head {
            Head::Set(_) => (Form::Set, kind::SET),
            Head::Zset(_) => (Form::Zset, kind::ZSET_2),
            Head::List(_) => (Form::List, kind::LIST_QUICKLIST_2),
            Head::Hash { earliest: None, .. } => (Form::Hash, kind::HASH),
            Head::Hash { .. } if dialect.family() == Family::Valkey => {
                (Form::HashOfValkey, kind::VALKEY_HASH_EXPIRY)
            }
            Head::Hash { earliest: Some(from), .. } => {
                (Form::HashExpiring { from: *from }, kind::HASH_EXPIRY)
            }
            Head::Stream(head) => {
                let form = StreamForm { head: *head, blocks_left: head.blocks, group: None };
                let kind = if third { kind::STREAM_3 } else { kind::STREAM_2 };
                (Form::Stream(Box::new(form)), kind)
            }
        };
        put_meta(out, meta);
        out.push(kind);
        put_string(out, key, dialect);
        if let Form::HashExpiring { from } = form {
            out.extend_from_slice(&from.to_le_bytes());
        }
        match head {
            Head::Set(n) | Head::Zset(n) | Head::List(n) | Head::Hash { len: n, .. } => {
                put_len(out, *n as u64);
            }
            Head::Stream(head) => put_len(out, head.blocks as u64),
        }
        let mut encoder = Self { dialect: *dialect, form };
        encoder.after_blocks(out);
        encoder
    }

    /// Appends the next part.
    pub fn part(&mut self, out: &mut Vec<u8>, part: Part) {
        match part {
            Part::Elements(copied) => copied.pairs().for_each(|pair| self.pair(out, pair)),
            Part::Kept(kept) => self.kept(out, &kept),
            Part::Pages(pages) => pages.iter().for_each(|page| put_page(out, page, &self.dialect)),
            Part::Blocks(blocks) => {
                blocks.iter().for_each(|block| put_block(out, block, &self.dialect));
                if let Form::Stream(stream) = &mut self.form
                    && !blocks.is_empty()
                {
                    stream.blocks_left = stream.blocks_left.saturating_sub(blocks.len());
                    self.after_blocks(out);
                }
            }
            Part::Group(head) => self.group(out, *head),
            Part::Pending(pending) => self.pending(out, &pending),
            Part::Remains(_) => {}
        }
    }

    /// Ends the record.
    pub fn end(mut self, out: &mut Vec<u8>) {
        self.end_group(out);
    }

    fn kept(&self, out: &mut Vec<u8>, kept: &Kept) {
        kept.pairs().for_each(|pair| self.pair(out, pair));
    }

    fn pair(&self, out: &mut Vec<u8>, (name, content): Pair<'_>) {
        let dialect = &self.dialect;
        match &self.form {
            Form::Set => put_string(out, name, dialect),
            Form::Zset => {
                put_string(out, name, dialect);
                out.extend_from_slice(&score_content(content).to_le_bytes());
            }
            Form::Hash | Form::HashOfValkey | Form::HashExpiring { .. } => {
                let (expiry, value) = field_content(content);
                if let Form::HashExpiring { from } = self.form {
                    let after = expiry.checked_sub(from).map_or(0, |after| after + 1);
                    put_len(out, if expiry == 0 { 0 } else { after });
                }
                put_string(out, name, dialect);
                put_string(out, value, dialect);
                if matches!(self.form, Form::HashOfValkey) {
                    let at = if expiry == 0 { -1 } else { expiry as i64 };
                    out.extend_from_slice(&at.to_le_bytes());
                }
            }
            // Their parts are no elements.
            Form::List | Form::Stream(_) => {}
        }
    }

    /// What follows the last block of a stream.
    fn after_blocks(&mut self, out: &mut Vec<u8>) {
        if let Form::Stream(stream) = &self.form
            && stream.blocks_left == 0
        {
            put_tail(out, &stream.head);
        }
    }

    fn group(&mut self, out: &mut Vec<u8>, head: GroupHead) {
        self.end_group(out);
        put_group_head(out, &head, &self.dialect);
        if let Form::Stream(stream) = &mut self.form {
            stream.group = Some(OpenGroup { head, owned: BTreeMap::new() });
        }
    }

    fn pending(&mut self, out: &mut Vec<u8>, pending: &[(StreamId, Pending)]) {
        let Form::Stream(stream) = &mut self.form else { return };
        let Some(group) = &mut stream.group else { return };
        for (id, pending) in pending {
            put_pending(out, *id, pending);
            group.owned.entry(pending.owner.map(ConsumerId::number)).or_default().push(*id);
        }
    }

    /// The consumers of the group that is over.
    fn end_group(&mut self, out: &mut Vec<u8>) {
        let Form::Stream(stream) = &mut self.form else { return };
        let Some(OpenGroup { head, mut owned }) = stream.group.take() else { return };
        let third = self.dialect.version() > Dialect::REDIS_7_0.version();
        let ownerless = owned.remove(&None).unwrap_or_default();
        let has_nobody = head.consumers.iter().any(|consumer| *consumer.name == *NOBODY);
        let adds_one = !has_nobody && !ownerless.is_empty();
        put_len(out, (head.consumers.len() + usize::from(adds_one)) as u64);
        if adds_one {
            put_consumer(out, NOBODY, (0, -1), &ownerless, third, &self.dialect);
        }
        for consumer in &head.consumers {
            let mut ids = owned.remove(&Some(consumer.id.number())).unwrap_or_default();
            if *consumer.name == *NOBODY && !ownerless.is_empty() {
                ids.extend_from_slice(&ownerless);
                ids.sort_unstable();
            }
            let times = (consumer.seen_ms, consumer.active_ms);
            put_consumer(out, &consumer.name, times, &ids, third, &self.dialect);
        }
    }
}

#[cfg(test)]
mod tests;
