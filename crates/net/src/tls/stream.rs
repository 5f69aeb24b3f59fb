//! A TLS connection without blocking: plain bytes in and out, records below.
//!
//! Reading: one read of the socket takes what there is, up to 64 KB, into a buffer of the thread; rustls is
//! given it piece by piece and each piece's plain bytes go to the caller at once, so that rustls' own buffers
//! stay small. What does not fit the caller's room waits here ([`TlsStream::may_hold_more`] says so, since no
//! edge of the socket will).
//!
//! Writing: plain bytes are taken only when all records made before have gone to the socket, and at most 64 KB
//! at once, which then leave in one call. So the records that wait are bounded, and output above that stays
//! with its owner, whose limits see it. Bytes that were taken are sent for sure only when
//! [`TlsStream::finish_write`] says so.
//!
//! Failure: what the other side does wrong is an error of kind `InvalidData` with rustls' words; the alert
//! that tells it so is sent if the socket takes it. Limits: a handshake message of 64 KB, unread records of
//! 64 KB, and the plain bytes of one record.

use std::cell::Cell;
use std::fmt;
use std::io::{self, IoSlice, Read, Write};

use mio::net::TcpStream;
use rustls::{Connection, ServerConnection};

use super::config::{Acceptor, Connector};

/// Most bytes of one read, as much as a loop's own buffer.
const RECORDS: usize = crate::input::SCRATCH;
/// Reads of one call that gave no plain bytes: then others have their turn.
const ROUNDS_MAX: usize = 4;
/// What rustls keeps for a connection that is idle: its state and the buffer of records, about.
const STATE: usize = 8 * 1024;

thread_local! {
    /// Where records are read to. Taken for the time of a read, so that nothing is borrowed.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// See the module's head.
pub struct TlsStream {
    stream: TcpStream,
    tls: Connection,
    /// Records that were read and not yet given to rustls.
    unfed: Vec<u8>,
    /// Plain bytes that wait within rustls.
    readable: usize,
    /// The last read left nothing in the socket.
    drained: bool,
    /// Nothing will come any more.
    closed: bool,
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("TlsStream");
        shown.field("stream", &self.stream).field("unfed", &self.unfed.len());
        shown.field("readable", &self.readable).field("closed", &self.closed);
        shown.finish_non_exhaustive()
    }
}

impl TlsStream {
    /// The server's side of a connection that was accepted; the handshake follows.
    pub fn accept(stream: TcpStream, acceptor: &Acceptor) -> io::Result<Self> {
        let tls = ServerConnection::new(acceptor.0.clone()).map_err(io::Error::other)?;
        Ok(Self::new(stream, tls.into()))
    }

    /// The client's side of a connection that was opened or is being opened; the handshake follows.
    pub fn connect(stream: TcpStream, connector: &Connector) -> io::Result<Self> {
        Ok(Self::new(stream, connector.connection()?.into()))
    }

    fn new(stream: TcpStream, tls: Connection) -> Self {
        Self { stream, tls, unfed: Vec::new(), readable: 0, drained: false, closed: false }
    }

    /// The socket below.
    pub fn tcp(&self) -> &TcpStream {
        &self.stream
    }

    /// The socket below, to register.
    pub fn tcp_mut(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Whether the handshake has not come to its end.
    pub fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// The certificate that the other side has shown, in DER; it has been verified.
    pub fn certificate(&self) -> Option<&[u8]> {
        self.tls.peer_certificates()?.first().map(AsRef::as_ref)
    }

    /// Bytes held beside the socket, about.
    pub fn held(&self) -> usize {
        size_of::<Self>() + STATE + self.unfed.capacity() + self.readable
    }

    /// Goes on with the handshake as far as the socket allows; true when it has come to its end. Call it
    /// at every edge of either side, and again when [`TlsStream::may_hold_more`].
    pub fn handshake(&mut self) -> io::Result<bool> {
        self.drained = false;
        self.send()?;
        for _ in 0..ROUNDS_MAX {
            if !self.is_handshaking() || self.drained {
                break;
            }
            self.round(&mut [])?;
            if self.closed && self.is_handshaking() {
                let text = "the connection was closed during the handshake";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
            self.send()?;
        }
        Ok(!self.is_handshaking())
    }

    /// Reads plain bytes; none when there are none now, 0 when there will be none.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        self.drained = false;
        let mut bytes = self.take(into)?;
        let mut rounds = 0;
        // A large room (the rest of a large argument) is filled by several reads.
        while (bytes == 0 || into.len() - bytes >= RECORDS)
            && !(self.closed || self.drained)
            && rounds < ROUNDS_MAX
        {
            bytes += self.round(&mut into[bytes..])?;
            rounds += 1;
        }
        // What the protocol itself has to say: tickets, answers to changes of keys.
        self.send()?;
        Ok(if bytes > 0 || self.closed { Some(bytes) } else { None })
    }

    /// Whether another read may give something although no edge of the socket will tell.
    pub fn may_hold_more(&self) -> bool {
        !self.drained || self.readable > 0 || !self.unfed.is_empty() || self.closed
    }

    /// Gives the caller the plain bytes that wait within rustls.
    fn take(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.readable == 0 || into.is_empty() {
            return Ok(0);
        }
        let bytes = self.tls.reader().read(into)?;
        self.readable -= bytes;
        Ok(bytes)
    }

    /// Takes the records that wait here, or reads the socket once, and gives the caller their plain bytes.
    fn round(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !self.unfed.is_empty() {
            let records = std::mem::take(&mut self.unfed);
            return self.feed(&records, into);
        }
        let mut buffer = BUFFER.take();
        buffer.resize(RECORDS, 0);
        let result = self.read_records(&mut buffer).and_then(|bytes| {
            // As much as fits is read, so that hardly anything is left to wait here.
            self.feed(&buffer[..bytes], into)
        });
        BUFFER.set(buffer);
        result
    }

    /// Reads the socket once.
    fn read_records(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(buffer) {
                Ok(bytes) => {
                    self.drained = bytes < buffer.len();
                    self.closed |= bytes == 0;
                    return Ok(bytes);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.drained = true;
                    return Ok(0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives records to rustls until they are gone or the caller's room is full.
    fn feed(&mut self, mut records: &[u8], into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while !records.is_empty() {
            if self.readable > 0 {
                self.unfed = records.to_vec();
                break;
            }
            if self.tls.read_tls(&mut records)? == 0 {
                // It has said good-bye; what comes after that is nobody's.
                break;
            }
            let state = match self.tls.process_new_packets() {
                Ok(state) => state,
                Err(error) => {
                    // The alert is for the other side; if it cannot be sent, this error still stands.
                    drop(self.send());
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            };
            self.readable = state.plaintext_bytes_to_read();
            filled += self.take(&mut into[filled..])?;
            if state.peer_has_closed() {
                self.closed = true;
                break;
            }
        }
        Ok(filled)
    }

    /// Takes plain bytes; none when the socket takes no records now.
    pub fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        if !self.send()? {
            return Ok(None);
        }
        let bytes = match parts {
            [one] => self.tls.writer().write(one)?,
            _ => self.tls.writer().write_vectored(parts)?,
        };
        self.send()?;
        Ok(Some(bytes))
    }

    /// Sends what was taken; false when some of it waits for the socket.
    pub fn finish_write(&mut self) -> io::Result<bool> {
        self.send()
    }

    /// Whether records wait for the socket.
    pub fn has_unsent(&self) -> bool {
        self.tls.wants_write()
    }

    /// Says good-bye, if the socket takes it now.
    pub fn close(&mut self) {
        if !self.tls.is_handshaking() {
            self.tls.send_close_notify();
            // The socket is closed next, whatever comes of this.
            drop(self.send());
        }
    }

    /// Sends records until none is left (true) or the socket is full.
    fn send(&mut self) -> io::Result<bool> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.stream) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
