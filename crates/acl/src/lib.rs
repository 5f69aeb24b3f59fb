//! Users and what each may do: rules as text, their compiled form, the check of one command, the file
//! of users, the log of refusals. No locks, no sockets, no clock.
//!
//! A user has one root [`Selector`] and any number of further ones; a command runs when at least one
//! of them allows all of it: the command (a bit for each row of the command table, with first
//! arguments for some), the database, each key with what is done to it, each channel. Rules are
//! compiled when they are set, so that a check reads bits and matches patterns and nothing else. A
//! user that may do everything says so in one flag.
//!
//! The command table is reached through [`Commands`], since rows of several crates stand in it.
//!
//! Source: ACL SETUSER, ACL GETUSER and the ACL file of Redis 7.2 and Valkey 9.1.

#![forbid(unsafe_code)]

pub mod check;
pub mod commands;
pub mod error;
pub mod file;
pub mod log;
pub mod password;
pub mod selector;
pub mod user;

pub use check::{Denied, Request};
pub use commands::{Commands, RowId};
pub use error::RuleError;
pub use file::Users;
pub use log::{Entry, Log, Reason};
pub use password::Digest;
pub use selector::Selector;
pub use user::{Context, User, merged};

#[cfg(test)]
mod testing;
