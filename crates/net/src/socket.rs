//! A client's connection: TCP or unix, non-blocking.
//!
//! TLS will be a third form here: the rest of the server sees bytes in and out only.

use std::io::{self, IoSlice, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::{SockRef, TcpKeepalive};

/// See the module's head.
#[derive(Debug)]
pub enum Socket {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A connection by the unix socket.
    Unix(UnixStream),
}

impl Socket {
    /// Sets the options of a client's socket; `keepalive_s` 0 leaves keep-alive off.
    pub fn prepare(&self, keepalive_s: u64) -> io::Result<()> {
        let Self::Tcp(stream) = self else { return Ok(()) };
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
        match self {
            Self::Tcp(stream) => {
                let show = |addr: io::Result<std::net::SocketAddr>| {
                    addr.map_or_else(|_| "?:0".to_owned(), |addr| addr.to_string())
                };
                (show(stream.peer_addr()), show(stream.local_addr()))
            }
            Self::Unix(_) => (format!("{unix_path}:0"), format!("{unix_path}:0")),
        }
    }

    /// Whether the peer is on this host.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.peer_addr().is_ok_and(|addr| match addr.ip() {
                std::net::IpAddr::V4(ip) => ip.is_loopback(),
                std::net::IpAddr::V6(ip) => {
                    ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback())
                }
            }),
            Self::Unix(_) => true,
        }
    }

    /// The file descriptor, to show.
    pub fn fd(&self) -> RawFd {
        match self {
            Self::Tcp(stream) => stream.as_raw_fd(),
            Self::Unix(stream) => stream.as_raw_fd(),
        }
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(stream) => stream,
            Self::Unix(stream) => stream,
        }
    }

    /// Tells the loop's poll of it, for reading and writing at once: edges of the write side come only
    /// after a write that did not fit.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.source().register(registry, token, interest)
    }

    /// Reads once; none when there is nothing now.
    pub fn read(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            let result = match self {
                Self::Tcp(stream) => stream.read(into),
                Self::Unix(stream) => stream.read(into),
            };
            match result {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
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
                (Self::Tcp(stream), [one]) => stream.write(one),
                (Self::Unix(stream), [one]) => stream.write(one),
                (Self::Tcp(stream), _) => stream.write_vectored(parts),
                (Self::Unix(stream), _) => stream.write_vectored(parts),
            };
            match result {
                Ok(bytes) => return Ok(Some(bytes)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
