//! Why a rule is refused, in the peers' words.

use std::fmt;

/// See the module's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleError {
    /// No rule reads like this.
    Syntax,
    /// A command, subcommand or category that is not there.
    Unknown,
    /// A first argument behind a subcommand.
    FirstArgOfSubcommand,
    /// A key pattern where all keys are allowed.
    KeyAfterAll,
    /// A channel pattern where all channels are allowed.
    ChannelAfterAll,
    /// A password to remove that is not there.
    NoSuchPassword,
    /// A digest that is not 64 digits.
    BadHash,
    /// A database number that no server has.
    DatabaseRange,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "Syntax error",
            Self::Unknown => "Unknown command or category name in ACL",
            Self::FirstArgOfSubcommand => "Allowing first-arg of a subcommand is not supported",
            Self::KeyAfterAll => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does \
                 not have any effect. Try 'resetkeys' to start with an empty list of patterns"
            }
            Self::ChannelAfterAll => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and \
                 does not have any effect. Try 'resetchannels' to start with an empty list of \
                 channels"
            }
            Self::NoSuchPassword => {
                "The password you are trying to remove from the user does not exist"
            }
            Self::BadHash => {
                "The password hash must be exactly 64 characters and contain only lowercase \
                 hexadecimal characters"
            }
            Self::DatabaseRange => "The provided database ID is out of range",
        })
    }
}

impl std::error::Error for RuleError {}
