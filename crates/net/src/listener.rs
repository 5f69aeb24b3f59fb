//! The addresses that clients connect to.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket as RawSocket, Type};

use crate::socket::Socket;

/// A listening socket.
#[derive(Debug)]
pub enum Listener {
    /// On an address.
    Tcp(TcpListener),
    /// On a path.
    Unix(UnixListener),
}

/// What a `bind` word asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindAddr {
    /// The address.
    pub ip: IpAddr,
    /// An address that cannot be had is passed over (a `-` before it).
    pub optional: bool,
}

impl BindAddr {
    /// Reads a `bind` word: an address, `*` or `::*`, with a `-` before it or not.
    pub fn parse(word: &str) -> Option<Self> {
        let (word, optional) = match word.strip_prefix('-') {
            Some(rest) => (rest, true),
            None => (word, false),
        };
        let ip = match word {
            "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            "::*" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            _ => word.parse().ok()?,
        };
        Some(Self { ip, optional })
    }
}

impl Listener {
    /// Listens on an address. An IPv6 address takes IPv6 connections only, so that it does not
    /// conflict with its IPv4 sibling.
    pub fn tcp(ip: IpAddr, port: u16, backlog: u32) -> io::Result<Self> {
        let addr = SocketAddr::new(ip, port);
        let domain = if ip.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let socket = RawSocket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        if ip.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&addr.into())?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Ok(Self::Tcp(TcpListener::from_std(socket.into())))
    }

    /// Listens on a path. A socket file left by an earlier process is replaced.
    pub fn unix(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::FileTypeExt;
        if std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket()) {
            std::fs::remove_file(path)?;
        }
        Ok(Self::Unix(UnixListener::bind(path)?))
    }

    /// Tells the loop's poll of it.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let source: &mut dyn Source = match self {
            Self::Tcp(listener) => listener,
            Self::Unix(listener) => listener,
        };
        source.register(registry, token, Interest::READABLE)
    }

    /// Asks for an edge again although connections may be waiting already.
    pub fn reregister(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let source: &mut dyn Source = match self {
            Self::Tcp(listener) => listener,
            Self::Unix(listener) => listener,
        };
        source.reregister(registry, token, Interest::READABLE)
    }

    /// Takes one connection; none when there is none now.
    pub fn accept(&self) -> io::Result<Option<Socket>> {
        let result = match self {
            Self::Tcp(listener) => listener.accept().map(|(stream, _)| Socket::Tcp(stream)),
            Self::Unix(listener) => listener.accept().map(|(stream, _)| Socket::Unix(stream)),
        };
        match result {
            Ok(socket) => Ok(Some(socket)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_bind_words() {
        let parse = |word| BindAddr::parse(word).map(|b| (b.ip.to_string(), b.optional));
        assert_eq!(parse("127.0.0.1"), Some(("127.0.0.1".into(), false)));
        assert_eq!(parse("-::1"), Some(("::1".into(), true)));
        assert_eq!(parse("*"), Some(("0.0.0.0".into(), false)));
        assert_eq!(parse("-::*"), Some(("::".into(), true)));
        assert_eq!(parse("no.such.host"), None);
    }

    #[test]
    fn both_families_share_a_port() {
        let v4 = Listener::tcp(IpAddr::V4(Ipv4Addr::LOCALHOST), 0, 5).unwrap();
        let Listener::Tcp(listener) = &v4 else { panic!("tcp") };
        let port = listener.local_addr().unwrap().port();
        assert!(v4.accept().unwrap().is_none());
        match Listener::tcp(IpAddr::V6(Ipv6Addr::LOCALHOST), port, 5) {
            Ok(v6) => assert!(v6.accept().unwrap().is_none()),
            Err(error) => assert!(error.raw_os_error().is_some(), "no IPv6 here: {error}"),
        }
    }
}
