//! From [`Options`] to what accepts connections ([`Acceptor`]) and what opens them ([`Connector`]).
//!
//! Everything is read and checked here, so that a configuration that was made works: the key is that of the
//! certificate, the authorities are there, ciphers are left to offer. What is merely worth knowing comes back
//! as notices.
//!
//! Whoever connects to a server checks that one of the authorities vouches for it, and not its name: servers
//! of these families know each other by addresses that change, and the peers do the same.
//!
//! Limits: rustls knows certificates of X.509 version 3 only, and keys are RSA of 2048 bits and more, ECDSA
//! on P-256 and P-384, or Ed25519. An encrypted key is PKCS #8 (`BEGIN ENCRYPTED PRIVATE KEY`) with PBES2.
//!
//! Source: the TLS directives of redis.conf 7.0 and valkey.conf 9.1, with their texts in the log.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    SignatureScheme, SupportedProtocolVersion,
};

use super::ciphers;
use super::options::{Options, Verify, files_of};
use super::sessions::Sessions;

/// Accepts connections. Cheap to copy.
#[derive(Debug, Clone)]
pub struct Acceptor(pub(super) Arc<ServerConfig>);

/// Opens connections. Cheap to copy.
#[derive(Debug, Clone)]
pub struct Connector(pub(super) Arc<ClientConfig>);

/// Something that was made, and what the operator should know of it.
#[derive(Debug)]
pub struct Made<T> {
    /// What was made.
    pub made: T,
    /// Lines for the log.
    pub notices: Vec<String>,
}

/// Why [`Options`] come to nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// `tls-cert-file` is not set.
    #[error("No tls-cert-file configured!")]
    NoCertificate,
    /// `tls-key-file` is not set.
    #[error("No tls-key-file configured!")]
    NoKey,
    /// Nobody vouches for the certificates that are asked for.
    #[error(
        "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when tls-cluster, \
         tls-replication or tls-auth-clients are enabled!"
    )]
    NoAuthority,
    /// A certificate cannot be used.
    #[error("Failed to load certificate: {0}: {1}")]
    Certificate(String, String),
    /// A key cannot be used.
    #[error("Failed to load private key: {0}: {1}")]
    Key(String, String),
    /// The authorities cannot be used.
    #[error("Failed to configure CA certificate(s) file/directory: {0}: {1}")]
    Authorities(String, String),
    /// `tls-protocols` names what is no version of TLS.
    #[error(
        "Invalid tls-protocols specified. Use a combination of 'TLSv1', 'TLSv1.1', 'TLSv1.2' and \
         'TLSv1.3'."
    )]
    Protocols,
    /// `tls-protocols` leaves nothing.
    #[error(
        "Invalid tls-protocols specified. Only TLSv1.2 and TLSv1.3 are there, and neither is left."
    )]
    NoProtocol,
    /// `tls-ciphers` leaves nothing.
    #[error("Failed to configure ciphers: {0}")]
    Ciphers(String),
    /// `tls-ciphersuites` leaves nothing.
    #[error("Failed to configure ciphersuites: {0}")]
    CipherSuites(String),
    /// The parts do not fit together.
    #[error("Failed to configure TLS: {0}")]
    Other(String),
}

/// What the operator allows, as rustls wants it.
struct Allowed {
    provider: Arc<CryptoProvider>,
    versions: Vec<&'static SupportedProtocolVersion>,
    notices: Vec<String>,
}

impl Acceptor {
    /// Reads the files and checks that all fits together.
    pub fn new(options: &Options) -> Result<Made<Self>, ConfigError> {
        let cert_file = options.cert_file.as_deref().ok_or(ConfigError::NoCertificate)?;
        let key_file = options.key_file.as_deref().ok_or(ConfigError::NoKey)?;
        let mut allowed = Allowed::new(options)?;
        let key = certified_key(cert_file, key_file, &options.key_pass, &allowed.provider)?;
        let builder = ServerConfig::builder_with_provider(Arc::clone(&allowed.provider))
            .with_protocol_versions(&allowed.versions)
            .map_err(other)?;
        let builder = match options.verify {
            Verify::No => builder.with_no_client_auth(),
            verify => {
                let roots = Arc::new(authorities(options, &mut allowed.notices)?);
                let provider = Arc::clone(&allowed.provider);
                let clients = WebPkiClientVerifier::builder_with_provider(roots, provider);
                let clients = match verify {
                    Verify::Optional => clients.allow_unauthenticated(),
                    _ => clients,
                };
                builder.with_client_cert_verifier(clients.build().map_err(other)?)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.ignore_client_order = options.prefer_server_ciphers;
        match options.sessions {
            Some(limits) => config.session_storage = Arc::new(Sessions::new(limits)),
            None => {
                config.session_storage = Arc::new(NoServerSessionStorage {});
                config.send_tls13_tickets = 0;
            }
        }
        Ok(Made { made: Self(Arc::new(config)), notices: allowed.notices })
    }
}

impl Connector {
    /// Reads the files and checks that all fits together. Shows the certificate for clients, else that of
    /// the server, else none. As in the peers, the one for clients counts only together with its key.
    pub fn new(options: &Options) -> Result<Made<Self>, ConfigError> {
        let mut allowed = Allowed::new(options)?;
        let roots = authorities(options, &mut allowed.notices)?;
        let provider = Arc::clone(&allowed.provider);
        let servers = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(other)?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&allowed.provider))
            .with_protocol_versions(&allowed.versions)
            .map_err(other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyName(servers)));
        let own = (&options.client_cert_file, &options.client_key_file, &options.client_key_pass);
        let pair = match own {
            (Some(_), Some(_), _) => own,
            _ => (&options.cert_file, &options.key_file, &options.key_pass),
        };
        if options.client_cert_file.is_some() != options.client_key_file.is_some() {
            let line = "tls-client-cert-file and tls-client-key-file: one is left out, since the \
                        other is not set";
            allowed.notices.push(line.to_owned());
        }
        let mut config = match pair {
            (Some(cert), Some(key), pass) => {
                let key = certified_key(cert, key, pass, &allowed.provider)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)))
            }
            (Some(_), None, _) => return Err(ConfigError::NoKey),
            (None, _, _) => builder.with_no_client_auth(),
        };
        config.enable_sni = false;
        Ok(Made { made: Self(Arc::new(config)), notices: allowed.notices })
    }
}

fn other(error: impl std::fmt::Display) -> ConfigError {
    ConfigError::Other(error.to_string())
}

impl Allowed {
    fn new(options: &Options) -> Result<Self, ConfigError> {
        let versions = ciphers::protocols(&options.protocols).ok_or(ConfigError::Protocols)?;
        if versions.offered.is_empty() {
            return Err(ConfigError::NoProtocol);
        }
        let suites = ciphers::cipher_suites(&options.cipher_suites);
        if suites.offered.is_empty() {
            return Err(ConfigError::CipherSuites(options.cipher_suites.clone()));
        }
        let older = ciphers::ciphers(&options.ciphers);
        if older.offered.is_empty() {
            return Err(ConfigError::Ciphers(options.ciphers.clone()));
        }
        let mut notices = Vec::new();
        for (directive, words) in [
            ("tls-protocols", versions.left_out),
            ("tls-ciphers", older.left_out),
            ("tls-ciphersuites", suites.left_out),
        ] {
            if !words.is_empty() {
                let words = words.join(" ");
                notices.push(format!("{directive}: not available and left out: {words}"));
            }
        }
        let cipher_suites = [suites.offered, older.offered].concat();
        let provider = CryptoProvider { cipher_suites, ..ring::default_provider() };
        Ok(Self { provider: Arc::new(provider), versions: versions.offered, notices })
    }
}

/// The system's words for an error, without its number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

fn certified_key(
    cert_file: &Path,
    key_file: &Path,
    pass: &[u8],
    provider: &CryptoProvider,
) -> Result<CertifiedKey, ConfigError> {
    let cert_name = cert_file.display().to_string();
    let key_name = key_file.display().to_string();
    let chain = fs::read(cert_file)
        .map_err(|error| reason(&error))
        .and_then(|text| certificates(&text))
        .map_err(|why| ConfigError::Certificate(cert_name.clone(), why))?;
    let key = fs::read(key_file)
        .map_err(|error| reason(&error))
        .and_then(|text| private_key(&text, pass))
        .map_err(|why| ConfigError::Key(key_name.clone(), why))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        Error::InconsistentKeys(_) => {
            ConfigError::Key(key_name, format!("it is not the key of the certificate {cert_name}"))
        }
        Error::InvalidCertificate(why) => ConfigError::Certificate(cert_name, format!("{why:?}")),
        error => ConfigError::Key(key_name, error.to_string()),
    })
}

/// All certificates of a PEM file, of which there is one at least.
fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let all = all.map_err(|error| format!("it is no PEM file: {error}"))?;
    if all.is_empty() { Err("it holds no certificate".into()) } else { Ok(all) }
}

const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const ENCRYPTED_END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
/// How OpenSSL marked encrypted keys before PKCS #8.
const OLD_ENCRYPTED: &str = "Proc-Type: 4,ENCRYPTED";

fn private_key(text: &[u8], pass: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let readable = String::from_utf8_lossy(text);
    if readable.contains(OLD_ENCRYPTED) {
        return Err("keys encrypted in the old form are not read; \
                    'openssl pkcs8 -topk8' turns it into one that is"
            .into());
    }
    let Some(begin) = readable.find(ENCRYPTED) else {
        return PrivateKeyDer::from_pem_slice(text)
            .map_err(|error| format!("it holds no private key that can be read: {error}"));
    };
    if pass.is_empty() {
        return Err("it is encrypted, and no pass phrase is configured".into());
    }
    let end = readable[begin..].find(ENCRYPTED_END).ok_or("it is cut off")?;
    let section = &readable[begin..begin + end + ENCRYPTED_END.len()];
    let (_, sealed) =
        SecretDocument::from_pem(section).map_err(|error| format!("it is no PEM file: {error}"))?;
    let open = EncryptedPrivateKeyInfoRef::try_from(sealed.as_bytes())
        .and_then(|info| info.decrypt(pass))
        .map_err(|error| format!("it cannot be decrypted: {error}"))?;
    Ok(PrivatePkcs8KeyDer::from(open.as_bytes().to_vec()).into())
}

/// Those who vouch for the other side: of the file all, of the folder those that can be read.
fn authorities(options: &Options, notices: &mut Vec<String>) -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    let mut add = |path: &Path| -> Result<(), String> {
        let text = fs::read(path).map_err(|error| reason(&error))?;
        for certificate in certificates(&text)? {
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        Ok(())
    };
    let failed = |path: &Path, why| ConfigError::Authorities(path.display().to_string(), why);
    if let Some(file) = &options.ca_file {
        add(file).map_err(|why| failed(file, why))?;
    }
    if let Some(folder) = &options.ca_dir {
        for path in files_of(folder).map_err(|error| failed(folder, reason(&error)))? {
            if let Err(why) = add(&path) {
                notices.push(format!("tls-ca-cert-dir: {} is left out: {why}", path.display()));
            }
        }
    }
    match (&options.ca_file, &options.ca_dir) {
        (None, None) => Err(ConfigError::NoAuthority),
        (_, Some(folder)) if roots.is_empty() => {
            Err(failed(folder, "no file there holds a certificate that can be used".into()))
        }
        _ => Ok(roots),
    }
}

/// Checks a server's certificate but for its name.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext};
        let verified =
            self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // The name is looked at last: all else has been found right.
            Err(Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => {
                Ok(ServerCertVerified::assertion())
            }
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::{Authority, Folder};

    fn error(options: &Options) -> String {
        Acceptor::new(options).map(drop).unwrap_err().to_string()
    }

    #[test]
    fn what_is_missing_or_wrong_is_said() {
        let authority = Authority::new();
        let folder = Folder::new("config");
        let good = folder.options(&authority, "server");
        assert!(Acceptor::new(&good).unwrap().notices.is_empty());
        let bad = |change: fn(&mut Options)| {
            let mut options = good.clone();
            change(&mut options);
            error(&options)
        };
        assert_eq!(bad(|o| o.cert_file = None), "No tls-cert-file configured!");
        assert_eq!(bad(|o| o.key_file = None), "No tls-key-file configured!");
        assert!(bad(|o| o.ca_file = None).starts_with("Either tls-ca-cert-file or"));
        assert_eq!(
            bad(|o| o.cert_file = Some("/no/such".into())),
            "Failed to load certificate: /no/such: No such file or directory"
        );
        assert_eq!(
            bad(|o| o.key_file = Some("/no/such".into())),
            "Failed to load private key: /no/such: No such file or directory"
        );
        assert!(bad(|o| o.ca_file = Some("/no/such".into())).contains("CA certificate(s)"));
        assert!(bad(|o| o.ca_dir = Some("/no/such".into())).contains("/no/such: No such file"));
        assert!(bad(|o| o.key_file = o.cert_file.clone()).contains("no private key"));
        assert!(bad(|o| o.cert_file = o.key_file.clone()).contains("it holds no certificate"));
        assert!(bad(|o| o.protocols = "TLSv1.9".into()).starts_with("Invalid tls-protocols"));
        assert!(bad(|o| o.protocols = "TLSv1".into()).contains("neither is left"));
        assert_eq!(bad(|o| o.ciphers = "FOO".into()), "Failed to configure ciphers: FOO");
        assert_eq!(bad(|o| o.cipher_suites = "X".into()), "Failed to configure ciphersuites: X");
        let mut other = folder.options(&authority, "other");
        other.cert_file = good.cert_file;
        assert!(error(&other).contains("it is not the key of the certificate"));
    }

    #[test]
    fn a_folder_of_authorities_and_notices() {
        let authority = Authority::new();
        let folder = Folder::new("folder");
        let mut options = folder.options(&authority, "server");
        let file = options.ca_file.take().unwrap();
        options.ca_dir = Some(folder.0.join("authorities"));
        fs::create_dir_all(options.ca_dir.as_deref().unwrap()).unwrap();
        assert!(error(&options).contains("no file there holds a certificate"));
        fs::copy(file, folder.0.join("authorities/one.pem")).unwrap();
        fs::write(folder.0.join("authorities/two.pem"), b"none").unwrap();
        options.protocols = "TLSv1.1 TLSv1.3".into();
        options.ciphers = "ALL:AES128-SHA".into();
        let notices = Acceptor::new(&options).unwrap().notices;
        assert_eq!(notices.len(), 3);
        assert!(notices.iter().any(|line| line.contains("two.pem is left out")), "{notices:?}");
        options.verify = Verify::No;
        options.ca_dir = None;
        assert!(Acceptor::new(&options).is_ok());
        assert_eq!(Connector::new(&options).map(drop).unwrap_err(), ConfigError::NoAuthority);
    }

    /// Made by `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes256 -pass pass:secret`.
    const SEALED: &str = include_str!("testdata/encrypted.key");

    #[test]
    fn encrypted_keys() {
        let why = |text: &[u8], pass: &[u8]| private_key(text, pass).map(drop).unwrap_err();
        assert!(private_key(SEALED.as_bytes(), b"secret").is_ok());
        assert!(why(SEALED.as_bytes(), b"").contains("no pass phrase"));
        assert!(why(SEALED.as_bytes(), b"wrong").contains("cannot be decrypted"));
        assert!(why(&SEALED.as_bytes()[..SEALED.len() - 10], b"secret").contains("cut off"));
        let old = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n";
        assert!(why(old, b"secret").contains("openssl pkcs8 -topk8"));
    }
}
