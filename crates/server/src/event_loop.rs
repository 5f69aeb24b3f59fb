//! An event loop: owns connections, reads, runs commands, writes. Loop 0 also accepts.
//!
//! A turn: wait for events; read each ready connection once and run its commands; take the mailbox;
//! look after clients whose state changed; write each connection's output once; a slice of maintenance.
//! Nothing here blocks but the wait, and the wait ends with an event, a message, or the next timer.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::atomic::{AtomicI64, AtomicU16, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mio::{Events, Poll, Token, Waker};
use ochre_engine::blocking;
use ochre_engine::commands::transaction;
use ochre_engine::engine::{Engine, Pause};
use ochre_engine::mailbox::{Message, Wake};
use ochre_engine::session::{ClientInfo, FLAG_CLOSING, FLAG_UNAUTHENTICATED, Names, Session};
use ochre_engine::turn::LoopState;
use ochre_net::input::SCRATCH;
use ochre_net::listener::Listener;
use ochre_net::socket::Socket;
use ochre_resp::Reply;

use crate::clock::Clock;
use crate::connection::{Connection, Next, Traffic};
use crate::maintenance::Maintenance;

const WAKER: Token = Token(usize::MAX);
/// Tokens of listeners: from here up to the waker's.
const LISTENERS: usize = usize::MAX - 1024;
/// Events taken in one turn: bounds how long the first ones wait for the last.
const EVENTS: usize = 256;
/// Connections accepted in one turn: max-new-connections-per-cycle.
const ACCEPTS: usize = 10;

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
}

/// Wakes a loop out of its wait.
#[derive(Debug)]
pub(crate) struct LoopWaker(pub(crate) Arc<Waker>);

impl Wake for LoopWaker {
    fn wake(&self) {
        // An eventfd that cannot be written is one that is full: the loop will wake.
        drop(self.0.wake());
    }
}

/// What makes a poll and its waker.
pub(crate) fn poll_with_waker() -> io::Result<(Poll, Arc<Waker>)> {
    let poll = Poll::new()?;
    let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
    Ok((poll, waker))
}

/// One loop. See the module's head.
pub(crate) struct EventLoop {
    engine: &'static Engine,
    clock: &'static Clock,
    poll: Poll,
    lp: LoopState,
    intakes: &'static [Intake],
    listeners: Vec<Listener>,
    unix_path: String,
    connections: Vec<Option<Box<Connection>>>,
    free: Vec<usize>,
    by_id: HashMap<u64, usize>,
    /// Connections with output to write.
    dirty: Vec<usize>,
    /// Connections that were not read empty.
    unread: Vec<usize>,
    /// Ends of waits: time in Unix milliseconds, client.
    timers: BTreeSet<(i64, u64)>,
    /// Clients held back by a pause.
    paused: Vec<u64>,
    scratch: Box<[u8]>,
    maintenance: Maintenance,
    traffic: Traffic,
}

impl EventLoop {
    pub(crate) fn new(
        engine: &'static Engine,
        clock: &'static Clock,
        poll: Poll,
        lp: LoopState,
        intakes: &'static [Intake],
    ) -> Self {
        Self {
            engine,
            clock,
            poll,
            maintenance: Maintenance::new(usize::from(lp.index), intakes.len()),
            lp,
            intakes,
            listeners: Vec::new(),
            unix_path: String::new(),
            connections: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            dirty: Vec::new(),
            unread: Vec::new(),
            timers: BTreeSet::new(),
            paused: Vec::new(),
            scratch: vec![0; SCRATCH].into_boxed_slice(),
            traffic: Traffic::default(),
        }
    }

    /// Gives the loop the listening sockets: it is the acceptor.
    pub(crate) fn listen(&mut self, listeners: Vec<Listener>, unix_path: String) -> io::Result<()> {
        self.unix_path = unix_path;
        self.listeners = listeners;
        for (at, listener) in self.listeners.iter_mut().enumerate() {
            listener.register(self.poll.registry(), Token(LISTENERS + at))?;
        }
        Ok(())
    }

    /// Runs until the process is to stop.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let mut messages = Vec::new();
        while !self.engine.stopping.load(Ordering::Relaxed) {
            let timeout = self.timeout();
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            let began = self.clock.ticks_ns();
            self.lp.begin_turn(self.engine, self.clock.now());
            for index in std::mem::take(&mut self.unread) {
                self.readable(index);
            }
            for event in &events {
                match event.token() {
                    WAKER => {}
                    Token(token) if token >= LISTENERS => self.accept(token - LISTENERS),
                    Token(index) => {
                        if event.is_readable() || event.is_read_closed() || event.is_error() {
                            self.readable(index);
                        }
                        if event.is_read_closed() {
                            self.hung_up(index);
                        }
                        if event.is_writable() {
                            self.writable(index);
                        }
                    }
                }
            }
            self.take_intake();
            self.engine.mailboxes[usize::from(self.lp.index)].take(&mut messages);
            for message in messages.drain(..) {
                self.receive(message);
            }
            self.look_after();
            self.run_timers();
            self.flush_all();
            self.end_turn(began);
        }
        for index in 0..self.connections.len() {
            // What is written already goes out, as far as the socket takes it.
            self.flush(index);
        }
        Ok(())
    }

    fn timeout(&self) -> Duration {
        if !self.unread.is_empty() {
            return Duration::ZERO;
        }
        let mut ms = self.maintenance.wait_ms();
        let now = self.lp.now.unix_ms;
        if let Some((at, _)) = self.timers.first() {
            ms = ms.min((at - now).max(0) as u64);
        }
        if !self.paused.is_empty() {
            ms = ms.min((self.engine.pause_until_ms() - now).clamp(0, 100) as u64);
        }
        Duration::from_millis(ms)
    }

    fn accept(&mut self, listener: usize) {
        for _ in 0..ACCEPTS {
            match self.listeners[listener].accept() {
                Ok(Some(socket)) => {
                    let least = self
                        .intakes
                        .iter()
                        .min_by_key(|intake| intake.load.load(Ordering::Relaxed));
                    if let Some(intake) = least {
                        intake.hand_over(socket);
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    crate::log::warning(&format!("Accepting a client connection: {error}"));
                    return;
                }
            }
        }
        // The edge is used up: come back for the rest with the next turn.
        let token = Token(LISTENERS + listener);
        let registry = self.poll.registry();
        let again = self.listeners[listener].reregister(registry, token);
        if let Err(error) = again {
            crate::log::warning(&format!("Listening again after many connections: {error}"));
        }
    }

    fn take_intake(&mut self) {
        let intake = &self.intakes[usize::from(self.lp.index)];
        let sockets =
            std::mem::take(&mut *intake.queue.lock().unwrap_or_else(PoisonError::into_inner));
        for socket in sockets {
            if let Err(error) = self.admit(socket) {
                intake.load.fetch_sub(1, Ordering::Relaxed);
                crate::log::debug(&format!("Taking a client connection: {error}"));
            }
        }
    }

    fn admit(&mut self, mut socket: Socket) -> io::Result<()> {
        let settings = &self.lp.live.settings;
        socket.prepare(settings.tcp_keepalive_s)?;
        if let Some(refusal) = self.refusal(&socket) {
            // The socket's buffer is empty, so a line fits; if it does not, there is nobody to tell.
            drop(socket.write(refusal.as_bytes()));
            self.engine.stats(self.lp.index).rejected_connections += 1;
            return Err(io::Error::other("refused"));
        }
        let (addr, laddr) = socket.addresses(&self.unix_path);
        let info = Arc::new(client_info(self.engine, &self.lp, &socket, addr, laddr));
        if !self.engine.clients.add(Arc::clone(&info), settings.maxclients as usize) {
            drop(socket.write(b"-ERR max number of clients reached\r\n"));
            self.engine.stats(self.lp.index).rejected_connections += 1;
            return Err(io::Error::other("maxclients"));
        }
        let authenticated = settings.requirepass.is_empty();
        info.set_flag(FLAG_UNAUTHENTICATED, !authenticated);
        let session = Session::new(info, authenticated);
        let index = self.free.pop().unwrap_or(self.connections.len());
        if let Err(error) = socket.register(self.poll.registry(), Token(index)) {
            self.free.push(index);
            self.engine.clients.remove(session.id());
            return Err(error);
        }
        self.by_id.insert(session.id(), index);
        let connection = Some(Box::new(Connection::new(socket, session)));
        if index == self.connections.len() {
            self.connections.push(connection);
        } else {
            self.connections[index] = connection;
        }
        self.engine.stats(self.lp.index).connections += 1;
        Ok(())
    }

    /// Why a connection is not taken: protected mode.
    fn refusal(&self, socket: &Socket) -> Option<&'static str> {
        let settings = &self.lp.live.settings;
        let open = settings.protected_mode
            && settings.requirepass.is_empty()
            && !settings.bind_is_chosen
            && !socket.is_local();
        open.then_some(
            "-DENIED Ochre is running in protected mode because protected mode is enabled and no \
             password is set for the default user. In this mode connections are only accepted from \
             the loopback interface. To connect from other hosts, set a password, or name the \
             addresses to listen on with the bind directive, or, if you are sure that nobody can \
             reach this server from outside, disable protected mode with 'CONFIG SET \
             protected-mode no' from the same host.\r\n",
        )
    }

    fn readable(&mut self, index: usize) {
        let Some(Some(connection)) = self.connections.get_mut(index) else { return };
        let result = connection.on_readable(
            self.engine,
            &mut self.lp,
            &mut self.scratch,
            &mut self.traffic,
        );
        let close = !matches!(result, Ok(Next::Stay));
        if connection.unread && !connection.session.is_waiting() {
            self.unread.push(index);
        }
        self.after_commands(index);
        if close {
            self.close(index);
        }
    }

    /// The peer has closed its side: a client that waits is not read, so it would not be noticed.
    fn hung_up(&mut self, index: usize) {
        if let Some(Some(connection)) = self.connections.get(index)
            && connection.session.is_waiting()
        {
            self.close(index);
        }
    }

    /// Notes that a connection may have output, and checks its limits.
    fn after_commands(&mut self, index: usize) {
        let Some(Some(connection)) = self.connections.get_mut(index) else { return };
        if !connection.dirty && !connection.output.is_empty() && !connection.stuck {
            connection.dirty = true;
            self.dirty.push(index);
        } else if connection.session.close_after_reply && connection.output.is_empty() {
            self.close(index);
        } else if connection.stuck {
            self.check_output_limit(index);
        }
    }

    fn check_output_limit(&mut self, index: usize) {
        let Some(Some(connection)) = self.connections.get_mut(index) else { return };
        let limit = self.lp.live.settings.output_limits[ochre_config::special::CLASS_NORMAL];
        let pending = connection.output.pending() as u64;
        connection.session.info.output_bytes.store(pending, Ordering::Relaxed);
        let now = self.lp.now.unix_ms / 1000;
        let over = |bytes: u64| bytes > 0 && pending > bytes;
        let soft = over(limit.soft_bytes);
        let since = if soft { *connection.over_soft_since.get_or_insert(now) } else { now };
        if !soft {
            connection.over_soft_since = None;
        }
        if over(limit.hard_bytes) || (soft && now - since >= limit.soft_seconds) {
            self.engine.stats(self.lp.index).output_limit_disconnections += 1;
            crate::log::warning(&format!(
                "Client {} closed for overcoming of output buffer limits.",
                connection.session.info.addr
            ));
            self.close(index);
        }
    }

    fn writable(&mut self, index: usize) {
        let Some(Some(connection)) = self.connections.get_mut(index) else { return };
        if connection.stuck {
            connection.stuck = false;
            self.flush(index);
        }
    }

    fn flush(&mut self, index: usize) {
        let Some(Some(connection)) = self.connections.get_mut(index) else { return };
        connection.dirty = false;
        let result = connection.flush(&mut self.traffic);
        let stuck = connection.stuck;
        if !matches!(result, Ok(Next::Stay)) {
            self.close(index);
        } else if stuck {
            self.check_output_limit(index);
        }
    }

    fn flush_all(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for index in dirty.drain(..) {
            self.flush(index);
        }
        self.dirty = dirty;
    }

    fn close(&mut self, index: usize) {
        let Some(slot) = self.connections.get_mut(index) else { return };
        let Some(mut connection) = slot.take() else { return };
        self.free.push(index);
        let session = &mut connection.session;
        session.info.set_flag(FLAG_CLOSING, true);
        if session.blocked.is_some() {
            if let Some(at) = session.blocked.as_ref().and_then(|blocked| blocked.deadline) {
                self.timers.remove(&(at, session.id()));
            }
            // Whether or not a writer has served it, it is gone.
            if !blocking::cancel(self.engine, session) {
                blocking::release(self.engine, session);
            }
        }
        transaction::drop_watches(self.engine, session);
        if session.monitor {
            self.engine.monitors.fetch_sub(1, Ordering::Relaxed);
        }
        self.by_id.remove(&session.id());
        self.engine.clients.remove(session.id());
        self.intakes[usize::from(self.lp.index)].load.fetch_sub(1, Ordering::Relaxed);
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::Served { client, reply } => self.finish_wait(client, |connection, _| {
                connection.output.buffer().extend_from_slice(&reply);
            }),
            Message::Unblock { client, error } => self.unblock(client, error),
            Message::Kill { client } => {
                if let Some(&index) = self.by_id.get(&client) {
                    self.close(index);
                }
            }
            Message::Monitor(line) => self.show_monitors(&line),
            Message::LookAround => self.resume_paused(),
        }
    }

    fn show_monitors(&mut self, line: &[u8]) {
        for index in 0..self.connections.len() {
            let Some(connection) = &mut self.connections[index] else { continue };
            if connection.session.monitor {
                connection.output.buffer().extend_from_slice(line);
                self.after_commands(index);
            }
        }
    }

    /// Ends a client's wait whose waiter was claimed, and runs what it sent meanwhile.
    fn finish_wait(
        &mut self,
        client: u64,
        answer: impl FnOnce(&mut Connection, &ochre_engine::session::Blocked),
    ) {
        let Some(&index) = self.by_id.get(&client) else { return };
        let Some(Some(connection)) = self.connections.get_mut(index) else { return };
        let Some(blocked) = blocking::release(self.engine, &mut connection.session) else { return };
        if let Some(at) = blocked.deadline {
            self.timers.remove(&(at, client));
        }
        answer(connection, &blocked);
        self.resume(index);
    }

    /// Goes on with a client that waited.
    fn resume(&mut self, index: usize) {
        let Some(Some(connection)) = self.connections.get_mut(index) else { return };
        if !connection.session.is_waiting() {
            let next = connection.run_pending(self.engine, &mut self.lp);
            if connection.unread && !connection.session.is_waiting() {
                self.unread.push(index);
            }
            if next == Next::Close {
                self.close(index);
                return;
            }
        }
        self.after_commands(index);
    }

    fn unblock(&mut self, client: u64, error: bool) {
        let Some(&index) = self.by_id.get(&client) else { return };
        let Some(Some(connection)) = self.connections.get_mut(index) else { return };
        let session = &connection.session;
        let claimed = session
            .blocked
            .as_ref()
            .is_some_and(|blocked| blocked.waiter.as_ref().is_none_or(|waiter| waiter.claim()));
        if claimed {
            let protocol = session.protocol;
            self.finish_wait(client, |connection, blocked| {
                let mut reply = Reply::new(connection.output.buffer(), protocol);
                if error {
                    reply.error("UNBLOCKED client unblocked via CLIENT UNBLOCK");
                } else {
                    blocking::write_timeout(&mut reply, blocked.on_timeout);
                }
            });
        }
    }

    /// Sees to the clients that commands of this turn blocked or paused.
    fn look_after(&mut self) {
        while let Some(client) = self.lp.attention.pop() {
            let Some(&index) = self.by_id.get(&client) else { continue };
            let Some(Some(connection)) = self.connections.get_mut(index) else { continue };
            let session = &connection.session;
            if let Some(at) = session.blocked.as_ref().and_then(|blocked| blocked.deadline) {
                self.timers.insert((at, client));
            }
            if session.paused && !self.paused.contains(&client) {
                self.paused.push(client);
            }
        }
        if !self.paused.is_empty() && self.engine.pause(self.lp.now.unix_ms) == Pause::Off {
            self.resume_paused();
        }
    }

    /// Lets paused clients try again; those that still have to wait pause again.
    fn resume_paused(&mut self) {
        for client in std::mem::take(&mut self.paused) {
            let Some(&index) = self.by_id.get(&client) else { continue };
            if let Some(Some(connection)) = self.connections.get_mut(index) {
                connection.session.paused = false;
                self.resume(index);
            }
        }
    }

    fn run_timers(&mut self) {
        while let Some(&(at, client)) = self.timers.first() {
            if at > self.lp.now.unix_ms {
                break;
            }
            self.timers.remove(&(at, client));
            self.unblock(client, false);
        }
    }

    fn end_turn(&mut self, began_ns: u64) {
        let mut closing = Vec::new();
        self.maintenance.turn(self.engine, &mut self.lp, self.clock);
        if self.maintenance.clients_are_due(self.lp.now.unix_ms) {
            self.inspect_clients(&mut closing);
            if self.lp.index == 0 {
                self.engine.measure(self.lp.now.mono_us);
            }
        }
        for index in closing {
            self.close(index);
        }
        let traffic = std::mem::take(&mut self.traffic);
        let mut stats = self.engine.stats(self.lp.index);
        stats.reads += traffic.reads;
        stats.net_in += traffic.net_in;
        stats.writes += traffic.writes;
        stats.net_out += traffic.net_out;
        stats.cycles += 1;
        stats.cycle_us += (self.clock.ticks_ns() - began_ns) / 1000;
    }

    /// Once a second: closes idle clients (`timeout`), and brings sizes up to date for CLIENT LIST.
    fn inspect_clients(&mut self, closing: &mut Vec<usize>) {
        let now = self.lp.now.unix_ms / 1000;
        let timeout = self.lp.live.settings.timeout_s as i64;
        for (index, connection) in self.connections.iter().enumerate() {
            let Some(connection) = connection else { continue };
            let (session, info) = (&connection.session, &connection.session.info);
            info.output_bytes.store(connection.output.pending() as u64, Ordering::Relaxed);
            info.memory.store(connection.memory() as u64, Ordering::Relaxed);
            let idle = now - info.last_seen.load(Ordering::Relaxed);
            if timeout > 0 && idle > timeout && session.blocked.is_none() && !session.monitor {
                closing.push(index);
            }
        }
    }
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
        db: AtomicU16::new(0),
        protocol: AtomicU16::new(2),
        multi: AtomicU32::new(0),
        watching: AtomicU32::new(0),
        last_row: AtomicU16::new(0),
        query_bytes: AtomicU64::new(0),
        query_room: AtomicU64::new(0),
        multi_bytes: AtomicU64::new(0),
        output_bytes: AtomicU64::new(0),
        memory: AtomicU64::new(0),
        net_in: AtomicU64::new(0),
        net_out: AtomicU64::new(0),
        commands: AtomicU64::new(0),
        flags: AtomicU32::new(0),
        doomed: false.into(),
        names: Mutex::new(Names::default()),
    }
}
