//! The sorted set: distinct members, each with a score, ordered by score and then by member bytes.
//!
//! Two forms. A small set is one packed buffer (see `packed`), which the keyspace may keep inside
//! its own entry; a large one is [`ZsetTree`]: an order-statistic B+tree for everything that asks
//! by order (rank, score, lex) and a hash table for everything that asks by member, both pointing
//! at one block per member in an arena.
//!
//! ```text
//!             member ──hash──> Table of Ref (4 B each)
//!                                     │
//! score, rank ──B+tree──> leaf slot   │        arena block
//!                        [prefix 4][Ref 4] ──> [head 1..][score 2|4|6|8][member]
//! ```
//!
//! The *logical* encoding ("listpack" or "skiplist", as OBJECT ENCODING names them) follows the
//! thresholds in [`Limits`](crate::limits::Limits): a set becomes a skiplist when a member is added beyond
//! `zset-max-listpack-entries`, or is longer than `zset-max-listpack-value`, and never turns back
//! by removals; only a stored result ([`Zset::fit`], [`Zset::from_unsorted`]) may.
//!
//! Order: scores as numbers (-0.0 equals 0.0; NaN is refused), then members as `memcmp` does, a
//! prefix before its extensions. Ranks count from 0 at the lowest. A *span* is a range of such
//! ranks; ranges by score or by member bytes are first turned into spans, so that counting,
//! iterating (both ways, with an offset) and removing are one piece of code each.
//!
//! Costs, with n members and m returned or removed: by member O(1); rank, span, insert and remove
//! O(log n); iterating O(log n + m); removing a span O(m + m/100 log n). The packed form is linear,
//! over at most a few KB.
//!
//! Measured with a million random 16-byte members (release build, jemalloc, 2-vCPU AMD EPYC, best
//! of 8 rounds): integer scores 41.9 bytes per member (blocks 24, table 8, leaves 9.3, inner nodes
//! 0.3), float scores 49.8; adding 0.7 to 0.9 us, removing 0.9 to 1.2, rank 0.9, score 0.25, a new
//! random score 1.5 to 1.9, iterating 0.03 per entry. Where most scores are equal, or too close for
//! a slot's 32-bit image of the score, comparisons read blocks: 2 to 3 us, and up to 6 for a change
//! of score.
//!
//! Source: the behaviour of the Z* commands of Redis 7.2; `t_zset.c` is not followed in structure.

mod bptree;
mod entry;
mod iter;
mod node;
mod packed;
mod range;
mod run;
mod tree;
mod value;

#[cfg(test)]
mod tests;

pub use entry::Entry;
pub use iter::Iter;
pub use range::{LexBound, LexRange, Order, ScoreBound, ScoreRange};
pub use tree::ZsetTree;
pub use value::{Change, Zset, ZsetEncoding, ZsetRef};
