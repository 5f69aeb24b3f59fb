//! A snapshot for a replica: into a file without a name, which its loop sends block by block.
//!
//! One snapshot is taken at a time, so a replica that comes while another is under way waits for its end. The log
//! is switched on at the first cut, under all locks, and stays on: a replica that comes back may go on with it.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use ochre_base::clock::Now;
use ochre_engine::engine::Engine;
use ochre_engine::mailbox::{Message, Snapshot};

use super::save;
use crate::host::reason;
use crate::log;

/// Time between two looks whether another snapshot has ended.
const STEP: Duration = Duration::from_millis(5);

/// Takes a snapshot and posts it to the replica's loop, or that it failed.
pub(crate) fn send(
    engine: &'static Engine,
    now: &dyn Fn() -> Now,
    (event_loop, client): (u16, u64),
    announces: bool,
) {
    while !engine.saves.begin(now().unix_ms / 1000) {
        if engine.clients.by_id(client).is_none() {
            return;
        }
        std::thread::sleep(STEP);
    }
    let snapshot = take(engine, now(), client, announces);
    engine.saves.end(now().unix_ms / 1000, None, false);
    if let Err(error) = &snapshot {
        log::warning(&format!("No snapshot for a replica: {}", reason(error)));
    }
    engine.tell(event_loop, Message::Snapshot { client, snapshot: snapshot.ok() });
}

fn take(engine: &'static Engine, now: Now, client: u64, announces: bool) -> io::Result<Snapshot> {
    let path = PathBuf::from(format!("temp-sync-{}-{client}.rdb", std::process::id()));
    let settings = &engine.live().0.settings;
    let (mut offset, mut history) = (0, String::new());
    let written = save::write(engine, settings, &path, now, false, || {
        if !engine.log.is_kept() {
            engine.log.turn_on();
        }
        // The stream begins with the database's number; a primary's of our own goes on from the one that the
        // snapshot names.
        (offset, _) = engine.log.begin_reader();
        history = engine.replicas.history().id;
        engine.log.pin(client, offset);
    });
    let open = written.and_then(|_| {
        let mut file = File::open(&path)?;
        let bytes = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Snapshot { file, bytes, offset, history, announces })
    });
    // Open files need no name.
    let removed = std::fs::remove_file(&path);
    let snapshot = open?;
    removed?;
    Ok(snapshot)
}
