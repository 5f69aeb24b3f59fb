//! Sentinel: watches primaries, agrees with other sentinels that one is down, and promotes a replica.
//!
//! This is a state machine. Time, replies, messages and commands go in; what is to be sent, written, run and told
//! comes out as [`Output`], in order. Nothing here opens a socket or a file or reads a clock, so that the same code
//! runs in the server and, thousands of times faster, under the simulator.
//!
//! - [`machine`]: the state as a whole and what goes in;
//! - [`output`]: what comes out;
//! - [`addr`](mod@addr): addresses, and whoever resolves names;
//! - [`link`](mod@link): connections to others, and the requests under way on them;
//! - [`primary`]: what is known of one primary, its replicas and the other sentinels;
//! - `schedule`: what is sent when, and which links are made anew;
//! - `info`, `hello`: what is learnt from INFO, and from the messages of `__sentinel__:hello`;
//! - `health`: subjectively down, objectively down, tilt;
//! - `election`, `failover`: votes, and the steps of a failover;
//! - [`config`]: lines of the configuration; [`rewrite`] puts them into a file's text;
//! - [`commands`]: the SENTINEL command and its kin; [`scripts`]: which script runs when.
//!
//! Invariants, held by the simulator (`crates/sim`): a sentinel votes once in an epoch, also across a crash, since
//! [`Output::Persist`] stands before the answer that tells of the vote; at most one sentinel leads a failover of a
//! primary in an epoch, as long as the majority is counted over all sentinels; the configuration with the greatest
//! epoch wins everywhere.
//!
//! Source: the Sentinel documentation of Redis 7.2 and Valkey 9; behaviour, texts and events of redis-sentinel
//! 7.0.15 and valkey-sentinel 9.1.

#![forbid(unsafe_code)]

pub mod addr;
pub mod commands;
pub mod config;
mod election;
mod failover;
mod health;
mod hello;
mod info;
pub mod link;
pub mod machine;
pub mod mutation;
pub mod output;
pub mod primary;
pub mod rewrite;
mod schedule;
pub mod scripts;

pub use addr::{Addr, Host};
pub use link::LinkId;
pub use machine::Sentinel;
pub use mutation::Mutation;
pub use output::{Level, Output};

/// The channel that sentinels find one another by.
pub const HELLO_CHANNEL: &str = "__sentinel__:hello";

/// Most primaries that one sentinel watches: each holds some kilobytes and some sockets.
pub const PRIMARIES_MAX: usize = 10_000;

/// Most replicas, and most other sentinels, that are kept of one primary: what others announce must not
/// fill the memory.
pub const INSTANCES_MAX: usize = 1000;

/// Most bytes of a name of a primary, of a host or of a script's path.
pub const TEXT_MAX: usize = 1024;

/// Most bytes that are kept of an INFO for INFO-CACHE.
pub const INFO_MAX: usize = 256 * 1024;
