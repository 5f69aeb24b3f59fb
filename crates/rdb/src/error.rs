//! Why a file or payload cannot be loaded.

use crate::format::Family;

/// Why a file or value cannot be loaded. What was read of it so far is of no use.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The bytes could not be read.
    #[error("failed to read: {0}")]
    Io(#[from] std::io::Error),
    /// The bytes end within something.
    #[error("unexpected end of the data")]
    Truncated,
    /// The file begins with neither family's magic.
    #[error("wrong signature, not an RDB file")]
    Signature,
    /// A version that is not read.
    #[error("can't handle RDB format version {version} of {family:?}")]
    Version {
        /// Whose.
        family: Family,
        /// Which.
        version: u16,
    },
    /// The checksum is another one.
    #[error("RDB CRC error: the data says {expected:016x}, it is {found:016x}")]
    Checksum {
        /// What stands in the data.
        expected: u64,
        /// What its bytes give.
        found: u64,
    },
    /// A type that is not known.
    #[error("unknown type or opcode {0}")]
    UnknownType(u8),
    /// A value of a module, by its name.
    #[error("the value belongs to module type '{0}', which is not there")]
    Module(String),
    /// Functions as a release candidate of Redis 7.0 saved them.
    #[error("pre-release function format not supported")]
    PreReleaseFunction,
    /// A length that no value can have.
    #[error("a length of {0} is beyond all limits")]
    TooLong(u64),
    /// A collection without elements.
    #[error("empty collection")]
    Empty,
    /// Bytes that mean nothing where they stand.
    #[error("corrupt {0}")]
    Corrupt(&'static str),
}

/// What loading gives.
pub type Result<T> = std::result::Result<T, LoadError>;
