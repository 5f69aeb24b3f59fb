//! `compat`: the server whose version is reported, and whose behaviour is followed where they differ.
//!
//! What can be called does not depend on it: commands that came later than the server it names are there
//! all the same.

/// A server to be taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compat {
    /// Redis 7.0: small lists are named quicklist, small sets hashtable.
    Redis70,
    /// Redis 7.2.
    Redis72,
    /// Redis 8.
    Redis8,
    /// Valkey 9.
    Valkey9,
}

impl Compat {
    /// From the number of the directive's choice.
    pub fn of(number: i64) -> Self {
        match number {
            0 => Self::Redis70,
            2 => Self::Redis8,
            3 => Self::Valkey9,
            _ => Self::Redis72,
        }
    }

    /// The version of Redis that clients may count on. Valkey says 7.2.4, too.
    pub fn redis_version(self) -> &'static str {
        match self {
            Self::Redis70 => "7.0.15",
            Self::Redis72 | Self::Valkey9 => "7.2.4",
            Self::Redis8 => "8.0.6",
        }
    }

    /// The name under which a file says who wrote it.
    pub fn version_fact(self) -> &'static str {
        match self {
            Self::Valkey9 => "valkey-ver",
            _ => "redis-ver",
        }
    }

    /// The server's name in HELLO.
    pub fn server_name(self) -> &'static str {
        match self {
            Self::Valkey9 => "valkey",
            _ => "redis",
        }
    }

    /// The server's own version in HELLO, LOLWUT and scripts.
    pub fn server_version(self) -> &'static str {
        match self {
            Self::Valkey9 => VALKEY,
            _ => self.redis_version(),
        }
    }
}

/// The version of Valkey that is reported.
pub const VALKEY: &str = "9.1.2";
