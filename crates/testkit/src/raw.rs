//! A client for tests: a blocking socket, commands out, whole replies in, every type visible.
//!
//! Each read has a deadline ([`Client::patience`]); a reply that does not come in time is an error,
//! so that no test hangs. RESP3 pushes are ordinary values: the reader sees the stream as it is.
//!
//! The functions named `try_*` return errors; the others panic with the command that failed.

use crate::{Value, line};
use ochre_resp::parse::ReplyParser;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a reply may take unless a test says otherwise. Long, because a loaded two-core machine
/// stalls a process for seconds; a passing test never waits for it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes asked of the socket in one read.
const READ_BYTES: usize = 64 * 1024;

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.read(buf),
            Stream::Unix(stream) => stream.read(buf),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.write_all(bytes),
            Stream::Unix(stream) => stream.write_all(bytes),
        }
    }

    fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_read_timeout(Some(timeout)),
            Stream::Unix(stream) => stream.set_read_timeout(Some(timeout)),
        }
    }
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: Stream,
    parser: ReplyParser,
    /// Bytes that came and were not taken yet: `buf[start..]`.
    buf: Vec<u8>,
    start: usize,
    patience: Duration,
}

impl Client {
    /// Connects to a port of 127.0.0.1.
    pub fn try_connect(port: u16) -> io::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client::over(Stream::Tcp(stream)))
    }

    /// Connects to a port of 127.0.0.1.
    pub fn connect(port: u16) -> Client {
        match Client::try_connect(port) {
            Ok(client) => client,
            Err(error) => panic!("cannot connect to port {port}: {error}"),
        }
    }

    /// Connects to a unix socket.
    pub fn connect_unix(path: &Path) -> Client {
        match UnixStream::connect(path) {
            Ok(stream) => Client::over(Stream::Unix(stream)),
            Err(error) => panic!("cannot connect to {}: {error}", path.display()),
        }
    }

    fn over(stream: Stream) -> Client {
        Client {
            stream,
            parser: ReplyParser::default(),
            buf: Vec::new(),
            start: 0,
            patience: PATIENCE,
        }
    }

    /// Sets how long one reply may take.
    pub fn patience(&mut self, patience: Duration) -> &mut Client {
        self.patience = patience;
        self
    }

    /// Sends a command and returns its reply.
    pub fn cmd<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Value {
        match self.try_cmd(args) {
            Ok(value) => value,
            Err(error) => panic!("no reply to {}: {error}", line::quoted(args)),
        }
    }

    /// Sends a command and returns its reply.
    pub fn try_cmd<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Value> {
        self.try_send(args)?;
        self.try_reply()
    }

    /// Sends the words of a line (see [`line::words`]) and returns the reply.
    pub fn line(&mut self, text: &str) -> Value {
        self.cmd(&line::words(text))
    }

    /// Sends the words of a line and returns the reply as text (see [`line::show`]).
    pub fn shown(&mut self, text: &str) -> String {
        line::show(&self.line(text))
    }

    /// Sends a command that must answer with an integer.
    pub fn integer(&mut self, text: &str) -> i64 {
        let value = self.line(text);
        match value.integer() {
            Some(n) => n,
            None => panic!("{text}: expected an integer, got {}", line::show(&value)),
        }
    }

    /// One field of INFO, as text.
    pub fn info(&mut self, section: &str, field: &str) -> String {
        let value = self.cmd(&["INFO", section]);
        let text = String::from_utf8_lossy(value.bytes().unwrap_or_default()).into_owned();
        let found = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        match found {
            Some(found) => found.trim_end().to_owned(),
            None => panic!("INFO {section} has no field {field}"),
        }
    }

    /// Sends a command without waiting.
    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        if let Err(error) = self.try_send(args) {
            panic!("cannot send {}: {error}", line::quoted(args));
        }
    }

    /// Sends a command without waiting.
    pub fn try_send<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<()> {
        let mut out = Vec::new();
        encode(args, &mut out);
        self.stream.write_all(&out)
    }

    /// Sends bytes as they are.
    pub fn try_send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        if let Err(error) = self.try_send_raw(bytes) {
            panic!("cannot send {} bytes: {error}", bytes.len());
        }
    }

    /// The next reply.
    pub fn reply(&mut self) -> Value {
        match self.try_reply() {
            Ok(value) => value,
            Err(error) => panic!("no reply: {error}"),
        }
    }

    /// The next reply.
    pub fn try_reply(&mut self) -> io::Result<Value> {
        match self.reply_within(self.patience)? {
            Some(value) => Ok(value),
            None => Err(ErrorKind::TimedOut.into()),
        }
    }

    /// The next reply if it comes within `wait`.
    pub fn reply_within(&mut self, wait: Duration) -> io::Result<Option<Value>> {
        let deadline = Instant::now() + wait;
        loop {
            let (taken, value) = self
                .parser
                .next(&self.buf[self.start..])
                .map_err(|e| io::Error::new(ErrorKind::InvalidData, e.to_string()))?;
            self.start += taken;
            if let Some(value) = value {
                return Ok(Some(value));
            }
            match self.fill(deadline)? {
                Filled::Some => {}
                Filled::TimedOut => return Ok(None),
                Filled::Closed => return Err(ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// Everything that comes until the server closes the connection.
    pub fn until_closed(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + self.patience;
        loop {
            match self.fill(deadline) {
                Ok(Filled::Some) => {}
                Ok(Filled::TimedOut) => panic!(
                    "the server did not close the connection; it sent {:?}",
                    self.buf[self.start..].escape_ascii().to_string()
                ),
                Ok(Filled::Closed) | Err(_) => return self.buf.split_off(self.start),
            }
        }
    }

    /// Exactly `count` bytes as they are.
    pub fn raw(&mut self, count: usize) -> Vec<u8> {
        let deadline = Instant::now() + self.patience;
        while self.buf.len() - self.start < count {
            match self.fill(deadline) {
                Ok(Filled::Some) => {}
                other => panic!(
                    "wanted {count} bytes, got {:?} and {other:?}",
                    self.buf[self.start..].escape_ascii().to_string()
                ),
            }
        }
        let bytes = self.buf[self.start..self.start + count].to_vec();
        self.start += count;
        bytes
    }

    /// Drops what has come so far without waiting; false when the server closed the connection.
    pub fn discard_arrived(&mut self) -> bool {
        let nonblocking = |on| match &self.stream {
            Stream::Tcp(stream) => stream.set_nonblocking(on),
            Stream::Unix(stream) => stream.set_nonblocking(on),
        };
        if nonblocking(true).is_err() {
            return false;
        }
        let mut block = [0; READ_BYTES];
        let alive = loop {
            match self.stream.read(&mut block) {
                Ok(0) => break false,
                Ok(_) => {}
                Err(error) => break error.kind() == ErrorKind::WouldBlock,
            }
        };
        let nonblocking = |on| match &self.stream {
            Stream::Tcp(stream) => stream.set_nonblocking(on),
            Stream::Unix(stream) => stream.set_nonblocking(on),
        };
        self.buf.clear();
        self.start = 0;
        self.parser = ReplyParser::default();
        nonblocking(false).is_ok() && alive
    }

    /// Closes the sending side; what comes can still be read.
    pub fn finish_sending(&mut self) {
        // A socket that the server closed already cannot be shut down: nothing is lost.
        let _ = match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
    }

    fn fill(&mut self, deadline: Instant) -> io::Result<Filled> {
        if self.start > 0 {
            self.buf.drain(..self.start);
            self.start = 0;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Filled::TimedOut);
        }
        self.stream.set_read_timeout(left)?;
        let len = self.buf.len();
        self.buf.resize(len + READ_BYTES, 0);
        let result = self.stream.read(&mut self.buf[len..]);
        self.buf.truncate(len + result.as_ref().copied().unwrap_or(0));
        match result {
            Ok(0) => Ok(Filled::Closed),
            Ok(_) => Ok(Filled::Some),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Ok(Filled::TimedOut),
                ErrorKind::Interrupted => Ok(Filled::Some),
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Ok(Filled::Closed),
                _ => Err(error),
            },
        }
    }
}

#[derive(Debug)]
enum Filled {
    Some,
    TimedOut,
    Closed,
}

/// Appends a command in the multibulk form.
pub fn encode<A: AsRef<[u8]>>(args: &[A], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
    for arg in args {
        let arg = arg.as_ref();
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

/// Calls `done` until it gives a value, at most [`PATIENCE`]; the pause between calls is short.
pub fn wait_until<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
