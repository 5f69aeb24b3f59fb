//! What reaches a client without its asking: published messages, invalidations, lines of MONITOR.

use std::sync::atomic::Ordering;

use ochre_engine::mailbox::Message;
use ochre_engine::session::{FLAG_TRACKING_BROKEN, Session};
use ochre_engine::tracking::Names;
use ochre_resp::{Protocol, Reply};

use super::EventLoop;

/// The channel on which clients of RESP2 get the invalidations that others redirect to them.
const INVALIDATE: &str = "__redis__:invalidate";

impl EventLoop {
    /// Delivers a message that is encoded for RESP2: its first byte is the mark of an array.
    pub(super) fn deliver(&mut self, clients: &[u64], bytes: &[u8]) {
        for client in clients {
            let Some(&index) = self.by_id.get(client) else { continue };
            let Some(Some(connection)) = self.connections.get_mut(index) else { continue };
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

    /// Tells clients that what they cache is stale; `redirected`: that others cache, who redirect to
    /// them.
    pub(super) fn invalidate(&mut self, clients: &[u64], names: &Names, redirected: bool) {
        for &client in clients {
            let Some(&index) = self.by_id.get(&client) else { continue };
            let Some(Some(connection)) = self.connections.get_mut(index) else { continue };
            let session = &mut connection.session;
            let redirect = session.tracking.as_ref().map(|tracking| tracking.redirect);
            match (redirected, redirect) {
                (true, _) => {
                    write_invalidation(session, names, true, connection.output.buffer());
                }
                (false, Some(0)) => {
                    write_invalidation(session, names, false, connection.output.buffer());
                }
                (false, Some(target)) => {
                    let Some(info) = self.engine.clients.by_id(target) else {
                        note_broken(session, target, connection.output.buffer());
                        self.after_commands(index);
                        continue;
                    };
                    let clients = vec![target];
                    let letter =
                        Message::Invalidate { clients, names: names.clone(), redirected: true };
                    self.engine.tell(info.event_loop, letter);
                    continue;
                }
                (false, None) => continue,
            }
            self.after_commands(index);
        }
    }

    pub(super) fn show_monitors(&mut self, line: &[u8]) {
        for index in 0..self.connections.len() {
            let Some(connection) = &mut self.connections[index] else { continue };
            if connection.session.monitor {
                connection.output.buffer().extend_from_slice(line);
                self.after_commands(index);
            }
        }
    }
}

fn write_invalidation(session: &Session, names: &Names, redirected: bool, out: &mut Vec<u8>) {
    let mut reply = Reply::new(out, session.protocol);
    if session.protocol == Protocol::Resp3 {
        reply.push(2);
        reply.bulk("invalidate");
    } else if redirected && session.subscriptions.is_some() {
        reply.array(3);
        reply.bulk("message");
        reply.bulk(INVALIDATE);
    } else {
        // It has no way to be told.
        return;
    }
    match names {
        None => reply.null_array(),
        Some(names) => {
            reply.array(names.len());
            names.iter().for_each(|name| reply.bulk(name));
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
