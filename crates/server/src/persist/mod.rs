//! Data on disk: written, and read at the start.
//!
//! - [`aof`]: the append-only file;
//! - [`capture`]: from entries of a cut to encoded records;
//! - [`save`]: the file, written beside the old one and renamed over it;
//! - [`sync`]: a snapshot for a replica;
//! - [`load`]: back into the keyspace.

pub(crate) mod aof;
mod capture;
pub(crate) mod load;
pub(crate) mod save;
pub(crate) mod sync;

use ochre_config::Settings;
use ochre_rdb::Dialect;

/// The dialect of files, by `compat`.
fn dialect(settings: &Settings) -> Dialect {
    Dialect::of(settings.compat).compress(settings.rdb_compression)
}
