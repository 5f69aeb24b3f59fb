//! What a handler may answer: a reply written to its context, or an error with the upstream text.
//!
//! All error texts that more than one command uses stand here, so that a client that matches on
//! them finds one spelling. Source: the texts of Redis 7.2.

use std::borrow::Cow;

pub use ochre_resp::Reply;

/// A handler's result: its reply is written, or the error is to be.
pub type Result<T = ()> = std::result::Result<T, ReplyError>;

/// An error reply: the code word and the text, without the leading `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyError(pub Cow<'static, str>);

impl ReplyError {
    /// An error with a text made at run time.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Cow::Owned(text.into()))
    }

    /// An error with a fixed text.
    pub const fn fixed(text: &'static str) -> Self {
        Self(Cow::Borrowed(text))
    }

    /// The first word: what INFO errorstats counts.
    pub fn code(&self) -> &str {
        self.0.split(' ').next().unwrap_or_default()
    }
}

impl std::fmt::Display for ReplyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ReplyError {}

/// The key holds another type.
pub const WRONG_TYPE: ReplyError =
    ReplyError::fixed("WRONGTYPE Operation against a key holding the wrong kind of value");
/// The arguments make no sense together.
pub const SYNTAX: ReplyError = ReplyError::fixed("ERR syntax error");
/// An integer was expected.
pub const NOT_INTEGER: ReplyError =
    ReplyError::fixed("ERR value is not an integer or out of range");
/// A number was expected.
pub const NOT_FLOAT: ReplyError = ReplyError::fixed("ERR value is not a valid float");
/// A positive number was expected.
pub const NOT_POSITIVE: ReplyError =
    ReplyError::fixed("ERR value is out of range, must be positive");
/// The command needs a key that exists.
pub const NO_SUCH_KEY: ReplyError = ReplyError::fixed("ERR no such key");
/// The position is outside the value.
pub const INDEX_OUT_OF_RANGE: ReplyError = ReplyError::fixed("ERR index out of range");
/// A database number that does not exist.
pub const DB_OUT_OF_RANGE: ReplyError = ReplyError::fixed("ERR DB index is out of range");
/// The result would not fit 64 bits.
pub const OVERFLOW: ReplyError = ReplyError::fixed("ERR increment or decrement would overflow");
/// A score that is not a number.
pub const NAN_SCORE: ReplyError = ReplyError::fixed("ERR resulting score is not a number (NaN)");
/// The string would grow beyond proto-max-bulk-len.
pub const STRING_TOO_LONG: ReplyError =
    ReplyError::fixed("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
/// A blocking command's time-out is no number.
pub const TIMEOUT_NOT_FLOAT: ReplyError =
    ReplyError::fixed("ERR timeout is not a float or out of range");
/// A blocking command's time-out is negative.
pub const TIMEOUT_NEGATIVE: ReplyError = ReplyError::fixed("ERR timeout is negative");
/// A blocking command's time-out is too large.
pub const TIMEOUT_RANGE: ReplyError = ReplyError::fixed("ERR timeout is out of range");
/// A scan cursor that is no number.
pub const BAD_CURSOR: ReplyError = ReplyError::fixed("ERR invalid cursor");

/// Too few or too many arguments. `name` is the command's full name, as in `config|get`.
pub fn wrong_arity(name: &str) -> ReplyError {
    ReplyError::new(format!("ERR wrong number of arguments for '{name}' command"))
}

/// An expiry that is zero, negative or too large. `name` as in [`wrong_arity`].
pub fn bad_expiry(name: &str) -> ReplyError {
    ReplyError::new(format!("ERR invalid expire time in '{name}' command"))
}

/// An unknown subcommand of a container.
pub fn unknown_subcommand(container: &str, given: &[u8]) -> ReplyError {
    let given = String::from_utf8_lossy(&given[..given.len().min(128)]);
    ReplyError::new(format!(
        "ERR unknown subcommand '{given}'. Try {} HELP.",
        container.to_uppercase()
    ))
}
