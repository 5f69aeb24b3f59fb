//! Data on disk: written, and read at the start.
//!
//! - [`aof`]: the append-only file;
//! - [`capture`]: from entries of a cut to encoded records;
//! - [`save`]: the file, written beside the old one and renamed over it;
//! - [`sync`]: a snapshot for a replica;
//! - [`load`]: back into the keyspace;
//! - [`backup`]: snapshots sent elsewhere, by a schedule;
//! - [`restore`]: one of them fetched, when the server begins without data.

pub(crate) mod aof;
pub(crate) mod backup;
mod capture;
pub(crate) mod load;
pub(crate) mod restore;
pub(crate) mod save;
mod share;
pub(crate) mod sync;

use ochre_base::compat::Compat;
use ochre_config::Settings;
use ochre_rdb::Dialect;

/// Whom a snapshot is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// Whoever loads the file one day.
    File,
    /// The start of this server, as the base of its append-only file.
    AofBase,
    /// A replica that is connected.
    Replica,
}

/// What a snapshot is written as.
#[derive(Debug, Clone, Copy)]
struct Form {
    /// The server that it is written as by.
    server: Compat,
    dialect: Dialect,
    /// The name of the format that was asked for: what its readers could not load is not written.
    strict: Option<&'static str>,
}

impl Form {
    /// By `save-format`, or `compat`.
    fn of(settings: &Settings, reader: Reader) -> Self {
        let asked = settings.save_format.filter(|_| reader != Reader::Replica);
        let server = asked.unwrap_or(settings.compat);
        let dialect = Dialect::of(server).compress(settings.rdb_compression);
        let strict = asked.map(|server| match server {
            Compat::Redis70 => "redis-7.0",
            Compat::Redis72 => "redis-7.2",
            Compat::Redis8 => "redis-8",
            Compat::Valkey9 => "valkey-9",
        });
        Self { server, dialect, strict }
    }
}
