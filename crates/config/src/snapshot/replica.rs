//! The typed view of what a server that follows another goes by.

use super::{View, text_of};
use crate::table::id;

/// How a replica loads a snapshot that arrives: `repl-diskless-load`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisklessLoad {
    /// From a file, once all of it is there.
    Never,
    /// From the connection when there is no data to be lost, else from a file.
    WhenEmpty,
    /// From the connection, beside the old data, which is dropped when all is there.
    Swap,
    /// From the connection, after the old data is dropped.
    Always,
}

/// What a server that follows another goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaSettings {
    /// `masterauth`; empty for none.
    pub password: Vec<u8>,
    /// `masteruser`; empty for none.
    pub user: Vec<u8>,
    /// `replica-serve-stale-data`
    pub serve_stale: bool,
    /// `replica-read-only`
    pub read_only: bool,
    /// `replica-ignore-maxmemory`
    pub ignore_maxmemory: bool,
    /// `replica-lazy-flush`
    pub lazy_flush: bool,
    /// `replica-priority`
    pub priority: u64,
    /// `replica-announced`
    pub announced: bool,
    /// `replica-announce-ip`; empty for the address that the primary sees.
    pub announce_ip: String,
    /// `replica-announce-port`; 0 for the port that is listened on.
    pub announce_port: u16,
    /// `repl-diskless-load`
    pub diskless_load: DisklessLoad,
    /// `replica-ignore-disk-write-errors`
    pub ignore_disk_errors: bool,
}

impl View<'_> {
    pub(super) fn replica(&self) -> ReplicaSettings {
        let config = self.0;
        ReplicaSettings {
            password: config.text(const { id("masterauth") }).to_vec(),
            user: config.text(const { id("masteruser") }).to_vec(),
            serve_stale: config.boolean(const { id("replica-serve-stale-data") }),
            read_only: config.boolean(const { id("replica-read-only") }),
            ignore_maxmemory: config.boolean(const { id("replica-ignore-maxmemory") }),
            lazy_flush: config.boolean(const { id("replica-lazy-flush") }),
            priority: self.number(const { id("replica-priority") }),
            announced: config.boolean(const { id("replica-announced") }),
            announce_ip: text_of(config.text(const { id("replica-announce-ip") })),
            announce_port: self.number(const { id("replica-announce-port") }) as u16,
            diskless_load: match config.int(const { id("repl-diskless-load") }) {
                1 => DisklessLoad::WhenEmpty,
                2 => DisklessLoad::Swap,
                3 => DisklessLoad::Always,
                _ => DisklessLoad::Never,
            },
            ignore_disk_errors: config.boolean(const { id("replica-ignore-disk-write-errors") }),
        }
    }
}
