//! TLS on links: replicas, MIGRATE and sentinels, ours among themselves and with real ones: R3.7, R5, R6.
//!
//! That a link has TLS shows from its port: each server listens for TLS on a port of its own, and only that one is
//! ever named to others.

use std::fs;
use std::io::{self, Read};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ochre_base::rng::Rng;
use ochre_testkit::raw::wait_until;
use ochre_testkit::{Client, Program, Server, Value};

use crate::replica::{await_link, is_linked, same, stat, write};
use crate::sentinel::watch::{Kind, Watcher, eventually};
use crate::tls::setup::{Setup, TlsClient, TlsServer, free_port, move_tls_port};
use crate::{PrintSeed, seed};

/// What servers are started with so that their replicas begin at once and their data can be compared.
const COMMON: [&str; 4] = ["--repl-diskless-sync-delay", "0", "--enable-debug-command", "yes"];

/// Directives that name the files of the folder, as lines.
fn files(setup: &Setup) -> Vec<String> {
    let line = |name: &str, file: &str| format!("{name} {}", setup.folder().join(file).display());
    vec![
        line("tls-cert-file", "server.crt"),
        line("tls-key-file", "server.key"),
        line("tls-ca-cert-file", "ca.crt"),
    ]
}

/// A server of any kind with a TLS port and TLS on its links.
fn linked(setup: &Setup, program: &Program, options: &[&str]) -> TlsServer {
    let lines = files(setup);
    let mut all: Vec<String> = COMMON.iter().map(|word| (*word).to_owned()).collect();
    for line in &lines {
        let (name, value) = line.split_once(' ').unwrap();
        all.extend([format!("--{name}"), value.to_owned()]);
    }
    all.extend(["--tls-replication", "yes"].map(str::to_owned));
    all.extend(options.iter().map(|word| (*word).to_owned()));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let plain = Server::start(program, &all);
    let port = move_tls_port(&plain);
    TlsServer { plain, port }
}

fn ours(setup: &Setup, options: &[&str]) -> TlsServer {
    linked(setup, &Program::Ochre, options)
}

fn ok(client: &mut Client, command: &str) {
    let reply = client.shown(command);
    assert_eq!(reply, "OK", "{command}");
}

fn follow(replica: &mut Client, port: u16) {
    let reply = replica.cmd(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
    assert!(matches!(reply, Value::Status(_)), "{reply:?}");
}

/// A full synchronisation beside writes, a cut, and a partial one.
fn follows(primary: &TlsServer, replica: &TlsServer) {
    let (mut a, mut b) = (primary.plain.client(), replica.plain.client());
    write(&mut a, 1, 500);
    a.cmd(&["SET", "big", &"x".repeat(3_000_000)]);
    follow(&mut b, primary.port);
    write(&mut a, 2, 300);
    await_link(&mut b);
    same(&mut a, &mut [&mut b]);
    // The port that the primary knows it by is the one that speaks TLS.
    let line = a.info("replication", "slave0");
    assert!(line.contains(&format!("port={},", replica.port)), "{line}");
    let (full, partial) = (stat(&mut a, "sync_full"), stat(&mut a, "sync_partial_ok"));
    a.cmd(&["CLIENT", "KILL", "TYPE", "replica"]);
    write(&mut a, 3, 300);
    wait_until("the link was made anew", || {
        (stat(&mut a, "sync_partial_ok") > partial && is_linked(&mut b)).then_some(())
    });
    same(&mut a, &mut [&mut b]);
    assert_eq!(stat(&mut a, "sync_full"), full);
}

/// In both versions, with a snapshot by file and by stream at both ends.
#[test]
fn ours_of_ours() {
    let setup = Setup::new("links");
    for (protocol, at_once, load) in [
        ("TLSv1.3", "yes", "swapdb"),
        ("TLSv1.2", "no", "disabled"),
        ("TLSv1.3", "yes", "disabled"),
        ("TLSv1.2", "yes", "on-empty-db"),
    ] {
        let primary = ours(&setup, &["--repl-diskless-sync", at_once, "--tls-protocols", protocol]);
        let replica = ours(&setup, &["--repl-diskless-load", load, "--io-threads", "2"]);
        follows(&primary, &replica);
    }
}

/// With a real server at the other end, as primary and as replica.
fn both_ways(program: &Program, compat: &str) {
    if program.find().is_none() {
        println!("not tried: {} is not installed (see PEERS_DIR)", program.name());
        return;
    }
    let setup = Setup::new(&format!("links-{}", program.name()));
    for at_once in ["yes", "no"] {
        let options = ["--repl-diskless-sync", at_once];
        follows(&linked(&setup, program, &options), &ours(&setup, &[]));
        let primary = ours(&setup, &[&options[..], &["--compat", compat]].concat());
        follows(&primary, &linked(&setup, program, &[]));
    }
}

#[test]
fn with_redis7() {
    both_ways(&Program::Redis7, "redis-7.0");
}

#[test]
fn with_valkey9() {
    both_ways(&Program::Valkey9, "valkey-9");
}

#[test]
fn with_redis8() {
    both_ways(&Program::Redis8, "redis-8");
}

/// Passes connections on to a server and cuts each but the last after so many bytes from there. Gives its port, and
/// the connections that were cut.
fn cutting_relay(server: u16, limits: Vec<u64>) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let cuts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&cuts);
    let relay = move || {
        for limit in limits.into_iter().chain([u64::MAX]) {
            let (client, _) = listener.accept().unwrap();
            let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
            let (mut up, mut down) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            let spawned = thread::Builder::new().spawn(move || {
                // However it ends, it is over.
                drop(io::copy(&mut &client, &mut up));
            });
            // A connection that is cut is what this is for.
            drop(io::copy(&mut (&server).take(limit), &mut down));
            for end in [&server, &down] {
                // The other side may have closed it already.
                drop(end.shutdown(Shutdown::Both));
            }
            spawned.unwrap().join().unwrap();
            counted.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::Builder::new().spawn(relay).unwrap();
    (port, cuts)
}

/// The link breaks anywhere: in the handshake, in the snapshot, in the stream, in the middle of records.
#[test]
fn a_link_that_is_cut_anywhere() {
    let seed = seed();
    let _print = PrintSeed(seed);
    let mut rng = Rng::new(seed);
    let setup = Setup::new("cuts");
    let primary = ours(&setup, &["--rdbcompression", "no"]);
    let replica = ours(&setup, &[]);
    let (mut a, mut b) = (primary.plain.client(), replica.plain.client());
    a.cmd(&["SET", "big", &"x".repeat(200_000)]);
    let mut limits = vec![rng.below(300), 300 + rng.below(1500), 1800 + rng.below(1500)];
    limits.extend([20_000 + rng.below(150_000), 20_000 + rng.below(150_000)]);
    // One that gets past the snapshot, and then some that begin in the stream.
    limits.push(260_000 + rng.below(60_000));
    limits.extend((0..6).map(|_| 5_000 + rng.below(20_000)));
    let wanted = limits.len();
    let (port, cuts) = cutting_relay(primary.port, limits);
    follow(&mut b, port);
    wait_until("the link has been cut often", || {
        write(&mut a, rng.next_u64(), 100);
        (cuts.load(Ordering::Relaxed) >= wanted).then_some(())
    });
    await_link(&mut b);
    assert!(stat(&mut a, "sync_partial_ok") >= 1);
    write(&mut a, rng.next_u64(), 300);
    same(&mut a, &mut [&mut b]);
}

/// The parts change, and the old primary finds the new one by its TLS port; a chain below goes on.
#[test]
fn a_failover_goes_by_tls() {
    let setup = Setup::new("handover");
    let servers: Vec<TlsServer> = (0..3).map(|_| ours(&setup, &[])).collect();
    let mut clients: Vec<Client> = servers.iter().map(|one| one.plain.client()).collect();
    write(&mut clients[0], 1, 200);
    follow(&mut clients[1], servers[0].port);
    await_link(&mut clients[1]);
    follow(&mut clients[2], servers[1].port);
    await_link(&mut clients[2]);
    ok(&mut clients[0], &format!("FAILOVER TO 127.0.0.1 {}", servers[1].port));
    wait_until("the old primary follows", || {
        let [old, new, _] = &mut clients[..] else { return None };
        let is_over = new.info("replication", "role") == "master" && is_linked(old);
        (is_over && old.info("replication", "master_port") == servers[1].port.to_string())
            .then_some(())
    });
    write(&mut clients[1], 2, 200);
    let (first, rest) = clients.split_at_mut(1);
    let [new, chained] = rest else { unreachable!() };
    same(new, &mut [&mut first[0], chained]);
}

/// Whoever is not believed is refused, again and again, with a line that says why; and followed once the files are
/// right, which the replica finds out by itself.
#[test]
fn a_wrong_authority() {
    let (setup, strange) = (Setup::new("right"), Setup::new("wrong"));
    let primary = ours(&setup, &[]);
    let replica = ours(&setup, &["--tls-auto-reload-interval", "1"]);
    let (mut a, mut b) = (primary.plain.client(), replica.plain.client());
    write(&mut a, 1, 100);
    let believed = setup.folder().join("believed.crt");
    fs::copy(strange.folder().join("ca.crt"), &believed).unwrap();
    ok(&mut b, &setup.set("tls-ca-cert-file", "believed.crt"));
    follow(&mut b, primary.port);
    let line = "MASTER sync: Error condition on socket for SYNC: TLS: invalid peer certificate: UnknownIssuer";
    wait_until("it has tried twice", || {
        (replica.plain.log().matches(line).count() >= 2).then_some(())
    });
    assert!(!is_linked(&mut b));
    assert_eq!(b.info("replication", "master_link_status"), "down");
    fs::write(&believed, fs::read(setup.folder().join("ca.crt")).unwrap()).unwrap();
    await_link(&mut b);
    same(&mut a, &mut [&mut b]);
    assert!(replica.plain.log().contains("The TLS files have changed and were read again."));
}

/// A primary that wants a certificate gets the one for links, else the server's own.
#[test]
fn certificates_of_replicas() {
    let setup = Setup::new("shown");
    let primary = ours(&setup, &["--tls-auth-clients", "yes"]);
    let ca = setup.folder().join("ca.crt").display().to_string();
    // It only follows: no TLS port, no certificate.
    let options = [&COMMON[..], &["--tls-replication", "yes", "--tls-ca-cert-file", &ca]].concat();
    let replica = Server::ochre(&options);
    let (mut a, mut b) = (primary.plain.client(), replica.client());
    follow(&mut b, primary.port);
    wait_until("it has been refused", || {
        replica.log().contains("CertificateRequired").then_some(())
    });
    assert!(primary.plain.log().contains("peer sent no certificates"));
    setup.write(&setup.issue("link"));
    let path = |file: &str| setup.folder().join(file).display().to_string();
    ok(
        &mut b,
        &format!(
            "CONFIG SET tls-client-cert-file {} tls-client-key-file {}",
            path("link.crt"),
            path("link.key")
        ),
    );
    await_link(&mut b);
    write(&mut a, 1, 100);
    same(&mut a, &mut [&mut b]);
    // One that is not of the authority is refused; a server that does not ask takes anyone.
    let strange = Setup::new("shown-strange");
    strange.write(&strange.issue("stranger"));
    let theirs = |file: &str| strange.folder().join(file).display().to_string();
    ok(
        &mut b,
        &format!(
            "CONFIG SET tls-client-cert-file {} tls-client-key-file {}",
            theirs("stranger.crt"),
            theirs("stranger.key")
        ),
    );
    a.cmd(&["CLIENT", "KILL", "TYPE", "replica"]);
    wait_until("it has been refused", || {
        replica.log().contains("MASTER sync: received fatal alert").then_some(())
    });
    assert!(!is_linked(&mut b));
    ok(&mut a, "CONFIG SET tls-auth-clients no");
    await_link(&mut b);
}

/// Servers that do not speak TLS, or nothing at all; and the directive is live.
#[test]
fn who_does_not_speak_tls() {
    let setup = Setup::new("mute");
    let primary = ours(&setup, &[]);
    let replica = ours(&setup, &["--repl-timeout", "1"]);
    let mut b = replica.plain.client();
    follow(&mut b, primary.plain.port());
    let said = |line: &str| wait_until(line, || replica.plain.log().contains(line).then_some(()));
    said("MASTER sync: Error condition on socket for SYNC: TLS: ");
    let mute = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    follow(&mut b, mute.local_addr().unwrap().port());
    said("Error condition on socket for SYNC: TLS: the TLS handshake takes too long");
    // A handshake that hangs does not keep it from being led elsewhere.
    ok(&mut b, "CONFIG SET repl-timeout 3600");
    follow(&mut b, primary.plain.port());
    follow(&mut b, mute.local_addr().unwrap().port());
    ok(&mut b, "CONFIG SET tls-replication no repl-timeout 60");
    follow(&mut b, primary.plain.port());
    await_link(&mut b);
    // Without authorities there is nobody to believe.
    let reply = b.shown("CONFIG SET tls-replication yes tls-ca-cert-file '' tls-auth-clients no");
    assert!(reply.contains("Unable to update TLS configuration. Check server logs."), "{reply}");
    assert!(replica.plain.log().contains("Either tls-ca-cert-file or tls-ca-cert-dir must be"));
}

/// MIGRATE uses TLS as `tls-cluster` says, from ours to ours and to a real server, and back.
#[test]
fn migrate_by_tls() {
    let setup = Setup::new("moves");
    let options = ["--tls-cluster", "yes"];
    let source = ours(&setup, &options);
    let mut from = source.plain.client();
    let migrate = |client: &mut Client, port: u16| {
        client.shown(&format!("MIGRATE 127.0.0.1 {port} \"\" 0 5000 REPLACE KEYS k l"))
    };
    let fill = |client: &mut Client| {
        client.cmd(&["SET", "k", &"v".repeat(200_000)]);
        client.cmd(&["RPUSH", "l", "a", "b"]);
    };
    for target in [ours(&setup, &options), linked(&setup, &Program::Redis7, &options)] {
        let mut to = target.plain.client();
        fill(&mut from);
        assert_eq!(migrate(&mut from, target.port), "OK");
        assert_eq!((from.integer("DBSIZE"), to.integer("DBSIZE")), (0, 2));
        // By the connection that was kept, and from there back.
        fill(&mut from);
        assert_eq!(migrate(&mut from, target.port), "OK");
        assert_eq!(to.integer("STRLEN k"), 200_000);
        assert_eq!(migrate(&mut to, source.port), "OK");
        assert_eq!((from.integer("LLEN l"), to.integer("DBSIZE")), (2, 0));
        // Where no TLS is, nothing gets lost.
        let reply = migrate(&mut from, target.plain.port());
        assert!(reply.contains("IOERR error or timeout connecting to the client"), "{reply}");
        assert_eq!(from.integer("DBSIZE"), 2);
    }
    let target = ours(&setup, &[]);
    assert_eq!(migrate(&mut from, target.port), "OK");
    ok(&mut from, "CONFIG SET tls-cluster no");
    fill(&mut from);
    let reply = migrate(&mut from, target.port);
    assert!(reply.contains("IOERR error or timeout"), "{reply}");
    assert_eq!(migrate(&mut from, target.plain.port()), "OK");
    assert_eq!(target.plain.client().integer("DBSIZE"), 2);
}

/// A sentinel with TLS on its links, announced by its TLS port; tests talk to it by the plain one.
fn watch(setup: &Setup, kind: Kind, primary: u16) -> (Watcher, u16) {
    let port = free_port();
    let mut lines = files(setup);
    lines.extend(["tls-replication yes".to_owned(), format!("tls-port {port}")]);
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    (Watcher::new(kind, primary, 2, &lines), port)
}

fn replication(server: &TlsServer, name: &str) -> String {
    let reply = server.plain.client().cmd(&["INFO", "replication"]);
    let text = String::from_utf8_lossy(reply.bytes().unwrap_or_default()).into_owned();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_default().to_owned()
}

/// The primary dies; the sentinels find each other and a new one, all by TLS ports.
fn fail_over(kinds: [Kind; 3]) {
    if kinds.iter().any(|kind| kind.find().is_none()) {
        println!("not tried: {kinds:?} (see PEERS_DIR)");
        return;
    }
    let setup = Setup::new(&format!("watched-{}", free_port()));
    let mut servers: Vec<TlsServer> =
        (0..3).map(|_| ours(&setup, &["--io-threads", "1"])).collect();
    for replica in &servers[1..] {
        follow(&mut replica.plain.client(), servers[0].port);
    }
    eventually("the replicas follow", || {
        servers[1..].iter().all(|one| replication(one, "master_link_status") == "up")
    });
    let watched: Vec<(Watcher, u16)> =
        kinds.iter().map(|kind| watch(&setup, *kind, servers[0].port)).collect();
    for (at, (watcher, _)) in watched.iter().enumerate() {
        eventually("all are known", || {
            let shown = watcher.client().shown("SENTINEL REPLICAS m");
            watcher.field("num-slaves") == "2"
                && watcher.field("num-other-sentinels") == "2"
                && shown.matches("\"master-link-status\", \"ok\"").count() == 2
        });
        let shown = watcher.client().shown("SENTINEL SENTINELS m");
        for (other, (_, port)) in watched.iter().enumerate() {
            let is_named = shown.contains(&format!("\"port\", \"{port}\""));
            assert_eq!(is_named, other != at, "{port}: {shown}");
        }
    }
    let old = servers[0].port;
    servers[0].plain.kill();
    eventually("all name another primary", || {
        let named: Vec<u16> = watched.iter().map(|(one, _)| one.primary_port()).collect();
        named[0] != old && named.iter().all(|port| *port == named[0])
    });
    let new = watched[0].0.primary_port();
    let at = servers.iter().position(|server| server.port == new).unwrap();
    let other = &servers[3 - at];
    eventually("the new primary is followed", || {
        replication(&servers[at], "role") == "master"
            && replication(other, "master_port") == new.to_string()
            && replication(other, "master_link_status") == "up"
    });
}

#[test]
fn our_sentinels() {
    fail_over([Kind::Ochre; 3]);
}

#[test]
fn mixed_sentinels() {
    fail_over([Kind::Ochre, Kind::Redis7, Kind::Ochre]);
}

/// A process that ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A sentinel without a plain port at all. What it does not believe, it says once; it does not wait for ever for a
/// handshake; and its files are read again when they change.
#[test]
fn a_sentinel_by_tls_only() {
    let (setup, strange) = (Setup::new("only"), Setup::new("only-strange"));
    let (primary, port) = (ours(&strange, &["--tls-auth-clients", "no"]), free_port());
    let folder = setup.folder();
    let authorities = |setup: &Setup| fs::read_to_string(setup.folder().join("ca.crt")).unwrap();
    let own = authorities(&setup);
    let mute = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mute_port = mute.local_addr().unwrap().port();
    let text = format!(
        "port 0\ntls-port {port}\nbind 127.0.0.1\ndir {}\ntls-replication yes\ntls-auto-reload-interval 1\nlogfile sentinel.log\n{}\n\
         sentinel monitor m 127.0.0.1 {} 1\nsentinel down-after-milliseconds m 1500\n\
         sentinel monitor mute 127.0.0.1 {mute_port} 1\n",
        folder.display(),
        files(&setup).join("\n"),
        primary.port
    );
    let path = folder.join("sentinel.conf");
    fs::write(&path, text).unwrap();
    let mut command = Command::new(Program::Ochre.find().unwrap());
    command.arg(&path).arg("--sentinel").stdin(Stdio::null()).stdout(Stdio::null());
    let child = Ends(command.stderr(Stdio::null()).spawn().unwrap());
    let config = setup.client_config(Some(&setup.issue("client")));
    let mut client = wait_until("it answers", || TlsClient::connect(port, &config).ok());
    client.talk(b"PING\r\n", b"+PONG\r\n");
    let log = || fs::read_to_string(folder.join("sentinel.log")).unwrap_or_default();
    wait_until("the primary is taken for down", || log().contains("+sdown master m").then_some(()));
    let line = format!(
        "A link to 127.0.0.1:{} is closed: invalid peer certificate: UnknownIssuer (TLS handshake)",
        primary.port
    );
    // Once for the link of commands, once for that of messages.
    let told = log().matches(&line).count();
    assert!((1..=2).contains(&told), "{}", log());
    fs::write(folder.join("ca.crt"), own + &authorities(&strange)).unwrap();
    wait_until("it is believed", || log().contains("-sdown master m").then_some(()));
    client.talk(b"PING\r\n", b"+PONG\r\n");
    let line = format!("A link to 127.0.0.1:{mute_port} is closed: timed out (TLS handshake)");
    wait_until("the silent one is given up", || log().contains(&line).then_some(()));
    drop(child);
}
