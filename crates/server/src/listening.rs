//! The listening sockets, shared by the acceptor and by CONFIG SET `port`, `tls-port` and `bind`.
//!
//! The acceptor's poll watches them; CONFIG SET runs on any loop and changes the set from there, through a
//! clone of that poll's registry. A change is all or nothing: addresses that stay keep their sockets (and the
//! connections waiting in them), new ones are opened next, and only when all are open the others are closed.
//! An old socket that stands in the way of a new one (`*` and `127.0.0.1` on the same port) has to go first;
//! when the change fails afterwards, it is opened again.
//!
//! Lock: one mutex, a leaf; held by the acceptor for one non-blocking accept, and by a change.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mio::{Registry, Token};
use ochre_config::Settings;
use ochre_net::listener::{BindAddr, Listener};
use ochre_net::socket::Socket;

use crate::host::reason;
use crate::tls::Tls;

/// The first token of a listener; connections' tokens are far below.
pub(crate) const FIRST_TOKEN: usize = usize::MAX - 1024;

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Listening {
    registry: Registry,
    state: Mutex<State>,
    /// What is put over the connections of the TLS port, and over links.
    pub(crate) tls: Tls,
}

#[derive(Debug, Default)]
struct State {
    open: Vec<Open>,
    port: u16,
    tls_port: u16,
    /// `bind` as written, for INFO.
    words: Vec<String>,
}

#[derive(Debug)]
struct Open {
    token: usize,
    place: Place,
    listener: Listener,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Tcp(SocketAddr),
    /// As `Tcp`, for connections with TLS.
    Tls(SocketAddr),
    Unix(PathBuf),
}

impl Place {
    fn addr(&self) -> Option<&SocketAddr> {
        match self {
            Self::Tcp(addr) | Self::Tls(addr) => Some(addr),
            Self::Unix(_) => None,
        }
    }

    /// The word of INFO and the log for it.
    fn kind(&self) -> &'static str {
        match self {
            Self::Tcp(_) => "tcp",
            Self::Unix(_) => "unix",
            Self::Tls(_) => "tls",
        }
    }

    /// Whether two sockets that are not the same cannot be open at the same time.
    fn overlaps(&self, other: &Self) -> bool {
        let (Some(a), Some(b)) = (self.addr(), other.addr()) else { return false };
        a.port() == b.port()
            && a.is_ipv4() == b.is_ipv4()
            && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
    }
}

/// Why addresses cannot be listened to; what is wrong is in the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CannotListen;

impl Listening {
    /// No sockets yet; `registry` is that of the acceptor's poll.
    pub(crate) fn new(registry: Registry) -> Self {
        Self { registry, state: Mutex::default(), tls: Tls::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Listens on the TCP and TLS addresses of the settings instead of those so far.
    pub(crate) fn change(&self, settings: &Settings) -> Result<(), CannotListen> {
        let wanted = wanted(settings)?;
        let mut state = self.state();
        let stays = |open: &Open| match &open.place {
            Place::Tcp(_) | Place::Tls(_) => wanted.iter().any(|one| one.place == open.place),
            Place::Unix(_) => true,
        };
        let (mut kept, mut leaving): (Vec<Open>, Vec<Open>) = state.open.drain(..).partition(stays);
        let kept_before = kept.len();
        let mut in_the_way: Vec<Place> = Vec::new();
        let mut failed = false;
        for Wanted { word, optional, place, port } in wanted {
            if kept.iter().any(|open| open.place == place) {
                continue;
            }
            leaving.retain(|open| {
                let goes = open.place.overlaps(&place);
                if goes {
                    in_the_way.push(open.place.clone());
                }
                !goes
            });
            let busy: Vec<usize> = kept.iter().chain(&leaving).map(|open| open.token).collect();
            match self.open(place, settings.tcp_backlog, &busy) {
                Ok(open) => kept.push(open),
                Err(error) => {
                    crate::log::warning(&format!(
                        "Warning: Could not create server TCP listening socket {word}:{port}: bind: {}",
                        reason(&error)
                    ));
                    if !forgiven(optional, &error) {
                        failed = true;
                        break;
                    }
                }
            }
        }
        if !failed {
            drop(leaving);
            state.open = kept;
            (state.port, state.tls_port) = (settings.port, settings.tls.port);
            state.words.clone_from(&settings.bind);
            return Ok(());
        }
        // Back to what was: what this change opened goes, what it closed comes again.
        kept.truncate(kept_before);
        kept.append(&mut leaving);
        for place in in_the_way {
            let busy: Vec<usize> = kept.iter().map(|open| open.token).collect();
            match self.open(place, settings.tcp_backlog, &busy) {
                Ok(open) => kept.push(open),
                Err(error) => crate::log::warning(&format!(
                    "An address listened to before cannot be opened again: {}",
                    reason(&error)
                )),
            }
        }
        state.open = kept;
        Err(CannotListen)
    }

    /// Listens on a unix socket, with permissions other than the usual when `mode` is not 0.
    pub(crate) fn add_unix(&self, path: &Path, mode: u32) -> io::Result<()> {
        let mut state = self.state();
        let busy: Vec<usize> = state.open.iter().map(|open| open.token).collect();
        let open = self.open(Place::Unix(path.to_owned()), 0, &busy)?;
        if mode != 0 {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        }
        state.open.push(open);
        Ok(())
    }

    fn open(&self, place: Place, backlog: u32, busy: &[usize]) -> io::Result<Open> {
        let mut listener = match &place {
            Place::Tcp(addr) | Place::Tls(addr) => Listener::tcp(addr.ip(), addr.port(), backlog)?,
            Place::Unix(path) => Listener::unix(path)?,
        };
        // There are fewer listeners than tokens: `bind` takes at most sixteen addresses, for two ports.
        let token = (FIRST_TOKEN..).find(|token| !busy.contains(token)).unwrap_or(FIRST_TOKEN);
        listener.register(&self.registry, Token(token))?;
        Ok(Open { token, place, listener })
    }

    /// Takes one connection of the listener of this token; none when there is none now, or the
    /// listener has gone.
    pub(crate) fn accept(&self, token: usize) -> io::Result<Option<Socket>> {
        let (socket, is_tls) = {
            let state = self.state();
            let Some(open) = state.open.iter().find(|open| open.token == token) else {
                return Ok(None);
            };
            (open.listener.accept()?, matches!(open.place, Place::Tls(_)))
        };
        match socket {
            Some(Socket::Tcp(stream)) if is_tls => self.tls.accept(stream).map(Some),
            other => Ok(other),
        }
    }

    /// Whether connections of this token's listener are to have TLS.
    pub(crate) fn is_tls(&self, token: usize) -> bool {
        let is_it = |open: &Open| open.token == token && matches!(open.place, Place::Tls(_));
        self.state().open.iter().any(is_it)
    }

    /// Closes all sockets. Files of unix sockets stay.
    pub(crate) fn close(&self) {
        self.state().open.clear();
    }

    /// Whether nothing is listened to.
    pub(crate) fn is_empty(&self) -> bool {
        self.state().open.is_empty()
    }

    /// TCP port in use, that of TLS when there is no other.
    pub(crate) fn port(&self) -> u16 {
        let state = self.state();
        if state.port == 0 { state.tls_port } else { state.port }
    }

    /// The kinds of sockets there are, each once.
    pub(crate) fn kinds(&self) -> Vec<&'static str> {
        let state = self.state();
        let is_there = |kind: &&str| state.open.iter().any(|open| open.place.kind() == *kind);
        ["tcp", "unix", "tls"].into_iter().filter(is_there).collect()
    }

    /// Lines of INFO: `name=tcp,bind=127.0.0.1,port=6379`.
    pub(crate) fn describe(&self) -> Vec<String> {
        let kinds = self.kinds();
        let state = self.state();
        let words: String = state.words.iter().map(|word| format!(",bind={word}")).collect();
        let path = state.open.iter().find_map(|open| match &open.place {
            Place::Unix(path) => Some(path.display().to_string()),
            _ => None,
        });
        let line = |kind| match kind {
            "tcp" => format!("name=tcp{words},port={}", state.port),
            "tls" => format!("name=tls{words},port={}", state.tls_port),
            _ => format!("name=unix,bind={}", path.as_deref().unwrap_or_default()),
        };
        kinds.into_iter().map(line).collect()
    }
}

/// An address of the settings.
struct Wanted<'a> {
    /// As written.
    word: &'a str,
    /// It may be missing.
    optional: bool,
    place: Place,
    port: u16,
}

/// Makes a place of an address.
type AsPlace = fn(SocketAddr) -> Place;

/// The addresses of the settings, each once.
fn wanted(settings: &Settings) -> Result<Vec<Wanted<'_>>, CannotListen> {
    let mut wanted: Vec<Wanted<'_>> = Vec::new();
    let kinds: [AsPlace; 2] = [Place::Tcp, Place::Tls];
    let ports = [settings.port, settings.tls.port].into_iter().zip(kinds);
    for (port, place) in ports.filter(|(port, _)| *port != 0) {
        for word in &settings.bind {
            let Some(addr) = BindAddr::resolve(word) else {
                crate::log::warning(&format!(
                    "Warning: Could not create server TCP listening socket {word}:{port}: \
                     Name or service not known"
                ));
                if !BindAddr::is_optional(word) {
                    return Err(CannotListen);
                }
                continue;
            };
            let place = place(SocketAddr::new(addr.ip, port));
            if !wanted.iter().any(|other| other.place == place) {
                wanted.push(Wanted { word, optional: addr.optional, place, port });
            }
        }
    }
    Ok(wanted)
}

/// Whether an address with a `-` may fail for this reason: it does not exist here, or its family does
/// not. A port that is taken is never forgiven.
fn forgiven(optional: bool, error: &io::Error) -> bool {
    use rustix::io::Errno;
    const MISSING: [Errno; 5] = [
        Errno::ADDRNOTAVAIL,
        Errno::AFNOSUPPORT,
        Errno::PROTONOSUPPORT,
        Errno::PFNOSUPPORT,
        Errno::NOPROTOOPT,
    ];
    optional
        && error.raw_os_error().is_some_and(|code| MISSING.iter().any(|e| e.raw_os_error() == code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ochre_config::{Config, Surroundings};
    use std::net::{TcpListener, TcpStream};

    fn settings(port: u16, bind: &[&str]) -> Settings {
        let surroundings = Surroundings { cores: 1, folder: "/".into() };
        let mut settings = Settings::of(&Config::new(&surroundings));
        settings.port = port;
        settings.bind = bind.iter().map(|word| (*word).to_owned()).collect();
        settings
    }

    fn listening() -> (mio::Poll, Listening) {
        let poll = mio::Poll::new().unwrap();
        let listening = Listening::new(poll.registry().try_clone().unwrap());
        (poll, listening)
    }

    fn free_port() -> u16 {
        TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
    }

    fn accepts(listening: &Listening) -> bool {
        let tokens: Vec<usize> = listening.state().open.iter().map(|open| open.token).collect();
        let mut accepted = false;
        for _ in 0..1000 {
            accepted |= tokens.iter().any(|token| listening.accept(*token).unwrap().is_some());
            if accepted {
                break;
            }
            std::thread::yield_now();
        }
        accepted
    }

    #[test]
    fn addresses_change_in_place() {
        let (_poll, listening) = listening();
        let port = free_port();
        listening.change(&settings(port, &["127.0.0.1"])).unwrap();
        let waiting = TcpStream::connect(("127.0.0.1", port)).unwrap();
        // A wider and a narrower set on the same port; the first socket stays until `*` replaces it.
        listening.change(&settings(port, &["127.0.0.1", "127.0.0.2"])).unwrap();
        assert!(accepts(&listening));
        drop(waiting);
        assert!(TcpStream::connect(("127.0.0.2", port)).is_ok());
        listening.change(&settings(port, &["*"])).unwrap();
        assert!(TcpStream::connect(("127.0.0.3", port)).is_ok());
        assert_eq!(listening.describe(), [format!("name=tcp,bind=*,port={port}")]);
        let other = free_port();
        listening.change(&settings(other, &["127.0.0.1"])).unwrap();
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
        assert!(TcpStream::connect(("127.0.0.1", other)).is_ok());
        listening.change(&settings(0, &["127.0.0.1"])).unwrap();
        assert!(listening.is_empty() && listening.describe().is_empty());
    }

    #[test]
    fn a_failed_change_changes_nothing() {
        let (_poll, listening) = listening();
        let port = free_port();
        listening.change(&settings(port, &["*"])).unwrap();
        // 192.0.2.77 is documentation's, so it is nobody's here; 127.0.0.1 makes `*` go first.
        let bad = settings(port, &["127.0.0.1", "192.0.2.77"]);
        assert_eq!(listening.change(&bad), Err(CannotListen));
        assert!(TcpStream::connect(("127.0.0.9", port)).is_ok());
        assert!(accepts(&listening));
        assert_eq!(listening.port(), port);
        let (_poll2, second) = super::tests::listening();
        second.change(&settings(port, &["127.0.0.1"])).unwrap_err();
        assert!(second.is_empty());
        // A missing address is forgiven, a taken port is not.
        listening.change(&settings(port, &["*", "-192.0.2.77"])).unwrap();
        assert_eq!(second.change(&settings(port, &["-127.0.0.1"])), Err(CannotListen));
        assert_eq!(listening.change(&settings(port, &["no.such.host.invalid"])), Err(CannotListen));
        assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    /// The TLS port has sockets of its own, and may take over what was the other's.
    #[test]
    fn ports_change_places() {
        let (_poll, listening) = listening();
        let (one, two) = (free_port(), free_port());
        let with = |port, tls_port| {
            let mut settings = settings(port, &["127.0.0.1"]);
            settings.tls.port = tls_port;
            settings
        };
        listening.change(&with(one, two)).unwrap();
        assert_eq!(listening.kinds(), ["tcp", "tls"]);
        let tls_line = format!("name=tls,bind=127.0.0.1,port={two}");
        assert_eq!(listening.describe()[1], tls_line);
        listening.change(&with(0, one)).unwrap();
        assert_eq!((listening.kinds(), listening.port()), (vec!["tls"], one));
        assert!(TcpStream::connect(("127.0.0.1", two)).is_err());
        // One port for both cannot be, and what was there comes again.
        assert_eq!(listening.change(&with(one, one)), Err(CannotListen));
        assert_eq!(listening.kinds(), ["tls"]);
        let _waiting = TcpStream::connect(("127.0.0.1", one)).unwrap();
        // Nothing is configured to be put over it here.
        let token = listening.state().open[0].token;
        assert!(listening.is_tls(token));
        let mut result = listening.accept(token);
        while matches!(result, Ok(None)) {
            result = listening.accept(token);
        }
        assert!(result.is_err());
    }

    #[test]
    fn a_unix_socket_with_its_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let folder = crate::testing::scratch_folder("unix");
        let path = folder.join("s");
        let (_poll, listening) = listening();
        listening.add_unix(&path, 0o700).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(listening.kinds(), ["unix"]);
        let port = free_port();
        listening.change(&settings(port, &["127.0.0.1"])).unwrap();
        assert_eq!(listening.kinds(), ["tcp", "unix"]);
        let _client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        assert!(accepts(&listening));
        listening.close();
        assert!(listening.is_empty());
        drop(std::fs::remove_dir_all(folder));
    }
}
