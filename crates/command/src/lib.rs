//! What a command is: its facts ([`spec`]), its arguments ([`args`]), what it sees and may do
//! ([`ctx`], [`data`]), and what it may answer ([`outcome`]).
//!
//! A command's facts exist once, in its [`spec::CommandSpec`] row beside its handler; look-up, key
//! extraction, ACL, COMMAND and the docs all read the row.

#![forbid(unsafe_code)]

pub mod args;
pub mod ctx;
pub mod data;
pub mod keys;
pub mod outcome;
pub mod spec;

pub use args::Cursor;
pub use ctx::Ctx;
pub use data::Data;
pub use ochre_keyspace::db::Key;
pub use outcome::{Reply, ReplyError, Result};
