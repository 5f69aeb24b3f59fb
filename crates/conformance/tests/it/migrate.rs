//! MIGRATE: to real servers and back, between two of ours, beside writers, and when things go wrong.

use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::check;
use ochre_testkit::raw::wait_until;
use ochre_testkit::{Client, Program, Server, Value};

/// One key of every type, one of them with an expiry, one large.
const FILL: &str = r#"
    SET str value
    SET num 1234567
    SET gone soon EX 1000
    SETRANGE large 300000 x
    RPUSH list a b 3 4 five
    SADD ints 1 2 3
    SADD set a b 3
    HSET hash f v n 1
    ZADD zset 1.5 a -3 b
    XADD stream 1-1 f v
    XGROUP CREATE stream g 0
    XREADGROUP GROUP g c COUNT 1 STREAMS stream >
    PFADD hll a b c
"#;

const KEYS: &[&str] =
    &["str", "num", "gone", "large", "list", "ints", "set", "hash", "zset", "stream", "hll"];

/// What the keys hold.
const SHOW: &str = r#"
    GET str
    GET num
    GET gone
    STRLEN large
    LRANGE list 0 -1
    SMEMBERS ints
    HGETALL hash
    ZRANGE zset 0 -1 WITHSCORES
    XRANGE stream - +
    XPENDING stream g
    PFCOUNT hll
    SCARD set
"#;

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

fn show(client: &mut Client) -> Vec<String> {
    lines(SHOW).map(|line| client.shown(line)).collect()
}

fn send(client: &mut Client, to: &Server, rest: &[&str]) -> String {
    let port = to.port().to_string();
    let words: Vec<&str> =
        ["MIGRATE", "127.0.0.1", &port].into_iter().chain(rest.iter().copied()).collect();
    match client.cmd(&words) {
        Value::Status(text) | Value::Error(text) => String::from_utf8_lossy(&text).into_owned(),
        other => panic!("{other:?}"),
    }
}

/// To a server and back, one key at a time and then all at once.
fn there_and_back(program: &Program) {
    if program.find().is_none() {
        println!("not tried: {} is not installed (see PEERS_DIR)", program.name());
        return;
    }
    let (here, there) = (Server::ochre(&[]), Server::start(program, &[]));
    let (mut ours, mut theirs) = (here.client(), there.client());
    for line in lines(FILL) {
        ours.line(line);
    }
    let before = show(&mut ours);
    for key in KEYS {
        assert_eq!(send(&mut ours, &there, &[key, "3", "10000"]), "OK", "{key}");
    }
    assert_eq!(ours.integer("DBSIZE"), 0);
    assert_eq!(theirs.integer("DBSIZE"), 0, "the database is another one");
    theirs.line("SELECT 3");
    assert_eq!(show(&mut theirs), before);
    let ttl = theirs.integer("TTL gone");
    assert!((900..=1000).contains(&ttl), "{ttl}");

    let all: Vec<&str> = ["", "0", "10000", "KEYS", "none"].iter().chain(KEYS).copied().collect();
    assert_eq!(send(&mut theirs, &here, &all), "OK");
    assert_eq!(theirs.integer("DBSIZE"), 0);
    assert_eq!(show(&mut ours), before);
    let ttl = ours.integer("TTL gone");
    assert!((900..=1000).contains(&ttl), "{ttl}");

    let all: Vec<&str> = ["", "3", "10000", "COPY", "KEYS"].iter().chain(KEYS).copied().collect();
    assert_eq!(send(&mut ours, &there, &all), "OK");
    assert_eq!(show(&mut ours), before);
    assert_eq!(show(&mut theirs), before);
    assert_eq!(ours.info("stats", "migrate_cached_sockets"), "1");
}

#[test]
fn to_redis_7_and_back() {
    there_and_back(&Program::Redis7);
}

#[test]
fn to_redis_8_and_back() {
    there_and_back(&Program::Redis8);
}

#[test]
fn to_valkey_9_and_back() {
    there_and_back(&Program::Valkey9);
}

#[test]
fn between_two_of_ours() {
    there_and_back(&Program::Ochre);
}

/// Arguments and their order, as redis-server 7.0.15 checks them; port 1 is closed.
#[test]
fn arguments_as_the_peers() {
    check(
        r#"
        MIGRATE 127.0.0.1 1 none 0 100
        MIGRATE 127.0.0.1 1 "" 0 100 KEYS none no
        MIGRATE 127.0.0.1 1 "" 0 100
        MIGRATE 127.0.0.1 1 "" 0 100 KEYS
        MIGRATE 127.0.0.1 1 k 0
        SET k v EX 1000
        ~code MIGRATE 127.0.0.1 1 k 0 100
        ~code MIGRATE 127.0.0.1 1 k 0 -5 COPY
        ~code MIGRATE 127.0.0.1 port k 0 100
        MIGRATE 127.0.0.1 1 k 0 100 FOO
        MIGRATE 127.0.0.1 1 k x 100
        MIGRATE 127.0.0.1 1 k 0 y
        MIGRATE 127.0.0.1 1 k 0 y FOO
        MIGRATE 127.0.0.1 1 k 0 100 KEYS k
        MIGRATE 127.0.0.1 1 k 0 100 AUTH
        MIGRATE 127.0.0.1 1 k 0 100 AUTH2 a
        GET k
        COMMAND GETKEYS MIGRATE 127.0.0.1 1 k 0 100
        COMMAND GETKEYS MIGRATE 127.0.0.1 1 "" 0 100 KEYS a b
        COMMAND GETKEYS MIGRATE 127.0.0.1 1 "" 0 100 COPY AUTH pass REPLACE KEYS a b
        # Locks are held there, and I/O under a lock is not done.
        MULTI
        MIGRATE 127.0.0.1 1 k 0 100 ==> (err) ERR Command not allowed inside a transaction
        DISCARD
        "#,
    );
}

#[test]
fn what_the_target_says() {
    let here = Server::ochre(&[]);
    let there = Server::start(&Program::Redis7, &["--requirepass", "secret"]);
    let (mut ours, mut theirs) = (here.client(), there.client());
    theirs.line("AUTH secret");
    ours.line("MSET a 1 b 2 c 3");
    let prefix = "ERR Target instance replied with error: ";
    let no_login = send(&mut ours, &there, &["a", "0", "10000"]);
    assert!(no_login.starts_with(&format!("{prefix}NOAUTH")), "{no_login}");
    let wrong = send(&mut ours, &there, &["a", "0", "10000", "AUTH", "x"]);
    assert!(wrong.starts_with(&format!("{prefix}WRONGPASS")), "{wrong}");
    let db = send(&mut ours, &there, &["a", "99", "10000", "AUTH", "secret"]);
    assert_eq!(db, format!("{prefix}ERR DB index is out of range"));
    assert_eq!(theirs.integer("DBSIZE"), 0);
    assert_eq!(send(&mut ours, &there, &["a", "0", "10000", "AUTH", "secret"]), "OK");
    let user = ["", "0", "10000", "AUTH2", "default", "secret", "KEYS", "b"];
    assert_eq!(send(&mut ours, &there, &user), "OK");
    assert_eq!(theirs.shown("MGET a b"), r#"["1", "2"]"#);

    // One that is there already stays on both sides; the others go.
    ours.line("MSET a new d 4");
    let all = ["", "0", "10000", "AUTH", "secret", "KEYS", "a", "c", "d"];
    let busy = send(&mut ours, &there, &all);
    assert_eq!(busy, format!("{prefix}BUSYKEY Target key name already exists."));
    assert_eq!(ours.shown("MGET a c d"), r#"["new", (nil), (nil)]"#);
    assert_eq!(theirs.shown("MGET a c d"), r#"["1", "3", "4"]"#);
    let replace = ["a", "0", "10000", "REPLACE", "AUTH", "secret"];
    assert_eq!(send(&mut ours, &there, &replace), "OK");
    assert_eq!(theirs.shown("GET a"), r#""new""#);
    assert_eq!(ours.integer("DBSIZE"), 0);
}

/// More keys than go in one round, to a target that reads only the oldest form.
#[test]
fn many_keys() {
    let (here, there) = (Server::ochre(&[]), Server::start(&Program::Redis7, &[]));
    let (mut ours, mut theirs) = (here.client(), there.client());
    let names: Vec<String> = (0..2500).map(|n| format!("key:{n}")).collect();
    for name in &names {
        ours.cmd(&["SET", name, name]);
    }
    let all: Vec<&str> =
        ["", "0", "10000", "KEYS"].into_iter().chain(names.iter().map(String::as_str)).collect();
    assert_eq!(send(&mut ours, &there, &all), "OK");
    assert_eq!(ours.integer("DBSIZE"), 0);
    assert_eq!(theirs.integer("DBSIZE"), 2500);
    assert_eq!(theirs.shown("GET key:2499"), r#""key:2499""#);
}

/// A target that takes the connection and says nothing: writers of the key wait, all others go on, and
/// the key stays. CLIENT UNBLOCK does not end it.
#[test]
fn writers_wait_while_a_key_moves() {
    let here = Server::ochre(&[]);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let (mut ours, mut writer, mut other) = (here.client(), here.client(), here.client());
    ours.line("SET k old");
    let id = ours.integer("CLIENT ID");
    ours.send(&["MIGRATE", "127.0.0.1", &port, "k", "0", "1500"]);
    wait_until("the client waits", || {
        (other.info("clients", "blocked_clients") == "1").then_some(())
    });
    writer.send(&["SET", "k", "new"]);
    wait_until("the writer waits", || {
        (other.info("clients", "blocked_clients") == "2").then_some(())
    });
    assert_eq!(other.shown("GET k"), r#""old""#);
    assert_eq!(other.shown("SET j 1"), "OK");
    assert_eq!(other.integer(&format!("CLIENT UNBLOCK {id}")), 0);
    let reply = ours.reply();
    let expected = b"IOERR error or timeout reading to target instance";
    assert_eq!(reply, Value::Error(expected.to_vec()));
    assert_eq!(writer.reply(), Value::Status(b"OK".to_vec()));
    assert_eq!(other.shown("GET k"), r#""new""#);
}

/// Counters that are moved away while others count: each count is either here or was moved.
#[test]
fn no_write_is_lost() {
    let (here, there) = (Server::ochre(&["--io-threads", "2"]), Server::ochre(&[]));
    let stop = AtomicBool::new(false);
    // By itself, in a transaction, in a script that names its key, in one that does not.
    let ways: &[&[&[&str]]] = &[
        &[&["INCR", "k"]],
        &[&["MULTI"], &["INCR", "k"], &["EXEC"]],
        &[&["EVAL", "return redis.call('INCR', KEYS[1])", "1", "k"]],
        &[&["EVAL", "return redis.call('INCR', 'k')", "0"]],
    ];
    std::thread::scope(|scope| {
        let writers: Vec<_> = ways
            .iter()
            .map(|commands| {
                let (here, stop) = (&here, &stop);
                scope.spawn(move || {
                    let mut client = here.client();
                    let mut counted = 0i64;
                    while !stop.load(Ordering::Relaxed) {
                        for command in *commands {
                            let reply = client.cmd(command);
                            assert!(!matches!(reply, Value::Error(_)), "{reply:?}");
                        }
                        counted += 1;
                    }
                    counted
                })
            })
            .collect();
        let (mut ours, mut theirs) = (here.client(), there.client());
        ours.patience(Duration::from_secs(60));
        let (mut moved, mut total) = (0, 0);
        for _ in 0..200 {
            let reply = send(&mut ours, &there, &["k", "0", "10000", "REPLACE"]);
            match reply.as_str() {
                "OK" => {
                    moved += 1;
                    total += theirs.integer("INCRBY k 0");
                    theirs.line("DEL k");
                }
                // A writer came between, each time: the copy there is void.
                _ if reply.contains("changed while it was sent") => {
                    theirs.line("DEL k");
                }
                "NOKEY" => {}
                _ => panic!("{reply}"),
            }
        }
        stop.store(true, Ordering::Relaxed);
        let counted: i64 = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
        total += ours.integer("INCRBY k 0");
        assert_eq!(total, counted, "{moved} moves");
        assert!(moved > 10, "{moved}");
    });
}

/// What moves away is logged as a deletion.
#[test]
fn a_move_is_a_deletion_in_the_log() {
    let (here, there) = (Server::ochre(&[]), Server::ochre(&[]));
    let replica = Server::ochre(&["--replicaof", &format!("127.0.0.1 {}", here.port())]);
    let (mut ours, mut behind) = (here.client(), replica.client());
    ours.line("MSET a 1 b 2");
    let both = r#"["1", "2"]"#;
    wait_until("the replica has both", || (behind.shown("MGET a b") == both).then_some(()));
    assert_eq!(send(&mut ours, &there, &["", "0", "10000", "KEYS", "a", "b"]), "OK");
    assert_eq!(ours.integer("WAIT 1 10000"), 1);
    assert_eq!(behind.integer("DBSIZE"), 0);
}
