//! Feeding this loop's replicas: first the snapshot, block by block from its file or as it is made, then the log.
//!
//! A replica holds a position in the log, which is pinned there; nothing is copied for it beyond what its
//! socket takes next. One that falls behind by more than its class of client-output-buffer-limit allows is
//! closed, its snapshot sent or not. The file of a snapshot has no name any more when it is sent, so that nothing
//! is left behind whatever happens.
//!
//! A snapshot that is sent as it is made is held up by its slowest replica: one that takes nothing for
//! repl-timeout is closed. After it, the log follows when the replica has said that it is loaded, as with
//! the peers: until then its first acknowledgement could not be told from an answer to what follows.

use std::io::Read;
use std::sync::atomic::Ordering;

use ochre_config::special::CLASS_REPLICA;
use ochre_engine::mailbox::{Form, Snapshot};
use ochre_engine::replicas::Replica;
use ochre_engine::session::{ReplicaState, Supply};
use ochre_engine::transfer::Taken;

use super::EventLoop;
use crate::connection::Connection;
use crate::log;

/// Bytes that one replica's output is filled to.
const FILL: usize = 256 << 10;
/// Times that one replica is filled and written in one turn.
const ROUNDS: usize = 16;

impl EventLoop {
    /// Takes note of clients that became replicas in this turn.
    fn adopt_replicas(&mut self) {
        let new = std::mem::take(&mut self.lp.new_replicas);
        self.io.replicas.extend(new);
    }

    /// A snapshot for a replica is ready, or has failed.
    pub(super) fn start_stream(&mut self, client: u64, snapshot: Option<Snapshot>) {
        let Some(&index) = self.io.by_id.get(&client) else {
            // It went before the cut, which pinned the log for it.
            self.engine.log.unpin(client);
            return;
        };
        let Some(snapshot) = snapshot else {
            log::warning("SYNC failed: no snapshot could be taken");
            self.close(index);
            return;
        };
        let Some(Some(connection)) = self.io.connections.get_mut(index) else { return };
        let Connection { session, output, .. } = &mut **connection;
        let Some(state) = &mut session.replica else { return };
        state.offset = snapshot.offset;
        self.engine.log.pin(client, snapshot.offset);
        let out = output.buffer();
        if snapshot.announces {
            let line = format!("+FULLRESYNC {} {}\r\n", snapshot.history, snapshot.offset);
            out.extend_from_slice(line.as_bytes());
        }
        state.took_ms = self.lp.now.unix_ms;
        state.supply = match snapshot.form {
            Form::File { file, bytes } => {
                out.extend_from_slice(format!("${bytes}\r\n").as_bytes());
                state.replica.in_bulk.store(true, Ordering::Relaxed);
                Supply::File(file)
            }
            Form::Stream { reader, mark } => {
                out.extend_from_slice(format!("$EOF:{mark}\r\n").as_bytes());
                Supply::Stream(reader)
            }
        };
    }

    /// Fills the output of every replica of this loop; true when there is more to do at once.
    pub(super) fn feed_replicas(&mut self) -> bool {
        self.adopt_replicas();
        let mut more = false;
        for client in self.io.replicas.clone() {
            let Some(&index) = self.io.by_id.get(&client) else {
                self.io.replicas.retain(|other| *other != client);
                continue;
            };
            more |= self.feed(index);
        }
        more
    }

    /// Fills and writes one replica's output until it takes no more; true when it could take more.
    fn feed(&mut self, index: usize) -> bool {
        let limit = self.lp.live.settings.output_limits[CLASS_REPLICA].hard_bytes;
        let epoch = self.engine.replicas.epoch();
        let now_ms = self.lp.now.unix_ms;
        for _ in 0..ROUNDS {
            let Some(Some(connection)) = self.io.connections.get_mut(index) else { return false };
            if connection.session.replica.as_ref().is_some_and(|state| state.epoch != epoch) {
                log::notice("The history has another name: a replica is closed to learn it");
                self.close(index);
                return false;
            }
            if self.cut_off_when_behind(index, limit) {
                return false;
            }
            let Some(Some(connection)) = self.io.connections.get_mut(index) else { return false };
            if connection.stuck {
                return false;
            }
            let Connection { session, output, .. } = &mut **connection;
            let Some(state) = &mut session.replica else { return false };
            let room = FILL.saturating_sub(output.pending());
            let Ok(filled) = fill(self.engine, state, room, now_ms, output.buffer()) else {
                self.close(index);
                return false;
            };
            if filled == 0 && output.is_empty() {
                let is_served = state.rdb_only && matches!(state.supply, Supply::Log);
                if is_served {
                    log::notice(&format!("RDB transfer to {} is complete", name(&state.replica)));
                    self.close(index);
                }
                return false;
            }
            self.flush(index);
        }
        true
    }

    /// Closes a replica that is too far behind while nothing of the log can be sent to it; whether it was.
    fn cut_off_when_behind(&mut self, index: usize, limit: u64) -> bool {
        let Some(Some(connection)) = self.io.connections.get(index) else { return false };
        let Some(state) = &connection.session.replica else { return false };
        let waits = match state.supply {
            Supply::Nothing => false,
            Supply::Log => connection.stuck,
            Supply::File(_) | Supply::Stream(_) | Supply::Acknowledgement { .. } => true,
        };
        let behind = self.engine.log.end().saturating_sub(state.offset);
        if limit == 0 || !waits || behind <= limit {
            return false;
        }
        log::warning(&format!(
            "Replica {} is {behind} bytes behind, above client-output-buffer-limit: it is closed",
            name(&state.replica)
        ));
        self.close(index);
        true
    }

    /// After a turn in which the log grew: wakes the other loops that have replicas.
    pub(super) fn wake_feeders(&mut self) {
        if self.engine.replicas.count() == 0 {
            return;
        }
        let end = self.engine.log.end();
        if end == self.io.fed {
            return;
        }
        self.io.fed = end;
        self.engine.replicas.wake_loops(self.engine, Some(self.lp.index));
    }

    /// About once a second: closes replicas that have not been heard of for repl-timeout, and sends those that
    /// wait for a snapshot a sign of life.
    pub(super) fn tend_replicas(&mut self) {
        let now_ms = self.lp.now.unix_ms;
        let timeout_ms = self.lp.live.settings.repl_timeout_ms;
        for client in self.io.replicas.clone() {
            let Some(&index) = self.io.by_id.get(&client) else { continue };
            let Some(Some(connection)) = self.io.connections.get_mut(index) else { continue };
            let connection = &mut **connection;
            let output = &mut connection.output;
            let Some(state) = &connection.session.replica else { continue };
            let replica = &state.replica;
            let silent_ms = now_ms - replica.acknowledged_ms.load(Ordering::Relaxed);
            let online = replica.online.load(Ordering::Relaxed);
            let streams = matches!(state.supply, Supply::Stream(_));
            if online && replica.acknowledges && silent_ms > timeout_ms {
                log::warning(&format!(
                    "Disconnecting timedout replica (streaming sync): {}",
                    name(replica)
                ));
                self.close(index);
            } else if streams && connection.stuck && now_ms - state.took_ms > timeout_ms {
                // It holds up the others that take the same snapshot.
                log::warning(&format!(
                    "Disconnecting timedout replica (full sync): {}",
                    name(replica)
                ));
                self.close(index);
            } else if matches!(state.supply, Supply::Nothing) && output.is_empty() {
                output.buffer().push(b'\n');
                self.flush(index);
            }
        }
    }

    /// About once a second: stops logging for replicas that do not come back within repl-backlog-ttl.
    pub(super) fn keep_log(&self) {
        let alone_ms = self.engine.replicas.alone_for(self.lp.now.unix_ms);
        let ttl_ms = self.lp.live.settings.backlog_ttl_ms;
        let wanted = ttl_ms == 0 || alone_ms <= ttl_ms || self.lp.follows;
        if wanted || self.shared.aof.is_on() || !self.engine.log.is_on() {
            return;
        }
        let _all = self.engine.shards.lock_all();
        if self.engine.replicas.count() == 0 && !self.shared.aof.is_on() {
            log::notice("Replication backlog freed: no replica came for repl-backlog-ttl");
            self.engine.stop_log();
        }
    }

    /// About every ten seconds: a PING in the stream tells replicas that the primary lives.
    pub(super) fn ping_replicas(&mut self) {
        let now_ms = self.lp.now.unix_ms;
        let period_ms = self.lp.live.settings.replica_ping_ms;
        if self.engine.replicas.count() == 0 || self.lp.follows || self.engine.failover.is_on() {
            // A replica passes its primary's on, and before a failover the log is to come to rest.
            // The first PING comes a whole period after the first replica.
            self.io.pinged_ms = now_ms;
            return;
        }
        if now_ms - self.io.pinged_ms < period_ms {
            return;
        }
        self.io.pinged_ms = now_ms;
        self.engine.log.append_control(&[b"PING"]);
    }
}

/// Appends up to `room` bytes of what a replica is to get next; how many there were. An error: the
/// file cannot be read, or the log has moved on.
fn fill(
    engine: &ochre_engine::engine::Engine,
    state: &mut ReplicaState,
    room: usize,
    now_ms: i64,
    out: &mut Vec<u8>,
) -> Result<usize, ()> {
    let before = out.len();
    match &mut state.supply {
        Supply::Nothing => {}
        Supply::File(file) => {
            file.by_ref().take(room as u64).read_to_end(out).map_err(drop)?;
            if out.len() == before && room > 0 {
                state.supply = Supply::Log;
                show_online(&state.replica, now_ms);
                log::notice(&format!(
                    "Synchronization with replica {} succeeded",
                    name(&state.replica)
                ));
                return fill(engine, state, room, now_ms, out);
            }
        }
        Supply::Stream(reader) => match reader.take(room, out) {
            Taken::Bytes(_) => {}
            Taken::Failed => {
                log::warning(&format!(
                    "The snapshot of replica {} has failed: its link is closed",
                    name(&state.replica)
                ));
                return Err(());
            }
            Taken::Over => end_stream(state, now_ms),
        },
        Supply::Acknowledgement { came: false } => {}
        Supply::Acknowledgement { came: true } => {
            state.supply = Supply::Log;
            log::notice(&format!(
                "Synchronization with replica {} succeeded",
                name(&state.replica)
            ));
            return fill(engine, state, room, now_ms, out);
        }
        Supply::Log if state.rdb_only => {}
        Supply::Log => {
            state.offset = engine.log.read(state.offset, room, out).map_err(drop)?;
            engine.log.pin(state.replica.client, state.offset);
        }
    }
    let filled = out.len() - before;
    if filled > 0 {
        state.took_ms = now_ms;
    }
    Ok(filled)
}

/// A replica counts as one from here on, although it has to load its snapshot first.
fn show_online(replica: &Replica, now_ms: i64) {
    replica.acknowledged_ms.store(now_ms, Ordering::Relaxed);
    replica.in_bulk.store(false, Ordering::Relaxed);
    replica.online.store(true, Ordering::Relaxed);
}

/// All of a snapshot that was sent as it was made is with the replica's output.
fn end_stream(state: &mut ReplicaState, now_ms: i64) {
    show_online(&state.replica, now_ms);
    if state.rdb_only {
        state.supply = Supply::Log;
        return;
    }
    state.supply = Supply::Acknowledgement { came: false };
    log::notice(&format!(
        "Streamed replica with replica {} (socket). Waiting for REPLCONF ACK from replica to enable \
         streaming",
        name(&state.replica)
    ));
}

/// A replica in a line of the log.
fn name(replica: &Replica) -> String {
    format!("{}:{}", replica.ip, replica.port.load(Ordering::Relaxed))
}
