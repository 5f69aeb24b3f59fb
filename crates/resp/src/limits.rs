//! Limits of the wire protocol, each with the origin of its number.

/// Longest inline request, and longest line that holds a count or a length, in bytes.
/// Peers: 64 KB (`PROTO_INLINE_MAX_SIZE`). A longer line ends the connection.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// Most arguments in one command. Peers since 7.0: what a C `int` holds.
pub const ARGS_MAX: i64 = i32::MAX as i64;

/// Most arguments before the client has authenticated, where authentication is required.
/// Peers since 6.2.6 (CVE-2021-32675): 10, enough for HELLO with AUTH and SETNAME.
pub const ARGS_MAX_UNAUTHENTICATED: i64 = 10;

/// Longest argument before authentication, in bytes. Peers since 6.2.6: 16 KB.
pub const BULK_BYTES_MAX_UNAUTHENTICATED: u64 = 16 * 1024;

/// Default of `proto-max-bulk-len`, in bytes. Peers: 512 MB.
pub const BULK_BYTES_MAX_DEFAULT: u64 = 512 * 1024 * 1024;

/// Arguments from this size on are worth reading straight into their final buffer, in bytes.
/// Peers: 32 KB (`PROTO_MBULK_BIG_ARG`).
pub const BIG_ARG_BYTES: usize = 32 * 1024;

/// Room for argument ranges that a count in a header may reserve before any argument arrived, so
/// that a hostile count of two thousand million costs nothing. Peers: 1024.
pub const ARGS_RESERVE_MAX: usize = 1024;

/// End of the furthest argument in one request, in bytes from its start: ranges are held in 32
/// bits. No peer states one; `client-query-buffer-limit` (1 GB) cuts long before.
pub const REQUEST_BYTES_MAX: u64 = u32::MAX as u64;

/// Deepest nesting of aggregates that the client-side parser follows. The deepest known reply,
/// COMMAND DOCS, nests about ten levels; scripts may nest more.
pub const REPLY_DEPTH_MAX: usize = 128;

/// Most elements in one aggregate of a reply that the client-side parser accepts.
pub const REPLY_ELEMENTS_MAX: u64 = u32::MAX as u64;
