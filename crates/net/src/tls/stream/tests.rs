//! Both sides of a connection in one thread, over a loopback socket.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use super::*;
use crate::tls::options::{Options, SessionLimits, Verify};
use crate::tls::testing::{Authority, Folder};

/// Both ends of a loopback connection, without blocking.
fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    for stream in [&client, &server] {
        stream.set_nonblocking(true).unwrap();
        stream.set_nodelay(true).unwrap();
    }
    (TcpStream::from_std(client), TcpStream::from_std(server))
}

/// Client and server that share an authority; the handshake is yet to be.
fn pair(change: impl Fn(&mut Options)) -> (TlsStream, TlsStream) {
    let authority = Authority::new();
    let folder = Folder::new(&format!("{:?}", std::thread::current().id()));
    let mut options = folder.options(&authority, "both");
    change(&mut options);
    let acceptor = Acceptor::new(&options).unwrap().made;
    options.verify = Verify::Yes;
    let connector = Connector::new(&options).unwrap().made;
    let (client, server) = sockets();
    (TlsStream::connect(client, &connector).unwrap(), TlsStream::accept(server, &acceptor).unwrap())
}

fn deadline() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a test's patience is wall-clock time")]
    let now = Instant::now();
    now + Duration::from_secs(20)
}

fn in_time(deadline: Instant) {
    #[expect(clippy::disallowed_methods, reason = "a test's patience is wall-clock time")]
    let now = Instant::now();
    assert!(now < deadline, "it takes too long");
    std::thread::yield_now();
}

fn shake(client: &mut TlsStream, server: &mut TlsStream) -> io::Result<()> {
    let deadline = deadline();
    loop {
        let mine = client.handshake()?;
        let theirs = server.handshake()?;
        if mine && theirs {
            return Ok(());
        }
        in_time(deadline);
    }
}

fn write(stream: &mut TlsStream, bytes: &[u8]) -> io::Result<Option<usize>> {
    stream.write_vectored(&[IoSlice::new(bytes)])
}

/// Reads until so many bytes have come, in rooms of such a size.
fn read_all(stream: &mut TlsStream, count: usize, room: usize) -> Vec<u8> {
    let deadline = deadline();
    let (mut got, mut buffer) = (Vec::new(), vec![0; room]);
    while got.len() < count {
        match stream.read(&mut buffer).unwrap() {
            Some(0) => panic!("closed after {} bytes", got.len()),
            Some(bytes) => got.extend_from_slice(&buffer[..bytes]),
            None => in_time(deadline),
        }
    }
    got
}

fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at % 251) as u8).collect()
}

#[test]
fn bytes_come_as_they_were_sent_whatever_the_rooms() {
    for protocols in ["TLSv1.2", "TLSv1.3"] {
        let (mut client, mut server) = pair(|options| options.protocols = protocols.into());
        shake(&mut client, &mut server).unwrap();
        assert!(server.certificate().is_some());
        let sent = pattern(1_000_000);
        for room in [1000, 20_000, 64 * 1024, 300_000] {
            let (mut at, mut got) = (0, Vec::new());
            let deadline = deadline();
            let mut buffer = vec![0; room];
            while got.len() < sent.len() {
                if at < sent.len() {
                    at += write(&mut client, &sent[at..]).unwrap().unwrap_or(0);
                }
                client.finish_write().unwrap();
                loop {
                    let bytes = server.read(&mut buffer).unwrap().unwrap_or(0);
                    got.extend_from_slice(&buffer[..bytes]);
                    if !server.may_hold_more() {
                        break;
                    }
                }
                in_time(deadline);
            }
            assert!(got == sent, "{protocols} {room}");
            assert!(server.held() < 100_000);
        }
    }
}

#[test]
fn a_full_socket_takes_nothing_and_loses_nothing() {
    let (mut client, mut server) = pair(|_| {});
    shake(&mut client, &mut server).unwrap();
    let sent = pattern(50_000_000);
    let mut at = 0;
    while let Some(bytes) = write(&mut server, &sent[at..]).unwrap() {
        at += bytes;
    }
    // The socket's buffers are full; what rustls holds beside them is little.
    assert!(at < sent.len() && server.has_unsent() && !server.finish_write().unwrap());
    let deadline = deadline();
    let mut got = Vec::new();
    while got.len() < at {
        got.extend(read_all(&mut client, 1, 64 * 1024));
        server.finish_write().unwrap();
        in_time(deadline);
    }
    assert!(got == sent[..at] && !server.has_unsent());
}

#[test]
fn several_parts_are_one_run_of_bytes() {
    let (mut client, mut server) = pair(|_| {});
    shake(&mut client, &mut server).unwrap();
    let parts = [IoSlice::new(b"one "), IoSlice::new(b""), IoSlice::new(b"two")];
    assert_eq!(server.write_vectored(&parts).unwrap(), Some(7));
    assert_eq!(read_all(&mut client, 7, 100), b"one two");
}

#[test]
fn a_good_bye_is_the_end_after_what_came_before() {
    let (mut client, mut server) = pair(|_| {});
    shake(&mut client, &mut server).unwrap();
    write(&mut client, b"last words").unwrap();
    client.close();
    assert_eq!(read_all(&mut server, 10, 100), b"last words");
    let deadline = deadline();
    let mut room = [0; 10];
    loop {
        assert!(server.may_hold_more() || server.drained);
        match server.read(&mut room).unwrap() {
            None => in_time(deadline),
            other => break assert_eq!(other, Some(0)),
        }
    }
    assert_eq!(server.read(&mut room).unwrap(), Some(0));
}

#[test]
fn what_is_no_handshake_is_an_error() {
    let (mut client, mut server) = pair(|_| {});
    (&client.stream).write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let deadline = deadline();
    let error = loop {
        match server.handshake() {
            Ok(done) => assert!(!done),
            Err(error) => break error,
        }
        in_time(deadline);
    };
    assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    assert!(client.handshake().is_err() || !client.handshake().unwrap_or(false));
}

#[test]
fn certificates_are_asked_for_as_configured() {
    let authority = Authority::new();
    let folder = Folder::new("asked");
    let good = folder.options(&authority, "good");
    let strange = folder.options(&Authority::new(), "strange");
    let tries = |verify: Verify, own: Option<&Options>| {
        let acceptor = Acceptor::new(&Options { verify, ..good.clone() }).unwrap().made;
        let mut theirs = own.cloned().unwrap_or_default();
        theirs.ca_file.clone_from(&good.ca_file);
        let connector = Connector::new(&theirs).unwrap().made;
        let (client, server) = sockets();
        let mut client = TlsStream::connect(client, &connector).unwrap();
        let mut server = TlsStream::accept(server, &acceptor).unwrap();
        shake(&mut client, &mut server).map(|()| server.certificate().is_some())
    };
    assert!(tries(Verify::Yes, Some(&good)).unwrap());
    assert!(tries(Verify::Yes, None).is_err());
    assert!(tries(Verify::Yes, Some(&strange)).is_err());
    assert!(!tries(Verify::Optional, None).unwrap());
    assert!(tries(Verify::Optional, Some(&good)).unwrap());
    assert!(tries(Verify::Optional, Some(&strange)).is_err());
    assert!(!tries(Verify::No, Some(&strange)).unwrap());
    // A server that nobody vouches for is not talked to.
    let acceptor = Acceptor::new(&Options { verify: Verify::No, ..strange }).unwrap().made;
    let connector = Connector::new(&good).unwrap().made;
    let (client, server) = sockets();
    let mut client = TlsStream::connect(client, &connector).unwrap();
    let mut server = TlsStream::accept(server, &acceptor).unwrap();
    assert!(shake(&mut client, &mut server).is_err());
}

/// A resumed session has the certificate of the first; without a memory every handshake is a full one.
#[test]
fn sessions_are_resumed_as_configured() {
    let authority = Authority::new();
    let folder = Folder::new("resumed");
    let mut options = folder.options(&authority, "both");
    let connector = Connector::new(&options).unwrap().made;
    for (sessions, resumed) in
        [(Some(SessionLimits { entries: 10, seconds: 100 }), true), (None, false)]
    {
        options.sessions = sessions;
        let acceptor = Acceptor::new(&options).unwrap().made;
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let (client, server) = sockets();
            let mut client = TlsStream::connect(client, &connector).unwrap();
            let mut server = TlsStream::accept(server, &acceptor).unwrap();
            shake(&mut client, &mut server).unwrap();
            write(&mut server, b"x").unwrap();
            read_all(&mut client, 1, 10);
            assert!(server.certificate().is_some());
            kinds.push(server.tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed));
        }
        assert_eq!(kinds, [false, resumed]);
    }
}
