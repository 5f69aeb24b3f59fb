//! A client of a sentinel: bytes in, commands out, pending output, and what it listens to.
//!
//! Limits: `QUERY_MAX` bytes of requests that are not complete, and `OUTPUT_MAX` bytes of replies and messages that are
//! not read; beyond either the client is closed.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use ochre_acl::User;
use ochre_net::socket::Socket;
use ochre_resp::{Args, Limits, Parsed, Parser, Protocol, Reply};

/// Most unread bytes: the commands of a sentinel are short.
const QUERY_MAX: usize = 1 << 20;
/// Most bytes that wait to be read by the client. Peers: 32 MB for those who listen.
const OUTPUT_MAX: usize = 32 << 20;
/// Bytes read at once.
const BLOCK: usize = 16 << 10;

/// See the module's head.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: u64,
    pub(super) socket: Socket,
    pub(super) handshaking: bool,
    pub(super) addr: String,
    pub(super) local_addr: String,
    pub(super) user: Arc<User>,
    pub(super) authenticated: bool,
    pub(super) protocol: Protocol,
    pub(super) name: Vec<u8>,
    pub(super) lib: (Vec<u8>, Vec<u8>),
    /// The last command, by its full name.
    pub(super) command: String,
    /// When it came, and when it last said something, in milliseconds of the process.
    pub(super) since_ms: i64,
    pub(super) active_ms: i64,
    pub(super) channels: BTreeSet<Vec<u8>>,
    pub(super) patterns: BTreeSet<Vec<u8>>,
    /// It is to be closed when its output is written.
    pub(super) closing: bool,
    /// Replies are not sent (CLIENT REPLY).
    pub(super) silent: Silence,
    parser: Parser,
    input: Vec<u8>,
    pub(super) output: Vec<u8>,
}

/// Which replies a client does not want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silence {
    /// It wants all.
    No,
    /// Not the next one.
    Next,
    /// None.
    Yes,
}

/// What is in a client's input.
pub(super) enum Request {
    /// A command.
    Command(Vec<Vec<u8>>),
    /// Nothing that is complete.
    Nothing,
}

impl Client {
    pub(super) fn new(id: u64, socket: Socket, user: Arc<User>, now_ms: i64) -> Self {
        let (addr, local_addr) = socket.addresses("");
        Self {
            id,
            handshaking: socket.is_tls(),
            socket,
            addr,
            local_addr,
            authenticated: user.is_open(),
            user,
            protocol: Protocol::Resp2,
            name: Vec::new(),
            lib: Default::default(),
            command: "NULL".to_owned(),
            since_ms: now_ms,
            active_ms: now_ms,
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            closing: false,
            silent: Silence::No,
            parser: Parser::new(),
            input: Vec::new(),
            output: Vec::new(),
        }
    }

    /// Whether it listens to something.
    pub(super) fn is_listening(&self) -> bool {
        !self.channels.is_empty() || !self.patterns.is_empty()
    }

    /// Reads what has come; false when the peer has closed.
    pub(super) fn read(&mut self) -> io::Result<bool> {
        if self.handshaking {
            if !self.socket.handshake()? {
                return Ok(true);
            }
            self.handshaking = false;
        }
        let mut block = [0; BLOCK];
        loop {
            match self.socket.read(&mut block)? {
                None => return Ok(true),
                Some(0) => return Ok(false),
                Some(bytes) => self.input.extend_from_slice(&block[..bytes]),
            }
            if self.input.len() > QUERY_MAX {
                return Err(io::Error::other("the query is too long"));
            }
        }
    }

    /// Takes the next command. After a broken one the client is answered and closed.
    pub(super) fn next_request(&mut self) -> Request {
        let limits = Limits { authenticated: self.authenticated, ..Limits::default() };
        let mut args = Args::new();
        loop {
            match self.parser.next(&mut self.input, &limits, &mut args) {
                Parsed::Complete { consumed } => {
                    let words = args.iter().map(|arg| arg.of(&self.input).to_vec()).collect();
                    self.input.drain(..consumed);
                    return Request::Command(words);
                }
                Parsed::Skipped { consumed } => drop(self.input.drain(..consumed)),
                Parsed::Incomplete { .. } => return Request::Nothing,
                Parsed::Error(error) => {
                    let mut text = b"ERR ".to_vec();
                    error.append_text(&mut text);
                    self.reply().error(text);
                    self.closing = true;
                    self.input.clear();
                    return Request::Nothing;
                }
            }
        }
    }

    /// Where replies go.
    pub(super) fn reply(&mut self) -> Reply<'_> {
        Reply::new(&mut self.output, self.protocol)
    }

    /// Writes what waits; false when the client is done with.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        if self.handshaking {
            return Ok(true);
        }
        if self.output.len() > OUTPUT_MAX {
            return Err(io::Error::other("too much output"));
        }
        while !self.output.is_empty() {
            match self.socket.write(&self.output)? {
                Some(0) => return Err(io::ErrorKind::WriteZero.into()),
                Some(bytes) => drop(self.output.drain(..bytes)),
                None => return Ok(true),
            }
        }
        let sent = self.socket.finish_write()?;
        Ok(!(self.closing && sent))
    }

    /// Its line in CLIENT LIST.
    pub(super) fn line(&self, now_ms: i64) -> String {
        let flags = if self.is_listening() { "P" } else { "N" };
        format!(
            "id={} addr={} laddr={} fd={} name={} age={} idle={} flags={flags} db=0 sub={} psub={} ssub=0 \
             multi=-1 qbuf={} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl={} oll=0 omem=0 \
             tot-mem={} events=r cmd={} user={} redir=-1 resp={} lib-name={} lib-ver={}\n",
            self.id,
            self.addr,
            self.local_addr,
            self.socket.fd(),
            String::from_utf8_lossy(&self.name),
            (now_ms - self.since_ms) / 1000,
            (now_ms - self.active_ms) / 1000,
            self.channels.len(),
            self.patterns.len(),
            self.input.len(),
            self.output.len(),
            self.input.capacity() + self.output.capacity(),
            self.command,
            String::from_utf8_lossy(&self.user.name),
            self.protocol.version(),
            String::from_utf8_lossy(&self.lib.0),
            String::from_utf8_lossy(&self.lib.1),
        )
    }
}
