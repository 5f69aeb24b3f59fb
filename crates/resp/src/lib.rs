//! The wire codec of the Redis protocols, RESP2 and RESP3, without I/O.
//!
//! * [`request`]: bytes of a connection in, commands out, resumable, no allocation on the way;
//! * [`inline`]: the line form of a command and its quoting, also that of `redis.conf`;
//! * [`reply`]: writers of replies for both protocol versions;
//! * [`parse`]: the client's side, replies into owned values (tests, replicas, tools);
//! * [`limits`]: every limit with where its number comes from.
//!
//! Nothing here reads a socket or a clock, so any split of a byte stream can be tried in a test.
//!
//! Source: the RESP2 and RESP3 specifications at redis.io; behaviour and texts of redis-server
//! 7.0.15 and valkey-server 9.1.
#![forbid(unsafe_code)]

pub mod inline;
pub mod limits;
pub mod output;
pub mod parse;
pub mod reply;
pub mod request;

pub use output::Output;
pub use reply::{Deferred, Protocol, Reply};
pub use request::{ArgRange, Args, Limits, Parsed, Parser, ProtocolError};
