//! The link of a replica to its primary, from the greeting to the stream.
//!
//! ```text
//! -> PING                                     +PONG, or an error that asks for a password
//! -> AUTH [user] password                     +OK
//! -> REPLCONF listening-port N                +OK; older primaries know less, which does no harm
//! -> REPLCONF ip-address A                    +OK
//! -> REPLCONF capa eof capa psync2            +OK
//! -> PSYNC id next-offset [FAILOVER]          +FULLRESYNC id offset, then a snapshot ([`crate::payload`])
//!                                             +CONTINUE [id]
//! <- the stream                               -> REPLCONF ACK offset, each second and when asked
//! ```
//!
//! [`Link::connected`] begins, [`Link::receive`] takes what lies at the start of the bytes received, and
//! [`Link::tick`] is called a few times a second. What is to be sent is appended to `out`. A primary that is
//! busy before it answers sends empty lines, so that neither side gives up.
//!
//! The stream itself is not looked into: its bytes are handed out as they come, whoever applies them says how
//! far that is ([`Link::acknowledge`]).
//!
//! Limits: a line of an answer has at most [`LINE_MAX`] bytes. Failure: [`Failure`], after which the connection
//! is to be closed; what was learned about the history stays with the owner.

use ochre_base::num::parse_u64;

use crate::LINE_MAX;
use crate::payload::Payload;

/// Bytes of a history's name.
const ID: usize = 40;
/// Time between two acknowledgements, in milliseconds.
const ACK_EVERY_MS: i64 = 1000;
/// Time between two signs of life while a snapshot is being received or loaded, in milliseconds.
const NEWLINE_EVERY_MS: i64 = 1000;

/// What a replica says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Introduction {
    /// The port that it is reached at.
    pub port: u16,
    /// The address that it is reached at, when it is not the one that the primary sees.
    pub ip: Option<String>,
    /// The user that it logs in as; none: the default one.
    pub user: Option<Vec<u8>>,
    /// The password that it logs in with; none: it does not.
    pub password: Option<Vec<u8>>,
    /// Silence after which it gives up, in milliseconds.
    pub timeout_ms: i64,
    /// It asks the primary, which is a replica still, to take over.
    pub takes_over: bool,
    /// The history it has, and the offset up to which: from there it wants to go on.
    pub resume: Option<(String, u64)>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A snapshot of this history at this offset will come.
    FullSync {
        /// The history's name.
        id: String,
        /// The offset at the snapshot.
        offset: u64,
    },
    /// The stream goes on where it was.
    Continue {
        /// The history's name, when it is another one now.
        id: Option<String>,
    },
    /// The snapshot begins.
    PayloadBegins {
        /// Its bytes, if they are known.
        total: Option<u64>,
    },
    /// Bytes of the snapshot: these many, at the start of those that were given.
    Payload {
        /// How many.
        bytes: usize,
        /// It is complete with them.
        is_last: bool,
    },
    /// Bytes of the stream: all that were given.
    Stream,
}

/// Why a link is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Nothing was heard for too long.
    TimedOut,
    /// The primary cannot serve now: it loads, is busy, or has no link to its own primary.
    NotReady(
        /// Its words.
        String,
    ),
    /// It refused.
    Refused(
        /// What was asked, and its answer.
        String,
    ),
    /// It said something that cannot be.
    Nonsense(
        /// What.
        String,
    ),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::TimedOut => f.write_str("no data nor PING received..."),
            Failure::NotReady(words) => write!(f, "MASTER is not ready: {words}"),
            Failure::Refused(words) => f.write_str(words),
            Failure::Nonsense(words) => write!(f, "unexpected answer: {words}"),
        }
    }
}

/// An answer that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Ping,
    Auth,
    Port,
    Ip,
    Capa,
    Psync,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Greeting(Step),
    /// The line that announces the snapshot is to come.
    Announced,
    Payload(Payload),
    /// The snapshot is there, and is being loaded.
    Loading {
        /// The primary waits for an acknowledgement.
        marked: bool,
    },
    Streaming,
}

/// What was made of some bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Bytes that are dealt with.
    pub consumed: usize,
    /// What happened; none: more bytes are needed if none were consumed.
    pub event: Option<Event>,
}

/// See the module's head.
#[derive(Debug)]
pub struct Link {
    who: Introduction,
    phase: Phase,
    heard_ms: i64,
    acked_ms: i64,
    /// What was last said beside the protocol's course.
    newline_ms: i64,
}

/// Appends a request.
fn request(out: &mut Vec<u8>, args: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
    for arg in args {
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

impl Link {
    /// A connection is there: the greeting is appended to `out`.
    pub fn connected(who: Introduction, now_ms: i64, out: &mut Vec<u8>) -> Self {
        request(out, &[b"PING"]);
        Self {
            who,
            phase: Phase::Greeting(Step::Ping),
            heard_ms: now_ms,
            acked_ms: now_ms,
            newline_ms: now_ms,
        }
    }

    /// When the primary was last heard of.
    pub fn heard_ms(&self) -> i64 {
        self.heard_ms
    }

    /// Whether the stream is being received.
    pub fn is_streaming(&self) -> bool {
        self.phase == Phase::Streaming
    }

    /// Takes what lies at the start of `bytes`: those not consumed yet and newer ones.
    pub fn receive(
        &mut self,
        bytes: &[u8],
        now_ms: i64,
        out: &mut Vec<u8>,
    ) -> Result<Received, Failure> {
        if bytes.is_empty() {
            return Ok(Received { consumed: 0, event: None });
        }
        self.heard_ms = now_ms;
        match &mut self.phase {
            Phase::Greeting(step) => {
                let step = *step;
                let Some((line, consumed)) = line(bytes)? else {
                    return Ok(Received { consumed: 0, event: None });
                };
                let event = match line.is_empty() {
                    true => None,
                    false => self.answer(step, line, out)?,
                };
                Ok(Received { consumed, event })
            }
            Phase::Announced => self.announced(bytes),
            Phase::Payload(payload) => {
                let part = payload.take(bytes);
                if part.is_last {
                    self.phase = Phase::Loading { marked: payload.is_marked() };
                }
                let event = Event::Payload { bytes: part.data, is_last: part.is_last };
                let event = (part.data > 0 || part.is_last).then_some(event);
                Ok(Received { consumed: part.consumed, event })
            }
            // The stream's beginning stays with the owner until the snapshot is loaded.
            Phase::Loading { .. } => Ok(Received { consumed: 0, event: None }),
            Phase::Streaming => Ok(Received { consumed: bytes.len(), event: Some(Event::Stream) }),
        }
    }

    fn announced(&mut self, bytes: &[u8]) -> Result<Received, Failure> {
        let Some((line, consumed)) = line(bytes)? else {
            return Ok(Received { consumed: 0, event: None });
        };
        if line.is_empty() {
            return Ok(Received { consumed, event: None });
        }
        if let Some(words) = line.strip_prefix(b"-") {
            return Err(Failure::Refused(format!("the snapshot failed: {}", shown(words))));
        }
        let payload = line.strip_prefix(b"$").and_then(Payload::announced);
        let payload = payload.ok_or_else(|| Failure::Nonsense(shown(line)))?;
        let event = Event::PayloadBegins { total: payload.total() };
        self.phase = Phase::Payload(payload);
        Ok(Received { consumed, event: Some(event) })
    }

    fn answer(
        &mut self,
        step: Step,
        line: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, Failure> {
        match step {
            Step::Ping => {
                // An error that asks for a password or a permission shows that there is a server.
                let expected = [&b"-NOAUTH"[..], b"-NOPERM", b"-ERR operation not permitted"];
                let known = expected.iter().any(|words| line.starts_with(words));
                if line.starts_with(b"-") && !known {
                    return Err(refused("PING", line));
                }
                self.after_ping(out);
            }
            Step::Auth => {
                if line.starts_with(b"-") {
                    return Err(refused("Unable to AUTH to MASTER: it", line));
                }
                self.introduce(out);
            }
            // What a primary does not know of these, it does without.
            Step::Port if self.who.ip.is_some() => self.phase = Phase::Greeting(Step::Ip),
            Step::Port | Step::Ip => self.phase = Phase::Greeting(Step::Capa),
            Step::Capa => {
                let (id, next) = match &self.who.resume {
                    Some((id, offset)) => (id.clone(), (offset + 1).to_string()),
                    None => ("?".to_owned(), "-1".to_owned()),
                };
                let (id, next) = (id.as_bytes(), next.as_bytes());
                match self.who.takes_over {
                    true => request(out, &[b"PSYNC", id, next, b"FAILOVER"]),
                    false => request(out, &[b"PSYNC", id, next]),
                }
                self.phase = Phase::Greeting(Step::Psync);
            }
            Step::Psync => return self.synchronise(line).map(Some),
        }
        Ok(None)
    }

    fn after_ping(&mut self, out: &mut Vec<u8>) {
        match (&self.who.user, &self.who.password) {
            (_, None) => return self.introduce(out),
            (Some(user), Some(password)) => request(out, &[b"AUTH", user, password]),
            (None, Some(password)) => request(out, &[b"AUTH", password]),
        }
        self.phase = Phase::Greeting(Step::Auth);
    }

    /// All at once; the answers come one by one.
    fn introduce(&mut self, out: &mut Vec<u8>) {
        let port = self.who.port.to_string();
        request(out, &[b"REPLCONF", b"listening-port", port.as_bytes()]);
        if let Some(ip) = &self.who.ip {
            request(out, &[b"REPLCONF", b"ip-address", ip.as_bytes()]);
        }
        request(out, &[b"REPLCONF", b"capa", b"eof", b"capa", b"psync2"]);
        self.phase = Phase::Greeting(Step::Port);
    }

    fn synchronise(&mut self, line: &[u8]) -> Result<Event, Failure> {
        let text = shown(line);
        let mut words = text.split(' ');
        match words.next() {
            Some("+FULLRESYNC") => {
                let id = words.next().filter(|id| is_id(id));
                let offset = words.next().and_then(|offset| parse_u64(offset.as_bytes()));
                let (Some(id), Some(offset)) = (id, offset) else {
                    return Err(Failure::Nonsense(text));
                };
                self.phase = Phase::Announced;
                Ok(Event::FullSync { id: id.to_owned(), offset })
            }
            Some("+CONTINUE") => {
                let Some((known, _)) = &self.who.resume else {
                    return Err(Failure::Nonsense(text));
                };
                let id = words.next().filter(|id| !id.is_empty());
                if id.is_some_and(|id| !is_id(id)) {
                    return Err(Failure::Nonsense(text));
                }
                let id = id.filter(|id| id != known).map(str::to_owned);
                self.phase = Phase::Streaming;
                Ok(Event::Continue { id })
            }
            Some("-NOMASTERLINK" | "-LOADING" | "-BUSY" | "-TRYAGAIN") => {
                Err(Failure::NotReady(text.trim_start_matches('-').to_owned()))
            }
            _ if line.starts_with(b"-") => Err(refused("PSYNC", line)),
            _ => Err(Failure::Nonsense(text)),
        }
    }

    /// The snapshot is loaded, up to `offset`: the stream is taken from now on. A primary that made the
    /// snapshot on the way is told so at once, and others have nothing against it.
    pub fn loaded(&mut self, offset: u64, synced: Option<u64>, now_ms: i64, out: &mut Vec<u8>) {
        if let Phase::Loading { .. } = self.phase {
            self.phase = Phase::Streaming;
            self.heard_ms = now_ms;
            self.acknowledge(offset, synced, now_ms, out);
        }
    }

    /// Tells the primary that the stream is applied up to `offset`, and is on disk up to `synced` when
    /// there is an append-only file.
    pub fn acknowledge(
        &mut self,
        offset: u64,
        synced: Option<u64>,
        now_ms: i64,
        out: &mut Vec<u8>,
    ) {
        if !self.is_streaming() {
            return;
        }
        self.acked_ms = now_ms;
        let offset = offset.to_string();
        match synced {
            Some(synced) => {
                let synced = synced.to_string();
                let (offset, synced) = (offset.as_bytes(), synced.as_bytes());
                request(out, &[b"REPLCONF", b"ACK", offset, b"FACK", synced]);
            }
            None => request(out, &[b"REPLCONF", b"ACK", offset.as_bytes()]),
        }
    }

    /// Called a few times a second: says what is due, and whether the silence has lasted too long. A link
    /// whose snapshot is being loaded need not be heard of.
    pub fn tick(
        &mut self,
        offset: u64,
        synced: Option<u64>,
        now_ms: i64,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let loads = matches!(self.phase, Phase::Loading { .. });
        if !loads && now_ms - self.heard_ms > self.who.timeout_ms {
            return Err(Failure::TimedOut);
        }
        if self.is_streaming() && now_ms - self.acked_ms >= ACK_EVERY_MS {
            self.acknowledge(offset, synced, now_ms, out);
        }
        let syncs = loads || matches!(self.phase, Phase::Payload(_));
        if syncs && now_ms - self.newline_ms >= NEWLINE_EVERY_MS {
            self.newline_ms = now_ms;
            out.push(b'\n');
        }
        Ok(())
    }
}

/// The first line without its end, and the bytes that it took.
fn line(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, Failure> {
    match bytes.iter().take(LINE_MAX).position(|byte| *byte == b'\n') {
        Some(at) => {
            let line = &bytes[..at];
            Ok(Some((line.strip_suffix(b"\r").unwrap_or(line), at + 1)))
        }
        None if bytes.len() >= LINE_MAX => Err(Failure::Nonsense("a line without an end".into())),
        None => Ok(None),
    }
}

fn is_id(text: &str) -> bool {
    text.len() == ID && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn refused(what: &str, line: &[u8]) -> Failure {
    let words = shown(line);
    let words = words.trim_start_matches('-');
    match words.split(' ').next() {
        Some("LOADING" | "BUSY" | "MASTERDOWN") => Failure::NotReady(words.to_owned()),
        _ => Failure::Refused(format!("{what} was answered with: {words}")),
    }
}

#[cfg(test)]
mod tests;
