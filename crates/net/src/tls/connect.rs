//! A TLS connection to another server for a thread of its own: blocking, plain bytes in and out.
//!
//! It reads and writes as the socket below would, and obeys that socket's time-outs: a read that ends with
//! `WouldBlock` or `TimedOut` has lost nothing and may be repeated. One read of the socket takes up to 64 KB
//! of records; a read of plain bytes gives all that these hold, as far as the caller has room, so that a stream
//! of small records costs few calls. What does not fit waits here.
//!
//! The handshake comes first, step by step ([`TlsClient::handshake`]), so that the caller can look at its clock
//! and at what others want between two waits; this file reads no clock.
//!
//! Failure: what the other side does wrong is an error of kind `InvalidData` with rustls' words, and the alert
//! that tells it so is sent if the socket takes it. A write that failed may have sent a part: the connection is
//! of no use then. The end of the connection reads as 0 bytes whether or not it was announced: what is said over
//! links has ends of its own. Limits: 64 KB of records and the plain bytes of one of them wait here.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::ops::Range;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use super::config::Connector;

/// Most bytes of one read of the socket.
const RECORDS: usize = 64 << 10;

impl Connector {
    /// The client's side of a new connection.
    pub(super) fn connection(&self) -> io::Result<ClientConnection> {
        // No name is sent or checked, so any will do.
        let name = ServerName::from(std::net::IpAddr::from([127, 0, 0, 1]));
        ClientConnection::new(self.0.clone(), name).map_err(io::Error::other)
    }
}

/// See the module's head.
pub struct TlsClient {
    tcp: TcpStream,
    tls: ClientConnection,
    records: Box<[u8]>,
    /// Those of `records` that were read and not yet given to rustls.
    unfed: Range<usize>,
    /// Plain bytes that wait within rustls.
    readable: usize,
    /// Nothing will come any more.
    closed: bool,
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("TlsClient");
        shown.field("tcp", &self.tcp).field("unfed", &self.unfed);
        shown.field("readable", &self.readable).field("closed", &self.closed);
        shown.finish_non_exhaustive()
    }
}

impl TlsClient {
    /// TLS over a connection that is open and blocks; the handshake follows.
    pub fn new(tcp: TcpStream, connector: &Connector) -> io::Result<Self> {
        Ok(Self {
            tcp,
            tls: connector.connection()?,
            records: vec![0; RECORDS].into_boxed_slice(),
            unfed: 0..0,
            readable: 0,
            closed: false,
        })
    }

    /// The socket below, for its addresses and time-outs.
    pub fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// One step of the handshake, which waits for the socket once at most; true when the handshake has come
    /// to its end. A step that timed out may be repeated.
    ///
    /// A server that refuses this side's certificate may say so only after that, to the first read.
    pub fn handshake(&mut self) -> io::Result<bool> {
        self.send()?;
        if self.tls.is_handshaking() {
            self.receive()?;
            while self.tls.is_handshaking() && !self.unfed.is_empty() {
                self.feed()?;
            }
            self.send()?;
            if self.closed && self.tls.is_handshaking() {
                let text = "the connection was closed during the TLS handshake";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
        }
        Ok(!self.tls.is_handshaking())
    }

    /// Sends all records that wait.
    fn send(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            if self.tls.write_tls(&mut self.tcp)? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    /// Reads the socket once, when all records that were read before have been given away.
    fn receive(&mut self) -> io::Result<()> {
        if self.unfed.is_empty() && !self.closed {
            let bytes = self.tcp.read(&mut self.records)?;
            self.unfed = 0..bytes;
            self.closed = bytes == 0;
        }
        Ok(())
    }

    /// Gives rustls some of the records. Only when no plain bytes wait there, so that these stay few.
    fn feed(&mut self) -> io::Result<()> {
        let mut records = &self.records[self.unfed.clone()];
        let taken = self.tls.read_tls(&mut records)?;
        self.unfed.start += taken;
        let state = match self.tls.process_new_packets() {
            Ok(state) => state,
            Err(error) => {
                // The alert is for the other side; if it cannot be sent, this error still stands.
                drop(self.send());
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        };
        self.readable = state.plaintext_bytes_to_read();
        if taken == 0 || state.peer_has_closed() {
            // It has said good-bye; what comes after that is nobody's.
            self.closed = true;
            self.unfed = 0..0;
        }
        Ok(())
    }

    /// The plain bytes of what was read, as far as there is room.
    fn take(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < into.len() {
            if self.readable > 0 {
                let bytes = self.tls.reader().read(&mut into[filled..])?;
                self.readable = self.readable.saturating_sub(bytes);
                filled += bytes;
            } else if self.unfed.is_empty() {
                break;
            } else {
                self.feed()?;
            }
        }
        Ok(filled)
    }
}

impl Read for TlsClient {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            let bytes = self.take(into)?;
            // What the protocol itself has to say: answers to changes of keys.
            self.send()?;
            if bytes > 0 || self.closed {
                return Ok(bytes);
            }
            self.receive()?;
        }
    }
}

impl Write for TlsClient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.send()?;
        let taken = self.tls.writer().write(bytes)?;
        self.send()?;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send()
    }
}

#[cfg(test)]
mod tests;
