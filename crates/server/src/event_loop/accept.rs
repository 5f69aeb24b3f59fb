//! New connections: taken by loop 0, handed to the loop with the fewest, admitted or refused there.
//!
//! A listener's edge comes once for any number of connections, so what is left after a turn's share is
//! looked at again in the next turn. When no file can be opened any more (the limit of the process or the
//! system), the listener is looked at again after a while: connections wait in the kernel meanwhile.
//!
//! A connection with TLS is a client from the start, as it is in the peers, so that `maxclients` bounds
//! handshakes too; but it is admitted ([`EventLoop::welcome`]) only when its handshake is done: protected mode
//! refuses it then, over TLS, and its certificate may name its user. A handshake that is not done in
//! [`HANDSHAKE_MS`] ends the connection. Peers: only `timeout` does.

use std::io;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mio::{Token, Waker};
use ochre_config::Settings;
use ochre_config::snapshot::TlsUser;
use ochre_engine::engine::Engine;
use ochre_engine::mailbox::Wake;
use ochre_engine::session::{ClientInfo, Session};
use ochre_engine::turn::LoopState;
use ochre_net::socket::Socket;

use super::{EventLoop, LoopWaker};
use crate::connection::Connection;
use crate::host::reason;
use crate::tls::user_names;

/// Time for a handshake, in milliseconds: enough for a client far away that tries a few times.
const HANDSHAKE_MS: i64 = 10_000;
/// How long accepting rests after a failure, in milliseconds.
const REST_MS: i64 = 100;

const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";
const DENIED: &[u8] = b"-DENIED Ochre is running in protected mode because protected mode is enabled and \
no password is set for the default user. In this mode connections are only accepted from the loopback \
interface. To connect from other hosts, either set a password (directive requirepass), or, if you are sure \
that nobody can reach this server from outside, disable protected mode: with 'CONFIG SET protected-mode no' \
from the same host, followed by CONFIG REWRITE to keep it so, or with '--protected-mode no' at the start.\r\n";

/// Sockets on their way from the acceptor to a loop, and how many connections the loop has.
#[derive(Debug)]
pub(crate) struct Intake {
    queue: Mutex<Vec<Socket>>,
    waker: Arc<Waker>,
    /// Connections owned and on their way: the acceptor's measure of load.
    load: AtomicU32,
}

impl Intake {
    pub(crate) fn new(waker: Arc<Waker>) -> Self {
        Self { queue: Mutex::default(), waker, load: AtomicU32::new(0) }
    }

    fn hand_over(&self, socket: Socket) {
        self.load.fetch_add(1, Ordering::Relaxed);
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push(socket);
        LoopWaker(Arc::clone(&self.waker)).wake();
    }

    /// A connection of the loop has gone.
    pub(super) fn left(&self) {
        self.load.fetch_sub(1, Ordering::Relaxed);
    }
}

impl EventLoop {
    pub(super) fn own_intake(&self) -> &'static Intake {
        &self.shared.intakes[usize::from(self.lp.index)]
    }

    /// Takes a turn's share of a listener's connections.
    pub(super) fn accept(&mut self, token: usize) {
        self.io.unaccepted.retain(|(other, _)| *other != token);
        let settings = &self.lp.live.settings;
        let share = match self.shared.listening.is_tls(token) {
            true => settings.tls.accepts_per_turn,
            false => settings.accepts_per_turn,
        };
        for _ in 0..share {
            match self.shared.listening.accept(token) {
                Ok(Some(socket)) => {
                    let intakes = self.shared.intakes.iter();
                    let least = intakes.min_by_key(|intake| intake.load.load(Ordering::Relaxed));
                    if let Some(intake) = least {
                        intake.hand_over(socket);
                    }
                }
                Ok(None) => return,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    let reason = reason(&error);
                    crate::log::warning(&format!("Accepting client connection: accept: {reason}"));
                    self.io.unaccepted.push((token, self.lp.now.unix_ms + REST_MS));
                    return;
                }
            }
        }
        self.io.unaccepted.push((token, self.lp.now.unix_ms));
    }

    /// Goes on with listeners whose connections were not all taken by earlier turns.
    pub(super) fn accept_rest(&mut self) {
        let now = self.lp.now.unix_ms;
        let due = self.io.unaccepted.iter().filter(|(_, at)| *at <= now).map(|(token, _)| *token);
        for token in due.collect::<Vec<_>>() {
            self.accept(token);
        }
    }

    pub(super) fn take_intake(&mut self) {
        let intake = self.own_intake();
        let sockets =
            std::mem::take(&mut *intake.queue.lock().unwrap_or_else(PoisonError::into_inner));
        for socket in sockets {
            if let Err(error) = self.admit(socket) {
                intake.left();
                crate::log::verbose(&format!("Client connection not taken: {error}"));
            }
        }
    }

    fn admit(&mut self, mut socket: Socket) -> io::Result<()> {
        let settings = &self.lp.live.settings;
        socket.prepare(settings.tcp_keepalive_s)?;
        let is_tls = socket.is_tls();
        if !is_tls && self.is_denied(&socket) {
            return self.turn_away(&mut socket, DENIED);
        }
        let (addr, laddr) = socket.addresses(&self.shared.unix_path);
        let info = Arc::new(client_info(self.engine, &self.lp, &socket, addr, laddr));
        if !self.engine.clients.add(Arc::clone(&info), settings.maxclients as usize) {
            return self.turn_away(&mut socket, TOO_MANY);
        }
        let mut session = Session::new(info, false);
        ochre_engine::acl::admit(self.engine, &mut session);
        let index = self.io.free.pop().unwrap_or(self.io.connections.len());
        if let Err(error) = socket.register(self.io.registry()?, Token(index)) {
            if index < self.io.connections.len() {
                self.io.free.push(index);
            }
            self.engine.clients.remove(session.id());
            return Err(error);
        }
        self.io.by_id.insert(session.id(), index);
        let mut connection = Box::new(Connection::new(socket, session));
        if is_tls {
            let until = self.lp.now.unix_ms + HANDSHAKE_MS;
            connection.handshake_until = Some(until);
            self.io.timers.insert((until, connection.session.id()));
        }
        let connection = Some(connection);
        if index == self.io.connections.len() {
            self.io.connections.push(connection);
        } else {
            self.io.connections[index] = connection;
        }
        self.count_memory(index);
        if !is_tls {
            self.engine.stats(self.lp.index).connections += 1;
        }
        Ok(())
    }

    /// Goes on with the handshake of a connection that has one before it. True when commands may be read.
    pub(super) fn shake_hands(&mut self, index: usize) -> bool {
        let Some(Some(connection)) = self.io.connections.get_mut(index) else { return false };
        let Some(until) = connection.handshake_until else { return true };
        match connection.socket.handshake() {
            Ok(true) => {
                connection.handshake_until = None;
                self.io.timers.remove(&(until, connection.session.id()));
                self.welcome(index);
                true
            }
            Ok(false) => {
                if connection.socket.may_hold_more(0, 1) {
                    self.io.unread.push(index);
                }
                false
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                // Whoever only looks whether the port is open: nothing to warn of.
                crate::log::verbose(&format!("Client connection not taken: {error}"));
                self.engine.stats(self.lp.index).tls_handshake_failures += 1;
                self.close(index);
                false
            }
            Err(error) => {
                self.refuse_handshake(index, &reason(&error));
                false
            }
        }
    }

    /// Ends a connection that is not to get through its handshake.
    pub(super) fn refuse_handshake(&mut self, index: usize, why: &str) {
        let Some(Some(connection)) = self.io.connections.get(index) else { return };
        let info = &connection.session.info;
        let (addr, laddr) = (&info.addr, &info.laddr);
        crate::log::warning(&format!(
            "Error accepting a client connection: {why} (addr={addr} laddr={laddr})"
        ));
        self.engine.stats(self.lp.index).tls_handshake_failures += 1;
        self.close(index);
    }

    /// Admits a client whose handshake is done, as what its certificate says it is.
    fn welcome(&mut self, index: usize) {
        let Some(Some(connection)) = self.io.connections.get(index) else { return };
        let denied = self.is_denied(&connection.socket);
        let user = self.lp.live.settings.tls.user;
        let Some(Some(connection)) = self.io.connections.get_mut(index) else { return };
        let mut stats = self.engine.stats(self.lp.index);
        if denied {
            stats.rejected_connections += 1;
            connection.output.buffer().extend_from_slice(DENIED);
            connection.session.close_after_reply = true;
            return;
        }
        stats.connections += 1;
        drop(stats);
        let Some(certificate) = connection.socket.certificate() else { return };
        if user == TlsUser::Off {
            return;
        }
        let names = user_names(user, certificate);
        let session = &mut connection.session;
        match ochre_engine::acl::admit_certified(self.engine, session, &names, &self.lp) {
            Some(_) => crate::log::verbose("TLS: the client's certificate names its user"),
            None => crate::log::verbose("TLS: the client's certificate names no user"),
        }
    }

    /// Protected mode: whether a client may not stay.
    fn is_denied(&self, socket: &Socket) -> bool {
        let open = self.engine.acl.needs_no_password();
        is_denied(&self.lp.live.settings, open, socket.is_local())
    }

    fn turn_away(&self, socket: &mut Socket, line: &[u8]) -> io::Result<()> {
        // The socket's buffer is empty, so a line fits; if it does not, there is nobody to tell. Before its
        // handshake a client with TLS cannot be told.
        if !socket.is_tls() {
            drop(socket.write(line));
        }
        self.engine.stats(self.lp.index).rejected_connections += 1;
        Err(io::Error::other(String::from_utf8_lossy(&line[1..line.len().min(40)]).into_owned()))
    }
}

/// Protected mode: a server without a password is for clients on its own host.
fn is_denied(settings: &Settings, open: bool, is_local: bool) -> bool {
    settings.protected_mode && open && !is_local
}

fn client_info(
    engine: &Engine,
    lp: &LoopState,
    socket: &Socket,
    addr: String,
    laddr: String,
) -> ClientInfo {
    let now = lp.now.unix_ms / 1000;
    ClientInfo {
        id: engine.clients.next_id(),
        event_loop: lp.index,
        addr,
        laddr,
        fd: socket.fd(),
        is_unix: matches!(socket, Socket::Unix(_)),
        created: now,
        last_seen: AtomicI64::new(now),
        ..ClientInfo::nobody()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ochre_config::{Config, Surroundings};

    #[test]
    fn protected_mode_is_for_servers_without_a_password() {
        let surroundings = Surroundings { cores: 1, folder: "/".into() };
        let mut settings = Settings::of(&Config::new(&surroundings));
        assert!(is_denied(&settings, true, false) && !is_denied(&settings, true, true));
        assert!(!is_denied(&settings, false, false));
        settings.protected_mode = false;
        assert!(!is_denied(&settings, true, false));
    }

    #[test]
    fn refusals_are_one_line_of_error() {
        for line in [DENIED, TOO_MANY] {
            assert!(line.starts_with(b"-") && line.ends_with(b"\r\n"));
            assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        }
    }
}
