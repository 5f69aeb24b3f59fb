//! The numbers of a running server: counters, command statistics, slow log, latency monitor.
//!
//! Each loop adds up its own [`stats::LoopStats`] behind a lock that nobody else takes but INFO and its
//! kin; a reader merges them.

#![forbid(unsafe_code)]

pub mod latency;
pub mod slowlog;
pub mod stats;
