//! Versions that the server reports.

/// The version of Redis whose behaviour clients may count on, unless `compat` names another.
pub const REPORTED: &str = "7.2.4";
/// Our own version.
pub const OCHRE: &str = env!("CARGO_PKG_VERSION");
