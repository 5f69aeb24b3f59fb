//! INFO keysizes: how many values of each type have which size, by powers of two.
//!
//! ```text
//! db0_distrib_strings_sizes:0=1,4=2,2K=1     so many strings of 0, 4..7, 2048..4095 bytes
//! db0_distrib_lists_items:2=1                lists, sets, zsets and hashes by their elements
//! ```
//!
//! It is counted when it is asked for, by a walk over all keys: what counters would cost is paid by every
//! write, for a number that is looked at now and then. The walk takes one shard's lock at a time and lets
//! it go after [`STEPS`] buckets, so that others wait for some microseconds; in a transaction all locks
//! are held anyway. A key is counted as it is at that moment: one that moves to another bucket meanwhile
//! (a split) may be counted twice, none that stays is left out.
//!
//! Cost: O(N) with N the number of keys, some 50 ns each, on the caller's loop. INFO of all sections has to be
//! cheap for those who ask for it every few seconds, and leaves this one out beyond [`KEYS_MAX`] keys.
//! Streams and sketches have no line. Source: documentation of INFO of Redis 8.0.

use std::fmt::Write;

use ochre_base::num::{I64_TEXT_MAX, format_i64};
use ochre_keyspace::db::{Db, Stored, Text};
use ochre_keyspace::entry::{Entry, Kind};
use ochre_keyspace::lock::ShardId;
use ochre_keyspace::shard::{DbIndex, Shard};
use ochre_types::hash::HashRef;
use ochre_types::list::ListRef;
use ochre_types::set::SetRef;
use ochre_types::value::Value;
use ochre_types::zset::ZsetRef;

use crate::turn::Turn;

/// Keys beyond which INFO of all sections does without this one: some 5 ms.
const KEYS_MAX: usize = 100_000;
/// Home buckets walked under one hold of a lock.
const STEPS: usize = 32;
/// Sizes by their highest bit, and one for 0.
const BUCKETS: usize = 65;

/// The types in the order of the lines, and what is counted of each.
const TYPES: [&str; 5] =
    ["strings_sizes", "lists_items", "sets_items", "zsets_items", "hashes_items"];

/// How many values of each type have which size.
type Counts = [[u64; BUCKETS]; TYPES.len()];

/// The sizes of all databases.
#[derive(Debug, Default)]
pub(super) struct KeySizes(Vec<Counts>);

impl KeySizes {
    /// Walks over all keys.
    pub(super) fn count(turn: &mut Turn<'_>) -> Self {
        let mut sizes = Self::default();
        let shards = &turn.engine.shards;
        match &mut turn.held {
            Some(locked) if locked.holds_all() => {
                locked.each().for_each(|shard| {
                    for db in 0..shard.dbs().len() as DbIndex {
                        sizes.walk(shard, db, 0, usize::MAX);
                    }
                });
            }
            _ => {
                for id in 0..shards.count() as ShardId {
                    let (mut db, mut cursor) = (0, 0);
                    while shards.visit(id, |shard| {
                        let is_one = usize::from(db) < shard.dbs().len();
                        if is_one {
                            cursor = sizes.walk(shard, db, cursor, STEPS);
                            db += u16::from(cursor == 0);
                        }
                        is_one
                    }) {}
                }
            }
        }
        sizes
    }

    /// Goes on from `cursor` for so many steps; where to go on then, 0 at the end.
    fn walk(&mut self, shard: &Shard, index: DbIndex, mut cursor: u64, steps: usize) -> u64 {
        let db = shard.db(index);
        for _ in 0..steps {
            if db.is_empty() {
                return 0;
            }
            cursor = db.scan(cursor, |entry| {
                if let Some((kind, size)) = size_of(db, &entry) {
                    let at = usize::from(index);
                    if at >= self.0.len() {
                        self.0.resize(at + 1, [[0; BUCKETS]; TYPES.len()]);
                    }
                    self.0[at][kind][bucket(size)] += 1;
                }
            });
            if cursor == 0 {
                break;
            }
        }
        cursor
    }

    /// Writes the section.
    pub(super) fn write(&self, out: &mut String) {
        out.push_str("# Keysizes\r\n");
        for (index, counts) in self.0.iter().enumerate() {
            for (name, counts) in TYPES.iter().zip(counts) {
                let filled = counts.iter().enumerate().filter(|(_, count)| **count > 0);
                let parts: Vec<String> =
                    filled.map(|(bucket, count)| format!("{}={count}", label(bucket))).collect();
                if !parts.is_empty() {
                    // Writing to a string cannot fail.
                    let _ = write!(out, "db{index}_distrib_{name}:{}\r\n", parts.join(","));
                }
            }
        }
    }
}

/// Whether there are so few keys that a walk is not noticed.
pub(super) fn is_cheap(turn: &mut Turn<'_>) -> bool {
    let mut keys = 0;
    turn.each_shard(|shard| keys += shard.dbs().iter().map(Db::len).sum::<usize>());
    keys <= KEYS_MAX
}

/// 0 for 0, else one more than the highest bit.
fn bucket(size: usize) -> usize {
    size.checked_ilog2().map_or(0, |bit| bit as usize + 1)
}

/// The least size of a bucket: `0`, `1`, `512`, `1K`, `2M`.
fn label(bucket: usize) -> String {
    let Some(bit) = bucket.checked_sub(1) else { return "0".to_owned() };
    const UNITS: [&str; 7] = ["", "K", "M", "G", "T", "P", "E"];
    format!("{}{}", 1u64 << (bit % 10), UNITS[bit / 10])
}

/// The place of its type in [`TYPES`] and its size; none for types without a line.
fn size_of(db: &Db, entry: &Entry<'_>) -> Option<(usize, usize)> {
    if let Some(text) = db.text(entry) {
        let len = match text {
            Text::Int(n) => format_i64(n, &mut [0; I64_TEXT_MAX]).len(),
            Text::Bytes(bytes) => bytes.len(),
            Text::Blob(bytes) => bytes.len(),
        };
        return Some((0, len));
    }
    Some(match db.stored(entry) {
        Stored::Inline(Kind::List, bytes) => (1, ListRef::Packed(bytes).len()),
        Stored::Inline(Kind::Ints, bytes) => (2, SetRef::Ints(bytes).len()),
        Stored::Inline(Kind::Set, bytes) => (2, SetRef::Packed(bytes).len()),
        Stored::Inline(Kind::Zset, bytes) => (3, ZsetRef::Packed(bytes).len()),
        Stored::Inline(Kind::Hash, bytes) => (4, HashRef::Packed(bytes).len()),
        Stored::Inline(Kind::HashEx, bytes) => (4, HashRef::PackedEx(bytes).len()),
        Stored::Object(Value::List(list)) => (1, list.len()),
        Stored::Object(Value::Set(set)) => (2, set.len()),
        Stored::Object(Value::Zset(zset)) => (3, zset.len()),
        Stored::Object(Value::Hash(hash)) => (4, hash.len()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_apart_by_powers_of_two() {
        let shown = |size: usize| label(bucket(size));
        for (size, expected) in [
            (0, "0"),
            (1, "1"),
            (2, "2"),
            (3, "2"),
            (4, "4"),
            (1023, "512"),
            (1024, "1K"),
            (3000, "2K"),
            (1 << 20, "1M"),
            ((1 << 30) - 1, "512M"),
            (usize::MAX, "8E"),
        ] {
            assert_eq!(shown(size), expected, "{size}");
        }
    }
}
