//! Links to other servers, each driven by a thread of its own.
//!
//! - [`replica`]: to the primary that this server follows;
//! - [`transfer`]: the snapshot that a primary sends, into the keyspace;
//! - [`migrate`]: to targets of MIGRATE;
//! - [`stream`]: what these talk over, with TLS or without;
//! - [`history`]: which history the data of a file belongs to, at the start.

pub(crate) mod history;
pub(crate) mod migrate;
mod replica;
mod stream;
mod transfer;

use std::io;

use ochre_engine::engine::Engine;
use ochre_keyspace::lazyfree::{self, Bin};

use crate::event_loop::Shared;

/// Starts the thread of the link to a primary, which waits until there is one, and the one that frees what it
/// drops.
pub(crate) fn start(engine: &'static Engine, shared: &'static Shared) -> io::Result<()> {
    let (bin, queue) = Bin::with_thread();
    std::thread::Builder::new().name("link-free".into()).spawn(move || lazyfree::drain(&queue))?;
    let thread = std::thread::Builder::new().name("replica-link".into());
    thread.spawn(move || replica::Follower::new(engine, shared, bin).run()).map(drop)
}
