//! Which history the data of a file belongs to: how a server goes on after a restart without a snapshot.
//!
//! A file names the history and the offset of its cut, and the database that is selected there. A replica goes
//! on from there. A primary begins a history of its own, and remembers that up to this offset it is the same as
//! the old one, so that its replicas may go on. That holds only if loading changed nothing: when keys were past
//! their time and left out, the replicas would never hear of it, so they have to take a snapshot.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use ochre_config::{Value, table};
use ochre_engine::engine::Engine;
use ochre_engine::following::Primary;
use ochre_rdb::{Item, RdbReader, ReadOptions};

use crate::log;

/// What a file says of its data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The history's name.
    pub(crate) id: Option<String>,
    /// The offset at the cut.
    pub(crate) offset: Option<u64>,
    /// The database that is selected there.
    pub(crate) db: u16,
}

impl Origin {
    /// Takes what stands at the start of a file; what cannot be read says nothing.
    pub(crate) fn read(file: impl Read) -> Self {
        let mut origin = Self::default();
        let Ok(mut reader) = RdbReader::new(file, ReadOptions::default()) else { return origin };
        while let Ok(Item::Aux { name, value }) = reader.next_item() {
            let text = String::from_utf8_lossy(&value);
            match &name[..] {
                b"repl-id" if text.len() == 40 => origin.id = Some(text.into_owned()),
                b"repl-offset" => origin.offset = text.parse().ok(),
                b"repl-stream-db" => origin.db = text.parse().unwrap_or(0),
                _ => {}
            }
        }
        origin
    }
}

/// At the start, before data is loaded: the primary that the configuration names.
pub(crate) fn take_primary(engine: &'static Engine) {
    let configured = {
        let config = engine.config.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        config.value(const { table::id("replicaof") }).clone()
    };
    if let Value::HostPort(Some((host, port))) = configured {
        let host = String::from_utf8_lossy(&host).into_owned();
        engine.following.follow(Primary { host, port });
    }
}

/// At the start, after a file was loaded and before anything changes: goes on with its history.
pub(crate) fn take_up(engine: &'static Engine, path: &Path) {
    let Ok(file) = File::open(path) else { return };
    let Origin { id: Some(id), offset: Some(offset), db } = Origin::read(file) else { return };
    let _all = engine.shards.lock_all();
    if engine.following.is_on() {
        engine.log.restart_at(offset, Some(db));
        engine.replicas.join_history(id);
        // The link's thread turns it over to the primary's bytes; nothing is written before.
        engine.log.follow();
        log::notice(&format!("The data is a replica's, up to offset {offset}"));
    } else if engine.saves.state().expired_keys == 0 {
        engine.log.restart_at(offset, None);
        engine.log.turn_on();
        engine.replicas.descend_from(id, offset);
    }
}
