//! A client's connection: TCP, TLS over TCP, or unix; non-blocking.
//!
//! The rest of the server sees plain bytes in and out only. What TLS needs beyond that: a handshake before
//! the first byte ([`Socket::handshake`]), bytes that no edge of the socket tells of
//! ([`Socket::may_hold_more`]), and records that were made and not yet sent ([`Socket::finish_write`]). For
//! the other two kinds these say at once that there is nothing to do.
//!
//! Plain sockets are read and written by bare system calls: the C library's are points of cancellation, which in a
//! process with several threads costs two locked instructions each, 2 % of a small request.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use rustix::io::{Errno, writev};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use socket2::{SockRef, TcpKeepalive};

use crate::tls::TlsStream;

/// See the module's head.
#[derive(Debug)]
pub enum Socket {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A connection by the unix socket.
    Unix(UnixStream),
    /// A TCP connection with TLS.
    Tls(Box<TlsStream>),
}

impl Socket {
    /// The TCP connection below, if there is one.
    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(stream) => Some(stream),
            Self::Tls(stream) => Some(stream.tcp()),
            Self::Unix(_) => None,
        }
    }

    /// Sets the options of a client's socket; `keepalive_s` 0 leaves keep-alive off.
    pub fn prepare(&self, keepalive_s: u64) -> io::Result<()> {
        let Some(stream) = self.tcp() else { return Ok(()) };
        stream.set_nodelay(true)?;
        if keepalive_s > 0 {
            // Probes at a third of the interval, three of them, as the peers do.
            let interval = Duration::from_secs((keepalive_s / 3).max(1));
            let keepalive = TcpKeepalive::new()
                .with_time(Duration::from_secs(keepalive_s))
                .with_interval(interval)
                .with_retries(3);
            SockRef::from(stream).set_tcp_keepalive(&keepalive)?;
        }
        Ok(())
    }

    /// Peer's and own address, as CLIENT LIST shows them.
    pub fn addresses(&self, unix_path: &str) -> (String, String) {
        let Some(stream) = self.tcp() else {
            return (format!("{unix_path}:0"), format!("{unix_path}:0"));
        };
        let show = |addr: io::Result<std::net::SocketAddr>| {
            addr.map_or_else(|_| "?:0".to_owned(), |addr| addr.to_string())
        };
        (show(stream.peer_addr()), show(stream.local_addr()))
    }

    /// Whether the peer is on this host.
    pub fn is_local(&self) -> bool {
        let Some(stream) = self.tcp() else { return true };
        stream.peer_addr().is_ok_and(|addr| match addr.ip() {
            std::net::IpAddr::V4(ip) => ip.is_loopback(),
            std::net::IpAddr::V6(ip) => {
                ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback())
            }
        })
    }

    /// Whether what goes over it is encrypted.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The file descriptor, to show.
    pub fn fd(&self) -> RawFd {
        match self {
            Self::Tcp(stream) => stream.as_raw_fd(),
            Self::Unix(stream) => stream.as_raw_fd(),
            Self::Tls(stream) => stream.tcp().as_raw_fd(),
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(stream) => stream,
            Self::Unix(stream) => stream,
            Self::Tls(stream) => stream.tcp_mut(),
        }
    }

    /// Tells the loop's poll of it, for reading and writing at once: edges of the write side come only
    /// after a write that did not fit.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.source().register(registry, token, interest)
    }

    /// Goes on with what has to come before the first byte; true when it is done.
    pub fn handshake(&mut self) -> io::Result<bool> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Ok(true),
            Self::Tls(stream) => stream.handshake(),
        }
    }

    /// The certificate that the client has shown, in DER.
    pub fn certificate(&self) -> Option<&[u8]> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => None,
            Self::Tls(stream) => stream.certificate(),
        }
    }

    /// Reads once; none when there is nothing now.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            let result = match self {
                Self::Tcp(stream) => recv(stream, &mut *into, RecvFlags::empty()),
                Self::Unix(stream) => recv(stream, &mut *into, RecvFlags::empty()),
                Self::Tls(stream) => return stream.read(into),
            };
            match result {
                Ok((bytes, _)) => return Ok(Some(bytes)),
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether, after a read of `bytes` into a room of `asked`, more may be had although no edge will
    /// tell.
    pub fn may_hold_more(&self, bytes: usize, asked: usize) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => bytes >= asked,
            Self::Tls(stream) => stream.may_hold_more(),
        }
    }

    /// Writes once; none when the socket takes nothing now.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    /// Writes several parts at once; none when the socket takes nothing now.
    pub fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        loop {
            let result = match (&mut *self, parts) {
                (Self::Tcp(stream), [one]) => send(stream, one, SendFlags::NOSIGNAL),
                (Self::Unix(stream), [one]) => send(stream, one, SendFlags::NOSIGNAL),
                (Self::Tcp(stream), _) => writev(stream, parts),
                (Self::Unix(stream), _) => writev(stream, parts),
                (Self::Tls(stream), _) => return stream.write_vectored(parts),
            };
            match result {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Brings what was written to the socket; false when some of it waits for an edge.
    pub fn finish_write(&mut self) -> io::Result<bool> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => Ok(true),
            Self::Tls(stream) => stream.finish_write(),
        }
    }

    /// Whether something that was written waits for an edge.
    pub fn has_unsent(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::Unix(_) => false,
            Self::Tls(stream) => stream.has_unsent(),
        }
    }

    /// Says good-bye before the socket is closed, if it can be said now.
    pub fn say_good_bye(&mut self) {
        if let Self::Tls(stream) = self {
            stream.close();
        }
    }

    /// Bytes held beside the socket, about.
    pub fn held(&self) -> usize {
        match self {
            Self::Tcp(_) | Self::Unix(_) => 0,
            Self::Tls(stream) => stream.held(),
        }
    }
}
