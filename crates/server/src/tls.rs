//! TLS in this process: what accepts and what opens connections at the moment, and when it is made anew.
//!
//! Both are made from the settings at the start and whenever CONFIG SET touches a directive of TLS, and from the
//! same settings when the files have changed (`tls-auto-reload-interval`). New connections use the new ones;
//! old connections keep theirs. When they cannot be made the old ones stay, and the log says why.
//!
//! Lock: one mutex, a leaf; held to copy or replace a pointer, once for each connection that is accepted or
//! opened.
//! Files are read before it is taken. Thread: `tls-reload`, for the time of looking at the files.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mio::net::TcpStream;
use ochre_config::snapshot::{TlsClients, TlsSettings, TlsUser};
use ochre_config::{Id, Settings, table};
use ochre_net::socket::Socket;
use ochre_net::tls::config::{ConfigError, Made};
use ochre_net::tls::{
    Acceptor, Connector, Options, SessionLimits, Stamp, TlsStream, Verify, subject,
};

use crate::log;

/// Sessions remembered when no number is set; their bytes are bounded apart.
const SESSIONS_MAX: usize = 1 << 20;

/// See the module's head.
#[derive(Debug, Default)]
pub(crate) struct Tls {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    made: Both,
    /// Grows with each change by CONFIG SET, so that a reload from older settings is not put over it.
    version: u64,
    /// How the files looked when they were last read, or when reading them last failed.
    stamp: Option<Stamp>,
    /// When the files were last looked at, in Unix milliseconds.
    looked_ms: i64,
    /// They are being looked at.
    looking: bool,
}

/// What accepts connections, and what opens them.
#[derive(Debug, Default)]
struct Both {
    /// None: there is no TLS port.
    acceptor: Option<Acceptor>,
    /// None: no link has TLS.
    connector: Option<Connector>,
}

/// What the settings ask for, if they ask for anything.
#[derive(Debug)]
pub(crate) struct Prepared {
    made: Both,
    stamp: Option<Stamp>,
}

/// Why there is no TLS; what is wrong is in the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CannotConfigure;

/// Whether a change of a directive asks for a new configuration.
pub(crate) fn concerns(id: Id) -> bool {
    let apart =
        const { [table::id("tls-auth-clients-user"), table::id("tls-auto-reload-interval")] };
    id.directive().name.starts_with("tls-") && !apart.contains(&id)
}

/// The settings in the words of the TLS layer.
fn options(settings: &TlsSettings) -> Options {
    let sessions = SessionLimits {
        entries: match settings.session_cache_entries {
            0 => SESSIONS_MAX,
            entries => entries.min(SESSIONS_MAX),
        },
        seconds: settings.session_cache_timeout_s,
    };
    Options {
        cert_file: settings.cert_file.clone(),
        key_file: settings.key_file.clone(),
        key_pass: settings.key_pass.clone(),
        client_cert_file: settings.client_cert_file.clone(),
        client_key_file: settings.client_key_file.clone(),
        client_key_pass: settings.client_key_pass.clone(),
        ca_file: settings.ca_file.clone(),
        ca_dir: settings.ca_dir.clone(),
        verify: match settings.clients {
            TlsClients::No => Verify::No,
            TlsClients::Optional => Verify::Optional,
            TlsClients::Yes => Verify::Yes,
        },
        protocols: settings.protocols.clone(),
        ciphers: settings.ciphers.clone(),
        cipher_suites: settings.cipher_suites.clone(),
        prefer_server_ciphers: settings.prefer_server_ciphers,
        sessions: settings.session_caching.then_some(sessions),
    }
}

/// What is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    acceptor: bool,
    connector: bool,
}

fn wanted(settings: &TlsSettings) -> Wanted {
    Wanted { acceptor: settings.port != 0, connector: settings.replication || settings.cluster }
}

/// Reads the files; what is worth knowing goes to the log.
fn make(options: &Options, wanted: Wanted) -> Result<Both, CannotConfigure> {
    let mut told = Vec::new();
    let mut both = || -> Result<Both, ConfigError> {
        Ok(Both {
            acceptor: match wanted.acceptor {
                true => Some(noted(Acceptor::new(options)?, &mut told)),
                false => None,
            },
            connector: match wanted.connector {
                true => Some(noted(Connector::new(options)?, &mut told)),
                false => None,
            },
        })
    };
    let made = both();
    told.iter().for_each(|line| log::notice(line));
    made.map_err(|error| {
        log::warning(&error.to_string());
        CannotConfigure
    })
}

/// Notes what there is to know of something that was made, each line once.
fn noted<T>(made: Made<T>, told: &mut Vec<String>) -> T {
    for line in made.notices {
        if !told.contains(&line) {
            told.push(line);
        }
    }
    made.made
}

/// The names in a client's certificate that may be its user's, as the settings choose.
pub(crate) fn user_names(user: TlsUser, certificate: &[u8]) -> Vec<Vec<u8>> {
    match user {
        TlsUser::Off => Vec::new(),
        TlsUser::CommonName => subject::common_name(certificate).into_iter().collect(),
        TlsUser::Uri => subject::uris(certificate),
    }
}

impl Tls {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes what the settings ask for, without putting it in place.
    pub(crate) fn prepare(settings: &Settings) -> Result<Prepared, CannotConfigure> {
        let wanted = wanted(&settings.tls);
        if !wanted.acceptor && !wanted.connector {
            return Ok(Prepared { made: Both::default(), stamp: None });
        }
        let options = options(&settings.tls);
        let stamp = Some(options.stamp());
        Ok(Prepared { made: make(&options, wanted)?, stamp })
    }

    /// Puts something in place and gives what was there, to put it back.
    pub(crate) fn put(&self, prepared: Prepared) -> Prepared {
        let mut state = self.state();
        state.version += 1;
        Prepared {
            made: std::mem::replace(&mut state.made, prepared.made),
            stamp: std::mem::replace(&mut state.stamp, prepared.stamp),
        }
    }

    /// A connection that was accepted, with TLS over it; the handshake is for its loop.
    pub(crate) fn accept(&self, stream: TcpStream) -> io::Result<Socket> {
        let acceptor = self.state().made.acceptor.clone();
        let acceptor = acceptor.ok_or_else(|| io::Error::other("TLS is not configured"))?;
        Ok(Socket::Tls(Box::new(TlsStream::accept(stream, &acceptor)?)))
    }

    /// What opens connections to other servers; it is there when a directive asks for TLS on links.
    pub(crate) fn connector(&self) -> io::Result<Connector> {
        let connector = self.state().made.connector.clone();
        connector.ok_or_else(|| io::Error::other("TLS is not configured"))
    }

    /// Looks whether the files have changed when it is time to, on a thread of its own.
    pub(crate) fn reload_when_due(&'static self, settings: &TlsSettings, now_ms: i64) {
        let interval_ms = settings.reload_interval_s.saturating_mul(1000);
        let wanted = wanted(settings);
        if interval_ms == 0 || !(wanted.acceptor || wanted.connector) {
            return;
        }
        let version = {
            let mut state = self.state();
            if state.looking || now_ms.abs_diff(state.looked_ms) < interval_ms {
                return;
            }
            (state.looking, state.looked_ms) = (true, now_ms);
            state.version
        };
        let options = options(settings);
        let thread = std::thread::Builder::new().name("tls-reload".into());
        let started = thread.spawn(move || {
            self.reload(&options, wanted, version);
            self.state().looking = false;
        });
        if let Err(error) = started {
            log::warning(&format!("The TLS files cannot be looked at: {error}"));
            self.state().looking = false;
        }
    }

    fn reload(&self, options: &Options, wanted: Wanted, version: u64) {
        let stamp = options.stamp();
        if self.state().stamp.as_ref() == Some(&stamp) {
            return;
        }
        let made = make(options, wanted);
        let mut state = self.state();
        if state.version != version {
            return;
        }
        // A failure is told once for each state of the files: one that is being replaced may be half.
        state.stamp = Some(stamp);
        if let Ok(made) = made {
            state.made = made;
            drop(state);
            log::notice("The TLS files have changed and were read again.");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ochre_config::{Config, Surroundings};

    fn settings() -> Settings {
        let surroundings = Surroundings { cores: 1, folder: "/".into() };
        Settings::of(&Config::new(&surroundings))
    }

    #[test]
    fn settings_in_other_words() {
        let mut settings = settings();
        let made = options(&settings.tls);
        assert_eq!(made.verify, Verify::Yes);
        assert_eq!(made.sessions, Some(SessionLimits { entries: 20480, seconds: 300 }));
        settings.tls.session_cache_entries = 0;
        settings.tls.clients = TlsClients::No;
        let made = options(&settings.tls);
        assert_eq!(made.sessions.map(|limits| limits.entries), Some(SESSIONS_MAX));
        assert_eq!(made.verify, Verify::No);
        settings.tls.session_caching = false;
        assert_eq!(options(&settings.tls).sessions, None);
    }

    #[test]
    fn without_a_port_or_links_there_is_nothing_to_make() {
        let mut settings = settings();
        let nothing = Tls::prepare(&settings).unwrap();
        assert!(nothing.made.acceptor.is_none() && nothing.made.connector.is_none());
        let tls = Tls::default();
        tls.put(nothing);
        assert!(tls.connector().is_err());
        settings.tls.port = 1;
        assert_eq!(wanted(&settings.tls), Wanted { acceptor: true, connector: false });
        assert_eq!(Tls::prepare(&settings).map(drop), Err(CannotConfigure));
        (settings.tls.port, settings.tls.replication) = (0, true);
        assert_eq!(wanted(&settings.tls), Wanted { acceptor: false, connector: true });
        assert_eq!(Tls::prepare(&settings).map(drop), Err(CannotConfigure));
        (settings.tls.replication, settings.tls.cluster) = (false, true);
        assert_eq!(wanted(&settings.tls), Wanted { acceptor: false, connector: true });
        assert!(concerns(table::id("tls-replication")) && concerns(table::id("tls-cluster")));
        assert!(concerns(table::id("tls-cert-file")) && concerns(table::id("tls-port")));
        assert!(!concerns(table::id("port")) && !concerns(table::id("tls-auth-clients-user")));
    }
}
