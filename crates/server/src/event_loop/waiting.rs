//! Clients that wait: in a blocking command, or for the end of CLIENT PAUSE.
//!
//! A wait ends by a writer's reply (through the mailbox), by its time-out, by CLIENT UNBLOCK, or with the
//! pause; then the commands that the client sent meanwhile run.

use std::sync::atomic::Ordering;

use ochre_engine::blocking;
use ochre_engine::commands::migrate::{self, Round};
use ochre_engine::engine::Pause;
use ochre_engine::mailbox::Message;
use ochre_engine::session::Blocked;
use ochre_engine::slowlog::consider_served;
use ochre_resp::Reply;

use super::EventLoop;
use crate::connection::Connection;

impl EventLoop {
    /// Ends a client's wait whose waiter was claimed, and runs what it sent meanwhile.
    pub(super) fn finish_wait(
        &mut self,
        client: u64,
        answer: impl FnOnce(&mut Connection, &Blocked),
    ) {
        let Some(&index) = self.io.by_id.get(&client) else { return };
        let Some(Some(connection)) = self.io.connections.get_mut(index) else { return };
        let Some(blocked) = blocking::release(self.engine, &mut connection.session) else { return };
        if let Some(at) = blocked.deadline {
            self.io.timers.remove(&(at, client));
        }
        let before = connection.output.pending();
        answer(connection, &blocked);
        let replied = connection.output.pending().saturating_sub(before);
        let Connection { session, output, .. } = &mut **connection;
        consider_served(self.engine, &mut self.lp, session, output, blocked.row, replied);
        self.resume(index);
    }

    /// Acts on a round of a MIGRATE that is over. It may delete keys: while writes are held back it waits.
    pub(super) fn migrated(&mut self, round: Box<Round>) {
        if self.engine.pause(self.lp.now.unix_ms) != Pause::Off {
            self.io.put_off.push(Message::Migrated(round));
            return;
        }
        let Some(done) = migrate::finish(self.engine, &mut self.lp, *round) else { return };
        self.finish_wait(done.client, |connection, _| {
            connection.output.buffer().extend_from_slice(&done.reply);
            let written_to = &mut connection.session.written_to;
            *written_to = done.written_to.max(*written_to);
        });
    }

    /// Goes on with a client that waited.
    fn resume(&mut self, index: usize) {
        let Some(Some(connection)) = self.io.connections.get_mut(index) else { return };
        if !connection.session.is_waiting() {
            let ran = self.lend(index, |connection, engine, lp, _, traffic| {
                connection.run_pending(engine, lp, traffic)
            });
            let Some(Some(connection)) = self.io.connections.get(index) else { return };
            if connection.unread && !connection.session.is_waiting() {
                self.io.unread.push(index);
            }
            if ran.is_some_and(|ran| ran.is_err()) {
                self.close(index);
                return;
            }
        }
        self.after_commands(index);
    }

    pub(super) fn unblock(&mut self, client: u64, error: bool) {
        let Some(&index) = self.io.by_id.get(&client) else { return };
        let Some(Some(connection)) = self.io.connections.get(index) else { return };
        let (protocol, engine) = (connection.session.protocol, self.engine);
        self.finish_wait(client, |connection, blocked| {
            let mut reply = Reply::new(connection.output.buffer(), protocol);
            if error {
                reply.error("UNBLOCKED client unblocked via CLIENT UNBLOCK");
            } else if let Some(acks) = blocked.acks {
                acks.write(engine, &mut reply);
            } else {
                blocking::write_timeout(&mut reply, blocked.on_timeout);
            }
        });
    }

    /// Ends a wait that has run out of time, unless somebody has ended it already.
    fn time_out(&mut self, client: u64) {
        let Some(&index) = self.io.by_id.get(&client) else { return };
        let Some(Some(connection)) = self.io.connections.get(index) else { return };
        if connection.handshake_until.is_some() {
            self.refuse_handshake(index, "it takes too long");
        } else if connection.session.info.claim_wait() {
            self.unblock(client, false);
        }
    }

    /// The server has become a replica: what clients wait for will not come by other clients any more.
    fn end_waits(&mut self) {
        const TEXT: &str = "UNBLOCKED force unblock from blocking operation, instance state changed \
                            (master -> replica?)";
        let waiting = self.io.connections.iter().flatten();
        let clients: Vec<u64> = waiting
            .filter(|connection| connection.session.blocked.is_some())
            .filter(|connection| connection.session.info.claim_wait())
            .map(|connection| connection.session.id())
            .collect();
        for client in clients {
            self.finish_wait(client, |connection, _| {
                let protocol = connection.session.protocol;
                Reply::new(connection.output.buffer(), protocol).error(TEXT);
                connection.session.close_after_reply = true;
            });
        }
    }

    /// Sees to the clients that commands of this turn blocked or paused.
    pub(super) fn look_after(&mut self) {
        if self.lp.role_version != self.io.role_version {
            self.io.role_version = self.lp.role_version;
            if self.lp.follows {
                self.end_waits();
            }
        }
        while let Some(client) = self.lp.attention.pop() {
            let Some(&index) = self.io.by_id.get(&client) else { continue };
            let Some(Some(connection)) = self.io.connections.get_mut(index) else { continue };
            let session = &connection.session;
            if let Some(at) = session.blocked.as_ref().and_then(|blocked| blocked.deadline) {
                self.io.timers.insert((at, client));
            }
            if session.paused && !self.io.paused.contains(&client) {
                self.io.paused.push(client);
            }
        }
        if !self.io.paused.is_empty() && self.engine.pause(self.lp.now.unix_ms) == Pause::Off {
            self.resume_paused();
        }
    }

    /// Lets paused clients try again; those that still have to wait pause again.
    pub(super) fn resume_paused(&mut self) {
        for client in std::mem::take(&mut self.io.paused) {
            let Some(&index) = self.io.by_id.get(&client) else { continue };
            if let Some(Some(connection)) = self.io.connections.get_mut(index) {
                connection.session.paused = false;
                self.engine.blocked.fetch_sub(1, Ordering::Relaxed);
                self.resume(index);
            }
        }
    }

    pub(super) fn run_timers(&mut self) {
        while let Some(&(at, client)) = self.io.timers.first() {
            if at > self.lp.now.unix_ms {
                break;
            }
            self.io.timers.remove(&(at, client));
            self.time_out(client);
        }
    }
}
