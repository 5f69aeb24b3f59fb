//! The typed view of TLS.

use std::path::PathBuf;

use super::{View, text_of};
use crate::table::id;

/// `tls-auth-clients`: whether clients show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsClients {
    /// They are not asked.
    No,
    /// One that is shown must be right.
    Optional,
    /// They must.
    Yes,
}

/// `tls-auth-clients-user`: the part of a client's certificate that names its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsUser {
    /// None.
    Off,
    /// The common name of its subject.
    CommonName,
    /// A URI of its alternative names.
    Uri,
}

/// The directives of TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// `tls-port`; 0 for none.
    pub port: u16,
    /// `tls-replication`: links of replication and of sentinels have TLS.
    pub replication: bool,
    /// `tls-cluster`: links of MIGRATE have TLS.
    pub cluster: bool,
    /// `tls-cert-file`
    pub cert_file: Option<PathBuf>,
    /// `tls-key-file`
    pub key_file: Option<PathBuf>,
    /// `tls-key-file-pass`; empty for none.
    pub key_pass: Vec<u8>,
    /// `tls-client-cert-file`
    pub client_cert_file: Option<PathBuf>,
    /// `tls-client-key-file`
    pub client_key_file: Option<PathBuf>,
    /// `tls-client-key-file-pass`; empty for none.
    pub client_key_pass: Vec<u8>,
    /// `tls-ca-cert-file`
    pub ca_file: Option<PathBuf>,
    /// `tls-ca-cert-dir`
    pub ca_dir: Option<PathBuf>,
    /// `tls-auth-clients`
    pub clients: TlsClients,
    /// `tls-auth-clients-user`
    pub user: TlsUser,
    /// `tls-protocols`; empty for the default.
    pub protocols: String,
    /// `tls-ciphers`; empty for the default.
    pub ciphers: String,
    /// `tls-ciphersuites`; empty for the default.
    pub cipher_suites: String,
    /// `tls-prefer-server-ciphers`
    pub prefer_server_ciphers: bool,
    /// `tls-session-caching`
    pub session_caching: bool,
    /// `tls-session-cache-size`; 0 for as many as memory is set aside for.
    pub session_cache_entries: usize,
    /// `tls-session-cache-timeout`, seconds.
    pub session_cache_timeout_s: u64,
    /// `tls-auto-reload-interval`, seconds; 0 for never.
    pub reload_interval_s: u64,
    /// `max-new-tls-connections-per-cycle`
    pub accepts_per_turn: usize,
}

impl View<'_> {
    pub(super) fn tls(&self) -> TlsSettings {
        let text = |id| text_of(self.0.text(id));
        TlsSettings {
            port: self.number(const { id("tls-port") }) as u16,
            replication: self.0.boolean(const { id("tls-replication") }),
            cluster: self.0.boolean(const { id("tls-cluster") }),
            cert_file: self.path(const { id("tls-cert-file") }),
            key_file: self.path(const { id("tls-key-file") }),
            key_pass: self.0.text(const { id("tls-key-file-pass") }).to_vec(),
            client_cert_file: self.path(const { id("tls-client-cert-file") }),
            client_key_file: self.path(const { id("tls-client-key-file") }),
            client_key_pass: self.0.text(const { id("tls-client-key-file-pass") }).to_vec(),
            ca_file: self.path(const { id("tls-ca-cert-file") }),
            ca_dir: self.path(const { id("tls-ca-cert-dir") }),
            clients: match self.0.int(const { id("tls-auth-clients") }) {
                0 => TlsClients::No,
                2 => TlsClients::Optional,
                _ => TlsClients::Yes,
            },
            user: match self.0.int(const { id("tls-auth-clients-user") }) {
                1 => TlsUser::CommonName,
                2 => TlsUser::Uri,
                _ => TlsUser::Off,
            },
            protocols: text(const { id("tls-protocols") }),
            ciphers: text(const { id("tls-ciphers") }),
            cipher_suites: text(const { id("tls-ciphersuites") }),
            prefer_server_ciphers: self.0.boolean(const { id("tls-prefer-server-ciphers") }),
            session_caching: self.0.boolean(const { id("tls-session-caching") }),
            session_cache_entries: self.number(const { id("tls-session-cache-size") }) as usize,
            session_cache_timeout_s: self.number(const { id("tls-session-cache-timeout") }),
            reload_interval_s: self.number(const { id("tls-auto-reload-interval") }),
            accepts_per_turn: self.number(const { id("max-new-tls-connections-per-cycle") })
                as usize,
        }
    }
}
