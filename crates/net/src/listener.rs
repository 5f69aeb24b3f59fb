//! The addresses that clients connect to.
//!
//! A `bind` word is an address, `*` (every IPv4 address), `::*` (every IPv6 address) or a host's name, with
//! a `-` before it when it may be missing. Failure: the system's error, as it is.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
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
    /// Reads a `bind` word that is no host name.
    pub fn parse(word: &str) -> Option<Self> {
        let (word, optional) = Self::split(word);
        let ip = match word {
            "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            "::*" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            _ => word.parse().ok()?,
        };
        Some(Self { ip, optional })
    }

    /// Reads a `bind` word; a host name is looked up, which may take a while. Peers: names are looked
    /// up as IPv4 only.
    pub fn resolve(word: &str) -> Option<Self> {
        Self::parse(word).or_else(|| {
            let (host, optional) = Self::split(word);
            let found = (host, 0).to_socket_addrs().ok()?.find(SocketAddr::is_ipv4)?;
            Some(Self { ip: found.ip(), optional })
        })
    }

    /// Whether a `bind` word may be missing, without looking it up.
    pub fn is_optional(word: &str) -> bool {
        Self::split(word).1
    }

    fn split(word: &str) -> (&str, bool) {
        match word.strip_prefix('-') {
            Some(rest) => (rest, true),
            None => (word, false),
        }
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
        assert_eq!(parse("localhost"), None);
    }

    #[test]
    fn names_are_looked_up() {
        let found = BindAddr::resolve("-localhost").unwrap();
        assert!(found.ip.is_loopback() && found.ip.is_ipv4() && found.optional);
        assert_eq!(BindAddr::resolve("::1").unwrap().ip, IpAddr::V6(Ipv6Addr::LOCALHOST));
        assert!(BindAddr::is_optional("-x") && !BindAddr::is_optional("x"));
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
