//! What reaches a client without its asking: published messages, invalidations, lines of MONITOR.

use std::sync::atomic::Ordering;

use ochre_engine::mailbox::Message;
use ochre_engine::session::{FLAG_TRACKING_BROKEN, Session};
use ochre_engine::tracking::{self, Cause, Names};
use ochre_resp::{Protocol, Reply};

use super::EventLoop;

impl EventLoop {
    /// Delivers a message that is encoded for RESP2: its first byte is the mark of an array.
    pub(super) fn deliver(&mut self, clients: &[u64], bytes: &[u8]) {
        for client in clients {
            let Some(&index) = self.io.by_id.get(client) else { continue };
            let Some(Some(connection)) = self.io.connections.get_mut(index) else { continue };
            let protocol = connection.session.protocol;
            let out = connection.output.buffer();
            let at = out.len();
            out.extend_from_slice(bytes);
            if protocol == Protocol::Resp3 {
                out[at] = b'>';
            }
            self.after_commands(index);
        }
    }

    /// Tells clients that what they cache is stale.
    pub(super) fn invalidate(&mut self, clients: &[u64], names: &Names, cause: Cause) {
        for &client in clients {
            let Some(&index) = self.io.by_id.get(&client) else { continue };
            let Some(Some(connection)) = self.io.connections.get_mut(index) else { continue };
            let session = &mut connection.session;
            let out = connection.output.buffer();
            let by_prefix = session.tracking.as_ref().map(|tracking| tracking.bcast);
            let redirect = session.tracking.as_ref().map_or(0, |tracking| tracking.redirect);
            match (cause, by_prefix) {
                (Cause::Redirect, _) => tracking::write_invalidation(session, names, true, out),
                (_, None) | (Cause::Read, Some(true)) | (Cause::Prefix, Some(false)) => continue,
                _ if redirect == 0 => tracking::write_invalidation(session, names, false, out),
                _ => match self.engine.clients.by_id(redirect) {
                    None => note_broken(session, redirect, out),
                    Some(info) => {
                        let (names, cause) = (names.clone(), Cause::Redirect);
                        let letter = Message::Invalidate { clients: vec![redirect], names, cause };
                        self.engine.tell(info.event_loop, letter);
                        continue;
                    }
                },
            }
            self.after_commands(index);
        }
    }

    pub(super) fn show_monitors(&mut self, line: &[u8]) {
        for index in 0..self.io.connections.len() {
            let Some(connection) = &mut self.io.connections[index] else { continue };
            if connection.session.monitor {
                connection.output.buffer().extend_from_slice(line);
                self.after_commands(index);
            }
        }
    }
}

/// The client that invalidations should go to has gone: the one that tracks is told once.
fn note_broken(session: &mut Session, target: u64, out: &mut Vec<u8>) {
    let Some(tracking) = &mut session.tracking else { return };
    tracking.broken = true;
    session.info.flags.fetch_or(FLAG_TRACKING_BROKEN, Ordering::Relaxed);
    if session.protocol == Protocol::Resp3 {
        let mut reply = Reply::new(out, session.protocol);
        reply.push(2);
        reply.bulk("tracking-redir-broken");
        reply.integer(target as i64);
    }
}
