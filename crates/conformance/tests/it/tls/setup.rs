//! An authority, its certificates in files, a server that uses them, and clients.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ochre_testkit::Server;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

/// Times that another port is tried when one is taken meanwhile.
const PORTS_MAX: usize = 20;

/// A port that nothing listens on at this moment.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Has a server listen for TLS on a port that is free, and says on which.
pub(crate) fn move_tls_port(server: &Server) -> u16 {
    let mut client = server.client();
    for _ in 0..PORTS_MAX {
        let port = free_port();
        let answer = client.shown(&format!("CONFIG SET tls-port {port}"));
        if answer.contains("OK") {
            return port;
        }
        assert!(answer.contains("Unable to listen"), "{answer}\n{}", server.log());
    }
    panic!("no free port");
}

/// A certificate and its key.
pub(crate) struct Identity {
    pub(crate) name: String,
    certificate: CertificateDer<'static>,
    pem: String,
    key: KeyPair,
}

/// A folder with `ca.crt`, `server.crt` and `server.key`; it goes with this.
pub(crate) struct Setup {
    folder: PathBuf,
    authority: CertifiedIssuer<'static, KeyPair>,
    server: Identity,
}

/// A server with a TLS port.
pub(crate) struct TlsServer {
    pub(crate) plain: Server,
    pub(crate) port: u16,
}

impl Setup {
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("ochre-tls-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, format!("authority of {name}"));
        let key = KeyPair::generate().unwrap();
        let authority = CertifiedIssuer::self_signed(params, key).unwrap();
        fs::write(folder.join("ca.crt"), authority.pem()).unwrap();
        let server = issue(&authority, "server");
        let setup = Self { folder, authority, server };
        setup.restore_server();
        setup
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A certificate for a name.
    pub(crate) fn issue(&self, name: &str) -> Identity {
        issue(&self.authority, name)
    }

    /// Writes a certificate and its key into the folder, under its name.
    pub(crate) fn write(&self, identity: &Identity) {
        let path = |end: &str| self.folder.join(format!("{}.{end}", identity.name));
        // The certificate last: a reload between the two finds a pair that does not match, and tries again.
        fs::write(path("key"), identity.key.serialize_pem()).unwrap();
        fs::write(path("crt"), &identity.pem).unwrap();
    }

    /// Puts another's server certificate in place of the own one.
    pub(super) fn replace_server(&self, other: &Setup) {
        self.write(&other.server);
    }

    pub(super) fn restore_server(&self) {
        self.write(&self.server);
    }

    /// The command that sets a directive to a file of the folder.
    pub(crate) fn set(&self, name: &str, file: &str) -> String {
        format!("CONFIG SET {name} {}", self.folder.join(file).display())
    }

    /// Starts a server with the files of the folder.
    pub(crate) fn server(&self, options: &[&str]) -> TlsServer {
        let path = |file: &str| self.folder.join(file).display().to_string();
        let (cert, key, ca) = (path("server.crt"), path("server.key"), path("ca.crt"));
        let mut all =
            vec!["--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &ca];
        all.extend_from_slice(options);
        let plain = Server::ochre(&all);
        let port = move_tls_port(&plain);
        TlsServer { plain, port }
    }

    /// What a client that believes this authority connects with.
    pub(crate) fn client_config(&self, own: Option<&Identity>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let key = PrivatePkcs8KeyDer::from(own.key.serialize_der());
                builder.with_client_auth_cert(vec![own.certificate.clone()], key.into()).unwrap()
            }
        })
    }

    /// A client whose handshake is done; whether the server likes its certificate shows later.
    pub(super) fn client_unasked(
        &self,
        server: &TlsServer,
        own: Option<&Identity>,
    ) -> io::Result<TlsClient> {
        TlsClient::connect(server.port, &self.client_config(own))
    }

    /// A client that has been answered.
    pub(super) fn try_client(
        &self,
        server: &TlsServer,
        own: Option<&Identity>,
    ) -> io::Result<TlsClient> {
        let mut client = self.client_unasked(server, own)?;
        client.0.write_all(b"PING\r\n")?;
        let mut answer = [0; 7];
        client.0.read_exact(&mut answer)?;
        assert_eq!(&answer, b"+PONG\r\n");
        Ok(client)
    }

    pub(super) fn client(&self, server: &TlsServer, own: Option<&Identity>) -> TlsClient {
        self.try_client(server, own).unwrap()
    }

    /// The first bytes of a handshake.
    pub(super) fn client_hello(&self, own: &Identity) -> Vec<u8> {
        let mut hello = Vec::new();
        new_connection(&self.client_config(Some(own))).write_tls(&mut hello).unwrap();
        hello
    }

    /// A client that sends its handshake byte by byte.
    pub(super) fn slow_client(&self, server: &TlsServer, own: &Identity) -> TlsClient {
        let mut tls = new_connection(&self.client_config(Some(own)));
        let mut tcp = connect(server.port).unwrap();
        while tls.is_handshaking() || tls.wants_write() {
            let mut records = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut records).unwrap();
            }
            for byte in records {
                tcp.write_all(&[byte]).unwrap();
            }
            if tls.is_handshaking() {
                tls.read_tls(&mut tcp).unwrap();
                tls.process_new_packets().unwrap();
            }
        }
        TlsClient(StreamOwned::new(tls, tcp))
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        // It is under the system's temporary folder, which is emptied anyway.
        drop(fs::remove_dir_all(&self.folder));
    }
}

fn issue(authority: &CertifiedIssuer<'static, KeyPair>, name: &str) -> Identity {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let uri = format!("urn:ochre:user:{name}");
    params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    Identity {
        name: name.to_owned(),
        pem: certificate.pem(),
        certificate: certificate.der().clone(),
        key,
    }
}

fn new_connection(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from("localhost").unwrap();
    ClientConnection::new(Arc::clone(config), name).unwrap()
}

fn connect(port: u16) -> io::Result<TcpStream> {
    let tcp = TcpStream::connect(("127.0.0.1", port))?;
    tcp.set_nodelay(true)?;
    tcp.set_read_timeout(Some(Duration::from_secs(60)))?;
    tcp.set_write_timeout(Some(Duration::from_secs(60)))?;
    Ok(tcp)
}

/// A client.
pub(crate) struct TlsClient(StreamOwned<ClientConnection, TcpStream>);

impl TlsClient {
    /// Connects and does the handshake, as far as this side sees it.
    pub(crate) fn connect(port: u16, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let mut stream = StreamOwned::new(new_connection(config), connect(port)?);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self(stream))
    }

    pub(super) fn was_resumed(&self) -> bool {
        self.0.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    pub(super) fn tcp(&mut self) -> &mut TcpStream {
        &mut self.0.sock
    }

    /// Makes records of bytes without sending them.
    pub(super) fn seal(&mut self, bytes: &[u8], records: &mut Vec<u8>) {
        self.0.conn.writer().write_all(bytes).unwrap();
        while self.0.conn.wants_write() {
            self.0.conn.write_tls(records).unwrap();
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
        self.0.flush().unwrap();
    }

    /// Reads exactly these bytes.
    pub(super) fn expect(&mut self, expected: &[u8]) {
        let mut got = vec![0; expected.len()];
        self.0.read_exact(&mut got).unwrap();
        if got != expected {
            let at = got.iter().zip(expected).position(|(got, want)| got != want).unwrap();
            let show = |bytes: &[u8]| {
                let end = bytes.len().min(at + 60);
                String::from_utf8_lossy(&bytes[at..end]).into_owned()
            };
            panic!("at byte {at}: got {:?}, expected {:?}", show(&got), show(expected));
        }
    }

    pub(crate) fn talk(&mut self, asked: &[u8], expected: &[u8]) {
        self.send(asked);
        self.expect(expected);
    }

    /// Reads until these bytes have come.
    pub(super) fn until(&mut self, end: &[u8]) {
        let mut got = Vec::new();
        while !got.ends_with(end) {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            got.push(byte[0]);
        }
    }

    /// Reads one string.
    pub(crate) fn bulk(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n") {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        let digits = head.trim_end().strip_prefix('$').unwrap_or_else(|| panic!("{head}"));
        let mut text = vec![0; digits.parse::<usize>().unwrap() + 2];
        self.0.read_exact(&mut text).unwrap();
        text.truncate(text.len() - 2);
        String::from_utf8(text).unwrap()
    }

    /// Waits for the end: whether the server has said good-bye.
    pub(super) fn is_closed_cleanly(&mut self) -> bool {
        matches!(self.0.read(&mut [0; 16]), Ok(0))
    }

    /// Waits for the end, of whatever kind.
    pub(super) fn is_closed(&mut self) -> bool {
        !matches!(self.0.read(&mut [0; 16]), Ok(1..))
    }
}
