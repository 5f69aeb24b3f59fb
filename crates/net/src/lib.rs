//! Sockets: what reads and writes bytes. It knows no commands and no keys.
//!
//! - [`socket`]: a client's connection, TCP or unix;
//! - [`listener`]: the addresses that clients connect to;
//! - [`input`]: a connection's unread bytes;
//! - [`tls`]: what encrypts, between a TCP socket and the rest.
//!
//! The event loop itself stands in `server`, on `mio`: epoll, edge-triggered.

#![forbid(unsafe_code)]

pub mod input;
pub mod listener;
pub mod socket;
pub mod tls;
