//! The RDB format: values as bytes and back, without files, clocks or keys' whereabouts.
//!
//! - [`mod@format`]: the numbers, drawn, and the dialects that are written;
//! - [`record`]: a value and what goes with its key, as they are handed over;
//! - [`save`]: a value, or a key's whole record, as bytes;
//! - [`writer`]: a file, record by record, to any sink;
//! - [`load`]: a value from bytes of any published version of either family;
//! - [`reader`]: a file, item by item, from any [`std::io::Read`], or piece by piece for others to decode;
//! - [`mod@dump`]: the payloads of DUMP and RESTORE.
//!
//! Everything read is taken for hostile: each nested encoding is checked whole, nothing is allocated for a
//! length that no bytes stand behind, and whatever is wrong is a [`LoadError`].
//!
//! A snapshot encodes keys in any number of threads with [`save::encode_key`] and hands the bytes to one
//! [`writer::RdbWriter`] in any order within a database.

#![forbid(unsafe_code)]

pub mod checksum;
pub mod dump;
pub mod error;
pub mod format;
pub mod limits;
mod listpack;
pub mod load;
pub mod reader;
pub mod record;
pub mod save;
mod sketch;
mod skip;
pub mod writer;

pub use dump::{dump, restore};
pub use error::LoadError;
pub use format::{Dialect, Family};
pub use load::LoadedValue;
pub use reader::{Item, Loaded, Piece, RdbReader, ReadOptions, Records, Stage};
pub use record::{KeyMeta, ValueRef, head_foreign_to};
pub use save::{PartsEncoder, encode_key, save_value};
pub use writer::{IoSink, RdbWriter, Sink};

#[cfg(test)]
mod tests;
