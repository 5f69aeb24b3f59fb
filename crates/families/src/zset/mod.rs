//! Sorted-set commands, one file for each thing that is done to a set.
//!
//! Reading goes through [`ZsetRef`], writing through [`Data::edit`], which lends the set out and drops
//! the key when it is left empty. Everything by order (rank, score, member) is first turned into a span
//! of ranks by the set; counting, replying, storing and removing then work on spans alone.
//!
//! Scores are doubles: RESP3 has them as such, RESP2 as text.
//!
//! Source: documentation of the sorted-set commands of Redis 7.2 and Valkey 9.1.

use ochre_command::data::{Class, Left, Work};
use ochre_command::outcome::{Result, WRONG_TYPE};
use ochre_command::{Data, Key, Reply};
use ochre_keyspace::db::Stored;
use ochre_keyspace::entry::Kind;
use ochre_types::limits::Limits;
use ochre_types::value::Value;
use ochre_types::zset::{Entry, Zset, ZsetRef};

pub mod add;
mod bounds;
pub mod combine;
pub mod pop;
pub mod random;
pub mod range;
pub mod read;
pub mod remove;
pub mod store;

/// What is stored, as a sorted set.
#[inline]
fn as_zset(stored: Stored<'_>) -> Result<ZsetRef<'_>> {
    match stored {
        Stored::Inline(Kind::Zset, bytes) => Ok(ZsetRef::Packed(bytes)),
        Stored::Object(Value::Zset(zset)) => Ok(zset.view()),
        _ => Err(WRONG_TYPE),
    }
}

/// The sorted set under a key, for reading.
#[inline]
fn read<'d>(data: &'d mut Data<'_>, key: Key<'_>) -> Result<Option<ZsetRef<'d>>> {
    data.stored(key).map(as_zset).transpose()
}

/// The sorted set under a key, for a write that looks first.
fn peek<'d>(data: &'d mut Data<'_>, key: Key<'_>) -> Result<Option<ZsetRef<'d>>> {
    data.peek(key).map(as_zset).transpose()
}

/// Lends the sorted set under a key out for changes; `create` says whether an absent key becomes an
/// empty set first.
#[inline]
fn edit<R>(
    data: &mut Data<'_>,
    key: Key<'_>,
    create: bool,
    change: impl FnOnce(&mut Zset, &Limits, &mut Work) -> Result<R>,
) -> Result<Option<(R, Left)>> {
    let make: Option<fn() -> Value> = create.then_some(|| Value::Zset(Zset::new()));
    data.edit(key, make, |value, limits, work| match value {
        Value::Zset(zset) => change(zset, limits, work),
        _ => Err(WRONG_TYPE),
    })
}

/// Notes that members were removed, and with the last of them the key.
fn removed(data: &mut Data<'_>, key: Key<'_>, event: &'static str, left: Left) {
    data.changed(key, Class::Zset, event);
    if left == Left::Nothing {
        data.tell(key, Class::Generic, "del");
    }
}

/// Whether members are answered with their scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scores {
    With,
    Without,
}

/// Writes an array of `count` entries. With scores, RESP3 has an array of pairs, RESP2 a flat one.
fn write_entries<'e>(
    reply: &mut Reply<'_>,
    count: usize,
    entries: impl Iterator<Item = Entry<'e>>,
    scores: Scores,
) {
    begin_entries(reply, count, scores);
    entries.for_each(|entry| write_entry(reply, entry, scores));
}

/// The head of an array of `count` entries.
fn begin_entries(reply: &mut Reply<'_>, count: usize, scores: Scores) {
    let flat = scores == Scores::With && !reply.is_resp3();
    reply.array(if flat { count.saturating_mul(2) } else { count });
}

/// One entry of such an array.
#[inline]
fn write_entry(reply: &mut Reply<'_>, entry: Entry<'_>, scores: Scores) {
    if scores == Scores::With && reply.is_resp3() {
        reply.array(2);
    }
    reply.bulk(entry.member);
    if scores == Scores::With {
        reply.double(entry.score);
    }
}
