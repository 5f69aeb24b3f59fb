//! Command handlers that act on keys and values, one file for each noun.
//!
//! A command is a row in its file's `COMMANDS`, its handler under it, and its tests under that. A
//! handler parses its arguments, looks keys up through [`ochre_command::Data`], calls one operation of
//! a value, writes its reply, and says what changed.

#![forbid(unsafe_code)]

use ochre_command::spec::CommandSpec;

pub mod keyspace;
pub mod string;
#[cfg(test)]
mod testing;

/// All tables of this crate.
pub const TABLES: &[&[CommandSpec]] = &[
    keyspace::COMMANDS,
    string::read::COMMANDS,
    string::set::COMMANDS,
    string::change::COMMANDS,
    string::number::COMMANDS,
    string::many::COMMANDS,
    string::lcs::COMMANDS,
];
