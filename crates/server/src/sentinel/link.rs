//! A connection to a server or to another sentinel: bytes out, replies in.
//!
//! With TLS a handshake follows on connecting; only when it is done the connection counts as open. It may take
//! [`HANDSHAKE_MS`], which its owner sees to.
//!
//! Limits: replies beyond `REPLY_MAX` bytes, or requests of which more than `UNSENT_MAX` bytes wait, end the connection;
//! the state machine makes another one.

use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::{Registry, Token};
use ochre_net::socket::Socket;
use ochre_net::tls::{Connector, TlsStream};
use ochre_resp::parse::{ReplyLimits, ReplyParser, Value};

/// Most bytes of one string of a reply: an INFO of very many replicas has some hundred kilobytes.
const REPLY_MAX: u64 = 8 << 20;
/// Most elements of one reply: those of a transaction are six.
const ELEMENTS_MAX: u64 = 1024;
/// Most bytes that wait to be sent.
const UNSENT_MAX: usize = 1 << 20;
/// Bytes read at once.
const BLOCK: usize = 16 << 10;

/// Longest handshake, in milliseconds.
pub(super) const HANDSHAKE_MS: i64 = 10_000;

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    Handshaking,
    Open,
}

/// What came of a look at the socket.
#[derive(Debug, PartialEq)]
pub(super) enum News {
    /// It is open now; the address of this end.
    Opened(String),
    /// A reply, or a message.
    Reply(Value),
}

/// See the module's head.
#[derive(Debug)]
pub(super) struct Link {
    socket: Socket,
    phase: Phase,
    /// What it goes to.
    addr: SocketAddr,
    /// When it was begun, in milliseconds of the process.
    began_ms: i64,
    parser: ReplyParser,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Link {
    /// Begins to connect, with TLS if there is something to make it with.
    pub(super) fn open(
        (ip, port): (&str, u16),
        connector: Option<&Connector>,
        (registry, token): (&Registry, Token),
        now_ms: i64,
    ) -> io::Result<Self> {
        let ip: IpAddr = ip.parse().map_err(io::Error::other)?;
        let addr = SocketAddr::new(ip, port);
        let stream = mio::net::TcpStream::connect(addr)?;
        let mut socket = match connector {
            None => Socket::Tcp(stream),
            Some(connector) => Socket::Tls(Box::new(TlsStream::connect(stream, connector)?)),
        };
        socket.register(registry, token)?;
        let limits = ReplyLimits { bulk_bytes: REPLY_MAX, elements: ELEMENTS_MAX, depth: 8 };
        Ok(Self {
            socket,
            phase: Phase::Connecting,
            addr,
            began_ms: now_ms,
            parser: ReplyParser::new(limits),
            input: Vec::new(),
            output: Vec::new(),
        })
    }

    /// Adds a request to what is sent next.
    pub(super) fn send(&mut self, request: &[u8]) -> io::Result<()> {
        self.output.extend_from_slice(request);
        if self.output.len() > UNSENT_MAX {
            return Err(io::Error::other("too much waits to be sent"));
        }
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.phase != Phase::Open {
            return Ok(());
        }
        while !self.output.is_empty() {
            match self.socket.write(&self.output)? {
                Some(0) => return Err(io::ErrorKind::WriteZero.into()),
                Some(bytes) => drop(self.output.drain(..bytes)),
                None => return Ok(()),
            }
        }
        self.socket.finish_write().map(drop)
    }

    fn tcp(&self) -> Option<&mio::net::TcpStream> {
        match &self.socket {
            Socket::Tcp(stream) => Some(stream),
            Socket::Tls(stream) => Some(stream.tcp()),
            Socket::Unix(_) => None,
        }
    }

    /// What it goes to.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Whether TLS is what it waits for.
    pub(super) fn is_handshaking(&self) -> bool {
        self.phase == Phase::Handshaking
    }

    /// Whether the handshake has not come to its end in time.
    pub(super) fn is_overdue(&self, now_ms: i64) -> bool {
        self.is_handshaking() && now_ms - self.began_ms > HANDSHAKE_MS
    }

    /// Goes on with the handshake; true when it is done.
    fn shake(&mut self) -> io::Result<bool> {
        while !self.socket.handshake()? {
            // What is left in the socket no further edge tells of.
            if !self.socket.may_hold_more(0, 1) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Something may be read or written. Failure: the connection has ended.
    pub(super) fn on_event(&mut self, news: &mut Vec<News>) -> io::Result<()> {
        if self.phase == Phase::Connecting {
            let Some(stream) = self.tcp() else { return Err(io::ErrorKind::Unsupported.into()) };
            if let Some(error) = stream.take_error()? {
                return Err(error);
            }
            match stream.peer_addr() {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(()),
                Err(error) => return Err(error),
            }
            stream.set_nodelay(true)?;
            self.phase = Phase::Handshaking;
        }
        if self.phase == Phase::Handshaking {
            if !self.shake()? {
                return Ok(());
            }
            self.phase = Phase::Open;
            let local = self.tcp().and_then(|stream| stream.local_addr().ok());
            let local = local.map_or_else(String::new, |addr| addr.ip().to_canonical().to_string());
            news.push(News::Opened(local));
        }
        self.flush()?;
        self.read(news)
    }

    fn read(&mut self, news: &mut Vec<News>) -> io::Result<()> {
        let mut block = [0; BLOCK];
        let ended = loop {
            match self.socket.read(&mut block)? {
                None if self.socket.may_hold_more(0, 1) => {}
                None => break false,
                Some(0) => break true,
                Some(bytes) => self.input.extend_from_slice(&block[..bytes]),
            }
            if self.input.len() as u64 > 2 * REPLY_MAX {
                return Err(io::Error::other("a reply is too long"));
            }
        };
        loop {
            let (taken, value) = self.parser.next(&self.input).map_err(io::Error::other)?;
            self.input.drain(..taken);
            match value {
                Some(value) => news.push(News::Reply(value)),
                None => break,
            }
        }
        if ended { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}
