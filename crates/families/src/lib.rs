//! Command handlers that act on keys and values, one file for each noun.
//!
//! A command is a row in its file's `COMMANDS`, its handler under it, and its tests under that. A
//! handler parses its arguments, looks keys up through [`ochre_command::Data`], calls one operation of
//! a value, writes its reply, and says what changed.

#![forbid(unsafe_code)]

use ochre_command::spec::CommandSpec;

pub mod bitmap;
mod collection;
pub mod dump;
pub mod expire;
pub mod generic;
pub mod geo;
pub mod hash;
pub mod hyperloglog;
pub mod keyspace;
pub mod list;
pub mod object;
#[cfg(test)]
mod replay_tests;
pub mod set;
pub mod sketch;
pub mod sort;
pub mod stream;
pub mod string;
#[cfg(test)]
mod testing;
pub mod throttle;
pub mod zset;

/// All tables of this crate.
pub const TABLES: &[&[CommandSpec]] = &[
    bitmap::bits::COMMANDS,
    bitmap::combine::COMMANDS,
    bitmap::field::COMMANDS,
    geo::members::COMMANDS,
    geo::search::COMMANDS,
    dump::COMMANDS,
    hash::expire::COMMANDS,
    hash::get_set::COMMANDS,
    hash::increment::COMMANDS,
    hash::read::COMMANDS,
    hash::write::COMMANDS,
    hyperloglog::COMMANDS,
    list::blocking::COMMANDS,
    list::ends::COMMANDS,
    list::moves::COMMANDS,
    list::range::COMMANDS,
    set::algebra::COMMANDS,
    set::members::COMMANDS,
    set::random::COMMANDS,
    keyspace::COMMANDS,
    stream::acknowledge::COMMANDS,
    stream::add::COMMANDS,
    stream::claim::COMMANDS,
    stream::delete::COMMANDS,
    stream::group::COMMANDS,
    stream::info::COMMANDS,
    stream::pending::COMMANDS,
    stream::range::COMMANDS,
    stream::read::COMMANDS,
    sketch::bloom::COMMANDS,
    sketch::cms::COMMANDS,
    sketch::cuckoo::COMMANDS,
    sketch::tdigest::COMMANDS,
    sketch::topk::COMMANDS,
    sort::COMMANDS,
    string::read::COMMANDS,
    string::set::COMMANDS,
    string::change::COMMANDS,
    string::number::COMMANDS,
    string::many::COMMANDS,
    string::lcs::COMMANDS,
    string::digest::COMMANDS,
    string::increx::COMMANDS,
    throttle::COMMANDS,
    expire::COMMANDS,
    generic::COMMANDS,
    object::COMMANDS,
    zset::add::COMMANDS,
    zset::combine::COMMANDS,
    zset::pop::COMMANDS,
    zset::random::COMMANDS,
    zset::range::COMMANDS,
    zset::read::COMMANDS,
    zset::remove::COMMANDS,
];
