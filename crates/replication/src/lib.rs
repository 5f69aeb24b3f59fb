//! The replica's end of a replication link, as a state machine: bytes and the time go in, requests to be sent
//! and events come out. Nothing here opens a socket or reads a clock.
//!
//! - [`link`]: from the greeting to the stream, with offsets, acknowledgements and time-outs;
//! - [`payload`]: the snapshot on its way, in both of its forms.
//!
//! Source: the published description of the replication protocol; redis-server 7.0.15, valkey-server 9.1 and
//! Redis 8.0 as primaries.

#![forbid(unsafe_code)]

pub mod link;
pub mod payload;

/// Most bytes of one line of a primary's answers.
pub const LINE_MAX: usize = 4096;
