//! Points in time. Nothing here reads a clock: `net` and `server` do, and pass the value on.

/// Milliseconds since the Unix epoch. Signed, as the protocol's absolute expiries are.
pub type Millis = i64;

/// Microseconds: of an unspecified monotonic clock, or a duration.
pub type Micros = u64;

/// What a command knows of time. Sampled once for a command, script or transaction, so that all
/// of it sees one moment (a key cannot expire half way through).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Wall clock in milliseconds since the Unix epoch.
    pub unix_ms: Millis,
    /// Wall clock in microseconds since the Unix epoch.
    pub unix_us: u64,
    /// Monotonic clock in microseconds; only differences mean something.
    pub mono_us: Micros,
}
