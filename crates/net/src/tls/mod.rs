//! TLS below the event loop: configurations made from files, and streams that look like sockets.
//!
//! - [`options`]: what the operator asks for, and a stamp of the files it names;
//! - [`config`]: from that to what accepts or opens connections;
//! - [`stream`]: a connection without blocking, plain bytes in and out;
//! - [`connect`]: a connection to another server for a thread that may block;
//! - [`subject`]: the names in a certificate, for finding a client's user;
//! - `ciphers`: cipher lists in OpenSSL's words; `sessions`: sessions that clients may resume.
//!
//! The protocol itself is rustls', with ring's cryptography. A configuration is immutable and shared by the
//! connections that began with it; a change makes another one.

mod ciphers;
pub mod config;
pub mod connect;
pub mod options;
mod sessions;
pub mod stream;
pub mod subject;
#[cfg(test)]
mod testing;

pub use config::{Acceptor, ConfigError, Connector};
pub use connect::TlsClient;
pub use options::{Options, SessionLimits, Stamp, Verify};
pub use stream::TlsStream;
