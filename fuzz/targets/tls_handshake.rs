//! What a TLS port may be sent before anybody is known: anything, in any pieces, and then nothing more.
#![no_main]

use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use ochre_net::tls::{Acceptor, Options, TlsStream, Verify};

/// A key and its certificate, for nothing but this.
const CERTIFICATE: &str = include_str!("../tls/certificate.pem");
const KEY: &str = include_str!("../tls/key.pem");

struct Fixture {
    acceptor: Acceptor,
    listener: TcpListener,
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("ochre-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let (cert, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        std::fs::write(&cert, CERTIFICATE).expect("a file");
        std::fs::write(&key, KEY).expect("a file");
        let options = Options {
            cert_file: Some(cert.clone()),
            key_file: Some(key),
            ca_file: Some(cert),
            verify: Verify::Optional,
            ..Options::default()
        };
        let acceptor = Acceptor::new(&options).expect("an acceptor").made;
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a socket");
        Fixture { acceptor, listener }
    })
}

fuzz_target!(|data: &[u8]| {
    let Fixture { acceptor, listener } = fixture();
    let Some((&piece, bytes)) = data.split_first() else { return };
    let address = listener.local_addr().expect("an address");
    let mut client = TcpStream::connect(address).expect("a connection");
    let (server, _) = listener.accept().expect("a connection");
    server.set_nonblocking(true).expect("a socket that does not block");
    let mut stream =
        TlsStream::accept(mio::net::TcpStream::from_std(server), acceptor).expect("a stream");
    let mut room = [0; 4096];
    for part in bytes.chunks(usize::from(piece).max(1) * 16) {
        if client.write_all(part).is_err() {
            return;
        }
        match stream.handshake() {
            Ok(true) => drop(stream.read(&mut room)),
            Ok(false) => {}
            Err(_) => return,
        }
    }
    drop(client.shutdown(Shutdown::Write));
    for _ in 0..3 {
        if stream.handshake().is_err() {
            break;
        }
    }
    stream.close();
});
