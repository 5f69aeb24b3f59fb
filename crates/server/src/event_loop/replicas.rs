//! Feeding this loop's replicas: first the snapshot, block by block from its file, then the log.
//!
//! A replica holds a position in the log, which is pinned there; nothing is copied for it beyond what its
//! socket takes next. One that falls behind by more than its class of client-output-buffer-limit allows is
//! closed. The file of a snapshot has no name any more when it is sent, so that nothing is left behind
//! whatever happens.

use std::io::Read;
use std::sync::atomic::Ordering;

use ochre_config::special::CLASS_REPLICA;
use ochre_engine::mailbox::Snapshot;
use ochre_engine::session::ReplicaState;

use super::EventLoop;
use crate::connection::Connection;

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
        let Some(&index) = self.io.by_id.get(&client) else { return };
        let Some(snapshot) = snapshot else {
            crate::log::warning("SYNC failed: no snapshot could be taken");
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
        out.extend_from_slice(format!("${}\r\n", snapshot.bytes).as_bytes());
        state.file = Some(snapshot.file);
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
                crate::log::notice("The history has another name: a replica is closed to learn it");
                self.close(index);
                return false;
            }
            if connection.stuck {
                return self.cut_off_when_behind(index, limit);
            }
            let Connection { session, output, .. } = &mut **connection;
            let Some(state) = &mut session.replica else { return false };
            let room = FILL.saturating_sub(output.pending());
            let Ok(filled) = fill(self.engine, state, room, now_ms, output.buffer()) else {
                self.close(index);
                return false;
            };
            if filled == 0 && output.is_empty() {
                return false;
            }
            self.flush(index);
        }
        true
    }

    /// Closes a replica that is too far behind.
    fn cut_off_when_behind(&mut self, index: usize, limit: u64) -> bool {
        let Some(Some(connection)) = self.io.connections.get(index) else { return false };
        let Some(state) = &connection.session.replica else { return false };
        let is_sent = state.file.is_none() && state.replica.online.load(Ordering::Relaxed);
        let behind = self.engine.log.end().saturating_sub(state.offset);
        if limit > 0 && is_sent && behind > limit {
            crate::log::warning("A replica is too far behind, and is closed");
            self.close(index);
        }
        false
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
            let Connection { session, output, .. } = &mut **connection;
            let Some(state) = &session.replica else { continue };
            let replica = &state.replica;
            let silent_ms = now_ms - replica.acknowledged_ms.load(Ordering::Relaxed);
            let online = replica.online.load(Ordering::Relaxed);
            if online && replica.acknowledges && silent_ms > timeout_ms {
                crate::log::warning(&format!("Disconnecting timedout replica: {}", replica.ip));
                self.close(index);
            } else if !online && state.file.is_none() && output.is_empty() {
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
            crate::log::notice("Replication backlog freed: no replica came for repl-backlog-ttl");
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
    if let Some(file) = &mut state.file {
        file.by_ref().take(room as u64).read_to_end(out).map_err(drop)?;
        if out.len() == before && room > 0 {
            state.file = None;
            state.replica.acknowledged_ms.store(now_ms, Ordering::Relaxed);
            state.replica.online.store(true, Ordering::Relaxed);
        }
        return Ok(out.len() - before);
    }
    if !state.replica.online.load(Ordering::Relaxed) {
        // Its snapshot is being taken.
        return Ok(0);
    }
    state.offset = engine.log.read(state.offset, room, out).map_err(drop)?;
    engine.log.pin(state.replica.client, state.offset);
    Ok(out.len() - before)
}
