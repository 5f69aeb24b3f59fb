//! Sentinels of all kinds over servers of all kinds: R6.
//!
//! - here: failovers, by real sentinels, by ours and by mixed sets; what sentinels must not do;
//! - [`commands`]: replies and texts beside redis-sentinel 7.0.15;
//! - [`watch`]: how sentinels are started.

mod commands;
pub(crate) mod watch;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use ochre_testkit::{Program, Server, Value};

use watch::{Kind, Watcher, eventually, watch};

/// A field of a server's INFO; empty when it has none now, as a server that changes its part.
fn field(server: &Server, name: &str) -> String {
    let reply = server.client().cmd(&["INFO", "replication"]);
    let text = String::from_utf8_lossy(reply.bytes().unwrap_or_default()).into_owned();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_default().to_owned()
}

/// A primary and two replicas, of one kind.
pub(crate) fn three(program: &Program) -> Vec<Server> {
    let options: &[&str] = match program {
        // Where replicas of an older kind may follow.
        Program::Ochre => &["--io-threads", "1", "--repl-diskless-sync-delay", "0"],
        _ => &["--repl-diskless-sync-delay", "0"],
    };
    let servers: Vec<Server> = (0..3).map(|_| Server::start(program, options)).collect();
    let port = servers[0].port().to_string();
    for replica in &servers[1..] {
        let reply = replica.client().cmd(&["REPLICAOF", "127.0.0.1", &port]);
        assert_eq!(reply, Value::Status(b"OK".to_vec()));
    }
    eventually("the replicas follow", || {
        let up = |server: &Server| field(server, "master_link_status") == "up";
        servers[1..].iter().all(up)
    });
    servers
}

/// Waits until all sentinels know two replicas and one another.
pub(crate) fn settled(watchers: &[Watcher]) {
    for watcher in watchers {
        eventually("all are known", || {
            let others = (watchers.len() - 1).to_string();
            watcher.field("num-slaves") == "2" && watcher.field("num-other-sentinels") == others
        });
        // Offsets and priorities come with the first INFO of each replica.
        eventually("replicas are known", || {
            let shown = watcher.client().shown("SENTINEL REPLICAS m");
            shown.matches("\"master-link-status\", \"ok\"").count() == 2
                || shown.matches("master-link-status").count() == 2 && !shown.contains("err")
        });
    }
}

/// Kills the primary and waits until all sentinels name the same replica, which then is a primary that the other
/// replica follows; then brings the old one back, as a replica. Gives the new primary's index.
fn fail_over(servers: &mut [Server], watchers: &[Watcher]) -> usize {
    servers[0].client().cmd(&["SET", "k", "v"]);
    eventually("the write is everywhere", || {
        servers[1..].iter().all(|one| one.client().cmd(&["GET", "k"]) == Value::Bulk(b"v".to_vec()))
    });
    let old = servers[0].port();
    servers[0].kill();
    eventually("all name another primary", || {
        let named: Vec<u16> = watchers.iter().map(Watcher::primary_port).collect();
        named[0] != old && named.iter().all(|port| *port == named[0])
    });
    let port = watchers[0].primary_port();
    let at = servers.iter().position(|server| server.port() == port).unwrap();
    let other = 3 - at;
    eventually("the new primary is followed", || {
        let follows = field(&servers[other], "master_port");
        field(&servers[at], "role") == "master" && follows == port.to_string()
    });
    assert_eq!(servers[at].client().cmd(&["GET", "k"]), Value::Bulk(b"v".to_vec()));
    for watcher in watchers {
        eventually("the failover is over", || watcher.field("flags") == "master");
    }
    at
}

fn check(program: &Program, kinds: &[Kind]) {
    if program.find().is_none() || kinds.iter().any(|kind| kind.find().is_none()) {
        println!("not tried: {} with {kinds:?} (see PEERS_DIR)", program.name());
        return;
    }
    let mut servers = three(program);
    let watchers: Vec<Watcher> =
        kinds.iter().map(|kind| watch(*kind, servers[0].port(), 2)).collect();
    settled(&watchers);
    fail_over(&mut servers, &watchers);
}

#[test]
fn ours_over_ours() {
    check(&Program::Ochre, &[Kind::Ochre; 3]);
}

#[test]
fn ours_over_redis7() {
    check(&Program::Redis7, &[Kind::Ochre; 3]);
}

#[test]
fn ours_over_valkey9() {
    check(&Program::Valkey9, &[Kind::Ochre; 3]);
}

#[test]
fn ours_over_redis8() {
    check(&Program::Redis8, &[Kind::Ochre; 3]);
}

#[test]
fn redis7_over_ours() {
    check(&Program::Ochre, &[Kind::Redis7; 3]);
}

#[test]
fn valkey9_over_ours() {
    check(&Program::Ochre, &[Kind::Valkey9; 3]);
}

#[test]
fn redis8_over_ours() {
    check(&Program::Ochre, &[Kind::Redis8; 3]);
}

#[test]
fn mixed_sets_agree() {
    check(&Program::Ochre, &[Kind::Ochre, Kind::Redis7, Kind::Valkey9]);
    check(&Program::Redis7, &[Kind::Ochre, Kind::Ochre, Kind::Redis8]);
}

/// Two sentinels of which one is gone cannot fail over; when it is back they do. The old primary comes back as a replica.
#[test]
fn a_majority_is_needed() {
    let mut servers = three(&Program::Ochre);
    // One that is down suffices for the quorum, and not for the majority.
    let mut watchers: Vec<Watcher> =
        (0..2).map(|_| watch(Kind::Ochre, servers[0].port(), 1)).collect();
    settled(&watchers);
    let old = servers[0].port();
    let mut lost = watchers.pop().unwrap();
    lost.stop();
    eventually("the loss is seen", || {
        watchers[0].client().shown("SENTINEL CKQUORUM m").contains("NOQUORUM")
    });
    servers[0].kill();
    let mut listener = watchers[0].client();
    listener.cmd(&["SUBSCRIBE", "-failover-abort-not-elected"]);
    // It tries, and is not elected.
    let message = ochre_testkit::line::show(&listener.reply());
    assert!(message.contains("-failover-abort-not-elected"), "{message}");
    assert_eq!(watchers[0].primary_port(), old);
    lost.start();
    watchers.push(lost);
    eventually("both name another primary", || {
        let named: Vec<u16> = watchers.iter().map(Watcher::primary_port).collect();
        named[0] != old && named[0] == named[1]
    });
}

/// A primary that comes back, and a replica that was led astray, are made to follow.
#[test]
fn servers_are_corrected() {
    let servers = three(&Program::Ochre);
    let watchers: Vec<Watcher> = (0..3).map(|_| watch(Kind::Ochre, servers[0].port(), 2)).collect();
    settled(&watchers);
    servers[1].client().cmd(&["REPLICAOF", "NO", "ONE"]);
    eventually("the replica is led back", || field(&servers[1], "master_link_status") == "up");
    let lost = servers[1].port().to_string();
    servers[2].client().cmd(&["REPLICAOF", "127.0.0.1", &lost]);
    eventually("the other one, too", || {
        let followed = field(&servers[2], "master_port");
        followed == servers[0].port().to_string()
    });
}

/// FAILOVER of a live primary: forced, and coordinated, in which no write is lost.
#[test]
fn operators_fail_over() {
    let servers = three(&Program::Ochre);
    let watchers: Vec<Watcher> = (0..3).map(|_| watch(Kind::Ochre, servers[0].port(), 2)).collect();
    settled(&watchers);
    for how in ["SENTINEL FAILOVER m", "SENTINEL FAILOVER m COORDINATED"] {
        let before = watchers[0].primary_port();
        eventually("it begins", || watchers[0].client().shown(how) == "OK");
        eventually("all name another primary", || {
            let named: Vec<u16> = watchers.iter().map(Watcher::primary_port).collect();
            named[0] != before && named.iter().all(|port| *port == named[0])
        });
        let after = watchers[0].primary_port();
        eventually("the others follow", || {
            servers.iter().filter(|server| server.port() != after).all(|server| {
                field(server, "master_port") == after.to_string()
                    && field(server, "master_link_status") == "up"
            })
        });
        eventually("the failover is over", || {
            watchers[0].field("flags") == "master" && watchers[0].field("num-slaves") == "2"
        });
    }
}

/// State is kept in the file: a restarted sentinel knows what it knew, before it has heard of anyone.
#[test]
fn a_restart_keeps_what_was_known() {
    let mut servers = three(&Program::Ochre);
    let mut watchers: Vec<Watcher> =
        (0..3).map(|_| watch(Kind::Ochre, servers[0].port(), 2)).collect();
    settled(&watchers);
    fail_over(&mut servers, &watchers);
    let before = watchers[0].file();
    let (port, id) = (watchers[0].primary_port(), watchers[0].client().shown("SENTINEL MYID"));
    for line in ["sentinel myid", "sentinel config-epoch m 1", "sentinel leader-epoch m 1"] {
        assert!(before.contains(line), "{line}: {before}");
    }
    assert!(before.starts_with("# a comment"), "{before}");
    for server in &mut servers {
        server.kill();
    }
    watchers.truncate(1);
    watchers[0].stop();
    watchers[0].start();
    assert_eq!(watchers[0].primary_port(), port);
    assert_eq!(watchers[0].client().shown("SENTINEL MYID"), id);
    assert_eq!(watchers[0].field("num-slaves"), "2");
    assert_eq!(watchers[0].field("num-other-sentinels"), "2");
    assert_eq!(watchers[0].field("config-epoch"), "1");
}

/// Scripts run: for events, and when clients have to be told.
#[test]
fn scripts_are_told() {
    let mut servers = three(&Program::Ochre);
    let folder = servers[1].dir().to_owned();
    let script = |name: &str| {
        let path = folder.join(name);
        let text = format!("#!/bin/sh\necho \"$@\" >> {}/{name}.out\n", folder.display());
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    };
    let lines = [
        format!("sentinel notification-script m {}", script("notify")),
        format!("sentinel client-reconfig-script m {}", script("reconfigure")),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let watcher = Watcher::new(Kind::Ochre, servers[0].port(), 1, &lines);
    settled(std::slice::from_ref(&watcher));
    let old = servers[0].port();
    fail_over(&mut servers, std::slice::from_ref(&watcher));
    let new = watcher.primary_port();
    let told = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
    eventually("the scripts ran", || {
        told("reconfigure.out").contains(&format!("m leader start 127.0.0.1 {old} 127.0.0.1 {new}"))
            && told("notify.out")
                .contains(&format!("+switch-master m 127.0.0.1 {old} 127.0.0.1 {new}"))
            && told("notify.out").contains("+odown master m")
    });
}

/// Passwords everywhere: of the servers, and of the sentinels among themselves.
#[test]
fn passwords() {
    let options = ["--requirepass", "s3cret", "--masterauth", "s3cret"];
    let servers: Vec<Server> = (0..3).map(|_| Server::ochre(&options)).collect();
    let login = |server: &Server| {
        let mut client = server.client();
        assert_eq!(client.shown("AUTH s3cret"), "OK");
        client
    };
    let port = servers[0].port().to_string();
    for replica in &servers[1..] {
        assert_eq!(login(replica).shown(&format!("REPLICAOF 127.0.0.1 {port}")), "OK");
    }
    let lines = ["sentinel auth-pass m s3cret", "requirepass other"];
    let watchers: Vec<Watcher> =
        (0..3).map(|_| Watcher::new(Kind::Ochre, servers[0].port(), 2, &lines)).collect();
    let mut outsider = ochre_testkit::Client::connect(watchers[0].port());
    assert_eq!(outsider.shown("SENTINEL MASTERS"), "(err) NOAUTH Authentication required.");
    settled(&watchers);
    eventually("a failover begins", || watchers[0].client().shown("SENTINEL FAILOVER m") == "OK");
    eventually("all name another primary", || {
        watchers.iter().all(|watcher| watcher.primary_port() != servers[0].port())
    });
}
