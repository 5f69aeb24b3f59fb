//! A connection to a server or to another sentinel: bytes out, replies in.
//!
//! Limits: replies beyond `REPLY_MAX` bytes, or requests of which more than `UNSENT_MAX` bytes wait, end the connection;
//! the state machine makes another one.

use std::io;
use std::net::{IpAddr, SocketAddr};

use mio::{Registry, Token};
use ochre_net::socket::Socket;
use ochre_resp::parse::{ReplyLimits, ReplyParser, Value};

/// Most bytes of one string of a reply: an INFO of very many replicas has some hundred kilobytes.
const REPLY_MAX: u64 = 8 << 20;
/// Most elements of one reply: those of a transaction are six.
const ELEMENTS_MAX: u64 = 1024;
/// Most bytes that wait to be sent.
const UNSENT_MAX: usize = 1 << 20;
/// Bytes read at once.
const BLOCK: usize = 16 << 10;

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
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
    parser: ReplyParser,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Link {
    /// Begins to connect.
    pub(super) fn open(ip: &str, port: u16, registry: &Registry, token: Token) -> io::Result<Self> {
        let ip: IpAddr = ip.parse().map_err(io::Error::other)?;
        let stream = mio::net::TcpStream::connect(SocketAddr::new(ip, port))?;
        let mut socket = Socket::Tcp(stream);
        socket.register(registry, token)?;
        let limits = ReplyLimits { bulk_bytes: REPLY_MAX, elements: ELEMENTS_MAX, depth: 8 };
        Ok(Self {
            socket,
            phase: Phase::Connecting,
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
            Socket::Tls(_) | Socket::Unix(_) => None,
        }
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
