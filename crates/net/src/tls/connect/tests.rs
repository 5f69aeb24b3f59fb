//! Against rustls' own blocking server, on a thread of its own.

use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use rustls::{ServerConnection, StreamOwned};

use super::*;
use crate::tls::options::{Options, Verify};
use crate::tls::testing::{Authority, Folder};
use crate::tls::{Acceptor, ConfigError};

type Served = StreamOwned<ServerConnection, TcpStream>;

/// A connection to a server that does what it is told on a thread of its own.
fn with_server<T: Send>(
    acceptor: &Acceptor,
    connector: &Connector,
    serve: impl FnOnce(Served) -> T + Send,
    ask: impl FnOnce(TlsClient),
) -> T {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (served, _) = listener.accept().unwrap();
    for one in [&tcp, &served] {
        one.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        one.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    }
    let connection = ServerConnection::new(acceptor.0.clone()).unwrap();
    let served = StreamOwned::new(connection, served);
    thread::scope(|scope| {
        let served = scope.spawn(|| serve(served));
        ask(TlsClient::new(tcp, connector).unwrap());
        served.join().unwrap()
    })
}

fn shake(client: &mut TlsClient) -> io::Result<()> {
    while !client.handshake()? {}
    Ok(())
}

fn files(name: &str) -> (Authority, Folder, Options) {
    let (authority, folder) = (Authority::new(), Folder::new(name));
    let options = folder.options(&authority, "both");
    (authority, folder, options)
}

#[test]
fn large_and_small_both_ways() {
    let (_authority, _folder, mut options) = files("connect");
    for protocol in ["TLSv1.2", "TLSv1.3"] {
        options.protocols = protocol.to_owned();
        let acceptor = Acceptor::new(&options).unwrap().made;
        let connector = Connector::new(&options).unwrap().made;
        let sent: Vec<u8> = (0..1_000_000).map(|at| (at % 251) as u8).collect();
        let serve = |mut served: Served| {
            let mut got = vec![0; 1_000_000];
            served.read_exact(&mut got).unwrap();
            for part in got.chunks(1000) {
                served.write_all(part).unwrap();
            }
            served.conn.send_close_notify();
            served.flush().unwrap();
            let mut ack = [0; 3];
            served.read_exact(&mut ack).unwrap();
            (got, ack)
        };
        let ask = |mut client: TlsClient| {
            shake(&mut client).unwrap();
            client.write_all(&sent).unwrap();
            let mut got = Vec::new();
            client.read_to_end(&mut got).unwrap();
            assert!(got == sent);
            assert_eq!(client.read(&mut [0; 9]).unwrap(), 0);
            client.write_all(b"ack").unwrap();
        };
        let (got, ack) = with_server(&acceptor, &connector, serve, ask);
        assert!(got == sent && &ack == b"ack");
    }
}

/// Silence is an error that changes nothing, during the handshake and after it.
#[test]
fn time_outs_lose_nothing() {
    let (_authority, _folder, options) = files("silence");
    let acceptor = Acceptor::new(&options).unwrap().made;
    let connector = Connector::new(&options).unwrap().made;
    let (go, wait) = std::sync::mpsc::channel();
    let serve = move |mut served: Served| {
        wait.recv().unwrap();
        served.write_all(b"one").unwrap();
        wait.recv().unwrap();
        served.write_all(b"two").unwrap();
    };
    let is_silence = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
    };
    let ask = |mut client: TlsClient| {
        client.tcp().set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        assert!(is_silence(&client.handshake().unwrap_err()));
        go.send(()).unwrap();
        let mut silences = 0;
        let mut patiently = |result: io::Result<usize>| match result {
            Ok(bytes) => bytes,
            Err(error) if is_silence(&error) && silences < 4000 => {
                silences += 1;
                0
            }
            Err(error) => panic!("{error}"),
        };
        while patiently(client.handshake().map(usize::from)) == 0 {}
        let mut got = [0; 6];
        let mut filled = 0;
        while filled < 3 {
            // One at a time: the rest waits here.
            filled += patiently(client.read(&mut got[filled..filled + 1]));
        }
        assert!(is_silence(&client.read(&mut got[3..]).unwrap_err()));
        go.send(()).unwrap();
        while filled < 6 {
            filled += patiently(client.read(&mut got[filled..]));
        }
        assert_eq!(&got, b"onetwo");
    };
    with_server(&acceptor, &connector, serve, ask);
}

/// One of our authorities has to vouch for the server, whatever its name; the server for us if it asks.
#[test]
fn who_is_believed() {
    let (authority, folder, options) = files("believed");
    let (_other, _other_folder, strange) = files("strange");
    let acceptor = Acceptor::new(&options).unwrap().made;
    let serve = |mut served: Served| served.read_exact(&mut [0; 1]).is_ok();

    // The certificate is for "localhost", and no name at all is asked for.
    let mut own = folder.options(&authority, "client");
    own.client_cert_file = own.cert_file.take();
    own.client_key_file = own.key_file.take();
    let connector = Connector::new(&own).unwrap().made;
    let answered = with_server(&acceptor, &connector, serve, |mut client| {
        shake(&mut client).unwrap();
        client.write_all(b"x").unwrap();
    });
    assert!(answered);

    let connector = Connector::new(&strange).unwrap().made;
    let answered = with_server(&acceptor, &connector, serve, |mut client| {
        let error = shake(&mut client).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains("invalid peer certificate"), "{error}");
    });
    assert!(!answered);

    // Without a certificate of one's own: refused by a server that wants one.
    let nobody = Options { client_cert_file: None, client_key_file: None, ..own.clone() };
    let connector = Connector::new(&nobody).unwrap().made;
    let answered = with_server(&acceptor, &connector, serve, |mut client| {
        shake(&mut client).unwrap();
        let error = client.read(&mut [0; 1]).unwrap_err();
        assert!(error.to_string().contains("CertificateRequired"), "{error}");
    });
    assert!(!answered);
    let open = Options { verify: Verify::No, ..options };
    let acceptor = Acceptor::new(&open).unwrap().made;
    let answered = with_server(&acceptor, &connector, serve, |mut client| {
        shake(&mut client).unwrap();
        client.write_all(b"x").unwrap();
    });
    assert!(answered);
}

/// A certificate for links without its key is left out, as the peers do; the server's then serves.
#[test]
fn half_a_pair() {
    let (_authority, _folder, mut options) = files("half");
    options.client_cert_file = options.cert_file.clone();
    let made = Connector::new(&options).unwrap();
    assert!(made.notices.iter().any(|line| line.contains("tls-client-key-file")));
    options.key_file = None;
    assert_eq!(Connector::new(&options).map(drop).unwrap_err(), ConfigError::NoKey);
    options.ca_file = None;
    assert_eq!(Connector::new(&options).map(drop).unwrap_err(), ConfigError::NoAuthority);
}

/// A server that goes away, and one that talks something else.
#[test]
fn ends_and_nonsense() {
    let (_authority, _folder, options) = files("ends");
    let connector = Connector::new(&options).unwrap().made;
    for (said, kind) in [
        (&b""[..], io::ErrorKind::UnexpectedEof),
        (b"-DENIED Redis is running in protected mode\r\n", io::ErrorKind::InvalidData),
    ] {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut served, _) = listener.accept().unwrap();
        let mut client = TlsClient::new(tcp, &connector).unwrap();
        served.write_all(said).unwrap();
        if said.is_empty() {
            served.shutdown(std::net::Shutdown::Write).unwrap();
        }
        assert_eq!(shake(&mut client).unwrap_err().kind(), kind);
    }
}
