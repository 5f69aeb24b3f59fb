//! Replies and texts beside redis-sentinel 7.0.15, and what it does not have.

use std::collections::BTreeSet;

use ochre_testkit::{Program, Server, Value};

use super::watch::{Kind, Watcher, eventually, watch};

/// Commands whose replies are the same to the byte.
const SAME: &[&str] = &[
    "SENTINEL",
    "SENTINEL FOO",
    "SENTINEL MASTER",
    "SENTINEL MASTER nope",
    "SENTINEL MASTERS x",
    "SENTINEL SLAVES nope",
    "SENTINEL REPLICAS nope",
    "SENTINEL SENTINELS nope",
    "SENTINEL GET-MASTER-ADDR-BY-NAME nope",
    "SENTINEL GET-MASTER-ADDR-BY-NAME m",
    "SENTINEL CKQUORUM m",
    "SENTINEL CKQUORUM nope",
    "SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 1 0 *",
    "SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 x 0 *",
    "SENTINEL IS-MASTER-DOWN-BY-ADDR 127.0.0.1 1 x *",
    "SENTINEL MONITOR a 127.0.0.1 x 1",
    "SENTINEL MONITOR a 127.0.0.1 1 0",
    "SENTINEL MONITOR a nohost.invalid 1 1",
    "SENTINEL MONITOR m 127.0.0.1 1 1",
    "SENTINEL MONITOR ab 127.0.0.1 99999 1",
    "SENTINEL SET m foo 1",
    "SENTINEL SET m quorum 0",
    "SENTINEL SET m quorum",
    "SENTINEL SET nope quorum 1",
    "SENTINEL SET m down-after-milliseconds x",
    "SENTINEL SET m notification-script /nope",
    "SENTINEL SET m rename-command CONFIG",
    "SENTINEL SET m auth-pass a auth-user b quorum",
    "SENTINEL SET m auth-pass '' auth-user ''",
    "SENTINEL RESET nope",
    "SENTINEL REMOVE nope",
    "SENTINEL FAILOVER nope",
    "SENTINEL FAILOVER m",
    "SENTINEL PENDING-SCRIPTS",
    "SENTINEL CONFIG GET *",
    "SENTINEL CONFIG GET foo",
    "SENTINEL CONFIG SET foo 1",
    "SENTINEL CONFIG SET resolve-hostnames maybe",
    "SENTINEL CONFIG GET",
    "SENTINEL CONFIG",
    "SENTINEL CONFIG FOO x",
    "SENTINEL CONFIG SET announce-ip 1.2.3.4",
    "SENTINEL CONFIG GET announce*",
    "SENTINEL DEBUG",
    "SENTINEL DEBUG foo 1",
    "SENTINEL DEBUG ping-period x",
    "SENTINEL DEBUG ping-period 900",
    "SENTINEL INFO-CACHE nope",
    "SENTINEL SIMULATE-FAILURE foo",
    "SENTINEL SIMULATE-FAILURE help",
    "SENTINEL FLUSHCONFIG",
    "GET x",
    "SET a b",
    "PUBLISH foo bar",
    "PUBLISH __sentinel__:hello x",
    "AUTH a",
    "ACL WHOAMI",
    "CONFIG GET port",
    "ROLE",
    "PING",
    "PING x",
    "MULTI",
    "CLIENT GETNAME",
    "SHUTDOWN foo",
    "SUBSCRIBE a",
    "PSUBSCRIBE b*",
    "PING",
    "ROLE x",
    "UNSUBSCRIBE",
    "PUNSUBSCRIBE",
];

fn pair() -> (Server, Watcher, Watcher) {
    let server = Server::start(&Program::Redis7, &[]);
    // Two that watch one primary would find one another: theirs watches a second server.
    let theirs = watch(Kind::Redis7, server.port(), 1);
    let ours = Watcher::new(Kind::Ochre, server.port(), 1, &[]);
    (server, ours, theirs)
}

#[test]
fn replies_as_the_peer_gives_them() {
    let (server, ours, theirs) = pair();
    // They find one another; each then has the other one as its sentinel.
    for watcher in [&ours, &theirs] {
        eventually("they know one another", || watcher.field("num-other-sentinels") == "1");
    }
    let (mut a, mut b) = (ours.client(), theirs.client());
    let mut differences = Vec::new();
    for command in SAME {
        let (mine, other) = (a.shown(command), b.shown(command));
        if mine != other {
            differences.push(format!("{command}\n  ours   {mine}\n  theirs {other}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    drop(server);
}

fn names(value: &Value) -> Vec<String> {
    let items = value.items().unwrap_or_default();
    let name =
        |pair: &[Value]| String::from_utf8_lossy(pair[0].bytes().unwrap_or_default()).into_owned();
    items.chunks(2).map(name).collect()
}

/// The same fields in the same order.
#[test]
fn fields_as_the_peer_shows_them() {
    let (server, ours, theirs) = pair();
    let replica = Server::start(&Program::Redis7, &[]);
    replica.client().cmd(&["REPLICAOF", "127.0.0.1", &server.port().to_string()]);
    for watcher in [&ours, &theirs] {
        eventually("they know one another", || {
            watcher.field("num-other-sentinels") == "1" && watcher.field("num-slaves") == "1"
        });
    }
    let (mut a, mut b) = (ours.client(), theirs.client());
    assert_eq!(names(&a.line("SENTINEL MASTER m")), names(&b.line("SENTINEL MASTER m")));
    for list in ["SENTINEL REPLICAS m", "SENTINEL SENTINELS m"] {
        let (mine, other) = (a.line(list), b.line(list));
        assert_eq!(names(&mine.items().unwrap()[0]), names(&other.items().unwrap()[0]), "{list}");
    }
    let fields = |text: String| -> BTreeSet<String> {
        text.split("\\r\\n").filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect()
    };
    let (mine, other) = (fields(a.shown("INFO sentinel")), fields(b.shown("INFO sentinel")));
    assert_eq!(mine, other);
    // All commands of the peer are there, but for a few that a sentinel has no use for.
    let list = |client: &mut ochre_testkit::Client| -> BTreeSet<Vec<u8>> {
        let reply = client.line("COMMAND LIST");
        reply.items().unwrap().iter().filter_map(|name| name.bytes().map(<[u8]>::to_vec)).collect()
    };
    let (mine, other) = (list(&mut a), list(&mut b));
    let missing: Vec<String> = other
        .difference(&mine)
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .filter(|name| !name.starts_with("client|") && !name.starts_with("command|"))
        .collect();
    assert_eq!(missing, ["acl|help", "acl|log"]);
}

/// What is set is shown, written and told.
#[test]
fn options_are_set_and_written() {
    let server = Server::ochre(&[]);
    let watcher = watch(Kind::Ochre, server.port(), 1);
    let mut client = watcher.client();
    let mut listener = watcher.client();
    listener.cmd(&["PSUBSCRIBE", "+*", "-*"]);
    for (line, reply) in [
        ("SENTINEL MONITOR other 127.0.0.1 1 2", "OK"),
        ("SENTINEL SET other down-after-milliseconds 5000 parallel-syncs 3", "OK"),
        ("SENTINEL SET other rename-command CONFIG \"g u e s s\"", "OK"),
        ("SENTINEL SET other auth-user me auth-pass secret", "OK"),
        ("SENTINEL CONFIG SET announce-port 1234 announce-ip 10.1.2.3", "OK"),
        ("ACL SETUSER bob on >x +ping", "OK"),
        ("SENTINEL FLUSHCONFIG", "OK"),
    ] {
        assert_eq!(client.shown(line), reply, "{line}");
    }
    let file = watcher.file();
    for line in [
        "sentinel monitor other 127.0.0.1 1 2",
        "sentinel down-after-milliseconds other 5000",
        "sentinel parallel-syncs other 3",
        "sentinel rename-command other config \"g u e s s\"",
        "sentinel auth-user other me",
        "sentinel auth-pass other secret",
        "sentinel announce-ip 10.1.2.3",
        "sentinel announce-port 1234",
        "user bob on",
    ] {
        assert!(file.contains(line), "{line}: {file}");
    }
    let mut told = String::new();
    eventually("events are told", || {
        told.push_str(&format!("{}\n", ochre_testkit::line::show(&listener.reply())));
        told.contains("auth-pass ******")
    });
    assert!(told.contains("+monitor") && told.contains("parallel-syncs 3"), "{told}");
    // A user may do what the rules say.
    let mut bob = watcher.client();
    assert_eq!(bob.shown("AUTH bob x"), "OK");
    assert_eq!(bob.shown("PING"), "PONG");
    assert!(bob.shown("SENTINEL MASTERS").contains("NOPERM"));
    assert_eq!(client.shown("SENTINEL REMOVE other"), "OK");
    eventually("the file forgets it", || !watcher.file().contains("other"));
    // The protocol of version 3 shows maps.
    client.line("HELLO 3");
    assert!(matches!(client.line("SENTINEL MASTER m"), Value::Map(_)));
    // An operator's words do not matter in the newer form.
    assert_eq!(client.shown("SENTINEL PRIMARY nope"), "(err) ERR No such master with that name");
}

/// Names instead of addresses, when they are asked for.
#[test]
fn host_names() {
    let server = Server::ochre(&[]);
    let lines = ["sentinel resolve-hostnames yes", "sentinel announce-hostnames yes"];
    let watcher = Watcher::new(Kind::Ochre, server.port(), 1, &lines);
    let mut client = watcher.client();
    let monitor = format!("SENTINEL MONITOR byname localhost {} 1", server.port());
    assert_eq!(client.shown(&monitor), "OK");
    let shown = client.shown("SENTINEL GET-MASTER-ADDR-BY-NAME byname");
    assert!(shown.contains("localhost"), "{shown}");
    eventually("it is reached", || {
        client.shown("SENTINEL MASTER byname").contains("\"flags\", \"master\"")
            || client.shown("INFO sentinel").contains("name=byname,status=ok")
    });
    let written = format!("sentinel monitor byname localhost {} 1", server.port());
    assert!(watcher.file().contains(&written), "{}", watcher.file());
}
