//! Starts servers, talks to them and compares them, for tests and for `bench/`.
//!
//! * [`server`]: a server process (Ochre or a peer) on a free loopback port in a folder of its
//!   own, ready when it answers, killed by its process id when dropped;
//! * [`raw`]: a client that shows every byte and every type of a reply;
//! * [`line`](mod@line): words of a command line, as redis-cli reads them, and replies as short text;
//! * [`oracle`]: the same script against Ochre and a real server, compared reply by reply.
//!
//! What goes wrong here is a failed test: the functions panic with what was asked, what came and,
//! through [`server::Server`], the log of the process. Those that return an error say so.
//!
//! This crate reads the clock and starts threads and processes; nothing of the server imports it.
#![forbid(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    reason = "deadlines of tests are wall-clock times; no product code links this crate"
)]

pub mod line;
pub mod oracle;
pub mod raw;
pub mod server;

pub use ochre_resp::parse::Value;
pub use raw::Client;
pub use server::{Program, Server};
