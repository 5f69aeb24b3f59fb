//! What is believed of foreign bytes before they have been seen.

/// Longest string, in bytes: what the packed encodings can hold. Redis' own bound is 512 MB unless
/// proto-max-bulk-len says otherwise.
pub const STRING_MAX: u64 = u32::MAX as u64;

/// Most bytes that are allocated ahead of what has been read: a length that nothing stands behind costs
/// no more than this.
pub const STEP_BYTES: usize = 1 << 20;

/// Bytes read from a file at once.
pub const BUFFER_BYTES: usize = 64 << 10;
