//! The conversations of MIGRATE with its targets: one thread for each target that keys go to.
//!
//! A thread has one connection, takes one round after another ([`Round`]), and posts each back to its
//! loop. After [`IDLE`] without a round it closes the connection and ends; so a connection that is kept
//! is exactly a thread that waits, and at most [`TARGETS`] are. Rounds for one target queue up behind each
//! other, for several they go on side by side; how many there are at all is bounded by the engine.
//!
//! A kept connection may have been closed by the target meanwhile, which shows only when it is used: a
//! round that was not answered at all on such a connection is tried once more on a new one.
//!
//! With `tls-cluster yes` connections have TLS, as in the peers; one that was made before that changed is not used
//! again.
//!
//! Failure: whatever goes wrong is said in the round ([`Broken`]), with the answers that came before. Each
//! wait for the target (to connect, to take bytes, to answer) ends after the command's time-out.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ochre_engine::commands::migrate::{Broken, Login, Round, Target};
use ochre_engine::engine::Engine;
use ochre_engine::mailbox::Message;

use super::stream::Stream;
use crate::host::reason;
use crate::log;
use crate::tls::Tls;

/// How long a connection is kept.
const IDLE: Duration = Duration::from_secs(10);
/// Targets at one time.
const TARGETS: usize = 64;
/// The longest line that a target answers.
const LINE_MAX: u64 = 64 << 10;

/// Host and port of a target.
type Address = (String, u16);

/// The threads, by their targets. The lock is a leaf.
#[derive(Debug, Default)]
pub(crate) struct Movers {
    queues: Mutex<BTreeMap<Address, Sender<Box<Round>>>>,
}

impl Movers {
    fn queues(&self) -> MutexGuard<'_, BTreeMap<Address, Sender<Box<Round>>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Threads, each with its connection.
    pub(crate) fn count(&self) -> usize {
        self.queues().len()
    }

    /// Hands a round to the thread of its target.
    pub(crate) fn send(
        self: &Arc<Self>,
        engine: &'static Engine,
        tls: &'static Tls,
        round: Box<Round>,
    ) {
        let address = (round.target.host.clone(), round.target.port);
        let mut queues = self.queues();
        let left = match queues.get(&address) {
            // A thread that waits takes its queue out of the map first: this one is listened to.
            Some(queue) => queue.send(round).err().map(|error| error.0),
            None if queues.len() >= TARGETS => Some(round),
            None => {
                let (queue, rounds) = mpsc::channel();
                let mover = Mover {
                    movers: Arc::clone(self),
                    engine,
                    tls,
                    address: address.clone(),
                    wire: None,
                };
                let thread = std::thread::Builder::new().name("migrate".into());
                match thread.spawn(move || mover.run(&rounds)) {
                    Ok(_) => {
                        let left = queue.send(round).err().map(|error| error.0);
                        queues.insert(address, queue);
                        left
                    }
                    Err(_) => Some(round),
                }
            }
        };
        drop(queues);
        if let Some(mut round) = left {
            round.broken = Some(Broken::Connecting);
            give_back(engine, round);
        }
    }
}

fn give_back(engine: &'static Engine, round: Box<Round>) {
    engine.tell(round.event_loop(), Message::Migrated(round));
}

/// The thread of one target.
struct Mover {
    movers: Arc<Movers>,
    engine: &'static Engine,
    tls: &'static Tls,
    address: Address,
    wire: Option<Wire>,
}

/// A connection, and what the target knows of it.
struct Wire {
    stream: BufReader<Stream>,
    login: Option<Login>,
    /// The selected database; none: it is new, and nobody has logged in.
    db: Option<i64>,
}

impl Mover {
    fn run(mut self, rounds: &Receiver<Box<Round>>) {
        while let Some(mut round) = self.next(rounds) {
            self.carry(&mut round);
            give_back(self.engine, round);
        }
    }

    /// The next round; none when the thread is to end, which nobody knows any more then.
    fn next(&mut self, rounds: &Receiver<Box<Round>>) -> Option<Box<Round>> {
        match rounds.recv_timeout(IDLE) {
            Ok(round) => Some(round),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                let mut queues = self.movers.queues();
                let late = rounds.try_recv().ok();
                if late.is_none() {
                    queues.remove(&self.address);
                }
                late
            }
        }
    }

    fn carry(&mut self, round: &mut Round) {
        let kept = self.wire.is_some();
        let mut broken = self.attempt(round).err();
        let unanswered = round.answers.is_empty() && round.refused.is_none();
        if broken.is_some() && kept && unanswered {
            self.wire = None;
            broken = self.attempt(round).err();
        }
        if broken.is_some() || round.refused.is_some() {
            self.wire = None;
        }
        round.broken = broken;
    }

    /// Says everything and hears the answers.
    fn attempt(&mut self, round: &mut Round) -> Result<(), Broken> {
        let target = Arc::clone(&round.target);
        let is_tls = self.engine.live().0.settings.tls.cluster;
        let is_of_use =
            |wire: &Wire| wire.login == target.login && wire.stream.get_ref().is_tls() == is_tls;
        if self.wire.as_ref().is_some_and(|wire| !is_of_use(wire)) {
            self.wire = None;
        }
        let wire = match self.wire.take() {
            Some(wire) => self.wire.insert(wire),
            None => {
                let tls = is_tls.then_some(self.tls);
                let wire = Wire::open(self.engine, tls, &target).map_err(|(broken, why)| {
                    log::verbose(&format!("MIGRATE to {}:{}: {why}", target.host, target.port));
                    broken
                })?;
                self.wire.insert(wire)
            }
        };
        wire.wait_at_most(target.timeout)?;
        // The password may have been changed there since the last round.
        let (greeting, count) = round.greeting(wire.db != Some(target.db));
        wire.say(&greeting)?;
        for _ in 0..count {
            if let Err(refused) = wire.hear()? {
                round.refused = Some(refused);
                return Ok(());
            }
        }
        wire.db = Some(target.db);
        wire.say(&round.commands())?;
        for _ in 0..round.len() {
            let answer = wire.hear()?;
            round.answers.push(answer);
        }
        Ok(())
    }
}

/// Puts TLS over a connection when it is wanted; the handshake takes as long as any wait for the target may.
fn over(
    engine: &Engine,
    tls: Option<&Tls>,
    tcp: TcpStream,
    patience: Duration,
) -> io::Result<Stream> {
    let Some(tls) = tls else { return Stream::new(tcp, None) };
    let connector = tls.connector()?;
    tcp.set_write_timeout(Some(patience))?;
    tcp.set_read_timeout(Some(patience))?;
    let mut stream = Stream::new(tcp, Some(&connector))?;
    let began_ns = engine.host.ticks_ns();
    stream.shake_hands(|| {
        let waited = Duration::from_nanos(engine.host.ticks_ns().saturating_sub(began_ns));
        if waited >= patience { Err(io::Error::from(io::ErrorKind::TimedOut)) } else { Ok(()) }
    })?;
    Ok(stream)
}

impl Wire {
    /// Connects; failure: what the client is told, and why.
    fn open(engine: &Engine, tls: Option<&Tls>, target: &Target) -> Result<Self, (Broken, String)> {
        let not_found = |error: io::Error| (Broken::Connecting, reason(&error));
        let addresses = (target.host.as_str(), target.port).to_socket_addrs().map_err(not_found)?;
        let mut why = "the host has no address".to_owned();
        for address in addresses {
            match TcpStream::connect_timeout(&address, target.timeout) {
                Ok(tcp) => {
                    // Without it small moves take longer, and nothing else.
                    drop(tcp.set_nodelay(true));
                    let stream = over(engine, tls, tcp, target.timeout)
                        .map_err(|error| (Broken::Connecting, reason(&error)))?;
                    let stream = BufReader::new(stream);
                    return Ok(Self { stream, login: target.login.clone(), db: None });
                }
                Err(error) => why = reason(&error),
            }
        }
        Err((Broken::Writing, why))
    }

    fn wait_at_most(&self, timeout: Duration) -> Result<(), Broken> {
        let stream = self.stream.get_ref().tcp();
        stream.set_write_timeout(Some(timeout)).map_err(|_| Broken::Writing)?;
        stream.set_read_timeout(Some(timeout)).map_err(|_| Broken::Reading)
    }

    fn say(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.stream.get_mut().write_all(bytes).map_err(|_| Broken::Writing)
    }

    /// One line: an error without its mark, or anything else.
    fn hear(&mut self) -> Result<Result<(), String>, Broken> {
        let mut line = Vec::new();
        let mut limited = self.stream.by_ref().take(LINE_MAX);
        limited.read_until(b'\n', &mut line).map_err(|_| Broken::Reading)?;
        let Some(line) = line.strip_suffix(b"\r\n") else { return Err(Broken::Reading) };
        match line.split_first() {
            Some((b'-', text)) => Ok(Err(String::from_utf8_lossy(text).into_owned())),
            Some((b'+' | b':', _)) => Ok(Ok(())),
            _ => Err(Broken::Reading),
        }
    }
}
