//! The thread of the link to the primary that this server follows.
//!
//! It waits for a primary ([`ochre_engine::following`]), sees the loops into their new part, and then connects,
//! converses ([`ochre_replication::link`]), takes a snapshot in ([`super::transfer`]) and follows the stream, again
//! and again until the primary is another one. All of this is one thread with a blocking socket whose reads
//! end after [`PATIENCE`], so that it looks at the time and at what others want several times a second.
//!
//! **Keeping up.** One read takes up to [`BLOCK`] bytes; all complete commands of it run as one batch, sixteen at
//! a time with their keys prefetched, on this thread and without a hand-over. What comes meanwhile waits in the
//! kernel's buffer. So the stream is applied at the pace of one event loop that is sent pipelined commands
//! without replies, which is more than one core of a primary writes; loops that serve readers run beside it.
//!
//! **After each batch**, in this order: the append-only file is written, as a loop does at the end of its turn;
//! loops with replicas of our own are woken; an acknowledgement goes out when the primary asked for one.
//!
//! With `tls-replication yes` the connection has TLS: the handshake takes `repl-timeout` at most, and the port that
//! is announced is that of TLS, if there is one. A change of that directive, or of certificates, is for the next link.
//!
//! Failure: whatever goes wrong is logged, the link is closed, and a new one is tried: at once, or after [`RETRY`]
//! if this one did not last. What was applied stays, and the next link goes on from there. A transaction of which
//! the end did not come is dropped with the link, and comes again from its start.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ochre_config::Settings;
use ochre_engine::apply::Applier;
use ochre_engine::engine::Engine;
use ochre_engine::following::{Incoming, LinkState, Primary};
use ochre_engine::mailbox::Message;
use ochre_engine::session::ClientInfo;
use ochre_keyspace::lazyfree::Bin;
use ochre_replication::link::{Event, Failure, Introduction, Link, Received};

use super::stream::{Stream, is_silence};
use super::transfer;
use crate::event_loop::Shared;
use crate::host::reason;
use crate::log;

/// Longest wait for bytes before other things are looked at.
const PATIENCE: Duration = Duration::from_millis(100);
/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a link lasts that was no vain attempt.
const SETTLED_MS: i64 = 100;
/// Time between two attempts.
const RETRY: Duration = Duration::from_secs(1);
/// Time between two looks whether all loops know their new part.
const STEP: Duration = Duration::from_millis(1);
/// Bytes read at once.
const BLOCK: usize = 256 << 10;
/// Room for the stream that is kept between batches.
const ROOM: usize = 1 << 20;
/// The number of the loop that the link's client belongs to: none.
const NO_LOOP: u16 = u16::MAX;

/// What the thread works with.
pub(super) struct Wire {
    pub(super) engine: &'static Engine,
    pub(super) shared: &'static Shared,
    pub(super) bin: Bin,
}

/// Why a link is over.
#[derive(Debug)]
pub(super) enum Broken {
    /// The primary is another one, or the process ends.
    Void,
    /// For this reason.
    Lost(String),
    /// The primary refuses, for this reason.
    Refused(String),
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Broken::Void => f.write_str("the primary is another one"),
            Broken::Lost(why) | Broken::Refused(why) => f.write_str(why),
        }
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Broken::Lost(reason(&error))
    }
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(why) => Broken::Refused(why),
            other => Broken::Lost(other.to_string()),
        }
    }
}

/// See the module's head.
pub(super) struct Follower {
    wire: Wire,
    /// The version of the role that was acted on.
    version: u64,
    /// The data is that of the history up to the log's end; none: not looked at yet.
    resumable: Option<bool>,
}

impl Follower {
    pub(super) fn new(engine: &'static Engine, shared: &'static Shared, bin: Bin) -> Self {
        Self { wire: Wire { engine, shared, bin }, version: 0, resumable: None }
    }

    /// Runs until the process ends.
    pub(super) fn run(mut self) {
        let engine = self.wire.engine;
        let mut down_since_ms = 0;
        let mut pause = RETRY;
        while !engine.stopping.load(Ordering::Relaxed) {
            let patience = std::mem::replace(&mut pause, RETRY);
            let (primary, version) = engine.following.await_change(self.version, patience);
            let Some(primary) = primary else {
                self.version = version;
                continue;
            };
            if version != self.version {
                if !self.step_down(version) {
                    continue;
                }
                self.version = version;
                down_since_ms = self.wire.shared.clock.now().unix_ms;
            }
            let began_ms = self.wire.shared.clock.now().unix_ms;
            let ended = self.attempt(&primary, down_since_ms);
            let was_linked = engine.following.is_linked();
            let lasted_ms = self.wire.shared.clock.now().unix_ms - began_ms;
            // A link that did its work is made anew at once.
            pause = if was_linked && lasted_ms >= SETTLED_MS { Duration::ZERO } else { RETRY };
            if let Err(Broken::Lost(why) | Broken::Refused(why)) = &ended {
                let what = if was_linked { "Connection with master lost" } else { "MASTER sync" };
                log::warning(&format!("{what}: {why}"));
            }
            if let Err(Broken::Refused(why)) = &ended {
                self.hand_over_refused(why);
            }
            if was_linked {
                down_since_ms = self.wire.shared.clock.now().unix_ms;
            }
            self.show(down_since_ms);
        }
    }

    /// The server that was to take over from this one refuses: because it has done so already, which its
    /// answer did not say before the link broke, or for another reason.
    fn hand_over_refused(&self, why: &str) {
        let engine = self.wire.engine;
        if !engine.failover.is_in_progress() {
            return;
        }
        if why.contains("can't be sent to a master") {
            engine.failover.end(engine, "Failover complete: the target is a primary");
        } else {
            engine.failover.refused(engine, why);
        }
    }

    /// Shows that there is no link.
    fn show(&self, down_since_ms: i64) {
        self.wire.engine.following.show(self.version, |view| {
            view.state = LinkState::Connect;
            view.incoming = None;
            view.down_since_ms = down_since_ms;
        });
    }

    /// Waits until no loop writes any more, and turns the log over to the primary. False when the primary is
    /// another one by then.
    fn step_down(&mut self, version: u64) -> bool {
        let engine = self.wire.engine;
        while !engine.following.all_loops_know(version) {
            let over = engine.stopping.load(Ordering::Relaxed);
            if over || engine.following.version() != version {
                return false;
            }
            engine.tell_all(|| Message::LookAround);
            std::thread::sleep(STEP);
        }
        let Some(_batch) = engine.following.begin_batch(version) else { return false };
        let _all = engine.shards.lock_all();
        if engine.log.follows() {
            // From another primary, or from the file at the start.
            self.resumable.get_or_insert(true);
        } else {
            self.resumable = Some(engine.log.is_on());
            engine.log.follow();
        }
        true
    }

    fn attempt(&mut self, primary: &Primary, down_since_ms: i64) -> Result<(), Broken> {
        let wire = &self.wire;
        let (host, port) = (&primary.host, primary.port);
        log::notice(&format!("Connecting to MASTER {host}:{port}"));
        wire.engine.following.show(self.version, |view| {
            view.state = LinkState::Connecting;
            view.down_since_ms = down_since_ms;
        });
        let tcp = connect(primary)?;
        let live = wire.engine.live().0;
        let settings = &live.settings;
        tcp.set_nodelay(settings.repl_no_delay)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        let patience = u64::try_from(settings.repl_timeout_ms).unwrap_or(1).max(1);
        tcp.set_write_timeout(Some(Duration::from_millis(patience)))?;
        let stream = self.over(tcp, settings)?;
        let history = wire.engine.replicas.history();
        let resumable = self.resumable.get_or_insert(false);
        let resume = resumable.then(|| (history.id, wire.engine.log.end()));
        let replica = &settings.replica;
        let given = |text: &[u8]| Some(text.to_vec()).filter(|text| !text.is_empty());
        let who = Introduction {
            port: match replica.announce_port {
                // Whoever reaches this server by the addresses of links uses TLS, too.
                0 if settings.tls.replication && settings.tls.port != 0 => settings.tls.port,
                0 => wire.shared.listening.port(),
                port => port,
            },
            ip: Some(replica.announce_ip.clone()).filter(|ip| !ip.is_empty()),
            user: given(&replica.user),
            password: given(&replica.password),
            timeout_ms: settings.repl_timeout_ms,
            takes_over: wire.engine.failover.is_in_progress(),
            resume,
        };
        log::notice("MASTER <-> REPLICA sync started");
        let mut out = Vec::new();
        let now_ms = wire.shared.clock.now().unix_ms;
        let link = Link::connected(who, now_ms, &mut out);
        let info = Arc::new(pseudo_client(wire.engine, stream.tcp(), now_ms / 1000));
        wire.engine.clients.add(Arc::clone(&info), usize::MAX);
        let mut talk = Conversation {
            wire,
            version: self.version,
            resumable,
            stream,
            link,
            out,
            input: Vec::new(),
            block: vec![0; BLOCK].into_boxed_slice(),
            info: Arc::clone(&info),
        };
        let ended = talk.synchronise().and_then(|()| talk.follow());
        wire.engine.clients.remove(info.id);
        ended
    }

    /// Puts TLS over a connection when the settings ask for it.
    fn over(&self, tcp: TcpStream, settings: &Settings) -> Result<Stream, Broken> {
        let (engine, shared) = (self.wire.engine, self.wire.shared);
        if !settings.tls.replication {
            return Ok(Stream::new(tcp, None)?);
        }
        let connector = shared.listening.tls.connector()?;
        let mut stream = Stream::new(tcp, Some(&connector))?;
        let end_ms = shared.clock.now().unix_ms.saturating_add(settings.repl_timeout_ms);
        let shaken = stream.shake_hands(|| {
            let over = engine.stopping.load(Ordering::Relaxed);
            if over || engine.following.version() != self.version {
                return Err(Broken::Void);
            }
            match shared.clock.now().unix_ms > end_ms {
                true => Err(Broken::Lost("the TLS handshake takes too long".to_owned())),
                false => Ok(()),
            }
        });
        match shaken {
            Ok(()) => Ok(stream),
            Err(Broken::Lost(why)) => {
                Err(Broken::Lost(format!("Error condition on socket for SYNC: TLS: {why}")))
            }
            Err(other) => Err(other),
        }
    }
}

fn connect(primary: &Primary) -> Result<TcpStream, Broken> {
    let mut failure = Broken::Lost("the host has no address".to_owned());
    let addresses: Vec<SocketAddr> =
        (primary.host.as_str(), primary.port).to_socket_addrs()?.collect();
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                let why = reason(&error);
                failure = Broken::Lost(format!("Error condition on socket for SYNC: {why}"));
            }
        }
    }
    Err(failure)
}

/// The link as a client, for CLIENT LIST and CLIENT KILL.
fn pseudo_client(engine: &Engine, stream: &TcpStream, now_s: i64) -> ClientInfo {
    let shown = |address: io::Result<SocketAddr>| {
        address.map(|address| address.to_string()).unwrap_or_default()
    };
    ClientInfo {
        id: engine.clients.next_id(),
        event_loop: NO_LOOP,
        addr: shown(stream.peer_addr()),
        laddr: shown(stream.local_addr()),
        fd: stream.as_raw_fd(),
        created: now_s,
        last_seen: now_s.into(),
        ..ClientInfo::nobody()
    }
}

/// One connection with the primary.
pub(super) struct Conversation<'w> {
    pub(super) wire: &'w Wire,
    /// The version of the role that it is for.
    pub(super) version: u64,
    /// See [`Follower`].
    pub(super) resumable: &'w mut bool,
    stream: Stream,
    link: Link,
    /// To be sent.
    out: Vec<u8>,
    /// Received, and not consumed yet.
    input: Vec<u8>,
    block: Box<[u8]>,
    info: Arc<ClientInfo>,
}

impl Conversation<'_> {
    fn now_ms(&self) -> i64 {
        self.wire.shared.clock.now().unix_ms
    }

    /// Whether anybody wants this link to end.
    fn check(&self) -> Result<(), Broken> {
        let engine = self.wire.engine;
        let over = engine.stopping.load(Ordering::Relaxed);
        if over || engine.following.version() != self.version {
            return Err(Broken::Void);
        }
        if self.info.doomed.load(Ordering::Relaxed) {
            return Err(Broken::Lost("closed by CLIENT KILL".to_owned()));
        }
        Ok(())
    }

    /// What is due whatever the primary says.
    pub(super) fn pulse(&mut self) -> Result<(), Broken> {
        self.check()?;
        let engine = self.wire.engine;
        let (offset, synced) = (engine.log.end(), self.wire.shared.aof.synced());
        let now_ms = self.now_ms();
        self.link.tick(offset, synced, now_ms, &mut self.out)?;
        self.send()
    }

    fn send(&mut self) -> Result<(), Broken> {
        if !self.out.is_empty() {
            self.stream.write_all(&self.out)?;
            self.out.clear();
        }
        Ok(())
    }

    /// Waits a little for bytes; how many came.
    fn read(&mut self) -> Result<usize, Broken> {
        self.pulse()?;
        match self.stream.read(&mut self.block) {
            Ok(0) => Err(Broken::Lost("the primary has closed it".to_owned())),
            Ok(bytes) => {
                self.input.extend_from_slice(&self.block[..bytes]);
                self.info.net_in.fetch_add(bytes as u64, Ordering::Relaxed);
                Ok(bytes)
            }
            Err(error) if is_silence(&error) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes what lies at the start of what was received, and reads until something happens.
    fn next(&mut self) -> Result<(Event, usize), Broken> {
        loop {
            let now_ms = self.now_ms();
            let Received { consumed, event } =
                self.link.receive(&self.input, now_ms, &mut self.out)?;
            match event {
                Some(event) => return Ok((event, consumed)),
                None if consumed > 0 => drop(self.input.drain(..consumed)),
                None => drop(self.read()?),
            }
        }
    }

    /// Appends the next bytes of the snapshot; true when they are its last.
    pub(super) fn pull(&mut self, into: &mut Vec<u8>) -> Result<bool, Broken> {
        let (event, consumed) = self.next()?;
        let Event::Payload { bytes, is_last } = event else {
            return Err(Broken::Lost("the snapshot is not where it should be".to_owned()));
        };
        into.extend_from_slice(&self.input[..bytes]);
        self.input.drain(..consumed);
        let now_ms = self.now_ms();
        self.wire.engine.following.show(self.version, |view| {
            view.last_io_ms = now_ms;
            if let Some(incoming) = &mut view.incoming {
                incoming.read_bytes += bytes as u64;
            }
        });
        Ok(is_last)
    }

    /// Shows that a snapshot comes.
    pub(super) fn show_incoming(&self, incoming: Incoming) {
        let now_ms = self.now_ms();
        self.wire.engine.following.show(self.version, |view| {
            view.state = LinkState::Sync;
            view.last_io_ms = now_ms;
            view.incoming = Some(incoming);
        });
    }

    /// From the greeting to the stream's beginning.
    fn synchronise(&mut self) -> Result<(), Broken> {
        let mut announced = None;
        loop {
            let (event, consumed) = self.next()?;
            if !matches!(event, Event::Stream | Event::Payload { .. }) {
                self.input.drain(..consumed);
            }
            match event {
                Event::FullSync { id, offset } => {
                    self.handed_over();
                    log::notice(&format!("Full resync from master: {id}:{offset}"));
                    announced = Some((id, offset));
                }
                Event::PayloadBegins { total } => {
                    let Some((id, offset)) = announced.take() else {
                        return Err(Broken::Lost("a snapshot of nothing".to_owned()));
                    };
                    transfer::receive(self, (id, offset), total)?;
                    let now_ms = self.now_ms();
                    let synced = self.wire.shared.aof.synced();
                    self.link.loaded(offset, synced, now_ms, &mut self.out);
                    return self.send();
                }
                Event::Continue { id } => {
                    self.handed_over();
                    self.rename(id)?;
                    log::notice(
                        "MASTER <-> REPLICA sync: Master accepted a Partial Resynchronization.",
                    );
                    return Ok(());
                }
                Event::Stream | Event::Payload { .. } => {
                    return Err(Broken::Lost("a stream without a beginning".to_owned()));
                }
            }
        }
    }

    /// An answer to PSYNC that asked for a hand-over says that it is done.
    fn handed_over(&self) {
        let engine = self.wire.engine;
        if engine.failover.is_in_progress() {
            engine.failover.end(engine, "Failover complete");
        }
    }

    /// The history goes on, under another name if there is one.
    fn rename(&self, id: Option<String>) -> Result<(), Broken> {
        let Some(id) = id else { return Ok(()) };
        let engine = self.wire.engine;
        let _batch = engine.following.begin_batch(self.version).ok_or(Broken::Void)?;
        let _all = engine.shards.lock_all();
        log::notice(&format!("Master replication ID changed to {id}"));
        engine.replicas.rename_history(id, engine.log.end());
        Ok(())
    }

    /// Follows the stream until the link ends.
    fn follow(&mut self) -> Result<(), Broken> {
        let wire = self.wire;
        let (_, db) = wire.engine.log.begin_reader();
        let mut applier = Applier::new(wire.engine, wire.bin.clone(), Arc::clone(&self.info), db);
        let now_ms = self.now_ms();
        wire.engine.following.show(self.version, |view| {
            view.state = LinkState::Connected;
            view.incoming = None;
            view.last_io_ms = now_ms;
            view.received = wire.engine.log.end();
        });
        // Replicas of ours that were cut off may come back, and those of an older epoch learn of it.
        wire.engine.tell_all(|| Message::LookAround);
        let mut fresh = self.input.len();
        loop {
            if fresh > 0 {
                // Only for the time: in this phase all bytes are the stream's.
                let from = self.input.len() - fresh;
                let now_ms = self.now_ms();
                self.link.receive(&self.input[from..], now_ms, &mut self.out)?;
                self.apply(&mut applier, fresh)?;
            }
            fresh = self.read()?;
        }
    }

    /// Runs what is complete of what was received, of which `fresh` bytes came last.
    fn apply(&mut self, applier: &mut Applier, fresh: usize) -> Result<(), Broken> {
        let engine = self.wire.engine;
        let now = self.wire.shared.clock.now();
        {
            let _batch = engine.following.begin_batch(self.version).ok_or(Broken::Void)?;
            let done = applier.run(&mut self.input, now);
            self.input.drain(..done.consumed);
            if done.broken {
                return Err(Broken::Lost("the stream is broken".to_owned()));
            }
            self.input.reserve(done.wanted.saturating_sub(self.input.len()));
        }
        if self.input.is_empty() {
            self.input.shrink_to(ROOM);
        }
        engine.host.write_log(engine, &engine.live().0.settings, now.unix_ms / 1000);
        engine.replicas.wake_loops(engine, None);
        engine.following.show(self.version, |view| {
            view.last_io_ms = now.unix_ms;
            view.received += fresh as u64;
        });
        self.info.last_seen.store(now.unix_ms / 1000, Ordering::Relaxed);
        self.info.query_bytes.store(self.input.len() as u64, Ordering::Relaxed);
        if applier.was_asked() {
            let (offset, synced) = (engine.log.end(), self.wire.shared.aof.synced());
            self.link.acknowledge(offset, synced, now.unix_ms, &mut self.out);
            self.send()?;
        }
        Ok(())
    }
}
