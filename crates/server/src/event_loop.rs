//! An event loop: owns connections, reads, runs commands, writes. Loop 0 also accepts.
//!
//! A turn: accept; wait for events; take the mailbox; read each ready connection once and run its commands; take
//! the mailbox again; look after clients whose state changed; write each connection's output once; a slice of maintenance.
//! Nothing here blocks but the wait, and the wait ends with an event, a message, or the next timer.
//!
//! - [`accept`]: new connections, from the listening sockets to the loop that owns them;
//! - [`replicas`]: the stream to replicas;
//! - [`waiting`]: clients that wait in a blocking command or for the end of a pause;
//! - [`busy`]: the other clients, while a script runs too long;
//! - [`push`]: what reaches a client without its asking;
//! - [`limits`]: what a client may take of memory and time.

mod accept;
mod busy;
mod limits;
mod push;
mod replicas;
mod waiting;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use mio::{Events, Poll, Registry, Token, Waker};
use ochre_engine::blocking;
use ochre_engine::commands::transaction;
use ochre_engine::engine::Engine;
use ochre_engine::mailbox::{Mailbox, Message, Wake};
use ochre_engine::session::{ClientInfo, FLAG_CLOSING};
use ochre_engine::turn::LoopState;
use ochre_engine::{pubsub, tracking};
use ochre_net::input::SCRATCH;

pub(crate) use self::accept::Intake;
use self::busy::Deck;
use crate::clock::Clock;
use crate::connection::{Connection, Next, Traffic};
use crate::listening::{FIRST_TOKEN, Listening};
use crate::maintenance::Maintenance;
use crate::persist::aof::Aof;
use crate::persist::save;

const WAKER: Token = Token(usize::MAX);
/// Events taken in one turn: bounds how long the first ones wait for the last.
const EVENTS: usize = 256;
/// How long the end waits for clients to read what is written already.
const FAREWELL: Duration = Duration::from_millis(500);
/// Keys cached by clients that are forgotten at once, when the tables are full.
const TRACKED_KEYS: usize = 10_000;
/// Time between two looks at the clients that have not read it.
const FAREWELL_STEP: Duration = Duration::from_millis(2);

/// What all loops share of the process.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) listening: Listening,
    /// The append-only file.
    pub(crate) aof: Aof,
    /// One for each loop.
    pub(crate) intakes: Vec<Intake>,
    /// Bytes that each loop's clients hold; each is written by its loop only.
    pub(crate) client_memory: Vec<AtomicI64>,
    /// Path of the unix socket, as clients' address.
    pub(crate) unix_path: String,
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

/// A client in a line of the log.
pub(crate) fn shown(info: &ClientInfo) -> String {
    let names = info.names();
    format!(
        "id={} addr={} laddr={} name={} qbuf={} omem={} tot-mem={}",
        info.id,
        info.addr,
        info.laddr,
        names.name,
        info.query_bytes.load(Ordering::Relaxed),
        info.output_bytes.load(Ordering::Relaxed),
        limits::memory_of(info),
    )
}

/// One loop. See the module's head.
pub(crate) struct EventLoop {
    engine: &'static Engine,
    shared: &'static Shared,
    lp: LoopState,
    /// What lies in `deck` while a connection's commands run.
    io: Box<Io>,
    /// Where `io` lies meanwhile, for the pump to take; else a hollow one.
    deck: Deck,
    /// It runs in place of another that is held up by a script: see [`busy`].
    in_place: bool,
    scratch: Box<[u8]>,
    maintenance: Maintenance,
    traffic: Traffic,
}

/// A loop's connections and what it knows of them.
#[derive(Default)]
struct Io {
    /// None in a hollow one.
    poll: Option<Poll>,
    connections: Vec<Option<Box<Connection>>>,
    free: Vec<usize>,
    by_id: HashMap<u64, usize>,
    /// Connections with output to write.
    dirty: Vec<usize>,
    /// Connections that were not read empty.
    unread: Vec<usize>,
    /// What is left to do of the sockets that were ready: here, so that the pump finds it when one of them runs
    /// a script that takes long. No edge will tell of it again.
    ready: VecDeque<Ready>,
    /// Connections to be closed when no script holds locks.
    unclosed: Vec<usize>,
    /// Messages that are to be looked at when no script holds locks.
    put_off: Vec<Message>,
    /// Listeners that may have more connections, and when to look, in Unix milliseconds.
    unaccepted: Vec<(usize, i64)>,
    /// Ends of waits: time in Unix milliseconds, client.
    timers: BTreeSet<(i64, u64)>,
    /// Clients held back by a pause.
    paused: Vec<u64>,
    memory: limits::MemoryWatch,
    /// Clients that are replicas.
    replicas: Vec<u64>,
    /// The replicas' outputs could be filled further.
    feeding: bool,
    /// The log's end when other loops were last told of it.
    fed: u64,
    /// When replicas were last sent a PING, in Unix milliseconds.
    pinged_ms: i64,
    /// Version of the server's role that clients who wait were told of.
    role_version: u64,
}

/// What a socket is ready for.
#[derive(Debug, Clone, Copy)]
struct Ready {
    token: usize,
    read: bool,
    closed: bool,
    write: bool,
}

impl Io {
    fn registry(&self) -> io::Result<&Registry> {
        let hollow = || io::Error::other("the loop is held up by a script");
        self.poll.as_ref().map(Poll::registry).ok_or_else(hollow)
    }

    /// Waits for events.
    fn poll(&mut self, events: &mut Events, timeout: Duration) -> io::Result<()> {
        match &mut self.poll {
            Some(poll) => poll.poll(events, Some(timeout)),
            None => Ok(()),
        }
    }
}

impl EventLoop {
    pub(crate) fn new(
        engine: &'static Engine,
        shared: &'static Shared,
        poll: Poll,
        mut lp: LoopState,
    ) -> Self {
        let deck = Deck::default();
        lp.pump = Some(busy::pump(shared, &lp, &deck));
        lp.defers_counts = true;
        let mut event_loop = Self::bare(engine, shared, lp, deck);
        event_loop.io.poll = Some(poll);
        event_loop
    }

    fn bare(engine: &'static Engine, shared: &'static Shared, lp: LoopState, deck: Deck) -> Self {
        Self {
            engine,
            shared,
            maintenance: Maintenance::new(usize::from(lp.index), shared.intakes.len()),
            lp,
            io: Box::default(),
            deck,
            in_place: false,
            scratch: vec![0; SCRATCH].into_boxed_slice(),
            traffic: Traffic::default(),
        }
    }

    /// Runs until the process is to stop.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let mut messages = Vec::new();
        while !self.engine.stopping.load(Ordering::Relaxed) {
            let awake = !self.mailbox().may_sleep();
            let timeout = if awake { Duration::ZERO } else { self.timeout() };
            match self.io.poll(&mut events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            let began = self.shared.clock.ticks_ns();
            self.begin_turn();
            self.catch_up();
            // What others sent before a client's next command reaches it before the command's reply.
            self.take_messages(&mut messages);
            self.handle(&events);
            self.accept_rest();
            self.take_intake();
            self.take_messages(&mut messages);
            self.look_after();
            self.run_timers();
            self.write_log();
            self.io.feeding = self.feed_replicas();
            self.wake_feeders();
            self.lp.flush_counts(self.engine);
            self.flush_all();
            self.end_turn(began);
        }
        self.say_farewell();
        Ok(())
    }

    /// Serves the connections that were not read empty, and what became ready.
    fn handle(&mut self, events: &Events) {
        let Io { ready, unread, .. } = &mut *self.io;
        let unread = unread.drain(..);
        ready.extend(unread.map(|token| Ready { token, read: true, closed: false, write: false }));
        let events = events.iter().filter(|event| event.token() != WAKER);
        ready.extend(events.map(|event| Ready {
            token: event.token().0,
            read: event.is_readable() || event.is_error(),
            closed: event.is_read_closed(),
            write: event.is_writable(),
        }));
        let mut away = Vec::new();
        while let Some(ready) = self.io.ready.pop_front() {
            let index = ready.token;
            if index >= FIRST_TOKEN {
                self.accept(index);
                continue;
            }
            if self.in_place && self.io.connections.get(index).is_some_and(Option::is_none) {
                // The one that the script belongs to, most likely: for when it is back.
                away.push(ready);
                continue;
            }
            if ready.closed {
                self.hung_up(index);
            }
            if ready.read || ready.closed {
                self.readable(index);
            }
            if ready.write {
                self.writable(index);
            }
        }
        self.io.ready.extend(away);
    }

    fn take_messages(&mut self, room: &mut Vec<Message>) {
        self.mailbox().take(room);
        for message in room.drain(..) {
            self.receive(message);
        }
    }

    fn mailbox(&self) -> &'static Mailbox {
        &self.engine.mailboxes[usize::from(self.lp.index)]
    }

    /// What this turn's commands changed goes to the append-only file before their replies go out.
    fn write_log(&self) {
        let now_s = self.lp.now.unix_ms / 1000;
        self.shared.aof.end_turn(self.engine, &self.lp.live.settings, now_s);
    }

    fn begin_turn(&mut self) {
        self.lp.begin_turn(self.engine, self.shared.clock.now());
    }

    /// At the end: what commands answered goes out, as far as their clients read it soon.
    fn say_farewell(&mut self) {
        if self.lp.index == 0 {
            self.shared.listening.close();
        }
        let began = self.shared.clock.ticks_ns();
        // What of the log fits: replicas that were not waited for are as near as can be. What is left is lost.
        self.feed_replicas();
        loop {
            for index in 0..self.io.connections.len() {
                self.flush(index);
            }
            let pending = self.io.connections.iter().flatten().any(|c| c.has_output());
            let waited = Duration::from_nanos(self.shared.clock.ticks_ns() - began);
            if !pending || waited > FAREWELL {
                return;
            }
            std::thread::sleep(FAREWELL_STEP);
        }
    }

    fn timeout(&self) -> Duration {
        if !self.io.unread.is_empty() || self.io.feeding {
            return Duration::ZERO;
        }
        let mut ms = self.maintenance.wait_ms(&self.lp);
        let now = self.lp.now.unix_ms;
        if let Some((at, _)) = self.io.timers.first() {
            ms = ms.min((at - now).max(0) as u64);
        }
        if let Some(at) = self.io.unaccepted.iter().map(|(_, at)| *at).min() {
            ms = ms.min((at - now).max(0) as u64);
        }
        if !self.io.paused.is_empty() {
            ms = ms.min(self.engine.pause_look_ms(now));
        }
        Duration::from_millis(ms)
    }

    fn readable(&mut self, index: usize) {
        if !self.shake_hands(index) {
            return;
        }
        let result = self.lend(index, |connection, engine, lp, scratch, traffic| {
            connection.on_readable(engine, lp, scratch, traffic)
        });
        let Some(result) = result else { return };
        let Some(Some(connection)) = self.io.connections.get(index) else { return };
        let close = !matches!(result, Ok(Next::Stay));
        if connection.unread && !connection.session.is_waiting() {
            self.io.unread.push(index);
        }
        self.after_commands(index);
        if close {
            // A client that has closed only its sending side still reads its replies.
            self.flush(index);
            self.close(index);
        }
    }

    /// The peer has closed its side. No further edge will tell, so the connection is read to its end;
    /// a client that waits is not read, and goes at once.
    fn hung_up(&mut self, index: usize) {
        let Some(Some(connection)) = self.io.connections.get_mut(index) else { return };
        connection.hung_up = true;
        if connection.session.is_waiting() {
            self.close(index);
        }
    }

    /// Notes that a connection may have output, and checks its limits.
    fn after_commands(&mut self, index: usize) {
        let Some(Some(connection)) = self.io.connections.get_mut(index) else { return };
        if !connection.dirty && !connection.output.is_empty() && !connection.stuck {
            connection.dirty = true;
            self.io.dirty.push(index);
            return;
        }
        if connection.session.close_after_reply && !connection.has_output() {
            self.close(index);
            return;
        }
        if connection.stuck && self.is_over_output_limit(index) {
            self.close(index);
            return;
        }
        self.count_memory(index);
    }

    fn writable(&mut self, index: usize) {
        let Some(Some(connection)) = self.io.connections.get_mut(index) else { return };
        if connection.handshake_until.is_some() {
            self.readable(index);
        } else if connection.stuck || connection.socket.has_unsent() {
            connection.stuck = false;
            let now = self.lp.now.unix_ms / 1000;
            connection.session.info.last_seen.store(now, Ordering::Relaxed);
            self.flush(index);
        }
    }

    /// Writes a connection's output before the turn's end: what its commands changed goes to disk first.
    fn flush(&mut self, index: usize) {
        self.write_log();
        self.flush_written(index);
    }

    fn flush_written(&mut self, index: usize) {
        let Some(Some(connection)) = self.io.connections.get_mut(index) else { return };
        connection.dirty = false;
        let result = connection.flush(&mut self.traffic);
        let stuck = connection.stuck;
        if !matches!(result, Ok(Next::Stay)) || (stuck && self.is_over_output_limit(index)) {
            self.close(index);
            return;
        }
        self.count_memory(index);
    }

    fn flush_all(&mut self) {
        let mut dirty = std::mem::take(&mut self.io.dirty);
        for index in dirty.drain(..) {
            self.flush_written(index);
        }
        self.io.dirty = dirty;
    }

    fn close(&mut self, index: usize) {
        if self.is_put_off(index) {
            self.io.unclosed.push(index);
            return;
        }
        let Some(slot) = self.io.connections.get_mut(index) else { return };
        let Some(mut connection) = slot.take() else { return };
        connection.socket.say_good_bye();
        self.io.free.push(index);
        self.io.memory.forget(connection.counted);
        if let Some(at) = connection.handshake_until {
            self.io.timers.remove(&(at, connection.session.id()));
        }
        let session = &mut connection.session;
        session.info.set_flag(FLAG_CLOSING, true);
        if session.blocked.is_some() {
            if let Some(at) = session.blocked.as_ref().and_then(|blocked| blocked.deadline) {
                self.io.timers.remove(&(at, session.id()));
            }
            // Whether or not a writer has served it, it is gone.
            if !blocking::cancel(self.engine, session) {
                blocking::release(self.engine, session);
            }
        }
        if session.paused {
            self.engine.blocked.fetch_sub(1, Ordering::Relaxed);
        }
        transaction::drop_watches(self.engine, session);
        pubsub::unsubscribe_all(self.engine, session);
        tracking::stop(self.engine, session);
        if session.replica.is_some() {
            self.engine.replicas.remove(session.id());
            self.engine.log.unpin(session.id());
        }
        if session.monitor {
            self.engine.monitors.fetch_sub(1, Ordering::Relaxed);
        }
        self.io.by_id.remove(&session.id());
        self.engine.clients.remove(session.id());
        self.own_intake().left();
    }

    fn receive(&mut self, message: Message) {
        if self.in_place && busy::needs_locks(&message) {
            self.io.put_off.push(message);
            return;
        }
        match message {
            Message::Served { client, reply, time_ns } => {
                self.finish_wait(client, |connection, _| {
                    connection.output.buffer().extend_from_slice(&reply);
                    if let Some(call) = &mut connection.session.waiting_call {
                        call.time_ns += time_ns;
                    }
                });
            }
            Message::Unblock { client, error } => self.unblock(client, error),
            Message::Kill { client } => {
                if let Some(&index) = self.io.by_id.get(&client) {
                    self.close(index);
                }
            }
            Message::Push { clients, bytes } => self.deliver(&clients, &bytes),
            Message::Invalidate { clients, names, cause } => {
                self.invalidate(&clients, &names, cause);
            }
            Message::Snapshot { client, snapshot } => self.start_stream(client, snapshot),
            Message::Migrated(round) => self.migrated(round),
            Message::Monitor(line) => self.show_monitors(&line),
            Message::LookAround => self.resume_paused(),
        }
    }

    fn end_turn(&mut self, began_ns: u64) {
        // What is being loaded is not the data set yet: nothing of it expires, is evicted or saved.
        let loading = self.engine.loading.is_on();
        if !loading {
            self.maintenance.turn(self.engine, &mut self.lp, &self.shared.clock);
        }
        if self.lp.index == 0 && self.engine.failover.is_on() {
            self.engine.failover.tick(self.engine, self.lp.now.unix_ms);
        }
        if self.lp.index == 0 && self.engine.shutdown.is_on() && !self.in_place {
            self.engine.shutdown.tick(self.engine, self.lp.now.unix_ms);
        }
        let paused = self.engine.cron_paused.load(Ordering::Relaxed);
        if !paused && self.maintenance.clients_are_due(self.lp.now.unix_ms) {
            self.inspect_clients();
            self.tend_replicas();
            if self.lp.index == 0 {
                self.engine.measure(self.lp.now.mono_us);
                if !loading {
                    self.keep_aof();
                }
                let tls = &self.lp.live.settings.tls;
                self.shared.listening.tls.reload_when_due(tls, self.lp.now.unix_ms);
                self.ping_replicas();
                self.keep_log();
                if !loading && save::when_due(self.engine, self.lp.now.unix_ms / 1000) {
                    // A failure is in the log and in INFO; there is a next time.
                    drop(self.engine.host.save_in_background(self.engine, false));
                }
                let max = self.lp.live.settings.tracking_table_max_keys;
                if max > 0 {
                    tracking::trim(self.engine, max, TRACKED_KEYS);
                }
            }
        }
        self.watch_memory();
        self.count_traffic();
        let mut stats = self.engine.stats(self.lp.index);
        stats.cycles += 1;
        stats.cycle_us += (self.shared.clock.ticks_ns() - began_ns) / 1000;
    }

    fn count_traffic(&mut self) {
        let traffic = std::mem::take(&mut self.traffic);
        let mut stats = self.engine.stats(self.lp.index);
        stats.reads += traffic.reads;
        stats.net_in += traffic.net_in;
        stats.writes += traffic.writes;
        stats.net_out += traffic.net_out;
    }

    /// About once a second: switches the append-only file on or off as configured, and rewrites it when that
    /// is due.
    fn keep_aof(&self) {
        let (settings, aof) = (&self.lp.live.settings, &self.shared.aof);
        if aof.is_on() && !settings.append_only {
            aof.finish(self.engine, self.lp.now.unix_ms / 1000);
            aof.switch_off(self.engine);
            return;
        }
        let wanted = (settings.append_only && !aof.is_on())
            || self.engine.saves.state().rewrite_scheduled
            || aof.is_rewrite_due(settings);
        if wanted && self.engine.saves.begin_rewrite(self.lp.now.unix_ms / 1000) {
            // A failure is in the log and in INFO; there is a next time.
            drop(self.engine.host.rewrite_aof(self.engine));
        }
    }
}
