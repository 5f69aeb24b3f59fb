//! Execution of commands, without I/O: sessions, the gate, locks from a command's keys, transactions,
//! blocking, and what the loops tell one another.
//!
//! The way of a command: [`pipeline`] parses a batch and prefetches what it will touch; [`execute`]
//! resolves the row, passes the [`gate`], takes the locks ([`lockplan`]), runs the handler, serves
//! waiting clients ([`blocking`]), appends the effects to the log, lets the locks go, and counts.

#![forbid(unsafe_code)]

pub mod acl;
pub mod apply;
pub mod blocking;
mod client_filter;
pub mod clients;
pub mod commands;
mod digest;
pub mod docs;
pub mod engine;
pub mod execute;
pub mod failover;
pub mod field_expiry;
pub mod following;
pub mod gate;
pub mod live;
pub mod loading;
pub mod lockplan;
pub mod mailbox;
pub mod monitor;
pub mod pipeline;
pub mod pubsub;
pub mod registry;
pub mod replay;
pub mod replicas;
pub mod saves;
pub mod script;
pub mod session;
pub mod shutdown;
pub mod slowlog;
pub mod tracking;
pub mod transfer;
pub mod turn;
pub mod version;
