//! A server as far as sentinels can tell: role, INFO, PING, the hello channel, REPLICAOF, and replication by offsets.
//!
//! It answers with the bytes of the protocol. A restart keeps what CONFIG REWRITE wrote, whom it follows, and its data.
//!
//! Data is a history of writes: spans of one primary's time each, `(term, end)`, where `term` is a number that no other
//! time as primary has, and `end` the offset behind the last write. A replica has a prefix of its primary's history, or
//! takes all of it over.

use std::collections::{BTreeMap, BTreeSet};

use ochre_base::rng::Rng;

use crate::Time;
use crate::net::ConnId;

/// Whom a server follows: the index of the other, or none.
pub type Follows = Option<usize>;

/// What a request makes a server do beyond answering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// It was told whom to follow.
    Role,
    /// Others are to hear a message.
    Publish(Vec<u8>),
    /// All its other connections end.
    KillClients,
}

/// FAILOVER TO another: first it is waited for, without writes; then this one follows and the other is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handover {
    /// Who takes over.
    pub to: usize,
    /// When waiting for it is given up.
    pub until: Time,
    /// Whether this server has given its part up.
    pub demoted: bool,
}

/// See the module's head.
#[derive(Debug, Clone)]
pub struct Server {
    /// Changes with each start.
    pub run_id: String,
    /// Whom it follows.
    pub follows: Follows,
    /// What its configuration file says of that.
    written: Follows,
    /// `replica-priority`
    pub priority: u32,
    /// The writes that it has; ends are ascending.
    pub history: Vec<(u64, u64)>,
    /// The number of its time as primary, when it is one.
    term: Option<u64>,
    /// FAILOVER is under way.
    pub handover: Option<Handover>,
    /// Whether the link to its primary is up.
    pub link_up: bool,
    /// Since when it is down.
    pub link_down_at: Time,
    /// Connections that listen to hello messages.
    pub listeners: BTreeSet<ConnId>,
    /// Requests between MULTI and EXEC, by connection.
    queued: BTreeMap<ConnId, Vec<Vec<Vec<u8>>>>,
}

/// The address of a server.
pub fn server_ip(index: usize) -> String {
    format!("10.0.0.{}", index + 1)
}

/// The index of the server at an address.
pub fn server_at(ip: &str) -> Option<usize> {
    ip.strip_prefix("10.0.0.")?.parse::<usize>().ok()?.checked_sub(1)
}

/// The port of servers.
pub const SERVER_PORT: u16 = 6379;

impl Server {
    /// A server that follows another or none.
    pub fn new(follows: Follows, priority: u32, rng: &mut Rng) -> Self {
        let mut server = Self {
            run_id: String::new(),
            follows,
            written: follows,
            priority,
            history: Vec::new(),
            term: None,
            handover: None,
            link_up: false,
            link_down_at: 0,
            listeners: BTreeSet::new(),
            queued: BTreeMap::new(),
        };
        server.restart(rng, 0);
        server
    }

    /// Starts anew, with what the configuration file says.
    pub fn restart(&mut self, rng: &mut Rng, now: Time) {
        self.run_id =
            format!("{:040x}", u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64()));
        self.follows = self.written;
        self.handover = None;
        self.link_up = false;
        self.link_down_at = now;
        self.listeners.clear();
        self.queued.clear();
    }

    /// A connection has ended.
    pub fn hung_up(&mut self, conn: ConnId) {
        self.listeners.remove(&conn);
        self.queued.remove(&conn);
    }

    /// How much it has.
    pub fn offset(&self) -> u64 {
        self.history.last().map_or(0, |(_, end)| *end)
    }

    /// Whether it has a write, by the term in which it was made and the offset behind it.
    pub fn has(&self, write: (u64, u64)) -> bool {
        self.history.iter().any(|(term, end)| *term == write.0 && *end >= write.1)
    }

    /// Writes as a primary; `fresh` is a number that no other term has.
    pub fn write(&mut self, bytes: u64, fresh: u64) {
        let term = *self.term.get_or_insert(fresh);
        let end = self.offset() + bytes;
        match self.history.last_mut() {
            Some((last, known)) if *last == term => *known = end,
            _ => self.history.push((term, end)),
        }
    }

    /// Takes over what its primary has.
    pub fn copy(&mut self, primary: &[(u64, u64)]) {
        if self.history != primary {
            primary.clone_into(&mut self.history);
        }
    }

    /// Follows another from here on, or none.
    pub fn turn(&mut self, follows: Follows, now: Time) {
        self.term = None;
        if follows != self.follows {
            self.follows = follows;
            self.link_up = false;
            self.link_down_at = now;
        }
    }

    /// Notes that the link to its primary is up or down.
    pub fn set_link(&mut self, up: bool, now: Time) {
        if self.link_up && !up {
            self.link_down_at = now;
        }
        self.link_up = up;
    }

    /// Answers a request. `replicas` are the servers that follow this one with their link up.
    pub fn request(
        &mut self,
        conn: ConnId,
        args: &[Vec<u8>],
        replicas: &[usize],
        now: Time,
        out: &mut Vec<u8>,
    ) -> Effect {
        let name = args.first().map(|name| name.to_ascii_lowercase()).unwrap_or_default();
        match (name.as_slice(), self.queued.get_mut(&conn)) {
            (b"exec", _) => {
                let requests = self.queued.remove(&conn).unwrap_or_default();
                let mut effect = Effect::None;
                out.extend_from_slice(format!("*{}\r\n", requests.len()).as_bytes());
                for args in requests {
                    match self.request(conn, &args, replicas, now, out) {
                        Effect::None => {}
                        other => effect = other,
                    }
                }
                return effect;
            }
            (b"multi", _) => {
                self.queued.insert(conn, Vec::new());
            }
            (_, Some(queued)) => {
                queued.push(args.to_vec());
                out.extend_from_slice(b"+QUEUED\r\n");
                return Effect::None;
            }
            (b"ping", _) => {
                out.extend_from_slice(b"+PONG\r\n");
                return Effect::None;
            }
            (b"info", _) => {
                let text = self.info(replicas, now);
                out.extend_from_slice(format!("${}\r\n{text}\r\n", text.len()).as_bytes());
                return Effect::None;
            }
            (b"publish", _) => {
                out.extend_from_slice(b":1\r\n");
                return Effect::Publish(args.get(2).cloned().unwrap_or_default());
            }
            (b"subscribe", _) => {
                self.listeners.insert(conn);
                out.extend_from_slice(
                    b"*3\r\n$9\r\nsubscribe\r\n$18\r\n__sentinel__:hello\r\n:1\r\n",
                );
                return Effect::None;
            }
            (b"slaveof" | b"replicaof", _) if self.handover.is_some() => {
                out.extend_from_slice(b"-ERR REPLICAOF not allowed while failing over.\r\n");
                return Effect::None;
            }
            (b"failover", _) => {
                self.failover(args, replicas, now, out);
                return Effect::Role;
            }
            (b"slaveof" | b"replicaof", _) => {
                out.extend_from_slice(b"+OK\r\n");
                self.follow(args, now);
                return Effect::Role;
            }
            (b"config", _) => self.written = self.follows,
            (b"client", _) if args.get(1).is_some_and(|verb| verb == b"KILL") => {
                out.extend_from_slice(b":0\r\n");
                return Effect::KillClients;
            }
            _ => {}
        }
        out.extend_from_slice(b"+OK\r\n");
        Effect::None
    }

    fn follow(&mut self, args: &[Vec<u8>], now: Time) {
        let host = args.get(1).map(|host| String::from_utf8_lossy(host).into_owned());
        self.turn(host.and_then(|host| server_at(&host)), now);
    }

    /// `FAILOVER TO host port TIMEOUT ms` and `FAILOVER ABORT`.
    fn failover(&mut self, args: &[Vec<u8>], replicas: &[usize], now: Time, out: &mut Vec<u8>) {
        let text = |at: usize| args.get(at).map(|arg| String::from_utf8_lossy(arg).into_owned());
        if args.len() == 2 {
            // One that has begun to follow comes back as a primary.
            if let Some(Handover { demoted: true, .. }) = self.handover.take() {
                self.turn(None, now);
            }
            out.extend_from_slice(b"+OK\r\n");
            return;
        }
        let to = text(2).and_then(|host| server_at(&host)).filter(|to| replicas.contains(to));
        let timeout = text(5).and_then(|ms| ms.parse::<Time>().ok());
        match (to, timeout) {
            (Some(to), Some(timeout)) if self.follows.is_none() && self.handover.is_none() => {
                self.handover = Some(Handover { to, until: now + timeout, demoted: false });
                out.extend_from_slice(b"+OK\r\n");
            }
            _ => out.extend_from_slice(b"-ERR FAILOVER cannot begin.\r\n"),
        }
    }

    fn info(&self, replicas: &[usize], now: Time) -> String {
        let mut text = format!("run_id:{}\r\n", self.run_id);
        match self.follows {
            None => {
                text.push_str("role:master\r\n");
                for (at, replica) in replicas.iter().enumerate() {
                    let ip = server_ip(*replica);
                    text.push_str(&format!("slave{at}:ip={ip},port=6379,state=online\r\n"));
                }
            }
            Some(primary) => {
                let status = if self.link_up { "up" } else { "down" };
                let down = if self.link_up { 0 } else { (now - self.link_down_at) / 1000 };
                text.push_str(&format!(
                    "role:slave\r\nmaster_host:{}\r\nmaster_port:6379\r\n\
                     master_link_status:{status}\r\nmaster_link_down_since_seconds:{down}\r\n\
                     slave_repl_offset:{}\r\nslave_priority:{}\r\n",
                    server_ip(primary),
                    self.offset(),
                    self.priority
                ));
            }
        }
        text
    }
}
