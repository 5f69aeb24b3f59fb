//! What a link talks over: a TCP connection, plain or with TLS, that blocks until its time-outs.
//!
//! TLS needs a handshake before the first byte ([`Stream::shake_hands`]), between whose waits the caller is asked
//! whether it still wants to; a plain connection has none. Beyond that nobody sees the difference.
//!
//! Failure: those of the socket, and of TLS (`InvalidData`, in rustls' words).

use std::io::{self, Read, Write};
use std::net::TcpStream;

use ochre_net::tls::{Connector, TlsClient};

/// See the module's head.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsClient>),
}

impl Stream {
    /// A connection that is open, with TLS if there is something to make it with; the handshake follows.
    pub(super) fn new(tcp: TcpStream, connector: Option<&Connector>) -> io::Result<Self> {
        Ok(match connector {
            None => Self::Plain(tcp),
            Some(connector) => Self::Tls(Box::new(TlsClient::new(tcp, connector)?)),
        })
    }

    /// The socket below, for its addresses and time-outs.
    pub(super) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.tcp(),
        }
    }

    /// Whether what goes over it is encrypted.
    pub(super) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Does what has to come before the first byte. `look` is called after each wait, which is as long as the
    /// socket's time-outs allow, and ends this when it fails.
    pub(super) fn shake_hands<E: From<io::Error>>(
        &mut self,
        mut look: impl FnMut() -> Result<(), E>,
    ) -> Result<(), E> {
        let Self::Tls(tls) = self else { return Ok(()) };
        loop {
            match tls.handshake() {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(error) if is_silence(&error) => {}
                Err(error) => return Err(error.into()),
            }
            look()?;
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(into),
            Self::Tls(tls) => tls.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

/// Whether a read has only waited for long enough.
pub(super) fn is_silence(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}
