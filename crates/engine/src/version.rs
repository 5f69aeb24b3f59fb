//! Versions that the server reports.

/// The version of Redis whose behaviour clients may count on: what HELLO and INFO say.
pub const REPORTED: &str = "7.2.0";
/// Our own version.
pub const OCHRE: &str = env!("CARGO_PKG_VERSION");
