//! TLS for clients: conversations, certificates, users, reloading, and what goes wrong: R3.7.
//!
//! Certificates are made here; the client is rustls over a blocking socket. Expected replies are bytes, so
//! that nothing between them and the wire can hide a difference.

pub(crate) mod setup;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use ochre_base::rng::Rng;
use ochre_testkit::raw::{encode, wait_until};
use ochre_testkit::{Program, Value};

use self::setup::{Setup, TlsClient, free_port};
use crate::{PrintSeed, seed};

fn info(server: &ochre_testkit::Server, section: &str, field: &str) -> String {
    server.client().info(section, field)
}

fn bulk(bytes: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// Small and large, in both protocols and both versions of TLS, on one loop and on several.
#[test]
fn conversations() {
    let setup = Setup::new("conversations");
    for (threads, protocol) in [("1", "TLSv1.3"), ("3", "TLSv1.2"), ("3", "")] {
        let server = setup.server(&["--io-threads", threads, "--tls-protocols", protocol]);
        let own = setup.issue("client");
        thread::scope(|scope| {
            for index in 0..4 {
                let (server, own, setup) = (&server, &own, &setup);
                scope.spawn(move || {
                    let mut client = setup.client(server, Some(own));
                    converse(&mut client, index);
                });
            }
        });
        assert_eq!(server.plain.client().integer("DBSIZE"), 8);
    }
}

fn converse(client: &mut TlsClient, index: usize) {
    client.talk(b"PING\r\n", b"+PONG\r\n");
    client.talk(b"*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n", b"$5\r\nhello\r\n");
    // Many at once: the replies fill many records.
    let (key, count) = (format!("n{index}"), 20_000);
    let mut asked = Vec::new();
    let mut expected = Vec::new();
    for at in 1..=count {
        encode(&["INCR", &key], &mut asked);
        expected.extend_from_slice(format!(":{at}\r\n").as_bytes());
    }
    client.talk(&asked, &expected);
    client.send(b"HELLO 3\r\n");
    client.until(b"modules\r\n*0\r\n");
    // Ten megabytes both ways, and back several times before any of it is read.
    let value: Vec<u8> = (0..10_000_000).map(|at| (at % 251) as u8).collect();
    let name = format!("big{index}");
    let mut set = Vec::new();
    encode(&[b"SET".as_slice(), name.as_bytes(), &value], &mut set);
    client.talk(&set, b"+OK\r\n");
    let get = format!("GET {name}\r\n").repeat(3);
    client.send(get.as_bytes());
    client.send(b"STRLEN nothing\r\n");
    for _ in 0..3 {
        client.expect(&bulk(&value));
    }
    client.expect(b":0\r\n");
    client.talk(b"QUIT\r\n", b"+OK\r\n");
    assert!(client.is_closed_cleanly());
}

/// What comes without being asked for, and what ends a wait, goes out over TLS too.
#[test]
fn pushes_and_waits() {
    let setup = Setup::new("pushes");
    let server = setup.server(&["--io-threads", "2"]);
    let own = setup.issue("client");
    let mut waits = setup.client(&server, Some(&own));
    let mut listens = setup.client(&server, Some(&own));
    listens.talk(b"SUBSCRIBE c\r\n", b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    // The command behind the wait has come with it, in the same record.
    waits.send(b"BLPOP list 0\r\nPING\r\n");
    let mut plain = server.plain.client();
    wait_until("a client waits", || {
        (plain.info("clients", "blocked_clients") == "1").then_some(())
    });
    plain.line("RPUSH list v");
    waits.expect(b"*2\r\n$4\r\nlist\r\n$1\r\nv\r\n+PONG\r\n");
    plain.line("PUBLISH c m");
    listens.expect(b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n");
    // A client that is killed hears good-bye.
    plain.line("CLIENT KILL TYPE pubsub");
    assert!(listens.is_closed_cleanly());
}

/// Records cut anywhere, plain bytes cut anywhere: the conversation is the same.
#[test]
fn a_conversation_in_random_pieces() {
    let seed = seed();
    let _print = PrintSeed(seed);
    let mut rng = Rng::new(seed);
    let setup = Setup::new("pieces");
    let server = setup.server(&["--io-threads", "2"]);
    let own = setup.issue("client");
    for round in 0..5 {
        let mut client = setup.client(&server, Some(&own));
        let (mut asked, mut expected) = (Vec::new(), Vec::new());
        for at in 0..400 {
            let bytes = vec![b'a' + (at % 26) as u8; rng.below(600) as usize];
            let key = format!("k{round}-{at}");
            encode(&[b"SET".as_slice(), key.as_bytes(), &bytes], &mut asked);
            encode(&["GET", &key], &mut asked);
            expected.extend_from_slice(b"+OK\r\n");
            expected.extend_from_slice(&bulk(&bytes));
        }
        let mut records = Vec::new();
        let mut rest = &asked[..];
        while !rest.is_empty() {
            let piece = rest.len().min(1 + rng.below(2000) as usize);
            client.seal(&rest[..piece], &mut records);
            rest = &rest[piece..];
        }
        let mut rest = &records[..];
        while !rest.is_empty() {
            let piece = rest.len().min(1 + rng.below(3000) as usize);
            client.tcp().write_all(&rest[..piece]).unwrap();
            rest = &rest[piece..];
            if rng.below(4) == 0 {
                thread::yield_now();
            }
        }
        client.expect(&expected);
    }
}

#[test]
fn certificates_of_clients() {
    let setup = Setup::new("clients");
    let server = setup.server(&[]);
    let (good, strange) = (setup.issue("good"), Setup::new("strange").issue("strange"));
    let mut plain = server.plain.client();
    for (mode, with_good, with_none, with_strange) in
        [("yes", true, false, false), ("optional", true, true, false), ("no", true, true, true)]
    {
        assert!(plain.shown(&format!("CONFIG SET tls-auth-clients {mode}")).contains("OK"));
        for (own, expected) in
            [(Some(&good), with_good), (None, with_none), (Some(&strange), with_strange)]
        {
            let answer = setup.try_client(&server, own).is_ok();
            assert_eq!(answer, expected, "{mode} {:?}", own.map(|own| &own.name));
        }
    }
    assert!(plain.info("stats", "tls_handshake_failures").parse::<u64>().unwrap() >= 3);
    let log = server.plain.log();
    assert!(
        log.contains("Error accepting a client connection: peer sent no certificates"),
        "{log}"
    );
    assert!(log.contains("(addr=127.0.0.1:"), "{log}");
}

/// The name in a certificate is a user's: no password is asked for. Texts and counters are Valkey 9.1's.
#[test]
fn a_certificate_names_its_user() {
    let setup = Setup::new("users");
    let server = setup.server(&["--tls-auth-clients-user", "CN"]);
    let mut plain = server.plain.client();
    for rules in [
        "alice on >secret ~* &* +@all",
        "off off nopass ~* +@all",
        "urn:ochre:user:carol on nopass ~* +@all",
    ] {
        assert!(plain.shown(&format!("ACL SETUSER {rules}")).contains("OK"));
    }
    let who = |name: &str| {
        let mut client = setup.client(&server, Some(&setup.issue(name)));
        client.send(b"ACL WHOAMI\r\n");
        client.bulk()
    };
    assert_eq!(who("alice"), "alice");
    assert_eq!((who("bob"), who("off")), ("default".to_owned(), "default".to_owned()));
    assert_eq!(plain.info("stats", "acl_access_denied_tls_cert"), "2");
    let entries = plain.shown("ACL LOG");
    assert!(entries.contains("tls-cert") && entries.contains("bob"), "{entries}");
    // A user who needs no password is not let in by default any more.
    assert!(plain.shown("CONFIG SET requirepass other").contains("OK"));
    assert!(plain.shown("AUTH other").contains("OK"));
    let mut alice = setup.client_unasked(&server, Some(&setup.issue("alice"))).unwrap();
    alice.talk(b"PING\r\n", b"+PONG\r\n");
    let mut bob = setup.client_unasked(&server, Some(&setup.issue("bob"))).unwrap();
    bob.talk(b"PING\r\n", b"-NOAUTH Authentication required.\r\n");
    // RESET makes it the default user, as a new client without a certificate is.
    alice.talk(b"RESET\r\nPING\r\n", b"+RESET\r\n-NOAUTH Authentication required.\r\n");
    assert!(plain.shown("CONFIG SET tls-auth-clients-user URI").contains("OK"));
    let mut carol = setup.client_unasked(&server, Some(&setup.issue("carol"))).unwrap();
    carol.send(b"ACL WHOAMI\r\n");
    assert_eq!(carol.bulk(), "urn:ochre:user:carol");
    assert!(plain.shown("CONFIG SET tls-auth-clients-user off").contains("OK"));
    let mut nobody = setup.client_unasked(&server, Some(&setup.issue("carol"))).unwrap();
    nobody.talk(b"PING\r\n", b"-NOAUTH Authentication required.\r\n");
}

/// A resumed session is that of the same user; after a reload nothing is resumed.
#[test]
fn sessions_are_resumed() {
    let setup = Setup::new("resumed");
    let server = setup.server(&["--tls-auth-clients-user", "CN"]);
    let mut plain = server.plain.client();
    plain.line("ACL SETUSER alice on nopass ~* +@all");
    let alice = setup.issue("alice");
    let config = setup.client_config(Some(&alice));
    let visit = || {
        let mut client = TlsClient::connect(server.port, &config).unwrap();
        client.send(b"ACL WHOAMI\r\n");
        assert_eq!(client.bulk(), "alice");
        client.was_resumed()
    };
    assert!(!visit() && visit() && visit());
    assert!(plain.shown(&setup.set("tls-cert-file", "server.crt")).contains("OK"));
    assert!(!visit() && visit());
    assert!(plain.shown("CONFIG SET tls-session-caching no").contains("OK"));
    assert!(!visit() && !visit());
}

#[test]
fn certificates_are_reloaded() {
    let setup = Setup::new("reload");
    let server = setup.server(&[]);
    let own = setup.issue("client");
    let mut plain = server.plain.client();
    let mut old = setup.client(&server, Some(&own));
    // Another authority's server certificate over the old one's file: setting the same name reads it.
    let next = Setup::new("reload-next");
    setup.replace_server(&next);
    assert!(setup.try_client(&server, Some(&own)).is_ok(), "nobody has asked to read it");
    assert!(plain.shown(&setup.set("tls-cert-file", "server.crt")).contains("OK"));
    assert!(setup.try_client(&server, Some(&own)).is_err(), "the old authority is not believed");
    let mut new = TlsClient::connect(server.port, &next.client_config(Some(&own))).unwrap();
    new.talk(b"SET k v\r\n", b"+OK\r\n");
    old.talk(b"GET k\r\n", b"$1\r\nv\r\n");
    // What cannot be put into effect changes nothing.
    for (name, value) in [
        ("tls-cert-file", "nosuch.crt"),
        ("tls-key-file", "client.key"),
        ("tls-ca-cert-file", ""),
        ("tls-protocols", "TLSv9"),
        ("tls-ciphers", "FOO"),
        ("tls-ciphersuites", "FOO"),
    ] {
        let before = plain.shown(&format!("CONFIG GET {name}"));
        let refusal = plain.shown(&format!("CONFIG SET {name} '{value}'"));
        let expected = format!(
            "ERR CONFIG SET failed (possibly related to argument '{name}') - Unable to update TLS \
             configuration. Check server logs."
        );
        assert!(refusal.contains(&expected), "{refusal}");
        assert_eq!(plain.shown(&format!("CONFIG GET {name}")), before);
    }
    new.talk(b"PING\r\n", b"+PONG\r\n");
    assert!(TlsClient::connect(server.port, &next.client_config(Some(&own))).is_ok());
    // By itself: the files are looked at once a second.
    assert!(plain.shown("CONFIG SET tls-auto-reload-interval 1").contains("OK"));
    setup.restore_server();
    wait_until("the files are read again", || setup.try_client(&server, Some(&own)).ok());
    old.talk(b"GET k\r\n", b"$1\r\nv\r\n");
}

#[test]
fn ports_come_and_go() {
    let setup = Setup::new("ports");
    let mut server = setup.server(&[]);
    let own = setup.issue("client");
    let mut client = setup.client(&server, Some(&own));
    let described = info(&server.plain, "server", "listener1");
    assert_eq!(described, format!("name=tls,bind=127.0.0.1,port={}", server.port));
    let old = server.port;
    server.port = setup::move_tls_port(&server.plain);
    assert!(TcpStream::connect(("127.0.0.1", old)).is_err());
    let mut moved = setup.client(&server, Some(&own));
    // A connection outlives its port, and CONFIG SET over it may close the plain one.
    client.talk(b"CONFIG SET port 0\r\n", b"+OK\r\n");
    assert!(TcpStream::connect(("127.0.0.1", server.plain.port())).is_err());
    moved.talk(b"PING\r\n", b"+PONG\r\n");
    moved.send(b"INFO server\r\n");
    assert!(moved.bulk().contains(&format!("tcp_port:{}\r\n", server.port)));
    client.talk(b"CONFIG SET tls-port 0\r\n", b"+OK\r\n");
    assert!(TcpStream::connect(("127.0.0.1", server.port)).is_err());
    client.talk(b"PING\r\n", b"+PONG\r\n");
    let back = format!("CONFIG SET port {}\r\n", server.plain.port());
    client.talk(back.as_bytes(), b"+OK\r\n");
    server.plain.client().line("PING");
}

/// Starts with the TLS port only; and does not start when something is missing, with the peers' texts.
#[test]
fn the_start() {
    let setup = Setup::new("start");
    let binary = Program::Ochre.find().expect("cargo build -p ochre-server first");
    let run = |options: &[(&str, &str)]| {
        let port = free_port().to_string();
        let mut command = Command::new(&binary);
        command.args(["--port", "0", "--save", "", "--tls-port", &port, "--dir"]);
        command.arg(setup.folder()).stdin(Stdio::null()).stdout(Stdio::piped());
        for (name, value) in options {
            command.arg(format!("--{name}")).arg(value);
        }
        (port.parse::<u16>().unwrap(), command.spawn().unwrap())
    };
    let files = [("tls-cert-file", "server.crt"), ("tls-key-file", "server.key")];
    let with = |more: &[(&'static str, &'static str)]| [&files[..], more].concat();
    for (options, text) in [
        (vec![], "No tls-cert-file configured!"),
        (files[..1].to_vec(), "No tls-key-file configured!"),
        (files.to_vec(), "Either tls-ca-cert-file or tls-ca-cert-dir must be specified when"),
        (with(&[("tls-ca-cert-file", "none")]), "none: No such file or directory"),
        (
            with(&[("tls-auth-clients", "no"), ("tls-ciphers", "X")]),
            "Failed to configure ciphers: X",
        ),
    ] {
        let output = run(&options).1.wait_with_output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{printed}");
        assert!(printed.contains(text), "{printed}");
        assert!(
            printed.contains("Failed to configure TLS. Check logs for more info."),
            "{printed}"
        );
    }
    let (port, mut child) = run(&with(&[("tls-ca-cert-file", "ca.crt")]));
    let own = setup.issue("client");
    let config = setup.client_config(Some(&own));
    let mut client = wait_until("it answers", || TlsClient::connect(port, &config).ok());
    client.talk(b"PING\r\n", b"+PONG\r\n");
    client.send(b"SHUTDOWN NOSAVE\r\n");
    assert!(client.is_closed());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Whoever goes away in the middle of a handshake leaves nothing behind.
#[test]
fn a_handshake_that_is_cut_anywhere() {
    let setup = Setup::new("cut");
    let server = setup.server(&["--io-threads", "2"]);
    let own = setup.issue("client");
    let hello = setup.client_hello(&own);
    for cut in 0..hello.len() {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.write_all(&hello[..cut]).unwrap();
    }
    setup.client(&server, Some(&own)).talk(b"PING\r\n", b"+PONG\r\n");
    await_failures(&server, hello.len());
}

/// Waits until so many handshakes have failed and nobody is there but who asks.
fn await_failures(server: &setup::TlsServer, count: usize) {
    let mut plain = server.plain.client();
    wait_until("all handshakes have failed", || {
        (plain.info("stats", "tls_handshake_failures") == count.to_string()).then_some(())
    });
    drop(plain);
    await_clients(server, 0);
}

/// Waits until there are so many clients beside the one that asks.
fn await_clients(server: &setup::TlsServer, count: usize) {
    let mut plain = server.plain.client();
    let wanted = (count + 1).to_string();
    wait_until("the others have gone", || {
        (plain.info("clients", "connected_clients") == wanted).then_some(())
    });
}

/// Bytes that are no TLS end the connection and nothing else.
#[test]
fn garbage_at_the_door() {
    let seed = seed();
    let _print = PrintSeed(seed);
    let mut rng = Rng::new(seed);
    let setup = Setup::new("garbage");
    let server = setup.server(&[]);
    let own = setup.issue("client");
    let mut cases: Vec<Vec<u8>> =
        vec![b"PING\r\n".repeat(10), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()];
    let hello = setup.client_hello(&own);
    for _ in 0..100 {
        // A record's head keeps the connection waiting for the rest of it, so it is closed from here.
        cases.push((0..50 + rng.below(500)).map(|_| rng.below(256) as u8).collect());
        let mut bent = hello.clone();
        let at = rng.below(bent.len() as u64) as usize;
        bent[at] ^= 1 << rng.below(8);
        cases.push(bent);
    }
    for (at, case) in cases.iter().enumerate() {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // It may be closed before all has been sent.
        drop(stream.write_all(case));
        if at < 2 {
            let mut rest = Vec::new();
            // Closed with unread bytes, a socket is reset: an error here, and an end all the same.
            drop(stream.read_to_end(&mut rest));
            assert!(!rest.starts_with(b"+") && !rest.starts_with(b"-"), "{rest:?}");
        }
    }
    setup.client(&server, Some(&own)).talk(b"PING\r\n", b"+PONG\r\n");
    await_failures(&server, cases.len());
}

/// A handshake may come byte by byte; one that does not go on is ended.
#[test]
fn slow_handshakes() {
    let setup = Setup::new("slow");
    let server = setup.server(&[]);
    let own = setup.issue("client");
    let mut silent = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    silent.write_all(&setup.client_hello(&own)[..20]).unwrap();
    let mut slow = setup.slow_client(&server, &own);
    slow.talk(b"PING\r\n", b"+PONG\r\n");
    // It holds a place among the clients until then, but nothing else.
    await_clients(&server, 2);
    assert_eq!(silent.read(&mut [0; 10]).unwrap(), 0);
    assert!(server.plain.log().contains("Error accepting a client connection: it takes too long"));
    slow.talk(b"PING\r\n", b"+PONG\r\n");
    await_clients(&server, 1);
}

/// Handshakes count as clients; who is one too many is not told, since nobody can be told yet.
#[test]
fn maxclients_bounds_handshakes() {
    let setup = Setup::new("maxclients");
    let server = setup.server(&["--maxclients", "3", "--io-threads", "1"]);
    let mut plain = server.plain.client();
    let waiting: Vec<TcpStream> =
        (0..2).map(|_| TcpStream::connect(("127.0.0.1", server.port)).unwrap()).collect();
    wait_until("both are clients", || {
        (plain.info("clients", "connected_clients") == "3").then_some(())
    });
    let own = setup.issue("client");
    assert!(setup.try_client(&server, Some(&own)).is_err());
    drop(waiting);
    wait_until("there is room", || setup.try_client(&server, Some(&own)).ok());
}

/// Peers' own tools.
#[test]
fn redis_cli_and_redis_benchmark() {
    let setup = Setup::new("tools");
    let server = setup.server(&["--io-threads", "2"]);
    setup.write(&setup.issue("client"));
    let tool = |name: &str, words: &[&str]| -> Option<String> {
        let binary = ochre_testkit::server::in_path(name)?;
        let help = Command::new(&binary).arg("--help").output().unwrap();
        let help = [help.stdout, help.stderr].concat();
        if !String::from_utf8_lossy(&help).contains("--cacert") {
            return None;
        }
        let port = server.port.to_string();
        let output = Command::new(&binary)
            .current_dir(setup.folder())
            .args(["-p", &port, "--tls", "--cacert", "ca.crt"])
            .args(["--cert", "client.crt", "--key", "client.key"])
            .args(words)
            .output()
            .unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    match tool("redis-cli", &["SET", "k", "v"]) {
        Some(printed) => assert_eq!(printed.trim(), "OK"),
        None => println!("not tried: redis-cli with TLS is not installed"),
    }
    let words = ["-t", "get,set", "-n", "5000", "-c", "20", "-P", "8", "-q", "-d", "3000"];
    if let Some(printed) = tool("redis-benchmark", &words) {
        assert!(printed.contains("SET") && printed.contains("GET"), "{printed}");
        assert!(!printed.contains("rror"), "{printed}");
    }
    assert_eq!(server.plain.client().line("PING"), Value::Status(b"PONG".to_vec()));
}

/// A replica by TLS: the snapshot as it is made, and then the stream.
#[test]
fn a_real_replica_follows_by_tls() {
    let setup = Setup::new("replica");
    let options = ["--repl-diskless-sync-delay", "0", "--enable-debug-command", "yes"];
    let primary = setup.server(&[&options[..], &["--compat", "redis-7.0"]].concat());
    let mut client = primary.plain.client();
    crate::replica::write(&mut client, 1, 1000);
    client.cmd(&["SET", "big", &"x".repeat(5_000_000)]);
    let path = |file: &str| setup.folder().join(file).display().to_string();
    let (cert, key, ca) = (path("server.crt"), path("server.key"), path("ca.crt"));
    let with_tls = [
        &options[..],
        &["--tls-replication", "yes", "--tls-cert-file", &cert],
        &["--tls-key-file", &key, "--tls-ca-cert-file", &ca],
    ];
    let replica = ochre_testkit::Server::start(&Program::Redis7, &with_tls.concat());
    let mut theirs = replica.client();
    theirs.cmd(&["REPLICAOF", "127.0.0.1", &primary.port.to_string()]);
    crate::replica::await_link(&mut theirs);
    crate::replica::write(&mut client, 2, 300);
    crate::replica::same(&mut client, &mut [&mut theirs]);
    assert!(primary.plain.log().contains("target: replicas sockets"));
}
